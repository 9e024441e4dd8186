//! What all steps of one restore share: request, manifest, facts about the target, progress and warnings.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use coffer_store::Repository;

use super::expected::Expected;
use super::target::TargetFacts;
use super::{RestoreOutcome, RestoreRequest, preflight};
use crate::connect::{ConnectOptions, Connection};
use crate::error::{Error, Result};
use crate::files::toc::Toc;
use crate::manifest::{DatabaseManifest, Warning};
use crate::monitor::{Counters, Monitor, Phase, Progress};
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

/// One restore.
pub(super) struct Context {
    pub(super) request: RestoreRequest,
    pub(super) repository: Repository,
    pub(super) manifest: DatabaseManifest,
    pub(super) target: TargetFacts,
    /// What of the recovery point is restored.
    pub(super) selected: Selected,
    /// Sessions that work at the same time: as asked for, as far as the target has room.
    pub(super) workers: usize,
    pub(super) counters: Counters,
    /// Identity of the database that was made: another run of the same restore uses the same temporary name.
    pub(super) made: OnceLock<u32>,
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
        let counters = Counters::default();
        let expected = Expected::of(repository, &manifest, &selected).await?;
        counters.expect(expected.bytes, expected.items);
        let context = Self {
            request,
            repository: repository.clone(),
            manifest,
            target,
            selected,
            workers,
            counters,
            made: OnceLock::new(),
            monitor,
            warnings: Mutex::default(),
        };
        for warning in preflight.warnings {
            context.warn(&warning.code, warning.message);
        }
        Ok((Arc::new(context), toc))
    }

    /// Bytes of COPY text and large objects that it will have written.
    pub(super) fn bytes_expected(&self) -> u64 {
        self.counters.bytes_total.load(Ordering::Relaxed)
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

    /// Tells where the restore stands.
    pub(super) fn report(&self, phase: Phase, current: Option<String>) {
        self.monitor.report(&Progress { current, ..self.counters.progress(phase) });
    }

    /// The same for a phase that counts things of its own.
    pub(super) fn report_items(
        &self,
        phase: Phase,
        (items_done, items_total): (u64, u64),
        current: Option<String>,
    ) {
        let progress = self.counters.progress(phase);
        let items_total = Some(items_total);
        self.monitor.report(&Progress { current, items_done, items_total, ..progress });
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
