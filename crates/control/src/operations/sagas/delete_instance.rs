//! An instance goes. With the vault's soft delete it becomes a deleted instance that can come back until its days are
//! over; without, its data goes at once: keys first, then the rest, then the record.
//!
//! An instance whose configuration failed and which has no recovery point leaves nothing that could come back: it goes at
//! once, so that its database can be protected under another name.
//!
//! Backups and restores of it that still run are stopped first, so that nothing writes to or reads from what goes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use coffer_azure::ResourceId;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::configure_protection::set_error;
use super::instance_repository::{destroy_repository, instance_resource};
use crate::app::alert::{self, Alert, AlertKind};
use crate::app::dataprotection::instance_row::{deleted_id, set_state};
use crate::app::dataprotection::protection_state::ProtectionState;
use crate::app::dataprotection::state::{Deletion, InstanceState, read_state, write_state};
use crate::app::dataprotection::vault_security::{SOFT_DELETE_DAYS_DEFAULT, retention_us};
use crate::app::{App, user_facing_error};
use crate::audit::act::{Act, INSTANCE_DESTROYED};
use crate::db::{self, NewResource, Tx};
use crate::error::Error;
use crate::operations::{Failure, OperationKind, Outcome, Run, Saga, request_cancellation};
use crate::policy::schedule::shown;

pub(super) const STEPS: &[&str] = &["stop_work", "decide", "destroy_data"];

/// What is stopped, and waited for.
const STOPPED: [OperationKind; 4] = [
    OperationKind::Backup,
    OperationKind::Restore,
    OperationKind::ConfigureProtection,
    OperationKind::UpdateProtection,
];
/// How often it is looked whether what was asked to stop has.
const STOP_POLL: Duration = Duration::from_millis(50);
/// How long it is waited for before this attempt ends.
const STOP_WAIT: Duration = Duration::from_secs(60);

/// See the module.
pub(super) struct DeleteInstance {
    pub(super) app: Arc<App>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Checkpoint {
    /// For soft deletion: until when it can come back. The setting in force at the deletion governs.
    keep_for_us: Option<i64>,
}

#[async_trait]
impl Saga for DeleteInstance {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, step: &'static str, run: &mut Run) -> Result<(), Failure> {
        match step {
            "stop_work" => self.stop_work(run).await,
            "decide" => {
                let keep_for_us = if self.was_never_protected(run).await? {
                    None
                } else {
                    let vault =
                        db::resource_get(self.app.db.read(), &run.operation().vault).await?;
                    let settings =
                        vault.map(|vault| vault.body["properties"]["securitySettings"].clone());
                    keep_for_us(&settings.unwrap_or_default())
                };
                run.set_checkpoint(&Checkpoint { keep_for_us })?;
                Ok(())
            }
            _ => {
                if run.checkpoint::<Checkpoint>()?.keep_for_us.is_some() {
                    return Ok(());
                }
                let operation = run.operation();
                let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
                let (_, state) = instance_resource(&self.app, instance).await?;
                destroy_repository(&self.app, &operation.vault, state.repository_guid).await
            }
        }
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        let Some(instance) = &run.operation().instance else { return Ok(()) };
        let Some(mut resource) = db::resource_get(&mut **tx, instance).await? else {
            return Ok(());
        };
        let now_us = run.now_us();
        match outcome {
            Outcome::Succeeded => {}
            Outcome::Failed(error) => {
                // It is still there, and can be deleted again.
                set_error(&mut resource.body, error)?;
                return db::resource_update(tx, &mut resource, now_us).await;
            }
            Outcome::Cancelled => {
                set_error(&mut resource.body, &user_facing_error::cancelled())?;
                return db::resource_update(tx, &mut resource, now_us).await;
            }
        }
        db::resource_delete(tx, &resource).await?;
        // Its schedule is forgotten at the next look, and nothing is told of it as of what is protected.
        db::schedule::look_again(tx, instance, now_us).await?;
        let kept_us = run.checkpoint::<Checkpoint>()?.keep_for_us;
        self.tell(tx, run, &resource.id, kept_us.map(|us| now_us.saturating_add(us))).await?;
        let mut state: InstanceState = read_state(&resource.body)?;
        let Some(keep_for_us) = run.checkpoint::<Checkpoint>()?.keep_for_us else {
            let count = db::recovery_point::delete_all(tx, state.repository_guid).await?;
            let act = Act {
                count,
                operation_id: Some(&run.operation().id),
                ..Act::done(INSTANCE_DESTROYED, resource.id.as_str(), Vec::new())
            };
            return self.app.audit.act(tx, now_us, &act).await;
        };
        let deleted = deleted_id(&resource.id)?;
        let purge_us = now_us.saturating_add(keep_for_us);
        state.deletion = Some(Deletion {
            deleted_us: now_us,
            purge_us,
            activity_id: run.operation().activity_id.clone(),
            purging: false,
        });
        let mut body = resource.body;
        set_state(&mut body, ProtectionState::SoftDeleted);
        write_state(&mut body, &state);
        db::resource_insert(tx, NewResource { id: deleted.clone(), body, now_us }).await?;
        db::purge::set(tx, &deleted, purge_us).await
    }
}

