//! A run that is cancelled stops at once, whatever it waits for, and leaves nothing: no session, no child process, no file, no
//! database, no recovery point. What it waits for here would last for minutes, so that a cancellation which does not reach it is
//! noticed; how fast it is, is printed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_engine::{
    BackupRequest, Error, Monitor, Phase, Progress, SilentMonitor, backup, restore_database,
};
use coffer_store::create_location;
use coffer_testkit::{FailingStore, Fault, StoreOperation, wait_until};
use tokio_util::sync::CancellationToken;

use crate::restore_support::TEMPORARY;
use crate::support::{Fixture, OnPhase, Psql, repository_over};

/// What is waited for is there by then.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);
/// How long a cancelled run may take to end. A second where nobody else is at work; what it waits for takes much longer.
const ENDED_WITHIN: Duration = Duration::from_secs(10);
/// Longer than any of these tests may take.
const FOR_EVER: Duration = Duration::from_secs(600);

/// Sessions of Coffer and of its tools on the server.
const SESSIONS: &str = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'coffer' AND pid <> pg_backend_pid()";

/// Waits until a query that is asked on the server answers yes, then cancels; tells when that was.
fn cancel_when(
    what: &'static str,
    psql: Psql,
    query: String,
    cancel: CancellationToken,
) -> tokio::task::JoinHandle<Instant> {
    cancel_if(what, cancel, move || Ok(psql.run(&query)? == "t"))
}

fn cancel_if(
    what: &'static str,
    cancel: CancellationToken,
    mut condition: impl FnMut() -> anyhow::Result<bool> + Send + 'static,
) -> tokio::task::JoinHandle<Instant> {
    tokio::task::spawn_blocking(move || {
        wait_until(what, BEGUN_WITHIN, || Ok(condition()?.then_some(()))).expect(what);
        let now = Instant::now();
        cancel.cancel();
        now
    })
}

impl Fixture {
    /// Whether a session of ours is at such a statement.
    fn at(&self, statement: &str) -> (Psql, String) {
        let query = format!(
            "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'coffer' AND state = 'active' \
             AND query LIKE '{statement}'"
        );
        (self.psql(), query)
    }

    /// That nothing of a cancelled run is left, which ended just now; how long that took.
    async fn nothing_is_left(
        &self,
        what: &str,
        cancelled: tokio::task::JoinHandle<Instant>,
    ) -> Duration {
        let taken = cancelled.await.expect(what).elapsed();
        assert!(taken < ENDED_WITHIN, "{what}: {taken:?}");
        // The server's process for a session outlives its connection for a moment.
        let gone = || Ok((self.psql().run(SESSIONS)? == "0").then_some(()));
        wait_until("end of all sessions", Duration::from_secs(2), gone).expect(what);
        assert_eq!(self.tools_that_run(), Vec::<String>::new(), "{what}");
        assert!(!self.server.databases().expect(what).contains(&TEMPORARY.to_owned()), "{what}");
        let valid = self.repository.manifests().await.expect(what).valid;
        assert!(valid.len() <= 1, "{what}: {valid:?}");
        taken
    }

    /// Command lines of living processes that name this test's directory.
    fn tools_that_run(&self) -> Vec<String> {
        let directory = self.directory.path().to_str().expect("UTF-8");
        let processes = std::fs::read_dir("/proc").expect("processes").flatten();
        processes
            .filter_map(|process| std::fs::read(process.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " "))
            .filter(|line| line.contains(directory) && line.contains("pg_"))
            .collect()
    }

    async fn cancelled_backup(
        &self,
        what: &'static str,
        request: BackupRequest,
        monitor: Arc<dyn Monitor>,
        (psql, query): (Psql, String),
    ) -> Duration {
        let cancel = CancellationToken::new();
        let cancelled = cancel_when(what, psql, query, cancel.clone());
        let error = self.run_with(request, monitor, cancel).await.expect_err(what);
        assert!(matches!(error, Error::Cancelled), "{what}: {error:?}");
        self.nothing_is_left(what, cancelled).await
    }

