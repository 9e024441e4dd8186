//! Whole servers: all databases that matter in one recovery point, with what belongs to the server, and each by itself again.

mod files;

use std::sync::Arc;

use coffer_engine::manifest::{DatabaseEntry, Root, ServerManifest, Warning};
use coffer_engine::{
    BackupOutcome, BackupRequest, Error, Monitor, Phase, Progress, ScratchRequest, Selection,
    SilentMonitor, backup_server, check_server, describe_database, describe_root, list_databases,
    verify_by_restore, verify_recovery_point,
};
use coffer_store::{LeasePurpose, VerifyDepth};
use tokio_util::sync::CancellationToken;

use crate::garbage::delete_and_collect;
use crate::restore_support::{assert_same, dump_with};
use crate::support::{DATABASE, Fixture, OnPhase};

impl Fixture {
    /// A backup of the whole server, as the superuser.
    fn server_request(&self) -> BackupRequest {
        BackupRequest { source: self.source().with_database("postgres"), ..self.request() }
    }

    async fn backup_server_with(
        &self,
        request: BackupRequest,
        monitor: Arc<dyn Monitor>,
    ) -> Result<BackupOutcome, Error> {
        let cancel = CancellationToken::new();
        backup_server(request, &self.repository, &self.lease, monitor, cancel).await
    }

    async fn backup_server(&self) -> BackupOutcome {
        let request = self.server_request();
        self.backup_server_with(request, Arc::new(SilentMonitor)).await.expect("a backup")
    }

    async fn server_root(&self, point: &str) -> (ServerManifest, Vec<DatabaseEntry>) {
        let root = describe_root(&self.repository, point).await.expect("a root");
        let root = match root {
            Root::Server(root) => Some(root),
            Root::Database(_) => None,
        };
        let root = root.expect("that of a server");
        let databases = list_databases(&self.repository, &root).await.expect("databases");
        (*root, databases)
    }

    fn on(&self, database: &str, sql: &str) -> String {
        self.server.psql(database, sql).expect(sql)
    }

    fn database(&self, name: &str, sql: &str) {
        self.server.create_database(name).expect("a database");
        self.on(name, sql);
    }
}

