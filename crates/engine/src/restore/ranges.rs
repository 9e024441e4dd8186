//! The ranges of a table, one at a time, whether they stand in the table's line or in a list of their own.

use bytes::Bytes;
use coffer_store::Repository;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};

use crate::error::Result;
use crate::manifest::{Range, Ranges, RowChunk};
use crate::part::PartReader;

/// Reads ranges in order.
#[derive(Debug)]
pub(crate) enum RangeReader {
    /// From the table's own line.
    Inline(std::vec::IntoIter<Range>),
    /// From chunks.
    Listed(PartReader),
}

impl RangeReader {
    /// Nothing is read yet.
    pub(crate) fn new(repository: &Repository, ranges: &Ranges) -> Self {
        match ranges {
            Ranges::Inline(ranges) => Self::Inline(ranges.clone().into_iter()),
            Ranges::Listed(part) => Self::Listed(PartReader::new(repository, part)),
        }
    }

    /// The next range; none at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Range>> {
        match self {
            Self::Inline(ranges) => Ok(ranges.next()),
            Self::Listed(reader) => reader.next().await,
        }
    }
}

/// Chunks that are read ahead of who takes them; one more is being taken.
const CHUNKS_AHEAD: usize = 2;

/// The text in these chunks, in order.
pub(crate) fn read_chunks(
    repository: &Repository,
    chunks: Vec<RowChunk>,
) -> BoxStream<'_, Result<Bytes>> {
    let read = move |chunk: RowChunk| async move { chunk.read(repository).await };
    stream::iter(chunks).map(Ok).map_ok(read).try_buffered(CHUNKS_AHEAD).boxed()
}
