//! The session that holds a backup together: every table's `ACCESS SHARE` lock, then the exported snapshot.
//!
//! Locks come first and the snapshot after, in one transaction: LOCK TABLE takes no snapshot, so the snapshot is younger
//! than every lock. A table that was locked can't be truncated or rewritten any more, and one that had been was finished
//! before. Only tables that appeared after the list was read are still without a lock; they are locked late, and if one of
//! them was rewritten meanwhile, or a name meant another table when it was locked, the snapshot is thrown away and taken
//! again.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use crate::catalog::database::{self, Server};
use crate::catalog::definitions;
use crate::catalog::relation::{self, Lockable};
use crate::catalog::{get, one_row};
use crate::connect::{ConnectOptions, Connection};
use crate::error::{Error, Result};
use crate::manifest::Source;
use crate::monitor::Phase;
use crate::session::{self, execute};

use super::reporter::Reporter;

/// Tables named by one LOCK statement.
const LOCK_BATCH: usize = 500;
/// How often a session that waits for other work looks whether it still has its server.
const LOST_POLL: Duration = Duration::from_secs(1);
/// How long a range waits for the indexes of its table, in the server's notation.
const INDEX_LOCK_WAIT: &str = "6h";
/// Snapshots thrown away because of a rewrite, per backup.
const SNAPSHOTS_MAX: u32 = 10;

/// Locks and snapshot, held as long as this lives.
pub(super) struct Hold {
    pub(super) connection: Connection,
    /// What workers import.
    pub(super) snapshot_name: String,
    /// `pg_current_snapshot()`.
    pub(super) xid_snapshot: String,
    /// Time of the snapshot by the server's clock.
    pub(super) taken_at_unix_us: i64,
    /// Where the log ended after the snapshot was taken.
    pub(super) insert_lsn: String,
    /// Snapshots that were thrown away before.
    pub(super) retaken: u32,
}

/// Takes locks and snapshot.
///
/// A lock that is not granted in time is [`Error::Sql`] 55P03; the caller lets go of everything and tries again.
pub(super) async fn take(
    options: &ConnectOptions,
    server: &Server,
    lock_timeout: Duration,
    reporter: &Reporter,
) -> Result<Hold> {
    let connection = session::open(options).await?;
    let mut relations = Vec::new();
    for attempt in 0..SNAPSHOTS_MAX {
        match snapshot(&connection, server, lock_timeout, reporter).await? {
            Attempt::Good(taken) => {
                let Taken { snapshot_name, xid_snapshot, taken_at_unix_us, insert_lsn } = taken;
                return Ok(Hold {
                    connection,
                    snapshot_name,
                    xid_snapshot,
                    taken_at_unix_us,
                    insert_lsn,
                    retaken: attempt,
                });
            }
            Attempt::Rewritten(found) => {
                tracing::info!(
                    ?found,
                    "tables were rewritten while the snapshot was taken; taking another"
                );
                relations = found;
                execute(&connection, "let go of the snapshot", "ROLLBACK").await?;
            }
        }
    }
    Err(Error::SnapshotRace { attempts: SNAPSHOTS_MAX, relations })
}

impl Hold {
    /// The result of work that goes by this snapshot but talks to the server by itself: it is not waited for, and not
    /// blamed, when it is this session that was lost.
    pub(super) async fn unless_lost<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let lost = async {
            while !self.connection.is_closed() {
                tokio::time::sleep(LOST_POLL).await;
            }
        };
        let worked = tokio::select! {
            worked = work => worked,
            () = lost => Err(Error::ConnectionLost { message: "hold the snapshot".to_owned() }),
        };
        if worked.is_err() {
            execute(&self.connection, "hold the snapshot", "SELECT").await?;
        }
        worked
    }

    /// Fails when this session is on another server than the one that was examined: behind an address that moves, one may be the
    /// primary that was, and the other the one that took over. What identifies the source would not be of its rows then, and the next
    /// backup would rely on it.
    pub(super) async fn same_server(&self, examined: &Source) -> Result<()> {
        let (system_identifier, started) = database::incarnation(&self.connection).await?;
        if system_identifier == examined.system_identifier
            && started == examined.postmaster_start_unix_us
        {
            return Ok(());
        }
        Err(Error::ConnectionLost {
            message: "the sessions of this backup reached different servers".to_owned(),
        })
    }

    /// Fails with [`Error::SnapshotRace`] when definitions that `pg_dump` reads changed since the snapshot.
    pub(super) async fn same_definitions(&self, free: &Connection) -> Result<()> {
        let relations = definitions::changed(&self.connection, free).await?;
        if relations.is_empty() {
            return Ok(());
        }
        Err(Error::SnapshotRace { attempts: 1, relations })
    }

    /// Fails with [`Error::SnapshotRace`] when types changed since the snapshot so that their values are written in another
    /// way: no lock on a table keeps the labels of its enums, or the attributes of its composites, as they are.
    pub(super) async fn same_values(&self, free: &Connection) -> Result<()> {
        let relations = definitions::changed_values(&self.connection, free).await?;
        if relations.is_empty() {
            return Ok(());
        }
        Err(Error::SnapshotRace { attempts: 1, relations })
    }

    /// From here on waits for a lock as long as it takes. The tables are locked already, but who plans a range opens their
    /// indexes too, and a REINDEX keeps these to itself until it is done. Nobody waits behind us meanwhile.
    pub(super) async fn be_patient(&self) -> Result<()> {
        let sql = format!("SET LOCAL lock_timeout = '{INDEX_LOCK_WAIT}'");
        execute(&self.connection, "wait for locks of indexes", &sql).await
    }
}

