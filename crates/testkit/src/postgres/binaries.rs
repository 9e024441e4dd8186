//! Finding PostgreSQL's programs: Debian's layout, or wherever `COFFER_TEST_PG_BIN` says.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

/// Debian keeps each major version in a directory of its own.
const DEBIAN_ROOT: &str = "/usr/lib/postgresql";

/// Directories with a server's programs, separated by colons; they come before Debian's.
const VARIABLE: &str = "COFFER_TEST_PG_BIN";

/// The directory of the programs of a major version (of the newest when none is asked for), and that version.
pub(super) fn find(major: Option<u32>) -> anyhow::Result<(PathBuf, u32)> {
    let mut candidates: Vec<(PathBuf, u32)> = named_by_variable();
    if candidates.is_empty() || major.is_some() {
        candidates.extend(installed_by_debian());
    }
    let found = match major {
        Some(major) => candidates.into_iter().find(|(_, version)| *version == major),
        None => candidates.into_iter().max_by_key(|(_, version)| *version),
    };
    match (found, major) {
        (Some(found), _) => Ok(found),
        (None, Some(major)) => {
            bail!("no programs of PostgreSQL {major} in {DEBIAN_ROOT} or {VARIABLE}")
        }
        (None, None) => {
            bail!("no PostgreSQL server found in {DEBIAN_ROOT} or {VARIABLE}: install `postgresql`")
        }
    }
}

fn named_by_variable() -> Vec<(PathBuf, u32)> {
    let value = std::env::var_os(VARIABLE).unwrap_or_default();
    std::env::split_paths(&value)
        .filter_map(|path| version_of(&path).ok().map(|major| (path, major)))
        .collect()
}

fn installed_by_debian() -> Vec<(PathBuf, u32)> {
    let Ok(entries) = fs::read_dir(DEBIAN_ROOT) else { return Vec::new() };
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
