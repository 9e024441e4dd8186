//! Large objects under the snapshot, by all workers.
//!
//! Their numbers are cut into ranges, each with a list and bytes of its own. A range ends at a number that says so itself,
//! so the next backup cuts at the same places whatever was added or removed elsewhere, and what did not change gives the
//! same chunks. Few objects are one range, which stands in the manifest and is read in the session that holds the locks.

mod ranges;

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_store::{ChunkKind, PackStream};
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use self::ranges::{NumberRange, RangeCutter};
use super::run::Context;
use super::worker::import_snapshot;
use crate::catalog::large_object::LargeObjectFacts;
use crate::error::{Error, Result};
use crate::large_object::{ObjectReader, ObjectSink, prefer_the_index};
use crate::manifest::{Content, LargeObject, LargeObjectRange, LargeObjects, Part};
use crate::monitor::Phase;
use crate::part::PartWriter;
use crate::restore::stored_objects::StoredRanges;
use crate::row_hash::LargeObjectHasher;
use crate::session::{self, execute};
use crate::span::{Traced as _, span};

/// Ranges handed out but not yet in the list, for each worker. Bounds what waits for a slow one.
const OUTSTANDING_PER_WORKER: usize = 4;
/// Bytes read between two reports of progress.
const REPORT_BYTES: u64 = 512 * 1024;

/// One range to read.
struct Job {
    /// Place in the list.
    number: u64,
    range: NumberRange,
    previous: Option<LargeObjectRange>,
    /// Given back when the range stands in the list.
    permit: OwnedSemaphorePermit,
}

/// A range that was read.
struct Done {
    number: u64,
    range: LargeObjectRange,
    permit: OwnedSemaphorePermit,
}

type Jobs = Arc<Mutex<mpsc::Receiver<Job>>>;

/// Reads and stores all of them.
pub(super) async fn store(
    context: &Arc<Context>,
    stream: &mut PackStream,
    workers: usize,
) -> Result<LargeObjects> {
    context.reporter.report(Phase::LargeObjects, None);
    let mut cutter = RangeCutter::new(&context.hold.connection).await?;
    let Some(first) = cutter.next().await? else { return Ok(LargeObjects::default()) };
    let mut previous = PreviousRanges::new(context);
    let Some(second) = cutter.next().await? else {
        let earlier = previous.like(first).await;
        let connection = &context.hold.connection;
        prefer_the_index(connection).await?;
        let range = read_range(context, connection, stream, first, earlier).await?;
        let reset = "RESET enable_sort; RESET enable_seqscan; RESET enable_bitmapscan";
        execute(connection, "plan other reads", reset).await?;
        let LargeObjectRange { list, data, content, .. } = range;
        return Ok(LargeObjects { list, data, content, ranges: None });
    };

    let (jobs, job_queue) = mpsc::channel(1);
    let (done, done_queue) = mpsc::channel(workers * OUTSTANDING_PER_WORKER);
    let job_queue: Jobs = Arc::new(Mutex::new(job_queue));
    let mut set = JoinSet::new();
    for number in 0..workers {
        let work = work(Arc::clone(context), Arc::clone(&job_queue), done.clone());
        set.spawn(work.traced(span!("worker", number)));
    }
    // From here on the queues end with those who feed them.
    drop((job_queue, done));
    let watch = async {
        while let Some(ended) = set.join_next().await {
            ended.map_err(|error| Error::Protocol {
                context: "read large objects".to_owned(),
                message: format!("a worker ended: {error}"),
            })??;
        }
        Ok(())
    };
    let permits = Arc::new(Semaphore::new(workers * OUTSTANDING_PER_WORKER));
    let dispatch = async move {
        let (mut number, mut early) = (0, [Some(first), Some(second)].into_iter().flatten());
        loop {
            let range = match early.next() {
                Some(range) => range,
                None => match cutter.next().await? {
                    Some(range) => range,
                    None => return Ok(number),
                },
            };
            let previous = previous.like(range).await;
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return Ok(number) };
            if jobs.send(Job { number, range, previous, permit }).await.is_err() {
                return Ok(number);
            }
            number += 1;
        }
    };
    let collect = collect(context, stream, done_queue);
    let (handed_out, objects, ()) = tokio::try_join!(dispatch, collect, watch)?;
    let stored = objects.ranges.as_ref().map_or(0, |ranges| ranges.items);
    if stored != handed_out {
        let message = format!("{stored} of {handed_out} ranges were read");
        return Err(Error::Protocol { context: "read large objects".to_owned(), message });
    }
    Ok(objects)
}

/// Puts ranges into the list by number, in whatever order they come.
async fn collect(
    context: &Context,
    stream: &mut PackStream,
    mut done: mpsc::Receiver<Done>,
) -> Result<LargeObjects> {
    let previous = context.previous.part(|root| root.large_objects.ranges.as_ref());
    let mut list = PartWriter::with_previous(ChunkKind::RangeList, previous);
    let mut content = Content::default();
    let mut early = BTreeMap::new();
    let mut next = 0;
    while let Some(one) = done.recv().await {
        early.insert(one.number, one);
        while let Some(Done { range, permit, .. }) = early.remove(&next) {
            content.add(range.content);
            list.line(stream, &range).await?;
            drop(permit);
            next += 1;
        }
    }
    let ranges = Some(list.finish(stream).await?);
    Ok(LargeObjects { list: Part::default(), data: Part::default(), content, ranges })
}

