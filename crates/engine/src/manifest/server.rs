//! What one recovery point of a whole server consists of: its databases, each with a complete root of its own, and what
//! belongs to the server itself.
//!
//! The databases are not of one moment: PostgreSQL's snapshots end at the database. Each is consistent in itself, and its root
//! says when it was read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DatabaseManifest, Part, Totals, Warning};

/// Databases of one server's recovery point, at most.
pub const DATABASES_MAX: usize = 10_000;

/// The root of a recovery point: of a database or of a server.
#[derive(Debug, Clone, PartialEq)]
pub enum Root {
    /// Of a database.
    Database(Box<DatabaseManifest>),
    /// Of a server.
    Server(Box<ServerManifest>),
}

impl Root {
    /// The caller's names for it.
    #[must_use]
    pub fn labels(&self) -> &BTreeMap<String, String> {
        match self {
            Self::Database(root) => &root.labels,
            Self::Server(root) => &root.labels,
        }
    }

    /// The recovery point's time by the server's clock, microseconds since 1970: of several snapshots, that of the earliest.
    #[must_use]
    pub fn taken_at_unix_us(&self) -> i64 {
        match self {
            Self::Database(root) => root.snapshot.taken_at_unix_us,
            Self::Server(root) => root.taken_at_unix_us,
        }
    }

    /// `server_version`.
    #[must_use]
    pub fn server_version(&self) -> &str {
        match self {
            Self::Database(root) => &root.source.server_version,
            Self::Server(root) => &root.server.server_version,
        }
    }

    /// Sums over all of it.
    #[must_use]
    pub fn totals(&self) -> Totals {
        match self {
            Self::Database(root) => root.totals,
            Self::Server(root) => root.totals,
        }
    }
}

/// The root of a server's recovery point. Since engine format 3.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerManifest {
    /// [`super::ENGINE_FORMAT_SERVERS`].
    pub engine_format: u32,
    /// Tells this root from that of a database.
    pub datasource: ServerDatasource,
    /// Version of Coffer that wrote it.
    pub coffer_version: String,
    /// 32 hexadecimal digits; the same as the manifest's name in the store.
    pub recovery_point_id: String,
    /// Names given by the caller.
    pub labels: BTreeMap<String, String>,
    /// Where it was read.
    pub server: ServerIdentity,
    /// Time of the earliest snapshot by the server's clock, microseconds since 1970: the recovery point's time.
    pub taken_at_unix_us: i64,
    /// Time of the latest.
    pub taken_until_unix_us: i64,
    /// JSON lines of [`DatabaseEntry`], by name.
    pub databases: Part,
    /// JSON lines of [`super::Role`]: all roles of the server but the predefined ones.
    pub roles: Part,
    /// JSON lines of [`Tablespace`].
    pub tablespaces: Part,
    /// Databases that are not a part of it.
    pub left_out: Vec<LeftOut>,
    /// What a person should know of the server; what concerns one database is in its root.
    pub warnings: Vec<Warning>,
    /// Sums over the databases.
    pub totals: Totals,
}

impl ServerManifest {
    /// Everything in the root that is kept in chunks and names no further chunks.
    pub(crate) fn plain_parts(&self) -> [&Part; 2] {
        [&self.roles, &self.tablespaces]
    }
}

/// The one value of [`ServerManifest::datasource`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServerDatasource {
    /// A whole server.
    Server,
}

/// Identity of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerIdentity {
    /// As [`super::Source::system_identifier`].
    pub system_identifier: String,
    /// `server_version_num`, such as 150018.
    pub server_version_num: u32,
    /// `server_version`, as the server writes it.
    pub server_version: String,
    /// The server was a standby.
    pub in_recovery: bool,
}

/// One database of a server's recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseEntry {
    /// `pg_database.oid` in the source.
    pub oid: u32,
    /// Its name when it was read.
    pub name: String,
    /// Its root: [`DatabaseManifest`] as one JSON object.
    pub manifest: Part,
    /// Time of its snapshot by the server's clock, microseconds since 1970.
    pub taken_at_unix_us: i64,
    /// What it holds.
    pub totals: Totals,
}

/// A database of the server that is not a part of the recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Its name.
    pub database: String,
    /// Why.
    pub reason: String,
}

/// A tablespace that somebody made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tablespace {
    /// `spcname`.
    pub name: String,
    /// Role that owns it.
    pub owner: String,
    /// Directory on the server; empty for one that lies in the data directory.
    pub location: String,
    /// `spcoptions`: parameter and value.
    pub options: Vec<(String, String)>,
    /// `spcacl` in its text form; none means the default.
    pub acl: Option<Vec<String>>,
    /// `COMMENT ON TABLESPACE`.
    pub comment: Option<String>,
}
