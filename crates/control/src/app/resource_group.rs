//! Resource groups: a name, a location, tags. They exist so that Azure's ids and role scopes have their place.

use coffer_azure::ResourceId;
use serde_json::{Map, Value, json};

use super::{App, Caller};
use crate::authz::authorization_failed;
use crate::config::location_key;
use crate::db::resource::{
    RESOURCE_GROUP_KIND, resource_group_not_found, resource_ids_in_group, resource_list_in_groups,
};
use crate::db::{
    NewResource, Page, Paged, Resource, resource_delete, resource_exists, resource_get,
    resource_insert, resource_list, resource_update, role_assignment,
};
use crate::error::Error;

const READ: &str = "Microsoft.Resources/subscriptions/resourceGroups/read";
const WRITE: &str = "Microsoft.Resources/subscriptions/resourceGroups/write";
const READ_RESOURCES: &str = "Microsoft.Resources/subscriptions/resources/read";
const DELETE: &str = "Microsoft.Resources/subscriptions/resourceGroups/delete";

const NAME_CHARS_MAX: usize = 90;
/// Most tags of one resource, and Azure's bounds for their names and values.
const TAGS_MAX: usize = 50;
const TAG_NAME_CHARS_MAX: usize = 512;
const TAG_VALUE_CHARS_MAX: usize = 256;
/// How many of the resources that stand in the way of a deletion are named.
const BLOCKERS_NAMED_MAX: u32 = 10;

/// Tags by name.
pub type Tags = Map<String, Value>;

/// What a request wants a group to be.
#[derive(Clone, Debug, Default)]
pub struct ResourceGroupWanted {
    /// Empty when it was not said.
    pub location: String,
    /// None when nothing was said of them.
    pub tags: Option<Tags>,
}

impl App {
    /// Makes a group, or replaces the tags of one. True when it was made.
    ///
    /// # Errors
    /// The caller may not; the name or the tags are not possible; the group is elsewhere; no such subscription.
    pub async fn resource_group_put(
        &self,
        caller: &Caller,
        id: &ResourceId,
        body: impl FnOnce() -> Result<ResourceGroupWanted, Error>,
    ) -> Result<(Resource, bool), Error> {
        self.authorize(caller, WRITE, id).await?;
        let ResourceGroupWanted { location, tags } = body()?;
        let location = location.as_str();
        check_name(id.name())?;
        check_tags(tags.as_ref())?;
        if location.trim().is_empty() {
            return Err(Error::invalid(
                "LocationRequired",
                "The location property is required for this definition.",
            ));
        }
        let now_us = self.clock.now_us();
        let mut tx = self.begin(caller).await?;
        let (resource, made) = match resource_get(&mut *tx, id).await? {
            Some(mut existing) => {
                let stored = existing.body["location"].as_str().unwrap_or_default();
                if location_key(stored) != location_key(location) {
                    return Err(Error::conflict(
                        "InvalidResourceGroupLocation",
                        format!(
                            "Invalid resource group location '{location}'. The Resource group already exists in \
                             location '{stored}'."
                        ),
                    ));
                }
                set_tags(&mut existing.body, tags);
                resource_update(&mut tx, &mut existing, now_us).await?;
                (existing, false)
            }
            None => {
                let mut body = json!({"location": location_key(location)});
                set_tags(&mut body, tags);
                (
                    resource_insert(&mut tx, NewResource { id: id.clone(), body, now_us }).await?,
                    true,
                )
            }
        };
        tx.commit().await?;
        Ok((resource, made))
    }

    /// Replaces the tags of a group that exists, when any are given.
    ///
    /// # Errors
    /// The caller may not, the tags are not possible, or there is no such group.
    pub async fn resource_group_update(
        &self,
        caller: &Caller,
        id: &ResourceId,
        body: impl FnOnce() -> Result<ResourceGroupWanted, Error>,
    ) -> Result<Resource, Error> {
        self.authorize(caller, WRITE, id).await?;
        let ResourceGroupWanted { tags, .. } = body()?;
        check_tags(tags.as_ref())?;
        let mut tx = self.begin(caller).await?;
        let found = resource_get(&mut *tx, id).await?;
        let mut group = found.ok_or_else(|| resource_group_not_found(id.name()))?;
        if tags.is_some() {
            set_tags(&mut group.body, tags);
            resource_update(&mut tx, &mut group, self.clock.now_us()).await?;
            tx.commit().await?;
        }
        Ok(group)
    }

