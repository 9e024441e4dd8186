//! One table for the resources of every provider: an id, a JSON body, a version.
//!
//! Ids are compared without regard to case and kept as first written. Every update names the version that it was made
//! from and fails with [`ErrorKind::Conflict`](crate::ErrorKind) when another came first.

use coffer_azure::ResourceId;
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Executor, Tx, keys_below};
use crate::error::Error;

/// The kind of a resource group's own row.
pub const RESOURCE_GROUP_KIND: &str = "microsoft.resources/resourcegroups";
/// The kind of a subscription's own row.
pub const SUBSCRIPTION_KIND: &str = "microsoft.resources/subscriptions";

/// Most rows that one page holds.
pub const PAGE_ROWS_MAX: u32 = 1000;

/// A resource as stored.
#[derive(Clone, Debug)]
pub struct Resource {
    /// As first written.
    pub id: ResourceId,
    /// Lower-cased type, as `microsoft.dataprotection/backupvaults`.
    pub kind: String,
    /// Key (lower-cased id) of what contains it: the resource it is nested in, else the group, else the subscription.
    pub parent: Option<String>,
    /// Lower-cased.
    pub subscription: String,
    /// Lower-cased.
    pub resource_group: Option<String>,
    /// What its provider keeps: its own shape, not necessarily the wire's.
    pub body: Value,
    /// Grows by one with every update.
    pub version: i64,
    /// Microseconds since 1970.
    pub created_us: i64,
    /// Microseconds since 1970.
    pub updated_us: i64,
}

/// A resource about to be stored. Kind, parent, subscription and group are derived from the id.
#[derive(Clone, Debug)]
pub struct NewResource {
    /// As it is to be shown.
    pub id: ResourceId,
    /// See [`Resource::body`].
    pub body: Value,
    /// Microseconds since 1970.
    pub now_us: i64,
}

/// Which part of a list is asked for. Lists are ordered by key.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Only what comes after this key.
    pub after: Option<String>,
    /// At most so many; 0 and more than [`PAGE_ROWS_MAX`] mean that.
    pub rows_max: u32,
}

/// One part of a list.
#[derive(Clone, Debug)]
pub struct Paged<T> {
    /// In the order of their keys.
    pub items: Vec<T>,
    /// What to give as [`Page::after`] for the rest; none when this was the last.
    pub next: Option<String>,
}

/// A query for whole resources, with what follows `FROM resources`. [`from_row`] reads these columns and no others.
macro_rules! select {
    ($rest:literal) => {
        sqlx::query(concat!(
            "SELECT id, kind, parent, subscription, resource_group, body, version, created_us, updated_us FROM resources ",
            $rest
        ))
    };
}

impl Page {
    /// The key that the page begins behind; every key is greater than the empty one.
    fn after(&self) -> &str {
        self.after.as_deref().unwrap_or_default()
    }

    /// Rows to ask for: one more than the page has, which tells whether there is a next one.
    fn rows_wanted(&self) -> i64 {
        i64::from(self.limit()) + 1
    }

    fn limit(&self) -> u32 {
        if self.rows_max == 0 { PAGE_ROWS_MAX } else { self.rows_max.min(PAGE_ROWS_MAX) }
    }
}

fn from_row(row: &SqliteRow) -> Result<Resource, Error> {
    let id: String = row.try_get("id")?;
    let body: String = row.try_get("body")?;
    Ok(Resource {
        id: ResourceId::parse(&id).map_err(Error::internal)?,
        kind: row.try_get("kind")?,
        parent: row.try_get("parent")?,
        subscription: row.try_get("subscription")?,
        resource_group: row.try_get("resource_group")?,
        body: serde_json::from_str(&body).map_err(Error::internal)?,
        version: row.try_get("version")?,
        created_us: row.try_get("created_us")?,
        updated_us: row.try_get("updated_us")?,
    })
}

/// Reads one resource.
///
/// # Errors
/// The database fails.
pub async fn resource_get<'e>(
    executor: impl Executor<'e>,
    id: &ResourceId,
) -> Result<Option<Resource>, Error> {
    let row = select!("WHERE key = $1").bind(id.key()).fetch_optional(executor).await?;
    row.as_ref().map(from_row).transpose()
}

/// Whether a resource exists.
///
/// # Errors
/// The database fails.
pub async fn resource_exists<'e>(
    executor: impl Executor<'e>,
    id: &ResourceId,
) -> Result<bool, Error> {
    let row = sqlx::query("SELECT 1 FROM resources WHERE key = $1")
        .bind(id.key())
        .fetch_optional(executor)
        .await?;
    Ok(row.is_some())
}

