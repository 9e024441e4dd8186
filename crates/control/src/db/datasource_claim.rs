//! Which backup instance protects a datasource.
//!
//! # Invariants
//!
//! * At most one row of a datasource holds it: the index says so, not the code.
//! * A row may outlive its instance (an instance's data goes long after its request): whoever reads a row asks whether the instance
//!   is still there, and [`remove`]s what is left over.

use coffer_azure::ResourceId;
use sqlx::Row;

use super::{Executor, Tx, keys_below};
use crate::error::Error;

/// One instance's relation to a datasource.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatasourceClaim {
    /// `{vault}/backupInstances/{name}`, in lower case.
    pub instance: String,
    /// Key of the vault.
    pub vault: String,
    /// Whether it is this instance that protects the datasource.
    pub holds: bool,
}

/// All claims on a datasource, the held one first.
///
/// # Errors
/// The database fails.
pub async fn list<'e>(
    executor: impl Executor<'e>,
    datasource: &ResourceId,
) -> Result<Vec<DatasourceClaim>, Error> {
    let rows = sqlx::query("SELECT instance, vault, holds FROM datasource_claims WHERE datasource = $1 ORDER BY holds DESC, instance")
        .bind(datasource.key())
        .fetch_all(executor)
        .await?;
    rows.iter()
        .map(|row| {
            Ok(DatasourceClaim {
                instance: row.try_get("instance")?,
                vault: row.try_get("vault")?,
                holds: row.try_get::<i64, _>("holds")? != 0,
            })
        })
        .collect()
}

/// The keys of the instances whose datasource is this resource or lies in it, in their order, behind `after`; at most `rows_max`.
///
/// # Errors
/// The database fails.
pub async fn instances_within<'e>(
    executor: impl Executor<'e>,
    resource: &ResourceId,
    after: &str,
    rows_max: u32,
) -> Result<Vec<String>, Error> {
    let (above, below) = keys_below(resource.key());
    let rows = sqlx::query(
        "SELECT instance FROM datasource_claims WHERE (datasource = $1 OR (datasource > $2 AND datasource < $3)) \
         AND instance > $4 ORDER BY instance LIMIT $5",
    )
    .bind(resource.key())
    .bind(above)
    .bind(below)
    .bind(after)
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("instance")?)).collect()
}

/// Makes `instance` the holder of the datasource. The caller has seen in the same transaction that nobody else is.
///
/// # Errors
/// Another instance holds it after all, or the database fails.
pub async fn hold(
    tx: &mut Tx,
    instance: &ResourceId,
    datasource: &ResourceId,
    vault: &ResourceId,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO datasource_claims (instance, datasource, vault, holds) VALUES ($1, $2, $3, 1) \
         ON CONFLICT (instance) DO UPDATE SET datasource = excluded.datasource, vault = excluded.vault, holds = 1",
    )
    .bind(instance.key())
    .bind(datasource.key())
    .bind(vault.key())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Keeps the claim of `instance`, without holding the datasource any longer.
///
/// # Errors
/// The database fails.
pub async fn release(tx: &mut Tx, instance: &ResourceId) -> Result<(), Error> {
    sqlx::query("UPDATE datasource_claims SET holds = 0 WHERE instance = $1")
        .bind(instance.key())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Forgets a claim, by the key of its instance.
///
/// # Errors
/// The database fails.
pub async fn remove(tx: &mut Tx, instance_key: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM datasource_claims WHERE instance = $1")
        .bind(instance_key)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
