//! Opening every repository of a storage location, and finding a recovery point in one of them.
//!
//! A vault or repository that cannot be opened does not hide the others: it is told, and counts as damage at the end.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, anyhow};
use coffer_store::{
    Error, MasterKey, ObjectStore, Repository, VaultKeyring, list_repositories, list_vaults,
};
use uuid::Uuid;

use crate::{exit::Failure, printer};

/// A repository that could be opened.
pub(super) struct Opened {
    pub(super) vault: Uuid,
    pub(super) id: Uuid,
    pub(super) repository: Repository,
}

/// All that a storage location holds.
pub(super) struct Storage {
    pub(super) repositories: Vec<Opened>,
    /// Vaults and repositories that could not be opened.
    pub(super) unreadable: usize,
}

impl Storage {
    pub(super) async fn open(
        store: &Arc<dyn ObjectStore>,
        key_file: &Path,
    ) -> Result<Self, Failure> {
        let master = MasterKey::read_file(key_file).map_err(Failure::request)?;
        let mut storage = Self { repositories: Vec::new(), unreadable: 0 };
        for vault in list_vaults(store).await.map_err(Failure::request)? {
            match VaultKeyring::open(store, vault, &master).await {
                Ok(keyring) => storage.open_vault(store, vault, &keyring).await?,
                Err(error) => storage.skip(&format!("vault {vault}"), error)?,
            }
        }
        Ok(storage)
    }

    async fn open_vault(
        &mut self,
        store: &Arc<dyn ObjectStore>,
        vault: Uuid,
        keyring: &VaultKeyring,
    ) -> Result<(), Failure> {
        for id in list_repositories(store, vault).await.map_err(Failure::request)? {
            match Repository::open(store, vault, id, keyring).await {
                Ok(repository) => self.repositories.push(Opened { vault, id, repository }),
                Err(error) => self.skip(&format!("repository {id} of vault {vault}"), error)?,
            }
        }
        Ok(())
    }

    /// Goes on after a vault or repository that is damaged, foreign or gone; gives up when the storage itself fails.
    fn skip(&mut self, what: &str, error: Error) -> Result<(), Failure> {
        match error {
            // Without its keys nothing can be read again, by anyone: it was deleted, and the deletion interrupted.
            Error::NotFound { .. } => {
                printer::note(&format!("note: {what} has no keys: it was deleted"));
            }
            Error::Corrupt { .. } | Error::WrongKey { .. } | Error::UnsupportedFormat { .. } => {
                self.unreadable += 1;
                printer::note(&format!("warning: {what} cannot be opened: {:#}", anyhow!(error)));
            }
            error => {
                return Err(Failure::Request(
                    anyhow::Error::new(error).context(format!("failed to open {what}")),
                ));
            }
        }
        Ok(())
    }

    /// The repository of this id, or all where none is named.
    pub(super) fn chosen(&self, id: Option<Uuid>) -> Result<Vec<&Opened>, Failure> {
        let chosen: Vec<_> = self
            .repositories
            .iter()
            .filter(|opened| id.is_none_or(|wanted| wanted == opened.id))
            .collect();
        match id {
            Some(wanted) if chosen.is_empty() => Err(Failure::Request(anyhow!(
                "there is no repository {wanted} in this storage location"
            ))),
            _ => Ok(chosen),
        }
    }

    /// The repository that holds a recovery point.
    pub(super) async fn find(&self, recovery_point: &str) -> Result<&Opened, Failure> {
        for opened in &self.repositories {
            match opened.repository.read_manifest(recovery_point).await {
                Ok(_) => return Ok(opened),
                Err(Error::NotFound { .. }) => {}
                Err(error) => {
                    return Err(anyhow::Error::new(error))
                        .with_context(|| format!("failed to read recovery point {recovery_point}"))
                        .map_err(Failure::Request);
                }
            }
        }
        Err(Failure::Request(anyhow!(
            "there is no recovery point {recovery_point} in this storage location"
        )))
    }

    /// An error when something could not be opened: what was printed is not all that there is.
    pub(super) fn complete(&self) -> Result<(), Failure> {
        match self.unreadable {
            0 => Ok(()),
            count => {
                Err(Failure::Request(anyhow!("{count} vaults or repositories could not be opened")))
            }
        }
    }
}
