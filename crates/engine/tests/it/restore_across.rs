//! Restores where source and target differ: encodings and versions.

use crate::restore_support::{assert_same, dump_with};
use crate::support::{DATABASE, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_another_encoding_comes_back_in_it() {
    let fixture = Fixture::in_encoding("LATIN1").await;
    fixture.sql(
        "SET client_encoding = 'UTF8';
         CREATE TABLE \"é\" (\"ü\" text, id serial PRIMARY KEY); INSERT INTO \"é\" VALUES ('naïve'), ('ÿ');
         CREATE MATERIALIZED VIEW \"ä\" AS SELECT count(*) FROM \"é\"; SELECT lo_from_bytea(4711, '\\xff');
         COMMENT ON LARGE OBJECT 4711 IS 'ö'; COMMENT ON TABLE \"é\" IS 'ß'",
    );
    let (backup, _) = fixture.backup().await;
    let point = backup.recovery_point_id;
    let outcome =
        fixture.restore(fixture.restore_request(&point, "copy")).await.expect("a restore");
    assert!(outcome.proof.equal);
    let encoding = "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = 'copy'";
    assert_eq!(fixture.server.psql("copy", encoding).expect("an encoding"), "LATIN1");
    let arguments = ["--encoding=UTF8"];
    let expected = dump_with(&fixture.server, DATABASE, &arguments);
    assert_same(&expected, &dump_with(&fixture.server, "copy", &arguments));
    let files = fixture.files(&point, "latin").await.expect("files");
    fixture.server.create_database("of_files").expect("a database");
    crate::restore_files::pg_restore(
        &fixture.server,
        &["--exit-on-error", "--jobs=2", "--dbname", &fixture.server.uri("of_files")],
        &files.path,
    );
    let found = dump_with(&fixture.server, "of_files", &arguments);
    assert_same(&expected, &found);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_behind_foreign_tables_is_never_asked() {
    let fixture = Fixture::start().await;
    // Nothing listens there: whoever asks fails.
    fixture.sql(
        "CREATE EXTENSION postgres_fdw; CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1');
         CREATE USER MAPPING FOR PUBLIC SERVER away;
         CREATE TABLE half (i int) PARTITION BY LIST (i); CREATE FOREIGN TABLE half_1 PARTITION OF half FOR VALUES IN (1) SERVER away;
         CREATE TABLE half_2 PARTITION OF half FOR VALUES IN (2); INSERT INTO half VALUES (2); CREATE INDEX half_i ON half (i);
         CREATE TABLE parent (i int); CREATE FOREIGN TABLE child () INHERITS (parent) SERVER away; INSERT INTO parent VALUES (3)",
    );
    let (backup, _) = fixture.backup().await;
    let point = backup.recovery_point_id;
    let outcome =
        fixture.restore(fixture.restore_request(&point, "copy")).await.expect("a restore");
    assert!(outcome.proof.equal && outcome.rows == 2);
    let codes: Vec<_> = outcome.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["IndexNotValid"]);
    let analyzed =
        "SELECT relname FROM pg_class WHERE reltuples > 0 AND relkind = 'r' AND relname = 'half_2'";
    assert_eq!(fixture.server.psql("copy", analyzed).expect("statistics"), "half_2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_view_of_another_server_that_is_away_stays_empty_and_is_named() {
    let fixture = Fixture::start().await;
    fixture.sql(
        "CREATE EXTENSION postgres_fdw; CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1');
         CREATE USER MAPPING FOR PUBLIC SERVER away; CREATE TABLE switch (away bool); INSERT INTO switch VALUES (false);
         CREATE FOREIGN TABLE far (i int) SERVER away; CREATE FUNCTION look() RETURNS int LANGUAGE plpgsql AS 'BEGIN IF (SELECT s.away FROM public.switch s) THEN RETURN (SELECT i FROM public.far); END IF; RETURN 1; END';
         CREATE MATERIALIZED VIEW seen AS SELECT look() AS i; UPDATE switch SET away = true",
    );
    let (backup, _) = fixture.backup().await;
    let request = fixture.restore_request(&backup.recovery_point_id, "copy");
    let outcome = fixture.restore(request).await.expect("a restore");
    let warning = outcome.warnings.iter().find(|warning| warning.code == "RefreshFailed");
    assert!(warning.is_some_and(|warning| warning.message.contains("public.seen")), "{outcome:?}");
}
