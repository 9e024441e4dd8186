//! Proxies: by one, a vault submits to a resource guard. It is easily made, and goes only with the guard's consent.
//!
//! The vault's row shows whether there is one (`isVaultProtectedByResourceGuard`, and the scores that follow); what is enforced rests
//! on the proxy alone. Both change in one transaction.

use coffer_azure::duration::format_time;
use coffer_azure::{ResourceGuardProxyBaseResource, ResourceId, UnlockDeleteRequest};
use serde_json::{Value, json};

use super::critical_operation::{CriticalOperation, details};
use super::state::{ProxyState, write_state};
use super::{
    Call, INSTANCES, NAMESPACE, PROXIES, PROXY_KIND, backup_vault, errors, guarded, instance_row,
    names, vault_properties, vault_require, vault_require_usable,
};
use crate::app::App;
use crate::app::alert;
use crate::db::{self, NewResource, Page, Paged, Resource, Tx};
use crate::error::Error;

/// The type of a guard.
const GUARD_TYPE: &str = "Microsoft.DataProtection/resourceGuards";

/// A proxy with what it shows of its guard.
#[derive(Debug)]
pub struct Proxy {
    /// Its row.
    pub resource: Resource,
    /// `resourceGuardOperationDetails`, as the guard has them now.
    pub details: Value,
}

/// Makes a vault submit to a guard. `body` is read after the caller was authorized on the vault; on the guard, the caller or one whose
/// token came with the request has to be allowed to read.
///
/// # Errors
/// Not allowed, there or here; the guard or the vault is absent; the vault submits to another one; the database fails.
pub async fn put(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<ResourceGuardProxyBaseResource, Error> + Send,
) -> Result<Proxy, Error> {
    call.authorize(app, "backupVaults/backupResourceGuardProxies/write", id).await?;
    let body = body()?;
    names::check_guard_name(id.name()).map_err(errors::invalid_input)?;
    let wanted = body.properties.and_then(|properties| properties.resource_guard_resource_id);
    let wanted = check_guard_id(wanted.as_deref())?;
    authorize_read(app, call, &wanted).await?;

    let now_us = app.clock.now_us();
    let vault_id = id.parent().ok_or_else(errors::resource_not_found)?;
    let mut tx = app.begin(call.caller).await?;
    let vault = vault_require_usable(&mut tx, &vault_id).await?;
    let guard = db::resource_get(&mut *tx, &wanted).await?.ok_or_else(|| {
        errors::invalid_input(format!("The resource guard {wanted} does not exist."))
    })?;
    let mut body = json!({ "properties": {
        "resourceGuardResourceId": guard.id.to_string(),
        "lastUpdatedTime": format_time(now_us),
    } });
    write_state(&mut body, &ProxyState::default());
    let proxy = match guarded::proxy_of(&mut tx, &vault_id).await? {
        None => {
            let new = NewResource { id: id.clone(), body, now_us };
            let proxy = db::resource_insert(&mut tx, new).await?;
            set_guarded(app, &mut tx, vault, true, now_us).await?;
            proxy
        }
        Some(existing) if existing.id == *id && guarded::guard_of(&existing)? == guard.id => {
            existing
        }
        // To submit to another guard is to leave this one.
        Some(existing) => {
            return Err(errors::guarded_already(&existing.id, &guarded::guard_of(&existing)?));
        }
    };
    tx.commit().await?;
    shown(app, proxy).await
}

/// Reads a proxy.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn get(app: &App, call: Call<'_>, id: &ResourceId) -> Result<Proxy, Error> {
    call.authorize(app, "backupVaults/backupResourceGuardProxies/read", id).await?;
    let found = db::resource_get(app.db.read(), id).await?;
    shown(app, found.ok_or_else(errors::resource_not_found)?).await
}

/// The proxies of a vault: one or none.
///
/// # Errors
/// Not allowed; the vault is absent; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    vault: &ResourceId,
    page: &Page,
) -> Result<Paged<Proxy>, Error> {
    call.authorize(app, "backupVaults/backupResourceGuardProxies/read", vault).await?;
    vault_require(app.db.read(), vault).await?;
    let found = db::resource_list_children(app.db.read(), vault, PROXY_KIND, page).await?;
    let mut items = Vec::new();
    for proxy in found.items {
        items.push(shown(app, proxy).await?);
    }
    Ok(Paged { items, next: found.next })
}

