//! Tasks side by side. Each runs on a thread of its own choice, so that hashing and decompression use all cores; dropping the
//! set ends them all.

use tokio::task::JoinSet;

use crate::error::{Error, Result};

/// The next finished task's result; none when none is running.
///
/// # Errors
/// The task's own; a task that ended without a result (only by a bug) is an error too.
pub(crate) async fn next_finished<T: 'static>(
    running: &mut JoinSet<Result<T>>,
) -> Result<Option<T>> {
    match running.join_next().await {
        None => Ok(None),
        Some(Ok(result)) => result.map(Some),
        Some(Err(error)) => Err(Error::Io {
            context: "run a worker".to_owned(),
            source: std::io::Error::other(error),
        }),
    }
}

/// Waits for all tasks; the first failure ends the others.
///
/// # Errors
/// The first failure.
pub(crate) async fn finish_all<T: 'static>(mut running: JoinSet<Result<T>>) -> Result<Vec<T>> {
    let mut results = Vec::with_capacity(running.len());
    while let Some(result) = next_finished(&mut running).await? {
        results.push(result);
    }
    Ok(results)
}
