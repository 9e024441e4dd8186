//! The server's own tools, `pg_dump` and `pg_restore`, found by version.
//!
//! An archive is best written by the source's own major version: a newer `pg_dump` writes archives that this major's
//! `pg_restore` can't read. Passwords go to a tool by its environment, never by its arguments, and the rest of our own
//! environment is withheld from it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use secrecy::ExposeSecret as _;

use crate::connect::{ConnectOptions, SslMode};

/// Where Debian's packages put one directory per major version.
const VERSIONED_DIRECTORY: &str = "/usr/lib/postgresql";
/// Most directories that are looked into.
const DIRECTORIES_MAX: usize = 256;
/// Bytes of a tool's error output that are kept: its last words.
pub(crate) const STDERR_BYTES_MAX: usize = 4096;

/// The tools installed on this machine.
#[derive(Debug, Clone, Default)]
pub struct Tools {
    pg_dump: BTreeMap<u32, Tool>,
    pg_restore: BTreeMap<u32, Tool>,
}

/// One installed program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tool {
    /// Absolute path.
    pub path: PathBuf,
    /// Major version, such as 15.
    pub major: u32,
    /// Full version, such as `15.18`.
    pub version: String,
}

impl Tools {
    /// Looks into the given directories first, then Debian's, then `PATH`; asks each program found for its version.
    #[must_use]
    pub fn discover(extra_dirs: &[PathBuf]) -> Self {
        let mut directories = extra_dirs.to_vec();
        if let Ok(entries) = std::fs::read_dir(VERSIONED_DIRECTORY) {
            let mut versioned: Vec<_> =
                entries.flatten().map(|entry| entry.path().join("bin")).collect();
            versioned.sort();
            directories.extend(versioned);
        }
        if let Some(path) = std::env::var_os("PATH") {
            directories
                .extend(std::env::split_paths(&path).filter(|directory| directory.is_absolute()));
        }
        let mut tools = Self::default();
        for directory in directories.iter().take(DIRECTORIES_MAX) {
            add(&mut tools.pg_dump, directory, "pg_dump");
            add(&mut tools.pg_restore, directory, "pg_restore");
        }
        tools
    }

    /// The `pg_dump` of that major version, else the oldest newer one.
    #[must_use]
    pub fn pg_dump(&self, major: u32) -> Option<&Tool> {
        at_least(&self.pg_dump, major)
    }

    /// The `pg_restore` of that major version, else the oldest newer one.
    #[must_use]
    pub fn pg_restore(&self, major: u32) -> Option<&Tool> {
        at_least(&self.pg_restore, major)
    }
}

fn at_least(tools: &BTreeMap<u32, Tool>, major: u32) -> Option<&Tool> {
    tools.range(major..).next().map(|(_, tool)| tool)
}

/// The first of a major version stays: extra directories come first.
fn add(tools: &mut BTreeMap<u32, Tool>, directory: &Path, name: &str) {
    let path = directory.join(name);
    let Some((major, version)) = version_of(&path) else { return };
    tools.entry(major).or_insert(Tool { path, major, version });
}

/// Programs that were asked, and what they said.
static ASKED: Mutex<BTreeMap<PathBuf, Asked>> = Mutex::new(BTreeMap::new());

struct Asked {
    /// Of the file, so that another one in its place is asked anew.
    modified: Option<SystemTime>,
    bytes: u64,
    version: Option<(u32, String)>,
}

/// To start a program costs more than many a backup of a small database has to do else, so each file is asked once.
fn version_of(path: &Path) -> Option<(u32, String)> {
    let program = path.canonicalize().ok().filter(|program| program.is_file())?;
    // Debian's wrapper starts what is in the directories of the versions, by rules of its own; those were looked into.
    if program.file_name() == Some(OsStr::new("pg_wrapper")) {
        return None;
    }
    let metadata = program.metadata().ok()?;
    let (modified, bytes) = (metadata.modified().ok(), metadata.len());
    let asked = || ASKED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = asked().get(&program)
        && (known.modified, known.bytes) == (modified, bytes)
    {
        return known.version.clone();
    }
    let output = std::process::Command::new(path)
        .arg("--version")
        .env_clear()
        .envs(own_environment())
        .output()
        .ok()?;
    let version = parse_version(&String::from_utf8_lossy(&output.stdout));
    asked().insert(program, Asked { modified, bytes, version: version.clone() });
    version
}

/// `pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)` gives 15 and `15.18`; `17beta1` gives 17.
fn parse_version(text: &str) -> Option<(u32, String)> {
    let version =
        text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    let digits = version.split(|c: char| !c.is_ascii_digit()).next()?;
    Some((digits.parse().ok()?, version.to_owned()))
}

