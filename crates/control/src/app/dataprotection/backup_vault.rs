//! Backup vaults: made, changed, read and listed. Their identity is [`super::vault_identity`], their end [`super::vault_deletion`], and
//! what there is after it [`super::deleted_vault`].

use std::collections::BTreeMap;

use coffer_azure::{
    BackupVault, BackupVaultResource, PatchResourceRequestInput, ResourceId, StorageSetting,
};
use serde_json::Value;
use uuid::Uuid;

use super::critical_operation::CriticalOperation;
use super::state::{VaultState, read_state, without_state, write_state};
use super::vault_deletion::purge_now;
use super::vault_identity::{WantedIdentity, apply_identity, wanted_identity};
use super::vault_properties::{self, RequestedSettings};
use super::vault_security::SoftDelete;
use super::{
    Call, DELETED_INSTANCE_KIND, INSTANCE_KIND, NAMESPACE, VAULT_KIND, Wanted, deleted_vault,
    errors, guarded, names, vault_require,
};
use crate::app::App;
use crate::app::alert;
use crate::config::location_key;
use crate::db::{self, NewResource, Page, Paged, Resource, Tx};
use crate::error::Error;
use crate::operations::{Operation, OperationKind};

/// The provisioning state of a vault whose last operation has failed.
pub(super) const FAILED: &str = "Failed";

/// What a PUT or PATCH did.
#[derive(Debug)]
pub struct VaultChange {
    /// As it is now.
    pub vault: Resource,
    /// What finishes a new or changed vault; none when it was so already.
    pub operation: Option<Operation>,
}

/// Creates a vault or changes one. `body` is read after the caller was authorized. `deleted` is the id of a deleted vault that is to
/// come back as this one.
///
/// # Errors
/// Not allowed; settings that are not possible; the group is absent; the vault is being deleted; it cannot be brought back; the
/// database fails.
pub async fn put(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    deleted: Option<&str>,
    body: impl FnOnce() -> Result<BackupVaultResource, Error> + Send,
) -> Result<VaultChange, Error> {
    call.authorize(app, "backupVaults/write", id).await?;
    let body = body()?;
    names::check_vault_name(id.name()).map_err(errors::invalid_input)?;
    let identity = wanted_identity(body.identity.as_ref())?;
    let requests = body.properties.resource_guard_operation_requests;
    let settings = RequestedSettings {
        security: body.properties.security_settings,
        features: body.properties.feature_settings,
        monitoring: body.properties.monitoring_settings,
    };
    let storage = body.properties.storage_settings;

    let mut tx = app.begin(call.caller).await?;
    let mut existing = db::resource_get(&mut *tx, id).await?;
    call.require_match(existing.as_ref())?;
    if let Some(deleted) = deleted {
        let now_us = app.clock.now_us();
        existing = Some(deleted_vault::bring_back(&mut tx, id, deleted, now_us).await?);
    }
    match existing {
        None => {
            let location =
                body.location.filter(|location| !location.trim().is_empty()).ok_or_else(|| {
                    Error::invalid(
                        "LocationRequired",
                        "The location property is required for this definition.",
                    )
                    .with_target("location")
                })?;
            let vault = BackupVaultResource {
                tags: body.tags,
                identity: None,
                properties: {
                    let pair = app.config.pair_of(&location);
                    vault_properties::effective(storage, settings, None, pair.as_deref())?
                },
                location: Some(location),
                id: None,
                name: None,
                kind: None,
            };
            create(app, call, tx, id, vault, identity).await
        }
        Some(existing) => {
            if let Some(location) = &body.location {
                require_same_location(&existing, location)?;
            }
            let tags = Some(body.tags.unwrap_or_default());
            let change = Change { storage, settings, tags, identity, requests };
            update(app, call, tx, existing, change).await
        }
    }
}

/// Changes what a PATCH names and nothing else.
///
/// # Errors
/// Not allowed; absent; settings that are not possible; being deleted; the database fails.
pub async fn patch(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<PatchResourceRequestInput, Error> + Send,
) -> Result<VaultChange, Error> {
    call.authorize(app, "backupVaults/write", id).await?;
    let body = body()?;
    let identity = wanted_identity(body.identity.as_ref())?;
    let mut tx = app.begin(call.caller).await?;
    let existing = vault_require(&mut *tx, id).await?;
    call.require_match(Some(&existing))?;
    let properties = body.properties.unwrap_or_default();
    let current = wire(&existing)?;
    let settings = RequestedSettings {
        security: properties.security_settings,
        features: properties.feature_settings,
        monitoring: properties.monitoring_settings.or(current.properties.monitoring_settings),
    };
    let requests = properties.resource_guard_operation_requests;
    let change = Change { storage: None, settings, tags: body.tags, identity, requests };
    update(app, call, tx, existing, change).await
}

/// Reads a vault.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn get(app: &App, call: Call<'_>, id: &ResourceId) -> Result<Resource, Error> {
    call.authorize(app, "backupVaults/read", id).await?;
    vault_require(app.db.read(), id).await
}

/// The vaults of a subscription or a group that the caller may read.
///
/// # Errors
/// Not allowed; the group is absent; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    scope: &ResourceId,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    let action = format!("{NAMESPACE}/backupVaults/read");
    let grants = app.authorize_list(call.caller, &action, scope).await?;
    let group = scope.resource_group();
    if group.is_some() && !db::resource_exists(app.db.read(), scope).await? {
        return Err(Error::not_found(
            "ResourceGroupNotFound",
            format!("Resource group '{}' could not be found.", group.unwrap_or_default()),
        ));
    }
    let subscription = scope.subscription_id().unwrap_or_default();
    let mut found = db::resource_list(app.db.read(), subscription, group, VAULT_KIND, page).await?;
    found.items.retain(|vault| grants.allow(&action, false, &vault.id));
    Ok(found)
}

