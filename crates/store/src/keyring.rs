//! A vault's keys: each lies below the vault, wrapped by the master key, and wraps the data keys of repositories.
//!
//! Wrapping keys are added, never replaced: a rotation writes a new object and deletes the old one afterwards, so that no
//! moment exists at which the only copy of a key is in memory.

use std::sync::Arc;

use futures::TryStreamExt;
use object_store::{ObjectStore, path::Path};
use uuid::Uuid;

use crate::{
    crypto::{self, Fingerprint, ObjectType, SealingKey},
    error::{Error, Result},
    limits::SEALED_OBJECT_BYTES_MAX,
    master_key::MasterKey,
    objects, path,
};

/// Number of the first key below `keys`.
const FIRST_KEY: u32 = 1;
/// Times that keys are listed again because others change them at the same time.
const KEY_ATTEMPTS_MAX: usize = 8;

/// The opened keys of one vault. Cheap to clone compared with anything that uses it; wiped from memory when dropped.
#[derive(Debug, Clone)]
pub struct VaultKeyring {
    vault: Uuid,
    /// Ascending by number; never empty.
    keys: Vec<SealingKey>,
}

impl VaultKeyring {
    /// Opens the vault's keyring, or makes it with one new key. Of several that make it at once, all open the same.
    ///
    /// # Errors
    /// [`Error::WrongKey`] if the vault belongs to another master key, [`Error::Corrupt`], [`Error::Storage`].
    pub async fn create_or_open(
        store: &Arc<dyn ObjectStore>,
        vault: Uuid,
        master: &MasterKey,
    ) -> Result<Self> {
        match Self::open(store, vault, master).await {
            Err(Error::NotFound { .. }) => {}
            opened => return opened,
        }
        let keys = path::vault_keys(vault);
        create_key(store, &keys, ObjectType::VaultKey, master.sealing()).await?;
        Self::open(store, vault, master).await
    }

    /// Opens the vault's keyring.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the vault has no key, else as [`Self::create_or_open`].
    pub async fn open(
        store: &Arc<dyn ObjectStore>,
        vault: Uuid,
        master: &MasterKey,
    ) -> Result<Self> {
        let keys = path::vault_keys(vault);
        let opened =
            open_keys(store, &keys, ObjectType::VaultKey, std::slice::from_ref(master.sealing()))
                .await?;
        if opened.is_empty() {
            return Err(Error::NotFound { what: format!("the keyring of vault {vault}") });
        }
        Ok(Self { vault, keys: opened })
    }

    /// Deletes the vault's keys, which is only allowed when it has no repository any more. Idempotent.
    ///
    /// # Errors
    /// [`Error::Invalid`] while there are repositories, [`Error::Storage`].
    pub async fn destroy(store: &Arc<dyn ObjectStore>, vault: Uuid) -> Result<u64> {
        if !crate::location::list_repositories(store, vault).await?.is_empty() {
            return Err(Error::invalid(format!("vault {vault} still has repositories")));
        }
        objects::delete_all(store, &path::vault_keys(vault)).await
    }

    /// The vault that these keys belong to.
    #[must_use]
    pub fn vault(&self) -> Uuid {
        self.vault
    }

    /// All keys, for opening.
    pub(crate) fn keys(&self) -> &[SealingKey] {
        &self.keys
    }

    /// The newest key, for wrapping.
    pub(crate) fn newest(&self) -> Result<&SealingKey> {
        self.keys.last().ok_or_else(|| Error::invalid("a keyring without keys"))
    }
}

/// Writes a new random key below `keys` unless there is one.
pub(crate) async fn create_key(
    store: &Arc<dyn ObjectStore>,
    keys: &Path,
    of: ObjectType,
    wrapping: &SealingKey,
) -> Result<()> {
    let name = path::key(keys, FIRST_KEY);
    let key = crypto::random_key()?;
    let sealed = wrapping.seal(of, &name, key.as_slice())?;
    match objects::put_new(store, &name, sealed.into()).await {
        // Another one made it at the same time: that one counts.
        Err(Error::AlreadyExists { .. }) => Ok(()),
        result => result,
    }
}

/// One wrapping that was opened.
#[derive(Debug)]
pub(crate) struct Wrapping {
    pub(crate) number: u32,
    pub(crate) key: SealingKey,
}

/// The wrappings below a vault's or a repository's `keys`.
#[derive(Debug, Default)]
pub(crate) struct Wrappings {
    /// Those that one of the wrapping keys opens, ascending by number.
    pub(crate) opened: Vec<Wrapping>,
    /// The highest number that there is, 0 for none.
    highest: u32,
    /// Why the last of the others was not opened.
    refused: Option<Error>,
}

