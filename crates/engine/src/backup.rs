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

mod base;
mod candidates;
mod chunks;
mod collector;
mod copy_out;
mod deltas;
mod dispatcher;
mod hold;
mod identity;
mod large_objects;
mod lists;
mod log_map;
mod names;
mod previous;
mod reporter;
mod run;
mod schema;
mod server;
mod tables;
mod trial;
mod unchanged;
mod worker;
mod writers;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use coffer_store::{Lease, ManifestInfo, Repository, WriterStats};
use tokio_util::sync::CancellationToken;

use crate::connect::ConnectOptions;
use crate::error::{Error, Result};
use crate::manifest::{Totals, Warning};
use crate::monitor::{Monitor, Phase};
use crate::row_hash::RowHash;
use crate::running::Running;
use crate::span::{Traced as _, span};
use crate::tools::Tools;

pub use base::FullRead;

/// A backup to take.
#[derive(Debug, Clone)]
pub struct BackupRequest {
    /// The database; for a server, one to connect to for its list of databases.
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
    /// Whether and how ranges of it are taken over without reading their rows.
    pub unread: UnreadOptions,
    /// Whether text that differs little from a chunk of it may be stored as the difference. That chunk is read for it, once a backup.
    pub deltas: bool,
    /// For tests of recovery points of older versions.
    #[doc(hidden)]
    pub row_hash: RowHash,
}

/// How ranges that did not change are taken over from the previous recovery point without reading their rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnreadOptions {
    /// Whether at all.
    pub enabled: bool,
    /// How many in a thousand of such ranges are read all the same, and compared.
    pub audit_per_mille: u16,
    /// How long after everything was read it is read again.
    pub full_read_after: Duration,
    /// Tables of fewer bytes are read: to look at them would cost as much.
    pub table_bytes_min: u64,
    /// Whether summaries of the server's log say what was not touched, where it writes them (PostgreSQL 17 and newer) and the role may
    /// ask for a checkpoint.
    pub wal_summaries: bool,
    /// Blocks that are told apart in what the log says.
    pub log_unit_blocks: u32,
    /// For tests that show what each rule is good for; empty in earnest.
    #[doc(hidden)]
    pub mutations: Vec<Mutation>,
}

/// A rule taken out.
#[doc(hidden)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutation {
    /// A reason to read everything that does not count.
    Without(FullRead),
    /// As if every transaction that had begun before the base's snapshot had ended.
    BoundByXmax,
    /// As many rows are the same rows.
    CountAlone,
    /// No younger rows are the same rows.
    AgesAlone,
    /// As if the log from the base's snapshot on were enough.
    LogFromSnapshot,
    /// What was cut off a file is not told.
    LogWithoutLimits,
    /// Marks of any earlier recovery point are carried on, whatever happened to the server since.
    MarksOfAnyHistory,
}

impl Default for UnreadOptions {
    fn default() -> Self {
        Self {
            enabled: true,
            audit_per_mille: 10,
            full_read_after: Duration::from_secs(30 * 86_400),
            table_bytes_min: 64 * 1024,
            wal_summaries: true,
            log_unit_blocks: 1024,
            mutations: Vec::new(),
        }
    }
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
            unread: UnreadOptions::default(),
            deltas: true,
            row_hash: RowHash::Filled,
        }
    }
}

/// A backup that was taken and sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupOutcome {
    /// As requested.
    pub recovery_point_id: String,
    /// Time of the snapshot by the server's clock, microseconds since 1970; of a server, that of the earliest.
    pub taken_at_unix_us: i64,
    /// What it holds.
    pub totals: Totals,
    /// What a person should know; also in the manifest, and of a server in those of its databases.
    pub warnings: Vec<Warning>,
    /// `pg_database_size()` of the source, or of all databases of a server.
    pub source_database_bytes: u64,
    /// What the store did.
    pub stats: WriterStats,
}

