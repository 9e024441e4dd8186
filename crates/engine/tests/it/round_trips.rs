//! Names and tables that few think of: they come back as they were.

use coffer_engine::{BackupRequest, RestoreRequest};

use crate::restore_files::pg_restore;
use crate::restore_support::{assert_same, dump, dump_with};
use crate::support::{DATABASE, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn odd_names_of_database_and_role() {
    let f = Fixture::start().await;
    let (user, password) = ("us'er \"x\" \\ = ü;", "pa'ss \"x\" \\ = ü; %41");
    f.sql(&format!(
        "CREATE ROLE \"{}\" LOGIN SUPERUSER PASSWORD '{}'",
        user.replace('"', "\"\""),
        password.replace('\'', "''")
    ));
    for (source, target) in [
        ("a 'b' \"c\" \\d =e", "dbname=postgres host=nowhere"),
        ("postgres://nowhere/x?y=z", "-x --help"),
        ("line\nbreak", "tab\tand ünïcode %41"),
        ("Upper", "line\nbreak 2"),
    ] {
        f.server.create_database(source).expect(source);
        let mut options = f.source().with_database(source);
        options.user = user.to_owned();
        options.password = Some(password.to_owned().into());
        let request = BackupRequest { source: options.clone(), ..f.request() };
        let backup = f.run(request).await.expect(source);
        let request = f.restore_request(&backup.recovery_point_id, target);
        let outcome = f.restore(RestoreRequest { target: options, ..request }).await;
        assert!(outcome.expect(target).proof.equal);
        let found = f.sql(&format!("SELECT count(*) FROM pg_database WHERE datname = '{target}'"));
        assert_eq!(found, "1", "{target}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn odd_tables() {
    let f = Fixture::start().await;
    let wide: Vec<_> = (0..1600).map(|i| format!("c{i} int")).collect();
    f.sql(&format!("CREATE TABLE wide ({})", wide.join(", ")));
    f.sql(
        "INSERT INTO wide (c0, c1599) VALUES (1, 2);
         CREATE TABLE nothing (); INSERT INTO nothing DEFAULT VALUES; INSERT INTO nothing DEFAULT VALUES;
         CREATE TABLE calculated (i int GENERATED ALWAYS AS (1) STORED); INSERT INTO calculated DEFAULT VALUES; INSERT INTO calculated DEFAULT VALUES;
         CREATE SCHEMA \"s'\\ \"\"\n%I\"; CREATE TABLE \"s'\\ \"\"\n%I\".\"t'\\ \"\"\n%I\" (\"c'\\ \"\"\n%I\" text, \"select\" int, \"COL\" int, \"a,b\" int);
         INSERT INTO \"s'\\ \"\"\n%I\".\"t'\\ \"\"\n%I\" VALUES (E'\\\\.', 1, 2, 3), (E'\\\\N', 1, 2, 3), ('', 1, 2, 3), (NULL, 1, 2, 3), (E'a\\nb\\r\\tc', 1, 2, 3);
         CREATE TABLE dot (t text); INSERT INTO dot VALUES (E'\\\\.'), (''), (NULL);
         CREATE SEQUENCE \"s'\\ \"\"\n%I\".\"q'\\ \"\"\n%I\"; SELECT nextval('\"s''\\ \"\"\n%I\".\"q''\\ \"\"\n%I\"');
         CREATE DOMAIN small AS int CHECK (value < 100); CREATE TABLE domains (d small[], e small[][]); INSERT INTO domains VALUES ('{1,2,NULL}', '{{1},{2}}');
         CREATE TYPE pair AS (a int, b text); CREATE TABLE pairs (p pair, ps pair[]); INSERT INTO pairs VALUES ((1, E'x\\ny'), ARRAY[(2,'\"')::pair]);
         CREATE TABLE rooms (during tstzrange, EXCLUDE USING gist (during WITH &&)); INSERT INTO rooms VALUES ('[2024-01-01,2024-01-02)'), ('empty');
         CREATE TABLE floats (f float8, g float4, n numeric, m money, i interval, d date, t timestamptz);
         INSERT INTO floats VALUES ('NaN', '-Infinity', 'NaN', 12.5, '1 mon -2 days', 'infinity', '0044-03-15 BC'), (0.1::float8 + 0.2, 1e-45, 1e100, -1, '-1 year', '4713-01-01 BC', 'infinity');
         CREATE TABLE wildcard (x xml, b bytea, j json, v bit varying(9), h text COLLATE \"C\"); INSERT INTO wildcard VALUES ('<a>ü</a>', '\\x00ff5c', '{\"a\": \"\\u0001\"}', B'101', E'\\u00e4\\U0001F600');
         CREATE TABLE fast (i int); INSERT INTO fast SELECT generate_series(1, 10); ALTER TABLE fast ADD COLUMN j text DEFAULT 'x', DROP COLUMN i;
         CREATE TABLE t AS SELECT 1 AS i; CREATE SCHEMA other; CREATE VIEW other.t AS SELECT * FROM public.t; CREATE TABLE other.u (\"T\" public.t, r regclass); INSERT INTO other.u VALUES (ROW(3), 'public.t');
         CREATE TABLE self (id int PRIMARY KEY, parent int REFERENCES self); INSERT INTO self VALUES (1, 2), (2, 1) ;
         CREATE RULE nothing_in AS ON INSERT TO fast DO INSTEAD NOTHING;
         CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''no''; END'; CREATE TRIGGER no BEFORE INSERT ON fast FOR EACH ROW EXECUTE FUNCTION refuse(); ALTER TABLE fast ENABLE ALWAYS TRIGGER no;
         CREATE TABLE notvalid (i int); INSERT INTO notvalid VALUES (-1); ALTER TABLE notvalid ADD CHECK (i > 0) NOT VALID;
         CREATE UNLOGGED TABLE u (id serial, v int); INSERT INTO u (v) VALUES (1);
         CREATE TABLE h (id int, t text) PARTITION BY HASH (t); CREATE TABLE h0 PARTITION OF h FOR VALUES WITH (MODULUS 2, REMAINDER 0); CREATE TABLE h1 (t text, extra int, id int); ALTER TABLE h1 DROP COLUMN extra;
         ALTER TABLE h ATTACH PARTITION h1 FOR VALUES WITH (MODULUS 2, REMAINDER 1); INSERT INTO h SELECT i, i::text FROM generate_series(1, 100) i;
         CREATE TABLE dup (i int); INSERT INTO dup SELECT 1 FROM generate_series(1, 1000);",
    );
    let before = dump(&f.server, DATABASE);
    let (backup, manifest) = f.backup().await;
    let outcome =
        f.restore(f.restore_request(&backup.recovery_point_id, "copy")).await.expect("a restore");
    assert!(outcome.proof.equal && outcome.proof.not_proved.is_empty());
    assert_eq!(outcome.warnings, []);
    assert_eq!(outcome.rows, manifest.totals.content.rows);
    assert_same(&before, &dump(&f.server, "copy"));
    let files = f.files(&backup.recovery_point_id, "files").await.expect("files");
    assert!(files.proof.equal && files.rows == outcome.rows);
    f.server.create_database("stock").expect("a database");
    let into = f.server.uri("stock");
    pg_restore(&f.server, &["--exit-on-error", "--jobs", "2", "--dbname", &into], &files.path);
    assert_same(&before, &dump(&f.server, "stock"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database() {
    let f = Fixture::start().await;
    let (backup, _) = f.backup().await;
    let outcome =
        f.restore(f.restore_request(&backup.recovery_point_id, "copy")).await.expect("a restore");
    assert!(outcome.proof.equal);
    assert_eq!((outcome.proof.tables, outcome.rows), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_no_encoding() {
    let f = Fixture::in_encoding("SQL_ASCII").await;
    f.sql("CREATE TABLE t (v text); INSERT INTO t VALUES (E'\\xff\\xfe'), ('ü')");
    let (backup, _) = f.backup().await;
    let outcome = f.restore(f.restore_request(&backup.recovery_point_id, "copy")).await;
    assert!(outcome.expect("a restore").proof.equal);
    assert_eq!(
        f.server.psql("copy", "SELECT encode(v::bytea, 'hex') FROM t").unwrap(),
        "fffe\nc3bc"
    );
    // A name that is no text is refused, not left out.
    f.sql("DO $$ BEGIN EXECUTE 'CREATE TABLE \"' || E'n\\xff' || '\" (i int)'; END $$");
    let error = f.run(f.request()).await.unwrap_err();
    assert_eq!(error.sqlstate(), Some("22021"), "{error:?}");
    assert_eq!(f.repository.manifests().await.unwrap().valid.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn settings_of_the_role_and_the_database_do_not_matter() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE TABLE \"таблица\" AS SELECT i, now() AS n, 0.1::float8 AS f FROM generate_series(1, 1000) i;
         CREATE SCHEMA evil; SELECT lo_from_bytea(77, 'abc');
         CREATE FUNCTION evil.set_config(text, text, boolean) RETURNS text LANGUAGE sql AS 'SELECT (1 / 0)::text';
         CREATE FUNCTION evil.unnest(anyarray) RETURNS SETOF int LANGUAGE sql AS 'SELECT 1 / 0';
         CREATE FUNCTION evil.lo_get(oid, bigint, int) RETURNS bytea LANGUAGE sql AS 'SELECT NULL::bytea';
         CREATE ROLE backup LOGIN PASSWORD 'x' IN ROLE pg_read_all_data; GRANT SELECT ON LARGE OBJECT 77 TO backup;
         ALTER DATABASE shop SET client_encoding = 'LATIN1';",
    );
    for setting in [
        "search_path = evil, pg_catalog",
        "statement_timeout = '50ms'",
        "lock_timeout = '1ms'",
        "idle_in_transaction_session_timeout = '50ms'",
        "idle_session_timeout = '50ms'",
        "default_transaction_read_only = on",
        "default_transaction_isolation = 'serializable'",
        "\"DateStyle\" = 'German'",
        "standard_conforming_strings = off",
        "backslash_quote = off",
        "enable_tidscan = off",
        "transform_null_equals = on",
        "row_security = on",
        "quote_all_identifiers = on",
    ] {
        f.sql(&format!("ALTER ROLE backup SET {setting}"));
    }
    let arguments = ["--create", "--encoding=UTF8"];
    let before = dump_with(&f.server, DATABASE, &arguments);
    let request = BackupRequest { source: f.source_as("backup", "x"), ..f.request() };
    let backup = f.run(request).await.expect("a backup");
    let outcome = f.restore(f.restore_request(&backup.recovery_point_id, "copy")).await;
    let outcome = outcome.expect("a restore");
    assert!(outcome.proof.equal && outcome.proof.not_proved.is_empty());
    assert_same(&before, &dump_with(&f.server, "copy", &arguments));
}
