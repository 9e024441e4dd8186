//! Running the binary.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Output, Stdio},
    time::Duration,
};

use anyhow::{Context as _, ensure};
use coffer_testkit::wait_until;

/// How long the service may take to start or to stop.
const LIMIT: Duration = Duration::from_secs(60);

/// A command of the binary, with none of our own settings.
pub(crate) fn coffer() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffer"));
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        let ours = ["COFFER_", "OTEL_", "AWS_", "AZURE_STORAGE_"];
        if ours.iter().any(|prefix| name_text.starts_with(prefix)) {
            command.env_remove(name);
        }
    }
    command
}

/// Runs a command to its end and returns its exit code, standard output and standard error.
pub(crate) fn run<const N: usize>(arguments: [&str; N]) -> anyhow::Result<(i32, String, String)> {
    outcome(coffer().args(arguments).output()?)
}

/// The parts of a finished command.
pub(crate) fn outcome(output: Output) -> anyhow::Result<(i32, String, String)> {
    let code = output.status.code().context("ended by a signal")?;
    Ok((code, String::from_utf8(output.stdout)?, String::from_utf8(output.stderr)?))
}

/// Runs a command that must succeed, and returns its JSON.
pub(crate) fn json<const N: usize>(arguments: [&str; N]) -> anyhow::Result<serde_json::Value> {
    let (code, out, err) = run(arguments)?;
    ensure!(code == 0, "{arguments:?} ended with {code}: {err}");
    Ok(serde_json::from_str(&out)?)
}

/// A running `coffer serve` in a directory of its own.
pub(crate) struct Serving {
    child: Child,
    directory: tempfile::TempDir,
}

impl Serving {
    /// Starts the service on a free port and waits until it is ready.
    pub(crate) fn start() -> anyhow::Result<Self> {
        Self::start_with(&[])
    }

    /// The same with variables in its environment.
    pub(crate) fn start_with(variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        Self::start_in(tempfile::tempdir()?, variables)
    }

    /// Starts the service on what another has left, once that has ended: by itself, as a test has asked it to.
    pub(crate) fn start_after(mut ended: Self, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        wait_until("end of the service", LIMIT, || Ok(ended.child.try_wait()?))?;
        let directory = std::mem::replace(&mut ended.directory, tempfile::tempdir()?);
        fs::remove_file(directory.path().join("data").join("client.env"))?;
        Self::start_in(directory, variables)
    }

    fn start_in(directory: tempfile::TempDir, variables: &[(&str, &str)]) -> anyhow::Result<Self> {
        let log = fs::File::create(directory.path().join("log"))?;
        let child = coffer()
            .envs(variables.iter().copied())
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(directory.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()?;
        let mut serving = Self { child, directory };
        let env = serving.data().join("client.env");
        wait_until("start of the service", LIMIT, || {
            ensure!(serving.child.try_wait()?.is_none(), "the service ended: {}", serving.log()?);
            Ok(env.exists().then_some(()))
        })?;
        Ok(serving)
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The data directory.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    /// The data directory as an argument.
    pub(crate) fn data_text(&self) -> anyhow::Result<String> {
        text(&self.data())
    }

    /// What `client.env` says.
    pub(crate) fn env(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let lines = fs::read_to_string(self.data().join("client.env"))?;
        Ok(lines
            .lines()
            .filter_map(|line| line.split_once('='))
            .map(|(k, v)| (k.to_owned(), v.to_owned()))
            .collect())
    }

    /// All that was logged so far.
    pub(crate) fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(self.directory.path().join("log"))?)
    }

    /// Sends a signal and waits for the end.
    pub(crate) fn signal(&mut self, name: &str) -> anyhow::Result<ExitStatus> {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.child.id().to_string())
            .status()?;
        ensure!(sent.success(), "the signal could not be sent");
        wait_until("end of the service", LIMIT, || Ok(self.child.try_wait()?))
    }

    /// A client that trusts the service's certificate.
    pub(crate) fn client(&self) -> anyhow::Result<reqwest::Client> {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let env = self.env()?;
        let ca = fs::read(env.get("COFFER_CA_FILE").context("no CA file")?)?;
        // While a test waits for a process to end, nobody answers the pings by which HTTP/2 says farewell.
        Ok(reqwest::Client::builder()
            .http1_only()
            .tls_certs_only([reqwest::Certificate::from_pem(&ca)?])
            .build()?)
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Only a service that the test has not stopped is still there.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> anyhow::Result<String> {
    Ok(path.to_str().context("a path that is no text")?.to_owned())
}