    async fn cancelled_restore(
        &self,
        what: &'static str,
        point: &str,
        (psql, query): (Psql, String),
    ) -> Duration {
        let cancel = CancellationToken::new();
        let cancelled = cancel_when(what, psql, query, cancel.clone());
        let request = self.restore_request(point, "copy");
        let error =
            self.restore_with(request, Arc::new(SilentMonitor), cancel).await.expect_err(what);
        assert!(matches!(error, Error::Cancelled), "{what}: {error:?}");
        self.nothing_is_left(what, cancelled).await
    }

    /// A request that waits for locks longer than the test lasts.
    fn patient(&self) -> BackupRequest {
        let mut request = self.request();
        request.options.lock_timeout = FOR_EVER;
        request
    }
}

/// A session that keeps a lock until it is told to let go.
struct Blocker(std::process::Child);

impl Blocker {
    fn start(f: &Fixture, database: &str, sql: &str) -> Self {
        use std::io::Write as _;
        let mut child = std::process::Command::new(f.server.bin().join("psql"))
            .args(["-X", "-q", "-d", &f.server.uri(database)])
            .env("PGAPPNAME", "blocker")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("psql");
        writeln!(child.stdin.as_mut().expect("its input"), "{sql}").expect("a statement");
        Self(child)
    }
}

