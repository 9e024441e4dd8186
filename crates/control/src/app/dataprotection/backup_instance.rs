//! Backup instances: what a PUT may say, who protects which datasource, and deletion.

use std::collections::BTreeMap;

use coffer_azure::{BackupInstance, BackupInstanceResource, ResourceId};
use serde_json::{Map, Value};
use uuid::Uuid;

use super::critical_operation::CriticalOperation;
use super::datasource::{self, ClaimFor};
use super::instance_request::{Requested, check};
use super::protection_state::{Decision, InstanceAction, ProtectionState, decide};
use super::state::{InstanceState, read_state, write_state};
use super::vault_security::Immutability;
use super::{
    Call, INSTANCE_KIND, Wanted, backup_policy, backup_vault, errors, guarded, instance_row, names,
    vault_properties, vault_require, vault_require_usable,
};
use crate::app::App;
use crate::db::{self, NewResource, Page, Paged, Resource, Tx, datasource_claim};
use crate::error::Error;
use crate::operations::{
    self, ConfigureProtectionInput, Operation, OperationKind, UpdateProtectionInput,
};

/// What a PUT did.
#[derive(Debug)]
pub enum InstanceChange {
    /// It was so already.
    Unchanged(Resource),
    /// It is new, or a failed configuration is tried again; the operation configures it.
    Configuring(Resource, Operation),
    /// It shows its old properties until the operation has succeeded.
    Updating(Resource, Operation),
}

/// Protects a datasource, or changes how it is protected. `body` is read after the caller was authorized.
///
/// # Errors
/// Not allowed; not usable; the datasource is protected already; refused by the instance's state; the database fails.
pub async fn put(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<BackupInstanceResource, Error> + Send,
) -> Result<InstanceChange, Error> {
    call.authorize(app, "backupVaults/backupInstances/write", id).await?;
    let body = body()?;
    names::check_instance_name(id.name()).map_err(errors::invalid_input)?;
    let vault_id = id.parent().ok_or_else(errors::resource_not_found)?;
    let mut requested = check(body.properties, &vault_id)?;
    let tags = body.tags.filter(|tags| !tags.is_empty());

    let mut tx = app.begin(call.caller).await?;
    let vault = vault_require_usable(&mut tx, &vault_id).await?;
    let policy = backup_policy::require(&mut tx, &requested.policy).await?;
    datasource::require_policy_for(&policy, &requested.datasource)?;
    let existing = db::resource_get(&mut *tx, id).await?;
    call.require_match(existing.as_ref().filter(|existing| instance_row::is_visible(existing)))?;
    match existing {
        None => {
            requested.properties.friendly_name.get_or_insert_with(|| id.name().to_owned());
            create(app, call, tx, &vault, id, requested, tags).await
        }
        Some(existing) if !instance_row::is_visible(&existing) => {
            Err(errors::operation_in_progress(&format!(
                "the backup instance '{}', which is being deleted,",
                id.name()
            )))
        }
        Some(existing) => {
            requested
                .properties
                .friendly_name
                .get_or_insert_with(|| instance_row::friendly_name_of(&existing));
            update(app, call, tx, &vault, existing, requested, tags).await
        }
    }
}

/// Reads an instance.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn get(app: &App, call: Call<'_>, id: &ResourceId) -> Result<Resource, Error> {
    call.authorize(app, "backupVaults/backupInstances/read", id).await?;
    instance_row::require(app.db.read(), id).await
}

/// The instances of a vault, those that are being deleted left out.
///
/// # Errors
/// Not allowed; the vault is absent; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    vault: &ResourceId,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    call.authorize(app, "backupVaults/backupInstances/read", vault).await?;
    vault_require(app.db.read(), vault).await?;
    let mut instances =
        db::resource_list_children(app.db.read(), vault, INSTANCE_KIND, page).await?;
    instances.items.retain(instance_row::is_visible);
    Ok(instances)
}

