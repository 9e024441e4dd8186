//! What a writer may refer to instead of storing it again.
//!
//! A chunk may be taken over for three reasons only: a manifest that counts refers to it (the caller brings the
//! reference, and its pack was listed when the backup began), a whole pack with an authenticated footer holds it, or this
//! very backup has put it into a pack, without which the manifest will not be sealed. And never from a pack that is on
//! record as damaged: see [`crate::damaged`].

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::{StreamExt, TryStreamExt, stream};

use crate::{
    chunk::{ChunkId, ChunkKind, ChunkRef, PackId},
    condemned::Condemned,
    damaged,
    error::{Error, Result},
    limits::{FOOTER_READS_MAX, KNOWN_CHUNKS_MAX, PACKS_MAX, RESUMED_PACKS_MAX},
    objects,
    pack::Footer,
    path,
    repository::Repository,
};

/// Packs that were there when the backup began, with their sizes.
#[derive(Debug)]
pub(crate) struct ListedPacks {
    /// Ascending by id. Sizes beyond 32 bits are no pack's.
    packs: Vec<(PackId, u32)>,
}

impl ListedPacks {
    /// Those that a collection may be about to delete, and those that are on record as damaged, are left out. What it has
    /// condemned must have been read before this is called: its list goes away after the packs.
    pub(crate) async fn list(repository: &Repository, condemned: &Condemned) -> Result<Self> {
        // On record under a lease, which this writer has now: nothing is added meanwhile.
        let damaged: HashSet<PackId> =
            damaged::list(repository).await?.into_iter().map(|name| name.pack).collect();
        let mut packs = Vec::new();
        let mut listed = objects::list(&repository.inner.store, &repository.inner.layout.packs());
        while let Some(meta) = listed.try_next().await? {
            let (Some(id), Ok(size)) = (path::pack_id(&meta.location), u32::try_from(meta.size))
            else {
                continue;
            };
            if condemned.packs.contains(&id) || damaged.contains(&id) {
                continue;
            }
            if packs.len() >= PACKS_MAX {
                return Err(Error::invalid(format!("a repository has at most {PACKS_MAX} packs")));
            }
            packs.push((id, size));
        }
        packs.sort_unstable();
        Ok(Self { packs })
    }

    /// Whether the pack is there and long enough for the chunk.
    pub(crate) fn hold(&self, chunk: &ChunkRef) -> bool {
        let Ok(at) = self.packs.binary_search_by_key(&chunk.pack, |(id, _)| *id) else {
            return false;
        };
        let end = chunk.offset.checked_add(u64::from(chunk.stored_bytes));
        self.packs.get(at).zip(end).is_some_and(|((_, size), end)| end < u64::from(*size))
    }
}

/// Where a known chunk lies. Smaller than a [`ChunkRef`], of which there would be as many.
#[derive(Debug, Clone, Copy)]
struct Place {
    pack: PackId,
    number: u32,
    offset: u32,
    stored_bytes: u32,
    plain_bytes: u32,
    resumed: bool,
}

/// How a chunk came to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Put by this backup.
    ThisBackup,
    /// Found in a whole pack of an interrupted one.
    Resumed,
}

/// Chunks of this backup and of interrupted ones, at most [`KNOWN_CHUNKS_MAX`].
#[derive(Debug, Default)]
pub(crate) struct KnownChunks {
    places: Mutex<HashMap<(ChunkId, ChunkKind), Place>>,
}

impl KnownChunks {
    pub(crate) fn get(
        &self,
        id: ChunkId,
        kind: ChunkKind,
        plain_bytes: usize,
    ) -> Option<(ChunkRef, Origin)> {
        let place = *self.places().get(&(id, kind))?;
        let origin = if place.resumed { Origin::Resumed } else { Origin::ThisBackup };
        let chunk = ChunkRef {
            id,
            kind,
            pack: place.pack,
            number: place.number,
            offset: u64::from(place.offset),
            stored_bytes: place.stored_bytes,
            plain_bytes: place.plain_bytes,
        };
        (chunk.plain_bytes as usize == plain_bytes).then_some((chunk, origin))
    }

    pub(crate) fn insert(&self, chunk: &ChunkRef, origin: Origin) {
        let Ok(offset) = u32::try_from(chunk.offset) else { return };
        let mut places = self.places();
        if places.len() < KNOWN_CHUNKS_MAX {
            places.entry((chunk.id, chunk.kind)).or_insert(Place {
                pack: chunk.pack,
                number: chunk.number,
                offset,
                stored_bytes: chunk.stored_bytes,
                plain_bytes: chunk.plain_bytes,
                resumed: origin == Origin::Resumed,
            });
        }
    }

    fn places(&self) -> MutexGuard<'_, HashMap<(ChunkId, ChunkKind), Place>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns the chunks of packs that an interrupted backup left: those of generations after the last recovery point's,
    /// and of the lease's own. A pack that is not whole is not used; nothing refers to it.
    pub(crate) async fn resume(
        &self,
        repository: &Repository,
        listed: &ListedPacks,
        generation: u64,
    ) -> Result<()> {
        let (manifests, _) = repository.manifest_names().await?;
        let sealed = manifests.iter().map(|name| name.generation).max().unwrap_or(0);
        let left = listed.packs.iter().rev().filter(|(pack, _)| {
            let written_by = pack.generation();
            written_by == generation || written_by > sealed && written_by < generation
        });
        let inner = &repository.inner;
        let mut footers = stream::iter(left.take(RESUMED_PACKS_MAX).copied().collect::<Vec<_>>())
            .map(|(pack, size)| async move {
                let name = inner.layout.pack(pack);
                Footer::read(&inner.store, &name, pack, u64::from(size), &inner.keys.sealing).await
            })
            .buffer_unordered(FOOTER_READS_MAX);
        while let Some(footer) = footers.next().await {
            match footer {
                Ok(footer) => {
                    footer.chunks().for_each(|chunk| self.insert(&chunk, Origin::Resumed));
                }
                Err(error @ Error::Storage { .. }) => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "a pack of an interrupted backup is not used");
                }
            }
        }
        Ok(())
    }
}