/// Makes one deletion possible for half an hour, with the guard's consent: that of an instance of the vault, or of the proxy itself.
/// Says until when, in microseconds since 1970.
///
/// # Errors
/// Not allowed; the guard does not consent; the proxy or the instance is absent; the database fails.
pub async fn unlock_delete(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<UnlockDeleteRequest, Error> + Send,
) -> Result<i64, Error> {
    call.authorize(app, "backupVaults/backupResourceGuardProxies/unlockDelete/action", id).await?;
    let body = body()?;
    let now_us = app.clock.now_us();
    let vault = id.parent().ok_or_else(errors::resource_not_found)?;
    let mut tx = app.begin(call.caller).await?;
    vault_require_usable(&mut tx, &vault).await?;
    let found = db::resource_get(&mut *tx, id).await?;
    let mut proxy = found.ok_or_else(errors::resource_not_found)?;
    let (operation, what) =
        to_be_deleted(&vault, &proxy.id, body.resource_to_be_deleted.as_deref())?;
    let requests = body.resource_guard_operation_requests.as_deref();
    guarded::require_consent(app, call, &mut tx, &vault, operation, requests).await?;
    if operation == CriticalOperation::DeleteInstance {
        instance_row::require(&mut *tx, &what).await?;
    }
    let until_us = guarded::unlock(&mut tx, &mut proxy, &what, now_us).await?;
    tx.commit().await?;
    Ok(until_us)
}

/// Ends the guard's watch over a vault. False when there was no such proxy.
///
/// # Errors
/// Not allowed; not unlocked before; the database fails.
pub async fn delete(app: &App, call: Call<'_>, id: &ResourceId) -> Result<bool, Error> {
    call.authorize(app, "backupVaults/backupResourceGuardProxies/delete", id).await?;
    let now_us = app.clock.now_us();
    let vault_id = id.parent().ok_or_else(errors::resource_not_found)?;
    let mut tx = app.begin(call.caller).await?;
    if !db::resource_exists(&mut *tx, id).await? {
        return Ok(false);
    }
    let vault = vault_require_usable(&mut tx, &vault_id).await?;
    guarded::require_unlocked(&mut tx, &vault_id, CriticalOperation::DeleteProxy, id, now_us)
        .await?;
    // In the version that the lock has left.
    if let Some(proxy) = db::resource_get(&mut *tx, id).await? {
        db::resource_delete(&mut tx, &proxy).await?;
    }
    set_guarded(app, &mut tx, vault, false, now_us).await?;
    tx.commit().await?;
    Ok(true)
}

async fn authorize_read(app: &App, call: Call<'_>, guard: &ResourceId) -> Result<(), Error> {
    let action = format!("{NAMESPACE}/subscriptions/resourceGroups/providers/resourceGuards/read");
    for auxiliary in call.auxiliaries {
        if app.allows(&auxiliary.principal_id, &action, false, guard).await? {
            return Ok(());
        }
    }
    app.authorize(call.caller, &action, guard).await
}

fn check_guard_id(text: Option<&str>) -> Result<ResourceId, Error> {
    let text = text.unwrap_or_default();
    ResourceId::parse(text)
        .ok()
        .filter(|id| id.is_type(GUARD_TYPE) && id.resource_group().is_some())
        .ok_or_else(|| {
            errors::invalid_input(format!(
                "The resourceGuardResourceId '{text}' is not the ARM id of a resource guard."
            ))
        })
}

fn to_be_deleted(
    vault: &ResourceId,
    proxy: &ResourceId,
    what: Option<&str>,
) -> Result<(CriticalOperation, ResourceId), Error> {
    let Some(text) = what.filter(|text| !text.trim().is_empty()) else {
        return Ok((CriticalOperation::DeleteProxy, proxy.clone()));
    };
    match ResourceId::parse(text) {
        Ok(id) if id == *proxy => Ok((CriticalOperation::DeleteProxy, id)),
        Ok(id) if id == vault.child(INSTANCES, id.name()) => {
            Ok((CriticalOperation::DeleteInstance, id))
        }
        _ => Err(errors::invalid_input(format!(
            "The resourceToBeDeleted '{text}' is neither a backup instance of the Backup vault {vault} nor one of its {PROXIES}."
        ))),
    }
}

async fn shown(app: &App, resource: Resource) -> Result<Proxy, Error> {
    let guard = guarded::guard_of(&resource)?;
    let excluded = db::resource_get(app.db.read(), &guard).await?;
    let excluded = excluded.as_ref().map(guarded::exclusions_of).unwrap_or_default();
    let details = serde_json::to_value(details(&guard, &excluded)).map_err(Error::internal)?;
    Ok(Proxy { resource, details })
}

/// Writes into the vault's row what clients see of the proxy.
async fn set_guarded(
    app: &App,
    tx: &mut Tx,
    mut vault: Resource,
    is_guarded: bool,
    now_us: i64,
) -> Result<(), Error> {
    let before = vault.clone();
    let mut properties = backup_vault::wire(&vault)?.properties;
    vault_properties::set_guarded(&mut properties, is_guarded)?;
    vault.body["properties"] = serde_json::to_value(properties).map_err(Error::internal)?;
    db::resource_update(tx, &mut vault, now_us).await?;
    alert::raise_if_weakened(app, tx, &before, &vault).await
}
