//! Which heap blocks the server's log says were touched since the base, by WAL summaries (PostgreSQL 17 and newer).
//!
//! A transaction that was open at the base's snapshot may have written before it, and its end names no block. So the map begins
//! not at the snapshot but at a **mark**: a position before which no transaction wrote that had not ended by the snapshot. A mark is a
//! pair of a position and a transaction's number, such that whoever has this number or a later one writes all its log from there on;
//! the newest one whose number is not after the snapshot's oldest running transaction is it. The map ends at or after the position
//! read after the new snapshot, and has no gap in between. Whatever is missing makes the map none, which costs time and nothing
//! else: rows are looked at then ([`super::unchanged`]).
//!
//! Hint bits make blocks listed where checksums are on, so what is listed need not have changed. What is not listed has not.

use std::collections::{BTreeSet, HashMap};
use std::pin::pin;
use std::time::{Duration, Instant};

use futures::TryStreamExt as _;
use tokio_postgres::types::ToSql;

use super::base::SoundBase;
use super::{Mutation, UnreadOptions};
use crate::catalog::database::lsn_number;
use crate::catalog::{get, one_row, rows};
use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::manifest::Mark;
use crate::session::execute;

/// First version that summarizes its log.
pub(super) const SINCE_MAJOR: u32 = 17;
/// How long is waited for the summary of the log up to the snapshot; with the schema being archived meanwhile.
const SUMMARY_WAIT: Duration = Duration::from_secs(20);
/// How often it is looked.
const SUMMARY_POLL: Duration = Duration::from_millis(50);
/// Units that a map may have, four bytes each: eight terabytes of those of a thousand blocks. A larger one is none.
const UNITS_MAX: usize = 1 << 20;

/// Why there is no map, by a stable word.
pub(super) type NoMap = &'static str;

/// Where a relation's file is: tablespace and file number.
type File = (u32, u32);

/// What was touched.
#[derive(Debug, Default)]
pub(super) struct LogMap {
    touched: HashMap<File, Touched>,
    /// Files of a whole tablespace of the database were made or dropped.
    whole: BTreeSet<u32>,
    /// Tablespace of relations that name none.
    default_tablespace: u32,
    /// Blocks that are told apart.
    unit_blocks: u64,
}

#[derive(Debug, Default)]
struct Touched {
    /// Ascending.
    units: Vec<u32>,
    /// From this block on the file was cut off, or made anew. A summary forgets what it had listed from there on, so that rows that were
    /// deleted before the cut leave no other trace.
    limit: Option<u64>,
}

/// What the map is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) timeline: u32,
    pub(super) from: u64,
    pub(super) to: u64,
}

impl LogMap {
    /// Whether no block from `start` up to but without `end` was touched; without an end, to the end of the file.
    pub(super) fn is_untouched(
        &self,
        tablespace_oid: u32,
        relfilenode: u32,
        start: u64,
        end: Option<u64>,
    ) -> bool {
        let tablespace = if tablespace_oid == 0 { self.default_tablespace } else { tablespace_oid };
        if self.whole.contains(&tablespace) {
            return false;
        }
        let Some(touched) = self.touched.get(&(tablespace, relfilenode)) else { return true };
        let is_cut = match (touched.limit, end) {
            (None, _) => false,
            (Some(limit), Some(end)) => limit < end,
            (Some(_), None) => true,
        };
        let first = start / self.unit_blocks;
        let behind = end.map_or(u64::MAX, |end| end.div_ceil(self.unit_blocks));
        let at = touched.units.partition_point(|unit| u64::from(*unit) < first);
        let is_listed = touched.units.get(at).is_some_and(|unit| u64::from(*unit) < behind);
        !is_cut && !is_listed
    }
}

/// The span that a map has to cover; none where nothing is known from early enough.
pub(super) fn span(
    base: &SoundBase,
    marks: &[Mark],
    base_insert_lsn: &str,
    timeline: u32,
    insert_lsn: &str,
    options: &UnreadOptions,
) -> Option<Span> {
    let naive = options.mutations.contains(&Mutation::LogFromSnapshot);
    let from = if naive {
        lsn_number(base_insert_lsn)
    } else {
        // One from behind the snapshot is of another history, and a span from there on would be empty.
        let taken_at = lsn_number(base_insert_lsn)?;
        let early = marks.iter().filter(|mark| mark.xid <= base.xmin);
        early.filter_map(|mark| lsn_number(&mark.lsn)).filter(|lsn| *lsn <= taken_at).max()
    };
    Some(Span { timeline, from: from?, to: lsn_number(insert_lsn)? })
}

