//! A remote storage as this crate needs it: its answers mean what they say, and each of its calls ends in time.
//!
//! [`answer`] reads the answers. What is added here:
//!
//! * Nothing waits for ever: an answer has its time, what is sent has more by its size, and between two pieces of what is
//!   received only so much may pass.
//! * An answer to HEAD has no body and so no reason; the reason is asked for by a GET of one byte.
//! * A range that an object is too short for is an error, and no panic of the client.
//! * An object whose answer was lost is sent again. Where the lost one had arrived, the storage says that it exists, which
//!   `objects::put_new` takes for success if the content is the same.

use std::{fmt, ops::Range, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, future::Future, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetRange, GetResult, GetResultPayload, ListResult,
    MultipartUpload, OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, coalesce_ranges,
    path::Path,
};
use tokio::time::{sleep, timeout};

use super::answer::{self, RemoteFailure};
use crate::{
    error::StorageFailure,
    limits::{REMOTE_ANSWER_SECONDS_MAX, REMOTE_BYTES_PER_SECOND_MIN, REMOTE_PUT_ATTEMPTS_MAX},
};

const ANSWER_MAX: Duration = Duration::from_secs(REMOTE_ANSWER_SECONDS_MAX);
/// Before an object is sent again; twice as long each time.
const PAUSE: Duration = Duration::from_millis(200);

/// See the module.
pub(super) struct RemoteStore<T> {
    inner: T,
}

impl<T> RemoteStore<T> {
    pub(super) fn new(inner: T) -> Self {
        Self { inner }
    }
}

/// The client's own would print how it is set up, credentials among it.
impl<T: fmt::Display> fmt::Debug for RemoteStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<T: fmt::Display> fmt::Display for RemoteStore<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

/// The answer, understood, or that there was none in time.
async fn within<A>(limit: Duration, call: impl Future<Output = Result<A>>) -> Result<A> {
    match timeout(limit, call).await {
        Ok(result) => result.map_err(answer::understood),
        Err(_) => Err(too_late(limit)),
    }
}

fn too_late(limit: Duration) -> Error {
    let words = format!("no answer within {} s", limit.as_secs());
    RemoteFailure::new(StorageFailure::Unreachable, &words).into_error()
}

/// A stream of answers, each in time. It ends with the first that is not.
fn paced<A: Send + 'static>(items: BoxStream<'static, Result<A>>) -> BoxStream<'static, Result<A>> {
    stream::unfold(Some(items), |items| async {
        let mut items = items?;
        match timeout(ANSWER_MAX, items.next()).await {
            Ok(None) => None,
            Ok(Some(item)) => Some((item.map_err(answer::understood), Some(items))),
            Err(_) => Some((Err(too_late(ANSWER_MAX)), None)),
        }
    })
    .boxed()
}

impl<T: ObjectStore> RemoteStore<T> {
    async fn get_body(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let mut result = within(ANSWER_MAX, self.inner.get_opts(location, options)).await?;
        result.payload = match result.payload {
            GetResultPayload::Stream(pieces) => GetResultPayload::Stream(paced(pieces)),
            other => other,
        };
        Ok(result)
    }
}

#[async_trait]
impl<T: ObjectStore> ObjectStore for RemoteStore<T> {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let bytes = payload.content_length() as u64;
        let limit = ANSWER_MAX + Duration::from_secs(bytes / REMOTE_BYTES_PER_SECOND_MIN);
        let attempts = if options.mode == PutMode::Create { REMOTE_PUT_ATTEMPTS_MAX } else { 1 };
        let mut attempt = 1;
        loop {
            let call = self.inner.put_opts(location, payload.clone(), options.clone());
            match within(limit, call).await {
                Err(error) if attempt < attempts && answer::asks_to_repeat(&error) => {
                    sleep(PAUSE * 2_u32.pow(attempt)).await;
                    attempt += 1;
                }
                result => return result,
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        within(ANSWER_MAX, self.inner.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if !options.head {
            return self.get_body(location, options).await;
        }
        match timeout(ANSWER_MAX, self.inner.get_opts(location, options)).await {
            Ok(Err(
                Error::NotFound { .. }
                | Error::PermissionDenied { .. }
                | Error::Unauthenticated { .. },
            )) => {
                let range = Some(GetRange::Bounded(0..1));
                self.get_body(location, GetOptions { range, ..GetOptions::default() }).await
            }
            Ok(result) => result.map_err(answer::understood),
            Err(_) => Err(too_late(ANSWER_MAX)),
        }
    }

    /// A storage answers a range that reaches beyond an object's end with what there is. The client's own way to put ranges
    /// together takes that for all that was asked, and panics.
    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let whole = |range: Range<u64>| async move {
            let part = self.get_range(location, range.clone()).await?;
            if part.len() as u64 == range.end.saturating_sub(range.start) {
                return Ok(part);
            }
            let words = format!("{} bytes came of the range {range:?}", part.len());
            Err(RemoteFailure::new(StorageFailure::Other, &words).into_error())
        };
        coalesce_ranges(ranges, whole, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        paced(self.inner.delete_stream(locations))
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        paced(self.inner.list(prefix))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        within(ANSWER_MAX, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        within(ANSWER_MAX, self.inner.copy_opts(from, to, options)).await
    }
}

#[cfg(test)]
mod tests;
