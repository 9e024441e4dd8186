//! Small named values of the installation: its tenant, its wrapped signing key, when something was last done.

use sqlx::Row;

use super::{Executor, Tx};
use crate::error::Error;

/// Reads a value.
///
/// # Errors
/// The database fails.
pub async fn get<'e>(executor: impl Executor<'e>, name: &str) -> Result<Option<String>, Error> {
    let row = sqlx::query("SELECT value FROM settings WHERE name = $1")
        .bind(name)
        .fetch_optional(executor)
        .await?;
    row.map(|row| Ok(row.try_get("value")?)).transpose()
}

/// Writes a value.
///
/// # Errors
/// The database fails.
pub async fn set(tx: &mut Tx, name: &str, value: &str) -> Result<(), Error> {
    sqlx::query("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = $2")
        .bind(name)
        .bind(value)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
