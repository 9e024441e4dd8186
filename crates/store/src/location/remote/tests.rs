use std::sync::atomic::{AtomicU32, Ordering};

use object_store::memory::InMemory;

use super::*;

/// A storage in memory whose first calls go wrong.
#[derive(Debug, Default)]
struct Faulty {
    inner: InMemory,
    puts: AtomicU32,
    /// Puts that are answered as S3 does when two of them meet.
    busy_puts: u32,
    /// Whether a put that is answered so was done all the same.
    done: bool,
    /// HEAD has no body, so no code.
    bare_heads: bool,
    /// Nothing is ever answered.
    silent: bool,
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if self.silent {
            std::future::pending::<()>().await;
        }
        if self.puts.fetch_add(1, Ordering::SeqCst) < self.busy_puts {
            if self.done {
                self.inner.put_opts(location, payload, options).await?;
            }
            return Err(Error::AlreadyExists {
                path: location.to_string(),
                source: "409 <Code>ConditionalRequestConflict</Code>".into(),
            });
        }
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.silent {
            std::future::pending::<()>().await;
        }
        let code = if options.head && self.bare_heads { "" } else { "<Code>NoSuchKey</Code>" };
        match self.inner.get_opts(location, options).await {
            Err(Error::NotFound { path, .. }) => {
                Err(Error::NotFound { path, source: format!("404 {code}").into() })
            }
            Ok(mut result) if location.as_ref() == "stalls" => {
                result.payload = GetResultPayload::Stream(stream::pending().boxed());
                Ok(result)
            }
            result => result,
        }
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        if self.silent { stream::pending().boxed() } else { self.inner.list(prefix) }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

fn failure(error: &Error) -> Option<StorageFailure> {
    RemoteFailure::find(error).map(|remote| remote.failure)
}

async fn create(store: &RemoteStore<Faulty>, content: &'static str) -> Result<PutResult> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store.put_opts(&Path::from("a"), content.into(), options).await
}

#[tokio::test(start_paused = true)]
async fn what_the_storage_asks_to_send_again_is_sent_again_and_not_for_ever() {
    let store = RemoteStore::new(Faulty { busy_puts: 2, ..Faulty::default() });
    create(&store, "once").await.unwrap();
    assert_eq!(store.get(&Path::from("a")).await.unwrap().bytes().await.unwrap(), "once");

    let store = RemoteStore::new(Faulty { busy_puts: u32::MAX, ..Faulty::default() });
    let error = create(&store, "never").await.unwrap_err();
    assert!(!matches!(error, Error::AlreadyExists { .. }), "nothing is there: {error}");
    assert_eq!(store.inner.puts.load(Ordering::SeqCst), REMOTE_PUT_ATTEMPTS_MAX);

    // The lost one had arrived: the caller compares the content then.
    let store = RemoteStore::new(Faulty { busy_puts: 1, done: true, ..Faulty::default() });
    assert!(matches!(create(&store, "twice").await, Err(Error::AlreadyExists { .. })));

    // What overwrites is not sent twice: something else may be there by then.
    let store = RemoteStore::new(Faulty { busy_puts: 1, ..Faulty::default() });
    assert!(store.put(&Path::from("a"), "x".into()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_storage_that_never_answers_is_unreachable_in_the_end() {
    let store = RemoteStore::new(Faulty { silent: true, ..Faulty::default() });
    let start = tokio::time::Instant::now();
    let error = store.head(&Path::from("a")).await.unwrap_err();
    assert_eq!(failure(&error), Some(StorageFailure::Unreachable), "{error}");
    let error = store.list(None).next().await.unwrap().unwrap_err();
    assert_eq!(failure(&error), Some(StorageFailure::Unreachable), "{error}");
    assert!(start.elapsed() < ANSWER_MAX * 3, "{:?}", start.elapsed());

    // A pack has the time that a slow line needs for it.
    let start = tokio::time::Instant::now();
    let pack = PutPayload::from(vec![0; 64 << 20]);
    let error = store.put(&Path::from("a"), pack).await.unwrap_err();
    assert_eq!(failure(&error), Some(StorageFailure::Unreachable), "{error}");
    assert_eq!(start.elapsed().as_secs(), 60 + 1024);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stalls_ends_with_an_error() {
    let store = RemoteStore::new(Faulty::default());
    let name = Path::from("stalls");
    store.put(&name, "x".into()).await.unwrap();
    let error = store.get(&name).await.unwrap().bytes().await.unwrap_err();
    assert_eq!(failure(&error), Some(StorageFailure::Unreachable), "{error}");
}

#[tokio::test]
async fn the_reason_that_head_does_not_give_is_asked_for() {
    let store = RemoteStore::new(Faulty { bare_heads: true, ..Faulty::default() });
    let error = store.head(&Path::from("a")).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
}

#[tokio::test]
async fn a_range_beyond_the_end_is_an_error_and_no_panic() {
    let store = RemoteStore::new(Faulty::default());
    let name = Path::from("a");
    store.put(&name, "0123456789".into()).await.unwrap();
    let parts = store.get_ranges(&name, &[0..2, 4..6, 8..10]).await.unwrap();
    assert_eq!(parts, ["01", "45", "89"]);
    for ranges in [[0..2, 8..20], [0..2, 12..20]] {
        assert!(store.get_ranges(&name, &ranges).await.is_err(), "{ranges:?}");
    }
}
