//! The schema after the rows, and how far it is: indexes take the time, and the server says how many there are.

use std::convert::Infallible;
use std::time::Duration;

use super::context::Context;
use super::schema::{Archive, Part};
use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::files::toc::{Section, Toc};
use crate::monitor::Phase;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// First version that says which indexes are being built.
const PROGRESS_SINCE: u32 = 120_000;

/// Indexes that the archive makes after the rows: constraints of these kinds are indexes.
pub(super) fn indexes(toc: &Toc) -> u64 {
    let is_index = |kind: &[u8]| matches!(kind, b"INDEX" | b"CONSTRAINT");
    let entries = toc.entries.iter().filter(|entry| entry.section == Section::PostData);
    entries.filter(|entry| entry.kind.as_deref().is_some_and(is_index)).count() as u64
}

impl Context {
    /// Makes indexes, constraints and triggers.
    pub(super) async fn make_post_data(&self, archive: &Archive, indexes: u64) -> Result<()> {
        self.report_items(Phase::PostData, (0, indexes), None);
        tokio::select! {
            made = self.run_pg_restore(archive, Part::PostData) => made,
            never = self.tell_indexes(indexes) => match never {},
        }
    }

    /// Never ends. A server that can't be asked is not asked: this is for people's eyes only.
    async fn tell_indexes(&self, total: u64) -> Infallible {
        if let Err(error) = self.count_indexes(total).await {
            tracing::debug!(%error, "indexes can't be counted");
        }
        std::future::pending().await
    }

    async fn count_indexes(&self, total: u64) -> Result<()> {
        let session = self.open_reading().await?;
        let before = made(&session).await?;
        loop {
            tokio::time::sleep(LOOK).await;
            let done = made(&session).await?.saturating_sub(before).min(total);
            let current = match self.target.version_num >= PROGRESS_SINCE {
                true => being_built(&session).await?,
                false => None,
            };
            self.report_items(Phase::PostData, (done, total), current);
        }
    }
}

/// Indexes that there are, without those of the server itself.
async fn made(session: &Connection) -> Result<u64> {
    let statement = "SELECT pg_catalog.count(*) FROM pg_catalog.pg_index i \
         JOIN pg_catalog.pg_class c ON c.oid = i.indrelid WHERE c.relkind <> 't' AND c.oid >= 16384";
    let row = session.query_one(statement, &[]).await;
    let count: i64 = row.map_err(|e| Error::sql("count indexes", &e))?.get(0);
    Ok(u64::try_from(count).unwrap_or(0))
}

/// The table whose index was begun first.
async fn being_built(session: &Connection) -> Result<Option<String>> {
    let statement = "SELECT n.nspname::text || '.' || c.relname::text FROM pg_catalog.pg_stat_progress_create_index p \
         JOIN pg_catalog.pg_stat_activity a ON a.pid = p.pid \
         JOIN pg_catalog.pg_class c ON c.oid = p.relid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE p.datname = pg_catalog.current_database() ORDER BY a.query_start LIMIT 1";
    let rows = session.query(statement, &[]).await;
    Ok(rows
        .map_err(|e| Error::sql("look for indexes that are built", &e))?
        .first()
        .map(|row| row.get(0)))
}
