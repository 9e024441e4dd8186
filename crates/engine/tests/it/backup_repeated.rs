//! The second backup of what did not change stores next to nothing.

use coffer_engine::BackupOptions;
use coffer_engine::BackupOutcome;

use crate::support::Fixture;

const TABLES: &str = "
    CREATE TABLE a AS SELECT i, md5(i::text) AS t, repeat(md5((i * 7)::text), 5) AS u FROM generate_series(1, 50000) i;
    CREATE TABLE b AS SELECT i FROM generate_series(1, 1000) i;
    SELECT lo_from_bytea(1, decode(repeat('0123456789', 400000), 'hex'));";

async fn again(f: &Fixture, previous: Option<&BackupOutcome>) -> BackupOutcome {
    let mut request = f.request();
    request.options = BackupOptions {
        range_bytes: 1024 * 1024,
        chunk_bytes: 128 * 1024,
        previous: previous.map(|outcome| outcome.recovery_point_id.clone()),
        ..request.options
    };
    f.run(request).await.expect("a backup")
}

#[tokio::test]
async fn unchanged_data_is_referred_to() {
    let f = Fixture::start().await;
    f.sql(TABLES);
    let first = again(&f, None).await;
    let second = again(&f, Some(&first)).await;
    assert_eq!(second.totals.content, first.totals.content);
    assert!(first.stats.stored_plain_bytes > 10_000_000, "{:?}", first.stats);
    // The list of tables names new facts (none here), so nearly nothing is left to store.
    assert!(second.stats.stored_plain_bytes < 20_000, "{:?}", second.stats);
    assert!(second.stats.stored_bytes < first.stats.stored_bytes / 50, "{:?}", second.stats);
}

#[tokio::test]
async fn a_change_stores_what_is_near_it() {
    let f = Fixture::start().await;
    f.sql(TABLES);
    let first = again(&f, None).await;
    f.sql("UPDATE a SET t = 'changed' WHERE i = 1000; INSERT INTO b VALUES (-1)");
    let second = again(&f, Some(&first)).await;
    assert_eq!(second.totals.content.rows, first.totals.content.rows + 1);
    assert_ne!(second.totals.content.hash, first.totals.content.hash);
    assert!(
        second.stats.stored_plain_bytes < first.stats.stored_plain_bytes / 8,
        "{:?}",
        second.stats
    );
    let third = again(&f, Some(&second)).await;
    assert!(third.stats.stored_plain_bytes < 20_000, "{:?}", third.stats);
}

#[tokio::test]
async fn an_unreadable_previous_point_is_a_warning() {
    let f = Fixture::start().await;
    f.sql(TABLES);
    let mut request = f.request();
    request.options.previous = Some("f".repeat(32));
    let outcome = f.run(request).await.unwrap();
    assert!(
        outcome.warnings.iter().any(|warning| warning.code == "PreviousUnreadable"),
        "{:?}",
        outcome.warnings
    );
}
