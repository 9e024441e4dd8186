//! One chunk: hash, compress, check, seal; and back (`docs/format.md` §7).
//!
//! Everything is done in the buffer that becomes the pack, so that a chunk's bytes are copied once on their way: by the
//! compressor.

use std::io::Cursor;

use aws_lc_rs::aead::{Aad, LessSafeKey};
use bytes::Bytes;
use zstd::bulk::{Compressor, Decompressor};

use crate::{
    chunk::{ChunkId, ChunkKind, ChunkRef, PackId},
    crypto::{FORMAT_VERSION, SecretKey, TAG_BYTES, nonce},
    error::{Error, Result},
    limits::CHUNK_BYTES_MAX,
};

/// Plain bytes follow.
const ENCODING_PLAIN: u8 = 0;
/// One zstd frame follows.
const ENCODING_ZSTD: u8 = 1;
/// What sealing adds to the encoded bytes: the encoding and the tag.
pub(crate) const OVERHEAD_BYTES: usize = 1 + TAG_BYTES;

/// Name of a chunk with these plain bytes.
pub(crate) fn chunk_id(key: &SecretKey, plain: &[u8]) -> ChunkId {
    ChunkId(*blake3::keyed_hash(&key.0, plain).as_bytes())
}

/// Compresses, and proves by decompressing that nothing was lost. One per stream; keeps its memory from chunk to chunk.
pub(crate) struct Encoder {
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
    /// What decompressing gives back, for the comparison.
    check: Vec<u8>,
    /// Byte and bit of the frame that a faulty compressor writes wrongly.
    #[cfg(test)]
    fault: Option<(usize, u8)>,
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Encoder")
    }
}

impl Encoder {
    pub(crate) fn new(level: i32) -> Result<Self> {
        let failed = |error: std::io::Error| Error::invalid(format!("zstd level {level}: {error}"));
        Ok(Self {
            compressor: Compressor::new(level).map_err(failed)?,
            decompressor: Decompressor::new().map_err(failed)?,
            check: Vec::new(),
            #[cfg(test)]
            fault: None,
        })
    }

    /// Appends encoding and encoded bytes to `buffer`.
    pub(crate) fn encode(&mut self, plain: &[u8], buffer: &mut Vec<u8>) -> Result<()> {
        let start = buffer.len();
        // No more than that: to double the buffer of a pack would double what a worker holds.
        buffer.reserve_exact(
            zstd::zstd_safe::compress_bound(plain.len()).max(plain.len()) + OVERHEAD_BYTES,
        );
        buffer.push(ENCODING_ZSTD);
        let compressed = self.compress(plain, buffer);
        #[cfg(test)]
        if let Some((at, bit)) = self.fault {
            buffer[start + 1 + at] ^= 1 << bit;
        }
        if compressed && buffer.len() - start <= plain.len() {
            return self.verify(plain, &buffer[start + 1..]);
        }
        buffer.truncate(start);
        buffer.push(ENCODING_PLAIN);
        buffer.extend_from_slice(plain);
        Ok(())
    }

    /// Appends one frame. A failure of the compressor is no failure of the backup: the plain bytes are stored then.
    fn compress(&mut self, plain: &[u8], buffer: &mut Vec<u8>) -> bool {
        let mut tail = Cursor::new(&mut *buffer);
        tail.set_position(tail.get_ref().len() as u64);
        self.compressor.compress_to_buffer(plain, &mut tail).is_ok()
    }

    fn verify(&mut self, plain: &[u8], frame: &[u8]) -> Result<()> {
        self.check.clear();
        self.check.reserve(plain.len());
        match self.decompressor.decompress_to_buffer(frame, &mut self.check) {
            Ok(_) if self.check == plain => Ok(()),
            Ok(_) | Err(_) => Err(Error::corrupt(
                "a chunk being written",
                "decompressing what was just compressed gives other bytes: memory or processor are faulty",
            )),
        }
    }
}

