//! Reading large objects: what the catalog says of each, and its bytes, in the order of their numbers.
//!
//! Backup and proof read through this one room, so that a proof can't be wrong in its own way. There are two ways to the
//! bytes, which give the same: the pages of `pg_largeobject` by one streaming COPY for many objects, for a role that may
//! read that catalog (superusers, or by a grant); and `lo_get` for everyone else. libpq's large-object calls are not used: a
//! hostile server could write through them.
//!
//! Held in memory are the properties of [`FACTS_AT_ONCE`] objects and one page, whatever the number and length of objects.

use std::pin::pin;

use futures::TryStreamExt as _;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyOutStream;
use tokio_postgres::types::Type;

use crate::catalog::large_object::{LargeObjectFacts, facts_between};
use crate::catalog::{get, one_row, rows};
use crate::error::{Error, Result};
use crate::session::execute;

/// Objects whose properties are read by one statement, and their pages by another.
const FACTS_AT_ONCE: i64 = 1000;
/// Objects whose beginnings are read by one statement of `lo_get`.
const BEGINNINGS_AT_ONCE: usize = 64;
/// Bytes of such a beginning; most objects end within it.
const BEGINNING: i32 = 64 * 1024;
/// Bytes of a further page.
const PAGE: i32 = 4 * 1024 * 1024;
/// What holes are filled with.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// Takes large objects as they are read.
pub(crate) trait ObjectSink {
    /// The next bytes of the current object.
    async fn take(&mut self, oid: u32, bytes: &[u8]) -> Result<()>;
    /// All of it was taken. An object without bytes comes here at once.
    async fn end(&mut self, facts: LargeObjectFacts) -> Result<()>;
}

/// Reads large objects in one session.
pub(crate) struct ObjectReader<'a> {
    client: &'a Client,
    /// Bytes of a page of `pg_largeobject`; none where this role may not read it.
    page_bytes: Option<u64>,
}

impl<'a> ObjectReader<'a> {
    /// Finds out how this role may read.
    ///
    /// # Errors
    /// [`Error::Sql`] and [`Error::Protocol`].
    pub(crate) async fn new(client: &'a Client) -> Result<Self> {
        let sql = "SELECT has_table_privilege('pg_catalog.pg_largeobject', 'SELECT'), \
             current_setting('block_size')::int8 / 4";
        let row = one_row(client, "how large objects can be read", sql, &[]).await?;
        let page_bytes: i64 = get(&row, 1)?;
        let page_bytes = u64::try_from(page_bytes).unwrap_or(0).max(1);
        Ok(Self { client, page_bytes: get::<bool>(&row, 0)?.then_some(page_bytes) })
    }

    /// Reads all objects from `first` to `last`.
    ///
    /// # Errors
    /// [`Error::Sql`], [`Error::Protocol`], and those of the sink.
    pub(crate) async fn read(
        &self,
        first: u32,
        last: u32,
        sink: &mut impl ObjectSink,
    ) -> Result<()> {
        let mut next = Some(first);
        while let Some(from) = next.filter(|from| *from <= last) {
            let facts = facts_between(self.client, from, last, FACTS_AT_ONCE).await?;
            let (Some(begin), Some(end)) = (facts.first(), facts.last()) else { break };
            let (begin, end) = (begin.oid, end.oid);
            next = end.checked_add(1);
            match self.page_bytes {
                Some(page_bytes) => self.pages(begin, end, page_bytes, facts, sink).await?,
                None => self.functions(facts, sink).await?,
            }
        }
        Ok(())
    }

