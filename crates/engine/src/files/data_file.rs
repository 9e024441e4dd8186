//! A compressed data file of the archive, written off the async threads and forced to disk at its end.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::error::{Error, Result};

/// zlib's level: the archive is for carrying away, and every level reads at the same speed.
const LEVEL: u32 = 3;

/// Which archive the data files are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A directory, in which they stay, compressed as `gzip` does it.
    Directory,
    /// One file, into which they are packed at the end: streams of zlib.
    Packed,
}

impl Form {
    /// Ending of the files' names. By the one of a directory `pg_restore` knows the compression.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Directory => "gz",
            Self::Packed => "z",
        }
    }
}

/// A file being written.
pub(super) struct DataFile {
    name: String,
    encoder: Encoder,
}

enum Encoder {
    Gzip(GzEncoder<BufWriter<File>>),
    Zlib(ZlibEncoder<BufWriter<File>>),
}

impl DataFile {
    /// Makes the file; `name` is without the ending of the compression.
    pub(super) fn create(directory: &Path, name: &str, form: Form) -> Result<Self> {
        let name = format!("{name}.{}", form.ending());
        let file = BufWriter::new(create(directory, &name)?);
        let level = Compression::new(LEVEL);
        let encoder = match form {
            Form::Directory => Encoder::Gzip(GzEncoder::new(file, level)),
            Form::Packed => Encoder::Zlib(ZlibEncoder::new(file, level)),
        };
        Ok(Self { name, encoder })
    }

    /// Appends bytes.
    pub(super) async fn write(mut self, bytes: Bytes) -> Result<Self> {
        off_thread(move || self.write_now(&bytes).map(|()| self)).await
    }

    /// Ends the file and forces it to disk.
    pub(super) async fn finish(self) -> Result<()> {
        off_thread(move || self.finish_now()).await
    }

    /// As [`Self::write`], for a thread that may wait.
    pub(super) fn write_now(&mut self, bytes: &[u8]) -> Result<()> {
        let written = match &mut self.encoder {
            Encoder::Gzip(encoder) => encoder.write_all(bytes),
            Encoder::Zlib(encoder) => encoder.write_all(bytes),
        };
        written.map_err(failed(&self.name))
    }

    /// As [`Self::finish`], for a thread that may wait.
    fn finish_now(self) -> Result<()> {
        let name = self.name.clone();
        self.end_now()?.sync_all().map_err(failed(&name))
    }

    /// Ends the file without forcing it to disk, which is left to the caller.
    pub(super) fn end_now(self) -> Result<File> {
        let end = || {
            let file = match self.encoder {
                Encoder::Gzip(encoder) => encoder.finish()?,
                Encoder::Zlib(encoder) => encoder.finish()?,
            };
            file.into_inner().map_err(std::io::IntoInnerError::into_error)
        };
        end().map_err(failed(&self.name))
    }
}

/// Makes a file that must not be there yet.
pub(super) fn create(directory: &Path, name: &str) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).open(directory.join(name)).map_err(failed(name))
}

/// A small file at once, forced to disk.
pub(super) fn write(directory: &Path, name: &str, bytes: &[u8]) -> Result<()> {
    let mut file = create(directory, name)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed(name))
}

/// As [`create`], for a file that is read as well.
pub(super) fn create_to_read(directory: &Path, name: &str) -> Result<File> {
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create_new(true).open(directory.join(name));
    file.map_err(failed(name))
}

fn failed(name: &str) -> impl FnOnce(std::io::Error) -> Error {
    Error::io(format!("write {name} of the archive"))
}

/// Runs work that waits for the disk.
pub(super) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::Io {
            context: "write the archive".to_owned(),
            source: std::io::Error::other(error),
        })
    })
}
