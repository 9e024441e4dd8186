//! Directories: `file:///absolute/directory`.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use object_store::ObjectStore;
use url::Url;

use crate::local::LocalStore;

/// The directory of a URL, or why there is none.
pub(super) fn parse(url: &Url) -> Result<PathBuf, String> {
    match url.to_file_path() {
        Ok(directory) if directory.is_absolute() => Ok(directory),
        _ => Err("a directory is given as file:///absolute/directory".to_owned()),
    }
}

/// Opens a directory that exists.
pub(super) fn open(directory: &Path) -> Result<Arc<dyn ObjectStore>, String> {
    if !directory.is_dir() {
        return Err("there is no such directory".to_owned());
    }
    match LocalStore::open(directory) {
        Ok(store) => Ok(Arc::new(store)),
        Err(error) => Err(error.to_string()),
    }
}

/// Makes a directory and its parents, durably and private to the user.
pub(super) fn make(directory: &Path) -> std::io::Result<()> {
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
