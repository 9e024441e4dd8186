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
    DatabaseManifest, ENGINE_FORMAT, LargeObjectRange, Part, Range, Ranges, Table,
};
use crate::monitor::{Counters, Monitor, Phase};
use crate::part::{PART_REFERENCES_MAX, PartReader, ReferenceReader};
use crate::span::{Traced as _, span};

pub use self::packs::{PackReading, TURN_PACKS_MAX};
pub use self::restored::{SCRATCH_PREFIX, ScratchRequest, verify_by_restore};

/// Chunks checked at the same time.
const CHECKS_MAX: usize = 8;

/// What the recovery point consists of.
///
/// # Errors
/// [`Error::Store`] when there is no such recovery point or it can't be read, [`Error::Manifest`] when a newer version of
/// Coffer wrote it or its body is damaged.
pub async fn describe_recovery_point(
    repository: &Repository,
    recovery_point_id: &str,
) -> Result<DatabaseManifest> {
    let manifest = repository
        .read_manifest(recovery_point_id)
        .await
        .map_err(Error::store("read the manifest"))?;
    parse(&manifest.body, recovery_point_id)
}

/// The body of that recovery point's manifest.
pub(crate) fn parse(body: &[u8], recovery_point_id: &str) -> Result<DatabaseManifest> {
    /// Read first: of a newer body nothing else may be assumed.
    #[derive(serde::Deserialize)]
    struct Version {
        engine_format: u32,
    }
    let damaged = |error: serde_json::Error| Error::Manifest { message: error.to_string() };
    let Version { engine_format } = serde_json::from_slice(body).map_err(damaged)?;
    if engine_format > ENGINE_FORMAT {
        let message = format!(
            "it has engine format {engine_format}; this version of Coffer reads up to {ENGINE_FORMAT}"
        );
        return Err(Error::Manifest { message });
    }
    let manifest: DatabaseManifest = serde_json::from_slice(body).map_err(damaged)?;
    if manifest.recovery_point_id != recovery_point_id {
        return Err(Error::Manifest {
            message: format!("it is that of {}", manifest.recovery_point_id),
        });
    }
    Ok(manifest)
}

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
    let root = describe_recovery_point(repository, recovery_point_id).await?;
    let walk = Walk { repository, verifier, monitor, counters: Counters::default() };
    walk.report();
    for part in root.plain_parts() {
        walk.part(part).await?;
    }
    if let Some(ranges) = &root.large_objects.ranges
        && let Some(mut ranges) = walk.list(ranges).await?
    {
        while let Some(range) = walk.next::<LargeObjectRange>(&mut ranges).await? {
            walk.part(&range.list).await?;
            walk.part(&range.data).await?;
        }
    }
    let Some(mut tables) = walk.list(&root.tables).await? else {
        return Ok(walk.verifier.finish());
    };
    while let Some(table) = walk.next::<Table>(&mut tables).await? {
        match table.ranges {
            Ranges::Inline(ranges) => {
                for range in ranges {
                    walk.check(&range.chunks).await?;
                }
            }
            Ranges::Listed(part) => {
                let Some(mut ranges) = walk.list(&part).await? else { continue };
                while let Some(range) = walk.next::<Range>(&mut ranges).await? {
                    walk.check(&range.chunks).await?;
                }
            }
        }
        walk.counters.add_items(1);
        walk.report();
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
    fn report(&self) {
        self.monitor.report(&self.counters.progress(Phase::Verify));
    }

    /// True when all are there.
    async fn check(&self, chunks: &[ChunkRef]) -> Result<bool> {
        // Copies: of references, the compiler could not tell that the work may go from thread to thread.
        let checks = futures::stream::iter(chunks.to_vec()).map(|chunk| async move {
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
        if !self.check(&part.chunks).await? {
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
                good &= self.check(&some).await?;
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