/// Stores a new resource. Its subscription, group and parent (for a nested one) have to exist in the same
/// transaction's eyes, so that nothing can be made in a group that is being deleted.
///
/// # Errors
/// [`Conflict`](crate::ErrorKind::Conflict) when the id is taken; [`NotFound`](crate::ErrorKind::NotFound) with
/// `SubscriptionNotFound`, `ResourceGroupNotFound` or `ParentResourceNotFound`.
pub async fn resource_insert(tx: &mut Tx, new: NewResource) -> Result<Resource, Error> {
    let resource = Resource {
        kind: new.id.resource_type().to_ascii_lowercase(),
        parent: container_key(&new.id),
        subscription: new.id.subscription_id().unwrap_or_default().to_ascii_lowercase(),
        resource_group: new.id.resource_group().map(str::to_ascii_lowercase),
        id: new.id,
        body: new.body,
        version: 1,
        created_us: new.now_us,
        updated_us: new.now_us,
    };
    container_require(tx, &resource.id).await?;
    let done = sqlx::query(
        "INSERT INTO resources (key, id, kind, name, parent, subscription, resource_group, body, version, created_us, \
         updated_us) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (key) DO NOTHING",
    )
    .bind(resource.id.key())
    .bind(resource.id.as_str())
    .bind(&resource.kind)
    .bind(resource.id.name().to_lowercase())
    .bind(&resource.parent)
    .bind(&resource.subscription)
    .bind(&resource.resource_group)
    .bind(resource.body.to_string())
    .bind(resource.version)
    .bind(resource.created_us)
    .bind(resource.updated_us)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::conflict("ResourceExists", "A resource of this id exists already.")
            .with_target(resource.id.to_string()));
    }
    Ok(resource)
}

/// Writes a resource's body back and counts its version up, here and in `resource`.
///
/// # Errors
/// [`Conflict`](crate::ErrorKind::Conflict) when it was changed or deleted since it was read.
pub async fn resource_update(
    tx: &mut Tx,
    resource: &mut Resource,
    now_us: i64,
) -> Result<(), Error> {
    let done = sqlx::query(
        "UPDATE resources SET body = $1, version = version + 1, updated_us = $2 WHERE key = $3 AND version = $4",
    )
    .bind(resource.body.to_string())
    .bind(now_us)
    .bind(resource.id.key())
    .bind(resource.version)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Err(changed_meanwhile(&resource.id));
    }
    resource.version += 1;
    resource.updated_us = now_us;
    Ok(())
}

/// Deletes one resource in the version that was read. What is nested in it is the caller's to delete first.
///
/// # Errors
/// [`Conflict`](crate::ErrorKind::Conflict) when it was changed or deleted since it was read.
pub async fn resource_delete(tx: &mut Tx, resource: &Resource) -> Result<(), Error> {
    let done = sqlx::query("DELETE FROM resources WHERE key = $1 AND version = $2")
        .bind(resource.id.key())
        .bind(resource.version)
        .execute(&mut **tx)
        .await?;
    if done.rows_affected() == 0 {
        return Err(changed_meanwhile(&resource.id));
    }
    Ok(())
}

/// Deletes all that is nested in `parent`, however deep, of every kind.
///
/// # Errors
/// The database fails.
pub async fn resource_delete_nested(tx: &mut Tx, parent: &ResourceId) -> Result<(), Error> {
    let (above, below) = keys_below(parent.key());
    sqlx::query("DELETE FROM resources WHERE key > $1 AND key < $2")
        .bind(above)
        .bind(below)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The resources of one kind (lower-cased) nested directly in `parent`.
///
/// # Errors
/// The database fails.
pub async fn resource_list_children<'e>(
    executor: impl Executor<'e>,
    parent: &ResourceId,
    kind: &str,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    let rows = select!("WHERE parent = $1 AND kind = $2 AND key > $3 ORDER BY key LIMIT $4")
        .bind(parent.key())
        .bind(kind)
        .bind(page.after())
        .bind(page.rows_wanted())
        .fetch_all(executor)
        .await?;
    paged(&rows, page)
}

/// The ids of up to `rows_max` resources that are nested in `parent`, however deep, of every kind.
///
/// # Errors
/// The database fails.
pub(super) async fn resource_ids_nested<'e>(
    executor: impl Executor<'e>,
    parent: &ResourceId,
    rows_max: u32,
) -> Result<Vec<ResourceId>, Error> {
    let (above, below) = keys_below(parent.key());
    let rows =
        sqlx::query("SELECT id FROM resources WHERE key > $1 AND key < $2 ORDER BY key LIMIT $3")
            .bind(above)
            .bind(below)
            .bind(i64::from(rows_max))
            .fetch_all(executor)
            .await?;
    rows.iter()
        .map(|row| ResourceId::parse(row.try_get::<&str, _>("id")?).map_err(Error::internal))
        .collect()
}

/// The resources of one kind (lower-cased) in a subscription, or in one group of it.
///
/// # Errors
/// The database fails.
pub async fn resource_list<'e>(
    executor: impl Executor<'e>,
    subscription: &str,
    resource_group: Option<&str>,
    kind: &str,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    let rows = match resource_group {
        Some(group) => {
            select!(
                "WHERE subscription = $1 AND resource_group = $2 AND kind = $3 AND key > $4 \
                 ORDER BY key LIMIT $5"
            )
            .bind(subscription.to_lowercase())
            .bind(group.to_lowercase())
            .bind(kind)
            .bind(page.after())
            .bind(page.rows_wanted())
            .fetch_all(executor)
            .await?
        }
        None => {
            select!("WHERE subscription = $1 AND kind = $2 AND key > $3 ORDER BY key LIMIT $4")
                .bind(subscription.to_lowercase())
                .bind(kind)
                .bind(page.after())
                .bind(page.rows_wanted())
                .fetch_all(executor)
                .await?
        }
    };
    paged(&rows, page)
}

