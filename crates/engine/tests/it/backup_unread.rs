//! What did not change is taken over from the previous recovery point without being read, and whatever did change is read.
//!
//! Every backup here is compared with one that reads everything. What each rule is good for shows when it is taken out: then the
//! backup has rows that are not there any more.

use std::process::Command;
use std::time::Duration;

use coffer_engine::backup::{FullRead, Mutation, UnreadOptions};
use coffer_engine::manifest::{DatabaseManifest, Reading};
use coffer_engine::row_hash::RowHash;
use coffer_engine::{BackupOptions, BackupRequest};
use coffer_testkit::{PostgresOptions, PostgresServer, Shutdown};
use tokio_postgres::NoTls;

use crate::support::{DATABASE, Fixture};

pub(crate) const ROWS: &str = "CREATE TABLE t AS SELECT i, md5(i::text) AS x, repeat(md5((i * 7)::text), 3) AS y FROM generate_series(1, 10000) i";

pub(crate) fn unread() -> UnreadOptions {
    UnreadOptions {
        audit_per_mille: 0,
        table_bytes_min: 0,
        log_unit_blocks: 16,
        ..UnreadOptions::default()
    }
}

pub(crate) fn without(mutations: &[Mutation]) -> UnreadOptions {
    UnreadOptions { mutations: mutations.to_vec(), ..unread() }
}

pub(crate) fn request(
    f: &Fixture,
    previous: Option<&DatabaseManifest>,
    unread: UnreadOptions,
) -> BackupRequest {
    let request = f.request();
    let options = BackupOptions {
        range_bytes: 128 * 1024,
        chunk_bytes: 64 * 1024,
        previous: previous.map(|previous| previous.recovery_point_id.clone()),
        unread,
        ..request.options
    };
    BackupRequest { options, ..request }
}

pub(crate) async fn take(
    f: &Fixture,
    previous: Option<&DatabaseManifest>,
    unread: UnreadOptions,
) -> DatabaseManifest {
    let outcome = f.run(request(f, previous, unread)).await.expect("a backup");
    f.manifest(&outcome.recovery_point_id).await
}

/// A backup after another one, and whether it has what one has that reads everything.
pub(crate) async fn after(
    f: &Fixture,
    previous: &DatabaseManifest,
    unread: UnreadOptions,
) -> (DatabaseManifest, bool) {
    let taken = take(f, Some(previous), unread).await;
    let truth = take(f, None, self::unread()).await;
    let is_true = taken.totals.content == truth.totals.content;
    (taken, is_true)
}

pub(crate) fn full_read(manifest: &DatabaseManifest) -> Option<&str> {
    manifest.reuse.as_ref().expect("what was taken over").full_read.as_deref()
}

pub(crate) async fn reading(f: &Fixture, manifest: &DatabaseManifest, table: &str) -> Reading {
    f.tables(manifest).await[table].reading.clone()
}

#[tokio::test]
async fn what_did_not_change_is_not_read() {
    let f = Fixture::start().await;
    f.sql(ROWS);
    let first = take(&f, None, unread()).await;
    assert_eq!((full_read(&first), first.totals.ranges_skipped), (Some("no_base"), 0));
    assert!(first.totals.ranges > 8, "{:?}", first.totals);
    let (second, is_true) = after(&f, &first, unread()).await;
    assert!(is_true);
    assert_eq!(full_read(&second), None);
    assert_eq!(second.totals.ranges_skipped, first.totals.ranges);
    // As good as one that was read: restored with its proof.
    let restored = f.restore(f.restore_request(&second.recovery_point_id, "copy")).await;
    assert!(restored.expect("a restore").proof.equal);
    // And again from there, however often.
    let (third, is_true) = after(&f, &second, unread()).await;
    assert!(is_true);
    assert_eq!(third.totals.ranges_skipped, first.totals.ranges);
    let off = UnreadOptions { enabled: false, ..unread() };
    let read = take(&f, Some(&third), off).await;
    assert_eq!((full_read(&read), read.totals.ranges_skipped), (Some("disabled"), 0));
}

