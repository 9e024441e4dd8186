//! A million small large objects: wall times and peak memory of backup, restore and files.
//!
//! Not among the usual tests: `cargo test -p coffer-engine --release --test it -- --ignored --nocapture large_objects_soak`.
//! `COFFER_TEST_LARGE_OBJECTS` sets another number of objects.

use std::time::Instant;

use coffer_engine::BackupOptions;

use crate::support::{DATABASE, Fixture};

/// Peak of resident memory since it was last asked for, in MiB. Linux only; elsewhere nothing is measured.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = peak.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    drop(std::fs::write("/proc/self/clear_refs", "5"));
    kib.unwrap_or(0) / 1024
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn large_objects_soak() {
    let count: u64 = std::env::var("COFFER_TEST_LARGE_OBJECTS")
        .map_or(1_000_000, |count| count.parse().expect("a number of objects"));
    let f = Fixture::start().await;
    f.sql("CREATE ROLE one; CREATE ROLE two; CREATE ROLE guest");
    // In transactions of bounded size: each of these statements holds a lock for each object.
    f.sql(
        "CREATE PROCEDURE make(objects int8) LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..objects LOOP
           PERFORM lo_from_bytea((1000000 + i)::oid, convert_to(repeat(md5(i::text), 1 + (i % 20)::int), 'UTF8'));
           IF i % 4 < 2 THEN EXECUTE format('ALTER LARGE OBJECT %s OWNER TO %I', 1000000 + i, CASE i % 4 WHEN 0 THEN 'one' ELSE 'two' END); END IF;
           IF i % 3 = 0 THEN EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO guest', 1000000 + i); END IF;
           IF i % 10 = 0 THEN EXECUTE format('COMMENT ON LARGE OBJECT %s IS %L', 1000000 + i, 'number ' || i); END IF;
           IF i % 1000 = 0 THEN COMMIT; END IF;
         END LOOP; END $$",
    );
    f.sql(&format!("CALL make({count})"));
    f.sql("VACUUM ANALYZE pg_largeobject, pg_largeobject_metadata, pg_shdepend");
    peak_mib();
    let mut previous = None;
    for what in ["first backup", "second backup"] {
        let begun = Instant::now();
        let mut request = f.request();
        request.options = BackupOptions { previous, workers: 2, ..request.options };
        let outcome = f.run(request).await.expect("a backup");
        println!(
            "{what} of {count}: {:?}, peak {} MiB, {:?}",
            begun.elapsed(),
            peak_mib(),
            outcome.stats
        );
        previous = Some(outcome.recovery_point_id);
    }
    let point = previous.expect("two backups");
    let begun = Instant::now();
    let mut request = f.restore_request(&point, "copy");
    request.options.workers = 2;
    let outcome = f.restore(request).await.expect("a restore");
    println!("restore of {count}: {:?}, peak {} MiB", begun.elapsed(), peak_mib());
    assert!(outcome.proof.equal && outcome.warnings.is_empty(), "{outcome:?}");
    let facts = "SELECT count(*), sum(hashtext(concat_ws(' ', oid, lomowner::regrole, lomacl, obj_description(oid, 'pg_largeobject')))::int8) \
         FROM pg_largeobject_metadata";
    let copy = f.server.psql("copy", facts).expect("facts");
    assert_eq!(copy, f.server.psql(DATABASE, facts).expect("facts"));
    let begun = Instant::now();
    let files = f.files(&point, "archive").await;
    let files = files.expect("files");
    println!("{} files of {count}: {:?}, peak {} MiB", files.files, begun.elapsed(), peak_mib());
}
