//! Names that mean something else for a moment while a backup runs. No lock on its tables keeps a schema from being renamed,
//! none at all is held on sequences and types: what is sealed is still what the snapshot saw, or nothing is sealed.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use coffer_engine::manifest::Sequence;
use coffer_engine::{BackupOptions, BackupOutcome, BackupRequest, Error, Monitor, Phase, Progress};
use tokio_util::sync::CancellationToken;

use crate::support::{Fixture, OnPhase, Psql};

/// Another schema takes the place of `live`, with a table that looks the same.
const AWAY: &str = "BEGIN; ALTER SCHEMA live RENAME TO away; CREATE SCHEMA live; \
     CREATE TABLE live.t AS SELECT -i AS id FROM generate_series(1, 50) i; CREATE SEQUENCE live.q START 1000; COMMIT";
const BACK: &str =
    "BEGIN; ALTER SCHEMA live RENAME TO decoy; ALTER SCHEMA away RENAME TO live; COMMIT";

async fn live() -> Fixture {
    let f = Fixture::start().await;
    f.sql(
        "CREATE SCHEMA live; CREATE TABLE live.t AS SELECT i AS id FROM generate_series(1, 100) i;
         CREATE SEQUENCE live.q; SELECT setval('live.q', 7)",
    );
    f
}

async fn backup_with(f: &Fixture, monitor: impl Monitor + 'static) -> Result<BackupOutcome, Error> {
    f.run_with(f.request(), Arc::new(monitor), CancellationToken::new()).await
}

/// The same without a second attempt.
async fn backup_once_with(
    f: &Fixture,
    monitor: impl Monitor + 'static,
) -> Result<BackupOutcome, Error> {
    let request = f.request();
    let options = BackupOptions { lock_attempts: 1, ..request.options };
    let request = BackupRequest { options, ..request };
    f.run_with(request, Arc::new(monitor), CancellationToken::new()).await
}

fn retaken(outcome: &BackupOutcome) -> bool {
    outcome.warnings.iter().any(|warning| warning.code == "SnapshotRetaken")
}

/// The point holds the rows and the position that the schema had under the snapshot.
async fn assert_live(f: &Fixture, outcome: &BackupOutcome) {
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    let ids: Vec<i64> = f
        .text(&f.tables(&manifest).await["live.t"])
        .await
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    assert_eq!(ids, (1..=100).collect::<Vec<i64>>());
    let sequences: Vec<Sequence> = f.list(&manifest.sequences).await;
    let of_live = sequences
        .iter()
        .find(|found| (found.schema.as_str(), found.name.as_str()) == ("live", "q"));
    assert_eq!(of_live.map(|found| found.last_value), Some(7));
}

async fn assert_nothing_sealed(f: &Fixture, outcome: Result<BackupOutcome, Error>, what: &str) {
    let error = outcome.expect_err("a race");
    let named = matches!(&error, Error::SnapshotRace { relations, .. } if relations.iter().any(|found| found == what));
    assert!(named && error.is_transient(), "{error:?}");
    assert!(f.repository.manifests().await.expect("a list").valid.is_empty());
}

/// Acts when rows are about to be read, and again when those of a table were read, before it is told that they are good.
struct Around(Psql, &'static str, &'static str);

