//! The rows of every table into its data file, several tables at a time, hashed on the way.

use std::sync::{Arc, PoisonError};

use bytes::Bytes;
use futures::stream::TryStreamExt as _;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::Run;
use super::archive::ArchiveBuilder;
use super::data_file::DataFile;
use crate::error::Result;
use crate::manifest::{Content, DatabaseManifest, Table, Warning};
use crate::part::PartReader;
use crate::proof::Proof;
use crate::restore::compare;
use crate::restore::ranges::{RangeReader, read_chunks};
use crate::restore::workers::next_finished;
use crate::row_hash::{RowHash, RowHasher};
use crate::selection::Selected;

/// Longest line that COPY takes: what the server allocates at once (`MaxAllocSize`), less the end of the text.
const LINE_BYTES_MAX: u64 = 0x3fff_ffff - 1;

/// What `pg_dump` writes after the rows; a script made of the archive needs it.
const END_OF_ROWS: &[u8] = b"\\.\n\n\n";

impl Run {
    /// Writes all tables and compares them with the manifest.
    pub(super) async fn write_tables(
        self: &Arc<Self>,
        manifest: &DatabaseManifest,
        selected: &Selected,
        builder: &mut ArchiveBuilder,
    ) -> Result<Proof> {
        let mut proof =
            Proof { not_proved: selected.not_proved(&manifest.not_proved), ..Proof::default() };
        // The list is read here, one table ahead of the workers; only entries of the archive stay in memory.
        let mut tables = PartReader::new(&self.repository, &manifest.tables);
        let mut running = JoinSet::new();
        loop {
            let next =
                if running.len() < self.workers { tables.next::<Table>().await? } else { None };
            if let Some(table) = next {
                if !selected.has_table(&table) {
                    continue;
                }
                let name = builder.table(&table)?;
                let run = Arc::clone(self);
                // A span for each would be one for every table of the database.
                let row_hash = manifest.row_hash;
                let work = async move { run.write_table(table, name, row_hash).await };
                running.spawn(work.in_current_span());
                continue;
            }
            let Some((table, content)) = next_finished(&mut running).await? else { break };
            compare::table(&mut proof, &table, &content);
        }
        Ok(proof)
    }

    async fn write_table(
        &self,
        table: Table,
        name: String,
        row_hash: RowHash,
    ) -> Result<(Table, Content)> {
        self.report(Some(format!("{}.{}", table.schema, table.name)));
        let mut file = DataFile::create(&self.directory, &name, self.form)?;
        let mut hasher = RowHasher::new(self.repository.row_hash_key(), row_hash);
        let mut ranges = RangeReader::new(&self.repository, &table.ranges);
        let mut too_long = 0;
        while let Some(range) = ranges.next().await? {
            let mut chunks = read_chunks(&self.repository, range.chunks);
            while let Some(chunk) = chunks.try_next().await? {
                let bytes = chunk.len() as u64;
                hasher.update(&chunk);
                file = file.write(chunk).await?;
                self.counters.add_bytes(bytes);
                self.report(None);
            }
            self.counters.add_rows(range.content.rows);
            too_long += range.large_rows.iter().filter(|bytes| **bytes > LINE_BYTES_MAX).count();
        }
        file.write(Bytes::from_static(END_OF_ROWS)).await?.finish().await?;
        self.counters.add_items(1);
        if too_long > 0 {
            let message = format!(
                "{too_long} row(s) of table {}.{} are longer than a gigabyte as text: they are in the archive, but the server's \
                 COPY, and with it pg_restore, can't read so long a line; restore as a database instead",
                table.schema, table.name
            );
            let warning = Warning { code: "RowTooLongForTools".to_owned(), message };
            self.too_long.lock().unwrap_or_else(PoisonError::into_inner).push(warning);
        }
        let content = compare::finish(hasher, &table)?;
        Ok((table, content))
    }
}
