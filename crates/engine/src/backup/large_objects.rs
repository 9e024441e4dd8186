//! Large objects, under the snapshot, by `lo_get` in pages of bounded size.
//!
//! libpq's large-object calls are not used: a hostile server could write through them. Small objects are read many at a
//! time; a long one page by page.

use coffer_store::{ChunkKind, PackStream};

use crate::catalog::large_object::{LargeObjectFacts, page_after};
use crate::catalog::{get, rows};
use crate::error::Result;
use crate::manifest::{LargeObject, LargeObjects};
use crate::monitor::Phase;
use crate::part::PartWriter;
use crate::row_hash::LargeObjectHasher;

use super::run::Context;

/// Objects whose beginnings are read by one statement.
const BATCH: usize = 64;
/// Bytes of such a beginning; most objects end within it.
const BEGINNING: i32 = 64 * 1024;
/// Bytes of a further page.
const PAGE: i32 = 4 * 1024 * 1024;

/// Reads and stores all of them.
pub(super) async fn store(context: &Context, stream: &mut PackStream) -> Result<LargeObjects> {
    context.reporter.report(Phase::LargeObjects, None);
    let mut writer = Writer {
        list: PartWriter::with_previous(
            ChunkKind::LargeObjectList,
            context.previous.chunks(|root| &root.large_objects.list.chunks),
        ),
        data: PartWriter::with_previous(
            ChunkKind::LargeObjectData,
            context.previous.chunks(|root| &root.large_objects.data.chunks),
        ),
        objects: LargeObjects::default(),
        context,
        stream,
    };
    let mut after = 0;
    loop {
        let page = page_after(&context.hold.connection, after).await?;
        let Some(last) = page.last() else { break };
        after = last.oid;
        for batch in page.chunks(BATCH) {
            writer.batch(batch).await?;
        }
    }
    let Writer { list, data, mut objects, stream, .. } = writer;
    objects.list = list.finish(stream).await?;
    objects.data = data.finish(stream).await?;
    Ok(objects)
}

struct Writer<'a> {
    list: PartWriter,
    data: PartWriter,
    objects: LargeObjects,
    context: &'a Context,
    stream: &'a mut PackStream,
}

impl Writer<'_> {
    async fn batch(&mut self, batch: &[LargeObjectFacts]) -> Result<()> {
        let oids: Vec<u32> = batch.iter().map(|object| object.oid).collect();
        let sql = "SELECT lo_get(x.oid, 0, $2) FROM unnest($1::oid[]) WITH ORDINALITY AS x(oid, place) ORDER BY x.place";
        let beginnings =
            rows(&self.context.hold.connection, "large objects", sql, &[&oids, &BEGINNING]).await?;
        for (facts, row) in batch.iter().zip(&beginnings) {
            self.object(facts, get(row, 0)?).await?;
        }
        Ok(())
    }

    async fn object(&mut self, facts: &LargeObjectFacts, beginning: &[u8]) -> Result<()> {
        let mut hasher = LargeObjectHasher::new(self.context.repository.row_hash_key(), facts.oid);
        self.take(&mut hasher, beginning).await?;
        let mut length = beginning.len();
        let mut complete = length < BEGINNING as usize;
        while !complete {
            let offset = i64::try_from(length).unwrap_or(i64::MAX);
            let sql = "SELECT lo_get($1::oid, $2::int8, $3::int4)";
            let page = rows(
                &self.context.hold.connection,
                "a large object",
                sql,
                &[&facts.oid, &offset, &PAGE],
            )
            .await?;
            let bytes: &[u8] = match page.first() {
                Some(row) => get(row, 0)?,
                None => &[],
            };
            self.take(&mut hasher, bytes).await?;
            length += bytes.len();
            complete = bytes.len() < PAGE as usize;
        }
        let content = hasher.finish();
        self.objects.content.add(content);
        let LargeObjectFacts { oid, owner, acl, comment } = facts.clone();
        self.list
            .line(self.stream, &LargeObject { oid, owner, acl, comment, bytes: content.text_bytes })
            .await?;
        self.data.count_item();
        Ok(())
    }

    async fn take(&mut self, hasher: &mut LargeObjectHasher, bytes: &[u8]) -> Result<()> {
        hasher.update(bytes);
        self.data.bytes(self.stream, bytes).await?;
        self.context.reporter.add(bytes.len() as u64, 0, 0);
        self.context.reporter.report(Phase::LargeObjects, None);
        Ok(())
    }
}
