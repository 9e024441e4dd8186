//! Writing and reading a [`Part`]: JSON lines or bytes kept in chunks, as a stream of bounded memory.

mod references;

use bytes::Bytes;
use coffer_store::{ChunkKind, PackStream, Repository};
use serde::{Serialize, de::DeserializeOwned};

pub(crate) use self::references::ReferenceReader;
use self::references::ReferenceWriter;
pub use self::references::{PART_DEPTH_MAX, PART_REFERENCES_MAX};
use crate::error::{Error, Result};
use crate::manifest::Part;

/// Plain bytes of a chunk of a part, at most.
pub const PART_CHUNK_BYTES: usize = 1024 * 1024;
/// Longest JSON line that a reader accepts. A line of a table with very many columns is the longest there is.
pub const LINE_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Collects lines or bytes into chunks.
#[derive(Debug)]
pub struct PartWriter {
    kind: ChunkKind,
    buffer: Vec<u8>,
    chunk_bytes: usize,
    items: u64,
    plain_bytes: u64,
    references: ReferenceWriter,
}

impl PartWriter {
    /// Starts an empty part.
    #[must_use]
    pub fn new(kind: ChunkKind) -> Self {
        Self::with_previous(kind, None)
    }

    /// Starts an empty part that may turn out to be like an earlier one, whose chunks it then refers to.
    #[must_use]
    pub fn with_previous(kind: ChunkKind, previous: Option<(Repository, Part)>) -> Self {
        Self {
            kind,
            buffer: Vec::new(),
            chunk_bytes: PART_CHUNK_BYTES,
            items: 0,
            plain_bytes: 0,
            references: ReferenceWriter::new(kind, previous),
        }
    }

    /// Cuts chunks of another size than [`PART_CHUNK_BYTES`].
    #[must_use]
    pub fn chunk_bytes(self, chunk_bytes: usize) -> Self {
        Self { chunk_bytes: chunk_bytes.max(1), ..self }
    }

    /// Adds an item as one JSON line.
    ///
    /// # Errors
    /// [`Error::Store`] when a full chunk can't be stored, [`Error::Unsupported`] when no reader would accept the line.
    pub async fn line<T: Serialize>(&mut self, stream: &mut PackStream, item: &T) -> Result<()> {
        write_line(&mut self.buffer, item)?;
        self.items += 1;
        while self.buffer.len() >= self.chunk_bytes {
            self.flush(stream, self.chunk_bytes).await?;
        }
        Ok(())
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// [`Error::Store`] when a full chunk can't be stored.
    pub async fn bytes(&mut self, stream: &mut PackStream, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let taken = bytes.len().min(self.chunk_bytes - self.buffer.len());
            self.buffer.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if self.buffer.len() == self.chunk_bytes {
                self.flush(stream, self.chunk_bytes).await?;
            }
        }
        Ok(())
    }

    /// Counts an item of a part that holds bytes.
    pub fn count_item(&mut self) {
        self.items += 1;
    }

    /// Stores what is left and returns the part.
    ///
    /// # Errors
    /// [`Error::Store`] when it can't be stored.
    pub async fn finish(mut self, stream: &mut PackStream) -> Result<Part> {
        if !self.buffer.is_empty() {
            self.flush(stream, self.buffer.len()).await?;
        }
        let (chunks, depth) = self.references.finish(stream).await?;
        Ok(Part { chunks, items: self.items, plain_bytes: self.plain_bytes, depth })
    }

    async fn flush(&mut self, stream: &mut PackStream, length: usize) -> Result<()> {
        let candidate = self.references.candidate().await;
        let chunk = stream.put(self.kind, &self.buffer[..length], candidate.as_ref()).await;
        let chunk = chunk.map_err(Error::store("store a list"))?;
        self.references.push(stream, chunk).await?;
        self.plain_bytes += length as u64;
        self.buffer.drain(..length);
        Ok(())
    }
}

