//! What is due for repositories, and how far it is.
//!
//! A row is made when there is something to look after, and goes when its instance is found gone. Losing one loses no data.

use coffer_azure::ResourceId;
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use uuid::Uuid;

use super::{Executor, Tx};
use crate::error::Error;

/// What is done for a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Duty {
    /// Recovery points are locked in the storage, where it can and the vault is immutable.
    StorageLock,
    /// Recovery points whose time is over are deleted.
    Retention,
    /// What no recovery point needs is deleted.
    Collection,
    /// What is stored is read.
    Verification,
    /// Recovery points are copied to the second region, and what is to go there goes.
    Replication,
}

impl Duty {
    /// As it stands in the row.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StorageLock => "storage lock",
            Self::Retention => "retention",
            Self::Collection => "collection",
            Self::Verification => "verification",
            Self::Replication => "replication",
        }
    }
}

/// A duty towards one repository.
#[derive(Debug, Clone)]
pub struct Upkeep {
    /// Of an instance, or of one that was deleted since.
    pub repository: Uuid,
    /// What is to be done.
    pub duty: Duty,
    /// The instance's id when the row was made.
    pub instance: ResourceId,
    /// Microseconds since 1970.
    pub due_us: i64,
    /// Null before the duty has left any.
    pub state: Value,
}

/// Notes that a duty is due at that time, or earlier where that was noted before.
///
/// # Errors
/// The database fails.
pub async fn bring_forward(
    tx: &mut Tx,
    duty: Duty,
    repository: Uuid,
    instance: &ResourceId,
    due_us: i64,
) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO upkeep (repository, duty, instance, due_us) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (repository, duty) DO UPDATE SET due_us = excluded.due_us WHERE upkeep.due_us > excluded.due_us",
    )
    .bind(repository.to_string())
    .bind(duty.as_str())
    .bind(instance.as_str())
    .bind(due_us)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Notes that a duty is due at that time, or earlier where that was noted before, for every repository that is looked after of
/// a vault. Reads the whole table.
///
/// # Errors
/// The database fails.
pub async fn bring_forward_vault(
    tx: &mut Tx,
    duty: Duty,
    vault: &ResourceId,
    due_us: i64,
) -> Result<(), Error> {
    let prefix = format!("{}/", vault.as_str().to_lowercase());
    sqlx::query(
        "INSERT INTO upkeep (repository, duty, instance, due_us) \
         SELECT repository, $1, MIN(instance), $2 FROM upkeep WHERE SUBSTR(LOWER(instance), 1, LENGTH($3)) = $3 GROUP BY repository \
         ON CONFLICT (repository, duty) DO UPDATE SET due_us = excluded.due_us WHERE upkeep.due_us > excluded.due_us",
    )
    .bind(duty.as_str())
    .bind(due_us)
    .bind(prefix)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Up to `rows_max` that are due, longest first.
///
/// # Errors
/// The database fails.
pub async fn due<'e>(
    executor: impl Executor<'e>,
    duty: Duty,
    now_us: i64,
    rows_max: u32,
) -> Result<Vec<Upkeep>, Error> {
    let rows = sqlx::query(
        "SELECT repository, instance, due_us, state FROM upkeep WHERE duty = $1 AND due_us <= $2 ORDER BY due_us, repository \
         LIMIT $3",
    )
    .bind(duty.as_str())
    .bind(now_us)
    .bind(i64::from(rows_max))
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| from_row(row, duty)).collect()
}

/// Writes when a duty is due again and how far it is, unless it was noted anew since it was read: then it is due as noted.
///
/// # Errors
/// The database fails.
pub async fn put_off(
    tx: &mut Tx,
    upkeep: &Upkeep,
    due_us: i64,
    state: &Value,
) -> Result<(), Error> {
    sqlx::query(
        "UPDATE upkeep SET state = $1, due_us = CASE WHEN due_us = $2 THEN $3 ELSE due_us END WHERE repository = $4 AND duty = $5",
    )
    .bind(state.to_string())
    .bind(upkeep.due_us)
    .bind(due_us)
    .bind(upkeep.repository.to_string())
    .bind(upkeep.duty.as_str())
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// Forgets a duty: there is nothing left to look after.
///
/// # Errors
/// The database fails.
pub async fn forget(tx: &mut Tx, upkeep: &Upkeep) -> Result<(), Error> {
    sqlx::query("DELETE FROM upkeep WHERE repository = $1 AND duty = $2")
        .bind(upkeep.repository.to_string())
        .bind(upkeep.duty.as_str())
        .execute(&mut **tx)
        .await?;
    Ok(())
}

fn from_row(row: &SqliteRow, duty: Duty) -> Result<Upkeep, Error> {
    let state: String = row.try_get("state")?;
    Ok(Upkeep {
        repository: row.try_get::<String, _>("repository")?.parse().map_err(Error::internal)?,
        duty,
        instance: ResourceId::parse(row.try_get::<&str, _>("instance")?)
            .map_err(Error::internal)?,
        due_us: row.try_get("due_us")?,
        state: serde_json::from_str(&state).map_err(Error::internal)?,
    })
}
