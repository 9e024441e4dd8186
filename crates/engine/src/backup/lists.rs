//! Everything that is neither rows nor large objects: the schema's archive, roles, views, sequences.

use coffer_store::{ChunkKind, ChunkRef, PackStream};
use serde::Serialize;

use crate::catalog::{materialized_view, role, sequence};
use crate::connect::Connection;
use crate::error::Result;
use crate::manifest::{NotProved, Part, Warning};
use crate::part::PartWriter;

use super::run::Context;

/// Writes them, and notes what is to be said about them.
pub(super) struct Lists<'a> {
    pub(super) context: &'a Context,
    pub(super) not_proved: &'a mut Vec<NotProved>,
    pub(super) warnings: &'a mut Vec<Warning>,
}

impl Lists<'_> {
    pub(super) async fn schema(&self, stream: &mut PackStream, toc: &[u8]) -> Result<Part> {
        let previous = self.context.previous.chunks(|root| &root.schema.toc.chunks);
        let mut part = PartWriter::with_previous(ChunkKind::SchemaArchive, previous);
        part.bytes(stream, toc).await?;
        part.count_item();
        part.finish(stream).await
    }

    pub(super) async fn roles(&self, stream: &mut PackStream, major: u32) -> Result<Part> {
        let roles = role::roles(&self.context.hold.connection, major).await?;
        let previous = self.context.previous.chunks(|root| &root.roles.chunks);
        write_list(stream, ChunkKind::Roles, previous, &roles).await
    }

    pub(super) async fn materialized_views(&mut self, stream: &mut PackStream) -> Result<Part> {
        let views = materialized_view::materialized_views(&self.context.hold.connection).await?;
        self.not_proved.extend(views.iter().filter(|view| view.populated).map(|view| NotProved {
            object: format!("materialized view {}.{}", view.schema, view.name),
            reason: "it is refreshed from the restored tables, not stored".to_owned(),
        }));
        let previous = self.context.previous.chunks(|root| &root.materialized_views.chunks);
        write_list(stream, ChunkKind::MaterializedViewList, previous, &views).await
    }

    /// Named under the snapshot, read outside it and after it, so that no row has a number that is still to come.
    pub(super) async fn sequences(
        &mut self,
        stream: &mut PackStream,
        free: &Connection,
    ) -> Result<Part> {
        let names = sequence::sequences(&self.context.hold.connection).await?;
        let (sequences, gone) = sequence::positions(free, &names).await?;
        self.warnings.extend(gone.iter().map(|(schema, name)| Warning {
            code: "SequenceGone".to_owned(),
            message: format!(
                "sequence {schema}.{name} was dropped during the backup; it comes back at its start"
            ),
        }));
        let previous = self.context.previous.chunks(|root| &root.sequences.chunks);
        write_list(stream, ChunkKind::SequenceList, previous, &sequences).await
    }
}

async fn write_list<T: Serialize>(
    stream: &mut PackStream,
    kind: ChunkKind,
    previous: Vec<ChunkRef>,
    items: &[T],
) -> Result<Part> {
    let mut part = PartWriter::with_previous(kind, previous);
    for item in items {
        part.line(stream, item).await?;
    }
    part.finish(stream).await
}