    /// Reads a group.
    ///
    /// # Errors
    /// The caller may not, or there is no such group.
    pub async fn resource_group_get(
        &self,
        caller: &Caller,
        id: &ResourceId,
    ) -> Result<Resource, Error> {
        self.authorize(caller, READ, id).await?;
        resource_get(self.db.read(), id).await?.ok_or_else(|| resource_group_not_found(id.name()))
    }

    /// The groups of a subscription that the caller may read.
    ///
    /// # Errors
    /// The caller has no role in the subscription at all.
    pub async fn resource_group_list(
        &self,
        caller: &Caller,
        subscription: &str,
        page: &Page,
    ) -> Result<Paged<Resource>, Error> {
        let scope = ResourceId::subscription(subscription);
        let grants = self.grants(&caller.principal_id).await?;
        if !grants.reach(&scope) {
            return Err(authorization_failed(caller, READ, &scope));
        }
        let mut found =
            resource_list(self.db.read(), subscription, None, RESOURCE_GROUP_KIND, page).await?;
        found.items.retain(|group| grants.allow(READ, false, &group.id));
        Ok(found)
    }

    /// The resources that stand directly in a group, or in all groups of a subscription, as far as the caller may read
    /// them.
    ///
    /// # Errors
    /// The caller has no role in the scope at all, or there is no such group.
    pub async fn resource_list_within(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        page: &Page,
    ) -> Result<Paged<Resource>, Error> {
        let grants = self.grants(&caller.principal_id).await?;
        if !grants.reach(scope) {
            return Err(authorization_failed(caller, READ_RESOURCES, scope));
        }
        let is_group = scope.resource_group().is_some();
        if is_group && !resource_exists(self.db.read(), scope).await? {
            return Err(resource_group_not_found(scope.name()));
        }
        let mut found = resource_list_in_groups(self.db.read(), scope, page).await?;
        found.items.retain(|resource| {
            grants.allow(&format!("{}/read", resource.id.resource_type()), false, &resource.id)
        });
        Ok(found)
    }

    /// Deletes an empty group, with the roles assigned at it.
    ///
    /// Unlike Azure's, a group with resources in it is not deleted with all that they protect: what is in it has to be
    /// deleted first, each by its own rules.
    ///
    /// # Errors
    /// The caller may not; there is no such group; it is not empty (`ResourceGroupNotEmpty` names what is in it).
    pub async fn resource_group_delete(
        &self,
        caller: &Caller,
        id: &ResourceId,
    ) -> Result<(), Error> {
        self.authorize(caller, DELETE, id).await?;
        let mut tx = self.begin(caller).await?;
        let found = resource_get(&mut *tx, id).await?;
        let group = found.ok_or_else(|| resource_group_not_found(id.name()))?;
        let name = group.resource_group.as_deref().unwrap_or_default();
        let blockers =
            resource_ids_in_group(&mut *tx, &group.subscription, name, BLOCKERS_NAMED_MAX).await?;
        if !blockers.is_empty() {
            return Err(Error::conflict(
                "ResourceGroupNotEmpty",
                format!(
                    "The resource group '{}' cannot be deleted because it is not empty. Delete these first: {}.",
                    id.name(),
                    blockers.join(", ")
                ),
            ));
        }
        role_assignment::delete_within(&mut tx, id).await?;
        resource_delete(&mut tx, &group).await?;
        tx.commit().await?;
        Ok(())
    }
}

fn set_tags(body: &mut Value, tags: Option<Tags>) {
    if let Some(members) = body.as_object_mut() {
        match tags {
            Some(tags) if !tags.is_empty() => {
                members.insert("tags".to_owned(), Value::Object(tags));
            }
            _ => {
                members.shift_remove("tags");
            }
        }
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let fits = (1..=NAME_CHARS_MAX).contains(&name.chars().count())
        && name.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '(' | ')'))
        && !name.ends_with('.');
    if fits {
        return Ok(());
    }
    Err(Error::invalid(
        "InvalidResourceGroup",
        "The provided resource group name has invalid characters or is too long. A name has up to 90 letters, digits, \
         underscores, hyphens, periods and parentheses and does not end with a period.",
    ))
}

fn check_tags(tags: Option<&Tags>) -> Result<(), Error> {
    let Some(tags) = tags else { return Ok(()) };
    let fits = tags.len() <= TAGS_MAX
        && tags.iter().all(|(name, value)| {
            (1..=TAG_NAME_CHARS_MAX).contains(&name.chars().count())
                && value.as_str().is_some_and(|value| value.chars().count() <= TAG_VALUE_CHARS_MAX)
        });
    if fits {
        return Ok(());
    }
    Err(Error::invalid(
        "InvalidTag",
        "Tags are at most 50 pairs of strings, names up to 512 and values up to 256 characters.",
    ))
}
