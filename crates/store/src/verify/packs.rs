//! Reading packs to the last byte: resumable, in shares, each pack once.
//!
//! What is not read rots unseen. A run takes the packs of its share in the order of their names and can be ended after any
//! of them; the name of the last one is where the next run begins. A pack's share is a function of its name alone, so that
//! `1 of 30` every night has read everything after thirty nights, whatever came and went meanwhile.
//!
//! Every byte of a pack is authenticated: the header and the object's name by the footer, each chunk by its tag and its id,
//! the lengths by adding up. A chunk is decompressed, since nobody would notice otherwise that a compressor had erred.
//!
//! Three outcomes, never two: whole, damaged, and not checked, when the storage did not answer. The last one is neither
//! good news nor a reason to distrust a pack.

use futures::{StreamExt, TryStreamExt, stream, stream::BoxStream};
use serde::{Deserialize, Serialize};

use crate::{
    chunk::PackId,
    codec::{self, Expected},
    damaged::{DamagedPack, DamagedPacks},
    error::{Error, Result},
    limits::{
        DAMAGED_CHUNKS_LISTED_MAX, PACKS_MAX, PACKS_VERIFIED_TOGETHER_MAX, UNCHECKED_IN_A_ROW_MAX,
        UNCHECKED_LISTED_MAX, VERIFY_READ_BYTES,
    },
    objects,
    pack::{Entry, Footer},
    path,
    repository::Repository,
};

/// Some of several equal parts of all packs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    first: u32,
    count: u32,
    of: u32,
}

/// Parts of which a sample takes some: hundredths of a percent.
const SAMPLE_PARTS: u32 = 10_000;

impl Share {
    /// Every pack.
    pub const ALL: Self = Self { first: 0, count: 1, of: 1 };

    /// Share `number` (from 1) of `of`.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless `1 <= number <= of`.
    pub fn new(number: u32, of: u32) -> Result<Self> {
        if number == 0 || number > of {
            return Err(Error::invalid(format!("there is no share {number} of {of}")));
        }
        Ok(Self { first: number - 1, count: 1, of })
    }

    /// Hundredths of a percent of all packs, which ones is the caller's choice: any number. Samples that begin where the one
    /// before has ended, `start + parts`, have none in common until all were had.
    ///
    /// # Errors
    /// [`Error::Invalid`] unless `1 <= parts <= 10000`.
    pub fn sample(parts: u32, start: u32) -> Result<Self> {
        if parts == 0 || parts > SAMPLE_PARTS {
            return Err(Error::invalid("a sample is more than 0 and at most 100 percent"));
        }
        Ok(Self { first: start % SAMPLE_PARTS, count: parts, of: SAMPLE_PARTS })
    }

    /// Whether the pack falls into it. The same for the same name, always.
    #[must_use]
    pub fn holds(self, pack: PackId) -> bool {
        // What was read from a file may be any number.
        let of = u64::from(self.of.max(1));
        let after_first = pack.random() % of + of - u64::from(self.first) % of;
        after_first % of < u64::from(self.count)
    }
}

/// What was found about one pack.
#[derive(Debug)]
pub struct PackVerdict {
    /// The pack. A run that is given this name as its position goes on after it.
    pub pack: PackId,
    /// Its length.
    pub bytes: u64,
    /// What was found.
    pub outcome: PackOutcome,
}

/// See [`PackVerdict`].
#[derive(Debug)]
pub enum PackOutcome {
    /// Every byte is what was written.
    Whole {
        /// Chunks in it.
        chunks: u64,
    },
    /// Some bytes are not.
    Damaged(DamagedPack),
    /// It was deleted since it was listed: by a collection, or it would be missed by the recovery points that need it.
    Gone,
    /// The storage failed: nothing is known.
    Unchecked(Error),
}

/// How far a run is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PackProgress {
    /// Packs of this run.
    pub packs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packs behind it.
    pub done_packs: u64,
    /// Their bytes.
    pub done_bytes: u64,
}

