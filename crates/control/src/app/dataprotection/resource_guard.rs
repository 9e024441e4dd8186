//! Resource guards: objects, usually in a subscription of the security team, whose consent the critical operations of vaults need.

use std::collections::BTreeMap;

use coffer_azure::{
    DppBaseResource, PatchResourceGuardInput, ResourceGuard, ResourceGuardResource, ResourceId,
};
use serde_json::Value;

use super::critical_operation::{DEFAULT_REQUEST, check_exclusions, operations, request_type};
use super::{Call, GUARD_KIND, PROXY_KIND, errors, guarded, location_of, names};
use crate::app::App;
use crate::config::location_key;
use crate::db::{self, NewResource, Page, Paged, Resource, Tx, role_assignment};
use crate::error::Error;

/// What Azure's roles call a guard: not what its id says.
const GUARDS: &str = "subscriptions/resourceGroups/providers/resourceGuards";
/// How many vaults the refusal to delete a guard names.
const VAULTS_NAMED_MAX: usize = 10;

/// Makes a guard or replaces what it excludes. `body` is read after the caller was authorized.
///
/// # Errors
/// Not allowed; not usable; elsewhere already; the group is absent; the database fails.
pub async fn put(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<ResourceGuardResource, Error> + Send,
) -> Result<Resource, Error> {
    call.authorize(app, &format!("{GUARDS}/write"), id).await?;
    let body = body()?;
    names::check_guard_name(id.name()).map_err(errors::invalid_input)?;
    let excluded = body.properties.and_then(|it| it.vault_critical_operation_exclusion_list);
    let excluded =
        check_exclusions(&excluded.unwrap_or_default()).map_err(errors::invalid_input)?;
    let location = body.location.filter(|location| !location.trim().is_empty());
    let tags = body.tags.filter(|tags| !tags.is_empty());

    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    let existing = db::resource_get(&mut *tx, id).await?;
    call.require_match(existing.as_ref())?;
    let guard = match existing {
        None => {
            let location = location.ok_or_else(|| {
                Error::invalid(
                    "LocationRequired",
                    "The location property is required for this definition.",
                )
                .with_target("location")
            })?;
            let body = row_body(location, tags, excluded)?;
            db::resource_insert(&mut tx, NewResource { id: id.clone(), body, now_us }).await?
        }
        Some(mut existing) => {
            let current = location_of(&existing);
            if let Some(other) = location
                && location_key(&other) != location_key(&current)
            {
                return Err(errors::other_location(id, &current, &other));
            }
            existing.body = row_body(current, tags, excluded)?;
            db::resource_update(&mut tx, &mut existing, now_us).await?;
            existing
        }
    };
    tx.commit().await?;
    Ok(guard)
}

/// Replaces the labels of a guard, when any are given.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn patch(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<PatchResourceGuardInput, Error> + Send,
) -> Result<Resource, Error> {
    call.authorize(app, &format!("{GUARDS}/write"), id).await?;
    let Some(tags) = body()?.tags else { return require(app, id).await };
    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    let found = db::resource_get(&mut *tx, id).await?;
    let mut guard = found.ok_or_else(|| not_found(id))?;
    call.require_match(Some(&guard))?;
    let tags = Some(tags).filter(|tags| !tags.is_empty());
    guard.body = row_body(location_of(&guard), tags, guarded::exclusions_of(&guard))?;
    db::resource_update(&mut tx, &mut guard, now_us).await?;
    tx.commit().await?;
    Ok(guard)
}

/// Reads a guard.
///
/// # Errors
/// Not allowed; absent; the database fails.
pub async fn get(app: &App, call: Call<'_>, id: &ResourceId) -> Result<Resource, Error> {
    call.authorize(app, &format!("{GUARDS}/read"), id).await?;
    require(app, id).await
}

