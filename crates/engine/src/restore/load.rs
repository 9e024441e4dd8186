//! Rows into the restored tables: several sessions, each with a COPY for some ranges, the largest tables first.
//!
//! Indexes, foreign keys and triggers come later, so ranges of one table may be loaded side by side. A COPY is one
//! transaction: it is there whole or not at all. Where the server may leave rows out of its log, a table is loaded by one
//! session instead ([`at_once`]).

mod at_once;
mod batches;
mod binary;
mod copy_in;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use self::batches::{BatchReader, batch_bytes};
use self::copy_in::relate;
use super::context::Context;
use super::workers::finish_all;
use crate::catalog::relation::partition_root;
use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::manifest::{Range, Table};
use crate::monitor::Phase;
use crate::part::PartReader;
use crate::session::qualified;
use crate::span::{Traced as _, span};

/// Tasks that are known before a worker takes them, per worker.
const TASKS_AHEAD: usize = 2;

/// The row does not belong into this partition (`check_violation`).
const WRONG_PARTITION: &str = "23514";

/// A relation by schema and name.
pub(super) type Name = (String, String);

/// What the proof has to know of the load.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    /// Roots of partition trees into which rows were loaded from the top: their leaves can only be compared together.
    pub(super) through_root: Mutex<HashSet<Name>>,
    /// Tables, by oid in the source, with a value that only the server can read.
    unusual: Mutex<HashSet<u32>>,
}

impl Loaded {
    /// Whether the leaves of this root were loaded from the top.
    pub(super) fn is_through(&self, root: &Name) -> bool {
        self.through_root.lock().unwrap_or_else(PoisonError::into_inner).contains(root)
    }

    fn set_through(&self, root: Name) {
        self.through_root.lock().unwrap_or_else(PoisonError::into_inner).insert(root);
    }

    fn is_unusual(&self, oid: u32) -> bool {
        self.unusual.lock().unwrap_or_else(PoisonError::into_inner).contains(&oid)
    }

    fn set_unusual(&self, oid: u32) {
        self.unusual.lock().unwrap_or_else(PoisonError::into_inner).insert(oid);
    }
}

/// What a session takes at once.
#[derive(Debug)]
struct Task {
    table: Arc<Table>,
    share: Share,
}

/// How much of a table.
#[derive(Debug)]
enum Share {
    /// These ranges, by one COPY.
    Ranges(Vec<Range>),
    /// All of it, in a transaction that begins with the empty table.
    All,
}

impl Context {
    /// Loads all rows.
    pub(super) async fn load_rows(self: Arc<Self>) -> Result<Arc<Loaded>> {
        let control = self.open().await?;
        let loaded = Arc::new(Loaded::default());
        for root in unsafe_roots(&control, self.target.major()).await? {
            loaded.set_through(root);
        }
        let (sender, receiver) = mpsc::channel(self.workers * TASKS_AHEAD);
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
            if self.is_loaded_at_once(&table) {
                send(&sender, &table, Share::All).await?;
                continue;
            }
            let bytes_max = batch_bytes(self.bytes_expected(), self.workers);
            let mut batches = BatchReader::new(&self.repository, &table.ranges, bytes_max);
            while let Some(batch) = batches.next().await? {
                send(&sender, &table, Share::Ranges(batch)).await?;
            }
        }
        Ok(())
    }

    /// One worker: a session and the tasks that come.
    async fn work(
        &self,
        loaded: &Loaded,
        tasks: &tokio::sync::Mutex<mpsc::Receiver<Task>>,
    ) -> Result<()> {
        let session = self.open().await?;
        loop {
            let task = tasks.lock().await.recv().await;
            let Some(Task { table, share }) = task else { return Ok(()) };
            self.report(Phase::Load, Some(format!("{}.{}", table.schema, table.name)));
            match share {
                Share::Ranges(ranges) => {
                    self.load_ranges(&session, loaded, &table, &ranges).await?;
                }
                Share::All => self.load_at_once(&session, loaded, &table).await?,
            }
        }
    }

    /// Loads ranges into their table, or from the top of its partition tree where the rows may belong elsewhere in this server:
    /// the hash of an enum depends on oids, the order of texts on the operating system's collation.
    async fn load_ranges(
        &self,
        session: &Connection,
        loaded: &Loaded,
        table: &Table,
        ranges: &[Range],
    ) -> Result<()> {
        if ranges.iter().any(|range| !range.chunks.is_empty()) {
            self.load_rows_of(session, loaded, table, ranges).await?;
        }
        self.counters.add_items(ranges.len() as u64);
        Ok(())
    }

    async fn load_rows_of(
        &self,
        session: &Connection,
        loaded: &Loaded,
        table: &Table,
        ranges: &[Range],
    ) -> Result<()> {
        let leaf = (table.schema.as_str(), table.name.as_str());
        let Some(root) = &table.partition_root else {
            return self.copy(session, loaded, leaf, table, ranges).await;
        };
        if !loaded.is_through(root) {
            match self.copy(session, loaded, leaf, table, ranges).await {
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
        self.copy(session, loaded, (&root.0, &root.1), table, ranges).await
    }
}

async fn send(sender: &mpsc::Sender<Task>, table: &Arc<Table>, share: Share) -> Result<()> {
    let task = Task { table: Arc::clone(table), share };
    sender.send(task).await.map_err(|_| Error::Cancelled)
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