/// What a run found.
#[derive(Debug, Default)]
pub struct PackReport {
    /// Packs that are whole.
    pub whole_packs: u64,
    /// Packs that are damaged.
    pub damaged_packs: u64,
    /// The first [`crate::limits::DAMAGED_PACKS_DETAILED_MAX`] of them.
    pub damaged: DamagedPacks,
    /// Packs that were deleted before they were read.
    pub gone_packs: u64,
    /// Packs about which nothing is known because the storage failed.
    pub unchecked_packs: u64,
    /// The first [`UNCHECKED_LISTED_MAX`] of them, and why.
    pub unchecked: Vec<(PackId, String)>,
    /// Packs that the run did not come to.
    pub remaining_packs: u64,
    /// Bytes of the packs that are whole or damaged.
    pub checked_bytes: u64,
    /// Where the next run goes on; none if it is to begin at the beginning.
    pub position: Option<PackId>,
}

impl PackReport {
    /// Whether every pack of the share was read and is whole. Nothing else is a success.
    #[must_use]
    pub fn is_proof(&self) -> bool {
        self.damaged_packs == 0 && self.unchecked_packs == 0 && self.remaining_packs == 0
    }
}

/// A run over the packs of a share.
pub struct PackVerification {
    verdicts: BoxStream<'static, PackVerdict>,
    progress: PackProgress,
    report: PackReport,
    unchecked_in_a_row: usize,
    /// The last pack before those.
    position_before: Option<PackId>,
}

impl std::fmt::Debug for PackVerification {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackVerification").field("progress", &self.progress).finish_non_exhaustive()
    }
}

impl Repository {
    /// Begins to read the packs of a share, after the position that an earlier run reported. Needs no lease, and holds
    /// nothing back: packs written from now on are left to the next run.
    ///
    /// # Errors
    /// [`Error::Storage`]: the packs cannot be listed.
    pub async fn verify_packs(
        &self,
        share: Share,
        after: Option<PackId>,
    ) -> Result<PackVerification> {
        let mut packs = Vec::new();
        let mut progress = PackProgress::default();
        let mut listed = objects::list(&self.inner.store, &self.inner.layout.packs());
        while let Some(meta) = listed.try_next().await? {
            let Some(pack) = path::pack_id(&meta.location) else { continue };
            if !share.holds(pack) || after.is_some_and(|after| pack <= after) {
                continue;
            }
            if packs.len() >= PACKS_MAX {
                return Err(Error::invalid(format!("a repository has at most {PACKS_MAX} packs")));
            }
            progress.bytes += meta.size;
            packs.push((pack, meta.size));
        }
        packs.sort_unstable();
        progress.packs = packs.len() as u64;
        let repository = self.clone();
        let verdicts = stream::iter(packs)
            .map(move |(pack, bytes)| {
                let repository = repository.clone();
                async move {
                    let outcome = outcome(&repository, pack, bytes).await;
                    PackVerdict { pack, bytes, outcome }
                }
            })
            .buffered(PACKS_VERIFIED_TOGETHER_MAX)
            .boxed();
        let report = PackReport {
            remaining_packs: progress.packs,
            position: after,
            ..PackReport::default()
        };
        Ok(PackVerification {
            verdicts,
            progress,
            report,
            unchecked_in_a_row: 0,
            position_before: after,
        })
    }
}

