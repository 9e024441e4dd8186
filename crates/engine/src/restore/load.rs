//! Rows into the restored tables: several sessions, one COPY per range, the largest tables first.
//!
//! Indexes, foreign keys and triggers come later, so ranges of one table may be loaded side by side. A COPY is one
//! transaction: it is there whole or not at all.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::sink::SinkExt as _;
use futures::stream::{Stream, TryStreamExt as _};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::context::Context;
use super::large_row::{LargeRowLoader, RangeText};
use super::ranges::{RangeReader, read_chunks};
use super::workers::finish_all;
use crate::catalog::relation::partition_root;
use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::manifest::{Range, Table};
use crate::monitor::Phase;
use crate::part::PartReader;
use crate::session::{execute, qualified, quote_identifier, quote_literal};
use crate::span::{Traced as _, span};

/// Ranges that are known before a worker takes them, per worker.
const RANGES_AHEAD: usize = 4;

/// The row does not belong into this partition (`check_violation`).
const WRONG_PARTITION: &str = "23514";

/// A relation by schema and name.
pub(super) type Name = (String, String);

/// What the proof has to know of the load.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Roots of partition trees into which rows were loaded from the top: their leaves can only be compared together.
    pub(super) through_root: Mutex<HashSet<Name>>,
}

impl Loaded {
    /// Whether the leaves of this root were loaded from the top.
    pub(super) fn is_through(&self, root: &Name) -> bool {
        self.through_root.lock().unwrap_or_else(PoisonError::into_inner).contains(root)
    }

    fn set_through(&self, root: Name) {
        self.through_root.lock().unwrap_or_else(PoisonError::into_inner).insert(root);
    }
}

/// One range of one table, to be loaded.
#[derive(Debug)]
struct Task {
    table: Arc<Table>,
    range: Range,
}

impl Context {
    /// Loads all rows.
    pub(super) async fn load_rows(self: Arc<Self>) -> Result<Arc<Loaded>> {
        let control = self.open().await?;
        let loaded = Arc::new(Loaded::default());
        for root in unsafe_roots(&control, self.target.major()).await? {
            loaded.set_through(root);
        }
        let (sender, receiver) = mpsc::channel(self.workers * RANGES_AHEAD);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        let mut workers = JoinSet::new();
        for number in 0..self.workers {
            let (context, loaded, receiver) =
                (Arc::clone(&self), Arc::clone(&loaded), Arc::clone(&receiver));
            let work = async move { context.work(&loaded, &receiver).await };
            workers.spawn(work.traced(span!("worker", number)));
        }
        // Workers alone hold the receiver: when all of them have failed, the sender notices.
        drop(receiver);
        let (plan, work) = futures::join!(self.plan(&control, sender), finish_all(workers));
        // A worker's failure is the reason of the planner's.
        work?;
        plan?;
        Ok(loaded)
    }

