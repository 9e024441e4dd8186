//! What a run may take over unread: from which base, by which log, and what the manifest says of both.

use crate::backup::FullRead;
use crate::backup::base::{self, Now, SoundBase};
use crate::backup::hold::Hold;
use crate::backup::log_map::{self, LogMap, NoMap, Span};
use crate::error::Result;
use crate::manifest::{Mismatch, Reuse, Warning};
use crate::session;
use crate::span::{Traced as _, span};

use super::{Known, Run};

impl Run {
    /// The previous recovery point, if ranges may be taken over from it.
    pub(super) fn sound_base(&self, known: &Known, hold: &Hold) -> Result<SoundBase, FullRead> {
        if known.mismatch.get().is_some() {
            return Err(FullRead::Mismatch);
        }
        let now = Now {
            source: &known.source,
            xid_snapshot: &hold.xid_snapshot,
            row_hash: self.request.options.row_hash,
            taken_at_unix_us: hold.taken_at_unix_us,
        };
        let base = base::sound_base(known.previous.root(), now, &self.request.options.unread);
        if let Err(reason) = base {
            tracing::info!(reason = reason.as_str(), "everything is read");
        }
        base
    }

    /// What the server's log says was touched since the base, or why it says nothing. That it can't be asked costs time and nothing
    /// else.
    pub(super) async fn log_map(
        &self,
        known: &Known,
        hold: &Hold,
        base: Option<SoundBase>,
    ) -> Result<(Span, LogMap), NoMap> {
        let options = &self.request.options.unread;
        let (Some(base), Some(root)) = (base, known.previous.root()) else {
            return Err("no_base");
        };
        if !options.wal_summaries {
            return Err("disabled");
        }
        let snapshot = &root.snapshot;
        let (marks, insert_lsn) = (&snapshot.marks, &snapshot.insert_lsn);
        let timeline = known.source.timeline;
        let span = log_map::span(&base, marks, insert_lsn, timeline, &hold.insert_lsn, options);
        let span = span.ok_or("no_mark")?;
        if known.server.major() < log_map::SINCE_MAJOR {
            return Err("old_server");
        }
        let reading = async {
            // A session of its own: a checkpoint may take its time.
            let connection = session::open(&self.request.source).await?;
            log_map::of_span(&connection, &span, known.source.database_oid, options).await
        };
        let read: Result<_> = reading.traced(span!("log")).await;
        let map = read.unwrap_or_else(|error| {
            tracing::warn!(%error, "summaries of the server's log can't be read");
            Err("unreadable")
        })?;
        Ok((span, map))
    }

    /// What the manifest says of it.
    pub(super) fn reuse(
        &self,
        known: &Known,
        base: Result<SoundBase, FullRead>,
        log: &Result<(Span, LogMap), NoMap>,
        hold: &Hold,
        warnings: &mut Vec<Warning>,
    ) -> Reuse {
        let found = known.mismatch.get().map(|table| {
            let message = format!(
                "rows of table {table} were not what they should have been, going by what the server says of their versions: everything was \
                 read, and so it is until there is another version of Coffer or the server; earlier recovery points may hold old rows of it; \
                 please report this, and verify them by restore"
            );
            warnings.push(Warning { code: "UnchangedRangeDiffered".to_owned(), message });
            Mismatch {
                coffer_version: env!("CARGO_PKG_VERSION").to_owned(),
                server_version_num: known.source.server_version_num,
                table: table.clone(),
            }
        });
        let earlier = known.previous.root().and_then(base::mismatch_of).cloned();
        Reuse {
            full_read: base.err().map(|reason| reason.as_str().to_owned()),
            log: log.as_ref().ok().map(|(span, _)| span.to_string()),
            no_log: base.ok().and(log.as_ref().err()).map(|reason| (*reason).to_owned()),
            last_full_read_unix_us: base
                .map_or(hold.taken_at_unix_us, |base| base.last_full_read_unix_us),
            mismatch: found.or(earlier),
        }
    }
}
