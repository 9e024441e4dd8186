//! Ranges that one COPY brings.
//!
//! A COPY of its own for each range would ask the server three times for a few megabytes, and leave its last block half empty.
//! Too many in one and the sessions do not end together.

use std::collections::VecDeque;

use coffer_store::Repository;

use crate::error::Result;
use crate::manifest::{Range, Ranges};
use crate::restore::ranges::RangeReader;

/// Text of one COPY at most, unless one range alone is longer.
const BATCH_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Text up to which it is not worth to cut a database finer.
const BATCH_BYTES_MIN: u64 = 1024 * 1024;

/// COPYs of each session, at least, so that the last of them end at about the same time.
const BATCHES_PER_WORKER: u64 = 8;

/// Ranges of one COPY, so that what is known of empty ones stays bounded too.
const RANGES_MAX: usize = 256;

/// Text of one COPY when so much is to be loaded in all, by so many sessions.
pub(super) fn batch_bytes(total: u64, workers: usize) -> u64 {
    let share = total / (workers as u64).max(1) / BATCHES_PER_WORKER;
    share.clamp(BATCH_BYTES_MIN, BATCH_BYTES_MAX)
}

/// Puts the ranges of one table together.
#[derive(Debug)]
struct Batches {
    bytes_max: u64,
    bytes: u64,
    waiting: Vec<Range>,
}

impl Batches {
    fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, waiting: Vec::new() }
    }

    /// Takes the next range, and gives what is complete with it. A range with large rows stays alone: it takes more than one COPY.
    fn add(&mut self, range: Range) -> impl Iterator<Item = Vec<Range>> + use<> {
        let bytes = range.content.text_bytes;
        let alone = !range.large_rows.is_empty();
        let full = self.bytes.saturating_add(bytes) > self.bytes_max;
        let before =
            if alone || full || self.waiting.len() == RANGES_MAX { self.rest() } else { None };
        self.bytes = self.bytes.saturating_add(bytes);
        self.waiting.push(range);
        let it = if alone { self.rest() } else { None };
        before.into_iter().chain(it)
    }

    /// What waits for more; none when nothing does.
    fn rest(&mut self) -> Option<Vec<Range>> {
        self.bytes = 0;
        Some(std::mem::take(&mut self.waiting)).filter(|batch| !batch.is_empty())
    }
}

/// The ranges of a table, batch by batch.
#[derive(Debug)]
pub(super) struct BatchReader {
    ranges: RangeReader,
    batches: Batches,
    complete: VecDeque<Vec<Range>>,
}

impl BatchReader {
    pub(super) fn new(repository: &Repository, ranges: &Ranges, bytes_max: u64) -> Self {
        let ranges = RangeReader::new(repository, ranges);
        Self { ranges, batches: Batches::new(bytes_max), complete: VecDeque::new() }
    }

    /// The next batch; none at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Vec<Range>>> {
        loop {
            if let Some(batch) = self.complete.pop_front() {
                return Ok(Some(batch));
            }
            match self.ranges.next().await? {
                Some(range) => self.complete.extend(self.batches.add(range)),
                None => return Ok(self.batches.rest()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Content;

    fn range(text_bytes: u64, large_rows: &[u64]) -> Range {
        Range {
            start_block: 0,
            end_block: None,
            chunks: Vec::new(),
            content: Content { rows: 1, hash: 0, text_bytes },
            large_rows: large_rows.to_vec(),
        }
    }

    fn sizes(ranges: Vec<Range>) -> Vec<Vec<u64>> {
        let mut batches = Batches::new(10);
        let mut all: Vec<_> = ranges.into_iter().flat_map(|range| batches.add(range)).collect();
        all.extend(batches.rest());
        let bytes = |batch: &Vec<Range>| batch.iter().map(|r| r.content.text_bytes).collect();
        all.iter().map(bytes).collect()
    }

    #[test]
    fn no_range_is_lost_and_none_comes_twice() {
        assert_eq!(sizes(Vec::new()), Vec::<Vec<u64>>::new());
        let ranges = [4, 6, 1, 0, 25, 3].map(|bytes| range(bytes, &[]));
        assert_eq!(sizes(ranges.into()), [vec![4, 6], vec![1, 0], vec![25], vec![3]]);
        let huge = [u64::MAX, u64::MAX].map(|bytes| range(bytes, &[]));
        assert_eq!(sizes(huge.into()), [[u64::MAX], [u64::MAX]]);
        let empty = sizes(vec![range(0, &[]); RANGES_MAX + 1]);
        assert_eq!(empty.iter().map(Vec::len).collect::<Vec<_>>(), [RANGES_MAX, 1]);
    }

    #[test]
    fn large_rows_go_alone() {
        let ranges = vec![range(1, &[]), range(2, &[1]), range(3, &[]), range(4, &[])];
        assert_eq!(sizes(ranges), [vec![1], vec![2], vec![3, 4]]);
    }

    #[test]
    fn small_databases_are_cut_finer() {
        let megabyte = 1024 * 1024;
        assert_eq!(batch_bytes(0, 4), BATCH_BYTES_MIN);
        assert_eq!(batch_bytes(320 * megabyte, 4), 10 * megabyte);
        assert_eq!(batch_bytes(u64::MAX, 4), BATCH_BYTES_MAX);
        assert_eq!(batch_bytes(u64::MAX, 0), BATCH_BYTES_MAX);
    }
}
