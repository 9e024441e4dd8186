//! What the recovery points that are left need is never garbage, and the rest is.

use coffer_engine::manifest::Ranges;
use coffer_engine::{
    BackupOptions, BackupOutcome, SilentMonitor, plan_collection, verify_recovery_point,
};
use coffer_store::{CollectionReport, LeasePurpose, VerifyDepth};

use crate::support::Fixture;

/// The fixture's lease is taken anew by its holder, as by the next operation.
pub(crate) async fn lease(f: &mut Fixture, purpose: LeasePurpose) {
    f.lease = f.repository.acquire_lease("test", purpose, 0, 3_600_000).await.expect("a lease");
}

async fn back_up(f: &mut Fixture, previous: Option<&BackupOutcome>) -> BackupOutcome {
    lease(f, LeasePurpose::Backup).await;
    let mut request = f.request();
    request.options = BackupOptions {
        range_bytes: 256 * 1024,
        chunk_bytes: 64 * 1024,
        previous: previous.map(|outcome| outcome.recovery_point_id.clone()),
        ..request.options
    };
    f.run(request).await.expect("a backup")
}

pub(crate) async fn delete_and_collect(f: &mut Fixture, gone: &BackupOutcome) -> CollectionReport {
    lease(f, LeasePurpose::Deletion).await;
    let deleted = f.repository.delete_manifest(&f.lease, &gone.recovery_point_id, 0).await;
    assert!(deleted.expect("a deletion"));
    lease(f, LeasePurpose::Collection).await;
    let plan = plan_collection(&f.repository, &f.lease, 0, 0).await.expect("a plan");
    f.repository.collect(&f.lease, plan).await.expect("a collection")
}

pub(crate) async fn assert_whole(f: &Fixture, point: &BackupOutcome) {
    let id = &point.recovery_point_id;
    let report = verify_recovery_point(&f.repository, id, VerifyDepth::Full, &SilentMonitor).await;
    let report = report.expect("a report");
    assert!(report.chunks > 0 && report.damaged_chunks == 0, "{report:?}");
}

#[tokio::test]
async fn only_what_no_recovery_point_needs_is_collected() {
    let mut f = Fixture::start().await;
    f.sql(
        "CREATE TABLE a AS SELECT i, repeat(md5(i::text), 5) AS t FROM generate_series(1, 50000) i;
         CREATE TABLE b AS SELECT i FROM generate_series(1, 1000) i;
         CREATE SEQUENCE s; CREATE MATERIALIZED VIEW m AS SELECT 1 AS one;
         SELECT lo_from_bytea(1, decode(repeat('0123456789', 40000), 'hex'));",
    );
    let first = back_up(&mut f, None).await;
    f.sql("UPDATE b SET i = i + 1");
    // Nothing of the first is referred to by the second, much of the second by the third.
    let second = back_up(&mut f, None).await;
    f.sql("UPDATE b SET i = i + 1");
    let third = back_up(&mut f, Some(&second)).await;
    assert!(third.stats.deduplicated_chunks > 0);
    let tables = f.tables(&f.manifest(&third.recovery_point_id).await).await;
    assert!(matches!(tables["public.a"].ranges, Ranges::Listed(_)));

    let report = delete_and_collect(&mut f, &first).await;
    assert!(report.deleted_packs > 0 && report.kept_packs > 0, "{report:?}");
    assert_whole(&f, &second).await;
    assert_whole(&f, &third).await;
    delete_and_collect(&mut f, &second).await;
    assert_whole(&f, &third).await;
    let report = delete_and_collect(&mut f, &third).await;
    assert_eq!(report.kept_packs, 0, "{report:?}");
}