/// Of our environment a tool gets only what it may need to start. Its own messages are always English: some are read.
fn own_environment() -> impl Iterator<Item = (&'static str, OsString)> {
    let inherited = ["PATH", "LD_LIBRARY_PATH", "HOME", "TMPDIR"];
    let inherited =
        inherited.into_iter().filter_map(|name| std::env::var_os(name).map(|value| (name, value)));
    inherited.chain([("LC_ALL", OsString::from("C"))])
}

impl Tool {
    /// A command that connects to nothing. It is killed when dropped, and its standard input is closed.
    pub(crate) fn command_without_server(&self) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.path);
        command
            .env_clear()
            .envs(own_environment())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// A command that connects as the options say. Host, role, password and TLS are in its environment; its arguments
    /// are empty. It is killed when dropped, and its standard input is closed.
    #[must_use]
    pub fn command(&self, options: &ConnectOptions) -> tokio::process::Command {
        let mut command = self.command_without_server();
        command
            .env("PGHOST", &options.host)
            .env("PGPORT", options.port.to_string())
            .env("PGUSER", &options.user)
            .env("PGDATABASE", &options.database)
            .env("PGAPPNAME", &options.application_name)
            .env("PGSSLMODE", options.ssl_mode.as_str())
            .env("PGCONNECT_TIMEOUT", crate::connect::CONNECT_TIMEOUT.as_secs().to_string())
            // Never the operator's own files: a stray entry would win over what the secret says.
            .env("PGPASSFILE", "/dev/null")
            .env("PGSERVICEFILE", "/dev/null")
            .env("PGSSLCERT", "/nonexistent")
            .env("PGSSLKEY", "/nonexistent")
            .env("PGGSSENCMODE", "disable");
        if let Some(password) = &options.password {
            command.env("PGPASSWORD", password.expose_secret());
        }
        if let Some(roots) = root_certificates(options) {
            command.env("PGSSLROOTCERT", roots);
        }
        command
    }
}

/// libpq before 16 can't be told to use the operating system's roots, only a file.
fn root_certificates(options: &ConnectOptions) -> Option<PathBuf> {
    if let Some(file) = &options.ssl_root_cert {
        return Some(file.clone());
    }
    if !matches!(options.ssl_mode, SslMode::VerifyCa | SslMode::VerifyFull) {
        // Else a file in the home directory would be found and checked against.
        return Some(PathBuf::from("/nonexistent"));
    }
    let known = [
        "/etc/ssl/certs/ca-certificates.crt",
        "/etc/pki/tls/certs/ca-bundle.crt",
        "/etc/ssl/ca-bundle.pem",
        "/etc/ssl/cert.pem",
    ];
    let from_environment = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    from_environment.into_iter().chain(known.map(PathBuf::from)).find(|file| file.is_file())
}

/// A tool's error output, fit to be shown: its end only, without the password wherever it stands.
#[must_use]
pub fn scrub(stderr: &[u8], options: &ConnectOptions) -> String {
    let mut text = String::from_utf8_lossy(stderr).trim().to_owned();
    if let Some(password) = &options.password {
        let password = password.expose_secret();
        if !password.is_empty() {
            text = text.replace(password, "[redacted]");
        }
    }
    if text.len() > STDERR_BYTES_MAX {
        let from =
            (text.len() - STDERR_BYTES_MAX..text.len()).find(|at| text.is_char_boundary(*at));
        text = format!("…{}", &text[from.unwrap_or(text.len())..]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_all_kinds() {
        assert_eq!(
            parse_version("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n"),
            Some((15, "15.18".into()))
        );
        assert_eq!(parse_version("pg_dump (PostgreSQL) 19beta1\n"), Some((19, "19beta1".into())));
        assert_eq!(parse_version("nothing"), None);
    }

    #[test]
    fn own_major_first_then_the_oldest_newer() {
        let tool = |major| Tool { path: PathBuf::new(), major, version: major.to_string() };
        let pg_dump = [15, 17, 18].into_iter().map(|major| (major, tool(major))).collect();
        let tools = Tools { pg_dump, pg_restore: BTreeMap::new() };
        let chosen = |major| tools.pg_dump(major).map(|tool| tool.major);
        assert_eq!(
            [chosen(13), chosen(15), chosen(16), chosen(18), chosen(19)],
            [Some(15), Some(15), Some(17), Some(18), None]
        );
    }

    #[test]
    fn password_never_among_arguments_or_in_output() {
        let options = ConnectOptions::parse_secret("postgres://u:hunter2@h/d").unwrap();
        let tool = Tool { path: PathBuf::from("/bin/true"), major: 15, version: "15".into() };
        let command = tool.command(&options);
        assert_eq!(command.as_std().get_args().count(), 0);
        let long = format!("{}hunter2 failed", "é".repeat(STDERR_BYTES_MAX));
        let text = scrub(long.as_bytes(), &options);
        assert!(text.ends_with("[redacted] failed") && text.len() < STDERR_BYTES_MAX + 8, "{text}");
    }
}
