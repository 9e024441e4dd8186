//! Columns of tables, and a hash of all besides heap bytes that can alter their COPY output.
//!
//! Logical content can change with no change to the heap: a renamed enum label, `ADD COLUMN … DEFAULT`, another base type
//! of a domain, an upgraded extension, a column that was dropped and another made in its place under its name. All of these
//! are in the shape. What the shape can't hold (the text of `reg*` types
//! is a name looked up at output) makes a table one that is never skipped.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tokio_postgres::Client;

use super::{USER_SCHEMA, get, rows};
use crate::error::Result;
use crate::manifest::Column;
use crate::session::CANONICAL_SETTINGS;

/// Version of what a shape is made of: shapes of different versions are never equal.
const SHAPE_VERSION: u32 = 2;

/// `reg*` types and `aclitem`: regproc, regprocedure, regoper, regoperator, regclass, regtype, regrole, regnamespace,
/// regconfig, regdictionary, regcollation, aclitem. Fixed in every version.
const NAMES_LOOKED_UP: [u32; 12] =
    [24, 2202, 2203, 2204, 2205, 2206, 4096, 4089, 3734, 3769, 4191, 1033];

/// What a table's COPY text is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) columns: Vec<Column>,
    pub(crate) hash: String,
    pub(crate) never_skip: bool,
}

/// Shapes of the given tables. `salt` is what else shapes the bytes, such as the server's version.
pub(crate) async fn shapes(
    client: &Client,
    tables: &[u32],
    salt: &str,
    major: u32,
) -> Result<BTreeMap<u32, Shape>> {
    let types = types(client, tables).await?;
    let mut of = BTreeMap::new();
    let mut current: Option<(u32, Builder)> = None;
    let missing = match major {
        11.. => "CASE WHEN a.atthasmissing THEN a.attmissingval::text END",
        _ => "NULL::text",
    };
    let stored = if major >= 12 { "AND a.attgenerated = ''" } else { "" };
    let sql = format!(
        "SELECT a.attrelid, a.attname::text, format_type(a.atttypid, a.atttypmod), a.atttypid, {missing}, a.attnum \
         FROM pg_attribute a WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped {stored} \
         ORDER BY a.attrelid, a.attnum"
    );
    for row in rows(client, "columns", &sql, &[&tables]).await? {
        let table: u32 = get(&row, 0)?;
        if current.as_ref().is_none_or(|(oid, _)| *oid != table) {
            if let Some((oid, builder)) = current.take() {
                of.insert(oid, builder.finish());
            }
            current = Some((table, Builder::new(salt)));
        }
        if let Some((_, builder)) = &mut current {
            builder.column(
                Column { name: get(&row, 1)?, type_name: get(&row, 2)? },
                get(&row, 3)?,
                get(&row, 4)?,
                get(&row, 5)?,
                &types,
            );
        }
    }
    if let Some((oid, builder)) = current {
        of.insert(oid, builder.finish());
    }
    // A table without stored columns still has rows.
    for table in tables {
        of.entry(*table).or_insert_with(|| Builder::new(salt).finish());
    }
    Ok(of)
}

struct Builder {
    columns: Vec<Column>,
    hasher: blake3::Hasher,
    never_skip: bool,
}

impl Builder {
    fn new(salt: &str) -> Self {
        let mut builder =
            Self { columns: Vec::new(), hasher: blake3::Hasher::new(), never_skip: false };
        builder.text(&format!("coffer shape {SHAPE_VERSION}"));
        builder.text(salt);
        for (name, value) in CANONICAL_SETTINGS {
            builder.text(name);
            builder.text(value);
        }
        builder
    }

    /// Length first, so that no two lists of texts are the same bytes.
    fn text(&mut self, text: &str) {
        self.hasher.update(&(text.len() as u64).to_le_bytes());
        self.hasher.update(text.as_bytes());
    }

    /// The number is never given twice, and says which of a row's values it is; a name can come back.
    fn column(
        &mut self,
        column: Column,
        type_oid: u32,
        missing: Option<String>,
        number: i16,
        types: &Types,
    ) {
        self.text(&number.to_string());
        self.text(&column.name);
        self.text(&column.type_name);
        self.text(missing.as_deref().unwrap_or("\0none"));
        for oid in types.below(type_oid) {
            self.never_skip |= NAMES_LOOKED_UP.contains(&oid);
            if let Some(described) = types.described.get(&oid) {
                self.text(&described.clone());
            }
        }
        self.columns.push(column);
    }

    fn finish(self) -> Shape {
        let hash = self.hasher.finalize().to_hex().to_string();
        Shape { columns: self.columns, hash, never_skip: self.never_skip }
    }
}

