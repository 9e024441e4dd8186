//! Whether a database can be backed up, found out by trying: every answer here comes from the server itself.
//!
//! The same check begins every backup, so that a right that was taken away is named then too. What can't be read is
//! named object by object, with the statements that put it right; a backup never leaves out silently what it may not
//! read.

mod pooler;
mod privileges;

use crate::catalog::database::{self, Server};
use crate::catalog::relation;
use crate::catalog::server::{self, Listed};
use crate::connect::{ConnectOptions, Connection};
use crate::error::{Error, Result};
use crate::manifest::Warning;
use crate::restore::temporary::open_maintenance;
use crate::session;
use crate::tools::{Tool, Tools};

pub(crate) use pooler::refuse as refuse_pooler;
pub use privileges::MISSING_MAX;

/// Oldest and newest major version of a source.
pub const SUPPORTED_MAJORS: (u32, u32) = (10, 18);
/// Since this version a range of heap blocks can be read by itself.
pub const CTID_RANGES_SINCE: u32 = 14;

/// Minor releases that close holes which a hostile database could use against tools and restores.
const PATCHED_MINORS: [(u32, u32); 5] = [(14, 24), (15, 19), (16, 15), (17, 11), (18, 6)];

/// What was found out about a source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceReport {
    /// `server_version`, as the server writes it.
    pub server_version: String,
    /// Major version.
    pub server_major: u32,
    /// The server is a standby.
    pub in_recovery: bool,
    /// Encoding of the database.
    pub encoding: String,
    /// `pg_database_size()`.
    pub database_bytes: u64,
    /// Tables and partitioned tables.
    pub tables: u64,
    /// The `pg_dump` that would be used.
    pub pg_dump: Tool,
    /// What a person should know, but what stands in no backup's way.
    pub warnings: Vec<Warning>,
}

/// Checks that a backup of the database would be possible now: reachability, TLS, login, the database, the server's
/// version, a fitting `pg_dump`, no pooler in between that would break the session, and the right to read everything.
///
/// # Errors
/// The first thing that stands in the way, except that missing rights are listed all at once.
pub async fn check_source(options: &ConnectOptions, tools: &Tools) -> Result<SourceReport> {
    let connection = session::open(options).await?;
    refuse_pooler(&connection).await?;
    let (_, report) = check_session(&connection, tools).await?;
    Ok(report)
}

/// Checks that a backup of the whole server would be possible now: each database that it would read is checked as by
/// [`check_source`]. `options` name one to connect to for the list of databases. Gives their names.
///
/// # Errors
/// The first thing that stands in the way, as [`Error::InDatabase`] where it is one database's; but missing rights are listed
/// for all databases at once.
pub async fn check_server(options: &ConnectOptions, tools: &Tools) -> Result<Vec<String>> {
    let listed = {
        let session = open_maintenance(options).await?;
        server::databases(&session).await?.to_read
    };
    let mut names = Vec::new();
    let mut missing = MissingOfServer::default();
    for Listed { name, .. } in listed {
        match check_source(&options.with_database(&name), tools).await {
            Ok(_) => {}
            // Dropped or renamed since it was listed, which a backup copes with.
            Err(Error::DatabaseNotFound { .. }) => continue,
            Err(Error::MissingPrivileges { role, objects, grants }) => {
                missing.add(&name, role, objects, grants);
            }
            Err(source) => {
                return Err(Error::InDatabase { database: name, source: Box::new(source) });
            }
        }
        names.push(name);
    }
    missing.require_none()?;
    Ok(names)
}

/// Rights that are missing in several databases.
#[derive(Default)]
struct MissingOfServer {
    role: String,
    objects: Vec<String>,
    grants: Vec<String>,
}

impl MissingOfServer {
    fn add(&mut self, database: &str, role: String, objects: Vec<String>, grants: Vec<String>) {
        self.role = role;
        let room = MISSING_MAX.saturating_sub(self.objects.len());
        let named = objects.into_iter().map(|object| format!("{object} in database {database}"));
        self.objects.extend(named.take(room));
        let room = MISSING_MAX.saturating_sub(self.grants.len());
        // A comment that says where; a line's end in a name would end it.
        let shown: String =
            database.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let named = grants.into_iter().map(|grant| format!("{grant} -- in database {shown}"));
        self.grants.extend(named.take(room));
    }

    fn require_none(self) -> Result<()> {
        let Self { role, objects, grants } = self;
        if objects.is_empty() {
            return Ok(());
        }
        Err(Error::MissingPrivileges { role, objects, grants })
    }
}

/// The part of the check that needs no further connection.
pub(crate) async fn check_session(
    connection: &Connection,
    tools: &Tools,
) -> Result<(Server, SourceReport)> {
    let server = database::server(connection).await?;
    database::supported(&server)?;
    let major = server.major();
    let pg_dump =
        tools.pg_dump(major).ok_or(Error::ToolMissing { tool: "pg_dump", major })?.clone();
    privileges::require_all(connection, &server).await?;
    let report = SourceReport {
        server_version: server.version.clone(),
        server_major: major,
        in_recovery: server.in_recovery,
        encoding: server.encoding.clone(),
        database_bytes: server.database_bytes,
        tables: relation::lockables(connection).await?.len() as u64,
        warnings: warnings(&server, &pg_dump),
        pg_dump,
    };
    Ok((server, report))
}

fn warnings(server: &Server, pg_dump: &Tool) -> Vec<Warning> {
    let mut warnings = Vec::new();
    let mut warn =
        |code: &str, message: String| warnings.push(Warning { code: code.to_owned(), message });
    let major = server.major();
    if pg_dump.major > major {
        warn(
            "NewerTool",
            format!(
                "the schema is archived by pg_dump {}, since none of the server's own major version {major} is \
                 installed; pg_restore must be of version {} or newer",
                pg_dump.version, pg_dump.major
            ),
        );
    }
    if server.in_recovery {
        warn(
            "Standby",
            "the source is a standby: unlogged tables can't be read and are left out".to_owned(),
        );
    }
    let minor = server.version_num % 10_000;
    if let Some(patched) = patched_minor(major).filter(|patched| minor < *patched) {
        warn(
            "UnpatchedServer",
            format!(
                "the server has version {major}.{minor}; {major}.{patched} closes security holes in dumps and tools"
            ),
        );
    }
    let tool_minor = pg_dump.version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok());
    if let (Some(patched), Some(minor)) = (patched_minor(pg_dump.major), tool_minor)
        && minor < patched
    {
        warn(
            "UnpatchedTool",
            format!(
                "pg_dump has version {}; {}.{patched} closes security holes",
                pg_dump.version, pg_dump.major
            ),
        );
    }
    if major < CTID_RANGES_SINCE {
        warn(
            "NoHeapRanges",
            format!("servers before {CTID_RANGES_SINCE} read every table in one piece"),
        );
    }
    warnings
}

fn patched_minor(major: u32) -> Option<u32> {
    PATCHED_MINORS.iter().find(|(of, _)| *of == major).map(|(_, minor)| *minor)
}
