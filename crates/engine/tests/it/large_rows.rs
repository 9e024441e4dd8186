//! Rows too large for one message, or for one line of COPY: there and back, byte for byte.

use coffer_engine::{BackupOptions, BackupRequest, RestoreOptions, RestoreRequest};
use coffer_testkit::{PostgresOptions, has_major};

use crate::support::{DATABASE, Fixture};

/// Sums of the rows of a table that do not go through COPY.
fn sums(fixture: &Fixture, database: &str, table: &str) -> String {
    let sql = format!(
        "SELECT count(*), md5(string_agg(md5(t::text), ' ' ORDER BY md5(t::text))) FROM {table} t"
    );
    fixture.server.psql(database, &sql).expect("sums")
}

/// A backup that takes rows of a few bytes for large, and a restore that takes none of these by COPY.
async fn there_and_back(fixture: &Fixture, tables: &[&str]) {
    let request = fixture.request();
    let options = BackupOptions { large_row_bytes: 1, ..request.options.clone() };
    let backup = fixture.run(BackupRequest { options, ..request }).await.expect("a backup");
    let manifest = fixture.manifest(&backup.recovery_point_id).await;
    let in_pieces = fixture.tables(&manifest).await;
    for table in tables {
        let stored = &in_pieces[&format!("public.{table}")];
        assert_eq!(stored.large_rows, stored.content.rows, "{table}");
    }
    // COPY itself says what the text has to be.
    let request = fixture.request();
    let options = BackupOptions { large_row_bytes: u64::MAX, ..request.options.clone() };
    let whole = fixture.run(BackupRequest { options, ..request }).await.expect("a backup");
    let whole = fixture.manifest(&whole.recovery_point_id).await;
    for (name, table) in fixture.tables(&whole).await {
        assert_eq!(table.large_rows, 0, "{name}");
        assert_eq!(table.content, in_pieces[&name].content, "{name}");
    }
    for (number, copy_row_bytes_max) in [0, u64::MAX].into_iter().enumerate() {
        let database = format!("copy_{number}");
        let request = fixture.restore_request(&backup.recovery_point_id, &database);
        let options = RestoreOptions { copy_row_bytes_max, large_row_bytes: 1, ..request.options };
        let outcome = fixture.restore(RestoreRequest { options, ..request }).await;
        let outcome = outcome.expect("a restore");
        assert!(outcome.proof.equal && outcome.warnings.is_empty());
        assert_eq!(outcome.rows, manifest.totals.content.rows);
        for table in tables {
            assert_eq!(sums(fixture, DATABASE, table), sums(fixture, &database, table), "{table}");
        }
    }
}

/// Enough out-of-line data that a table may have large rows at all.
const TOASTED: &str =
    "repeat('x', 100) || (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 300) i)";

