//! The previous recovery point, as far as a backup refers to it: what was in the same place then.
//!
//! Only an optimisation: where a list of it can't be read, the backup goes on without, and says so.

use std::collections::{HashMap, VecDeque};

use coffer_store::Repository;

use crate::error::Result;
use crate::manifest::{DatabaseManifest, LargeObjects, Part, Range, Ranges, Reading, Table};
use crate::part::PartReader;
use crate::root::{describe_recovery_point, read_database};

/// Which root a database refers to.
pub(super) enum Base {
    /// That of the previous recovery point, which is a database's.
    RecoveryPoint,
    /// That of the same database in the previous recovery point, which is a server's; none where it was not there.
    OfServer(Option<Part>),
}

/// An index of it by oid: a few hundred bytes a table, and more only for the chunks of its inline ranges.
#[derive(Default)]
pub(super) struct Previous {
    found: Option<Found>,
    tables: HashMap<u32, PreviousTable>,
}

struct Found {
    repository: Repository,
    root: DatabaseManifest,
}

pub(super) struct PreviousTable {
    pub(super) relfilenode: u32,
    pub(super) tablespace_oid: u32,
    pub(super) shape: String,
    pub(super) range_blocks: u64,
    ranges: Ranges,
    /// How they came there.
    pub(super) reading: Reading,
}

impl Previous {
    pub(super) async fn load(
        repository: &Repository,
        recovery_point_id: &str,
        base: &Base,
    ) -> Result<Self> {
        let root = match base {
            Base::RecoveryPoint => describe_recovery_point(repository, recovery_point_id).await?,
            Base::OfServer(None) => return Ok(Self::default()),
            Base::OfServer(Some(part)) => {
                read_database(repository, recovery_point_id, part).await?
            }
        };
        let mut tables = HashMap::new();
        let mut reader = PartReader::new(repository, &root.tables);
        while let Some(table) = reader.next::<Table>().await? {
            let Table { oid, relfilenode, tablespace_oid, shape, range_blocks, ranges, .. } = table;
            let reading = table.reading;
            let table =
                PreviousTable { relfilenode, tablespace_oid, shape, range_blocks, ranges, reading };
            tables.insert(oid, table);
        }
        Ok(Self { found: Some(Found { repository: repository.clone(), root }), tables })
    }

    pub(super) fn root(&self) -> Option<&DatabaseManifest> {
        self.found.as_ref().map(|found| &found.root)
    }

    pub(super) fn table(&self, oid: u32) -> Option<&PreviousTable> {
        self.tables.get(&oid)
    }

    /// One of the lists or runs that the root names.
    pub(super) fn part(
        &self,
        of: impl FnOnce(&DatabaseManifest) -> Option<&Part>,
    ) -> Option<(Repository, Part)> {
        let found = self.found.as_ref()?;
        Some((found.repository.clone(), of(&found.root)?.clone()))
    }

    pub(super) fn large_objects(&self) -> Option<&LargeObjects> {
        self.found.as_ref().map(|found| &found.root.large_objects)
    }

    /// The list of a table's ranges, where it has one.
    pub(super) fn range_list(&self, oid: u32) -> Option<(Repository, Part)> {
        match self.table(oid).map(|table| &table.ranges) {
            Some(Ranges::Listed(part)) => {
                Some((self.found.as_ref()?.repository.clone(), part.clone()))
            }
            _ => None,
        }
    }

    /// The ranges of a table, to be walked alongside the new ones.
    pub(super) fn ranges(&self, repository: &Repository, oid: u32) -> PreviousRanges {
        let (inline, listed) = match self.table(oid).map(|table| &table.ranges) {
            Some(Ranges::Inline(ranges)) => (ranges.clone().into(), None),
            Some(Ranges::Listed(part)) => {
                (VecDeque::new(), Some(PartReader::new(repository, part)))
            }
            None => (VecDeque::new(), None),
        };
        PreviousRanges { inline, listed, ahead: None }
    }
}

/// Ascending by first block; read as a stream.
pub(super) struct PreviousRanges {
    inline: VecDeque<Range>,
    listed: Option<PartReader>,
    ahead: Option<Range>,
}

impl PreviousRanges {
    /// The range that began at this block. To be asked for in ascending order.
    pub(super) async fn at(&mut self, start_block: u64) -> Option<Range> {
        loop {
            if self.ahead.is_none() {
                self.ahead = self.read().await;
            }
            match self.ahead.take()? {
                range if range.start_block < start_block => {}
                range if range.start_block == start_block => return Some(range),
                range => {
                    self.ahead = Some(range);
                    return None;
                }
            }
        }
    }

    async fn read(&mut self) -> Option<Range> {
        if let Some(range) = self.inline.pop_front() {
            return Some(range);
        }
        match self.listed.as_mut()?.next().await {
            Ok(range) => range,
            Err(error) => {
                tracing::warn!(%error, "ranges of the previous recovery point can't be read; storing without them");
                self.listed = None;
                None
            }
        }
    }
}
