//! Vaults that were deleted softly: listed by location until they are purged, and brought back by making them again.
//!
//! Such a vault has left its group: its row, its policies and its soft deleted instances go on below
//! `/subscriptions/{id}/providers/Microsoft.DataProtection/locations/{location}/deletedVaults/{name}`, so that another vault can have
//! its name meanwhile. The name is the GUID of its prefix in the storage, where nothing moves.

use coffer_azure::duration::format_time;
use coffer_azure::{ApiVersion, BackupVault, DeletedBackupVault, ResourceDeletionInfo, ResourceId};
use serde_json::Value;

use super::state::{Deletion, VaultDeletion, VaultState, read_state, write_state};
use super::vault_security::{SoftDelete, retention_us};
use super::{Call, NAMESPACE, backup_vault, errors, location_of, vault_properties};
use crate::app::App;
use crate::config::location_key;
use crate::db::{self, Page, Paged, Resource, Tx, purge};
use crate::error::Error;

/// Kind of a deleted vault's row.
const DELETED_VAULT_KIND: &str = "microsoft.dataprotection/locations/deletedvaults";
/// Its last segment, as Azure writes it.
const DELETED_VAULTS: &str = "deletedVaults";

/// Whether the id is one of a deleted vault.
pub(crate) fn is_deleted_vault(id: &ResourceId) -> bool {
    id.resource_type().eq_ignore_ascii_case(DELETED_VAULT_KIND)
}

/// The deleted vaults of a subscription in one location.
///
/// # Errors
/// Not allowed; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    subscription: &ResourceId,
    location: &str,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    call.authorize(app, "locations/deletedVaults/read", subscription).await?;
    let location = location_id(subscription, location);
    db::resource_list_children(app.db.read(), &location, DELETED_VAULT_KIND, page).await
}

/// Reads a deleted vault by its name in its location.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn get(
    app: &App,
    call: Call<'_>,
    subscription: &ResourceId,
    location: &str,
    name: &str,
) -> Result<Resource, Error> {
    call.authorize(app, "locations/deletedVaults/read", subscription).await?;
    let id = location_id(subscription, location).child(DELETED_VAULTS, name);
    db::resource_get(app.db.read(), &id).await?.ok_or_else(errors::resource_not_found)
}

/// A deleted vault's properties as the wire has them.
///
/// # Errors
/// The row is not what was written: a fault of ours.
pub fn wire(deleted: &Resource) -> Result<DeletedBackupVault, Error> {
    let state: VaultState = read_state(&deleted.body)?;
    let VaultDeletion { deletion, vault } =
        state.deletion.ok_or_else(|| Error::internal("a deleted vault that was not deleted"))?;
    let id = ResourceId::parse(&vault).map_err(Error::internal)?;
    Ok(DeletedBackupVault {
        vault: backup_vault::wire(deleted)?.properties,
        original_backup_vault_id: vault.clone(),
        original_backup_vault_name: id.name().to_owned(),
        original_backup_vault_resource_path: vault,
        resource_deletion_info: ResourceDeletionInfo {
            deletion_time: Some(format_time(deletion.deleted_us)),
            scheduled_purge_time: Some(format_time(deletion.purge_us)),
            delete_activity_id: Some(deletion.activity_id),
        },
    })
}

/// How a vault that is deleted now goes: softly, in versions of the API that know deleted vaults, unless its soft delete is off; else
/// for good. The retention in force at the deletion governs.
pub(super) fn soft_deletion(
    vault: &Resource,
    properties: &BackupVault,
    call: Call<'_>,
    now_us: i64,
) -> Result<Option<VaultDeletion>, Error> {
    let (state, days) = vault_properties::soft_delete_of(properties)?;
    if state == SoftDelete::Off || !knows_deleted_vaults(call.api_version) {
        return Ok(None);
    }
    let deletion = Deletion {
        deleted_us: now_us,
        purge_us: now_us.saturating_add(retention_us(days)),
        activity_id: call.activity_id.to_owned(),
        purging: false,
    };
    Ok(Some(VaultDeletion { deletion, vault: vault.id.to_string() }))
}

/// Versions since 2025-09-01 delete vaults softly.
fn knows_deleted_vaults(version: &ApiVersion) -> bool {
    version.is_since(2025, 9, 1)
}

/// Takes a vault out of its group, in the transaction that ends its deletion. Its state says how it was deleted.
///
/// # Errors
/// The database fails.
pub(crate) async fn put_away(tx: &mut Tx, vault: &Resource, now_us: i64) -> Result<(), Error> {
    let mut state: VaultState = read_state(&vault.body)?;
    let Some(VaultDeletion { deletion, .. }) = &state.deletion else {
        return Err(Error::internal("a vault that is not deleted softly"));
    };
    let purge_us = deletion.purge_us;
    state.deleting = false;
    let mut body = vault.body.clone();
    write_state(&mut body, &state);
    let subscription = ResourceId::subscription(vault.id.subscription_id().unwrap_or_default());
    let id = location_id(&subscription, &location_of(vault))
        .child(DELETED_VAULTS, &state.vault_guid.to_string());
    db::resource_move(tx, vault, &id, body, now_us).await?;
    purge::set(tx, &id, purge_us).await
}

/// Brings the deleted vault that `deleted` names back under `id`, which the caller was authorized for, in the transaction of the
/// request that makes it again. It is as whole as one whose making has failed: the request's operation makes it so.
///
/// # Errors
/// There is no such deleted vault that was `id`; another vault has taken its id; its group is absent; the database fails.
pub(super) async fn bring_back(
    tx: &mut Tx,
    id: &ResourceId,
    deleted: &str,
    now_us: i64,
) -> Result<Resource, Error> {
    // One answer for what is not there and what is another vault's: who may write this vault may know of no other.
    let refused = || errors::no_deleted_vault(deleted);
    let deleted_id =
        ResourceId::parse(deleted).ok().filter(is_deleted_vault).ok_or_else(refused)?;
    let row = db::resource_get(&mut **tx, &deleted_id).await?.ok_or_else(refused)?;
    let mut state: VaultState = read_state(&row.body)?;
    let Some(VaultDeletion { deletion, vault }) = state.deletion.take() else {
        return Err(refused());
    };
    let original = ResourceId::parse(&vault).map_err(Error::internal)?;
    if original != *id || deletion.purging || deletion.purge_us <= now_us {
        return Err(refused());
    }
    if db::resource_exists(&mut **tx, id).await? {
        return Err(errors::deleted_vaults_name_is_taken(id));
    }
    let group = id.parent().ok_or_else(refused)?;
    if !db::resource_exists(&mut **tx, &group).await? {
        return Err(db::resource::resource_group_not_found(group.name()));
    }
    let mut body = row.body.clone();
    write_state(&mut body, &state);
    body["properties"]["provisioningState"] = Value::from(backup_vault::FAILED);
    purge::clear(tx, &deleted_id).await?;
    db::resource_move(tx, &row, &original, body, now_us).await
}

/// The location, as deleted vaults are below it: compared without case or blanks.
fn location_id(subscription: &ResourceId, location: &str) -> ResourceId {
    subscription.provider_child(NAMESPACE, "locations", &location_key(location))
}
