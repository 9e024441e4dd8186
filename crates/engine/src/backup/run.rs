//! Reading one database from beginning to end, up to what is to be sealed.

mod takeover;

use std::sync::{Arc, OnceLock};

use coffer_store::{Repository, Writer};

use crate::catalog::database::{self, Server, lsn_number};
use crate::catalog::left_out;
use crate::check::{self, SourceReport};
use crate::connect::{ConnectOptions, Connection};
use crate::error::{Error, Result};
use crate::manifest::{
    DatabaseManifest, Mark, Range, SchemaArchive, Snapshot, Source, Totals, Warning,
    engine_format_of,
};
use crate::monitor::Phase;
use crate::row_hash::RowHash;
use crate::selection;
use crate::session;
use crate::span::{Traced as _, span};

use super::base::{self, SoundBase};
use super::collector::Collected;
use super::dispatcher::Job;
use super::hold::{self, Hold, LockRetry};
use super::lists::Lists;
use super::log_map::{LogMap, NoMap, Span};
use super::names::Names;
use super::previous::{Base, Previous};
use super::reporter::Reporter;
use super::schema::Archived;
use super::writers::Writers;
use super::{
    BackupRequest, FullRead, Mutation, UnreadOptions, identity, large_objects, schema, tables,
};

/// What all parts of a running backup share.
pub(super) struct Context {
    pub(super) source: ConnectOptions,
    pub(super) repository: Repository,
    pub(super) writer: Writer,
    pub(super) hold: Hold,
    /// A session without a transaction, for what has to be asked of the newest catalog.
    pub(super) free: Arc<Connection>,
    pub(super) names: Names,
    pub(super) previous: Arc<Previous>,
    pub(super) reporter: Reporter,
    /// Encoding of the database, asked of every COPY.
    pub(super) encoding: String,
    /// What shapes COPY text besides the table.
    pub(super) shape_salt: String,
    /// Major version of the server.
    pub(super) major: u32,
    pub(super) chunk_bytes: usize,
    pub(super) range_bytes: u64,
    /// Rows with more bytes than this are read in pieces.
    pub(super) large_row_bytes: u64,
    /// What ranges may be taken over from, unread.
    pub(super) base: Option<SoundBase>,
    /// What was touched since, where the server's log says it.
    pub(super) log: Option<LogMap>,
    /// A table with a range that should have been as it was, and was not.
    pub(super) mismatch: Arc<OnceLock<String>>,
    pub(super) unread: UnreadOptions,
    /// What of a row is hashed.
    pub(super) row_hash: RowHash,
    /// Whether text may be stored as what differs from earlier text.
    pub(super) deltas: bool,
    recovery_point_id: String,
}

impl Context {
    /// By chance, and not the same ones each time.
    pub(super) fn is_audited(&self, number: u64) -> bool {
        let hash = blake3::hash(format!("{} {number}", self.recovery_point_id).as_bytes());
        let [a, b, c, d, ..] = *hash.as_bytes();
        u32::from_le_bytes([a, b, c, d]) % 1000 < u32::from(self.unread.audit_per_mille)
    }

    /// Counts it as done.
    pub(super) fn tell_taken_over(&self, job: &Job, range: &Range) {
        self.reporter.range_taken_over(job.done(range.content));
        self.reporter.report(Phase::Data, Some(job.table.facts.display_name()));
    }
}

/// The reading of one database.
pub(super) struct Run {
    pub(super) request: BackupRequest,
    pub(super) repository: Repository,
    /// What to refer to where content is equal.
    pub(super) base: Base,
    pub(super) reporter: Reporter,
}

/// What the source turned out to be, and the session outside the snapshot that found it out.
struct Examined {
    free: Connection,
    server: Server,
    report: SourceReport,
}

/// What an attempt begins with.
struct Held {
    hold: Hold,
    archived: Archived,
    base: Result<SoundBase, FullRead>,
    log: Result<(Span, LogMap), NoMap>,
}

/// What every attempt goes by.
struct Known {
    free: Arc<Connection>,
    previous: Arc<Previous>,
    server: Server,
    report: SourceReport,
    source: Source,
    marks: Vec<Mark>,
    /// What is said whatever the attempt.
    warnings: Vec<Warning>,
    mismatch: Arc<OnceLock<String>>,
}

impl Run {
    /// Reads the database. Everything that the manifest names is durable then; nothing is sealed.
    pub(super) async fn read(&self, writers: &mut Writers) -> Result<DatabaseManifest> {
        let examined = self.examine().traced(span!("check")).await?;
        let in_recovery = examined.server.in_recovery;
        let taken = self.read_examined(examined, writers).await;
        taken.map_err(|error| if in_recovery { identity::of_standby(error) } else { error })
    }

