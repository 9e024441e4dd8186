//! Cuts tables into ranges of heap blocks and hands them out, largest table first.
//!
//! Ranges are sized by bytes, TOAST included: a hundred heap blocks may stand for a hundred megabytes. Their bounds stay
//! what they were in the previous recovery point while they are about right, so that unchanged blocks give the same chunks.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::catalog::relation::TableFacts;
use crate::catalog::shape::{self, Shape};
use crate::check::CTID_RANGES_SINCE;
use crate::error::Result;
use crate::large_row::{self, LargeRows};
use crate::manifest::{Content, Range};

use super::deltas::Deltas;
use super::reporter::DoneRange;
use super::run::Context;
use super::unchanged::Looks;

/// Ranges handed out but not yet in the list. Bounds what waits for a slow one.
pub(super) const OUTSTANDING_MAX: usize = 1024;
/// Tables whose columns are read at once.
const COLUMN_BATCH: usize = 200;
/// Bounds of a range's heap blocks.
const RANGE_BLOCKS: (u64, u64) = (16, 1 << 20);

/// A table being read.
#[derive(Debug)]
pub(super) struct TableWork {
    pub(super) facts: TableFacts,
    pub(super) shape: Shape,
    /// Heap blocks of a range; 0 where the table is read whole.
    pub(super) range_blocks: u64,
    pub(super) ranges: u64,
    /// Where some of its rows may be too large for one message.
    pub(super) large_rows: Option<LargeRows>,
    pub(super) looks: Looks,
    pub(super) deltas: Deltas,
}

/// One range to read.
#[derive(Debug)]
pub(super) struct Job {
    /// Place in the order of the manifest.
    pub(super) number: u64,
    pub(super) table: Arc<TableWork>,
    /// Place in the table.
    pub(super) index: u64,
    pub(super) start_block: u64,
    pub(super) end_block: Option<u64>,
    /// What began there in the previous recovery point.
    pub(super) earlier: Option<Range>,
    /// Given back when the range stands in the list.
    pub(super) permit: OwnedSemaphorePermit,
}

impl Job {
    /// What is told of it when it is done.
    pub(super) fn done(&self, content: Content) -> DoneRange {
        let (bytes, ranges) =
            (u128::from(self.table.facts.total_bytes), u128::from(self.table.ranges));
        let up_to = |index: u64| bytes * u128::from(index) / ranges.max(1);
        DoneRange {
            disk_bytes: u64::try_from(up_to(self.index + 1) - up_to(self.index)).unwrap_or(0),
            text_bytes: content.text_bytes,
            rows: content.rows,
            ends_table: self.end_block.is_none(),
        }
    }
}

/// Hands out everything; ends early only when nobody takes it any more.
pub(super) async fn dispatch(
    context: Arc<Context>,
    tables: Vec<TableFacts>,
    jobs: mpsc::Sender<Job>,
) -> Result<()> {
    let permits = Arc::new(Semaphore::new(OUTSTANDING_MAX));
    let mut number = 0;
    let mut tables = tables.into_iter().peekable();
    while tables.peek().is_some() {
        let batch: Vec<_> = tables.by_ref().take(COLUMN_BATCH).collect();
        let oids: Vec<u32> = batch.iter().map(|table| table.oid).collect();
        let mut shapes =
            shape::shapes(&context.hold.connection, &oids, &context.shape_salt, context.major)
                .await?;
        let may_be_large: Vec<_> =
            batch.iter().filter(|facts| possible(&context, facts)).map(|facts| facts.oid).collect();
        let kinds = large_row::kinds(&context.hold.connection, &may_be_large).await?;
        for facts in batch {
            let mut shape = shapes.remove(&facts.oid).unwrap_or_default();
            // The condition decides which rows there are.
            if let Some(condition) = &facts.extension_condition {
                shape.hash = blake3::hash(format!("{} {condition}", shape.hash).as_bytes())
                    .to_hex()
                    .to_string();
            }
            let (range_blocks, ranges) = plan(&context, &facts);
            let mut previous = context.previous.ranges(&context.repository, facts.oid);
            let large_rows = kinds.get(&facts.oid).and_then(|kinds| {
                let (columns, limit) = (&shape.columns, context.large_row_bytes);
                LargeRows::of(&facts.sql_name(), columns, kinds, limit, facts.is_heap())
            });
            let (base, earlier) = (context.base.as_ref(), context.previous.table(facts.oid));
            let looks = Looks::of(base, &facts, &shape, range_blocks, earlier, &context.unread);
            let deltas = Deltas::of(context.deltas, earlier.map(|table| &table.reading));
            let table = Arc::new(TableWork {
                facts,
                shape,
                range_blocks,
                ranges,
                large_rows,
                looks,
                deltas,
            });
            for index in 0..ranges {
                let start_block = index * range_blocks;
                let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return Ok(()) };
                let job = Job {
                    number,
                    table: Arc::clone(&table),
                    index,
                    start_block,
                    end_block: (index + 1 < ranges).then(|| start_block + range_blocks),
                    earlier: previous.at(start_block).await,
                    permit,
                };
                if jobs.send(job).await.is_err() {
                    return Ok(());
                }
                number += 1;
            }
        }
    }
    Ok(())
}

