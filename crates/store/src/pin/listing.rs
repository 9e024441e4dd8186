//! The pins that there are, as those see them who delete.

use std::collections::BTreeMap;

use futures::TryStreamExt;
use object_store::path::Path;

use super::Record;
use crate::{
    crypto::ObjectType,
    error::{Error, Result},
    limits::{PIN_ATTEMPTS_MAX, PIN_RECORDS_MAX, SEALED_OBJECT_BYTES_MAX},
    objects,
    path::{ManifestName, PinName},
    repository::Repository,
};

/// A pin, in force or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PinInfo {
    /// What is pinned: 32 lower-case hexadecimal digits.
    pub recovery_point_id: String,
    /// Generation of the manifest that is pinned.
    pub generation: u64,
    /// Who reads it.
    pub holder: String,
    /// When it ends unless renewed: milliseconds since 1970 by the holder's clock.
    pub expires_at_ms: u64,
}

/// A pin that cannot be read.
#[derive(Debug)]
pub struct UnreadablePin {
    /// What is pinned: 32 lower-case hexadecimal digits.
    pub recovery_point_id: String,
    /// Generation of the manifest that is pinned.
    pub generation: u64,
    /// Why.
    pub error: Error,
}

/// The pins of a repository.
#[derive(Debug, Default)]
pub struct Pins {
    /// Those that can be read, ascending by recovery point.
    pub readable: Vec<PinInfo>,
    /// Those that cannot. Their recovery points are not deleted until [`Repository::break_pins`] is called.
    pub unreadable: Vec<UnreadablePin>,
}

/// A pin that has run out.
#[derive(Debug)]
pub(crate) struct ExpiredPin {
    name: PinName,
    /// Numbers of all its records that were seen.
    records: Vec<u32>,
    /// Nothing but this pin would hold back the collection from what its manifest needs: the manifest does not count.
    decides: bool,
    info: PinInfo,
}

/// A pin as it was found.
#[derive(Debug)]
struct Found {
    name: PinName,
    /// Numbers, ascending.
    records: Vec<u32>,
    newest: Result<Record>,
}

impl Found {
    /// What is known of it, or why that is not known.
    fn info(self) -> Result<PinInfo> {
        let ManifestName { recovery_point_id, generation } = self.name.manifest;
        let Record { holder, expires_at_ms } = self.newest?;
        Ok(PinInfo { recovery_point_id, generation, holder, expires_at_ms })
    }
}

impl Repository {
    /// The pins that there are, also those that have run out.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than [`PIN_RECORDS_MAX`] records; [`Error::Storage`].
    pub async fn pins(&self) -> Result<Pins> {
        let mut pins = Pins::default();
        for found in find(self, &self.inner.layout.pins()).await? {
            let ManifestName { recovery_point_id, generation } = found.name.manifest.clone();
            match found.info() {
                Ok(info) => pins.readable.push(info),
                Err(error) => {
                    pins.unreadable.push(UnreadablePin { recovery_point_id, generation, error });
                }
            }
        }
        Ok(pins)
    }
}

/// Fails if a pin forbids to delete the recovery point.
pub(crate) async fn check_deletion(
    repository: &Repository,
    recovery_point_id: &str,
    now_ms: u64,
) -> Result<()> {
    let prefix = repository.inner.layout.pins().join(recovery_point_id);
    for found in find(repository, &prefix).await? {
        let info = found.info()?;
        if info.expires_at_ms > now_ms {
            return Err(pinned(&info));
        }
    }
    Ok(())
}

