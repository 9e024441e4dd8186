//! `coffer rescue rotate`: new vault keys, and another master key; the data stays as it is.
//!
//! Old wrappings are deleted only after the new ones were read back, so that whatever fails in between, the keys can be had.
//! For an installation there is `coffer key rotate`, which takes the key and the locations from its configuration.

use std::path::PathBuf;

use anyhow::anyhow;
use clap::Args;
use coffer_control::key_rotation::rotate_vault;
use coffer_store::{MasterKey, VaultKeyring, list_vaults};
use serde::Serialize;

use super::Location;
use crate::{args::Output, exit::Failure, printer};

/// Give vaults new keys, and wrap them by another master key.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    #[command(flatten)]
    location: Location,
    /// File of another master key, made when absent, which opens the vaults from then on too
    #[arg(long, value_name = "FILE")]
    new_key_file: Option<PathBuf>,
    /// Then take the old master key away: only the new one opens the vaults. A service that still has the old one stops
    /// working, and so do copies of the old key
    #[arg(long, requires = "new_key_file")]
    remove_old: bool,
}

/// What was done with one vault, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    vault: String,
    /// Repositories whose data key is wrapped by the vault's new key.
    repositories: u64,
    /// Repositories for which that failed; they open as before.
    failed: Vec<String>,
    /// Keys that the new master key opens.
    keys_of_new_master: usize,
    /// Wrappings of the old master key that were deleted.
    removed: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

impl Rotate {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let store = self.location.store()?;
        let old = MasterKey::read_file(&self.location.key_file).map_err(Failure::request)?;
        let new = self.new_master()?;
        let mut entries = Vec::new();
        for vault in list_vaults(&store).await.map_err(Failure::request)? {
            let mut entry = Entry {
                vault: vault.to_string(),
                repositories: 0,
                failed: Vec::new(),
                keys_of_new_master: 0,
                removed: 0,
                error: None,
            };
            let done = async {
                let rotated = rotate_vault(&store, vault, &old).await?;
                entry.repositories = rotated.repositories;
                entry.failed = rotated.failed;
                if let Some(new) = &new {
                    entry.keys_of_new_master =
                        VaultKeyring::add_master(&store, vault, &old, new).await?;
                    if self.remove_old {
                        entry.removed =
                            VaultKeyring::remove_master(&store, vault, &old, new).await?;
                    }
                }
                Ok::<(), coffer_store::Error>(())
            }
            .await;
            entry.error = done.err().map(|error| format!("{:#}", anyhow!(error)));
            entries.push(entry);
        }
        match self.location.output {
            Output::Json => printer::json(&entries)?,
            Output::Text => entries.iter().for_each(|entry| self.print(entry)),
        }
        let failed =
            entries.iter().filter(|entry| entry.error.is_some() || !entry.failed.is_empty());
        match failed.count() {
            0 => Ok(()),
            failed => Err(Failure::Request(anyhow!(
                "{failed} of {} vaults are not done; the same command again goes on",
                entries.len()
            ))),
        }
    }

    fn new_master(&self) -> Result<Option<MasterKey>, Failure> {
        let Some(path) = &self.new_key_file else { return Ok(None) };
        if path.exists() {
            return MasterKey::read_file(path).map(Some).map_err(Failure::request);
        }
        let key = MasterKey::generate().map_err(Failure::request)?;
        key.write_file(path).map_err(Failure::request)?;
        Ok(Some(key))
    }

    fn print(&self, entry: &Entry) {
        let Entry { vault, repositories, .. } = entry;
        if let Some(error) = &entry.error {
            printer::result(&format!("vault {vault}: {error}"));
            return;
        }
        let master = match (&self.new_key_file, self.remove_old) {
            (None, _) => "",
            (Some(_), false) => "; either master key opens it",
            (Some(_), true) => "; only the new master key opens it",
        };
        printer::result(&format!(
            "vault {vault}: a new key wraps {repositories} repositories{master}"
        ));
        for failed in &entry.failed {
            printer::result(&format!("  {failed}"));
        }
    }
}
