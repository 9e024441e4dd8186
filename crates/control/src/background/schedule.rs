//! Begins the backups that policies want, each at its time, once.
//!
//! What is due is found from the policy in force and from how far its schedule was dealt with, never from jobs: a time that
//! passed while nobody looked is found afterwards as well. Of several such times the newest is made up for
//! (`schedule.catch_up`); the others are reported as missed. The row's step forward and the operation are one transaction, so
//! that of several replicas one begins the backup, and a death between the two loses nothing.

use std::time::Duration;

use coffer_azure::{ApiVersion, ResourceId};
use uuid::Uuid;

use crate::app::App;
use crate::app::alert::{self, Alert, AlertKind};
use crate::app::dataprotection::protection_state::ProtectionState;
use crate::app::dataprotection::state::{InstanceState, VaultState, read_state};
use crate::app::dataprotection::{backup_policy, instance_row, location_of};
use crate::config::ScheduleConfig;
use crate::db::schedule::ScheduleRow;
use crate::db::{self, Resource, Tx};
use crate::error::{Error, ErrorKind};
use crate::operations::{self, BackupInput, NewJob, NewOperation, OperationKind};
use crate::policy::blackout::first_free;
use crate::policy::rules;
use crate::policy::schedule::{Due, Schedule, shown};

/// Rows of one look; the next look follows at once when there were so many.
const ROWS_MAX: u32 = 500;
/// The longest time between two looks for what was not announced.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);
/// How much later than planned a backup may begin before its time counts as missed.
const TOLERANCE_US: i64 = 5 * 60 * 1_000_000;
/// How long a row waits that could not be dealt with.
const FAILED_DELAY_US: i64 = 60 * 1_000_000;
/// Due of a schedule that has come to its end: never.
const NEVER_US: i64 = i64::MAX;
/// The version under which the operations of the schedule are shown.
const API_VERSION: &str = "2024-04-01";

