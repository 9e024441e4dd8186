//! Whatever is written meanwhile, and whatever happens to the server, no range is taken over that a reader would find to be another.
//!
//! Writers update, delete, insert, roll back in parts, prepare and leave prepared, lock, truncate, freeze, vacuum and stay open, while one
//! backup follows the other, each on the one before. In between the server loses log that was not durable yet: a process of it is
//! killed, all of it is stopped at once, or a standby that lags behind takes over. All that would be taken over is read and
//! compared (`audit_per_mille`), and where one differs the backup says so. In the end, with the writers at rest, ranges are taken over in earnest.
//!
//! `COFFER_TEST_ROUNDS` asks for more rounds, `COFFER_TEST_SEEDS` for more runs, `COFFER_TEST_SEED` for the choices of an earlier run.

mod accidents;
mod acts;
mod writer;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use coffer_engine::backup::{Mutation, UnreadOptions};
use coffer_testkit::{PostgresOptions, has_major};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;

use self::accidents::Accident;
use self::writer::Writers;
use crate::backup_unread::{after, full_read, request, unread, without};
use crate::support::{DATABASE, Fixture};

/// Enough for one accident of each kind.
const ROUNDS: u32 = 13;
/// Rounds from one accident to the next.
const ACCIDENT_EVERY: u32 = 4;
/// Of so many accidents one comes while long transactions are open. They keep the base's bound below what is lost.
const BUSY_EVERY: u32 = 3;
/// Rounds in which a rule's absence has to show. In which of them is a matter of chance.
const MUTATED_ROUNDS: u32 = 100;

#[derive(Debug, Default)]
struct Counts {
    backups: u32,
    ranges: u64,
    /// Would be taken over, and were read and compared.
    would_be: u64,
    by_look: u64,
    by_log: u64,
    looked_at: u64,
    /// Taken over by the last backup, with the writers at rest.
    taken_over: u64,
    stale: u64,
    acts: u64,
    prepared_across: u64,
    /// With how many of them lost something.
    accidents: BTreeMap<String, (u32, u32)>,
    /// Backups that read everything, and why.
    full_reads: BTreeMap<String, u32>,
}

impl Counts {
    fn add(&mut self, other: Self) {
        self.backups += other.backups;
        self.ranges += other.ranges;
        self.would_be += other.would_be;
        self.by_look += other.by_look;
        self.by_log += other.by_log;
        self.looked_at += other.looked_at;
        self.taken_over += other.taken_over;
        self.stale += other.stale;
        self.acts += other.acts;
        self.prepared_across += other.prepared_across;
        for (accident, (count, lost)) in other.accidents {
            let sum = self.accidents.entry(accident).or_default();
            *sum = (sum.0 + count, sum.1 + lost);
        }
        for (reason, count) in other.full_reads {
            *self.full_reads.entry(reason).or_default() += count;
        }
    }
}

/// One run.
struct Plan {
    server: PostgresOptions,
    seed: u64,
    rounds: u32,
    accidents: Vec<Accident>,
    options: UnreadOptions,
}

impl Plan {
    fn new(major: Option<u32>, seed: u64, rounds: u32, options: UnreadOptions) -> Self {
        let server = PostgresOptions { major, ..PostgresOptions::default() }
            .setting("max_prepared_transactions", "20");
        let server = match is_summarized(major) {
            true => server.setting("summarize_wal", "on"),
            false => server,
        };
        Self { server, seed, rounds, accidents: Vec::new(), options }
    }

    fn with(mut self, accidents: &[Accident]) -> Self {
        let is_old = self.server.major.is_some_and(|major| major < accidents::PROMOTED_SINCE);
        let possible = accidents.iter().filter(|one| !is_old || **one != Accident::Promoted);
        self.accidents.extend(possible);
        self.accidents.shuffle(&mut StdRng::seed_from_u64(self.seed));
        self
    }

    /// What happens after the backup of this round.
    fn accident(&self, round: u32) -> Option<Accident> {
        let number = (round / ACCIDENT_EVERY).checked_sub(1)? as usize;
        let is_time = round.is_multiple_of(ACCIDENT_EVERY) && round < self.rounds;
        self.accidents.get(number % self.accidents.len().max(1)).copied().filter(|_| is_time)
    }

