//! What is in a recovery point is what was in the database.

use coffer_engine::manifest::{LargeObject, MaterializedView, Ranges, Sequence};
use coffer_engine::part::{LINE_BYTES_MAX, PartWriter};
use coffer_engine::{BackupOptions, BackupRequest, Error, SilentMonitor, verify_recovery_point};
use coffer_store::{ChunkKind, VerifyDepth, WriterOptions};
use coffer_testkit::Shutdown;

use crate::support::Fixture;

#[tokio::test]
async fn kinds_of_tables() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'glad');
         CREATE TABLE parted (i int, t text) PARTITION BY LIST (i);
         CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
         CREATE TABLE parted_2 PARTITION OF parted FOR VALUES IN (2) PARTITION BY RANGE (t);
         CREATE TABLE parted_2_a PARTITION OF parted_2 DEFAULT;
         INSERT INTO parted VALUES (1, 'one'), (2, 'two');
         CREATE TABLE parent (i int); INSERT INTO parent VALUES (1);
         CREATE TABLE child (j int) INHERITS (parent); INSERT INTO child VALUES (2, 3);
         CREATE TABLE generated (i int, twice int GENERATED ALWAYS AS (i * 2) STORED, m mood, gone int);
         ALTER TABLE generated DROP COLUMN gone;
         INSERT INTO generated VALUES (21, DEFAULT, 'glad'), (NULL, DEFAULT, NULL);
         CREATE TABLE identity (i int GENERATED ALWAYS AS IDENTITY, t text); INSERT INTO identity (t) VALUES (E'a\\tb\\nc\\\\');
         CREATE UNLOGGED TABLE unlogged (i int); INSERT INTO unlogged VALUES (7);
         CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
         CREATE TABLE names (c regclass);
         CREATE TABLE \"Odd \"\"näme\"\"\" (\"sel ect\" int); INSERT INTO \"Odd \"\"näme\"\"\" VALUES (1);
         CREATE TEMPORARY TABLE temporary (i int);
         CREATE VIEW v AS SELECT 1;",
    );
    let (outcome, manifest) = f.backup().await;
    let tables = f.tables(&manifest).await;
    let text = async |name: &str| f.text(&tables[name]).await;
    assert_eq!(text("public.parted_1").await, "1\tone\n");
    assert_eq!(text("public.parted_2_a").await, "2\ttwo\n");
    assert_eq!(
        tables["public.parted_2_a"].partition_root,
        Some(("public".into(), "parted".into()))
    );
    assert!(!tables.contains_key("public.parted"));
    assert_eq!(text("public.parent").await, "1\n", "ONLY");
    assert_eq!(text("public.child").await, "2\t3\n");
    assert_eq!(text("public.generated").await, "21\tglad\n\\N\t\\N\n");
    let columns: Vec<_> =
        tables["public.generated"].columns.iter().map(|c| c.type_name.as_str()).collect();
    assert_eq!(columns, ["integer", "public.mood"]);
    assert_eq!(text("public.identity").await, "1\ta\\tb\\nc\\\\\n");
    assert_eq!(text("public.unlogged").await, "7\n");
    assert_eq!(
        (text("public.nothing").await.as_str(), tables["public.nothing"].content.rows),
        ("\n\n", 2)
    );
    assert_eq!(text("public.Odd \"näme\"").await, "1\n");
    assert!(tables["public.names"].never_skip && !tables["public.generated"].never_skip);
    assert_eq!(tables.len(), 10);
    assert_eq!((outcome.totals.tables, outcome.totals.content.rows), (10, 11));
    let toc = f.bytes(&manifest.schema.toc).await;
    assert!(toc.starts_with(b"PGDMP"), "the schema is an archive");
    assert!(manifest.schema.tool_version.starts_with(&f.server.major().to_string()));
}

