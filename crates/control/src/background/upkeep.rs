//! Looking after repositories: which is due, whether it is still anybody's, and when it is due again.
//!
//! Work is bounded by the round and by the repository, and gives way: whatever it meets in its way (a backup, a lease, a
//! storage that does not answer) puts it off and keeps no other repository from its turn. A row of an instance that is gone is
//! forgotten here, so that nobody who deletes has to think of it.

use std::time::Duration;

use coffer_azure::ResourceId;
use coffer_store::Repository;
use serde_json::Value;
use uuid::Uuid;

use super::{collect_garbage, expire_points, lock_points, replicate, verify_packs};
use crate::app::App;
use crate::app::dataprotection::instance_row::deleted_id;
use crate::app::dataprotection::state::{InstanceState, read_state};
use crate::db;
use crate::db::upkeep::{Duty, Upkeep};
use crate::error::Error;
use crate::operations::sagas::open_repository;
use crate::operations::{Failure, OperationKind};

/// Repositories of one round and duty; the rest is left to the next.
const ROUND_MAX: u32 = 1000;
/// How long a repository waits that somebody else needs now.
const BUSY_DELAY: Duration = Duration::from_secs(60);
/// How long one waits for which a duty has failed.
const FAILED_DELAY: Duration = Duration::from_secs(3600);
/// The same where it could not be copied: until it is, it has only one region.
const NOT_COPIED_DELAY: Duration = Duration::from_secs(300);
/// How long one waits whose instance is softly deleted: it is purged, or comes back.
const DELETED_DELAY: Duration = DAY;
/// A day.
pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// How often work looks whether somebody else needs its repository.
const YIELD_POLL: Duration = Duration::from_secs(1);

/// A repository that a duty is due for.
pub(super) struct Place {
    pub(super) vault: ResourceId,
    pub(super) instance: ResourceId,
    pub(super) repository: Repository,
}

/// How a duty ended for now.
pub(super) enum Ended {
    /// Due again at that time (microseconds since 1970), with this to be remembered.
    Done { due_us: i64, state: Value },
    /// Somebody else needs the repository.
    Busy,
    /// There is nothing to look after any more.
    Over,
}

/// What became of the row's instance.
enum Owner {
    Alive { vault: ResourceId, instance: ResourceId },
    SoftDeleted,
    Gone,
}

/// Does for every repository what is due for it now. Only one round runs at a time.
pub(super) async fn run_round(app: &App) -> Result<(), Error> {
    let _one_at_a_time = app.duties.upkeep.lock().await;
    let mut bytes_left = verify_packs::ROUND_BYTES;
    for duty in [Duty::StorageLock, Duty::Retention, Duty::Collection, Duty::Verification] {
        if duty == Duty::Verification && app.config.verification_period_days == 0 {
            continue;
        }
        let due = db::upkeep::due(app.db.read(), duty, app.clock.now_us(), ROUND_MAX).await?;
        for upkeep in due {
            if app.stopping.is_cancelled() || bytes_left == 0 {
                break;
            }
            look_after(app, &upkeep, &mut bytes_left).await?;
        }
    }
    Ok(())
}

/// Copies what is due to second regions. One round at a time; it keeps no other duty waiting, since it moves bytes for as long as
/// it takes.
pub(super) async fn run_replication(app: &App) -> Result<(), Error> {
    let _one_at_a_time = app.duties.replicating.lock().await;
    loop {
        let now_us = app.clock.now_us();
        let due = db::upkeep::due(app.db.read(), Duty::Replication, now_us, ROUND_MAX).await?;
        let is_last = due.len() < ROUND_MAX as usize;
        for upkeep in due {
            if app.stopping.is_cancelled() {
                return Ok(());
            }
            look_after(app, &upkeep, &mut 0).await?;
        }
        if is_last {
            return Ok(());
        }
    }
}

