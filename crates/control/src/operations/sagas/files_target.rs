//! The container that files are restored to.
//!
//! The archive is written into a directory of the operation's own inside the container, and gets its name by one rename
//! in a step of its own. So a run that comes after a death can tell what was done: while the operation's directory
//! holds the archive, only the name is missing; when it does not, the name was given.

use std::path::{Path, PathBuf};

use coffer_azure::{ResourceId, RestoreFilesTargetInfo};

use super::data_run::{operation_guid, remove_directory};
use super::instance_repository::vault_storage;
use crate::app::{App, user_facing_error};
use crate::error::Error;
use crate::operations::{Failure, Run};

/// Start of the names of directories that are not finished.
const STAGING_PREFIX: &str = ".coffer-restore-";
/// What the vault's identity needs on the storage account.
const WRITE_ACTION: &str = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs/write";

/// Where the files of one operation go.
#[derive(Debug)]
pub(super) struct FilesTarget {
    /// The container.
    container: PathBuf,
    /// The operation's own directory in it.
    pub(super) staging: PathBuf,
    /// The archive's name.
    pub(super) prefix: String,
}

impl FilesTarget {
    /// Resolves the container's URL and checks that the vault's identity may write there.
    pub(super) async fn resolve(
        app: &App,
        run: &Run,
        vault: &ResourceId,
        info: &RestoreFilesTargetInfo,
    ) -> Result<FilesTarget, Failure> {
        let url = &info.target_details.url;
        let principal_id = vault_storage(app, vault)
            .await?
            .principal_id
            .ok_or_else(|| Failure::failed(user_facing_error::vault_without_identity(vault)))?;
        let target = app.restore_target_resolve(url).await.map_err(|error| {
            Failure::failed(user_facing_error::container_not_accessible(url, &error.message))
        })?;
        if !app.allows(&principal_id, WRITE_ACTION, true, &target.account_id).await? {
            let reason = format!(
                "principal {principal_id}, the vault's identity, lacks {WRITE_ACTION} on {}.",
                target.account_id
            );
            return Err(Failure::failed(user_facing_error::container_not_accessible(url, &reason)));
        }
        let staging =
            target.directory.join(format!("{STAGING_PREFIX}{}", operation_guid(run).simple()));
        Ok(FilesTarget {
            container: target.directory,
            staging,
            prefix: info.target_details.file_prefix.clone(),
        })
    }

    fn archive(&self) -> PathBuf {
        self.container.join(&self.prefix)
    }

    /// Fails when the archive's name is taken.
    pub(super) fn require_free(&self) -> Result<(), Failure> {
        match std::fs::symlink_metadata(self.archive()) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(Error::internal(error).into()),
            Ok(_) => Err(Failure::failed(user_facing_error::files_exist(&self.shown()))),
        }
    }

    /// Removes what an unfinished run has left.
    pub(super) async fn clear(&self) -> Result<(), Error> {
        remove_directory(&self.staging).await
    }

    /// Gives the archive its name. Harmless the second time.
    pub(super) async fn publish(&self) -> Result<(), Failure> {
        let staged = self.staging.join(&self.prefix);
        if tokio::fs::try_exists(&staged).await.map_err(Error::internal)? {
            self.require_free()?;
            tokio::fs::rename(&staged, self.archive()).await.map_err(Error::internal)?;
            sync_directory(&self.container).await?;
        }
        self.clear().await?;
        Ok(())
    }

    /// The name for people: the operator's directories are none of theirs.
    fn shown(&self) -> String {
        let container = self
            .container
            .file_name()
            .map(|name| name.to_string_lossy().into_owned())
            .unwrap_or_default();
        format!("{container}/{}", self.prefix)
    }
}

/// Forces the names in a directory to disk.
async fn sync_directory(path: &Path) -> Result<(), Error> {
    let directory = tokio::fs::File::open(path).await.map_err(Error::internal)?;
    directory.sync_all().await.map_err(Error::internal)
}