/// The guards of a subscription or a group that the caller may read.
///
/// # Errors
/// Not allowed; the group is absent; the database fails.
pub async fn list(
    app: &App,
    call: Call<'_>,
    scope: &ResourceId,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    let action = format!("{}/{GUARDS}/read", super::NAMESPACE);
    let grants = app.authorize_list(call.caller, &action, scope).await?;
    let group = scope.resource_group();
    if let Some(group) = group
        && !db::resource_exists(app.db.read(), scope).await?
    {
        return Err(db::resource::resource_group_not_found(group));
    }
    let subscription = scope.subscription_id().unwrap_or_default();
    let mut found = db::resource_list(app.db.read(), subscription, group, GUARD_KIND, page).await?;
    found.items.retain(|guard| grants.allow(&action, false, &guard.id));
    Ok(found)
}

/// Deletes a guard and the roles that were given at it. False when there was none.
///
/// # Errors
/// Not allowed; a vault still submits to it; the database fails.
pub async fn delete(app: &App, call: Call<'_>, id: &ResourceId) -> Result<bool, Error> {
    call.authorize(app, &format!("{GUARDS}/delete"), id).await?;
    let mut tx = app.begin(call.caller).await?;
    let Some(guard) = db::resource_get(&mut *tx, id).await? else { return Ok(false) };
    call.require_match(Some(&guard))?;
    let vaults = guarded_vaults(&mut tx, id).await?;
    if !vaults.is_empty() {
        return Err(errors::guard_in_use(&vaults.join(", ")));
    }
    role_assignment::delete_within(&mut tx, id).await?;
    db::resource_delete(&mut tx, &guard).await?;
    tx.commit().await?;
    Ok(true)
}

/// The one request of a type that a guard has. `kind` is the type as the caller has spelt it.
///
/// # Errors
/// Not allowed; the guard or the type is absent; the database fails.
pub async fn request(
    app: &App,
    call: Call<'_>,
    guard: &ResourceId,
    kind: &str,
    name: &str,
) -> Result<DppBaseResource, Error> {
    let kind = request_type(kind).ok_or_else(errors::resource_not_found)?;
    call.authorize(app, &format!("{GUARDS}/{kind}/read"), &guard.child(kind, DEFAULT_REQUEST))
        .await?;
    let guard = require(app, guard).await?;
    if !name.eq_ignore_ascii_case(DEFAULT_REQUEST) {
        return Err(errors::resource_not_found());
    }
    let id = guard.id.child(kind, DEFAULT_REQUEST);
    Ok(DppBaseResource {
        kind: Some(id.resource_type()),
        name: Some(DEFAULT_REQUEST.to_owned()),
        id: Some(id.to_string()),
    })
}

async fn require(app: &App, id: &ResourceId) -> Result<Resource, Error> {
    db::resource_get(app.db.read(), id).await?.ok_or_else(|| not_found(id))
}

fn not_found(id: &ResourceId) -> Error {
    Error::resource_not_found(
        "Microsoft.DataProtection/resourceGuards",
        id.name(),
        id.resource_group().unwrap_or_default(),
    )
}

fn row_body(
    location: String,
    tags: Option<BTreeMap<String, String>>,
    excluded: Vec<String>,
) -> Result<Value, Error> {
    let guard = ResourceGuardResource {
        location: Some(location),
        tags,
        properties: Some(ResourceGuard {
            provisioning_state: Some("Succeeded".to_owned()),
            resource_guard_operations: Some(operations(&excluded)),
            vault_critical_operation_exclusion_list: Some(excluded),
            allow_auto_approvals: Some(true),
            description: None,
        }),
        ..ResourceGuardResource::default()
    };
    serde_json::to_value(guard).map_err(Error::internal)
}

/// The ids of vaults that submit to the guard, in whatever subscription; not more than a refusal names.
async fn guarded_vaults(tx: &mut Tx, guard: &ResourceId) -> Result<Vec<String>, Error> {
    let mut vaults = Vec::new();
    let mut page = Page::default();
    loop {
        let proxies = db::resource_list_all(&mut **tx, PROXY_KIND, &page).await?;
        for proxy in &proxies.items {
            if guarded::guard_of(proxy)? == *guard {
                vaults.extend(proxy.id.parent().map(|vault| vault.to_string()));
            }
            if vaults.len() >= VAULTS_NAMED_MAX {
                return Ok(vaults);
            }
        }
        match proxies.next {
            Some(after) => page.after = Some(after),
            None => return Ok(vaults),
        }
    }
}
