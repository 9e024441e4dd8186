//! Alerts on their way to the webhook.
//!
//! A row is written in the transaction of what it tells, and goes when the receiver has taken it, or when it is too old to be of
//! use.

use sqlx::Row;

use super::{Executor, Tx};
use crate::error::Error;

/// An alert that is to be sent.
#[derive(Debug, Clone)]
pub struct AlertRow {
    /// GUID.
    pub id: String,
    /// JSON, as it is sent.
    pub body: String,
    /// Microseconds since 1970.
    pub raised_us: i64,
    /// How often it was sent in vain.
    pub attempts: u32,
}

/// Adds an alert, due at once.
///
/// # Errors
/// The database fails.
pub async fn insert(tx: &mut Tx, id: &str, body: &str, now_us: i64) -> Result<(), Error> {
    sqlx::query("INSERT INTO alert (id, body, raised_us, due_us) VALUES ($1, $2, $3, $3)")
        .bind(id)
        .bind(body)
        .bind(now_us)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// How many wait.
///
/// # Errors
/// The database fails.
pub async fn count<'e>(executor: impl Executor<'e>) -> Result<u64, Error> {
    let row = sqlx::query("SELECT COUNT(*) AS n FROM alert").fetch_one(executor).await?;
    Ok(u64::try_from(row.try_get::<i64, _>("n")?).unwrap_or(0))
}

/// Takes the alert that has been due longest, and puts it off, so that no other replica sends it meanwhile.
///
/// # Errors
/// The database fails.
pub async fn claim(tx: &mut Tx, now_us: i64, until_us: i64) -> Result<Option<AlertRow>, Error> {
    let row = sqlx::query(
        "UPDATE alert SET due_us = $1, attempts = attempts + 1 \
         WHERE id = (SELECT id FROM alert WHERE due_us <= $2 ORDER BY due_us LIMIT 1) \
         RETURNING id, body, raised_us, attempts",
    )
    .bind(until_us)
    .bind(now_us)
    .fetch_optional(&mut **tx)
    .await?;
    let Some(row) = row else { return Ok(None) };
    let attempts: i64 = row.try_get("attempts")?;
    Ok(Some(AlertRow {
        id: row.try_get("id")?,
        body: row.try_get("body")?,
        raised_us: row.try_get("raised_us")?,
        attempts: u32::try_from(attempts).unwrap_or(u32::MAX),
    }))
}

/// Sets when an alert is sent again.
///
/// # Errors
/// The database fails.
pub async fn put_off(tx: &mut Tx, id: &str, due_us: i64) -> Result<(), Error> {
    sqlx::query("UPDATE alert SET due_us = $1 WHERE id = $2")
        .bind(due_us)
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// Removes an alert that was taken, or given up.
///
/// # Errors
/// The database fails.
pub async fn delete(tx: &mut Tx, id: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM alert WHERE id = $1").bind(id).execute(&mut **tx).await?;
    Ok(())
}