impl DeleteInstance {
    /// Somebody should hear of it who did not ask for it.
    async fn tell(
        &self,
        tx: &mut Tx,
        run: &Run,
        instance: &ResourceId,
        purge_us: Option<i64>,
    ) -> Result<(), Error> {
        let Some(vault) = db::resource_get(&mut **tx, &run.operation().vault).await? else {
            return Ok(());
        };
        let text = match purge_us {
            Some(us) => format!(
                "A backup instance was deleted. It can be undeleted until {}; then its data goes.",
                shown(us)
            ),
            None => "A backup instance was deleted with its data.".to_owned(),
        };
        let alert = Alert::of_instance(AlertKind::BackupDataDeleted, &vault, instance, text);
        alert::raise(&self.app, tx, &alert).await
    }

    async fn was_never_protected(&self, run: &Run) -> Result<bool, Failure> {
        let Some(instance) = &run.operation().instance else { return Ok(false) };
        let (resource, state) = instance_resource(&self.app, instance).await?;
        // The state says by now that it is being deleted; what became of the configuration still stands beside it.
        if resource.body["properties"]["provisioningState"] != "Failed" {
            return Ok(false);
        }
        let newest = db::recovery_point::newest(self.app.db.read(), state.repository_guid).await?;
        Ok(newest.is_none())
    }

    async fn stop_work(&self, run: &Run) -> Result<(), Failure> {
        let operation = run.operation();
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        let deadline = tokio::time::Instant::now() + STOP_WAIT;
        loop {
            let mut tx = self.app.db.begin().await?;
            let mut running = false;
            for kind in STOPPED {
                running |= db::operation::unfinished(&mut tx, instance, kind).await?.is_some();
            }
            if !running {
                return Ok(());
            }
            request_cancellation(&mut tx, instance, &STOPPED).await?;
            tx.commit().await?;
            self.app.executor.wake();
            if tokio::time::Instant::now() >= deadline {
                return Err(Failure::transient(user_facing_error::work_does_not_stop(instance)));
            }
            tokio::select! {
                () = tokio::time::sleep(STOP_POLL) => {}
                () = run.cancellation().cancelled() => return Err(Failure::Interrupted),
            }
        }
    }
}

/// None when the vault's soft delete is off.
fn keep_for_us(security_settings: &Value) -> Option<i64> {
    let soft_delete = &security_settings["softDeleteSettings"];
    if soft_delete["state"].as_str().is_some_and(|state| state.eq_ignore_ascii_case("Off")) {
        return None;
    }
    let days = soft_delete["retentionDurationInDays"].as_f64().unwrap_or(SOFT_DELETE_DAYS_DEFAULT);
    Some(retention_us(days))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SECOND_US;
    use serde_json::json;

    #[test]
    fn soft_delete_is_on_unless_switched_off() {
        let day = 86_400 * SECOND_US;
        assert_eq!(keep_for_us(&Value::Null), Some(14 * day));
        assert_eq!(keep_for_us(&json!({ "softDeleteSettings": { "state": "Off" } })), None);
        let on =
            json!({ "softDeleteSettings": { "state": "On", "retentionDurationInDays": 30.0 } });
        assert_eq!(keep_for_us(&on), Some(30 * day));
    }
}
