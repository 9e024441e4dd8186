//! Registered restore targets: which directory stands behind a storage account's name.

use std::path::PathBuf;

use coffer_azure::ResourceId;

use super::App;
use crate::error::Error;

/// Where the files of a restore go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreTarget {
    /// The storage account, whose roles decide who may write.
    pub account_id: ResourceId,
    /// The container: a directory inside what the operator allowed, not necessarily there yet.
    pub directory: PathBuf,
}

impl App {
    /// What `https://{account}.blob.core.windows.net/{container}` stands for.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) when the URL is not of that form, or the account's location is not
    /// allowed any more; [`NotFound`](crate::ErrorKind::NotFound) when no account of that name is registered.
    pub async fn restore_target_resolve(&self, url: &str) -> Result<RestoreTarget, Error> {
        Err(Error::not_found("StorageAccountNotFound", format!("'{url}' is not registered.")))
    }
}