/// The resources of one kind (lower-cased) and name in the whole installation: for names that are unique in it.
///
/// # Errors
/// The database fails.
pub async fn resource_find_by_name<'e>(
    executor: impl Executor<'e>,
    kind: &str,
    name: &str,
) -> Result<Vec<Resource>, Error> {
    let rows = select!("WHERE kind = $1 AND name = $2 ORDER BY key")
        .bind(kind)
        .bind(name.to_lowercase())
        .fetch_all(executor)
        .await?;
    rows.iter().map(from_row).collect()
}

/// The ids of up to `rows_max` resources that stand in a group, whatever their kind.
///
/// # Errors
/// The database fails.
pub async fn resource_ids_in_group<'e>(
    executor: impl Executor<'e>,
    subscription: &str,
    resource_group: &str,
    rows_max: u32,
) -> Result<Vec<String>, Error> {
    let rows = sqlx::query(
        "SELECT id FROM resources WHERE subscription = $1 AND resource_group = $2 AND kind <> $3 ORDER BY key LIMIT $4",
    )
    .bind(subscription.to_lowercase())
    .bind(resource_group.to_lowercase())
    .bind(RESOURCE_GROUP_KIND)
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("id")?)).collect()
}

/// The resources of every kind that stand directly in `scope`, a group, or in all groups of `scope`, a subscription.
///
/// # Errors
/// The database fails.
pub async fn resource_list_in_groups<'e>(
    executor: impl Executor<'e>,
    scope: &ResourceId,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    let rows = select!(
        "WHERE parent IN (SELECT key FROM resources WHERE kind = $1 AND (key = $2 OR parent = $2)) \
         AND key > $3 ORDER BY key LIMIT $4"
    )
    .bind(RESOURCE_GROUP_KIND)
    .bind(scope.key())
    .bind(page.after())
    .bind(page.rows_wanted())
    .fetch_all(executor)
    .await?;
    paged(&rows, page)
}

/// The resources of one kind (lower-cased) in the whole installation.
///
/// # Errors
/// The database fails.
pub async fn resource_list_all<'e>(
    executor: impl Executor<'e>,
    kind: &str,
    page: &Page,
) -> Result<Paged<Resource>, Error> {
    let rows = select!("WHERE kind = $1 AND key > $2 ORDER BY key LIMIT $3")
        .bind(kind)
        .bind(page.after())
        .bind(page.rows_wanted())
        .fetch_all(executor)
        .await?;
    paged(&rows, page)
}

fn paged(rows: &[SqliteRow], page: &Page) -> Result<Paged<Resource>, Error> {
    let mut items = rows.iter().map(from_row).collect::<Result<Vec<_>, _>>()?;
    let limit = usize::try_from(page.limit()).unwrap_or(usize::MAX);
    let next = if items.len() > limit {
        items.truncate(limit);
        items.last().map(|last| last.id.key().to_owned())
    } else {
        None
    };
    Ok(Paged { items, next })
}

fn changed_meanwhile(id: &ResourceId) -> Error {
    Error::conflict(
        "AnotherOperationInProgress",
        "The resource was changed by another request meanwhile.",
    )
    .with_target(id.to_string())
    .with_recommended_action("Read the resource again and repeat the request.")
}

/// Key of what contains `id`; none for a subscription.
pub(super) fn container_key(id: &ResourceId) -> Option<String> {
    id.parent().filter(|parent| !parent.is_root()).map(|parent| parent.key().to_owned())
}

async fn container_require(tx: &mut Tx, id: &ResourceId) -> Result<(), Error> {
    let Some(container) = container_key(id) else { return Ok(()) };
    let found = sqlx::query("SELECT 1 FROM resources WHERE key = $1")
        .bind(&container)
        .fetch_optional(&mut **tx)
        .await?;
    if found.is_some() {
        return Ok(());
    }
    Err(match id.parent().map(|parent| parent.resource_type()).as_deref() {
        Some("Microsoft.Resources/subscriptions") => {
            subscription_not_found(id.subscription_id().unwrap_or_default())
        }
        Some("Microsoft.Resources/resourceGroups") => {
            resource_group_not_found(id.resource_group().unwrap_or_default())
        }
        _ => Error::not_found(
            "ParentResourceNotFound",
            "Can not perform requested operation on nested resource. The parent resource was not found.",
        )
        .with_target(container),
    })
}

/// ARM's answer for a group that does not exist.
pub fn resource_group_not_found(name: &str) -> Error {
    Error::not_found(
        "ResourceGroupNotFound",
        format!("Resource group '{name}' could not be found."),
    )
}

/// ARM's answer for a subscription that does not exist.
pub fn subscription_not_found(id: &str) -> Error {
    Error::not_found("SubscriptionNotFound", format!("The subscription '{id}' could not be found."))
}