/// Whether a table may have large rows. How much other access methods keep where is not known.
fn possible(context: &Context, facts: &TableFacts) -> bool {
    !facts.is_heap() || large_row::possible(facts.toast_bytes, context.large_row_bytes)
}

/// Heap blocks per range (0: whole) and number of ranges.
fn plan(context: &Context, facts: &TableFacts) -> (u64, u64) {
    let divisible = context.major >= CTID_RANGES_SINCE
        && facts.is_heap()
        && facts.extension_condition.is_none();
    let earlier =
        context.previous.table(facts.oid).filter(|table| table.relfilenode == facts.relfilenode);
    let earlier = earlier.map_or(0, |table| table.range_blocks);
    range_plan(facts.heap_blocks, facts.total_bytes, context.range_bytes, divisible, earlier)
}

fn range_plan(
    heap_blocks: u64,
    total_bytes: u64,
    range_bytes: u64,
    divisible: bool,
    earlier: u64,
) -> (u64, u64) {
    if !divisible || (total_bytes < 2 * range_bytes && earlier == 0) || heap_blocks < 2 {
        return (0, 1);
    }
    let exact = u128::from(heap_blocks) * u128::from(range_bytes) / u128::from(total_bytes.max(1));
    let exact = u64::try_from(exact).unwrap_or(u64::MAX).clamp(RANGE_BLOCKS.0, RANGE_BLOCKS.1);
    // A power of two, so that a little growth does not move every bound.
    let ideal = 1 << exact.ilog2();
    let fits = earlier > 0 && earlier >= ideal / 4 && earlier <= ideal * 4;
    let blocks = if fits { earlier } else { ideal };
    (blocks, heap_blocks.div_ceil(blocks).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn ranges_are_sized_by_bytes() {
        // 8 KiB blocks, no TOAST: 8 MiB are 1024 blocks.
        assert_eq!(range_plan(10_000, 10_000 * 8192, 8 * MIB, true, 0), (1024, 10));
        // 1000 heap blocks stand for 1 GiB.
        assert_eq!(range_plan(1000, 1024 * MIB, 8 * MIB, true, 0), (16, 63));
        assert_eq!(range_plan(1000, 8 * MIB, 8 * MIB, true, 0), (0, 1));
        assert_eq!(range_plan(10_000, 10_000 * 8192, 8 * MIB, false, 0), (0, 1));
        assert_eq!(range_plan(0, 0, 8 * MIB, true, 0), (0, 1));
    }

    #[test]
    fn bounds_stay_while_they_are_about_right() {
        assert_eq!(range_plan(10_000, 40_000 * 8192, 8 * MIB, true, 1024), (1024, 10));
        assert_eq!(range_plan(10_000, 80_000 * 8192, 8 * MIB, true, 1024), (128, 79));
    }
}