/// Has the log summarized up to the snapshot, and reads the map.
pub(super) async fn of_span(
    connection: &Connection,
    span: &Span,
    database_oid: u32,
    options: &UnreadOptions,
) -> Result<std::result::Result<LogMap, NoMap>> {
    let sql = "SELECT current_setting('summarize_wal')";
    let setting: String =
        get(&one_row(connection, "whether the log is summarized", sql, &[]).await?, 0)?;
    if setting != "on" {
        return Ok(Err("not_summarized"));
    }
    // Summaries end where a checkpoint begins.
    let checkpoint = execute(connection, "have the log summarized", "CHECKPOINT");
    match tokio::time::timeout(SUMMARY_WAIT, checkpoint).await {
        Ok(Ok(())) => read(connection, span, database_oid, options).await,
        Ok(Err(error)) if error.sqlstate() == Some("42501") => Ok(Err("no_checkpoint")),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(Err("late")),
    }
}

/// Reads the map, once the log is summarized that far.
async fn read(
    connection: &Connection,
    span: &Span,
    database_oid: u32,
    options: &UnreadOptions,
) -> Result<std::result::Result<LogMap, NoMap>> {
    let deadline = Instant::now() + SUMMARY_WAIT;
    loop {
        match covered(connection, span).await? {
            Covered::Whole => break,
            Covered::Gap => return Ok(Err("gap")),
            Covered::NotYet if Instant::now() > deadline => return Ok(Err("late")),
            Covered::NotYet => tokio::time::sleep(SUMMARY_POLL).await,
        }
    }
    let default_tablespace = one_row(
        connection,
        "the database's tablespace",
        "SELECT dattablespace FROM pg_database WHERE oid = $1",
        &[&database_oid],
    )
    .await?;
    let has_limits = !options.mutations.contains(&Mutation::LogWithoutLimits);
    let mut map = LogMap {
        default_tablespace: get(&default_tablespace, 0)?,
        unit_blocks: u64::from(options.log_unit_blocks.max(1)),
        ..LogMap::default()
    };
    let unit = format!("c.relblocknumber / {}", map.unit_blocks);
    let sql = format!(
        "SELECT c.reltablespace, c.relfilenode, min(c.relblocknumber) FILTER (WHERE c.is_limit_block), \
           coalesce(array_agg(DISTINCT ({unit})::int8) FILTER (WHERE NOT c.is_limit_block), '{{}}') \
         FROM pg_available_wal_summaries() s CROSS JOIN LATERAL pg_wal_summary_contents(s.tli, s.start_lsn, s.end_lsn) c \
         WHERE {SELECTED} AND c.reldatabase = $4 AND c.relforknumber = 0 GROUP BY c.reltablespace, c.relfilenode"
    );
    let (timeline, from, to) = parameters(span);
    let parameters: [&(dyn ToSql + Sync); 4] = [&timeline, &from, &to, &database_oid];
    let failure = |error| Error::sql("read summaries of the log", &error);
    let found = connection.query_raw(&sql, parameters).await.map_err(failure)?;
    let mut found = pin!(found);
    let mut units_left = UNITS_MAX;
    while let Some(row) = found.try_next().await.map_err(failure)? {
        let (tablespace, file): File = (get(&row, 0)?, get(&row, 1)?);
        let (limit, listed): (Option<i64>, Vec<i64>) = (get(&row, 2)?, get(&row, 3)?);
        if file == 0 {
            map.whole.insert(tablespace);
            continue;
        }
        let Some(left) = units_left.checked_sub(listed.len()) else { return Ok(Err("too_long")) };
        units_left = left;
        let mut units: Vec<u32> =
            listed.into_iter().map(|unit| u32::try_from(unit).unwrap_or(u32::MAX)).collect();
        units.sort_unstable();
        let limit = limit.filter(|_| has_limits).map(|block| u64::try_from(block).unwrap_or(0));
        map.touched.insert((tablespace, file), Touched { units, limit });
    }
    // A summary that the server removed before it was listed is missing without an error. One that is there now was there then.
    match covered(connection, span).await? {
        Covered::Whole => Ok(Ok(map)),
        Covered::Gap | Covered::NotYet => Ok(Err("gap")),
    }
}

impl std::fmt::Display for Span {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {} {}", self.timeline, lsn_text(self.from), lsn_text(self.to))
    }
}

/// Summaries that have a part of the span.
const SELECTED: &str =
    "s.tli = $1::int8 AND s.end_lsn > $2::text::pg_lsn AND s.start_lsn < $3::text::pg_lsn";

fn parameters(span: &Span) -> (i64, String, String) {
    (i64::from(span.timeline), lsn_text(span.from), lsn_text(span.to))
}