#[tokio::test]
async fn sequences_large_objects_and_views() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE ROLE keeper;
         CREATE SEQUENCE untouched START 5; CREATE SEQUENCE used; SELECT nextval('used'), nextval('used');
         CREATE SEQUENCE put; SELECT setval('put', 42, false);
         SELECT lo_from_bytea(100, 'small'); SELECT lo_from_bytea(200, decode(repeat('abcdef', 3000000), 'hex'));
         SELECT lo_create(300); SELECT lo_from_bytea(400, decode(repeat('00', 65536), 'hex'));
         COMMENT ON LARGE OBJECT 100 IS 'it''s small'; ALTER LARGE OBJECT 200 OWNER TO keeper;
         GRANT SELECT ON LARGE OBJECT 100 TO keeper;
         CREATE TABLE base AS SELECT 1 AS i;
         CREATE MATERIALIZED VIEW z_first AS SELECT * FROM base;
         CREATE VIEW between AS SELECT * FROM z_first;
         CREATE MATERIALIZED VIEW a_second AS SELECT * FROM between WITH NO DATA;",
    );
    let (_, manifest) = f.backup().await;
    let sequences: Vec<Sequence> = f.list(&manifest.sequences).await;
    let positions: Vec<_> =
        sequences.iter().map(|s| (s.name.as_str(), s.last_value, s.is_called)).collect();
    assert_eq!(positions, [("put", 42, false), ("untouched", 5, false), ("used", 2, true)]);

    let objects: Vec<LargeObject> = f.list(&manifest.large_objects.list).await;
    let facts: Vec<_> = objects.iter().map(|o| (o.oid, o.owner.as_str(), o.bytes)).collect();
    assert_eq!(
        facts,
        [
            (100, "postgres", 5),
            (200, "keeper", 9_000_000),
            (300, "postgres", 0),
            (400, "postgres", 65536)
        ]
    );
    assert_eq!(objects[0].comment.as_deref(), Some("it's small"));
    assert!(
        objects[0].acl.as_ref().is_some_and(|acl| acl.contains(&"keeper=r/postgres".to_owned()))
    );
    let bytes = f.bytes(&manifest.large_objects.data).await;
    assert_eq!(&bytes[..8], b"small\xab\xcd\xef");
    assert_eq!((bytes.len(), manifest.large_objects.content.rows), (5 + 9_000_000 + 65536, 4));

    let views: Vec<MaterializedView> = f.list(&manifest.materialized_views).await;
    let views: Vec<_> = views.iter().map(|v| (v.name.as_str(), v.populated)).collect();
    assert_eq!(views, [("z_first", true), ("a_second", false)]);
    assert_eq!(manifest.not_proved.len(), 1);
    assert_eq!(manifest.not_proved[0].object, "materialized view public.z_first");
}

#[tokio::test]
async fn properties_of_the_database() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE ROLE boss; CREATE ROLE app LOGIN;
         ALTER DATABASE shop OWNER TO boss; COMMENT ON DATABASE shop IS 'sells'; GRANT CONNECT ON DATABASE shop TO app;
         ALTER DATABASE shop CONNECTION LIMIT 77; ALTER DATABASE shop SET work_mem = '16MB';
         ALTER ROLE app IN DATABASE shop SET search_path = 'a', 'b'; CREATE EXTENSION hstore;",
    );
    let (_, manifest) = f.backup().await;
    let database = &manifest.database;
    assert_eq!((database.owner.as_str(), database.comment.as_deref()), ("boss", Some("sells")));
    assert_eq!((database.connection_limit, database.encoding.as_str()), (77, "UTF8"));
    let settings: Vec<_> = database
        .settings
        .iter()
        .map(|s| (s.role.as_deref(), s.name.as_str(), s.value.as_str()))
        .collect();
    assert_eq!(settings, [(None, "work_mem", "16MB"), (Some("app"), "search_path", "a, b")]);
    assert!(
        database.acl.as_ref().is_some_and(|acl| acl.iter().any(|item| item.starts_with("app=c/")))
    );
    assert!(manifest.extensions.iter().any(|e| e.name == "hstore" && e.schema == "public"));
    assert!(manifest.source.timeline == 1 && !manifest.source.system_identifier.is_empty());
    assert_eq!(manifest.snapshot.marks.len(), 2);
    assert!(manifest.snapshot.flush_lsn.is_some());
    assert!(
        manifest.warnings.iter().all(|warning| warning.code.starts_with("Unpatched")),
        "{:?}",
        manifest.warnings
    );
}

#[tokio::test]
async fn only_an_extensions_own_rows_are_left_out() {
    let f = Fixture::start().await;
    // What CREATE EXTENSION does for a configuration table, without an extension's files.
    f.sql(
        "CREATE EXTENSION hstore;
         CREATE TABLE config (key text, standard boolean); INSERT INTO config VALUES ('own', false), ('shipped', true);
         CREATE TABLE internal AS SELECT 1 AS i;
         CREATE SEQUENCE inside;
         ALTER EXTENSION hstore ADD TABLE config; ALTER EXTENSION hstore ADD TABLE internal;
         ALTER EXTENSION hstore ADD SEQUENCE inside;
         UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid], extcondition = ARRAY['WHERE NOT standard']
           WHERE extname = 'hstore';",
    );
    let (_, manifest) = f.backup().await;
    let tables = f.tables(&manifest).await;
    assert_eq!(tables.keys().collect::<Vec<_>>(), ["public.config"]);
    let config = &tables["public.config"];
    assert_eq!(f.text(config).await, "own\tf\n");
    assert_eq!(config.extension.as_deref(), Some("hstore"));
    assert_eq!(config.extension_condition.as_deref(), Some("WHERE NOT standard"));
    assert_eq!(manifest.sequences.items, 0);
    let left_out: Vec<_> = manifest.not_proved.iter().map(|not| not.object.as_str()).collect();
    assert_eq!(left_out, ["table public.internal"]);
}

