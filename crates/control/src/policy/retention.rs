//! Which recovery points may go, and why each of the others stays.
//!
//! A recovery point's end is fixed when it is taken, by the tag and the policy of that moment. A later change of the policy is
//! for later recovery points: it neither ends nor prolongs what is there (docs/policies.md says why).
//!
//! # Invariants
//!
//! * The newest good recovery point never goes, whatever its end says. A damaged one is not good; where all are damaged, the
//!   newest stays.
//! * Of an instance whose protection was stopped, nothing goes.
//! * Whoever reads a recovery point keeps it.

use std::cmp::Ordering;
use std::fmt;

use super::schedule::shown;

/// A recovery point, as far as retention looks at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point<'a> {
    /// Its id.
    pub id: &'a str,
    /// Microseconds since 1970.
    pub taken_us: i64,
    /// From when on it may go, in microseconds since 1970; none for never.
    pub expiry_us: Option<i64>,
    /// Whether reading has found that it cannot be restored as a whole.
    pub damaged: bool,
    /// Whether a restore reads it now.
    pub in_use: bool,
}

/// What the state of the instance says of its recovery points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// They go when their time has come, the newest good one excepted: protected or suspended.
    ByPolicy,
    /// All stay until the instance is deleted: protection was stopped, or the instance is deleted softly.
    All,
}

/// What is done with one recovery point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It stays.
    Keep(KeepReason),
    /// It goes: its time was over at this moment, in microseconds since 1970.
    Delete {
        /// Its end.
        expired_us: i64,
    },
}

/// Why a recovery point stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeepReason {
    /// Its time is not over before this moment, in microseconds since 1970.
    Until(i64),
    /// No policy says when it ends.
    ForEver,
    /// Its time is over, but no newer good one is there.
    NewestGood,
    /// Its time is over, but the protection was stopped.
    ProtectionStopped,
    /// Its time is over, but it is being restored.
    InUse,
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delete { expired_us } => write!(f, "its time was over on {}", shown(*expired_us)),
            Self::Keep(KeepReason::Until(us)) => write!(f, "its time is over on {}", shown(*us)),
            Self::Keep(KeepReason::ForEver) => f.write_str("no policy says when it ends"),
            Self::Keep(KeepReason::NewestGood) => {
                f.write_str("it is the newest recovery point that is good")
            }
            Self::Keep(KeepReason::ProtectionStopped) => {
                f.write_str("the protection was stopped: everything is kept")
            }
            Self::Keep(KeepReason::InUse) => f.write_str("a restore reads it"),
        }
    }
}

/// Decides about all recovery points of one instance, in the order in which they are given.
#[must_use]
pub fn decide(points: &[Point<'_>], keep: Keep, now_us: i64) -> Vec<Decision> {
    let newest = points.iter().max_by(|a, b| by_worth(a, b)).map(|point| point.id);
    points
        .iter()
        .map(|point| match point.expiry_us {
            None => Decision::Keep(KeepReason::ForEver),
            Some(expiry_us) if expiry_us > now_us => Decision::Keep(KeepReason::Until(expiry_us)),
            Some(_) if keep == Keep::All => Decision::Keep(KeepReason::ProtectionStopped),
            Some(_) if newest == Some(point.id) => Decision::Keep(KeepReason::NewestGood),
            Some(_) if point.in_use => Decision::Keep(KeepReason::InUse),
            Some(expired_us) => Decision::Delete { expired_us },
        })
        .collect()
}

/// Any good one above any damaged one, then the newer; ids decide between equals, so that every caller decides alike.
fn by_worth(a: &Point<'_>, b: &Point<'_>) -> Ordering {
    b.damaged.cmp(&a.damaged).then(a.taken_us.cmp(&b.taken_us)).then(b.id.cmp(a.id))
}

#[cfg(test)]
mod tests;
