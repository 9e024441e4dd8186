//! A whole table in one transaction, where that spares the server's log.
//!
//! With `wal_level=minimal` a server does not log the rows of a COPY into a file that the same transaction made, here by TRUNCATE;
//! it syncs the file before the transaction commits (`RelationNeedsWAL`, `smgrDoPendingSyncs`; until version 12
//! `HEAP_INSERT_SKIP_WAL`). So these rows are on disk at the commit, whatever `synchronous_commit` says, and a crash before the
//! database has its name leaves nothing that counts. No other session can see such a file, so the table's ranges come one after
//! the other. The rows are frozen as well: nothing saw the table without them, and the first vacuum is spared.

use super::Loaded;
use super::batches::{BatchReader, batch_bytes};
use super::copy_in::{Brought, relate};
use crate::connect::Connection;
use crate::error::Result;
use crate::manifest::{Content, Table};
use crate::restore::context::Context;
use crate::restore::ranges::{RangeReader, read_chunks};
use crate::session::{execute, qualified};

/// Text below which a table is not worth it: the server logs what is smaller than `wal_skip_threshold` (2 MB) all the same.
const TEXT_BYTES_MIN: u64 = 2 * 1024 * 1024;

/// Part of all text above which a table is loaded by ranges nevertheless: for longer than half of the time one session would
/// work and the others wait.
const SHARE_MAX: u64 = 2;

/// The role may insert and not truncate (`insufficient_privilege`).
const FORBIDDEN: &str = "42501";

impl Context {
    /// Whether a table is loaded by one session. Only a table that nobody else writes to: no partition, into which rows of
    /// others may be led, and no extension's, which has rows already.
    pub(super) fn is_loaded_at_once(&self, table: &Table) -> bool {
        self.target.skips_log
            && pays(table.content.text_bytes, self.bytes_expected())
            && table.access_method == "heap"
            && table.persistence == "p"
            && table.large_rows == 0
            && table.partition_root.is_none()
            && table.extension.is_none()
    }

    /// Loads all rows of a table in one transaction.
    pub(super) async fn load_at_once(
        &self,
        session: &Connection,
        loaded: &Loaded,
        table: &Table,
    ) -> Result<()> {
        loop {
            execute(session, "load rows", "BEGIN").await?;
            let brought = self.truncate_and_copy(session, loaded, table).await;
            if let Ok(Brought::All) = brought {
                execute(session, "load rows", "COMMIT").await?;
                self.counters.add_items(table.ranges.len());
                return Ok(());
            }
            // What matters is the first error.
            drop(execute(session, "load rows", "ROLLBACK").await);
            match brought {
                // Not again: the table is known for it now.
                Ok(_) => {}
                Err(error) if error.sqlstate() == Some(FORBIDDEN) => break,
                Err(error) => return Err(relate(error, table)),
            }
        }
        let mut ranges = RangeReader::new(&self.repository, &table.ranges);
        while let Some(range) = ranges.next().await? {
            self.load_ranges(session, loaded, table, &[range]).await?;
        }
        Ok(())
    }

    async fn truncate_and_copy(
        &self,
        session: &Connection,
        loaded: &Loaded,
        table: &Table,
    ) -> Result<Brought> {
        let into = (table.schema.as_str(), table.name.as_str());
        let truncate = format!("TRUNCATE ONLY {}", qualified(into.0, into.1));
        execute(session, "load rows", &truncate).await?;
        // Several COPYs: what the server has against rows it says at the end of one.
        let bytes_max = batch_bytes(self.bytes_expected(), 1);
        let mut batches = BatchReader::new(&self.repository, &table.ranges, bytes_max);
        let mut there = Content::default();
        while let Some(batch) = batches.next().await? {
            let chunks = batch.iter().flat_map(|range| range.chunks.iter().copied()).collect();
            let text = read_chunks(&self.repository, chunks);
            if self.copy_rows(session, loaded, into, table, text, true).await? != Brought::All {
                self.counters.take_back(there.text_bytes, there.rows);
                return Ok(Brought::Unusual);
            }
            batch.iter().for_each(|range| there.add(range.content));
        }
        Ok(Brought::All)
    }
}

/// Whether so much text of so much in all is better loaded without log than by several sessions.
fn pays(bytes: u64, total: u64) -> bool {
    bytes >= TEXT_BYTES_MIN && bytes <= total / SHARE_MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_the_smallest_nor_what_all_would_wait_for() {
        let least = TEXT_BYTES_MIN;
        assert!(!pays(least - 1, 100 * least));
        assert!(pays(least, 100 * least));
        assert!(pays(50 * least, 100 * least));
        assert!(!pays(50 * least + 1, 100 * least));
    }
}
