//! An archive of one file, `pg_dump`'s custom format: the table of contents, then the data of every entry that has any, in the
//! same order, so that `pg_restore` can read it from a pipe; and the places of the data written into the table of contents,
//! so that it can read with several workers from a file.
//!
//! The data stand compressed in files of their own by then, because several workers write them; each is removed as soon as it
//! is packed.

use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::data_file::Form;
use super::toc::{Entry, FORMAT_CUSTOM, Header, integer, place};
use crate::error::{Error, Result};

/// Bytes of a piece of data.
const PIECE_BYTES: usize = 128 * 1024;

/// What a block of data holds.
const BLOCK_ROWS: u8 = 1;
const BLOCK_LARGE_OBJECTS: u8 = 3;

/// The data of an entry, and where its place is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DataPlace {
    dump_id: i32,
    /// Of the rows, or of the list of large objects.
    file: String,
    large_objects: bool,
    /// Where the entry ends in the table of contents.
    end: u64,
}

impl DataPlace {
    /// None for an entry without data, and for archives that keep data in files.
    pub(super) fn of(entry: &Entry, header: &Header, end: u64) -> Option<Self> {
        if header.format != FORMAT_CUSTOM || !entry.has_data {
            return None;
        }
        Some(Self {
            dump_id: entry.dump_id,
            file: String::from_utf8_lossy(entry.file.as_deref().unwrap_or_default()).into_owned(),
            large_objects: entry.is("BLOBS"),
            end,
        })
    }

    /// The same where the table of contents stands further back.
    pub(super) fn moved(self, by: u64) -> Self {
        Self { end: self.end + by, ..self }
    }
}

/// Packs what stands in a directory behind a table of contents that was written into `file`, and forces all to disk.
pub(super) struct Packing {
    pub(super) directory: PathBuf,
    pub(super) file: File,
    pub(super) header: Header,
    pub(super) places: Vec<DataPlace>,
    /// Set when nobody wants the archive any more.
    pub(super) given_up: Arc<AtomicBool>,
}

impl Packing {
    /// Does it, on a thread that may wait.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Cancelled`] when it was given up.
    pub(super) fn run(self) -> Result<()> {
        let Self { directory, mut file, header, places, given_up } = self;
        let failed = |error| Error::io("pack the archive")(error);
        let mut position = file.seek(SeekFrom::End(0)).map_err(failed)?;
        let mut patches = Vec::with_capacity(places.len());
        let mut packer =
            Packer { directory: &directory, output: BufWriter::new(&mut file), header, given_up };
        for at in places {
            patches.push((at.end, place(&packer.header, position)));
            position +=
                if at.large_objects { packer.large_objects(&at)? } else { packer.rows(&at)? };
        }
        packer.output.flush().map_err(failed)?;
        drop(packer);
        let patch = || {
            for (end, bytes) in patches {
                let start = end.saturating_sub(bytes.len() as u64);
                file.seek(SeekFrom::Start(start))?;
                file.write_all(&bytes)?;
            }
            file.sync_all()
        };
        patch().map_err(failed)
    }
}

struct Packer<'a> {
    directory: &'a Path,
    output: BufWriter<&'a mut File>,
    header: Header,
    given_up: Arc<AtomicBool>,
}

impl Packer<'_> {
    /// The rows of a table; gives the length of the block.
    fn rows(&mut self, place: &DataPlace) -> Result<u64> {
        let mut length = self.put(&[BLOCK_ROWS])?;
        length += self.integer(place.dump_id)?;
        length += self.pieces(&place.file)?;
        Ok(length)
    }

    /// The large objects of a list, one after the other.
    fn large_objects(&mut self, place: &DataPlace) -> Result<u64> {
        let mut length = self.put(&[BLOCK_LARGE_OBJECTS])?;
        length += self.integer(place.dump_id)?;
        let path = self.directory.join(&place.file);
        let failed = || Error::io(format!("read {} of the archive", place.file));
        let list = BufReader::new(File::open(&path).map_err(failed())?);
        for line in list.lines() {
            let line = line.map_err(failed())?;
            let parsed = line.split_once(' ').and_then(|(oid, file)| {
                Some((oid.parse::<u32>().ok()?.cast_signed(), file.to_owned()))
            });
            let Some((oid, file)) = parsed else {
                let message = format!("{line:?} stands in a list of large objects");
                return Err(Error::Io {
                    context: "pack the archive".to_owned(),
                    source: std::io::Error::other(message),
                });
            };
            length += self.integer(oid)?;
            length += self.pieces(&file)?;
        }
        length += self.integer(0)?;
        std::fs::remove_file(&path).map_err(failed())?;
        Ok(length)
    }

    /// A file's bytes in pieces, each after its length, and a length of 0. The file is removed.
    fn pieces(&mut self, name: &str) -> Result<u64> {
        let path = self.directory.join(format!("{name}.{}", Form::Packed.ending()));
        let failed = || Error::io(format!("read {name} of the archive"));
        let mut file = File::open(&path).map_err(failed())?;
        let mut piece = vec![0; PIECE_BYTES];
        let mut length = 0;
        loop {
            if self.given_up.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            let read = file.read(&mut piece).map_err(failed())?;
            length += self.integer(i32::try_from(read).unwrap_or(i32::MAX))?;
            if read == 0 {
                break;
            }
            length += self.put(&piece[..read])?;
        }
        std::fs::remove_file(&path).map_err(failed())?;
        Ok(length)
    }

    fn integer(&mut self, value: i32) -> Result<u64> {
        self.put(&integer(&self.header, value))
    }

    fn put(&mut self, bytes: &[u8]) -> Result<u64> {
        self.output.write_all(bytes).map_err(Error::io("pack the archive"))?;
        Ok(bytes.len() as u64)
    }
}
