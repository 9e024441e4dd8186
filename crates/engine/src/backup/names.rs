//! That a table's name meant the table itself when its rows were read.
//!
//! COPY knows tables by name only, and looks names up in the newest catalog, not under the snapshot. Our lock keeps a table from
//! being renamed, moved or dropped; nothing keeps its *schema* from being renamed, another from taking its place, and all
//! that from being undone before anybody looks again. But each such change writes a new version of the schema's row. So after
//! every range the newest version is compared with the one known before: where it is the same, the name meant the same all
//! the while. Where it is another, the range is read once more; a new version may also come from a mere GRANT.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use coffer_store::PackStream;
use tokio_postgres::Statement;

use crate::catalog::{USER_SCHEMA, get, rows};
use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::manifest::Range;

use super::copy_out::copy_range;
use super::dispatcher::Job;
use super::run::Context;
use super::unchanged::{How, Look, look};

/// How often one range is read again because its schema was changed meanwhile.
const READS_MAX: u32 = 10;

/// A schema's number, and who wrote its row.
type Version = (u32, String);

/// The newest known version of every schema under its name of the snapshot.
pub(super) struct Names {
    newest: Statement,
    known: Mutex<HashMap<String, Version>>,
}

enum Meaning {
    /// Not changed since it was last looked at.
    Same,
    /// Changed, but the name now means what it meant under the snapshot.
    Touched,
    /// Another schema, or none.
    Other,
}

impl Names {
    /// `snapshot` is the session of the snapshot, `free` one without.
    pub(super) async fn of(snapshot: &Connection, free: &Connection) -> Result<Self> {
        let sql = format!(
            "SELECT n.nspname::text, n.oid, n.xmin::text FROM pg_namespace n WHERE {USER_SCHEMA}"
        );
        let mut known = HashMap::new();
        for row in rows(snapshot, "schemas", &sql, &[]).await? {
            known.insert(get(&row, 0)?, (get(&row, 1)?, get(&row, 2)?));
        }
        let sql = "SELECT oid, xmin::text FROM pg_namespace WHERE nspname = $1::text::name";
        let newest = free.prepare(sql).await.map_err(|error| Error::sql("read schemas", &error))?;
        Ok(Self { newest, known: Mutex::new(known) })
    }

    /// What is known of a schema, which was true at some moment before now.
    fn known(&self, schema: &str) -> Option<Version> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(schema).cloned()
    }

    /// What the name means now, compared with what was known before a range was read. Each reader brings its own: what
    /// another has learned meanwhile says nothing of when this one read.
    async fn look(
        &self,
        free: &Connection,
        schema: &str,
        before: Option<&Version>,
    ) -> Result<Meaning> {
        let found = free.query(&self.newest, &[&schema]).await;
        let found = found.map_err(|error| Error::sql("read schemas", &error))?;
        let (Some(row), Some(before)) = (found.first(), before) else { return Ok(Meaning::Other) };
        let now: Version = (get(row, 0)?, get(row, 1)?);
        if *before == now {
            return Ok(Meaning::Same);
        }
        if before.0 != now.0 {
            return Ok(Meaning::Other);
        }
        self.known.lock().unwrap_or_else(PoisonError::into_inner).insert(schema.to_owned(), now);
        Ok(Meaning::Touched)
    }
}

/// Takes a range over, or reads it. None where it was read only to see whether it could have been taken over, and could not.
async fn unchanged_or_read(
    context: &Context,
    connection: &Connection,
    stream: &mut PackStream,
    job: &Job,
) -> Result<Option<(Range, How)>> {
    let look = look(context, connection, stream, job).await?;
    if let Look::TakeOver { range, by_log } = look {
        context.tell_taken_over(job, &range);
        return Ok(Some((*range, How::TakenOver { by_log })));
    }
    let range = copy_range(context, connection, stream, job).await?;
    let (Look::Audit { by_log }, Some(earlier)) = (look, &job.earlier) else {
        return Ok(Some((range, How::Read)));
    };
    Ok((range.content == earlier.content).then_some((range, How::Audited { by_log })))
}

/// Reads a range and stores it, or takes it over. What it read is the table of the plan, not another that had its name for a moment.
///
/// # Errors
/// [`Error::SnapshotRace`] when the name means another table now, or its schema never rests.
pub(super) async fn read_range(
    context: &Context,
    connection: &Connection,
    stream: &mut PackStream,
    job: &Job,
) -> Result<(Range, How)> {
    let (names, schema) = (&context.names, &job.table.facts.schema);
    for _ in 0..READS_MAX {
        let before = names.known(schema);
        let read = unchanged_or_read(context, connection, stream, job).await;
        match read {
            // The session that holds the locks reads it instead, and looks by itself.
            Err(error) if error.sqlstate() == Some("55P03") => return Err(error),
            Err(error @ Error::Sql { .. }) => {
                // Its transaction is over, so it can't be read again. A name that is gone or means a view is an error too.
                match names.look(&context.free, schema, before.as_ref()).await {
                    Ok(Meaning::Touched | Meaning::Other) => break,
                    Ok(Meaning::Same) | Err(_) => return Err(error),
                }
            }
            Err(error) => return Err(error),
            // Chunks that turn out to be of another table are garbage, which no manifest names.
            Ok(read) => match names.look(&context.free, schema, before.as_ref()).await? {
                Meaning::Same => match read {
                    Some(read) => return Ok(read),
                    None => {
                        context.mismatch.get_or_init(|| job.table.facts.display_name());
                        break;
                    }
                },
                Meaning::Touched => tracing::info!(
                    table = job.table.facts.display_name(),
                    "its schema was changed meanwhile; reading the range again"
                ),
                Meaning::Other => break,
            },
        }
    }
    Err(Error::SnapshotRace { attempts: 1, relations: vec![job.table.facts.display_name()] })
}
