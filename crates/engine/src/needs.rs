//! Which chunks a recovery point needs.
//!
//! A chunk that is forgotten here is lost, or not locked. So everything in a manifest that holds references is walked, every
//! list is read to its end, and any list that cannot be read is an error. A new member of the manifest that holds references
//! comes with a larger `engine_format`, which is refused here as everywhere.

use coffer_store::{ChunkRef, Collection, Locking, Manifest, PointCopy, Repository};

use crate::error::{Error, Result};
use crate::manifest::{
    DatabaseEntry, DatabaseManifest, LargeObjectRange, Part, Range, Ranges, Root, ServerManifest,
    Table,
};
use crate::part::{PartReader, ReferenceReader};
use crate::root::{parse, read_database};

/// Who is told what a recovery point needs.
pub(crate) trait Needs {
    fn needs(&mut self, chunk: &ChunkRef) -> coffer_store::Result<()>;
}

impl Needs for Collection {
    fn needs(&mut self, chunk: &ChunkRef) -> coffer_store::Result<()> {
        self.needs(chunk)
    }
}

impl Needs for Locking {
    fn needs(&mut self, chunk: &ChunkRef) -> coffer_store::Result<()> {
        self.needs(chunk)
    }
}

impl Needs for PointCopy {
    fn needs(&mut self, chunk: &ChunkRef) -> coffer_store::Result<()> {
        self.needs(chunk)
    }
}

/// Names every chunk that the manifest needs, its lists included.
pub(crate) async fn tell(
    repository: &Repository,
    manifest: &Manifest,
    told: &mut impl Needs,
) -> Result<()> {
    Walk { repository, told }.manifest(manifest).await
}

struct Walk<'a, N> {
    repository: &'a Repository,
    told: &'a mut N,
}

impl<N: Needs> Walk<'_, N> {
    async fn manifest(&mut self, manifest: &Manifest) -> Result<()> {
        match parse(&manifest.body, &manifest.info.recovery_point_id)? {
            Root::Database(root) => self.database(&root).await,
            Root::Server(root) => self.server(&root).await,
        }
    }

    async fn server(&mut self, root: &ServerManifest) -> Result<()> {
        for part in root.plain_parts().into_iter().chain([&root.databases]) {
            self.part(part).await?;
        }
        let mut databases = PartReader::new(self.repository, &root.databases);
        while let Some(entry) = databases.next::<DatabaseEntry>().await? {
            self.part(&entry.manifest).await?;
            let id = &root.recovery_point_id;
            let database = read_database(self.repository, id, &entry.manifest).await?;
            self.database(&database).await?;
        }
        Ok(())
    }

    async fn database(&mut self, root: &DatabaseManifest) -> Result<()> {
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
                        self.needs(range.references())?;
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
            self.needs(range.references())?;
        }
        Ok(())
    }

    /// The chunks of a part, and those of the lists that name them.
    async fn part(&mut self, part: &Part) -> Result<()> {
        for level in 0..=part.depth {
            let mut references = ReferenceReader::new(self.repository, part, level);
            while let Some(chunk) = references.next().await? {
                self.needs([chunk])?;
            }
        }
        Ok(())
    }

    fn needs(&mut self, chunks: impl IntoIterator<Item = ChunkRef>) -> Result<()> {
        chunks
            .into_iter()
            .try_for_each(|chunk| self.told.needs(&chunk))
            .map_err(Error::store("say what a recovery point needs"))
    }
}