/// Looks until the service stops.
pub(super) async fn keep_looking(app: &App) {
    loop {
        let wait = match run_due(app).await {
            Ok(wait) => wait,
            Err(error) => {
                tracing::error!(error = error.chain(), "scheduled backups cannot be begun");
                LOOK_INTERVAL
            }
        };
        tokio::select! {
            () = app.stopping.cancelled() => return,
            () = app.duties.schedule.notified() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

/// Deals with everything that is due; tells how long there is nothing to do unless somebody wakes.
pub(super) async fn run_due(app: &App) -> Result<Duration, Error> {
    loop {
        let rows = db::schedule::due(app.db.read(), app.clock.now_us(), ROWS_MAX).await?;
        let full = rows.len() >= ROWS_MAX as usize;
        for row in rows {
            if app.stopping.is_cancelled() {
                return Ok(LOOK_INTERVAL);
            }
            if let Err(error) = look_after(app, &row).await {
                tracing::error!(
                    code = "ScheduleFailed", instance = %row.instance, error = error.chain(),
                    "the schedule of an instance cannot be followed; it is tried again"
                );
                put_off(app, &row).await?;
            }
        }
        if full {
            continue;
        }
        let Some(next_us) = db::schedule::next_due_us(app.db.read()).await? else {
            return Ok(LOOK_INTERVAL);
        };
        let in_us = u64::try_from(next_us.saturating_sub(app.clock.now_us())).unwrap_or(0);
        return Ok(LOOK_INTERVAL.min(Duration::from_micros(in_us)));
    }
}

/// What an instance follows.
struct Followed {
    vault: Resource,
    policy: ResourceId,
    repository: Uuid,
    rule_name: String,
    schedule: Schedule,
}

async fn look_after(app: &App, row: &ScheduleRow) -> Result<(), Error> {
    let now_us = app.clock.now_us();
    let mut tx = app.db.begin().await?;
    let Some(followed) = followed(&mut tx, &row.instance).await? else {
        // Whoever protects it again notes it anew.
        db::schedule::forget(&mut tx, row).await?;
        return tx.commit().await;
    };
    let config = &app.config.schedule;
    let schedule = &followed.schedule;
    let seen_us = row.after_us.unwrap_or(now_us);
    let due = schedule.due(seen_us, now_us);
    // With jitter or in a blackout window a time has come before its backup begins.
    let waiting = due.filter(|due| begins_us(config, &row.instance, due.newest_us) > now_us);
    let due = if waiting.is_some() { None } else { due };
    let after_us = due.map_or(seen_us, |due| due.newest_us);
    let next_us = match waiting {
        Some(due) => Some(due.newest_us),
        None => schedule.next_after(after_us.max(seen_us)),
    };
    let next_us = next_us
        .map_or(NEVER_US, |next_us| begins_us(config, &row.instance, next_us).max(now_us + 1));
    if !db::schedule::advance(
        &mut tx,
        row,
        &followed.policy,
        followed.repository,
        after_us,
        next_us,
    )
    .await?
    {
        return Ok(());
    }
    if let Some(due) = due {
        begin(app, &mut tx, row, &followed, due, now_us).await?;
    }
    tx.commit().await?;
    app.executor.wake();
    Ok(())
}

/// Begins the newest of the times that are due, and reports what was missed.
async fn begin(
    app: &App,
    tx: &mut Tx,
    row: &ScheduleRow,
    followed: &Followed,
    due: Due,
    now_us: i64,
) -> Result<(), Error> {
    let config = &app.config.schedule;
    let seen_us = row.after_us.unwrap_or(due.newest_us);
    let begins_us = begins_us(config, &row.instance, due.newest_us);
    let is_late = now_us.saturating_sub(begins_us) > TOLERANCE_US;
    // Times within a blackout window are what the operator wants to be left out.
    let mut missed = if due.earlier == 0 || config.blackout.is_empty() {
        due.earlier
    } else {
        missed_outside(config, followed, seen_us, due)
    };
    if is_late {
        missed = missed.saturating_add(1);
    }
    let made_up = !is_late || config.catch_up;
    if missed > 0 {
        let newest = shown(due.newest_us);
        metrics::counter!("coffer_schedule_missed_total").increment(u64::from(missed));
        tracing::warn!(
            code = "BackupMissed", instance = %row.instance, missed, newest, made_up,
            "scheduled backups did not begin at their time"
        );
        let text = format!(
            "{missed} scheduled backup{} did not begin at their time; the newest was due at {newest}. {}",
            if missed == 1 { "" } else { "s" },
            if made_up { "One backup is taken now." } else { "The next one is taken at its time." }
        );
        let alert =
            Alert::of_instance(AlertKind::BackupMissed, &followed.vault, &row.instance, text);
        alert::raise(app, tx, &alert).await?;
    }
    if !made_up {
        return Ok(());
    }
    let new = NewOperation {
        kind: OperationKind::Backup,
        vault: followed.vault.id.clone(),
        instance: Some(row.instance.clone()),
        location: location_of(&followed.vault),
        input: serde_json::to_value(BackupInput {
            rule_name: followed.rule_name.clone(),
            retention_tag: None,
            scheduled_us: Some(due.newest_us),
        })
        .map_err(Error::internal)?,
        api_version: ApiVersion::parse(API_VERSION).map_err(Error::internal)?,
        activity_id: Uuid::new_v4().to_string(),
        job: Some(NewJob::Backup { user_triggered: false, retention_tag: None }),
    };
    match operations::begin(tx, new, now_us).await {
        Ok(_) => {
            metrics::counter!("coffer_schedule_begun_total").increment(1);
            Ok(())
        }
        Err(error) if error.kind == ErrorKind::Conflict => {
            // The one before has not ended. Another behind it would not make the data newer for longer than a moment.
            metrics::counter!("coffer_schedule_missed_total").increment(1);
            let text = format!(
                "The scheduled backup of {} was left out: the one before has not ended.",
                shown(due.newest_us)
            );
            tracing::warn!(code = "BackupStillRunning", instance = %row.instance, text);
            let alert =
                Alert::of_instance(AlertKind::BackupMissed, &followed.vault, &row.instance, text);
            alert::raise(app, tx, &alert).await
        }
        Err(error) => Err(error),
    }
}

fn missed_outside(config: &ScheduleConfig, followed: &Followed, seen_us: i64, due: Due) -> u32 {
    let earlier = followed
        .schedule
        .upcoming(seen_us)
        .take(due.earlier as usize)
        .filter(|at| first_free(&config.blackout, *at) == Some(*at));
    u32::try_from(earlier.count()).unwrap_or(u32::MAX)
}

/// What the instance follows now; none when it is gone or no backups are wanted of it.
async fn followed(tx: &mut Tx, instance: &ResourceId) -> Result<Option<Followed>, Error> {
    let Some(resource) = db::resource_get(&mut **tx, instance).await? else { return Ok(None) };
    let state = instance_row::state_of(&resource);
    // What is being updated was protected before and is afterwards.
    if !matches!(state, ProtectionState::ProtectionConfigured | ProtectionState::UpdatingProtection)
    {
        return Ok(None);
    }
    let Some(vault) = instance.parent() else { return Ok(None) };
    let Some(vault) = db::resource_get(&mut **tx, &vault).await? else { return Ok(None) };
    if read_state::<VaultState>(&vault.body)?.deleting {
        return Ok(None);
    }
    let policy_id = instance_row::policy_of(&resource)?;
    let Some(policy) = db::resource_get(&mut **tx, &policy_id).await? else {
        return Err(Error::internal(format!("{instance} follows {policy_id}, which is not there")));
    };
    let policy = backup_policy::read(&policy)?;
    let schedule = Schedule::of(&policy).map_err(Error::internal)?;
    let rule_name = rules::backup_rule_name(&policy).unwrap_or_default().to_owned();
    let repository = read_state::<InstanceState>(&resource.body)?.repository_guid;
    Ok(Some(Followed { vault, policy: policy_id, repository, rule_name, schedule }))
}

/// When the backup for a time of the schedule begins: a part of the jitter later that is the same on every replica, and outside
/// of the hours in which none is wanted. Windows that leave no time at all are passed over.
fn begins_us(config: &ScheduleConfig, instance: &ResourceId, scheduled_us: i64) -> i64 {
    let jitter_us = u64::try_from(config.jitter.as_micros()).unwrap_or(u64::MAX);
    let name = format!("{} {scheduled_us}", instance.key());
    let (part, _) = Uuid::new_v5(&Uuid::NAMESPACE_URL, name.as_bytes()).as_u64_pair();
    let part_us = part.checked_rem(jitter_us).unwrap_or(0);
    let begins_us = scheduled_us.saturating_add(i64::try_from(part_us).unwrap_or(0));
    first_free(&config.blackout, begins_us).unwrap_or(begins_us)
}

async fn put_off(app: &App, row: &ScheduleRow) -> Result<(), Error> {
    let mut tx = app.db.begin().await?;
    db::schedule::put_off(&mut tx, row, app.clock.now_us().saturating_add(FAILED_DELAY_US)).await?;
    tx.commit().await
}
