//! Finding PostgreSQL's programs: what `COFFER_TEST_PG_BIN` names, Debian's packages, or the directory of versions that
//! `scripts/postgres_versions.sh` fills for the tests of all major versions.
//!
//! Servers older than the oldest packaged tools come as a server alone. Tools of the next newer version serve them, as they
//! serve a user whose machine has no older ones.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

/// Debian keeps each major version in a directory of its own.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// Directories with a server's programs, separated by colons; they come before all others.
const VARIABLE: &str = "COFFER_TEST_PG_BIN";

/// The directory of versions: `<major>/bin` below it.
const VERSIONS_VARIABLE: &str = "COFFER_TEST_POSTGRES_DIR";

/// The directory of versions when root runs the tests; a place that the server's user can read.
const VERSIONS_OF_ROOT: &str = "/var/lib/coffer-test/postgres";

/// The same for anybody else, below the home directory.
const VERSIONS_OF_USER: &str = ".cache/coffer-test/postgres";

/// Major versions, separated by blanks, without which a test fails rather than skips.
const REQUIRED_VARIABLE: &str = "COFFER_TEST_REQUIRED_MAJORS";

/// Programs of one major version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binaries {
    /// Major version of the server.
    pub(super) major: u32,
    /// Where `initdb` and `postgres` are.
    pub(super) server: PathBuf,
    /// Where `psql`, `pg_dump` and `pg_restore` are: of the same version if they are there, else of the next newer one.
    pub(super) tools: PathBuf,
    /// Where the server's own modules find libpq and the like, when it was not installed by the system: the system's libpq is
    /// of another version.
    pub(super) libraries: Option<PathBuf>,
}

/// The programs of a major version. When none is asked for: those that the variable names, else Debian's newest, else the
/// newest of all.
pub(super) fn find(major: Option<u32>) -> anyhow::Result<Binaries> {
    let for_tests = installed_for_tests();
    let places = [named_by_variable(), installed_by_debian(), for_tests.clone()];
    let mut all = places.iter().flatten();
    let found = match major {
        Some(major) => all.find(|(_, version)| *version == major),
        None => places.iter().find_map(|place| place.iter().max_by_key(|(_, version)| *version)),
    };
    let Some((server, major)) = found.cloned() else {
        match major {
            Some(major) => bail!(
                "no programs of PostgreSQL {major} in {DEBIAN_ROOT}, {VARIABLE} or {VERSIONS_VARIABLE}: run ./test, which installs them"
            ),
            None => bail!(
                "no PostgreSQL server found in {DEBIAN_ROOT} or {VARIABLE}: install `postgresql`"
            ),
        }
    };
    let tools = if has_tools(&server) {
        server.clone()
    } else {
        let all = places.iter().flatten();
        let newer = all.filter(|(bin, version)| *version > major && has_tools(bin));
        newer.min_by_key(|(_, version)| *version).map(|(bin, _)| bin.clone()).with_context(
            || format!("PostgreSQL {major} has no psql of its own, and no newer version has one"),
        )?
    };
    let libraries = for_tests.iter().any(|(bin, _)| *bin == server).then(|| server.join("../lib"));
    Ok(Binaries { major, server, tools, libraries })
}

/// Whether a server of the major version can be had. A test without it says so and skips, except where it is required.
///
/// # Panics
/// When `COFFER_TEST_REQUIRED_MAJORS` names the version and it is not there: a run that must test it would pass without.
#[must_use]
#[expect(clippy::print_stderr, reason = "whoever runs the tests has to see what was not tested")]
pub fn has_major(major: u32) -> bool {
    if find(Some(major)).is_ok() {
        return true;
    }
    let required = env::var(REQUIRED_VARIABLE).unwrap_or_default();
    assert!(
        !required.split_whitespace().any(|version| version == major.to_string()),
        "PostgreSQL {major} is required by {REQUIRED_VARIABLE} and not there"
    );
    eprintln!("skipped: PostgreSQL {major} is not installed; ./test installs it");
    false
}

fn has_tools(bin: &Path) -> bool {
    ["psql", "pg_dump", "pg_restore"].iter().all(|tool| bin.join(tool).is_file())
}

fn named_by_variable() -> Vec<(PathBuf, u32)> {
    let value = env::var_os(VARIABLE).unwrap_or_default();
    env::split_paths(&value)
        .filter_map(|path| version_of(&path).ok().map(|major| (path, major)))
        .collect()
}

fn installed_by_debian() -> Vec<(PathBuf, u32)> {
    by_major(Path::new(DEBIAN_ROOT)).into_iter().filter(|(bin, _)| has_tools(bin)).collect()
}

fn installed_for_tests() -> Vec<(PathBuf, u32)> {
    if let Some(directory) = env::var_os(VERSIONS_VARIABLE) {
        return by_major(Path::new(&directory));
    }
    let of_root = by_major(Path::new(VERSIONS_OF_ROOT));
    if !of_root.is_empty() {
        return of_root;
    }
    env::var_os("HOME")
        .map_or_else(Vec::new, |home| by_major(&Path::new(&home).join(VERSIONS_OF_USER)))
}

/// Directories named by a major version, with a server in them.
fn by_major(root: &Path) -> Vec<(PathBuf, u32)> {
    let Ok(entries) = fs::read_dir(root) else { return Vec::new() };
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let major = entry.file_name().to_str()?.parse().ok()?;
            let bin = entry.path().join("bin");
            bin.join("initdb").is_file().then_some((bin, major))
        })
        .collect()
}

/// Major version of the server in a directory, by its own word: `postgres (PostgreSQL) 15.18 (…)`.
fn version_of(bin: &Path) -> anyhow::Result<u32> {
    let output = Command::new(bin.join("postgres")).arg("--version").output()?;
    let text = String::from_utf8(output.stdout)?;
    let version = text.split(' ').nth(2).context("no version")?;
    let major: String = version.chars().take_while(char::is_ascii_digit).collect();
    Ok(major.parse()?)
}