impl PackVerification {
    /// Reads the next pack. None at the end, and when [`UNCHECKED_IN_A_ROW_MAX`] packs in a row could not be checked: the
    /// storage is out of reach then, and the position is the one before them.
    pub async fn next(&mut self) -> Option<PackVerdict> {
        if self.unchecked_in_a_row >= UNCHECKED_IN_A_ROW_MAX {
            return None;
        }
        let verdict = self.verdicts.next().await?;
        self.progress.done_packs += 1;
        self.progress.done_bytes += verdict.bytes;
        let report = &mut self.report;
        report.remaining_packs -= 1;
        match &verdict.outcome {
            PackOutcome::Whole { .. } => report.whole_packs += 1,
            PackOutcome::Damaged(damaged) => {
                report.damaged_packs += 1;
                report.damaged.insert(damaged.clone());
            }
            PackOutcome::Gone => report.gone_packs += 1,
            PackOutcome::Unchecked(error) => {
                report.unchecked_packs += 1;
                if report.unchecked.len() < UNCHECKED_LISTED_MAX {
                    report.unchecked.push((verdict.pack, error.to_string()));
                }
            }
        }
        if matches!(verdict.outcome, PackOutcome::Whole { .. } | PackOutcome::Damaged(_)) {
            report.checked_bytes += verdict.bytes;
        }
        report.position = Some(verdict.pack);
        if matches!(verdict.outcome, PackOutcome::Unchecked(_)) {
            self.unchecked_in_a_row += 1;
            if self.unchecked_in_a_row >= UNCHECKED_IN_A_ROW_MAX {
                report.position = self.position_before;
            }
        } else {
            self.unchecked_in_a_row = 0;
            self.position_before = Some(verdict.pack);
        }
        Some(verdict)
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> PackProgress {
        self.progress
    }

    /// Where another run would go on if this one ended here; none at the beginning.
    #[must_use]
    pub fn position(&self) -> Option<PackId> {
        self.report.position
    }

    /// Ends the run, wherever it is.
    #[must_use]
    pub fn finish(mut self) -> PackReport {
        if self.report.remaining_packs == 0 && self.unchecked_in_a_row < UNCHECKED_IN_A_ROW_MAX {
            self.report.position = None;
        }
        self.report
    }
}

async fn outcome(repository: &Repository, pack: PackId, size: u64) -> PackOutcome {
    let damaged =
        |chunks, reason: String| PackOutcome::Damaged(DamagedPack { pack, chunks, reason });
    match read_whole(repository, pack, size).await {
        Ok(found) if found.damaged.is_empty() => PackOutcome::Whole { chunks: found.chunks },
        Ok(found) => {
            let few = found.damaged.len() <= DAMAGED_CHUNKS_LISTED_MAX;
            damaged(few.then_some(found.damaged), found.reason)
        }
        Err(error) if error.is_damage() => {
            // A collection may have deleted it while it was read.
            match objects::size(&repository.inner.store, &repository.inner.layout.pack(pack)).await
            {
                Ok(None) => PackOutcome::Gone,
                Ok(Some(_)) => damaged(None, error.to_string()),
                Err(error) => PackOutcome::Unchecked(error),
            }
        }
        Err(error) => PackOutcome::Unchecked(error),
    }
}

#[derive(Default)]
struct Found {
    chunks: u64,
    damaged: Vec<u32>,
    reason: String,
}

/// Reads all of a pack, a window of chunks at a time. Fails where the pack as a whole cannot be trusted.
async fn read_whole(repository: &Repository, pack: PackId, size: u64) -> Result<Found> {
    let inner = &repository.inner;
    let name = inner.layout.pack(pack);
    let (footer, key) =
        Footer::read_with_key(&inner.store, &name, pack, size, &inner.keys.sealing).await?;
    let mut found = Found::default();
    let mut entries = footer.stored().peekable();
    while let Some(first) = entries.next() {
        let mut window = vec![first];
        let mut end = first.end();
        while let Some(next) =
            entries.next_if(|next| next.end() - first.offset <= VERIFY_READ_BYTES)
        {
            end = next.end();
            window.push(next);
        }
        let bytes = objects::get_range(&inner.store, &name, first.offset..end).await?;
        for stored in window {
            found.chunks += 1;
            let at = usize::try_from(stored.offset - first.offset)
                .map_err(|_| Error::corrupt(name.to_string(), "it is too long"))?;
            let sealed = bytes.slice(at..at + stored.entry.stored_bytes as usize);
            let Entry { id, kind, plain_bytes, .. } = stored.entry;
            let expected = Expected { id, kind, number: stored.number, plain_bytes };
            let what = || codec::describe_at(&id, stored.number, pack);
            if let Err(error) = codec::open_as(&key, &inner.keys.chunk_id, &expected, sealed, what)
            {
                if found.damaged.is_empty() {
                    found.reason = error.to_string();
                }
                // One more than are told apart says that there are more.
                if found.damaged.len() <= DAMAGED_CHUNKS_LISTED_MAX {
                    found.damaged.push(stored.number);
                }
            }
        }
    }
    Ok(found)
}
