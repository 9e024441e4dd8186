//! Checking without restoring: what is damaged is recorded and the work goes on.
//!
//! Two questions, asked apart so that each pack is read once and not once for every recovery point that needs it.
//! [`packs`] asks whether the packs are what was written, reading every byte. [`Verifier`] asks whether a recovery point has
//! all that it names, reading footers, and is told what the first question found. Only the caller knows what a manifest
//! names, so it walks the references.

mod packs;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{
    chunk::{ChunkRef, PackId},
    codec,
    damaged::DamagedPacks,
    error::{Error, Result},
    limits::{DAMAGE_LISTED_MAX, FOOTERS_CACHED_MAX},
    objects,
    pack::Footer,
    repository::Repository,
};

pub use self::packs::{
    PackOutcome, PackProgress, PackReport, PackVerdict, PackVerification, Share,
};

/// How deep to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyDepth {
    /// Every chunk stands in the authenticated footer of a pack that is whole. Reads footers only.
    Closure,
    /// And every chunk is read, authenticated, decompressed and hashed.
    Full,
}

/// A chunk that cannot be had.
#[derive(Debug)]
pub struct Damage {
    /// The chunk.
    pub chunk: ChunkRef,
    /// Why.
    pub error: Error,
}

/// What a verification found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Chunks checked, one that is referred to twice counted twice.
    pub chunks: u64,
    /// Their plain bytes.
    pub plain_bytes: u64,
    /// Chunks that cannot be had.
    pub damaged_chunks: u64,
    /// The first [`DAMAGE_LISTED_MAX`] of them.
    pub damaged: Vec<Damage>,
}

/// A running verification: the caller walks the references, this checks them. May be shared by several tasks.
#[derive(Debug)]
pub struct Verifier {
    repository: Repository,
    depth: VerifyDepth,
    report: Mutex<VerifyReport>,
    footers: Mutex<Footers>,
    known: DamagedPacks,
}

/// The footers read last.
#[derive(Debug, Default)]
struct Footers {
    by_pack: HashMap<PackId, Arc<Footer>>,
    order: VecDeque<PackId>,
}

impl Verifier {
    pub(crate) fn new(repository: Repository, depth: VerifyDepth) -> Self {
        Self {
            repository,
            depth,
            report: Mutex::default(),
            footers: Mutex::default(),
            known: DamagedPacks::default(),
        }
    }

    /// Tells it what is damaged already, from a [`PackReport`] or [`Repository::damaged_packs`]. Chunks of it count as damaged
    /// without being read, so that [`VerifyDepth::Closure`] finds which recovery points need what a run over the packs found.
    #[must_use]
    pub fn knowing(mut self, known: DamagedPacks) -> Self {
        self.known = known;
        self
    }

    /// Checks one chunk. Damage is recorded and answered with false.
    ///
    /// # Errors
    /// Only [`Error::Storage`] and such: whether the chunk is damaged is not known then.
    pub async fn check(&self, chunk: &ChunkRef) -> Result<bool> {
        let found = match self.check_closure(chunk).await {
            Ok(()) if self.depth == VerifyDepth::Full => {
                self.repository.read_chunk(chunk).await.map(drop)
            }
            found => found,
        };
        let error = match found {
            Ok(()) => None,
            Err(error) if error.is_damage() => Some(error),
            Err(error) => return Err(error),
        };
        let mut report = lock(&self.report);
        report.chunks += 1;
        report.plain_bytes += u64::from(chunk.plain_bytes);
        let Some(error) = error else { return Ok(true) };
        report.damaged_chunks += 1;
        if report.damaged.len() < DAMAGE_LISTED_MAX {
            report.damaged.push(Damage { chunk: *chunk, error });
        }
        Ok(false)
    }

    /// Ends the verification.
    #[must_use]
    pub fn finish(self) -> VerifyReport {
        self.report.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    async fn check_closure(&self, chunk: &ChunkRef) -> Result<()> {
        if let Some(damaged) = self.known.of(chunk) {
            return Err(Error::corrupt(codec::describe(chunk), damaged.reason.clone()));
        }
        if self.footer(chunk.pack).await?.holds(chunk) {
            Ok(())
        } else {
            Err(Error::corrupt(codec::describe(chunk), "its pack does not hold it"))
        }
    }

    async fn footer(&self, pack: PackId) -> Result<Arc<Footer>> {
        if let Some(footer) = lock(&self.footers).by_pack.get(&pack) {
            return Ok(Arc::clone(footer));
        }
        let inner = &self.repository.inner;
        let name = inner.layout.pack(pack);
        let size = objects::size(&inner.store, &name).await?;
        let size = size.ok_or_else(|| Error::corrupt(name.to_string(), "it is missing"))?;
        let footer =
            Arc::new(Footer::read(&inner.store, &name, pack, size, &inner.keys.sealing).await?);
        let mut footers = lock(&self.footers);
        if footers.by_pack.insert(pack, Arc::clone(&footer)).is_none() {
            footers.order.push_back(pack);
        }
        while footers.order.len() > FOOTERS_CACHED_MAX {
            if let Some(oldest) = footers.order.pop_front() {
                footers.by_pack.remove(&oldest);
            }
        }
        Ok(footer)
    }
}

/// A panic elsewhere leaves these counters and caches usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
