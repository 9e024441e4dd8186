//! A server's recovery point as files: what the stock tools make of them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;

use coffer_engine::files::{SCHEMA_FILE, TABLESPACES_FILE, file_name};
use coffer_engine::{
    Error, FilesOutcome, FilesRequest, Monitor, Phase, Progress, SilentMonitor, Tools,
    restore_server_files,
};
use coffer_testkit::{PostgresOptions, PostgresServer, has_major};
use tokio_util::sync::CancellationToken;

use crate::restore_files::pg_restore;
use crate::restore_support::{assert_same, dump_with};
use crate::support::{DATABASE, Fixture};

impl Fixture {
    async fn server_files(&self, request: FilesRequest) -> Result<FilesOutcome, Error> {
        let (monitor, cancel) = (Arc::new(SilentMonitor), CancellationToken::new());
        restore_server_files(request, &self.tools, &self.repository, monitor, cancel).await
    }
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// Runs a file by psql; gives what it says on its standard error.
fn run(server: &PostgresServer, file: PathBuf, arguments: &[&str]) -> String {
    let output = Command::new(server.bin().join("psql"))
        .args(["-X", "-q", "-d", &server.uri("postgres"), "-f"])
        .arg(file)
        .args(arguments)
        .output()
        .expect("psql");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// As the documentation of Azure does it: the file through a pipe, from which nothing can be read twice.
fn restore_from_pipe(server: &PostgresServer, file: &Path, database: &str) {
    let input = std::fs::File::open(file).expect("the file");
    let mut cat = Command::new("cat").stdin(input).stdout(Stdio::piped()).spawn().expect("cat");
    let output = Command::new(server.bin().join("pg_restore"))
        .args(["--exit-on-error", "-d", &server.uri(database)])
        .stdin(cat.stdout.take().expect("a pipe"))
        .output()
        .expect("pg_restore");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(cat.wait().expect("cat").success());
}

const OBJECTS: &str = "SELECT string_agg(lo || ':' || md5(lo_get(lo)), ',' ORDER BY lo) FROM (SELECT oid AS lo FROM pg_largeobject_metadata) x";

async fn files_of_version(options: &PostgresOptions) {
    let f = Fixture::start_with(options).await;
    let major = f.server.major();
    let in_place = major >= 15;
    f.sql(
        "CREATE ROLE keeper LOGIN CONNECTION LIMIT 3; CREATE ROLE \"odd role\"; GRANT \"odd role\" TO keeper; ALTER ROLE keeper SET work_mem = '7MB';
         CREATE SCHEMA s AUTHORIZATION keeper; CREATE TABLE s.t (id serial PRIMARY KEY, v text); ALTER TABLE s.t OWNER TO keeper;
         INSERT INTO s.t (v) SELECT repeat('é' || i, 20) FROM generate_series(1, 20000) i; CREATE INDEX ON s.t (v);
         CREATE TABLE nothing (); INSERT INTO nothing SELECT; CREATE TABLE no_rows (i int);
         CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM s.t;
         SELECT lo_from_bytea(77, 'small'), lo_from_bytea(3000000000, decode(repeat('0123456789', 200000), 'hex')), lo_from_bytea(78, '');
         SELECT lo_create(i::oid) FROM generate_series(100000, 101500) i; ALTER LARGE OBJECT 77 OWNER TO keeper;
         COMMENT ON LARGE OBJECT 77 IS 'a comment';",
    );
    f.on("postgres", "CREATE DATABASE roles");
    f.on("roles", "CREATE TABLE t AS SELECT 'of roles' AS v");
    if in_place {
        f.on("postgres", "CREATE TABLESPACE fast OWNER keeper LOCATION ''");
        f.on(
            "postgres",
            "ALTER TABLESPACE fast SET (random_page_cost = 1.5); COMMENT ON TABLESPACE fast IS 'it''s fast'; GRANT CREATE ON TABLESPACE fast TO \"odd role\"",
        );
        f.on("roles", "CREATE TABLE placed TABLESPACE fast AS SELECT 1 AS i");
    }
    let backup = f.backup_server().await;
    let outcome = f.server_files(f.files_request(&backup.recovery_point_id, "all")).await;
    let outcome = outcome.expect("files");
    let directory = f.directory.path().join("files/all");
    assert_eq!(
        names(&directory),
        ["%72oles.sql", "postgres.sql", "roles.sql", "schema.sql", "shop.sql", "tablespace.sql"]
    );
    assert_eq!(names(&f.directory.path().join("files")), ["all"], "nothing else is left");
    assert_eq!((outcome.files, outcome.rows), (6, backup.totals.content.rows));
    assert!(outcome.proof.equal && outcome.proof.tables == backup.totals.tables);

    let target = PostgresServer::start_with(options).expect("a target");
    let said = run(&target, directory.join("roles.sql"), &[]);
    assert!(said.lines().all(|line| line.contains("\"postgres\" already exists")), "{said}");
    let said = run(&target, directory.join(TABLESPACES_FILE), &["-v", "ON_ERROR_STOP=1"]);
    assert_eq!(said, "");
    for database in ["from_pipe", "from_file", "roles"] {
        target.create_database(database).expect("a database");
    }
    let shop = directory.join(file_name(DATABASE));
    restore_from_pipe(&target, &shop, "from_pipe");
    let uri = target.uri("from_file");
    pg_restore(&target, &["-j", "3", "--exit-on-error", "-d", &uri], &shop);
    pg_restore(
        &target,
        &["--exit-on-error", "-d", &target.uri("roles")],
        &directory.join(file_name("roles")),
    );
    for copy in ["from_pipe", "from_file"] {
        assert_same(&dump_with(&f.server, DATABASE, &[]), &dump_with(&target, copy, &[]));
        let objects =
            |server: &PostgresServer, database| server.psql(database, OBJECTS).expect("objects");
        assert_eq!(objects(&f.server, DATABASE), objects(&target, copy));
    }
    assert_same(&dump_with(&f.server, "roles", &[]), &dump_with(&target, "roles", &[]));
    let schema = std::fs::read_to_string(directory.join(SCHEMA_FILE)).expect("text");
    for part in [
        r#"CREATE TABLE "s"."t""#,
        r#"CREATE DATABASE "roles""#,
        r#"CREATE DATABASE "shop""#,
        "\\connect shop",
    ] {
        assert!(schema.contains(part), "{part} in {schema}");
    }
    assert!(!schema.contains("COPY "), "{schema}");
}

async fn files_of_versions(majors: &[u32]) {
    for &major in majors {
        if !has_major(major) {
            continue;
        }
        let mut options = PostgresOptions { major: Some(major), ..PostgresOptions::default() };
        if major >= 15 {
            options = options.setting("allow_in_place_tablespaces", "on");
        }
        files_of_version(&options).await;
    }
}

/// Each format of archives that supported servers write is among these.
#[tokio::test(flavor = "multi_thread")]
async fn the_stock_tools_restore_a_server_from_its_files() {
    files_of_versions(&[14, 15, 16, 17, 18]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_stock_tools_restore_an_older_server_from_its_files() {
    files_of_versions(&[10, 11, 12, 13]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_database_is_a_directory_as_ever_and_parts_are_of_one() {
    let f = Fixture::rich().await;
    let point = f.backup_server().await.recovery_point_id;
    let mut request = f.files_request(&point, "one");
    request.selection.database = Some(DATABASE.to_owned());
    let outcome = f.files_of(request.clone()).await.expect("files");
    assert!(outcome.path.join("toc.dat").exists() && outcome.proof.equal);
    let refused = f.server_files(FilesRequest { prefix: "other".to_owned(), ..request }).await;
    assert!(matches!(refused, Err(Error::Preflight(_))), "{refused:?}");
    let refused = f.files_of(f.files_request(&point, "none")).await;
    assert!(matches!(refused, Err(Error::Preflight(_))), "{refused:?}");
    assert_eq!(names(&f.directory.path().join("files")), ["one"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_pg_restore_the_definitions_are_missing_and_it_is_said() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE t AS SELECT 1 AS i");
    let point = f.backup_server().await.recovery_point_id;
    let (monitor, cancel) = (Arc::new(SilentMonitor), CancellationToken::new());
    let request = f.files_request(&point, "all");
    let written =
        restore_server_files(request, &Tools::default(), &f.repository, monitor, cancel).await;
    let warnings = written.expect("files").warnings;
    let told: Vec<_> = warnings.iter().filter(|w| w.code == "SchemaFileIncomplete").collect();
    assert_eq!(told.len(), 2, "{warnings:?}");
}

/// Cancels when rows of a database are written.
struct CancelIn(&'static str, CancellationToken);

impl Monitor for CancelIn {
    fn report(&self, progress: &Progress) {
        let of_it = progress.current.as_deref().is_some_and(|it| it.starts_with(self.0));
        if progress.phase == Phase::Files && of_it {
            self.1.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_were_cancelled_or_differ_leave_nothing() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE large AS SELECT i, md5(i::text) FROM generate_series(1, 100000) i");
    let point = f.backup_server().await.recovery_point_id;
    let cancel = CancellationToken::new();
    let monitor = Arc::new(CancelIn("public.large", cancel.clone()));
    let request = f.files_request(&point, "all");
    let written =
        restore_server_files(request.clone(), &f.tools, &f.repository, monitor, cancel).await;
    assert!(matches!(written, Err(Error::Cancelled)), "{written:?}");
    assert!(names(&f.directory.path().join("files")).is_empty());
    f.server_files(request.clone()).await.expect("files");
    let again = f.server_files(request).await;
    assert!(matches!(again, Err(Error::Unsupported { code: "FilesExist", .. })), "{again:?}");
}
