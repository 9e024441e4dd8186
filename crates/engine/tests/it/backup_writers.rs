//! Backups while others write: each restored database is one consistent state, told by promises over its rows.
//!
//! Writers act through sessions that stay open, in parallel and without pause, while one backup after the other is taken and
//! restored. In every other round transactions are open across the snapshot, and end in different phases of the backup. What
//! no snapshot keeps (labels, attributes, names of schemas, restarted sequences) is changed a few times in each round, from a
//! random phase on. `COFFER_TEST_ROUNDS` asks for more rounds, `COFFER_TEST_SEED` for the choices of an earlier run.

mod acts;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use coffer_engine::backup::UnreadOptions;
use coffer_engine::{BackupOptions, BackupRequest, Monitor, Phase, Progress};
use coffer_testkit::PostgresOptions;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::sync::watch;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tokio_util::sync::CancellationToken;

use self::acts::{ACCOUNTS, KINDS, Kind, SETTLE, transfer};
use self::tally::Tally;
use crate::support::{DATABASE, Fixture};

/// Backups taken and restored when nothing else is asked for.
const ROUNDS: u32 = 5;
const WRITERS: u64 = 4;
/// Changes in one round that make a backup begin anew: fewer than its attempts.
const RARE: u32 = 2;

const SCHEMA: &str = include_str!("backup_writers/schema.sql");
const BROKEN: &str = include_str!("backup_writers/broken.sql");

/// When transactions end that were open before the backup began, and how.
const LONG_ONES: [(Phase, &str); 4] = [
    (Phase::Snapshot, "COMMIT"),
    (Phase::Schema, "ROLLBACK"),
    (Phase::Data, "COMMIT"),
    (Phase::Done, "COMMIT"),
];

