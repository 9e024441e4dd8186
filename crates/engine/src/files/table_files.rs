//! The rows of every table into its data file, several tables at a time, hashed on the way.

use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use tokio::task::JoinSet;

use super::Run;
use super::archive::ArchiveBuilder;
use super::data_file::DataFile;
use crate::error::Result;
use crate::manifest::{Content, DatabaseManifest, Table};
use crate::part::PartReader;
use crate::proof::Proof;
use crate::restore::compare;
use crate::restore::ranges::{RangeReader, read_chunk};
use crate::restore::workers::next_finished;
use crate::row_hash::RowHasher;

/// What `pg_dump` writes after the rows; a script made of the archive needs it.
const END_OF_ROWS: &[u8] = b"\\.\n\n\n";

impl Run {
    /// Writes all tables and compares them with the manifest.
    pub(super) async fn write_tables(
        self: &Arc<Self>,
        manifest: &DatabaseManifest,
        builder: &mut ArchiveBuilder,
    ) -> Result<Proof> {
        let mut proof = Proof { not_proved: manifest.not_proved.clone(), ..Proof::default() };
        // The list is read here, one table ahead of the workers; only entries of the archive stay in memory.
        let mut tables = PartReader::new(&self.repository, &manifest.tables);
        let mut running = JoinSet::new();
        loop {
            let next =
                if running.len() < self.workers { tables.next::<Table>().await? } else { None };
            if let Some(table) = next {
                let name = builder.table(&table)?;
                let run = Arc::clone(self);
                running.spawn(async move { run.write_table(table, name).await });
                continue;
            }
            let Some((table, content)) = next_finished(&mut running).await? else { break };
            compare::table(&mut proof, &table, &content);
        }
        Ok(proof)
    }

    async fn write_table(&self, table: Table, name: String) -> Result<(Table, Content)> {
        self.report(Some(format!("{}.{}", table.schema, table.name)));
        let mut file = DataFile::create(&self.directory, &name)?;
        let mut hasher = RowHasher::new(self.repository.row_hash_key());
        let mut ranges = RangeReader::new(&self.repository, &table.ranges);
        while let Some(range) = ranges.next().await? {
            let mut chunks = stream::iter(range.chunks)
                .map(|chunk| read_chunk(&self.repository, chunk))
                .buffered(2);
            while let Some(chunk) = chunks.try_next().await? {
                let bytes = chunk.len() as u64;
                hasher.update(&chunk);
                file = file.write(chunk).await?;
                self.counters.add_bytes(bytes);
                self.report(None);
            }
            self.counters.add_rows(range.content.rows);
        }
        file.write(Bytes::from_static(END_OF_ROWS)).await?.finish().await?;
        self.counters.add_items(1);
        let content = compare::finish(hasher, &table)?;
        Ok((table, content))
    }
}
