//! Soft deleted instances: listed until they are purged, and brought back.

use coffer_azure::ResourceId;

use super::datasource::{self, ClaimFor};
use super::state::{InstanceState, read_state};
use super::{
    Call, DELETED_INSTANCE_KIND, INSTANCES, Wanted, errors, instance_row, vault_require,
    vault_require_usable,
};
use crate::app::App;
use crate::db::{self, Page, Paged, Resource};
use crate::error::{Error, ErrorKind};
use crate::operations::{Operation, OperationKind};

/// Reads a soft deleted instance.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn get(app: &App, call: Call<'_>, id: &ResourceId) -> Result<Resource, Error> {
    call.authorize(app, "backupVaults/deletedBackupInstances/read", id).await?;
    db::resource_get(app.db.read(), id).await?.ok_or_else(errors::resource_not_found)
}

/// The soft deleted instances of a vault.
///
/// # Errors
/// Not allowed; the vault is absent; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    vault: &ResourceId,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    call.authorize(app, "backupVaults/deletedBackupInstances/read", vault).await?;
    vault_require(app.db.read(), vault).await?;
    db::resource_list_children(app.db.read(), vault, DELETED_INSTANCE_KIND, page).await
}

/// Begins to bring a soft deleted instance back, with its protection stopped.
///
/// # Errors
/// Not allowed; absent or due to be purged; the database fails.
pub async fn undelete(app: &App, call: Call<'_>, id: &ResourceId) -> Result<Operation, Error> {
    call.authorize(app, "backupVaults/deletedBackupInstances/undelete/action", id).await?;
    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    let vault_id = id.parent().ok_or_else(errors::resource_not_found)?;
    let vault = vault_require_usable(&mut tx, &vault_id).await?;
    let deleted = db::resource_get(&mut *tx, id).await?.ok_or_else(errors::resource_not_found)?;
    let state: InstanceState = read_state(&deleted.body)?;
    if state.deletion.is_none_or(|deletion| deletion.purging || deletion.purge_us <= now_us) {
        return Err(errors::resource_not_found());
    }
    let instance = vault_id.child(INSTANCES, deleted.id.name());
    // When the datasource is protected elsewhere by now, the instance comes back all the same; only resuming it is refused.
    match datasource::claim(
        &mut tx,
        &instance,
        &instance_row::datasource_of(&deleted)?,
        ClaimFor::Resume,
    )
    .await
    {
        Err(refused) if refused.kind != ErrorKind::Invalid => return Err(refused),
        Ok(()) | Err(_) => {}
    }
    let operation = call
        .begin(&mut tx, &vault, Wanted::of_instance(OperationKind::Undelete, &instance), now_us)
        .await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(operation)
}
