//! Points at which a test may end the process, to prove that a restart finishes what was begun.
//!
//! `COFFER_CRASH_AT=<saga>:<point>` aborts the process there, without unwinding or flushing: the nearest that a test
//! can come to `kill -9` at a known place. A step gives two points, `<step>:before` (nothing of it is done) and
//! `<step>:after` (all of it is done, nothing is written down); so does `conclude`. Release builds have none of this;
//! for that reason the variable is read here and is no setting of the service.

use super::OperationKind;
use super::sagas;

/// The setting that names a point.
#[cfg(debug_assertions)]
const VARIABLE: &str = "COFFER_CRASH_AT";

/// The points of a collection of garbage, which is no operation: it has planned what to delete; it has deleted a pack.
const COLLECTION_POINTS: [&str; 2] = ["planned", "deleting"];

/// The points of copying to a second region, which is no operation either: it has copied a pack; all of a recovery point is
/// there, and is not noted yet.
const REPLICATION_POINTS: [&str; 2] = ["copying", "copied"];

/// Every point of every saga, as the setting takes them.
#[must_use]
pub fn crash_points() -> Vec<String> {
    let mut points = COLLECTION_POINTS.map(|point| format!("collection:{point}")).to_vec();
    points.extend(REPLICATION_POINTS.map(|point| format!("replication:{point}")));
    for kind in OperationKind::ALL {
        let saga = sagas::saga_points(kind);
        for step in saga.steps.iter().chain(&["conclude"]) {
            points.push(format!("{kind}:{step}:before"));
            points.push(format!("{kind}:{step}:after"));
        }
        for point in saga.inner_points {
            points.push(format!("{kind}:{point}"));
        }
    }
    points
}

/// Ends the process if this is the point of a saga that the test has named.
pub(crate) fn crash_here(kind: OperationKind, point: &str) {
    crash_at(kind.as_str(), point);
}

/// Ends the process if this is the point of a collection that the test has named.
pub fn collection_crash_point(point: &str) {
    crash_at("collection", point);
}

/// Ends the process if this is the point of a copying that the test has named.
pub(crate) fn replication_crash_point(point: &str) {
    crash_at("replication", point);
}

fn crash_at(what: &str, point: &str) {
    #[cfg(debug_assertions)]
    {
        use std::sync::LazyLock;
        static NAMED: LazyLock<Option<String>> = LazyLock::new(|| std::env::var(VARIABLE).ok());
        if let Some(named) = NAMED.as_deref()
            && named.split_once(':') == Some((what, point))
        {
            tracing::error!(
                point = named,
                "ending the process at the crash point that a test has named"
            );
            std::process::abort();
        }
    }
    #[cfg(not(debug_assertions))]
    let _ = (what, point);
}
