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

/// The keys below `keys` that one of the wrapping keys opens, ascending by number; empty if there are no objects at all.
/// One that is wrapped by another key, or damaged, is passed over as long as one opens: a copy is there to be needed.
pub(crate) async fn open_keys(
    store: &Arc<dyn ObjectStore>,
    keys: &Path,
    of: ObjectType,
    wrapping: &[SealingKey],
) -> Result<Vec<SealingKey>> {
    let mut names: Vec<Path> =
        objects::list(store, keys).map_ok(|meta| meta.location).try_collect().await?;
    names.retain(|name| path::key_number(name).is_some());
    names.sort_unstable();
    let mut opened = Vec::new();
    let mut refused = None;
    for name in names {
        match open_key(store, &name, of, wrapping).await {
            Ok(key) => opened.extend(key),
            Err(error @ Error::Storage { .. }) => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "a key is passed over");
                refused = Some(error);
            }
        }
    }
    match refused {
        Some(error) if opened.is_empty() => Err(error),
        _ => Ok(opened),
    }
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
