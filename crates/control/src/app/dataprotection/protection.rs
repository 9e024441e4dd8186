//! Stop, suspend, resume and sync: the actions that change how an instance is protected and carry nothing else.

use coffer_azure::ResourceId;

use super::critical_operation::CriticalOperation;
use super::datasource::{self, ClaimFor};
use super::protection_state::{Decision, InstanceAction, decide};
use super::{Call, Wanted, backup_policy, errors, guarded, instance_row, vault_require_usable};
use crate::app::App;
use crate::db::{self, Resource, Tx};
use crate::error::Error;
use crate::operations::{ConfigureProtectionInput, Operation, OperationKind};

/// Does `action` to an instance. `requests` reads those to the vault's resource guard that the request has named. None when there is
/// nothing to do: the instance is already there.
///
/// # Errors
/// Not allowed; the body is not one; absent; refused by the instance's state; for a resumption, the datasource is protected elsewhere or the policy has
/// gone; the database fails.
pub async fn change(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    action: InstanceAction,
    requests: impl FnOnce() -> Result<Option<Vec<String>>, Error>,
) -> Result<Option<Operation>, Error> {
    let (verb, kind) = match action {
        InstanceAction::StopProtection => ("stopProtection", OperationKind::StopProtection),
        InstanceAction::SuspendBackups => ("suspendBackups", OperationKind::SuspendBackups),
        InstanceAction::ResumeProtection => ("resumeProtection", OperationKind::ResumeProtection),
        InstanceAction::ResumeBackups => ("resumeBackups", OperationKind::ResumeBackups),
        InstanceAction::Sync => ("sync", OperationKind::ConfigureProtection),
        InstanceAction::Update
        | InstanceAction::Backup
        | InstanceAction::Restore
        | InstanceAction::Delete => {
            return Err(Error::internal(format!("{action:?} is no bare change of protection")));
        }
    };
    call.authorize(app, &format!("backupVaults/backupInstances/{verb}/action"), id).await?;
    let requests = requests()?;

    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    let vault = id.parent().ok_or_else(errors::resource_not_found)?;
    let vault = vault_require_usable(&mut tx, &vault).await?;
    let mut instance = instance_row::require(&mut *tx, id).await?;
    if matches!(action, InstanceAction::ResumeProtection | InstanceAction::ResumeBackups) {
        // Said even when the instance is configured: two holders of one datasource must never go unnoticed.
        resume(&mut tx, &instance).await?;
    }
    match decide(instance_row::state_of(&instance), action) {
        Decision::Nothing => return Ok(None),
        Decision::Refused(reason) => return Err(errors::state_refuses(reason)),
        Decision::Begin => {}
    }
    let critical = match action {
        InstanceAction::StopProtection => Some(CriticalOperation::StopProtection),
        InstanceAction::SuspendBackups => Some(CriticalOperation::SuspendBackups),
        _ => None,
    };
    if let Some(critical) = critical {
        guarded::require_consent(app, call, &mut tx, &vault.id, critical, requests.as_deref())
            .await?;
    }
    let mut wanted = Wanted::of_instance(kind, &instance.id);
    if action == InstanceAction::Sync {
        wanted = wanted.with_input(&ConfigureProtectionInput { deep_validation: true })?;
    }
    let operation = call.begin(&mut tx, &vault, wanted, now_us).await?;
    if action == InstanceAction::Sync {
        mark_configuring(&mut instance);
        db::resource_update(&mut tx, &mut instance, now_us).await?;
    }
    tx.commit().await?;
    app.executor.wake();
    Ok(Some(operation))
}

/// Makes the instance the holder of its datasource again, if nobody else is, and its policy still exists.
async fn resume(tx: &mut Tx, instance: &Resource) -> Result<(), Error> {
    datasource::claim(tx, &instance.id, &instance_row::datasource_of(instance)?, ClaimFor::Resume)
        .await?;
    backup_policy::require(tx, &instance_row::policy_of(instance)?).await?;
    Ok(())
}

/// Puts an instance's row into the state in which its first configuration was.
pub(super) fn mark_configuring(instance: &mut Resource) {
    instance_row::set_state(
        &mut instance.body,
        super::protection_state::ProtectionState::ConfiguringProtection,
    );
    instance.body["properties"]["provisioningState"] = serde_json::json!("Provisioning");
}