/// Appends an item as JSON, ended by a newline.
fn write_line<T: Serialize>(buffer: &mut Vec<u8>, item: &T) -> Result<()> {
    let start = buffer.len();
    serde_json::to_writer(&mut *buffer, item).map_err(|error| Error::Manifest {
        message: format!("an item can't be written as JSON: {error}"),
    })?;
    let length = buffer.len() - start;
    if length > LINE_BYTES_MAX {
        let message = format!(
            "an entry of a list takes {length} bytes, more than can be read back: a table that can't be read in ranges \
             is too large"
        );
        return Err(Error::Unsupported { code: "EntryTooLong", message });
    }
    buffer.push(b'\n');
    Ok(())
}

/// Reads a part from its beginning.
#[derive(Debug)]
pub struct PartReader {
    repository: Repository,
    chunks: ReferenceReader,
    /// Read but not handed out.
    rest: Bytes,
    /// None for a list whose number of lines is not on record.
    items_left: Option<u64>,
}

impl PartReader {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(repository: &Repository, part: &Part) -> Self {
        Self { items_left: Some(part.items), ..Self::uncounted(repository, part) }
    }

    fn uncounted(repository: &Repository, part: &Part) -> Self {
        Self {
            repository: repository.clone(),
            chunks: ReferenceReader::new(repository, part, 0),
            rest: Bytes::new(),
            items_left: None,
        }
    }

    /// The next bytes, as many as are at hand; none at the end.
    ///
    /// # Errors
    /// [`Error::Store`] when a chunk can't be read.
    pub async fn bytes(&mut self) -> Result<Option<Bytes>> {
        if self.rest.is_empty() && !self.fill().await? {
            return Ok(None);
        }
        Ok(Some(std::mem::take(&mut self.rest)))
    }

    /// The next `length` bytes at most; fewer at the end of a chunk, none at the end of the part.
    ///
    /// # Errors
    /// [`Error::Store`] when a chunk can't be read.
    pub async fn bytes_at_most(&mut self, length: usize) -> Result<Option<Bytes>> {
        if self.rest.is_empty() && !self.fill().await? {
            return Ok(None);
        }
        let length = length.min(self.rest.len());
        Ok(Some(self.rest.split_to(length)))
    }

    /// The next item of a part of JSON lines; none at the end.
    ///
    /// # Errors
    /// [`Error::Store`] when a chunk can't be read, [`Error::Manifest`] when it is not what it should be or ends early.
    pub async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let Some(line) = self.line().await? else {
            return match self.items_left {
                None | Some(0) => Ok(None),
                Some(_) => Err(damaged("a list ends early")),
            };
        };
        if let Some(left) = &mut self.items_left {
            *left = left
                .checked_sub(1)
                .ok_or_else(|| damaged("a list is longer than its manifest says"))?;
        }
        let item = serde_json::from_slice(&line);
        item.map(Some)
            .map_err(|error| damaged(&format!("an item of a list can't be understood: {error}")))
    }

    async fn line(&mut self) -> Result<Option<Bytes>> {
        let mut line = Vec::new();
        loop {
            if self.rest.is_empty() && !self.fill().await? {
                return if line.is_empty() {
                    Ok(None)
                } else {
                    Err(damaged("a list ends in the middle of a line"))
                };
            }
            let Some(end) = memchr::memchr(b'\n', &self.rest) else {
                line.extend_from_slice(&self.rest);
                self.rest.clear();
                if line.len() > LINE_BYTES_MAX {
                    return Err(damaged("a line of a list is too long"));
                }
                continue;
            };
            let last = self.rest.split_to(end);
            // The newline itself.
            drop(self.rest.split_to(1));
            if line.is_empty() {
                return Ok(Some(last));
            }
            line.extend_from_slice(&last);
            return Ok(Some(line.into()));
        }
    }

    async fn fill(&mut self) -> Result<bool> {
        while let Some(chunk) = self.chunks.next().await? {
            self.rest =
                self.repository.read_chunk(&chunk).await.map_err(Error::store("read a chunk"))?;
            if !self.rest.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

fn damaged(message: &str) -> Error {
    Error::Manifest { message: message.to_owned() }
}
