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

/// (schema, name) of all sequences of the backup, under the snapshot: those of permanent ones, then of unlogged ones, which
/// a standby can't read.
pub(crate) async fn sequences(client: &Client) -> Result<(Vec<Name>, Vec<Name>)> {
    let sql = format!(
        "SELECT n.nspname::text, c.relname::text, c.relpersistence = 'u' FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace \
         WHERE c.relkind = 'S' AND c.relpersistence <> 't' AND {USER_SCHEMA} AND (NOT EXISTS (\
             SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.objsubid = 0 \
               AND d.deptype = 'e') \
           OR EXISTS (SELECT FROM pg_extension e WHERE c.oid = ANY (e.extconfig))) ORDER BY 1, 2"
    );
    let found = rows(client, "the list of sequences", &sql, &[]).await?;
    let (mut permanent, mut unlogged) = (Vec::new(), Vec::new());
    for row in &found {
        let name = (get(row, 0)?, get(row, 1)?);
        if get(row, 2)? { unlogged.push(name) } else { permanent.push(name) }
    }
    Ok((permanent, unlogged))
}

/// Where the sequences stand now, outside the snapshot; names of those that are gone are returned beside.
///
/// `client` must not be in a transaction: a sequence dropped in between fails its statement.
pub(crate) async fn positions(
    client: &Client,
    names: &[Name],
) -> Result<(Vec<Sequence>, Vec<Name>)> {
    let mut found = Vec::with_capacity(names.len());
    let mut gone = Vec::new();
    for batch in names.chunks(BATCH) {
        match read(client, batch).await {
            Ok(sequences) => found.extend(sequences),
            Err(error) if undefined(&error) => {
                for name in batch {
                    match read(client, std::slice::from_ref(name)).await {
                        Ok(sequences) => found.extend(sequences),
                        Err(error) if undefined(&error) => gone.push(name.clone()),
                        Err(error) => return Err(error),
                    }
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok((found, gone))
}

async fn read(client: &Client, batch: &[Name]) -> Result<Vec<Sequence>> {
    let selects: Vec<_> = batch
        .iter()
        .enumerate()
        .map(|(at, (schema, name))| {
            format!(
                "SELECT {at}::int8 AS at, last_value, is_called FROM {}",
                qualified(schema, name)
            )
        })
        .collect();
    let sql = format!("{} ORDER BY at", selects.join(" UNION ALL "));
    let mut sequences = Vec::with_capacity(batch.len());
    let values = rows(client, "sequences", &sql, &[]).await?;
    for ((schema, name), row) in batch.iter().zip(&values) {
        let (schema, name) = (schema.clone(), name.clone());
        sequences.push(Sequence {
            schema,
            name,
            last_value: get(row, 1)?,
            is_called: get(row, 2)?,
        });
    }
    Ok(sequences)
}

/// The relation or its schema is not there any more.
fn undefined(error: &Error) -> bool {
    matches!(error.sqlstate(), Some("42P01" | "3F000"))
}
