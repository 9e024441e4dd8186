//! One running backup: what its streams share, and the sealing of its manifest.
//!
//! The order of durability is everything here. A stream's pack is acknowledged by the storage before the stream can be
//! finished; every stream is finished before a manifest is written; the manifest is written last. A stream that is dropped
//! with chunks not stored makes the backup incomplete for good, because other streams may have been given references to
//! those chunks.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use crate::{
    chunk::ChunkRef,
    condemned::Condemned,
    error::{Error, Result},
    known::{KnownChunks, ListedPacks},
    lease::{Lease, LeasePurpose},
    limits::{PACK_TARGET_BYTES_DEFAULT, PACK_TARGET_BYTES_MAX, PACK_TARGET_BYTES_MIN},
    manifest::{self, ManifestInfo},
    objects,
    pack_stream::PackStream,
    path::ManifestName,
    repository::Repository,
    stats::{Counters, WriterStats},
};

/// zstd level when nothing else is asked for.
const ZSTD_LEVEL_DEFAULT: i32 = 1;

/// How a backup is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriterOptions {
    /// A pack is closed when it has this many bytes: [`PACK_TARGET_BYTES_MIN`] to [`PACK_TARGET_BYTES_MAX`]. Each stream
    /// holds up to two packs in memory.
    pub pack_bytes: usize,
    /// zstd level, within the range of zstd.
    pub zstd_level: i32,
}

impl Default for WriterOptions {
    fn default() -> Self {
        Self { pack_bytes: PACK_TARGET_BYTES_DEFAULT, zstd_level: ZSTD_LEVEL_DEFAULT }
    }
}

/// One running backup. Clones share it.
#[derive(Debug, Clone)]
pub struct Writer {
    shared: Arc<Shared>,
}

/// What the streams of one backup share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) repository: Repository,
    pub(crate) lease: Lease,
    pub(crate) options: WriterOptions,
    pub(crate) listed: ListedPacks,
    pub(crate) known: KnownChunks,
    pub(crate) counters: Counters,
    /// Streams not finished yet.
    pub(crate) open_streams: AtomicUsize,
    /// A stream was dropped with chunks that are not stored.
    pub(crate) incomplete: AtomicBool,
    /// The manifest was written, or its writing tried.
    sealed: AtomicBool,
}

impl Shared {
    /// Whether more may be put.
    pub(crate) fn check_open(&self) -> Result<()> {
        self.lease.check()?;
        if self.sealed.load(Ordering::Acquire) {
            return Err(Error::invalid("the backup is sealed"));
        }
        Ok(())
    }
}

impl Writer {
    pub(crate) async fn open(
        repository: &Repository,
        lease: &Lease,
        options: WriterOptions,
    ) -> Result<Self> {
        if !(PACK_TARGET_BYTES_MIN..=PACK_TARGET_BYTES_MAX).contains(&options.pack_bytes) {
            return Err(Error::invalid(format!(
                "packs of {} bytes; {PACK_TARGET_BYTES_MIN} to {PACK_TARGET_BYTES_MAX} are possible",
                options.pack_bytes
            )));
        }
        if !zstd::compression_level_range().contains(&options.zstd_level) {
            return Err(Error::invalid(format!("zstd level {}", options.zstd_level)));
        }
        lease.check_purpose(LeasePurpose::Backup)?;
        repository.leases().check_held(lease).await?;
        let condemned = Condemned::read(repository).await?;
        let listed = ListedPacks::list(repository, &condemned).await?;
        let known = KnownChunks::default();
        match &condemned.damage {
            None => known.resume(repository, &listed, lease.generation()).await?,
            // What manifests need no collection deletes, so the backup can be made; what an interrupted one left, it may.
            Some(error) => {
                tracing::warn!(%error, "nothing of an interrupted backup is taken over");
            }
        }
        let shared = Shared {
            repository: repository.clone(),
            lease: lease.clone(),
            options,
            listed,
            known,
            counters: Counters::default(),
            open_streams: AtomicUsize::new(0),
            incomplete: AtomicBool::new(false),
            sealed: AtomicBool::new(false),
        };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// A stream for one worker. It must be finished before the backup can be sealed.
    #[must_use]
    pub fn stream(&self) -> PackStream {
        PackStream::new(Arc::clone(&self.shared))
    }

    /// Whether a chunk that a committed manifest refers to may be referred to again without being put: its pack was there
    /// when the backup began, and is long enough. [`PackStream::put`] asks this by itself.
    #[must_use]
    pub fn can_reuse(&self, chunk: &ChunkRef) -> bool {
        self.shared.listed.hold(chunk)
    }

    /// Counts in what an earlier writer of the same recovery point has done: one that was given up after a part of the recovery
    /// point was whole.
    pub fn count_earlier(&self, stats: &WriterStats) {
        self.shared.counters.add(stats);
    }

    /// Counters so far.
    #[must_use]
    pub fn stats(&self) -> WriterStats {
        self.shared.counters.read()
    }

    /// Writes the manifest, after which the recovery point exists. Nothing can be put afterwards, whatever the outcome.
    ///
    /// # Errors
    /// [`Error::Incomplete`] if a stream is not finished or has lost chunks; [`Error::AlreadyExists`] if this generation
    /// has sealed the recovery point before; [`Error::Invalid`] for a malformed id or too large a body;
    /// [`Error::LeaseLost`] or [`Error::Storage`], after which the next holder of the lease finds out by listing the
    /// manifests whether the recovery point exists.
    pub async fn seal(self, recovery_point_id: &str, body: &[u8]) -> Result<ManifestInfo> {
        let shared = &self.shared;
        let name = ManifestName::new(recovery_point_id, shared.lease.generation())?;
        if shared.sealed.swap(true, Ordering::AcqRel) {
            return Err(Error::invalid("the backup is sealed"));
        }
        let open_streams = shared.open_streams.load(Ordering::Acquire);
        if open_streams > 0 {
            return Err(Error::Incomplete {
                reason: format!("{open_streams} streams are not finished"),
            });
        }
        if shared.incomplete.load(Ordering::Acquire) {
            return Err(Error::Incomplete {
                reason: "chunks of a stream were not stored".to_owned(),
            });
        }
        let leases = shared.repository.leases();
        leases.check_held(&shared.lease).await?;
        let info = ManifestInfo {
            recovery_point_id: name.recovery_point_id.clone(),
            generation: name.generation,
            stats: self.stats(),
            body_bytes: body.len() as u64,
        };
        let inner = &shared.repository.inner;
        let path = inner.layout.manifest(&name);
        let object = manifest::seal(&inner.keys.sealing, &path, &info, body)?;
        objects::put_new(&inner.store, &path, object).await?;
        leases.check_sealed(&shared.lease, &name).await?;
        Ok(info)
    }
}
