//! Every call that changes a file or directory of a location, and every call that makes a change durable.
//!
//! Apart from what decides about them, so that a test can keep a journal of them and try what a power failure leaves.

use std::{
    fmt, fs,
    io::{self, Write},
    path::Path,
};

use object_store::PutPayload;

/// What [`super::LocalStore`] does to a file system. Nothing is durable before the call that syncs it.
pub(super) trait FileSystem: fmt::Debug + Send + Sync {
    /// Makes a directory and its parents, where they are absent.
    fn make_directories(&self, path: &Path) -> io::Result<()>;

    /// Writes a file that must not exist.
    fn write_new(&self, path: &Path, content: &PutPayload) -> io::Result<fs::File>;

    /// Makes the content of a file durable, which says nothing about its name.
    fn sync_file(&self, path: &Path, file: &fs::File) -> io::Result<()>;

    /// Gives a file another name, which must not exist.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Moves a file.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file's name.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes an empty directory.
    fn remove_directory(&self, path: &Path) -> io::Result<()>;

    /// Makes durable which names a directory has, which says nothing about the directory's own name.
    fn sync_directory(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's.
#[derive(Debug)]
pub(super) struct RealFiles;

impl FileSystem for RealFiles {
    fn make_directories(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn write_new(&self, path: &Path, content: &PutPayload) -> io::Result<fs::File> {
        let mut file = fs::OpenOptions::new().write(true).create_new(true).open(path)?;
        for part in content {
            file.write_all(part)?;
        }
        Ok(file)
    }

    fn sync_file(&self, _: &Path, file: &fs::File) -> io::Result<()> {
        file.sync_all()
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        fs::File::open(path)?.sync_all()
    }
}
