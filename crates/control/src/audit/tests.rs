use std::time::Duration;

use super::verify::{Break, Head, Report, verify};
use super::*;
use crate::clock::Clock;
use crate::db::audit::{KEY_BYTES, page, state};

struct Bench {
    db: Db,
    audit: Audit,
    clock: Clock,
    // Removed when the test is over.
    _directory: tempfile::TempDir,
}

impl Bench {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let db = Db::open(&directory.path().join("metadata.db")).await.unwrap();
        let audit = Audit::new(ChainKey::new(&[7; KEY_BYTES]));
        Self { db, audit, clock: Clock::system(), _directory: directory }
    }

    /// The log of a service that was asked for some writes.
    async fn with_rows(count: usize) -> Self {
        let bench = Self::new().await;
        for number in 0..count {
            bench.write(&format!("/r/{number}")).await;
        }
        bench
    }

    async fn write(&self, resource: &str) {
        let trail = Trail::of_request(&self.clock, "c", "127.0.0.1");
        trail.allowed("A/b/write", resource);
        self.audit.begin(&self.db, &trail).await.unwrap().commit().await.unwrap();
    }

    async fn sql(&self, text: &'static str) {
        let mut tx = self.db.begin().await.unwrap();
        sqlx::query(text).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }

    async fn verify(&self, expected: Option<&Head>) -> Report {
        verify(&self.db, self.audit.key(), expected).await.unwrap()
    }

    async fn broken_at(&self) -> Option<i64> {
        self.verify(None).await.broken.map(|found| found.sequence)
    }

    async fn entries(&self) -> Vec<Entry> {
        let mut snapshot = self.db.snapshot().await.unwrap();
        let rows = page(&mut snapshot, 0, 10_000).await.unwrap();
        rows.iter().map(|row| serde_json::from_str(&row.body).unwrap()).collect()
    }
}

#[tokio::test]
async fn an_untouched_log_verifies() {
    let empty = Bench::new().await;
    let report = empty.verify(None).await;
    assert_eq!((report.rows, report.head.sequence, report.broken), (0, 0, None));
    let bench = Bench::with_rows(2100).await;
    let report = bench.verify(None).await;
    assert_eq!((report.rows, report.head.sequence, report.broken.clone()), (2100, 2100, None));
    let again = bench.verify(Some(&report.head)).await;
    assert_eq!(again.broken, None);
}

#[tokio::test]
async fn a_change_of_anything_in_a_row_is_found_at_it() {
    for change in [
        "UPDATE audit SET body = replace(body, '/r/4', '/r/9') WHERE sequence = 5",
        "UPDATE audit SET body = body || ' ' WHERE sequence = 5",
        "UPDATE audit SET time_us = time_us + 1 WHERE sequence = 5",
        "UPDATE audit SET hash = (SELECT hash FROM audit WHERE sequence = 4) WHERE sequence = 5",
        "UPDATE audit SET hash = '' WHERE sequence = 5",
        "DELETE FROM audit WHERE sequence = 5",
        "UPDATE audit SET body = (SELECT body FROM audit WHERE sequence = 6), hash = (SELECT hash FROM audit WHERE sequence = 6) \
         WHERE sequence = 5",
    ] {
        let bench = Bench::with_rows(8).await;
        bench.sql(change).await;
        assert_eq!(bench.broken_at().await, Some(5), "{change}");
    }
}

#[tokio::test]
async fn rows_that_change_places_are_found() {
    let bench = Bench::with_rows(8).await;
    bench.sql("UPDATE audit SET sequence = 100 WHERE sequence = 3").await;
    bench.sql("UPDATE audit SET sequence = 3 WHERE sequence = 4").await;
    bench.sql("UPDATE audit SET sequence = 4 WHERE sequence = 100").await;
    assert_eq!(bench.broken_at().await, Some(3));
    // And one that is put in.
    let bench = Bench::with_rows(8).await;
    bench
        .sql("INSERT INTO audit SELECT 9, time_us, body, hash FROM audit WHERE sequence = 8")
        .await;
    assert_eq!(bench.broken_at().await, Some(9));
}

