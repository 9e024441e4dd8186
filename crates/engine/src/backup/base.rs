//! Whether the previous recovery point is sound enough to take ranges over from it without reading them.
//!
//! All of that rests on one thing: a transaction that had ended when the base's snapshot was taken has ended for ever, as it did. After
//! lost log it has not: a row that an unsynced commit wrote can vanish in a crash or a promotion, and its place and its transaction's
//! number go to another. So the base must have been durable up to its snapshot, and nothing may have happened to the server since
//! that could take durable log back: another timeline, another server, a restart, by which a rollback of its storage would stay
//! unseen. Whoever is not sure reads everything, which is never wrong.

use super::{Mutation, UnreadOptions};
use crate::catalog::database::lsn_number;
use crate::manifest::{DatabaseManifest, Mark, Mismatch, Source};
use crate::row_hash::RowHash;

/// Transactions that may lie between two snapshots. Numbers in rows have 32 bits; half of them are the past, and this is half of it.
const TRANSACTIONS_MAX: u64 = 1 << 30;

/// Why everything is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FullRead {
    /// It was asked for.
    Disabled,
    /// There is no previous recovery point, or it can't be read.
    NoBase,
    /// One of both was read from a standby, which does not know what of its log is durable.
    Standby,
    /// The server does not say which it is, or in which timeline: the role may not ask, for one.
    UnknownServer,
    /// Another server was read before.
    OtherServer,
    /// Another database was read before, perhaps of the same name.
    OtherDatabase,
    /// The server was promoted or recovered to an earlier point since.
    OtherTimeline,
    /// The server was started anew since.
    Restarted,
    /// The base was sealed before the server's log was durable up to its snapshot.
    NotDurable,
    /// It has hashes of rows of another kind, which can't be added to those of now.
    OtherRowHash,
    /// Too many transactions have begun since.
    TooManyTransactions,
    /// It is time for it.
    Due,
    /// A range that should have been as it was turned out to differ, with this version of the server and of Coffer.
    Mismatch,
}

impl FullRead {
    /// As it stands in the manifest.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disabled => "disabled",
            Self::NoBase => "no_base",
            Self::Standby => "standby",
            Self::UnknownServer => "unknown_server",
            Self::OtherServer => "other_server",
            Self::OtherDatabase => "other_database",
            Self::OtherTimeline => "other_timeline",
            Self::Restarted => "restarted",
            Self::NotDurable => "not_durable",
            Self::OtherRowHash => "other_row_hash",
            Self::TooManyTransactions => "too_many_transactions",
            Self::Due => "due",
            Self::Mismatch => "mismatch",
        }
    }
}

/// What is known of the snapshot that is read now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now<'a> {
    pub(super) source: &'a Source,
    pub(super) xid_snapshot: &'a str,
    pub(super) row_hash: RowHash,
    /// Microseconds since 1970 by the server's clock.
    pub(super) taken_at_unix_us: i64,
}

/// A base that ranges can be taken over from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SoundBase {
    /// Every transaction with a smaller number had ended when the base's snapshot was taken. 64 bits.
    pub(super) xmin: u64,
    /// When everything was last read.
    pub(super) last_full_read_unix_us: i64,
}

