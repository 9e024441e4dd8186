//! One range: `COPY … TO STDOUT` into hashed, content-cut chunks.
//!
//! A chunk ends at a row whose keyed hash says so, or at its largest size; so an inserted row moves the ends near it and
//! no others. Held in memory is one chunk, the one that it may differ little from, and some slabs of text on their way
//! ([`crate::connect::CopyText`]); rows that are too large for one message of the server come last, in pieces ([`crate::large_row`]).

use bytes::Bytes;
use coffer_store::{ChunkId, ChunkKind, PackStream};

use crate::connect::Connection;
use crate::copy_text::{block_condition, copy_out_statement};
use crate::delta::Differ;
use crate::error::{Error, Result};
use crate::large_row::{self, Source, TextSink};
use crate::manifest::{Delta, Range, RowChunk};
use crate::monitor::Phase;
use crate::row_hash::{RowEnd, RowHasher};

use super::candidates::Candidates;
use super::dispatcher::Job;
use super::run::Context;

/// Reads a range and stores it.
pub(super) async fn copy_range(
    context: &Context,
    connection: &Connection,
    stream: &mut PackStream,
    job: &Job,
) -> Result<Range> {
    let what = format!("copy {}", job.table.facts.display_name());
    let failure = |error| copy_failure(job, error);
    let (facts, condition) = (&job.table.facts, condition(job));
    let source = Source { client: connection, encoding: &context.encoding, major: context.major };
    let mut cutter = Cutter::new(context, stream, job);
    let mut large_rows = Vec::new();
    match &job.table.large_rows {
        Some(rows) if rows.may_be(source, &condition).await? => {
            large_rows = rows.copy(source, &condition, &mut cutter).await.map_err(failure)?;
        }
        _ => {
            let (name, columns) = (facts.sql_name(), &job.table.shape.columns);
            let statement = copy_out_statement(&name, columns, &condition, &context.encoding);
            let mut rows = connection.copy_text(&what, &statement).await.map_err(failure)?;
            while let Some(slab) = rows.next().await.map_err(failure)? {
                cutter.take(&slab).await?;
            }
        }
    }
    let (chunks, content) = cutter.finish(&what).await?;
    context.reporter.range_read(job.done(content));
    context.reporter.report(Phase::Data, Some(facts.display_name()));
    let (start_block, end_block) = (job.start_block, job.end_block);
    Ok(Range { start_block, end_block, chunks, content, fingerprint: None, large_rows })
}

/// The server builds a value's text in one piece of at most a gigabyte, and that of a row too where it can't be read by place.
fn copy_failure(job: &Job, error: Error) -> Error {
    let table = job.table.facts.display_name();
    match error {
        error if large_row::too_large(&error) => Error::Unsupported {
            code: "RowTooLarge",
            message: format!(
                "table {table} has a row with a value whose text passes the gigabyte that the server can write"
            ),
        },
        Error::Sql { sqlstate, message, .. }
            if sqlstate == "53200" && message.contains("shared memory") =>
        {
            super::hold::too_many_tables()
        }
        Error::Sql { context, sqlstate, message, relation } => {
            Error::Sql { context, sqlstate, message, relation: relation.or(Some(table)) }
        }
        other => other,
    }
}

/// A delta may have one of so many bytes of the text. Deltas to one base grow from backup to backup: at a hundredth of the rows each time
/// this lets some twenty of them pass before the text is stored anew.
const DELTA_SHARE: usize = 4;

/// Bytes read between two reports of progress.
const REPORT_BYTES: u64 = 512 * 1024;

/// Rows of the range: `WHERE …`, or nothing for all of the table.
pub(super) fn condition(job: &Job) -> String {
    match (&job.table.facts.extension_condition, job.end_block, job.start_block) {
        (Some(condition), ..) => condition.clone(),
        (None, None, 0) => String::new(),
        (None, end, start) => block_condition(start, end),
    }
}

fn failed_to_store(error: coffer_store::Error) -> Error {
    Error::store("store rows")(error)
}

/// Hashes rows, and cuts their text into chunks.
struct Cutter<'a> {
    context: &'a Context,
    job: &'a Job,
    /// Bytes taken and not told yet.
    unreported: u64,
    hasher: RowHasher,
    chunks: Chunks<'a>,
}

impl<'a> Cutter<'a> {
    fn new(context: &'a Context, stream: &'a mut PackStream, job: &'a Job) -> Self {
        let least = context.chunk_bytes / 4;
        let span = (context.chunk_bytes - least).max(1) as u64;
        let earlier = job.earlier.iter().flat_map(|range| range.chunks.iter().copied());
        Self {
            context,
            job,
            unreported: 0,
            hasher: RowHasher::new(context.repository.row_hash_key(), context.row_hash),
            chunks: Chunks {
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
            },
        }
    }

    fn report(&mut self) {
        self.context.reporter.add_bytes(std::mem::take(&mut self.unreported));
    }

    async fn finish(mut self, what: &str) -> Result<(Vec<RowChunk>, crate::manifest::Content)> {
        self.report();
        let content = self.hasher.finish().map_err(|error| Error::Protocol {
            context: what.to_owned(),
            message: error.to_string(),
        })?;
        Ok((self.chunks.finish().await?, content))
    }
}

/// The text of a range on its way into chunks.
struct Chunks<'a> {
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

impl Chunks<'_> {
    /// More text, and the rows that end in it.
    async fn take(&mut self, text: &[u8], rows: &[RowEnd]) -> Result<()> {
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
        if !self.context.writer.can_reuse(&base) || !deltas.pays() {
            return Ok(None);
        }
        let base_text = match self.base.take() {
            Some((known, text)) if known == base.id => text,
            _ => match self.context.repository.read_chunk(&base).await {
                Ok(text) => text,
                Err(error) => {
                    tracing::warn!(%error, "a chunk of an earlier recovery point can't be read; storing without it");
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

    async fn finish(mut self) -> Result<Vec<RowChunk>> {
        if !self.buffer.is_empty() {
            self.put().await?;
        }
        Ok(self.chunks)
    }
}

impl TextSink for Cutter<'_> {
    async fn take(&mut self, text: &[u8]) -> Result<()> {
        let rows = self.hasher.update(text);
        self.chunks.take(text, rows).await?;
        self.unreported += text.len() as u64;
        if self.unreported >= REPORT_BYTES {
            self.report();
            let table = self.job.table.facts.display_name();
            self.context.reporter.report(Phase::Data, Some(table));
        }
        Ok(())
    }
}
