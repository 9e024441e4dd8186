//! Reading, writing and listing whole objects: the only place where this crate calls `put` and `delete`.
//!
//! Every write is create-if-absent. Where the name exists already with exactly the same bytes, the earlier attempt of
//! the same write had succeeded without our learning of it, and that is success; any other content is a conflict.

use std::{ops::Range, sync::Arc};

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path,
};

use crate::error::{Error, Result};

/// Writes an object durably, or fails with [`Error::AlreadyExists`].
pub(crate) async fn put_new(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    content: Bytes,
) -> Result<()> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    match store.put_opts(path, PutPayload::from_bytes(content.clone()), options).await {
        Ok(_) => Ok(()),
        Err(
            object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. },
        ) => {
            let existing = get(store, path, content.len() as u64).await;
            match existing {
                Ok(Some(existing)) if existing == content => Ok(()),
                Ok(_) | Err(Error::Corrupt { .. }) => {
                    Err(Error::AlreadyExists { what: path.to_string() })
                }
                Err(error) => Err(error),
            }
        }
        Err(source) => Err(Error::storage(format!("write {path}"), source)),
    }
}

/// A whole object, or none if it is definitely not there.
pub(crate) async fn get(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    bytes_max: u64,
) -> Result<Option<Bytes>> {
    let result = match store.get(path).await {
        Ok(result) => result,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(source) => return Err(Error::storage(format!("read {path}"), source)),
    };
    if result.meta.size > bytes_max {
        return Err(Error::corrupt(
            path.to_string(),
            format!("it has {} bytes, at most {bytes_max} are possible", result.meta.size),
        ));
    }
    result.bytes().await.map(Some).map_err(|source| Error::storage(format!("read {path}"), source))
}

/// Ranges of one object. An object that is missing or too short is damaged: whoever asks knows that it must be there.
pub(crate) async fn get_ranges(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    ranges: &[Range<u64>],
) -> Result<Vec<Bytes>> {
    let parts = match store.get_ranges(path, ranges).await {
        Ok(parts) => parts,
        Err(object_store::Error::NotFound { .. }) => {
            return Err(Error::corrupt(path.to_string(), "it is missing"));
        }
        Err(source) => {
            // Backends answer a range beyond the end each in their own way; the size decides which failure it was.
            let end = ranges.iter().map(|range| range.end).max().unwrap_or(0);
            return Err(match size(store, path).await? {
                Some(size) if size < end => too_short(path, size, end),
                Some(_) => Error::storage(format!("read {path}"), source),
                None => Error::corrupt(path.to_string(), "it is missing"),
            });
        }
    };
    for (part, range) in parts.iter().zip(ranges) {
        if part.len() as u64 != range.end - range.start {
            return Err(too_short(path, range.start + part.len() as u64, range.end));
        }
    }
    Ok(parts)
}

fn too_short(path: &Path, size: u64, needed: u64) -> Error {
    Error::corrupt(path.to_string(), format!("it has {size} bytes where {needed} are needed"))
}

/// One range, as [`get_ranges`].
pub(crate) async fn get_range(
    store: &Arc<dyn ObjectStore>,
    path: &Path,
    range: Range<u64>,
) -> Result<Bytes> {
    let mut parts = get_ranges(store, path, std::slice::from_ref(&range)).await?;
    parts.pop().ok_or_else(|| Error::corrupt(path.to_string(), "nothing was read"))
}

/// The size of an object, or none if it is definitely not there.
pub(crate) async fn size(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<Option<u64>> {
    match store.head(path).await {
        Ok(meta) => Ok(Some(meta.size)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(source) => Err(Error::storage(format!("read the size of {path}"), source)),
    }
}

/// Every object below a prefix, as a stream.
pub(crate) fn list(
    store: &Arc<dyn ObjectStore>,
    prefix: &Path,
) -> impl stream::Stream<Item = Result<ObjectMeta>> + use<> {
    let action = format!("list {prefix}");
    store
        .list(Some(prefix))
        .map(move |item| item.map_err(|source| Error::storage(action.clone(), source)))
}

/// Deletes an object; false if the storage says that it was not there, which S3 never does.
pub(crate) async fn delete(store: &Arc<dyn ObjectStore>, path: &Path) -> Result<bool> {
    match store.delete(path).await {
        Ok(()) => Ok(true),
        Err(object_store::Error::NotFound { .. }) => Ok(false),
        Err(source) => Err(Error::storage(format!("delete {path}"), source)),
    }
}

/// Deletes everything below a prefix; how many objects there were.
pub(crate) async fn delete_all(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Result<u64> {
    let found = list(store, prefix).map_ok(|meta| meta.location).try_collect::<Vec<_>>().await?;
    let mut deleted = 0;
    let mut deletions = store.delete_stream(stream::iter(found.into_iter().map(Ok)).boxed());
    while let Some(result) = deletions.next().await {
        match result {
            Ok(_) => deleted += 1,
            // Someone else deleted it, which is as good.
            Err(object_store::Error::NotFound { .. }) => {}
            Err(source) => return Err(Error::storage(format!("delete below {prefix}"), source)),
        }
    }
    Ok(deleted)
}

/// Names of the directories right below a prefix.
pub(crate) async fn directories(store: &Arc<dyn ObjectStore>, prefix: &Path) -> Result<Vec<Path>> {
    let listing = store.list_with_delimiter(Some(prefix)).await;
    match listing {
        Ok(listing) => Ok(listing.common_prefixes),
        Err(object_store::Error::NotFound { .. }) => Ok(Vec::new()),
        Err(source) => Err(Error::storage(format!("list {prefix}"), source)),
    }
}
