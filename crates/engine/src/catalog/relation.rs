//! Tables: which have to be locked, which have rows of their own, and how large they are.

use tokio_postgres::Client;

use super::{USER_SCHEMA, get, get_u64, one_row, rows};
use crate::error::Result;
use crate::session::qualified;

/// A table or partitioned table that is locked for the time of the backup.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Lockable {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
}

impl Lockable {
    pub(crate) fn sql_name(&self) -> String {
        qualified(&self.schema, &self.name)
    }
}

/// Everything that `pg_dump` locks: tables and partitioned tables, members of extensions included.
pub(crate) async fn lockables(client: &Client) -> Result<Vec<Lockable>> {
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {USER_SCHEMA} ORDER BY c.oid"
    );
    let found = rows(client, "the list of tables", &sql, &[]).await?;
    found
        .iter()
        .map(|row| Ok(Lockable { oid: get(row, 0)?, schema: get(row, 1)?, name: get(row, 2)? }))
        .collect()
}

/// Names of tables whose files, under the snapshot, are not those that are there now, or whose name means another
/// relation now, or whose lock this session does not hold. To an older snapshot such a table looks empty: TRUNCATE and
/// rewrites are not MVCC-safe, and a name always means what it means now. A lock goes by name as well: where a name meant
/// another table for just that moment, that one was locked.
pub(crate) async fn rewritten(client: &Client) -> Result<Vec<String>> {
    // The left sides are of the snapshot; the functions look into the newest catalog.
    let sql = format!(
        "SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND {USER_SCHEMA} AND (\
           (c.relkind = 'r' AND c.relfilenode IS DISTINCT FROM pg_relation_filenode(c.oid)) \
           OR coalesce(to_regclass(format('%I.%I', n.nspname, c.relname)), 0) <> c.oid \
           OR c.oid NOT IN (SELECT l.relation FROM pg_locks l WHERE l.pid = pg_backend_pid() AND l.locktype = 'relation' \
                AND l.mode = 'AccessShareLock' AND l.granted AND l.relation IS NOT NULL \
                AND l.database = (SELECT d.oid FROM pg_database d WHERE d.datname = current_database()))) ORDER BY 1"
    );
    let found = rows(client, "the files of tables", &sql, &[]).await?;
    found.iter().map(|row| get(row, 0)).collect()
}

/// A table with rows of its own, as it is planned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableFacts {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    pub(crate) relfilenode: u32,
    pub(crate) tablespace_oid: u32,
    pub(crate) persistence: String,
    pub(crate) access_method: String,
    pub(crate) partition_root: Option<(String, String)>,
    pub(crate) extension: Option<String>,
    pub(crate) extension_condition: Option<String>,
    pub(crate) heap_blocks: u64,
    pub(crate) total_bytes: u64,
    pub(crate) toast_bytes: u64,
}

impl TableFacts {
    pub(crate) fn sql_name(&self) -> String {
        qualified(&self.schema, &self.name)
    }

    /// Whether a row stays where its `ctid` says, as nobody promises of other access methods.
    pub(crate) fn is_heap(&self) -> bool {
        self.access_method == "heap"
    }

    pub(crate) fn display_name(&self) -> String {
        format!("{}.{}", self.schema, self.name)
    }
}

