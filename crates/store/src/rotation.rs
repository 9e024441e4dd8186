//! Changing keys by wrapping them anew; no data is read or written.
//!
//! A wrapping is never replaced. A new one is added under the next number, read back from the storage and opened, and only
//! then are those before it deleted: whatever dies or fails in between, the key can be had from at least one of them.
//! Nobody ever deletes a wrapping unless he has just read another one of the same key that stays.

use std::sync::Arc;

use object_store::ObjectStore;
use uuid::Uuid;

use crate::{
    crypto::{self, ObjectType, SealingKey},
    error::{Error, Result},
    keyring::{self, VaultKeyring, Wrappings},
    master_key::MasterKey,
    objects, path,
    repository::{self, Repository},
};

impl VaultKeyring {
    /// Adds a new key to the vault, which wraps data keys from now on. The old ones stay, since they still open what they
    /// wrapped: [`Repository::rewrap_key`] moves a repository to the new one.
    ///
    /// # Errors
    /// As [`Self::open`]. After a failure the new key may or may not be there; doing it again adds another, without harm.
    pub async fn rotate(
        store: &Arc<dyn ObjectStore>,
        vault: Uuid,
        master: &MasterKey,
    ) -> Result<Self> {
        Self::open(store, vault, master).await?;
        let key = SealingKey::new(crypto::random_key()?);
        let keys = path::vault_keys(vault);
        keyring::add_wrapping(store, &keys, ObjectType::VaultKey, &key, master.sealing()).await?;
        Self::open(store, vault, master).await
    }

    /// Wraps all keys of the vault, as far as `old` opens them, by `new` too, after which either master key opens the vault.
    /// May be repeated. Returns how many keys that are.
    ///
    /// # Errors
    /// As [`Self::open`] with the old master key.
    pub async fn add_master(
        store: &Arc<dyn ObjectStore>,
        vault: Uuid,
        old: &MasterKey,
        new: &MasterKey,
    ) -> Result<usize> {
        let opened = Self::open(store, vault, old).await?;
        // Ascending, so that the newest key gets the highest number again.
        for key in opened.keys() {
            keyring::add_wrapping(
                store,
                &path::vault_keys(vault),
                ObjectType::VaultKey,
                key,
                new.sealing(),
            )
            .await?;
        }
        Ok(opened.keys().len())
    }

    /// Deletes the wrappings by `old`, after which only `new` opens the vault. Refused while there is a key that `new` does
    /// not open; so [`Self::add_master`] comes before, for every vault. May be repeated. Returns how many were deleted. Of
    /// two master keys only ever one may be on its way out.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is refused, else as [`Self::open`] with the new master key.
    pub async fn remove_master(
        store: &Arc<dyn ObjectStore>,
        vault: Uuid,
        old: &MasterKey,
        new: &MasterKey,
    ) -> Result<u64> {
        if old.id() == new.id() {
            return Err(Error::invalid("the only master key of a vault cannot be removed"));
        }
        let keys = path::vault_keys(vault);
        let old = std::slice::from_ref(old.sealing());
        let going = Wrappings::read(store, &keys, ObjectType::VaultKey, old).await?.opened;
        let staying = Self::open(store, vault, new).await?;
        let stays = |key: &SealingKey| {
            staying.keys().iter().any(|other| other.fingerprint() == key.fingerprint())
        };
        if !going.iter().all(|wrapping| stays(&wrapping.key)) {
            return Err(Error::invalid(format!(
                "vault {vault} has a key that the new master key does not open yet"
            )));
        }
        let mut deleted = 0;
        for wrapping in going {
            deleted += u64::from(objects::delete(store, &path::key(&keys, wrapping.number)).await?);
        }
        Ok(deleted)
    }
}

impl Repository {
    /// Wraps the data key by the keyring's newest key, unless it is, and then deletes the wrappings before that one. What is
    /// stored stays as it is, and whoever has the repository open goes on. May be repeated, and may run beside anything but
    /// [`Self::destroy`]. Returns how many wrappings were deleted.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the repository was destroyed meanwhile, else as [`Self::open`].
    pub async fn rewrap_key(&self, keyring: &VaultKeyring) -> Result<u64> {
        if keyring.vault() != self.vault() {
            return Err(Error::invalid("the keyring belongs to another vault"));
        }
        let inner = &self.inner;
        let (store, keys) = (&inner.store, inner.layout.keys());
        let fingerprint = inner.keys.sealing.fingerprint();
        let found = Wrappings::read(store, &keys, ObjectType::DataKey, keyring.keys()).await?;
        let wrappings: Vec<_> =
            found.opened.iter().filter(|it| it.key.fingerprint() == fingerprint).collect();
        let Some(wrapping) = wrappings.last() else {
            return Err(Error::corrupt(keys.to_string(), "none of them opens"));
        };
        let newest = keyring.newest()?;
        let staying =
            keyring::add_wrapping(store, &keys, ObjectType::DataKey, &wrapping.key, newest).await?;
        repository::check_format(store, &inner.layout).await?;
        let mut deleted = 0;
        // Lower numbers only: the highest is never deleted, however many do this at the same time.
        for wrapping in wrappings.into_iter().filter(|it| it.number < staying) {
            deleted += u64::from(objects::delete(store, &path::key(&keys, wrapping.number)).await?);
        }
        Ok(deleted)
    }
}
