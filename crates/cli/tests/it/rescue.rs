//! `coffer rescue`: from a storage location and a key to a database, with no server and no metadata.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use anyhow::{Context as _, ensure};
use coffer_engine::{
    BackupOptions, BackupRequest, ConnectOptions, SilentMonitor, Tools, backup, backup_server,
};
use coffer_store::{
    LeasePurpose, Location, LocationOptions, MasterKey, Repository, Variables, VaultKeyring,
};
use coffer_testkit::{ObjectStorage, PostgresServer};
use serde_json::Value;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::command::{coffer, json, outcome, run, text};

/// A storage location with one recovery point of the sample, and the server that it came from.
pub(crate) struct Stored {
    pub(crate) server: PostgresServer,
    pub(crate) directory: tempfile::TempDir,
    pub(crate) recovery_point: String,
    vault: Uuid,
    pub(crate) repository: Uuid,
    /// Where the storage is, if not in a directory.
    pub(crate) emulator: Option<ObjectStorage>,
}

impl Stored {
    pub(crate) async fn make() -> anyhow::Result<Self> {
        Self::make_in(None).await
    }

    pub(crate) async fn make_in(emulator: Option<ObjectStorage>) -> anyhow::Result<Self> {
        let server = PostgresServer::start()?;
        server.load_sample("shop", 1)?;
        let directory = tempfile::tempdir()?;
        MasterKey::generate()?.write_file(&directory.path().join("key"))?;
        let (vault, repository) = (Uuid::new_v4(), Uuid::new_v4());
        let mut stored =
            Self { server, directory, recovery_point: String::new(), vault, repository, emulator };
        stored.recovery_point = stored.back_up(None).await?;
        Ok(stored)
    }

    pub(crate) async fn open(&self) -> anyhow::Result<Repository> {
        let master = MasterKey::read_file(&self.directory.path().join("key"))?;
        let variables = self.emulator.as_ref().map(ObjectStorage::variables).unwrap_or_default();
        let variables = variables.into_iter().map(|(name, value)| (name.to_owned(), value));
        let options = LocationOptions::default();
        let location = Location::new(&self.storage()?, &options, &Variables::of(variables))?;
        let storage = location.create()?;
        let store = storage.store();
        let keyring = VaultKeyring::create_or_open(store, self.vault, &master).await?;
        Ok(Repository::create_or_open(store, self.vault, self.repository, &keyring).await?)
    }

    /// Takes one more recovery point.
    pub(crate) async fn back_up(&self, previous: Option<&str>) -> anyhow::Result<String> {
        self.take(previous, false).await
    }

    async fn take(&self, previous: Option<&str>, whole_server: bool) -> anyhow::Result<String> {
        let recovery_point = Uuid::new_v4().simple().to_string();
        let repository = self.open().await?;
        let lease = repository.acquire_lease("test", LeasePurpose::Backup, 0, 60_000).await?;
        let request = BackupRequest {
            source: ConnectOptions::parse_secret(&self.server.uri("shop"))?,
            tools: Tools::discover(&[]),
            recovery_point_id: recovery_point.clone(),
            labels: [("tag".to_owned(), "Default".to_owned())].into(),
            options: BackupOptions {
                previous: previous.map(str::to_owned),
                ..BackupOptions::default()
            },
            work_dir: self.directory.path().to_owned(),
        };
        let monitor = Arc::new(SilentMonitor);
        let cancel = CancellationToken::new();
        if whole_server {
            Box::pin(backup_server(request, &repository, &lease, monitor, cancel)).await?;
        } else {
            Box::pin(backup(request, &repository, &lease, monitor, cancel)).await?;
        }
        repository.release_lease(lease).await?;
        Ok(recovery_point)
    }

    pub(crate) fn storage(&self) -> anyhow::Result<String> {
        if let Some(emulator) = &self.emulator {
            return Ok(emulator.url("coffer"));
        }
        Ok(format!("file://{}", text(&self.directory.path().join("storage"))?))
    }

    pub(crate) fn key(&self) -> anyhow::Result<String> {
        text(&self.directory.path().join("key"))
    }