#[tokio::test]
async fn ranges_cover_every_row_once() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 10) AS t FROM generate_series(1, 60000) i;
         CREATE TABLE toasted (i int, t text); ALTER TABLE toasted ALTER t SET STORAGE EXTERNAL;
         INSERT INTO toasted SELECT i, repeat(md5(i::text), 3000) FROM generate_series(1, 100) i;",
    );
    let mut request = f.request();
    request.options =
        BackupOptions { range_bytes: 512 * 1024, chunk_bytes: 64 * 1024, ..request.options };
    let outcome = f.run(request).await.unwrap();
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    let tables = f.tables(&manifest).await;
    let big = &tables["public.big"];
    assert!(matches!(big.ranges, Ranges::Listed(_)), "many ranges are a list of their own");
    let ranges = f.ranges(big).await;
    assert!(ranges.len() > 16);
    assert!(ranges.windows(2).all(|pair| pair[0].end_block == Some(pair[1].start_block)));
    assert_eq!((ranges[0].start_block, ranges.last().unwrap().end_block), (0, None));
    assert_eq!(big.content.rows, 60_000);
    let whole = f.sql("COPY big TO STDOUT");
    assert_eq!(f.text(big).await, format!("{whole}\n"));
    assert_eq!(tables["public.toasted"].content.rows, 100);
    assert_eq!(big.content.text_bytes, whole.len() as u64 + 1);
    let report = verify_recovery_point(
        &f.repository,
        &outcome.recovery_point_id,
        VerifyDepth::Full,
        &SilentMonitor,
    )
    .await;
    let report = report.unwrap();
    assert_eq!(report.damaged_chunks, 0);
    assert!(report.plain_bytes > big.content.text_bytes);
}

#[tokio::test]
async fn rows_are_never_converted() {
    let f = Fixture::in_encoding("LATIN1").await;
    f.sql("SET client_encoding = 'UTF8'; CREATE TABLE \"größe\" (\"straße\" text); INSERT INTO \"größe\" VALUES ('é')");
    let (_, manifest) = f.backup().await;
    assert_eq!(manifest.database.encoding, "LATIN1");
    let tables = f.tables(&manifest).await;
    let table = &tables["public.größe"];
    let chunk = f.ranges(table).await[0].chunks[0];
    assert_eq!(&chunk.read(&f.repository).await.unwrap()[..], b"\xe9\n");
}

#[tokio::test]
async fn what_a_standby_cannot_read_is_said() {
    let mut f = Fixture::start().await;
    // Since 15 a sequence is unlogged with its table.
    f.sql(
        "CREATE UNLOGGED TABLE passing (id serial); INSERT INTO passing DEFAULT VALUES;
         CREATE TABLE kept (id serial); INSERT INTO kept DEFAULT VALUES",
    );
    let directory = f.sql("SHOW data_directory");
    f.server.stop(Shutdown::Fast).unwrap();
    std::fs::write(format!("{directory}/standby.signal"), "").unwrap();
    f.server.launch().unwrap();
    let (_, manifest) = f.backup().await;
    assert!(manifest.source.in_recovery);
    assert_eq!(f.tables(&manifest).await.into_keys().collect::<Vec<_>>(), ["public.kept"]);
    let sequences: Vec<Sequence> = f.list(&manifest.sequences).await;
    let names: Vec<_> = sequences.iter().map(|sequence| sequence.name.as_str()).collect();
    let left_out: Vec<_> = manifest.not_proved.iter().map(|not| not.object.as_str()).collect();
    if f.server.major() >= 15 {
        assert_eq!(names, ["kept_id_seq"]);
        assert_eq!(left_out, ["table public.passing", "sequence public.passing_id_seq"]);
    } else {
        assert_eq!(names, ["kept_id_seq", "passing_id_seq"]);
        assert_eq!(left_out, ["table public.passing"]);
    }
}

#[tokio::test]
async fn a_list_that_no_reader_accepts_is_not_written() {
    let f = Fixture::start().await;
    let writer = f.repository.writer(&f.lease, WriterOptions::default()).await.unwrap();
    let mut stream = writer.stream();
    let mut part = PartWriter::new(ChunkKind::TableList);
    // With its two quotation marks it is one byte too long.
    let error = part.line(&mut stream, &"x".repeat(LINE_BYTES_MAX - 1)).await.unwrap_err();
    assert!(matches!(error, Error::Unsupported { code: "EntryTooLong", .. }), "{error:?}");
    let mut part = PartWriter::new(ChunkKind::TableList);
    part.line(&mut stream, &"x".repeat(LINE_BYTES_MAX - 2)).await.unwrap();
    let part = part.finish(&mut stream).await.unwrap();
    stream.finish().await.unwrap();
    assert_eq!(f.list::<String>(&part).await[0].len(), LINE_BYTES_MAX - 2);
}

#[tokio::test]
async fn the_sample_database() {
    let f = Fixture::start().await;
    f.server.load_sample("sample", 1).unwrap();
    let request = BackupRequest { source: f.source().with_database("sample"), ..f.request() };
    let outcome = f.run(request).await.unwrap();
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    for table in f.tables(&manifest).await.values() {
        let name = format!(
            "\"{}\".\"{}\"",
            table.schema.replace('"', "\"\""),
            table.name.replace('"', "\"\"")
        );
        let condition = table.extension_condition.as_deref().unwrap_or_default();
        let count = f
            .server
            .psql("sample", &format!("SELECT count(*) FROM ONLY {name} {condition}"))
            .unwrap();
        assert_eq!(table.content.rows.to_string(), count, "{name}");
    }
}
