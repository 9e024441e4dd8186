//! Backups while others write: each restored database is one consistent state, told by an invariant over its rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coffer_testkit::PostgresOptions;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{Fixture, Psql};

/// Backups taken and restored; `COFFER_TEST_ROUNDS` asks for more.
const ROUNDS: usize = 6;
const WRITERS: u64 = 3;

/// Money moves between accounts and every move is in the journal, until the journal is folded into the bases and truncated. So
/// at any moment each balance is its base and the journal's moves, and the sum of all never changes. A snapshot that saw an
/// emptied journal with bases of before, or half of a transaction, would break one of the two.
const BROKEN: &str = "SELECT count(*) FILTER (WHERE balance <> base + coalesce((SELECT sum(amount) FROM journal WHERE receiver = accounts.id), 0) \
     - coalesce((SELECT sum(amount) FROM journal WHERE giver = accounts.id), 0)) || ' ' || sum(balance) FROM accounts";

const SCHEMA: &str = "CREATE TABLE accounts (id int PRIMARY KEY, balance int NOT NULL, base int NOT NULL);
     INSERT INTO accounts SELECT i, 1000, 1000 FROM generate_series(0, 99) i;
     CREATE TABLE journal (id bigint GENERATED ALWAYS AS IDENTITY, giver int, receiver int, amount int, pad text DEFAULT repeat('x', 200))";

/// One act of a writer. What can't have its locks in time is given up: others go on.
fn act(random: &mut StdRng, writer: u64, number: u64) -> String {
    let (giver, receiver) = (random.random_range(0..100), random.random_range(0..100));
    let amount = random.random_range(1..50);
    let moved = format!(
        "UPDATE accounts SET balance = balance - {amount} WHERE id = {giver}; \
         UPDATE accounts SET balance = balance + {amount} WHERE id = {receiver}; \
         INSERT INTO journal (giver, receiver, amount) VALUES ({giver}, {receiver}, {amount});"
    );
    let name = format!("w{writer}_{number}");
    let what = match random.random_range(0..20) {
        0 => "BEGIN; LOCK accounts, journal IN ACCESS EXCLUSIVE MODE; UPDATE accounts SET base = balance; TRUNCATE journal; COMMIT".to_owned(),
        1 => "VACUUM FULL accounts".to_owned(),
        2 => format!("ALTER TABLE journal ALTER COLUMN pad TYPE {}", ["text", "varchar(300)"][usize::from(random.random::<bool>())]),
        3 => "CREATE INDEX ON journal (giver); REINDEX TABLE accounts".to_owned(),
        4 => format!("CREATE TABLE t_{name} AS SELECT * FROM journal; DROP TABLE t_{name}"),
        5..8 => format!("BEGIN; {moved} PREPARE TRANSACTION '{name}'"),
        8..11 => "SELECT format('%s PREPARED %L', (ARRAY['COMMIT', 'ROLLBACK'])[1 + (random() * 1.99)::int % 2], gid) FROM pg_prepared_xacts ORDER BY random() LIMIT 2 \\gexec".to_owned(),
        11..13 => format!("BEGIN; {moved} SAVEPOINT s; {moved} ROLLBACK TO s; SELECT FROM accounts WHERE id = {giver} FOR UPDATE; COMMIT"),
        13 => format!("BEGIN; WITH gone AS (DELETE FROM accounts WHERE id = {giver} RETURNING *) SELECT FROM gone; ROLLBACK"),
        14 => format!("BEGIN; {moved} ROLLBACK"),
        _ => format!("BEGIN; {moved} COMMIT"),
    };
    format!("SET lock_timeout = '300ms'; {what}")
}

fn write_until(stop: &AtomicBool, psql: &Psql, seed: u64, writer: u64) -> u64 {
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(writer));
    let (mut number, mut done) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        done += u64::from(psql.script(&act(&mut random, writer, number)).is_ok());
        number += 1;
    }
    done
}

#[tokio::test(flavor = "multi_thread")]
async fn every_backup_is_one_consistent_state() {
    let seed = std::env::var("COFFER_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(rand::random::<u32>);
    let rounds = std::env::var("COFFER_TEST_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds = rounds.unwrap_or(ROUNDS);
    eprintln!("COFFER_TEST_SEED={seed} COFFER_TEST_ROUNDS={rounds}");
    let options = PostgresOptions::default().setting("max_prepared_transactions", "50");
    let fixture = Fixture::start_with(&options).await;
    fixture.sql(SCHEMA);
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let (stop, psql) = (Arc::clone(&stop), fixture.psql());
            std::thread::spawn(move || write_until(&stop, &psql, u64::from(seed), writer))
        })
        .collect();
    let mut retaken = 0;
    let mut points = Vec::new();
    for _ in 0..rounds {
        let (backup, manifest) = fixture.backup().await;
        retaken +=
            manifest.warnings.iter().filter(|warning| warning.code == "SnapshotRetaken").count();
        points.push(backup.recovery_point_id);
    }
    stop.store(true, Ordering::Relaxed);
    let done: u64 = writers.into_iter().map(|writer| writer.join().expect("a writer")).sum();
    let source = fixture.sql(BROKEN);
    assert_eq!(source, "0 100000", "the writers themselves");
    for (round, point) in points.iter().enumerate() {
        let database = format!("copy_{round}");
        let outcome = fixture.restore(fixture.restore_request(point, &database)).await;
        assert!(outcome.expect("a restore").proof.equal);
        assert_eq!(
            fixture.server.psql(&database, BROKEN).expect("a check"),
            "0 100000",
            "round {round}"
        );
        let numbers = "SELECT coalesce(max(id), 0) <= coalesce(pg_sequence_last_value('journal_id_seq'), 0) FROM journal";
        assert_eq!(fixture.server.psql(&database, numbers).expect("a check"), "t", "round {round}");
    }
    eprintln!(
        "{rounds} backups, {done} acts of writers, {retaken} with snapshots taken again, 0 violations"
    );
    assert!(done > 0, "nobody wrote");
}
