//! Copying a recovery point to another location.

use coffer_store::{Replication, ReplicationReport, Repository};

use crate::error::{Error, Result};
use crate::needs;

/// Copies a recovery point with everything that it needs. `source` is what the turn copies from. `progress` is told the bytes
/// of every pack. If it ends early it may be begun again, and finds the packs that are there.
///
/// # Errors
/// [`Error::Store`], also for a recovery point that is not there or not any more, and for one that is damaged;
/// [`Error::Manifest`].
pub async fn copy_recovery_point(
    turn: &mut Replication,
    source: &Repository,
    recovery_point_id: &str,
    progress: impl Fn(u64) + Sync,
) -> Result<ReplicationReport> {
    let begun = turn.begin_point(recovery_point_id).await;
    let (manifest, mut copy) = begun.map_err(Error::store("read a manifest to copy it"))?;
    needs::tell(source, &manifest, &mut copy).await?;
    turn.copy_point(copy, progress).await.map_err(Error::store("copy a recovery point"))
}
