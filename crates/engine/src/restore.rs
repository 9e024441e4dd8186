//! Restoring a recovery point as a database.
//!
//! The order is the promise. Everything that can be checked is checked before the first write. Then a database under a
//! temporary name is made, filled, given its indexes and constraints, and compared with the manifest: row counts and content
//! hashes of every table, positions of sequences, large objects. Only an equal one gets its name, in one transaction with its
//! owner, privileges and settings. Whatever fails or is cancelled before that is dropped, and whoever takes over after a crash
//! calls [`drop_temporary_database`]: nothing that looks like the database is left.
//!
//! What may not be done here: write to a database that this module did not make, or leave out an error of `pg_restore`.

pub(crate) mod acl;
pub(crate) mod compare;
mod context;
pub(crate) mod expected;
mod finish;
mod identity;
mod large_objects;
mod large_row;
mod load;
mod owners;
mod pg_restore_log;
mod positions;
mod post_data;
mod preflight;
mod prove;
pub(crate) mod ranges;
mod refresh;
pub(crate) mod role_map;
mod roles;
#[cfg(test)]
pub(crate) mod sample;
pub(crate) mod schema;
pub(crate) mod settings;
pub(crate) mod stored_objects;
mod target;
pub(crate) mod temporary;
pub(crate) mod workers;

use std::path::PathBuf;
use std::sync::Arc;

use coffer_store::Repository;
use tokio_util::sync::CancellationToken;

use self::context::Context;
pub use self::identity::database_oid;
pub use self::large_row::COPY_ROW_BYTES_MAX;
pub use self::preflight::{Preflight, restore_preflight};
pub use self::role_map::{ROLE_MAP_MAX, RoleMap};
pub use self::temporary::{TEMPORARY_PREFIX, drop_temporary_database};
use crate::connect::ConnectOptions;
use crate::error::{Error, Result};
use crate::files::toc::Toc;
use crate::manifest::Warning;
use crate::monitor::{Monitor, Phase};
use crate::proof::Proof;
use crate::selection::Selection;
use crate::span::{Traced as _, span};
use crate::tools::Tools;

/// What to restore where.
#[derive(Debug, Clone)]
pub struct RestoreRequest {
    /// The server, and a role that may create databases. Which database is named does not matter.
    pub target: ConnectOptions,
    /// Name of the database to make; it must be free.
    pub database: String,
    /// Name under which it is made: [`TEMPORARY_PREFIX`], then lower-case letters, digits and underscores, at most 63
    /// characters in all. A database of this name is taken for the rest of an earlier attempt and dropped.
    pub temporary_database: String,
    /// Where `pg_restore` is.
    pub tools: Tools,
    /// 32 hexadecimal digits.
    pub recovery_point_id: String,
    /// How.
    pub options: RestoreOptions,
    /// What of it.
    pub selection: Selection,
    /// Roles that have another name in the target.
    pub role_map: RoleMap,
    /// Directory for the archive of the schema while the restore runs; made when absent.
    pub work_dir: PathBuf,
}

/// How a database is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RestoreOptions {
    /// Sessions that write or read rows at the same time.
    pub workers: usize,
    /// Owners and privileges.
    pub roles: RoleMode,
    /// Bytes of text of a row from which on it is not given to the server in one line. [`COPY_ROW_BYTES_MAX`] unless there is
    /// a reason; no server takes twice that.
    pub copy_row_bytes_max: u64,
    /// As [`crate::BackupOptions::large_row_bytes`], for reading back.
    pub large_row_bytes: u64,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self {
            workers: 4,
            roles: RoleMode::CreateMissing,
            copy_row_bytes_max: COPY_ROW_BYTES_MAX,
            large_row_bytes: crate::LARGE_ROW_BYTES,
        }
    }
}

/// What happens to owners and privileges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RoleMode {
    /// Missing roles are made without login and password where the restoring role may; what still can't be given to a role
    /// stays with the restoring role, with a warning.
    CreateMissing,
    /// Everything belongs to the restoring role; no privileges are granted.
    Ignore,
}

/// A restored database, equal to its recovery point as far as could be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RestoreOutcome {
    /// What was compared.
    pub proof: Proof,
    /// What a person should know: the restore is complete, but not in every attribute.
    pub warnings: Vec<Warning>,
    /// Rows written.
    pub rows: u64,
    /// Bytes of COPY text and large objects written.
    pub bytes: u64,
}

