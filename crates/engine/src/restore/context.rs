//! What all steps of one restore share: request, manifest, facts about the target, progress and warnings.

use std::sync::{Arc, Mutex, PoisonError};

use coffer_store::Repository;

use super::target::TargetFacts;
use super::{RestoreOutcome, RestoreRequest, preflight};
use crate::connect::{ConnectOptions, Connection};
use crate::error::{Error, Result};
use crate::files::toc::Toc;
use crate::manifest::{DatabaseManifest, Table, Warning};
use crate::monitor::{Counters, Monitor, Phase, Progress};
use crate::part::PartReader;
use crate::proof::Proof;
use crate::selection::Selected;
use crate::session::{self, set_known};

/// Warnings kept of one restore; there may be as many as objects.
const WARNINGS_MAX: usize = 200;

/// Warnings as they come, bounded.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    kept: Vec<Warning>,
    left_out: u64,
}

/// What a restore will have moved when it is done.
#[derive(Debug, Clone, Copy, Default)]
struct Expected {
    bytes: u64,
    /// Ranges and large objects.
    items: u64,
}

impl Expected {
    async fn of(
        repository: &Repository,
        manifest: &DatabaseManifest,
        selected: &Selected,
    ) -> Result<Self> {
        let mut expected = Self::default();
        if selected.is_part() {
            let mut tables = PartReader::new(repository, &manifest.tables);
            while let Some(table) = tables.next::<Table>().await? {
                if selected.has_table(&table) {
                    expected.add(table.content.text_bytes, table.ranges.len());
                }
            }
        } else {
            expected.add(manifest.totals.content.text_bytes, manifest.totals.ranges);
        }
        if selected.has_large_objects() {
            let objects = &manifest.large_objects.content;
            expected.add(objects.text_bytes, objects.rows);
        }
        Ok(expected)
    }

    fn add(&mut self, bytes: u64, items: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.items = self.items.saturating_add(items);
    }
}

/// One restore.
pub(super) struct Context {
    pub(super) request: RestoreRequest,
    pub(super) repository: Repository,
    pub(super) manifest: DatabaseManifest,
    pub(super) target: TargetFacts,
    /// What of the recovery point is restored.
    pub(super) selected: Selected,
    totals: Expected,
    /// Sessions that work at the same time: as asked for, as far as the target has room.
    pub(super) workers: usize,
    pub(super) counters: Counters,
    monitor: Arc<dyn Monitor>,
    warnings: Mutex<Warnings>,
}

impl Context {
    /// Reads the manifest and looks at the target; refuses when anything stands in the way. Beside it comes the archive of the
    /// schema, which only [`Context::archive_for`] needs.
    pub(super) async fn prepare(
        request: RestoreRequest,
        repository: &Repository,
        monitor: Arc<dyn Monitor>,
    ) -> Result<(Arc<Self>, Toc)> {
        monitor.report(&Counters::default().progress(Phase::Check));
        let examined = preflight::examine(&request, repository).await?;
        let preflight::Examined { manifest, toc, target, selected, preflight, refusal } = examined;
        match refusal {
            Some(error) => return Err(error),
            None if !preflight.problems.is_empty() => {
                return Err(Error::Preflight(preflight.problems));
            }
            None => {}
        }
        let workers = request.options.workers.clamp(1, target.free_connections.max(1));
        let totals = Expected::of(repository, &manifest, &selected).await?;
        let context = Self {
            request,
            repository: repository.clone(),
            manifest,
            target,
            selected,
            totals,
            workers,
            counters: Counters::default(),
            monitor,
            warnings: Mutex::default(),
        };
        for warning in preflight.warnings {
            context.warn(&warning.code, warning.message);
        }
        Ok((Arc::new(context), toc))
    }

    /// Where the restored rows go.
    pub(super) fn inside(&self) -> ConnectOptions {
        self.request.target.with_database(&self.request.temporary_database)
    }

    /// A session that writes to the temporary database. Its commits need not wait for the disk: the last one, which gives the
    /// name, waits for all of them. Constraints and views may call functions that read views, so these are allowed.
    pub(super) async fn open(&self) -> Result<Connection> {
        let connection = self.open_reading().await?;
        let settings = format!(
            "SET default_transaction_read_only = off; \
             SELECT pg_catalog.set_config('synchronous_commit', 'off', false); {}",
            set_known("('restrict_nonsystem_relation_kind', '')")
        );
        connection
            .batch_execute(&settings)
            .await
            .map_err(|e| Error::sql("set the session's parameters", &e))?;
        Ok(connection)
    }

    /// A session that reads back what was restored, exactly as the backup read it.
    pub(super) async fn open_reading(&self) -> Result<Connection> {
        session::open(&self.inside()).await
    }

    /// Bytes of COPY text and large objects that it will have written.
    pub(super) fn bytes_expected(&self) -> u64 {
        self.totals.bytes
    }

    /// Tells where the restore stands.
    pub(super) fn report(&self, phase: Phase, current: Option<String>) {
        let (bytes_total, items_total) = (Some(self.totals.bytes), Some(self.totals.items));
        let progress = self.counters.progress(phase);
        self.monitor.report(&Progress { current, bytes_total, items_total, ..progress });
    }

    /// Keeps a warning for the outcome.
    pub(super) fn warn(&self, code: &str, message: impl Into<String>) {
        let mut warnings = self.warnings.lock().unwrap_or_else(PoisonError::into_inner);
        if warnings.kept.len() < WARNINGS_MAX {
            warnings.kept.push(Warning { code: code.to_owned(), message: message.into() });
        } else {
            warnings.left_out += 1;
        }
    }

    /// The end.
    pub(super) fn outcome(&self, proof: Proof) -> RestoreOutcome {
        let mut warnings =
            std::mem::take(&mut *self.warnings.lock().unwrap_or_else(PoisonError::into_inner));
        if warnings.left_out > 0 {
            let message = format!("{} more warnings are not shown", warnings.left_out);
            warnings.kept.push(Warning { code: "MoreWarnings".to_owned(), message });
        }
        let done = self.counters.progress(Phase::Done);
        RestoreOutcome {
            proof,
            warnings: warnings.kept,
            rows: done.rows_done,
            bytes: done.bytes_done,
        }
    }
}
