//! What one recovery point of a database consists of: the body of the store's manifest.
//!
//! The body is a small root. Everything whose size grows with the database (tables, ranges, sequences, large objects,
//! roles) is a [`Part`]: a list of chunks that hold JSON lines, written and read as a stream. Whoever adds a field here
//! adds it to `docs/format.md` in the same commit; a field is never given a second meaning, and unknown fields are
//! ignored by readers, so that an older reader restores what a newer writer took unless [`DatabaseManifest::engine_format`]
//! says that it may not.
//!
//! Facts that a later backup needs to decide whether a range may be reused without reading it (relfilenodes, shapes,
//! log positions, marks, range bounds, fingerprints) are recorded from the first version on.

mod reuse;
mod row_chunk;
mod server;

use std::collections::BTreeMap;

use coffer_store::ChunkRef;
use serde::{Deserialize, Serialize};

use crate::row_hash::RowHash;

pub use self::reuse::{Mismatch, Reading, Reuse};
pub use self::row_chunk::{Delta, RowChunk};
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

/// Properties of the database, for `CREATE DATABASE` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProperties {
    /// Encoding by PostgreSQL's name, such as `UTF8`.
    pub encoding: String,
    /// `datcollate`.
    pub collate: String,
    /// `datctype`.
    pub ctype: String,
    /// `c` (libc), `i` (ICU) or `b` (built in); servers before 15 have only libc.
    pub locale_provider: String,
    /// Locale of the ICU or built-in provider.
    pub locale: Option<String>,
    /// ICU rules.
    pub icu_rules: Option<String>,
    /// `datcollversion`; a different one on the target is worth a warning.
    pub collation_version: Option<String>,
    /// Role that owns the database.
    pub owner: String,
    /// `datacl` in its text form; none means the default.
    pub acl: Option<Vec<String>>,
    /// `COMMENT ON DATABASE`.
    pub comment: Option<String>,
    /// `datconnlimit`, -1 for none.
    pub connection_limit: i32,
    /// Tablespace's name.
    pub tablespace: String,
    /// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`.
    pub settings: Vec<DatabaseSetting>,
}

/// One `name=value` of `pg_db_role_setting`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSetting {
    /// None for a setting of the whole database.
    pub role: Option<String>,
    /// Parameter.
    pub name: String,
    /// Value as stored.
    pub value: String,
}

/// The archive that `pg_dump` made of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaArchive {
    /// `toc.dat`.
    pub toc: Part,
    /// Version of the `pg_dump` that wrote it, such as `15.18`.
    pub tool_version: String,
    /// Major version of that tool: `pg_restore` must be at least as new.
    pub tool_major: u32,
}

/// An installed extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// `pg_extension.extname`.
    pub name: String,
    /// `pg_extension.extversion`.
    pub version: String,
    /// Schema it is installed in.
    pub schema: String,
}

/// A role and what belongs to it in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// `rolname`.
    pub name: String,
    /// `SUPERUSER`.
    pub superuser: bool,
    /// `INHERIT`.
    pub inherit: bool,
    /// `CREATEROLE`.
    pub create_role: bool,
    /// `CREATEDB`.
    pub create_db: bool,
    /// `LOGIN`.
    pub login: bool,
    /// `REPLICATION`.
    pub replication: bool,
    /// `BYPASSRLS`.
    pub bypass_rls: bool,
    /// `CONNECTION LIMIT`, -1 for none.
    pub connection_limit: i32,
    /// `VALID UNTIL` as text.
    pub valid_until: Option<String>,
    /// Settings of the role in every database.
    pub settings: Vec<(String, String)>,
    /// `COMMENT ON ROLE`.
    pub comment: Option<String>,
    /// Roles that this one is a member of.
    pub member_of: Vec<Membership>,
}

/// One row of `pg_auth_members`, seen from the member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The role that was granted.
    pub role: String,
    /// `WITH ADMIN OPTION`.
    pub admin: bool,
    /// PostgreSQL 16's `INHERIT` option; absent before.
    pub inherit: Option<bool>,
    /// PostgreSQL 16's `SET` option; absent before.
    pub set: Option<bool>,
    /// Who granted it.
    pub grantor: Option<String>,
}

/// A relation with rows of its own: a table, or a leaf of a partitioned one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// `pg_class.oid` in the source.
    pub oid: u32,
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// File number under the snapshot; a rewrite or TRUNCATE changes it.
    pub relfilenode: u32,
    /// Tablespace's oid, 0 for the database's own.
    pub tablespace_oid: u32,
    /// `p` permanent or `u` unlogged.
    pub persistence: String,
    /// Access method, `heap` for nearly all.
    pub access_method: String,
    /// Root of the partition tree that this is a leaf of: (schema, name).
    pub partition_root: Option<(String, String)>,
    /// Columns whose values are stored, in the order of the COPY text. Generated columns are not here.
    pub columns: Vec<Column>,
    /// `WHERE …` of an extension's configuration table: only these rows are part of the recovery point.
    pub extension_condition: Option<String>,
    /// Extension whose configuration table this is.
    pub extension: Option<String>,
    /// Hash of all besides heap bytes that can alter the COPY output (columns, types, enum labels, settings …).
    pub shape: String,
    /// The table's text depends on the catalog in a way the shape cannot hold (`reg*` types): it is never skipped.
    pub never_skip: bool,
    /// Blocks of the heap's main fork when it was planned.
    pub heap_blocks: u64,
    /// Bytes of heap and TOAST when it was planned.
    pub total_bytes: u64,
    /// Heap blocks of each range but the last; 0 where the table was read whole. The next backup keeps to it, so that
    /// unchanged blocks give the same chunks.
    pub range_blocks: u64,
    /// The rows.
    pub ranges: Ranges,
    /// Sum over the ranges.
    pub content: Content,
    /// How many rows the ranges list as large.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub large_rows: u64,
    /// How its ranges came here; none where all were read and nothing else was tried.
    #[serde(default, skip_serializing_if = "Reading::is_plain")]
    pub reading: Reading,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// A column, by name: the order of columns may differ in the target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// `attname`.
    pub name: String,
    /// `format_type(atttypid, atttypmod)`.
    pub type_name: String,
}

