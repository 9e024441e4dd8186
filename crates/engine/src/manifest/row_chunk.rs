//! Where a piece of a range's text lies: in a chunk, or in what makes it out of another (`docs/format.md` §13).

use bytes::Bytes;
use coffer_store::limits::CHUNK_BYTES_MAX;
use coffer_store::{ChunkId, ChunkRef, Repository};
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::delta;
use crate::error::{Error, Result};

/// A piece of a range's COPY text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowChunk {
    /// A chunk of its own.
    Whole(ChunkRef),
    /// What makes it out of a chunk. Since engine format 4.
    Delta(Delta),
}

/// A piece of text that differs little from a chunk of an earlier recovery point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delta {
    /// What a chunk of the text would be named.
    pub id: ChunkId,
    /// Length of the text.
    pub plain_bytes: u32,
    /// The difference.
    pub delta: ChunkRef,
    /// What it is the difference to: always a chunk, so that no text takes more than two to read.
    pub base: ChunkRef,
}

impl RowChunk {
    /// What a chunk of the text is named, or would be.
    #[must_use]
    pub fn id(&self) -> ChunkId {
        match self {
            Self::Whole(chunk) => chunk.id,
            Self::Delta(delta) => delta.id,
        }
    }

    /// Length of the text.
    #[must_use]
    pub fn plain_bytes(&self) -> u32 {
        match self {
            Self::Whole(chunk) => chunk.plain_bytes,
            Self::Delta(delta) => delta.plain_bytes,
        }
    }

    /// Every chunk that it takes to read the text.
    pub fn references(&self) -> impl Iterator<Item = ChunkRef> + use<> {
        let (first, second) = match *self {
            Self::Whole(chunk) => (chunk, None),
            Self::Delta(Delta { delta, base, .. }) => (delta, Some(base)),
        };
        [Some(first), second].into_iter().flatten()
    }

    /// The chunk that later text may be a difference to.
    #[must_use]
    pub fn base(&self) -> &ChunkRef {
        match self {
            Self::Whole(chunk) => chunk,
            Self::Delta(delta) => &delta.base,
        }
    }

    /// The text.
    ///
    /// # Errors
    /// [`Error::Store`] as of the store's `read_chunk`; [`Error::Manifest`] where both chunks are what they were and do not make the text.
    pub async fn read(&self, repository: &Repository) -> Result<Bytes> {
        let failed = || Error::store("read rows");
        let Delta { id, plain_bytes, delta, base } = match self {
            Self::Whole(chunk) => return repository.read_chunk(chunk).await.map_err(failed()),
            Self::Delta(delta) => delta,
        };
        let (delta, base) =
            futures::try_join!(repository.read_chunk(delta), repository.read_chunk(base))
                .map_err(failed())?;
        let length = *plain_bytes as usize;
        let text = (length <= CHUNK_BYTES_MAX)
            .then(|| delta::apply(&base, &delta, length).ok())
            .flatten()
            .filter(|text| repository.chunk_id(text) == *id);
        text.map(Bytes::from).ok_or_else(|| Error::Manifest {
            message: format!("the delta of chunk {id} does not make it"),
        })
    }
}

impl Serialize for RowChunk {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole(chunk) => chunk.serialize(serializer),
            Self::Delta(delta) => delta.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for RowChunk {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        /// A reference is an array, a delta an object.
        struct ArrayOrObject;

        impl<'de> Visitor<'de> for ArrayOrObject {
            type Value = RowChunk;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a reference or a delta")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<RowChunk, A::Error> {
                ChunkRef::deserialize(SeqAccessDeserializer::new(seq)).map(RowChunk::Whole)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<RowChunk, A::Error> {
                Delta::deserialize(MapAccessDeserializer::new(map)).map(RowChunk::Delta)
            }
        }

        deserializer.deserialize_any(ArrayOrObject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reference(name: u8, kind: u8) -> String {
        let (id, pack) = (hex::encode([name; 32]), hex::encode([1; 16]));
        format!("[\"{id}\",{kind},\"{pack}\",3,56,70,100]")
    }

    #[test]
    fn json_is_that_of_the_format() {
        let (base, delta) = (reference(1, 1), reference(2, 13));
        let id = hex::encode([9; 32]);
        let json = format!(
            "[{base},{{\"id\":\"{id}\",\"plain_bytes\":90,\"delta\":{delta},\"base\":{base}}}]"
        );
        let pieces: Vec<RowChunk> = serde_json::from_str(&json).unwrap();
        assert_eq!(serde_json::to_string(&pieces).unwrap(), json);
        let [RowChunk::Whole(whole), piece @ RowChunk::Delta(_)] = pieces.as_slice() else {
            panic!("{pieces:?}")
        };
        assert_eq!((piece.base(), piece.plain_bytes()), (whole, 90));
        assert_eq!(piece.references().count(), 2);
        for wrong in ["1", "[]", "{}", "null", "[1,2,3]"] {
            assert!(serde_json::from_str::<RowChunk>(wrong).is_err(), "{wrong}");
        }
    }
}
