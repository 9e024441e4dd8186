//! Waiting for a condition with a deadline, in place of sleeping for a time that is sometimes too short.

use std::time::{Duration, Instant};

use anyhow::bail;

/// How often a condition is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks at `condition` until it gives a value, for at most `limit`.
///
/// # Errors
/// When the time is over (the message names `what`), or as soon as `condition` itself fails.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let start = Instant::now();
    loop {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        if start.elapsed() > limit {
            bail!("{what} did not happen within {} s", limit.as_secs());
        }
        std::thread::sleep(INTERVAL);
    }
}
