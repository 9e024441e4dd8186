//! A PostgreSQL server for one test: made by `initdb`, reached by TCP on 127.0.0.1 only, gone afterwards.
//!
//! `initdb` and the server refuse to run as root, so when the test does, they become the user `postgres`. The server is
//! told (by the kernel, through `setpriv --pdeathsig`) to stop at once when the test process dies, so that even a
//! killed test leaves no process behind.

mod account;
mod binaries;
mod guardian;
mod standby;
pub(crate) mod tls;

use std::{
    fs,
    io::Write as _,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

pub use self::binaries::has_major;
use self::{account::Account, binaries::Binaries, guardian::Guardian};
use crate::wait_until;

/// Name of the superuser of every test server.
const SUPERUSER: &str = "postgres";

/// How long a server may take to answer; generous, since CI machines are shared.
const START_LIMIT: Duration = Duration::from_secs(90);

/// How long a server may take to stop.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// How many free ports are tried: between finding one and the server's taking it, another process may be faster.
const PORT_ATTEMPTS: usize = 20;

/// How a test server differs from the default.
#[derive(Debug, Clone)]
pub struct PostgresOptions {
    /// Major version; the newest installed one by default.
    pub major: Option<u32>,
    /// Locale of the cluster.
    pub locale: String,
    /// Encoding of the cluster.
    pub encoding: String,
    /// Offers TLS with a certificate for `127.0.0.1` and `localhost`, of a CA that is in [`PostgresServer::ca_file`].
    pub tls: bool,
    /// Lines for `postgresql.conf`, after the test kit's own.
    pub settings: Vec<(String, String)>,
}

impl Default for PostgresOptions {
    fn default() -> Self {
        Self {
            major: None,
            locale: "C.UTF-8".to_owned(),
            encoding: "UTF8".to_owned(),
            tls: false,
            settings: Vec::new(),
        }
    }
}

impl PostgresOptions {
    /// Adds a line to `postgresql.conf`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// How a running server is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shutdown {
    /// Sessions are ended, everything is written.
    Fast,
    /// As after a crash: the next start recovers from the log.
    Immediate,
}

/// A running PostgreSQL server. Dropping it stops the server and removes its files.
#[derive(Debug)]
pub struct PostgresServer {
    // Declared before `directory`: the process ends before its files go.
    process: Option<Guardian>,
    directory: TempDir,
    account: Account,
    binaries: Binaries,
    port: u16,
    password: String,
    tls: bool,
}

impl PostgresServer {
    /// Starts a server with the defaults.
    ///
    /// # Errors
    /// When no binaries are found or the server does not come up; the message ends with its log.
    pub fn start() -> anyhow::Result<Self> {
        Self::start_with(&PostgresOptions::default())
    }

    /// Starts a server.
    ///
    /// # Errors
    /// As [`PostgresServer::start`].
    pub fn start_with(options: &PostgresOptions) -> anyhow::Result<Self> {
        let binaries = binaries::find(options.major)?;
        let account = Account::for_server()?;
        let directory = tempfile::Builder::new().prefix("coffer-pg-").tempdir()?;
        account.own(directory.path())?;
        let password = format!("{:032x}", rand::random::<u128>());
        let mut server = Self {
            process: None,
            directory,
            account,
            binaries,
            port: 0,
            password,
            tls: options.tls,
        };
        server.init_cluster(options)?;
        server.configure(options)?;
        server.launch_on_free_port()?;
        Ok(server)
    }

    /// Port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Password of the superuser `postgres`.
    #[must_use]
    pub fn password(&self) -> &str {
        &self.password
    }

    /// Major version.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.binaries.major
    }

    /// Directory of `pg_dump`, `pg_restore`, `psql`: of this server's version, or of a newer one where it comes without.
    #[must_use]
    pub fn bin(&self) -> &Path {
        &self.binaries.tools
    }

    /// Certificate of the CA of a server with TLS, in PEM.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join(tls::CA_FILE)
    }

    /// URI of a database for the superuser. It says what TLS the server has, so that nobody's default matters.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        let tls = match self.tls {
            true => format!("sslmode=verify-full&sslrootcert={}", self.ca_file().display()),
            false => "sslmode=disable".to_owned(),
        };
        format!("postgres://{SUPERUSER}:{}@127.0.0.1:{}/{database}?{tls}", self.password, self.port)
    }

    /// Runs SQL with `psql` and returns what it printed: unaligned, no headers, stopped by the first error.
    ///
    /// # Errors
    /// With what `psql` wrote to its standard error.
    pub fn psql(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        self.psql_with(database, &[], sql)
    }

    /// Runs a `psql` script with variables (`:name` in the script).
    ///
    /// # Errors
    /// When the file cannot be read, or as [`PostgresServer::psql`].
    pub fn psql_file(
        &self,
        database: &str,
        file: &Path,
        variables: &[(&str, &str)],
    ) -> anyhow::Result<String> {
        let sql = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
        let arguments: Vec<String> =
            variables.iter().map(|(name, value)| format!("--set={name}={value}")).collect();
        self.psql_with(database, &arguments, &sql)
    }

    /// Makes an empty database from `template0`.
    ///
    /// # Errors
    /// As [`PostgresServer::psql`].
    pub fn create_database(&self, name: &str) -> anyhow::Result<()> {
        self.psql(
            "postgres",
            &format!("CREATE DATABASE {} TEMPLATE template0", quote_identifier(name)),
        )
        .map(drop)
    }

    /// Names of all databases that a user could connect to, sorted.
    ///
    /// # Errors
    /// As [`PostgresServer::psql`].
    pub fn databases(&self) -> anyhow::Result<Vec<String>> {
        let names =
            self.psql("postgres", "SELECT datname FROM pg_database WHERE NOT datistemplate ORDER BY datname::text COLLATE \"C\"")?;
        Ok(names.lines().map(str::to_owned).collect())
    }

    /// Makes a database and fills it with the sample (`samples/sample.sql`).
    ///
    /// `scale` 100 gives a few hundred megabytes, 1 a few of them. Equal scales give equal databases.
    ///
    /// # Errors
    /// As [`PostgresServer::psql`].
    pub fn load_sample(&self, database: &str, scale: u32) -> anyhow::Result<()> {
        self.create_database(database)?;
        self.psql_file(database, &sample_path(), &[("scale", &scale.to_string())]).map(drop)
    }

    /// Ends the server. Its files stay for [`PostgresServer::launch`].
    ///
    /// # Errors
    /// When it does not end in time.
    pub fn stop(&mut self, how: Shutdown) -> anyhow::Result<()> {
        match self.process.take() {
            Some(process) => process.stop(how, STOP_LIMIT),
            None => Ok(()),
        }
    }

    /// Starts a stopped server again, on the same port.
    ///
    /// # Errors
    /// When it does not come up, for instance since the port was taken in between.
    pub fn launch(&mut self) -> anyhow::Result<()> {
        if !self.try_launch()? {
            bail!("port {} was taken while the server was down", self.port);
        }
        Ok(())
    }

    /// The server's own log so far.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn log(&self) -> anyhow::Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(self.log_path())?).into_owned())
    }

    fn psql_with(&self, database: &str, arguments: &[String], sql: &str) -> anyhow::Result<String> {
        let mut child = Command::new(self.binaries.tools.join("psql"))
            .args([
                "-X",
                "-A",
                "-t",
                "-q",
                "-v",
                "ON_ERROR_STOP=1",
                "-h",
                "127.0.0.1",
                "-U",
                SUPERUSER,
            ])
            .args(["-p", &self.port.to_string(), "-d", database])
            .args(arguments)
            .env("PGPASSWORD", &self.password)
            .env("PGOPTIONS", "-c client_min_messages=warning")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start psql")?;
        let mut input = child.stdin.take().context("psql without standard input")?;
        // On a thread of its own: psql answers while it still reads, and both pipes are short.
        let script = sql.to_owned();
        let feeder = std::thread::spawn(move || input.write_all(script.as_bytes()));
        let output = child.wait_with_output()?;
        // psql that stopped at an error no longer reads; the error itself is in its output.
        drop(feeder.join());
        if !output.status.success() {
            bail!("psql on {database}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?.trim_end_matches('\n').to_owned())
    }

    fn data_path(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.directory.path().join("server.log")
    }

    fn init_cluster(&self, options: &PostgresOptions) -> anyhow::Result<()> {
        let password_file = self.directory.path().join("password");
        fs::write(&password_file, &self.password)?;
        self.account.own(&password_file)?;
        let output = self
            .account
            .command(&self.binaries.server.join("initdb"))
            .args(["--no-sync", "--auth=scram-sha-256", "--username", SUPERUSER])
            .arg(format!("--encoding={}", options.encoding))
            .arg(format!("--locale={}", options.locale))
            .arg("--pwfile")
            .arg(&password_file)
            .arg("--pgdata")
            .arg(self.data_path())
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .context("start initdb")?;
        fs::remove_file(&password_file)?;
        if !output.status.success() {
            bail!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(())
    }

    fn configure(&self, options: &PostgresOptions) -> anyhow::Result<()> {
        let mut lines = vec![
            ("listen_addresses".to_owned(), "127.0.0.1".to_owned()),
            ("unix_socket_directories".to_owned(), String::new()),
            // What a test loses in a power cut it makes again.
            ("fsync".to_owned(), "off".to_owned()),
            ("synchronous_commit".to_owned(), "off".to_owned()),
            ("full_page_writes".to_owned(), "off".to_owned()),
            ("max_wal_size".to_owned(), "4GB".to_owned()),
            ("log_line_prefix".to_owned(), "%m [%p] %a ".to_owned()),
            ("logging_collector".to_owned(), "off".to_owned()),
        ];
        if self.tls {
            for (name, value) in tls::write(self.directory.path(), &self.account)? {
                lines.push((name, value));
            }
        }
        lines.extend(options.settings.iter().cloned());
        let path = self.data_path().join("postgresql.auto.conf");
        let text: String = lines
            .iter()
            .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")))
            .collect();
        fs::write(&path, text)?;
        self.account.own(&path)
    }

    fn launch_on_free_port(&mut self) -> anyhow::Result<()> {
        for _ in 0..PORT_ATTEMPTS {
            self.port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
            if self.try_launch()? {
                return Ok(());
            }
        }
        bail!("no free port in {PORT_ATTEMPTS} attempts");
    }

    /// False when the port was taken by another process.
    fn try_launch(&mut self) -> anyhow::Result<bool> {
        let data = self.data_path();
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let log_before = log.metadata()?.len();
        let mut command =
            guardian::tied_to_us(&self.account, &self.binaries.server.join("postgres"));
        if let Some(libraries) = &self.binaries.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let mut process = Guardian::start(command, &data, self.port, log)?;
        let ready = wait_until("start of PostgreSQL", START_LIMIT, || {
            // The last line of the lock file is the server's own word on whether it accepts connections.
            let status = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
            if status.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(Some(true));
            }
            Ok(process.has_ended().then_some(false))
        });
        let log = fs::read(self.log_path())?;
        let said =
            String::from_utf8_lossy(log.get(usize::try_from(log_before)?..).unwrap_or_default())
                .into_owned();
        match ready {
            Ok(true) => {
                self.process = Some(process);
                Ok(true)
            }
            Ok(false)
                if said.contains("could not bind")
                    || said.contains("could not create any TCP/IP sockets") =>
            {
                Ok(false)
            }
            Ok(false) => bail!("PostgreSQL ended at its start: {said}"),
            Err(error) => Err(error.context(said)),
        }
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // A test's data is worth nothing: the fastest way out. Nothing can be done about a failure here.
        drop(self.stop(Shutdown::Immediate));
    }
}

/// Where the sample database's script is.
#[must_use]
pub fn sample_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../samples/sample.sql")
}

fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
