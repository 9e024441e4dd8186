//! Sessions that write until they are told to stop, on whatever server is there.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};
use tokio_util::sync::CancellationToken;

use super::acts::{self, Act, Moment};

const WRITERS: u64 = 5;
/// How long a server may be away.
const AWAY_LIMIT: Duration = Duration::from_secs(120);

/// What all of them know.
#[derive(Debug)]
pub(super) struct Shared {
    seed: u64,
    stop: CancellationToken,
    /// Backups so far.
    pub(super) round: AtomicU32,
    pub(super) acts: AtomicU64,
    /// Transactions that were prepared in one round and ended in another.
    pub(super) prepared_across: AtomicU64,
    /// One at a time, so that what is written after it can be taken over some day.
    is_prepared: AtomicU32,
    uri: watch::Sender<String>,
}

/// All writers.
#[derive(Debug)]
pub(super) struct Writers {
    pub(super) shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
}

impl Writers {
    pub(super) fn start(seed: u64, uri: String) -> Self {
        let shared = Arc::new(Shared {
            seed,
            stop: CancellationToken::new(),
            round: AtomicU32::new(0),
            acts: AtomicU64::new(0),
            prepared_across: AtomicU64::new(0),
            is_prepared: AtomicU32::new(0),
            uri: watch::Sender::new(uri),
        });
        let tasks =
            (1..=WRITERS).map(|writer| tokio::spawn(Arc::clone(&shared).write(writer))).collect();
        Self { shared, tasks }
    }

    /// From here on they write there.
    pub(super) fn go_to(&self, uri: String) {
        self.shared.uri.send_replace(uri);
    }

    pub(super) async fn stop(self) -> Arc<Shared> {
        self.shared.stop.cancel();
        for task in self.tasks {
            task.await.expect("a writer");
        }
        self.shared
    }
}

/// A transaction that was left prepared.
struct Prepared {
    name: String,
    since: u32,
    until: u32,
}

impl Shared {
    async fn write(self: Arc<Self>, writer: u64) {
        let mut random = StdRng::seed_from_u64(self.seed.wrapping_mul(31).wrapping_add(writer));
        let mut client = self.connect().await;
        let mut prepared = None;
        let mut number = 0;
        while !self.stop.is_cancelled() {
            number += 1;
            let moment = Moment { writer, number, round: self.round.load(Ordering::Relaxed) };
            let act = self.next(&mut random, moment, &mut prepared);
            if run(&client, &act).await {
                self.acts.fetch_add(1, Ordering::Relaxed);
            } else if client.is_closed() || client.batch_execute("ROLLBACK").await.is_err() {
                client = self.connect().await;
            }
        }
    }

    fn next(&self, random: &mut StdRng, moment: Moment, open: &mut Option<Prepared>) -> Act {
        if let Some(prepared) = open.take_if(|prepared| prepared.until <= moment.round) {
            self.is_prepared.store(0, Ordering::Relaxed);
            self.prepared_across
                .fetch_add(u64::from(prepared.since < moment.round), Ordering::Relaxed);
            let end = if random.random() { "COMMIT" } else { "ROLLBACK" };
            // After a crash it may be none.
            return vec![format!("{end} PREPARED '{}'", prepared.name)];
        }
        // In calm times it has ended.
        let lasts = random.random_range(2..4);
        let may_prepare = open.is_none()
            && !(0..lasts).any(|later| super::is_calm(moment.round + later))
            && random.random_ratio(1, 10);
        if may_prepare && self.is_prepared.swap(1, Ordering::Relaxed) == 0 {
            let name = format!("left{}_{}", moment.writer, moment.number);
            let act = acts::leave_prepared(random, moment, &name);
            let until = moment.round + lasts;
            *open = Some(Prepared { name, since: moment.round, until });
            return act;
        }
        acts::act(random, moment)
    }

    /// A session on the server that is there, as soon as there is one.
    async fn connect(&self) -> Client {
        let deadline = Instant::now() + AWAY_LIMIT;
        loop {
            let uri = self.uri.borrow().clone();
            match tokio_postgres::connect(&uri, NoTls).await {
                Ok((client, connection)) => {
                    tokio::spawn(connection);
                    let settings = "SET lock_timeout = '200ms'; SET client_min_messages = error";
                    if client.batch_execute(settings).await.is_ok() {
                        return client;
                    }
                }
                Err(error) => assert!(Instant::now() < deadline, "no server: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// Whether all of it was done.
async fn run(client: &Client, act: &Act) -> bool {
    for statement in act {
        if client.simple_query(statement).await.is_err() {
            return false;
        }
    }
    true
}
