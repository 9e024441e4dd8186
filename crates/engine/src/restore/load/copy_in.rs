//! One COPY: the rows of ranges into a table, or, where rows are too large for a line, in turns with what brings these.

use std::pin::{Pin, pin};

use bytes::Bytes;
use futures::sink::SinkExt as _;
use futures::stream::{Stream, TryStreamExt as _};
use tokio_postgres::CopyInSink;

use super::Loaded;
use super::binary::Converter;
use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::manifest::{Range, Table};
use crate::monitor::{Counters, Phase};
use crate::restore::context::Context;
use crate::restore::large_row::{LargeRowLoader, RangeText};
use crate::restore::ranges::read_chunks;
use crate::session::{execute, qualified, quote_identifier, quote_literal};

/// Text of one message. The server takes a message into memory as a whole before it looks at it, so one that is not larger than
/// its processor's near caches is read from there.
const MESSAGE_BYTES: usize = 64 * 1024;

/// Whether a COPY brought its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    /// All of them.
    All,
    /// None: a value is written in an uncommon way, so the table's text has to go as it is.
    Unusual,
}

/// A COPY that runs. Dropping it ends it without a row.
struct CopyIn<'a> {
    sink: Pin<Box<CopyInSink<Bytes>>>,
    into: (&'a str, &'a str),
    table: &'a Table,
}

impl<'a> CopyIn<'a> {
    async fn begin(
        session: &Connection,
        into: (&'a str, &'a str),
        table: &'a Table,
        options: &str,
    ) -> Result<Self> {
        let statement = copy_statement(into.0, into.1, table, options);
        let sink = session.copy_in(&statement).await.map_err(|e| failed(into, table, &e))?;
        Ok(Self { sink: Box::pin(sink), into, table })
    }

    async fn send(&mut self, message: Bytes) -> Result<()> {
        let Err(error) = self.sink.send(message).await else { return Ok(()) };
        // The server's own words come with the end of the COPY.
        let error = self.sink.as_mut().finish().await.err().unwrap_or(error);
        Err(failed(self.into, self.table, &error))
    }

    /// Ends it and tells how many rows it brought.
    async fn finish(mut self) -> Result<u64> {
        let done = self.sink.as_mut().finish().await;
        done.map_err(|e| failed(self.into, self.table, &e))
    }
}

/// Bytes that were told as they went, and are taken back when the COPY leaves no row after all: they come again then.
struct Counted<'a> {
    counters: &'a Counters,
    bytes: u64,
}

impl<'a> Counted<'a> {
    fn new(counters: &'a Counters) -> Self {
        Self { counters, bytes: 0 }
    }

    fn add(&mut self, bytes: u64) {
        self.bytes += bytes;
        self.counters.add_bytes(bytes);
    }

    /// The COPY has brought so many rows.
    fn keep(mut self, rows: u64) {
        self.bytes = 0;
        self.counters.add_rows(rows);
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.counters.take_back(self.bytes, 0);
    }
}

fn failed((schema, name): (&str, &str), table: &Table, error: &tokio_postgres::Error) -> Error {
    relate(Error::sql(format!("copy into {schema}.{name}"), error), table)
}

impl Context {
    /// Loads ranges of a table into it, or into the root of its tree: by one COPY, or a range with large rows alone.
    pub(super) async fn copy(
        &self,
        session: &Connection,
        loaded: &Loaded,
        into: (&str, &str),
        table: &Table,
        ranges: &[Range],
    ) -> Result<()> {
        if let [range] = ranges
            && !range.large_rows.is_empty()
        {
            return self.copy_with_large_rows(session, into, table, range).await;
        }
        let chunks: Vec<_> = ranges.iter().flat_map(|range| range.chunks.iter().copied()).collect();
        let text = || read_chunks(&self.repository, chunks.clone());
        let brought = self.copy_rows(session, loaded, into, table, text(), false).await?;
        if brought == Brought::Unusual {
            self.copy_text(session, into, table, text(), false).await?;
        }
        Ok(())
    }

    /// One COPY of all the rows whose text comes, in the form that costs the server least.
    pub(super) async fn copy_rows(
        &self,
        session: &Connection,
        loaded: &Loaded,
        into: (&str, &str),
        table: &Table,
        text: impl Stream<Item = Result<Bytes>>,
        freeze: bool,
    ) -> Result<Brought> {
        // Texts in binary are taken for text of the session's own encoding; and an extension of another version may have made its
        // table with other types.
        let can_be_binary = self.manifest.database.encoding == "UTF8"
            && table.extension.is_none()
            && !loaded.is_unusual(table.oid);
        let Some(converter) = can_be_binary.then(|| Converter::new(&table.columns)).flatten()
        else {
            self.copy_text(session, into, table, text, freeze).await?;
            return Ok(Brought::All);
        };
        let brought = self.copy_binary(session, into, table, text, freeze, converter).await?;
        if brought == Brought::Unusual {
            loaded.set_unusual(table.oid);
        }
        Ok(brought)
    }

    async fn copy_binary(
        &self,
        session: &Connection,
        into: (&str, &str),
        table: &Table,
        text: impl Stream<Item = Result<Bytes>>,
        freeze: bool,
        mut converter: Converter,
    ) -> Result<Brought> {
        let options = if freeze { "FORMAT binary, FREEZE" } else { "FORMAT binary" };
        let mut copy = CopyIn::begin(session, into, table, options).await?;
        let mut text = pin!(text);
        let mut counted = Counted::new(&self.counters);
        while let Some(piece) = text.try_next().await? {
            let mut rest: &[u8] = &piece;
            while !rest.is_empty() {
                let Ok(message) = converter.message(&mut rest, MESSAGE_BYTES) else {
                    return Ok(Brought::Unusual);
                };
                copy.send(message).await?;
            }
            counted.add(piece.len() as u64);
            self.report(Phase::Load, None);
        }
        let Ok(end) = converter.finish() else { return Ok(Brought::Unusual) };
        copy.send(end).await?;
        counted.keep(copy.finish().await?);
        Ok(Brought::All)
    }

