//! From a backing store's URL to a directory that the operator allowed.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use url::Url;

/// The directory that a URL names. The file system is not asked.
///
/// # Errors
/// Says what is wrong with the URL.
pub(super) fn of_url(text: &str) -> Result<PathBuf, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("properties.backingStore is required, as file:///directory".to_owned());
    }
    let url = Url::parse(text).map_err(|error| format!("'{text}' is not a URL ({error})"))?;
    if url.scheme() != "file" {
        return Err(format!(
            "the scheme '{}' is not supported by this version; file:///directory is",
            url.scheme()
        ));
    }
    // The parser resolves `..` silently; who writes it means to leave some directory, and is told no.
    let climbs =
        |part: &str| matches!(part.to_ascii_lowercase().replace("%2e", ".").as_str(), ".." | ".");
    if text.split(['/', '\\']).any(climbs) {
        return Err("a path with '.' or '..' is not allowed".to_owned());
    }
    if url.host_str().is_some_and(|host| host != "localhost")
        || url.query().is_some()
        || url.fragment().is_some()
    {
        return Err("it has to be file:///directory, without host, query or fragment".to_owned());
    }
    let path = url.to_file_path().map_err(|()| format!("'{text}' does not name a directory"))?;
    let plain =
        path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !plain || path.as_os_str().as_encoded_bytes().contains(&0) {
        return Err(format!("'{text}' does not name a directory"));
    }
    Ok(path)
}

/// The directory with all symbolic links resolved, when it is, or is below, one of those allowed. Neither has to exist.
///
/// # Errors
/// Says that it is not, or that a link can't be followed.
pub(super) fn within(directory: &Path, allowed: &[PathBuf]) -> Result<PathBuf, String> {
    let resolved = resolve(directory)?;
    for allowed in allowed {
        // One that can't be resolved allows nothing.
        if resolve(allowed).is_ok_and(|allowed| resolved.starts_with(allowed)) {
            return Ok(resolved);
        }
    }
    Err(format!(
        "{} is not within a directory that the operator allowed (restore.allowed_directories)",
        directory.display()
    ))
}

/// Resolves the longest part of a path that exists, and leaves the rest as it is.
fn resolve(path: &Path) -> Result<PathBuf, String> {
    let mut missing: Vec<OsString> = Vec::new();
    let mut existing = path;
    // A dangling link exists, though what it leads to does not: resolving it fails below, as it should.
    while existing.symlink_metadata().is_err() {
        match (existing.parent(), existing.file_name()) {
            (Some(parent), Some(name)) => {
                missing.push(name.to_owned());
                existing = parent;
            }
            _ => return Err(format!("{} can't be resolved", path.display())),
        }
    }
    let mut resolved = existing
        .canonicalize()
        .map_err(|error| format!("{} can't be resolved ({})", existing.display(), error.kind()))?;
    if !missing.is_empty() && !resolved.is_dir() {
        return Err(format!("{} is not a directory", existing.display()));
    }
    resolved.extend(missing.iter().rev());
    Ok(resolved)
}