async fn look_after(app: &App, upkeep: &Upkeep, bytes_left: &mut u64) -> Result<(), Error> {
    let ended = match owner(app, upkeep).await? {
        Owner::Gone => {
            let mut tx = app.db.begin().await?;
            db::upkeep::forget(&mut tx, upkeep).await?;
            return tx.commit().await;
        }
        Owner::SoftDeleted => {
            let due_us = later(app, DELETED_DELAY);
            Ok(Ended::Done { due_us, state: upkeep.state.clone() })
        }
        Owner::Alive { vault, instance } => {
            attempt(app, upkeep, &vault, instance, bytes_left).await
        }
    };
    let (due_us, state) = match ended {
        Ok(Ended::Done { due_us, state }) => (due_us, state),
        Ok(Ended::Busy) => (later(app, BUSY_DELAY), upkeep.state.clone()),
        Ok(Ended::Over) => {
            let mut tx = app.db.begin().await?;
            db::upkeep::forget(&mut tx, upkeep).await?;
            return tx.commit().await;
        }
        Err(failure) => {
            let (duty, repository) = (upkeep.duty.as_str(), upkeep.repository);
            metrics::counter!("coffer_upkeep_failures_total", "duty" => duty).increment(1);
            tracing::error!(
                code = "UpkeepFailed", duty, %repository, instance = %upkeep.instance, ?failure,
                "a repository cannot be looked after; it is tried again"
            );
            let delay = match upkeep.duty {
                Duty::Replication => NOT_COPIED_DELAY,
                Duty::StorageLock | Duty::Retention | Duty::Collection | Duty::Verification => {
                    FAILED_DELAY
                }
            };
            (later(app, delay), upkeep.state.clone())
        }
    };
    let mut tx = app.db.begin().await?;
    db::upkeep::put_off(&mut tx, upkeep, due_us, &state).await?;
    tx.commit().await
}

async fn attempt(
    app: &App,
    upkeep: &Upkeep,
    vault: &ResourceId,
    instance: ResourceId,
    bytes_left: &mut u64,
) -> Result<Ended, Failure> {
    if is_needed(app, &instance, upkeep.duty).await? {
        return Ok(Ended::Busy);
    }
    let repository = open_repository(app, vault, upkeep.repository).await?;
    let place = Place { vault: vault.clone(), instance, repository };
    match upkeep.duty {
        Duty::StorageLock => lock_points::lock(app, &place, &upkeep.state).await,
        Duty::Retention => expire_points::expire(app, &place).await,
        Duty::Collection => collect_garbage::collect(app, &place).await,
        Duty::Verification => verify_packs::verify(app, &place, &upkeep.state, bytes_left).await,
        Duty::Replication => replicate::replicate(app, &place, &upkeep.state).await,
    }
}

async fn owner(app: &App, upkeep: &Upkeep) -> Result<Owner, Error> {
    let Some(vault) = upkeep.instance.parent() else { return Ok(Owner::Gone) };
    if owns(app, &upkeep.instance, upkeep.repository).await? {
        return Ok(Owner::Alive { vault, instance: upkeep.instance.clone() });
    }
    let deleted = deleted_id(&upkeep.instance)?;
    let is_deleted = owns(app, &deleted, upkeep.repository).await?;
    Ok(if is_deleted { Owner::SoftDeleted } else { Owner::Gone })
}

async fn owns(app: &App, instance: &ResourceId, repository: Uuid) -> Result<bool, Error> {
    let Some(resource) = db::resource_get(app.db.read(), instance).await? else { return Ok(false) };
    let state: InstanceState = read_state(&resource.body)?;
    Ok(state.repository_guid == repository)
}

/// Whether a backup or the deletion of the instance runs, or is to run at once. Copying is in no backup's way: it only reads
/// here.
async fn is_needed(app: &App, instance: &ResourceId, duty: Duty) -> Result<bool, Error> {
    for kind in [OperationKind::DeleteInstance, OperationKind::Backup] {
        if duty == Duty::Replication && kind == OperationKind::Backup {
            continue;
        }
        if db::operation::is_unfinished(app.db.read(), instance, kind).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Returns when somebody else needs the repository.
pub(super) async fn needed(app: &App, instance: &ResourceId, duty: Duty) {
    loop {
        tokio::time::sleep(YIELD_POLL).await;
        match is_needed(app, instance, duty).await {
            Ok(false) => {}
            Ok(true) => return,
            Err(error) => tracing::warn!(
                error = error.chain(),
                "it cannot be seen whether a repository is needed"
            ),
        }
    }
}

/// Who holds the lease of a repository for a duty: the same in the next life of this process, which takes it over at once.
pub(super) fn holder(app: &App, duty: Duty) -> String {
    let node = Uuid::new_v5(&Uuid::NAMESPACE_URL, app.node_name.as_bytes());
    format!("{} by the service {node}", duty.as_str())
}

/// That long from now, in microseconds since 1970.
pub(super) fn later(app: &App, delay: Duration) -> i64 {
    let delay_us = i64::try_from(delay.as_micros()).unwrap_or(i64::MAX);
    app.clock.now_us().saturating_add(delay_us)
}
