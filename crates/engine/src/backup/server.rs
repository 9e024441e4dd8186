//! A whole server: its databases one after the other, each read as a backup of its own would read it, and what belongs to
//! the server itself; sealed once, at the end.
//!
//! A database that can't be read fails all: a recovery point of a server that lacks one without a word is worse than none. Only
//! one that is no more when its turn ends is left out, and named. Databases are told apart by their oids, so that one that is
//! renamed is followed, and one that took the name of another is not taken for it.

mod taken;
mod tally;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use coffer_store::{ChunkKind, Lease, Repository};

use self::taken::{Taken, Whole, renamed};
use self::tally::Tally;
use super::previous::Base;
use super::reporter::Reporter;
use super::run::Run;
use super::writers::Writers;
use super::{BackupOutcome, BackupRequest, lists, seal};
use crate::catalog::server::{self, Databases, Listed};
use crate::catalog::{database, role};
use crate::connect::{ConnectOptions, Connection};
use crate::error::{Error, Result};
use crate::manifest::{
    DatabaseManifest, ENGINE_FORMAT_SERVERS, Part, Role, Root, ServerDatasource, ServerManifest,
    Warning,
};
use crate::monitor::Monitor;
use crate::part::PartWriter;
use crate::restore::temporary::open_maintenance;
use crate::root::{describe_root, list_databases};
use crate::span::{Traced as _, span};

/// How often the list of databases is looked at for such as were made meanwhile. What is new after the last time is named.
const PASSES_MAX: usize = 3;
/// How often a database that was renamed under the backup is begun again.
const RENAMES_MAX: usize = 3;

/// The backup of a server.
pub(super) struct ServerRun {
    request: BackupRequest,
    repository: Repository,
    lease: Lease,
    monitor: Arc<Tally>,
}

/// Roots of the databases of the previous recovery point, by oid.
#[derive(Default)]
struct Bases(HashMap<u32, Part>);

impl ServerRun {
    pub(super) fn new(
        request: BackupRequest,
        repository: &Repository,
        lease: &Lease,
        monitor: Arc<dyn Monitor>,
    ) -> Self {
        Self {
            request,
            repository: repository.clone(),
            lease: lease.clone(),
            monitor: Arc::new(Tally::new(monitor)),
        }
    }

    pub(super) async fn take(self, sealing: &AtomicBool) -> Result<BackupOutcome> {
        let (databases, roles_before) = {
            let session = self.session().await?;
            (server::databases(&session).await?, roles(&session).await?)
        };
        let mut taken = Taken::default();
        let mut bases = self.bases(&mut taken).await;
        let mut writers = Writers::new(&self.repository, &self.lease, &self.request.options);
        self.databases(databases, &mut bases, &mut writers, &mut taken).await?;
        self.monitor.begin("the server", Some(0));
        let mut whole = taken.finish()?;
        let of_databases = std::mem::take(&mut whole.of_databases);
        let manifest = self.root(&mut writers, whole, roles_before).await?;
        let reporter = Reporter::new(Arc::clone(&self.monitor) as _);
        let id = &self.request.recovery_point_id;
        let sealed = seal(&reporter, &mut writers, id, &manifest, sealing);
        let info = sealed.traced(span!("seal")).await?;
        let mut warnings = manifest.warnings;
        warnings.extend(of_databases);
        Ok(BackupOutcome {
            recovery_point_id: manifest.recovery_point_id,
            taken_at_unix_us: manifest.taken_at_unix_us,
            totals: manifest.totals,
            warnings,
            source_database_bytes: manifest.totals.database_bytes,
            stats: info.stats,
        })
    }

    /// Reads all databases, those made meanwhile too, as often as it looks for such.
    async fn databases(
        &self,
        mut listed: Databases,
        bases: &mut Bases,
        writers: &mut Writers,
        taken: &mut Taken,
    ) -> Result<()> {
        for _ in 0..PASSES_MAX {
            let mut found_new = false;
            for (index, database) in listed.to_read.iter().enumerate() {
                if taken.begin(database.oid)? {
                    found_new = true;
                    let to_come = listed.bytes_after(index);
                    let reading = self.database(database, to_come, bases, writers, taken);
                    reading.traced(span!("database")).await?;
                }
            }
            listed = server::databases(&*self.session().await?).await?;
            if !found_new {
                break;
            }
        }
        taken.leave_out(listed)
    }

    /// Reads one database and stores its root.
    async fn database(
        &self,
        listed: &Listed,
        bytes_to_come: Option<u64>,
        bases: &mut Bases,
        writers: &mut Writers,
        taken: &mut Taken,
    ) -> Result<()> {
        let Listed { oid, mut name } = listed.clone();
        let base = bases.0.remove(&oid);
        for _ in 0..=RENAMES_MAX {
            self.monitor.begin(&name, bytes_to_come);
            let read = self.read(&name, base.clone(), writers).await;
            match read {
                Ok(manifest) if manifest.source.database_oid == oid => {
                    return self.keep(manifest, writers, taken).await.map_err(in_database(&name));
                }
                // Another has the name now. What was read of it is not kept: it has its own turn.
                Ok(_) => {}
                Err(error @ Error::Cancelled) => return Err(error),
                Err(error) => {
                    writers.give_up();
                    match self.name_now(oid).await {
                        Ok(now) if now.as_ref() != Some(&name) => {
                            tracing::info!(database = name, %error, "a database was renamed or dropped under the backup");
                        }
                        // Not known, or there as before: it is the database's failure.
                        _ => return Err(in_database(&name)(error)),
                    }
                }
            }
            self.monitor.begin_anew();
            match self.name_now(oid).await? {
                Some(now) => name = now,
                None => {
                    taken.gone(name);
                    return Ok(());
                }
            }
        }
        Err(renamed(&name))
    }

