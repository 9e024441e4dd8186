//! The store's writer for the attempts of one backup.
//!
//! A writer with which an attempt has failed has lost chunks that others may refer to, so it is given up for a new one. What was
//! whole by then stays: its packs are durable, and the new writer finds the rest of them again.

use coffer_store::{Lease, Repository, Writer, WriterOptions, WriterStats};

use super::BackupOptions;
use crate::error::{Error, Result};

pub(super) struct Writers {
    repository: Repository,
    lease: Lease,
    options: WriterOptions,
    current: Option<Writer>,
    /// What was done for parts of the recovery point that are whole.
    kept: WriterStats,
}

impl Writers {
    pub(super) fn new(repository: &Repository, lease: &Lease, options: &BackupOptions) -> Self {
        let options =
            WriterOptions { pack_bytes: options.pack_bytes, zstd_level: options.zstd_level };
        Self {
            repository: repository.clone(),
            lease: lease.clone(),
            options,
            current: None,
            kept: WriterStats::default(),
        }
    }

    /// The writer of this attempt.
    pub(super) async fn writer(&mut self) -> Result<Writer> {
        if let Some(writer) = &self.current {
            return Ok(writer.clone());
        }
        let writer = self.repository.writer(&self.lease, self.options).await;
        let writer = writer.map_err(Error::store("begin to write"))?;
        writer.count_earlier(&self.kept);
        Ok(self.current.insert(writer).clone())
    }

    /// An attempt has failed.
    pub(super) fn give_up(&mut self) {
        self.current = None;
    }

    /// A part of the recovery point is whole: all streams are finished.
    pub(super) fn keep(&mut self) {
        if let Some(writer) = &self.current {
            self.kept = writer.stats();
        }
    }
}