/// Decodes what [`Encoder::encode`] appended; the result has exactly `plain_bytes`.
pub(crate) fn decode(
    encoded: Bytes,
    plain_bytes: usize,
    what: impl Fn() -> String,
) -> Result<Bytes> {
    let Some(encoding) = encoded.first().copied() else {
        return Err(Error::corrupt(what(), "it is empty"));
    };
    let data = encoded.slice(1..);
    let plain = match encoding {
        ENCODING_PLAIN => data,
        ENCODING_ZSTD => {
            let mut plain = Vec::with_capacity(plain_bytes);
            Decompressor::new()
                .and_then(|mut decompressor| decompressor.decompress_to_buffer(&data, &mut plain))
                .map_err(|error| {
                    Error::corrupt(what(), format!("it does not decompress: {error}"))
                })?;
            Bytes::from(plain)
        }
        other => return Err(Error::corrupt(what(), format!("its encoding {other} is not known"))),
    };
    if plain.len() != plain_bytes {
        return Err(Error::corrupt(
            what(),
            format!("it has {} plain bytes instead of {plain_bytes}", plain.len()),
        ));
    }
    Ok(plain)
}

/// Seals `buffer[start..]` in place as chunk `number` and appends the tag.
pub(crate) fn seal(
    key: &LessSafeKey,
    id: &ChunkId,
    kind: ChunkKind,
    number: u32,
    buffer: &mut Vec<u8>,
    start: usize,
) -> Result<()> {
    let associated = Aad::from(associated_data(id, kind.code(), number));
    let tag = key
        .seal_in_place_separate_tag(nonce(number), associated, &mut buffer[start..])
        .map_err(|_| Error::invalid("a chunk too long to seal"))?;
    buffer.extend_from_slice(tag.as_ref());
    Ok(())
}

/// From stored bytes to the plain bytes that the reference promises.
pub(crate) fn open(
    key: &LessSafeKey,
    id_key: &SecretKey,
    chunk: &ChunkRef,
    stored: Bytes,
) -> Result<Bytes> {
    let expected = Expected {
        id: chunk.id,
        kind: chunk.kind.code(),
        number: chunk.number,
        plain_bytes: chunk.plain_bytes,
    };
    open_as(key, id_key, &expected, stored, || describe(chunk))
}

/// What stored bytes must turn out to be. The kind stands as its number: a verification knows those of later versions too.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    pub(crate) id: ChunkId,
    pub(crate) kind: u8,
    pub(crate) number: u32,
    pub(crate) plain_bytes: u32,
}

/// As [`open`].
pub(crate) fn open_as(
    key: &LessSafeKey,
    id_key: &SecretKey,
    expected: &Expected,
    stored: Bytes,
    what: impl Fn() -> String,
) -> Result<Bytes> {
    let mut buffer = Vec::from(stored);
    let associated = Aad::from(associated_data(&expected.id, expected.kind, expected.number));
    let encoded_bytes = key
        .open_in_place(nonce(expected.number), associated, &mut buffer)
        .map_err(|_| Error::corrupt(what(), "its authentication failed"))?
        .len();
    buffer.truncate(encoded_bytes);
    let plain_bytes = expected.plain_bytes as usize;
    if plain_bytes > CHUNK_BYTES_MAX {
        return Err(Error::corrupt(what(), "it says to be larger than any chunk"));
    }
    let plain = decode(Bytes::from(buffer), plain_bytes, &what)?;
    if chunk_id(id_key, &plain) != expected.id {
        return Err(Error::corrupt(what(), "its content is not what its name says"));
    }
    Ok(plain)
}

/// A chunk's name for people.
pub(crate) fn describe(chunk: &ChunkRef) -> String {
    describe_at(&chunk.id, chunk.number, chunk.pack)
}

/// The same of a chunk that is known by its place only.
pub(crate) fn describe_at(id: &ChunkId, number: u32, pack: PackId) -> String {
    format!("chunk {id} (number {number} of pack {pack})")
}

fn associated_data(id: &ChunkId, kind: u8, number: u32) -> [u8; 38] {
    let mut data = [0; 38];
    data[0] = FORMAT_VERSION;
    data[1] = kind;
    data[2..6].copy_from_slice(&number.to_le_bytes());
    data[6..].copy_from_slice(&id.0);
    data
}

#[cfg(test)]
mod tests;
