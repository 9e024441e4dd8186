//! The proof: a keyed hash per row of COPY text, summed modulo 2^128.
//!
//! A sum does not depend on the order of rows, so ranges add up to tables and tables to partition roots, and a restored
//! table whose rows lie elsewhere gives the same value. It must never become an exclusive or: equal rows would cancel.
//! The key is the repository's, so that a hash tells nothing to somebody who may only read lists.

use crate::manifest::Content;

/// The text of a row was not ended by a newline.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("COPY text ends in the middle of a row")]
pub struct UnfinishedRow;

/// Hashes rows that arrive as a stream of bytes, cut anywhere.
///
/// In COPY's text format a newline byte ends a row and occurs nowhere else: newlines in values are written `\n`, and every
/// encoding that a server may use keeps bytes below 128 for ASCII.
#[derive(Clone)]
pub struct RowHasher {
    key: [u8; 32],
    /// Holds the beginning of a row whose end has not come yet.
    partial: blake3::Hasher,
    in_row: bool,
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
    pub fn new(key: &[u8; 32]) -> Self {
        Self {
            key: *key,
            partial: blake3::Hasher::new_keyed(key),
            in_row: false,
            content: Content::default(),
        }
    }

    /// Takes the next bytes of the text.
    pub fn update(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let Some(end) = memchr::memchr(b'\n', bytes) else {
                self.partial.update(bytes);
                self.in_row = true;
                self.content.text_bytes += bytes.len() as u64;
                return;
            };
            self.end_row(&bytes[..end]);
            bytes = &bytes[end + 1..];
        }
    }

    /// Takes the rest of a row, without its newline, and returns the row's hash. [`Self::update`] is made of it.
    pub fn end_row(&mut self, row: &[u8]) -> u128 {
        let hash = if self.in_row {
            self.partial.update(row);
            let hash = self.partial.finalize();
            self.partial.reset();
            self.in_row = false;
            hash
        } else {
            blake3::keyed_hash(&self.key, row)
        };
        let hash = truncate(&hash);
        self.content.rows += 1;
        self.content.hash = self.content.hash.wrapping_add(hash);
        self.content.text_bytes += row.len() as u64 + 1;
        hash
    }

    /// Bytes taken so far.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        self.content.text_bytes
    }

    /// Rows, hash and bytes of everything taken.
    pub fn finish(self) -> Result<Content, UnfinishedRow> {
        if self.in_row { Err(UnfinishedRow) } else { Ok(self.content) }
    }
}

/// First 128 bits, little-endian.
fn truncate(hash: &blake3::Hash) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.as_bytes()[..16]);
    u128::from_le_bytes(bytes)
}

/// Hashes one large object: its number and its bytes.
#[derive(Clone)]
pub struct LargeObjectHasher {
    hasher: blake3::Hasher,
    bytes: u64,
}

impl std::fmt::Debug for LargeObjectHasher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LargeObjectHasher").field("bytes", &self.bytes).finish_non_exhaustive()
    }
}

impl LargeObjectHasher {
    /// Starts an object.
    #[must_use]
    pub fn new(key: &[u8; 32], oid: u32) -> Self {
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(b"large object");
        hasher.update(&oid.to_le_bytes());
        Self { hasher, bytes: 0 }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// The object as one row of content, to be added to that of the others.
    #[must_use]
    pub fn finish(self) -> Content {
        Content { rows: 1, hash: truncate(&self.hasher.finalize()), text_bytes: self.bytes }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(pieces: &[&[u8]]) -> Result<Content, UnfinishedRow> {
        let mut hasher = RowHasher::new(&[7; 32]);
        for piece in pieces {
            hasher.update(piece);
        }
        hasher.finish()
    }

    #[test]
    fn pieces_may_be_cut_anywhere() {
        let whole = hash(&[b"a\t1\nbb\t2\n\nccc\t\\N\n"]).unwrap();
        let text = b"a\t1\nbb\t2\n\nccc\t\\N\n";
        for cut in 0..=text.len() {
            assert_eq!(hash(&[&text[..cut], &text[cut..]]).unwrap(), whole, "cut at {cut}");
        }
        let singles: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(hash(&singles).unwrap(), whole);
        assert_eq!((whole.rows, whole.text_bytes), (4, text.len() as u64));
    }

    #[test]
    fn order_does_not_matter_but_duplicates_count() {
        assert_eq!(hash(&[b"a\nb\n"]), hash(&[b"b\na\n"]));
        assert_ne!(hash(&[b"a\na\n"]), hash(&[b"b\nb\n"]));
        assert_ne!(hash(&[b"a\n"]), hash(&[b"a\na\na\n"]));
    }

    #[test]
    fn a_missing_newline_is_an_error() {
        assert_eq!(hash(&[b"a\nb"]), Err(UnfinishedRow));
        assert_eq!(hash(&[]), Ok(Content::default()));
    }

    #[test]
    fn the_key_changes_the_hash() {
        let mut other = RowHasher::new(&[8; 32]);
        other.update(b"a\n");
        assert_ne!(other.finish(), hash(&[b"a\n"]));
    }

    #[test]
    fn a_large_object_is_bound_to_its_number() {
        let object = |oid, pieces: &[&[u8]]| {
            let mut hasher = LargeObjectHasher::new(&[7; 32], oid);
            pieces.iter().for_each(|piece| hasher.update(piece));
            hasher.finish()
        };
        assert_eq!(object(1, &[b"ab", b"c"]), object(1, &[b"abc"]));
        assert_ne!(object(1, &[b"abc"]), object(2, &[b"abc"]));
    }
}
