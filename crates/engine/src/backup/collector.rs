//! Puts what workers read, in any order, into the manifest's order: ranges into tables, tables into the list.
//!
//! Ranges are taken strictly by number, so memory holds one open table and at most the outstanding ranges.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_store::{ChunkKind, PackStream};
use tokio::sync::mpsc;

use crate::error::Result;
use crate::manifest::{Content, INLINE_RANGES_MAX, Part, Range, Ranges, Reading, Table, Totals};
use crate::part::PartWriter;

use super::dispatcher::TableWork;
use super::run::Context;
use super::unchanged::How;
use super::worker::Done;

/// The list of tables and the sums over it.
pub(super) struct Collected {
    pub(super) tables: Part,
    pub(super) totals: Totals,
}

struct OpenTable {
    work: Arc<TableWork>,
    inline: Vec<Range>,
    listed: Option<PartWriter>,
    content: Content,
    large_rows: u64,
    taken_over: u64,
    by_log: u64,
    audited: u64,
}

struct Collector {
    context: Arc<Context>,
    stream: PackStream,
    list: PartWriter,
    open: Option<OpenTable>,
    totals: Totals,
}

/// Collects until all workers are done. How many tables came is for the caller to compare.
pub(super) async fn collect(
    context: Arc<Context>,
    mut done: mpsc::Receiver<Done>,
) -> Result<Collected> {
    let previous = context.previous.part(|root| Some(&root.tables));
    let mut collector = Collector {
        stream: context.writer.stream(),
        list: PartWriter::with_previous(ChunkKind::TableList, previous),
        open: None,
        totals: Totals::default(),
        context,
    };
    let mut early = BTreeMap::new();
    let mut next = 0;
    while let Some(one) = done.recv().await {
        early.insert(one.number, one);
        while let Some(one) = early.remove(&next) {
            collector.add(one).await?;
            next += 1;
        }
    }
    let Collector { mut stream, list, totals, .. } = collector;
    let tables = list.finish(&mut stream).await?;
    stream.finish().await.map_err(crate::Error::store("store the list of tables"))?;
    Ok(Collected { tables, totals })
}

impl Collector {
    async fn add(&mut self, done: Done) -> Result<()> {
        let Done { table: work, index, range, how, permit, .. } = done;
        let last = index + 1 == work.ranges;
        let mut open = match self.open.take() {
            Some(open) => open,
            None => OpenTable {
                work,
                inline: Vec::new(),
                listed: None,
                content: Content::default(),
                large_rows: 0,
                taken_over: 0,
                by_log: 0,
                audited: 0,
            },
        };
        open.content.add(range.content);
        open.large_rows += range.large_rows.len() as u64;
        self.totals.ranges += 1;
        if let How::TakenOver { by_log } | How::Audited { by_log } = how {
            open.by_log += u64::from(by_log);
        }
        open.taken_over += u64::from(matches!(how, How::TakenOver { .. }));
        open.audited += u64::from(matches!(how, How::Audited { .. }));
        if open.listed.is_none() && open.inline.len() == INLINE_RANGES_MAX {
            let previous = self.context.previous.range_list(open.work.facts.oid);
            let mut writer = PartWriter::with_previous(ChunkKind::RangeList, previous);
            for range in open.inline.drain(..) {
                writer.line(&mut self.stream, &range).await?;
            }
            open.listed = Some(writer);
        }
        match &mut open.listed {
            Some(writer) => writer.line(&mut self.stream, &range).await?,
            None => open.inline.push(range),
        }
        drop(permit);
        if last {
            self.close(open).await?;
        } else {
            self.open = Some(open);
        }
        Ok(())
    }

    async fn close(&mut self, open: OpenTable) -> Result<()> {
        let ranges = match open.listed {
            Some(writer) => Ranges::Listed(writer.finish(&mut self.stream).await?),
            None => Ranges::Inline(open.inline),
        };
        let (facts, shape) = (&open.work.facts, &open.work.shape);
        let table = Table {
            oid: facts.oid,
            schema: facts.schema.clone(),
            name: facts.name.clone(),
            relfilenode: facts.relfilenode,
            tablespace_oid: facts.tablespace_oid,
            persistence: facts.persistence.clone(),
            access_method: facts.access_method.clone(),
            partition_root: facts.partition_root.clone(),
            columns: shape.columns.clone(),
            extension_condition: facts.extension_condition.clone(),
            extension: facts.extension.clone(),
            shape: shape.hash.clone(),
            never_skip: shape.never_skip,
            heap_blocks: facts.heap_blocks,
            total_bytes: facts.total_bytes,
            range_blocks: open.work.range_blocks,
            ranges,
            content: open.content,
            large_rows: open.large_rows,
            reading: Reading {
                delta_tried: open.work.deltas.tried(),
                deltas: open.work.deltas.made(),
                taken_over: open.taken_over,
                by_log: open.by_log,
                audited: open.audited,
                ..open.work.looks.reading()
            },
        };
        self.totals.tables += 1;
        self.totals.ranges_skipped += open.taken_over;
        self.totals.content.add(open.content);
        self.list.line(&mut self.stream, &table).await
    }
}