    /// Hands out the ranges.
    async fn plan(&self, control: &Client, sender: mpsc::Sender<Task>) -> Result<()> {
        let mut tables = PartReader::new(&self.repository, &self.manifest.tables);
        while let Some(table) = tables.next::<Table>().await? {
            if !self.selected.has_table(&table) {
                continue;
            }
            if table.extension.is_some() {
                clear(control, &table).await?;
            }
            let table = Arc::new(table);
            let mut ranges = RangeReader::new(&self.repository, &table.ranges);
            while let Some(range) = ranges.next().await? {
                if sender.send(Task { table: Arc::clone(&table), range }).await.is_err() {
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(())
    }

    /// One worker: a session and the ranges that come.
    async fn work(
        &self,
        loaded: &Loaded,
        tasks: &tokio::sync::Mutex<mpsc::Receiver<Task>>,
    ) -> Result<()> {
        let session = self.open().await?;
        loop {
            let task = tasks.lock().await.recv().await;
            let Some(Task { table, range }) = task else { return Ok(()) };
            if !range.chunks.is_empty() {
                self.report(Phase::Load, Some(format!("{}.{}", table.schema, table.name)));
                self.load_range(&session, loaded, &table, &range).await?;
            }
            self.counters.add_items(1);
        }
    }

    /// Loads a range into its table, or from the top of its partition tree where the rows may belong elsewhere in this server:
    /// the hash of an enum depends on oids, the order of texts on the operating system's collation.
    async fn load_range(
        &self,
        session: &Connection,
        loaded: &Loaded,
        table: &Table,
        range: &Range,
    ) -> Result<()> {
        let leaf = (table.schema.as_str(), table.name.as_str());
        let Some(root) = &table.partition_root else {
            return self.copy(session, leaf, table, range).await;
        };
        if !loaded.is_through(root) {
            match self.copy(session, leaf, table, range).await {
                Err(error) if error.sqlstate() == Some(WRONG_PARTITION) => {
                    let (schema, name) = root;
                    let message = format!(
                        "rows of partitioned table {schema}.{name} lie in other partitions than in the source"
                    );
                    self.warn("RowsMovedPartition", message);
                    loaded.set_through(root.clone());
                }
                other => return other,
            }
        }
        self.copy(session, (&root.0, &root.1), table, range).await
    }

    async fn copy(
        &self,
        session: &Connection,
        into: (&str, &str),
        table: &Table,
        range: &Range,
    ) -> Result<()> {
        if range.large_rows.is_empty() {
            let text = read_chunks(&self.repository, range.chunks.clone());
            return self.copy_text(session, into, table, text).await;
        }
        self.copy_with_large_rows(session, into, table, range).await
    }

    /// One COPY of all the text that comes.
    async fn copy_text(
        &self,
        session: &Connection,
        (schema, name): (&str, &str),
        table: &Table,
        text: impl Stream<Item = Result<Bytes>>,
    ) -> Result<()> {
        let failed = |error: &tokio_postgres::Error| {
            relate(Error::sql(format!("copy into {schema}.{name}"), error), table)
        };
        let statement = copy_statement(schema, name, table, &self.manifest.database.encoding);
        let sink = session.copy_in::<_, Bytes>(&statement).await.map_err(|e| failed(&e))?;
        futures::pin_mut!(sink, text);
        while let Some(piece) = text.try_next().await? {
            let bytes = piece.len() as u64;
            if let Err(error) = sink.send(piece).await {
                // The server's own words come with the end of the COPY.
                return Err(sink.finish().await.map_or_else(|e| failed(&e), |_| failed(&error)));
            }
            self.counters.add_bytes(bytes);
            self.report(Phase::Load, None);
        }
        let rows = sink.finish().await.map_err(|e| failed(&e))?;
        self.counters.add_rows(rows);
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
                self.copy_text(session, into, table, text.run(std::mem::take(&mut lines))).await?;
            }
            loader.load(&mut text, *bytes).await?;
            self.counters.add_bytes(*bytes);
            self.counters.add_rows(1);
            self.report(Phase::Load, None);
        }
        if lines > 0 {
            self.copy_text(session, into, table, text.run(lines)).await?;
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

/// `COPY … FROM STDIN` in the encoding of the stored text, which is that of the database.
fn copy_statement(schema: &str, name: &str, table: &Table, encoding: &str) -> String {
    let columns: Vec<_> =
        table.columns.iter().map(|column| quote_identifier(&column.name)).collect();
    let columns =
        if columns.is_empty() { String::new() } else { format!(" ({})", columns.join(", ")) };
    let encoding = quote_literal(encoding);
    format!(
        "COPY {}{columns} FROM STDIN WITH (FORMAT text, ENCODING {encoding})",
        qualified(schema, name)
    )
}

/// Names the table where the server did not.
fn relate(error: Error, table: &Table) -> Error {
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

/// `CREATE EXTENSION` may have put rows into its configuration tables that are part of the recovery point too.
async fn clear(control: &Client, table: &Table) -> Result<()> {
    let condition = table.extension_condition.as_deref().unwrap_or_default();
    let statement =
        format!("DELETE FROM ONLY {} {condition}", qualified(&table.schema, &table.name));
    let done = control.batch_execute(&statement).await;
    done.map_err(|e| relate(Error::sql("clear a configuration table of an extension", &e), table))
}

/// Roots of trees in which something is partitioned by the hash of an enum.
async fn unsafe_roots(control: &Client, major: u32) -> Result<Vec<Name>> {
    let root = partition_root("p.partrelid", major);
    let statement = format!(
        "SELECT DISTINCT n.nspname::text, c.relname::text FROM pg_catalog.pg_partitioned_table p \
         JOIN pg_catalog.pg_class c ON c.oid = {root} \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE p.partstrat = 'h' AND EXISTS (SELECT FROM pg_catalog.pg_opclass o JOIN pg_catalog.pg_am a ON a.oid = o.opcmethod \
           WHERE o.oid = ANY (p.partclass) AND a.amname = 'hash' AND o.opcname = 'enum_ops' \
           AND o.opcnamespace = 'pg_catalog'::pg_catalog.regnamespace)"
    );
    let found = control
        .query(&statement, &[])
        .await
        .map_err(|e| Error::sql("look for partitions by enum", &e))?;
    Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
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
            fingerprint: None,
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
    fn names_columns_and_encoding_are_quoted() {
        let mut table = sample::table("s", "t", "a\"b");
        let statement = copy_statement("s", "t\n", &table, "UTF8");
        assert_eq!(
            statement,
            "COPY \"s\".\"t\n\" (\"a\"\"b\") FROM STDIN WITH (FORMAT text, ENCODING 'UTF8')"
        );
        table.columns.clear();
        let statement = copy_statement("s", "t", &table, "UTF8");
        assert_eq!(statement, "COPY \"s\".\"t\" FROM STDIN WITH (FORMAT text, ENCODING 'UTF8')");
    }
}
