//! The ranges of a table, one at a time, whether they stand in the table's line or in a list of their own.

use bytes::Bytes;
use coffer_store::Repository;
use futures::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};

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
    read_ahead(repository, stream::iter(chunks).map(Ok)).boxed()
}

fn read_ahead<'a>(
    repository: &'a Repository,
    chunks: impl Stream<Item = Result<RowChunk>> + Send + 'a,
) -> impl Stream<Item = Result<Bytes>> + Send + 'a {
    let read = move |chunk: RowChunk| async move { chunk.read(repository).await };
    chunks.map_ok(read).try_buffered(CHUNKS_AHEAD)
}

/// The text of all ranges of a table, in order.
pub(crate) fn read_table<'a>(
    repository: &'a Repository,
    ranges: &Ranges,
) -> impl Stream<Item = Result<Bytes>> + Send + use<'a> {
    let reader = RangeReader::new(repository, ranges);
    let ranges = stream::try_unfold(reader, |mut reader| async move {
        Ok(reader.next().await?.map(|range| (range, reader)))
    });
    let chunks = ranges.map_ok(|range| stream::iter(range.chunks).map(Ok)).try_flatten();
    read_ahead(repository, chunks)
}
