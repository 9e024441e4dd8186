//! How the engine tells what it is doing. The service turns it into a job's progress, a terminal into a bar, and a test
//! into assertions.
//!
//! A monitor is called often and from several workers at once; it must not block for long and must not fail. It is told at once
//! when a phase begins, and in phases that move bytes whenever some were moved. How fast that goes, [`PaceMeter`] says.

mod pace;

use std::sync::atomic::{AtomicU64, Ordering};

pub use pace::{ESTIMATE_WINDOW, Pace, PaceMeter, RATE_WINDOW};

/// What is being done. Phases of one run come in the order in which they stand here; a start over goes back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Phase {
    /// Source or target is being examined.
    Check,
    /// Backup: locks are being taken.
    Lock,
    /// Backup: the snapshot is about to be taken and exported.
    Snapshot,
    /// Backup: tables under the snapshot are about to be compared with the locked ones.
    Compare,
    /// Backup: the schema is being archived.
    Schema,
    /// Backup: the rows are being read.
    Data,
    /// Backup: large objects are being read.
    LargeObjects,
    /// Backup: sequences, roles and lists are being written.
    Lists,
    /// Backup: waiting until the server's log is durable up to the snapshot.
    Flush,
    /// Backup: the manifest is about to be written.
    Seal,
    /// Restore: the temporary database is being made.
    CreateDatabase,
    /// Restore: types, functions and tables are being made.
    PreData,
    /// Restore: rows, sequences and large objects are being written.
    Load,
    /// Restore: indexes, constraints and triggers are being made.
    PostData,
    /// Restore: materialized views are being refreshed.
    Refresh,
    /// Restore: statistics are being gathered.
    Analyze,
    /// Restore: the result is being compared with the recovery point.
    Proof,
    /// Restore: the database is about to get its name.
    Rename,
    /// Files: the archive is being written.
    Files,
    /// Verification: stored chunks are being read.
    Verify,
    /// All is done.
    Done,
}

impl Phase {
    /// A stable name for records and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Lock => "lock",
            Self::Snapshot => "snapshot",
            Self::Compare => "compare",
            Self::Schema => "schema",
            Self::Data => "data",
            Self::LargeObjects => "large-objects",
            Self::Lists => "lists",
            Self::Flush => "flush",
            Self::Seal => "seal",
            Self::CreateDatabase => "create-database",
            Self::PreData => "pre-data",
            Self::Load => "load",
            Self::PostData => "post-data",
            Self::Refresh => "refresh",
            Self::Analyze => "analyze",
            Self::Proof => "proof",
            Self::Rename => "rename",
            Self::Files => "files",
            Self::Verify => "verify",
            Self::Done => "done",
        }
    }

    /// Whether its end is measured in bytes that come from or go to the server or the storage.
    #[must_use]
    pub fn moves_bytes(self) -> bool {
        matches!(
            self,
            Self::Data | Self::LargeObjects | Self::Load | Self::Proof | Self::Files | Self::Verify
        )
    }
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes read from or written to the server so far, as COPY text; those that were taken over unread count.
    pub bytes_done: u64,
    /// The whole, in the same measure: of a backup an estimate by sizes on disk and by what came of those that were read, of
    /// a restore exact.
    pub bytes_total: Option<u64>,
    /// Of those done, the ones that were taken over from the recovery point before without being read.
    pub bytes_taken_over: u64,
    /// Bytes that were read back for the proof.
    pub bytes_compared: u64,
    /// Rows so far.
    pub rows_done: u64,
    /// Ranges, tables or objects of the phase done so far.
    pub items_done: u64,
    /// How many there are, when known.
    pub items_total: Option<u64>,
    /// What is being worked on, such as `public.orders`.
    pub current: Option<String>,
}

impl Progress {
    /// The beginning of a phase of which nothing is known.
    #[must_use]
    pub fn new(phase: Phase) -> Self {
        Self {
            phase,
            bytes_done: 0,
            bytes_total: None,
            bytes_taken_over: 0,
            bytes_compared: 0,
            rows_done: 0,
            items_done: 0,
            items_total: None,
            current: None,
        }
    }

    /// Bytes done by what the phase does: those that were compared while the result is proved, else those that were moved.
    #[must_use]
    pub fn phase_bytes(&self) -> u64 {
        match self.phase {
            Phase::Proof => self.bytes_compared,
            _ => self.bytes_done,
        }
    }
}

/// Receives progress.
pub trait Monitor: Send + Sync {
    /// Called at every change of phase and often in between.
    fn report(&self, progress: &Progress);
}

/// Receives progress and forgets it.
#[derive(Debug, Clone, Copy, Default)]
pub struct SilentMonitor;

impl Monitor for SilentMonitor {
    fn report(&self, _progress: &Progress) {}
}

/// Counters shared by the workers of one run; cheap enough to be bumped for every message of the server.
#[derive(Debug, Default)]
pub struct Counters {
    /// See [`Progress::bytes_done`].
    pub bytes: AtomicU64,
    /// See [`Progress::rows_done`].
    pub rows: AtomicU64,
    /// See [`Progress::items_done`].
    pub items: AtomicU64,
    /// See [`Progress::bytes_taken_over`].
    pub taken_over: AtomicU64,
    /// See [`Progress::bytes_compared`].
    pub compared: AtomicU64,
    /// See [`Progress::bytes_total`]; 0 while it is not known.
    pub bytes_total: AtomicU64,
    /// See [`Progress::items_total`]; counts only beside the former.
    pub items_total: AtomicU64,
}

impl Counters {
    /// Adds to the bytes.
    pub fn add_bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes back what was added for work that is done again.
    pub fn take_back(&self, bytes: u64, rows: u64) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.rows.fetch_sub(rows, Ordering::Relaxed);
    }

    /// Adds to the rows.
    pub fn add_rows(&self, count: u64) {
        self.rows.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds to the items.
    pub fn add_items(&self, count: u64) {
        self.items.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds to the bytes that were taken over; they are done as well.
    pub fn add_taken_over(&self, count: u64) {
        self.taken_over.fetch_add(count, Ordering::Relaxed);
        self.add_bytes(count);
    }

    /// Adds to the bytes that were compared.
    pub fn add_compared(&self, count: u64) {
        self.compared.fetch_add(count, Ordering::Relaxed);
    }

    /// Says how much there is in all.
    pub fn expect(&self, bytes: u64, items: u64) {
        self.bytes_total.store(bytes, Ordering::Relaxed);
        self.items_total.store(items, Ordering::Relaxed);
    }

    /// Begins to count again; what there is in all stays.
    pub fn reset(&self) {
        let counters = [&self.bytes, &self.rows, &self.items, &self.taken_over, &self.compared];
        for counter in counters {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// All of them as a progress report.
    #[must_use]
    pub fn progress(&self, phase: Phase) -> Progress {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let known = read(&self.bytes_total) > 0;
        Progress {
            phase,
            bytes_done: read(&self.bytes),
            bytes_total: known.then(|| read(&self.bytes_total)),
            bytes_taken_over: read(&self.taken_over),
            bytes_compared: read(&self.compared),
            rows_done: read(&self.rows),
            items_done: read(&self.items),
            items_total: known.then(|| read(&self.items_total)),
            current: None,
        }
    }
}
