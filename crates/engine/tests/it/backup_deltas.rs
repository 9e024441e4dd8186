//! Text that differs little from earlier text is stored as the difference, comes back from it, and keeps what it is a difference to.

use coffer_engine::manifest::{DatabaseManifest, Delta, Reading, RowChunk, Table};
use coffer_engine::{BackupOptions, BackupOutcome};
use coffer_store::LeasePurpose;

use crate::garbage::{assert_whole, delete_and_collect, lease};
use crate::support::Fixture;

/// Every row has text that nothing but itself compresses.
const ROWS: &str = "CREATE TABLE t AS SELECT i, string_agg(md5((i * 31 + n)::text), ' ') AS x
    FROM generate_series(1, 12000) i, generate_series(1, 8) n GROUP BY i ORDER BY i";

/// One row of a hundred, all over the table; other ones each time.
fn scattered(time: u32) -> String {
    format!("UPDATE t SET x = md5(x) || x WHERE i % 100 = {time}")
}

async fn back_up(f: &mut Fixture, previous: Option<&BackupOutcome>, deltas: bool) -> BackupOutcome {
    lease(f, LeasePurpose::Backup).await;
    let mut request = f.request();
    request.options = BackupOptions {
        range_bytes: 1024 * 1024,
        chunk_bytes: 128 * 1024,
        previous: previous.map(|outcome| outcome.recovery_point_id.clone()),
        deltas,
        ..request.options
    };
    f.run(request).await.expect("a backup")
}

async fn table(f: &Fixture, point: &BackupOutcome) -> (DatabaseManifest, Table) {
    let manifest = f.manifest(&point.recovery_point_id).await;
    let mut tables = f.tables(&manifest).await;
    (manifest, tables.remove("public.t").expect("the table"))
}

async fn deltas(f: &Fixture, table: &Table) -> Vec<Delta> {
    let ranges = f.ranges(table).await;
    let chunks = ranges.into_iter().flat_map(|range| range.chunks);
    chunks
        .filter_map(|chunk| match chunk {
            RowChunk::Delta(delta) => Some(delta),
            RowChunk::Whole(_) => None,
        })
        .collect()
}

/// What the source has, in the order in which it is stored.
fn rows(f: &Fixture) -> String {
    f.sql("COPY (SELECT i, x FROM t WHERE ctid >= '(0,0)') TO STDOUT")
}

#[tokio::test]
async fn scattered_changes_cost_little_and_outlive_what_they_differ_from() {
    let mut f = Fixture::start().await;
    f.sql(ROWS);
    let first = back_up(&mut f, None, true).await;

    f.sql(&scattered(1));
    let second = back_up(&mut f, Some(&first), true).await;
    let (manifest, of_second) = table(&f, &second).await;
    assert_eq!(manifest.engine_format, 4, "older readers refuse it");
    let of_second_deltas = deltas(&f, &of_second).await;
    assert!(of_second_deltas.len() > 8, "{:?}", of_second.reading);
    assert_eq!(of_second.reading.deltas, of_second_deltas.len() as u64);
    let (stored, all) = (second.stats.stored_bytes, first.stats.stored_bytes);
    assert!(stored * 20 <= all, "{stored} bytes stored after {all}");
    assert_eq!(f.text(&of_second).await.trim_end(), rows(&f));

    // A difference is always to a chunk, however many backups later.
    f.sql(&scattered(2));
    let third = back_up(&mut f, Some(&second), true).await;
    let (_, of_third) = table(&f, &third).await;
    let bases = |deltas: &[Delta]| deltas.iter().map(|delta| delta.base.id).collect::<Vec<_>>();
    let common = bases(&deltas(&f, &of_third).await);
    assert!(common.iter().any(|base| bases(&of_second_deltas).contains(base)));

    // What did not change since is taken over unread, a difference like all else.
    let fourth = back_up(&mut f, Some(&third), true).await;
    let (manifest, of_fourth) = table(&f, &fourth).await;
    assert!(manifest.totals.ranges_skipped > 0);
    assert_eq!(deltas(&f, &of_fourth).await, deltas(&f, &of_third).await);

    delete_and_collect(&mut f, &first).await;
    delete_and_collect(&mut f, &second).await;
    for point in [&third, &fourth] {
        assert_whole(&f, point).await;
        let restored = f.restore(f.restore_request(&point.recovery_point_id, "copy")).await;
        assert!(restored.expect("a restore").proof.equal);
        f.server.psql("postgres", "DROP DATABASE copy").expect("a database less");
    }
}

#[tokio::test]
async fn what_does_not_pay_is_found_out_and_remembered() {
    let mut f = Fixture::start().await;
    f.sql(ROWS);
    let mut last = back_up(&mut f, None, true).await;
    let mut tried = Vec::new();
    for time in 0..2 {
        f.sql(&format!("UPDATE t SET x = reverse(x) || '{time}'; VACUUM FULL t"));
        last = back_up(&mut f, Some(&last), true).await;
        let (_, table) = table(&f, &last).await;
        let Reading { delta_tried, deltas, .. } = table.reading;
        assert_eq!(deltas, 0);
        tried.push(delta_tried);
        assert_eq!(f.text(&table).await.trim_end(), rows(&f));
    }
    assert!(tried[0] >= 8 && tried[1] < tried[0], "tried {tried:?} times");
}

#[tokio::test]
async fn without_leave_everything_is_stored_as_it_is() {
    let mut f = Fixture::start().await;
    f.sql(ROWS);
    let first = back_up(&mut f, None, true).await;
    f.sql(&scattered(1));
    let second = back_up(&mut f, Some(&first), false).await;
    let (_, table) = table(&f, &second).await;
    assert_eq!((table.reading.delta_tried, deltas(&f, &table).await), (0, Vec::new()));
    assert!(second.stats.stored_bytes * 2 > first.stats.stored_bytes);
}
