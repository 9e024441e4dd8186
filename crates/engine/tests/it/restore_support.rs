//! A rich source, restores of it, and whether two databases are the same.

use std::process::Command;
use std::sync::Arc;

use coffer_engine::{
    Error, Monitor, RestoreOptions, RestoreOutcome, RestoreRequest, RoleMap, Selection,
    SilentMonitor, restore_database,
};
use coffer_testkit::PostgresServer;
use tokio_util::sync::CancellationToken;

use crate::support::{DATABASE, Fixture};

/// Name under which a restore of a test works.
pub(crate) const TEMPORARY: &str = "coffer_restore_test_1";

impl Fixture {
    /// A server with the rich database.
    pub(crate) async fn rich() -> Self {
        let fixture = Self::start().await;
        fixture.sql(include_str!("rich.sql"));
        fixture
    }

    /// A restore of the point to the same server.
    pub(crate) fn restore_request(&self, point: &str, database: &str) -> RestoreRequest {
        RestoreRequest {
            target: self.source().with_database("postgres"),
            database: database.to_owned(),
            temporary_database: TEMPORARY.to_owned(),
            tools: self.tools.clone(),
            recovery_point_id: point.to_owned(),
            options: RestoreOptions { workers: 3, ..RestoreOptions::default() },
            selection: Selection::default(),
            role_map: RoleMap::default(),
            work_dir: self.work_dir(),
        }
    }

    /// Where restores put what they need for a moment.
    pub(crate) fn work_dir(&self) -> std::path::PathBuf {
        self.directory.path().join("work")
    }

    pub(crate) async fn restore(&self, request: RestoreRequest) -> Result<RestoreOutcome, Error> {
        self.restore_with(request, Arc::new(SilentMonitor), CancellationToken::new()).await
    }

    /// Restores, and checks that nothing is left behind that should not be.
    pub(crate) async fn restore_with(
        &self,
        request: RestoreRequest,
        monitor: Arc<dyn Monitor>,
        cancel: CancellationToken,
    ) -> Result<RestoreOutcome, Error> {
        let temporary = request.temporary_database.clone();
        let outcome = restore_database(request, &self.repository, monitor, cancel).await;
        let databases = self.server.databases().expect("databases");
        assert!(!databases.contains(&temporary), "the temporary database is left");
        let left = std::fs::read_dir(self.work_dir()).map(Iterator::count).unwrap_or_default();
        assert_eq!(left, 0, "something is left in the working directory");
        outcome
    }
}

/// What a whole `pg_dump` says of a database, without order, as if it had the source's name.
pub(crate) fn dump(server: &PostgresServer, database: &str) -> Vec<String> {
    dump_with(server, database, &["--create"])
}

pub(crate) fn dump_with(
    server: &PostgresServer,
    database: &str,
    arguments: &[&str],
) -> Vec<String> {
    let output = Command::new(server.bin().join("pg_dump"))
        .args(arguments)
        .args(["--dbname", &server.uri(database)])
        .output()
        .expect("pg_dump");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8").replace(database, DATABASE);
    let mut lines: Vec<_> = text
        .lines()
        // A random word against injection, and numbers of the source.
        .filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

/// Fails with the first lines that differ.
pub(crate) fn assert_same(expected: &[String], found: &[String]) {
    let missing: Vec<_> =
        expected.iter().filter(|line| found.binary_search(line).is_err()).take(5).collect();
    let extra: Vec<_> =
        found.iter().filter(|line| expected.binary_search(line).is_err()).take(5).collect();
    assert!(missing.is_empty() && extra.is_empty(), "missing: {missing:#?}, extra: {extra:#?}");
    assert_eq!(expected.len(), found.len(), "some lines come more often in one of them");
}
