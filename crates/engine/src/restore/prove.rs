//! The proof: everything that was restored is read back, in the session settings of the backup, and compared with the
//! manifest by row count and content hash.
//!
//! Several sessions read; a large table is cut into runs of blocks, whose hashes add up. What this role may not read back is
//! named as not proved, never counted as equal.

mod large_objects;

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::compare;
use super::context::Context;
use super::load::{Loaded, Name};
use super::workers::finish_all;
use crate::catalog::sequence::positions;
use crate::catalog::shape::{SHORTEST_FLOATS_SINCE, tables_with_floats};
use crate::connect::Connection;
use crate::copy_text::{block_condition, copy_out_statement};
use crate::error::{Error, Result};
use crate::large_row::{LargeRows, Source, TextSink, kinds, table_oid};
use crate::manifest::{Content, NotProved, Table};
use crate::monitor::Phase;
use crate::part::PartReader;
use crate::proof::Proof;
use crate::row_hash::RowHasher;
use crate::session::qualified;
use crate::span::{Traced as _, span};

/// Blocks read by one statement (64 MiB of 8 KiB blocks), where the server can read by blocks.
const BLOCKS_AT_ONCE: u64 = 8192;

/// First version that reads a run of blocks without reading the rest.
const BLOCK_RANGES_SINCE: u32 = 140_000;

/// Pieces that are known before a worker takes them, per worker.
const PIECES_AHEAD: usize = 4;

/// The role may not read it (`insufficient_privilege`); so it is too where policies would hide rows.
const FORBIDDEN: &str = "42501";

/// What is kept of a table until all of it was read.
#[derive(Debug, Default)]
struct Checked {
    name: Name,
    root: Option<Name>,
    expected: Content,
    found: Content,
    forbidden: bool,
    /// This server writes its values in other words than the source's version: only rows can be counted.
    rewritten: bool,
}

/// Bytes read back between two reports of progress.
const TOLD_BYTES: u64 = 512 * 1024;

/// Some or all rows of a table.
#[derive(Debug)]
struct Piece {
    table: Arc<Table>,
    /// First block and the one after the last; none for all of it.
    blocks: Option<(u64, Option<u64>)>,
    /// It had large rows in the source, or may have got them from another partition.
    large_rows: bool,
}

/// What a piece held; none where it may not be read.
type PieceContent = (u32, Option<Content>);

impl Context {
    /// Compares tables, sequences and large objects.
    pub(super) async fn prove(self: Arc<Self>, loaded: Arc<Loaded>) -> Result<Proof> {
        let mut proof = Proof {
            not_proved: self.selected.not_proved(&self.manifest.not_proved),
            ..Proof::default()
        };
        let known = proof.not_proved.len();
        let mut tables = Arc::clone(&self).read_tables(&loaded).await?;
        let session = self.open_reading().await?;
        let source_major = self.manifest.source.server_version_num / 10_000;
        if source_major < SHORTEST_FLOATS_SINCE && self.target.major() >= SHORTEST_FLOATS_SINCE {
            let rewritten = tables_with_floats(&session).await?;
            tables.iter_mut().for_each(|table| table.rewritten = rewritten.contains(&table.name));
        }
        compare_tables(&mut proof, tables, &loaded);
        self.compare_sequences(&session, &mut proof).await?;
        if self.selected.has_large_objects() {
            self.compare_large_objects(&mut proof).await?;
        }
        if !proof.differences.is_empty() {
            return Err(Error::ProofFailed { differences: proof.differences });
        }
        proof.equal = true;
        for not in proof.not_proved.iter().skip(known) {
            self.warn(
                "NotReadBack",
                format!("{} could not be compared: {}", not.object, not.reason),
            );
        }
        Ok(proof)
    }

    async fn read_tables(self: Arc<Self>, loaded: &Loaded) -> Result<Vec<Checked>> {
        let control = self.open_reading().await?;
        let (sender, receiver) = mpsc::channel(self.workers * PIECES_AHEAD);
        let receiver = Arc::new(tokio::sync::Mutex::new(receiver));
        let (results, mut arrived) = mpsc::channel::<PieceContent>(self.workers * PIECES_AHEAD);
        let mut workers = JoinSet::new();
        for number in 0..self.workers {
            let (context, receiver, results) =
                (Arc::clone(&self), Arc::clone(&receiver), results.clone());
            let work = async move { context.read_pieces(&receiver, &results).await };
            workers.spawn(work.traced(span!("worker", number)));
        }
        drop((receiver, results));
        let collect = async {
            let mut found: HashMap<u32, (Content, bool)> = HashMap::new();
            while let Some((oid, content)) = arrived.recv().await {
                let sum = found.entry(oid).or_default();
                match content {
                    Some(content) => sum.0.add(content),
                    None => sum.1 = true,
                }
            }
            found
        };
        let (cut, work, found) =
            futures::join!(self.cut(&control, loaded, sender), finish_all(workers), collect);
        // A worker's failure is the reason of the others'.
        work?;
        let mut tables = cut?;
        for (oid, table) in &mut tables {
            if let Some((content, forbidden)) = found.get(oid) {
                (table.found, table.forbidden) = (*content, *forbidden);
            }
        }
        Ok(tables.into_iter().map(|(_, table)| table).collect())
    }

