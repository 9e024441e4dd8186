//! Many chunks in one object, with an authenticated footer that says which (`docs/format.md` §7).

use std::sync::Arc;

use aws_lc_rs::aead::{Aad, LessSafeKey};
use bytes::Bytes;
use object_store::{ObjectStore, path::Path};

use crate::{
    chunk::{ChunkId, ChunkKind, ChunkRef, PackId},
    codec::{self, Encoder, OVERHEAD_BYTES},
    crypto::{HEADER_BYTES, ObjectType, SealingKey, TAG_BYTES, named, nonce},
    error::{Error, Result},
    limits::{PACK_BYTES_MAX, PACK_CHUNKS_MAX},
    objects,
};

/// Nonce of the footer; no chunk has this number.
const FOOTER_NUMBER: u32 = u32::MAX;
/// Length of one entry of the footer.
pub(crate) const ENTRY_BYTES: usize = 41;
/// Length of what stands before the entries.
const FOOTER_HEAD_BYTES: usize = 12;
/// End of the footer's plain bytes.
pub(crate) const FOOTER_END: &[u8; 8] = b"PACK-END";
/// End of the object.
pub(crate) const PACK_END: &[u8; 8] = b"COFFPEND";
/// Length of what follows the sealed footer.
const TRAILER_BYTES: usize = 4 + PACK_END.len();
/// Read from the end at first: holds the footers of most packs.
const TAIL_BYTES: u64 = 64 * 1024;

/// Bytes of a pack with that many chunks beside the chunks themselves.
pub(crate) fn overhead_bytes(chunks: u64) -> u64 {
    let fixed = HEADER_BYTES + FOOTER_HEAD_BYTES + FOOTER_END.len() + TAG_BYTES + TRAILER_BYTES;
    chunks.saturating_mul(ENTRY_BYTES as u64).saturating_add(fixed as u64)
}

/// A pack being filled.
pub(crate) struct OpenPack {
    id: PackId,
    key: LessSafeKey,
    object: Vec<u8>,
    entries: Vec<Entry>,
}

impl std::fmt::Debug for OpenPack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenPack({}, {} chunks)", self.id, self.entries.len())
    }
}

/// One chunk in a footer. The kind stands as its number: one that a newer version wrote is passed over, not refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: ChunkId,
    pub(crate) kind: u8,
    pub(crate) stored_bytes: u32,
    pub(crate) plain_bytes: u32,
}

/// One chunk of a whole pack, of whatever kind.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredChunk {
    pub(crate) number: u32,
    pub(crate) offset: u64,
    pub(crate) entry: Entry,
}

impl StoredChunk {
    /// Offset behind it.
    pub(crate) fn end(&self) -> u64 {
        self.offset + u64::from(self.entry.stored_bytes)
    }
}

/// The chunks of a whole pack.
#[derive(Debug)]
pub(crate) struct Footer {
    pub(crate) pack: PackId,
    entries: Vec<Entry>,
    offsets: Vec<u64>,
}

impl OpenPack {
    /// `capacity` is the size at which the caller will close it.
    pub(crate) fn new(id: PackId, sealing: &SealingKey, capacity: usize) -> Result<Self> {
        let (header, key) = sealing.begin(ObjectType::Pack)?;
        let mut object = Vec::with_capacity(capacity);
        object.extend_from_slice(&header);
        Ok(Self { id, key, object, entries: Vec::new() })
    }

