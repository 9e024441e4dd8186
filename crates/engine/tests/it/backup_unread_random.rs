//! Whatever is written meanwhile, no range is taken over that a reader would find to be another.
//!
//! Writers update, delete, insert, roll back in parts, prepare, lock, truncate, vacuum and stay open, while one backup follows the other, each
//! on the one before. All that would be taken over is read and compared (`audit_per_mille`), and where one differs the backup says so.
//! `COFFER_TEST_ROUNDS` asks for more rounds, `COFFER_TEST_SEED` for the choices of an earlier run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coffer_engine::backup::{Mutation, UnreadOptions};
use coffer_testkit::{PostgresOptions, has_major};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio_util::sync::CancellationToken;

use crate::backup_unread::{request, unread, without};
use crate::support::Fixture;

const ROUNDS: u32 = 15;
const WRITERS: u64 = 5;
const TABLES: u32 = 4;
const ROWS: u32 = 6000;

fn statements(random: &mut StdRng, writer: u64, number: u64) -> String {
    // One table is left alone most of the time.
    let table = if random.random_ratio(1, 150) { 0 } else { random.random_range(1..TABLES) };
    let row = random.random_range(0..ROWS);
    let some = row..row + random.random_range(1..20);
    let near = format!("id BETWEEN {} AND {}", some.start, some.end);
    let t = format!("r{table}");
    match random.random_range(0..40) {
        0..=9 => format!("UPDATE {t} SET v = v + 1 WHERE {near}"),
        10..=13 => format!("DELETE FROM {t} WHERE {near}"),
        14..=19 => format!(
            "INSERT INTO {t} SELECT i, 0 FROM generate_series({}, {}) i",
            some.start, some.end
        ),
        20..=23 => format!(
            "BEGIN; UPDATE {t} SET v = v + 1 WHERE {near}; SAVEPOINT s; DELETE FROM {t} WHERE {near}; ROLLBACK TO s; INSERT INTO {t} VALUES ({row}, 7); COMMIT"
        ),
        24..=25 => {
            format!("BEGIN; SAVEPOINT s; UPDATE {t} SET v = 9 WHERE {near}; RELEASE s; COMMIT")
        }
        26..=27 => format!("BEGIN; UPDATE {t} SET v = 1 WHERE {near}; ROLLBACK"),
        28..=29 => format!("BEGIN; SELECT * FROM {t} WHERE {near} FOR UPDATE; COMMIT"),
        30..=31 => format!(
            "BEGIN; UPDATE {t} SET v = v + 2 WHERE {near}; PREPARE TRANSACTION 'p{writer}_{number}'; SELECT pg_sleep(0.2); COMMIT PREPARED 'p{writer}_{number}'"
        ),
        32..=34 => {
            format!("BEGIN; UPDATE {t} SET v = v + 3 WHERE {near}; SELECT pg_sleep(0.7); COMMIT")
        }
        35 => format!("VACUUM {t}; CHECKPOINT"),
        36 => format!("VACUUM (FREEZE) {t}"),
        37 => format!("DELETE FROM {t} WHERE id > {}; VACUUM {t}", ROWS - ROWS / 4),
        38 if number.is_multiple_of(5) => format!("VACUUM FULL {t}"),
        39 if number.is_multiple_of(5) => format!(
            "TRUNCATE {t}; INSERT INTO {t} SELECT i, 0 FROM generate_series(1, {}) i",
            ROWS / 2
        ),
        _ => "CHECKPOINT".to_owned(),
    }
}

