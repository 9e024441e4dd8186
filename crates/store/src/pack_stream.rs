//! One worker's stream of chunks into packs.
//!
//! Hashing, compressing and sealing happen in the caller's task; the upload of a full pack runs beside the filling of the
//! next one, one at a time, which bounds the memory of a stream to two packs.

use std::sync::{Arc, atomic::Ordering};

use tokio::task::JoinHandle;
use tracing::Instrument as _;

use crate::{
    chunk::{ChunkId, ChunkKind, ChunkRef, PackId},
    codec::Encoder,
    crypto,
    error::{Error, Result},
    known::Origin,
    limits::CHUNK_BYTES_MAX,
    objects,
    pack::OpenPack,
    writer::Shared,
};

/// A chunk may cross the end of a pack; this much is kept free for it, so that the buffer rarely grows. What is not written to takes no memory.
const SPARE_BYTES: usize = 6 * 1024 * 1024;

/// Least capacity of a pack's buffer. What is larger than 32 MiB the GNU allocator never takes from its heaps, whatever it has learnt
/// from what was freed before (`DEFAULT_MMAP_THRESHOLD_MAX`, mallopt(3)): so the memory of a pack is the system's again when the
/// pack is stored. From the heaps of many threads little of it ever came back, and a service grew with its backups.
const CAPACITY_BYTES_MIN: usize = 33 * 1024 * 1024;

/// Plain bytes with the name that a chunk of them has: see [`crate::Repository::name_chunk`].
#[derive(Debug, Clone, Copy)]
pub struct NamedChunk<'a> {
    pub(crate) id: ChunkId,
    pub(crate) plain: &'a [u8],
}

impl NamedChunk<'_> {
    /// Keyed hash of the plain bytes.
    #[must_use]
    pub fn id(&self) -> ChunkId {
        self.id
    }
}

/// One worker's stream of chunks into packs. Dropping it unfinished makes the backup incomplete if chunks are lost by it.
#[derive(Debug)]
pub struct PackStream {
    shared: Arc<Shared>,
    encoder: Option<Encoder>,
    open: Option<OpenPack>,
    upload: Option<Upload>,
    failed: Option<PackId>,
}

#[derive(Debug)]
struct Upload {
    pack: PackId,
    task: JoinHandle<Result<()>>,
}

