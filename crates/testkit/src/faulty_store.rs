//! An object store whose calls fail when a test says so.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt as _, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};

/// Kinds of calls, as tests count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StoreOperation {
    /// An object is written.
    Put,
    /// An object or a range of it is read.
    Get,
    /// Objects are listed.
    List,
    /// An object is deleted.
    Delete,
    /// An object is copied or renamed.
    Copy,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The call fails and has no effect.
    Refuse,
    /// A put is done, and fails all the same: the answer was lost. Other calls are refused.
    LoseAnswer,
    /// The call fails as a full disk fails it, and has no effect.
    Full,
    /// The call has no effect and does not end, as with a storage that does not answer any more. Whoever waits for it has to
    /// give it up.
    Stall,
}

#[derive(Debug, Clone, Copy)]
struct Plan {
    operation: StoreOperation,
    /// Calls of this kind that still succeed.
    spare: u64,
    /// Calls that then fail.
    failures: u64,
    fault: Fault,
}

/// A store that hands every call on, except for those that a test asked to fail.
pub struct FailingStore {
    inner: Arc<dyn ObjectStore>,
    plan: Mutex<Option<Plan>>,
    puts: AtomicU64,
    stalled: AtomicU64,
}

/// A call that does not end, counted as long as somebody waits for it.
struct Stalled<'a>(&'a AtomicU64);

impl Drop for Stalled<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl FailingStore {
    /// A store in which nothing fails yet.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>) -> Arc<Self> {
        Arc::new(Self {
            inner,
            plan: Mutex::new(None),
            puts: AtomicU64::new(0),
            stalled: AtomicU64::new(0),
        })
    }

    /// From now on, the call number `nth` (from 1) of this kind fails, and all of this kind after it.
    pub fn fail_from(&self, operation: StoreOperation, nth: u64, fault: Fault) {
        self.set(Some(Plan { operation, spare: nth.saturating_sub(1), failures: u64::MAX, fault }));
    }

    /// From now on, only the call number `nth` (from 1) of this kind fails.
    pub fn fail_once(&self, operation: StoreOperation, nth: u64, fault: Fault) {
        self.set(Some(Plan { operation, spare: nth.saturating_sub(1), failures: 1, fault }));
    }

    /// Nothing fails any more.
    pub fn heal(&self) {
        self.set(None);
    }

    /// Puts seen so far, failed ones included: so a test knows how many there are to fail.
    #[must_use]
    pub fn puts(&self) -> u64 {
        self.puts.load(Ordering::SeqCst)
    }

    /// Calls that somebody waits for in vain at the moment.
    #[must_use]
    pub fn stalled(&self) -> u64 {
        self.stalled.load(Ordering::SeqCst)
    }

    async fn stall<T>(&self) -> T {
        self.stalled.fetch_add(1, Ordering::SeqCst);
        let _stalled = Stalled(&self.stalled);
        std::future::pending().await
    }

    fn set(&self, plan: Option<Plan>) {
        *self.plan.lock().unwrap_or_else(PoisonError::into_inner) = plan;
    }

    fn fault(&self, operation: StoreOperation) -> Option<Fault> {
        let mut guard = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let plan = guard.as_mut().filter(|plan| plan.operation == operation)?;
        if plan.spare > 0 {
            plan.spare -= 1;
            return None;
        }
        if plan.failures == 0 {
            return None;
        }
        plan.failures = plan.failures.saturating_sub(1);
        Some(plan.fault)
    }

    async fn check(&self, operation: StoreOperation, location: &str) -> Result<()> {
        match self.fault(operation) {
            None => Ok(()),
            Some(Fault::Stall) => self.stall().await,
            Some(Fault::Full) => Err(full(location)),
            Some(Fault::Refuse | Fault::LoseAnswer) => Err(injected(operation, location)),
        }
    }
}

fn full(location: &str) -> object_store::Error {
    let source =
        std::io::Error::new(std::io::ErrorKind::StorageFull, format!("no room for {location}"));
    object_store::Error::Generic { store: "FailingStore", source: source.into() }
}

fn injected(operation: StoreOperation, location: &str) -> object_store::Error {
    object_store::Error::Generic {
        store: "FailingStore",
        source: format!("{operation:?} of {location} was made to fail").into(),
    }
}

impl fmt::Debug for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FailingStore").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl fmt::Display for FailingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FailingStore({})", self.inner)
    }
}

#[async_trait]
impl ObjectStore for FailingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        match self.fault(StoreOperation::Put) {
            None => self.inner.put_opts(location, payload, options).await,
            Some(Fault::Stall) => self.stall().await,
            Some(Fault::Refuse) => Err(injected(StoreOperation::Put, location.as_ref())),
            Some(Fault::Full) => Err(full(location.as_ref())),
            Some(Fault::LoseAnswer) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(injected(StoreOperation::Put, location.as_ref()))
            }
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.puts.fetch_add(1, Ordering::SeqCst);
        self.check(StoreOperation::Put, location.as_ref()).await?;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.check(StoreOperation::Get, location.as_ref()).await?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.check(StoreOperation::Get, location.as_ref()).await?;
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        match self.fault(StoreOperation::Delete) {
            None => self.inner.delete_stream(locations),
            Some(Fault::Stall) => futures::stream::pending().boxed(),
            Some(_) => locations
                .map(|location| Err(injected(StoreOperation::Delete, location?.as_ref())))
                .boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.fault(StoreOperation::List) {
            None => self.inner.list(prefix),
            Some(Fault::Stall) => futures::stream::pending().boxed(),
            Some(_) => {
                let error =
                    injected(StoreOperation::List, prefix.map(AsRef::as_ref).unwrap_or_default());
                futures::stream::once(async move { Err(error) }).boxed()
            }
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.check(StoreOperation::List, prefix.map(AsRef::as_ref).unwrap_or_default()).await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.check(StoreOperation::Copy, from.as_ref()).await?;
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.check(StoreOperation::Copy, from.as_ref()).await?;
        self.inner.rename_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt as _, memory::InMemory};

    use super::*;

    #[tokio::test]
    async fn the_nth_put_fails_and_only_it() -> anyhow::Result<()> {
        let store = FailingStore::new(Arc::new(InMemory::new()));
        store.fail_once(StoreOperation::Put, 2, Fault::Refuse);
        let outcomes = [
            store.put(&Path::from("a"), "1".into()).await.is_ok(),
            store.put(&Path::from("b"), "2".into()).await.is_ok(),
            store.put(&Path::from("c"), "3".into()).await.is_ok(),
        ];
        assert_eq!(outcomes, [true, false, true]);
        assert_eq!(store.puts(), 3);
        assert!(store.get(&Path::from("b")).await.is_err());
        Ok(())
    }

    #[tokio::test]
    async fn a_lost_answer_leaves_the_object() -> anyhow::Result<()> {
        let store = FailingStore::new(Arc::new(InMemory::new()));
        store.fail_from(StoreOperation::Put, 1, Fault::LoseAnswer);
        assert!(store.put(&Path::from("a"), "1".into()).await.is_err());
        store.heal();
        assert_eq!(store.get(&Path::from("a")).await?.bytes().await?, "1");
        Ok(())
    }
}
