//! Large objects under their old numbers, with owner, privileges, comment and labels.
//!
//! Several sessions take ranges of them. Small objects are made many by one statement, long ones in pages; what they
//! have beside their bytes follows in the same transaction, grants of objects with the same rights together. By SQL functions
//! with the bytes as parameters, never by libpq's own protocol for large objects.

mod attributes;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Mutex, mpsc};
use tokio::task::JoinSet;

use self::attributes::Attributes;
use super::context::Context;
use super::roles::Roles;
use super::stored_objects::{StoredObjects, StoredRanges};
use super::workers::finish_all;
use crate::error::{Error, Result};
use crate::manifest::LargeObject;
use crate::monitor::Phase;
use crate::session;
use crate::span::{Traced as _, span};

/// Bytes of one statement.
const STATEMENT_BYTES: usize = 1024 * 1024;
/// Objects with no more bytes than this are made many at a time.
const SMALL_BYTES: u64 = 64 * 1024;
/// Objects of one statement.
const STATEMENT_OBJECTS_MAX: usize = 500;

/// Objects whose owner or comment is set before a transaction ends, in all sessions together: each of them is a lock that
/// the transaction keeps, and the server's table of locks has room for some thousands.
const LOCKED_OBJECTS_MAX: usize = 2000;

/// Bytes of one transaction, more or less.
const TRANSACTION_BYTES_MAX: u64 = 64 * 1024 * 1024;

type Ranges = Mutex<mpsc::Receiver<StoredObjects>>;

impl Context {
    /// Makes all large objects.
    pub(super) async fn load_large_objects(self: &Arc<Self>, roles: Roles) -> Result<()> {
        if !self.selected.has_large_objects() {
            return Ok(());
        }
        let mut stored = StoredRanges::new(&self.repository, &self.manifest.large_objects);
        let mut next = stored.next().await?;
        let ranges = self.manifest.large_objects.ranges.as_ref().map_or(1, |ranges| ranges.items);
        let workers = self.workers.min(usize::try_from(ranges).unwrap_or(usize::MAX));
        if next.is_none() || workers == 0 {
            return Ok(());
        }
        let (sender, receiver) = mpsc::channel(1);
        let (receiver, roles) = (Arc::new(Mutex::new(receiver)), Arc::new(roles));
        let mut running = JoinSet::new();
        for number in 0..workers {
            let (context, receiver, roles) =
                (Arc::clone(self), Arc::clone(&receiver), Arc::clone(&roles));
            let work = async move {
                let at_once = (LOCKED_OBJECTS_MAX / workers).max(1);
                let mut loader = Loader::new(&context, &roles, at_once).await?;
                loader.load(&receiver).await
            };
            running.spawn(work.traced(span!("worker", number)));
        }
        drop(receiver);
        let hand_out = async {
            while let Some(range) = next {
                if sender.send(StoredObjects::new(&self.repository, &range)).await.is_err() {
                    // All workers have ended; one of them says why.
                    return Ok(());
                }
                next = stored.next().await?;
            }
            drop(sender);
            Ok(())
        };
        let (handed_out, finished) = futures::join!(hand_out, finish_all(running));
        finished?;
        handed_out
    }
}

/// One session that makes large objects.
struct Loader<'a> {
    context: &'a Context,
    session: crate::connect::Connection,
    attributes: Attributes<'a>,
    /// Small objects that wait for their statement.
    oids: Vec<u32>,
    contents: Vec<Vec<u8>>,
    waiting_bytes: usize,
    /// Bytes of the transaction; none where none has begun.
    transaction: Option<u64>,
    /// Objects of a transaction, at most.
    objects_max: usize,
}

impl<'a> Loader<'a> {
    async fn new(context: &'a Context, roles: &'a Roles, objects_max: usize) -> Result<Self> {
        Ok(Self {
            context,
            session: context.open().await?,
            attributes: Attributes::new(context, roles),
            oids: Vec::new(),
            contents: Vec::new(),
            waiting_bytes: 0,
            transaction: None,
            objects_max,
        })
    }

    async fn load(&mut self, ranges: &Ranges) -> Result<()> {
        loop {
            let range = ranges.lock().await.recv().await;
            let Some(mut objects) = range else { break };
            while let Some(object) = objects.next().await? {
                self.object(object, &mut objects).await?;
            }
        }
        self.commit().await
    }

