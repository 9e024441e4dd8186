//! What registering a key vault, a server and a restore target have in common: a row with a location, labels and
//! properties, authorized by the actions of its type.
//!
//! The row's body is `{"location", "tags"?, "properties"}`; what `properties` holds is the noun's own affair.

use std::collections::BTreeMap;

use coffer_azure::ResourceId;
use serde_json::{Value, json};

use super::{App, Caller};
use crate::config::location_key;
use crate::db::{
    self, NewResource, Page, Paged, Resource, Tx, resource_delete, resource_find_by_name,
    resource_get, resource_insert, resource_list, resource_update, role_assignment,
};
use crate::error::Error;

/// What a request wants a resource to be.
pub(super) struct Wanted {
    pub(super) location: Option<String>,
    pub(super) tags: Option<BTreeMap<String, String>>,
    pub(super) properties: Value,
}

/// Makes the resource or replaces its labels and properties. True when it was made. An identical request changes nothing.
///
/// # Errors
/// No location for a new one, another location for an existing one, no such group.
pub(super) async fn put(
    tx: &mut Tx,
    id: &ResourceId,
    wanted: Wanted,
    now_us: i64,
) -> Result<(Resource, bool), Error> {
    let location = wanted.location.filter(|location| !location.trim().is_empty());
    let existing = resource_get(&mut **tx, id).await?;
    let location = match (&existing, location) {
        (None, None) => {
            return Err(Error::invalid(
                "LocationRequired",
                "The location property is required for this definition.",
            )
            .with_target("location"));
        }
        (None, Some(location)) => location_key(&location),
        (Some(existing), location) => {
            let stored = text(existing, "location").to_owned();
            if let Some(location) =
                location.filter(|location| location_key(location) != location_key(&stored))
            {
                return Err(Error::conflict(
                    "InvalidResourceLocation",
                    format!(
                        "The resource '{}' already exists in location '{stored}' in resource group '{}'. A resource with \
                         the same name cannot be created in location '{location}'. Please select a new resource name.",
                        id.name(),
                        id.resource_group().unwrap_or_default()
                    ),
                ));
            }
            stored
        }
    };
    let mut body = json!({ "location": location });
    if let Some(tags) = wanted.tags.filter(|tags| !tags.is_empty()) {
        body["tags"] = json!(tags);
    }
    body["properties"] = wanted.properties;
    match existing {
        None => {
            Ok((resource_insert(tx, NewResource { id: id.clone(), body, now_us }).await?, true))
        }
        Some(mut existing) => {
            if existing.body != body {
                existing.body = body;
                resource_update(tx, &mut existing, now_us).await?;
            }
            Ok((existing, false))
        }
    }
}

/// Reads one, for whoever may do `{resource_type}/read`.
///
/// # Errors
/// The caller may not, or there is none.
pub(super) async fn get(
    app: &App,
    caller: &Caller,
    id: &ResourceId,
    resource_type: &str,
) -> Result<Resource, Error> {
    app.authorize(caller, &format!("{resource_type}/read"), id).await?;
    resource_get(app.db.read(), id).await?.ok_or_else(|| not_found(id, resource_type))
}

/// ARM's answer for a resource that does not exist.
pub(super) fn not_found(id: &ResourceId, resource_type: &str) -> Error {
    Error::resource_not_found(resource_type, id.name(), id.resource_group().unwrap_or_default())
}

/// Those in a group or a subscription that the caller may read.
///
/// # Errors
/// The caller may not, or there is no such group or subscription.
pub(super) async fn list(
    app: &App,
    caller: &Caller,
    scope: &ResourceId,
    resource_type: &str,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    let action = format!("{resource_type}/read");
    let grants = app.authorize_list(caller, &action, scope).await?;
    let subscription = scope.subscription_id().unwrap_or_default();
    if !db::resource_exists(app.db.read(), scope).await? {
        return Err(match scope.resource_group() {
            Some(group) => db::resource::resource_group_not_found(group),
            None => db::resource::subscription_not_found(subscription),
        });
    }
    let kind = resource_type.to_ascii_lowercase();
    let mut found =
        resource_list(app.db.read(), subscription, scope.resource_group(), &kind, page).await?;
    found.items.retain(|resource| grants.allow(&action, false, &resource.id));
    Ok(found)
}

/// Deletes one with the role assignments at it and in it. False when there was none.
///
/// # Errors
/// Somebody else changed it meanwhile, or the database fails.
pub(super) async fn delete(tx: &mut Tx, id: &ResourceId) -> Result<bool, Error> {
    let Some(existing) = resource_get(&mut **tx, id).await? else { return Ok(false) };
    resource_delete(tx, &existing).await?;
    role_assignment::delete_within(tx, id).await?;
    Ok(true)
}

/// Whether another resource of the type has this name, anywhere in the installation.
///
/// # Errors
/// The database fails.
pub(super) async fn name_is_taken(
    tx: &mut Tx,
    id: &ResourceId,
    resource_type: &str,
) -> Result<bool, Error> {
    let kind = resource_type.to_ascii_lowercase();
    let same = resource_find_by_name(&mut **tx, &kind, id.name()).await?;
    Ok(same.iter().any(|other| other.id != *id))
}

/// A text of the row's body; empty when absent.
pub(super) fn text<'a>(resource: &'a Resource, name: &str) -> &'a str {
    resource.body[name].as_str().unwrap_or_default()
}

/// A text of the row's properties.
pub(super) fn property<'a>(resource: &'a Resource, name: &str) -> Option<&'a str> {
    resource.body["properties"][name].as_str()
}

/// The row's labels.
pub(super) fn tags(resource: &Resource) -> Option<BTreeMap<String, String>> {
    serde_json::from_value(resource.body["tags"].clone()).ok()
}
