//! Jobs are exported: nothing is written, since what is downloaded is read from the jobs' rows as they are then.
//!
//! The operation is what the download belongs to: jobs that were begun after it are not in it, and it goes with the operation's row.

use async_trait::async_trait;

use crate::db::Tx;
use crate::error::Error;
use crate::operations::{Failure, Outcome, Run, Saga};

pub(super) const STEPS: &[&str] = &[];

/// See the module.
pub(super) struct ExportJobs;

#[async_trait]
impl Saga for ExportJobs {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, _step: &'static str, _run: &mut Run) -> Result<(), Failure> {
        Ok(())
    }

    async fn conclude(&self, _tx: &mut Tx, _run: &Run, _outcome: &Outcome) -> Result<(), Error> {
        Ok(())
    }
}
