//! One of every kind of object and value that PostgreSQL knows, there and back: compared by schema dump, by rows and by an
//! inventory of the catalogs, as a database and as files.

use coffer_testkit::{PostgresOptions, PostgresServer, has_major};

use crate::restore_files::{listing, pg_restore};
use crate::restore_support::{assert_same, dump, dump_with};
use crate::support::{DATABASE, Fixture};
use crate::versions;

/// What the matrix of versions does not have; it is loaded on top of that.
const PIECES: [(u32, &str); 5] = [
    (14, include_str!("torture/since_14.sql")),
    (15, include_str!("torture/since_15.sql")),
    (16, include_str!("torture/since_16.sql")),
    (17, include_str!("torture/since_17.sql")),
    (18, include_str!("torture/since_18.sql")),
];

async fn source(major: u32) -> Fixture {
    let options = PostgresOptions { major: Some(major), ..PostgresOptions::default() }
        .setting("shared_preload_libraries", "pg_stat_statements");
    let fixture = Fixture::start_with(&options).await;
    versions::load(&fixture);
    for (since, piece) in PIECES.iter().filter(|(since, _)| *since <= major) {
        let loaded = fixture.server.psql(DATABASE, piece);
        loaded.map_err(|error| format!("new in {since}: {error:#}")).expect("a piece");
    }
    fixture
}

/// One line for each fact that the catalogs and the rows tell.
fn inventory(server: &PostgresServer, database: &str) -> Vec<String> {
    let text = server.psql(database, include_str!("torture/inventory.sql")).expect("an inventory");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[expect(clippy::print_stderr, reason = "the figures are part of what is shown")]
async fn there_and_back(major: u32) {
    if !has_major(major) {
        return;
    }
    let f = source(major).await;
    let (backup, manifest) = f.backup().await;
    let point = &backup.recovery_point_id;
    let before = inventory(&f.server, DATABASE);
    eprintln!(
        "PostgreSQL {major}: {} facts, {} tables, {} rows, {} large objects",
        before.len(),
        manifest.totals.tables,
        manifest.totals.content.rows,
        manifest.large_objects.content.rows
    );
    let outcome = f.restore(f.restore_request(point, "copy")).await.expect("a restore");
    assert!(outcome.proof.equal);
    assert_eq!(outcome.warnings, []);
    assert_same(&before, &inventory(&f.server, "copy"));
    assert_same(&dump(&f.server, DATABASE), &dump(&f.server, "copy"));

    let files = f.files(point, "files").await.expect("files");
    let real = f.directory.path().join("work").join("real");
    std::fs::create_dir_all(f.work_dir()).expect("a directory");
    let path = real.to_str().expect("a path");
    let archive = ["--format=directory", "--quote-all-identifiers", "--file", path];
    dump_with(&f.server, DATABASE, &archive);
    assert_same(&listing(&f.server, &real), &listing(&f.server, &files.path));
    std::fs::remove_dir_all(&real).expect("the archive");
    f.server.create_database("stock").expect("a database");
    let into = f.server.uri("stock");
    pg_restore(&f.server, &["--exit-on-error", "--jobs=2", "--dbname", &into], &files.path);
    // Properties of the database are no part of such an archive.
    let of_the_content = |lines: Vec<String>| -> Vec<String> {
        lines
            .into_iter()
            .filter(|line| !line.starts_with("database|") && !line.starts_with("setting|"))
            .collect()
    };
    assert_same(&of_the_content(before), &of_the_content(inventory(&f.server, "stock")));
}

/// Changes of a restored database, each of which the comparison must see.
const MUTATIONS: [&str; 24] = [
    "COMMENT ON COLUMN app.pair.a IS NULL",
    "COMMENT ON LARGE OBJECT 700003 IS 'other'",
    "REVOKE SELECT (id) ON app.far_away FROM reader",
    "REVOKE GRANT OPTION FOR SELECT ON app.parent FROM granter CASCADE",
    "ALTER FUNCTION app.many_things OWNER TO clerk",
    "ALTER TABLE app.parent ENABLE TRIGGER t_disabled",
    "ALTER TABLE app.node ENABLE RULE sleeping",
    "ALTER EVENT TRIGGER never ENABLE",
    "ALTER TABLE app.mother SET (fillfactor = 71)",
    "ALTER TABLE app.both ALTER COLUMN m RESET (n_distinct)",
    "ALTER TABLE app.serial REPLICA IDENTITY DEFAULT",
    "ALTER TABLE app.old_rules DROP CONSTRAINT above_zero",
    "ALTER TABLE app.numbers REPLICA IDENTITY FULL",
    "ALTER TABLE app.typed_values REPLICA IDENTITY FULL",
    "UPDATE app.numbers SET f8 = '0' WHERE f8 = '-0' AND n = '-Infinity'",
    "UPDATE app.typed_values SET j = '{}' WHERE c = 'a'",
    "SELECT nextval('app.steps')",
    "SELECT lo_put(700004, 3, 'x')",
    "ALTER LARGE OBJECT 700001 OWNER TO clerk",
    "ALTER DEFAULT PRIVILEGES FOR ROLE clerk REVOKE SELECT ON SEQUENCES FROM reader",
    "ALTER USER MAPPING FOR clerk SERVER elsewhere OPTIONS (SET password 'x')",
    "REFRESH MATERIALIZED VIEW app.not_yet",
    "ALTER DATABASE copy SET work_mem = '1MB'",
    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'app.values_gin'::regclass",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_comparison_sees_every_change() {
    if !has_major(17) {
        return;
    }
    let f = source(17).await;
    let (backup, _) = f.backup().await;
    f.restore(f.restore_request(&backup.recovery_point_id, "copy")).await.expect("a restore");
    let mut before = inventory(&f.server, "copy");
    assert_same(&inventory(&f.server, DATABASE), &before);
    for mutation in MUTATIONS {
        f.server.psql("copy", mutation).expect(mutation);
        let after = inventory(&f.server, "copy");
        assert_ne!(before, after, "not seen: {mutation}");
        before = after;
    }
}

macro_rules! majors {
    ($($name:ident $major:literal)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            there_and_back($major).await;
        }
    )*};
}

majors! {
    everything_that_14_can_hold 14
    everything_that_15_can_hold 15
    everything_that_16_can_hold 16
    everything_that_17_can_hold 17
    everything_that_18_can_hold 18
}
