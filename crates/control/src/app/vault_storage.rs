//! Which object store holds the vaults of a location.
//!
//! Opened stores are kept open and shared, one per URL.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use object_store::ObjectStore;

use super::App;
use crate::error::Error;

/// Stores that are open, by URL.
#[derive(Debug, Default)]
pub(crate) struct OpenStorages(Mutex<HashMap<String, Arc<dyn ObjectStore>>>);

impl App {
    /// The store for vaults of a location: `storage.{location}` of the configuration, else `storage.default`.
    ///
    /// # Errors
    /// The URL's scheme is not supported, or the directory cannot be made.
    pub fn storage_for_location(&self, location: &str) -> Result<Arc<dyn ObjectStore>, Error> {
        let url = self.config.storage_url(location);
        let mut open = self.storages.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(store) = open.get(url) {
            return Ok(Arc::clone(store));
        }
        let store = coffer_store::create_location(url).map_err(|source| {
            Error::start_failed(format!("The storage location {url} cannot be opened."), source)
        })?;
        open.insert(url.to_owned(), Arc::clone(&store));
        Ok(store)
    }
}