/// Restores a recovery point into a new database.
///
/// # Errors
/// Before anything is written: [`Error::LowerVersion`], [`Error::TargetExists`], [`Error::ToolMissing`],
/// [`Error::Preflight`] with all that is in the way. Later: [`Error::Tool`] when objects could not be made,
/// [`Error::ProofFailed`] with the differences, [`Error::Cancelled`], [`Error::Sql`] and failures of connection or store. After
/// each of these the temporary database was dropped, or is dropped by [`drop_temporary_database`] when the server could not
/// be reached.
pub async fn restore_database(
    request: RestoreRequest,
    repository: &Repository,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<RestoreOutcome> {
    let span = span!("restore", recovery_point = request.recovery_point_id);
    restore_and_name(request, repository, monitor, cancel).traced(span).await
}

async fn restore_and_name(
    request: RestoreRequest,
    repository: &Repository,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<RestoreOutcome> {
    let (context, restored) = restore_unnamed(request, repository, monitor, &cancel).await?;
    // From here on it is too late to cancel, unless others are in the way: the name is given or it is not.
    let named = match restored {
        Ok(proof) => context.give_name(&cancel).traced(span!("name")).await.map(|()| proof),
        Err(error) => Err(error),
    };
    match named {
        Ok(proof) => {
            context.report(Phase::Done, None);
            Ok(context.outcome(proof))
        }
        Err(error) => {
            context.drop_what_was_made().await;
            Err(error)
        }
    }
}

/// Restores and proves as [`restore_database`] does, and drops the database instead of giving it a name, whatever the result.
pub(crate) async fn prove_and_drop(
    request: RestoreRequest,
    repository: &Repository,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<RestoreOutcome> {
    let (context, proved) = restore_unnamed(request, repository, monitor, &cancel).await?;
    if !context.drop_what_was_made().await {
        let name = &context.request.temporary_database;
        context.warn("ScratchDatabaseLeft", format!("database {name:?} could not be dropped"));
    }
    let proof = proved?;
    context.report(Phase::Done, None);
    Ok(context.outcome(proof))
}

/// Restores and proves under the temporary name. The caller gives the database its name or drops it.
///
/// # Errors
/// Of what comes before the first write; what comes after is the second of the pair.
async fn restore_unnamed(
    mut request: RestoreRequest,
    repository: &Repository,
    monitor: Arc<dyn Monitor>,
    cancel: &CancellationToken,
) -> Result<(Arc<Context>, Result<Proof>)> {
    request.target = request.target.for_run();
    let running = request.target.running().clone();
    let prepare = Context::prepare(request, repository, monitor);
    let prepare = Box::pin(prepare.traced(span!("check")));
    let prepared = unless_cancelled(cancel, prepare).await;
    if prepared.is_err() {
        running.ended().await;
    }
    let (context, toc) = prepared?;
    let restored = unless_cancelled(cancel, Box::pin(Arc::clone(&context).restore(toc))).await;
    Ok((context, restored))
}

impl Context {
    /// Everything up to the proof, in the database of the temporary name.
    async fn restore(self: Arc<Self>, toc: Toc) -> Result<Proof> {
        self.report(Phase::CreateDatabase, None);
        let making = async {
            let roles = self.make_roles().await?;
            self.make_database().await?;
            Ok::<_, Error>(roles)
        };
        let roles = making.traced(span!("create_database")).await?;
        let indexes = post_data::indexes(&toc);
        let archive = self.archive_for(toc, &roles)?;
        self.report(Phase::PreData, None);
        self.run_pg_restore(&archive, schema::Part::PreData).traced(span!("pre_data")).await?;
        self.report(Phase::Load, None);
        let loaded = Arc::clone(&self).load_rows().traced(span!("tables")).await?;
        self.set_positions().await?;
        self.load_large_objects(roles).traced(span!("large_objects")).await?;
        self.make_post_data(&archive, indexes).traced(span!("post_data")).await?;
        self.name_invalid_indexes().await?;
        drop(archive);
        self.report(Phase::Refresh, None);
        self.refresh_views().traced(span!("refresh")).await?;
        self.report(Phase::Analyze, None);
        // Statistics are written beside the proof: neither changes a row, and their locks do not exclude each other.
        let analyze = Arc::clone(&self).gather_statistics().traced(span!("analyze"));
        self.report(Phase::Proof, None);
        let prove = Arc::clone(&self).prove(loaded).traced(span!("proof"));
        let (proof, ()) = futures::try_join!(prove, analyze)?;
        Ok(proof)
    }
}

/// The work's result, unless the caller cancels first; the work is then given up where it is.
pub(crate) async fn unless_cancelled<T>(
    cancel: &CancellationToken,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    tokio::select! {
        biased;
        () = cancel.cancelled() => Err(Error::Cancelled),
        result = work => result,
    }
}
