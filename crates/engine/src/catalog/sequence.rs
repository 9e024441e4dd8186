//! Sequences: which belong into the backup, and where they stand.

use tokio_postgres::Client;

use super::{USER_SCHEMA, get, rows};
use crate::error::{Error, Result};
use crate::manifest::Sequence;
use crate::session::qualified;

/// Sequences read by one statement.
const BATCH: usize = 200;

/// Schema and name.
pub(crate) type Name = (String, String);

/// How often a sequence is looked for that is renamed again and again.
const LOOKS_MAX: u32 = 10;

/// A sequence under the snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) oid: u32,
    pub(crate) schema: String,
    pub(crate) name: String,
    /// Number of its file: another when it was restarted or redefined since.
    pub(crate) file: u32,
}

/// All sequences of the backup, under the snapshot: permanent ones, then unlogged ones, which a standby can't read.
pub(crate) async fn sequences(client: &Client) -> Result<(Vec<Listed>, Vec<Listed>)> {
    let sql = format!(
        "SELECT c.oid, n.nspname::text, c.relname::text, c.relpersistence = 'u', c.relfilenode FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {USER_SCHEMA} AND (NOT EXISTS (\
             SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 \
               AND d.deptype = 'e') \
           OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig))) ORDER BY 2, 3"
    );
    let found = rows(client, "the list of sequences", &sql, &[]).await?;
    let (mut permanent, mut unlogged) = (Vec::new(), Vec::new());
    for row in &found {
        let listed = Listed {
            oid: get(row, 0)?,
            schema: get(row, 1)?,
            name: get(row, 2)?,
            file: get(row, 4)?,
        };
        if get(row, 3)? { unlogged.push(listed) } else { permanent.push(listed) }
    }
    Ok((permanent, unlogged))
}

/// Where the sequences stand now, outside the snapshot, in their order; those that are gone are returned beside.
///
/// No lock keeps the name of a sequence, so each tells its number along with its position: one that was renamed meanwhile is
/// read by its new name, and never another that took the old one. `client` must not be in a transaction: a sequence dropped
/// in between fails its statement. A sequence restarted since the snapshot, as by whoever empties its table, would come back
/// below the numbers in the rows; unlike `setval` that gives it another file.
///
/// # Errors
/// [`Error::SnapshotRace`] when a sequence has another file, or is renamed again and again.
pub(crate) async fn positions_of(
    client: &Client,
    listed: &[Listed],
) -> Result<(Vec<Sequence>, Vec<Listed>)> {
    let mut found = Vec::with_capacity(listed.len());
    let mut gone = Vec::new();
    for batch in listed.chunks(BATCH) {
        let names: Vec<_> =
            batch.iter().map(|listed| qualified(&listed.schema, &listed.name)).collect();
        let positions = match read(client, &names).await {
            Ok(positions) => positions,
            Err(error) if other(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        for (at, listed) in batch.iter().enumerate() {
            let position = match positions.get(at) {
                Some(position) if position.oid == listed.oid => Some(*position),
                _ => by_number(client, listed).await?,
            };
            match position {
                Some(position) if position.file != Some(listed.file) => return Err(race(listed)),
                Some(Position { last_value, is_called, .. }) => found.push(Sequence {
                    schema: listed.schema.clone(),
                    name: listed.name.clone(),
                    last_value,
                    is_called,
                }),
                None => gone.push(listed.clone()),
            }
        }
    }
    Ok((found, gone))
}

/// Where the sequences of these names stand, in a database that nobody else changes; names of those that are missing are
/// returned beside. `client` must not be in a transaction.
pub(crate) async fn positions(
    client: &Client,
    names: &[Name],
) -> Result<(Vec<Sequence>, Vec<Name>)> {
    let mut found = Vec::with_capacity(names.len());
    let mut missing = Vec::new();
    for batch in names.chunks(BATCH) {
        let quoted: Vec<_> = batch.iter().map(|(schema, name)| qualified(schema, name)).collect();
        let positions = match read(client, &quoted).await {
            Err(error) if undefined(&error) => {
                let mut positions = Vec::with_capacity(batch.len());
                for name in &quoted {
                    match read(client, std::slice::from_ref(name)).await {
                        Ok(position) => positions.push(position.first().copied()),
                        Err(error) if undefined(&error) => positions.push(None),
                        Err(error) => return Err(error),
                    }
                }
                positions
            }
            positions => positions?.into_iter().map(Some).collect(),
        };
        for ((schema, name), position) in batch.iter().zip(positions) {
            let (schema, name) = (schema.clone(), name.clone());
            match position {
                Some(Position { last_value, is_called, .. }) => {
                    found.push(Sequence { schema, name, last_value, is_called });
                }
                None => missing.push((schema, name)),
            }
        }
    }
    Ok((found, missing))
}

#[derive(Debug, Clone, Copy)]
struct Position {
    oid: u32,
    /// As of after the position was read; none when it is gone by then.
    file: Option<u32>,
    last_value: i64,
    is_called: bool,
}

/// Asks for the name first. None when the sequence is not there any more.
async fn by_number(client: &Client, listed: &Listed) -> Result<Option<Position>> {
    for _ in 0..LOOKS_MAX {
        let sql = "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
             WHERE c.oid = $1";
        let found = rows(client, "the name of a sequence", sql, &[&listed.oid]).await?;
        let Some(row) = found.first() else { return Ok(None) };
        let name = qualified(get(row, 0)?, get(row, 1)?);
        match read(client, &[name]).await {
            Ok(positions) => {
                if let Some(position) = positions.first().filter(|found| found.oid == listed.oid) {
                    return Ok(Some(*position));
                }
            }
            Err(error) if undefined(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Err(race(listed))
}

fn race(listed: &Listed) -> Error {
    let relations = vec![format!("{}.{}", listed.schema, listed.name)];
    Error::SnapshotRace { attempts: 1, relations }
}

/// Positions by quoted names, in their order.
async fn read(client: &Client, names: &[String]) -> Result<Vec<Position>> {
    let selects: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(at, name)| {
            format!("SELECT {at}::int8 AS at, tableoid, last_value, is_called, pg_relation_filenode(tableoid) FROM {name}")
        })
        .collect();
    let sql = format!("{} ORDER BY at", selects.join(" UNION ALL "));
    let values = rows(client, "sequences", &sql, &[]).await?;
    values
        .iter()
        .map(|row| {
            Ok(Position {
                oid: get(row, 1)?,
                last_value: get(row, 2)?,
                is_called: get(row, 3)?,
                file: get(row, 4)?,
            })
        })
        .collect()
}

/// The relation or its schema is not there any more.
fn undefined(error: &Error) -> bool {
    matches!(error.sqlstate(), Some("42P01" | "3F000"))
}

/// The same, or its name means something now that has no position or may not be read.
fn other(error: &Error) -> bool {
    undefined(error) || matches!(error.sqlstate(), Some("42501" | "42703" | "42809" | "55000"))
}