    /// One COPY of all the text that comes, as it is.
    pub(super) async fn copy_text(
        &self,
        session: &Connection,
        into: (&str, &str),
        table: &Table,
        text: impl Stream<Item = Result<Bytes>>,
        freeze: bool,
    ) -> Result<()> {
        // In the encoding of the stored text, which is that of the database.
        let encoding = quote_literal(&self.manifest.database.encoding);
        let freeze = if freeze { ", FREEZE" } else { "" };
        let options = format!("FORMAT text, ENCODING {encoding}{freeze}");
        let mut copy = CopyIn::begin(session, into, table, &options).await?;
        let mut text = pin!(text);
        let mut counted = Counted::new(&self.counters);
        while let Some(mut piece) = text.try_next().await? {
            let bytes = piece.len() as u64;
            while !piece.is_empty() {
                copy.send(piece.split_to(piece.len().min(MESSAGE_BYTES))).await?;
            }
            counted.add(bytes);
            self.report(Phase::Load, None);
        }
        counted.keep(copy.finish().await?);
        Ok(())
    }

    /// A range whose last rows are large, in one transaction: it is there whole or not at all, as with one COPY.
    async fn copy_with_large_rows(
        &self,
        session: &Connection,
        into: (&str, &str),
        table: &Table,
        range: &Range,
    ) -> Result<()> {
        let what = "load rows";
        execute(session, what, "BEGIN").await?;
        match self.copy_in_turns(session, into, table, range).await {
            Ok(()) => execute(session, what, "COMMIT").await,
            Err(error) => {
                // What matters is the first error.
                drop(execute(session, what, "ROLLBACK").await);
                Err(relate(error, table))
            }
        }
    }

    /// What fits into lines goes by COPY, the rest row by row.
    async fn copy_in_turns(
        &self,
        session: &Connection,
        into: (&str, &str),
        table: &Table,
        range: &Range,
    ) -> Result<()> {
        let name = qualified(into.0, into.1);
        let encoding = &self.manifest.database.encoding;
        let loader = LargeRowLoader::new(session, name, table, encoding).await?;
        let mut text = RangeText::new(&self.repository, &range.chunks);
        let mut lines = bytes_before_large_rows(range)?;
        for bytes in &range.large_rows {
            if *bytes <= self.request.options.copy_row_bytes_max {
                lines += bytes;
                continue;
            }
            if lines > 0 {
                self.copy_text(session, into, table, text.run(std::mem::take(&mut lines)), false)
                    .await?;
            }
            loader.load(&mut text, *bytes).await?;
            self.counters.add_bytes(*bytes);
            self.counters.add_rows(1);
            self.report(Phase::Load, None);
        }
        if lines > 0 {
            self.copy_text(session, into, table, text.run(lines), false).await?;
        }
        Ok(())
    }
}

/// Text of a range before its large rows, which end it.
fn bytes_before_large_rows(range: &Range) -> Result<u64> {
    let large = range.large_rows.iter().try_fold(0_u64, |sum, bytes| sum.checked_add(*bytes));
    large.and_then(|large| range.content.text_bytes.checked_sub(large)).ok_or_else(|| {
        let message = "the large rows of a range are longer than the range".to_owned();
        Error::Manifest { message }
    })
}

/// `COPY … FROM STDIN` into the stored columns, by name.
fn copy_statement(schema: &str, name: &str, table: &Table, options: &str) -> String {
    let columns: Vec<_> =
        table.columns.iter().map(|column| quote_identifier(&column.name)).collect();
    let columns =
        if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    format!("COPY {}{columns} FROM STDIN WITH ({options})", qualified(schema, name))
}

/// Names the table where the server did not.
pub(super) fn relate(error: Error, table: &Table) -> Error {
    match error {
        Error::Sql { context, sqlstate, message, relation: None } => Error::Sql {
            context,
            sqlstate,
            message,
            relation: Some(format!("{}.{}", table.schema, table.name)),
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Content;
    use crate::restore::sample;

    #[test]
    fn large_rows_longer_than_their_range_are_damage() {
        let range = |text_bytes, large_rows: &[u64]| Range {
            start_block: 0,
            end_block: None,
            chunks: Vec::new(),
            content: Content { rows: 3, hash: 0, text_bytes },
            large_rows: large_rows.to_vec(),
        };
        assert_eq!(bytes_before_large_rows(&range(10, &[3, 4])).unwrap(), 3);
        assert_eq!(bytes_before_large_rows(&range(7, &[3, 4])).unwrap(), 0);
        for damaged in
            [range(6, &[3, 4]), range(u64::MAX, &[u64::MAX, 1]), range(1, &[u64::MAX, 2])]
        {
            let error = bytes_before_large_rows(&damaged).unwrap_err();
            assert!(matches!(error, Error::Manifest { .. }), "{error:?}");
        }
    }

    #[test]
    fn names_and_columns_are_quoted() {
        let mut table = sample::table("s", "t", "a\"b");
        let statement = copy_statement("s", "t\n", &table, "FORMAT binary");
        assert_eq!(statement, "COPY \"s\".\"t\n\" (\"a\"\"b\") FROM STDIN WITH (FORMAT binary)");
        table.columns.clear();
        let statement = copy_statement("s", "t", &table, "FORMAT text");
        assert_eq!(statement, "COPY \"s\".\"t\" FROM STDIN WITH (FORMAT text)");
    }
}
