//! Ad hoc backups.

use coffer_azure::{ResourceId, TriggerBackupRequest};

use super::protection_state::{Decision, InstanceAction, decide};
use super::{Call, Wanted, backup_policy, errors, instance_row, vault_require_usable};
use crate::app::App;
use crate::error::Error;
use crate::operations::{BackupInput, NewJob, Operation, OperationKind};
use crate::policy::rules;

/// Begins a backup by the policy's backup rule. `body` is read after the caller was authorized.
///
/// # Errors
/// Not allowed; absent; refused by the instance's state; a rule or tag that the policy does not have; a backup runs already; the
/// database fails.
pub async fn adhoc_backup(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<TriggerBackupRequest, Error> + Send,
) -> Result<Operation, Error> {
    call.authorize(app, "backupVaults/backupInstances/backup/action", id).await?;
    let options = body()?.backup_rule_options;
    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    let vault = id.parent().ok_or_else(errors::resource_not_found)?;
    let vault = vault_require_usable(&mut tx, &vault).await?;
    let instance = instance_row::require(&mut *tx, id).await?;
    if let Decision::Refused(reason) =
        decide(instance_row::state_of(&instance), InstanceAction::Backup)
    {
        return Err(errors::state_refuses(reason));
    }
    let policy = backup_policy::require(&mut tx, &instance_row::policy_of(&instance)?).await?;
    let rule = rules::backup_rule_name(&policy)
        .ok_or_else(|| Error::internal("a policy without a backup rule"))?;
    if !options.rule_name.eq_ignore_ascii_case(rule) {
        return Err(errors::backup_rule_unknown(&options.rule_name, rule));
    }
    let retention_tag = match &options.trigger_option.retention_tag_override {
        None => None,
        Some(tag) => Some(retention_tag(&policy, tag)?),
    };
    let wanted = Wanted::of_instance(OperationKind::Backup, &instance.id)
        .with_input(&BackupInput {
            rule_name: rule.to_owned(),
            retention_tag: retention_tag.clone(),
            scheduled_us: None,
        })?
        .with_job(NewJob::Backup { user_triggered: true, retention_tag });
    let operation = call.begin(&mut tx, &vault, wanted, now_us).await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(operation)
}

/// The retention rule's name, as the policy spells it.
fn retention_tag(policy: &coffer_azure::BackupPolicy, tag: &str) -> Result<String, Error> {
    match rules::retention_rule(policy, tag) {
        Some(rule) => Ok(rule.name.clone()),
        None => Err(errors::invalid_input(format!(
            "retentionTagOverride is '{tag}', which is no AzureRetentionRule of the policy; those are: {}.",
            rules::retention_rule_names(policy).join(", ")
        ))),
    }
}