/// Ranges of a table: in place while they are few, else JSON lines of [`Range`] in chunks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ranges {
    /// At most [`INLINE_RANGES_MAX`].
    Inline(Vec<Range>),
    /// More than that.
    Listed(Part),
}

impl Ranges {
    /// How many there are.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Inline(ranges) => ranges.len() as u64,
            Self::Listed(part) => part.items,
        }
    }

    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// More ranges than this are kept as a list of their own.
pub const INLINE_RANGES_MAX: usize = 16;

/// Rows of one run of heap blocks, or of a whole table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    /// First heap block.
    pub start_block: u64,
    /// Block after the last; none for the last range of a table, which is open at the end, and for a table read whole.
    pub end_block: Option<u64>,
    /// COPY text, in order.
    pub chunks: Vec<RowChunk>,
    /// What it holds.
    pub content: Content,
    /// Server-side fingerprint, where one was taken.
    pub fingerprint: Option<Fingerprint>,
    /// Bytes of COPY text of each row that was too large for one message, newline included. They are the last rows of the
    /// range, in this order; a line of COPY may be too small for one of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub large_rows: Vec<u64>,
}

impl Range {
    /// Every chunk that it takes to read it.
    pub fn references(&self) -> impl Iterator<Item = ChunkRef> + '_ {
        self.chunks.iter().flat_map(RowChunk::references)
    }
}

/// Row count and content hash: what a restore is compared with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content {
    /// Rows.
    pub rows: u64,
    /// Sum modulo 2^128 of the keyed hashes of the rows' COPY text.
    #[serde(with = "hex_u128")]
    pub hash: u128,
    /// Bytes of COPY text.
    pub text_bytes: u64,
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

impl Content {
    /// Adds another range's or table's content. The hash is a sum, never an exclusive or: equal rows would cancel.
    pub fn add(&mut self, other: Self) {
        self.rows = self.rows.wrapping_add(other.rows);
        self.hash = self.hash.wrapping_add(other.hash);
        self.text_bytes = self.text_bytes.wrapping_add(other.text_bytes);
    }
}

/// Folds of `hashtidextended(ctid, xmin)` over the visible rows of a range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Visible rows.
    pub rows: u64,
    /// Sum.
    pub sum: i64,
    /// Exclusive or.
    pub xor: i64,
}

/// A sequence's position. Sequences are not transactional: read after the snapshot, so never behind the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `last_value`.
    pub last_value: i64,
    /// `is_called`.
    pub is_called: bool,
}

/// All large objects of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjects {
    /// JSON lines of [`LargeObject`], ascending by oid; empty where there are ranges.
    pub list: Part,
    /// Their bytes, one after the other in the same order; empty where there are ranges.
    pub data: Part,
    /// Count, sum of keyed hashes over (oid, content), and bytes.
    pub content: Content,
    /// JSON lines of [`LargeObjectRange`], ascending, where the objects are more than one. Since engine format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Part>,
}

/// Large objects whose oids follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjectRange {
    /// Smallest oid.
    pub first: u32,
    /// Largest oid.
    pub last: u32,
    /// JSON lines of [`LargeObject`], ascending by oid.
    pub list: Part,
    /// Their bytes, one after the other in the same order.
    pub data: Part,
    /// As that of [`LargeObjects`].
    pub content: Content,
}

/// One large object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObject {
    /// Its oid, kept by the restore.
    pub oid: u32,
    /// Role that owns it.
    pub owner: String,
    /// `lomacl` in its text form; none means the default.
    pub acl: Option<Vec<String>>,
    /// `COMMENT ON LARGE OBJECT`.
    pub comment: Option<String>,
    /// `SECURITY LABEL ON LARGE OBJECT`, by provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<SecurityLabel>,
    /// Length in `data`.
    pub bytes: u64,
}

/// What a provider of labels says of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityLabel {
    /// `pg_seclabel.provider`.
    pub provider: String,
    /// `pg_seclabel.label`.
    pub label: String,
}

/// A materialized view: its rows are not stored, it is refreshed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterializedView {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `relispopulated`: one that was created WITH NO DATA stays so.
    pub populated: bool,
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

/// A 128-bit number as 32 hexadecimal digits: JSON numbers lose digits in many readers.
mod hex_u128 {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(value: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{value:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(D::Error::custom)
    }
}
