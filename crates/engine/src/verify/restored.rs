//! The deepest verification: a recovery point is restored into a database that is compared with it and dropped again; that
//! of a server database by database.
//!
//! It shows what no reading of bytes can: that the servers and tools of today make of them what was backed up. It is a restore
//! that never gives a name, so whatever happens no database is left that could be taken for the restored one. Owners and
//! privileges are left out, as roles belong to the server and would stay behind.
//!
//! Each run holds an advisory lock of its database's name for as long as it lives. A database of a scratch name whose lock is
//! free was left by a run that was killed, and the next run drops it, whichever recovery point it is of.

use std::path::PathBuf;
use std::sync::Arc;

use coffer_store::Repository;
use tokio_util::sync::CancellationToken;

use crate::connect::{ConnectOptions, Connection};
use crate::error::{Error, Result};
use crate::manifest::{DatabaseEntry, NotProved, Root, ServerManifest};
use crate::monitor::Monitor;
use crate::proof::{Difference, Proof};
use crate::restore::temporary::open_maintenance;
use crate::restore::{
    RestoreOptions, RestoreOutcome, RestoreRequest, RoleMap, RoleMode, drop_temporary_database,
    prove_and_drop, unless_cancelled,
};
use crate::root::{WARNINGS_MAX, describe_root, list_databases, of_database};
use crate::selection::Selection;
use crate::span::{Traced as _, span};
use crate::tools::Tools;

/// Start of the names of databases that exist for a verification only. It begins with [`crate::TEMPORARY_PREFIX`].
pub const SCRATCH_PREFIX: &str = "coffer_restore_verify_";

/// Databases of killed runs that one run drops.
const LEFT_BEHIND_MAX: i64 = 64;

/// First key of the advisory locks, so that those of others are not met by chance. The second is a hash of the name.
const LOCK_SPACE: i32 = 0x00C0_FFE7;

/// What to restore on which server for the sake of the comparison.
#[derive(Debug, Clone)]
pub struct ScratchRequest {
    /// The server, and a role that may create databases. Which database is named does not matter.
    pub server: ConnectOptions,
    /// Where `pg_restore` is.
    pub tools: Tools,
    /// 32 hexadecimal digits.
    pub recovery_point_id: String,
    /// Sessions that write or read rows at the same time.
    pub workers: usize,
    /// Directory for the archive of the schema meanwhile; made when absent.
    pub work_dir: PathBuf,
}