impl Drop for Blocker {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_waits_for_a_lock() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE a AS SELECT 1 AS i");
    let _blocker = Blocker::start(&f, crate::support::DATABASE, "BEGIN; LOCK TABLE a;");
    let locked = || {
        let held = "SELECT count(*) FROM pg_locks WHERE granted AND mode = 'AccessExclusiveLock' AND relation = 'a'::regclass";
        Ok((f.psql().run(held)? == "1").then_some(()))
    };
    wait_until("the lock", BEGUN_WITHIN, locked).unwrap();
    let waiting = f.at("LOCK TABLE%");
    let taken = f
        .cancelled_backup(
            "backup, waiting for a lock",
            f.patient(),
            Arc::new(SilentMonitor),
            waiting,
        )
        .await;
    println!("ended {taken:?} after it was cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_whose_pg_dump_waits() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE a AS SELECT 1 AS i");
    // It stands in line behind the lock of the backup, and the tool behind it.
    let blocker = Arc::new(std::sync::Mutex::new(None));
    let (keeps, psql, uri) = (Arc::clone(&blocker), f.psql(), f.server.uri("shop"));
    let program = f.server.bin().join("psql");
    let monitor = OnPhase::new(Phase::Schema, move || {
        let alter = "ALTER TABLE a ADD COLUMN j int";
        let child =
            std::process::Command::new(program).args(["-X", "-q", "-d", &uri, "-c", alter]).spawn();
        *keeps.lock().unwrap() = Some(child.unwrap());
        let queued =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock'";
        wait_until("the ALTER", BEGUN_WITHIN, || Ok((psql.run(queued)? == "1").then_some(())))
            .unwrap();
    });
    let waiting = "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'coffer' AND wait_event_type = 'Lock'";
    let waiting = (f.psql(), waiting.to_owned());
    let taken = f
        .cancelled_backup("backup, pg_dump waiting", f.patient(), Arc::new(monitor), waiting)
        .await;
    println!("ended {taken:?} after it was cancelled");
    // Who stood in line goes on at once.
    let altered = blocker.lock().unwrap().take().unwrap().wait().unwrap();
    assert!(altered.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_at_a_slow_row() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE FUNCTION slow(int) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT pg_sleep(300)::text || $1';
         CREATE TABLE config AS SELECT i FROM generate_series(1, 3) i;
         CREATE EXTENSION hstore; ALTER EXTENSION hstore ADD TABLE config;
         UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid],
           extcondition = ARRAY['WHERE public.slow(i) <> '''''] WHERE extname = 'hstore'",
    );
    let copying = f.at("COPY%config%");
    let taken = f
        .cancelled_backup("backup, one slow row", f.request(), Arc::new(SilentMonitor), copying)
        .await;
    println!("ended {taken:?} after it was cancelled");
}

/// Rows come as fast as the server sends them, and some are large: what is under way then is let go of.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_at_full_speed() {
    /// Cancels when enough was read, and remembers when that was.
    struct Enough(CancellationToken, tokio::sync::watch::Sender<Option<Instant>>);
    impl Monitor for Enough {
        fn report(&self, progress: &Progress) {
            if progress.phase == Phase::Data
                && progress.bytes_done > 20_000_000
                && !self.0.is_cancelled()
            {
                self.1.send_replace(Some(Instant::now()));
                self.0.cancel();
            }
        }
    }
    let f = Fixture::start().await;
    f.sql(
        "CREATE TABLE big AS SELECT i, repeat(md5(i::text), 20) AS t FROM generate_series(1, 200000) i;
         CREATE TABLE wide AS SELECT i, repeat(md5(i::text), 2000000) AS t FROM generate_series(1, 4) i",
    );
    let cancel = CancellationToken::new();
    let (sender, receiver) = tokio::sync::watch::channel(None);
    let monitor = Arc::new(Enough(cancel.clone(), sender));
    let error = f.run_with(f.request(), monitor, cancel).await.unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    let cancelled = tokio::spawn(async move { receiver.borrow().expect("it was cancelled") });
    let taken = f.nothing_is_left("backup, at full speed", cancelled).await;
    println!("ended {taken:?} after it was cancelled");
}

/// The first pack, one in the middle, and all until only the manifest is missing.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_whose_upload_stalls() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE big AS SELECT i, md5(i::text) AS t FROM generate_series(1, 50000) i");
    let url = format!("file://{}/store", f.directory.path().display());
    let failing = FailingStore::new(create_location(&url).unwrap());
    let store: Arc<dyn coffer_store::ObjectStore> = Arc::<FailingStore>::clone(&failing);
    let (repository, lease) = repository_over(&store).await;
    let mut request = f.request();
    request.options.pack_bytes = 1024 * 1024;
    // With several, who gets how much to read is a matter of chance, and so is how many packs there are.
    request.options.workers = 1;
    let before = failing.puts();
    let run = async |request: BackupRequest, cancel| {
        backup(request, &repository, &lease, Arc::new(SilentMonitor), cancel).await
    };
    // How many writes there are: as many as of a backup in which everything is new.
    run(request.clone(), CancellationToken::new()).await.unwrap();
    let writes = failing.puts() - before;
    assert!(writes > 2, "{writes} writes");
    // The last one is the manifest, at which it is too late to cancel.
    for nth in [1, writes - 1] {
        f.sql("UPDATE big SET t = md5(t)");
        failing.fail_from(StoreOperation::Put, nth, Fault::Stall);
        let cancel = CancellationToken::new();
        let stalls = Arc::clone(&failing);
        let cancelled = cancel_if("the upload", cancel.clone(), move || Ok(stalls.stalled() > 0));
        let request = BackupRequest { recovery_point_id: format!("{nth:032x}"), ..request.clone() };
        let error = run(request, cancel).await.unwrap_err();
        assert!(matches!(error, Error::Cancelled), "{error:?}");
        let given_up = || Ok((failing.stalled() == 0).then_some(()));
        wait_until("end of the upload", ENDED_WITHIN, given_up).unwrap();
        failing.heal();
        let taken = f.nothing_is_left("backup, upload stalled", cancelled).await;
        println!("ended {taken:?} after it was cancelled");
        assert_eq!(repository.manifests().await.unwrap().valid.len(), 1);
    }
    f.run(f.request()).await.unwrap();
}

/// A database that takes minutes to load, or to get its indexes; its recovery point was taken when it did not.
async fn slow_to_restore(sql: &str, function: &str) -> (Fixture, String) {
    let f = Fixture::start().await;
    f.sql(&format!(
        "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END'; {sql};
         CREATE OR REPLACE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS '{function}'"
    ));
    let (outcome, _) = f.backup().await;
    (f, outcome.recovery_point_id)
}

const SLEEPS: &str = "BEGIN PERFORM pg_sleep(300); RETURN $1; END";

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_loads_slowly() {
    let table = "CREATE TABLE t (i int CHECK (public.slow(i) > 0)); INSERT INTO t VALUES (1), (2)";
    let (f, point) = slow_to_restore(table, SLEEPS).await;
    let taken = f.cancelled_restore("restore, loading", &point, f.at("COPY%")).await;
    println!("ended {taken:?} after it was cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_builds_indexes() {
    let tables = "CREATE TABLE t (i int); INSERT INTO t VALUES (1); CREATE INDEX ON t (public.slow(i)); \
         CREATE TABLE u (i int); INSERT INTO u VALUES (1); CREATE INDEX ON u (public.slow(i))";
    let (f, point) = slow_to_restore(tables, SLEEPS).await;
    let building = "SELECT count(*) > 1 FROM pg_stat_activity WHERE query LIKE 'CREATE INDEX%' AND state = 'active'";
    let building = (f.psql(), building.to_owned());
    let taken = f.cancelled_restore("restore, building indexes", &point, building).await;
    println!("ended {taken:?} after it was cancelled");
}

/// Storage that does not answer while rows are loaded from it.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_whose_download_stalls() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE t AS SELECT i, md5(i::text) AS t FROM generate_series(1, 50000) i");
    let url = format!("file://{}/store", f.directory.path().display());
    let failing = FailingStore::new(create_location(&url).unwrap());
    let store: Arc<dyn coffer_store::ObjectStore> = Arc::<FailingStore>::clone(&failing);
    let (repository, lease) = repository_over(&store).await;
    let (request, silent) = (f.request(), Arc::new(SilentMonitor));
    let taken =
        backup(request, &repository, &lease, silent, CancellationToken::new()).await.unwrap();
    let (cancel, stalls) = (CancellationToken::new(), Arc::clone(&failing));
    let fails = Arc::clone(&failing);
    let monitor =
        OnPhase::new(Phase::Load, move || fails.fail_from(StoreOperation::Get, 1, Fault::Stall));
    let cancelled = cancel_if("the download", cancel.clone(), move || Ok(stalls.stalled() > 0));
    let request = f.restore_request(&taken.recovery_point_id, "copy");
    let error =
        restore_database(request, &repository, Arc::new(monitor), cancel).await.unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    let taken = f.nothing_is_left("restore, download stalled", cancelled).await;
    println!("ended {taken:?} after it was cancelled");
}

/// The server makes the database all the same if it is not stopped: whoever drops it before that drops nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_makes_its_database() {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE t (i int)");
    let (outcome, _) = f.backup().await;
    // The server waits for sessions in the template for some seconds, and makes the database when they end.
    f.server.psql("postgres", "ALTER DATABASE template0 ALLOW_CONNECTIONS true").unwrap();
    let blocker = Blocker::start(&f, "template0", "SELECT 1;");
    let inside = "SELECT count(*) FROM pg_stat_activity WHERE datname = 'template0'";
    wait_until("the session", BEGUN_WITHIN, || Ok((f.psql().run(inside)? == "1").then_some(())))
        .unwrap();
    let making = f.at("CREATE DATABASE%");
    let (point, cancel) = (outcome.recovery_point_id, CancellationToken::new());
    let cancelled = cancel_when("the database", making.0, making.1, cancel.clone());
    let request = f.restore_request(&point, "copy");
    let error = f.restore_with(request, Arc::new(SilentMonitor), cancel).await.unwrap_err();
    drop(blocker);
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    let taken = f.nothing_is_left("restore, making the database", cancelled).await;
    println!("ended {taken:?} after it was cancelled");
}