/// The base, or why it is none.
pub(super) fn sound_base(
    base: Option<&DatabaseManifest>,
    now: Now<'_>,
    options: &UnreadOptions,
) -> Result<SoundBase, FullRead> {
    if !options.enabled {
        return Err(FullRead::Disabled);
    }
    let Some(base) = base else { return Err(FullRead::NoBase) };
    let (is, snapshot) = (now.source, &base.snapshot);
    let ids = ids(&snapshot.xid_snapshot).zip(ids(now.xid_snapshot));
    let last_full_read_unix_us =
        base.reuse.as_ref().map_or(snapshot.taken_at_unix_us, |reuse| reuse.last_full_read_unix_us);
    let due_us = i64::try_from(options.full_read_after.as_micros()).unwrap_or(i64::MAX);
    let rules = [
        (FullRead::OtherDatabase, base.source.database_oid != is.database_oid),
        (FullRead::OtherRowHash, base.row_hash != now.row_hash),
        (
            FullRead::TooManyTransactions,
            ids.is_none_or(|(was, is)| {
                is.1.checked_sub(was.0).is_none_or(|n| n > TRANSACTIONS_MAX)
            }),
        ),
        (
            FullRead::Due,
            now.taken_at_unix_us.saturating_sub(last_full_read_unix_us) >= due_us
                // By a clock that was set back it would never be time.
                || now.taken_at_unix_us < snapshot.taken_at_unix_us,
        ),
        (FullRead::Mismatch, mismatch_of(base).is_some_and(|mismatch| concerns(mismatch, is))),
    ];
    match (other_history(base, is, options).or(first_broken(&rules, options)), ids) {
        (Some(rule), _) => Err(rule),
        (None, Some(((xmin, xmax), _))) => {
            let by_xmax = options.mutations.contains(&Mutation::BoundByXmax);
            Ok(SoundBase { xmin: if by_xmax { xmax } else { xmin }, last_full_read_unix_us })
        }
        (None, None) => Err(FullRead::TooManyTransactions),
    }
}

/// Why positions in the log and numbers of transactions that the base names may mean something else on the server as it is now; none
/// where they mean the same. After lost log, or on another server, both are given once more, and not in step with each other.
pub(super) fn other_history(
    base: &DatabaseManifest,
    is: &Source,
    options: &UnreadOptions,
) -> Option<FullRead> {
    let (was, snapshot) = (&base.source, &base.snapshot);
    let is_unknown = |source: &Source| source.system_identifier.is_empty() || source.timeline == 0;
    let rules = [
        (FullRead::Standby, was.in_recovery || is.in_recovery),
        (FullRead::UnknownServer, is_unknown(was) || is_unknown(is)),
        (FullRead::OtherServer, was.system_identifier != is.system_identifier),
        (FullRead::OtherTimeline, was.timeline != is.timeline),
        (FullRead::Restarted, was.postmaster_start_unix_us != is.postmaster_start_unix_us),
        (FullRead::NotDurable, !is_durable(snapshot.flush_lsn.as_deref(), &snapshot.insert_lsn)),
    ];
    first_broken(&rules, options)
}

fn first_broken(rules: &[(FullRead, bool)], options: &UnreadOptions) -> Option<FullRead> {
    let counts = |rule| !options.mutations.contains(&Mutation::Without(rule));
    rules.iter().find(|(rule, is_broken)| *is_broken && counts(*rule)).map(|(rule, _)| *rule)
}

/// Marks of the base that hold on the server as it is now too.
pub(super) fn lasting_marks<'a>(
    base: Option<&'a DatabaseManifest>,
    is: &Source,
    options: &UnreadOptions,
) -> &'a [Mark] {
    let lasts = |base: &&DatabaseManifest| {
        options.mutations.contains(&Mutation::MarksOfAnyHistory)
            || other_history(base, is, options).is_none()
    };
    base.filter(lasts).map_or(&[], |base| &base.snapshot.marks)
}

/// What is carried on from a base.
pub(super) fn mismatch_of(base: &DatabaseManifest) -> Option<&Mismatch> {
    base.reuse.as_ref()?.mismatch.as_ref()
}

/// Whether the software is the same that was wrong.
fn concerns(mismatch: &Mismatch, source: &Source) -> bool {
    mismatch.coffer_version == env!("CARGO_PKG_VERSION")
        && mismatch.server_version_num == source.server_version_num
}

fn is_durable(flush_lsn: Option<&str>, insert_lsn: &str) -> bool {
    let flushed = flush_lsn.and_then(lsn_number);
    flushed.zip(lsn_number(insert_lsn)).is_some_and(|(flushed, inserted)| flushed >= inserted)
}

/// `xmin` and `xmax` of `xmin:xmax:xip_list`.
fn ids(xid_snapshot: &str) -> Option<(u64, u64)> {
    let mut parts = xid_snapshot.split(':');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}
