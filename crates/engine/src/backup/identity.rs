//! What makes a recovery point a sound base for later ones: marks, and a log that is durable up to the snapshot; and what to
//! say where the source is a standby, whose point never is one.

use std::time::{Duration, Instant};

use crate::catalog::database::{self, lsn_number};
use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::manifest::Mark;

/// Marks kept in a recovery point. Older ones only matter to transactions that run for as many backups.
const MARKS_MAX: usize = 64;
/// How long sealing waits for the log. A server flushes a few times a second even when it commits asynchronously.
const FLUSH_WAIT: Duration = Duration::from_secs(30);
/// How often it looks.
const FLUSH_POLL: Duration = Duration::from_millis(50);

/// New marks before the earlier ones, which must be of the same history: a mark of a server whose log was lost in part since, or of
/// another server, says that nobody wrote where somebody did.
pub(super) fn merge_marks(new: Vec<Mark>, earlier: &[Mark]) -> Vec<Mark> {
    let mut marks = new;
    for mark in earlier {
        if !marks.contains(mark) {
            marks.push(mark.clone());
        }
    }
    marks.truncate(MARKS_MAX);
    marks
}

/// Waits until the log is durable up to `insert_lsn` and returns up to where it is. After a crash of the server a
/// transaction in the undurable part could vanish, and its row's place go to another row.
pub(super) async fn wait_for_flush(connection: &Connection, insert_lsn: &str) -> Result<String> {
    let wanted = lsn_number(insert_lsn).unwrap_or(u64::MAX);
    let deadline = Instant::now() + FLUSH_WAIT;
    loop {
        let flushed = database::flush_lsn(connection).await?;
        if lsn_number(&flushed).is_some_and(|lsn| lsn >= wanted) || Instant::now() > deadline {
            return Ok(flushed);
        }
        tokio::time::sleep(FLUSH_POLL).await;
    }
}

/// Says of an error that it may be the standby's doing: it ends whatever stands in the way of what its primary did.
pub(super) fn of_standby(error: Error) -> Error {
    const HINT: &str = "the source is a standby, which may end sessions and statements that stand in the way of what its primary \
        did; see max_standby_streaming_delay and hot_standby_feedback";
    match error {
        Error::ConnectionLost { message } => {
            Error::ConnectionLost { message: format!("{message} ({HINT})") }
        }
        Error::Sql { context, sqlstate, message, relation }
            if sqlstate == super::hold::RECOVERY_CONFLICT =>
        {
            Error::Sql { context, sqlstate, message: format!("{message} ({HINT})"), relation }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn newest_marks_come_first_and_none_twice() {
        let mark = |xid| Mark { lsn: "0/1".into(), xid };
        let merged = merge_marks(vec![mark(3), mark(2)], &[mark(2), mark(1)]);
        assert_eq!(merged.iter().map(|mark| mark.xid).collect::<Vec<_>>(), [3, 2, 1]);
        let many: Vec<_> = (0..100).map(mark).collect();
        assert_eq!(merge_marks(vec![mark(1000)], &many).len(), MARKS_MAX);
    }
}