fn names(entries: &[DatabaseEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

fn codes(warnings: &[Warning]) -> Vec<&str> {
    warnings.iter().map(|warning| warning.code.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_database_comes_back_by_itself() {
    let f = Fixture::rich().await;
    f.database(
        "Odd name/½",
        "CREATE TABLE t AS SELECT 1 AS i; CREATE ROLE of_odd; ALTER TABLE t OWNER TO of_odd",
    );
    f.database("empty", "SELECT 1");
    f.database("template_gis", "CREATE TABLE t AS SELECT 1 AS i");
    f.database("closed", "SELECT 1");
    f.on(
        "postgres",
        "ALTER DATABASE template_gis IS_TEMPLATE true; ALTER DATABASE closed ALLOW_CONNECTIONS false;
         CREATE DATABASE azure_maintenance; CREATE DATABASE coffer_restore_of_another; CREATE ROLE of_nothing NOINHERIT",
    );
    let outcome = f.backup_server().await;
    let point = &outcome.recovery_point_id;
    let (root, databases) = f.server_root(point).await;
    assert_eq!(names(&databases), ["Odd name/½", "empty", "postgres", DATABASE]);
    let left: Vec<_> = root.left_out.iter().map(|left| left.database.as_str()).collect();
    assert_eq!(left, ["azure_maintenance", "closed", "coffer_restore_of_another", "template_gis"]);
    assert_eq!(root.totals, outcome.totals);
    let mut sum = coffer_engine::manifest::Totals::default();
    databases.iter().for_each(|entry| sum.add(entry.totals));
    assert_eq!(root.totals, sum);
    let times = databases.iter().map(|entry| entry.taken_at_unix_us);
    assert_eq!(Some(root.taken_at_unix_us), times.clone().min());
    assert_eq!(Some(root.taken_until_unix_us), times.max());
    let roles: Vec<coffer_engine::manifest::Role> = f.list(&root.roles).await;
    let roles: Vec<_> = roles.iter().map(|role| role.name.as_str()).collect();
    for role in ["of_nothing", "of_odd", "app_owner", "odd \"role"] {
        assert!(roles.contains(&role), "{role} in {roles:?}");
    }

    for (database, copy) in [(DATABASE, "copy1"), ("Odd name/½", "copy2"), ("empty", "copy3")] {
        let selection = Selection { database: Some(database.to_owned()), ..Selection::default() };
        let mut request = f.restore_request(point, copy);
        request.selection = selection;
        let restored = f.restore(request).await.expect("a restore");
        let manifest = describe_database(&f.repository, point, Some(database)).await.expect("one");
        assert!(restored.proof.equal && restored.rows == manifest.totals.content.rows);
        let dump = |database| dump_with(&f.server, database, &[]);
        assert_same(&dump(database), &dump(copy));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_has_to_be_named_and_to_be_there() {
    let f = Fixture::start().await;
    let server = f.backup_server().await.recovery_point_id;
    let (database, _) = f.backup().await;
    let refused = |point: String, named: Option<&str>| {
        let mut request = f.restore_request(&point, "copy");
        request.selection.database = named.map(str::to_owned);
        let f = &f;
        async move {
            match f.restore(request).await {
                Err(Error::Preflight(problems)) => problems[0].code.clone(),
                other => panic!("{other:?}"),
            }
        }
    };
    assert_eq!(refused(server.clone(), None).await, "DatabaseNotNamed");
    assert_eq!(refused(server, Some("Shop")).await, "NotInRecoveryPoint");
    assert_eq!(refused(database.recovery_point_id, Some(DATABASE)).await, "NotInRecoveryPoint");
}

#[tokio::test(flavor = "multi_thread")]
async fn databases_that_come_go_and_are_renamed_meanwhile() {
    let f = Fixture::start().await;
    for name in ["a", "b", "c", "d"] {
        f.database(name, "CREATE TABLE t AS SELECT 1 AS i");
    }
    let psql = f.psql().with_uri(f.server.uri("postgres"));
    // While the first is read: one is made, one goes, one gets another's name.
    let act = move || {
        psql.sql("CREATE DATABASE made");
        psql.sql("DROP DATABASE b");
        psql.sql("ALTER DATABASE c RENAME TO renamed");
        psql.sql("ALTER DATABASE d RENAME TO c");
    };
    let monitor = Arc::new(OnPhase::new(Phase::Data, act));
    let outcome = f.backup_server_with(f.server_request(), monitor).await.expect("a backup");
    let (root, databases) = f.server_root(&outcome.recovery_point_id).await;
    assert_eq!(names(&databases), ["a", "c", "made", "postgres", "renamed", DATABASE]);
    assert_eq!(root.left_out.len(), 1, "{:?}", root.left_out);
    assert_eq!(root.left_out[0].database, "b");
    assert_eq!(codes(&root.warnings), ["DatabaseGone"]);
    let oid = |name: &str| {
        f.on("postgres", &format!("SELECT oid FROM pg_database WHERE datname = '{name}'"))
    };
    for entry in &databases {
        assert_eq!(entry.oid.to_string(), oid(&entry.name), "{}", entry.name);
        let id = &outcome.recovery_point_id;
        let manifest = describe_database(&f.repository, id, Some(&entry.name)).await.expect("one");
        assert_eq!(manifest.source.database_oid, entry.oid);
    }
    verify(&f, &outcome.recovery_point_id).await;
}

/// Does something once, when a database comes to a phase.
struct WhileReading<F> {
    database: &'static str,
    phase: Phase,
    act: std::sync::Mutex<Option<F>>,
}

impl<F: FnOnce() + Send> WhileReading<F> {
    fn new(database: &'static str, phase: Phase, act: F) -> Arc<Self> {
        Arc::new(Self { database, phase, act: std::sync::Mutex::new(Some(act)) })
    }
}

impl<F: FnOnce() + Send> Monitor for WhileReading<F> {
    fn report(&self, progress: &Progress) {
        let of_it = progress.current.as_deref().is_some_and(|it| it.starts_with(self.database));
        if progress.phase == self.phase
            && of_it
            && let Some(act) = self.act.lock().expect("no panic").take()
        {
            act();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_database_takes_means_that_one() {
    let f = Fixture::start().await;
    for name in ["dropped", "moved"] {
        f.database(name, "CREATE TABLE t AS SELECT 1 AS i");
    }
    let psql = f.psql().with_uri(f.server.uri("postgres"));
    // When both were read: their names are given to new ones.
    let act = move || {
        psql.sql("DROP DATABASE dropped");
        psql.sql("CREATE DATABASE dropped");
        psql.sql("ALTER DATABASE moved RENAME TO other");
        psql.sql("CREATE DATABASE moved");
    };
    let monitor = WhileReading::new(DATABASE, Phase::Data, act);
    let outcome = f.backup_server_with(f.server_request(), monitor).await.expect("a backup");
    let (root, databases) = f.server_root(&outcome.recovery_point_id).await;
    assert_eq!(names(&databases), ["dropped", "moved", "other", "postgres", DATABASE]);
    assert_eq!(codes(&root.warnings), ["DatabaseReplaced"]);
    assert!(root.left_out.is_empty(), "{:?}", root.left_out);
    for (name, tables) in [("dropped", 0), ("moved", 0), ("other", 1)] {
        let entry = databases.iter().find(|entry| entry.name == name).expect("the database");
        assert_eq!(entry.totals.tables, tables, "{name}");
    }
    verify(&f, &outcome.recovery_point_id).await;
}

/// Drops a database from under its reader.
struct DropUnder {
    database: &'static str,
    psql: crate::support::Psql,
    done: std::sync::atomic::AtomicBool,
}

impl Monitor for DropUnder {
    fn report(&self, progress: &Progress) {
        let of_it = progress.current.as_deref().is_some_and(|it| it.starts_with(self.database));
        let first = || !self.done.swap(true, std::sync::atomic::Ordering::SeqCst);
        if progress.phase == Phase::Data && of_it && first() {
            let name = self.database;
            self.psql.sql(&format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            ));
            // Sessions that end hold it for a moment.
            let mut dropped = self.psql.run(&format!("DROP DATABASE {name}"));
            for _ in 0..1000 {
                if dropped.is_ok() {
                    break;
                }
                dropped = self.psql.run(&format!("DROP DATABASE {name}"));
            }
            dropped.expect("a drop");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_dropped_while_it_is_read_is_left_out_and_named() {
    let f = Fixture::start().await;
    f.database("doomed", "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i");
    f.database("zoo", "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i");
    let monitor = Arc::new(DropUnder {
        database: "doomed",
        psql: f.psql().with_uri(f.server.uri("postgres")),
        done: false.into(),
    });
    let outcome = f
        .backup_server_with(f.server_request(), Arc::clone(&monitor) as _)
        .await
        .expect("a backup");
    assert!(monitor.done.load(std::sync::atomic::Ordering::SeqCst));
    let (root, databases) = f.server_root(&outcome.recovery_point_id).await;
    assert_eq!(names(&databases), ["postgres", DATABASE, "zoo"]);
    assert_eq!(codes(&root.warnings), ["DatabaseGone"]);
    assert_eq!(codes(&outcome.warnings)[0], "DatabaseGone");
    verify(&f, &outcome.recovery_point_id).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_database_that_cannot_be_read_fails_all_and_is_named() {
    let f = Fixture::start().await;
    f.database("secretive", "CREATE TABLE t AS SELECT 1 AS i; CREATE TABLE u AS SELECT 1 AS i");
    f.on("postgres", "CREATE ROLE reader LOGIN PASSWORD 'pw'");
    f.on("secretive", "GRANT SELECT ON t TO reader");
    f.sql("CREATE TABLE hidden AS SELECT 1 AS i");
    let reader = f.source_as("reader", "pw").with_database("postgres");
    let checked = check_server(&reader, &f.tools).await;
    let Err(Error::MissingPrivileges { objects, grants, .. }) = checked else {
        panic!("{checked:?}")
    };
    assert_eq!(
        objects,
        [
            "SELECT on table public.u in database secretive",
            "SELECT on table public.hidden in database shop"
        ]
    );
    assert!(grants[0].ends_with(" -- in database secretive"), "{grants:?}");
    let request = BackupRequest { source: reader.clone(), ..f.request() };
    let failed = f.backup_server_with(request, Arc::new(SilentMonitor)).await;
    let Err(Error::InDatabase { database, source }) = failed else { panic!("{failed:?}") };
    assert_eq!(database, "secretive");
    assert!(matches!(*source, Error::MissingPrivileges { .. }), "{source}");
    assert!(f.repository.manifests().await.expect("manifests").valid.is_empty());

    f.on("secretive", "GRANT SELECT ON u TO reader");
    f.sql("GRANT SELECT ON hidden TO reader");
    assert_eq!(check_server(&reader, &f.tools).await.expect("all").len(), 3);
    f.on("postgres", "REVOKE CONNECT ON DATABASE secretive FROM PUBLIC");
    let checked = check_server(&reader, &f.tools).await;
    assert!(
        matches!(&checked, Err(Error::InDatabase { database, .. }) if database == "secretive"),
        "{checked:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_is_rewritten_begins_only_its_database_anew() {
    let f = Fixture::start().await;
    f.database("before", "CREATE TABLE t AS SELECT md5(i::text) FROM generate_series(1, 5000) i");
    f.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i; CREATE TYPE mood AS ENUM ('a'); CREATE TABLE m AS SELECT 'a'::mood AS m");
    let psql = f.psql();
    let act = move || drop(psql.sql("ALTER TYPE mood RENAME VALUE 'a' TO 'b'"));
    let monitor = WhileReading::new(DATABASE, Phase::LargeObjects, act);
    let outcome = f.backup_server_with(f.server_request(), monitor).await.expect("a backup");
    assert!(codes(&outcome.warnings).contains(&"SnapshotRetaken"), "{:?}", outcome.warnings);
    verify(&f, &outcome.recovery_point_id).await;
    // What the databases before have stored is counted all the same.
    let again = f.backup_server().await;
    assert!(outcome.stats.stored_plain_bytes >= outcome.totals.content.text_bytes / 2);
    assert!(again.stats.chunks > 0);
}

async fn damaged_chunks(f: &Fixture, point: &str) -> u64 {
    let report = verify_recovery_point(&f.repository, point, VerifyDepth::Full, &SilentMonitor);
    report.await.expect("a report").damaged_chunks
}

async fn verify(f: &Fixture, point: &str) {
    assert_eq!(damaged_chunks(f, point).await, 0);
    let request = ScratchRequest {
        server: f.source().with_database("postgres"),
        tools: f.tools.clone(),
        recovery_point_id: point.to_owned(),
        workers: 2,
        work_dir: f.work_dir(),
    };
    let cancel = CancellationToken::new();
    let before = f.server.databases().expect("databases");
    let outcome = verify_by_restore(request, &f.repository, Arc::new(SilentMonitor), cancel);
    let outcome = outcome.await.expect("a proof");
    let (root, _) = f.server_root(point).await;
    assert!(outcome.proof.equal && outcome.proof.rows == root.totals.content.rows);
    assert_eq!(outcome.proof.tables, root.totals.tables);
    assert_eq!(f.server.databases().expect("databases"), before);
}

async fn lease(f: &mut Fixture, purpose: LeasePurpose) {
    f.lease = f.repository.acquire_lease("test", purpose, 0, 3_600_000).await.expect("a lease");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_backup_refers_to_each_database_and_collections_keep_what_is_needed() {
    let mut f = Fixture::start().await;
    for name in ["a", "b"] {
        let rows = format!(
            "CREATE TABLE t AS SELECT i, md5('{name}' || i) AS v FROM generate_series(1, 20000) i; SELECT lo_from_bytea(0, '{name}')"
        );
        f.database(name, &rows);
    }
    let first = f.backup_server().await;
    // Equal lists of two databases, and little else.
    assert!(first.stats.deduplicated_plain_bytes < 10_000, "{:?}", first.stats);
    f.on("b", "UPDATE t SET v = 'x' WHERE i = 1");
    f.database("later", "CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i");
    lease(&mut f, LeasePurpose::Backup).await;
    let mut request = f.server_request();
    request.options.previous = Some(first.recovery_point_id.clone());
    let second = f.backup_server_with(request, Arc::new(SilentMonitor)).await.expect("a backup");
    assert!(second.stats.deduplicated_plain_bytes > 600_000, "{:?}", second.stats);
    assert!(!codes(&second.warnings).contains(&"PreviousUnreadable"));

    delete_and_collect(&mut f, &first).await;
    verify(&f, &second.recovery_point_id).await;
    // One of a database beside it, in the same repository, is another matter altogether.
    lease(&mut f, LeasePurpose::Backup).await;
    let mut request = f.request();
    request.options.previous = Some(second.recovery_point_id.clone());
    let third = f.run(request).await.expect("a backup");
    assert!(codes(&third.warnings).contains(&"PreviousUnreadable"), "{:?}", third.warnings);
    let report = delete_and_collect(&mut f, &third).await;
    assert!(report.kept_packs > 0);
    verify(&f, &second.recovery_point_id).await;
    let report = delete_and_collect(&mut f, &second).await;
    assert_eq!(report.kept_packs, 0, "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_in_one_database_is_damage_of_the_recovery_point() {
    let f = Fixture::start().await;
    f.database("a", "CREATE TABLE t AS SELECT i, md5(i::text) FROM generate_series(1, 20000) i");
    let point = f.backup_server().await.recovery_point_id;
    assert_eq!(damaged_chunks(&f, &point).await, 0);
    let manifest = describe_database(&f.repository, &point, Some("a")).await.expect("one");
    let tables = f.tables(&manifest).await;
    f.rot(f.ranges(&tables["public.t"]).await[0].chunks[0].base());
    assert_eq!(damaged_chunks(&f, &point).await, 1);
    // The root of a database: what it would name can't be told any more.
    let (_, databases) = f.server_root(&point).await;
    let entry = databases.iter().find(|entry| entry.name == DATABASE).expect("the database");
    f.rot(&entry.manifest.chunks[0]);
    assert_eq!(damaged_chunks(&f, &point).await, 2);
    let mut request = f.restore_request(&point, "copy");
    request.selection.database = Some(DATABASE.to_owned());
    let error = f.restore(request).await.expect_err("damage");
    assert!(matches!(&error, Error::Store { source, .. } if source.is_damage()), "{error}");
}
