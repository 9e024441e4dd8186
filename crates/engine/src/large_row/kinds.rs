//! What is known of a column's values without reading them, and how they are read.

use std::collections::HashMap;

use tokio_postgres::Client;

use crate::catalog::{get, one_row, rows};
use crate::error::Result;
use crate::session::quote_literal;

/// How much smaller than its value a compressed one can be (LZ4's limit; `pglz` stays below).
const COMPRESSION_MAX: u64 = 255;

/// How much longer than the value in memory its text can be before COPY's escapes: eight digits for a byte of bits, six
/// characters for a control character in `jsonb`. The exception are numbers like `1e100000`, in arrays, composites or `jsonb`,
/// whose zeros are not stored: a row with many of them is not found to be large, and is read in one message.
const TEXT_PER_BYTE: u64 = 8;

/// Bytes of a heap's block. Servers can be built with others; almost none is.
const BLOCK_BYTES: u64 = 8192;

/// A kind of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `text` or `varchar`: the length is known without reading it.
    Text,
    /// `char(n)`: so too, but made `text` it would lose its blanks.
    Padded,
    /// `bytea`.
    Bytes,
    /// Of variable length, and as text only what the server makes of it.
    Whole {
        /// A cast to `text` gives what COPY writes: nobody has defined another.
        by_cast: bool,
    },
    /// Of fixed length, or of a limited one: `numeric` is at most 150 KB of digits.
    Small,
}

/// Kinds of a table's columns by name. A domain is what it is made of.
pub(crate) type Kinds = HashMap<String, Kind>;

/// Kinds of the columns of tables, by the tables' numbers.
pub(crate) async fn kinds(client: &Client, tables: &[u32]) -> Result<HashMap<u32, Kinds>> {
    if tables.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "WITH RECURSIVE base(relation, name, oid) AS (\
           SELECT a.attrelid, a.attname::text, a.atttypid FROM pg_attribute a \
             WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped \
           UNION ALL SELECT b.relation, b.name, t.typbasetype \
             FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd') \
         SELECT b.relation, b.name, b.oid, t.typlen < 0, \
           EXISTS (SELECT FROM pg_cast c WHERE c.castsource = b.oid AND c.casttarget = 25) \
         FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype <> 'd'";
    let mut of: HashMap<u32, Kinds> = HashMap::new();
    for row in rows(client, "types of columns", sql, &[&tables]).await? {
        let (oid, variable, has_cast): (u32, bool, bool) =
            (get(&row, 2)?, get(&row, 3)?, get(&row, 4)?);
        let kind = match oid {
            25 | 1043 => Kind::Text,
            1042 => Kind::Padded,
            17 => Kind::Bytes,
            // `numeric`, `inet` and `cidr`.
            1700 | 869 | 650 => Kind::Small,
            _ if variable => Kind::Whole { by_cast: !has_cast },
            _ => Kind::Small,
        };
        of.entry(get(&row, 0)?).or_default().insert(get(&row, 1)?, kind);
    }
    Ok(of)
}

/// A table's number by its quoted name.
pub(crate) async fn table_oid(client: &Client, table: &str) -> Result<u32> {
    let sql = format!("SELECT {}::regclass::oid", quote_literal(table));
    get(&one_row(client, "a table's number", &sql, &[]).await?, 0)
}

/// A column to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Quoted.
    pub(super) name: String,
    pub(super) kind: Kind,
}

impl Column {
    /// SQL for what COPY writes as it writes the value, and of which `octet_length` is the length.
    pub(super) fn text(&self) -> String {
        let name = &self.name;
        match self.kind {
            Kind::Whole { by_cast: true } => format!("{name}::text"),
            // `format` calls the output function, as COPY does. A row of nulls is no null.
            Kind::Whole { by_cast: false } => {
                format!("CASE WHEN {name} IS DISTINCT FROM NULL THEN format('%s', {name}) END")
            }
            Kind::Text | Kind::Padded | Kind::Bytes | Kind::Small => name.clone(),
        }
    }

    /// SQL for the text as bytes, or for the bytes of a `bytea`, made in memory before anything is cut from it. The functions
    /// of the wire format check no encoding, as COPY does not, and convert to that of the client ([`super::pieces`]).
    pub(super) fn bytes(&self) -> String {
        match self.kind {
            Kind::Bytes => format!("{} || ''::bytea", self.name),
            Kind::Padded => format!("bpcharsend({})", self.name),
            _ => format!("textsend({})", self.text()),
        }
    }

    /// SQL for the most that the value can be, as far as that is known without reading it; none where it is always small.
    pub(super) fn most(&self, since_14: bool) -> Option<String> {
        let name = &self.name;
        let factor = COMPRESSION_MAX * TEXT_PER_BYTE;
        match self.kind {
            Kind::Text | Kind::Padded | Kind::Bytes => {
                Some(format!("coalesce(octet_length({name}), 0)::int8"))
            }
            Kind::Whole { .. } if since_14 => Some(format!(
                "coalesce(pg_column_size({name})::int8 * \
                 CASE WHEN pg_column_compression({name}) IS NULL THEN {TEXT_PER_BYTE} ELSE {factor} END, 0)"
            )),
            Kind::Whole { .. } => {
                Some(format!("coalesce(pg_column_size({name})::int8 * {factor}, 0)"))
            }
            Kind::Small => None,
        }
    }
}

/// Whether a table of the heap can have a large row at all, by the bytes it keeps out of line; the rest of a row is in one block.
pub(crate) fn possible(toast_bytes: u64, limit: u64) -> bool {
    toast_bytes > 0 || BLOCK_BYTES * COMPRESSION_MAX > limit
}
