//! One range: `COPY … TO STDOUT` into hashed, content-cut chunks.
//!
//! A chunk ends at a row whose keyed hash says so, or at its largest size; so an inserted row moves the ends near it and
//! no others. Held in memory is one chunk and one message of the server, which is one row.

use std::pin::pin;

use coffer_store::{ChunkKind, ChunkRef, PackStream};
use futures::TryStreamExt as _;

use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::manifest::Range;
use crate::monitor::Phase;
use crate::row_hash::RowHasher;
use crate::session::{quote_identifier, quote_literal};

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
    let failure = |error| copy_failure(&what, job, &error);
    let rows = connection.copy_out(statement(job, &context.encoding).as_str()).await;
    let mut rows = pin!(rows.map_err(failure)?);
    let mut cutter = Cutter::new(context, stream, job.candidates.clone());
    let mut reported = 0;
    while let Some(message) = rows.try_next().await.map_err(failure)? {
        reported += message.len() as u64;
        cutter.take(&message).await?;
        if reported >= REPORT_BYTES {
            context.reporter.add(std::mem::take(&mut reported), 0, 0);
            context.reporter.report(Phase::Data, Some(job.table.facts.display_name()));
        }
    }
    context.reporter.add(reported, 0, 0);
    let (chunks, content) = cutter.finish(&what).await?;
    context.reporter.add(0, content.rows, u64::from(job.end_block.is_none()));
    context.reporter.report(Phase::Data, Some(job.table.facts.display_name()));
    let (start_block, end_block) = (job.start_block, job.end_block);
    Ok(Range { start_block, end_block, chunks, content, fingerprint: None })
}

/// The server builds a row's text in one piece of at most a gigabyte; a larger row can't be had as text at all.
fn copy_failure(what: &str, job: &Job, error: &tokio_postgres::Error) -> Error {
    let table = job.table.facts.display_name();
    match Error::sql(what, error) {
        Error::Sql { sqlstate, message, .. }
            if sqlstate == "54000"
                || (sqlstate == "XX000" && message.contains("memory alloc request size")) =>
        {
            Error::Unsupported {
                code: "RowTooLarge",
                message: format!(
                    "table {table} has a row of more than a gigabyte as text, which can't be backed up yet"
                ),
            }
        }
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

/// Bytes read between two reports of progress.
const REPORT_BYTES: u64 = 512 * 1024;

/// Explicit columns, never `*`; ONLY, since children are tables of their own; rows in the database's own encoding.
fn statement(job: &Job, encoding: &str) -> String {
    let facts = &job.table.facts;
    let columns: Vec<_> =
        job.table.shape.columns.iter().map(|column| quote_identifier(&column.name)).collect();
    let columns = columns.join(", ");
    let options = format!("(ENCODING {})", quote_literal(encoding));
    let table = facts.sql_name();
    let condition = match (&facts.extension_condition, job.end_block, job.start_block) {
        (Some(condition), ..) => condition.clone(),
        (None, None, 0) => String::new(),
        (None, Some(end), start) => {
            format!("WHERE ctid >= '({start},0)'::tid AND ctid < '({end},0)'::tid")
        }
        (None, None, start) => format!("WHERE ctid >= '({start},0)'::tid"),
    };
    if condition.is_empty() && !columns.is_empty() {
        return format!("COPY {table} ({columns}) TO STDOUT {options}");
    }
    format!("COPY (SELECT {columns} FROM ONLY {table} {condition}) TO STDOUT {options}")
}

/// Cuts text into chunks and hashes its rows.
struct Cutter<'a> {
    stream: &'a mut PackStream,
    candidates: Candidates,
    hasher: RowHasher,
    buffer: Vec<u8>,
    chunks: Vec<ChunkRef>,
    least: usize,
    most: usize,
    /// A row of `n` bytes ends a chunk when the upper half of its hash is below `n` times this.
    threshold: u64,
}

impl<'a> Cutter<'a> {
    fn new(context: &Context, stream: &'a mut PackStream, candidates: Candidates) -> Self {
        let least = context.chunk_bytes / 4;
        let span = (context.chunk_bytes - least).max(1) as u64;
        Self {
            stream,
            candidates,
            hasher: RowHasher::new(context.repository.row_hash_key()),
            buffer: Vec::new(),
            chunks: Vec::new(),
            least,
            most: context.chunk_bytes * 4,
            threshold: u64::MAX / span,
        }
    }

    async fn take(&mut self, mut text: &[u8]) -> Result<()> {
        while !text.is_empty() {
            let Some(end) = memchr::memchr(b'\n', text) else {
                self.hasher.update(text);
                return self.append(text).await;
            };
            let (row, rest) = text.split_at(end + 1);
            let hash = self.hasher.end_row(&row[..end]);
            self.append(row).await?;
            let upper = (hash >> 64) as u64;
            if self.buffer.len() >= self.least
                && upper < self.threshold.saturating_mul(row.len() as u64)
            {
                self.put().await?;
            }
            text = rest;
        }
        Ok(())
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
        let put =
            self.stream.put(ChunkKind::TableRows, &self.buffer, self.candidates.likely()).await;
        let chunk = put.map_err(Error::store("store rows"))?;
        self.candidates.became(&chunk);
        self.chunks.push(chunk);
        self.buffer.clear();
        Ok(())
    }

    async fn finish(mut self, what: &str) -> Result<(Vec<ChunkRef>, crate::manifest::Content)> {
        if !self.buffer.is_empty() {
            self.put().await?;
        }
        let content = self.hasher.finish().map_err(|error| Error::Protocol {
            context: what.to_owned(),
            message: error.to_string(),
        })?;
        Ok((self.chunks, content))
    }
}
