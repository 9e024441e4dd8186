//! Counters of one backup.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What a writer did so far. Every chunk put is counted once as stored, deduplicated or resumed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WriterStats {
    /// Chunks put.
    pub chunks: u64,
    /// Plain bytes of the chunks put.
    pub plain_bytes: u64,
    /// Chunks stored by this backup.
    pub stored_chunks: u64,
    /// Plain bytes of the chunks stored.
    pub stored_plain_bytes: u64,
    /// Bytes of the objects written: packs with their footers.
    pub stored_bytes: u64,
    /// Packs written.
    pub packs: u64,
    /// Chunks that an earlier recovery point or an earlier stream of this backup holds.
    pub deduplicated_chunks: u64,
    /// Their plain bytes.
    pub deduplicated_plain_bytes: u64,
    /// Chunks found in whole packs of an interrupted backup.
    pub resumed_chunks: u64,
    /// Their plain bytes.
    pub resumed_plain_bytes: u64,
}

/// [`WriterStats`], counted by many workers.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    stored_chunks: AtomicU64,
    stored_plain_bytes: AtomicU64,
    stored_bytes: AtomicU64,
    packs: AtomicU64,
    deduplicated_chunks: AtomicU64,
    deduplicated_plain_bytes: AtomicU64,
    resumed_chunks: AtomicU64,
    resumed_plain_bytes: AtomicU64,
}

impl Counters {
    pub(crate) fn stored(&self, plain_bytes: u32) {
        self.stored_chunks.fetch_add(1, Ordering::Relaxed);
        self.stored_plain_bytes.fetch_add(u64::from(plain_bytes), Ordering::Relaxed);
    }

    pub(crate) fn deduplicated(&self, plain_bytes: u32) {
        self.deduplicated_chunks.fetch_add(1, Ordering::Relaxed);
        self.deduplicated_plain_bytes.fetch_add(u64::from(plain_bytes), Ordering::Relaxed);
    }

    pub(crate) fn resumed(&self, plain_bytes: u32) {
        self.resumed_chunks.fetch_add(1, Ordering::Relaxed);
        self.resumed_plain_bytes.fetch_add(u64::from(plain_bytes), Ordering::Relaxed);
    }

    pub(crate) fn pack(&self, bytes: u64) {
        self.packs.fetch_add(1, Ordering::Relaxed);
        self.stored_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add(&self, stats: &WriterStats) {
        for (counter, count) in [
            (&self.stored_chunks, stats.stored_chunks),
            (&self.stored_plain_bytes, stats.stored_plain_bytes),
            (&self.stored_bytes, stats.stored_bytes),
            (&self.packs, stats.packs),
            (&self.deduplicated_chunks, stats.deduplicated_chunks),
            (&self.deduplicated_plain_bytes, stats.deduplicated_plain_bytes),
            (&self.resumed_chunks, stats.resumed_chunks),
            (&self.resumed_plain_bytes, stats.resumed_plain_bytes),
        ] {
            counter.fetch_add(count, Ordering::Relaxed);
        }
    }

    pub(crate) fn read(&self) -> WriterStats {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let (stored, stored_plain) = (get(&self.stored_chunks), get(&self.stored_plain_bytes));
        let (deduplicated, deduplicated_plain) =
            (get(&self.deduplicated_chunks), get(&self.deduplicated_plain_bytes));
        let (resumed, resumed_plain) = (get(&self.resumed_chunks), get(&self.resumed_plain_bytes));
        WriterStats {
            chunks: stored + deduplicated + resumed,
            plain_bytes: stored_plain + deduplicated_plain + resumed_plain,
            stored_chunks: stored,
            stored_plain_bytes: stored_plain,
            stored_bytes: get(&self.stored_bytes),
            packs: get(&self.packs),
            deduplicated_chunks: deduplicated,
            deduplicated_plain_bytes: deduplicated_plain,
            resumed_chunks: resumed,
            resumed_plain_bytes: resumed_plain,
        }
    }
}