/// The vault as the wire has it, out of its row.
pub(super) fn wire(vault: &Resource) -> Result<BackupVaultResource, Error> {
    serde_json::from_value(without_state(&vault.body)).map_err(Error::internal)
}

struct Change {
    storage: Option<Vec<StorageSetting>>,
    settings: RequestedSettings,
    tags: Option<BTreeMap<String, String>>,
    identity: WantedIdentity,
    /// Requests to the vault's resource guard.
    requests: Option<Vec<String>>,
}

async fn create(
    app: &App,
    call: Call<'_>,
    mut tx: Tx,
    id: &ResourceId,
    mut vault: BackupVaultResource,
    identity: WantedIdentity,
) -> Result<VaultChange, Error> {
    let now_us = app.clock.now_us();
    let mut state = VaultState {
        vault_guid: Uuid::new_v4(),
        principal_id: None,
        deleting: false,
        deletion: None,
        second_region: region_of(&vault.properties),
    };
    vault.properties.provisioning_state = Some("Provisioning".to_owned());
    vault.tags = vault.tags.filter(|tags| !tags.is_empty());
    apply_identity(app, &mut tx, id, identity, &mut vault, &mut state).await?;
    let body = row_body(&vault, &state)?;
    let resource =
        db::resource_insert(&mut tx, NewResource { id: id.clone(), body, now_us }).await?;
    let operation = call
        .begin(&mut tx, &resource, Wanted::of_vault(OperationKind::CreateVault), now_us)
        .await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(VaultChange { vault: resource, operation: Some(operation) })
}

async fn update(
    app: &App,
    call: Call<'_>,
    mut tx: Tx,
    mut existing: Resource,
    change: Change,
) -> Result<VaultChange, Error> {
    let now_us = app.clock.now_us();
    let mut state: VaultState = read_state(&existing.body)?;
    if state.deleting {
        return Err(errors::vault_is_deleting(&existing.id));
    }
    let before = wire(&existing)?;
    let requests = change.requests.as_deref();
    if vault_properties::asks_for_encryption(&change.settings) {
        let operation = CriticalOperation::ModifyEncryption;
        guarded::require_consent(app, call, &mut tx, &existing.id, operation, requests).await?;
    }
    let mut after = before.clone();
    let offered = || app.config.pair_of(&super::location_of(&existing));
    let second_region = state.second_region.clone().or_else(offered);
    after.properties = vault_properties::effective(
        change.storage,
        change.settings,
        Some(&before.properties),
        second_region.as_deref(),
    )?;
    state.second_region = state.second_region.or_else(|| region_of(&after.properties));
    after.properties.provisioning_state.clone_from(&before.properties.provisioning_state);
    if let Some(tags) = change.tags {
        after.tags = Some(tags).filter(|tags| !tags.is_empty());
    }
    apply_identity(app, &mut tx, &existing.id, change.identity, &mut after, &mut state).await?;
    // What has failed to be made or changed is tried again by the same request.
    let is_whole = before.properties.provisioning_state.as_deref() != Some(FAILED);
    if is_whole && after == before {
        return Ok(VaultChange { vault: existing, operation: None });
    }
    for operation in vault_properties::weakened(&before.properties, &after.properties)? {
        guarded::require_consent(app, call, &mut tx, &existing.id, operation, requests).await?;
    }
    if after.properties.storage_settings != before.properties.storage_settings
        && protects_something(&mut tx, &existing.id).await?
    {
        return Err(errors::invalid_input(
            "storageSettings cannot be changed once the vault has backup instances.",
        ));
    }
    let lets_go = turns_soft_delete_off(&before.properties, &after.properties)?;
    if lets_go {
        purge_now(&mut tx, &existing.id, now_us).await?;
    }
    after.properties.provisioning_state = Some("Updating".to_owned());
    let was = existing.clone();
    existing.body = row_body(&after, &state)?;
    db::resource_update(&mut tx, &mut existing, now_us).await?;
    alert::raise_if_weakened(app, &mut tx, &was, &existing).await?;
    let operation = call
        .begin(&mut tx, &existing, Wanted::of_vault(OperationKind::UpdateVault), now_us)
        .await?;
    tx.commit().await?;
    app.executor.wake();
    if lets_go {
        app.duties.wake();
    }
    Ok(VaultChange { vault: existing, operation: Some(operation) })
}

fn row_body(vault: &BackupVaultResource, state: &VaultState) -> Result<Value, Error> {
    let mut body = serde_json::to_value(vault).map_err(Error::internal)?;
    write_state(&mut body, state);
    Ok(body)
}

fn region_of(vault: &BackupVault) -> Option<String> {
    vault.replicated_regions.as_ref()?.first().cloned()
}

fn require_same_location(existing: &Resource, location: &str) -> Result<(), Error> {
    let current = super::location_of(existing);
    if location_key(&current) == location_key(location) {
        return Ok(());
    }
    Err(errors::other_location(&existing.id, &current, location))
}

async fn protects_something(tx: &mut Tx, vault: &ResourceId) -> Result<bool, Error> {
    let one = Page { after: None, rows_max: 1 };
    for kind in [INSTANCE_KIND, DELETED_INSTANCE_KIND] {
        if !db::resource_list_children(&mut **tx, vault, kind, &one).await?.items.is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn turns_soft_delete_off(before: &BackupVault, after: &BackupVault) -> Result<bool, Error> {
    let (before, _) = vault_properties::soft_delete_of(before)?;
    let (after, _) = vault_properties::soft_delete_of(after)?;
    Ok(before != SoftDelete::Off && after == SoftDelete::Off)
}
