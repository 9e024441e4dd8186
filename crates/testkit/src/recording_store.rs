//! An object store that takes notes, so that a test can check in which order things were written.

use std::{
    fmt,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
    path::Path,
};

use crate::StoreOperation;

/// One call, noted after it succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedCall {
    /// What was done.
    pub operation: StoreOperation,
    /// To which object or below which prefix.
    pub location: String,
    /// Bytes written or asked for; 0 where that is not known.
    pub bytes: u64,
    /// A put that would have replaced an object: nothing of ours may do that.
    pub overwrites: bool,
}

/// A store that hands every call on and remembers those that succeeded.
pub struct RecordingStore {
    inner: Arc<dyn ObjectStore>,
    calls: Arc<Mutex<Vec<RecordedCall>>>,
}

impl RecordingStore {
    /// A store without notes.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self { inner, calls: Arc::new(Mutex::new(Vec::new())) })
    }

    /// The notes so far, in the order in which the calls ended.
    #[must_use]
    pub fn calls(&self) -> Vec<RecordedCall> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Names of the objects written, in order.
    #[must_use]
    pub fn written(&self) -> Vec<String> {
        self.calls()
            .into_iter()
            .filter(|call| call.operation == StoreOperation::Put)
            .map(|call| call.location)
            .collect()
    }

    /// Forgets the notes.
    pub fn clear(&self) {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn note(&self, operation: StoreOperation, location: &str, bytes: u64, overwrites: bool) {
        note(
            &self.calls,
            RecordedCall { operation, location: location.to_owned(), bytes, overwrites },
        );
    }
}

fn note(calls: &Mutex<Vec<RecordedCall>>, call: RecordedCall) {
    calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
}

fn prefix_text(prefix: Option<&Path>) -> String {
    prefix.map(ToString::to_string).unwrap_or_default()
}

impl fmt::Debug for RecordingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordingStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for RecordingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RecordingStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for RecordingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        let bytes = payload.content_length() as u64;
        let overwrites = options.mode != PutMode::Create;
        let result = self.inner.put_opts(location, payload, options).await?;
        self.note(StoreOperation::Put, location.as_ref(), bytes, overwrites);
        Ok(result)
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let upload = self.inner.put_multipart_opts(location, options).await?;
        self.note(StoreOperation::Put, location.as_ref(), 0, true);
        Ok(upload)
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let result = self.inner.get_opts(location, options).await?;
        self.note(
            StoreOperation::Get,
            location.as_ref(),
            result.range.end - result.range.start,
            false,
        );
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        let result = self.inner.get_ranges(location, ranges).await?;
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.note(StoreOperation::Get, location.as_ref(), bytes, false);
        Ok(result)
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let calls = Arc::clone(&self.calls);
        self.inner
            .delete_stream(locations)
            .inspect(move |deleted| {
                if let Ok(location) = deleted {
                    let location = location.to_string();
                    note(
                        &calls,
                        RecordedCall {
                            operation: StoreOperation::Delete,
                            location,
                            bytes: 0,
                            overwrites: false,
                        },
                    );
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.note(StoreOperation::List, &prefix_text(prefix), 0, false);
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let result = self.inner.list_with_delimiter(prefix).await?;
        self.note(StoreOperation::List, &prefix_text(prefix), 0, false);
        Ok(result)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        self.note(StoreOperation::Copy, to.as_ref(), 0, false);
        Ok(())
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        self.note(StoreOperation::Copy, to.as_ref(), 0, false);
        Ok(())
    }
}
