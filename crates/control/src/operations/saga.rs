//! What a kind of operation does: a line of steps and a conclusion.

use async_trait::async_trait;
use coffer_azure::UserFacingError;

use super::run::Run;
use crate::db::Tx;
use crate::error::Error;

/// The code of one kind of operation.
///
/// A saga keeps nothing between steps but the checkpoint in [`Run`]: another process may run the next one.
#[async_trait]
pub(crate) trait Saga: Send + Sync {
    /// The steps' names, in order. They are written into rows: a name is never given a second meaning.
    fn steps(&self) -> &'static [&'static str];

    /// Does one step. When it returns `Ok`, the checkpoint and the number of the next step are written together; until
    /// then the step may be run again from its beginning, so each of its effects must be harmless the second time.
    async fn run(&self, step: &'static str, run: &mut Run) -> Result<(), Failure>;

    /// Whether the step is run although the operation's cancellation was requested: since what was done before it, or may have been
    /// done by a run of it that died, cannot be taken back.
    fn runs_cancelled(&self, _step: &str, _run: &Run) -> bool {
        false
    }

    /// Called before a failure or cancellation is written down: takes back what the steps have left outside of the
    /// database. May be called more than once.
    async fn abandon(&self, _run: &mut Run) -> Result<(), Failure> {
        Ok(())
    }

    /// Writes what the outcome means for resources, in the transaction that ends the operation. No network, no files.
    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error>;

    /// Called after that transaction, to wake whoever waits for it. A process that dies in between does not come here: it only
    /// spares somebody's wait for the next round.
    fn concluded(&self) {}
}

/// Why a step did not succeed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It cannot succeed; the user is told this.
    Failed(Box<UserFacingError>),
    /// It may succeed later. After the last attempt the user is told this.
    Transient(Box<UserFacingError>),
    /// The run was interrupted: by the end of the service, by a lost lease, or because its cancellation was requested.
    /// Which of them, [`Run`] knows.
    Interrupted,
}

impl Failure {
    /// A failure that no repetition cures.
    pub(crate) fn failed(error: UserFacingError) -> Failure {
        Failure::Failed(Box::new(error))
    }

    /// The code that the user is told, for traces.
    pub(crate) fn code(&self) -> &str {
        match self {
            Failure::Failed(error) | Failure::Transient(error) => {
                error.code.as_deref().unwrap_or_default()
            }
            Failure::Interrupted => "Interrupted",
        }
    }

    /// A failure that a repetition may cure.
    pub(crate) fn transient(error: UserFacingError) -> Failure {
        Failure::Transient(Box::new(error))
    }
}

/// Troubles with the metadata database or with our own data are worth another attempt, and never blamed on the user.
impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        Failure::transient(crate::app::user_facing_error::internal(&error))
    }
}

/// How an operation ended.
#[derive(Debug, Clone)]
pub(crate) enum Outcome {
    /// Every step has been done.
    Succeeded,
    /// A step failed for good.
    Failed(Box<UserFacingError>),
    /// Its cancellation was requested before it had ended.
    Cancelled,
}
