//! Large objects in numbers: read, stored, made and compared by several sessions, in ranges that stay where they are.

use std::process::Command;

use coffer_engine::manifest::{LargeObject, LargeObjectRange, Part};
use coffer_engine::part::{PART_REFERENCES_MAX, PartReader, PartWriter};
use coffer_engine::{
    BackupOptions, BackupOutcome, BackupRequest, SilentMonitor, verify_recovery_point,
};
use coffer_store::{ChunkKind, VerifyDepth, Writer, WriterOptions};

use crate::restore_files::pg_restore;
use crate::restore_support::{assert_same, dump, dump_with};
use crate::support::{DATABASE, Fixture};

/// Small ones with and without everything, empty ones, one with a hole, one that ends within a page after a hole, a long one.
const OBJECTS: &str = "
    CREATE ROLE one; CREATE ROLE two; CREATE ROLE \"Guest \"\"x\"\"\"; CREATE ROLE reader LOGIN PASSWORD 'secret-of-reader';
    CREATE PROCEDURE make() LANGUAGE plpgsql AS $$ BEGIN FOR i IN 1..6000 LOOP
      PERFORM lo_from_bytea((100000 + 3 * i)::oid, convert_to(repeat(md5(i::text), i % 7), 'UTF8'));
      IF i % 3 < 2 THEN EXECUTE format('ALTER LARGE OBJECT %s OWNER TO %s', 100000 + 3 * i, CASE i % 3 WHEN 0 THEN 'one' ELSE 'two' END); END IF;
      IF i % 5 = 0 THEN EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO \"Guest \"\"x\"\"\"', 100000 + 3 * i); END IF;
      IF i % 25 = 0 THEN EXECUTE format('GRANT UPDATE ON LARGE OBJECT %s TO one WITH GRANT OPTION', 100000 + 3 * i); END IF;
      IF i % 10 = 0 THEN EXECUTE format('COMMENT ON LARGE OBJECT %s IS %L', 100000 + 3 * i, E'it''s \\\\ ' || i); END IF;
      IF i % 1000 = 0 THEN COMMIT; END IF;
    END LOOP; END $$;
    CALL make();
    DROP PROCEDURE make();
    SELECT lo_create(90001); SELECT lo_put(90001, 3000001, 'after a hole'); SELECT lo_put(90001, 100, 'before it');
    SELECT lo_create(4294967295);
    SELECT lo_from_bytea(110000, convert_to(string_agg(md5(i::text), ''), 'UTF8')) FROM generate_series(1, 300000) i;";