async fn session(uri: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(uri, NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

/// Whoever draws what is rare uses it up; where there is none left, something else is done.
fn choose(random: &mut StdRng, rare: &AtomicU32) -> &'static Kind {
    let mut at = random.random_range(0..KINDS.iter().map(|kind| kind.weight).sum());
    let kind = KINDS.iter().find(|kind| {
        let here = at < kind.weight;
        at = at.saturating_sub(kind.weight);
        here
    });
    let take = |left: u32| left.checked_sub(1);
    match kind {
        Some(kind)
            if !kind.rare
                || rare.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() =>
        {
            kind
        }
        _ => &KINDS[0],
    }
}

async fn act(
    client: &Client,
    kind: &Kind,
    statements: &[String],
) -> Result<(), tokio_postgres::Error> {
    for statement in statements {
        let said = client.simple_query(statement).await?;
        for message in said {
            if let (SETTLE, SimpleQueryMessage::Row(row)) = (kind.name, message) {
                client.batch_execute(row.get(0).unwrap_or_default()).await?;
            }
        }
    }
    Ok(())
}

/// What can't have its locks in time is given up: others go on.
async fn write_until(
    stop: CancellationToken,
    rare: Arc<AtomicU32>,
    uri: String,
    seed: u64,
    writer: u64,
) -> Tally {
    let client = session(&uri).await;
    let settings = "SET lock_timeout = '100ms'; SET client_min_messages = error";
    client.batch_execute(settings).await.expect("settings");
    let mut random = StdRng::seed_from_u64(seed.wrapping_add(writer));
    let mut tally = Tally::default();
    let mut number = 0;
    while !stop.is_cancelled() {
        let kind = choose(&mut random, &rare);
        let statements = (kind.act)(&mut random, (writer, number));
        let acted = act(&client, kind, &statements).await;
        if acted.is_err() {
            client.batch_execute("ROLLBACK").await.expect("the session");
        }
        tally.count(kind.name, acted);
        number += 1;
    }
    tally
}

/// Tells long transactions where the backup is, and writers when they may do what is rare.
struct Phases {
    now: watch::Sender<Phase>,
    rare: Arc<AtomicU32>,
    rare_from: Phase,
    given: AtomicBool,
}

impl Monitor for Phases {
    fn report(&self, progress: &Progress) {
        if progress.phase == self.rare_from && !self.given.swap(true, Ordering::Relaxed) {
            self.rare.store(RARE, Ordering::Relaxed);
        }
        self.now.send_if_modified(|now| std::mem::replace(now, progress.phase) != progress.phase);
    }
}

/// Half of a transaction now, the other half and its end in a phase of the backup.
async fn stay_open(
    uri: &str,
    round: u32,
    number: usize,
    mut phase: watch::Receiver<Phase>,
) -> tokio::task::JoinHandle<()> {
    let (until, end) = LONG_ONES[number];
    let client = session(uri).await;
    let giver = ACCOUNTS + 2 * u32::try_from(number).expect("a small number");
    let half = transfer(giver, giver + 1, 3).join("; ");
    let name = until.name();
    let begin =
        format!("BEGIN; INSERT INTO long_ones VALUES ({round}, '{name}'); {half}; SAVEPOINT s");
    client.batch_execute(&begin).await.expect("the beginning of a long transaction");
    tokio::spawn(async move {
        let reached = phase.wait_for(|now| *now >= until).await.map(|_| ());
        reached.expect("the backup went on");
        client
            .batch_execute(&format!("{half}; {end}"))
            .await
            .expect("the end of a long transaction");
    })
}

/// Takes a backup and restores it. Returns whether its snapshot was taken more than once, and what is wrong.
async fn round(
    f: &Fixture,
    round: u32,
    random: &mut StdRng,
    rare: &Arc<AtomicU32>,
    previous: &mut Option<String>,
) -> (bool, Vec<String>) {
    let from = [
        Phase::Lock,
        Phase::Compare,
        Phase::Schema,
        Phase::Data,
        Phase::LargeObjects,
        Phase::Lists,
    ];
    let phases = Phases {
        now: watch::Sender::new(Phase::Check),
        rare: Arc::clone(rare),
        rare_from: from[random.random_range(0..from.len())],
        given: AtomicBool::new(false),
    };
    let open = if round.is_multiple_of(2) { LONG_ONES.len() } else { 0 };
    let mut long_ones = Vec::new();
    for number in 0..open {
        let phase = phases.now.subscribe();
        long_ones.push(stay_open(&f.server.uri(DATABASE), round, number, phase).await);
    }
    let request = f.request();
    let unread = UnreadOptions { table_bytes_min: 0, ..UnreadOptions::default() };
    let options = BackupOptions {
        range_bytes: 64 * 1024,
        previous: previous.replace(request.recovery_point_id.clone()),
        unread,
        ..request.options
    };
    let request = BackupRequest { options, ..request };
    let outcome = f.run_with(request, Arc::new(phases), CancellationToken::new()).await;
    let outcome = outcome.expect("a backup");
    for long_one in long_ones {
        long_one.await.expect("a long transaction");
    }
    let retaken = outcome.warnings.iter().any(|warning| warning.code == "SnapshotRetaken");
    let restored = f.restore(f.restore_request(&outcome.recovery_point_id, "copy")).await;
    let restored = restored.expect("a restore");
    let copy = |sql: &str| f.server.psql("copy", sql).expect("a check");
    let mut wrong: Vec<_> =
        copy(BROKEN).lines().map(|line| format!("round {round}: {line}")).collect();
    if !restored.proof.equal {
        wrong.push(format!("round {round}: {:?}", restored.proof));
    }
    // Ended before the backup began: there. Ended after it was sealed, or given up: not.
    let expected = copy(
        "SELECT string_agg(round || ends, ' ' ORDER BY round) FROM long_ones WHERE ends = 'done' OR ends = 'schema'",
    );
    let ended: Vec<_> = (0..round).step_by(2).map(|round| format!("{round}done")).collect();
    if expected != ended.join(" ") {
        wrong.push(format!("round {round}: long transactions {expected}"));
    }
    f.server.psql("postgres", "DROP DATABASE copy").expect("the copy");
    (retaken, wrong)
}

fn asked<T: std::str::FromStr>(variable: &str) -> Option<T> {
    std::env::var(variable).ok().and_then(|value| value.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_backup_is_one_consistent_state() {
    let seed = asked("COFFER_TEST_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let rounds = asked("COFFER_TEST_ROUNDS").unwrap_or(ROUNDS);
    eprintln!("COFFER_TEST_SEED={seed} COFFER_TEST_ROUNDS={rounds}");
    let options = PostgresOptions::default().setting("max_prepared_transactions", "50");
    let f = Fixture::start_with(&options).await;
    f.sql(SCHEMA);
    let (stop, rare) = (CancellationToken::new(), Arc::new(AtomicU32::new(0)));
    let writers: Vec<_> = (1..=WRITERS)
        .map(|writer| {
            let uri = f.server.uri(DATABASE);
            tokio::spawn(write_until(stop.clone(), Arc::clone(&rare), uri, seed, writer))
        })
        .collect();
    let mut random = StdRng::seed_from_u64(seed);
    let (mut retaken, mut wrong) = (0, Vec::new());
    let mut previous = None;
    for number in 0..rounds {
        let (again, found) = round(&f, number, &mut random, &rare, &mut previous).await;
        eprintln!("round {number}: snapshot taken again: {again}, violations: {}", found.len());
        retaken += u32::from(again);
        wrong.extend(found);
    }
    stop.cancel();
    let mut tally = Tally::default();
    for writer in writers {
        tally.add(writer.await.expect("a writer"));
    }
    eprintln!("{tally}");
    eprintln!(
        "{rounds} backups, {} acts done, {retaken} with snapshots taken again, {} violations",
        tally.done(),
        wrong.len()
    );
    assert_eq!(f.sql(BROKEN), "", "the writers themselves");
    assert_eq!(wrong, Vec::<String>::new());
    assert!(tally.done() > u64::from(rounds), "nobody wrote");
    assert!(tally.mistakes().is_empty(), "acts that never could be done: {:?}", tally.mistakes());
}
