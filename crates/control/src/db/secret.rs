//! Rows of secrets: every version of each, the value sealed.
//!
//! A version's value never changes; its attributes may. Names are compared without regard to case. A secret that is marked as
//! deleted ([`super::deleted_secret`]) is neither found nor listed here.

use coffer_azure::ResourceId;
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Executor, Paged, Tx};
use crate::error::Error;

/// One version of a secret.
#[derive(Clone, Debug)]
pub struct SecretVersion {
    /// Key of the key vault.
    pub vault: String,
    /// As first written.
    pub name: String,
    /// 32 hexadecimal digits.
    pub version: String,
    /// The value, sealed.
    pub sealed: String,
    /// Attributes, content type, tags.
    pub body: Value,
    /// Microseconds since 1970.
    pub created_us: i64,
    /// Microseconds since 1970.
    pub updated_us: i64,
}

/// The columns that [`from_row`] reads, of `secret_versions AS v`.
pub(super) const COLUMNS: &str =
    "v.vault, v.shown_name, v.version, v.sealed, v.body, v.created_us, v.updated_us";

const NOT_DELETED: &str =
    "NOT EXISTS (SELECT 1 FROM deleted_secrets AS d WHERE d.vault = v.vault AND d.name = v.name)";

pub(super) fn from_row(row: &SqliteRow) -> Result<SecretVersion, Error> {
    let body: String = row.try_get("body")?;
    Ok(SecretVersion {
        vault: row.try_get("vault")?,
        name: row.try_get("shown_name")?,
        version: row.try_get("version")?,
        sealed: row.try_get("sealed")?,
        body: serde_json::from_str(&body).map_err(Error::internal)?,
        created_us: row.try_get("created_us")?,
        updated_us: row.try_get("updated_us")?,
    })
}

/// Stores a new version, which is the current one from then on. Returns how many versions the secret has now.
///
/// # Errors
/// The database fails.
pub async fn insert(tx: &mut Tx, secret: &SecretVersion) -> Result<i64, Error> {
    let name = secret.name.to_lowercase();
    let row = sqlx::query(
        "SELECT COALESCE(MAX(sequence), 0) + 1 AS next, COUNT(*) AS versions FROM secret_versions \
         WHERE vault = $1 AND name = $2",
    )
    .bind(&secret.vault)
    .bind(&name)
    .fetch_one(&mut **tx)
    .await?;
    let (next, versions): (i64, i64) = (row.try_get("next")?, row.try_get("versions")?);
    sqlx::query(
        "INSERT INTO secret_versions (vault, name, version, sequence, shown_name, sealed, body, created_us, updated_us) \
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
    )
    .bind(&secret.vault)
    .bind(&name)
    .bind(&secret.version)
    .bind(next)
    .bind(&secret.name)
    .bind(&secret.sealed)
    .bind(secret.body.to_string())
    .bind(secret.created_us)
    .bind(secret.updated_us)
    .execute(&mut **tx)
    .await?;
    Ok(versions + 1)
}

/// Reads one version; the current one when none is named.
///
/// # Errors
/// The database fails.
pub async fn get<'e>(
    executor: impl Executor<'e>,
    vault: &ResourceId,
    name: &str,
    version: Option<&str>,
) -> Result<Option<SecretVersion>, Error> {
    let row = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS} FROM secret_versions AS v WHERE vault = $1 AND name = $2 AND ($3 = '' OR version = $3) \
         AND {NOT_DELETED} ORDER BY sequence DESC LIMIT 1"
    )))
    .bind(vault.key())
    .bind(name.to_lowercase())
    .bind(version.unwrap_or_default().to_lowercase())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(from_row).transpose()
}

/// Writes a version's attributes back.
///
/// # Errors
/// The database fails.
pub async fn update(tx: &mut Tx, secret: &SecretVersion) -> Result<(), Error> {
    sqlx::query(
        "UPDATE secret_versions SET body = $1, updated_us = $2 WHERE vault = $3 AND name = $4 AND version = $5",
    )
    .bind(secret.body.to_string())
    .bind(secret.updated_us)
    .bind(&secret.vault)
    .bind(secret.name.to_lowercase())
    .bind(&secret.version)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// The current version of every secret of a key vault, by name; those after the name `after`.
///
/// # Errors
/// The database fails.
pub async fn list<'e>(
    executor: impl Executor<'e>,
    vault: &ResourceId,
    after: &str,
    rows_max: u32,
) -> Result<Paged<SecretVersion>, Error> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS}, name AS token FROM secret_versions AS v WHERE vault = $1 AND name > $2 AND sequence = \
         (SELECT MAX(sequence) FROM secret_versions AS w WHERE w.vault = v.vault AND w.name = v.name) \
         AND {NOT_DELETED} ORDER BY name LIMIT $3"
    )))
    .bind(vault.key())
    .bind(after.to_lowercase())
    .bind(i64::from(rows_max) + 1)
    .fetch_all(executor)
    .await?;
    paged(&rows, rows_max)
}

/// The versions of one secret, by version; those after the version `after`.
///
/// # Errors
/// The database fails.
pub async fn list_versions<'e>(
    executor: impl Executor<'e>,
    vault: &ResourceId,
    name: &str,
    after: &str,
    rows_max: u32,
) -> Result<Paged<SecretVersion>, Error> {
    let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
        "SELECT {COLUMNS}, version AS token FROM secret_versions AS v WHERE vault = $1 AND name = $2 AND version > $3 \
         AND {NOT_DELETED} ORDER BY version LIMIT $4"
    )))
    .bind(vault.key())
    .bind(name.to_lowercase())
    .bind(after.to_lowercase())
    .bind(i64::from(rows_max) + 1)
    .fetch_all(executor)
    .await?;
    paged(&rows, rows_max)
}

fn paged(rows: &[SqliteRow], rows_max: u32) -> Result<Paged<SecretVersion>, Error> {
    let limit = usize::try_from(rows_max).unwrap_or(usize::MAX);
    let items = rows.iter().take(limit).map(from_row).collect::<Result<Vec<_>, _>>()?;
    let next = match rows.get(limit.wrapping_sub(1)) {
        Some(last) if rows.len() > limit => Some(last.try_get("token")?),
        _ => None,
    };
    Ok(Paged { items, next })
}

/// Removes a secret for good, with all its versions. `vault` is the key of its key vault.
///
/// # Errors
/// The database fails.
pub async fn purge(tx: &mut Tx, vault: &str, name: &str) -> Result<(), Error> {
    for statement in [
        "DELETE FROM secret_versions WHERE vault = $1 AND name = $2",
        "DELETE FROM deleted_secrets WHERE vault = $1 AND name = $2",
    ] {
        sqlx::query(statement).bind(vault).bind(name.to_lowercase()).execute(&mut **tx).await?;
    }
    Ok(())
}

/// Removes all secrets of a key vault for good, those that are deleted too.
///
/// # Errors
/// The database fails.
pub async fn purge_vault(tx: &mut Tx, vault: &ResourceId) -> Result<(), Error> {
    for statement in [
        "DELETE FROM secret_versions WHERE vault = $1",
        "DELETE FROM deleted_secrets WHERE vault = $1",
    ] {
        sqlx::query(statement).bind(vault.key()).execute(&mut **tx).await?;
    }
    Ok(())
}
