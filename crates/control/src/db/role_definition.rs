//! Rows of roles that were made here.

use coffer_azure::ResourceId;
use coffer_azure::role::Permission;
use serde::{Deserialize, Serialize};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Executor, Tx};
use crate::error::Error;

/// One role as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct RoleRow {
    /// GUID, lower case.
    pub id: String,
    /// As written.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// What its holders may do: any one of these.
    pub permissions: Vec<Permission>,
    /// Where it can be assigned, with everything below.
    pub assignable_scopes: Vec<ResourceId>,
    /// Object id.
    pub created_by: String,
    /// Object id.
    pub updated_by: String,
    /// Microseconds since 1970.
    pub created_us: i64,
    /// Microseconds since 1970.
    pub updated_us: i64,
}

#[derive(Serialize, Deserialize)]
struct Body {
    description: String,
    permissions: Vec<Permission>,
    assignable_scopes: Vec<String>,
}

fn from_row(row: &SqliteRow) -> Result<RoleRow, Error> {
    let body: String = row.try_get("body")?;
    let body: Body = serde_json::from_str(&body).map_err(Error::internal)?;
    let scopes = body.assignable_scopes.iter().map(|scope| ResourceId::parse(scope));
    Ok(RoleRow {
        id: row.try_get("id")?,
        name: row.try_get("name")?,
        description: body.description,
        permissions: body.permissions,
        assignable_scopes: scopes.collect::<Result<_, _>>().map_err(Error::internal)?,
        created_by: row.try_get("created_by")?,
        updated_by: row.try_get("updated_by")?,
        created_us: row.try_get("created_us")?,
        updated_us: row.try_get("updated_us")?,
    })
}

/// Stores a role, new or in the place of the one with its id.
///
/// # Errors
/// Another role has the name, or the database fails.
pub async fn put(tx: &mut Tx, role: &RoleRow) -> Result<(), Error> {
    let body = Body {
        description: role.description.clone(),
        permissions: role.permissions.clone(),
        assignable_scopes: role.assignable_scopes.iter().map(ToString::to_string).collect(),
    };
    sqlx::query(
        "INSERT INTO role_definitions (id, name, name_key, body, created_by, updated_by, created_us, updated_us) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8) \
         ON CONFLICT (id) DO UPDATE SET name = $2, name_key = $3, body = $4, updated_by = $6, updated_us = $8",
    )
    .bind(&role.id)
    .bind(&role.name)
    .bind(role.name.to_lowercase())
    .bind(serde_json::to_string(&body).map_err(Error::internal)?)
    .bind(&role.created_by)
    .bind(&role.updated_by)
    .bind(role.created_us)
    .bind(role.updated_us)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// By its GUID, in lower case.
///
/// # Errors
/// The database fails.
pub async fn get<'e>(executor: impl Executor<'e>, id: &str) -> Result<Option<RoleRow>, Error> {
    let row = sqlx::query("SELECT * FROM role_definitions WHERE id = $1")
        .bind(id)
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// By its name, in any case.
///
/// # Errors
/// The database fails.
pub async fn get_by_name<'e>(
    executor: impl Executor<'e>,
    name: &str,
) -> Result<Option<RoleRow>, Error> {
    let row = sqlx::query("SELECT * FROM role_definitions WHERE name_key = $1")
        .bind(name.to_lowercase())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// All of them, by name.
///
/// # Errors
/// The database fails.
pub async fn list<'e>(executor: impl Executor<'e>) -> Result<Vec<RoleRow>, Error> {
    let rows =
        sqlx::query("SELECT * FROM role_definitions ORDER BY name_key").fetch_all(executor).await?;
    rows.iter().map(from_row).collect()
}

/// Those that a principal has anywhere.
///
/// # Errors
/// The database fails.
pub async fn list_for_principal<'e>(
    executor: impl Executor<'e>,
    principal_id: &str,
) -> Result<Vec<RoleRow>, Error> {
    let rows = sqlx::query(
        "SELECT * FROM role_definitions WHERE id IN (SELECT role_id FROM role_assignments WHERE principal_id = $1)",
    )
    .bind(principal_id.to_lowercase())
    .fetch_all(executor)
    .await?;
    rows.iter().map(from_row).collect()
}

/// How many there are.
///
/// # Errors
/// The database fails.
pub async fn count<'e>(executor: impl Executor<'e>) -> Result<i64, Error> {
    let row =
        sqlx::query("SELECT COUNT(*) AS count FROM role_definitions").fetch_one(executor).await?;
    Ok(row.try_get("count")?)
}

/// Deletes a role.
///
/// # Errors
/// The database fails.
pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM role_definitions WHERE id = $1").bind(id).execute(&mut **tx).await?;
    Ok(())
}
