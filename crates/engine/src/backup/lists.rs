//! Everything that is neither rows nor large objects: the schema's archive, roles, views, sequences.

use std::time::Duration;

use coffer_store::{ChunkKind, PackStream, Repository};
use serde::Serialize;

use crate::catalog::{materialized_view, role, sequence};
use crate::error::{Error, Result};
use crate::manifest::{NotProved, Part, Sequence, Warning};
use crate::part::PartWriter;
use crate::session::execute;

use super::run::Context;

/// Largest `lock_timeout` of a server.
const LOCK_WAIT_MS_MAX: u128 = i32::MAX as u128;

/// Writes them, and notes what is to be said about them.
pub(super) struct Lists<'a> {
    pub(super) context: &'a Context,
    pub(super) not_proved: &'a mut Vec<NotProved>,
    pub(super) warnings: &'a mut Vec<Warning>,
}

impl Lists<'_> {
    pub(super) async fn schema(&self, stream: &mut PackStream, toc: &[u8]) -> Result<Part> {
        let previous = self.context.previous.part(|root| Some(&root.schema.toc));
        let mut part = PartWriter::with_previous(ChunkKind::SchemaArchive, previous);
        part.bytes(stream, toc).await?;
        part.count_item();
        part.finish(stream).await
    }

    pub(super) async fn roles(&self, stream: &mut PackStream, major: u32) -> Result<Part> {
        let roles = role::roles(&self.context.hold.connection, major).await?;
        let previous = self.context.previous.part(|root| Some(&root.roles));
        write_list(stream, ChunkKind::Roles, previous, &roles).await
    }

    pub(super) async fn materialized_views(&mut self, stream: &mut PackStream) -> Result<Part> {
        let views = materialized_view::materialized_views(&self.context.hold.connection).await?;
        self.not_proved.extend(views.iter().filter(|view| view.populated).map(|view| NotProved {
            object: format!("materialized view {}.{}", view.schema, view.name),
            reason: "it is refreshed from the restored tables, not stored".to_owned(),
        }));
        let previous = self.context.previous.part(|root| Some(&root.materialized_views));
        write_list(stream, ChunkKind::MaterializedViewList, previous, &views).await
    }

    /// Positions of sequences, in order.
    pub(super) async fn sequences(
        &self,
        stream: &mut PackStream,
        sequences: &[Sequence],
    ) -> Result<Part> {
        let previous = self.context.previous.part(|root| Some(&root.sequences));
        write_list(stream, ChunkKind::SequenceList, previous, sequences).await
    }

    /// Named under the snapshot, read outside it and after it, so that no row has a number that is still to come; and soon
    /// after it, before the rows, since nothing keeps anybody from setting a sequence back meanwhile. Nothing holds a lock on
    /// them: whoever drops one and does not commit is waited for, but not longer than `lock_wait`.
    pub(super) async fn positions(
        &mut self,
        in_recovery: bool,
        lock_wait: Duration,
    ) -> Result<Vec<Sequence>> {
        let (mut listed, unlogged) = sequence::sequences(&self.context.hold.connection).await?;
        if in_recovery {
            self.not_proved.extend(unlogged.iter().map(|sequence| NotProved {
                object: format!("sequence {}.{}", sequence.schema, sequence.name),
                reason:
                    "it is unlogged and the source is a standby, which can't read it".to_owned(),
            }));
        } else {
            listed.extend(unlogged);
        }
        let free = &self.context.free;
        let wait_ms = lock_wait.as_millis().clamp(1, LOCK_WAIT_MS_MAX);
        execute(free, "bound the wait for locks", &format!("SET lock_timeout = {wait_ms}")).await?;
        let (sequences, gone) = match sequence::positions_of(free, &listed).await {
            Err(Error::Sql { sqlstate, message, .. }) if sqlstate == "55P03" => {
                let waited_ms = u64::try_from(wait_ms).unwrap_or(u64::MAX);
                return Err(Error::LockTimeout { waited_ms, message });
            }
            positions => positions?,
        };
        self.warnings.extend(gone.iter().map(|sequence| Warning {
            code: "SequenceGone".to_owned(),
            message: format!(
                "sequence {}.{} was dropped during the backup; it comes back at its start",
                sequence.schema, sequence.name
            ),
        }));
        Ok(sequences)
    }
}

pub(super) async fn write_list<T: Serialize>(
    stream: &mut PackStream,
    kind: ChunkKind,
    previous: Option<(Repository, Part)>,
    items: &[T],
) -> Result<Part> {
    let mut part = PartWriter::with_previous(kind, previous);
    for item in items {
        part.line(stream, item).await?;
    }
    part.finish(stream).await
}
