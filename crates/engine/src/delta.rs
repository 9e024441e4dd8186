//! Text that differs little from other text, as what is taken over from that and what is new (`docs/format.md` §13).
//!
//! The rows of a range come in the order of their places in the heap, so what was not written again stands in the same order as
//! before. One walk over both texts therefore finds nearly all of it, at the speed of a comparison; only where lines differ for long is an index
//! of the base's lines made. What the walk misses costs bytes and never truth: whoever writes a delta applies it and compares.

use std::collections::HashMap;
use std::hash::BuildHasher as _;

/// Lines that are tried on either side where texts begin to differ, before an index is made.
const NEAR_LINES: usize = 8;
/// Beyond so many lines an equal line alone proves little: the one after it must be equal too.
const NEAR_JUMP: usize = 64;
/// Most bytes of one number of the controls.
const NUMBER_BYTES_MAX: usize = 5;
/// Length of what says how long the controls are.
const HEAD_BYTES: usize = 4;

/// What a delta says cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a delta of rows does not fit its base")]
pub(crate) struct Misfit;

/// Makes deltas; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub(crate) struct Differ {
    controls: Vec<u8>,
    literals: Vec<u8>,
    /// First place of a line in the base by its hash, and the next of the same hash.
    index: HashMap<u64, u32>,
    lines: Vec<Line>,
    hasher: std::hash::RandomState,
    delta: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Line {
    start: u32,
    end: u32,
    /// The next line of the same hash.
    next: Option<u32>,
}

/// A run of controls that is not written yet.
#[derive(Debug, Default, Clone, Copy)]
struct Pending {
    copy: usize,
    skip: usize,
    insert: usize,
}

impl Differ {
    /// What makes `text` out of `base`, if that takes at most `most` bytes. It was applied and compared.
    pub(crate) fn diff(&mut self, base: &[u8], text: &[u8], most: usize) -> Option<&[u8]> {
        if u32::try_from(base.len().max(text.len())).is_err() {
            return None;
        }
        self.controls.clear();
        self.literals.clear();
        self.index.clear();
        self.lines.clear();
        self.walk(base, text, most)?;
        self.delta.clear();
        let length = u32::try_from(self.controls.len()).ok()?;
        self.delta.extend_from_slice(&length.to_le_bytes());
        self.delta.extend_from_slice(&self.controls);
        self.delta.extend_from_slice(&self.literals);
        let is_right = self.delta.len() <= most
            && apply(base, &self.delta, text.len()).is_ok_and(|made| made == text);
        is_right.then_some(self.delta.as_slice())
    }

    fn walk(&mut self, base: &[u8], text: &[u8], most: usize) -> Option<()> {
        let (mut at, mut new) = (0, 0);
        let mut pending = Pending::default();
        let mut is_indexed = false;
        while new < text.len() {
            let same = whole_lines(base, at, text, new);
            if same > 0 {
                if pending.skip > 0 || pending.insert > 0 {
                    self.write(std::mem::take(&mut pending));
                }
                pending.copy += same;
                (at, new) = (at + same, new + same);
                continue;
            }
            if let Some((skip, insert)) = near(&base[at..], &text[new..]) {
                pending.skip += skip;
                pending.insert += insert;
                self.literals.extend_from_slice(&text[new..new + insert]);
                (at, new) = (at + skip, new + insert);
            } else {
                if !is_indexed {
                    self.make_index(base, at);
                    is_indexed = true;
                }
                let line = line_end(text, new);
                if let Some(found) = self.find(base, at, text, new) {
                    pending.skip += found - at;
                    at = found;
                } else {
                    pending.insert += line - new;
                    self.literals.extend_from_slice(&text[new..line]);
                    new = line;
                }
            }
            if self.literals.len() + self.controls.len() + HEAD_BYTES > most {
                return None;
            }
        }
        self.write(pending);
        Some(())
    }

    fn write(&mut self, pending: Pending) {
        for mut number in [pending.copy, pending.skip, pending.insert] {
            while number >= 0x80 {
                self.controls.push((number & 0x7f) as u8 | 0x80);
                number >>= 7;
            }
            self.controls.push(number as u8);
        }
    }

    /// Of the lines from `from` on.
    fn make_index(&mut self, base: &[u8], from: usize) {
        let mut start = from;
        while start < base.len() {
            let end = line_end(base, start);
            self.lines.push(Line { start: start as u32, end: end as u32, next: None });
            start = end;
        }
        // From behind, so that the first of equal lines comes first.
        for number in (0..self.lines.len()).rev() {
            let Line { start, end, .. } = self.lines[number];
            let hash = self.hasher.hash_one(&base[start as usize..end as usize]);
            self.lines[number].next = self.index.insert(hash, number as u32);
        }
    }

