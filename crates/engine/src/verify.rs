//! Whether what is stored is what was stored, at three depths.
//!
//! * Closure ([`verify_recovery_point`]): everything that a recovery point names stands in a pack that is there, and is not on
//!   record as damaged. Reads the lists and the footers of packs.
//! * Full ([`PackReading`]): every byte of the packs is read and authenticated, each pack once, in shares and in turns. What it
//!   finds goes on record, so that the next backup stores it anew and the closure knows which recovery points need it.
//! * Restore ([`verify_by_restore`]): a database is made of the recovery point, compared with it and dropped.

mod packs;
mod restored;

use coffer_store::{ChunkRef, DamagedPacks, Repository, Verifier, VerifyDepth, VerifyReport};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::manifest::{
    DatabaseEntry, DatabaseManifest, LargeObjectRange, Part, Range, Ranges, Root, ServerManifest,
    Table,
};
use crate::monitor::{Counters, Monitor, Phase};
use crate::part::{PART_REFERENCES_MAX, PartReader, ReferenceReader};
use crate::root::read_database;
use crate::span::{Traced as _, span};

pub use self::packs::{PackReading, TURN_PACKS_MAX};
pub use self::restored::{SCRATCH_PREFIX, ScratchRequest, verify_by_restore};
pub use crate::root::{describe_database, describe_recovery_point, describe_root, list_databases};

/// Chunks checked at the same time.
const CHECKS_MAX: usize = 8;

/// Checks every chunk that the recovery point needs. Damage is in the report, not an error; where a list is damaged, what
/// it would name can't be checked and the damage of the list stands for it. At the depth of closure, what is on record as
/// damaged counts as such.
///
/// # Errors
/// When the manifest itself can't be read, or the storage fails.
pub async fn verify_recovery_point(
    repository: &Repository,
    recovery_point_id: &str,
    depth: VerifyDepth,
    monitor: &dyn Monitor,
) -> Result<VerifyReport> {
    let known = match depth {
        VerifyDepth::Closure => {
            repository.damaged_packs().await.map_err(Error::store("read what is damaged"))?
        }
        VerifyDepth::Full => DamagedPacks::default(),
    };
    walk(repository, recovery_point_id, repository.verifier(depth).knowing(known), monitor)
        .traced(span!("verify", recovery_point = recovery_point_id))
        .await
}

/// As [`verify_recovery_point`] at the depth of closure, with what a run over the packs has found in place of what is on
/// record: for a storage to which nothing can be written.
///
/// # Errors
/// As [`verify_recovery_point`].
pub async fn verify_recovery_point_knowing(
    repository: &Repository,
    recovery_point_id: &str,
    damaged: DamagedPacks,
    monitor: &dyn Monitor,
) -> Result<VerifyReport> {
    let verifier = repository.verifier(VerifyDepth::Closure).knowing(damaged);
    walk(repository, recovery_point_id, verifier, monitor)
        .traced(span!("verify", recovery_point = recovery_point_id))
        .await
}

async fn walk(
    repository: &Repository,
    recovery_point_id: &str,
    verifier: Verifier,
    monitor: &dyn Monitor,
) -> Result<VerifyReport> {
    let root = describe_root(repository, recovery_point_id).await?;
    let walk = Walk { repository, verifier, monitor, counters: Counters::default() };
    let (content, tables) = match &root {
        Root::Database(root) => (root.totals.content, root.totals.tables),
        Root::Server(root) => (root.totals.content, root.totals.tables),
    };
    walk.counters.expect(content.text_bytes, tables);
    walk.report();
    match root {
        Root::Database(root) => walk.database(&root).await?,
        Root::Server(root) => walk.server(&root).await?,
    }
    Ok(walk.verifier.finish())
}

struct Walk<'a> {
    repository: &'a Repository,
    verifier: Verifier,
    monitor: &'a dyn Monitor,
    counters: Counters,
}

impl Walk<'_> {
    /// What belongs to the server, and every database. Where a database's root is damaged, what it would name can't be checked.
    async fn server(&self, root: &ServerManifest) -> Result<()> {
        for part in root.plain_parts() {
            self.part(part).await?;
        }
        let Some(mut databases) = self.list(&root.databases).await? else { return Ok(()) };
        while let Some(entry) = self.next::<DatabaseEntry>(&mut databases).await? {
            if self.part(&entry.manifest).await? {
                let read = read_database(self.repository, &root.recovery_point_id, &entry.manifest);
                self.database(&readable(read.await)?).await?;
            }
        }
        Ok(())
    }

    async fn database(&self, root: &DatabaseManifest) -> Result<()> {
        for part in root.plain_parts() {
            self.part(part).await?;
        }
        if let Some(ranges) = &root.large_objects.ranges
            && let Some(mut ranges) = self.list(ranges).await?
        {
            while let Some(range) = self.next::<LargeObjectRange>(&mut ranges).await? {
                self.part(&range.list).await?;
                self.part(&range.data).await?;
            }
        }
        let Some(mut tables) = self.list(&root.tables).await? else { return Ok(()) };
        while let Some(table) = self.next::<Table>(&mut tables).await? {
            match table.ranges {
                Ranges::Inline(ranges) => {
                    for range in ranges {
                        self.check(range.references().collect()).await?;
                    }
                }
                Ranges::Listed(part) => {
                    let Some(mut ranges) = self.list(&part).await? else { continue };
                    while let Some(range) = self.next::<Range>(&mut ranges).await? {
                        self.check(range.references().collect()).await?;
                    }
                }
            }
            self.counters.add_items(1);
            self.report();
        }
        Ok(())
    }

    fn report(&self) {
        self.monitor.report(&self.counters.progress(Phase::Verify));
    }

    /// True when all are there.
    async fn check(&self, chunks: Vec<ChunkRef>) -> Result<bool> {
        let checks = futures::stream::iter(chunks).map(|chunk| async move {
            let good = self.verifier.check(&chunk).await.map_err(Error::store("verify a chunk"))?;
            self.counters.add_bytes(u64::from(chunk.plain_bytes));
            Ok(good)
        });
        let all = checks
            .buffer_unordered(CHECKS_MAX)
            .try_fold(true, |all, good| async move { Ok(all && good) });
        let all = all.await?;
        self.report();
        Ok(all)
    }

    /// True when all chunks of a part are there. What a damaged list of references would name can't be checked.
    async fn part(&self, part: &Part) -> Result<bool> {
        if !self.check(part.chunks.clone()).await? {
            return Ok(false);
        }
        for level in (0..part.depth).rev() {
            let mut references = ReferenceReader::new(self.repository, part, level);
            let mut good = true;
            loop {
                let mut some = Vec::new();
                while some.len() < PART_REFERENCES_MAX {
                    let Some(chunk) = readable(references.next().await)? else { break };
                    some.push(chunk);
                }
                if some.is_empty() {
                    break;
                }
                good &= self.check(some).await?;
            }
            if !good {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// A list whose chunks are all there.
    async fn list(&self, part: &Part) -> Result<Option<PartReader>> {
        Ok(self.part(part).await?.then(|| PartReader::new(self.repository, part)))
    }

    async fn next<T: DeserializeOwned>(&self, reader: &mut PartReader) -> Result<Option<T>> {
        readable(reader.next().await)
    }
}

/// At the depth of closure a chunk may be there and yet not be what it should: then it is damage found by us.
fn readable<T>(read: Result<T>) -> Result<T> {
    match read {
        Err(Error::Store { source, .. }) if !source.is_transient() => {
            Err(Error::Manifest { message: format!("a list can't be read: {source}") })
        }
        other => other,
    }
}
