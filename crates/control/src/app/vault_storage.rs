//! Which object store holds the vaults of a location.
//!
//! Opened stores are kept open and shared, one per setting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use coffer_store::ObjectLock;
use object_store::ObjectStore;

use super::App;
use crate::config::ConfigError;
use crate::error::Error;

/// Stores that are open, by the setting's name.
#[derive(Debug, Default)]
pub(crate) struct OpenStorages(Mutex<HashMap<String, coffer_store::Storage>>);

impl App {
    /// The store for vaults of a location: `storage.{location}` of the configuration, else `storage.default`.
    ///
    /// # Errors
    /// The setting cannot be used, or the directory cannot be made. Whether a bucket or container is there, its first use tells.
    pub async fn storage_for_location(
        &self,
        location: &str,
    ) -> Result<Arc<dyn ObjectStore>, Error> {
        Ok(Arc::clone(self.open_storage(location).await?.store()))
    }

    /// The same, with its locks where the setting's `lock` asks for them.
    ///
    /// # Errors
    /// As [`Self::storage_for_location`].
    pub(crate) async fn storage_and_lock(
        &self,
        location: &str,
    ) -> Result<(Arc<dyn ObjectStore>, Option<Arc<dyn ObjectLock>>), Error> {
        let storage = self.open_storage(location).await?;
        let wants_lock = self.config.storage(location).1.lock;
        let lock = if wants_lock { storage.lock().map_err(Error::internal)? } else { None };
        Ok((Arc::clone(storage.store()), lock))
    }

    /// The storage, with its locks, of a location that others are copied to. No other one stands for it.
    ///
    /// # Errors
    /// As [`Self::storage_for_location`], and if the location is not configured any more.
    pub(crate) async fn storage_and_lock_of_pair(
        &self,
        region: &str,
    ) -> Result<(Arc<dyn ObjectStore>, Option<Arc<dyn ObjectLock>>), Error> {
        let missing = |error: ConfigError| {
            Error::start_failed(format!("The location {region} cannot be used."), error)
        };
        self.config.storage_of_pair(region).map_err(missing)?;
        self.storage_and_lock(region).await
    }

    /// The same, with what kind of storage it is.
    pub(crate) async fn open_storage(
        &self,
        location: &str,
    ) -> Result<coffer_store::Storage, Error> {
        let (name, storage) = self.config.storage(location);
        let url = &storage.url;
        let unusable = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::start_failed(format!("The storage location {url} cannot be opened."), source)
        };
        let open = || self.storages.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(storage) = open().get(&name) {
            return Ok(storage.clone());
        }
        let place =
            self.config.storage_location(location).map_err(|error| unusable(error.into()))?;
        // Directories are made, certificates read: nothing for a thread that serves requests.
        let opened = tokio::task::spawn_blocking(move || place.create())
            .await
            .map_err(Error::internal)?
            .map_err(|error| unusable(error.into()))?;
        // Of two that opened it at once, the first is kept.
        Ok(open().entry(name).or_insert(opened).clone())
    }
}
