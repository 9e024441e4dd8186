//! How fast a run goes, and how long its phase takes still, out of what it reports.
//!
//! The rate is that of the last seconds, so that it follows the truth: work that stands still has a rate that falls to nothing.
//! Bytes that were taken over without being read are no part of it; they do count as done. The time left goes by what is left of
//! the phase and by how fast that became less, over a longer while, since what is taken over comes in bursts. Nothing is said of it
//! where nothing is known: in a phase that moves no bytes and counts nothing, without a total, in the first moment of a phase, and
//! while nothing moves.
//!
//! No clock is read here.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Phase, Progress};

/// The while that the rate is of.
pub const RATE_WINDOW: Duration = Duration::from_secs(5);
/// The while that the time left goes by.
pub const ESTIMATE_WINDOW: Duration = Duration::from_secs(30);
/// A phase that is younger has shown too little for an estimate.
const ESTIMATE_AFTER: Duration = Duration::from_millis(900);
/// Samples are at least so far apart, which bounds how many are kept.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(250);
/// Longer than this is as good as unknown.
const LEFT_MAX: Duration = Duration::from_secs(365 * 86_400);

/// What can be said of the pace at a moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pace {
    /// Bytes read or written in a second; none in a phase that moves none.
    pub bytes_per_second: Option<u64>,
    /// Until the phase ends; none where it is not known.
    pub phase_left: Option<Duration>,
}

/// Watches one run. Times are those since any fixed moment, and never go back.
#[derive(Debug, Clone, Default)]
pub struct PaceMeter {
    phase: Option<Phase>,
    samples: VecDeque<Sample>,
    latest: Option<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Duration,
    /// Bytes that were moved.
    moved: u64,
    /// Of [`Work::total`].
    done: u64,
}

/// What the end of a phase is measured by.
#[derive(Debug, Clone, Copy)]
struct Work {
    done: u64,
    total: Option<u64>,
}

impl Work {
    /// Bytes where it moves some, else what it counts.
    fn of(progress: &Progress) -> Option<Self> {
        match progress.phase {
            phase if phase.moves_bytes() => {
                Some(Self { done: progress.phase_bytes(), total: progress.bytes_total })
            }
            Phase::PostData | Phase::Analyze | Phase::Refresh => {
                Some(Self { done: progress.items_done, total: progress.items_total })
            }
            _ => None,
        }
    }
}

impl PaceMeter {
    /// Takes in what is reported, or once more what was reported last, and says how fast it goes. To be called whenever somebody
    /// looks: at least every second.
    pub fn observe(&mut self, at: Duration, progress: &Progress) -> Pace {
        let work = Work::of(progress);
        let moved = progress.phase_bytes().saturating_sub(progress.bytes_taken_over);
        let sample = Sample { at, moved, done: work.map_or(0, |work| work.done) };
        let begins_anew = self.phase != Some(progress.phase)
            || self.latest.is_some_and(|before| {
                before.moved > sample.moved || before.done > sample.done || before.at > at
            });
        if begins_anew {
            self.phase = Some(progress.phase);
            self.samples.clear();
        }
        self.latest = Some(sample);
        let is_due = |last: &Sample| at.saturating_sub(last.at) >= SAMPLE_INTERVAL;
        if self.samples.back().is_none_or(is_due) {
            self.samples.push_back(sample);
        }
        // One from before the window stays, so that the window is whole.
        while self.samples.get(1).is_some_and(|next| at.saturating_sub(next.at) >= ESTIMATE_WINDOW)
        {
            self.samples.pop_front();
        }
        Pace {
            bytes_per_second: progress.phase.moves_bytes().then(|| self.rate(sample)),
            phase_left: work.and_then(|work| self.left(sample, work.total?)),
        }
    }

    /// The youngest sample that is older than the window, else the oldest.
    fn since(&self, now: Sample, window: Duration) -> Sample {
        let is_old = |sample: &&Sample| now.at.saturating_sub(sample.at) >= window;
        let old = self.samples.iter().rev().find(is_old);
        *old.or(self.samples.front()).unwrap_or(&now)
    }

    fn rate(&self, now: Sample) -> u64 {
        let before = self.since(now, RATE_WINDOW);
        let took_us = now.at.saturating_sub(before.at).as_micros();
        if took_us == 0 {
            return 0;
        }
        let bytes = u128::from(now.moved.saturating_sub(before.moved));
        u64::try_from(bytes * 1_000_000 / took_us).unwrap_or(u64::MAX)
    }