/// All tables with rows that belong into the backup, largest first: no members of extensions, except their
/// configuration tables.
pub(crate) async fn tables(client: &Client, major: u32) -> Result<Vec<TableFacts>> {
    let root = partition_root("c.oid", major);
    let sql = format!(
        "WITH config AS (SELECT e.extname::text AS extension, x.oid, nullif(x.condition, '') AS condition \
           FROM pg_extension e CROSS JOIN LATERAL unnest(e.extconfig, e.extcondition) AS x(oid, condition)) \
         SELECT c.oid, n.nspname::text, c.relname::text, c.relfilenode, c.reltablespace, c.relpersistence::text, \
           coalesce(a.amname::text, 'heap'), rn.nspname::text, r.relname::text, f.extension, f.condition, \
           coalesce(pg_relation_size(c.oid, 'main'), 0) / current_setting('block_size')::int8, \
           coalesce(pg_table_size(c.oid), 0) AS total, \
           coalesce(pg_relation_size(nullif(c.reltoastrelid, 0), 'main'), 0) \
         FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace LEFT JOIN pg_am a ON a.oid = c.relam \
           LEFT JOIN pg_class r ON c.relispartition AND r.oid = {root} \
           LEFT JOIN pg_namespace rn ON rn.oid = r.relnamespace LEFT JOIN config f ON f.oid = c.oid \
         WHERE c.relkind = 'r' AND c.relpersistence <> 't' AND {USER_SCHEMA} AND (f.oid IS NOT NULL OR NOT EXISTS (\
           SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 \
             AND d.deptype = 'e')) \
         ORDER BY total DESC, c.oid"
    );
    let mut tables = Vec::new();
    for row in rows(client, "tables", &sql, &[]).await? {
        let root: (Option<String>, Option<String>) = (get(&row, 7)?, get(&row, 8)?);
        tables.push(TableFacts {
            oid: get(&row, 0)?,
            schema: get(&row, 1)?,
            name: get(&row, 2)?,
            relfilenode: get(&row, 3)?,
            tablespace_oid: get(&row, 4)?,
            persistence: get(&row, 5)?,
            access_method: get(&row, 6)?,
            partition_root: root.0.zip(root.1),
            extension: get(&row, 9)?,
            extension_condition: get(&row, 10)?,
            heap_blocks: get_u64(&row, 11)?,
            total_bytes: get_u64(&row, 12)?,
            toast_bytes: get_u64(&row, 13)?,
        });
    }
    Ok(tables)
}

/// Bytes that large objects take on disk.
pub(crate) async fn large_object_bytes(client: &Client) -> Result<u64> {
    let sql = "SELECT coalesce(pg_relation_size('pg_catalog.pg_largeobject'::pg_catalog.regclass, 'main'), 0)";
    get_u64(&one_row(client, "the size of large objects", sql, &[]).await?, 0)
}

/// SQL for the root of the partition tree that a relation belongs to; servers before 12 have no function for it.
pub(crate) fn partition_root(oid: &str, major: u32) -> String {
    if major >= 12 {
        return format!("pg_catalog.pg_partition_root({oid})");
    }
    format!(
        "(WITH RECURSIVE up(oid, level) AS (SELECT {oid}, 0 UNION ALL \
           SELECT i.inhparent, up.level + 1 FROM up JOIN pg_catalog.pg_inherits i ON i.inhrelid = up.oid) \
         SELECT up.oid FROM up ORDER BY up.level DESC LIMIT 1)"
    )
}

/// Tables with rows that are an extension's own, with its name: neither their definitions nor their rows are backed up.
pub(crate) async fn extension_tables(client: &Client) -> Result<Vec<(String, String)>> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname, e.extname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 AND d.deptype = 'e' \
         JOIN pg_extension e ON d.refclassid = 'pg_extension'::regclass AND e.oid = d.refobjid \
         WHERE c.relkind = 'r' AND {USER_SCHEMA} AND NOT c.oid = ANY (coalesce(e.extconfig, '{{}}')) \
           AND pg_relation_size(c.oid) > 0 ORDER BY 1"
    );
    let found = rows(client, "tables of extensions", &sql, &[]).await?;
    found.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

/// Foreign tables: their definitions are kept, their rows are another server's.
pub(crate) async fn foreign_tables(client: &Client) -> Result<Vec<String>> {
    let sql = format!(
        "SELECT n.nspname || '.' || c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'f' AND {USER_SCHEMA} ORDER BY 1"
    );
    let found = rows(client, "foreign tables", &sql, &[]).await?;
    found.iter().map(|row| get(row, 0)).collect()
}
