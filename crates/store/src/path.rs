//! Every name of an object, printed and parsed in one place (`docs/format.md` §3).
//!
//! Whatever does not parse is not ours and is ignored: a stray file never becomes a pack or a manifest.

use object_store::path::Path;
use uuid::Uuid;

use crate::{
    chunk::PackId,
    error::{Error, Result},
};

/// Digits of a generation in a name.
const GENERATION_DIGITS: usize = 20;
/// Digits of a number in a name.
const NUMBER_DIGITS: usize = 10;
/// Digits of a recovery point's id.
const RECOVERY_POINT_DIGITS: usize = 32;
/// Digits of a pin's id.
const PIN_DIGITS: usize = 32;

pub(crate) fn vaults() -> Path {
    Path::from("vaults")
}

pub(crate) fn repositories(vault: Uuid) -> Path {
    Path::from(format!("vaults/{vault}/repositories"))
}

pub(crate) fn vault_keys(vault: Uuid) -> Path {
    Path::from(format!("vaults/{vault}/keys"))
}

/// What probes of a vault's storage write.
pub(crate) fn probes(vault: Uuid) -> Path {
    Path::from(format!("vaults/{vault}/probes"))
}

/// The key with that number below `keys`, of a vault or a repository.
pub(crate) fn key(keys: &Path, number: u32) -> Path {
    keys.clone().join(format!("{number:0NUMBER_DIGITS$}"))
}

/// The last part of an object's or a directory's name as a UUID.
pub(crate) fn last_uuid(path: &Path) -> Option<Uuid> {
    let name = path.filename()?;
    Uuid::parse_str(name).ok().filter(|uuid| uuid.to_string() == name)
}

/// The number of a key.
pub(crate) fn key_number(path: &Path) -> Option<u32> {
    parse_decimal(path.filename()?, NUMBER_DIGITS).and_then(|number| u32::try_from(number).ok())
}

/// Names inside one repository.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) root: Path,
}

/// A manifest's name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ManifestName {
    pub(crate) recovery_point_id: String,
    pub(crate) generation: u64,
}

/// A lease record's name, ascending in the order in which records are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeaseName {
    pub(crate) generation: u64,
    pub(crate) number: u32,
}

/// The name of a record that a pack is damaged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DamagedName {
    pub(crate) pack: PackId,
    pub(crate) generation: u64,
}

/// A pin: what it pins, and its own id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PinName {
    pub(crate) manifest: ManifestName,
    pub(crate) id: String,
}

impl Layout {
    pub(crate) fn new(vault: Uuid, repository: Uuid) -> Self {
        Self { root: repositories(vault).join(repository.to_string()) }
    }

    pub(crate) fn format(&self) -> Path {
        self.root.clone().join("format")
    }

    pub(crate) fn keys(&self) -> Path {
        self.root.clone().join("keys")
    }

    pub(crate) fn leases(&self) -> Path {
        self.root.clone().join("leases")
    }

    pub(crate) fn packs(&self) -> Path {
        self.root.clone().join("packs")
    }

    pub(crate) fn manifests(&self) -> Path {
        self.root.clone().join("manifests")
    }

    pub(crate) fn collections(&self) -> Path {
        self.root.clone().join("collections")
    }

    pub(crate) fn damaged(&self) -> Path {
        self.root.clone().join("damaged")
    }

    pub(crate) fn damaged_pack(&self, name: &DamagedName) -> Path {
        self.damaged()
            .join(name.pack.to_string())
            .join(format!("{:0GENERATION_DIGITS$}", name.generation))
    }

    pub(crate) fn pins(&self) -> Path {
        self.root.clone().join("pins")
    }

    /// The records of one pin.
    pub(crate) fn pin(&self, name: &PinName) -> Path {
        self.pins()
            .join(name.manifest.recovery_point_id.as_str())
            .join(format!("{:0GENERATION_DIGITS$}", name.manifest.generation))
            .join(name.id.as_str())
    }

    pub(crate) fn pin_record(&self, name: &PinName, number: u32) -> Path {
        self.pin(name).join(format!("{number:0NUMBER_DIGITS$}"))
    }

    /// A list of packs that a collection deletes; its name has the form of a lease record's.
    pub(crate) fn collection(&self, name: LeaseName) -> Path {
        self.collections()
            .join(format!("{:0GENERATION_DIGITS$}", name.generation))
            .join(format!("{:0NUMBER_DIGITS$}", name.number))
    }

    pub(crate) fn lease(&self, name: LeaseName) -> Path {
        self.leases()
            .join(format!("{:0GENERATION_DIGITS$}", name.generation))
            .join(format!("{:0NUMBER_DIGITS$}", name.number))
    }

    pub(crate) fn pack(&self, pack: PackId) -> Path {
        self.packs().join(pack.to_string())
    }

    pub(crate) fn manifest(&self, name: &ManifestName) -> Path {
        self.manifests()
            .join(name.recovery_point_id.as_str())
            .join(format!("{:0GENERATION_DIGITS$}", name.generation))
    }
}

impl ManifestName {
    pub(crate) fn new(recovery_point_id: &str, generation: u64) -> Result<Self> {
        check_recovery_point_id(recovery_point_id)?;
        Ok(Self { recovery_point_id: recovery_point_id.to_owned(), generation })
    }

    /// From the name of an object below `manifests`.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let (recovery_point_id, generation) = last_two(path)?;
        let generation = parse_decimal(&generation, GENERATION_DIGITS)?;
        Self::new(&recovery_point_id, generation).ok()
    }

    /// As it stands in an acceptance.
    pub(crate) fn to_text(&self) -> String {
        format!("{}/{:0GENERATION_DIGITS$}", self.recovery_point_id, self.generation)
    }

    /// What [`Self::to_text`] wrote.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (recovery_point_id, generation) = text.split_once('/')?;
        Self::new(recovery_point_id, parse_decimal(generation, GENERATION_DIGITS)?).ok()
    }
}