impl Wrappings {
    /// Reads all of them. One that is wrapped by another key, or damaged, is passed over: a copy is there to be needed.
    pub(crate) async fn read(
        store: &Arc<dyn ObjectStore>,
        keys: &Path,
        of: ObjectType,
        wrapping: &[SealingKey],
    ) -> Result<Self> {
        for _ in 0..KEY_ATTEMPTS_MAX {
            if let Some(found) = Self::read_once(store, keys, of, wrapping).await? {
                return Ok(found);
            }
        }
        Err(Error::corrupt(keys.to_string(), "they vanish while they are read"))
    }

    /// None if one was deleted between listing and reading. A rotation writes before it deletes, so what is listed next has
    /// what took its place; without looking again a key that is there would seem to be none.
    async fn read_once(
        store: &Arc<dyn ObjectStore>,
        keys: &Path,
        of: ObjectType,
        wrapping: &[SealingKey],
    ) -> Result<Option<Self>> {
        let names: Vec<Path> =
            objects::list(store, keys).map_ok(|meta| meta.location).try_collect().await?;
        let mut numbers: Vec<u32> = names.iter().filter_map(path::key_number).collect();
        numbers.sort_unstable();
        let mut found = Self { highest: numbers.last().copied().unwrap_or(0), ..Self::default() };
        for number in numbers {
            match open_key(store, &path::key(keys, number), of, wrapping).await {
                Ok(Some(key)) => found.opened.push(Wrapping { number, key }),
                Ok(None) => return Ok(None),
                Err(error @ Error::Storage { .. }) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "a wrapping of a key is passed over");
                    found.refused = Some(error);
                }
            }
        }
        Ok(Some(found))
    }
}

/// The keys below `keys` that one of the wrapping keys opens, ascending by number; empty if there are no objects at all.
pub(crate) async fn open_keys(
    store: &Arc<dyn ObjectStore>,
    keys: &Path,
    of: ObjectType,
    wrapping: &[SealingKey],
) -> Result<Vec<SealingKey>> {
    let found = Wrappings::read(store, keys, of, wrapping).await?;
    match found.refused {
        Some(error) if found.opened.is_empty() => Err(error),
        _ => Ok(found.opened.into_iter().map(|wrapping| wrapping.key).collect()),
    }
}

/// Makes sure that the key lies below `keys` wrapped by `wrapping`, and says under which number. It was read back from the
/// storage and opened when this returns.
pub(crate) async fn add_wrapping(
    store: &Arc<dyn ObjectStore>,
    keys: &Path,
    of: ObjectType,
    key: &SealingKey,
    wrapping: &SealingKey,
) -> Result<u32> {
    for _ in 0..KEY_ATTEMPTS_MAX {
        let found = Wrappings::read(store, keys, of, std::slice::from_ref(wrapping)).await?;
        let same = |it: &&Wrapping| it.key.fingerprint() == key.fingerprint();
        if let Some(there) = found.opened.iter().rev().find(same) {
            return Ok(there.number);
        }
        let number = found
            .highest
            .checked_add(1)
            .ok_or_else(|| Error::corrupt(keys.to_string(), "no number is left"))?;
        let name = path::key(keys, number);
        let sealed = wrapping.seal(of, &name, key.key().as_slice())?;
        match objects::put_new(store, &name, sealed.into()).await {
            // The next round reads it back, or takes the number after another one's.
            Ok(()) | Err(Error::AlreadyExists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::corrupt(keys.to_string(), "what is written there cannot be read back"))
}

/// One key; none if it was deleted since it was listed.
async fn open_key(
    store: &Arc<dyn ObjectStore>,
    name: &Path,
    of: ObjectType,
    wrapping: &[SealingKey],
) -> Result<Option<SealingKey>> {
    let Some(sealed) = objects::get(store, name, SEALED_OBJECT_BYTES_MAX).await? else {
        return Ok(None);
    };
    let sealed_by = crypto::read_header(of, &sealed, name)?;
    let Some(key) = find(wrapping, sealed_by) else {
        return Err(Error::WrongKey { what: name.to_string(), sealed_by: sealed_by.to_hex() });
    };
    let plain = key.open(of, name, sealed.into())?;
    Ok(Some(SealingKey::new(crypto::key_from(&plain, name)?)))
}

fn find(keys: &[SealingKey], fingerprint: Fingerprint) -> Option<&SealingKey> {
    keys.iter().find(|key| key.fingerprint() == fingerprint)
}