async fn back_up(
    f: &Fixture,
    request: BackupRequest,
    previous: Option<&BackupOutcome>,
) -> BackupOutcome {
    let previous = previous.map(|outcome| outcome.recovery_point_id.clone());
    let options = BackupOptions { previous, ..request.options };
    f.run(BackupRequest { options, ..request }).await.expect("a backup")
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_come_back_with_all_that_they_have() {
    let f = Fixture::start().await;
    f.sql(OBJECTS);
    let first = back_up(&f, f.request(), None).await;
    let manifest = f.manifest(&first.recovery_point_id).await;
    assert_eq!(manifest.large_objects.content.rows, 6003);
    let part = manifest.large_objects.ranges.as_ref().expect("ranges");
    let ranges: Vec<LargeObjectRange> = f.list(part).await;
    assert!(ranges.len() > 2, "{} ranges", ranges.len());
    assert!(ranges.windows(2).all(|pair| pair[0].last < pair[1].first));
    let mut objects: Vec<LargeObject> = Vec::new();
    for range in &ranges {
        objects.extend(f.list::<LargeObject>(&range.list).await);
    }
    assert!(objects.is_sorted_by_key(|object| object.oid));
    let hole = &objects[0];
    assert_eq!((hole.oid, hole.bytes), (90001, 3_000_013));
    assert_eq!(objects.last().map(|object| (object.oid, object.bytes)), Some((u32::MAX, 0)));

    // A role without rights on the catalog reads the same by the functions of large objects.
    f.sql("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader; GRANT one, two TO reader;
           DO $$ DECLARE o oid; BEGIN FOR o IN SELECT oid FROM pg_largeobject_metadata WHERE lomowner = 10 LOOP
             EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO reader', o); END LOOP; END $$");
    let reader = f.source_as("reader", "secret-of-reader");
    let by_reader = back_up(&f, BackupRequest { source: reader, ..f.request() }, None).await;
    let by_reader = f.manifest(&by_reader.recovery_point_id).await;
    assert_eq!(by_reader.large_objects.content, manifest.large_objects.content);

    let point = back_up(&f, f.request(), Some(&first)).await.recovery_point_id;
    let outcome = f.restore(f.restore_request(&point, "copy")).await.expect("a restore");
    assert!(outcome.proof.equal && outcome.warnings.is_empty(), "{outcome:?}");
    assert_same(&dump(&f.server, DATABASE), &dump(&f.server, "copy"));
    let files = f.files(&point, "archive").await.expect("files");
    f.server.create_database("tool").expect("a database");
    let uri = f.server.uri("tool");
    pg_restore(&f.server, &["--exit-on-error", "-j2", "--dbname", &uri], &files.path);
    assert_same(&dump_with(&f.server, DATABASE, &[]), &dump_with(&f.server, "tool", &[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_too_many_or_too_few_is_a_difference() {
    for sql in ["SELECT lo_create(50)", "SELECT lo_unlink(100003)", "SELECT lo_put(100006, 0, 'x')"]
    {
        let f = Fixture::start().await;
        f.sql("SELECT lo_from_bytea(100000 + i, 'content') FROM generate_series(1, 10) i");
        let (backup, _) = f.backup().await;
        let uri = f.server.uri(crate::restore_support::TEMPORARY);
        let psql = f.server.bin().join("psql");
        let monitor = crate::support::OnPhase::new(coffer_engine::Phase::Proof, move || {
            let output = Command::new(psql).args(["-X", "-d", &uri, "-c", sql]).output();
            assert!(output.expect("psql").status.success());
        });
        let request = f.restore_request(&backup.recovery_point_id, "copy");
        let cancel = tokio_util::sync::CancellationToken::new();
        let error = f.restore_with(request, std::sync::Arc::new(monitor), cancel).await;
        let error = error.expect_err("a difference");
        let coffer_engine::Error::ProofFailed { differences } = error else { panic!("{error:?}") };
        assert_eq!(differences[0].object, "large objects", "{sql}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_stores_the_ranges_near_it() {
    let f = Fixture::start().await;
    f.sql(
        "SELECT count(lo_from_bytea((20000 + i)::oid, decode(content, 'hex'))) FROM (
             SELECT i, string_agg(md5((i * 100 + j)::text), '') AS content
               FROM generate_series(1, 12000) i, generate_series(1, 20) j GROUP BY i) made",
    );
    let first = back_up(&f, f.request(), None).await;
    f.sql(
        "SELECT lo_unlink(25000); SELECT lo_put(27000, 5, 'x'); SELECT lo_from_bytea(40000, 'new')",
    );
    let second = back_up(&f, f.request(), Some(&first)).await;
    let (all, stored) = (first.stats.stored_plain_bytes, second.stats.stored_plain_bytes);
    println!("{stored} of {all} bytes were stored again");
    assert!(stored < all / 2, "{stored} of {all}");
    let manifest = f.manifest(&second.recovery_point_id).await;
    assert_eq!(manifest.large_objects.content.rows, 12_000);
    let outcome = f.restore(f.restore_request(&second.recovery_point_id, "copy")).await;
    assert!(outcome.expect("a restore").proof.equal);
}

#[tokio::test(flavor = "multi_thread")]
async fn references_of_a_long_object_are_lists_of_their_own() {
    let mut f = Fixture::start().await;
    // A hole, which costs the source nothing.
    let length = (PART_REFERENCES_MAX as u64 + 3) * 1024 * 1024;
    f.sql(&format!("SELECT lo_create(7); SELECT lo_put(7, {}, 'end')", length - 3));
    let (first, manifest) = f.backup().await;
    let data = &manifest.large_objects.data;
    assert_eq!((data.depth, data.chunks.len()), (1, 2));
    assert_eq!(data.plain_bytes, length);
    let second = back_up(&f, f.request(), Some(&first)).await;
    let again = f.manifest(&second.recovery_point_id).await;
    assert_eq!(&again.large_objects.data, data, "nothing of it is stored again");
    let verify = |id: String, repository: coffer_store::Repository| async move {
        verify_recovery_point(&repository, &id, VerifyDepth::Full, &SilentMonitor)
            .await
            .expect("a report")
    };
    let report = verify(second.recovery_point_id.clone(), f.repository.clone()).await;
    assert_eq!((report.damaged_chunks, report.chunks), (0, second.stats.chunks), "{report:?}");

    // What is named only by such a list is no garbage.
    crate::garbage::delete_and_collect(&mut f, &first).await;
    let report = verify(second.recovery_point_id.clone(), f.repository.clone()).await;
    assert_eq!(report.damaged_chunks, 0);
    let mut bytes = PartReader::new(&f.repository, data);
    let mut read = 0;
    while let Some(more) = bytes.bytes().await.expect("bytes") {
        read += more.len() as u64;
    }
    assert_eq!(read, length);
}

/// A part of that many chunks of a byte or more.
async fn part(
    writer: &Writer,
    chunks: u64,
    text: impl Fn(u64) -> String,
    previous: Option<&Part>,
    f: &Fixture,
) -> Part {
    let mut stream = writer.stream();
    let previous = previous.map(|part| (f.repository.clone(), part.clone()));
    let mut part =
        PartWriter::with_previous(ChunkKind::LargeObjectData, previous).chunk_bytes(text(0).len());
    for number in 0..chunks {
        part.bytes(&mut stream, text(number).as_bytes()).await.expect("stored");
    }
    let part = part.finish(&mut stream).await.expect("a part");
    stream.finish().await.expect("stored");
    part
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_of_references_are_as_deep_as_it_takes_and_found_again() {
    let f = Fixture::start().await;
    let most = PART_REFERENCES_MAX as u64;
    let different = |number: u64| format!("{number:08}");
    let equal = |_| "=".to_owned();
    for (chunks, depth) in [(0, 0), (most, 0), (most + 1, 1), (3 * most, 1)] {
        let writer =
            f.repository.writer(&f.lease, WriterOptions::default()).await.expect("a writer");
        let first = part(&writer, chunks, different, None, &f).await;
        assert_eq!((first.depth, first.plain_bytes), (depth, 8 * chunks));
        let expected: String = (0..chunks).map(different).collect();
        assert!(f.bytes(&first).await == expected.as_bytes(), "{chunks} chunks are read back");
    }
    // A mebi of references and some more: two levels.
    let chunks = most * most + most + 1;
    let writer = f.repository.writer(&f.lease, WriterOptions::default()).await.expect("a writer");
    let first = part(&writer, chunks, equal, None, &f).await;
    assert_eq!((first.depth, first.chunks.len()), (2, 2));
    let before = writer.stats();
    let again = part(&writer, chunks, equal, Some(&first), &f).await;
    assert_eq!(again, first);
    assert_eq!(writer.stats().stored_chunks, before.stored_chunks);
}

#[tokio::test]
async fn labels_are_kept_and_named_where_they_cannot_be_set() {
    let f = Fixture::start().await;
    f.sql("SELECT lo_create(11); SELECT lo_create(12)");
    // No provider comes with PostgreSQL, so the catalog is written to.
    f.sql("SET allow_system_table_mods = on;
           INSERT INTO pg_seclabel SELECT 11, 'pg_largeobject'::regclass, 0, 'absent', 'top ''secret'''");
    let (backup, manifest) = f.backup().await;
    let objects: Vec<LargeObject> = f.list(&manifest.large_objects.list).await;
    assert_eq!((objects[0].labels.len(), objects[1].labels.len()), (1, 0));
    let label = &objects[0].labels[0];
    assert_eq!((label.provider.as_str(), label.label.as_str()), ("absent", "top 'secret'"));
    let outcome = f.restore(f.restore_request(&backup.recovery_point_id, "copy")).await;
    let warnings = outcome.expect("a restore").warnings;
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0].code, "SecurityLabelLost");
    let statement = "SECURITY LABEL FOR \"absent\" ON LARGE OBJECT 11 IS 'top ''secret''': ";
    assert!(warnings[0].message.starts_with(statement), "{warnings:?}");
}
