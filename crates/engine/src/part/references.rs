//! References of a part: in the part itself while they are few, else in chunks of their own, in as many levels as it takes.
//!
//! Level 0 are the references of the content. When a level has [`PART_REFERENCES_MAX`] and gets another one, those that it
//! has are written down in one chunk, and its reference goes to the level above. The highest level stands in the part.
//! Lists are cut by number and not by bytes: a reference that became a digit longer moves no later end, so that an unchanged
//! list is the same chunk in the next backup. Held in memory is one chunk of each level, whatever the length of the part.

use coffer_store::{ChunkKind, ChunkRef, PackStream, Repository};
use futures::future::{BoxFuture, FutureExt as _};

use super::{PartReader, damaged};
use crate::error::{Error, Result};
use crate::manifest::Part;

/// References that stand in a part, or in one chunk of a list of them, at most.
pub const PART_REFERENCES_MAX: usize = 1024;

/// Levels of lists above the content that a reader follows. With chunks of a mebibyte three are an exbibyte.
pub const PART_DEPTH_MAX: u8 = 3;

/// Writes references down as they come.
#[derive(Debug)]
pub(super) struct ReferenceWriter {
    kind: ChunkKind,
    /// The same part in the previous recovery point.
    previous: Option<(Repository, Part)>,
    levels: Vec<Level>,
}

#[derive(Debug)]
struct Level {
    references: Vec<ChunkRef>,
    earlier: Earlier,
}

impl ReferenceWriter {
    pub(super) fn new(kind: ChunkKind, previous: Option<(Repository, Part)>) -> Self {
        let mut writer = Self { kind, previous, levels: Vec::new() };
        writer.add_level();
        writer
    }

    /// What the next chunk of the content may turn out to be equal to.
    pub(super) async fn candidate(&mut self) -> Option<ChunkRef> {
        match self.levels.first_mut() {
            Some(content) => content.earlier.next().await,
            None => None,
        }
    }

    /// Adds the reference of the next chunk of the content.
    pub(super) async fn push(&mut self, stream: &mut PackStream, chunk: ChunkRef) -> Result<()> {
        let mut chunk = chunk;
        let mut number = 0;
        loop {
            if number == self.levels.len() {
                self.add_level();
            }
            let level = &mut self.levels[number].references;
            if level.len() < PART_REFERENCES_MAX {
                level.push(chunk);
                return Ok(());
            }
            let full = std::mem::replace(level, vec![chunk]);
            chunk = self.write_down(stream, &full, number + 1).await?;
            number += 1;
        }
    }

    /// References for the part, and how many levels of lists are below them.
    pub(super) async fn finish(mut self, stream: &mut PackStream) -> Result<(Vec<ChunkRef>, u8)> {
        let mut number = 0;
        while number + 1 < self.levels.len() {
            let rest = std::mem::take(&mut self.levels[number].references);
            let chunk = self.write_down(stream, &rest, number + 1).await?;
            let above = &mut self.levels[number + 1].references;
            if above.len() == PART_REFERENCES_MAX {
                let full = std::mem::replace(above, vec![chunk]);
                let chunk = self.write_down(stream, &full, number + 2).await?;
                self.levels[number + 2].references.push(chunk);
            } else {
                above.push(chunk);
            }
            number += 1;
        }
        let depth = u8::try_from(number).unwrap_or(u8::MAX);
        let highest = self.levels.pop().map(|level| level.references);
        Ok((highest.unwrap_or_default(), depth))
    }

    /// Puts references of one level into a chunk of the level `above` them.
    async fn write_down(
        &mut self,
        stream: &mut PackStream,
        references: &[ChunkRef],
        above: usize,
    ) -> Result<ChunkRef> {
        if above > usize::from(PART_DEPTH_MAX) {
            let message = "a part has more chunks than can be referred to".to_owned();
            return Err(Error::Unsupported { code: "PartTooLong", message });
        }
        let mut lines = Vec::new();
        for reference in references {
            super::write_line(&mut lines, reference)?;
        }
        if above == self.levels.len() {
            self.add_level();
        }
        let candidate = self.levels[above].earlier.next().await;
        let put = stream.put(self.kind, &lines, candidate.as_ref()).await;
        put.map_err(Error::store("store a list of references"))
    }

    fn add_level(&mut self) {
        let level = u8::try_from(self.levels.len()).unwrap_or(u8::MAX);
        let earlier = self.previous.as_ref().and_then(|(repository, part)| {
            (level <= part.depth).then(|| ReferenceReader::new(repository, part, level))
        });
        self.levels.push(Level { references: Vec::new(), earlier: Earlier(earlier) });
    }
}

/// References of one level of the previous recovery point, in order; nothing once they can't be read.
#[derive(Debug)]
struct Earlier(Option<ReferenceReader>);

impl Earlier {
    async fn next(&mut self) -> Option<ChunkRef> {
        match self.0.as_mut()?.next().await {
            Ok(chunk) => chunk,
            Err(error) => {
                tracing::warn!(%error, "a list of the previous recovery point can't be read; storing without it");
                self.0 = None;
                None
            }
        }
    }
}

/// Reads the references of one level of a part, in order.
#[derive(Debug)]
pub(crate) struct ReferenceReader {
    inline: std::vec::IntoIter<ChunkRef>,
    listed: Option<Box<PartReader>>,
    too_deep: bool,
}

impl ReferenceReader {
    /// Level 0 are the references of the content, level [`Part::depth`] those that stand in the part.
    pub(crate) fn new(repository: &Repository, part: &Part, level: u8) -> Self {
        let too_deep = part.depth > PART_DEPTH_MAX;
        let above = if too_deep { 0 } else { part.depth.saturating_sub(level) };
        let chunks = part.chunks.clone();
        if above == 0 {
            return Self { inline: chunks.into_iter(), listed: None, too_deep };
        }
        let list = Part { chunks, depth: above - 1, ..Part::default() };
        let listed = Some(Box::new(PartReader::uncounted(repository, &list)));
        Self { inline: Vec::new().into_iter(), listed, too_deep }
    }

    /// The next reference; none at the end.
    ///
    /// # Errors
    /// As those of [`PartReader::next`].
    pub(crate) fn next(&mut self) -> BoxFuture<'_, Result<Option<ChunkRef>>> {
        // Boxed, since lists are read through lists.
        async move {
            if self.too_deep {
                return Err(damaged("a part has more levels of lists than there can be"));
            }
            match &mut self.listed {
                None => Ok(self.inline.next()),
                Some(listed) => listed.next().await,
            }
        }
        .boxed()
    }
}
