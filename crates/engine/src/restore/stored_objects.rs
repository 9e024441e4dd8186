//! Stored large objects: ranges of them, and each with its properties, then its bytes in pieces.

use bytes::Bytes;
use coffer_store::Repository;

use crate::error::{Error, Result};
use crate::manifest::{LargeObject, LargeObjectRange, LargeObjects};
use crate::part::PartReader;

/// Reads ranges in order, also where all objects are one and stand in the manifest.
#[derive(Debug)]
pub(crate) struct StoredRanges {
    single: Option<LargeObjectRange>,
    listed: Option<PartReader>,
}

impl StoredRanges {
    /// Nothing is read yet.
    pub(crate) fn new(repository: &Repository, objects: &LargeObjects) -> Self {
        let LargeObjects { list, data, content, ranges } = objects;
        let single = (list.items > 0).then(|| LargeObjectRange {
            first: 0,
            last: u32::MAX,
            list: list.clone(),
            data: data.clone(),
            content: *content,
        });
        let listed = ranges.as_ref().map(|ranges| PartReader::new(repository, ranges));
        Self { single, listed }
    }

    /// The next range; none at the end.
    ///
    /// # Errors
    /// As those of [`PartReader::next`].
    pub(crate) async fn next(&mut self) -> Result<Option<LargeObjectRange>> {
        if let Some(single) = self.single.take() {
            return Ok(Some(single));
        }
        match &mut self.listed {
            Some(listed) => listed.next().await,
            None => Ok(None),
        }
    }
}

/// Reads the large objects of a range in the order of its list.
#[derive(Debug)]
pub(crate) struct StoredObjects {
    list: PartReader,
    data: PartReader,
    /// Bytes of the current object that were not handed out.
    bytes_left: u64,
}

impl StoredObjects {
    /// Nothing is read yet.
    pub(crate) fn new(repository: &Repository, range: &LargeObjectRange) -> Self {
        Self {
            list: PartReader::new(repository, &range.list),
            data: PartReader::new(repository, &range.data),
            bytes_left: 0,
        }
    }

    /// The next object. All pieces of the one before must have been taken.
    pub(crate) async fn next(&mut self) -> Result<Option<LargeObject>> {
        debug_assert_eq!(self.bytes_left, 0, "pieces of the previous object were left");
        let object = self.list.next::<LargeObject>().await?;
        self.bytes_left = object.as_ref().map_or(0, |object| object.bytes);
        Ok(object)
    }

    /// The next bytes of the current object, at most `length`; none at its end.
    pub(crate) async fn piece(&mut self, length: usize) -> Result<Option<Bytes>> {
        if self.bytes_left == 0 {
            return Ok(None);
        }
        let length = length.min(usize::try_from(self.bytes_left).unwrap_or(usize::MAX));
        let Some(piece) = self.data.bytes_at_most(length).await? else {
            return Err(Error::Manifest {
                message: "the bytes of large objects end early".to_owned(),
            });
        };
        self.bytes_left -= piece.len() as u64;
        Ok(Some(piece))
    }
}