/// Fails if a pin forbids to delete packs; else the pins that have run out. `counting` (ascending) must have been listed
/// before.
pub(crate) async fn check_pins(
    repository: &Repository,
    counting: &[ManifestName],
    now_ms: u64,
) -> Result<Vec<ExpiredPin>> {
    let layout = &repository.inner.layout;
    let mut expired = Vec::new();
    for found in find(repository, &layout.pins()).await? {
        let decides = counting.binary_search(&found.name.manifest).is_err();
        let (name, records) = (found.name.clone(), found.records.clone());
        match found.info() {
            Ok(info) if info.expires_at_ms <= now_ms => {
                expired.push(ExpiredPin { name, records, decides, info });
            }
            Ok(info) if decides => return Err(pinned(&info)),
            Err(error) if decides => return Err(error),
            // What it needs is kept anyhow.
            Ok(_) | Err(_) => {}
        }
    }
    Ok(expired)
}

/// Removes pins that have run out. Fails if one that protects what nothing else does was renewed since it was judged.
pub(crate) async fn remove_expired(repository: &Repository, pins: &[ExpiredPin]) -> Result<()> {
    let inner = &repository.inner;
    for pin in pins {
        for number in &pin.records {
            objects::delete(&inner.store, &inner.layout.pin_record(&pin.name, *number)).await?;
        }
        // Later than that, see the module above.
        if pin.decides && !list(repository, &inner.layout.pin(&pin.name)).await?.is_empty() {
            return Err(pinned(&pin.info));
        }
    }
    Ok(())
}

/// Every pin below a prefix, ascending.
async fn find(repository: &Repository, prefix: &Path) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for (name, mut records) in list(repository, prefix).await? {
        let mut attempts = PIN_ATTEMPTS_MAX;
        while let Some(newest) = records.last() {
            match read(repository, &name, *newest).await {
                Ok(Some(record)) => {
                    found.push(Found { name, records, newest: Ok(record) });
                    break;
                }
                // Renewed, released or removed since it was listed.
                Ok(None) if attempts > 0 => {
                    attempts -= 1;
                    let own = repository.inner.layout.pin(&name);
                    records = list(repository, &own).await?.remove(&name).unwrap_or_default();
                }
                Ok(None) => {
                    return Err(Error::Pinned {
                        recovery_point_id: name.manifest.recovery_point_id,
                        holder: "one who renews the pin at this moment".to_owned(),
                        expires_at_ms: 0,
                    });
                }
                Err(error @ Error::Storage { .. }) => return Err(error),
                Err(error) => {
                    found.push(Found { name, records, newest: Err(error) });
                    break;
                }
            }
        }
    }
    Ok(found)
}

/// Numbers of the records of every pin below a prefix, ascending.
async fn list(repository: &Repository, prefix: &Path) -> Result<BTreeMap<PinName, Vec<u32>>> {
    let mut pins: BTreeMap<PinName, Vec<u32>> = BTreeMap::new();
    let mut listed = objects::list(&repository.inner.store, prefix);
    let mut count = 0;
    while let Some(meta) = listed.try_next().await? {
        let Some((name, number)) = PinName::of(&meta.location) else { continue };
        pins.entry(name).or_default().push(number);
        count += 1;
        if count > PIN_RECORDS_MAX {
            return Err(Error::invalid(format!(
                "a repository has at most {PIN_RECORDS_MAX} records of pins"
            )));
        }
    }
    pins.values_mut().for_each(|numbers| numbers.sort_unstable());
    Ok(pins)
}

async fn read(repository: &Repository, name: &PinName, number: u32) -> Result<Option<Record>> {
    let inner = &repository.inner;
    let path = inner.layout.pin_record(name, number);
    let Some(sealed) = objects::get(&inner.store, &path, SEALED_OBJECT_BYTES_MAX).await? else {
        return Ok(None);
    };
    let plain = inner.keys.sealing.open(ObjectType::Pin, &path, sealed.into())?;
    let record = serde_json::from_slice(&plain)
        .map_err(|error| Error::corrupt(path.to_string(), error.to_string()))?;
    Ok(Some(record))
}

fn pinned(info: &PinInfo) -> Error {
    Error::Pinned {
        recovery_point_id: info.recovery_point_id.clone(),
        holder: info.holder.clone(),
        expires_at_ms: info.expires_at_ms,
    }
}