    /// Attempts until one reads everything and nothing was changed under it that a snapshot does not keep.
    async fn read_examined(
        &self,
        examined: Examined,
        writers: &mut Writers,
    ) -> Result<DatabaseManifest> {
        let Examined { free, server, report } = examined;
        let mut warnings = report.warnings.clone();
        let source = database::source(&free, &server).await?;
        let previous = self.previous(&mut warnings).await;
        // Before the snapshot: only then is a mark a bound for what the snapshot saw running.
        let marks = database::marks(&free, server.in_recovery).await?;
        let unread = &self.request.options.unread;
        let marks =
            identity::merge_marks(marks, base::lasting_marks(previous.root(), &source, unread));
        let known = Known {
            free: Arc::new(free),
            previous: Arc::new(previous),
            server,
            report,
            source,
            marks,
            warnings,
            mismatch: Arc::default(),
        };
        let mut reads_all = false;
        let mut retry =
            LockRetry::new(self.request.options.lock_attempts, known.server.in_recovery);
        loop {
            match Box::pin(self.attempt(&known, &mut retry, writers)).await {
                Ok(manifest) => return Ok(manifest),
                Err(_) if !reads_all && known.mismatch.get().is_some() => {
                    reads_all = true;
                    tracing::error!(
                        code = "UnchangedRangeDiffered",
                        table = known.mismatch.get(),
                        "rows that should have been as they were differ; everything is read"
                    );
                }
                // What was stored by then is found again, and not stored twice.
                Err(error @ Error::SnapshotRace { attempts: 1, .. }) => retry.pause(error).await?,
                Err(error) => return Err(error),
            }
            writers.give_up();
            self.reporter.begin_anew();
        }
    }

    /// Everything from the locks to what is to be sealed.
    async fn attempt(
        &self,
        known: &Known,
        retry: &mut LockRetry,
        writers: &mut Writers,
    ) -> Result<DatabaseManifest> {
        let Known { server, report, .. } = known;
        let mut warnings = known.warnings.clone();
        let Held { hold, archived: Archived { mut toc, warnings: said }, base, log } =
            self.hold_and_schema(known, retry).await?;
        warnings.extend(said);
        let user_mappings = self.request.options.user_mappings;
        warnings.extend(left_out::left_out(&hold.connection, user_mappings).await?);
        if !user_mappings {
            toc = selection::without_user_mappings(toc, &mut warnings)?;
        }
        let retaken = hold.retaken + retry.races;
        if retaken > 0 {
            let message = format!(
                "the snapshot was taken {} times: tables were rewritten, or definitions changed, meanwhile",
                retaken + 1
            );
            warnings.push(Warning { code: "SnapshotRetaken".to_owned(), message });
        }
        let reuse = self.reuse(known, base, &log, &hold, &mut warnings);
        let taken_from = (base.ok(), log.ok().map(|(_, map)| map));
        let context =
            Arc::new(self.context(known, hold, taken_from, writers.writer().await?).await?);
        let (tables, mut not_proved) = tables::to_read(&context, server.in_recovery).await?;
        self.reporter.report(Phase::Data, None);
        let options = &self.request.options;
        let lock_wait = options.lock_timeout * options.lock_attempts;
        let mut lists =
            Lists { context: &context, not_proved: &mut not_proved, warnings: &mut warnings };
        let positions = lists.positions(server.in_recovery, lock_wait).await?;
        let Collected { tables, totals } =
            tables::read(&context, tables, self.request.options.workers)
                .traced(span!("tables"))
                .await?;

        let mut stream = context.writer.stream();
        let schema_archive = SchemaArchive {
            toc: lists.schema(&mut stream, &toc).await?,
            tool_version: report.pg_dump.version.clone(),
            tool_major: report.pg_dump.major,
        };
        let large_objects =
            large_objects::store(&context, &mut stream, self.request.options.workers)
                .traced(span!("large_objects"))
                .await?;
        self.reporter.report(Phase::Lists, None);
        let listing = async {
            let roles = lists.roles(&mut stream, server.major()).await?;
            let materialized_views = lists.materialized_views(&mut stream).await?;
            let sequences = lists.sequences(&mut stream, &positions).await?;
            Ok::<_, Error>((roles, materialized_views, sequences))
        };
        let (roles, materialized_views, sequences) = listing.traced(span!("lists")).await?;
        context.hold.same_values(&context.free).await?;
        let extensions = database::extensions(&context.hold.connection).await?;
        let database = database::properties(&context.hold.connection, server.major()).await?;
        stream.finish().await.map_err(Error::store("store lists"))?;

        self.reporter.report(Phase::Flush, None);
        let snapshot = flushed(&context, server, known.marks.clone(), &mut warnings)
            .traced(span!("flush"))
            .await?;
        let totals = Totals { database_bytes: server.database_bytes, ..totals };
        Ok(DatabaseManifest {
            engine_format: engine_format_of(options.row_hash),
            coffer_version: env!("CARGO_PKG_VERSION").to_owned(),
            recovery_point_id: self.request.recovery_point_id.clone(),
            labels: self.request.labels.clone(),
            source: known.source.clone(),
            snapshot,
            database,
            schema: schema_archive,
            extensions,
            roles,
            tables,
            sequences,
            large_objects,
            materialized_views,
            not_proved,
            warnings,
            totals,
            reuse: Some(reuse),
            row_hash: options.row_hash,
        })
    }