enum Attempt {
    Good(Taken),
    Rewritten(Vec<String>),
}

struct Taken {
    snapshot_name: String,
    xid_snapshot: String,
    taken_at_unix_us: i64,
    insert_lsn: String,
}

async fn snapshot(
    connection: &Connection,
    server: &Server,
    lock_timeout: Duration,
    reporter: &Reporter,
) -> Result<Attempt> {
    let listed = relation::lockables(connection).await?;
    reporter.report(Phase::Lock, None);
    let begin = format!(
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SET LOCAL lock_timeout = {}",
        lock_timeout.as_millis().max(1)
    );
    execute(connection, "begin the transaction of the snapshot", &begin).await?;
    if let Err(error) = lock(connection, &listed).await {
        return rewritten_or(connection, error).await;
    }
    reporter.report(Phase::Snapshot, None);
    let row = one_row(
        connection,
        "the snapshot",
        "SELECT pg_export_snapshot(), txid_current_snapshot()::text, (extract(epoch FROM clock_timestamp()) * 1000000)::int8",
        &[],
    )
    .await?;
    let insert_lsn = database::insert_lsn(connection, server.in_recovery).await?;
    let taken = Taken {
        snapshot_name: get(&row, 0)?,
        xid_snapshot: get(&row, 1)?,
        taken_at_unix_us: get(&row, 2)?,
        insert_lsn,
    };
    reporter.report(Phase::Compare, None);
    let locked: HashSet<Lockable> = listed.into_iter().collect();
    let late: Vec<_> = relation::lockables(connection)
        .await?
        .into_iter()
        .filter(|table| !locked.contains(table))
        .collect();
    if let Err(error) = lock(connection, &late).await {
        return rewritten_or(connection, error).await;
    }
    let rewritten = relation::rewritten(connection).await?;
    Ok(if rewritten.is_empty() { Attempt::Good(taken) } else { Attempt::Rewritten(rewritten) })
}

/// A table dropped or renamed since it was listed only means that the list has to be read again.
async fn rewritten_or(connection: &Connection, error: Error) -> Result<Attempt> {
    match error.sqlstate() {
        Some("42P01" | "3F000" | "42809") => {
            let Error::Sql { message, .. } = error else {
                return Ok(Attempt::Rewritten(Vec::new()));
            };
            Ok(Attempt::Rewritten(vec![message]))
        }
        Some("53200") => {
            execute(connection, "let go of the locks", "ROLLBACK").await?;
            Err(too_many_tables())
        }
        _ => Err(error),
    }
}

/// With all our locks, the tool's own and everybody else's, the server has no room for another.
pub(super) fn too_many_tables() -> Error {
    Error::Unsupported {
        code: "TooManyTables",
        message: "the server's lock table is too small for all tables of the database; raise max_locks_per_transaction"
            .to_owned(),
    }
}

async fn lock(connection: &Connection, tables: &[Lockable]) -> Result<()> {
    for batch in tables.chunks(LOCK_BATCH) {
        // ONLY: partitions and children are listed by themselves.
        let names: Vec<_> =
            batch.iter().map(|table| format!("ONLY {}", table.sql_name())).collect();
        execute(
            connection,
            "lock tables",
            &format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", ")),
        )
        .await?;
    }
    Ok(())
}

/// Counts attempts that failed for want of a lock, because definitions changed under them, or because a standby could not
/// keep what they read.
pub(super) struct LockRetry {
    in_recovery: bool,
    attempts: u32,
    left: u32,
    started: Instant,
    /// Attempts that failed because something changed under them.
    pub(super) races: u32,
}

/// What a standby says when it ends a query, so that what its primary did can be done there too.
pub(super) const RECOVERY_CONFLICT: &str = "40001";
/// Pause before the next attempt: whoever waited behind us goes first.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

impl LockRetry {
    /// A standby may end the session that holds the snapshot: there that is a reason to try again as well.
    pub(super) fn new(attempts: u32, in_recovery: bool) -> Self {
        Self { in_recovery, attempts, left: attempts, started: Instant::now(), races: 0 }
    }

    /// Waits before the next attempt, or returns the error when there is none or another attempt would not help.
    pub(super) async fn pause(&mut self, error: Error) -> Result<()> {
        let message = match &error {
            Error::Sql { sqlstate, message, .. } if sqlstate == "55P03" => message.clone(),
            Error::Sql { sqlstate, message, .. } if sqlstate == RECOVERY_CONFLICT => {
                message.clone()
            }
            Error::ConnectionLost { message } if self.in_recovery => message.clone(),
            Error::LockTimeout { message, .. } => message.clone(),
            Error::SnapshotRace { attempts: 1, .. } => error.to_string(),
            _ => return Err(error),
        };
        self.left = self.left.saturating_sub(1);
        if self.left == 0 {
            if let Error::SnapshotRace { relations, .. } = error {
                return Err(Error::SnapshotRace { attempts: self.attempts, relations });
            }
            if error.sqlstate() == Some(RECOVERY_CONFLICT)
                || matches!(error, Error::ConnectionLost { .. })
            {
                return Err(error);
            }
            let waited_ms = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
            return Err(Error::LockTimeout { waited_ms, message });
        }
        self.races += u32::from(matches!(error, Error::SnapshotRace { .. }));
        tracing::info!(
            message,
            left = self.left,
            "no locks in time, definitions changed, or the standby could not wait; letting go and trying again"
        );
        tokio::time::sleep(RETRY_PAUSE).await;
        Ok(())
    }
}