    pub(crate) fn id(&self) -> PackId {
        self.id
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> usize {
        self.object.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.entries.len() >= PACK_CHUNKS_MAX
    }

    /// Appends a chunk. If it fails the pack must not be used any more.
    pub(crate) fn append(
        &mut self,
        encoder: &mut Encoder,
        id: ChunkId,
        kind: ChunkKind,
        plain: &[u8],
    ) -> Result<ChunkRef> {
        let start = self.object.len();
        let number = u32::try_from(self.entries.len())
            .map_err(|_| Error::invalid("too many chunks in a pack"))?;
        encoder.encode(plain, &mut self.object)?;
        codec::seal(&self.key, &id, kind, number, &mut self.object, start)?;
        let bytes = |length: usize| {
            u32::try_from(length).map_err(|_| Error::invalid("a chunk too long for a pack"))
        };
        let (stored_bytes, plain_bytes) = (bytes(self.object.len() - start)?, bytes(plain.len())?);
        self.entries.push(Entry { id, kind: kind.code(), stored_bytes, plain_bytes });
        Ok(ChunkRef {
            id,
            kind,
            pack: self.id,
            number,
            offset: start as u64,
            stored_bytes,
            plain_bytes,
        })
    }

    /// The finished object, to be stored under that name.
    pub(crate) fn finish(mut self, name: &Path) -> Result<Bytes> {
        let mut footer = Vec::with_capacity(
            FOOTER_HEAD_BYTES + self.entries.len() * ENTRY_BYTES + FOOTER_END.len() + TAG_BYTES,
        );
        let count = u32::try_from(self.entries.len())
            .map_err(|_| Error::invalid("too many chunks in a pack"))?;
        footer.extend_from_slice(&self.id.generation().to_le_bytes());
        footer.extend_from_slice(&count.to_le_bytes());
        for entry in &self.entries {
            footer.extend_from_slice(&entry.id.0);
            footer.push(entry.kind);
            footer.extend_from_slice(&entry.stored_bytes.to_le_bytes());
            footer.extend_from_slice(&entry.plain_bytes.to_le_bytes());
        }
        footer.extend_from_slice(FOOTER_END);
        let associated = Aad::from(named(&self.object[..HEADER_BYTES], name));
        let tag = self
            .key
            .seal_in_place_separate_tag(nonce(FOOTER_NUMBER), associated, &mut footer)
            .map_err(|_| Error::invalid("a footer too long to seal"))?;
        footer.extend_from_slice(tag.as_ref());
        let footer_bytes = u32::try_from(footer.len())
            .map_err(|_| Error::invalid("a footer too long for a pack"))?;
        self.object.extend_from_slice(&footer);
        self.object.extend_from_slice(&footer_bytes.to_le_bytes());
        self.object.extend_from_slice(PACK_END);
        if self.object.len() as u64 > PACK_BYTES_MAX {
            return Err(Error::invalid(format!("a pack of more than {PACK_BYTES_MAX} bytes")));
        }
        Ok(Bytes::from(self.object))
    }
}

impl Footer {
    /// Reads the footer of a pack of that size, and checks that the pack is whole.
    pub(crate) async fn read(
        store: &Arc<dyn ObjectStore>,
        name: &Path,
        pack: PackId,
        size: u64,
        sealing: &SealingKey,
    ) -> Result<Self> {
        Self::read_with_key(store, name, pack, size, sealing).await.map(|(footer, _)| footer)
    }

    /// As [`Self::read`], with the key that opens the pack's chunks.
    pub(crate) async fn read_with_key(
        store: &Arc<dyn ObjectStore>,
        name: &Path,
        pack: PackId,
        size: u64,
        sealing: &SealingKey,
    ) -> Result<(Self, LessSafeKey)> {
        let smallest = (HEADER_BYTES
            + OVERHEAD_BYTES
            + FOOTER_HEAD_BYTES
            + FOOTER_END.len()
            + TAG_BYTES
            + TRAILER_BYTES) as u64;
        if !(smallest..=PACK_BYTES_MAX).contains(&size) {
            return Err(damaged(name, "no pack has its size"));
        }
        let header_end = HEADER_BYTES as u64;
        let mut tail_start = size.saturating_sub(TAIL_BYTES).max(header_end);
        let mut parts =
            objects::get_ranges(store, name, &[0..header_end, tail_start..size]).await?;
        let (Some(mut tail), Some(header)) = (parts.pop(), parts.pop()) else {
            return Err(damaged(name, "nothing was read"));
        };

        let trailer = &tail[tail.len() - TRAILER_BYTES..];
        let (footer_bytes, end) = trailer.split_at(4);
        if end != PACK_END {
            return Err(damaged(name, "its end is missing"));
        }
        let footer_bytes = u64::from(read_u32(footer_bytes));
        let footer_end = size - TRAILER_BYTES as u64;
        let Some(footer_start) =
            footer_end.checked_sub(footer_bytes).filter(|start| *start >= header_end)
        else {
            return Err(damaged(name, "its footer is longer than itself"));
        };
        if footer_start < tail_start {
            tail = objects::get_range(store, name, footer_start..size).await?;
            tail_start = footer_start;
        }
        let at = |offset: u64| {
            usize::try_from(offset - tail_start).map_err(|_| damaged(name, "it is too long"))
        };
        let mut sealed = tail[at(footer_start)?..at(footer_end)?].to_vec();
        let key = sealing.resume(ObjectType::Pack, &header, name)?;
        let plain = key
            .open_in_place(nonce(FOOTER_NUMBER), Aad::from(named(&header, name)), &mut sealed)
            .map_err(|_| damaged(name, "the authentication of its footer failed"))?;
        let footer = Self::parse(name, pack, plain, footer_start)?;
        Ok((footer, key))
    }

