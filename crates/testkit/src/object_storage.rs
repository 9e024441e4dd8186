//! Emulators of remote storages for one test: moto for S3, Azurite for Azure Blob. On a free port of 127.0.0.1, with one
//! bucket or container, gone afterwards.
//!
//! They are no dependency of the build: `scripts/emulators.sh` installs them. Where they are not there, a test says so and
//! skips, except where `COFFER_TEST_REQUIRED_EMULATORS` names them.

use std::{
    env,
    fs::{self, File},
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;

use crate::{postgres::tls, wait_until};

/// Where the emulators are, if not below the build's target directory.
const VARIABLE: &str = "COFFER_TEST_EMULATORS_DIR";
/// Emulators without which the tests fail: `s3`, `azure`.
const REQUIRED_VARIABLE: &str = "COFFER_TEST_REQUIRED_EMULATORS";
/// How long an emulator may take to answer; generous, since CI machines are shared and both are large programs.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long it may take to answer one request.
const ANSWER_LIMIT: Duration = Duration::from_secs(30);
/// How often is looked whether it has ended.
const LOOK: Duration = Duration::from_millis(100);
/// Between finding a free port and the emulator's taking it, another process may be faster.
const PORT_ATTEMPTS: usize = 10;
const SETPRIV: &str = "/usr/bin/setpriv";

/// The bucket or container that is there.
const CONTAINER: &str = "vaults";
/// Azurite's account and its key, known to everybody.
const ACCOUNT: &str = "devstoreaccount1";
const ACCOUNT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// Makes a container; arguments: port, account, key, name. Only Node is sure to be there, and Azurite wants a signature.
const MAKE_CONTAINER: &str = r#"
const [port, account, key, name] = process.argv.slice(1);
const date = new Date().toUTCString(), version = "2023-11-03";
const text = ["PUT", "", "", "", "", "", "", "", "", "", "", "", `x-ms-date:${date}`, `x-ms-version:${version}`,
  `/${account}/${account}/${name}`, "restype:container"].join("\n");
const signature = require("crypto").createHmac("sha256", Buffer.from(key, "base64")).update(text).digest("base64");
require("http").request({ host: "127.0.0.1", port, method: "PUT", path: `/${account}/${name}?restype=container`,
  headers: { "x-ms-date": date, "x-ms-version": version, "content-length": 0,
    authorization: `SharedKey ${account}:${signature}` } },
  answer => process.exit([201, 409].includes(answer.statusCode) ? 0 : 1)).on("error", () => process.exit(2)).end();
"#;

/// Makes a bucket over TLS; arguments: port, CA file, name. By moto's own Python.
const MAKE_BUCKET: &str = r#"
import http.client, ssl, sys
trusted = ssl.create_default_context(cafile=sys.argv[2])
connection = http.client.HTTPSConnection("127.0.0.1", int(sys.argv[1]), context=trusted)
connection.request("PUT", "/" + sys.argv[3])
sys.exit(0 if connection.getresponse().status == 200 else 1)
"#;

/// moto's server, one request at a time. It looks whether a name is free and writes then, in as many threads as there are requests, so
/// that now and then two of several writers that may win only alone both win, which S3 never lets happen. Bodies are read first,
/// lest one that does not come keeps all others waiting.
const SERVE: &str = r#"
import io, sys, threading
from moto import server
one_at_a_time = threading.Lock()
serve = server.run_simple
def serialized(application):
    def answer(environ, start_response):
        if environ.get("CONTENT_LENGTH"):
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
        with one_at_a_time:
            return application(environ, start_response)
    return answer
server.run_simple = lambda host, port, application, **options: serve(host, port, serialized(application), **options)
server.main(sys.argv[1:])
"#;

/// What is emulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectStorageKind {
    /// Amazon S3.
    S3,
    /// Azure Blob Storage.
    Azure,
}

/// A running emulator with an empty bucket or container. Dropping it ends the process and removes its files.
#[derive(Debug)]
pub struct ObjectStorage {
    kind: ObjectStorageKind,
    port: u16,
    tls: bool,
    // Declared before `directory`: the process ends before its files go.
    _process: Guarded,
    directory: TempDir,
}

impl ObjectStorage {
    /// Starts an emulator, or says on stderr that it is not installed.
    ///
    /// # Errors
    /// It is not installed and `COFFER_TEST_REQUIRED_EMULATORS` names it, or it does not come up; the message ends with its log.
    pub fn start(kind: ObjectStorageKind) -> anyhow::Result<Option<Self>> {
        Self::start_with(kind, false)
    }

    /// Starts S3 with TLS and a certificate for 127.0.0.1 of a CA that nobody knows: [`Self::ca_file`].
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_s3_with_tls() -> anyhow::Result<Option<Self>> {
        Self::start_with(ObjectStorageKind::S3, true)
    }

