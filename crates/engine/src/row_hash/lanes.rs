//! Keyed BLAKE3 of many short pieces at once.
//!
//! The library hashes pieces of one length side by side by itself, within one long input; for many inputs the way to that is not a part of its
//! documented interface. It is used in `Lanes::hash_all` and nowhere else, the library's version is fixed in Cargo.toml, and a test holds every result
//! against the documented one: without it rows would be hashed one by one, as slowly as before, and to the same.

use blake3::IncrementCounter;
use blake3::platform::{MAX_SIMD_DEGREE, Platform, words_from_le_bytes_32};

use super::{BLOCK_BYTES, RowEnd, number};

/// A piece has at most one chunk of BLAKE3, which is 16 blocks.
const BLOCKS_MAX: usize = 16;
/// Rows of fewer bytes go into lanes, newline not counted.
pub(super) const LANE_ROW_BYTES_MAX: usize = BLOCKS_MAX * BLOCK_BYTES;

/// Flags of the BLAKE3 specification (section 2.1, table 3).
const CHUNK_START: u8 = 1;
const CHUNK_END: u8 = 2;
const ROOT: u8 = 8;
const KEYED_HASH: u8 = 16;

/// Rows that wait until there are as many of their length as the processor hashes at once.
pub(super) struct Lanes {
    platform: Platform,
    degree: usize,
    key: [u32; 8],
    /// By the number of blocks, from one on.
    waiting: Vec<Waiting>,
}

#[derive(Default)]
struct Waiting {
    /// Room for as many rows as there are lanes.
    text: Vec<u8>,
    /// Places of their ends.
    rows: Vec<usize>,
}

impl Lanes {
    pub(super) fn new(key: &[u8; 32]) -> Self {
        let platform = Platform::detect();
        let degree = platform.simd_degree();
        let waiting = std::iter::repeat_with(Waiting::default).take(BLOCKS_MAX).collect();
        Self { platform, degree, key: words_from_le_bytes_32(key), waiting }
    }

    /// A row without its newline, of fewer than [`LANE_ROW_BYTES_MAX`] bytes, whose hash goes to that place.
    pub(super) fn add(&mut self, text: &[u8], row: usize, ends: &mut [RowEnd]) {
        let blocks = text.len() / BLOCK_BYTES + 1;
        let length = blocks * BLOCK_BYTES;
        let waiting = &mut self.waiting[blocks - 1];
        if waiting.text.is_empty() {
            waiting.text = vec![0; length * self.degree];
        }
        let start = waiting.rows.len() * length;
        let lane = &mut waiting.text[start..start + length];
        lane[..text.len()].copy_from_slice(text);
        lane[text.len()] = b'\n';
        lane[text.len() + 1..].fill(0);
        waiting.rows.push(row);
        if waiting.rows.len() == self.degree {
            self.hash(blocks, ends);
        }
    }

    /// Hashes what still waits.
    pub(super) fn finish(&mut self, ends: &mut [RowEnd]) {
        for blocks in 1..=BLOCKS_MAX {
            if !self.waiting[blocks - 1].rows.is_empty() {
                self.hash(blocks, ends);
            }
        }
    }

    fn hash(&mut self, blocks: usize, ends: &mut [RowEnd]) {
        match blocks {
            1 => self.hash_all::<64>(ends),
            2 => self.hash_all::<128>(ends),
            3 => self.hash_all::<192>(ends),
            4 => self.hash_all::<256>(ends),
            5 => self.hash_all::<320>(ends),
            6 => self.hash_all::<384>(ends),
            7 => self.hash_all::<448>(ends),
            8 => self.hash_all::<512>(ends),
            9 => self.hash_all::<576>(ends),
            10 => self.hash_all::<640>(ends),
            11 => self.hash_all::<704>(ends),
            12 => self.hash_all::<768>(ends),
            13 => self.hash_all::<832>(ends),
            14 => self.hash_all::<896>(ends),
            15 => self.hash_all::<960>(ends),
            _ => self.hash_all::<1024>(ends),
        }
    }

    fn hash_all<const N: usize>(&mut self, ends: &mut [RowEnd]) {
        let waiting = &mut self.waiting[N / BLOCK_BYTES - 1];
        let (texts, _) = waiting.text.as_chunks::<N>();
        let mut inputs = [&[0; N]; MAX_SIMD_DEGREE];
        let mut hashes = [[0; 32]; MAX_SIMD_DEGREE];
        let count = waiting.rows.len();
        for (input, text) in inputs.iter_mut().zip(texts).take(count) {
            *input = text;
        }
        self.platform.hash_many(
            &inputs[..count],
            &self.key,
            0,
            IncrementCounter::No,
            KEYED_HASH,
            CHUNK_START,
            CHUNK_END | ROOT,
            hashes[..count].as_flattened_mut(),
        );
        for (row, hash) in waiting.rows.drain(..).zip(&hashes) {
            ends[row].hash = number(hash);
        }
    }
}
