//! What one recovery point of a database consists of: the body of the store's manifest.
//!
//! The body is a small root. Everything whose size grows with the database (tables, ranges, sequences, large objects,
//! roles) is a [`Part`]: a list of chunks that hold JSON lines, written and read as a stream. Whoever adds a field here
//! adds it to `docs/format.md` in the same commit; a field is never given a second meaning, and unknown fields are
//! ignored by readers, so that an older reader restores what a newer writer took unless [`DatabaseManifest::engine_format`]
//! says that it may not.
//!
//! Facts that a later backup needs to decide whether a range may be reused without reading it (relfilenodes, shapes,
//! log positions, marks, range bounds) are recorded from the first version on.

mod catalog;
mod large_objects;
mod reuse;
mod row_chunk;
mod rows;
mod server;

use std::collections::BTreeMap;

use coffer_store::ChunkRef;
use serde::{Deserialize, Serialize};

use crate::row_hash::RowHash;

pub use self::catalog::{
    DatabaseProperties, DatabaseSetting, Extension, MaterializedView, Membership, Role,
    SchemaArchive, Sequence,
};
pub use self::large_objects::{LargeObject, LargeObjectRange, LargeObjects, SecurityLabel};
pub use self::reuse::{Mismatch, Reading, Reuse};
pub use self::row_chunk::{Delta, RowChunk};
pub use self::rows::{Column, Content, INLINE_RANGES_MAX, Range, Ranges, Table};
pub use self::server::{
    DATABASES_MAX, DatabaseEntry, LeftOut, Root, ServerDatasource, ServerIdentity, ServerManifest,
    Tablespace,
};

/// Version of the meaning of a body: that of a database's. A reader refuses a larger one. Since 4 rows are hashed filled up
/// ([`RowHash::Filled`]) and a range may have a [`Delta`]; since 2 there are [`Part::depth`] and [`LargeObjects::ranges`].
pub const ENGINE_FORMAT: u32 = 4;

/// Version of a server's body: [`ServerManifest`].
pub const ENGINE_FORMAT_SERVERS: u32 = 3;

/// The newest version in which rows are hashed as they are.
const ENGINE_FORMAT_BARE_ROWS: u32 = 2;

/// Version of a database's body.
pub(crate) fn engine_format_of(row_hash: RowHash) -> u32 {
    match row_hash {
        RowHash::Bare => ENGINE_FORMAT_BARE_ROWS,
        RowHash::Filled => ENGINE_FORMAT,
    }
}

/// The root of a database's recovery point, or of one database in a server's.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseManifest {
    /// At most [`ENGINE_FORMAT`].
    pub engine_format: u32,
    /// Version of Coffer that wrote it.
    pub coffer_version: String,
    /// 32 hexadecimal digits; the same as the manifest's name in the store.
    pub recovery_point_id: String,
    /// Names given by the caller (ARM ids, policy, tag): enough to rebuild the metadata from the storage alone.
    pub labels: BTreeMap<String, String>,
    /// Where it was read.
    pub source: Source,
    /// The exported snapshot that all workers shared.
    pub snapshot: Snapshot,
    /// Properties of the database itself, which no `pg_dump` archive of its content carries.
    pub database: DatabaseProperties,
    /// The schema: `toc.dat` of `pg_dump -Fd --schema-only`.
    pub schema: SchemaArchive,
    /// Extensions installed in the source.
    pub extensions: Vec<Extension>,
    /// JSON lines of [`Role`]: roles that own something, hold a grant, or are members of such roles.
    pub roles: Part,
    /// JSON lines of [`Table`], largest first: everything that has rows of its own.
    pub tables: Part,
    /// JSON lines of [`Sequence`].
    pub sequences: Part,
    /// Large objects, when there are any.
    pub large_objects: LargeObjects,
    /// JSON lines of [`MaterializedView`], in the order in which they are to be refreshed.
    pub materialized_views: Part,
    /// What a restore will not be able to prove, and why.
    pub not_proved: Vec<NotProved>,
    /// What a person should know about this backup.
    pub warnings: Vec<Warning>,
    /// Sums over everything above.
    pub totals: Totals,
    /// What was taken over unread, and why nothing, if so. None in recovery points of versions that read everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reuse: Option<Reuse>,
    /// What of a row is hashed in every [`Content`] of rows here.
    #[serde(default)]
    pub row_hash: RowHash,
}

