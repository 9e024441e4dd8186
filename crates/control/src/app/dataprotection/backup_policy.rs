//! Backup policies: rules of schedule and retention, checked when they are written and refused deletion while in use.

use coffer_azure::{
    BackupPolicy, BaseBackupPolicy, BaseBackupPolicyResource, BasePolicyRule, ResourceId,
    TriggerContext,
};
use serde_json::json;

use super::critical_operation::CriticalOperation;
use super::protection_state::ProtectionState;
use super::state::{InstanceState, read_state};
use super::{
    Call, INSTANCE_KIND, POLICY_KIND, errors, guarded, instance_row, names, policy_change,
    vault_require, vault_require_usable,
};
use crate::app::App;
use crate::db::{self, NewResource, Page, Paged, Resource, Tx};
use crate::error::Error;
use crate::policy::rules;

/// Creates a policy or replaces its rules. `body` is read after the caller was authorized.
///
/// # Errors
/// Not allowed; the vault's resource guard does not consent to what is taken away; the policy is not usable; the vault is absent; the database fails.
pub async fn put(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<BaseBackupPolicyResource, Error> + Send,
) -> Result<Resource, Error> {
    call.authorize(app, "backupVaults/backupPolicies/write", id).await?;
    let body = body()?;
    let requests = body.resource_guard_operation_requests;
    let BaseBackupPolicy::BackupPolicy(mut policy) = body.properties;
    names::check_policy_name(id.name()).map_err(errors::invalid_input)?;
    rules::check(&policy).map_err(errors::invalid_input)?;
    complete(&mut policy);
    let properties = serde_json::to_value(BaseBackupPolicy::BackupPolicy(policy.clone()))
        .map_err(Error::internal)?;
    let body = json!({ "properties": properties });

    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    let vault = id.parent().ok_or_else(errors::resource_not_found)?;
    vault_require_usable(&mut tx, &vault).await?;
    let existing = db::resource_get(&mut *tx, id).await?;
    call.require_match(existing.as_ref())?;
    let resource = match existing {
        None => db::resource_insert(&mut tx, NewResource { id: id.clone(), body, now_us }).await?,
        Some(existing) if existing.body == body => return Ok(existing),
        Some(mut existing) => {
            let before = read(&existing)?;
            if rules::is_for_servers(&before) != rules::is_for_servers(&policy)
                && let Some(user) = used_by(&mut tx, &vault, id).await?
            {
                return Err(errors::invalid_input(format!(
                    "The backup instance '{user}' uses the policy, which stays one for {}.",
                    before.datasource_types.join(", ")
                )));
            }
            if policy_change::takes_away(&before, &policy)
                && used_by(&mut tx, &vault, id).await?.is_some()
            {
                let (operation, requests) = (CriticalOperation::ModifyPolicy, requests.as_deref());
                guarded::require_consent(app, call, &mut tx, &vault, operation, requests).await?;
            }
            existing.body = body;
            db::resource_update(&mut tx, &mut existing, now_us).await?;
            db::schedule::look_again_all(&mut tx, id, now_us).await?;
            existing
        }
    };
    tx.commit().await?;
    app.duties.wake_schedule();
    Ok(resource)
}

/// Fills in what the service writes: the tags' ids.
fn complete(policy: &mut BackupPolicy) {
    for rule in &mut policy.policy_rules {
        let BasePolicyRule::AzureBackupRule(rule) = rule else { continue };
        let TriggerContext::ScheduleBasedTriggerContext(trigger) = &mut rule.trigger else {
            continue;
        };
        for tag in &mut trigger.tagging_criteria {
            tag.tag_info.id = Some(format!("{}_", tag.tag_info.tag_name));
            tag.tag_info.e_tag = None;
        }
    }
}

/// Reads a policy.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn get(app: &App, call: Call<'_>, id: &ResourceId) -> Result<Resource, Error> {
    call.authorize(app, "backupVaults/backupPolicies/read", id).await?;
    db::resource_get(app.db.read(), id).await?.ok_or_else(errors::resource_not_found)
}

/// The policies of a vault.
///
/// # Errors
/// Not allowed; the vault is absent; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    vault: &ResourceId,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    call.authorize(app, "backupVaults/backupPolicies/read", vault).await?;
    vault_require(app.db.read(), vault).await?;
    db::resource_list_children(app.db.read(), vault, POLICY_KIND, page).await
}

/// Deletes a policy. False when there was none.
///
/// # Errors
/// Not allowed; in use; the vault is absent; the database fails.
pub async fn delete(app: &App, call: Call<'_>, id: &ResourceId) -> Result<bool, Error> {
    call.authorize(app, "backupVaults/backupPolicies/delete", id).await?;
    let mut tx = app.begin(call.caller).await?;
    let vault = id.parent().ok_or_else(errors::resource_not_found)?;
    vault_require(&mut *tx, &vault).await?;
    let Some(policy) = db::resource_get(&mut *tx, id).await? else { return Ok(false) };
    call.require_match(Some(&policy))?;
    if let Some(user) = used_by(&mut tx, &vault, id).await? {
        return Err(errors::policy_in_use(&user));
    }
    db::resource_delete(&mut tx, &policy).await?;
    tx.commit().await?;
    Ok(true)
}

/// The stored policy that an instance or a request names.
///
/// # Errors
/// Absent, or the database fails.
pub(super) async fn require(tx: &mut Tx, id: &ResourceId) -> Result<BackupPolicy, Error> {
    let Some(resource) = db::resource_get(&mut **tx, id).await? else {
        return Err(errors::invalid_input(format!("The backup policy '{id}' does not exist.")));
    };
    read(&resource)
}

/// The policy in a row.
///
/// # Errors
/// An internal error: rows are checked before they are written.
pub(crate) fn read(row: &Resource) -> Result<BackupPolicy, Error> {
    let BaseBackupPolicy::BackupPolicy(policy) =
        serde_json::from_value(row.body["properties"].clone()).map_err(Error::internal)?;
    Ok(*policy)
}

/// The name of an instance that is protected by the policy, or is about to be.
async fn used_by(
    tx: &mut Tx,
    vault: &ResourceId,
    policy: &ResourceId,
) -> Result<Option<String>, Error> {
    let mut page = Page::default();
    loop {
        let instances = db::resource_list_children(&mut **tx, vault, INSTANCE_KIND, &page).await?;
        for instance in &instances.items {
            if uses(instance, policy)? {
                return Ok(Some(instance.id.name().to_owned()));
            }
        }
        match instances.next {
            Some(after) => page.after = Some(after),
            None => return Ok(None),
        }
    }
}

fn uses(instance: &Resource, policy: &ResourceId) -> Result<bool, Error> {
    if !instance_row::is_visible(instance) {
        return Ok(false);
    }
    if instance_row::policy_of(instance)? == *policy {
        return Ok(true);
    }
    let state: InstanceState = read_state(&instance.body)?;
    let pending = state
        .pending_policy_id
        .filter(|_| instance_row::state_of(instance) == ProtectionState::UpdatingProtection);
    Ok(pending.is_some_and(|id| ResourceId::parse(&id).is_ok_and(|id| id == *policy)))
}