    /// By the pages themselves. A page that is missing is a hole, as is what a page lacks before the next one.
    async fn pages(
        &self,
        begin: u32,
        end: u32,
        page_bytes: u64,
        facts: Vec<LargeObjectFacts>,
        sink: &mut impl ObjectSink,
    ) -> Result<()> {
        let failed = |error| Error::sql("read large objects", &error);
        let sql = format!(
            "COPY (SELECT loid, pageno, data FROM pg_catalog.pg_largeobject \
             WHERE loid >= {begin} AND loid <= {end} ORDER BY loid, pageno) TO STDOUT (FORMAT binary)"
        );
        let copied = self.client.copy_out(&sql).await.map_err(failed)?;
        let types = [Type::OID, Type::INT4, Type::BYTEA];
        let mut pages = pin!(BinaryCopyOutStream::new(copied, &types));
        let mut facts = facts.into_iter().peekable();
        let mut done = 0;
        while let Some(page) = pages.try_next().await.map_err(failed)? {
            let (oid, number): (u32, i32) =
                (page.try_get(0).map_err(failed)?, page.try_get(1).map_err(failed)?);
            let data: &[u8] = page.try_get(2).map_err(failed)?;
            while let Some(before) = facts.next_if(|object| object.oid < oid) {
                sink.end(before).await?;
                done = 0;
            }
            if facts.peek().is_none_or(|object| object.oid != oid) {
                // Pages without an object can't be read by anyone.
                continue;
            }
            let start = u64::try_from(number).unwrap_or(0) * page_bytes;
            if start < done {
                return Err(Error::Protocol {
                    context: "read large objects".to_owned(),
                    message: format!("page {number} of large object {oid} is out of order"),
                });
            }
            while done < start {
                let length = usize::try_from(start - done).unwrap_or(usize::MAX).min(ZEROS.len());
                sink.take(oid, &ZEROS[..length]).await?;
                done += length as u64;
            }
            sink.take(oid, data).await?;
            done += data.len() as u64;
        }
        for object in facts {
            sink.end(object).await?;
        }
        Ok(())
    }

    async fn functions(
        &self,
        facts: Vec<LargeObjectFacts>,
        sink: &mut impl ObjectSink,
    ) -> Result<()> {
        let mut facts = facts.into_iter();
        loop {
            let batch: Vec<_> = facts.by_ref().take(BEGINNINGS_AT_ONCE).collect();
            if batch.is_empty() {
                return Ok(());
            }
            let oids: Vec<u32> = batch.iter().map(|object| object.oid).collect();
            let sql = "SELECT lo_get(x.oid, 0, $2) FROM unnest($1::oid[]) WITH ORDINALITY AS x(oid, place) ORDER BY x.place";
            let beginnings = rows(self.client, "large objects", sql, &[&oids, &BEGINNING]).await?;
            for (object, row) in batch.into_iter().zip(&beginnings) {
                let beginning: &[u8] = get(row, 0)?;
                sink.take(object.oid, beginning).await?;
                if beginning.len() == BEGINNING as usize {
                    self.rest(object.oid, sink).await?;
                }
                sink.end(object).await?;
            }
        }
    }

    /// What follows the beginning of a long object.
    async fn rest(&self, oid: u32, sink: &mut impl ObjectSink) -> Result<()> {
        let mut offset = i64::from(BEGINNING);
        loop {
            let sql = "SELECT lo_get($1::oid, $2::int8, $3::int4)";
            let row = one_row(self.client, "a large object", sql, &[&oid, &offset, &PAGE]).await?;
            let bytes: &[u8] = get(&row, 0)?;
            sink.take(oid, bytes).await?;
            offset += i64::from(PAGE);
            if bytes.len() < PAGE as usize {
                return Ok(());
            }
        }
    }
}

/// Keeps the server from sorting pages of large objects, which their index has in order: a sort would go over its disk.
/// For sessions that read large objects and nothing else.
///
/// # Errors
/// [`Error::Sql`].
pub(crate) async fn prefer_the_index(client: &Client) -> Result<()> {
    let sql = "SET enable_sort = off; SET enable_seqscan = off; SET enable_bitmapscan = off";
    execute(client, "plan reads of large objects", sql).await
}
