//! The same proof for large objects.

use super::truncate;
use crate::manifest::Content;

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