    fn parse(name: &Path, pack: PackId, plain: &[u8], footer_start: u64) -> Result<Self> {
        let entries = plain
            .strip_suffix(FOOTER_END)
            .filter(|rest| rest.len() >= FOOTER_HEAD_BYTES)
            .ok_or_else(|| damaged(name, "its footer has no end mark"))?;
        let (head, entries) = entries.split_at(FOOTER_HEAD_BYTES);
        let (generation, count) = head.split_at(8);
        let count = read_u32(count) as usize;
        if generation != pack.generation().to_le_bytes()
            || count == 0
            || count > PACK_CHUNKS_MAX
            || entries.len() != count * ENTRY_BYTES
        {
            return Err(damaged(name, "its footer does not agree with itself"));
        }
        let entries: Vec<Entry> = entries.chunks_exact(ENTRY_BYTES).map(Entry::parse).collect();
        let mut offset = HEADER_BYTES as u64;
        let mut offsets = Vec::with_capacity(count);
        for entry in &entries {
            offsets.push(offset);
            offset += u64::from(entry.stored_bytes);
        }
        if offset != footer_start {
            return Err(damaged(name, "its chunks do not add up to its length"));
        }
        Ok(Self { pack, entries, offsets })
    }

    /// All its chunks, in the order in which they lie.
    pub(crate) fn stored(&self) -> impl Iterator<Item = StoredChunk> + '_ {
        (0_u32..)
            .zip(self.entries.iter().zip(&self.offsets))
            .map(|(number, (entry, offset))| StoredChunk { number, offset: *offset, entry: *entry })
    }

    /// References to its chunks, those of unknown kind left out.
    pub(crate) fn chunks(&self) -> impl Iterator<Item = ChunkRef> + '_ {
        self.stored().filter_map(|StoredChunk { number, offset, entry }| {
            Some(ChunkRef {
                id: entry.id,
                kind: ChunkKind::from_code(entry.kind)?,
                pack: self.pack,
                number,
                offset,
                stored_bytes: entry.stored_bytes,
                plain_bytes: entry.plain_bytes,
            })
        })
    }

    /// Whether exactly this chunk is in the pack.
    pub(crate) fn holds(&self, chunk: &ChunkRef) -> bool {
        let number = chunk.number as usize;
        let (Some(entry), Some(offset)) = (self.entries.get(number), self.offsets.get(number))
        else {
            return false;
        };
        let here = Entry {
            id: chunk.id,
            kind: chunk.kind.code(),
            stored_bytes: chunk.stored_bytes,
            plain_bytes: chunk.plain_bytes,
        };
        *entry == here && *offset == chunk.offset
    }
}

impl Entry {
    /// From [`ENTRY_BYTES`] bytes.
    fn parse(bytes: &[u8]) -> Self {
        let mut id = [0; 32];
        id.copy_from_slice(&bytes[..32]);
        Self {
            id: ChunkId(id),
            kind: bytes[32],
            stored_bytes: read_u32(&bytes[33..37]),
            plain_bytes: read_u32(&bytes[37..41]),
        }
    }
}

/// From four bytes.
fn read_u32(bytes: &[u8]) -> u32 {
    let mut array = [0; 4];
    array.copy_from_slice(bytes);
    u32::from_le_bytes(array)
}

fn damaged(name: &Path, reason: &str) -> Error {
    Error::corrupt(name.to_string(), reason)
}
