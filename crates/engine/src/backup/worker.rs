//! Workers: each a session on the exported snapshot, reading ranges until there are none.
//!
//! A worker never waits long for a lock. With an ALTER TABLE queued behind our own lock, its request would queue behind
//! that and wait for ever; after [`LOCK_WAIT`] the range goes to the session that holds all the locks already.

use std::sync::Arc;

use coffer_store::PackStream;
use tokio::sync::{Mutex, OwnedSemaphorePermit, mpsc};

use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::manifest::Range;
use crate::session::{self, execute, quote_literal};

use super::dispatcher::{Job, TableWork};
use super::names::read_range;
use super::run::Context;
use super::unchanged::How;

/// How long a worker waits for a table's lock, in the server's notation.
const LOCK_WAIT: &str = "2s";
/// Jobs after which a worker begins another transaction, so that it does not collect locks of thousands of tables.
const JOBS_PER_TRANSACTION: u32 = 200;

/// Ranges to read, shared by all workers.
pub(super) type Jobs = Arc<Mutex<mpsc::Receiver<Job>>>;

/// A range that was read.
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) table: Arc<TableWork>,
    pub(super) index: u64,
    pub(super) range: Range,
    pub(super) how: How,
    pub(super) permit: OwnedSemaphorePermit,
}

impl Done {
    fn new(job: Job, (range, how): (Range, How)) -> Self {
        let Job { number, table, index, permit, .. } = job;
        Self { number, table, index, range, how, permit }
    }
}

/// Reads ranges until there are none; those it can't lock go to `blocked`.
pub(super) async fn work(
    context: Arc<Context>,
    jobs: Jobs,
    blocked: mpsc::Sender<Job>,
    done: mpsc::Sender<Done>,
) -> Result<()> {
    let connection = session::open(&context.source).await?;
    let mut stream = context.writer.stream();
    let mut jobs_left = 0;
    let mut in_transaction = false;
    loop {
        let job = jobs.lock().await.recv().await;
        let Some(job) = job else { break };
        if jobs_left == 0 {
            if in_transaction {
                execute(&connection, "end a transaction", "ROLLBACK").await?;
            }
            import_snapshot(&connection, &context.hold.snapshot_name).await?;
            in_transaction = true;
            jobs_left = JOBS_PER_TRANSACTION;
        }
        jobs_left -= 1;
        match read_range(&context, &connection, &mut stream, &job).await {
            Ok(read) => {
                if done.send(Done::new(job, read)).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) if error.sqlstate() == Some("55P03") => {
                tracing::info!(
                    table = job.table.facts.display_name(),
                    "table is waited for; its range is read elsewhere"
                );
                jobs_left = 0;
                if blocked.send(job).await.is_err() {
                    return Ok(());
                }
            }
            Err(error) => return Err(error),
        }
    }
    finish(stream).await
}

/// Reads, in the session that holds all locks, what workers could not lock.
pub(super) async fn work_on_blocked(
    context: Arc<Context>,
    mut blocked: mpsc::Receiver<Job>,
    done: mpsc::Sender<Done>,
) -> Result<()> {
    // Most backups never need it.
    let Some(mut job) = blocked.recv().await else { return Ok(()) };
    let mut stream = context.writer.stream();
    loop {
        let read = read_range(&context, &context.hold.connection, &mut stream, &job).await?;
        if done.send(Done::new(job, read)).await.is_err() {
            return Ok(());
        }
        match blocked.recv().await {
            Some(next) => job = next,
            None => return finish(stream).await,
        }
    }
}

async fn finish(stream: PackStream) -> Result<()> {
    stream.finish().await.map_err(Error::store("store rows"))
}

/// Begins a transaction on the exported snapshot.
pub(super) async fn import_snapshot(connection: &Connection, name: &str) -> Result<()> {
    let sql = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET TRANSACTION SNAPSHOT {}; \
         SET LOCAL lock_timeout = '{LOCK_WAIT}'",
        quote_literal(name)
    );
    execute(connection, "import the snapshot", &sql).await
}