/// Reads ranges in a session of its own until there are none.
async fn work(context: Arc<Context>, jobs: Jobs, done: mpsc::Sender<Done>) -> Result<()> {
    let connection = session::open(&context.source).await?;
    import_snapshot(&connection, &context.hold.snapshot_name).await?;
    prefer_the_index(&connection).await?;
    let mut stream = context.writer.stream();
    loop {
        let job = jobs.lock().await.recv().await;
        let Some(Job { number, range, previous, permit }) = job else { break };
        let range = read_range(&context, &connection, &mut stream, range, previous).await?;
        if done.send(Done { number, range, permit }).await.is_err() {
            return Ok(());
        }
    }
    stream.finish().await.map_err(Error::store("store large objects"))
}

async fn read_range(
    context: &Context,
    connection: &tokio_postgres::Client,
    stream: &mut PackStream,
    range: NumberRange,
    previous: Option<LargeObjectRange>,
) -> Result<LargeObjectRange> {
    let (list, data) = previous.map(|range| (range.list, range.data)).unzip();
    let writer = |kind, part: Option<Part>| {
        let previous = part.map(|part| (context.repository.clone(), part));
        PartWriter::with_previous(kind, previous)
    };
    let mut writer = RangeWriter {
        list: writer(ChunkKind::LargeObjectList, list),
        data: writer(ChunkKind::LargeObjectData, data),
        content: Content::default(),
        hasher: None,
        unreported: 0,
        context,
        stream,
    };
    let NumberRange { first, last } = range;
    ObjectReader::new(connection).await?.read(first, last, &mut writer).await?;
    writer.report();
    let RangeWriter { list, data, content, stream, .. } = writer;
    let (list, data) = (list.finish(stream).await?, data.finish(stream).await?);
    Ok(LargeObjectRange { first, last, list, data, content })
}

/// Stores and hashes what is read.
struct RangeWriter<'a> {
    list: PartWriter,
    data: PartWriter,
    content: Content,
    /// Of the object that has begun.
    hasher: Option<LargeObjectHasher>,
    /// Bytes taken and not told yet.
    unreported: u64,
    context: &'a Context,
    stream: &'a mut PackStream,
}

impl RangeWriter<'_> {
    fn report(&mut self) {
        self.context.reporter.add_bytes(std::mem::take(&mut self.unreported));
        self.context.reporter.report(Phase::LargeObjects, None);
    }

    fn begin(&self, oid: u32) -> LargeObjectHasher {
        LargeObjectHasher::new(self.context.repository.row_hash_key(), oid)
    }
}

impl ObjectSink for RangeWriter<'_> {
    async fn take(&mut self, oid: u32, bytes: &[u8]) -> Result<()> {
        let mut hasher = match self.hasher.take() {
            Some(hasher) => hasher,
            None => self.begin(oid),
        };
        hasher.update(bytes);
        self.hasher = Some(hasher);
        self.data.bytes(self.stream, bytes).await?;
        self.unreported += bytes.len() as u64;
        if self.unreported >= REPORT_BYTES {
            self.report();
        }
        Ok(())
    }

    async fn end(&mut self, facts: LargeObjectFacts) -> Result<()> {
        let hasher = self.hasher.take().unwrap_or_else(|| self.begin(facts.oid));
        let content = hasher.finish();
        self.content.add(content);
        let LargeObjectFacts { oid, owner, acl, comment, labels } = facts;
        let bytes = content.text_bytes;
        let object = LargeObject { oid, owner, acl, comment, labels, bytes };
        self.list.line(self.stream, &object).await?;
        self.data.count_item();
        Ok(())
    }
}

/// Ranges of the previous recovery point, walked alongside the new ones.
struct PreviousRanges {
    ranges: Option<StoredRanges>,
    ahead: Option<LargeObjectRange>,
}

impl PreviousRanges {
    fn new(context: &Context) -> Self {
        let objects = context.previous.large_objects();
        let ranges = objects.map(|objects| StoredRanges::new(&context.repository, objects));
        Self { ranges, ahead: None }
    }

    /// The one that holds the beginning of this range, or else some of it. To be asked for in ascending order.
    async fn like(&mut self, range: NumberRange) -> Option<LargeObjectRange> {
        loop {
            if self.ahead.is_none() {
                self.ahead = match self.ranges.as_mut()?.next().await {
                    Ok(ahead) => ahead,
                    Err(error) => {
                        tracing::warn!(%error, "large objects of the previous recovery point can't be read; storing without them");
                        self.ranges = None;
                        None
                    }
                };
            }
            let ahead = self.ahead.as_ref()?;
            if ahead.last >= range.first {
                return (ahead.first <= range.last).then(|| ahead.clone());
            }
            self.ahead = None;
        }
    }
}
