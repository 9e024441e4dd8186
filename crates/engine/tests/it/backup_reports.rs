//! What backups, restores and verifications tell while they run, and what a verification tells afterwards.

use std::sync::Arc;

use coffer_engine::{
    FilesRequest, Monitor, Phase, Progress, RoleMap, Selection, SilentMonitor, restore_files,
    verify_recovery_point,
};
use coffer_store::VerifyDepth;
use tokio_util::sync::CancellationToken;

use crate::support::Fixture;

/// Everything that was told.
#[derive(Default)]
struct Seen(std::sync::Mutex<Vec<Progress>>);

impl Monitor for Seen {
    fn report(&self, progress: &Progress) {
        self.0.lock().expect("no panic before").push(progress.clone());
    }
}

impl Seen {
    fn monitor(self: &Arc<Self>) -> Arc<dyn Monitor> {
        Arc::<Self>::clone(self)
    }

    fn of(&self, phase: Phase) -> Vec<Progress> {
        let seen = self.0.lock().expect("no panic before");
        seen.iter().filter(|progress| progress.phase == phase).cloned().collect()
    }
}

#[tokio::test]
async fn progress_counts_every_byte_in_order_of_phases() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE a AS SELECT generate_series(1, 100000) AS i; SELECT lo_from_bytea(0, 'large')");
    let seen = Arc::new(Seen::default());
    let monitor: Arc<dyn Monitor> = Arc::<Seen>::clone(&seen);
    let outcome = f.run_with(f.request(), monitor, CancellationToken::new()).await.unwrap();
    let seen = seen.0.lock().unwrap();
    let mut phases: Vec<_> = seen.iter().map(|progress| progress.phase).collect();
    phases.dedup();
    assert!(phases.is_sorted(), "{phases:?}");
    assert_eq!((phases[0], *phases.last().unwrap()), (Phase::Check, Phase::Done));
    let last = seen.last().unwrap();
    assert_eq!((last.bytes_done, last.rows_done), (outcome.totals.content.text_bytes + 5, 100_000));
    assert_eq!((last.items_done, last.items_total), (1, Some(1)));
    assert_eq!((last.bytes_total, last.bytes_taken_over), (Some(last.bytes_done), 0));
    let data = seen.iter().filter(|progress| progress.phase == Phase::Data);
    for progress in data {
        assert!(progress.bytes_total >= Some(progress.bytes_done), "{progress:?}");
    }
}

/// Sizes on disk say little of how much text there is: the whole is known the better the more was read.
#[tokio::test]
async fn the_whole_is_known_before_its_end_and_what_was_not_read_is_told_apart() {
    let f = Fixture::start().await;
    // Much on disk and little text.
    f.sql(
        "CREATE TABLE a (i int) WITH (fillfactor = 10); INSERT INTO a SELECT generate_series(1, 300000);
         VACUUM ANALYZE a",
    );
    let request = |f: &Fixture, previous: Option<String>| {
        let mut request = f.request();
        (request.options.range_bytes, request.options.previous) = (1024 * 1024, previous);
        request.options.unread.audit_per_mille = 0;
        request
    };
    let (seen, cancel) = (Arc::new(Seen::default()), CancellationToken::new());
    let first = f.run_with(request(&f, None), seen.monitor(), cancel.clone()).await.unwrap();
    let text = first.totals.content.text_bytes;
    let disk: u64 = f.sql("SELECT pg_table_size('a')").parse().unwrap();
    assert!(disk > 5 * text, "{disk} {text}");
    let data = seen.of(Phase::Data);
    let half = data.iter().find(|progress| 2 * progress.bytes_done > text).unwrap();
    let estimated = half.bytes_total.unwrap();
    assert!(estimated > text / 2 && estimated < 2 * text, "{estimated} of {text}: {half:?}");

    // Nothing changed: all of it is taken over.
    let seen = Arc::new(Seen::default());
    let previous = Some(first.recovery_point_id);
    let second = f.run_with(request(&f, previous), seen.monitor(), cancel).await.unwrap();
    assert_eq!(second.totals.ranges_skipped, second.totals.ranges, "{:?}", second.totals);
    let last = seen.of(Phase::Done).pop().unwrap();
    assert_eq!((last.bytes_done, last.bytes_taken_over), (text, text));
}

#[tokio::test(flavor = "multi_thread")]
async fn restores_tell_what_they_load_build_and_compare() {
    let f = Fixture::start().await;
    // An index that takes longer than the time between two looks at how many there are.
    f.sql(
        "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
         CREATE TABLE a (i int PRIMARY KEY); INSERT INTO a SELECT generate_series(1, 100000);
         CREATE TABLE b (i int); INSERT INTO b VALUES (1); CREATE INDEX ON b (public.slow(i));
         CREATE OR REPLACE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql
           AS 'BEGIN PERFORM pg_sleep(3); RETURN $1; END';
         SELECT lo_from_bytea(0, 'large')",
    );
    let (outcome, _) = f.backup().await;
    let bytes = outcome.totals.content.text_bytes + 5;
    let seen = Arc::new(Seen::default());
    let request = f.restore_request(&outcome.recovery_point_id, "copy");
    f.restore_with(request, seen.monitor(), CancellationToken::new()).await.unwrap();
    let load = seen.of(Phase::Load).pop().unwrap();
    assert_eq!((load.bytes_done, load.bytes_total), (bytes, Some(bytes)));
    let built = seen.of(Phase::PostData);
    assert_eq!((built[0].items_done, built[0].items_total), (0, Some(2)));
    assert!(built.iter().any(|progress| progress.items_done == 1), "{built:?}");
    let proof = seen.of(Phase::Proof).pop().unwrap();
    let done = seen.of(Phase::Done).pop().unwrap();
    assert_eq!((done.bytes_compared, done.bytes_done), (bytes, bytes), "{proof:?}");

    let seen = Arc::new(Seen::default());
    let request = FilesRequest {
        recovery_point_id: outcome.recovery_point_id,
        directory: f.work_dir(),
        prefix: "files".to_owned(),
        workers: 2,
        selection: Selection::default(),
        role_map: RoleMap::default(),
    };
    restore_files(request, &f.repository, seen.monitor(), CancellationToken::new()).await.unwrap();
    let last = seen.of(Phase::Files).pop().unwrap();
    assert_eq!((last.bytes_done, last.bytes_total), (bytes, Some(bytes)));
}

#[tokio::test]
async fn verification_finds_a_missing_pack() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE a AS SELECT generate_series(1, 1000) AS i");
    let (outcome, _) = f.backup().await;
    let id = &outcome.recovery_point_id;
    for depth in [VerifyDepth::Closure, VerifyDepth::Full] {
        let report = verify_recovery_point(&f.repository, id, depth, &SilentMonitor).await.unwrap();
        assert_eq!((report.damaged_chunks, report.chunks), (0, outcome.stats.chunks));
    }
    let mut packs = Vec::new();
    let mut open = vec![f.directory.path().join("store")];
    while let Some(directory) = open.pop() {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.parent().is_some_and(|parent| parent.ends_with("packs")) {
                packs.push(path);
            }
        }
    }
    assert!(!packs.is_empty());
    for pack in packs {
        std::fs::remove_file(pack).unwrap();
    }
    let report = verify_recovery_point(&f.repository, id, VerifyDepth::Closure, &SilentMonitor)
        .await
        .unwrap();
    assert!(report.damaged_chunks > 0);
}
