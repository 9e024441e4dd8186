//! A source server, a repository in a directory, and what tests say about a backup in few words.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use coffer_engine::backup::WORKERS_MAX;
use coffer_engine::manifest::{DatabaseManifest, Part, Range, Ranges, Table};
use coffer_engine::part::PartReader;
use coffer_engine::{
    BackupOptions, BackupOutcome, BackupRequest, ConnectOptions, Error, Monitor, Phase, Progress,
    SilentMonitor, SslMode, Tools, backup, describe_recovery_point,
};
use coffer_store::{
    Lease, LeasePurpose, MasterKey, ObjectStore, Repository, VaultKeyring, create_location,
};
use coffer_testkit::{PostgresOptions, PostgresServer};
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) const DATABASE: &str = "shop";

pub(crate) struct Fixture {
    pub(crate) server: PostgresServer,
    pub(crate) repository: Repository,
    pub(crate) lease: Lease,
    pub(crate) tools: Tools,
    pub(crate) directory: TempDir,
    points: AtomicU64,
}

impl Fixture {
    /// A server with an empty database and an empty repository.
    pub(crate) async fn start() -> Self {
        Self::start_with(&PostgresOptions::default()).await
    }

    /// The same in another encoding.
    pub(crate) async fn in_encoding(encoding: &str) -> Self {
        Self::start_with(&PostgresOptions {
            encoding: encoding.to_owned(),
            locale: "C".to_owned(),
            ..PostgresOptions::default()
        })
        .await
    }

    pub(crate) async fn start_with(options: &PostgresOptions) -> Self {
        let server = PostgresServer::start_with(options).expect("a server");
        server.create_database(DATABASE).expect("a database");
        let directory = TempDir::new().expect("a directory");
        let (repository, lease) = repository(&directory).await;
        let tools = Tools::discover(&[server.bin().to_owned()]);
        Self { server, repository, lease, tools, directory, points: AtomicU64::new(0) }
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.server.psql(DATABASE, sql).expect(sql)
    }

    /// For threads of their own.
    pub(crate) fn psql(&self) -> Psql {
        Psql { program: self.server.bin().join("psql"), uri: self.server.uri(DATABASE) }
    }

    /// As the superuser.
    pub(crate) fn source(&self) -> ConnectOptions {
        let mut source = ConnectOptions::parse_secret(&self.server.uri(DATABASE)).expect("a URI");
        source.ssl_mode = SslMode::Disable;
        source
    }

    /// As a role of its own, made with this password.
    pub(crate) fn source_as(&self, user: &str, password: &str) -> ConnectOptions {
        let secret =
            format!("postgres://{user}:{password}@127.0.0.1:{}/{DATABASE}", self.server.port());
        let mut source = ConnectOptions::parse_secret(&secret).expect("a URI");
        source.ssl_mode = SslMode::Disable;
        source
    }

    pub(crate) fn request(&self) -> BackupRequest {
        let number = self.points.fetch_add(1, Ordering::Relaxed);
        BackupRequest {
            source: self.source(),
            tools: self.tools.clone(),
            recovery_point_id: format!("{number:032x}"),
            labels: BTreeMap::from([("instance".to_owned(), "test".to_owned())]),
            options: BackupOptions { workers: WORKERS_MAX.min(3), ..BackupOptions::default() },
            work_dir: self.directory.path().to_owned(),
        }
    }

    pub(crate) async fn run(&self, request: BackupRequest) -> Result<BackupOutcome, Error> {
        self.run_with(request, Arc::new(SilentMonitor), CancellationToken::new()).await
    }

    pub(crate) async fn run_with(
        &self,
        request: BackupRequest,
        monitor: Arc<dyn Monitor>,
        cancel: CancellationToken,
    ) -> Result<BackupOutcome, Error> {
        let outcome = backup(request, &self.repository, &self.lease, monitor, cancel).await;
        let leftovers: Vec<_> = std::fs::read_dir(self.directory.path())
            .expect("the working directory")
            .filter_map(|entry| entry.ok().map(|entry| entry.file_name()))
            .filter(|name| name != "store" && name != "work")
            .collect();
        assert!(leftovers.is_empty(), "left in the working directory: {leftovers:?}");
        outcome
    }

    /// A backup with the defaults, and its manifest.
    pub(crate) async fn backup(&self) -> (BackupOutcome, DatabaseManifest) {
        let outcome = self.run(self.request()).await.expect("a backup");
        let manifest = self.manifest(&outcome.recovery_point_id).await;
        (outcome, manifest)
    }