impl PackStream {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        shared.open_streams.fetch_add(1, Ordering::AcqRel);
        Self { shared, encoder: None, open: None, upload: None, failed: None }
    }

    /// Whether a chunk of an earlier recovery point, out of a manifest that was read from this repository, can be named again
    /// without its bytes: whether its pack is still there. It counts as one that was known.
    pub fn take_over(&self, chunk: &ChunkRef) -> bool {
        let is_there = self.shared.listed.hold(chunk);
        if is_there {
            self.shared.counters.deduplicated(chunk.plain_bytes);
        }
        is_there
    }

    /// Stores a chunk, unless it is known already, and says where it lies.
    ///
    /// `candidate` is where the chunk was in an earlier recovery point: a reference out of a manifest that was read from
    /// this repository, and nothing else. It is taken over if it has the same content and its pack is still there.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], [`Error::Invalid`] for a chunk of more than [`CHUNK_BYTES_MAX`], [`Error::Corrupt`] if what was
    /// compressed cannot be decompressed, [`Error::Storage`] or [`Error::UploadFailed`] if an earlier pack could not be
    /// stored: the stream, and with it the backup, has failed then.
    pub async fn put(
        &mut self,
        kind: ChunkKind,
        plain: &[u8],
        candidate: Option<&ChunkRef>,
    ) -> Result<ChunkRef> {
        let named = self.shared.repository.name_chunk(plain);
        self.put_named(kind, named, candidate).await
    }

    /// As [`Self::put`], of bytes that were named by this stream's repository.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn put_named(
        &mut self,
        kind: ChunkKind,
        NamedChunk { id, plain }: NamedChunk<'_>,
        candidate: Option<&ChunkRef>,
    ) -> Result<ChunkRef> {
        self.check()?;
        if plain.len() > CHUNK_BYTES_MAX {
            return Err(Error::invalid(format!(
                "a chunk of {} bytes; at most {CHUNK_BYTES_MAX} are possible",
                plain.len()
            )));
        }
        let same = |chunk: &&ChunkRef| {
            chunk.id == id && chunk.kind == kind && chunk.plain_bytes as usize == plain.len()
        };
        if let Some(candidate) =
            candidate.filter(same).filter(|chunk| self.shared.listed.hold(chunk))
        {
            self.shared.counters.deduplicated(candidate.plain_bytes);
            return Ok(*candidate);
        }
        if let Some((chunk, origin)) = self.shared.known.get(id, kind, plain.len()) {
            match origin {
                Origin::ThisBackup => self.shared.counters.deduplicated(chunk.plain_bytes),
                Origin::Resumed => self.shared.counters.resumed(chunk.plain_bytes),
            }
            return Ok(chunk);
        }
        if self
            .open
            .as_ref()
            .is_some_and(|pack| pack.is_full() || pack.len() >= self.shared.options.pack_bytes)
        {
            self.close().await?;
        }
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            none => none.insert(Encoder::new(self.shared.options.zstd_level)?),
        };
        let pack = match &mut self.open {
            Some(pack) => pack,
            none => none.insert(new_pack(&self.shared)?),
        };
        let appended = pack.append(encoder, id, kind, plain);
        if appended.is_err() {
            self.failed = Some(pack.id());
        }
        let chunk = appended?;
        self.shared.known.insert(&chunk, Origin::ThisBackup);
        self.shared.counters.stored(chunk.plain_bytes);
        if self
            .open
            .as_ref()
            .is_some_and(|pack| pack.is_full() || pack.len() >= self.shared.options.pack_bytes)
        {
            self.close().await?;
        }
        Ok(chunk)
    }

    /// Stores what is left, and waits until all of this stream is durable.
    ///
    /// # Errors
    /// As [`Self::put`].
    pub async fn finish(mut self) -> Result<()> {
        self.check()?;
        if self.open.is_some() {
            self.close().await?;
        }
        self.uploaded().await
    }

    fn check(&self) -> Result<()> {
        self.shared.check_open()?;
        match self.failed {
            Some(pack) => Err(Error::UploadFailed { pack }),
            None => Ok(()),
        }
    }

    /// Begins the upload of the open pack when the one before is stored. If this is cancelled while it waits, nothing is
    /// lost: the pack stays open and is closed by the next call.
    async fn close(&mut self) -> Result<()> {
        self.uploaded().await?;
        let Some(pack) = self.open.take() else { return Ok(()) };
        let id = pack.id();
        let name = self.shared.repository.inner.layout.pack(id);
        // Set until the upload has begun: from here on the pack exists nowhere else.
        self.failed = Some(id);
        let object = pack.finish(&name)?;
        self.failed = None;
        let shared = Arc::clone(&self.shared);
        let upload = async move {
            let bytes = object.len() as u64;
            objects::put_new(&shared.repository.inner.store, &name, object).await?;
            shared.counters.pack(bytes);
            Ok(())
        };
        let task = tokio::spawn(upload.in_current_span());
        self.upload = Some(Upload { pack: id, task });
        Ok(())
    }

    /// Waits for the upload under way.
    async fn uploaded(&mut self) -> Result<()> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        let pack = upload.pack;
        let result = (&mut upload.task).await;
        self.upload = None;
        let result = match result {
            Ok(result) => result,
            // The runtime is being shut down.
            Err(_) => Err(Error::UploadFailed { pack }),
        };
        if result.is_err() {
            self.failed = Some(pack);
        }
        result
    }
}

impl Drop for PackStream {
    fn drop(&mut self) {
        if self.open.is_some() || self.upload.is_some() || self.failed.is_some() {
            self.shared.incomplete.store(true, Ordering::Release);
        }
        if let Some(upload) = &self.upload {
            // Nobody will name what is in it. A pack that is there whole all the same is found again.
            upload.task.abort();
        }
        self.shared.open_streams.fetch_sub(1, Ordering::AcqRel);
    }
}

fn new_pack(shared: &Shared) -> Result<OpenPack> {
    let mut random = [0; PackId::RANDOM_BYTES];
    crypto::random(&mut random)?;
    let id = PackId::new(shared.lease.generation(), random);
    OpenPack::new(
        id,
        &shared.repository.inner.keys.sealing,
        (shared.options.pack_bytes + SPARE_BYTES).max(CAPACITY_BYTES_MIN),
    )
}