/// Each with about how much it spares.
#[tokio::test]
async fn every_change_is_read() {
    let f = Fixture::start().await;
    f.sql(ROWS);
    f.sql("ALTER TABLE t SET (autovacuum_enabled = false)");
    let mut previous = take(&f, None, unread()).await;
    let changes = [
        "UPDATE t SET x = 'changed' WHERE i = 5000",
        "DELETE FROM t WHERE i = 5001",
        "INSERT INTO t VALUES (-1, 'new', '')",
        "DELETE FROM t WHERE i = 10; VACUUM t; INSERT INTO t VALUES (10, 'in its place', repeat('y', 96))",
        "BEGIN; SAVEPOINT s; UPDATE t SET x = 'by a subtransaction' WHERE i = 2000; RELEASE s; COMMIT",
        "BEGIN; SAVEPOINT s; UPDATE t SET x = 'given up' WHERE i = 2000; ROLLBACK TO s; UPDATE t SET x = 'kept' WHERE i = 2001; COMMIT",
        "UPDATE t SET i = i WHERE i = 3000",
        "VACUUM (FREEZE) t",
        "BEGIN; SELECT * FROM t WHERE i = 1 FOR UPDATE; COMMIT",
    ];
    for change in changes {
        f.sql(change);
        let (taken, is_true) = after(&f, &previous, unread()).await;
        assert!(is_true, "{change}");
        let read = taken.totals.ranges - taken.totals.ranges_skipped;
        assert!(read <= 4, "{change}: {read} of {} were read", taken.totals.ranges);
        previous = taken;
    }
    // A rewritten table is read whole.
    for change in [
        "VACUUM FULL t",
        "BEGIN; CREATE TEMP TABLE old AS SELECT * FROM t; TRUNCATE t; INSERT INTO t SELECT * FROM old; COMMIT",
        "ALTER TABLE t SET UNLOGGED",
        "ALTER TABLE t SET LOGGED",
    ] {
        f.sql(change);
        let (taken, is_true) = after(&f, &previous, unread()).await;
        assert!(is_true && taken.totals.ranges_skipped == 0, "{change}: {:?}", taken.totals);
        previous = taken;
    }
    // Shorter, and longer by more than the last range.
    for change in [
        "DELETE FROM t WHERE i > 4000; VACUUM t",
        "INSERT INTO t SELECT i, 'more', repeat('z', 96) FROM generate_series(20000, 26000) i",
    ] {
        f.sql(change);
        let (taken, is_true) = after(&f, &previous, unread()).await;
        assert!(is_true, "{change}");
        assert!(taken.totals.ranges_skipped > 0, "{change}: {:?}", taken.totals);
        previous = taken;
    }
}

