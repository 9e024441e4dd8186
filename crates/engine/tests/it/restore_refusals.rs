//! Restores that do not succeed leave nothing that looks like the database.

use std::sync::Arc;

use coffer_engine::manifest::{DatabaseManifest, Table};
use coffer_engine::part::PartWriter;
use coffer_engine::{
    ConnectOptions, Error, Phase, RestoreRequest, SilentMonitor, TEMPORARY_PREFIX,
    drop_temporary_database, restore_database, restore_preflight,
};
use coffer_store::{ChunkKind, WriterOptions};
use tokio_util::sync::CancellationToken;

use crate::restore_support::TEMPORARY;
use crate::support::{DATABASE, Fixture, OnPhase};

/// A source with two tables, and a recovery point of it.
async fn small() -> (Fixture, String, DatabaseManifest) {
    let fixture = Fixture::start().await;
    fixture.sql(
        "CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) SELECT i FROM generate_series(1, 1000) i;
         CREATE TABLE u (id int); INSERT INTO u VALUES (1), (2)",
    );
    let (backup, manifest) = fixture.backup().await;
    (fixture, backup.recovery_point_id, manifest)
}

impl Fixture {
    /// A recovery point like the given one but for what the action does to its tables.
    async fn altered(&self, manifest: &DatabaseManifest, id: &str, alter: impl Fn(&mut Table)) {
        let mut manifest =
            DatabaseManifest { recovery_point_id: id.to_owned(), ..manifest.clone() };
        let writer =
            self.repository.writer(&self.lease, WriterOptions::default()).await.expect("a writer");
        let mut stream = writer.stream();
        let mut tables = PartWriter::new(ChunkKind::TableList);
        for mut table in self.list::<Table>(&manifest.tables).await {
            alter(&mut table);
            tables.line(&mut stream, &table).await.expect("a line");
        }
        manifest.tables = tables.finish(&mut stream).await.expect("a list");
        stream.finish().await.expect("a stream");
        let body = serde_json::to_vec(&manifest).expect("JSON");
        writer.seal(id, &body).await.expect("a manifest");
    }

