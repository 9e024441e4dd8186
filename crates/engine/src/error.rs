//! Every way in which the engine can fail, as a caller has to tell them apart.
//!
//! `Display` never prints a source and never a secret: not a password, not a connection string, not row data. What the
//! server says about a failed statement is kept as `message`; its `DETAIL` is dropped, because it quotes rows.

use std::io;

use tokio_postgres::error::{DbError, Severity, SqlState};

/// Shorthand of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Something that stands in the way of a restore, found before the first write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Stable, for programs, such as `MissingExtension`.
    pub code: String,
    /// What it is about, such as `extension postgis`.
    pub object: String,
    /// For people: what is wrong and what to do.
    pub message: String,
}

/// A failure of the engine.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No TCP connection, or the server hung up before it spoke.
    #[error("server {host}:{port} can't be reached")]
    Unreachable {
        /// Host asked for.
        host: String,
        /// Port asked for.
        port: u16,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
    /// No TLS session of the demanded kind.
    #[error("no TLS session with {host}:{port}: {message}")]
    Tls {
        /// Host asked for.
        host: String,
        /// Port asked for.
        port: u16,
        /// What is wrong, such as an unknown issuer.
        message: String,
    },
    /// The server refused the role or its password.
    #[error("server refused the login of role {user:?}: {message}")]
    AuthenticationFailed {
        /// Role.
        user: String,
        /// The server's words.
        message: String,
    },
    /// The server has no such database.
    #[error("database {database:?} does not exist")]
    DatabaseNotFound {
        /// Name asked for.
        database: String,
    },
    /// The role may not read all that a backup has to hold.
    #[error("role {role:?} can't read {} object(s): {}", objects.len(), summary(objects))]
    MissingPrivileges {
        /// Role that logged in.
        role: String,
        /// What can't be read, such as `SELECT on table public.orders`; at most [`crate::check::MISSING_MAX`].
        objects: Vec<String>,
        /// Statements that a superuser or the owner runs to put it right.
        grants: Vec<String>,
    },
    /// The server is older or newer than what this version of Coffer is tested with.
    #[error("server version {version} is not supported: {reason}")]
    UnsupportedVersion {
        /// `server_version`, as the server writes it.
        version: String,
        /// Which versions are.
        reason: String,
    },
    /// Something about the server or database rules out a faithful backup or restore.
    #[error("{message}")]
    Unsupported {
        /// Stable, for programs, such as `TransactionPooler`.
        code: &'static str,
        /// For people.
        message: String,
    },
    /// No fitting `pg_dump` or `pg_restore` is installed.
    #[error("no {tool} of major version {major} or newer is installed")]
    ToolMissing {
        /// `pg_dump` or `pg_restore`.
        tool: &'static str,
        /// Smallest major version that serves.
        major: u32,
    },
    /// An established connection ended.
    #[error("connection to the server was lost: {message}")]
    ConnectionLost {
        /// What is known of the reason.
        message: String,
    },
    /// Locks were not granted in time, with all retries.
    #[error("locks were not granted within {waited_ms} ms: {message}")]
    LockTimeout {
        /// Time spent in all attempts.
        waited_ms: u64,
        /// The last attempt's failure.
        message: String,
    },
    /// Tables were truncated or rewritten between snapshot and lock, or definitions, names or types changed, in every attempt.
    #[error(
        "tables or definitions were changed during the backup, {attempts} times in a row: {}",
        summary(relations)
    )]
    SnapshotRace {
        /// Snapshots taken.
        attempts: u32,
        /// Tables, or kinds of definitions, met in the last attempt.
        relations: Vec<String>,
    },
    /// A database of the name to restore to exists.
    #[error("database {database:?} exists already")]
    TargetExists {
        /// Its name.
        database: String,
    },
    /// The target server is older than the source was.
    #[error("target server has version {target}, older than {origin} of the recovery point")]
    LowerVersion {
        /// Version of the source when the recovery point was taken.
        origin: String,
        /// Version of the target.
        target: String,
    },
    /// A restore can't begin; nothing was written.
    #[error("{} problem(s) stand in the way of the restore", .0.len())]
    Preflight(
        /// All of them.
        Vec<Problem>,
    ),
    /// The restored database differs from the recovery point; it was dropped.
    #[error("restored database differs from the recovery point in {} place(s)", differences.len())]
    ProofFailed {
        /// Where.
        differences: Vec<crate::proof::Difference>,
    },
    /// One database of a server failed, and with it the whole.
    #[error("database {database:?} of the server failed")]
    InDatabase {
        /// Its name.
        database: String,
        /// How.
        #[source]
        source: Box<Self>,
    },
    /// The caller cancelled.
    #[error("cancelled")]
    Cancelled,
    /// `pg_dump` or `pg_restore` failed.
    #[error("{tool} failed ({status}): {stderr}")]
    Tool {
        /// `pg_dump` or `pg_restore`.
        tool: &'static str,
        /// Exit status in words.
        status: String,
        /// Its last words, scrubbed of secrets and bounded.
        stderr: String,
    },
    /// The server refused a statement.
    #[error("{context}: {message} (SQLSTATE {sqlstate})")]
    Sql {
        /// What was being done, such as `copy public.orders`.
        context: String,
        /// Five characters.
        sqlstate: String,
        /// The server's message, without its detail.
        message: String,
        /// Relation, where the server or the engine knows it.
        relation: Option<String>,
    },
    /// The server answered something that can't be understood.
    #[error("{context}: unexpected answer of the server: {message}")]
    Protocol {
        /// What was being done.
        context: String,
        /// What is odd about it.
        message: String,
    },
    /// The store failed.
    #[error("{context}")]
    Store {
        /// What was being done.
        context: &'static str,
        /// The store's error.
        #[source]
        source: coffer_store::Error,
    },
    /// A recovery point's manifest or one of its lists is not what this version can read.
    #[error("recovery point can't be read: {message}")]
    Manifest {
        /// What is wrong with it.
        message: String,
    },
    /// A local file operation failed.
    #[error("{context}")]
    Io {
        /// What was being done.
        context: String,
        /// What the operating system said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed later with nothing changed by a person.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::ConnectionLost { .. }
            | Self::LockTimeout { .. }
            | Self::SnapshotRace { .. } => true,
            Self::Sql { sqlstate, .. } => transient_sqlstate(sqlstate),
            Self::Store { source, .. } => source.is_transient(),
            Self::InDatabase { source, .. } => source.is_transient(),
            Self::Tls { .. }
            | Self::AuthenticationFailed { .. }
            | Self::DatabaseNotFound { .. }
            | Self::MissingPrivileges { .. }
            | Self::UnsupportedVersion { .. }
            | Self::Unsupported { .. }
            | Self::ToolMissing { .. }
            | Self::TargetExists { .. }
            | Self::LowerVersion { .. }
            | Self::Preflight(_)
            | Self::ProofFailed { .. }
            | Self::Cancelled
            | Self::Tool { .. }
            | Self::Protocol { .. }
            | Self::Manifest { .. }
            | Self::Io { .. } => false,
        }
    }

    /// An error of the driver, said with what was being done.
    pub fn sql(context: impl Into<String>, error: &tokio_postgres::Error) -> Self {
        let context = context.into();
        let Some(db) = error.as_db_error() else {
            return if lost(error) {
                Self::ConnectionLost { message: format!("{context}: {}", chain(error)) }
            } else {
                Self::Protocol { context, message: chain(error) }
            };
        };
        if shut_down(db) {
            return Self::ConnectionLost { message: format!("{context}: {}", db.message()) };
        }
        let relation = db.table().map(|table| match db.schema() {
            Some(schema) => format!("{schema}.{table}"),
            None => table.to_owned(),
        });
        Self::Sql {
            context,
            sqlstate: db.code().code().to_owned(),
            message: db.message().to_owned(),
            relation,
        }
    }

    /// An error of the store, said with what was being done.
    pub fn store(context: &'static str) -> impl FnOnce(coffer_store::Error) -> Self {
        move |source| Self::Store { context, source }
    }

    /// An error of the operating system, said with what was being done.
    pub fn io(context: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let context = context.into();
        move |source| Self::Io { context, source }
    }

    /// The five characters, where the server refused a statement.
    #[must_use]
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Sql { sqlstate, .. } => Some(sqlstate),
            Self::InDatabase { source, .. } => source.sqlstate(),
            _ => None,
        }
    }
}

/// The driver lost its server, as opposed to having misunderstood it.
fn lost(error: &tokio_postgres::Error) -> bool {
    let by_io = std::error::Error::source(error).is_some_and(|source| source.is::<io::Error>());
    error.is_closed() || by_io
}

/// The server ends this session: an administrator's command, a crash of a neighbour, a shutdown.
fn shut_down(error: &DbError) -> bool {
    // A statement may fail for want of another server, that of a foreign table: then this session lives on.
    if matches!(error.parsed_severity(), Some(Severity::Error)) {
        return false;
    }
    let code = error.code();
    [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::DATABASE_DROPPED].contains(code)
        || code.code().starts_with("08")
        || code.code() == "57P05"
}

/// Classes 40 (serialization, deadlock), 53 (resources), 55P03 and 57P03: nothing a person must change first.
fn transient_sqlstate(code: &str) -> bool {
    code.starts_with("40") || code.starts_with("53") || matches!(code, "55P03" | "57P03" | "57014")
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// The first few of many names.
fn summary(names: &[String]) -> String {
    const SHOWN: usize = 5;
    let mut text = names.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text.push_str(", …");
    }
    text
}
