//! Whether a range still has the rows that it had, without reading them.
//!
//! A row's version is never changed, only replaced by another with a later transaction's number in `xmin`, or deleted. Let X be the
//! oldest transaction that ran when the base's snapshot was taken. A row that is visible now and whose `xmin` is before X was
//! written by a transaction that had committed by then, and was not deleted by one: it was visible to the base. So if no visible
//! row of the range has an `xmin` from X on, all its rows were among those of the base, and if they are as many, they are the same. This
//! costs a walk over the rows' headers, writes nothing down beforehand, and sees subtransactions and prepared ones like all others,
//! since their numbers are not before X while they run.
//!
//! What a long transaction costs is that whatever was written since it began is read once more.
//!
//! Where the server's log is summarized, [`super::log_map`] says without a walk what was not touched.
//!
//! The rule holds on a [`super::base`] that is sound, for permanent heaps that were not rewritten, and for columns of the same shape.
//! Freezing leaves `xmin` as it is (`heapam.c`; since 9.4). A number from before the last wraparound may look like one from X on; then
//! the range is read, which is never wrong.

use coffer_store::PackStream;

use super::base::SoundBase;
use super::copy_out::condition;
use super::dispatcher::Job;
use super::previous::PreviousTable;
use super::run::Context;
use super::trial::Trial;
use super::{Mutation, UnreadOptions};
use crate::catalog::relation::TableFacts;
use crate::catalog::shape::Shape;
use crate::catalog::{get, get_u64, one_row};
use crate::connect::Connection;
use crate::error::Result;
use crate::manifest::{Range, Reading};

/// Whether ranges of one table may be taken over, and what became of those that were looked at.
#[derive(Debug, Default)]
pub(super) struct Looks {
    /// Why none may, by a stable word.
    never: Option<&'static str>,
    /// Looks that find no change save the reading.
    trial: Trial,
}

/// How the rows of a range came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// They were read.
    Read,
    /// They might have been taken over, and were read all the same.
    Audited { by_log: bool },
    /// Unread, from the previous recovery point, by what its rows look like or by what the server's log says.
    TakenOver { by_log: bool },
}

/// What a look at a range said.
pub(super) enum Look {
    /// Take this over.
    TakeOver { range: Box<Range>, by_log: bool },
    /// It would be taken over; it is read to see whether that would be right.
    Audit { by_log: bool },
    /// Read it.
    Read,
}

impl Looks {
    /// Of a table as it is now and as it was.
    pub(super) fn of(
        base: Option<&SoundBase>,
        facts: &TableFacts,
        shape: &Shape,
        range_blocks: u64,
        earlier: Option<&PreviousTable>,
        options: &UnreadOptions,
    ) -> Self {
        // Without a base nothing is taken over of any table, which the manifest says once.
        let never = base.and_then(|_| never(facts, shape, range_blocks, earlier, options));
        let trial = earlier.map(|table| {
            let Reading { looked_at, taken_over, audited, by_log, .. } = table.reading;
            let unchanged = (taken_over + audited).saturating_sub(by_log);
            Trial::after(looked_at, looked_at.saturating_sub(unchanged))
        });
        Self { never, trial: trial.unwrap_or_default() }
    }

    /// For the manifest, but for what became of the ranges.
    pub(super) fn reading(&self) -> Reading {
        Reading {
            looked_at: self.trial.tried(),
            reason: self.never.map(str::to_owned),
            ..Reading::default()
        }
    }
}

fn never(
    facts: &TableFacts,
    shape: &Shape,
    range_blocks: u64,
    earlier: Option<&PreviousTable>,
    options: &UnreadOptions,
) -> Option<&'static str> {
    let Some(earlier) = earlier else { return Some("new") };
    let rules = [
        ("rewritten", earlier.relfilenode != facts.relfilenode),
        ("rewritten", earlier.tablespace_oid != facts.tablespace_oid),
        ("shape", earlier.shape != shape.hash),
        ("names_looked_up", shape.never_skip),
        ("not_heap", !facts.is_heap()),
        ("not_permanent", facts.persistence != "p"),
        ("filtered", facts.extension_condition.is_some()),
        ("other_ranges", earlier.range_blocks != range_blocks),
        ("small", facts.total_bytes < options.table_bytes_min),
    ];
    rules.iter().find(|(_, applies)| *applies).map(|(reason, _)| *reason)
}

/// Looks at a range, where that is allowed and pays.
pub(super) async fn look(
    context: &Context,
    connection: &Connection,
    stream: &PackStream,
    job: &Job,
) -> Result<Look> {
    let looks = &job.table.looks;
    let (Some(base), Some(earlier)) = (&context.base, &job.earlier) else { return Ok(Look::Read) };
    // All of the new range must lie in the earlier one; the last of a table has no end.
    let is_within = earlier.start_block == job.start_block
        && (earlier.end_block.is_none() || earlier.end_block == job.end_block);
    if looks.never.is_some() || !is_within {
        return Ok(Look::Read);
    }
    let by_log = context.log.as_ref().is_some_and(|log| {
        let facts = &job.table.facts;
        log.is_untouched(facts.tablespace_oid, facts.relfilenode, job.start_block, job.end_block)
    });
    let mut is_unchanged = by_log;
    if !by_log {
        if !looks.trial.pays(job.index) {
            return Ok(Look::Read);
        }
        looks.trial.begin();
        is_unchanged = same_rows(context, connection, base, job, earlier.content.rows).await?;
        looks.trial.end(is_unchanged);
    }
    if !is_unchanged || !earlier.references().all(|chunk| stream.take_over(&chunk)) {
        return Ok(Look::Read);
    }
    if context.is_audited(job.number) {
        return Ok(Look::Audit { by_log });
    }
    // The bounds are those of now: of the last range, others than they were.
    let (start_block, end_block) = (job.start_block, job.end_block);
    let range = Box::new(Range { start_block, end_block, ..earlier.clone() });
    Ok(Look::TakeOver { range, by_log })
}

/// Whether the rows of the range are those, and as many, as the base had. `xmin` counts by 32 bits, and `age` by how many came since.
async fn same_rows(
    context: &Context,
    connection: &Connection,
    base: &SoundBase,
    job: &Job,
    rows: u64,
) -> Result<bool> {
    let table = job.table.facts.sql_name();
    let condition = condition(job);
    let sql = format!(
        "SELECT count(*), coalesce(bool_or(age(t.xmin) <= (SELECT age('{}'::xid)) AND age(t.xmin) >= 0), false) \
         FROM ONLY {table} AS t {condition}",
        base.xmin & u64::from(u32::MAX)
    );
    let row = one_row(connection, "the ages of rows", &sql, &[]).await?;
    let (are_as_many, is_any_younger): (bool, bool) = (get_u64(&row, 0)? == rows, get(&row, 1)?);
    let without = |mutation| context.unread.mutations.contains(&mutation);
    Ok((are_as_many || without(Mutation::AgesAlone))
        && (!is_any_younger || without(Mutation::CountAlone)))
}
