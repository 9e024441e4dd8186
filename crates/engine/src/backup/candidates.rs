//! Chunks of the previous recovery point that a new chunk may turn out to be equal to.
//!
//! The store compares names; here one candidate is proposed per chunk, by position. Boundaries follow content, so after a
//! change they soon agree again, a little shifted: the shift of the last hit is followed.

use std::collections::HashMap;

use coffer_store::ChunkId;

use crate::manifest::RowChunk;

/// Candidates of one range, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Candidates {
    chunks: Vec<(u64, RowChunk)>,
    /// Where each text begins, the first time that it comes.
    starts: HashMap<ChunkId, u64>,
    end: u64,
    /// How much later things are now than they were.
    shift: i64,
    offset: u64,
}

impl Candidates {
    /// Chunks as they follow each other.
    pub(super) fn new(chunks: impl IntoIterator<Item = RowChunk>) -> Self {
        let mut candidates = Self::default();
        for chunk in chunks {
            candidates.chunks.push((candidates.end, chunk));
            candidates.starts.entry(chunk.id()).or_insert(candidates.end);
            candidates.end += u64::from(chunk.plain_bytes());
        }
        candidates
    }

    /// The most likely one for the next chunk.
    pub(super) fn likely(&self) -> Option<&RowChunk> {
        let wanted = self.offset.saturating_add_signed(-self.shift);
        let after = self.chunks.partition_point(|(start, _)| *start < wanted);
        let nearest = [after.checked_sub(1), Some(after)]
            .into_iter()
            .flatten()
            .filter_map(|at| self.chunks.get(at))
            .min_by_key(|(start, _)| start.abs_diff(wanted));
        nearest.map(|(_, chunk)| chunk)
    }

    /// Tells what the next chunk became.
    pub(super) fn became(&mut self, chunk: &RowChunk) {
        if let Some(start) = self.starts.get(&chunk.id()) {
            self.shift =
                i64::try_from(self.offset).unwrap_or(0) - i64::try_from(*start).unwrap_or(0);
        }
        self.offset += u64::from(chunk.plain_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(name: u8, plain_bytes: u32) -> RowChunk {
        let json = format!(
            "[\"{}\",1,\"{}\",0,0,{plain_bytes},{plain_bytes}]",
            hex::encode([name; 32]),
            hex::encode([0; 16])
        );
        serde_json::from_str(&json).unwrap()
    }

    fn hits(previous: &[RowChunk], now: &[RowChunk]) -> Vec<bool> {
        let mut candidates = Candidates::new(previous.iter().copied());
        now.iter()
            .map(|chunk| {
                let hit = candidates.likely().is_some_and(|likely| likely.id() == chunk.id());
                candidates.became(chunk);
                hit
            })
            .collect()
    }

    #[test]
    fn equal_and_changed_in_place() {
        let (a, b, c, x) = (chunk(1, 100), chunk(2, 150), chunk(3, 80), chunk(9, 150));
        assert_eq!(hits(&[a, b, c], &[a, b, c]), [true; 3]);
        assert_eq!(hits(&[a, b, c], &[a, x, c]), [true, false, true]);
    }

    #[test]
    fn one_cut_in_two_and_a_growing_one() {
        let (a, b, c, d) = (chunk(1, 100), chunk(2, 150), chunk(3, 80), chunk(4, 90));
        let (x, y, grown) = (chunk(8, 70), chunk(9, 80), chunk(10, 160));
        assert_eq!(hits(&[a, b, c, d], &[a, x, y, c, d]), [true, false, false, true, true]);
        assert_eq!(hits(&[a, b, c, d], &[a, grown, c, d]), [true, false, true, true]);
        assert_eq!(hits(&[], &[a]), [false]);
    }
}