    /// Hands out the pieces of all tables.
    async fn cut(
        &self,
        control: &Client,
        loaded: &Loaded,
        sender: mpsc::Sender<Piece>,
    ) -> Result<Vec<(u32, Checked)>> {
        let mut checked = Vec::new();
        let mut tables = PartReader::new(&self.repository, &self.manifest.tables);
        while let Some(mut table) = tables.next::<Table>().await? {
            if !self.selected.has_table(&table) {
                continue;
            }
            checked.push((
                table.oid,
                Checked {
                    name: (table.schema.clone(), table.name.clone()),
                    root: table.partition_root.clone(),
                    expected: table.content,
                    ..Checked::default()
                },
            ));
            // Not needed any more, and the longest part of it.
            table.ranges = crate::manifest::Ranges::Inline(Vec::new());
            let blocks = self.blocks_to_read(control, &table).await?;
            let moved = table.partition_root.as_ref().is_some_and(|root| loaded.is_through(root));
            let large_rows = table.large_rows > 0 || moved;
            let table = Arc::new(table);
            let starts = (0..blocks).step_by(usize::try_from(BLOCKS_AT_ONCE).unwrap_or(usize::MAX));
            let mut pieces: Vec<_> = starts
                .map(|start| {
                    Some((start, Some(start + BLOCKS_AT_ONCE).filter(|end| *end < blocks)))
                })
                .collect();
            if pieces.is_empty() {
                pieces.push(None);
            }
            for blocks in pieces {
                let piece = Piece { table: Arc::clone(&table), blocks, large_rows };
                if sender.send(piece).await.is_err() {
                    return Err(Error::Cancelled);
                }
            }
        }
        Ok(checked)
    }

    /// Blocks of a table that is worth cutting; 0 for others.
    async fn blocks_to_read(&self, control: &Client, table: &Table) -> Result<u64> {
        let can_be_cut =
            self.target.version_num >= BLOCK_RANGES_SINCE && table.access_method == "heap";
        if !can_be_cut || table.extension.is_some() || table.heap_blocks <= BLOCKS_AT_ONCE {
            return Ok(0);
        }
        let statement = "SELECT pg_catalog.pg_relation_size(pg_catalog.format('%I.%I', $1::text, $2::text)::pg_catalog.regclass) \
             / pg_catalog.current_setting('block_size')::int8";
        let row = control.query_one(statement, &[&table.schema, &table.name]).await;
        let blocks: i64 = row.map_err(|e| Error::sql("ask for a table's size", &e))?.get(0);
        Ok(u64::try_from(blocks).unwrap_or(0))
    }

    async fn read_pieces(
        &self,
        pieces: &tokio::sync::Mutex<mpsc::Receiver<Piece>>,
        results: &mpsc::Sender<PieceContent>,
    ) -> Result<()> {
        let session = self.open_reading().await?;
        loop {
            let piece = pieces.lock().await.recv().await;
            let Some(piece) = piece else { return Ok(()) };
            self.report(Phase::Proof, Some(format!("{}.{}", piece.table.schema, piece.table.name)));
            let content = match self.read_piece(&session, &piece).await {
                Ok(content) => Some(content),
                Err(error) if error.sqlstate() == Some(FORBIDDEN) => None,
                Err(error) => return Err(error),
            };
            if results.send((piece.table.oid, content)).await.is_err() {
                return Err(Error::Cancelled);
            }
        }
    }

    async fn read_piece(&self, session: &Connection, piece: &Piece) -> Result<Content> {
        let table = &piece.table;
        let encoding = &self.manifest.database.encoding;
        let condition = read_condition(table, piece.blocks);
        let mut hasher = RowHasher::new(self.repository.row_hash_key(), self.manifest.row_hash);
        let name = qualified(&table.schema, &table.name);
        let source = Source { client: session, encoding, major: self.target.major() };
        if piece.large_rows
            && let Some(rows) = self.large_rows(session, &name, table).await?
            && rows.may_be(source, &condition).await?
        {
            rows.copy(source, &condition, &mut hasher).await?;
            let content = compare::finish(hasher, table)?;
            self.tell_compared(&piece.table, content.text_bytes);
            return Ok(content);
        }
        let statement = copy_out_statement(&name, &table.columns, &condition, encoding);
        let what = format!("read back {}.{}", table.schema, table.name);
        let mut rows = session.copy_text(&what, &statement).await?;
        let mut untold = 0;
        while let Some(slab) = rows.next().await? {
            hasher.update(&slab);
            untold += slab.len() as u64;
            if untold >= TOLD_BYTES {
                self.tell_compared(&piece.table, std::mem::take(&mut untold));
            }
        }
        self.tell_compared(&piece.table, untold);
        compare::finish(hasher, table)
    }