    /// Backups, one after the other, until one differs or the rounds are over.
    async fn run(&self) -> Counts {
        let mut f = Fixture::start_with(&self.server).await;
        f.sql(&acts::schema());
        let mut standby = self
            .accidents
            .contains(&Accident::Promoted)
            .then(|| f.server.start_standby(&self.server).expect("a standby"));
        let audited = UnreadOptions { audit_per_mille: 1000, ..self.options.clone() };
        let writers = Writers::start(self.seed, f.server.uri(DATABASE));
        let mut counts = Counts::default();
        let mut previous = None;
        for round in 1..=self.rounds {
            let accident = self.accident(round);
            if let (Some(Accident::Promoted), Some(standby)) = (self.accident(round + 1), &standby)
            {
                // It will lack all that is written from one backup to the next.
                accidents::detach(standby);
            }
            if accident.is_some() && is_calm(round - 1) {
                accidents::settle(&f);
            }
            let request = request(&f, previous.as_ref(), audited.clone());
            let outcome = f.run(request).await.expect("a backup");
            let manifest = f.manifest(&outcome.recovery_point_id).await;
            counts.backups += 1;
            counts.ranges += manifest.totals.ranges;
            for table in f.tables(&manifest).await.values() {
                counts.would_be += table.reading.audited;
                counts.by_log += table.reading.by_log;
                counts.looked_at += table.reading.looked_at;
            }
            counts.by_look = counts.would_be - counts.by_log;
            if let Some(reason) = full_read(&manifest) {
                *counts.full_reads.entry(reason.to_owned()).or_default() += 1;
            }
            if manifest.warnings.iter().any(|warning| warning.code == "UnchangedRangeDiffered") {
                counts.stale += 1;
                break;
            }
            previous = Some(manifest);
            writers.shared.round.store(round, Ordering::Relaxed);
            let Some(accident) = accident else { continue };
            let was_lost = match (accident, &mut standby) {
                (Accident::Killed, _) => accidents::kill_a_process(&f).await,
                (Accident::Stopped, _) => accidents::stop(&mut f),
                (Accident::Promoted, Some(standby)) => {
                    accidents::promote(&mut f, standby, &self.server)
                }
                (Accident::Promoted, None) => unreachable!("a plan with it has a standby"),
            };
            // Whose writers did not come to their ends.
            accidents::end_prepared(&f, "p%");
            writers.go_to(f.server.uri(DATABASE));
            if let Some(manifest) = &previous {
                accidents::catch_up(&f, &manifest.snapshot.xid_snapshot);
            }
            let sum = counts.accidents.entry(format!("{accident:?}")).or_default();
            *sum = (sum.0 + 1, sum.1 + u32::from(was_lost));
        }
        let shared = writers.stop().await;
        counts.acts = shared.acts.load(Ordering::Relaxed);
        counts.prepared_across = shared.prepared_across.load(Ordering::Relaxed);
        if let Some(previous) = previous.filter(|_| counts.stale == 0) {
            accidents::end_prepared(&f, "%");
            let (taken, is_true) = after(&f, &previous, self.options.clone()).await;
            // And from there, which has what it has from earlier ones.
            let (again, is_still_true) = after(&f, &taken, self.options.clone()).await;
            counts.taken_over = taken.totals.ranges_skipped + again.totals.ranges_skipped;
            counts.stale += u64::from(!is_true) + u64::from(!is_still_true);
        }
        counts
    }
}

/// Whether nothing stays open for long. `round` counts the backups before.
fn is_calm(round: u32) -> bool {
    let is_busy = (round / ACCIDENT_EVERY) % BUSY_EVERY == BUSY_EVERY - 1;
    round % ACCIDENT_EVERY >= ACCIDENT_EVERY / 2 && !is_busy
}

fn is_summarized(major: Option<u32>) -> bool {
    major.is_some_and(|major| major >= 17)
}

fn asked<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok().and_then(|value| value.parse().ok())
}

fn seed() -> u64 {
    asked("COFFER_TEST_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()))
}

#[expect(clippy::print_stderr, reason = "the seed and the counts are part of what is shown")]
async fn nothing_stale(major: Option<u32>) {
    if major.is_some_and(|major| !has_major(major)) {
        return;
    }
    let first = seed();
    let rounds = asked("COFFER_TEST_ROUNDS").unwrap_or(ROUNDS);
    let mut sum = Counts::default();
    for seed in (first..).take(asked("COFFER_TEST_SEEDS").unwrap_or(1)) {
        eprintln!("{major:?}: COFFER_TEST_SEED={seed} COFFER_TEST_ROUNDS={rounds}");
        let plan = Plan::new(major, seed, rounds, unread());
        let all = [Accident::Killed, Accident::Stopped, Accident::Promoted];
        let counts = plan.with(&all).run().await;
        eprintln!("{major:?}: {counts:?}");
        assert_eq!(counts.stale, 0, "{major:?}: rows that differ would have been taken over");
        assert!(counts.would_be > 0, "{major:?}: nothing would have been taken over: {counts:?}");
        sum.add(counts);
    }
    assert!(sum.by_log == 0 || is_summarized(major), "{major:?}: {sum:?}");
    eprintln!("{major:?}: in all {sum:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_over_that_is_not_as_it_was() {
    nothing_stale(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_on_11() {
    nothing_stale(Some(11)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_on_14() {
    nothing_stale(Some(14)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_on_17() {
    nothing_stale(Some(17)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_on_18() {
    nothing_stale(Some(18)).await;
}

/// The same finds each of these out. What the rules about lost log are for is shown by `backup_unread` and `backup_wal_summaries`: here it
/// would be seen too seldom.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_rule_taken_out_the_same_writers_are_noticed() {
    let seed = seed();
    eprintln!("COFFER_TEST_SEED={seed}");
    let mutations = [
        (None, Mutation::CountAlone),
        (None, Mutation::AgesAlone),
        (Some(17), Mutation::LogFromSnapshot),
    ];
    for (major, mutation) in mutations {
        if major.is_some_and(|major| !has_major(major)) {
            continue;
        }
        let plan = Plan::new(major, seed, MUTATED_ROUNDS, without(&[mutation]));
        let counts = plan.run().await;
        eprintln!("{mutation:?}: {counts:?}");
        assert!(counts.stale > 0, "{mutation:?} was not noticed: {counts:?}");
    }
}
