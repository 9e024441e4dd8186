use std::{
    fmt,
    sync::atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStoreExt,
    PutMultipartOptions, PutResult, memory::InMemory,
};

use super::*;

const VAULT: Uuid = Uuid::from_u128(0xa11);

/// What a storage does that it should not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// None: an honest one.
    Honest,
    /// Conditions of writes are ignored.
    Overwrites,
    /// A write whose condition fails is refused, and done.
    OverwritesAndRefuses,
    /// There are no conditional writes.
    NoConditions,
    /// What was written is not found at once.
    Forgets,
    /// Listings are behind.
    DoesNotList,
    /// What was deleted is still read.
    KeepsDeleted,
    /// Every name is taken.
    AlwaysTaken,
    /// It looks whether the name is free, and writes then, so that several at once find it free.
    LooksFirst,
    /// The first write is done, its answer lost, and the request repeated.
    RepeatsFirst,
}

#[derive(Debug)]
struct LyingStore {
    inner: InMemory,
    lie: Lie,
    repeated: AtomicBool,
}

impl fmt::Display for LyingStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

#[async_trait]
impl ObjectStore for LyingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let plain = PutOptions::default();
        let taken = || StorageError::AlreadyExists {
            path: location.to_string(),
            source: "it is there".into(),
        };
        match self.lie {
            Lie::Overwrites => self.inner.put_opts(location, payload, plain).await,
            Lie::OverwritesAndRefuses => {
                let outcome = self.inner.put_opts(location, payload.clone(), options).await;
                if outcome.is_err() {
                    self.inner.put_opts(location, payload, plain).await?;
                }
                outcome
            }
            Lie::LooksFirst => {
                if self.inner.head(location).await.is_ok() {
                    return Err(taken());
                }
                tokio::task::yield_now().await;
                self.inner.put_opts(location, payload, plain).await
            }
            Lie::NoConditions => Err(StorageError::NotImplemented {
                operation: "put".to_owned(),
                implementer: "this one".to_owned(),
            }),
            Lie::AlwaysTaken => Err(taken()),
            Lie::RepeatsFirst if !self.repeated.swap(true, Ordering::SeqCst) => {
                self.inner.put_opts(location, payload, options).await?;
                Err(taken())
            }
            _ => self.inner.put_opts(location, payload, options).await,
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        let absent = self.lie == Lie::Forgets && !options.head;
        if absent {
            return Err(StorageError::NotFound {
                path: location.to_string(),
                source: "not yet".into(),
            });
        }
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        if self.lie == Lie::KeepsDeleted { locations } else { self.inner.delete_stream(locations) }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        if self.lie == Lie::DoesNotList { stream::empty().boxed() } else { self.inner.list(prefix) }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn store(lie: Lie) -> Arc<dyn ObjectStore> {
    Arc::new(LyingStore { inner: InMemory::new(), lie, repeated: AtomicBool::new(false) })
}

#[tokio::test]
async fn a_storage_that_lies_is_refused_with_what_it_did() {
    for (lie, said) in [
        (Lie::Overwrites, "wrote over an object"),
        (Lie::OverwritesAndRefuses, "did it all the same"),
        (Lie::NoConditions, "only if its name is free"),
        (Lie::Forgets, "does not find an object"),
        (Lie::DoesNotList, "does not list"),
        (Lie::KeepsDeleted, "still has an object"),
        (Lie::LooksFirst, "let several write the same object"),
        (Lie::AlwaysTaken, "refused to write an object whose name is free"),
    ] {
        let store = store(lie);
        let error = probe(&store, VAULT).await.unwrap_err();
        assert!(matches!(error, Error::UnsuitableStorage { .. }), "{lie:?}: {error}");
        assert!(error.to_string().contains(said), "{lie:?}: {error}");
        assert!(!error.is_transient(), "{lie:?}");
        if !matches!(lie, Lie::KeepsDeleted | Lie::DoesNotList) {
            assert!(store.list(None).next().await.is_none(), "{lie:?} left something");
        }
    }
}

#[tokio::test]
async fn honest_storages_pass_and_nothing_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let url = url::Url::from_file_path(directory.path()).unwrap();
    for store in
        [store(Lie::Honest), store(Lie::RepeatsFirst), crate::open_location(url.as_str()).unwrap()]
    {
        probe(&store, VAULT).await.unwrap();
        let left: Vec<_> = store.list(None).try_collect().await.unwrap();
        assert!(left.is_empty(), "{left:?}");
    }
}

#[tokio::test]
async fn probes_at_once_do_not_disturb_each_other_and_what_one_left_is_cleared() {
    let store = store(Lie::Honest);
    // A process died in the middle of this one.
    let left = path::probes(VAULT).join(Uuid::from_u128(7).to_string());
    store.put(&left, "probe".into()).await.unwrap();
    let probes = (0..16).map(|_| probe(&store, VAULT));
    futures::future::try_join_all(probes).await.unwrap();
    assert_eq!(clear_probes(&store, VAULT).await.unwrap(), 1);
    assert!(store.list(None).next().await.is_none());
}
