//! Where the server summarizes its log, what the log does not list is taken over without a look, and the log's rules are kept.

use coffer_engine::backup::{Mutation, UnreadOptions};
use coffer_engine::manifest::DatabaseManifest;
use coffer_testkit::{PostgresOptions, PostgresServer, Shutdown, has_major};

use crate::backup_unread::{ROWS, after, full_read, reading, session, take, unread, without};
use crate::support::{DATABASE, Fixture};

/// Versions that summarize their log, where they are installed.
fn majors() -> impl Iterator<Item = u32> {
    [17, 18].into_iter().filter(|major| has_major(*major))
}

fn options(major: u32) -> PostgresOptions {
    PostgresOptions { major: Some(major), ..PostgresOptions::default() }
        .setting("summarize_wal", "on")
        .setting("autovacuum", "off")
        .setting("max_prepared_transactions", "5")
}

fn no_log(manifest: &DatabaseManifest) -> Option<&str> {
    manifest.reuse.as_ref().expect("what was taken over").no_log.as_deref()
}

async fn by_log(f: &Fixture, manifest: &DatabaseManifest) -> u64 {
    reading(f, manifest, "public.t").await.by_log
}

/// Rows whose hint bits are written, so that reading them leaves nothing in the log; and a summary that ends behind all that.
fn fill(f: &Fixture) {
    f.sql(ROWS);
    f.sql("VACUUM (FREEZE, ANALYZE) t");
    f.sql("CHECKPOINT");
}

#[tokio::test]
async fn what_the_log_does_not_list_is_not_looked_at() {
    for major in majors() {
        let f = Fixture::start_with(&options(major)).await;
        fill(&f);
        let first = take(&f, None, unread()).await;
        let (second, is_true) = after(&f, &first, unread()).await;
        assert!(is_true);
        assert_eq!((full_read(&second), no_log(&second)), (None, None));
        let read = reading(&f, &second, "public.t").await;
        assert_eq!((read.by_log, read.looked_at), (first.totals.ranges, 0), "{major}");
        // What it lists is looked at, and what changed is read.
        f.sql("CHECKPOINT; UPDATE t SET x = 'changed' WHERE i = 5000");
        let (third, is_true) = after(&f, &second, unread()).await;
        let read = reading(&f, &third, "public.t").await;
        assert!(is_true && read.looked_at > 0 && read.taken_over > 0, "{major}: {read:?}");
        let off = UnreadOptions { wal_summaries: false, ..unread() };
        let (fourth, is_true) = after(&f, &third, off).await;
        assert!(is_true);
        assert_eq!((no_log(&fourth), by_log(&f, &fourth).await), (Some("disabled"), 0));
    }
}

/// Those that were open at the base's snapshot wrote before it, and end after it: their blocks are not listed from there on.
#[tokio::test]
async fn a_map_from_the_snapshot_on_would_miss_who_was_open() {
    for major in majors() {
        let f = Fixture::start_with(&options(major)).await;
        fill(&f);
        for (begin, end) in [
            ("BEGIN; UPDATE t SET x = 'late' WHERE i = 20", "COMMIT"),
            ("BEGIN; SAVEPOINT s; DELETE FROM t WHERE i = 25; RELEASE s", "COMMIT"),
            (
                "BEGIN; UPDATE t SET x = 'later' WHERE i = 30; PREPARE TRANSACTION 'p'",
                "COMMIT PREPARED 'p'",
            ),
        ] {
            let client = session(&f).await;
            client.batch_execute(begin).await.expect(begin);
            f.sql("CHECKPOINT");
            let first = take(&f, None, unread()).await;
            client.batch_execute(end).await.expect(end);
            let naive = without(&[Mutation::LogFromSnapshot]);
            let (taken, is_true) = after(&f, &first, naive).await;
            assert!(!is_true, "{major}: {begin}: old rows should have been taken over");
            assert_eq!(no_log(&taken), None);
            let (taken, is_true) = after(&f, &first, unread()).await;
            assert!(is_true, "{major}: {begin}: {:?}", taken.reuse);
        }
    }
}

/// Of a file that was cut off, the blocks that are gone are not listed, though their rows were deleted: a summary forgets what it had
/// listed behind the cut.
#[tokio::test]
async fn what_was_cut_off_is_not_taken_over() {
    for major in majors() {
        // A page whose rows a transaction wrote that was not durable yet is not marked as visible to all; the next vacuum would do
        // that, and have the log list blocks that stay.
        let f = Fixture::start_with(&options(major).setting("synchronous_commit", "on")).await;
        f.sql("CREATE TABLE u AS SELECT i, repeat('x', 100) AS x FROM generate_series(1, 1500) i");
        f.sql("VACUUM (FREEZE, ANALYZE) u");
        f.sql("CHECKPOINT");
        let first = take(&f, None, unread()).await;
        f.sql("DELETE FROM u WHERE ctid >= '(15,0)'");
        f.sql("VACUUM (TRUNCATE) u");
        let (taken, is_true) = after(&f, &first, without(&[Mutation::LogWithoutLimits])).await;
        assert_eq!(reading(&f, &taken, "public.u").await.by_log, 1, "{major}");
        assert!(!is_true, "{major}: rows that were cut off should have been taken over");
        let (second, is_true) = after(&f, &first, unread()).await;
        assert!(is_true, "{major}: {:?}", second.reuse);
        assert_eq!(no_log(&second), None, "{major}");
        f.sql("TRUNCATE u");
        let (third, is_true) = after(&f, &second, unread()).await;
        assert!(is_true && third.totals.content.rows == 0, "{major}");
        assert_eq!(reading(&f, &third, "public.u").await.reason.as_deref(), Some("rewritten"));
    }
}

