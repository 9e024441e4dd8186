//! Locking a recovery point in a storage that can.

use coffer_store::{LockReport, ObjectLock, Repository, RetentionLock};

use crate::error::{Error, Result};
use crate::needs;

/// Locks everything that a recovery point needs, its manifest last, unless it is locked as long and as firmly already. Needs
/// no lease: nothing that a recovery point needs is deleted by anybody. It may be repeated after an error.
///
/// # Errors
/// [`Error::Store`], also for a recovery point that is not there or not any more; [`Error::Manifest`].
pub async fn lock_recovery_point(
    repository: &Repository,
    recovery_point_id: &str,
    storage: &dyn ObjectLock,
    lock: RetentionLock,
) -> Result<LockReport> {
    let begun = repository.begin_locking(recovery_point_id).await;
    let (manifest, mut locking) = begun.map_err(Error::store("read a manifest to lock it"))?;
    needs::tell(repository, &manifest, &mut locking).await?;
    locking.lock(storage, lock).await.map_err(Error::store("lock a recovery point"))
}
