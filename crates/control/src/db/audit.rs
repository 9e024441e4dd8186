//! Rows of the audit log: appended, read, and cut off at the front. Nothing changes a row.
//!
//! # Invariants
//!
//! * A row is appended in a write transaction, of which there is one at a time among all processes: there is one chain.
//! * Sequences have no gaps, and none is given twice, also when rows at the end have vanished: the next one continues what
//!   the state remembers, so that the gap stays to be found.

mod chain;

use sqlx::Row;
use sqlx::sqlite::{SqliteConnection, SqliteRow};

pub use chain::{ChainKey, KEY_BYTES, genesis};

use super::Tx;
use crate::error::Error;

/// What is written into a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewRow {
    /// Microseconds since 1970.
    pub time_us: i64,
    /// JSON.
    pub body: String,
}

/// One row as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    /// Its place in the chain.
    pub sequence: i64,
    /// Microseconds since 1970.
    pub time_us: i64,
    /// JSON, exactly as it was hashed.
    pub body: String,
    /// Hexadecimal.
    pub hash: String,
}

/// Where the chain ends and from where on it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditState {
    /// The newest row's sequence; 0 before the first.
    pub head_sequence: i64,
    /// Its hash.
    pub head_hash: String,
    /// The last row that was cut off; 0 when none was.
    pub anchor_sequence: i64,
    /// Its hash.
    pub anchor_hash: String,
    /// [`ChainKey::anchor`] of these two; empty while nothing was cut off.
    pub anchor_seal: String,
}

impl Default for AuditState {
    fn default() -> Self {
        Self {
            head_sequence: 0,
            head_hash: genesis(),
            anchor_sequence: 0,
            anchor_hash: genesis(),
            anchor_seal: String::new(),
        }
    }
}

/// Where the chain ends and begins; the default before the first row.
///
/// # Errors
/// The database fails.
pub async fn state(connection: &mut SqliteConnection) -> Result<AuditState, Error> {
    let row =
        sqlx::query("SELECT * FROM audit_state WHERE id = 1").fetch_optional(connection).await?;
    let Some(row) = row else { return Ok(AuditState::default()) };
    Ok(AuditState {
        head_sequence: row.try_get("head_sequence")?,
        head_hash: row.try_get("head_hash")?,
        anchor_sequence: row.try_get("anchor_sequence")?,
        anchor_hash: row.try_get("anchor_hash")?,
        anchor_seal: row.try_get("anchor_seal")?,
    })
}

/// Appends a row; its sequence.
///
/// # Errors
/// The database fails.
pub async fn append(
    connection: &mut SqliteConnection,
    key: &ChainKey,
    new: &NewRow,
) -> Result<i64, Error> {
    let state = state(connection).await?;
    let sequence = state.head_sequence.saturating_add(1);
    let hash = key.row(&state.head_hash, sequence, new.time_us, &new.body);
    sqlx::query("INSERT INTO audit (sequence, time_us, body, hash) VALUES ($1, $2, $3, $4)")
        .bind(sequence)
        .bind(new.time_us)
        .bind(&new.body)
        .bind(&hash)
        .execute(&mut *connection)
        .await?;
    set_state(connection, &AuditState { head_sequence: sequence, head_hash: hash, ..state })
        .await?;
    Ok(sequence)
}

/// Cuts off the rows at the front that are older, at most so many; the number of rows, and the last one of them. What is
/// left verifies from the anchor on.
///
/// # Errors
/// The database fails.
pub async fn cut(
    tx: &mut Tx,
    key: &ChainKey,
    before_us: i64,
    rows_max: u32,
) -> Result<Option<(u32, AuditRow)>, Error> {
    let state = state(tx).await?;
    let front = page(tx, state.anchor_sequence, rows_max).await?;
    // Up to the first one that is kept: after a clock was set back, younger rows stand before older ones.
    let count = front.iter().take_while(|row| row.time_us < before_us).count();
    let Some(last) = count.checked_sub(1).and_then(|index| front.into_iter().nth(index)) else {
        return Ok(None);
    };
    sqlx::query("DELETE FROM audit WHERE sequence <= $1")
        .bind(last.sequence)
        .execute(&mut **tx)
        .await?;
    let state = AuditState {
        anchor_sequence: last.sequence,
        anchor_hash: last.hash.clone(),
        anchor_seal: key.anchor(last.sequence, &last.hash),
        ..state
    };
    set_state(tx, &state).await?;
    Ok(Some((u32::try_from(count).unwrap_or(u32::MAX), last)))
}

/// The rows behind a sequence, in order.
///
/// # Errors
/// The database fails.
pub async fn page(
    connection: &mut SqliteConnection,
    after: i64,
    rows_max: u32,
) -> Result<Vec<AuditRow>, Error> {
    let rows = sqlx::query("SELECT * FROM audit WHERE sequence > $1 ORDER BY sequence LIMIT $2")
        .bind(after)
        .bind(i64::from(rows_max))
        .fetch_all(connection)
        .await?;
    rows.iter().map(from_row).collect()
}

async fn set_state(connection: &mut SqliteConnection, state: &AuditState) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO audit_state (id, head_sequence, head_hash, anchor_sequence, anchor_hash, anchor_seal) \
         VALUES (1, $1, $2, $3, $4, $5) ON CONFLICT (id) DO UPDATE SET head_sequence = $1, head_hash = $2, \
         anchor_sequence = $3, anchor_hash = $4, anchor_seal = $5",
    )
    .bind(state.head_sequence)
    .bind(&state.head_hash)
    .bind(state.anchor_sequence)
    .bind(&state.anchor_hash)
    .bind(&state.anchor_seal)
    .execute(connection)
    .await?;
    Ok(())
}

fn from_row(row: &SqliteRow) -> Result<AuditRow, Error> {
    Ok(AuditRow {
        sequence: row.try_get("sequence")?,
        time_us: row.try_get("time_us")?,
        body: row.try_get("body")?,
        hash: row.try_get("hash")?,
    })
}