/// Begins the deletion of an instance: softly, or with its data, as the vault says. None when there is none.
///
/// From the commit on the instance is absent for clients and its datasource may be protected elsewhere.
///
/// # Errors
/// Not allowed; the vault is immutable; the database fails.
pub async fn delete(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
) -> Result<Option<Operation>, Error> {
    call.authorize(app, "backupVaults/backupInstances/delete", id).await?;
    let now_us = app.clock.now_us();
    let vault_id = id.parent().ok_or_else(errors::resource_not_found)?;
    let mut tx = app.begin(call.caller).await?;
    let Some(mut instance) = db::resource_get(&mut *tx, id).await? else {
        // Of a vault that is absent, nothing is there to be deleted either.
        return Ok(None);
    };
    let vault = vault_require_usable(&mut tx, &vault_id).await?;
    match decide(instance_row::state_of(&instance), InstanceAction::Delete) {
        Decision::Begin => {}
        Decision::Nothing => return Ok(None),
        Decision::Refused(reason) => return Err(errors::state_refuses(reason)),
    }
    call.require_match(Some(&instance))?;
    let operation = CriticalOperation::DeleteInstance;
    guarded::require_unlocked(&mut tx, &vault.id, operation, &instance.id, now_us).await?;
    require_mutable(&mut tx, &vault, &instance).await?;
    instance_row::set_state(&mut instance.body, ProtectionState::SoftDeleting);
    db::resource_update(&mut tx, &mut instance, now_us).await?;
    datasource_claim::release(&mut tx, &instance.id).await?;
    operations::request_cancellation(
        &mut tx,
        &instance.id,
        &[OperationKind::Backup, OperationKind::Restore],
    )
    .await?;
    let operation = call
        .begin(
            &mut tx,
            &vault,
            Wanted::of_instance(OperationKind::DeleteInstance, &instance.id),
            now_us,
        )
        .await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(Some(operation))
}

async fn create(
    app: &App,
    call: Call<'_>,
    mut tx: Tx,
    vault: &Resource,
    id: &ResourceId,
    requested: Requested,
    tags: Option<BTreeMap<String, String>>,
) -> Result<InstanceChange, Error> {
    let now_us = app.clock.now_us();
    if db::resource_exists(&mut *tx, &instance_row::deleted_id(id)?).await? {
        return Err(errors::state_refuses(format!(
            "A soft deleted backup instance of the name '{}' exists in the vault. Undelete it, or choose another name.",
            id.name()
        )));
    }
    require_server(app, call, &requested.datasource).await?;
    datasource::claim(&mut tx, id, &requested.datasource, ClaimFor::Protect).await?;
    let state =
        InstanceState { repository_guid: Uuid::new_v4(), deletion: None, pending_policy_id: None };
    let body = row_body(
        &requested.properties,
        tags.as_ref(),
        &state,
        ProtectionState::ConfiguringProtection,
        "Provisioning",
    )?;
    let resource =
        db::resource_insert(&mut tx, NewResource { id: id.clone(), body, now_us }).await?;
    let operation =
        begin_configuration(call, &mut tx, vault, &resource, requested.deep_validation, now_us)
            .await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(InstanceChange::Configuring(resource, operation))
}

async fn update(
    app: &App,
    call: Call<'_>,
    mut tx: Tx,
    vault: &Resource,
    mut existing: Resource,
    requested: Requested,
    tags: Option<BTreeMap<String, String>>,
) -> Result<InstanceChange, Error> {
    let now_us = app.clock.now_us();
    let current = instance_row::datasource_of(&existing)?;
    if current != requested.datasource {
        return Err(errors::other_datasource(&existing.id, &current));
    }
    let before = instance_row::state_of(&existing);
    let mut state: InstanceState = read_state(&existing.body)?;
    let settled =
        !matches!(before, ProtectionState::ProtectionError | ProtectionState::UpdatingProtection);
    if settled && requested.is_already(&existing, tags.as_ref())? {
        return Ok(InstanceChange::Unchanged(existing));
    }
    if let Decision::Refused(reason) = decide(before, InstanceAction::Update) {
        return Err(errors::state_refuses(reason));
    }
    if requested.changes_policy(&existing)? {
        let requests = requested.requests.as_deref();
        let operation = CriticalOperation::ModifyPolicy;
        guarded::require_consent(app, call, &mut tx, &vault.id, operation, requests).await?;
    }
    if before == ProtectionState::ProtectionError {
        datasource::claim(&mut tx, &existing.id, &requested.datasource, ClaimFor::Protect).await?;
        let tags = tags.or(tags_of(&existing)?);
        existing.body = row_body(
            &requested.properties,
            tags.as_ref(),
            &state,
            ProtectionState::ConfiguringProtection,
            "Provisioning",
        )?;
        db::resource_update(&mut tx, &mut existing, now_us).await?;
        let operation =
            begin_configuration(call, &mut tx, vault, &existing, requested.deep_validation, now_us)
                .await?;
        tx.commit().await?;
        app.executor.wake();
        return Ok(InstanceChange::Configuring(existing, operation));
    }
    state.pending_policy_id = Some(requested.policy.to_string());
    let input = UpdateProtectionInput {
        tags: tags.or(tags_of(&existing)?),
        properties: requested.properties,
        previous_state: before.as_str().to_owned(),
        deep_validation: requested.deep_validation,
    };
    write_state(&mut existing.body, &state);
    instance_row::set_state(&mut existing.body, ProtectionState::UpdatingProtection);
    db::resource_update(&mut tx, &mut existing, now_us).await?;
    let wanted =
        Wanted::of_instance(OperationKind::UpdateProtection, &existing.id).with_input(&input)?;
    let operation = call.begin(&mut tx, vault, wanted, now_us).await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(InstanceChange::Updating(existing, operation))
}