impl Monitor for Around {
    fn report(&self, progress: &Progress) {
        if progress.phase == Phase::Data {
            match progress.current.as_deref() {
                None => drop(self.0.sql(self.1)),
                Some("live.t") => drop(self.0.run(self.2)),
                Some(_) => {}
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_that_was_another_while_its_rows_were_read_is_read_again() {
    let f = live().await;
    let outcome = backup_with(&f, Around(f.psql(), AWAY, BACK)).await.expect("a backup");
    assert_live(&f, &outcome).await;
    assert_eq!(outcome.totals.content.rows, 100);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_put_in_the_place_of_another_is_noticed() {
    let f = live().await;
    let during = f.psql();
    let monitor = OnPhase::new(Phase::Data, move || drop(during.sql(AWAY)));
    assert_nothing_sealed(&f, backup_once_with(&f, monitor).await, "live.t").await;
    f.sql(BACK);
    f.sql("DROP SCHEMA decoy CASCADE");
    // Where nothing is put in its place the name is gone, which is no fault of the table's.
    let during = f.psql();
    let monitor =
        OnPhase::new(Phase::Data, move || drop(during.sql("ALTER SCHEMA live RENAME TO away")));
    assert_nothing_sealed(&f, backup_once_with(&f, monitor).await, "live.t").await;
    f.sql("ALTER SCHEMA away RENAME TO live");
    // When all rows are read it does no harm any more.
    let during = f.psql();
    let monitor = OnPhase::new(Phase::LargeObjects, move || drop(during.sql(AWAY)));
    assert_live(&f, &backup_with(&f, monitor).await.expect("a backup")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_given_on_a_schema_meanwhile_are_no_race() {
    let f = live().await;
    let grant = "GRANT USAGE ON SCHEMA live TO PUBLIC";
    let outcome = backup_with(&f, Around(f.psql(), grant, "SELECT")).await.expect("a backup");
    assert_live(&f, &outcome).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_went_to_another_table_is_noticed() {
    struct Both<A, B>(A, B);
    impl<A: Monitor, B: Monitor> Monitor for Both<A, B> {
        fn report(&self, progress: &Progress) {
            self.0.report(progress);
            self.1.report(progress);
        }
    }
    let f = live().await;
    // Away when the tables are listed and about to be locked by name, back before anybody compares.
    let (away, back, during) = (f.psql(), f.psql(), f.psql());
    let monitor = Both(
        OnPhase::new(Phase::Lock, move || drop(away.sql(AWAY))),
        Both(
            OnPhase::new(Phase::Snapshot, move || drop(back.sql(BACK))),
            OnPhase::new(Phase::Schema, move || {
                let emptied = during.run("SET lock_timeout = '200ms'; TRUNCATE live.t");
                assert!(emptied.is_err(), "the table was not locked");
            }),
        ),
    );
    let outcome = backup_with(&f, monitor).await.expect("a backup");
    assert!(retaken(&outcome), "{:?}", outcome.warnings);
    assert_live(&f, &outcome).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_is_read_whatever_it_is_called_by_then() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE SCHEMA one; CREATE SCHEMA two; CREATE SEQUENCE a; CREATE SEQUENCE b; CREATE SEQUENCE gone; CREATE SEQUENCE one.moved;
         CREATE SEQUENCE one.x; CREATE SEQUENCE two.x;
         SELECT setval('a', 10), setval('b', 20), setval('one.x', 30), setval('two.x', 40, false), setval('one.moved', 50)",
    );
    let during = f.psql();
    let monitor = OnPhase::new(Phase::Data, move || {
        during.sql(
            "ALTER SEQUENCE a RENAME TO c; ALTER SEQUENCE b RENAME TO a; ALTER SEQUENCE c RENAME TO b;
             ALTER SCHEMA one RENAME TO three; ALTER SCHEMA two RENAME TO one; ALTER SCHEMA three RENAME TO two;
             ALTER SEQUENCE two.moved SET SCHEMA public; DROP SEQUENCE gone; CREATE VIEW gone AS SELECT 1 AS last_value",
        );
    });
    let outcome = backup_with(&f, monitor).await.expect("a backup");
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    let sequences: Vec<Sequence> = f.list(&manifest.sequences).await;
    let positions: Vec<_> = sequences
        .iter()
        .map(|s| (s.schema.as_str(), s.name.as_str(), s.last_value, s.is_called))
        .collect();
    let expected = [
        ("one", "moved", 50, true),
        ("one", "x", 30, true),
        ("public", "a", 10, true),
        ("public", "b", 20, true),
        ("two", "x", 40, false),
    ];
    assert_eq!(positions, expected);
    let gone: Vec<_> =
        outcome.warnings.iter().filter(|warning| warning.code == "SequenceGone").collect();
    assert!(gone.len() == 1 && gone[0].message.contains("public.gone"), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sequence_restarted_with_its_table_emptied_is_not_below_the_rows() {
    let f = live().await;
    let restart = "BEGIN; DELETE FROM live.t; ALTER SEQUENCE live.q RESTART; COMMIT";
    let during = f.psql();
    let monitor = OnPhase::new(Phase::Data, move || drop(during.sql(restart)));
    assert_nothing_sealed(&f, backup_once_with(&f, monitor).await, "live.q").await;
    f.sql("INSERT INTO live.t SELECT nextval('live.q') FROM generate_series(1, 5)");
    let during = f.psql();
    let monitor = OnPhase::new(Phase::Data, move || drop(during.sql(restart)));
    let outcome = backup_with(&f, monitor).await.expect("a backup");
    assert!(retaken(&outcome), "{:?}", outcome.warnings);
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    let sequences: Vec<Sequence> = f.list(&manifest.sequences).await;
    let found: Vec<_> = sequences.iter().map(|s| (s.last_value, s.is_called)).collect();
    assert_eq!((outcome.totals.content.rows, found), (0, vec![(1, false)]));
    // When it was read it does no harm any more.
    f.sql("INSERT INTO live.t SELECT nextval('live.q') FROM generate_series(1, 5)");
    let during = f.psql();
    let monitor = OnPhase::new(Phase::LargeObjects, move || drop(during.sql(restart)));
    let outcome = backup_once_with(&f, monitor).await.expect("a backup");
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    let sequences: Vec<Sequence> = f.list(&manifest.sequences).await;
    let found: Vec<_> = sequences.iter().map(|s| (s.last_value, s.is_called)).collect();
    assert_eq!((outcome.totals.content.rows, found), (5, vec![(5, true)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_changed_under_the_tool_and_changed_back_are_noticed() {
    let f = live().await;
    f.sql(
        "CREATE VIEW live.v AS SELECT id FROM live.t; CREATE TYPE live.kind AS ENUM ('a'); CREATE SEQUENCE live.r;
         CREATE INDEX ON live.t (id); CREATE MATERIALIZED VIEW live.m AS SELECT 1 AS i; CREATE INDEX ON live.m (i)",
    );
    for (what, change) in [
        ("schemas", "ALTER SCHEMA live RENAME TO x; ALTER SCHEMA x RENAME TO live"),
        ("relations", "ALTER VIEW live.v RENAME TO x; ALTER VIEW live.x RENAME TO v"),
        ("relations", "ALTER SEQUENCE live.r RENAME TO x; ALTER SEQUENCE live.x RENAME TO r"),
        (
            "relations",
            "ALTER INDEX live.t_id_idx RENAME TO x; ALTER INDEX live.x RENAME TO t_id_idx",
        ),
        ("types", "ALTER TYPE live.kind RENAME TO x; ALTER TYPE live.x RENAME TO kind"),
    ] {
        let during = f.psql();
        let monitor = OnPhase::new(Phase::Schema, move || drop(during.sql(change)));
        assert_nothing_sealed(&f, backup_once_with(&f, monitor).await, what).await;
    }
    // New files under the same names are no reason to begin anew.
    let during = f.psql();
    let monitor = OnPhase::new(Phase::Schema, move || {
        during.sql("REFRESH MATERIALIZED VIEW live.m; REINDEX INDEX live.t_id_idx; ANALYZE");
    });
    backup_once_with(&f, monitor).await.expect("a backup");
}

#[tokio::test(flavor = "multi_thread")]
async fn values_written_in_another_way_meanwhile_are_noticed() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE TYPE kind AS ENUM ('a', 'b'); CREATE TYPE pair AS (x int, y int); CREATE TABLE t (k kind, p pair);
         INSERT INTO t VALUES ('a', (1, 2)), ('b', (3, 4))",
    );
    for (what, change) in [
        (
            "labels of enums",
            "ALTER TYPE kind RENAME VALUE 'a' TO 'c'; ALTER TYPE kind RENAME VALUE 'b' TO 'a'; ALTER TYPE kind RENAME VALUE 'c' TO 'b'",
        ),
        ("attributes of composite types", "ALTER TYPE pair ADD ATTRIBUTE z int"),
    ] {
        let during = f.psql();
        let monitor = OnPhase::new(Phase::Data, move || drop(during.sql(change)));
        assert_nothing_sealed(&f, backup_once_with(&f, monitor).await, what).await;
    }
    let during = f.psql();
    let monitor =
        OnPhase::new(Phase::Data, move || drop(during.sql("ALTER TYPE kind ADD VALUE 'd'")));
    let outcome = backup_once_with(&f, monitor).await.expect("a backup");
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    assert_eq!(f.text(&f.tables(&manifest).await["public.t"]).await, "b\t(1,2,)\na\t(3,4,)\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_changed_under_its_rows_is_read_anew_in_the_same_backup() {
    let f = live().await;
    f.sql(
        "CREATE TYPE kind AS ENUM ('a', 'b'); CREATE TYPE pair AS (x int, y int); CREATE TABLE u (k kind, p pair);
         INSERT INTO u VALUES ('a', (1, 2)), ('b', (3, 4))",
    );
    for (change, rows_of_live, text) in [
        ("ALTER TYPE kind RENAME VALUE 'a' TO 'c'", 100, "c\t(1,2)\nb\t(3,4)\n"),
        ("ALTER TYPE pair ADD ATTRIBUTE z int", 100, "c\t(1,2,)\nb\t(3,4,)\n"),
        (AWAY, 50, "c\t(1,2,)\nb\t(3,4,)\n"),
    ] {
        let during = f.psql();
        let monitor = OnPhase::new(Phase::Data, move || drop(during.sql(change)));
        let outcome = backup_with(&f, monitor).await.expect(change);
        assert!(retaken(&outcome), "{change}: {:?}", outcome.warnings);
        let manifest = f.manifest(&outcome.recovery_point_id).await;
        let tables = f.tables(&manifest).await;
        assert_eq!(tables["live.t"].content.rows, rows_of_live, "{change}");
        assert_eq!(f.text(&tables["public.u"]).await, text, "{change}");
        let restored = f.restore(f.restore_request(&outcome.recovery_point_id, "copy")).await;
        assert!(restored.expect(change).proof.equal, "{change}");
        f.server.psql("postgres", "DROP DATABASE copy").expect("a database");
    }
}

/// A name that never rests: changed and changed back whenever rows are about to be read.
struct Restless(Psql);

impl Monitor for Restless {
    fn report(&self, progress: &Progress) {
        if progress.phase == Phase::Data && progress.current.is_none() {
            self.0.sql(
                "ALTER TYPE kind RENAME VALUE 'a' TO 'c'; ALTER TYPE kind RENAME VALUE 'c' TO 'a'",
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_type_that_never_rests_fails_the_backup_in_the_end() {
    let f = Fixture::start().await;
    f.sql("CREATE TYPE kind AS ENUM ('a', 'b'); CREATE TABLE t AS SELECT 'a'::kind");
    let mut request = f.request();
    request.options.lock_attempts = 3;
    let monitor = Arc::new(Restless(f.psql()));
    let outcome = f.run_with(request, monitor, CancellationToken::new()).await;
    assert!(matches!(outcome, Err(Error::SnapshotRace { attempts: 3, .. })), "{outcome:?}");
    assert_nothing_sealed(&f, outcome, "labels of enums").await;
}

/// How long one reader waits for another.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// Two readers read a table each of the schema that is in the other's place. Then it is put back, and one of them looks, and
/// reads again; only then the other looks. What the one has learned must not tell the other that nothing has changed.
struct InTurn {
    psql: Psql,
    state: Mutex<Turn>,
    changed: Condvar,
}

#[derive(Default)]
struct Turn {
    reads: HashMap<String, u32>,
    back: bool,
}

impl InTurn {
    /// What else the thread would have to do goes to another.
    fn wait(&self, until: impl Fn(&mut Turn) -> bool) {
        tokio::task::block_in_place(|| self.wait_here(until));
    }

    fn wait_here(&self, until: impl Fn(&mut Turn) -> bool) {
        let mut state = self.state.lock().expect("no panic before");
        self.changed.notify_all();
        while !until(&mut state) {
            let (waited, timeout) =
                self.changed.wait_timeout(state, WAIT_MAX).expect("no panic before");
            assert!(!timeout.timed_out(), "the other reader never came: {:?}", waited.reads);
            state = waited;
        }
        self.changed.notify_all();
    }
}

impl Monitor for InTurn {
    fn report(&self, progress: &Progress) {
        match (progress.phase, progress.current.as_deref()) {
            (Phase::Data, None) => {
                self.psql.sql(AWAY);
                self.psql.sql("CREATE TABLE live.s AS SELECT 0 AS id");
            }
            (Phase::Data, Some(table)) => {
                let count = |turn: &Turn, table: &str| turn.reads.get(table).copied().unwrap_or(0);
                *self.state.lock().expect("no panic").reads.entry(table.to_owned()).or_default() +=
                    1;
                self.wait(|turn| count(turn, "live.s") > 0 && count(turn, "live.t") > 0);
                self.wait(|turn| {
                    if !turn.back {
                        self.psql.sql(BACK);
                        turn.back = true;
                    }
                    // Read twice: it has looked.
                    table == "live.s" || count(turn, "live.s") > 1
                });
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 6)]
async fn each_of_two_readers_looks_at_the_schema_for_itself() {
    let f = live().await;
    f.sql("CREATE TABLE live.s AS SELECT i AS id FROM generate_series(1, 10) i");
    let monitor = InTurn { psql: f.psql(), state: Mutex::default(), changed: Condvar::new() };
    let outcome = backup_once_with(&f, monitor).await.expect("a backup");
    assert_live(&f, &outcome).await;
    assert_eq!(outcome.totals.content.rows, 110);
}
