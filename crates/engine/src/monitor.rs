//! How the engine tells what it is doing. The service turns it into a job's progress, a terminal into a bar, and a test
//! into assertions.
//!
//! A monitor is called often and from several workers at once; it must not block for long and must not fail.

use std::sync::atomic::{AtomicU64, Ordering};

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
}

/// Where a run stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is being done.
    pub phase: Phase,
    /// Bytes read from or written to the server so far, as COPY text.
    pub bytes_done: u64,
    /// Estimate of the whole by the sizes on disk; `bytes_done` may end below or above it.
    pub bytes_total: Option<u64>,
    /// Rows so far.
    pub rows_done: u64,
    /// Ranges, tables or objects of the phase done so far.
    pub items_done: u64,
    /// How many there are, when known.
    pub items_total: Option<u64>,
    /// What is being worked on, such as `public.orders`.
    pub current: Option<String>,
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
}

impl Counters {
    /// Adds to the bytes.
    pub fn add_bytes(&self, count: u64) {
        self.bytes.fetch_add(count, Ordering::Relaxed);
    }

    /// Takes back bytes that were added for work that is done again.
    pub fn take_back_bytes(&self, count: u64) {
        self.bytes.fetch_sub(count, Ordering::Relaxed);
    }

    /// Adds to the rows.
    pub fn add_rows(&self, count: u64) {
        self.rows.fetch_add(count, Ordering::Relaxed);
    }

    /// Adds to the items.
    pub fn add_items(&self, count: u64) {
        self.items.fetch_add(count, Ordering::Relaxed);
    }

    /// Begins to count again.
    pub fn reset(&self) {
        for counter in [&self.bytes, &self.rows, &self.items] {
            counter.store(0, Ordering::Relaxed);
        }
    }

    /// All of them as a progress report.
    #[must_use]
    pub fn progress(&self, phase: Phase) -> Progress {
        Progress {
            phase,
            bytes_done: self.bytes.load(Ordering::Relaxed),
            bytes_total: None,
            rows_done: self.rows.load(Ordering::Relaxed),
            items_done: self.items.load(Ordering::Relaxed),
            items_total: None,
            current: None,
        }
    }
}
