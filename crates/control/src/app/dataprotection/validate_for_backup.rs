//! `validateForBackup` and `validateForModifyBackup`: what can be said at once is said at once; everything else is an operation
//! without effect.

use coffer_azure::{
    BackupInstance, ResourceId, ValidateForBackupRequest, ValidateForModifyBackupRequest,
};

use super::datasource::{self, ClaimFor};
use super::protection_state::{Decision, InstanceAction, decide};
use super::{
    Call, Wanted, backup_policy, errors, instance_request, instance_row, vault_require_usable,
};
use crate::app::App;
use crate::db::{Resource, Tx};
use crate::error::Error;
use crate::operations::{Operation, OperationKind, ValidateForBackupInput};

/// Begins the checks for an instance as it would be made. `body` is read after the caller was authorized.
///
/// # Errors
/// Not allowed; not usable; the datasource is protected already; the vault is absent; the database fails.
pub async fn validate_for_backup(
    app: &App,
    call: Call<'_>,
    vault: &ResourceId,
    body: impl FnOnce() -> Result<ValidateForBackupRequest, Error> + Send,
) -> Result<Operation, Error> {
    call.authorize(app, "backupVaults/validateForBackup/action", vault).await?;
    let requested = instance_request::check(body()?.backup_instance, vault)?;
    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    let vault = vault_require_usable(&mut tx, vault).await?;
    datasource::require_free(&mut tx, None, &vault.id, &requested.datasource, ClaimFor::Protect)
        .await?;
    let policy = backup_policy::require(&mut tx, &requested.policy).await?;
    datasource::require_policy_for(&policy, &requested.datasource)?;
    begin_checks(app, call, tx, &vault, requested.properties, now_us).await
}

/// Begins the checks for an instance as a PUT would change it. `body` is read after the caller was authorized.
///
/// # Errors
/// Not allowed; not usable; the instance is absent, or in a state that allows no change; another datasource; the database fails.
pub async fn validate_for_modify_backup(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<ValidateForModifyBackupRequest, Error> + Send,
) -> Result<Operation, Error> {
    call.authorize(app, "backupVaults/backupInstances/validateForModifyBackup/action", id).await?;
    let vault = id.parent().ok_or_else(errors::resource_not_found)?;
    let requested = instance_request::check(body()?.backup_instance, &vault)?;
    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    let vault = vault_require_usable(&mut tx, &vault).await?;
    let existing = instance_row::require(&mut *tx, id).await?;
    let current = instance_row::datasource_of(&existing)?;
    if current != requested.datasource {
        return Err(errors::other_datasource(id, &current));
    }
    let state = instance_row::state_of(&existing);
    if let Decision::Refused(reason) = decide(state, InstanceAction::Update) {
        return Err(errors::state_refuses(reason));
    }
    let policy = backup_policy::require(&mut tx, &requested.policy).await?;
    datasource::require_policy_for(&policy, &requested.datasource)?;
    begin_checks(app, call, tx, &vault, requested.properties, now_us).await
}

/// The operation of both.
async fn begin_checks(
    app: &App,
    call: Call<'_>,
    mut tx: Tx,
    vault: &Resource,
    backup_instance: BackupInstance,
    now_us: i64,
) -> Result<Operation, Error> {
    let input = ValidateForBackupInput { backup_instance };
    let wanted = Wanted::of_vault(OperationKind::ValidateForBackup).with_input(&input)?;
    let operation = call.begin(&mut tx, vault, wanted, now_us).await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(operation)
}
