//! The text of a range into chunks, which are stored: as they are, by name where they are there already, or as the difference to
//! an earlier one.
//!
//! A chunk ends at a row whose keyed hash says so, or at its largest size; so an inserted row moves the ends near it and no others.
//! Held in memory are one chunk, the earlier one that it may differ little from, and the difference.

use bytes::Bytes;
use coffer_store::{ChunkId, ChunkKind, PackStream};

use crate::delta::Differ;
use crate::error::{Error, Result};
use crate::manifest::{Delta, RowChunk};
use crate::row_hash::RowEnd;

use super::candidates::Candidates;
use super::dispatcher::Job;
use super::run::Context;

/// A delta may have one of so many bytes of the text. Deltas to one base grow from backup to backup: at a hundredth of the rows each time
/// this lets some twenty of them pass before the text is stored anew.
const DELTA_SHARE: usize = 4;

/// Deltas of one range at most. Each takes nearly three times the place of a reference in the manifest, and what a table that is read
/// whole is made of stands in one entry of bounded length ([`crate::part`]).
const DELTAS_MAX: usize = 64 * 1024;

/// The text of a range on its way into chunks.
pub(super) struct Chunks<'a> {
    context: &'a Context,
    job: &'a Job,
    stream: &'a mut PackStream,
    candidates: Candidates,
    differ: Differ,
    /// The chunk that text was compared with last: the next may be a difference to the same.
    base: Option<(ChunkId, Bytes)>,
    buffer: Vec<u8>,
    chunks: Vec<RowChunk>,
    least: usize,
    most: usize,
    /// A row of `n` bytes ends a chunk when the upper half of its hash is below `n` times this.
    threshold: u64,
}

impl<'a> Chunks<'a> {
    pub(super) fn new(context: &'a Context, stream: &'a mut PackStream, job: &'a Job) -> Self {
        let least = context.chunk_bytes / 4;
        let span = (context.chunk_bytes - least).max(1) as u64;
        let earlier = job.earlier.iter().flat_map(|range| range.chunks.iter().copied());
        Self {
            context,
            job,
            stream,
            candidates: Candidates::new(earlier),
            differ: Differ::default(),
            base: None,
            buffer: Vec::new(),
            chunks: Vec::new(),
            least,
            most: context.chunk_bytes * 4,
            threshold: u64::MAX / span,
        }
    }

    /// More text, and the rows that end in it.
    pub(super) async fn take(&mut self, text: &[u8], rows: &[RowEnd]) -> Result<()> {
        let mut from = 0;
        for row in rows {
            let length = self.buffer.len() + row.end - from;
            let upper = (row.hash >> 64) as u64;
            let is_end = upper < self.threshold.saturating_mul(row.bytes);
            if length >= self.most || (is_end && length >= self.least) {
                self.append(&text[from..row.end]).await?;
                from = row.end;
                if is_end && self.buffer.len() >= self.least {
                    self.put().await?;
                }
            }
        }
        self.append(&text[from..]).await
    }

    /// A row larger than a chunk goes over several.
    async fn append(&mut self, mut bytes: &[u8]) -> Result<()> {
        while self.buffer.len() + bytes.len() >= self.most {
            let (fits, rest) = bytes.split_at(self.most - self.buffer.len());
            self.buffer.extend_from_slice(fits);
            bytes = rest;
            self.put().await?;
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    async fn put(&mut self) -> Result<()> {
        let text = std::mem::take(&mut self.buffer);
        let stored = self.store(&text).await;
        self.buffer = text;
        let chunk = stored?;
        self.candidates.became(&chunk);
        self.chunks.push(chunk);
        self.buffer.clear();
        Ok(())
    }

    /// What was there is named again; what differs little from it is stored as the difference; all else as it is.
    async fn store(&mut self, text: &[u8]) -> Result<RowChunk> {
        let named = self.context.repository.name_chunk(text);
        let earlier = self.candidates.likely().copied();
        if let Some(earlier) = earlier {
            let is_same =
                earlier.id() == named.id() && earlier.plain_bytes() as usize == text.len();
            if is_same && earlier.references().all(|chunk| self.stream.take_over(&chunk)) {
                return Ok(earlier);
            }
            if let Some(delta) = self.store_delta(named.id(), text, &earlier).await? {
                return Ok(RowChunk::Delta(delta));
            }
        }
        let put = self.stream.put_named(ChunkKind::TableRows, named, None).await;
        put.map(RowChunk::Whole).map_err(failed_to_store)
    }

    /// The difference, where it is small. A base that can't be read is worth a line in the log: whoever verifies will say so.
    async fn store_delta(
        &mut self,
        id: ChunkId,
        text: &[u8],
        earlier: &RowChunk,
    ) -> Result<Option<Delta>> {
        let (deltas, base) = (&self.job.table.deltas, *earlier.base());
        let has_room = self.chunks.len() < DELTAS_MAX;
        if !has_room || !self.context.writer.can_reuse(&base) || !deltas.pays() {
            return Ok(None);
        }
        let base_text = match self.base.take() {
            Some((known, text)) if known == base.id => text,
            _ => match self.context.repository.read_chunk(&base).await {
                Ok(text) => text,
                Err(error) => {
                    tracing::warn!(%error, "a chunk of an earlier recovery point can't be read; storing without it");
                    deltas.tell(false);
                    return Ok(None);
                }
            },
        };
        let (_, base_text) = self.base.insert((base.id, base_text));
        let found = self.differ.diff(base_text, text, text.len() / DELTA_SHARE);
        deltas.tell(found.is_some());
        let Some(found) = found else { return Ok(None) };
        let delta = self.stream.put(ChunkKind::RowDelta, found, None).await;
        let delta = delta.map_err(failed_to_store)?;
        self.stream.take_over(&base);
        let plain_bytes = u32::try_from(text.len()).map_err(|_| Error::Protocol {
            context: "store rows".to_owned(),
            message: "a chunk of more than four gigabytes".to_owned(),
        })?;
        Ok(Some(Delta { id, plain_bytes, delta, base }))
    }

    /// What is left, and all of them in order.
    pub(super) async fn finish(mut self) -> Result<Vec<RowChunk>> {
        if !self.buffer.is_empty() {
            self.put().await?;
        }
        Ok(self.chunks)
    }
}

fn failed_to_store(error: coffer_store::Error) -> Error {
    Error::store("store rows")(error)
}
