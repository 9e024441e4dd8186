//! What no backup holds is named by the backup, not found out at the restore.

use coffer_engine::BackupRequest;
use coffer_engine::manifest::Warning;
use coffer_testkit::{PostgresOptions, has_major};

use crate::restore_support::{assert_same, dump_with};
use crate::support::{DATABASE, Fixture};

fn of<'a>(warnings: &'a [Warning], code: &str) -> Vec<&'a str> {
    warnings.iter().filter(|w| w.code == code).map(|w| w.message.as_str()).collect()
}

#[tokio::test]
async fn what_the_role_may_not_see_is_named() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE ROLE reader LOGIN PASSWORD 'secret-of-reader'; CREATE ROLE clerk;
         CREATE TABLE t AS SELECT 1 AS i; GRANT SELECT ON t TO reader;
         CREATE SUBSCRIPTION incoming CONNECTION 'host=127.0.0.1 port=1 password=secret-of-subscription' PUBLICATION p WITH (connect = false);
         CREATE EXTENSION postgres_fdw; CREATE SERVER away FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1');
         CREATE USER MAPPING FOR clerk SERVER away OPTIONS (user 'far', password 'secret-of-mapping');
         CREATE ROLE guest; CREATE USER MAPPING FOR guest SERVER away OPTIONS (user 'nobody'); CREATE USER MAPPING FOR reader SERVER away;
         CREATE USER MAPPING FOR PUBLIC SERVER away",
    );
    let reader = f.source_as("reader", "secret-of-reader");
    let outcome = f.run(BackupRequest { source: reader, ..f.request() }).await.expect("a backup");
    let told = of(&outcome.warnings, "ToolWarning");
    assert!(told.len() == 1 && told[0].contains("subscriptions"), "{:?}", outcome.warnings);
    // Who may not use the server can't tell a mapping with options from one without.
    let unknown = of(&outcome.warnings, "UserMappingOptionsUnknown");
    let all = ": clerk on away, guest on away, public on away, reader on away";
    assert!(unknown.len() == 1 && unknown[0].ends_with(all), "{unknown:?}");
    assert!(of(&outcome.warnings, "UserMappingOptionsHidden").is_empty());
    assert!(!format!("{outcome:?}").contains("secret-of"), "{outcome:?}");
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    assert_eq!(manifest.warnings, outcome.warnings);
    // Who may use it is told of those with options, and not of the one without.
    f.sql("GRANT USAGE ON FOREIGN SERVER away TO reader");
    let reader = f.source_as("reader", "secret-of-reader");
    let outcome = f.run(BackupRequest { source: reader, ..f.request() }).await.expect("a backup");
    let hidden = of(&outcome.warnings, "UserMappingOptionsHidden");
    let some = ": clerk on away, guest on away";
    assert!(hidden.len() == 1 && hidden[0].ends_with(some), "{hidden:?}");
    assert!(of(&outcome.warnings, "UserMappingOptionsUnknown").is_empty());
    f.sql("ALTER USER MAPPING FOR PUBLIC SERVER away OPTIONS (user 'all')");
    let reader = f.source_as("reader", "secret-of-reader");
    let outcome = f.run(BackupRequest { source: reader, ..f.request() }).await.expect("a backup");
    let hidden = of(&outcome.warnings, "UserMappingOptionsHidden");
    assert!(hidden.len() == 1 && hidden[0].ends_with(", public on away"), "{hidden:?}");
    // Who may see everything has nothing to be told.
    let (outcome, _) = f.backup().await;
    for code in ["ToolWarning", "UserMappingOptionsHidden", "UserMappingOptionsUnknown"] {
        assert!(of(&outcome.warnings, code).is_empty(), "{code}");
    }
}

#[tokio::test]
async fn what_pg_dump_leaves_out_is_named() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE TABLE twice AS SELECT 1 AS i FROM generate_series(1, 2); CREATE INDEX good ON twice (i);
         CREATE TABLE parted (i int) PARTITION BY LIST (i); CREATE TABLE parted_1 PARTITION OF parted FOR VALUES IN (1);
         CREATE INDEX waits ON ONLY parted (i);
         CREATE FUNCTION pg_catalog.added() RETURNS int LANGUAGE sql AS 'SELECT 1'; CREATE EXTENSION hstore SCHEMA pg_catalog;
         ALTER DATABASE shop IS_TEMPLATE true",
    );
    assert!(f.psql().run("CREATE UNIQUE INDEX CONCURRENTLY bad ON twice (i)").is_err());
    let (outcome, _) = f.backup().await;
    let index = of(&outcome.warnings, "InvalidIndexLeftOut");
    assert!(index.len() == 1 && index[0].contains(": public.bad on twice;"), "{index:?}");
    let system = of(&outcome.warnings, "SystemSchemaObjects");
    assert!(system.len() == 1 && system[0].ends_with(": pg_catalog.added()"), "{system:?}");
    assert_eq!(of(&outcome.warnings, "DatabaseIsTemplate").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_tool_alone_is_said_and_serves() {
    // This version comes as a server alone, so that only newer tools are there.
    if !has_major(13) {
        return;
    }
    let options = PostgresOptions { major: Some(13), ..PostgresOptions::default() };
    let f = Fixture::start_with(&options).await;
    f.sql("CREATE TABLE t (id serial PRIMARY KEY, v text)");
    f.sql("INSERT INTO t (v) SELECT i FROM generate_series(1, 10) i; CREATE VIEW w AS SELECT id FROM t");
    let (outcome, manifest) = f.backup().await;
    assert!(manifest.schema.tool_major > 13, "{:?}", manifest.schema);
    let newer = of(&outcome.warnings, "NewerTool");
    assert!(newer.len() == 1 && newer[0].contains(&manifest.schema.tool_version), "{newer:?}");
    let restored = f.restore(f.restore_request(&outcome.recovery_point_id, "copy")).await;
    assert!(restored.expect("a restore").proof.equal);
    assert_same(&dump_with(&f.server, DATABASE, &[]), &dump_with(&f.server, "copy", &[]));
}