    async fn read(
        &self,
        name: &str,
        base: Option<Part>,
        writers: &mut Writers,
    ) -> Result<DatabaseManifest> {
        let request =
            BackupRequest { source: self.source().with_database(name), ..self.request.clone() };
        let run = Run {
            request,
            repository: self.repository.clone(),
            base: Base::OfServer(base),
            reporter: Reporter::new(Arc::clone(&self.monitor) as _),
        };
        run.read(writers).await
    }

    /// Stores the root of a database that was read, after which it is whole.
    async fn keep(
        &self,
        manifest: DatabaseManifest,
        writers: &mut Writers,
        taken: &mut Taken,
    ) -> Result<()> {
        taken.require_same_server(&manifest)?;
        let body = serde_json::to_vec(&manifest).map_err(|error| Error::Manifest {
            message: format!("it can't be written as JSON: {error}"),
        })?;
        let mut stream = writers.writer().await?.stream();
        let mut part = PartWriter::new(ChunkKind::DatabaseRoot);
        part.bytes(&mut stream, &body).await?;
        part.count_item();
        let part = part.finish(&mut stream).await?;
        stream.finish().await.map_err(Error::store("store the root of a database"))?;
        writers.keep();
        taken.keep(manifest, part);
        Ok(())
    }

    /// Reads what belongs to the server, and makes the root of all.
    async fn root(
        &self,
        writers: &mut Writers,
        whole: Whole,
        roles_before: Vec<Role>,
    ) -> Result<ServerManifest> {
        let Whole { entries, identity, mut warnings, .. } = whole;
        let session = self.session().await?;
        let major = identity.server_version_num / 10_000;
        let roles = merged(roles_before, role::all_roles(&session, major).await?);
        let tablespaces = server::tablespaces(&session).await?;
        let parameters = server::granted_parameters(&session, major).await?;
        drop(session);
        if !parameters.is_empty() {
            let message = format!(
                "grants on parameters are not kept: {}; grant them again after a restore",
                parameters.join(", ")
            );
            warnings.push(Warning { code: "ParameterGrantsLeftOut".to_owned(), message });
        }
        let mut stream = writers.writer().await?.stream();
        let databases =
            lists::write_list(&mut stream, ChunkKind::DatabaseList, None, &entries).await?;
        let roles = lists::write_list(&mut stream, ChunkKind::Roles, None, &roles).await?;
        let tablespaces =
            lists::write_list(&mut stream, ChunkKind::TablespaceList, None, &tablespaces).await?;
        stream.finish().await.map_err(Error::store("store the lists of the server"))?;
        Ok(ServerManifest {
            engine_format: ENGINE_FORMAT_SERVERS,
            datasource: ServerDatasource::Server,
            coffer_version: env!("CARGO_PKG_VERSION").to_owned(),
            recovery_point_id: self.request.recovery_point_id.clone(),
            labels: self.request.labels.clone(),
            server: identity,
            taken_at_unix_us: whole.earliest_us,
            taken_until_unix_us: whole.latest_us,
            databases,
            roles,
            tablespaces,
            left_out: whole.left_out,
            warnings,
            totals: whole.totals,
        })
    }

    /// A previous recovery point that can't be read makes a backup larger, not impossible.
    async fn bases(&self, taken: &mut Taken) -> Bases {
        let Some(id) = &self.request.options.previous else { return Bases::default() };
        let read = async {
            match describe_root(&self.repository, id).await? {
                Root::Server(root) => list_databases(&self.repository, &root).await,
                Root::Database(_) => {
                    Err(Error::Manifest { message: "it is that of a database".to_owned() })
                }
            }
        };
        match read.await {
            Ok(entries) => {
                Bases(entries.into_iter().map(|entry| (entry.oid, entry.manifest)).collect())
            }
            Err(error) => {
                tracing::warn!(%error, recovery_point = id, "previous recovery point can't be referred to");
                let message = format!("recovery point {id} can't be referred to: {error}");
                taken.warn("PreviousUnreadable", message);
                Bases::default()
            }
        }
    }

    fn source(&self) -> &ConnectOptions {
        &self.request.source
    }

    /// A short session in no database in particular: one that was held meanwhile would be in somebody's way.
    async fn session(&self) -> Result<Connection> {
        open_maintenance(self.source()).await
    }

    async fn name_now(&self, oid: u32) -> Result<Option<String>> {
        server::name_of(&*self.session().await?, oid).await
    }
}

fn in_database(name: &str) -> impl FnOnce(Error) -> Error {
    let database = name.to_owned();
    move |source| Error::InDatabase { database, source: Box::new(source) }
}

async fn roles(session: &Connection) -> Result<Vec<Role>> {
    let major = database::server(session).await?.major();
    role::all_roles(session, major).await
}

/// Those at the end, and those that were there at the beginning: a database that was read early may need one that went since.
fn merged(before: Vec<Role>, after: Vec<Role>) -> Vec<Role> {
    let names: HashSet<String> = after.iter().map(|role| role.name.clone()).collect();
    let mut all: Vec<_> = after
        .into_iter()
        .chain(before.into_iter().filter(|role| !names.contains(&role.name)))
        .collect();
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}
