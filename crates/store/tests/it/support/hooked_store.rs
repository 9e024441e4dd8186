//! A store that dies at a chosen write, or fails, or lets something else happen, at a chosen call, or has little room.

use std::{
    fmt,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use async_trait::async_trait;
use bytes::Bytes;
use coffer_store::ObjectStore;
use futures::{FutureExt, StreamExt, future::BoxFuture, stream, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStoreExt, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};

/// When the process dies. From that write on nothing more reaches the storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Death {
    /// Before the write reaches the storage.
    Before(usize),
    /// After it is done, before it is acknowledged.
    After(usize),
}

/// See the module.
#[derive(Clone)]
pub(crate) struct HookedStore {
    inner: Arc<dyn ObjectStore>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    death: Option<Death>,
    failure: Option<usize>,
    /// Every call after the failed one fails too.
    for_good: bool,
    read_bytes: AtomicU64,
    writes: AtomicUsize,
    calls: AtomicUsize,
    hook: Mutex<Option<(usize, BoxFuture<'static, ()>)>>,
    room: Mutex<Option<Room>>,
    /// Says every call to the process that started this one.
    says: bool,
    /// Names written and deleted, in order.
    log: Mutex<Vec<String>>,
}

/// A disk that fills up. What is deleted gives nothing back.
#[derive(Debug, Clone, Copy)]
struct Room {
    bytes: u64,
    used: u64,
    /// Bytes with which the first put that did not fit would have fitted.
    missing: Option<u64>,
}

impl Room {
    fn take(&mut self, bytes: u64) -> Result<()> {
        let needed = self.used + bytes;
        if needed > self.bytes {
            self.missing.get_or_insert(needed);
            let source = std::io::Error::new(std::io::ErrorKind::StorageFull, "no room");
            return Err(Error::Generic { store: "HookedStore", source: source.into() });
        }
        self.used = needed;
        Ok(())
    }
}

impl HookedStore {
    /// Dies as told; without a death it only records.
    pub(crate) fn dying(inner: &Arc<dyn ObjectStore>, death: Option<Death>) -> Self {
        Self { inner: Arc::clone(inner), state: Arc::new(State { death, ..State::default() }) }
    }

    /// Says every call, before it is made, to the process that started this one.
    pub(crate) fn saying(inner: &Arc<dyn ObjectStore>) -> Self {
        let state = State { says: true, ..State::default() };
        Self { inner: Arc::clone(inner), state: Arc::new(state) }
    }

    /// Runs `hook` once, right before the call with that number, which is yet to come.
    pub(crate) fn interrupt(&self, call: usize, hook: BoxFuture<'static, ()>) {
        *self.state.hook.lock().unwrap() = Some((call, hook));
    }

    /// Has room for that many bytes; what does not fit is refused as a full disk does it, and what is smaller may still fit.
    pub(crate) fn with_room(inner: &Arc<dyn ObjectStore>, bytes: u64) -> Self {
        let room = Room { bytes, used: 0, missing: None };
        let state = State { room: Mutex::new(Some(room)), ..State::default() };
        Self { inner: Arc::clone(inner), state: Arc::new(state) }
    }

    /// Somebody has made room.
    pub(crate) fn make_room(&self) {
        *self.state.room.lock().unwrap() = None;
    }

    /// The room with which the first write that was refused would have been done, if one was.
    pub(crate) fn missing_room(&self) -> Option<u64> {
        self.state.room.lock().unwrap().and_then(|room| room.missing)
    }

    /// Fails the call with that number, reading or writing, and no other.
    pub(crate) fn failing(inner: &Arc<dyn ObjectStore>, call: usize) -> Self {
        let state = State { failure: Some(call), ..State::default() };
        Self { inner: Arc::clone(inner), state: Arc::new(state) }
    }

    /// Fails the call with that number and all after it: the storage is out of reach from then on.
    pub(crate) fn unreachable_from(inner: &Arc<dyn ObjectStore>, call: usize) -> Self {
        let state = State { failure: Some(call), for_good: true, ..State::default() };
        Self { inner: Arc::clone(inner), state: Arc::new(state) }
    }