    fn left(&self, now: Sample, total: u64) -> Option<Duration> {
        let before = self.since(now, ESTIMATE_WINDOW);
        let took = now.at.saturating_sub(before.at);
        let done = now.done.saturating_sub(before.done);
        let rest = total.checked_sub(now.done)?;
        // More was done than was expected: then how much is left is anybody's guess.
        if took < ESTIMATE_AFTER || done == 0 || rest == 0 {
            return None;
        }
        let left_us = took.as_micros() * u128::from(rest) / u128::from(done);
        let left = Duration::from_micros(u64::try_from(left_us).unwrap_or(u64::MAX));
        (left <= LEFT_MAX).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MB: u64 = 1_000_000;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn data(bytes_done: u64, bytes_taken_over: u64, bytes_total: Option<u64>) -> Progress {
        Progress { bytes_done, bytes_taken_over, bytes_total, ..Progress::new(Phase::Data) }
    }

    #[test]
    fn rate_and_time_left_are_there_after_a_second() {
        let mut meter = PaceMeter::default();
        let first = meter.observe(seconds(7), &data(0, 0, Some(100 * MB)));
        assert_eq!(first, Pace { bytes_per_second: Some(0), phase_left: None });
        let pace = meter.observe(seconds(8), &data(10 * MB, 0, Some(100 * MB)));
        assert_eq!(pace.bytes_per_second, Some(10 * MB));
        assert_eq!(pace.phase_left, Some(seconds(9)));
    }

    #[test]
    fn it_follows_the_truth() {
        let mut meter = PaceMeter::default();
        let mut done = 0;
        for second in 0..60 {
            done += 100 * MB;
            meter.observe(seconds(second), &data(done, 0, Some(100_000 * MB)));
        }
        // Ten times slower from now on: the rate knows after its window.
        for second in 60..66 {
            done += 10 * MB;
            meter.observe(seconds(second), &data(done, 0, Some(100_000 * MB)));
        }
        let slow = meter.observe(seconds(66), &data(done + 10 * MB, 0, Some(100_000 * MB)));
        assert_eq!(slow.bytes_per_second, Some(10 * MB));
        // And when nothing comes any more, it is nothing, and nothing is promised.
        let stuck = data(done + 10 * MB, 0, Some(100_000 * MB));
        let mut pace = slow;
        for second in 67..130 {
            pace = meter.observe(seconds(second), &stuck);
        }
        assert_eq!(pace, Pace { bytes_per_second: Some(0), phase_left: None });
    }

    #[test]
    fn what_is_taken_over_unread_is_no_rate_but_done() {
        let mut meter = PaceMeter::default();
        meter.observe(seconds(0), &data(0, 0, Some(1000 * MB)));
        // 500 MB in a second, of which only one was read.
        let pace = meter.observe(seconds(1), &data(500 * MB, 499 * MB, Some(1000 * MB)));
        assert_eq!(pace.bytes_per_second, Some(MB));
        assert_eq!(pace.phase_left, Some(seconds(1)));
        // The rest has to be read, and is promised for no time at which it cannot be there.
        let mut pace = pace;
        for second in 2..40 {
            let done = 500 * MB + (second - 1) * MB;
            pace = meter.observe(seconds(second), &data(done, 499 * MB, Some(1000 * MB)));
        }
        assert_eq!(pace.bytes_per_second, Some(MB));
        assert_eq!(pace.phase_left, Some(seconds(462)));
    }

    #[test]
    fn nothing_is_said_of_what_nothing_is_known_of() {
        let mut meter = PaceMeter::default();
        let schema = Progress { bytes_total: Some(MB), ..Progress::new(Phase::Schema) };
        for second in 0..5 {
            assert_eq!(meter.observe(seconds(second), &schema), Pace::default());
        }
        meter.observe(seconds(5), &data(0, 0, None));
        let pace = meter.observe(seconds(6), &data(MB, 0, None));
        assert_eq!(pace, Pace { bytes_per_second: Some(MB), phase_left: None });
        // More than was thought.
        let pace = meter.observe(seconds(7), &data(3 * MB, 0, Some(2 * MB)));
        assert_eq!(pace.phase_left, None);
    }

    #[test]
    fn indexes_are_counted() {
        let mut meter = PaceMeter::default();
        let built = |items_done| Progress {
            bytes_done: 10 * MB,
            bytes_total: Some(10 * MB),
            items_done,
            items_total: Some(10),
            ..Progress::new(Phase::PostData)
        };
        meter.observe(seconds(0), &built(0));
        assert_eq!(meter.observe(seconds(10), &built(0)), Pace::default());
        let pace = meter.observe(seconds(20), &built(5));
        assert_eq!(pace, Pace { bytes_per_second: None, phase_left: Some(seconds(20)) });
    }

    #[test]
    fn a_start_over_begins_anew() {
        let mut meter = PaceMeter::default();
        meter.observe(seconds(0), &data(0, 0, Some(10 * MB)));
        meter.observe(seconds(1), &data(9 * MB, 0, Some(10 * MB)));
        let pace = meter.observe(seconds(2), &data(0, 0, Some(10 * MB)));
        assert_eq!(pace, Pace { bytes_per_second: Some(0), phase_left: None });
        let pace = meter.observe(seconds(3), &data(MB, 0, Some(10 * MB)));
        assert_eq!(pace, Pace { bytes_per_second: Some(MB), phase_left: Some(seconds(9)) });
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut meter = PaceMeter::default();
        for milli in 0..1_000_000 {
            meter.observe(Duration::from_millis(milli), &data(milli * 1000, 0, Some(u64::MAX)));
        }
        let most = ESTIMATE_WINDOW.as_millis() / SAMPLE_INTERVAL.as_millis() + 2;
        assert!(meter.samples.len() as u128 <= most, "{}", meter.samples.len());
    }
}
