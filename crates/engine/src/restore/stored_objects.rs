//! Stored large objects: each with its properties, then its bytes in pieces.

use bytes::Bytes;
use coffer_store::Repository;

use crate::error::{Error, Result};
use crate::manifest::{LargeObject, LargeObjects};
use crate::part::PartReader;

/// Reads large objects in the order of the list.
#[derive(Debug)]
pub(crate) struct StoredObjects {
    list: PartReader,
    data: PartReader,
    /// Bytes of the current object that were not handed out.
    bytes_left: u64,
}

impl StoredObjects {
    /// Nothing is read yet.
    pub(crate) fn new(repository: &Repository, objects: &LargeObjects) -> Self {
        let (list, data) = (&objects.list, &objects.data);
        Self {
            list: PartReader::new(repository, list),
            data: PartReader::new(repository, data),
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
