//! One moment in time, however busy the source: writers, TRUNCATE, ALTER.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use coffer_engine::{BackupOptions, Error, Monitor, Phase, Progress};
use tokio_util::sync::CancellationToken;

use crate::restore_support::{assert_same, dump};
use crate::support::{DATABASE, Fixture, OnPhase, Psql};

/// Runs SQL again and again until told to stop; failures to serialize are part of it.
fn repeat(psql: Psql, stop: &Arc<AtomicBool>, sql: String) -> std::thread::JoinHandle<u64> {
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        let mut runs = 0;
        while !stop.load(Ordering::Relaxed) {
            runs += u64::from(psql.run(&sql).is_ok());
        }
        runs
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_one_moment() {
    let f = Fixture::start().await;
    // Each transaction moves money and writes the same change to a log in another table: sums agree in any one snapshot.
    f.sql(
        "CREATE TABLE account AS SELECT i AS id, 1000 AS amount, repeat('x', 200) AS pad FROM generate_series(1, 5000) i;
         CREATE TABLE log (id serial, change int);",
    );
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..3)
        .map(|writer| {
            let sql = "BEGIN; UPDATE account SET amount = amount + 1 WHERE id = (SELECT (random() * 4998)::int + 1); \
                       INSERT INTO log (change) VALUES (1); COMMIT;";
            repeat(f.psql(), &stop, format!("SELECT {writer};{}", sql.repeat(20)))
        })
        .collect();
    for _ in 0..5 {
        let mut request = f.request();
        request.options =
            BackupOptions { range_bytes: 64 * 1024, chunk_bytes: 64 * 1024, ..request.options };
        let outcome = f.run(request).await.unwrap();
        let manifest = f.manifest(&outcome.recovery_point_id).await;
        let tables = f.tables(&manifest).await;
        let account = f.text(&tables["public.account"]).await;
        let total: i64 = account
            .lines()
            .map(|line| line.split('\t').nth(1).unwrap().parse::<i64>().unwrap())
            .sum();
        let log = f.text(&tables["public.log"]).await;
        assert_eq!(account.lines().count(), 5000);
        assert_eq!(total - 5_000_000, i64::try_from(log.lines().count()).unwrap());
        let highest =
            log.lines().map(|line| line.split('\t').next().unwrap().parse::<i64>().unwrap()).max();
        let sequences: Vec<coffer_engine::manifest::Sequence> = f.list(&manifest.sequences).await;
        assert!(Some(sequences[0].last_value) >= highest, "a sequence is never behind the rows");
    }
    stop.store(true, Ordering::Relaxed);
    assert!(writers.into_iter().all(|writer| writer.join().unwrap() > 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_rewritten_between_snapshot_and_lock_is_noticed() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE old AS SELECT 1 AS i");
    // New, so not among the locked ones; in the snapshot with its rows; emptied before it could be locked.
    let (before, after) = (f.psql(), f.psql());
    struct Both<A, B>(A, B);
    impl<A: Monitor, B: Monitor> Monitor for Both<A, B> {
        fn report(&self, progress: &Progress) {
            self.0.report(progress);
            self.1.report(progress);
        }
    }
    let monitor = Both(
        OnPhase::new(Phase::Snapshot, move || {
            before.sql("CREATE TABLE young AS SELECT generate_series(1, 1000) AS i");
        }),
        OnPhase::new(Phase::Compare, move || {
            after.sql("TRUNCATE young; INSERT INTO young VALUES (7)");
        }),
    );
    let outcome =
        f.run_with(f.request(), Arc::new(monitor), CancellationToken::new()).await.unwrap();
    assert!(
        outcome.warnings.iter().any(|warning| warning.code == "SnapshotRetaken"),
        "{:?}",
        outcome.warnings
    );
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    assert_eq!(f.text(&f.tables(&manifest).await["public.young"]).await, "7\n");
}

/// Holds ACCESS EXCLUSIVE on a table for a while.
fn hold_exclusive(psql: Psql, table: &str, seconds: f64) -> std::thread::JoinHandle<()> {
    let sql = format!("BEGIN; LOCK TABLE {table}; SELECT pg_sleep({seconds}); COMMIT");
    std::thread::spawn(move || drop(psql.sql(&sql)))
}

fn wait_for_lock(psql: &Psql, granted: bool, mode: &str) {
    let sql = format!(
        "SELECT count(*) FROM pg_locks WHERE mode = '{mode}' AND granted = {granted} AND relation >= 16384"
    );
    coffer_testkit::wait_until("lock", Duration::from_secs(20), || {
        Ok((psql.run(&sql)? != "0").then_some(()))
    })
    .expect("a lock");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_tried_again_and_given_up_in_the_end() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE a AS SELECT 1 AS i; CREATE TABLE b AS SELECT 2 AS i");
    let holder = hold_exclusive(f.psql(), "b", 2.0);
    wait_for_lock(&f.psql(), true, "AccessExclusiveLock");
    let with = |lock_attempts| {
        let mut request = f.request();
        request.options = BackupOptions {
            lock_timeout: Duration::from_millis(200),
            lock_attempts,
            ..request.options
        };
        request
    };
    let error = f.run(with(2)).await.unwrap_err();
    assert!(
        matches!(error, Error::LockTimeout { waited_ms: 400.., .. }) && error.is_transient(),
        "{error:?}"
    );
    let outcome = f.run(with(100)).await.unwrap();
    assert_eq!(outcome.totals.content.rows, 2);
    holder.join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alter_queued_behind_our_locks_hinders_neither_tool_nor_workers() {
    for phase in [Phase::Schema, Phase::Data] {
        let f = Fixture::start().await;
        f.sql("CREATE TABLE a AS SELECT i FROM generate_series(1, 1000) i; CREATE TABLE b AS SELECT 2 AS i");
        let alter = Arc::new(std::sync::Mutex::new(None));
        let (during, started) = (f.psql(), Arc::clone(&alter));
        let monitor = OnPhase::new(phase, move || {
            let psql = during.clone();
            *started.lock().unwrap() = Some(std::thread::spawn(move || {
                psql.sql("ALTER TABLE a ADD COLUMN j int DEFAULT 5")
            }));
            wait_for_lock(&during, false, "AccessExclusiveLock");
        });
        let mut request = f.request();
        request.options.lock_timeout = Duration::from_millis(500);
        let outcome =
            f.run_with(request, Arc::new(monitor), CancellationToken::new()).await.unwrap();
        assert_eq!(outcome.totals.content.rows, 1001, "{phase:?}");
        // Once the backup let go, the ALTER went through.
        let alter = alter.lock().unwrap().take().unwrap();
        alter.join().unwrap();
        let columns = &f.tables(&f.manifest(&outcome.recovery_point_id).await).await["public.a"]
            .columns
            .len();
        // During the schema everything started over, so the ALTER came first; during the data it waited.
        assert_eq!(*columns, if phase == Phase::Schema { 2 } else { 1 });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_stays_locked_after_a_failure() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE a AS SELECT 1 AS i");
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let monitor = OnPhase::new(Phase::Data, move || token.cancel());
    let started = Instant::now();
    let error = f.run_with(f.request(), Arc::new(monitor), cancel).await.unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(10));
    f.sql("SET lock_timeout = '5s'; TRUNCATE a");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_being_rebuilt_is_waited_for() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE big AS SELECT i, repeat(md5(i::text), 10) AS t FROM generate_series(1, 5000) i; CREATE INDEX ON big (i)");
    let during = f.psql();
    let rebuild = Arc::new(std::sync::Mutex::new(None));
    let started = Arc::clone(&rebuild);
    let monitor = OnPhase::new(Phase::Data, move || {
        let psql = during.clone();
        // Longer than a worker waits, and longer than it takes to give up a lock at the beginning.
        let sql = "BEGIN; REINDEX INDEX big_i_idx; SELECT pg_sleep(3); COMMIT";
        *started.lock().unwrap() = Some(std::thread::spawn(move || psql.sql(sql)));
        wait_for_lock(&during, true, "AccessExclusiveLock");
    });
    let mut request = f.request();
    request.options = BackupOptions {
        range_bytes: 256 * 1024,
        lock_timeout: Duration::from_millis(100),
        ..request.options
    };
    let outcome = f.run_with(request, Arc::new(monitor), CancellationToken::new()).await.unwrap();
    assert_eq!(outcome.totals.content.rows, 5000);
    assert!(outcome.totals.ranges > 2);
    rebuild.lock().unwrap().take().unwrap().join().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_that_is_being_dropped_is_not_waited_for_without_end() {
    let f = Fixture::start().await;
    f.sql("CREATE SEQUENCE going");
    let during = f.psql();
    let monitor = OnPhase::new(Phase::Data, move || {
        let psql = during.clone();
        std::thread::spawn(move || psql.run("BEGIN; DROP SEQUENCE going; SELECT pg_sleep(300)"));
        wait_for_lock(&during, true, "AccessExclusiveLock");
    });
    let mut request = f.request();
    request.options.lock_timeout = Duration::from_millis(100);
    let error = f.run_with(request, Arc::new(monitor), CancellationToken::new()).await.unwrap_err();
    assert!(
        matches!(error, Error::LockTimeout { waited_ms: 500, .. }) && error.is_transient(),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_changed_under_the_tool_are_archived_anew() {
    let f = Fixture::start().await;
    // Nothing can lock these; the tool would archive them half as they were and half as they are, and not complain.
    f.sql(
        "CREATE FUNCTION dropped(a int, b text) RETURNS int LANGUAGE sql AS 'SELECT 1';
         CREATE FUNCTION old() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE TABLE t (i int DEFAULT old());
         CREATE MATERIALIZED VIEW m AS SELECT 1 AS i; CREATE INDEX m_i ON m (i); CREATE VIEW v AS SELECT 1 AS i",
    );
    for change in [
        "DROP FUNCTION dropped(int, text)",
        "ALTER FUNCTION old() RENAME TO new",
        "DROP INDEX m_i; CREATE UNIQUE INDEX m_j ON m (i)",
        "DROP VIEW v",
    ] {
        let during = f.psql();
        let monitor = OnPhase::new(Phase::Schema, move || drop(during.sql(change)));
        let backup =
            f.run_with(f.request(), Arc::new(monitor), CancellationToken::new()).await.unwrap();
        let request = f.restore_request(&backup.recovery_point_id, "copy");
        f.restore(request).await.expect(change);
        assert_same(&dump(&f.server, DATABASE), &dump(&f.server, "copy"));
        f.server.psql("postgres", "DROP DATABASE copy").unwrap();
    }
    // A refresh and a new function are no reason to begin anew.
    let during = f.psql();
    let monitor = OnPhase::new(Phase::Schema, move || {
        during.sql("REFRESH MATERIALIZED VIEW m; CREATE FUNCTION young() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    });
    let mut request = f.request();
    request.options.lock_attempts = 1;
    f.run_with(request, Arc::new(monitor), CancellationToken::new()).await.unwrap();
}

/// Changes a function whenever the schema is about to be archived.
struct Restless(Psql);

impl Monitor for Restless {
    fn report(&self, progress: &Progress) {
        if progress.phase == Phase::Schema {
            self.0.sql("CREATE OR REPLACE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn definitions_that_never_rest_fail_the_backup() {
    let f = Fixture::start().await;
    f.sql("CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'");
    let mut request = f.request();
    request.options.lock_attempts = 2;
    let monitor = Arc::new(Restless(f.psql()));
    let error = f.run_with(request, monitor, CancellationToken::new()).await.unwrap_err();
    let Error::SnapshotRace { attempts: 2, relations } = &error else { panic!("{error:?}") };
    assert!(relations.contains(&"functions".to_owned()) && error.is_transient(), "{error}");
    assert!(f.repository.manifests().await.unwrap().valid.is_empty());
}
