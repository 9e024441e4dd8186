//! A chunk by its reference, authenticated, decompressed and checked against its name.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use aws_lc_rs::aead::LessSafeKey;
use bytes::Bytes;

use crate::{
    chunk::{ChunkRef, PackId},
    codec::{self, OVERHEAD_BYTES},
    crypto::{HEADER_BYTES, ObjectType},
    error::{Error, Result},
    limits::{CHUNK_BYTES_MAX, PACK_BYTES_MAX, PACK_KEYS_CACHED_MAX},
    objects,
    repository::Repository,
};

/// Keys of the packs read last, so that a chunk costs one read and not two.
#[derive(Default)]
pub(crate) struct PackKeys {
    cache: Mutex<Cache>,
}

#[derive(Default)]
struct Cache {
    keys: HashMap<PackId, Arc<LessSafeKey>>,
    /// In the order of insertion; the oldest goes first.
    order: VecDeque<PackId>,
}

impl PackKeys {
    fn get(&self, pack: PackId) -> Option<Arc<LessSafeKey>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner).keys.get(&pack).map(Arc::clone)
    }

    fn insert(&self, pack: PackId, key: &Arc<LessSafeKey>) {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.keys.insert(pack, Arc::clone(key)).is_none() {
            cache.order.push_back(pack);
        }
        while cache.order.len() > PACK_KEYS_CACHED_MAX {
            if let Some(oldest) = cache.order.pop_front() {
                cache.keys.remove(&oldest);
            }
        }
    }
}

impl Repository {
    /// Reads one chunk. At most one piece of the chunk's plain size and one of its stored size are held.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if the chunk is missing or is anything but what the reference says, [`Error::WrongKey`],
    /// [`Error::Storage`].
    pub async fn read_chunk(&self, chunk: &ChunkRef) -> Result<Bytes> {
        let stored = u64::from(chunk.stored_bytes);
        let end = chunk.offset.checked_add(stored).filter(|end| *end <= PACK_BYTES_MAX);
        let header = HEADER_BYTES as u64;
        let possible = chunk.offset >= header
            && (OVERHEAD_BYTES..=CHUNK_BYTES_MAX + OVERHEAD_BYTES)
                .contains(&(chunk.stored_bytes as usize));
        let Some(end) = end.filter(|_| possible) else {
            return Err(Error::corrupt(codec::describe(chunk), "its reference is impossible"));
        };
        let inner = &self.inner;
        let name = inner.layout.pack(chunk.pack);
        let (key, stored) = match inner.pack_keys.get(chunk.pack) {
            Some(key) => (key, objects::get_range(&inner.store, &name, chunk.offset..end).await?),
            None => {
                let mut parts =
                    objects::get_ranges(&inner.store, &name, &[0..header, chunk.offset..end])
                        .await?;
                let (Some(stored), Some(header)) = (parts.pop(), parts.pop()) else {
                    return Err(Error::corrupt(name.to_string(), "nothing was read"));
                };
                (Arc::new(inner.keys.sealing.resume(ObjectType::Pack, &header, &name)?), stored)
            }
        };
        let plain = codec::open(&key, &inner.keys.chunk_id, chunk, stored)?;
        // Only a key that has opened something is worth keeping.
        inner.pack_keys.insert(chunk.pack, &key);
        Ok(plain)
    }
}
