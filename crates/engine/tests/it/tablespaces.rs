//! Tablespaces: kept where the target has them, and named where it has not.

use coffer_testkit::{PostgresOptions, PostgresServer};

use crate::restore_support::{assert_same, dump};
use crate::support::{DATABASE, Fixture};

/// Since 15 a tablespace may lie in the data directory, so that no directory has to be made for the server's user.
fn options() -> PostgresOptions {
    PostgresOptions::default().setting("allow_in_place_tablespaces", "on")
}

fn add_tablespaces(server: &PostgresServer, names: &[&str]) {
    for name in names {
        server.psql("postgres", &format!("CREATE TABLESPACE {name} LOCATION ''")).expect(name);
    }
}

/// Tablespace of the database, then of each relation that has one of its own.
fn places(server: &PostgresServer, database: &str) -> String {
    let sql = "SELECT string_agg(place, ' ' ORDER BY nr, place) FROM (\
           SELECT 0 AS nr, t.spcname::text AS place FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace \
             WHERE d.datname = current_database() \
           UNION ALL SELECT 1, c.relname || '=' || t.spcname FROM pg_class c JOIN pg_tablespace t ON t.oid = c.reltablespace \
             JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public') AS x";
    server.psql(database, sql).expect("places")
}

#[tokio::test(flavor = "multi_thread")]
async fn tablespaces_are_kept_where_the_target_has_them() {
    let f = Fixture::start_with(&options()).await;
    if f.server.major() < 15 {
        return;
    }
    add_tablespaces(&f.server, &["of_all", "of_tables", "of_indexes"]);
    f.server.psql("postgres", "ALTER DATABASE shop SET TABLESPACE of_all").expect("a move");
    f.sql(
        "CREATE TABLE plain AS SELECT 1 AS i;
         CREATE TABLE t (id int PRIMARY KEY USING INDEX TABLESPACE of_indexes, v text) TABLESPACE of_tables; INSERT INTO t VALUES (1, 'x');
         CREATE INDEX i ON t (v) TABLESPACE of_indexes; CREATE INDEX back ON t (v) TABLESPACE pg_default;
         CREATE TABLE parted (i int) PARTITION BY LIST (i) TABLESPACE of_tables; CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
         CREATE MATERIALIZED VIEW m TABLESPACE of_tables AS SELECT * FROM t",
    );
    let (backup, _) = f.backup().await;
    let point = &backup.recovery_point_id;
    let expected = "of_all back=pg_default i=of_indexes m=of_tables parted=of_tables parted_1=of_tables t=of_tables t_pkey=of_indexes";
    assert_eq!(places(&f.server, DATABASE), expected);
    let outcome = f.restore(f.restore_request(point, "copy")).await.expect("a restore");
    assert!(outcome.proof.equal);
    assert_eq!(outcome.warnings, []);
    assert_eq!(places(&f.server, "copy"), expected);
    assert_same(&dump(&f.server, DATABASE), &dump(&f.server, "copy"));

    let target = PostgresServer::start_with(&options()).expect("a target");
    add_tablespaces(&target, &["of_tables"]);
    let mut request = f.restore_request(point, "copy");
    request.target = f.source().with_database("postgres").with_address("127.0.0.1", target.port());
    request.target.password = Some(target.password().to_owned().into());
    let outcome = f.restore(request).await.expect("a restore");
    assert!(outcome.proof.equal);
    let messages: Vec<_> = outcome
        .warnings
        .iter()
        .filter(|warning| warning.code == "MissingTablespace")
        .map(|warning| warning.message.as_str())
        .collect();
    assert_eq!(messages.len(), 2, "{:?}", outcome.warnings);
    assert!(messages.iter().any(|message| message.contains("\"of_all\"")), "{messages:?}");
    assert!(messages.iter().any(|message| message.contains(": of_indexes;")), "{messages:?}");
    let found = "pg_default m=of_tables parted=of_tables parted_1=of_tables t=of_tables";
    assert_eq!(places(&target, "copy"), found);
}
