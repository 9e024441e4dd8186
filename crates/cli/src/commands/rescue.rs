//! `coffer rescue`: what a storage location and the key alone allow, with no server and no metadata.
//!
//! This is the promise that nobody depends on a running Coffer to get their data back, so nothing here may need one.
//! Listing, restoring and exporting write nothing to the storage location. What writes there takes the repository's lease,
//! as the service does, so that both may run at the same time.

mod choice;
mod collect;
mod list;
mod locate;
mod recover_lease;
mod restore;
mod rotate;
mod undelete;
mod verify;

use std::{path::PathBuf, sync::Arc, time::Duration};

use clap::{Args, Subcommand};
use coffer_engine::Monitor;
use coffer_store::{LocationOptions, ObjectStore, Variables};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use self::locate::Storage;
use crate::{args::Output, exit::Failure, progress::TerminalProgress};

/// List, verify, restore and look after recovery points from a storage location and the key alone.
#[derive(Debug, Args)]
pub(crate) struct Rescue {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List all recovery points.
    List(list::List),
    /// Check that everything a recovery point needs is there and undamaged, or that it restores.
    Verify(verify::Verify),
    /// Restore a recovery point as a new database (or into a directory, as `export` does).
    Restore(restore::Restore),
    /// Write a recovery point as a pg_dump archive in directory format, for the stock pg_restore.
    Export(restore::Export),
    /// Delete what no recovery point needs.
    Collect(collect::Collect),
    /// Repair the lease of repositories whose records are damaged, so that they can be written again.
    RecoverLease(recover_lease::RecoverLease),
    /// Bring back what the storage has locked and somebody has deleted or written over.
    Undelete(undelete::Undelete),
    /// Give vaults new keys, and wrap them by another master key; the data stays as it is.
    Rotate(rotate::Rotate),
}

/// How long to wait for a repository that a backup or another command changes at the moment.
const LEASE_PATIENCE: Duration = Duration::from_secs(10);

/// Who holds a lease. Of its own for each time, so that no two ever take it for theirs.
fn lease_holder() -> String {
    format!("coffer rescue {}", Uuid::new_v4())
}

/// Where the recovery points are, and the key.
#[derive(Debug, Args)]
struct Location {
    /// Storage location: file:///directory, s3://bucket/prefix or the URL of a container of Azure Blob, with a prefix or without.
    /// Credentials and endpoint of the latter two come from AWS_… and AZURE_STORAGE_… variables.
    #[arg(long, value_name = "URL")]
    storage: String,
    /// File with the exported key
    #[arg(long, value_name = "FILE")]
    key_file: PathBuf,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    output: Output,
}

impl Location {
    async fn open(&self) -> Result<Storage, Failure> {
        Storage::open(&self.store()?, &self.key_file).await
    }

    /// The objects of the location, which has to be there.
    fn store(&self) -> Result<Arc<dyn ObjectStore>, Failure> {
        Ok(Arc::clone(open_storage(&self.storage)?.store()))
    }
}

/// A location that has to be there, with credentials from the environment.
fn open_storage(url: &str) -> Result<coffer_store::Storage, Failure> {
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let options = LocationOptions::default();
    coffer_store::Location::new(url, &options, &Variables::of(variables))
        .and_then(|location| location.open())
        .map_err(Failure::request)
}

impl Rescue {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match self.verb {
            Verb::List(command) => command.run().await,
            Verb::Verify(command) => Box::pin(command.run()).await,
            Verb::Restore(command) => Box::pin(command.run()).await,
            Verb::Export(command) => Box::pin(command.run()).await,
            Verb::Collect(command) => Box::pin(command.run()).await,
            Verb::RecoverLease(command) => command.run().await,
            Verb::Undelete(command) => command.run().await,
            Verb::Rotate(command) => command.run().await,
        }
    }
}

/// Progress of one long command, and its cancellation by a signal, so that what it made half is taken away again.
struct Watched {
    progress: Arc<TerminalProgress>,
    cancel: CancellationToken,
}

impl Watched {
    fn start() -> Self {
        let cancel = CancellationToken::new();
        let on_signal = cancel.clone();
        // Ends with the process; a second signal finds the default handler replaced, but the cancellation under way.
        tokio::spawn(async move {
            let terminate =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
            match terminate {
                Ok(mut terminate) => tokio::select! {
                    _ = tokio::signal::ctrl_c() => {}
                    _ = terminate.recv() => {}
                },
                Err(_) => drop(tokio::signal::ctrl_c().await),
            }
            on_signal.cancel();
        });
        Self { progress: Arc::new(TerminalProgress::new()), cancel }
    }

    fn monitor(&self) -> Arc<dyn Monitor> {
        Arc::<TerminalProgress>::clone(&self.progress)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.progress.finish();
    }
}