#[tokio::test]
async fn rows_taken_from_the_end_are_found_and_stay_found() {
    let bench = Bench::with_rows(8).await;
    let head = bench.verify(None).await.head;
    bench.sql("DELETE FROM audit WHERE sequence > 6").await;
    assert_eq!(bench.broken_at().await, Some(7));
    // What is written afterwards does not close the gap.
    bench.write("/r/later").await;
    assert_eq!(bench.broken_at().await, Some(7));

    // Whoever also sets the log's own note back is found by a head that was noted elsewhere.
    let bench = Bench::with_rows(8).await;
    bench.sql("DELETE FROM audit WHERE sequence > 6").await;
    bench
        .sql("UPDATE audit_state SET head_sequence = 6, head_hash = (SELECT hash FROM audit WHERE sequence = 6)")
        .await;
    assert_eq!(bench.broken_at().await, None);
    let found = bench.verify(Some(&head)).await.broken.unwrap();
    assert_eq!(found.sequence, 7, "{found:?}");
    bench.write("/other/7").await;
    bench.write("/other/8").await;
    let found = bench.verify(Some(&head)).await.broken.unwrap();
    assert_eq!(found.sequence, 8, "{found:?}");
}

#[tokio::test]
async fn without_the_key_no_chain_is_made_anew() {
    let bench = Bench::with_rows(4).await;
    let forger = ChainKey::new(&[8; KEY_BYTES]);
    let mut snapshot = bench.db.snapshot().await.unwrap();
    let rows = page(&mut snapshot, 0, 10).await.unwrap();
    drop(snapshot);
    let mut previous = crate::db::audit::genesis();
    let mut tx = bench.db.begin().await.unwrap();
    for row in &rows {
        previous = forger.row(&previous, row.sequence, row.time_us, &row.body);
        sqlx::query("UPDATE audit SET hash = $1 WHERE sequence = $2")
            .bind(&previous)
            .bind(row.sequence)
            .execute(&mut *tx)
            .await
            .unwrap();
    }
    sqlx::query("UPDATE audit_state SET head_hash = $1")
        .bind(&previous)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(bench.broken_at().await, Some(1));
}

#[tokio::test]
async fn a_cut_at_the_front_leaves_a_log_that_verifies() {
    let bench = Bench::with_rows(5).await;
    bench.clock.advance(Duration::from_secs(86_400));
    let before_us = bench.clock.now_us();
    for number in 0..3 {
        bench.write(&format!("/young/{number}")).await;
    }
    let now_us = bench.clock.now_us();
    // In two pieces, as a large one is.
    assert_eq!(bench.audit.cut(&bench.db, before_us, now_us, 3).await.unwrap(), 3);
    assert_eq!(bench.audit.cut(&bench.db, before_us, now_us, 3).await.unwrap(), 2);
    assert_eq!(bench.audit.cut(&bench.db, before_us, now_us, 3).await.unwrap(), 0);
    let report = bench.verify(None).await;
    assert_eq!((report.rows, report.cut_sequence, report.broken.clone()), (5, 5, None));
    let entries = bench.entries().await;
    assert_eq!(entries[3].cut.as_ref().map(|(rows, last, _)| (*rows, *last)), Some((3, 3)));
    // A head from before is too old to be compared, which is said.
    let old = Head { sequence: 2, hash: "00".to_owned() };
    assert!(bench.verify(Some(&old)).await.expected_is_cut);

    // Who cuts by himself is found.
    bench.sql("DELETE FROM audit WHERE sequence = 6").await;
    assert_eq!(bench.broken_at().await, Some(6));
    bench
        .sql("UPDATE audit_state SET anchor_sequence = 7, anchor_hash = (SELECT hash FROM audit WHERE sequence = 7)")
        .await;
    bench.sql("DELETE FROM audit WHERE sequence <= 7").await;
    let found = bench.verify(None).await.broken.unwrap();
    assert_eq!(
        found,
        Break { sequence: 8, what: "what is before it was not cut off by the service" }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_several_connections_make_one_chain() {
    let bench = Bench::new().await;
    let path = bench._directory.path().join("metadata.db");
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let path = path.clone();
        writers.spawn(async move {
            // A connection of its own, as another process has.
            let db = Db::open(&path).await.unwrap();
            let audit = Audit::new(ChainKey::new(&[7; KEY_BYTES]));
            for number in 0..50 {
                let trail = Trail::of_request(&Clock::system(), "c", "127.0.0.1");
                trail.allowed("A/b/write", &format!("/{writer}/{number}"));
                audit.begin(&db, &trail).await.unwrap().commit().await.unwrap();
            }
            db.close().await;
        });
    }
    writers.join_all().await;
    let report = bench.verify(None).await;
    assert_eq!((report.rows, report.broken), (200, None));
    let mut seen: Vec<_> = bench.entries().await.into_iter().map(|entry| entry.resource).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 200);
}