    /// Where the line at `new` stands in the base at or after `at`.
    fn find(&self, base: &[u8], at: usize, text: &[u8], new: usize) -> Option<usize> {
        let end = line_end(text, new);
        let line = &text[new..end];
        let mut next = self.index.get(&self.hasher.hash_one(line)).copied();
        // Equal lines follow each other in the chain; a text of nothing else must not make this a search through all.
        for _ in 0..NEAR_JUMP {
            let found = self.lines.get(next? as usize)?;
            let (start, stop) = (found.start as usize, found.end as usize);
            if start >= at && base.get(start..stop) == Some(line) {
                let is_near = start - at <= NEAR_JUMP * line.len().max(1);
                let follows = || whole_lines(base, stop, text, end) > 0 || end == text.len();
                return (is_near || follows()).then_some(start);
            }
            next = found.next;
        }
        None
    }
}

/// What makes texts agree again with few lines passed over in the base and few inserted: bytes of both.
fn near(base: &[u8], text: &[u8]) -> Option<(usize, usize)> {
    let (mut skip, mut insert) = (0, 0);
    for _ in 0..NEAR_LINES {
        let (skipped, inserted) = (line_end(base, skip), line_end(text, insert));
        let tries = [(skipped, 0), (skipped, inserted), (0, inserted)];
        for (skip, insert) in tries {
            if (skip, insert) != (0, 0) && whole_lines(base, skip, text, insert) > 0 {
                return Some((skip, insert));
            }
        }
        (skip, insert) = (skipped, inserted);
    }
    None
}

/// Bytes of the lines that both have from there on.
fn whole_lines(base: &[u8], at: usize, text: &[u8], new: usize) -> usize {
    let (base, text) = (&base[at..], &text[new..]);
    let same = same_bytes(base, text);
    if same == text.len() && same == base.len() {
        return same;
    }
    memchr::memrchr(b'\n', &text[..same]).map_or(0, |newline| newline + 1)
}

fn same_bytes(one: &[u8], other: &[u8]) -> usize {
    /// Compared at once.
    const STEP: usize = 64;
    let steps = one.chunks_exact(STEP).zip(other.chunks_exact(STEP));
    let start = steps.take_while(|(one, other)| one == other).count() * STEP;
    let rest = one[start..].iter().zip(&other[start..]);
    start + rest.take_while(|(one, other)| one == other).count()
}

/// Where the line that begins there ends, its newline included.
fn line_end(text: &[u8], start: usize) -> usize {
    let start = start.min(text.len());
    memchr::memchr(b'\n', &text[start..]).map_or(text.len(), |newline| start + newline + 1)
}

/// The text of that length which a delta makes out of its base.
///
/// # Errors
/// [`Misfit`] for anything that is not a delta of this base to a text of that length. No more than `length` bytes are ever held.
pub(crate) fn apply(base: &[u8], delta: &[u8], length: usize) -> Result<Vec<u8>, Misfit> {
    let (head, rest) = delta.split_first_chunk::<HEAD_BYTES>().ok_or(Misfit)?;
    let controls = usize::try_from(u32::from_le_bytes(*head)).map_err(|_| Misfit)?;
    let (mut controls, mut literals) = rest.split_at_checked(controls).ok_or(Misfit)?;
    let mut base = base;
    let mut text = Vec::with_capacity(length);
    while !controls.is_empty() {
        let copied = take(&mut base, number(&mut controls)?)?;
        take(&mut base, number(&mut controls)?)?;
        let inserted = take(&mut literals, number(&mut controls)?)?;
        if text.len() + copied.len() + inserted.len() > length {
            return Err(Misfit);
        }
        text.extend_from_slice(copied);
        text.extend_from_slice(inserted);
    }
    if literals.is_empty() && text.len() == length { Ok(text) } else { Err(Misfit) }
}

fn take<'a>(from: &mut &'a [u8], length: usize) -> Result<&'a [u8], Misfit> {
    from.split_off(..length).ok_or(Misfit)
}

fn number(controls: &mut &[u8]) -> Result<usize, Misfit> {
    let mut number = 0_u64;
    for place in 0..NUMBER_BYTES_MAX {
        let byte = *controls.split_off_first().ok_or(Misfit)?;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte < 0x80 {
            return usize::try_from(number).map_err(|_| Misfit);
        }
    }
    Err(Misfit)
}

#[cfg(test)]
mod tests;