    #[expect(
        clippy::print_stderr,
        reason = "whoever runs the tests has to see what was not tested"
    )]
    fn start_with(kind: ObjectStorageKind, tls: bool) -> anyhow::Result<Option<Self>> {
        let program = directory().join(kind.program());
        if !program.is_file() {
            let required = env::var(REQUIRED_VARIABLE).unwrap_or_default();
            ensure!(
                !required.split_whitespace().any(|name| name == kind.name()),
                "the emulator of {} is required by {REQUIRED_VARIABLE} and not there",
                kind.name()
            );
            eprintln!(
                "skipped: the emulator of {} is not installed; scripts/emulators.sh installs it",
                kind.name()
            );
            return Ok(None);
        }
        let mut last = None;
        for _ in 0..PORT_ATTEMPTS {
            match Self::start_on(kind, tls, &program, free_port()?) {
                Ok(started) => return Ok(Some(started)),
                Err(error) if error.to_string().contains(ENDED) => last = Some(error),
                Err(error) => return Err(error),
            }
        }
        Err(last.unwrap_or_else(|| anyhow::anyhow!("no port was tried")))
    }

    fn start_on(
        kind: ObjectStorageKind,
        tls: bool,
        program: &Path,
        port: u16,
    ) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("coffer-storage-").tempdir()?;
        let log = directory.path().join("log");
        let mut command = match kind {
            ObjectStorageKind::S3 => tied_to_us(&program.with_file_name("python")),
            ObjectStorageKind::Azure => tied_to_us(program),
        };
        match kind {
            ObjectStorageKind::S3 => {
                command.args(["-c", SERVE, "-H", "127.0.0.1", "-p", &port.to_string()]);
            }
            ObjectStorageKind::Azure => {
                command.args(["--silent", "--disableTelemetry", "--blobHost", "127.0.0.1"]);
                command.args(["--blobPort", &port.to_string(), "--location"]).arg(directory.path());
            }
        }
        if tls {
            let made = tls::make(directory.path())?;
            command.arg("--ssl-cert").arg(made.certificate).arg("--ssl-key").arg(made.key);
        }
        let file = File::create(&log)?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
        command.current_dir(directory.path());
        let process = Guarded::start(command).context("start the emulator")?;
        let made = wait_until("the emulator's first answer", START_LIMIT, || {
            if process.has_ended() {
                bail!("{ENDED}");
            }
            let made = if tls {
                make_bucket_over_tls(program, port, &directory.path().join(tls::CA_FILE))?
            } else {
                make_container(kind, port, CONTAINER)?
            };
            Ok(made.then_some(()))
        });
        if let Err(error) = made {
            let said = fs::read_to_string(&log).unwrap_or_default();
            bail!("{error:#}\n{said}");
        }
        Ok(Self { kind, port, tls, _process: process, directory })
    }

    /// What is emulated.
    #[must_use]
    pub fn kind(&self) -> ObjectStorageKind {
        self.kind
    }

    /// The CA that signed the certificate, with TLS.
    #[must_use]
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join(tls::CA_FILE)
    }

    /// The URL of a storage location in the bucket or container.
    #[must_use]
    pub fn url(&self, prefix: &str) -> String {
        self.url_of(CONTAINER, prefix)
    }

    /// The same for another bucket or container, which is not there.
    #[must_use]
    pub fn url_of(&self, container: &str, prefix: &str) -> String {
        match self.kind {
            ObjectStorageKind::S3 => format!("s3://{container}/{prefix}"),
            ObjectStorageKind::Azure => {
                format!("https://{ACCOUNT}.blob.core.windows.net/{container}/{prefix}")
            }
        }
    }

    /// Names and values of what is to be said beside the URL.
    #[must_use]
    pub fn options(&self) -> Vec<(&'static str, String)> {
        let of = |name, value: &str| (name, value.to_owned());
        match self.kind {
            ObjectStorageKind::S3 => vec![
                of("endpoint", &self.endpoint()),
                of("access_key_id", "test"),
                of("secret_access_key", "test-secret"),
            ],
            ObjectStorageKind::Azure => {
                vec![of("endpoint", &self.endpoint()), of("account_key", ACCOUNT_KEY)]
            }
        }
    }

    /// The same as variables of the environment.
    #[must_use]
    pub fn variables(&self) -> Vec<(&'static str, String)> {
        let of = |name, value: &str| (name, value.to_owned());
        match self.kind {
            ObjectStorageKind::S3 => vec![
                of("AWS_ENDPOINT_URL", &self.endpoint()),
                of("AWS_ACCESS_KEY_ID", "test"),
                of("AWS_SECRET_ACCESS_KEY", "test-secret"),
            ],
            ObjectStorageKind::Azure => vec![
                of("AZURE_STORAGE_ENDPOINT", &self.endpoint()),
                of("AZURE_STORAGE_KEY", ACCOUNT_KEY),
            ],
        }
    }

    /// Makes another bucket, with Object Lock. For S3 only: Azurite has nothing like it.
    ///
    /// # Errors
    /// The emulator does not do it.
    pub fn make_locking(&self, name: &str) -> anyhow::Result<()> {
        ensure!(self.kind == ObjectStorageKind::S3, "not for this one");
        let headers = "x-amz-bucket-object-lock-enabled: true\r\n";
        let status = request_with(self.port, &format!("PUT /{name}"), headers, "")?;
        ensure!(status == 200, "moto answered {status}");
        Ok(())
    }

    /// From now on, no credentials are good. For S3 only: Azurite always looks at them.
    ///
    /// # Errors
    /// The emulator does not do it.
    pub fn refuse_credentials(&self) -> anyhow::Result<()> {
        ensure!(self.kind == ObjectStorageKind::S3, "not for this one");
        let status = request(self.port, "POST /moto-api/reset-auth", "0")?;
        ensure!(status == 200, "moto answered {status}");
        Ok(())
    }

    fn endpoint(&self) -> String {
        match self.kind {
            ObjectStorageKind::S3 if self.tls => format!("https://127.0.0.1:{}", self.port),
            ObjectStorageKind::S3 => format!("http://127.0.0.1:{}", self.port),
            ObjectStorageKind::Azure => format!("http://127.0.0.1:{}/{ACCOUNT}", self.port),
        }
    }
}