    pub(crate) async fn manifest(&self, id: &str) -> DatabaseManifest {
        describe_recovery_point(&self.repository, id).await.expect("a manifest")
    }

    pub(crate) async fn list<T: DeserializeOwned>(&self, part: &Part) -> Vec<T> {
        let mut reader = PartReader::new(&self.repository, part);
        let mut items = Vec::new();
        while let Some(item) = reader.next().await.expect("an item") {
            items.push(item);
        }
        items
    }

    pub(crate) async fn tables(&self, manifest: &DatabaseManifest) -> BTreeMap<String, Table> {
        let tables: Vec<Table> = self.list(&manifest.tables).await;
        tables
            .into_iter()
            .map(|table| (format!("{}.{}", table.schema, table.name), table))
            .collect()
    }

    pub(crate) async fn ranges(&self, table: &Table) -> Vec<Range> {
        match &table.ranges {
            Ranges::Inline(ranges) => ranges.clone(),
            Ranges::Listed(part) => self.list(part).await,
        }
    }

    /// The stored COPY text of a table.
    pub(crate) async fn text(&self, table: &Table) -> String {
        String::from_utf8(self.text_bytes(table).await).expect("UTF-8")
    }

    /// The same in whatever encoding.
    pub(crate) async fn text_bytes(&self, table: &Table) -> Vec<u8> {
        let mut text = Vec::new();
        for range in self.ranges(table).await {
            for chunk in &range.chunks {
                text.extend_from_slice(&chunk.read(&self.repository).await.expect("a chunk"));
            }
        }
        text
    }

    pub(crate) async fn bytes(&self, part: &Part) -> Vec<u8> {
        let mut reader = PartReader::new(&self.repository, part);
        let mut bytes = Vec::new();
        while let Some(more) = reader.bytes().await.expect("bytes") {
            bytes.extend_from_slice(&more);
        }
        bytes
    }
}

async fn repository(directory: &TempDir) -> (Repository, Lease) {
    let url = format!("file://{}/store", directory.path().display());
    repository_over(&create_location(&url).expect("a location")).await
}

/// An empty repository in this store, and its lease for an hour.
pub(crate) async fn repository_over(store: &Arc<dyn ObjectStore>) -> (Repository, Lease) {
    let master = MasterKey::generate().expect("a key");
    let vault = Uuid::new_v4();
    let keyring = VaultKeyring::create_or_open(store, vault, &master).await.expect("a keyring");
    let repository = Repository::create_or_open(store, vault, Uuid::new_v4(), &keyring)
        .await
        .expect("a repository");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time");
    let now_ms = u64::try_from(now.as_millis()).expect("a time");
    let lease = repository
        .acquire_lease("test", LeasePurpose::Backup, now_ms, 3_600_000)
        .await
        .expect("a lease");
    (repository, lease)
}

/// Runs SQL in the fixture's database; unlike the server it can go to another thread.
#[derive(Clone)]
pub(crate) struct Psql {
    program: PathBuf,
    uri: String,
}

impl Psql {
    /// The same in another server's database.
    pub(crate) fn with_uri(self, uri: String) -> Self {
        Self { uri, ..self }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1", "-d", &self.uri]);
        command
    }

    pub(crate) fn run(&self, sql: &str) -> anyhow::Result<String> {
        let output = self.command().args(["-c", sql]).output()?;
        anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
    }

    pub(crate) fn sql(&self, sql: &str) -> String {
        self.run(sql).expect(sql)
    }

    /// Statement by statement, each its own transaction unless one is begun, with psql's own commands.
    pub(crate) fn script(&self, sql: &str) -> anyhow::Result<()> {
        use std::io::Write as _;
        let mut command = self.command();
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        if let Some(mut input) = child.stdin.take() {
            // It may have stopped at an error before it read all.
            drop(input.write_all(sql.as_bytes()));
        }
        anyhow::ensure!(child.wait()?.success(), "the script failed");
        Ok(())
    }
}

/// Does something the first time a phase begins, before the backup goes on.
pub(crate) struct OnPhase<F> {
    phase: Phase,
    action: Mutex<Option<F>>,
}

impl<F: FnOnce() + Send> OnPhase<F> {
    pub(crate) fn new(phase: Phase, action: F) -> Self {
        Self { phase, action: Mutex::new(Some(action)) }
    }
}

impl<F: FnOnce() + Send> Monitor for OnPhase<F> {
    fn report(&self, progress: &Progress) {
        if progress.phase == self.phase
            && let Some(action) = self.action.lock().expect("no panic before").take()
        {
            action();
        }
    }
}