/// Positions in the log and numbers of transactions start over on another server, and some after a promotion that lost something. A
/// mark from before says of the wrong part of the log that nobody wrote there who was open later.
#[tokio::test]
async fn marks_of_another_server_are_not_carried_on() {
    for major in majors() {
        let mut f = Fixture::start_with(&options(major)).await;
        f.sql(ROWS);
        // Much log and few transactions.
        let skip_log = "CREATE TABLE IF NOT EXISTS x (i int); INSERT INTO x VALUES (1); SELECT pg_switch_wal()";
        for _ in 0..6 {
            f.sql(skip_log);
        }
        let of_another = take(&f, None, unread()).await;
        let mark = &of_another.snapshot.marks[0];
        f.server = PostgresServer::start_with(&options(major)).expect("another server");
        f.server.create_database(DATABASE).expect("a database");
        fill(&f);
        // Few log and many transactions.
        f.sql(&format!(
            "DO $$ BEGIN WHILE txid_current() < {} LOOP COMMIT; END LOOP; END $$",
            mark.xid + 10
        ));
        let client = session(&f).await;
        client
            .batch_execute("BEGIN; UPDATE t SET x = 'late' WHERE i = 20")
            .await
            .expect("an update");
        // Summaries are taken whole: one ends between the write and the mark.
        f.sql("CHECKPOINT");
        assert_eq!(f.sql(&format!("SELECT pg_current_wal_insert_lsn() < '{}'", mark.lsn)), "t");
        for _ in 0..8 {
            f.sql(skip_log);
        }
        assert_eq!(f.sql(&format!("SELECT pg_current_wal_insert_lsn() > '{}'", mark.lsn)), "t");
        let careless = take(&f, Some(&of_another), without(&[Mutation::MarksOfAnyHistory])).await;
        let careful = take(&f, Some(&of_another), unread()).await;
        assert_eq!(full_read(&careful), Some("other_server"));
        assert!(careless.snapshot.marks.contains(mark) && !careful.snapshot.marks.contains(mark));
        client.batch_execute("COMMIT").await.expect("its end");
        let (taken, is_true) = after(&f, &careless, unread()).await;
        assert_eq!((full_read(&taken), no_log(&taken)), (None, None), "{major}");
        assert!(!is_true, "{major}: an old row should have been taken over");
        let (taken, is_true) = after(&f, &careful, unread()).await;
        assert!(is_true && full_read(&taken).is_none(), "{major}: {:?}", taken.reuse);
    }
}

/// Summaries that are not there any more, or never were, cost time and nothing else.
#[tokio::test]
async fn without_the_log_rows_are_looked_at() {
    for major in majors() {
        let mut f = Fixture::start_with(&options(major)).await;
        fill(&f);
        let first = take(&f, None, unread()).await;
        f.sql("ALTER SYSTEM SET summarize_wal = off");
        f.sql("SELECT pg_reload_conf()");
        let (second, is_true) = after(&f, &first, unread()).await;
        assert!(is_true && second.totals.ranges_skipped == first.totals.ranges, "{major}");
        assert_eq!(no_log(&second), Some("not_summarized"), "{major}");
        // Who may not ask for a checkpoint is not kept waiting for one.
        f.sql("ALTER SYSTEM SET summarize_wal = on");
        f.sql("SELECT pg_reload_conf(); CREATE ROLE reader LOGIN PASSWORD 'a password' BYPASSRLS; GRANT pg_read_all_data TO reader");
        let request = coffer_engine::BackupRequest {
            source: f.source_as("reader", "a password"),
            ..crate::backup_unread::request(&f, Some(&second), unread())
        };
        let outcome = f.run(request).await.expect("a backup");
        let third = f.manifest(&outcome.recovery_point_id).await;
        assert_eq!(no_log(&third), Some("no_checkpoint"), "{major}");
        assert_eq!(third.totals.ranges_skipped, first.totals.ranges);
        // A crash: the log goes on where it ended, and everything is read once.
        f.server.stop(Shutdown::Immediate).expect("a crash");
        f.server.launch().expect("a start");
        let (fourth, is_true) = after(&f, &third, unread()).await;
        assert!(is_true);
        assert_eq!(full_read(&fourth), Some("restarted"));
        let (fifth, is_true) = after(&f, &fourth, unread()).await;
        assert!(is_true && full_read(&fifth).is_none());
    }
}