/// Takes a backup. The lease must be of this repository, and the caller renews it meanwhile.
///
/// When `cancel` fires, the server is asked to stop what it runs for this backup, the tool is ended, and [`Error::Cancelled`] comes
/// back when both are gone, as after any other failure: well within a second, where the server answers. Packs that were stored
/// by then are found again by the next backup. While the manifest is being written it is too late: the outcome is that of the
/// backup, so that [`Error::Cancelled`] always means that there is none.
///
/// # Errors
/// Any but those of a restore. Nothing is sealed then, and no lock or snapshot is left behind.
pub async fn backup(
    mut request: BackupRequest,
    repository: &Repository,
    lease: &Lease,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<BackupOutcome> {
    validate(&request)?;
    let span = span!("backup", recovery_point = request.recovery_point_id);
    request.source = request.source.for_run();
    let (running, sealing) = (request.source.running().clone(), AtomicBool::new(false));
    let taking = take_database(
        run::Run {
            request,
            repository: repository.clone(),
            base: previous::Base::RecoveryPoint,
            reporter: reporter::Reporter::new(monitor),
        },
        lease,
        &sealing,
    );
    unless_cancelled(cancel, &sealing, &running, Box::pin(taking.traced(span))).await
}

/// Takes a backup of a whole server: every database that allows connections and is no template, but those that services keep
/// for themselves, and all roles and tablespaces, in one recovery point. Databases are read one after the other, each as by
/// [`backup`]; their snapshots are not of one moment. One that can't be read fails the whole; one that is dropped meanwhile is
/// left out and named.
///
/// # Errors
/// As [`backup`]; what concerns one database is [`Error::InDatabase`].
pub async fn backup_server(
    mut request: BackupRequest,
    repository: &Repository,
    lease: &Lease,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<BackupOutcome> {
    validate(&request)?;
    let span = span!("backup", recovery_point = request.recovery_point_id);
    request.source = request.source.for_run();
    let (running, sealing) = (request.source.running().clone(), AtomicBool::new(false));
    let run = server::ServerRun::new(request, repository, lease, monitor);
    let taking = run.take(&sealing).traced(span);
    unless_cancelled(cancel, &sealing, &running, Box::pin(taking)).await
}

/// The work's outcome, unless the caller cancels while there is still time. Of one that failed nothing runs any more.
async fn unless_cancelled(
    cancel: CancellationToken,
    sealing: &AtomicBool,
    running: &Running,
    mut taking: std::pin::Pin<Box<impl Future<Output = Result<BackupOutcome>>>>,
) -> Result<BackupOutcome> {
    let in_time = async {
        cancel.cancelled().await;
        if sealing.load(Ordering::Acquire) {
            std::future::pending::<()>().await;
        }
    };
    let outcome = tokio::select! {
        biased;
        () = in_time => Err(Error::Cancelled),
        outcome = &mut taking => outcome,
    };
    drop(taking);
    if outcome.is_err() {
        running.ended().await;
    }
    outcome
}

async fn take_database(
    run: run::Run,
    lease: &Lease,
    sealing: &AtomicBool,
) -> Result<BackupOutcome> {
    let mut writers = writers::Writers::new(&run.repository, lease, &run.request.options);
    let manifest = run.read(&mut writers).await?;
    let sealed = seal(&run.reporter, &mut writers, &manifest.recovery_point_id, &manifest, sealing);
    let info = sealed.traced(span!("seal")).await?;
    Ok(BackupOutcome {
        recovery_point_id: manifest.recovery_point_id,
        taken_at_unix_us: manifest.snapshot.taken_at_unix_us,
        totals: manifest.totals,
        warnings: manifest.warnings,
        source_database_bytes: manifest.totals.database_bytes,
        stats: info.stats,
    })
}

/// Writes the root, from which on it is too late to cancel.
async fn seal(
    reporter: &reporter::Reporter,
    writers: &mut writers::Writers,
    recovery_point_id: &str,
    root: &impl serde::Serialize,
    sealing: &AtomicBool,
) -> Result<ManifestInfo> {
    let body = serde_json::to_vec(root).map_err(|error| Error::Manifest {
        message: format!("it can't be written as JSON: {error}"),
    })?;
    let writer = writers.writer().await?;
    sealing.store(true, Ordering::Release);
    reporter.report(Phase::Seal, None);
    let sealed = writer.seal(recovery_point_id, &body).await;
    let info = sealed.map_err(Error::store("seal the recovery point"))?;
    reporter.report(Phase::Done, None);
    Ok(info)
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