async fn begin_configuration(
    call: Call<'_>,
    tx: &mut Tx,
    vault: &Resource,
    instance: &Resource,
    deep_validation: bool,
    now_us: i64,
) -> Result<Operation, Error> {
    let wanted = Wanted::of_instance(OperationKind::ConfigureProtection, &instance.id)
        .with_input(&ConfigureProtectionInput { deep_validation })?;
    call.begin(tx, vault, wanted, now_us).await
}

/// Refuses a server that is not registered, to callers who may know that; for others the operation says it.
async fn require_server(app: &App, call: Call<'_>, datasource: &ResourceId) -> Result<(), Error> {
    let Some(server) = datasource::server_of(datasource) else { return Ok(()) };
    let action = format!("{}/read", server.resource_type());
    if !app.allows(&call.caller.principal_id, &action, false, &server).await?
        || app.server_resolve(&server).await?.is_some()
    {
        return Ok(());
    }
    Err(Error::invalid("UserErrorDBNotFound", "The server or the database could not be found.")
        .with_recommended_action(
            "Ensure that the server and the database exist and retry the operation.",
        )
        .with_inner(crate::error::InnerError::new(
            "ServerNotRegistered",
            format!("No server is registered as {server}."),
        ))
        .user_facing())
}

/// The row's body: what clients see, in Azure's order, and the internal part.
fn row_body(
    properties: &BackupInstance,
    tags: Option<&BTreeMap<String, String>>,
    state: &InstanceState,
    protection: ProtectionState,
    provisioning: &str,
) -> Result<Value, Error> {
    let mut properties = properties.clone();
    properties.provisioning_state = Some(provisioning.to_owned());
    properties.current_protection_state = Some(protection.as_str().into());
    properties.protection_status = Some(coffer_azure::ProtectionStatusDetails {
        error_details: None,
        status: Some(protection.as_str().into()),
    });
    let mut body = Map::new();
    if let Some(tags) = tags {
        body.insert("tags".to_owned(), Value::Object(tags_value(tags)));
    }
    body.insert(
        "properties".to_owned(),
        serde_json::to_value(properties).map_err(Error::internal)?,
    );
    let mut body = Value::Object(body);
    write_state(&mut body, state);
    Ok(body)
}

/// A PUT without tags leaves them: clients that never set any would otherwise take away what others set.
fn tags_of(instance: &Resource) -> Result<Option<BTreeMap<String, String>>, Error> {
    match instance.body.get("tags") {
        None => Ok(None),
        Some(tags) => serde_json::from_value(tags.clone()).map(Some).map_err(Error::internal),
    }
}

fn tags_value(tags: &BTreeMap<String, String>) -> Map<String, Value> {
    tags.iter().map(|(name, value)| (name.clone(), Value::String(value.clone()))).collect()
}

/// An immutable vault keeps the data of an instance until its last recovery point has expired.
async fn require_mutable(tx: &mut Tx, vault: &Resource, instance: &Resource) -> Result<(), Error> {
    let properties = backup_vault::wire(vault)?.properties;
    match vault_properties::immutability_of(&properties)? {
        Immutability::Absent | Immutability::Disabled => return Ok(()),
        Immutability::Unlocked | Immutability::Locked => {}
    }
    let state: InstanceState = read_state(&instance.body)?;
    match db::recovery_point::newest(&mut **tx, state.repository_guid).await? {
        None => Ok(()),
        Some(point) => Err(errors::vault_is_immutable(&format!(
            "The backup instance '{}' has recovery points, the newest of which is {}.",
            instance.id.name(),
            point.id
        ))),
    }
}