fn lsn_text(lsn: u64) -> String {
    format!("{:X}/{:X}", lsn >> 32, lsn & u64::from(u32::MAX))
}

enum Covered {
    Whole,
    NotYet,
    Gap,
}

async fn covered(connection: &Connection, span: &Span) -> Result<Covered> {
    let sql = format!(
        "SELECT s.start_lsn::text, s.end_lsn::text FROM pg_available_wal_summaries() s WHERE {SELECTED} ORDER BY s.start_lsn, s.end_lsn"
    );
    let (timeline, from, to) = parameters(span);
    let found = rows(connection, "summaries of the log", &sql, &[&timeline, &from, &to]).await?;
    let mut files = Vec::with_capacity(found.len());
    for row in found {
        let (start, end): (String, String) = (get(&row, 0)?, get(&row, 1)?);
        files.push(lsn_number(&start).zip(lsn_number(&end)).ok_or_else(|| Error::Protocol {
            context: "read summaries of the log".to_owned(),
            message: format!("{start} and {end} are no positions of the log"),
        })?);
    }
    Ok(coverage(span, &files))
}

/// Files follow each other, each beginning where another ends.
fn coverage(span: &Span, files: &[(u64, u64)]) -> Covered {
    let mut reached = span.from;
    for (number, (start, end)) in files.iter().enumerate() {
        if *start > reached {
            // What comes first may be what was summarized first, with the rest long removed; later ones may come out of order.
            return if number == 0 { Covered::Gap } else { Covered::NotYet };
        }
        reached = reached.max(*end);
    }
    if reached >= span.to { Covered::Whole } else { Covered::NotYet }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_span() -> Span {
        Span { timeline: 1, from: 100, to: 300 }
    }

    #[test]
    fn a_span_is_covered_without_a_gap_or_not_at_all() {
        let of = |files: &[(u64, u64)]| match coverage(&a_span(), files) {
            Covered::Whole => "whole",
            Covered::NotYet => "not yet",
            Covered::Gap => "gap",
        };
        assert_eq!(of(&[(50, 200), (200, 300)]), "whole");
        assert_eq!(of(&[(100, 400)]), "whole");
        assert_eq!(of(&[(50, 200), (200, 299)]), "not yet");
        assert_eq!(of(&[(50, 200), (250, 400)]), "not yet");
        assert_eq!(of(&[(150, 400)]), "gap");
        assert_eq!(of(&[]), "not yet");
        assert_eq!(a_span().to_string(), "1 0/64 0/12C");
    }

    #[test]
    fn what_is_listed_is_touched_and_no_more() {
        let mut map = LogMap { default_tablespace: 1663, unit_blocks: 1024, ..LogMap::default() };
        map.touched.insert((1663, 7), Touched { units: vec![2], limit: None });
        map.touched.insert((1663, 8), Touched { units: Vec::new(), limit: Some(45) });
        let untouched = |file, start, end| map.is_untouched(0, file, start, end);
        assert!(untouched(6, 0, None));
        assert!(untouched(7, 0, Some(2048)) && untouched(7, 3072, None));
        assert!(
            !untouched(7, 1024, Some(2049))
                && !untouched(7, 0, None)
                && !untouched(7, 2100, Some(2200))
        );
        // A file cut off at a block has lost what was behind it, and may have got something else there.
        assert!(
            untouched(8, 16, Some(45)) && !untouched(8, 32, Some(48)) && !untouched(8, 0, None)
        );
        map.whole.insert(1663);
        assert!(!map.is_untouched(0, 6, 0, None) && map.is_untouched(1700, 6, 0, None));
    }

    #[test]
    fn a_map_begins_where_nobody_open_had_written() {
        let mark = |lsn: &str, xid| Mark { lsn: lsn.to_owned(), xid };
        let marks = [mark("0/300", 900), mark("0/200", 800), mark("0/100", 700)];
        let base = SoundBase { xmin: 850, last_full_read_unix_us: 0 };
        let options = UnreadOptions::default();
        let of = |base: &SoundBase| span(base, &marks, "0/310", 1, "0/400", &options);
        assert_eq!(of(&base), Some(Span { timeline: 1, from: 0x200, to: 0x400 }));
        assert_eq!(of(&SoundBase { xmin: 600, ..base }), None);
        // Nor does a position behind the snapshot say anything of who was open at it.
        let of = |insert_lsn| span(&base, &marks, insert_lsn, 1, "0/400", &options);
        assert_eq!(of("0/1FF"), Some(Span { timeline: 1, from: 0x100, to: 0x400 }));
        assert_eq!(of("0/FF"), None);
    }
}
