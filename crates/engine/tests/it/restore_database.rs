//! A recovery point comes back as a database, the same in everything that `pg_dump` can tell.

use coffer_engine::RoleMode;

use crate::restore_support::{assert_same, dump, dump_with};
use crate::support::{DATABASE, Fixture};

#[tokio::test(flavor = "multi_thread")]
async fn a_rich_database_comes_back_the_same() {
    let fixture = Fixture::rich().await;
    // It would stop every refresh, and stops those of the stock tool.
    fixture.sql(
        "CREATE EVENT TRIGGER against_refreshes ON ddl_command_start WHEN TAG IN ('REFRESH MATERIALIZED VIEW')
           EXECUTE FUNCTION no_tables()",
    );
    let before = dump(&fixture.server, DATABASE);
    let (backup, manifest) = fixture.backup().await;
    let outcome = fixture
        .restore(fixture.restore_request(&backup.recovery_point_id, "copy"))
        .await
        .expect("a restore");
    assert!(outcome.proof.equal && outcome.proof.differences.is_empty());
    assert!(outcome.proof.tables > 10, "{:?}", outcome.proof);
    assert_eq!(outcome.rows, manifest.totals.content.rows);
    assert_eq!(outcome.warnings, [], "nothing was lost");
    assert_same(&before, &dump(&fixture.server, "copy"));
    let populated = "SELECT relname, relispopulated FROM pg_class WHERE relkind = 'm' ORDER BY 1";
    assert_eq!(
        fixture.server.psql("copy", populated).expect("views"),
        "all_of_it|t\nfilled|t\nunfilled|f"
    );
    let analyzed = "SELECT count(*) > 10 FROM pg_stats WHERE schemaname = 'public'";
    assert_eq!(fixture.server.psql("copy", analyzed).expect("statistics"), "t");
    let orphans = "SELECT count(*) FROM pg_constraint WHERE conname = 'child_parent_id_fkey' AND convalidated";
    assert_eq!(fixture.server.psql("copy", orphans).expect("constraints"), "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_are_made_where_they_are_missing() {
    let source = Fixture::rich().await;
    let (backup, _) = source.backup().await;
    let target = Fixture::start().await;
    let mut request = source.restore_request(&backup.recovery_point_id, "copy");
    request.target = target.source().with_database("postgres");
    let outcome = source.restore(request).await.expect("a restore");
    let codes: Vec<_> = outcome.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["MissingRoles"], "{:?}", outcome.warnings);
    let roles = "SELECT rolname, rolcanlogin FROM pg_roles WHERE rolname IN ('app_owner', 'reader', 'odd \"role') ORDER BY 1";
    assert_eq!(
        target.server.psql("copy", roles).expect("roles"),
        "app_owner|f\nodd \"role|f\nreader|f"
    );
    assert_same(&dump(&source.server, DATABASE), &dump(&target.server, "copy"));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_can_be_ignored() {
    let source = Fixture::rich().await;
    let (backup, _) = source.backup().await;
    let target = Fixture::start().await;
    let mut request = source.restore_request(&backup.recovery_point_id, "copy");
    request.target = target.source().with_database("postgres");
    request.options.roles = RoleMode::Ignore;
    let outcome = source.restore(request).await.expect("a restore");
    assert!(outcome.proof.equal);
    // A policy for a role that is missing can't come back, and that is said.
    let codes: Vec<_> = outcome.warnings.iter().map(|warning| warning.code.as_str()).collect();
    assert_eq!(codes, ["AttributeNotRestored"], "{:?}", outcome.warnings);
    let arguments = ["--no-owner", "--no-acl"];
    let mut expected = dump_with(&source.server, DATABASE, &arguments);
    expected.retain(|line| !line.starts_with("CREATE POLICY"));
    let mut found = dump_with(&target.server, "copy", &arguments);
    for lines in [&mut expected, &mut found] {
        // Comments tell how large objects of one owner are grouped, and here all have the same.
        lines.retain(|line| !line.is_empty() && !line.starts_with("--"));
    }
    assert_same(&expected, &found);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_only_create_databases_restores() {
    let source = Fixture::start().await;
    source.sql(
        "CREATE ROLE app_owner; CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) SELECT i FROM generate_series(1, 100) i;
         CREATE TABLE owned (id int); ALTER TABLE owned OWNER TO app_owner; GRANT SELECT ON t TO app_owner;
         CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t; SELECT lo_from_bytea(4711, '\\x0102');
         COMMENT ON LARGE OBJECT 4711 IS 'x'; CREATE EXTENSION hstore;
         ALTER DATABASE shop SET log_min_duration_statement = 987654; ALTER DATABASE shop SET work_mem = '8MB'; ALTER DATABASE shop OWNER TO app_owner;
         CREATE ROLE modest LOGIN CREATEDB PASSWORD 'secret'",
    );
    let (backup, _) = source.backup().await;
    let mut request = source.restore_request(&backup.recovery_point_id, "copy");
    request.target = source.source_as("modest", "secret").with_database("postgres");
    let outcome = source.restore(request).await.expect("a restore");
    assert!(outcome.proof.equal);
    assert!(
        outcome.warnings.iter().any(|warning| warning.code == "OwnerNotSet"),
        "{:?}",
        outcome.warnings
    );
    // That a setting is lost is said, its value is not.
    assert!(outcome.warnings.iter().any(|warning| warning.message.contains("log_min_duration")));
    assert!(!format!("{:?}", outcome.warnings).contains("987654"), "{:?}", outcome.warnings);
    let owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 'public'::regnamespace";
    assert_eq!(source.server.psql("copy", owners).expect("owners"), "modest");
    let grants = "SELECT has_table_privilege('app_owner', 't', 'SELECT'), (SELECT count FROM m), encode(lo_get(4711), 'hex')";
    assert_eq!(source.server.psql("copy", grants).expect("grants"), "t|100|0102");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_create_roles_gives_everything_back_to_its_owner() {
    let source = Fixture::start().await;
    source.sql(
        "CREATE ROLE one; CREATE ROLE two; CREATE ROLE together; GRANT together TO one;
         CREATE SCHEMA s AUTHORIZATION one; SET ROLE one; CREATE TABLE s.t (id int PRIMARY KEY); INSERT INTO s.t VALUES (1), (2);
         CREATE SEQUENCE s.q; GRANT SELECT ON s.t TO two; SELECT lo_from_bytea(4711, '\\x0102'); RESET ROLE",
    );
    let (backup, _) = source.backup().await;
    let target = Fixture::start().await;
    target.sql("CREATE ROLE maker LOGIN CREATEDB CREATEROLE PASSWORD 'secret'");
    let mut request = source.restore_request(&backup.recovery_point_id, "copy");
    request.target = target.source_as("maker", "secret").with_database("postgres");
    let outcome = source.restore(request).await.expect("a restore");
    assert!(outcome.proof.equal && outcome.proof.not_proved.is_empty(), "{:?}", outcome.proof);
    let owners = "SELECT DISTINCT pg_get_userbyid(relowner) FROM pg_class WHERE relnamespace = 's'::regnamespace";
    assert_eq!(target.server.psql("copy", owners).expect("owners"), "one");
    let rest = "SELECT pg_get_userbyid(nspowner), has_table_privilege('two', 's.t', 'SELECT'), pg_has_role('one', 'together', 'MEMBER'), \
         (SELECT pg_get_userbyid(lomowner) FROM pg_largeobject_metadata) FROM pg_namespace WHERE nspname = 's'";
    assert_eq!(target.server.psql("copy", rest).expect("the rest"), "one|t|t|one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_table_is_read_back_in_pieces() {
    let source = Fixture::start().await;
    // More blocks than one statement of the proof reads.
    source.sql(
        "CREATE TABLE wide (id int, filler char(2000)); ALTER TABLE wide ALTER filler SET STORAGE PLAIN;
         INSERT INTO wide SELECT i, 'x' FROM generate_series(1, 33000) i",
    );
    let (backup, manifest) = source.backup().await;
    let outcome = source
        .restore(source.restore_request(&backup.recovery_point_id, "copy"))
        .await
        .expect("a restore");
    assert!(outcome.proof.equal);
    assert_eq!((outcome.proof.rows, outcome.bytes), (33_000, manifest.totals.content.text_bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_role_may_not_read_back_is_not_proved_and_said() {
    let source = Fixture::start().await;
    source.sql(
        "CREATE TABLE open (id int); INSERT INTO open VALUES (1);
         CREATE TABLE hidden (id int); INSERT INTO hidden VALUES (1), (2); ALTER TABLE hidden ENABLE ROW LEVEL SECURITY;
         ALTER TABLE hidden FORCE ROW LEVEL SECURITY; CREATE POLICY p ON hidden USING (id = 1);
         CREATE ROLE modest LOGIN CREATEDB PASSWORD 'secret'; ALTER ROLE modest SET default_transaction_read_only = on",
    );
    let (backup, _) = source.backup().await;
    let mut request = source.restore_request(&backup.recovery_point_id, "copy");
    request.target = source.source_as("modest", "secret").with_database("postgres");
    let outcome = source.restore(request).await.expect("a restore");
    assert_eq!((outcome.proof.tables, outcome.proof.rows, outcome.rows), (1, 1, 3));
    let objects: Vec<_> = outcome.proof.not_proved.iter().map(|not| not.object.as_str()).collect();
    assert_eq!(objects, ["table public.hidden"]);
    assert!(outcome.warnings.iter().any(|warning| warning.code == "NotReadBack"));
    assert_eq!(source.server.psql("copy", "SELECT count(*) FROM hidden").expect("rows"), "2");
}
