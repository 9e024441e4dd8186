//! One range: `COPY … TO STDOUT` into hashed rows, and their text into [`Chunks`].
//!
//! Held in memory are some slabs of text on their way ([`crate::connect::CopyText`]) and what [`super::chunks`] holds; rows that are
//! too large for one message of the server come last, in pieces ([`crate::large_row`]).

use coffer_store::PackStream;

use crate::connect::Connection;
use crate::copy_text::{block_condition, copy_out_statement};
use crate::error::{Error, Result};
use crate::large_row::{self, Source, TextSink};
use crate::manifest::{Content, Range, RowChunk};
use crate::monitor::Phase;
use crate::row_hash::RowHasher;

use super::chunks::Chunks;
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
    Ok(Range { start_block, end_block, chunks, content, large_rows })
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
        Self {
            context,
            job,
            unreported: 0,
            hasher: RowHasher::new(context.repository.row_hash_key(), context.row_hash),
            chunks: Chunks::new(context, stream, job),
        }
    }

    fn report(&mut self) {
        self.context.reporter.add_bytes(std::mem::take(&mut self.unreported));
    }

    async fn finish(mut self, what: &str) -> Result<(Vec<RowChunk>, Content)> {
        self.report();
        let content = self.hasher.finish().map_err(|error| Error::Protocol {
            context: what.to_owned(),
            message: error.to_string(),
        })?;
        Ok((self.chunks.finish().await?, content))
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
