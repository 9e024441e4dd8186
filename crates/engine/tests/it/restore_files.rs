//! A recovery point as files: the stock `pg_restore` makes the same database of them.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use coffer_engine::files::toc::Toc;
use coffer_engine::{
    Error, FilesOutcome, FilesRequest, Monitor, Progress, RoleMap, Selection, SilentMonitor,
    restore_files,
};
use coffer_testkit::PostgresServer;
use tokio_util::sync::CancellationToken;

use crate::restore_support::{assert_same, dump, dump_with};
use crate::support::{DATABASE, Fixture};

impl Fixture {
    pub(crate) fn files_request(&self, point: &str, prefix: &str) -> FilesRequest {
        FilesRequest {
            recovery_point_id: point.to_owned(),
            directory: self.directory.path().join("files"),
            prefix: prefix.to_owned(),
            workers: 3,
            selection: Selection::default(),
            role_map: RoleMap::default(),
        }
    }

    pub(crate) async fn files(&self, point: &str, prefix: &str) -> Result<FilesOutcome, Error> {
        self.files_of(self.files_request(point, prefix)).await
    }

    pub(crate) async fn files_of(&self, request: FilesRequest) -> Result<FilesOutcome, Error> {
        restore_files(request, &self.repository, Arc::new(SilentMonitor), CancellationToken::new())
            .await
    }

    fn names(&self) -> Vec<String> {
        let entries =
            std::fs::read_dir(self.directory.path().join("files")).expect("the directory");
        let mut names: Vec<_> = entries
            .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names
    }
}

