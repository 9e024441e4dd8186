//! Materialized views filled again, and statistics for the planner.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::context::Context;
use super::workers::finish_all;
use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::manifest::MaterializedView;
use crate::monitor::Phase;
use crate::part::PartReader;
use crate::session::qualified;
use crate::span::{Traced as _, span};

impl Context {
    /// Refreshes the views that were populated, in their order. A refresh that fails leaves its view empty and is a warning: the
    /// data is complete without it.
    pub(super) async fn refresh_views(&self) -> Result<()> {
        let mut views = PartReader::new(&self.repository, &self.manifest.materialized_views);
        let mut session: Option<Connection> = None;
        while let Some(view) = views.next::<MaterializedView>().await? {
            if !view.populated || !self.selected.has_named(&view.schema, &view.name) {
                continue;
            }
            let session = match &mut session {
                Some(session) => session,
                None => session.insert(self.open_quiet().await?),
            };
            let name = format!("{}.{}", view.schema, view.name);
            self.report(Phase::Refresh, Some(name.clone()));
            let statement =
                format!("REFRESH MATERIALIZED VIEW {}", qualified(&view.schema, &view.name));
            match session.batch_execute(&statement).await.map_err(|e| Error::sql("refresh", &e)) {
                Ok(()) => {}
                Err(error) if error.sqlstate().is_some() => {
                    let message =
                        format!("materialized view {name} is empty, its refresh failed: {error}");
                    self.warn("RefreshFailed", message);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Names the partitioned indexes that no archive brings back as they were. `pg_dump` makes such an index for the parent only
    /// and attaches those of the partitions; a foreign table has none to attach, so the index stays invalid for good, although
    /// every other partition has its part of it.
    pub(super) async fn name_invalid_indexes(&self) -> Result<()> {
        let session = self.open_reading().await?;
        let statement = "SELECT i.indexrelid::pg_catalog.regclass::text FROM pg_catalog.pg_index i \
             JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid \
             WHERE c.relkind = 'I' AND NOT i.indisvalid AND EXISTS (SELECT FROM pg_catalog.pg_inherits x WHERE x.inhparent = c.oid) \
               AND EXISTS (SELECT FROM pg_catalog.pg_inherits p JOIN pg_catalog.pg_class f ON f.oid = p.inhrelid \
                 WHERE p.inhparent = i.indrelid AND f.relkind = 'f') ORDER BY 1";
        let found = session.query(statement, &[]).await;
        for row in found.map_err(|e| Error::sql("look for invalid indexes", &e))? {
            let index: String = row.get(0);
            self.warn(
                "IndexNotValid",
                format!(
                    "index {index} of a partitioned table is there in each partition but marked invalid as a whole, since one \
                     of the partitions is a foreign table; queries are not affected, a new partition gets no such index by itself"
                ),
            );
        }
        Ok(())
    }

    /// `ANALYZE` for every table, in half as many sessions as work beside it for the proof, where the server has room for
    /// more than one: it reads a sample, the proof reads all. The planner lives without: what fails is a warning.
    pub(super) async fn gather_statistics(self: Arc<Self>) -> Result<()> {
        let control = self.open().await?;
        let tables = Arc::new(Mutex::new(own_tables(&control).await?));
        drop(control);
        let room = self.target.free_connections.saturating_sub(self.workers);
        let mut sessions = JoinSet::new();
        for number in 0..room.min(self.workers / 2).max(1) {
            let work = Arc::clone(&self).analyze(Arc::clone(&tables));
            sessions.spawn(work.traced(span!("worker", number)));
        }
        finish_all(sessions).await.map(drop)
    }

    async fn analyze(
        self: Arc<Self>,
        tables: Arc<Mutex<VecDeque<(String, String)>>>,
    ) -> Result<()> {
        let session = self.open_quiet().await?;
        loop {
            let next = tables.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let Some((schema, name)) = next else { return Ok(()) };
            let statement = format!("ANALYZE {}", qualified(&schema, &name));
            let done = session.batch_execute(&statement).await;
            match done.map_err(|e| Error::sql("analyze", &e)) {
                Ok(()) => {}
                Err(error) if error.sqlstate().is_some() => {
                    self.warn(
                        "AnalyzeFailed",
                        format!("no statistics of {schema}.{name}: {error}"),
                    );
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// A session in which restored event triggers stay silent, where the role may have that.
    async fn open_quiet(&self) -> Result<Connection> {
        let session = self.open().await?;
        if self.target.superuser {
            let quiet =
                "SELECT pg_catalog.set_config('session_replication_role', 'replica', false)";
            session
                .batch_execute(quiet)
                .await
                .map_err(|e| Error::sql("set the session's parameters", &e))?;
        }
        Ok(session)
    }
}

/// Tables and views whose statistics this role may gather, largest first. A partitioned table stands for its partitions, but
/// not where one of them is a foreign table: a restore asks no other server, so these trees have statistics of their local
/// leaves only.
async fn own_tables(client: &Client) -> Result<VecDeque<(String, String)>> {
    let statement = "WITH RECURSIVE far(oid) AS (SELECT f.oid FROM pg_catalog.pg_class f WHERE f.relkind = 'f' \
           UNION SELECT i.inhparent FROM far JOIN pg_catalog.pg_inherits i ON i.inhrelid = far.oid) \
         SELECT n.nspname::text, c.relname::text FROM pg_catalog.pg_class c \
         JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace \
         WHERE (c.relkind IN ('r', 'p') OR (c.relkind = 'm' AND c.relispopulated)) \
           AND NOT EXISTS (SELECT FROM far WHERE far.oid = c.oid) AND (NOT c.relispartition OR EXISTS (\
             SELECT FROM pg_catalog.pg_inherits i JOIN far ON far.oid = i.inhparent WHERE i.inhrelid = c.oid)) \
           AND c.relpersistence <> 't' AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_' \
           AND pg_catalog.pg_has_role(c.relowner, 'USAGE') \
         ORDER BY (c.relkind = 'p') DESC, pg_catalog.pg_relation_size(c.oid) DESC";
    let found =
        client.query(statement, &[]).await.map_err(|e| Error::sql("list the tables", &e))?;
    Ok(found.iter().map(|row| (row.get(0), row.get(1))).collect())
}