    /// Every table's row count and content, by psql.
    pub(crate) fn content(&self, database: &str) -> anyhow::Result<String> {
        let tables = self.server.psql(
            database,
            "SELECT format('SELECT %L, count(*), sum(hashtextextended(r::text, 0)::numeric) FROM ONLY %s AS r', oid::regclass, oid::regclass)
             FROM pg_class WHERE relkind IN ('r', 'm') AND relispopulated AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema', 'pg_toast')
             ORDER BY oid::regclass::text COLLATE \"C\"",
        )?;
        ensure!(tables.lines().count() > 15, "the sample has more tables than {tables}");
        self.server
            .psql(database, &tables.lines().map(|line| format!("{line};\n")).collect::<String>())
    }
}

#[tokio::test]
async fn a_server_comes_back_from_storage_and_key_alone() -> anyhow::Result<()> {
    let stored = Stored::make().await?;
    let point = stored.take(None, true).await?;
    let (storage, key) = (stored.storage()?, stored.key()?);
    let location = ["--storage", &storage, "--key-file", &key, "--output", "json"];
    let call = |verb: &str, arguments: &[&str]| -> anyhow::Result<Value> {
        let mut command = coffer();
        command.args(["rescue", verb]).args(location).args(arguments);
        let (code, out, err) = outcome(command.output()?)?;
        ensure!(code == 0, "{verb} ended with {code}: {err}");
        Ok(serde_json::from_str(&out)?)
    };
    let listed = call("list", &[])?;
    let of_server = listed
        .as_array()
        .and_then(|all| all.iter().find(|entry| entry["recoveryPointId"] == point.as_str()));
    let of_server = of_server.context("not listed")?;
    assert_eq!(of_server["databases"], serde_json::json!(["postgres", "shop"]));
    assert_eq!(of_server.get("database"), None);
    let verified = call("verify", &[])?;
    assert_eq!(verified["recoveryPoints"].as_array().map(Vec::len), Some(2), "{verified}");
    assert!(verified.to_string().contains(&point));
    let scratch = stored.server.uri("postgres");
    let arguments = ["--depth", "restore", "--scratch", &scratch, "--recovery-point", &point];
    let verified = call("verify", &arguments)?;
    assert_eq!(verified["recoveryPoints"][0]["sound"], true, "{verified}");

    let target = stored.server.uri("again");
    let restored =
        call("restore", &["--recovery-point", &point, "--database", "shop", "--target", &target])?;
    assert_eq!(restored["proved"], true, "{restored}");
    assert_eq!(stored.content("again")?, stored.content("shop")?);
    let directory = text(&stored.directory.path().join("exported"))?;
    let exported = call("export", &["--recovery-point", &point, "--target", &directory])?;
    assert_eq!(exported["proved"], true, "{exported}");
    for name in ["shop.sql", "postgres.sql", "roles.sql", "tablespace.sql", "schema.sql"] {
        assert!(Path::new(&directory).join(name).is_file(), "{name}");
    }
    Ok(())
}

#[tokio::test]
async fn everything_comes_back_from_storage_and_key_alone() -> anyhow::Result<()> {
    let stored = Stored::make().await?;
    let (storage, key) = (stored.storage()?, stored.key()?);
    let listed =
        json(["rescue", "list", "--storage", &storage, "--key-file", &key, "--output", "json"])?;
    let [point] = listed.as_array().map(Vec::as_slice).context("no list")? else {
        anyhow::bail!("not one recovery point: {listed}");
    };
    assert_eq!(point["recoveryPointId"], stored.recovery_point.as_str());
    assert_eq!(
        (&point["database"], &point["labels"]["tag"]),
        (&Value::from("shop"), &Value::from("Default"))
    );

    let verified =
        json(["rescue", "verify", "--storage", &storage, "--key-file", &key, "--output", "json"])?;
    assert_eq!(verified["recoveryPoints"][0]["sound"], true, "{verified}");

    restore_database(&stored)?;
    export(&stored)?;
    Ok(())
}