pub(crate) async fn session(f: &Fixture) -> tokio_postgres::Client {
    let (client, connection) =
        tokio_postgres::connect(&f.server.uri(DATABASE), NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

/// Whoever began before the snapshot and ends after it changes what the snapshot did not see, in any of these ways.
#[tokio::test]
async fn transactions_that_were_open_are_not_taken_for_ended() {
    let options = PostgresOptions::default().setting("max_prepared_transactions", "5");
    let f = Fixture::start_with(&options).await;
    f.sql(ROWS);
    f.sql("CREATE TABLE other (i int)");
    for (begin, end) in [
        ("BEGIN; INSERT INTO t VALUES (-7, 'late', ''); DELETE FROM t WHERE i = 9999", "COMMIT"),
        ("BEGIN; SAVEPOINT s; UPDATE t SET x = 'late' WHERE i = 20; RELEASE s", "COMMIT"),
        ("BEGIN; UPDATE t SET x = 'never' WHERE i = 30", "ROLLBACK"),
        (
            "BEGIN; UPDATE t SET x = 'later' WHERE i = 40; PREPARE TRANSACTION 'p'",
            "COMMIT PREPARED 'p'",
        ),
    ] {
        let client = session(&f).await;
        client.batch_execute(begin).await.expect(begin);
        // One that began later has ended: the snapshot's upper bound is behind both.
        f.sql("INSERT INTO other VALUES (1)");
        let first = take(&f, None, unread()).await;
        client.batch_execute(end).await.expect(end);
        let (second, is_true) = after(&f, &first, unread()).await;
        assert!(is_true && full_read(&second).is_none(), "{begin}");
        let (_, is_true) = after(&f, &second, unread()).await;
        assert!(is_true, "{begin}, and once more");
    }
}

#[tokio::test]
async fn each_part_of_the_comparison_is_needed() {
    let f = Fixture::start().await;
    f.sql(ROWS);
    f.sql("CREATE TABLE other (i int)");
    // Room for the new version beside the old one.
    f.sql("DELETE FROM t WHERE i = 101; VACUUM t");
    let first = take(&f, None, unread()).await;
    f.sql("UPDATE t SET x = md5('changed') WHERE i = 100");
    let (_, is_true) = after(&f, &first, without(&[Mutation::CountAlone])).await;
    assert!(!is_true, "as many rows were taken for the same");
    let first = take(&f, None, unread()).await;
    f.sql("DELETE FROM t WHERE i = 200");
    let (_, is_true) = after(&f, &first, without(&[Mutation::AgesAlone])).await;
    assert!(!is_true, "none younger were taken for the same");
    // A row comes from a transaction that was open, and another goes.
    let client = session(&f).await;
    client
        .batch_execute("BEGIN; UPDATE t SET x = 'late' WHERE i = 10000")
        .await
        .expect("an update");
    f.sql("INSERT INTO other VALUES (1)");
    let first = take(&f, None, unread()).await;
    client.batch_execute("COMMIT").await.expect("its end");
    let (taken, is_true) = after(&f, &first, without(&[Mutation::BoundByXmax])).await;
    assert!(!is_true, "a transaction that was open was taken for ended");
    // What is read all the same finds it out, says so, and all is read then.
    let audited = UnreadOptions { audit_per_mille: 1000, ..without(&[Mutation::BoundByXmax]) };
    let (found, is_true) = after(&f, &first, audited.clone()).await;
    assert!(is_true);
    assert_eq!(full_read(&found), Some("mismatch"));
    assert!(found.warnings.iter().any(|warning| warning.code == "UnchangedRangeDiffered"));
    assert_eq!(found.reuse.as_ref().unwrap().mismatch.as_ref().unwrap().table, "public.t");
    // It is not forgotten.
    let (next, is_true) = after(&f, &found, unread()).await;
    assert!(is_true);
    assert_eq!(full_read(&next), Some("mismatch"));
    drop(taken);
}

#[tokio::test]
async fn a_part_of_what_is_spared_is_read_and_compared() {
    let f = Fixture::start().await;
    f.sql(ROWS);
    let first = take(&f, None, unread()).await;
    let all = UnreadOptions { audit_per_mille: 1000, ..unread() };
    let (taken, is_true) = after(&f, &first, all).await;
    assert!(is_true && full_read(&taken).is_none());
    let reading = reading(&f, &taken, "public.t").await;
    assert_eq!((reading.audited, reading.taken_over), (first.totals.ranges, 0));
}

#[tokio::test]
async fn everything_is_read_now_and_then_and_after_a_restart() {
    let mut f = Fixture::start().await;
    f.sql(ROWS);
    let first = take(&f, None, unread()).await;
    let soon = UnreadOptions { full_read_after: Duration::from_nanos(1), ..unread() };
    assert_eq!(full_read(&take(&f, Some(&first), soon).await), Some("due"));
    let second = take(&f, Some(&first), unread()).await;
    let read_at = |manifest: &DatabaseManifest| {
        manifest.reuse.as_ref().expect("what was taken over").last_full_read_unix_us
    };
    // Counted from when all was read, not from the last backup.
    assert_eq!((full_read(&second), read_at(&second)), (None, first.snapshot.taken_at_unix_us));
    f.server.psql("postgres", "CREATE DATABASE other TEMPLATE template0").expect("a database");
    let other = BackupRequest {
        source: f.source().with_database("other"),
        ..request(&f, Some(&second), unread())
    };
    let other = f.run(other).await.expect("a backup of another database");
    assert_eq!(full_read(&f.manifest(&other.recovery_point_id).await), Some("other_database"));
    f.server.stop(Shutdown::Fast).expect("a stop");
    f.server.launch().expect("a start");
    let (third, is_true) = after(&f, &second, unread()).await;
    assert!(is_true);
    assert_eq!(
        (full_read(&third), read_at(&third)),
        (Some("restarted"), third.snapshot.taken_at_unix_us)
    );
    assert_eq!(full_read(&take(&f, Some(&third), unread()).await), None);
}

/// Stands still until the server is stopped: nothing that was not asked for becomes durable.
fn stop_process(server: &PostgresServer, kind: &str) {
    let sql = format!("SELECT pid FROM pg_stat_activity WHERE backend_type = '{kind}'");
    let pid = server.psql("postgres", &sql).expect("its number");
    assert!(!pid.is_empty(), "there is no {kind}");
    let stopped = Command::new("kill").args(["-STOP", &pid]).status().expect("kill");
    assert!(stopped.success());
}

/// A row was written and backed up, and the server lost it in a crash; another one has its place and its transaction's number.
#[tokio::test]
async fn a_commit_that_was_lost_in_a_crash_is_not_taken_over() {
    let options = PostgresOptions::default()
        .setting("synchronous_commit", "off")
        .setting("bgwriter_lru_maxpages", "0")
        .setting("checkpoint_timeout", "1h")
        .setting("autovacuum", "off");
    let lost_and_replaced = async |rules: &[Mutation]| {
        let mut f = Fixture::start_with(&options).await;
        f.sql(ROWS);
        f.sql("SET synchronous_commit = on; CREATE TABLE flushed AS SELECT 1; CHECKPOINT");
        stop_process(&f.server, "walwriter");
        f.sql("INSERT INTO t VALUES (-1, 'lost', '')");
        let unsafe_flush = without(&[Mutation::Without(FullRead::NotDurable)]);
        let first = take(&f, None, unsafe_flush).await;
        assert!(first.totals.content.rows > 10_000);
        f.server.stop(Shutdown::Immediate).expect("a crash");
        f.server.launch().expect("a start");
        assert_eq!(f.sql("SELECT count(*) FROM t WHERE i = -1"), "0", "it was durable");
        f.sql("INSERT INTO t VALUES (-1, 'kept', '')");
        after(&f, &first, without(rules)).await
    };
    let without_restart = Mutation::Without(FullRead::Restarted);
    let (taken, is_true) = lost_and_replaced(&[without_restart]).await;
    assert!(is_true);
    assert_eq!(full_read(&taken), Some("not_durable"));
    let rules = [without_restart, Mutation::Without(FullRead::NotDurable)];
    let (taken, is_true) = lost_and_replaced(&rules).await;
    assert_eq!(full_read(&taken), None);
    assert!(!is_true, "the lost row should have been taken over");
    let (taken, is_true) = lost_and_replaced(&[Mutation::Without(FullRead::NotDurable)]).await;
    assert!(is_true);
    assert_eq!(full_read(&taken), Some("restarted"));
}

/// A standby that had not got the last row became the primary, and wrote another one in its place.
#[tokio::test]
async fn a_promotion_that_lost_something_is_seen() {
    let f = Fixture::start().await;
    f.sql(ROWS);
    f.sql("ALTER TABLE t SET (autovacuum_enabled = false)");
    let standby = f.server.start_standby(&PostgresOptions::default()).expect("a standby");
    f.server.wait_for_replay(&standby).expect("a standby that follows");
    stop_process(&standby, "walreceiver");
    f.sql("INSERT INTO t VALUES (-1, 'lost', '')");
    let first = take(&f, None, unread()).await;
    let receiver = standby
        .psql("postgres", "SELECT pid FROM pg_stat_activity WHERE backend_type = 'walreceiver'")
        .expect("its number");
    // It has not heard of the row; it ends without hearing of it.
    Command::new("kill").args(["-KILL", &receiver]).status().expect("kill");
    let mut f = f;
    f.server.stop(Shutdown::Immediate).expect("the end of the primary");
    coffer_testkit::wait_until("the standby's return", Duration::from_secs(60), || {
        Ok(standby.psql("postgres", "SELECT 1").ok())
    })
    .expect("a standby");
    standby.promote().expect("a promotion");
    let psql = f.psql().with_uri(standby.uri(DATABASE));
    assert_eq!(psql.sql("SELECT count(*) FROM t WHERE i = -1"), "0", "it was not lost");
    psql.sql("INSERT INTO t VALUES (-1, 'kept', '')");
    let of_promoted = async |previous: Option<&DatabaseManifest>, rules: &[Mutation]| {
        let request = BackupRequest {
            source: f.source().with_address("127.0.0.1", standby.port()),
            ..request(&f, previous, without(rules))
        };
        let outcome = f.run(request).await.expect("a backup of what was promoted");
        f.manifest(&outcome.recovery_point_id).await
    };
    let truth = of_promoted(None, &[]).await;
    let without_restart = Mutation::Without(FullRead::Restarted);
    let taken = of_promoted(Some(&first), &[without_restart]).await;
    assert_eq!(full_read(&taken), Some("other_timeline"));
    assert_eq!(taken.totals.content, truth.totals.content);
    let rules = [without_restart, Mutation::Without(FullRead::OtherTimeline)];
    let taken = of_promoted(Some(&first), &rules).await;
    assert_eq!(full_read(&taken), None);
    assert_ne!(
        taken.totals.content, truth.totals.content,
        "the lost row should have been taken over"
    );
}

#[tokio::test]
async fn rows_hashed_in_the_old_way_are_proved_and_read_once_more() {
    let f = Fixture::start().await;
    f.sql(ROWS);
    let mut request = request(&f, None, unread());
    request.options.row_hash = RowHash::Bare;
    let old = f.run(request).await.expect("a backup");
    let old = f.manifest(&old.recovery_point_id).await;
    assert_eq!(old.engine_format, 2);
    let outcome = f.run(self::request(&f, Some(&old), unread())).await.expect("a backup");
    let new = f.manifest(&outcome.recovery_point_id).await;
    assert_eq!((full_read(&new), new.totals.ranges_skipped), (Some("other_row_hash"), 0));
    assert_ne!(new.totals.content.hash, old.totals.content.hash);
    for (number, manifest) in [&old, &new].into_iter().enumerate() {
        let restored = f
            .restore(f.restore_request(&manifest.recovery_point_id, &format!("copy{number}")))
            .await;
        assert!(restored.expect("a restore").proof.equal);
    }
    let third = take(&f, Some(&new), unread()).await;
    assert_eq!((full_read(&third), third.totals.content), (None, new.totals.content));
    assert_eq!(third.totals.ranges_skipped, third.totals.ranges);
}
