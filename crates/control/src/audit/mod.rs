//! The audit log: who did what, from where, with whose consent, and what became of it.
//!
//! A request carries a [`Trail`], on which is noted who calls, what he was authorized to do, who consented, and which
//! operation was begun. What a request changes and the row that tells of it are one transaction ([`App::begin`]); a request
//! that changes nothing in the metadata (it reads a secret, or finds everything as wanted) has its row before its answer. So
//! every write that was answered with success is in the log, and no success is in it that did not happen.
//!
//! What is written: every action but reading, every refusal, and what the service destroys or restores on its own
//! (`act`). There is no body and no secret in a row.
//!
//! Whoever is refused must not be able to fill the disk: see [`limit`]. Nor must who reads secrets: see [`readings`]. What else succeeds is
//! always written.

pub(crate) mod act;
mod entry;
pub(crate) mod key;
pub mod limit;
pub mod readings;
mod trail;
pub mod verify;

use std::sync::{Arc, Mutex, PoisonError};

pub use entry::{Consent, Entry, Outcome, Repeated};
pub use trail::Trail;

use crate::app::{App, Caller};
use crate::db::audit::ChainKey;
use crate::db::{Db, Tx, Witnessed, audit as rows};
use crate::error::{Error, ErrorKind};
use limit::Limiter;
use readings::{READ_SECRET, Readings};

/// What the service needs to write the log.
#[derive(Debug)]
pub struct Audit {
    key: Arc<ChainKey>,
    refusals: Mutex<Limiter>,
    readings: Mutex<Readings>,
    told: Mutex<Told>,
}

/// The end of the log as it was told last.
#[derive(Debug, Default)]
struct Told {
    sequence: i64,
    at_us: i64,
}

/// How a request ended, as far as the log is concerned.
#[derive(Clone, Debug)]
pub struct Ending<'a> {
    /// The status of the answer.
    pub status: u16,
    /// Why it failed; none for a success.
    pub error: Option<(ErrorKind, &'a str)>,
}

impl Audit {
    pub(crate) fn new(key: ChainKey) -> Self {
        Self {
            key: Arc::new(key),
            refusals: Mutex::default(),
            readings: Mutex::default(),
            told: Mutex::default(),
        }
    }

    pub(crate) fn key(&self) -> &ChainKey {
        &self.key
    }

    /// Whether the end of the log is to be told: it has moved, and was not told within the interval.
    pub(crate) fn head_is_due(&self, sequence: i64, now_us: i64, every_us: i64) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = sequence != told.sequence
            && (told.at_us == 0 || now_us.saturating_sub(told.at_us) >= every_us);
        if is_due {
            *told = Told { sequence, at_us: now_us };
        }
        is_due
    }

    /// A transaction whose commit writes what the trail says, once for each trail.
    ///
    /// # Errors
    /// As [`Db::begin`].
    pub(crate) async fn begin(&self, db: &Db, trail: &Trail) -> Result<Tx, Error> {
        match trail.witness() {
            Some(witness) => {
                db.begin_witnessed(Witnessed { witness, key: Arc::clone(&self.key) }).await
            }
            None => db.begin().await,
        }
    }

    /// Writes what is still to be written when the answer is known. To be called before it is given.
    ///
    /// # Errors
    /// The row of a success cannot be written: the success must not be told then.
    pub(crate) async fn finish(
        &self,
        db: &Db,
        trail: &Trail,
        ending: &Ending<'_>,
    ) -> Result<(), Error> {
        let Some(entry) = trail.ending(ending) else { return Ok(()) };
        if entry.outcome == Outcome::Succeeded {
            return match entry.action.as_str() {
                READ_SECRET => self.reading(db, trail, entry).await,
                _ => self.append(db, trail, &entry).await,
            };
        }
        // Before the database is asked for anything: a flood of refusals has to cost nothing there.
        let unwritten = {
            let mut refusals = self.refusals.lock().unwrap_or_else(PoisonError::into_inner);
            refusals.admit(entry.principal_id.as_deref(), trail.now_us())
        };
        let Some(unwritten) = unwritten else {
            metrics::counter!("coffer_audit_refusals_unwritten_total").increment(1);
            return Ok(());
        };
        let entry = Entry { unwritten, ..entry };
        if let Err(error) = self.append(db, trail, &entry).await {
            // The refusal stands with or without its row.
            tracing::error!(error = error.chain(), "a refusal is not in the audit log");
        }
        Ok(())
    }

    /// Writes what was done beside the metadata, by itself.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn write(
        &self,
        db: &Db,
        trail: &Trail,
        outcome: Outcome,
    ) -> Result<(), Error> {
        match trail.entry(outcome) {
            Some(entry) => self.append(db, trail, &entry).await,
            None => Ok(()),
        }
    }

    async fn append(&self, db: &Db, trail: &Trail, entry: &Entry) -> Result<(), Error> {
        let mut tx = db.begin().await?;
        rows::append(&mut tx, &self.key, &entry.row(trail.now_us())?).await?;
        tx.commit().await
    }

    /// Cuts off what is older than the retention, a bounded number of rows, and says so in the log itself.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn cut(
        &self,
        db: &Db,
        before_us: i64,
        now_us: i64,
        rows_max: u32,
    ) -> Result<u32, Error> {
        let mut tx = db.begin().await?;
        let Some((count, last)) = rows::cut(&mut tx, &self.key, before_us, rows_max).await? else {
            return Ok(0);
        };
        let entry = Entry::cut(count, last.sequence, &last.hash);
        rows::append(&mut tx, &self.key, &entry.row(now_us)?).await?;
        tx.commit().await?;
        Ok(count)
    }
}

impl App {
    /// Begins the write transaction of a request: its commit writes the request's row in the audit log as well.
    ///
    /// # Errors
    /// As [`Db::begin`].
    pub async fn begin(&self, caller: &Caller) -> Result<Tx, Error> {
        self.audit.begin(&self.db, &caller.trail).await
    }
}

#[cfg(test)]
mod tests;
