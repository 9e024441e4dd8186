//! What a backup tells while it runs, and what a verification tells afterwards.

use std::sync::Arc;

use coffer_engine::{Monitor, Phase, Progress, SilentMonitor, verify_recovery_point};
use coffer_store::VerifyDepth;
use tokio_util::sync::CancellationToken;

use crate::support::Fixture;

#[tokio::test]
async fn progress_counts_every_byte_in_order_of_phases() {
    #[derive(Default)]
    struct Seen(std::sync::Mutex<Vec<Progress>>);
    impl Monitor for Seen {
        fn report(&self, progress: &Progress) {
            self.0.lock().unwrap().push(progress.clone());
        }
    }
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
    assert!(
        seen.iter().any(|progress| progress.phase == Phase::Data && progress.bytes_total.is_some())
    );
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
