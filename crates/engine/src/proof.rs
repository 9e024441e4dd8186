//! What a restore says about the database that came back: equal to the recovery point, or where not.
//!
//! Counts and content hashes are compared, never exit codes. Whatever cannot be compared is named in `not_proved`; it is
//! never counted as equal.

use crate::manifest::NotProved;

/// The outcome of comparing a restored database with its recovery point.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Proof {
    /// Tables compared.
    pub tables: u64,
    /// Rows compared.
    pub rows: u64,
    /// Everything compared was equal.
    pub equal: bool,
    /// Where it was not.
    pub differences: Vec<Difference>,
    /// What could not be compared, and why.
    pub not_proved: Vec<NotProved>,
}

/// One object that came back different.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What, such as `table public.orders`.
    pub object: String,
    /// What the recovery point says, such as `1000 rows, hash 0f…`.
    pub expected: String,
    /// What the restored database holds.
    pub found: String,
}