fn restore_database(stored: &Stored) -> anyhow::Result<()> {
    // The password from the environment: a command line is no place for it.
    let target = format!(
        "postgres://postgres@127.0.0.1:{}/shop_again?sslmode=disable",
        stored.server.port()
    );
    let mut command = coffer();
    command.args([
        "rescue",
        "restore",
        "--storage",
        &stored.storage()?,
        "--key-file",
        &stored.key()?,
    ]);
    command.args([
        "--recovery-point",
        &stored.recovery_point,
        "--target",
        &target,
        "--output",
        "json",
    ]);
    command.env("PGPASSWORD", stored.server.password());
    let (code, out, err) = outcome(command.output()?)?;
    assert_eq!(code, 0, "{err}");
    let report: Value = serde_json::from_str(&out)?;
    assert_eq!(
        (&report["target"], &report["proved"]),
        (&Value::from("shop_again"), &Value::from(true)),
        "{report}"
    );
    assert_eq!(stored.content("shop_again")?, stored.content("shop")?);

    let (code, out, err) = outcome(command.output()?)?;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("shop_again"), "{err}");
    assert_eq!(stored.server.databases()?, ["postgres", "shop", "shop_again"]);
    Ok(())
}

fn export(stored: &Stored) -> anyhow::Result<()> {
    let archive = stored.directory.path().join("archive");
    let (code, _, err) = run([
        "rescue",
        "export",
        "--storage",
        &stored.storage()?,
        "--key-file",
        &stored.key()?,
        "--recovery-point",
        &stored.recovery_point,
        "--target",
        &text(&archive)?,
    ])?;
    assert_eq!(code, 0, "{err}");
    stored.server.create_database("from_files")?;
    let output = Command::new(stored.server.bin().join("pg_restore"))
        .args(["-j2", "--exit-on-error", "-d", &stored.server.uri("from_files")])
        .arg(&archive)
        .output()?;
    let (code, _, err) = outcome(output)?;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(stored.content("from_files")?, stored.content("shop")?);
    Ok(())
}

#[tokio::test]
async fn damage_and_a_wrong_key_are_named() -> anyhow::Result<()> {
    let stored = Stored::make().await?;
    let (storage, key) = (stored.storage()?, stored.key()?);

    let other = stored.directory.path().join("other");
    MasterKey::generate()?.write_file(&other)?;
    let (code, out, err) = run([
        "rescue",
        "list",
        "--storage",
        &storage,
        "--key-file",
        &text(&other)?,
        "--output",
        "json",
    ])?;
    assert_eq!((code, out.trim()), (1, "[]"), "{err}");
    assert!(err.contains("sealed by key"), "{err}");

    damage(&largest_pack(&stored.directory.path().join("storage"))?)?;
    let (code, out, err) =
        run(["rescue", "verify", "--storage", &storage, "--key-file", &key, "--output", "json"])?;
    assert_eq!(code, 1, "{err}");
    let report: Value = serde_json::from_str(&out)?;
    assert_eq!(report["recoveryPoints"][0]["sound"], false, "{report}");

    let target = stored.server.uri("damaged");
    let arguments = [
        "rescue",
        "restore",
        "--storage",
        &storage,
        "--key-file",
        &key,
        "--recovery-point",
        &stored.recovery_point,
    ];
    let (code, _, err) = outcome(coffer().args(arguments).args(["--target", &target]).output()?)?;
    assert_eq!(code, 1, "{err}");
    assert!(!err.contains(stored.server.password()), "{err}");
    assert_eq!(stored.server.databases()?, ["postgres", "shop"]);
    Ok(())
}

/// The largest file below `packs` directories.
pub(crate) fn largest_pack(directory: &Path) -> anyhow::Result<PathBuf> {
    let mut packs = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                pending.push(entry.path());
            } else if directory.ends_with("packs") {
                packs.push((entry.metadata()?.len(), entry.path()));
            }
        }
    }
    packs.into_iter().max().map(|(_, path)| path).context("no packs")
}

/// Turns one bit in the first half of a file, where chunks are.
pub(crate) fn damage(path: &Path) -> anyhow::Result<()> {
    let mut bytes = fs::read(path)?;
    let middle = bytes.len() / 4;
    *bytes.get_mut(middle).context("an empty pack")? ^= 1;
    fs::write(path, bytes)?;
    Ok(())
}
