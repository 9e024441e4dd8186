//! Which tables a backup reads, and their rows by parallel workers.

use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use tracing::Instrument as _;

use crate::catalog::relation::{self, TableFacts};
use crate::error::{Error, Result};
use crate::manifest::NotProved;
use crate::span::{Traced as _, span};

use super::collector::{Collected, collect};
use super::dispatcher::{OUTSTANDING_MAX, dispatch};
use super::run::Context;
use super::worker;

/// Tables to read, and those whose rows are left out with the reason.
pub(super) async fn to_read(
    context: &Context,
    in_recovery: bool,
) -> Result<(Vec<TableFacts>, Vec<NotProved>)> {
    let mut not_proved: Vec<_> = relation::foreign_tables(&context.hold.connection)
        .await?
        .into_iter()
        .map(|name| NotProved {
            object: format!("foreign table {name}"),
            reason: "its rows are another server's; only its definition is kept".to_owned(),
        })
        .collect();
    not_proved.extend(relation::extension_tables(&context.hold.connection).await?.into_iter().map(
        |(table, extension)| NotProved {
            object: format!("table {table}"),
            reason: format!("it is a part of extension {extension}, which makes it and its rows"),
        },
    ));
    let (readable, unreadable): (Vec<_>, Vec<_>) =
        relation::tables(&context.hold.connection, context.major)
            .await?
            .into_iter()
            .partition(|table| !(in_recovery && table.persistence == "u"));
    not_proved.extend(unreadable.iter().map(|table| NotProved {
        object: format!("table {}", table.display_name()),
        reason: "it is unlogged and the source is a standby, which can't read it".to_owned(),
    }));
    let bytes = readable.iter().map(|table| table.total_bytes).sum();
    let large_objects = relation::large_object_bytes(&context.hold.connection).await?;
    context.reporter.expect(bytes, readable.len() as u64, large_objects);
    Ok((readable, not_proved))
}

/// All rows, by parallel workers.
pub(super) async fn read(
    context: &Arc<Context>,
    tables: Vec<TableFacts>,
    workers: usize,
) -> Result<Collected> {
    let expected = tables.len() as u64;
    let (jobs, job_queue) = mpsc::channel(2 * workers);
    let (blocked, blocked_queue) = mpsc::channel(OUTSTANDING_MAX);
    let (done, done_queue) = mpsc::channel(OUTSTANDING_MAX);
    let job_queue: worker::Jobs = Arc::new(Mutex::new(job_queue));
    let mut set = JoinSet::new();
    for number in 0..workers {
        let work = worker::work(
            Arc::clone(context),
            Arc::clone(&job_queue),
            blocked.clone(),
            done.clone(),
        );
        set.spawn(work.traced(span!("worker", number)));
    }
    let on_blocked = worker::work_on_blocked(Arc::clone(context), blocked_queue, done.clone());
    set.spawn(on_blocked.in_current_span());
    // From here on the queues end with those who feed them.
    drop((job_queue, blocked, done));
    let watch = async {
        while let Some(ended) = set.join_next().await {
            ended.map_err(|error| Error::Protocol {
                context: "read rows".to_owned(),
                message: format!("a worker ended: {error}"),
            })??;
        }
        Ok(())
    };
    let dispatched = dispatch(Arc::clone(context), tables, jobs);
    let collected = collect(Arc::clone(context), done_queue);
    let ((), collected, ()) = tokio::try_join!(dispatched, collected, watch)?;
    if collected.totals.tables != expected {
        let message = format!("{} of {expected} tables were read", collected.totals.tables);
        return Err(Error::Protocol { context: "read rows".to_owned(), message });
    }
    Ok(collected)
}
