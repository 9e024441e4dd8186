//! Names of chunks and packs, and where a chunk lies.
//!
//! A chunk's name is a keyed hash of its plain bytes, so that only who has the repository's key can tell whether given
//! bytes are stored. A pack's name says nothing about its content: the generation of the lease under which it was
//! written, then random bits.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};

use crate::error::{Error, Result};

/// Name of a chunk: keyed BLAKE3 of its plain bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ChunkId(pub(crate) [u8; 32]);

/// Name of a pack: 64 bits of the writer's lease generation, then 64 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackId(pub(crate) [u8; 16]);

impl ChunkId {
    /// The raw bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl PackId {
    /// Number of random bytes in a name.
    pub(crate) const RANDOM_BYTES: usize = 8;

    pub(crate) fn new(generation: u64, random: [u8; Self::RANDOM_BYTES]) -> Self {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&generation.to_be_bytes());
        bytes[8..].copy_from_slice(&random);
        Self(bytes)
    }

    /// Generation of the lease under which the pack was written.
    #[must_use]
    pub fn generation(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// The random half of its name.
    pub(crate) fn random(&self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }

    /// From the 32 hexadecimal digits of its name.
    pub(crate) fn parse(name: &str) -> Option<Self> {
        let mut bytes = [0; 16];
        parse_hex(name, &mut bytes).then_some(Self(bytes))
    }
}

impl FromStr for PackId {
    type Err = Error;

    /// What [`fmt::Display`] printed.
    fn from_str(text: &str) -> Result<Self> {
        Self::parse(text)
            .ok_or_else(|| Error::invalid("a pack's name is 32 lower-case hexadecimal digits"))
    }
}

/// Lower-case digits only: a name has exactly one spelling.
fn parse_hex(text: &str, into: &mut [u8]) -> bool {
    !text.bytes().any(|byte| byte.is_ascii_uppercase()) && hex::decode_to_slice(text, into).is_ok()
}

macro_rules! hex_name {
    ($name:ident, $bytes:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex::encode(self.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&hex::encode(self.0))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let mut bytes = [0; $bytes];
                if parse_hex(&text, &mut bytes) {
                    Ok(Self(bytes))
                } else {
                    Err(D::Error::custom(concat!(
                        stringify!($name),
                        " is not lower-case hexadecimal of the right length"
                    )))
                }
            }
        }
    };
}

hex_name!(ChunkId, 32);
hex_name!(PackId, 16);

/// What a chunk holds. The number is part of the format and of what authenticates a chunk; it is never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum ChunkKind {
    /// COPY text of rows.
    TableRows = 1,
    /// Piece of the archive of the schema.
    SchemaArchive = 2,
    /// Bytes of large objects.
    LargeObjectData = 3,
    /// JSON lines describing large objects.
    LargeObjectList = 4,
    /// JSON lines describing roles.
    Roles = 5,
    /// JSON lines describing tables.
    TableList = 6,
    /// JSON lines describing the ranges of one table.
    RangeList = 7,
    /// JSON lines describing sequences.
    SequenceList = 8,
    /// JSON lines describing materialized views.
    MaterializedViewList = 9,
    /// JSON lines describing the databases of a server.
    DatabaseList = 10,
    /// Root of one database of a server.
    DatabaseRoot = 11,
    /// JSON lines describing tablespaces.
    TablespaceList = 12,
    /// What makes COPY text of rows out of that of another chunk.
    RowDelta = 13,
}

impl ChunkKind {
    /// Every kind, in the order of its number.
    pub const ALL: [Self; 13] = [
        Self::TableRows,
        Self::SchemaArchive,
        Self::LargeObjectData,
        Self::LargeObjectList,
        Self::Roles,
        Self::TableList,
        Self::RangeList,
        Self::SequenceList,
        Self::MaterializedViewList,
        Self::DatabaseList,
        Self::DatabaseRoot,
        Self::TablespaceList,
        Self::RowDelta,
    ];

    /// The number that stands in the format.
    #[must_use]
    pub fn code(self) -> u8 {
        self as u8
    }

    /// The kind of that number, if this version knows it.
    #[must_use]
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
}

/// Where a chunk lies and what it must turn out to be. As JSON an array of seven, in the order of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "ChunkRefFields", into = "ChunkRefFields")]
pub struct ChunkRef {
    /// Name of the chunk: what its plain bytes must hash to.
    pub id: ChunkId,
    /// What it holds.
    pub kind: ChunkKind,
    /// The pack that holds it.
    pub pack: PackId,
    /// Its number in the pack, from 0.
    pub number: u32,
    /// Where its stored bytes begin in the pack object.
    pub offset: u64,
    /// Length of the stored bytes, authentication tag included.
    pub stored_bytes: u32,
    /// Length of the plain bytes.
    pub plain_bytes: u32,
}

type ChunkRefFields = (ChunkId, ChunkKind, PackId, u32, u64, u32, u32);

impl From<ChunkRefFields> for ChunkRef {
    fn from((id, kind, pack, number, offset, stored_bytes, plain_bytes): ChunkRefFields) -> Self {
        Self { id, kind, pack, number, offset, stored_bytes, plain_bytes }
    }
}

impl From<ChunkRef> for ChunkRefFields {
    fn from(of: ChunkRef) -> Self {
        (of.id, of.kind, of.pack, of.number, of.offset, of.stored_bytes, of.plain_bytes)
    }
}

impl Serialize for ChunkKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.code())
    }
}

impl<'de> Deserialize<'de> for ChunkKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let code = u8::deserialize(deserializer)?;
        Self::from_code(code)
            .ok_or_else(|| D::Error::custom(format_args!("unknown kind of chunk {code}")))
    }
}

#[cfg(test)]
mod tests;
