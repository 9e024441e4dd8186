//! A compressed data file of the archive, written off the async threads and forced to disk at its end.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::error::{Error, Result};

/// zlib's level: the archive is for carrying away, and every level reads at the same speed.
const LEVEL: u32 = 3;

/// Ending by which `pg_restore` knows the compression.
const ENDING: &str = "gz";

/// A file being written.
pub(super) struct DataFile {
    name: String,
    encoder: GzEncoder<BufWriter<File>>,
}

impl DataFile {
    /// Makes the file; `name` is without the ending of the compression.
    pub(super) fn create(directory: &Path, name: &str) -> Result<Self> {
        let name = format!("{name}.{ENDING}");
        let file = create(directory, &name)?;
        Ok(Self { name, encoder: GzEncoder::new(BufWriter::new(file), Compression::new(LEVEL)) })
    }

    /// Appends bytes.
    pub(super) async fn write(mut self, bytes: Bytes) -> Result<Self> {
        off_thread(move || match self.encoder.write_all(&bytes) {
            Ok(()) => Ok(self),
            Err(error) => Err(failed(&self.name)(error)),
        })
        .await
    }

    /// Ends the file and forces it to disk.
    pub(super) async fn finish(self) -> Result<()> {
        off_thread(move || {
            let finish = || {
                let file = self
                    .encoder
                    .finish()?
                    .into_inner()
                    .map_err(std::io::IntoInnerError::into_error)?;
                file.sync_all()
            };
            finish().map_err(failed(&self.name))
        })
        .await
    }
}

/// Makes a file that must not be there yet.
pub(super) fn create(directory: &Path, name: &str) -> Result<File> {
    OpenOptions::new().write(true).create_new(true).open(directory.join(name)).map_err(failed(name))
}

fn failed(name: &str) -> impl FnOnce(std::io::Error) -> Error {
    Error::io(format!("write {name} of the archive"))
}

async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(Error::Io {
            context: "write the archive".to_owned(),
            source: std::io::Error::other(error),
        })
    })
}
