//! A role with CONNECT, USAGE and SELECT is enough, and what is missing is named with the statement that grants it.

use coffer_engine::manifest::Role;
use coffer_engine::{BackupRequest, Error, check_source};

use crate::support::Fixture;

const OBJECTS: &str = "
    CREATE ROLE reader LOGIN PASSWORD 'secret-of-reader';
    CREATE ROLE team; CREATE ROLE member LOGIN IN ROLE team; COMMENT ON ROLE team IS 'the team';
    ALTER ROLE member SET work_mem = '8MB';
    CREATE SCHEMA app AUTHORIZATION team;
    CREATE TABLE app.orders (id int GENERATED ALWAYS AS IDENTITY, t text);
    INSERT INTO app.orders (t) SELECT 'row ' || i FROM generate_series(1, 100) i;
    CREATE TABLE app.parted (i int) PARTITION BY RANGE (i);
    CREATE TABLE app.parted_1 PARTITION OF app.parted FOR VALUES FROM (0) TO (10);
    CREATE SEQUENCE app.numbers;
    SELECT lo_from_bytea(4242, 'large');
    CREATE TABLE app.secret (i int); ALTER TABLE app.secret ENABLE ROW LEVEL SECURITY;";

const GRANTS: &str = "
    GRANT USAGE ON SCHEMA app TO reader;
    GRANT SELECT ON ALL TABLES IN SCHEMA app TO reader;
    GRANT SELECT ON ALL SEQUENCES IN SCHEMA app TO reader;
    GRANT SELECT ON LARGE OBJECT 4242 TO reader;";

#[tokio::test]
async fn everything_missing_is_named_and_its_grants_are_enough() {
    let f = Fixture::start().await;
    f.sql(OBJECTS);
    let reader = f.source_as("reader", "secret-of-reader");
    let error = check_source(&reader, &f.tools).await.unwrap_err();
    let Error::MissingPrivileges { role, objects, grants } = error else { panic!("{error:?}") };
    assert_eq!(role, "reader");
    let expected = [
        "USAGE on schema app",
        "SELECT on table app.orders",
        "SELECT on table app.parted",
        "SELECT on table app.parted_1",
        "SELECT on table app.secret",
        "SELECT on sequence app.numbers",
        "SELECT on sequence app.orders_id_seq",
        "SELECT on large object 4242",
        "all rows of table app.secret (row security hides some)",
    ];
    for object in expected {
        assert!(objects.iter().any(|found| found == object), "{object} in {objects:?}");
    }
    assert_eq!(objects.len(), expected.len());
    f.sql(&grants.join("\n"));
    check_source(&reader, &f.tools).await.unwrap();
    let outcome = f.run(BackupRequest { source: reader, ..f.request() }).await.unwrap();
    assert_eq!(outcome.totals.content.rows, 100);
}

#[tokio::test]
async fn least_privilege_backup_holds_what_a_superusers_does() {
    let f = Fixture::start().await;
    f.sql(OBJECTS);
    f.sql(GRANTS);
    f.sql("DROP TABLE app.secret");
    let reader = f.source_as("reader", "secret-of-reader");
    let outcome = f.run(BackupRequest { source: reader, ..f.request() }).await.unwrap();
    let by_reader = f.manifest(&outcome.recovery_point_id).await;
    let (_, by_superuser) = f.backup().await;
    assert_eq!(f.tables(&by_reader).await, f.tables(&by_superuser).await);
    assert_eq!(by_reader.large_objects.content, by_superuser.large_objects.content);
    assert_eq!(by_reader.source.system_identifier, by_superuser.source.system_identifier);
    let roles: Vec<Role> = f.list(&by_reader.roles).await;
    assert_eq!(roles, f.list::<Role>(&by_superuser.roles).await);
    let names: Vec<_> = roles.iter().map(|role| role.name.as_str()).collect();
    assert_eq!(names, ["member", "postgres", "reader", "team"]);
    assert_eq!(roles[0].settings, [("work_mem".to_owned(), "8MB".to_owned())]);
    assert_eq!(
        (roles[0].member_of[0].role.as_str(), roles[3].comment.as_deref()),
        ("team", Some("the team"))
    );
}

#[tokio::test]
async fn a_right_taken_away_later_fails_the_backup_by_name() {
    let f = Fixture::start().await;
    f.sql(OBJECTS);
    f.sql(GRANTS);
    f.sql("DROP TABLE app.secret; REVOKE SELECT ON app.orders FROM reader");
    let reader = f.source_as("reader", "secret-of-reader");
    let error = f.run(BackupRequest { source: reader, ..f.request() }).await.unwrap_err();
    let Error::MissingPrivileges { objects, .. } = error else { panic!("{error:?}") };
    assert_eq!(objects, ["SELECT on table app.orders"]);
    assert!(f.repository.manifests().await.unwrap().valid.is_empty());
}