    /// A restore that must fail, and leave no database behind.
    async fn fails(&self, request: RestoreRequest) -> Error {
        let before = self.server.databases().expect("databases");
        let error = self.restore(request).await.expect_err("no restore");
        assert_eq!(self.server.databases().expect("databases"), before);
        error
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_difference_fails_the_restore_and_names_the_table() {
    let (fixture, _, manifest) = small().await;
    let id = "f".repeat(32);
    fixture
        .altered(&manifest, &id, |table| table.content.hash ^= u128::from(table.name == "u"))
        .await;
    let Error::ProofFailed { differences } =
        fixture.fails(fixture.restore_request(&id, "copy")).await
    else {
        panic!("another error");
    };
    let objects: Vec<_> = differences.iter().map(|difference| difference.object.as_str()).collect();
    assert_eq!(objects, ["table public.u"]);
    assert!(differences[0].expected.starts_with("2 rows"));
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_changed_behind_our_back_are_found() {
    let (fixture, point, _) = small().await;
    let (server, password) = (fixture.server.port(), fixture.server.password().to_owned());
    let tamper = move || {
        let uri = format!("postgres://postgres:{password}@127.0.0.1:{server}/{TEMPORARY}");
        let done = std::process::Command::new("psql")
            .args(["-qc", "UPDATE t SET v = 'x' WHERE id = 77", &uri])
            .status();
        assert!(done.expect("psql").success());
    };
    let monitor = Arc::new(OnPhase::new(Phase::Proof, tamper));
    let request = fixture.restore_request(&point, "copy");
    let error = fixture
        .restore_with(request, monitor, CancellationToken::new())
        .await
        .expect_err("no restore");
    let Error::ProofFailed { differences } = error else { panic!("{error}") };
    assert_eq!(differences[0].object, "table public.t");
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_in_any_phase_it_leaves_nothing() {
    let fixture = Fixture::start().await;
    // A database with a subscription can't simply be dropped.
    fixture.sql(
        "CREATE TABLE t (id serial PRIMARY KEY); INSERT INTO t SELECT generate_series(1, 1000);
         CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t;
         CREATE SUBSCRIPTION elsewhere CONNECTION 'host=127.0.0.1 port=1' PUBLICATION p WITH (connect = false)",
    );
    let (backup, _) = fixture.backup().await;
    let point = backup.recovery_point_id;
    let phases = [
        Phase::Check,
        Phase::CreateDatabase,
        Phase::PreData,
        Phase::Load,
        Phase::PostData,
        Phase::Refresh,
        Phase::Analyze,
        Phase::Proof,
    ];
    for phase in phases {
        let cancel = CancellationToken::new();
        let trigger = cancel.clone();
        let monitor = Arc::new(OnPhase::new(phase, move || trigger.cancel()));
        let error =
            fixture.restore_with(fixture.restore_request(&point, "copy"), monitor, cancel).await;
        assert!(matches!(error, Err(Error::Cancelled)), "{phase:?}: {error:?}");
        assert_eq!(
            fixture.server.databases().expect("databases"),
            ["postgres", DATABASE],
            "{phase:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_restore_is_cleared_away_and_done_again() {
    let (fixture, point, _) = small().await;
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let monitor =
        Arc::new(OnPhase::new(Phase::PostData, move || sender.send(()).expect("a listener")));
    let (request, repository) =
        (fixture.restore_request(&point, "copy"), fixture.repository.clone());
    let restore = tokio::spawn(async move {
        restore_database(request, &repository, monitor, CancellationToken::new()).await
    });
    receiver.await.expect("the phase");
    restore.abort();
    assert!(restore.await.is_err_and(|error| error.is_cancelled()));
    let databases = fixture.server.databases().expect("databases");
    assert_eq!(databases, [TEMPORARY, "postgres", DATABASE], "only under the temporary name");
    fixture.restore(fixture.restore_request(&point, "copy")).await.expect("a second attempt");
    assert_eq!(fixture.server.databases().expect("databases"), ["copy", "postgres", DATABASE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_temporary_database_is_dropped_with_its_sessions_and_no_other_ever() {
    let fixture = Fixture::start().await;
    let target = fixture.source().with_database("postgres");
    fixture.server.create_database(TEMPORARY).expect("a database");
    let inside =
        coffer_engine::connect::connect(&target.with_database(TEMPORARY)).await.expect("a session");
    drop_temporary_database(&target, TEMPORARY).await.expect("dropped");
    assert!(inside.simple_query("SELECT 1").await.is_err(), "its session was ended");
    drop_temporary_database(&target, TEMPORARY).await.expect("nothing to drop");
    for name in
        [DATABASE, "postgres", "", TEMPORARY_PREFIX, "coffer_restore_A", "coffer_restore_a b"]
    {
        let error = drop_temporary_database(&target, name).await.expect_err(name);
        assert!(
            matches!(error, Error::Unsupported { code: "TemporaryName", .. }),
            "{name}: {error}"
        );
    }
    assert_eq!(fixture.server.databases().expect("databases"), ["postgres", DATABASE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_taken_name_is_refused_before_anything_is_written() {
    let (fixture, point, _) = small().await;
    let error = fixture.fails(fixture.restore_request(&point, DATABASE)).await;
    assert!(matches!(&error, Error::TargetExists { database } if database == DATABASE), "{error}");
    // Also when it is taken in the last moment.
    let server = fixture.source();
    let take = move || {
        let handle = tokio::runtime::Handle::current();
        tokio::task::block_in_place(|| handle.block_on(create_database(&server, "copy")));
    };
    let monitor = Arc::new(OnPhase::new(Phase::Rename, take));
    let error = fixture
        .restore_with(fixture.restore_request(&point, "copy"), monitor, CancellationToken::new())
        .await;
    assert!(
        matches!(&error, Err(Error::TargetExists { database }) if database == "copy"),
        "{error:?}"
    );
    let tables = "SELECT count(*) FROM pg_class WHERE relname = 't'";
    assert_eq!(fixture.server.psql("copy", tables).expect("the other's database"), "0");
}

async fn create_database(server: &ConnectOptions, name: &str) {
    let session = coffer_engine::connect::connect(server).await.expect("a session");
    session
        .batch_execute(&format!("CREATE DATABASE {name} TEMPLATE template0"))
        .await
        .expect("a database");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_problems_are_told_at_once() {
    let (fixture, point, manifest) = small().await;
    fixture.sql("CREATE ROLE powerless LOGIN PASSWORD 'secret'");
    let mut request = fixture.restore_request(&point, DATABASE);
    request.target = fixture.source_as("powerless", "secret").with_database("postgres");
    let preflight = restore_preflight(&request, &fixture.repository).await.expect("a preflight");
    let codes: Vec<_> = preflight.problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes, ["TargetExists", "CreateDatabase"]);
    assert!(
        preflight
            .problems
            .iter()
            .all(|problem| !problem.message.is_empty() && !problem.object.is_empty())
    );
    let id = "e".repeat(32);
    let newer = DatabaseManifest {
        source: coffer_engine::manifest::Source {
            server_version_num: 990_001,
            server_version: "99.1".to_owned(),
            ..manifest.source.clone()
        },
        extensions: vec![coffer_engine::manifest::Extension {
            name: "not_there".to_owned(),
            version: "1".to_owned(),
            schema: "public".to_owned(),
        }],
        ..manifest
    };
    fixture.altered(&newer, &id, |_| {}).await;
    let request = fixture.restore_request(&id, "copy");
    let preflight = restore_preflight(&request, &fixture.repository).await.expect("a preflight");
    let codes: Vec<_> = preflight.problems.iter().map(|problem| problem.code.as_str()).collect();
    assert_eq!(codes, ["LowerVersion", "MissingExtension"]);
    let error = restore_database(
        request,
        &fixture.repository,
        Arc::new(SilentMonitor),
        CancellationToken::new(),
    )
    .await;
    assert!(
        matches!(&error, Err(Error::LowerVersion { origin, .. }) if origin == "99.1"),
        "{error:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_lost_fails_the_restore() {
    let (fixture, point, manifest) = small().await;
    // Twice the same row: the primary key can't be made.
    let id = "d".repeat(32);
    fixture
        .altered(&manifest, &id, |table| {
            if let coffer_engine::manifest::Ranges::Inline(ranges) = &mut table.ranges
                && table.name == "t"
            {
                ranges.push(ranges[0].clone());
            }
        })
        .await;
    let error = fixture.fails(fixture.restore_request(&id, "copy")).await;
    let Error::Tool { tool: "pg_restore", stderr, .. } = &error else { panic!("{error}") };
    assert!(stderr.contains("t_pkey") && stderr.contains("\"public\".\"t\""), "{stderr}");
    assert!(!stderr.contains("duplicated"), "rows are not quoted: {stderr}");
    fixture.restore(fixture.restore_request(&point, "copy")).await.expect("the sound one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_taken_for_dead_names_no_database_of_its_successor() {
    let (fixture, point, _) = small().await;
    let server = fixture.psql();
    // After the proof another run of the same restore begins anew, as one does whose predecessor's lease has run out.
    let succeed = move || {
        server.run(&format!("DROP DATABASE {TEMPORARY} WITH (FORCE)")).expect("no database");
        server.run(&format!("CREATE DATABASE {TEMPORARY}")).expect("another database");
    };
    let monitor = Arc::new(OnPhase::new(Phase::Rename, succeed));
    let request = fixture.restore_request(&point, "copy");
    let repository = &fixture.repository;
    let restored = restore_database(request, repository, monitor, CancellationToken::new()).await;
    let error = restored.expect_err("another's database");
    assert!(matches!(error, Error::Protocol { .. }), "{error:?}");
    let databases = fixture.server.databases().expect("databases");
    assert!(!databases.contains(&"copy".to_owned()), "{databases:?}");
    assert!(databases.contains(&TEMPORARY.to_owned()), "the successor is at work in it");
}
