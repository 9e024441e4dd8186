//! Reading packs in turns, so that whoever asks can note how far it is and put on record what was found.
//!
//! A turn ends after so many bytes, or at the end. Between two turns nothing is held: the position is a name, and a later run
//! that is given it goes on there, also in another process. Nothing here decides when to read, or writes anything.

use coffer_store::{PackId, PackReport, PackVerdict, PackVerification, Repository, Share};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info_span};

use crate::error::{Error, Result};
use crate::monitor::{Monitor, Phase, Progress};

/// Packs of one turn at most, however small they are: bounds what a turn gives back.
pub const TURN_PACKS_MAX: usize = 1024;

/// A run over the packs of a share.
#[derive(Debug)]
pub struct PackReading {
    run: PackVerification,
}

impl PackReading {
    /// Lists the packs of a share that come after a position, none for the beginning. Packs that are written from now on are
    /// left to the next run.
    ///
    /// # Errors
    /// [`Error::Store`]: the packs can't be listed.
    pub async fn begin(
        repository: &Repository,
        share: Share,
        after: Option<PackId>,
    ) -> Result<Self> {
        let run = repository.verify_packs(share, after).await;
        Ok(Self { run: run.map_err(Error::store("list the packs"))? })
    }

    /// Reads and authenticates every byte of the next packs: at least one, and no further one once `bytes_max` were read or
    /// the caller cancelled. Gives nothing back at the end, after a cancellation, and when the storage does not answer any
    /// more; [`Self::finish`] tells which.
    pub async fn turn(
        &mut self,
        bytes_max: u64,
        monitor: &dyn Monitor,
        cancel: &CancellationToken,
    ) -> Vec<PackVerdict> {
        // One for the turn: packs may be many.
        let span = info_span!("verify_packs");
        let mut verdicts = Vec::new();
        let mut bytes = 0_u64;
        while verdicts.len() < TURN_PACKS_MAX && (verdicts.is_empty() || bytes < bytes_max) {
            self.report(monitor);
            let verdict = tokio::select! {
                biased;
                () = cancel.cancelled() => None,
                verdict = self.run.next().instrument(span.clone()) => verdict,
            };
            let Some(verdict) = verdict else { break };
            bytes = bytes.saturating_add(verdict.bytes);
            verdicts.push(verdict);
        }
        self.report(monitor);
        verdicts
    }

    /// Where a later run would go on if this one ended here; none at the beginning.
    #[must_use]
    pub fn position(&self) -> Option<PackId> {
        self.run.position()
    }

    /// Ends the run, wherever it is.
    #[must_use]
    pub fn finish(self) -> PackReport {
        self.run.finish()
    }

    fn report(&self, monitor: &dyn Monitor) {
        let progress = self.run.progress();
        monitor.report(&Progress {
            bytes_done: progress.done_bytes,
            bytes_total: Some(progress.bytes),
            items_done: progress.done_packs,
            items_total: Some(progress.packs),
            ..Progress::new(Phase::Verify)
        });
    }
}
