//! Rows of role assignments: who has which role at which scope.

use coffer_azure::ResourceId;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Executor, Tx, keys_below};
use crate::error::Error;

/// One assignment as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleAssignment {
    /// As first written.
    pub id: ResourceId,
    /// As first written; `/` is the root.
    pub scope: ResourceId,
    /// Lower-cased.
    pub scope_key: String,
    /// Lower-cased object id.
    pub principal_id: String,
    /// As `ServicePrincipal`.
    pub principal_type: String,
    /// The role's GUID, lower-cased.
    pub role_id: String,
    /// As first written.
    pub role_definition_id: String,
    /// Object id of who made it.
    pub created_by: String,
    /// Microseconds since 1970.
    pub created_us: i64,
    /// Microseconds since 1970.
    pub updated_us: i64,
}

fn from_row(row: &SqliteRow) -> Result<RoleAssignment, Error> {
    let id: String = row.try_get("id")?;
    let scope: String = row.try_get("scope")?;
    Ok(RoleAssignment {
        id: ResourceId::parse(&id).map_err(Error::internal)?,
        scope: ResourceId::parse(&scope).map_err(Error::internal)?,
        scope_key: row.try_get("scope_key")?,
        principal_id: row.try_get("principal_id")?,
        principal_type: row.try_get("principal_type")?,
        role_id: row.try_get("role_id")?,
        role_definition_id: row.try_get("role_definition_id")?,
        created_by: row.try_get("created_by")?,
        created_us: row.try_get("created_us")?,
        updated_us: row.try_get("updated_us")?,
    })
}

/// Stores a new assignment.
///
/// # Errors
/// [`Conflict`](crate::ErrorKind::Conflict) `RoleAssignmentExists` when the id is taken.
pub async fn insert(tx: &mut Tx, assignment: &RoleAssignment) -> Result<(), Error> {
    let done = sqlx::query(
        "INSERT INTO role_assignments (key, id, scope, scope_key, principal_id, principal_type, role_id, \
         role_definition_id, created_by, created_us, updated_us) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (key) DO NOTHING",
    )
    .bind(assignment.id.key())
    .bind(assignment.id.as_str())
    .bind(assignment.scope.as_str())
    .bind(assignment.scope.key())
    .bind(assignment.principal_id.to_lowercase())
    .bind(&assignment.principal_type)
    .bind(assignment.role_id.to_lowercase())
    .bind(&assignment.role_definition_id)
    .bind(&assignment.created_by)
    .bind(assignment.created_us)
    .bind(assignment.updated_us)
    .execute(&mut **tx)
    .await?;
    if done.rows_affected() == 0 {
        return Err(Error::conflict("RoleAssignmentExists", "The role assignment already exists."));
    }
    Ok(())
}

/// Reads one assignment.
///
/// # Errors
/// The database fails.
pub async fn get<'e>(
    executor: impl Executor<'e>,
    id: &ResourceId,
) -> Result<Option<RoleAssignment>, Error> {
    let row = sqlx::query("SELECT * FROM role_assignments WHERE key = $1")
        .bind(id.key())
        .fetch_optional(executor)
        .await?;
    row.as_ref().map(from_row).transpose()
}

/// Deletes one assignment; false when there was none.
///
/// # Errors
/// The database fails.
pub async fn delete(tx: &mut Tx, id: &ResourceId) -> Result<bool, Error> {
    let done = sqlx::query("DELETE FROM role_assignments WHERE key = $1")
        .bind(id.key())
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Deletes the assignments made at a scope that goes away, and at everything below it.
///
/// # Errors
/// The database fails.
pub async fn delete_within(tx: &mut Tx, scope: &ResourceId) -> Result<(), Error> {
    let (above, below) = keys_below(scope.key());
    sqlx::query(
        "DELETE FROM role_assignments WHERE scope_key = $1 OR (scope_key >= $2 AND scope_key < $3)",
    )
    .bind(scope.key())
    .bind(above)
    .bind(below)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Everything that a principal was given, at any scope.
///
/// # Errors
/// The database fails.
pub async fn list_for_principal<'e>(
    executor: impl Executor<'e>,
    principal_id: &str,
) -> Result<Vec<RoleAssignment>, Error> {
    let rows = sqlx::query("SELECT * FROM role_assignments WHERE principal_id = $1 ORDER BY key")
        .bind(principal_id.to_lowercase())
        .fetch_all(executor)
        .await?;
    rows.iter().map(from_row).collect()
}

/// Which scopes' assignments a page is read of.
#[derive(Clone, Copy, Debug)]
pub struct Around<'a> {
    /// Those made at this scope and above it.
    pub scope: &'a ResourceId,
    /// Those below it as well.
    pub with_below: bool,
    /// Only those of this principal.
    pub principal_id: Option<&'a str>,
}

/// The assignments that hold at a scope (and below it), by id: at most so many behind `after`, a key.
///
/// # Errors
/// The database fails.
pub async fn list_around<'e>(
    executor: impl Executor<'e>,
    around: Around<'_>,
    after: &str,
    rows_max: u32,
) -> Result<Vec<RoleAssignment>, Error> {
    let key = around.scope.key().trim_end_matches('/');
    let (below_from, below_to) =
        if around.with_below { keys_below(key) } else { (String::new(), String::new()) };
    let rows = sqlx::query(
        "SELECT * FROM role_assignments WHERE key > $1 \
         AND (scope_key = '/' OR substr($2, 1, length(scope_key) + 1) = scope_key || '/' OR (scope_key >= $3 AND scope_key < $4)) \
         AND ($5 = '' OR principal_id = $5) ORDER BY key LIMIT $6",
    )
    .bind(after)
    .bind(format!("{key}/"))
    .bind(below_from)
    .bind(below_to)
    .bind(around.principal_id.unwrap_or_default().to_lowercase())
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(from_row).collect()
}

/// Whether anybody has the role, anywhere; the scopes where, at most so many.
///
/// # Errors
/// The database fails.
pub async fn scopes_of_role<'e>(
    executor: impl Executor<'e>,
    role_id: &str,
    rows_max: u32,
) -> Result<Vec<ResourceId>, Error> {
    let rows = sqlx::query(
        "SELECT DISTINCT scope FROM role_assignments WHERE role_id = $1 ORDER BY scope LIMIT $2",
    )
    .bind(role_id)
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter()
        .map(|row| {
            let scope: String = row.try_get("scope")?;
            ResourceId::parse(&scope).map_err(Error::internal)
        })
        .collect()
}
