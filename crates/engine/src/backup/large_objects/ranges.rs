//! Cuts the numbers of large objects into ranges.

use std::collections::VecDeque;

use tokio_postgres::Client;

use crate::catalog::large_object::numbers_after;
use crate::catalog::{get_u64, one_row};
use crate::error::Result;

/// Bytes that a range is to have, more or less.
const RANGE_BYTES: u64 = 64 * 1024 * 1024;
/// Bounds of the number of objects that a range has in the mean.
const RANGE_OBJECTS: (u64, u64) = (16, 2048);
/// A range has at least the mean number of objects divided by this, and at most the mean multiplied by it.
const SPREAD: u64 = 4;
/// Numbers read by one statement.
const NUMBERS_AT_ONCE: i64 = 10_000;

/// All objects with these numbers and between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NumberRange {
    pub(super) first: u32,
    pub(super) last: u32,
}

/// Reads the numbers a page at a time.
pub(super) struct RangeCutter<'a> {
    client: &'a Client,
    numbers: VecDeque<u32>,
    /// The last number that was read.
    read: u32,
    ended: bool,
    rule: Rule,
}

/// Where ranges end.
#[derive(Debug, Clone, Copy)]
struct Rule {
    /// Objects of a range in the mean; a power of two, so that the ends of larger ranges are ends of smaller ones too.
    mean: u64,
}

impl Rule {
    fn new(objects: u64, bytes: u64) -> Self {
        let each = (bytes / objects.max(1)).max(1);
        let mean = (RANGE_BYTES / each).clamp(RANGE_OBJECTS.0, RANGE_OBJECTS.1);
        Self { mean: 1 << mean.ilog2() }
    }

    /// Whether a range of so many objects ends with this number.
    fn ends(self, number: u32, objects: u64) -> bool {
        // Multiplication by the golden ratio spreads numbers that follow each other evenly.
        let spread = u64::from(number.wrapping_mul(0x9E37_79B1));
        let chosen = spread < (1 << 32) / self.mean;
        objects >= self.mean * SPREAD || (chosen && objects >= self.mean / SPREAD)
    }
}

impl<'a> RangeCutter<'a> {
    pub(super) async fn new(client: &'a Client) -> Result<Self> {
        let sql = "SELECT count(*), pg_relation_size('pg_catalog.pg_largeobject') FROM pg_largeobject_metadata";
        let row = one_row(client, "the number of large objects", sql, &[]).await?;
        let rule = Rule::new(get_u64(&row, 0)?, get_u64(&row, 1)?);
        Ok(Self { client, numbers: VecDeque::new(), read: 0, ended: false, rule })
    }

    /// The next range; none when there are no more objects.
    pub(super) async fn next(&mut self) -> Result<Option<NumberRange>> {
        let Some(first) = self.number().await? else { return Ok(None) };
        let (mut last, mut objects) = (first, 1);
        while !self.rule.ends(last, objects) {
            let Some(number) = self.number().await? else { break };
            (last, objects) = (number, objects + 1);
        }
        Ok(Some(NumberRange { first, last }))
    }

    async fn number(&mut self) -> Result<Option<u32>> {
        if self.numbers.is_empty() && !self.ended {
            self.numbers = numbers_after(self.client, self.read, NUMBERS_AT_ONCE).await?.into();
            match self.numbers.back() {
                Some(last) => self.read = *last,
                None => self.ended = true,
            }
        }
        Ok(self.numbers.pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(rule: Rule, numbers: impl IntoIterator<Item = u32>) -> Vec<u32> {
        let mut objects = 0;
        let mut ends = Vec::new();
        for number in numbers {
            objects += 1;
            if rule.ends(number, objects) {
                ends.push(number);
                objects = 0;
            }
        }
        ends
    }

    #[test]
    fn ranges_have_about_the_mean_number_of_objects_whatever_their_numbers() {
        let rule = Rule::new(1_000_000, 2_000_000_000);
        assert_eq!(rule.mean, 2048);
        for step in [1, 7, 4096] {
            let ranges = ends(rule, (16_384..).step_by(step).take(1_000_000)).len();
            assert!((250..1000).contains(&ranges), "{ranges} ranges at a step of {step}");
        }
        // A gigabyte each.
        assert_eq!(Rule::new(1000, 1000 << 30).mean, 16);
        assert_eq!(Rule::new(0, 0).mean, 2048);
    }

    #[test]
    fn what_is_added_or_removed_moves_only_ends_nearby() {
        let rule = Rule::new(1_000_000, 2_000_000_000);
        let numbers = 20_000..220_000;
        let before = ends(rule, numbers.clone());
        let after = ends(rule, numbers.filter(|number| *number != 20_500).chain(300_000..300_100));
        let kept = before.iter().filter(|end| after.contains(end)).count();
        assert!(kept + 2 >= before.len(), "{kept} of {} ends are the same", before.len());
    }
}
