//! Entries of a table of contents that are kept in a file until they have their place: there may be millions.

use std::fs::File;
use std::io::{BufWriter, Seek as _, SeekFrom, Write};
use std::path::Path;

use crate::error::{Error, Result};
use crate::files::data_file;
use crate::files::packed::DataPlace;
use crate::files::toc::{Entry, Header};

/// Takes entries in order and gives them back in order.
#[derive(Debug)]
pub(super) struct EntryFile {
    header: Header,
    file: BufWriter<File>,
    entries: usize,
    bytes: u64,
    /// Of the entries with data.
    data: Vec<DataPlace>,
}

impl EntryFile {
    /// Makes a file without a name on the disk of that directory.
    pub(super) fn create(header: &Header, directory: &Path, name: &str) -> Result<Self> {
        let file = data_file::create_to_read(directory, name)?;
        // The name goes at once, so that it can't be left behind; the file lives as long as it is open.
        std::fs::remove_file(directory.join(name)).map_err(Error::io(format!("unlink {name}")))?;
        Ok(Self {
            header: header.clone(),
            file: BufWriter::new(file),
            entries: 0,
            bytes: 0,
            data: Vec::new(),
        })
    }

    pub(super) fn entries(&self) -> usize {
        self.entries
    }

    pub(super) fn add(&mut self, entry: &Entry) -> Result<()> {
        self.entries += 1;
        let bytes = entry.bytes(&self.header);
        self.bytes += bytes.len() as u64;
        self.data.extend(DataPlace::of(entry, &self.header, self.bytes));
        let written = self.file.write_all(&bytes);
        written.map_err(Error::io("write entries of the archive"))
    }

    /// Writes all of them into the table of contents; gives their length, and the places of those with data, counted from
    /// the first.
    pub(super) fn copy_to(
        self,
        output: &mut (impl Write + ?Sized),
    ) -> std::io::Result<(u64, Vec<DataPlace>)> {
        let mut file = self.file.into_inner().map_err(std::io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        std::io::copy(&mut file, output)?;
        Ok((self.bytes, self.data))
    }
}
