//! What recovery points need, so that the store can delete the rest.

use coffer_store::{CollectionPlan, Lease, Repository};

use crate::error::{Error, Result};
use crate::needs;

/// Decides which packs of the repository nobody needs any more; [`Repository::collect`] deletes them. The lease is held for
/// a collection. `now_ms` is milliseconds since 1970; what an interrupted backup left less than `grace_ms` ago stays.
///
/// # Errors
/// [`Error::Store`] and [`Error::Manifest`]: something could not be read, so that nothing may be deleted.
pub async fn plan_collection(
    repository: &Repository,
    lease: &Lease,
    now_ms: u64,
    grace_ms: u64,
) -> Result<CollectionPlan> {
    let begun = repository.begin_collection(lease).await;
    let mut collection = begun.map_err(Error::store("begin a collection"))?;
    while let Some(manifest) =
        collection.next().await.map_err(Error::store("read a manifest of a collection"))?
    {
        needs::tell(repository, &manifest, &mut collection).await?;
        collection
            .answered(&manifest.info)
            .map_err(Error::store("say what a recovery point needs"))?;
    }
    collection.plan(now_ms, grace_ms).await.map_err(Error::store("plan a collection"))
}