    /// Runs `hook` once, right before the call with that number.
    pub(crate) fn interrupted(
        inner: &Arc<dyn ObjectStore>,
        call: usize,
        hook: BoxFuture<'static, ()>,
    ) -> Self {
        let state = State { hook: Mutex::new(Some((call, hook))), ..State::default() };
        Self { inner: Arc::clone(inner), state: Arc::new(state) }
    }

    pub(crate) fn dynamic(&self) -> Arc<dyn ObjectStore> {
        Arc::new(self.clone())
    }

    /// Whether the death or the failure came, or the hook ran.
    pub(crate) fn happened(&self) -> bool {
        if let Some(at) = self.state.failure {
            return self.state.calls.load(Ordering::SeqCst) > at;
        }
        match self.state.death {
            Some(Death::Before(at) | Death::After(at)) => {
                self.state.writes.load(Ordering::SeqCst) > at
            }
            None => self.state.hook.lock().unwrap().is_none(),
        }
    }

    /// What was written and deleted so far, in order.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state.log.lock().unwrap().clone()
    }

    /// Calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.state.calls.load(Ordering::SeqCst)
    }

    /// Bytes asked for in ranges so far.
    pub(crate) fn read_bytes(&self) -> u64 {
        self.state.read_bytes.load(Ordering::SeqCst)
    }

    async fn step(&self) -> Result<()> {
        let call = self.state.calls.fetch_add(1, Ordering::SeqCst);
        if self.state.says {
            super::process::say("call");
        }
        let hook = self.state.hook.lock().unwrap().take_if(|(at, _)| *at == call);
        if let Some((_, hook)) = hook {
            hook.await;
        }
        let fails = match self.state.failure {
            Some(at) if self.state.for_good => call >= at,
            at => at == Some(call),
        };
        if fails { Err(dead()) } else { Ok(()) }
    }

    /// Whether this write is done, and whether it is acknowledged.
    fn write(&self, what: String) -> (bool, bool) {
        let number = self.state.writes.fetch_add(1, Ordering::SeqCst);
        let (done, acknowledged) = match self.state.death {
            None => (true, true),
            Some(Death::Before(at)) => (number < at, number < at),
            Some(Death::After(at)) => (number <= at, number < at),
        };
        if done {
            self.state.log.lock().unwrap().push(what);
        }
        (done, acknowledged)
    }
}

fn dead() -> Error {
    Error::Generic { store: "HookedStore", source: "the process is dead".into() }
}

impl fmt::Debug for HookedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookedStore")
    }
}

impl fmt::Display for HookedStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookedStore")
    }
}

#[async_trait]
impl ObjectStore for HookedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.step().await?;
        if let Some(room) = self.state.room.lock().unwrap().as_mut() {
            room.take(payload.content_length() as u64)?;
        }
        let (done, acknowledged) = self.write(format!("put {location}"));
        if !done {
            return Err(dead());
        }
        let result = self.inner.put_opts(location, payload, options).await;
        if acknowledged { result } else { Err(dead()) }
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        Err(dead())
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.step().await?;
        self.inner.get_opts(location, options).await
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        self.step().await?;
        let bytes = ranges.iter().map(|range| range.end - range.start).sum();
        self.state.read_bytes.fetch_add(bytes, Ordering::SeqCst);
        self.inner.get_ranges(location, ranges).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let this = self.clone();
        locations
            .then(move |location| {
                let this = this.clone();
                async move {
                    let location = location?;
                    this.step().await?;
                    let (done, acknowledged) = this.write(format!("delete {location}"));
                    if !done {
                        return Err(dead());
                    }
                    let result = this.inner.delete(&location).await;
                    if acknowledged { result.map(|()| location) } else { Err(dead()) }
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let (this, prefix) = (self.clone(), prefix.cloned());
        let listed = async move {
            match this.step().await {
                Ok(()) => this.inner.list(prefix.as_ref()),
                Err(error) => stream::once(async { Err(error) }).boxed(),
            }
        };
        stream::once(listed.boxed()).flatten().boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.step().await?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, _: &Path, _: &Path, _: CopyOptions) -> Result<()> {
        Err(dead())
    }
}
