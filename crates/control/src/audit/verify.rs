//! Whether the log is as it was written.
//!
//! A row that was changed, moved or taken away breaks the chain at itself or right behind itself. Rows taken from the end
//! leave the state pointing behind them. Somebody who puts both back to an earlier moment leaves a chain that is whole and
//! shorter: only a head that was noted elsewhere (the server's log, the metric, an earlier check) tells, so one can be given.

use crate::db::Db;
use crate::db::audit::{AuditState, ChainKey, genesis, page, state};
use crate::error::Error;

/// Rows that are read at a time.
const PAGE_ROWS: u32 = 1000;

/// The end of a chain as somebody noted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// The newest row's sequence.
    pub sequence: i64,
    /// Its hash.
    pub hash: String,
}

/// Where the chain does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Break {
    /// The first row that is not as it was written.
    pub sequence: i64,
    /// What is wrong with it.
    pub what: &'static str,
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Rows that hold.
    pub rows: u64,
    /// The last row that was cut off as too old; 0 when none was.
    pub cut_sequence: i64,
    /// The end of what holds.
    pub head: Head,
    /// None when all of it holds.
    pub broken: Option<Break>,
    /// The head that was given is of a row that was cut off since, so that it could not be compared.
    pub expected_is_cut: bool,
}

/// Reads the whole log and checks every row, and that the head that was given is in it.
///
/// # Errors
/// The database fails.
pub async fn verify(db: &Db, key: &ChainKey, expected: Option<&Head>) -> Result<Report, Error> {
    let mut snapshot = db.snapshot().await?;
    let state = state(&mut snapshot).await?;
    let mut report = Report {
        rows: 0,
        cut_sequence: state.anchor_sequence,
        head: Head { sequence: state.anchor_sequence, hash: state.anchor_hash.clone() },
        broken: anchor_break(&state, key),
        expected_is_cut: expected.is_some_and(|head| head.sequence < state.anchor_sequence),
    };
    let mut is_met =
        expected.is_none_or(|head| head.sequence < state.anchor_sequence || *head == report.head);
    while report.broken.is_none() {
        let found = page(&mut snapshot, report.head.sequence, PAGE_ROWS).await?;
        if found.is_empty() {
            break;
        }
        for row in found {
            let due = report.head.sequence.saturating_add(1);
            if row.sequence != due {
                report.broken = Some(Break { sequence: due, what: "it is missing" });
                break;
            }
            if key.row(&report.head.hash, row.sequence, row.time_us, &row.body) != row.hash {
                let what = "it is not as it was written, or the one before it is not";
                report.broken = Some(Break { sequence: row.sequence, what });
                break;
            }
            if let Some(expected) = expected
                && expected.sequence == row.sequence
            {
                if expected.hash != row.hash {
                    let what = "the head that was given has another hash";
                    report.broken = Some(Break { sequence: row.sequence, what });
                    break;
                }
                is_met = true;
            }
            report.rows += 1;
            report.head = Head { sequence: row.sequence, hash: row.hash };
        }
    }
    if report.broken.is_none() {
        report.broken = end_break(&state, &report.head, is_met);
    }
    Ok(report)
}

fn anchor_break(state: &AuditState, key: &ChainKey) -> Option<Break> {
    let is_first = state.anchor_sequence == 0 && state.anchor_hash == genesis();
    let is_sealed = key.anchor(state.anchor_sequence, &state.anchor_hash) == state.anchor_seal;
    (!is_first && !is_sealed).then(|| Break {
        sequence: state.anchor_sequence.saturating_add(1),
        what: "what is before it was not cut off by the service",
    })
}

fn end_break(state: &AuditState, head: &Head, is_met: bool) -> Option<Break> {
    let next = head.sequence.saturating_add(1);
    if state.head_sequence > head.sequence {
        return Some(Break { sequence: next, what: "it is missing, with all behind it" });
    }
    if state.head_sequence < head.sequence || state.head_hash != head.hash {
        let what = "the log's own note of its end is another";
        return Some(Break { sequence: head.sequence, what });
    }
    (!is_met).then_some(Break {
        sequence: next,
        what: "it is missing: the head that was given is not reached",
    })
}
