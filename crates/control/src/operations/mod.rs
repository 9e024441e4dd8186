//! Durable operations: the work that a request has begun and that outlives the process which accepted it.
//!
//! A request calls [`begin`] in its own transaction. When that transaction is committed the operation exists, and only
//! then may the request be answered 201 or 202. An executor claims its row ([`executor`]), runs the kind's saga step by
//! step ([`saga`], [`sagas`]), and writes the outcome together with what the saga changes in the resources, in one
//! transaction. The row carries the trace of the request, so that a run of it is a part of that trace in whatever process.
//!
//! Invariants:
//! * A step may run twice, and a process may die between any two instructions; every step is written for that.
//! * Every write to an operation's or its job's row is conditional on the generation under which it was claimed, so
//!   that an executor which lost its lease changes nothing.
//! * No transaction is open while a step works.
//! * Nothing is known only in memory: waking and cancelling are short cuts for what the rows say.

mod crash;
mod drive;
mod executor;
mod input;
mod kind;
mod run;
mod saga;
pub(crate) mod sagas;
#[cfg(test)]
mod tests;

use coffer_azure::{ApiVersion, ResourceId, UserFacingError};
use serde_json::Value;
use uuid::Uuid;

pub(crate) use self::crash::replication_crash_point;
pub use self::crash::{collection_crash_point, crash_points};
pub use self::executor::{Executor, ExecutorHandle};
pub use self::input::{
    BackupInput, ConfigureProtectionInput, RestoreInput, UpdateProtectionInput,
    ValidateForBackupInput,
};
pub use self::kind::{Lane, OperationKind};
pub(crate) use self::run::{JobReport, Run};
pub(crate) use self::saga::{Failure, Outcome, Saga};

use crate::app::dataprotection::new_job;
use crate::db::{self, Tx};
use crate::error::Error;
pub use crate::trace::TraceContext;

/// What a request wants to be done.
#[derive(Debug)]
pub struct NewOperation {
    /// What is to be done.
    pub kind: OperationKind,
    /// The vault that it belongs to, with the caller's casing.
    pub vault: ResourceId,
    /// `{vault}/backupInstances/{name}` of the instance concerned (also for [`OperationKind::Undelete`]).
    pub instance: Option<ResourceId>,
    /// The vault's location.
    pub location: String,
    /// See [`input`]; `Value::Null` for kinds without.
    pub input: Value,
    /// The caller's, echoed in the operation's URLs.
    pub api_version: ApiVersion,
    /// `x-ms-client-request-id` if the caller sent one, else the correlation id.
    pub activity_id: String,
    /// The job that the user will watch; exactly for [`OperationKind::Backup`] and [`OperationKind::Restore`].
    pub job: Option<NewJob>,
}

/// What cannot be read from the instance when its job's row is made.
#[derive(Debug, Clone)]
pub enum NewJob {
    /// A backup.
    Backup {
        /// Asked for by a person, not by the schedule.
        user_triggered: bool,
        /// As in [`BackupInput::retention_tag`].
        retention_tag: Option<String>,
    },
    /// A restore.
    Restore {
        /// The recovery point that is restored.
        recovery_point_id: String,
        /// ARM id of the database to be made, or URL of the container.
        recovery_destination: String,
        /// `filePrefix` of a restore as files.
        file_prefix: Option<String>,
        /// It is restored from the second region.
        cross_region: bool,
    },
}

/// The public state of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationStatus {
    /// Accepted, not ended.
    InProgress,
    /// Ended well.
    Succeeded,
    /// Ended with [`Operation::error`].
    Failed,
}

impl OperationStatus {
    /// Azure's word, which is also what the row holds.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            OperationStatus::InProgress => "Inprogress",
            OperationStatus::Succeeded => "Succeeded",
            OperationStatus::Failed => "Failed",
        }
    }

    /// The status of that word.
    #[must_use]
    pub fn parse(word: &str) -> Option<OperationStatus> {
        [OperationStatus::InProgress, OperationStatus::Succeeded, OperationStatus::Failed]
            .into_iter()
            .find(|status| status.as_str() == word)
    }
}

