//! `coffer crash-points` (debug builds only): lets a test try every one of them without knowing the sagas.

use crate::{exit::Failure, printer};

/// Prints one point a line.
#[expect(clippy::unnecessary_wraps, reason = "every command ends the same way")]
pub(crate) fn run() -> Result<(), Failure> {
    for point in coffer_control::operations::crash_points() {
        printer::result(&point);
    }
    Ok(())
}
