//! Taking a backup: locks, one exported snapshot, the schema by the server's own tool, the rows by parallel workers.
//!
//! Order matters and is this: check; lock every table; take and export the snapshot; see that no table was truncated or
//! rewritten in between; archive the schema, and see that no definition changed under the tool; read sequences, after the
//! snapshot; read rows, large objects and lists under it, and see that every name meant what it means under it; see that no
//! type changed the text of its values; wait until the server's log is durable up to the snapshot; seal. The source is never
//! written to. Until the schema is archived a lock that is
//! not granted, or a definition that changed, lets go of everything and starts over, and so does a name or a type that
//! changed while rows were read; what was stored by then is found again. When the schema is archived, nothing waits for the
//! lock of a table for long, because the session that holds them all reads what a worker can't.

mod candidates;
mod collector;
mod copy_out;
mod dispatcher;
mod hold;
mod identity;
mod large_objects;
mod lists;
mod names;
mod previous;
mod reporter;
mod run;
mod schema;
mod tables;
mod worker;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use coffer_store::{Lease, Repository, WriterStats};
use tokio_util::sync::CancellationToken;

use crate::connect::ConnectOptions;
use crate::error::{Error, Result};
use crate::manifest::{Totals, Warning};
use crate::monitor::Monitor;
use crate::span::{Traced as _, span};
use crate::tools::Tools;

/// A backup to take.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// The database.
    pub source: ConnectOptions,
    /// Installed tools.
    pub tools: Tools,
    /// 32 lower-case hexadecimal digits: the name of the recovery point to be.
    pub recovery_point_id: String,
    /// Names kept in the manifest: enough to rebuild the caller's records from the storage alone.
    pub labels: BTreeMap<String, String>,
    /// How.
    pub options: BackupOptions,
    /// An existing local directory for the tool's output, which holds no rows.
    pub work_dir: PathBuf,
}

/// How a backup is taken.
#[derive(Debug, Clone)]
pub struct BackupOptions {
    /// Connections that read rows; 1 to [`WORKERS_MAX`].
    pub workers: usize,
    /// Plain bytes that a chunk of rows should have.
    pub chunk_bytes: usize,
    /// Bytes of heap and TOAST that a range should have.
    pub range_bytes: u64,
    /// Bytes of values in a row from which on it is read in pieces. Each worker may hold a row of that size, as text up to
    /// twice as long. [`crate::LARGE_ROW_BYTES`] unless there is a reason.
    pub large_row_bytes: u64,
    /// Bytes of a pack.
    pub pack_bytes: usize,
    /// Compression level.
    pub zstd_level: i32,
    /// How long one attempt waits for a lock. Whoever queues behind a lock that we wait for waits as long.
    pub lock_timeout: Duration,
    /// Attempts to get all locks, the snapshot, the schema, and rows that nothing was changed under.
    pub lock_attempts: u32,
    /// User mappings of foreign servers are kept, with the passwords that are in them. Those left out are named.
    pub user_mappings: bool,
    /// The recovery point to refer to where content is equal, usually the newest.
    pub previous: Option<String>,
}

/// Most workers of one backup.
pub const WORKERS_MAX: usize = 64;

impl Default for BackupOptions {
    fn default() -> Self {
        Self {
            workers: 2,
            chunk_bytes: 1024 * 1024,
            range_bytes: 8 * 1024 * 1024,
            large_row_bytes: crate::LARGE_ROW_BYTES,
            pack_bytes: coffer_store::limits::PACK_TARGET_BYTES_DEFAULT,
            zstd_level: 1,
            lock_timeout: Duration::from_secs(10),
            lock_attempts: 5,
            user_mappings: true,
            previous: None,
        }
    }
}

/// A backup that was taken and sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupOutcome {
    /// As requested.
    pub recovery_point_id: String,
    /// Time of the snapshot by the server's clock, microseconds since 1970.
    pub taken_at_unix_us: i64,
    /// What it holds.
    pub totals: Totals,
    /// What a person should know; also in the manifest.
    pub warnings: Vec<Warning>,
    /// `pg_database_size()` of the source.
    pub source_database_bytes: u64,
    /// What the store did.
    pub stats: WriterStats,
}

/// Takes a backup. The lease must be of this repository, and the caller renews it meanwhile.
///
/// When `cancel` fires, the server is asked to stop what it runs for this backup, and [`Error::Cancelled`] comes back
/// within seconds. Whatever was stored by then is found again by the next backup. While the manifest is being written it
/// is too late: the outcome is that of the backup, so that [`Error::Cancelled`] always means that there is none.
///
/// # Errors
/// Any but those of a restore. Nothing is sealed then, and no lock or snapshot is left behind.
pub async fn backup(
    request: BackupRequest,
    repository: &Repository,
    lease: &Lease,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<BackupOutcome> {
    validate(&request)?;
    let span = span!("backup", recovery_point = request.recovery_point_id);
    let run = run::Run::new(request, repository.clone(), lease.clone(), monitor);
    let cancellers = run.cancellers();
    let sealing = run.sealing();
    let mut taking = Box::pin(run.take().traced(span));
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        outcome = &mut taking => return outcome,
    }
    if sealing.load(Ordering::Acquire) {
        return taking.await;
    }
    // With it go its connections and its tool; a statement may still be running on the server.
    drop(taking);
    cancellers.cancel_all().await;
    Err(Error::Cancelled)
}

fn validate(request: &BackupRequest) -> Result<()> {
    let options = &request.options;
    let valid = (1..=WORKERS_MAX).contains(&options.workers)
        && (64 * 1024..=8 * 1024 * 1024).contains(&options.chunk_bytes)
        && options.range_bytes >= 64 * 1024
        && options.lock_attempts >= 1;
    if valid {
        return Ok(());
    }
    Err(Error::Unsupported {
        code: "InvalidOptions",
        message: format!(
            "a backup needs 1 to {WORKERS_MAX} workers, chunks of 64 KiB to 8 MiB, ranges of 64 KiB or more and at least \
             one attempt"
        ),
    })
}
