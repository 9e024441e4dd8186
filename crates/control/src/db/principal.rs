//! Rows of principals and of the hashes of their secrets.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Executor, Tx};
use crate::error::Error;

/// What a principal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PrincipalKind {
    /// Logs in with client id and secret.
    Application,
    /// A vault's identity: acts only inside the service and has no secret.
    Managed,
    /// Comes with a token of another issuer, and has no secret here.
    Federated,
}

impl PrincipalKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Application => "application",
            Self::Managed => "managed",
            Self::Federated => "federated",
        }
    }
}

/// Somebody who can be given roles.
#[derive(Clone, Debug)]
pub struct Principal {
    /// Object id, lower case.
    pub id: String,
    /// What it is.
    pub kind: PrincipalKind,
    /// Client id, lower case.
    pub application_id: String,
    /// Of one who is [`Federated`](PrincipalKind::Federated): by whose word, and that issuer's name for him.
    pub federated: Option<(String, String)>,
    /// For people.
    pub display_name: String,
    /// Microseconds since 1970.
    pub created_us: i64,
}

fn from_row(row: &SqliteRow) -> Result<Principal, Error> {
    let kind: String = row.try_get("kind")?;
    Ok(Principal {
        id: row.try_get("id")?,
        kind: match kind.as_str() {
            "managed" => PrincipalKind::Managed,
            "federated" => PrincipalKind::Federated,
            _ => PrincipalKind::Application,
        },
        application_id: row.try_get("application_id")?,
        federated: Option::zip(row.try_get("issuer")?, row.try_get("subject")?),
        display_name: row.try_get("display_name")?,
        created_us: row.try_get("created_us")?,
    })
}

/// Stores a new principal.
///
/// # Errors
/// The id or the client id is taken, or the database fails.
pub async fn insert(tx: &mut Tx, principal: &Principal) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO principals (id, kind, application_id, issuer, subject, display_name, created_us) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(&principal.id)
    .bind(principal.kind.as_str())
    .bind(&principal.application_id)
    .bind(principal.federated.as_ref().map(|(issuer, _)| issuer))
    .bind(principal.federated.as_ref().map(|(_, subject)| subject))
    .bind(&principal.display_name)
    .bind(principal.created_us)
    .execute(&mut **tx)
    .await?;
    Ok(())
}

/// By object id, in any case.
///
/// # Errors
/// The database fails.
pub async fn get<'e>(executor: impl Executor<'e>, id: &str) -> Result<Option<Principal>, Error> {
    let row = sqlx::query(
        "SELECT id, kind, application_id, issuer, subject, display_name, created_us FROM principals WHERE id = $1",
    )
    .bind(id.to_lowercase())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(from_row).transpose()
}

/// By client id, in any case.
///
/// # Errors
/// The database fails.
pub async fn get_by_application<'e>(
    executor: impl Executor<'e>,
    application_id: &str,
) -> Result<Option<Principal>, Error> {
    let row = sqlx::query(
        "SELECT id, kind, application_id, issuer, subject, display_name, created_us FROM principals WHERE application_id = $1",
    )
    .bind(application_id.to_lowercase())
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(from_row).transpose()
}

/// By another issuer's word: both compared to the letter.
///
/// # Errors
/// The database fails.
pub async fn get_by_subject<'e>(
    executor: impl Executor<'e>,
    issuer: &str,
    subject: &str,
) -> Result<Option<Principal>, Error> {
    let row = sqlx::query(
        "SELECT id, kind, application_id, issuer, subject, display_name, created_us FROM principals \
         WHERE issuer = $1 AND subject = $2",
    )
    .bind(issuer)
    .bind(subject)
    .fetch_optional(executor)
    .await?;
    row.as_ref().map(from_row).transpose()
}

/// All of them, by name.
///
/// # Errors
/// The database fails.
pub async fn list<'e>(executor: impl Executor<'e>) -> Result<Vec<Principal>, Error> {
    let rows = sqlx::query(
        "SELECT id, kind, application_id, issuer, subject, display_name, created_us FROM principals ORDER BY display_name, id",
    )
    .fetch_all(executor)
    .await?;
    rows.iter().map(from_row).collect()
}

/// Deletes a principal with its secrets and its role assignments. One that does not exist is no error.
///
/// # Errors
/// The database fails.
pub async fn delete(tx: &mut Tx, id: &str) -> Result<bool, Error> {
    let id = id.to_lowercase();
    sqlx::query("DELETE FROM role_assignments WHERE principal_id = $1")
        .bind(&id)
        .execute(&mut **tx)
        .await?;
    sqlx::query("DELETE FROM principal_secrets WHERE principal_id = $1")
        .bind(&id)
        .execute(&mut **tx)
        .await?;
    let done =
        sqlx::query("DELETE FROM principals WHERE id = $1").bind(&id).execute(&mut **tx).await?;
    Ok(done.rows_affected() > 0)
}

/// Replaces all secrets of a principal by one.
///
/// # Errors
/// The database fails.
pub async fn secret_replace(
    tx: &mut Tx,
    principal_id: &str,
    secret_id: &str,
    hash: &str,
    now_us: i64,
) -> Result<(), Error> {
    sqlx::query("DELETE FROM principal_secrets WHERE principal_id = $1")
        .bind(principal_id)
        .execute(&mut **tx)
        .await?;
    sqlx::query("INSERT INTO principal_secrets (id, principal_id, hash, created_us) VALUES ($1, $2, $3, $4)")
        .bind(secret_id)
        .bind(principal_id)
        .bind(hash)
        .bind(now_us)
        .execute(&mut **tx)
        .await?;
    Ok(())
}

/// The hashes that a principal's secret is checked against.
///
/// # Errors
/// The database fails.
pub async fn secret_hashes<'e>(
    executor: impl Executor<'e>,
    principal_id: &str,
) -> Result<Vec<String>, Error> {
    let rows = sqlx::query(
        "SELECT hash FROM principal_secrets WHERE principal_id = $1 ORDER BY created_us",
    )
    .bind(principal_id)
    .fetch_all(executor)
    .await?;
    rows.iter().map(|row| Ok(row.try_get("hash")?)).collect()
}
