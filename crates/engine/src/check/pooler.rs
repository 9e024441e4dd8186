//! Refuses poolers that give every transaction another server session: settings, locks and snapshots would be lost.

use crate::connect::Connection;
use crate::error::{Error, Result};
use crate::session;

/// How often the two sessions are compared: a pooler with several idle server sessions may hide once.
const ROUNDS: usize = 3;

/// Two sessions of ours must be two of the server, each the same from one transaction to the next.
pub(crate) async fn refuse(first: &Connection) -> Result<()> {
    let second = session::open(first.options()).await?;
    let own = backend(first).await?;
    for _ in 0..ROUNDS {
        // An open transaction pins a server session, so the other one of ours has to move if they share.
        second
            .batch_execute("BEGIN READ ONLY")
            .await
            .map_err(|error| Error::sql("begin a transaction", &error))?;
        let other = backend(&second).await?;
        if other == own || backend(first).await? != own {
            return Err(Error::Unsupported {
                code: "TransactionPooler",
                message: "a connection pooler in transaction mode stands before the server; connect to the server \
                          itself or to a pool in session mode"
                    .to_owned(),
            });
        }
        second
            .batch_execute("COMMIT")
            .await
            .map_err(|error| Error::sql("end a transaction", &error))?;
    }
    Ok(())
}

async fn backend(connection: &Connection) -> Result<String> {
    let messages = connection
        .simple_query(
            "SELECT pg_catalog.pg_backend_pid(), pg_catalog.current_setting('search_path')",
        )
        .await
        .map_err(|error| Error::sql("read the session's process", &error))?;
    let row = messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    });
    let pid = row.and_then(|row| row.get(0)).map(str::to_owned);
    pid.ok_or_else(|| Error::Protocol {
        context: "read the session's process".to_owned(),
        message: "no row".to_owned(),
    })
}