    fn tell_compared(&self, table: &Table, bytes: u64) {
        self.counters.add_compared(bytes);
        self.report(Phase::Proof, Some(format!("{}.{}", table.schema, table.name)));
    }

    /// How the rows of a table with large ones are read; none where this server's has nothing that could be large.
    async fn large_rows(
        &self,
        session: &Connection,
        name: &str,
        table: &Table,
    ) -> Result<Option<LargeRows>> {
        let oid = table_oid(session, name).await?;
        let kinds = kinds(session, &[oid]).await?;
        let limit = self.request.options.large_row_bytes;
        let is_heap = table.access_method == "heap";
        let rows = kinds
            .get(&oid)
            .and_then(|kinds| LargeRows::of(name, &table.columns, kinds, limit, is_heap));
        Ok(rows)
    }

    async fn compare_sequences(&self, session: &Connection, proof: &mut Proof) -> Result<()> {
        let mut reader = PartReader::new(&self.repository, &self.manifest.sequences);
        loop {
            let batch = self.next_sequences(&mut reader).await?;
            if batch.is_empty() {
                return Ok(());
            }
            let names: Vec<_> = batch
                .iter()
                .map(|sequence| (sequence.schema.clone(), sequence.name.clone()))
                .collect();
            let (found, _missing) = match positions(session, &names).await {
                Err(error) if error.sqlstate() == Some(FORBIDDEN) => {
                    let object =
                        format!("{} sequences from {}.{} on", names.len(), names[0].0, names[0].1);
                    proof.not_proved.push(NotProved { object, reason: forbidden_reason() });
                    continue;
                }
                found => found?,
            };
            let found: HashMap<_, _> = found
                .into_iter()
                .map(|sequence| {
                    ((sequence.schema, sequence.name), (sequence.last_value, sequence.is_called))
                })
                .collect();
            for (sequence, name) in batch.iter().zip(&names) {
                compare::sequence(proof, sequence, found.get(name).copied());
            }
        }
    }
}

fn forbidden_reason() -> String {
    "the restoring role may not read it back".to_owned()
}

/// Rows of a piece: `WHERE …`, or nothing for all of the table.
fn read_condition(table: &Table, blocks: Option<(u64, Option<u64>)>) -> String {
    match blocks {
        Some((start, end)) => block_condition(start, end),
        None => table.extension_condition.clone().unwrap_or_default(),
    }
}

impl TextSink for RowHasher {
    async fn take(&mut self, text: &[u8]) -> Result<()> {
        self.update(text);
        Ok(())
    }
}

/// Leaves of a tree that was loaded from the top are compared as one.
fn compare_tables(proof: &mut Proof, tables: Vec<Checked>, loaded: &Loaded) {
    let mut trees: HashMap<Name, Checked> = HashMap::new();
    for table in tables {
        match table.root.as_ref().filter(|root| loaded.is_through(root)) {
            Some(root) => {
                let tree = trees.entry(root.clone()).or_default();
                tree.name.clone_from(root);
                tree.expected.add(table.expected);
                tree.found.add(table.found);
                tree.forbidden |= table.forbidden;
                tree.rewritten |= table.rewritten;
            }
            None => compare_one(proof, "table", &table),
        }
    }
    for tree in trees.values() {
        compare_one(proof, "partitioned table", tree);
    }
}

fn compare_one(proof: &mut Proof, kind: &str, checked: &Checked) {
    let object = format!("{kind} {}.{}", checked.name.0, checked.name.1);
    if checked.forbidden {
        proof.not_proved.push(NotProved { object, reason: forbidden_reason() });
    } else if checked.rewritten && checked.expected.rows == checked.found.rows {
        let reason = format!(
            "servers since version {SHORTEST_FLOATS_SINCE} write floating-point numbers with other digits; its {} rows were counted",
            checked.found.rows
        );
        proof.not_proved.push(NotProved { object, reason });
    } else {
        compare::relation(proof, &object, &checked.expected, &checked.found);
    }
}

#[cfg(test)]
mod tests;