    async fn object(&mut self, object: LargeObject, objects: &mut StoredObjects) -> Result<()> {
        let done = match self.transaction {
            Some(done) => done,
            None => {
                self.execute("BEGIN").await?;
                0
            }
        };
        self.transaction = Some(done + object.bytes);
        if object.bytes <= SMALL_BYTES {
            let mut content = Vec::new();
            while let Some(piece) = objects.piece(STATEMENT_BYTES).await? {
                content.extend_from_slice(&piece);
            }
            self.waiting_bytes += content.len();
            self.oids.push(object.oid);
            self.contents.push(content);
        } else {
            self.long_object(&object, objects).await?;
        }
        self.attributes.add(object)?;
        if self.waiting_bytes >= STATEMENT_BYTES || self.oids.len() >= STATEMENT_OBJECTS_MAX {
            self.make_waiting().await?;
        }
        if self.transaction.is_some_and(|bytes| bytes >= TRANSACTION_BYTES_MAX)
            || self.attributes.objects() >= self.objects_max
        {
            self.commit().await?;
        }
        Ok(())
    }

    /// Makes the small objects that wait.
    async fn make_waiting(&mut self) -> Result<()> {
        if self.oids.is_empty() {
            return Ok(());
        }
        // Counted, so that the server sends one row and not one for each of them.
        let statement = "SELECT pg_catalog.count(pg_catalog.lo_from_bytea(x.oid, x.content)) \
             FROM ROWS FROM (pg_catalog.unnest($1::oid[]), pg_catalog.unnest($2::bytea[])) AS x(oid, content)";
        let made = self.session.query_one(statement, &[&self.oids, &self.contents]).await;
        let context = || format!("make large objects from {} on", self.oids[0]);
        made.map_err(|error| Error::sql(context(), &error))?;
        self.tell(self.waiting_bytes as u64, self.oids.len() as u64);
        self.oids.clear();
        self.contents.clear();
        self.waiting_bytes = 0;
        Ok(())
    }

    async fn long_object(
        &mut self,
        object: &LargeObject,
        objects: &mut StoredObjects,
    ) -> Result<()> {
        let failed = |error| Error::sql(format!("make large object {}", object.oid), &error);
        let mut offset = 0_i64;
        while let Some(piece) = objects.piece(STATEMENT_BYTES).await? {
            let piece: &[u8] = Bytes::as_ref(&piece);
            let made = if offset == 0 {
                let make = "SELECT pg_catalog.lo_from_bytea($1, $2)";
                self.session.execute(make, &[&object.oid, &piece]).await
            } else {
                let put = "SELECT pg_catalog.lo_put($1, $2, $3)";
                self.session.execute(put, &[&object.oid, &offset, &piece]).await
            };
            made.map_err(failed)?;
            offset += i64::try_from(piece.len()).unwrap_or(i64::MAX);
            self.tell(piece.len() as u64, 0);
        }
        self.tell(0, 1);
        Ok(())
    }

    fn tell(&self, bytes: u64, objects: u64) {
        self.context.counters.add_bytes(bytes);
        self.context.counters.add_items(objects);
        self.context.report(Phase::Load, Some("large objects".to_owned()));
    }

    /// Ends the transaction, after what its objects have beside their bytes.
    async fn commit(&mut self) -> Result<()> {
        if self.transaction.take().is_none() {
            return Ok(());
        }
        self.make_waiting().await?;
        let statements = self.attributes.take()?;
        self.execute(&statements.sql).await?;
        self.execute("COMMIT").await?;
        for label in statements.labels {
            self.label(&label).await?;
        }
        Ok(())
    }

    /// Sets a label. The target may lack the provider, or the provider may refuse: that is named, and no reason to fail.
    async fn label(&self, statement: &str) -> Result<()> {
        match self.execute(statement).await {
            Err(Error::Sql { message, .. }) => {
                self.context.warn("SecurityLabelLost", format!("{statement}: {message}"));
                Ok(())
            }
            other => other,
        }
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        session::execute(&self.session, "make large objects", sql).await
    }
}