pub(crate) fn pg_restore(server: &PostgresServer, arguments: &[&str], archive: &Path) -> String {
    let output = Command::new(server.bin().join("pg_restore"))
        .args(arguments)
        .arg(archive)
        .env("PGPASSWORD", server.password())
        .output()
        .expect("pg_restore");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The listing without numbers, which differ, and without order.
pub(crate) fn listing(server: &PostgresServer, archive: &Path) -> Vec<String> {
    let text = pg_restore(server, &["--list"], archive);
    let mut lines: Vec<_> = text
        .lines()
        .filter(|line| !line.starts_with(';'))
        .filter_map(|line| line.split_once("; ").map(|(_, entry)| entry.to_owned()))
        .collect();
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_tool_restores_all_of_it() {
    let fixture = Fixture::rich().await;
    let (backup, manifest) = fixture.backup().await;
    let outcome = fixture.files(&backup.recovery_point_id, "first").await.expect("files");
    assert!(outcome.proof.equal && outcome.rows == manifest.totals.content.rows);
    assert_eq!(fixture.names(), ["first"]);
    let mode = std::fs::metadata(&outcome.path).expect("the directory").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o700);
    let server = &fixture.server;
    // As with a real archive of the same database.
    let real = fixture.directory.path().join("real");
    let path = real.to_str().expect("a path");
    let arguments = ["--format=directory", "--quote-all-identifiers", "--file", path];
    dump_with(server, DATABASE, &arguments);
    assert_same(&listing(server, &real), &listing(server, &outcome.path));
    for (database, jobs) in [("serial", "1"), ("parallel", "2")] {
        server.create_database(database).expect("a database");
        pg_restore(
            server,
            &["--exit-on-error", "--jobs", jobs, "--dbname", &server.uri(database)],
            &outcome.path,
        );
        assert_same(&dump_with(server, DATABASE, &[]), &dump_with(server, database, &[]));
    }
    // Everything about the database too, where it is made by the archive.
    server.psql("postgres", "ALTER DATABASE shop RENAME TO original").expect("renamed");
    let maintenance = server.uri("postgres");
    pg_restore(server, &["--exit-on-error", "--create", "--dbname", &maintenance], &outcome.path);
    assert_same(&dump(server, "original"), &dump(server, DATABASE));
    // A script made of it ends every COPY.
    let script = pg_restore(server, &["--file", "-"], &outcome.path);
    server.create_database("script").expect("a database");
    server.psql("script", &script).expect("a script that runs");
    assert_same(&dump_with(server, DATABASE, &[]), &dump_with(server, "script", &[]));
}

#[tokio::test(flavor = "multi_thread")]
async fn roles_beside_the_archive_can_be_run() {
    let fixture = Fixture::rich().await;
    fixture.sql("GRANT app_owner TO reader WITH ADMIN OPTION; ALTER ROLE reader SET search_path = a, \"B c\" ");
    let (backup, _) = fixture.backup().await;
    let outcome = fixture.files(&backup.recovery_point_id, "archive").await.expect("files");
    let roles = std::fs::read_to_string(outcome.path.join("roles.sql")).expect("roles");
    let target = Fixture::start().await;
    // The superuser of a new server is there already.
    let others = roles.replace("CREATE ROLE \"postgres\";", "");
    target.server.psql("postgres", &others).expect("roles");
    let question = "SELECT rolcanlogin, rolconfig, (SELECT admin_option FROM pg_auth_members m WHERE m.member = r.oid) \
         FROM pg_roles r WHERE rolname = 'reader'";
    let answers = [&fixture, &target].map(|fixture| fixture.sql(question));
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_existing_name_stays_as_it_is_and_failures_leave_nothing() {
    let fixture = Fixture::start().await;
    fixture.sql("CREATE TABLE t (id int); INSERT INTO t SELECT generate_series(1, 10000)");
    let (backup, _) = fixture.backup().await;
    let point = &backup.recovery_point_id;
    fixture.files(point, "taken").await.expect("files");
    let error = fixture.files(point, "taken").await.expect_err("the name is taken");
    assert!(matches!(error, Error::Unsupported { code: "FilesExist", .. }), "{error}");
    for prefix in ["", ".", "..", "a/b", "a\\b", "a\0b", ".coffer-partial-x", &"x".repeat(201)] {
        let error = fixture.files(point, prefix).await.expect_err(prefix);
        assert!(
            matches!(error, Error::Unsupported { code: "FilePrefix", .. }),
            "{prefix}: {error}"
        );
    }
    assert!(fixture.files(&"0".repeat(31), "missing").await.is_err());
    assert_eq!(fixture.names(), ["taken"]);
}

/// Cancels at the n-th report.
struct CancelAt {
    reports_left: AtomicU64,
    cancel: CancellationToken,
}

impl Monitor for CancelAt {
    fn report(&self, _progress: &Progress) {
        if self.reports_left.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.cancel.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_at_any_moment_it_leaves_no_file() {
    let fixture = Fixture::start().await;
    for number in 0..40 {
        fixture.sql(&format!("CREATE TABLE t{number} AS SELECT generate_series(1, 1000) AS id"));
    }
    let (backup, _) = fixture.backup().await;
    for reports in [1, 2, 10, 30, 60] {
        let cancel = CancellationToken::new();
        let reports_left = AtomicU64::new(reports);
        let monitor = Arc::new(CancelAt { reports_left, cancel: cancel.clone() });
        let request = fixture.files_request(&backup.recovery_point_id, "cancelled");
        let error = restore_files(request, &fixture.repository, monitor, cancel).await;
        assert!(matches!(error, Err(Error::Cancelled)), "{error:?}");
        assert_eq!(fixture.names(), Vec::<String>::new(), "after {reports} reports");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn archives_of_the_servers_own_tool_are_read_and_written_back() {
    let fixture = Fixture::rich().await;
    let directory = fixture.directory.path().join("real");
    dump_with(
        &fixture.server,
        DATABASE,
        &["--format=directory", "--file", directory.to_str().expect("a path")],
    );
    let bytes = std::fs::read(directory.join("toc.dat")).expect("a table of contents");
    let toc = Toc::read(&bytes).expect("understood");
    assert!(toc.entries.len() > 100);
    assert!(toc.write() == bytes, "written back byte for byte");
}
