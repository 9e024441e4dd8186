//! Restores where source and target differ: encodings and versions.

use coffer_testkit::PostgresOptions;

use crate::restore_support::{assert_same, dump_with};
use crate::support::{DATABASE, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_another_encoding_comes_back_in_it() {
    let options = PostgresOptions {
        encoding: "LATIN1".to_owned(),
        locale: "C".to_owned(),
        ..PostgresOptions::default()
    };
    let fixture = Fixture::start_with(&options).await;
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
