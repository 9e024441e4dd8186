//! Tables, their ranges, and what is in them.

use coffer_store::ChunkRef;
use serde::{Deserialize, Serialize};

use super::{Part, Reading, RowChunk};

/// A relation with rows of its own: a table, or a leaf of a partitioned one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// `pg_class.oid` in the source.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// File number under the snapshot; a rewrite or TRUNCATE changes it.
    pub relfilenode: u32,
    /// Tablespace's oid, 0 for the database's own.
    pub tablespace_oid: u32,
    /// `p` permanent or `u` unlogged.
    pub persistence: String,
    /// Access method, `heap` for nearly all.
    pub access_method: String,
    /// Root of the partition tree that this is a leaf of: (schema, name).
    pub partition_root: Option<(String, String)>,
    /// Columns whose values are stored, in the order of the COPY text. Generated columns are not here.
    pub columns: Vec<Column>,
    /// `WHERE …` of an extension's configuration table: only these rows are part of the recovery point.
    pub extension_condition: Option<String>,
    /// Extension whose configuration table this is.
    pub extension: Option<String>,
    /// Hash of all besides heap bytes that can alter the COPY output (columns, types, enum labels, settings …).
    pub shape: String,
    /// The table's text depends on the catalog in a way the shape cannot hold (`reg*` types): it is never skipped.
    pub never_skip: bool,
    /// Blocks of the heap's main fork when it was planned.
    pub heap_blocks: u64,
    /// Bytes of heap and TOAST when it was planned.
    pub total_bytes: u64,
    /// Heap blocks of each range but the last; 0 where the table was read whole. The next backup keeps to it, so that
    /// unchanged blocks give the same chunks.
    pub range_blocks: u64,
    /// The rows.
    pub ranges: Ranges,
    /// Sum over the ranges.
    pub content: Content,
    /// How many rows the ranges list as large.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub large_rows: u64,
    /// How its ranges came here; none where all were read and nothing else was tried.
    #[serde(default, skip_serializing_if = "Reading::is_plain")]
    pub reading: Reading,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(super) fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A column, by name: the order of columns may differ in the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// `attname`.
    pub name: String,
    /// `format_type(atttypid, atttypmod)`.
    pub type_name: String,
}

/// Ranges of a table: in place while they are few, else JSON lines of [`Range`] in chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranges {
    /// At most [`INLINE_RANGES_MAX`].
    Inline(Vec<Range>),
    /// More than that.
    Listed(Part),
}

impl Ranges {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(ranges) => ranges.len() as u64,
            Self::Listed(part) => part.items,
        }
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// More ranges than this are kept as a list of their own.
pub const INLINE_RANGES_MAX: usize = 16;

/// Rows of one run of heap blocks, or of a whole table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// First heap block.
    pub start_block: u64,
    /// Block after the last; none for the last range of a table, which is open at the end, and for a table read whole.
    pub end_block: Option<u64>,
    /// COPY text, in order.
    pub chunks: Vec<RowChunk>,
    /// What it holds.
    pub content: Content,
    /// Bytes of COPY text of each row that was too large for one message, newline included. They are the last rows of the
    /// range, in this order; a line of COPY may be too small for one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large_rows: Vec<u64>,
}

impl Range {
    /// Every chunk that it takes to read it.
    pub fn references(&self) -> impl Iterator<Item = ChunkRef> + '_ {
        self.chunks.iter().flat_map(RowChunk::references)
    }
}

/// Row count and content hash: what a restore is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Rows.
    pub rows: u64,
    /// Sum modulo 2^128 of the keyed hashes of the rows' COPY text.
    #[serde(with = "hex_u128")]
    pub hash: u128,
    /// Bytes of COPY text.
    pub text_bytes: u64,
}

impl Content {
    /// Adds another range's or table's content. The hash is a sum, never an exclusive or: equal rows would cancel.
    pub fn add(&mut self, other: Self) {
        self.rows = self.rows.wrapping_add(other.rows);
        self.hash = self.hash.wrapping_add(other.hash);
        self.text_bytes = self.text_bytes.wrapping_add(other.text_bytes);
    }
}

/// A 128-bit number as 32 hexadecimal digits: JSON numbers lose digits in many readers.
mod hex_u128 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}
