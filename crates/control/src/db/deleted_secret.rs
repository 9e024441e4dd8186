//! Rows of secrets that are deleted and can be recovered: a mark beside the versions, which stay until the purge.
//!
//! What bears the mark is no secret to [`super::secret`]: it is neither found nor listed there.

use coffer_azure::ResourceId;
use sqlx::Row;

use super::secret::{COLUMNS, SecretVersion, from_row};
use super::{Executor, Paged, Tx};
use crate::error::Error;

/// A deleted secret: its current version, and when what happens to it.
#[derive(Clone, Debug)]
pub struct DeletedSecret {
    /// The version that was the current one.
    pub secret: SecretVersion,
    /// Microseconds since 1970.
    pub deleted_us: i64,
    /// When it goes by itself, in microseconds since 1970.
    pub purge_us: i64,
}

fn from_deleted_row(row: &sqlx::sqlite::SqliteRow) -> Result<DeletedSecret, Error> {
    Ok(DeletedSecret {
        secret: from_row(row)?,
        deleted_us: row.try_get("deleted_us")?,
        purge_us: row.try_get("purge_us")?,
    })
}

/// Marks a secret as deleted.
///
/// # Errors
/// It is marked already, or the database fails.
pub async fn insert(
    tx: &mut Tx,
    vault: &ResourceId,
    name: &str,
    deleted_us: i64,
    purge_us: i64,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO deleted_secrets (vault, name, deleted_us, purge_us) VALUES ($1, $2, $3, $4)",
    )
    .bind(vault.key())
    .bind(name.to_lowercase())
    .bind(deleted_us)
    .bind(purge_us)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Takes the mark away: the secret is there again.
///
/// # Errors
/// The database fails.
pub async fn recover(tx: &mut Tx, vault: &ResourceId, name: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM deleted_secrets WHERE vault = $1 AND name = $2")
        .bind(vault.key())
        .bind(name.to_lowercase())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// A deleted secret.
///
/// # Errors
/// The database fails.
pub async fn get<'e>(
    executor: impl Executor<'e>,
    vault: &ResourceId,
    name: &str,
) -> Result<Option<DeletedSecret>, Error> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS}, d.deleted_us, d.purge_us FROM secret_versions AS v \
         JOIN deleted_secrets AS d ON d.vault = v.vault AND d.name = v.name \
         WHERE v.vault = $1 AND v.name = $2 ORDER BY v.sequence DESC LIMIT 1"
    )))
    .bind(vault.key())
    .bind(name.to_lowercase())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(from_deleted_row).transpose()
}

/// The deleted secrets of a key vault, by name; those after the name `after`.
///
/// # Errors
/// The database fails.
pub async fn list<'e>(
    executor: impl Executor<'e>,
    vault: &ResourceId,
    after: &str,
    rows_max: u32,
) -> Result<Paged<DeletedSecret>, Error> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS}, d.deleted_us, d.purge_us FROM deleted_secrets AS d \
         JOIN secret_versions AS v ON v.vault = d.vault AND v.name = d.name \
         WHERE d.vault = $1 AND d.name > $2 AND v.sequence = \
         (SELECT MAX(w.sequence) FROM secret_versions AS w WHERE w.vault = d.vault AND w.name = d.name) \
         ORDER BY d.name LIMIT $3"
    )))
    .bind(vault.key())
    .bind(after.to_lowercase())
    .bind(i64::from(rows_max) + 1)
    .fetch_all(executor)
    .await?;
    let limit = usize::try_from(rows_max).unwrap_or(usize::MAX);
    let items = rows.iter().take(limit).map(from_deleted_row).collect::<Result<Vec<_>, _>>()?;
    let next = items
        .last()
        .filter(|_| rows.len() > limit)
        .map(|last: &DeletedSecret| last.secret.name.to_lowercase());
    Ok(Paged { items, next })
}

/// Keys of vaults and names of secrets whose time has come, the earliest first.
///
/// # Errors
/// The database fails.
pub async fn list_due<'e>(
    executor: impl Executor<'e>,
    now_us: i64,
    rows_max: u32,
) -> Result<Vec<(String, String)>, Error> {
    let rows = sqlx::query(
        "SELECT vault, name FROM deleted_secrets WHERE purge_us <= $1 ORDER BY purge_us LIMIT $2",
    )
    .bind(now_us)
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok((row.try_get("vault")?, row.try_get("name")?))).collect()
}

/// Whether a key vault has any secret, deleted or not.
///
/// # Errors
/// The database fails.
pub async fn vault_holds_any<'e>(
    executor: impl Executor<'e>,
    vault: &ResourceId,
) -> Result<bool, Error> {
    let row = sqlx::query("SELECT 1 FROM secret_versions WHERE vault = $1 LIMIT 1")
        .bind(vault.key())
        .fetch_optional(executor)
        .await?;
    Ok(row.is_some())
}