    async fn examine(&self) -> Result<Examined> {
        self.reporter.report(Phase::Check, None);
        let free = session::open(&self.request.source).await?;
        check::refuse_pooler(&free).await?;
        let (server, report) = check::check_session(&free, &self.request.tools).await?;
        self.reporter.expect(server.database_bytes, report.tables, 0);
        Ok(Examined { free, server, report })
    }

    /// A previous recovery point that can't be read makes a backup larger, not impossible.
    async fn previous(&self, warnings: &mut Vec<Warning>) -> Previous {
        let Some(id) = &self.request.options.previous else { return Previous::default() };
        Previous::load(&self.repository, id, &self.base).await.unwrap_or_else(|error| {
            let message = format!("recovery point {id} can't be referred to: {error}");
            tracing::warn!(%error, recovery_point = id, "previous recovery point can't be referred to");
            warnings.push(Warning { code: "PreviousUnreadable".to_owned(), message });
            Previous::default()
        })
    }

    /// Locks, snapshot and schema, again from the beginning while locks are not granted.
    async fn hold_and_schema(&self, known: &Known, retry: &mut LockRetry) -> Result<Held> {
        let BackupRequest { source, options, work_dir, .. } = &self.request;
        let Known { free, server, report, .. } = known;
        loop {
            let attempt = async {
                let hold = hold::take(source, server, options.lock_timeout, &self.reporter)
                    .traced(span!("lock"))
                    .await?;
                hold.same_server(&known.source).await?;
                self.reporter.report(Phase::Schema, None);
                let name = &hold.snapshot_name;
                let archive = schema::Archive {
                    tool: &report.pg_dump,
                    source,
                    encoding: &server.encoding,
                    snapshot_name: name,
                    lock_timeout: options.lock_timeout,
                    work_dir,
                };
                let base = self.sound_base(known, &hold);
                let (archived, log) = tokio::join!(
                    hold.unless_lost(archive.write().traced(span!("schema"))),
                    self.log_map(known, &hold, base.ok()),
                );
                // Whether it failed or not: what it read may have been half old and half new.
                hold.same_definitions(free).await?;
                let archived = archived?;
                hold.be_patient().await?;
                Ok(Held { hold, archived, base, log })
            };
            match attempt.await {
                Ok(taken) => return Ok(taken),
                Err(error) => retry.pause(error).await?,
            }
        }
    }

    async fn context(
        &self,
        known: &Known,
        hold: Hold,
        (base, log): (Option<SoundBase>, Option<LogMap>),
        writer: Writer,
    ) -> Result<Context> {
        let Known { free, previous, server, .. } = known;
        let options = &self.request.options;
        Ok(Context {
            source: self.request.source.clone(),
            repository: self.repository.clone(),
            writer,
            names: Names::of(&hold.connection, free).await?,
            hold,
            free: Arc::clone(free),
            previous: Arc::clone(previous),
            reporter: self.reporter.clone(),
            encoding: server.encoding.clone(),
            shape_salt: format!("{} {}", server.version_num, server.encoding),
            major: server.major(),
            chunk_bytes: options.chunk_bytes,
            range_bytes: options.range_bytes,
            large_row_bytes: options.large_row_bytes,
            base,
            log,
            mismatch: Arc::clone(&known.mismatch),
            unread: options.unread.clone(),
            row_hash: options.row_hash,
            // A recovery point of rows that are hashed as they are is of a format without deltas.
            deltas: options.deltas && options.row_hash == RowHash::Filled,
            recovery_point_id: self.request.recovery_point_id.clone(),
        })
    }
}

/// The snapshot's record, once the server's log is durable up to it.
async fn flushed(
    context: &Context,
    server: &Server,
    marks: Vec<Mark>,
    warnings: &mut Vec<Warning>,
) -> Result<Snapshot> {
    let Context { hold, free, .. } = context;
    let flush_lsn = if server.in_recovery {
        // The snapshot outlives it: what it sees was all replayed before. A standby's point is never a sound base anyhow.
        if !database::in_recovery(free).await? {
            warnings.push(Warning {
                code: "Promoted".to_owned(),
                message: "the standby was promoted during the backup, which holds what it had replayed before".to_owned(),
            });
        }
        None
    } else {
        let is_awaited =
            !context.unread.mutations.contains(&Mutation::Without(FullRead::NotDurable));
        let flushed = if is_awaited {
            identity::wait_for_flush(free, &hold.insert_lsn).await?
        } else {
            database::flush_lsn(free).await?
        };
        if lsn_number(&flushed) < lsn_number(&hold.insert_lsn) {
            warnings.push(Warning {
                code: "LogNotFlushed".to_owned(),
                message: "the server's log was not durable up to the snapshot in time; the next backup reads everything"
                    .to_owned(),
            });
        }
        Some(flushed)
    };
    Ok(Snapshot {
        taken_at_unix_us: hold.taken_at_unix_us,
        xid_snapshot: hold.xid_snapshot.clone(),
        insert_lsn: hold.insert_lsn.clone(),
        flush_lsn,
        marks,
    })
}
