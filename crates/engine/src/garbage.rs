//! Which chunks recovery points need, so that the store can delete the rest.
//!
//! A chunk that is forgotten here is lost. So everything in a manifest that holds references is walked, every list is read
//! to its end, and any list that cannot be read ends the collection. A new member of the manifest that holds references
//! comes with a larger `engine_format`, which is refused here as everywhere.

use coffer_store::{ChunkRef, Collection, CollectionPlan, Lease, Manifest, Repository};

use crate::error::{Error, Result};
use crate::manifest::{LargeObjectRange, Part, Range, Ranges, Table};
use crate::part::{PartReader, ReferenceReader};
use crate::verify::parse;

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
        Walk { repository, collection: &mut collection }.manifest(&manifest).await?;
        collection
            .answered(&manifest.info)
            .map_err(Error::store("say what a recovery point needs"))?;
    }
    collection.plan(now_ms, grace_ms).await.map_err(Error::store("plan a collection"))
}

struct Walk<'a> {
    repository: &'a Repository,
    collection: &'a mut Collection,
}

impl Walk<'_> {
    async fn manifest(&mut self, manifest: &Manifest) -> Result<()> {
        let root = parse(&manifest.body, &manifest.info.recovery_point_id)?;
        for part in root.plain_parts().into_iter().chain([&root.tables]) {
            self.part(part).await?;
        }
        if let Some(ranges) = &root.large_objects.ranges {
            self.part(ranges).await?;
            let mut ranges = PartReader::new(self.repository, ranges);
            while let Some(range) = ranges.next::<LargeObjectRange>().await? {
                self.part(&range.list).await?;
                self.part(&range.data).await?;
            }
        }
        let mut tables = PartReader::new(self.repository, &root.tables);
        while let Some(table) = tables.next::<Table>().await? {
            match table.ranges {
                Ranges::Inline(ranges) => {
                    for range in ranges {
                        self.needs(&range.chunks)?;
                    }
                }
                Ranges::Listed(part) => self.ranges(&part).await?,
            }
        }
        Ok(())
    }

    async fn ranges(&mut self, part: &Part) -> Result<()> {
        self.part(part).await?;
        let mut ranges = PartReader::new(self.repository, part);
        while let Some(range) = ranges.next::<Range>().await? {
            self.needs(&range.chunks)?;
        }
        Ok(())
    }

    /// The chunks of a part, and those of the lists that name them.
    async fn part(&mut self, part: &Part) -> Result<()> {
        for level in 0..=part.depth {
            let mut references = ReferenceReader::new(self.repository, part, level);
            while let Some(chunk) = references.next().await? {
                self.needs(&[chunk])?;
            }
        }
        Ok(())
    }

    fn needs(&mut self, chunks: &[ChunkRef]) -> Result<()> {
        chunks
            .iter()
            .try_for_each(|chunk| self.collection.needs(chunk))
            .map_err(Error::store("say what a recovery point needs"))
    }
}