/// An operation as the rest of the service sees it.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Base64 of `guid;guid`, the first one constant per vault, as Azure's are.
    pub id: String,
    /// What is done.
    pub kind: OperationKind,
    /// The vault that it belongs to.
    pub vault: ResourceId,
    /// The instance concerned.
    pub instance: Option<ResourceId>,
    /// The vault's location.
    pub location: String,
    /// What it was told.
    pub input: Value,
    /// api-version of the request.
    pub api_version: String,
    /// Activity id of the request.
    pub activity_id: String,
    /// The job's name, for kinds with one.
    pub job_id: Option<Uuid>,
    /// As the client sees it.
    pub status: OperationStatus,
    /// Why it failed.
    pub error: Option<UserFacingError>,
    /// Microseconds since 1970.
    pub started_us: i64,
    /// Microseconds since 1970; none while [`OperationStatus::InProgress`].
    pub ended_us: Option<i64>,
    /// Key of the server that a backup reads from, for the limit of each server.
    pub server_key: Option<String>,
    /// The trace of the request that began it; none when nobody took traces, or when no request did.
    pub trace: Option<TraceContext>,
}

impl Operation {
    /// Whether it was asked for in the vault's second region.
    #[must_use]
    pub fn is_cross_region(&self) -> bool {
        self.input.get("secondRegion").is_some_and(|region| !region.is_null())
    }
}

/// Makes the operation's row, and its job's, in the caller's transaction. After the commit the caller wakes the
/// executor ([`ExecutorHandle::wake`]).
///
/// # Errors
/// `UserErrorMaxConcurrentOperationLimitReached` when the instance has a backup that has not ended and another is asked
/// for; `NotFound` when a job is asked for an instance that does not exist; whatever the database answers.
pub async fn begin(tx: &mut Tx, new: NewOperation, now_us: i64) -> Result<Operation, Error> {
    if new.kind == OperationKind::Backup
        && let Some(instance) = &new.instance
        && db::operation::unfinished(tx, instance, OperationKind::Backup).await?.is_some()
    {
        return Err(crate::app::user_facing_error::backup_is_running(instance));
    }
    let id = operation_id(&new.vault);
    let (mut job_id, mut server_key) = (None, None);
    if let Some(job) = &new.job {
        let made = new_job::insert(tx, &id, &new, job, now_us).await?;
        job_id = Some(made.id);
        server_key = made.server_key.filter(|_| new.kind == OperationKind::Backup);
    }
    let at_submission = new.kind.ends_at_submission();
    let operation = Operation {
        id,
        kind: new.kind,
        vault: new.vault,
        instance: new.instance,
        location: new.location,
        input: new.input,
        api_version: new.api_version.to_string(),
        activity_id: new.activity_id,
        job_id,
        status: if at_submission {
            OperationStatus::Succeeded
        } else {
            OperationStatus::InProgress
        },
        error: None,
        started_us: now_us,
        ended_us: at_submission.then_some(now_us),
        server_key,
        trace: TraceContext::current(),
    };
    db::operation::insert(tx, &operation).await?;
    Ok(operation)
}

/// Asks every unfinished operation of these kinds on the instance to stop. Their jobs end as cancelled. Durable with
/// the caller's transaction; the caller then wakes the executor.
///
/// # Errors
/// Whatever the database answers.
pub async fn request_cancellation(
    tx: &mut Tx,
    instance: &ResourceId,
    kinds: &[OperationKind],
) -> Result<(), Error> {
    for kind in kinds {
        db::operation::request_cancellation(tx, instance, *kind).await?;
    }
    Ok(())
}

/// The vault's part is derived from its id, so that it is constant without being kept anywhere.
fn operation_id(vault: &ResourceId) -> String {
    use base64::Engine as _;
    let vault_part = Uuid::new_v5(&Uuid::NAMESPACE_URL, vault.key().as_bytes());
    let own_part = Uuid::new_v4();
    base64::engine::general_purpose::STANDARD.encode(format!("{vault_part};{own_part}"))
}
