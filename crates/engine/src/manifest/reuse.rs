//! What a recovery point says about rows that were taken over from the previous one without being read.

use serde::{Deserialize, Serialize};

use super::rows::is_zero;

/// Of a whole database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reuse {
    /// Why nothing might be taken over, by a stable word (`docs/format.md`); none where it might.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full_read: Option<String>,
    /// Time of the snapshot of the last recovery point for which everything was read, microseconds since 1970.
    pub last_full_read_unix_us: i64,
    /// The part of the server's log by which ranges were taken over, as `timeline X/Y X/Y`; none where it was not used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<String>,
    /// Why the log was not used where ranges might be taken over, by a stable word (`docs/format.md`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub no_log: Option<String>,
    /// A range that should have been as it was turned out to differ. Later recovery points carry it on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mismatch: Option<Mismatch>,
}

/// Who was wrong about a range: with the same software nothing is taken over unread any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mismatch {
    /// Version of Coffer.
    pub coffer_version: String,
    /// `server_version_num`.
    pub server_version_num: u32,
    /// Where.
    pub table: String,
}

/// Of one table.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reading {
    /// Ranges whose rows were counted and their ages looked at, to see whether they are as they were.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub looked_at: u64,
    /// Ranges taken over unread.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub taken_over: u64,
    /// Those of them, or of the audited ones, that the server's log says were not touched.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub by_log: u64,
    /// Ranges that might have been taken over, and were read and compared all the same.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub audited: u64,
    /// Chunks that were compared with one of an earlier recovery point, to make a delta of them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub delta_tried: u64,
    /// Those that became one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub deltas: u64,
    /// Why none of them might be taken over, by a stable word, where others of the database might.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Reading {
    /// All was read, and nothing else tried.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }
}