impl DamagedName {
    /// From the name of an object below `damaged`.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let (pack, generation) = last_two(path)?;
        let generation = parse_decimal(&generation, GENERATION_DIGITS)?;
        Some(Self { pack: PackId::parse(&pack)?, generation })
    }
}

impl PinName {
    pub(crate) fn new(manifest: ManifestName, id: [u8; PIN_DIGITS / 2]) -> Self {
        Self { manifest, id: hex::encode(id) }
    }

    /// From the name of an object below `pins`, with the number of the record.
    pub(crate) fn of(path: &Path) -> Option<(Self, u32)> {
        let parts: Vec<_> = path.parts().collect();
        let [.., recovery_point_id, generation, id, number] = parts.as_slice() else { return None };
        let generation = parse_decimal(generation.as_ref(), GENERATION_DIGITS)?;
        let manifest = ManifestName::new(recovery_point_id.as_ref(), generation).ok()?;
        let id = id.as_ref().to_owned();
        let number = u32::try_from(parse_decimal(number.as_ref(), NUMBER_DIGITS)?).ok()?;
        is_hex(&id, PIN_DIGITS).then_some((Self { manifest, id }, number))
    }
}

impl LeaseName {
    /// From the name of an object below `leases` or `collections`.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let (generation, number) = last_two(path)?;
        let generation = parse_decimal(&generation, GENERATION_DIGITS)?;
        let number = u32::try_from(parse_decimal(&number, NUMBER_DIGITS)?).ok()?;
        Some(Self { generation, number })
    }
}

/// From the name of an object below `packs`.
pub(crate) fn pack_id(path: &Path) -> Option<PackId> {
    PackId::parse(path.filename()?)
}

/// Refuses everything but 32 lower-case hexadecimal digits.
pub(crate) fn check_recovery_point_id(id: &str) -> Result<()> {
    if is_hex(id, RECOVERY_POINT_DIGITS) {
        Ok(())
    } else {
        Err(Error::invalid("a recovery point's id is 32 lower-case hexadecimal digits"))
    }
}

/// Exactly that many lower-case hexadecimal digits.
fn is_hex(text: &str, digits: usize) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == digits && text.bytes().all(digit)
}

fn last_two(path: &Path) -> Option<(String, String)> {
    let mut parts = path.parts().rev();
    let last = parts.next()?.as_ref().to_owned();
    let before = parts.next()?.as_ref().to_owned();
    Some((before, last))
}

/// Exactly that many decimal digits.
fn parse_decimal(text: &str, digits: usize) -> Option<u64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_format_says_and_come_back() {
        let (vault, repository) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let layout = Layout::new(vault, repository);
        let root = format!("vaults/{vault}/repositories/{repository}");
        assert_eq!(layout.format().as_ref(), format!("{root}/format"));
        assert_eq!(key(&layout.keys(), 3).as_ref(), format!("{root}/keys/0000000003"));
        assert_eq!(key_number(&key(&layout.keys(), 3)), Some(3));
        assert_eq!(last_uuid(&layout.root), Some(repository));

        let pack = PackId::new(5, [9; 8]);
        assert_eq!(
            layout.pack(pack).as_ref(),
            format!("{root}/packs/0000000000000005{}", "09".repeat(8))
        );
        assert_eq!(pack_id(&layout.pack(pack)), Some(pack));

        let manifest = ManifestName::new(&"0a".repeat(16), 12).unwrap();
        let path = layout.manifest(&manifest);
        assert_eq!(
            path.as_ref(),
            format!("{root}/manifests/{}/00000000000000000012", "0a".repeat(16))
        );
        assert_eq!(ManifestName::of(&path), Some(manifest.clone()));
        assert_eq!(ManifestName::parse(&manifest.to_text()), Some(manifest.clone()));

        let pin = PinName::new(manifest, [0xcd; 16]);
        let path = layout.pin_record(&pin, 7);
        let (point, id) = ("0a".repeat(16), "cd".repeat(16));
        assert_eq!(
            path.as_ref(),
            format!("{root}/pins/{point}/00000000000000000012/{id}/0000000007")
        );
        assert_eq!(PinName::of(&path), Some((pin, 7)));
        assert_eq!(PinName::of(&Path::from(path.as_ref().replace("cd", "CD"))), None);

        let lease = LeaseName { generation: u64::MAX, number: u32::MAX };
        assert_eq!(LeaseName::of(&layout.lease(lease)), Some(lease));
    }

    #[test]
    fn foreign_names_are_not_ours() {
        for name in
            ["", "x", "12/34", "+0000000000000000001/0000000001", "99999999999999999999/0000000001"]
        {
            assert_eq!(LeaseName::of(&Path::from(name)), None, "{name}");
        }
        for name in
            ["x/00000000000000000001", "ABABABABABABABABABABABABABABABAB/00000000000000000001"]
        {
            assert_eq!(ManifestName::of(&Path::from(name)), None, "{name}");
            assert_eq!(ManifestName::parse(name), None, "{name}");
        }
        assert_eq!(
            last_uuid(&Path::from("a/00000000000000000000000000000001")),
            None,
            "unhyphenated"
        );
        for id in ["", "../../etc/passwd", &"g".repeat(32), &"0".repeat(31)] {
            assert!(check_recovery_point_id(id).is_err(), "{id}");
        }
    }
}