/// All types that columns are made of, directly or inside arrays, domains, composites and ranges.
struct Types {
    described: BTreeMap<u32, String>,
    parts: BTreeMap<u32, Vec<u32>>,
}

impl Types {
    /// The type and everything inside it, in order of oid.
    fn below(&self, oid: u32) -> BTreeSet<u32> {
        let mut seen = BTreeSet::new();
        let mut open = vec![oid];
        while let Some(oid) = open.pop() {
            if seen.insert(oid) {
                open.extend(self.parts.get(&oid).into_iter().flatten().copied());
            }
        }
        seen
    }
}

/// What a type `t` is made of: elements, base types, subtypes, attributes.
const TYPE_PARTS: &str = "SELECT t.typelem WHERE t.typelem <> 0 \
      UNION SELECT t.typbasetype WHERE t.typbasetype <> 0 \
      UNION SELECT r.rngsubtype FROM pg_range r \
        WHERE t.typtype IN ('r', 'm') AND (r.rngtypid = t.oid OR (to_jsonb(r) ->> 'rngmultitypid')::oid = t.oid) \
      UNION SELECT a.atttypid FROM pg_attribute a \
        WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped";

/// Since this version the text of a floating-point number is the shortest that means it; before it had a fixed number of
/// digits (`float.c`). The number is the same, the text is not.
pub(crate) const SHORTEST_FLOATS_SINCE: u32 = 12;

/// Tables with floating-point numbers in their columns, directly or inside arrays, domains, composites, ranges and
/// geometric types: those whose text differs on the two sides of [`SHORTEST_FLOATS_SINCE`].
pub(crate) async fn tables_with_floats(client: &Client) -> Result<HashSet<(String, String)>> {
    // float4, float8, and the geometric types, which are no arrays of them to the catalog.
    let sql = format!(
        "WITH RECURSIVE used(relation, oid) AS (\
           SELECT DISTINCT a.attrelid, a.atttypid FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid \
             JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped AND {USER_SCHEMA} \
           UNION SELECT used.relation, x.part FROM used JOIN pg_type t ON t.oid = used.oid \
             CROSS JOIN LATERAL ({TYPE_PARTS}) AS x(part)) \
         SELECT DISTINCT n.nspname::text, c.relname::text FROM used JOIN pg_class c ON c.oid = used.relation \
           JOIN pg_namespace n ON n.oid = c.relnamespace \
           WHERE used.oid IN (700, 701, 600, 601, 602, 603, 604, 628, 718)"
    );
    let found = rows(client, "tables with floating-point numbers", &sql, &[]).await?;
    found.iter().map(|row| Ok((get(row, 0)?, get(row, 1)?))).collect()
}

async fn types(client: &Client, tables: &[u32]) -> Result<Types> {
    // The same few look-ups serve the way down and the description of each type on it.
    let sql = format!(
        "WITH RECURSIVE used(oid) AS (\
          SELECT DISTINCT a.atttypid FROM pg_attribute a \
            WHERE a.attrelid = ANY ($1) AND a.attnum > 0 AND NOT a.attisdropped \
          UNION SELECT x.part FROM used JOIN pg_type t ON t.oid = used.oid CROSS JOIN LATERAL ({TYPE_PARTS}) AS x(part)) \
        SELECT t.oid, concat_ws(' ', n.nspname, t.typname, t.typtype, t.typtypmod, \
            (SELECT string_agg(quote_literal(l.enumlabel), ',' ORDER BY l.enumsortorder) \
               FROM pg_enum l WHERE l.enumtypid = t.oid), \
            (SELECT string_agg(a.attnum || ' ' || quote_ident(a.attname) || ' ' || format_type(a.atttypid, a.atttypmod), ',' ORDER BY a.attnum) \
               FROM pg_attribute a \
               WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped), \
            (SELECT e.extname || ' ' || e.extversion FROM pg_depend d JOIN pg_extension e ON e.oid = d.refobjid \
               WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.deptype = 'e' \
                 AND d.refclassid = 'pg_extension'::regclass LIMIT 1)), \
          ARRAY(SELECT x.part FROM ({TYPE_PARTS}) AS x(part) ORDER BY 1) \
        FROM used JOIN pg_type t ON t.oid = used.oid JOIN pg_namespace n ON n.oid = t.typnamespace"
    );
    let mut types = Types { described: BTreeMap::new(), parts: BTreeMap::new() };
    for row in rows(client, "types of columns", &sql, &[&tables]).await? {
        let oid: u32 = get(&row, 0)?;
        types.described.insert(oid, get(&row, 1)?);
        types.parts.insert(oid, get(&row, 2)?);
    }
    Ok(types)
}