/// Restores a recovery point into a database of a temporary name, compares it with the recovery point by row counts and content
/// hashes, and drops it, whatever the result. Also drops what killed runs have left on the server.
///
/// # Errors
/// As [`crate::restore_database`], above all [`Error::ProofFailed`] with the differences and [`Error::Store`] for what can't be
/// read; [`Error::Unsupported`] (`ScratchInUse`) while another run verifies the same recovery point on that server.
pub async fn verify_by_restore(
    request: ScratchRequest,
    repository: &Repository,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<RestoreOutcome> {
    let span = span!("verify", recovery_point = request.recovery_point_id);
    restore_and_drop(request, repository, monitor, cancel).traced(span).await
}

async fn restore_and_drop(
    request: ScratchRequest,
    repository: &Repository,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<RestoreOutcome> {
    let name = format!("{SCRATCH_PREFIX}{}", request.recovery_point_id);
    let held = unless_cancelled(&cancel, Held::take(&request.server, &name)).await?;
    let root = describe_root(repository, &request.recovery_point_id);
    let proved = match unless_cancelled(&cancel, root).await? {
        Root::Database(_) => one(&request, &name, None, repository, monitor, cancel).await,
        Root::Server(root) => all(&request, &name, &root, repository, monitor, cancel).await,
    };
    drop(held);
    proved
}

/// Every database of a server, one after the other in the same place.
async fn all(
    request: &ScratchRequest,
    name: &str,
    root: &ServerManifest,
    repository: &Repository,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<RestoreOutcome> {
    let databases = unless_cancelled(&cancel, list_databases(repository, root)).await?;
    let mut sum =
        RestoreOutcome { proof: Proof::default(), warnings: Vec::new(), rows: 0, bytes: 0 };
    for DatabaseEntry { name: database, .. } in databases {
        let (monitor, cancel) = (Arc::clone(&monitor), cancel.clone());
        let proved = one(request, name, Some(database.clone()), repository, monitor, cancel).await;
        let RestoreOutcome { proof, warnings, rows, bytes } =
            proved.map_err(|error| in_database(&database, error))?;
        sum.proof.tables += proof.tables;
        sum.proof.rows += proof.rows;
        sum.proof.not_proved.extend(proof.not_proved.into_iter().map(|not| NotProved {
            object: format!("{} of database {database}", not.object),
            ..not
        }));
        let room = WARNINGS_MAX.saturating_sub(sum.warnings.len());
        sum.warnings.extend(warnings.iter().take(room).map(|told| of_database(&database, told)));
        sum.rows += rows;
        sum.bytes += bytes;
    }
    sum.proof.equal = true;
    Ok(sum)
}

/// Says which database differs or failed.
fn in_database(database: &str, error: Error) -> Error {
    match error {
        Error::Cancelled => Error::Cancelled,
        Error::ProofFailed { differences } => Error::ProofFailed {
            differences: differences
                .into_iter()
                .map(|difference| Difference {
                    object: format!("{} of database {database}", difference.object),
                    ..difference
                })
                .collect(),
        },
        source => Error::InDatabase { database: database.to_owned(), source: Box::new(source) },
    }
}

async fn one(
    request: &ScratchRequest,
    name: &str,
    database: Option<String>,
    repository: &Repository,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<RestoreOutcome> {
    let restore = RestoreRequest {
        target: request.server.clone(),
        database: name.to_owned(),
        temporary_database: name.to_owned(),
        tools: request.tools.clone(),
        recovery_point_id: request.recovery_point_id.clone(),
        options: RestoreOptions {
            workers: request.workers,
            roles: RoleMode::Ignore,
            ..RestoreOptions::default()
        },
        selection: Selection { database, ..Selection::default() },
        role_map: RoleMap::default(),
        work_dir: request.work_dir.clone(),
    };
    Box::pin(prove_and_drop(restore, repository, monitor, cancel)).await
}

/// The session that holds the name. Should it be lost, another run may drop the database, by which this one fails.
struct Held {
    _session: Connection,
}

impl Held {
    /// Takes the name and clears away what killed runs have left, under this name and others.
    async fn take(server: &ConnectOptions, name: &str) -> Result<Self> {
        let session = open_maintenance(server).await?;
        if !try_lock(&session, name).await? {
            let message =
                format!("another run verifies the same recovery point on this server, in {name:?}");
            return Err(Error::Unsupported { code: "ScratchInUse", message });
        }
        drop_temporary_database(server, name).await?;
        for left in left_behind(&session).await? {
            if !try_lock(&session, &left).await? {
                continue;
            }
            match drop_temporary_database(server, &left).await {
                Ok(()) => {
                    tracing::info!(database = left, "dropped what a killed verification left");
                }
                // Another role's, perhaps. It is in the way of nothing but the disk.
                Err(error) => {
                    tracing::warn!(database = left, %error, "what a killed verification left can't be dropped");
                }
            }
            unlock(&session, &left).await?;
        }
        Ok(Self { _session: session })
    }
}

async fn left_behind(session: &Connection) -> Result<Vec<String>> {
    let statement = "SELECT datname::text FROM pg_catalog.pg_database \
         WHERE pg_catalog.left(datname::text, pg_catalog.length($1::text)) = $1::text ORDER BY 1 LIMIT $2";
    let found = session.query(statement, &[&SCRATCH_PREFIX, &LEFT_BEHIND_MAX]).await;
    let found = found.map_err(|e| Error::sql("look for databases of killed runs", &e))?;
    Ok(found.iter().map(|row| row.get(0)).collect())
}

async fn try_lock(session: &Connection, name: &str) -> Result<bool> {
    let statement = "SELECT pg_catalog.pg_try_advisory_lock($1, pg_catalog.hashtext($2::text))";
    let row = session.query_one(statement, &[&LOCK_SPACE, &name]).await;
    Ok(row.map_err(|e| Error::sql("lock the name of a scratch database", &e))?.get(0))
}

async fn unlock(session: &Connection, name: &str) -> Result<()> {
    let statement = "SELECT pg_catalog.pg_advisory_unlock($1, pg_catalog.hashtext($2::text))";
    let row = session.query_one(statement, &[&LOCK_SPACE, &name]).await;
    row.map(drop).map_err(|e| Error::sql("unlock the name of a scratch database", &e))
}