impl DatabaseManifest {
    /// Everything in the root that is kept in chunks and names no further chunks.
    pub(crate) fn plain_parts(&self) -> [&Part; 6] {
        let Self { schema, roles, sequences, large_objects, materialized_views, .. } = self;
        let LargeObjects { list, data, .. } = large_objects;
        [&schema.toc, roles, sequences, materialized_views, list, data]
    }
}

/// A list of items, or a run of bytes, kept in chunks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// In order; the part is their concatenation, unless there is a [`Self::depth`].
    pub chunks: Vec<ChunkRef>,
    /// Number of JSON lines, or of objects.
    pub items: u64,
    /// Length of the content.
    pub plain_bytes: u64,
    /// Levels of lists between [`Self::chunks`] and the content: where it is not 0, the concatenation of the chunks is JSON
    /// lines of references to the chunks of the level below. Since engine format 2.
    #[serde(default, skip_serializing_if = "is_zero_depth")]
    pub depth: u8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero_depth(depth: &u8) -> bool {
    *depth == 0
}

/// Identity of the server and database that were read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `pg_control_system().system_identifier`; equal for a primary and its standbys.
    pub system_identifier: String,
    /// Timeline of the current insert position (of the last replayed one on a standby).
    pub timeline: u32,
    /// `pg_database.oid`.
    pub database_oid: u32,
    /// Name of the database at the time.
    pub database: String,
    /// `server_version_num`, such as 150018.
    pub server_version_num: u32,
    /// `server_version`, as the server writes it.
    pub server_version: String,
    /// `pg_postmaster_start_time()`, microseconds since 1970. After a change the next backup reads everything once.
    pub postmaster_start_unix_us: i64,
    /// The server was a standby.
    pub in_recovery: bool,
}

/// The exported snapshot and the log positions around it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Time of the snapshot by the server's clock, microseconds since 1970: the recovery point's time.
    pub taken_at_unix_us: i64,
    /// `pg_current_snapshot()` as text (`xmin:xmax:xip_list`).
    pub xid_snapshot: String,
    /// `pg_current_wal_insert_lsn()` read after the snapshot was taken (the replay position on a standby).
    pub insert_lsn: String,
    /// `pg_current_wal_flush_lsn()` when the manifest was sealed. This recovery point may be the base of reuse only if
    /// it is not behind `insert_lsn`.
    pub flush_lsn: Option<String>,
    /// Marks taken so far, newest first: every transaction with an id ≥ `xid` writes all its log at or after `lsn`.
    pub marks: Vec<Mark>,
}

/// See [`Snapshot::marks`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Log position, `X/Y` in hexadecimal.
    pub lsn: String,
    /// Full 64-bit transaction id.
    pub xid: u64,
}

impl Totals {
    /// Adds another database's.
    pub fn add(&mut self, other: Self) {
        let Self { tables, content, ranges, ranges_skipped, database_bytes } = other;
        self.tables = self.tables.saturating_add(tables);
        self.content.add(content);
        self.ranges = self.ranges.saturating_add(ranges);
        self.ranges_skipped = self.ranges_skipped.saturating_add(ranges_skipped);
        self.database_bytes = self.database_bytes.saturating_add(database_bytes);
    }
}

/// Something that a restore cannot compare.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotProved {
    /// What, such as `materialized view public.daily`.
    pub object: String,
    /// Why.
    pub reason: String,
}

/// Something a person should know, by a stable code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable, for programs.
    pub code: String,
    /// For people: what, where, and what to do.
    pub message: String,
}

/// Sums for the list of recovery points, so that nothing but the root need be read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Totals {
    /// Tables with rows of their own.
    pub tables: u64,
    /// Their content.
    pub content: Content,
    /// Ranges.
    pub ranges: u64,
    /// Ranges taken over from the previous recovery point without reading their rows.
    pub ranges_skipped: u64,
    /// `pg_database_size()` of the source.
    pub database_bytes: u64,
}
