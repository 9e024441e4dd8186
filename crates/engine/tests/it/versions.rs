//! Every source version into every target version of the same age or newer: the matrix of `docs/versions.md`.
//!
//! One test per source, so that they run side by side. Each reads a mixture of what its version offers with the tools that
//! its users have: the server's own, or for servers without them the newest. What only one version can hold exactly is
//! compared more closely by the torture database (`torture.rs`).

use coffer_engine::manifest::Warning;
use coffer_engine::{ConnectOptions, Error, RestoreRequest, Tools};
use coffer_testkit::{PostgresOptions, PostgresServer, has_major};

use crate::restore_files::pg_restore;
use crate::restore_support::{assert_same, dump_with};
use crate::support::{DATABASE, Fixture};

/// All versions that can be a source.
const MAJORS: std::ops::RangeInclusive<u32> =
    coffer_engine::SUPPORTED_MAJORS.0..=coffer_engine::SUPPORTED_MAJORS.1;

/// Since which version each piece can be loaded.
const PIECES: [(u32, &str); 7] = [
    (10, include_str!("versions/since_10.sql")),
    (11, include_str!("versions/since_11.sql")),
    (12, include_str!("versions/since_12.sql")),
    (14, include_str!("versions/since_14.sql")),
    (15, include_str!("versions/since_15.sql")),
    (17, include_str!("versions/since_17.sql")),
    (18, include_str!("versions/since_18.sql")),
];

fn options(major: u32) -> PostgresOptions {
    PostgresOptions { major: Some(major), ..PostgresOptions::default() }
}

/// A source of the version with all that it offers.
async fn source(major: u32) -> Fixture {
    let fixture = Fixture::start_with(&options(major)).await;
    load(&fixture);
    fixture
}

/// Fills the fixture's database with what its version offers.
pub(crate) fn load(fixture: &Fixture) {
    let major = fixture.server.major();
    for (_, piece) in PIECES.iter().filter(|(since, _)| *since <= major) {
        fixture.sql(piece);
    }
}

fn superuser_of(target: &PostgresServer) -> ConnectOptions {
    ConnectOptions::parse_secret(&target.uri("postgres")).expect("a URI")
}

/// What two versions can be asked alike: rows, sequences, owners, privileges, comments, definitions that the server writes.
fn facts(server: &PostgresServer, database: &str) -> Vec<String> {
    let text = server.psql(database, include_str!("versions/facts.sql")).expect("facts");
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    assert!(lines.len() > 60, "too few facts to mean anything: {}", lines.len());
    lines
}

async fn matrix(major: u32) {
    if !has_major(major) {
        return;
    }
    let fixture = source(major).await;
    let (backup, manifest) = fixture.backup().await;
    assert_eq!(manifest.source.server_version_num / 10_000, major);
    let point = backup.recovery_point_id;
    let expected = facts(&fixture.server, DATABASE);
    for target_major in MAJORS.filter(|target| *target >= major && has_major(*target)) {
        let other = (target_major != major)
            .then(|| PostgresServer::start_with(&options(target_major)).expect("a target"));
        if let Some(other) = &other {
            other
                .psql("postgres", "CREATE ROLE clerk; CREATE ROLE owner_of_things")
                .expect("roles");
        }
        let target = other.as_ref().unwrap_or(&fixture.server);
        let request = RestoreRequest {
            target: superuser_of(target),
            tools: Tools::discover(&[target.bin().to_owned()]),
            ..fixture.restore_request(&point, "copy")
        };
        let outcome = fixture.restore(request).await;
        let outcome = outcome.map_err(|error| format!("{major} to {target_major}: {error:?}"));
        let outcome = outcome.expect("a restore");
        assert!(outcome.proof.equal, "{major} to {target_major}");
        let mut not_proved =
            vec!["materialized view app.counted", "materialized view app.counted_again"];
        // Since 12 floating-point numbers have fewer digits as text.
        if major < 12 && target_major >= 12 {
            not_proved.push("table app.values");
        }
        assert!(
            outcome.proof.not_proved.iter().map(|not| &not.object).eq(not_proved),
            "{:?}",
            outcome.proof
        );
        let expected_code = |code: &str| match code {
            // A newer server may bring a newer hstore or citext, and the warning says so.
            "ExtensionVersion" => major != target_major,
            "NotReadBack" => major < 12 && target_major >= 12,
            _ => false,
        };
        let unexpected = |warning: &&Warning| !expected_code(&warning.code);
        let warnings: Vec<_> = outcome.warnings.iter().filter(unexpected).collect();
        assert!(warnings.is_empty(), "{major} to {target_major}: {warnings:?}");
        assert_eq!(outcome.rows, manifest.totals.content.rows);
        assert_same(&expected, &facts(target, "copy"));
        if target_major == major {
            assert_same(&dump_with(target, DATABASE, &[]), &dump_with(target, "copy", &[]));
        }
        as_files(&fixture, &point, target, &expected).await;
    }
    for lower in MAJORS.filter(|lower| lower + 1 == major && has_major(*lower)) {
        let target = PostgresServer::start_with(&options(lower)).expect("a target");
        let request = RestoreRequest {
            target: superuser_of(&target),
            ..fixture.restore_request(&point, "copy")
        };
        let error = fixture.restore(request).await.expect_err("a lower version");
        assert!(matches!(error, Error::LowerVersion { .. }), "{error:?}");
        assert_eq!(target.databases().expect("databases"), ["postgres"]);
    }
}

/// The same point as files, restored by the stock tool of the target.
async fn as_files(fixture: &Fixture, point: &str, target: &PostgresServer, expected: &[String]) {
    let name = format!("files-{}", target.major());
    let files = fixture.files(point, &name).await.expect("files");
    assert!(files.proof.equal);
    target.create_database("of_files").expect("a database");
    let into = target.uri("of_files");
    pg_restore(target, &["--exit-on-error", "--jobs=2", "--dbname", &into], &files.path);
    assert_same(expected, &facts(target, "of_files"));
}

macro_rules! sources {
    ($($name:ident $major:literal)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            matrix($major).await;
        }
    )*};
}

sources! {
    from_10_to_the_same_and_every_newer_one 10
    from_11_to_the_same_and_every_newer_one 11
    from_12_to_the_same_and_every_newer_one 12
    from_13_to_the_same_and_every_newer_one 13
    from_14_to_the_same_and_every_newer_one 14
    from_15_to_the_same_and_every_newer_one 15
    from_16_to_the_same_and_every_newer_one 16
    from_17_to_the_same_and_every_newer_one 17
    from_18_to_the_same_and_every_newer_one 18
}