impl ObjectStorageKind {
    fn name(self) -> &'static str {
        match self {
            Self::S3 => "s3",
            Self::Azure => "azure",
        }
    }

    /// Below the directory of the emulators.
    fn program(self) -> &'static str {
        match self {
            Self::S3 => "moto/bin/moto_server",
            Self::Azure => "azurite/node_modules/.bin/azurite-blob",
        }
    }
}

fn directory() -> PathBuf {
    if let Some(directory) = env::var_os(VARIABLE) {
        return directory.into();
    }
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target"), PathBuf::from);
    target.join("emulators")
}

fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}

/// False as long as nobody answers.
fn make_container(kind: ObjectStorageKind, port: u16, name: &str) -> anyhow::Result<bool> {
    match kind {
        ObjectStorageKind::S3 => {
            Ok(request(port, &format!("PUT /{name}"), "").is_ok_and(|status| status == 200))
        }
        ObjectStorageKind::Azure => {
            if TcpStream::connect(("127.0.0.1", port)).is_err() {
                return Ok(false);
            }
            let node = Command::new("node")
                .args(["-e", MAKE_CONTAINER, "--", &port.to_string(), ACCOUNT, ACCOUNT_KEY, name])
                .stdin(Stdio::null())
                .status()
                .context("run node")?;
            Ok(node.success())
        }
    }
}

/// False as long as nobody answers.
fn make_bucket_over_tls(program: &Path, port: u16, ca_file: &Path) -> anyhow::Result<bool> {
    if TcpStream::connect(("127.0.0.1", port)).is_err() {
        return Ok(false);
    }
    let python = Command::new(program.with_file_name("python"))
        .args(["-c", MAKE_BUCKET, &port.to_string()])
        .arg(ca_file)
        .arg(CONTAINER)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .context("run moto's Python")?;
    Ok(python.success())
}

/// The status of an answer.
fn request(port: u16, line: &str, body: &str) -> anyhow::Result<u16> {
    request_with(port, line, "", body)
}

fn request_with(port: u16, line: &str, headers: &str, body: &str) -> anyhow::Result<u16> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(ANSWER_LIMIT))?;
    write!(
        stream,
        "{line} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    let status = answer.split_whitespace().nth(1).context("no status")?;
    Ok(status.parse()?)
}

/// A command that is ended by the kernel when the thread that starts it ends, where the machine can do that.
fn tied_to_us(program: &Path) -> Command {
    if !Path::new(SETPRIV).is_file() {
        return Command::new(program);
    }
    let mut command = Command::new(SETPRIV);
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    command
}

const ENDED: &str = "the emulator has ended";

/// A process, on a thread that lives as long as it should.
#[derive(Debug)]
struct Guarded {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Guarded {
    fn start(mut command: Command) -> anyhow::Result<Self> {
        let (end, ended) = mpsc::channel::<()>();
        let (started, start) = mpsc::channel();
        let thread = std::thread::Builder::new().name("emulator".to_owned()).spawn(move || {
            let mut child: Child = match command.spawn() {
                Ok(child) => child,
                Err(error) => return drop(started.send(Err(error))),
            };
            drop(started.send(Ok(())));
            while matches!(ended.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
                if !matches!(child.try_wait(), Ok(None)) {
                    return;
                }
            }
            drop(child.kill());
            drop(child.wait());
        })?;
        start.recv().context("the thread that starts the emulator died")??;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }

    fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
