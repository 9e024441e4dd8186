//! A resource goes on under another id, with all that is nested in it and whatever else of the store names them.
//!
//! Jobs and operations are not among it: they tell what happened to the old id.

use coffer_azure::ResourceId;
use serde_json::Value;
use sqlx::Row;

use super::resource::{
    PAGE_ROWS_MAX, Resource, container_key, resource_exists, resource_get, resource_ids_nested,
    resource_update,
};
use super::{Tx, keys_below};
use crate::error::Error;

/// Gives a resource, in the version that was read, another id and body, and moves what is nested in it along. That the new id has a
/// group, where it needs one, is the caller's to see to.
///
/// # Errors
/// [`Conflict`](crate::ErrorKind::Conflict) when the new id is taken, or the resource was changed since it was read; the database
/// fails.
pub async fn resource_move(
    tx: &mut Tx,
    from: &Resource,
    to: &ResourceId,
    body: Value,
    now_us: i64,
) -> Result<Resource, Error> {
    if resource_exists(&mut **tx, to).await? {
        return Err(Error::conflict("ResourceExists", "A resource of this id exists already.")
            .with_target(to.to_string()));
    }
    let mut changed = Resource { body, ..from.clone() };
    resource_update(tx, &mut changed, now_us).await?;
    rename_resource(tx, &from.id, to).await?;
    loop {
        // What was renamed is not found again.
        let nested = resource_ids_nested(&mut **tx, &from.id, PAGE_ROWS_MAX).await?;
        if nested.is_empty() {
            break;
        }
        for id in &nested {
            rename_resource(tx, id, &renamed(id, &from.id, to)?).await?;
        }
    }
    rename_claims(tx, &from.id, to).await?;
    rename_purges(tx, &from.id, to).await?;
    rename_upkeep(tx, &from.id, to).await?;
    resource_get(&mut **tx, to)
        .await?
        .ok_or_else(|| Error::internal("a resource was lost on its way"))
}

async fn rename_resource(tx: &mut Tx, from: &ResourceId, to: &ResourceId) -> Result<(), Error> {
    sqlx::query(
        "UPDATE resources SET key = $1, id = $2, kind = $3, name = $4, parent = $5, subscription = $6, resource_group = $7 \
         WHERE key = $8",
    )
    .bind(to.key())
    .bind(to.as_str())
    .bind(to.resource_type().to_ascii_lowercase())
    .bind(to.name().to_lowercase())
    .bind(container_key(to))
    .bind(to.subscription_id().unwrap_or_default().to_ascii_lowercase())
    .bind(to.resource_group().map(str::to_ascii_lowercase))
    .bind(from.key())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

async fn rename_claims(tx: &mut Tx, from: &ResourceId, to: &ResourceId) -> Result<(), Error> {
    // Claims may outlive their instances. Where nothing is, none stands for anything.
    sqlx::query("DELETE FROM datasource_claims WHERE vault = $1")
        .bind(to.key())
        .execute(&mut **tx)
        .await?;
    let rows = sqlx::query("SELECT instance FROM datasource_claims WHERE vault = $1")
        .bind(from.key())
        .fetch_all(&mut **tx)
        .await?;
    for row in rows {
        let instance: String = row.try_get("instance")?;
        let moved = renamed(&parsed(&instance)?, from, to)?;
        sqlx::query("UPDATE datasource_claims SET instance = $1, vault = $2 WHERE instance = $3")
            .bind(moved.key())
            .bind(to.key())
            .bind(instance)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

async fn rename_purges(tx: &mut Tx, from: &ResourceId, to: &ResourceId) -> Result<(), Error> {
    let (above, below) = keys_below(from.key());
    let rows = sqlx::query(
        "SELECT instance_key FROM purge WHERE instance_key = $1 OR (instance_key > $2 AND instance_key < $3)",
    )
    .bind(from.key())
    .bind(above)
    .bind(below)
    .fetch_all(&mut **tx)
    .await?;
    for row in rows {
        let key: String = row.try_get("instance_key")?;
        let moved = renamed(&parsed(&key)?, from, to)?;
        sqlx::query("UPDATE purge SET instance_key = $1 WHERE instance_key = $2")
            .bind(moved.key())
            .bind(key)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

/// Reads the whole table.
async fn rename_upkeep(tx: &mut Tx, from: &ResourceId, to: &ResourceId) -> Result<(), Error> {
    let rows = sqlx::query("SELECT DISTINCT instance FROM upkeep").fetch_all(&mut **tx).await?;
    for row in rows {
        let instance: String = row.try_get("instance")?;
        let id = parsed(&instance)?;
        if id.parent().as_ref() != Some(from) {
            continue;
        }
        sqlx::query("UPDATE upkeep SET instance = $1 WHERE instance = $2")
            .bind(renamed(&id, from, to)?.as_str())
            .bind(instance)
            .execute(&mut **tx)
            .await?;
    }
    Ok(())
}

fn parsed(id: &str) -> Result<ResourceId, Error> {
    ResourceId::parse(id).map_err(Error::internal)
}

/// `id`, which is `from` or nested in it, with `to` in the place of `from`. By segments: another case may have another length.
fn renamed(id: &ResourceId, from: &ResourceId, to: &ResourceId) -> Result<ResourceId, Error> {
    let depth = from.as_str().split('/').count();
    let mut text = to.as_str().to_owned();
    for segment in id.as_str().split('/').skip(depth) {
        text.push('/');
        text.push_str(segment);
    }
    parsed(&text)
}