#[tokio::test]
async fn a_change_that_is_not_committed_has_no_row() {
    let bench = Bench::with_rows(1).await;
    let trail = Trail::of_request(&bench.clock, "c", "127.0.0.1");
    trail.allowed("A/b/write", "/r/given-up");
    drop(bench.audit.begin(&bench.db, &trail).await.unwrap());
    let failed = Ending { status: 409, error: Some((ErrorKind::Conflict, "Taken")) };
    bench.audit.finish(&bench.db, &trail, &failed).await.unwrap();
    let entries = bench.entries().await;
    assert_eq!(entries.len(), 2);
    assert_eq!((entries[1].outcome, entries[1].status), (Outcome::Failed, Some(409)));
    assert_eq!(entries[1].code.as_deref(), Some("Taken"));
    assert_eq!(bench.verify(None).await.broken, None);
}

#[tokio::test]
async fn what_is_written_and_what_is_not() {
    let bench = Bench::new().await;
    let ok = Ending { status: 200, error: None };
    let refused =
        Ending { status: 403, error: Some((ErrorKind::Forbidden, "AuthorizationFailed")) };
    let unknown =
        Ending { status: 401, error: Some((ErrorKind::Unauthenticated, "AuthenticationFailed")) };
    let new = || Trail::of_request(&bench.clock, "c", "127.0.0.1");
    // An allowed read; somebody who asks where to log in.
    let trail = new();
    trail.allowed("A/b/read", "/r");
    bench.audit.finish(&bench.db, &trail, &ok).await.unwrap();
    bench.audit.finish(&bench.db, &new(), &unknown).await.unwrap();
    assert_eq!(bench.entries().await, []);
    // A write that found nothing to change, a refused read, a bad token.
    let trail = new();
    trail.allowed("A/b/read", "/policy");
    trail.allowed("A/b/write", "/r");
    trail.allowed("A/c/action", "/other");
    bench.audit.finish(&bench.db, &trail, &ok).await.unwrap();
    let trail = new();
    trail.refused("A/b/read", "/r");
    bench.audit.finish(&bench.db, &trail, &refused).await.unwrap();
    let trail = new();
    trail.has_credentials();
    bench.audit.finish(&bench.db, &trail, &unknown).await.unwrap();
    let entries = bench.entries().await;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action.as_str(), entry.resource.as_str(), entry.outcome, entry.status))
        .collect();
    assert_eq!(
        seen,
        [
            ("A/b/write", "/r", Outcome::Succeeded, Some(200)),
            ("A/b/read", "/r", Outcome::Refused, Some(403)),
            ("", "", Outcome::Refused, Some(401)),
        ]
    );
    let mut snapshot = bench.db.snapshot().await.unwrap();
    assert_eq!(state(&mut snapshot).await.unwrap().head_sequence, 3);
}

/// `cargo nextest run -p coffer-control --release --lib --run-ignored only what_a_row_costs --no-capture`
#[tokio::test]
#[ignore = "a measurement"]
async fn what_a_row_costs() {
    const COMMITS: u32 = 1000;
    let bench = Bench::new().await;
    for round in 0..3 {
        for is_witnessed in [false, true] {
            let started = std::time::Instant::now();
            for number in 0..COMMITS {
                let trail = Trail::of_request(&bench.clock, "c", "127.0.0.1");
                trail.allowed("A/b/write", "/r");
                let mut tx = if is_witnessed {
                    bench.audit.begin(&bench.db, &trail).await.unwrap()
                } else {
                    bench.db.begin().await.unwrap()
                };
                let value = number.to_string();
                crate::db::setting::set(&mut tx, "measured", &value).await.unwrap();
                tx.commit().await.unwrap();
            }
            let each = started.elapsed() / COMMITS;
            println!("round {round}: a write, with its row: {is_witnessed}: {each:?}");
        }
    }
}
