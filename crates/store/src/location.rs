//! Storage locations by URL, and what lies in them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use object_store::ObjectStore;
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    local::LocalStore,
    objects, path,
};

const FILE_SCHEME: &str = "file://";
const SUPPORTED: &str = "only file:///absolute/directory is supported";

/// Opens a storage location that exists: `file:///directory`. Nothing is made, so that a slip in a URL is found instead
/// of looking like an empty location.
///
/// # Errors
/// [`Error::Location`] for another scheme, a relative path, or a directory that does not exist.
pub fn open_location(url: &str) -> Result<Arc<dyn ObjectStore>> {
    open_directory(url, &directory_of(url)?)
}

/// Opens a storage location, making its directory (mode 0700) when it is absent.
///
/// # Errors
/// As [`open_location`].
pub fn create_location(url: &str) -> Result<Arc<dyn ObjectStore>> {
    let directory = directory_of(url)?;
    make_directory(&directory)
        .map_err(|error| location(url, format!("cannot make the directory: {error}")))?;
    open_directory(url, &directory)
}

/// Vaults that have anything in this location, ascending.
///
/// # Errors
/// [`Error::Storage`].
pub async fn list_vaults(store: &Arc<dyn ObjectStore>) -> Result<Vec<Uuid>> {
    list_uuids(store, &path::vaults()).await
}

/// Repositories that have anything in this vault, ascending. One whose destruction was interrupted is among them.
///
/// # Errors
/// [`Error::Storage`].
pub async fn list_repositories(store: &Arc<dyn ObjectStore>, vault: Uuid) -> Result<Vec<Uuid>> {
    list_uuids(store, &path::repositories(vault)).await
}

async fn list_uuids(
    store: &Arc<dyn ObjectStore>,
    prefix: &object_store::path::Path,
) -> Result<Vec<Uuid>> {
    let directories = objects::directories(store, prefix).await?;
    let mut uuids: Vec<Uuid> = directories.iter().filter_map(path::last_uuid).collect();
    uuids.sort_unstable();
    Ok(uuids)
}

fn open_directory(url: &str, directory: &Path) -> Result<Arc<dyn ObjectStore>> {
    if !directory.is_dir() {
        return Err(location(url, "there is no such directory".to_owned()));
    }
    match LocalStore::open(directory) {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => Err(location(url, error.to_string())),
    }
}

/// Makes a directory and its parents, durably and private to the user.
fn make_directory(directory: &Path) -> std::io::Result<()> {
    if directory.is_dir() {
        return Ok(());
    }
    let existing = directory.ancestors().find(|ancestor| ancestor.is_dir()).map(Path::to_owned);
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(directory)?;
    for ancestor in directory.ancestors() {
        std::fs::File::open(ancestor)?.sync_all()?;
        if Some(ancestor) == existing.as_deref() {
            break;
        }
    }
    Ok(())
}

fn directory_of(url: &str) -> Result<PathBuf> {
    let scheme =
        url.get(..FILE_SCHEME.len()).is_some_and(|scheme| scheme.eq_ignore_ascii_case(FILE_SCHEME));
    if !scheme {
        return Err(location(url, SUPPORTED.to_owned()));
    }
    let parsed = url::Url::parse(url).map_err(|error| location(url, error.to_string()))?;
    match parsed.to_file_path() {
        Ok(directory) if directory.is_absolute() && parsed.query().is_none() => Ok(directory),
        _ => Err(location(url, SUPPORTED.to_owned())),
    }
}

/// Without what may be a credential.
fn location(url: &str, reason: String) -> Error {
    let shown = match url::Url::parse(url) {
        Ok(mut parsed) => {
            let _ = parsed.set_password(None);
            let _ = parsed.set_username("");
            parsed.set_query(None);
            parsed.to_string()
        }
        Err(_) => "(not a URL)".to_owned(),
    };
    Error::Location { url: shown, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_existing_directories_are_opened_and_only_file_urls() {
        let directory = tempfile::tempdir().unwrap();
        let url = |path: &Path| url::Url::from_file_path(path).unwrap().to_string();
        assert!(open_location(&url(directory.path())).is_ok());
        let absent = directory.path().join("a b/c");
        assert!(matches!(open_location(&url(&absent)), Err(Error::Location { .. })));
        assert!(create_location(&url(&absent)).is_ok());
        assert!(open_location(&url(&absent)).is_ok());
        for wrong in
            ["s3://bucket", "/tmp", "file://host/x", "file:relative", "", "file:///tmp?x=1"]
        {
            let error = open_location(wrong).unwrap_err();
            assert!(matches!(error, Error::Location { .. }), "{wrong}: {error}");
        }
    }

    #[test]
    fn credentials_in_a_url_are_not_repeated() {
        let error =
            open_location("s3://user:secret@bucket/prefix?token=secret").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
        assert!(error.contains("file:///"), "{error}");
    }
}
