//! The proof: a keyed hash per row of COPY text, summed modulo 2^128.
//!
//! A sum does not depend on the order of rows, so ranges add up to tables and tables to partition roots, and a restored
//! table whose rows lie elsewhere gives the same value. It must never become an exclusive or: equal rows would cancel.
//! The key is the repository's, so that a hash tells nothing to somebody who may only read lists.
//!
//! Rows are short, and BLAKE3 is fast where several pieces of equal length are hashed side by side. So a row is filled up to whole
//! blocks, and [`lanes`] takes rows of as many blocks together. Before engine format 4 rows were hashed as they are.

mod lanes;
mod large_object;

use serde::{Deserialize, Serialize};

use self::lanes::{LANE_ROW_BYTES_MAX, Lanes};
use crate::manifest::Content;

pub use self::large_object::LargeObjectHasher;

/// Length of a block of BLAKE3.
const BLOCK_BYTES: usize = 64;

/// What of a row is hashed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RowHash {
    /// Its text without the newline. Up to engine format 3.
    #[default]
    Bare,
    /// Its text, the newline, and zeros up to a multiple of 64 bytes. A newline is nowhere else in the text, so no two rows are
    /// filled up to the same. Since engine format 4.
    Filled,
}

/// The text of a row was not ended by a newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("COPY text ends in the middle of a row")]
pub struct UnfinishedRow;

/// A row whose end came.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowEnd {
    /// Where, in the bytes just given, the next row begins.
    pub end: usize,
    /// Length of all of it, the newline included.
    pub bytes: u64,
    /// Its hash.
    pub hash: u128,
}

/// Hashes rows that arrive as a stream of bytes, cut anywhere.
///
/// In COPY's text format a newline byte ends a row and occurs nowhere else: newlines in values are written `\n`, and every
/// encoding that a server may use keeps bytes below 128 for ASCII.
pub struct RowHasher {
    kind: RowHash,
    key: [u8; 32],
    lanes: Lanes,
    /// Beginning of a row whose end has not come yet, while it is short.
    partial: Vec<u8>,
    /// The same of a long one.
    long: Option<Box<blake3::Hasher>>,
    /// Bytes of that row so far.
    row_bytes: u64,
    ends: Vec<RowEnd>,
    content: Content,
}

impl std::fmt::Debug for RowHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RowHasher").field("content", &self.content).finish_non_exhaustive()
    }
}

impl RowHasher {
    /// Starts with no rows.
    #[must_use]
    pub fn new(key: &[u8; 32], kind: RowHash) -> Self {
        Self {
            kind,
            key: *key,
            lanes: Lanes::new(key),
            partial: Vec::new(),
            long: None,
            row_bytes: 0,
            ends: Vec::new(),
            content: Content::default(),
        }
    }

    /// Takes the next bytes of the text, and tells of the rows that end in them.
    pub fn update(&mut self, bytes: &[u8]) -> &[RowEnd] {
        self.ends.clear();
        let mut start = 0;
        for newline in memchr::memchr_iter(b'\n', bytes) {
            self.row(&bytes[start..newline], newline + 1);
            start = newline + 1;
        }
        self.begin(&bytes[start..]);
        self.lanes.finish(&mut self.ends);
        self.content.rows += self.ends.len() as u64;
        for row in &self.ends {
            self.content.hash = self.content.hash.wrapping_add(row.hash);
        }
        self.content.text_bytes += bytes.len() as u64;
        &self.ends
    }

    /// The rest of a row, or all of it, without its newline.
    fn row(&mut self, text: &[u8], end: usize) {
        let bytes = self.row_bytes + text.len() as u64 + 1;
        let is_whole = self.row_bytes == 0;
        self.row_bytes = 0;
        let row = self.ends.len();
        self.ends.push(RowEnd { end, bytes, hash: 0 });
        if let Some(mut long) = self.long.take() {
            long.update(text);
            self.ends[row].hash = self.finish_long(&mut long, bytes);
            return;
        }
        let whole;
        let text = if is_whole {
            text
        } else {
            self.partial.extend_from_slice(text);
            whole = std::mem::take(&mut self.partial);
            whole.as_slice()
        };
        match self.kind {
            RowHash::Bare => {
                self.ends[row].hash = truncate(&blake3::keyed_hash(&self.key, text));
            }
            RowHash::Filled if text.len() < LANE_ROW_BYTES_MAX => {
                self.lanes.add(text, row, &mut self.ends);
            }
            RowHash::Filled => {
                let mut long = blake3::Hasher::new_keyed(&self.key);
                long.update(text);
                self.ends[row].hash = self.finish_long(&mut long, bytes);
            }
        }
    }

    /// The beginning of a row, or more of it.
    fn begin(&mut self, text: &[u8]) {
        if text.is_empty() {
            return;
        }
        self.row_bytes += text.len() as u64;
        if let Some(long) = &mut self.long {
            long.update(text);
            return;
        }
        self.partial.extend_from_slice(text);
        if self.partial.len() >= LANE_ROW_BYTES_MAX {
            let mut long = Box::new(blake3::Hasher::new_keyed(&self.key));
            long.update(&self.partial);
            self.partial = Vec::new();
            self.long = Some(long);
        }
    }

    /// `bytes` counts the newline, which is not hashed yet.
    fn finish_long(&self, long: &mut blake3::Hasher, bytes: u64) -> u128 {
        if self.kind == RowHash::Filled {
            let mut end = [0; BLOCK_BYTES];
            end[0] = b'\n';
            let rest = (bytes - 1) % BLOCK_BYTES as u64;
            long.update(&end[..BLOCK_BYTES - usize::try_from(rest).unwrap_or(0)]);
        }
        truncate(&long.finalize())
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.content.text_bytes
    }

    /// Rows, hash and bytes of everything taken.
    pub fn finish(self) -> Result<Content, UnfinishedRow> {
        if self.row_bytes > 0 { Err(UnfinishedRow) } else { Ok(self.content) }
    }
}

/// First 128 bits, little-endian.
fn truncate(hash: &blake3::Hash) -> u128 {
    number(hash.as_bytes())
}

fn number(hash: &[u8; 32]) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    u128::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests;