#[tokio::test(flavor = "multi_thread")]
async fn rows_read_in_pieces_are_what_copy_writes() {
    let fixture = Fixture::start().await;
    fixture.sql(&format!(
        "CREATE DOMAIN words AS text CHECK (VALUE <> 'never'); CREATE DOMAIN more_words AS words NOT NULL; CREATE TYPE pair AS (a text, b bytea);
         CREATE TABLE kinds (gone int, i int GENERATED ALWAYS AS IDENTITY, t text, v varchar(5000000), w more_words, b bytea, j json, jb jsonb, c char(9), a text[], p pair, n numeric, f float8,
           g text GENERATED ALWAYS AS (upper(v)) STORED, x xml, last text); ALTER TABLE kinds DROP COLUMN gone;
         INSERT INTO kinds (t, v, w, b, j, jb, c, a, p, n, f, x, last) VALUES
           ({TOASTED}, E'tab\\t nl\\n cr\\r \\b\\f\\v \\\\ \\\\N \\\\. ü東😀', 'w', '\\x00ff5c0a09', '{{\"a\" : \"\\\\u00e4\\n\"}}', '{{\"b\": [1]}}', 'ab', '{{\"q\\\"\",NULL}}', ROW('x', '\\x5c'), 1.50, 'NaN', '<a/>', ''),
           (NULL, NULL, '', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL), ('\\N', '\\\\N', E'\\\\', '', 'null', 'null', '', '{{}}', ROW(NULL, NULL), 0, '-0', '', 'z');
         INSERT INTO kinds (t, w, b, v, a) SELECT repeat(E'\\\\\\n東😀', 700000), repeat('w', 300000), decode(repeat('5c0a', 3000000), 'hex'), repeat('ß', 4500000), ARRAY[repeat('y', 400000), NULL];
         CREATE TABLE parent (i int, t text); CREATE TABLE child (u text) INHERITS (parent); INSERT INTO child VALUES (1, {TOASTED}, {TOASTED}); INSERT INTO parent VALUES (2, {TOASTED});
         CREATE TABLE only_long (t text); INSERT INTO only_long SELECT {TOASTED} || {TOASTED} || repeat('z', 400000) FROM generate_series(1, 3);
         CREATE TYPE mood AS ENUM ('a', 'b'); CREATE TABLE tree (m mood, t text) PARTITION BY HASH (m); CREATE TABLE leaf_0 PARTITION OF tree FOR VALUES WITH (MODULUS 2, REMAINDER 0);
         CREATE TABLE leaf_1 PARTITION OF tree FOR VALUES WITH (MODULUS 2, REMAINDER 1); INSERT INTO tree SELECT (ARRAY['a', 'b'])[1 + i % 2]::mood, {TOASTED} || i || repeat('p', 300000) FROM generate_series(1, 6) i;"
    ));
    // Not all rows of `kinds` have a value whose size says something, but all have one that is asked for.
    there_and_back(&fixture, &["only_long"]).await;
    for table in ["kinds", "child", "tree"] {
        for copy in ["copy_0", "copy_1"] {
            assert_eq!(sums(&fixture, DATABASE, table), sums(&fixture, copy, table), "{table}");
        }
    }
    let left = "SELECT count(*) FROM pg_class WHERE relname LIKE 'coffer%'";
    assert_eq!(fixture.server.psql("copy_0", left).expect("a count"), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_encoding_is_converted_on_the_way() {
    for (encoding, sample) in [
        ("LATIN1", "E'\\xe4\\\\'"),
        ("SQL_ASCII", "E'\\xff\\xfe\\n'"),
        ("EUC_JP", "E'\\xc6\\xfc\\t'"),
    ] {
        let fixture = Fixture::in_encoding(encoding).await;
        fixture.sql(&format!(
            "SET client_encoding = '{encoding}'; CREATE TABLE odd (s text, t text);
             INSERT INTO odd SELECT {sample}, repeat({sample}, 600000) || i FROM generate_series(1, 2) i;
             INSERT INTO odd SELECT {sample}, {sample} || {TOASTED}; ALTER TABLE odd ALTER t SET STORAGE EXTERNAL; INSERT INTO odd SELECT s, t || 'x' FROM odd"
        ));
        there_and_back(&fixture, &["odd"]).await;
    }
}

/// Long values of types that only the server can write: rows with nulls in them, of which SQL says that they are null and
/// not null at the same time, and domains that allow no null.
#[tokio::test(flavor = "multi_thread")]
async fn long_values_that_hold_nulls() {
    let fixture = Fixture::start().await;
    fixture.sql(
        "CREATE TYPE pair AS (a text, b text); CREATE DOMAIN some_pair AS pair; CREATE DOMAIN document AS jsonb NOT NULL; CREATE DOMAIN pairs AS pair[];
         CREATE TABLE nulls (p pair, d some_pair, n pair, a pair[], v pairs, j document, k json, c char(400000));
         INSERT INTO nulls SELECT ROW(repeat('x', 300000), NULL)::pair, ROW(NULL, repeat('y', 300000))::pair, ROW(NULL, NULL)::pair,
           ARRAY[ROW(NULL, repeat('z', 300000)), NULL]::pair[], ARRAY[NULL, ROW(repeat('\\\"', 200000), NULL)]::pair[], to_jsonb(repeat('j', 300000)), to_json(repeat('k', 300000)), 'c   ';
         INSERT INTO nulls (n, j) VALUES (ROW(NULL, repeat('x', 300000))::pair, 'null')",
    );
    there_and_back(&fixture, &["nulls"]).await;
}

/// They got in by other ways than the front door: COPY writes them as they are, and so does what stands in for it.
#[tokio::test(flavor = "multi_thread")]
async fn text_that_its_encoding_forbids() {
    for (encoding, bytes) in [("UTF8", "ff"), ("EUC_JP", "8e41")] {
        let fixture = Fixture::in_encoding(encoding).await;
        fixture.sql(&format!(
            "SET client_encoding = 'UTF8'; CREATE CAST (bytea AS text) WITHOUT FUNCTION; CREATE TABLE \"日本\" (t text, \"語\" text[], c char(9));
             INSERT INTO \"日本\" SELECT t, ARRAY[t, 'x'], '\\x{bytes}'::bytea::text
               FROM (SELECT (convert_to(repeat('x', 3000000), 'UTF8') || '\\x{bytes}')::text AS t) x;
             DROP CAST (bytea AS text)"
        ));
        let mut contents = Vec::new();
        for large_row_bytes in [1, 1 << 20, u64::MAX] {
            let request = fixture.request();
            let options = BackupOptions { large_row_bytes, ..request.options.clone() };
            let backup = fixture.run(BackupRequest { options, ..request }).await.expect("a backup");
            let manifest = fixture.manifest(&backup.recovery_point_id).await;
            contents.push(manifest.totals.content);
            // No server takes them back, as it takes back no dump with them.
            let request = fixture.restore_request(&backup.recovery_point_id, "copy");
            let error = fixture.restore(request).await.expect_err("no restore");
            assert_eq!(error.sqlstate(), Some("22021"), "{error:?}");
        }
        assert!(contents.iter().all(|content| *content == contents[2]), "{encoding}: {contents:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_have_no_place_to_be_found_by() {
    let fixture = Fixture::start().await;
    fixture.sql(
        "CREATE ACCESS METHOD another_heap TYPE TABLE HANDLER heap_tableam_handler;
         CREATE TABLE elsewhere (i int, t text, b bytea, j jsonb) USING another_heap;
         INSERT INTO elsewhere SELECT i, repeat(E'\\nü', i * 150000), decode(repeat('5c', 300000), 'hex'), to_jsonb(repeat('j', 300000)) FROM generate_series(1, 3) i",
    );
    there_and_back(&fixture, &["elsewhere"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_more_than_a_gigabyte_of_text() {
    // 600 MiB are twice that as text, and COPY can't write them.
    larger_than_copy(
        "INSERT INTO big (id, b) SELECT 1, convert_to(repeat('bytes of it,', 50 * 1024 * 1024), 'UTF8')",
        1,
    )
    .await;
}

/// Takes minutes: `cargo nextest run --release -p coffer-engine --run-ignored only large_rows`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "writes gigabytes"]
async fn rows_that_could_not_even_be_inserted_at_once() {
    larger_than_copy(
        "INSERT INTO big (id, t, u) SELECT 2, repeat(E'\\\\', 300 * 1024 * 1024), repeat(E'\\n', 300 * 1024 * 1024);
         INSERT INTO big (id, t) SELECT 3, repeat('t', 400 * 1024 * 1024); UPDATE big SET u = repeat('u', 400 * 1024 * 1024) WHERE id = 3;
         UPDATE big SET v = repeat('v', 400 * 1024 * 1024) WHERE id = 3; INSERT INTO big (id, b) SELECT 4, convert_to(repeat('b', 600 * 1024 * 1024), 'UTF8')",
        3,
    )
    .await;
}

async fn larger_than_copy(rows: &str, large: u64) {
    if !has_major(17) {
        return;
    }
    let options = PostgresOptions { major: Some(17), ..PostgresOptions::default() };
    let fixture = Fixture::start_with(&options).await;
    fixture.sql(&format!(
        "CREATE TABLE big (id int PRIMARY KEY, b bytea, t text, u text, v text);
         {rows}; INSERT INTO big (id, t) VALUES (-1, 'small'), (-2, NULL)"
    ));
    assert!(fixture.server.psql(DATABASE, "COPY big TO '/dev/null'").is_err());
    let (backup, manifest) = fixture.backup().await;
    assert!(manifest.totals.content.text_bytes > 1 << 30);
    assert_eq!(fixture.tables(&manifest).await["public.big"].large_rows, large);
    let request = fixture.restore_request(&backup.recovery_point_id, "copy");
    let outcome = fixture.restore(request).await.expect("a restore");
    assert!(outcome.proof.equal && outcome.warnings.is_empty() && outcome.rows == large + 2);
    let files = fixture.files(&backup.recovery_point_id, "files").await.expect("files");
    assert!(files.proof.equal);
    assert!(files.warnings.iter().any(|warning| warning.code == "RowTooLongForTools"));
    let lengths = "SELECT id, length(b), length(t), length(u), length(v), md5(b), md5(t) FROM big ORDER BY id";
    assert_eq!(
        fixture.server.psql("copy", lengths).expect("lengths"),
        fixture.server.psql(DATABASE, lengths).expect("lengths")
    );
}