async fn write_until(
    stop: CancellationToken,
    uri: String,
    seed: u64,
    writer: u64,
    done: Arc<AtomicU64>,
) {
    let (client, connection) =
        tokio_postgres::connect(&uri, tokio_postgres::NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
        .batch_execute("SET lock_timeout = '200ms'; SET client_min_messages = error")
        .await
        .expect("settings");
    let mut random = StdRng::seed_from_u64(seed.wrapping_mul(31).wrapping_add(writer));
    let mut number = 0;
    while !stop.is_cancelled() {
        number += 1;
        let mut failed = false;
        // One by one: VACUUM and COMMIT PREPARED stand in no transaction.
        for statement in statements(&mut random, writer, number).split("; ") {
            if client.simple_query(statement).await.is_err() {
                failed = true;
                break;
            }
        }
        if failed {
            drop(client.batch_execute("ROLLBACK").await);
        } else {
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[derive(Debug, Default)]
struct Counts {
    ranges: u64,
    audited: u64,
    looked_at: u64,
    by_log: u64,
    mismatches: u64,
    acts: u64,
}

/// Backups, one after the other, until one differs or the rounds are over.
async fn run(f: &Fixture, seed: u64, rounds: u32, options: &UnreadOptions) -> Counts {
    for table in 0..TABLES {
        f.sql(&format!(
            "DROP TABLE IF EXISTS r{table}; CREATE TABLE r{table} (id int, v int, pad text DEFAULT repeat('p', 120));
             INSERT INTO r{table} SELECT i, 0 FROM generate_series(1, {ROWS}) i; CREATE INDEX ON r{table} (id)"
        ));
    }
    let (stop, done) = (CancellationToken::new(), Arc::new(AtomicU64::new(0)));
    let writers: Vec<_> = (1..=WRITERS)
        .map(|writer| {
            let uri = f.server.uri(crate::support::DATABASE);
            tokio::spawn(write_until(stop.clone(), uri, seed, writer, Arc::clone(&done)))
        })
        .collect();
    let mut counts = Counts::default();
    let mut previous = None;
    for _ in 0..rounds {
        let outcome =
            f.run(request(f, previous.as_ref(), options.clone())).await.expect("a backup");
        let manifest = f.manifest(&outcome.recovery_point_id).await;
        counts.ranges += manifest.totals.ranges;
        for table in f.tables(&manifest).await.values() {
            counts.audited += table.reading.audited;
            counts.looked_at += table.reading.looked_at;
            counts.by_log += table.reading.by_log;
        }
        if manifest.warnings.iter().any(|warning| warning.code == "UnchangedRangeDiffered") {
            counts.mismatches += 1;
            break;
        }
        previous = Some(manifest);
    }
    stop.cancel();
    for writer in writers {
        writer.await.expect("a writer");
    }
    counts.acts = done.load(Ordering::Relaxed);
    counts
}

fn asked<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok().and_then(|value| value.parse().ok())
}

fn server(major: Option<u32>) -> PostgresOptions {
    let options = PostgresOptions { major, ..PostgresOptions::default() };
    let options = options.setting("max_prepared_transactions", "20");
    if major.is_some_and(|major| major >= 17) {
        options.setting("summarize_wal", "on")
    } else {
        options
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_taken_over_that_is_not_as_it_was() {
    let seed = asked("COFFER_TEST_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let rounds = asked("COFFER_TEST_ROUNDS").unwrap_or(ROUNDS);
    eprintln!("COFFER_TEST_SEED={seed} COFFER_TEST_ROUNDS={rounds}");
    let audited = UnreadOptions { audit_per_mille: 1000, ..unread() };
    for major in [Some(11), None, Some(17), Some(18)] {
        if major.is_some_and(|major| !has_major(major)) {
            continue;
        }
        let f = Fixture::start_with(&server(major)).await;
        let counts = run(&f, seed, rounds, &audited).await;
        eprintln!("{major:?}: {counts:?}");
        assert_eq!(counts.mismatches, 0, "{major:?}: rows that differ would have been taken over");
        assert!(counts.audited > 0, "{major:?}: nothing would have been taken over: {counts:?}");
        let is_summarized = major.is_some_and(|major| major >= 17);
        assert_eq!(counts.by_log > 0, is_summarized, "{major:?}: {counts:?}");
    }
}

/// The same finds each of these out.
#[tokio::test(flavor = "multi_thread")]
async fn with_a_rule_taken_out_the_same_writers_are_noticed() {
    let seed = asked("COFFER_TEST_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
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
        let f = Fixture::start_with(&server(major)).await;
        let audited = UnreadOptions { audit_per_mille: 1000, ..without(&[mutation]) };
        // It is a matter of chance in which round.
        let counts = run(&f, seed, 100, &audited).await;
        eprintln!("{mutation:?}: {counts:?}");
        assert_eq!(counts.mismatches, 1, "{mutation:?} was not noticed: {counts:?}");
    }
}
