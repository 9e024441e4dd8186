//! Rows too large for one message of the server, read column by column in pieces.
//!
//! COPY builds the text of a row in one buffer, which can't pass a gigabyte, and the driver hands it over in one piece. Rows
//! with more than [`LARGE_ROW_BYTES`] are therefore left out of the COPY and put together here: **exactly the bytes that
//! COPY would have written**, so that hashes, restores and archives know no difference.
//!
//! They are found in two steps, so that ordinary tables pay nothing and others little. First the sizes that the server knows
//! without reading a value (`octet_length` looks into the TOAST pointer, `varlena.c`; what is compressed may be
//! 255 times as long) say of a range whether it may have a large row; most have none. Only then is
//! each row measured, in the COPY itself: values whose length depends on how they are written (`jsonb`, arrays, composites)
//! are made text once, measured, and sent as that text if the row is not large. A large one leaves its place in the output.
//!
//! A value comes in pieces of [`PIECE_BYTES`], whatever its type. Only the server has to hold it whole, and where its text
//! passes the server's own limit of a gigabyte it can't be had as text by anybody.
//!
//! Rows of other access methods than the heap have no place to be found by. Their large rows come in one message each, one at
//! a time in the whole process.

mod kinds;
mod pieces;

use std::pin::pin;

use futures::TryStreamExt as _;
use tokio::sync::Semaphore;
use tokio_postgres::Client;

use self::kinds::Column;
pub(crate) use self::kinds::{Kind, Kinds, kinds, possible, table_oid};
use crate::catalog::{get, one_row};
use crate::error::{Error, Result};
use crate::manifest;
use crate::session::{quote_identifier, quote_literal};

/// Bytes of values in a row from which on it is read in pieces. Escapes and `bytea` can double it as text.
pub const LARGE_ROW_BYTES: u64 = 2 * 1024 * 1024;

/// Bytes of one piece.
const PIECE_BYTES: u32 = 1024 * 1024;

/// First version that says whether a value is compressed.
const COMPRESSION_KNOWN_SINCE: u32 = 14;

/// Held while a row that has no pieces is received: one of them at a time, whatever else the process does.
static WHOLE_ROW: Semaphore = Semaphore::const_new(1);

/// Takes the text of rows as it comes.
pub(crate) trait TextSink {
    /// The next bytes. A row ends with a newline, which stands nowhere else.
    async fn take(&mut self, text: &[u8]) -> Result<()>;
}

/// What a session is connected to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    pub(crate) client: &'a Client,
    /// Encoding of the database: that of all text here.
    pub(crate) encoding: &'a str,
    /// Major version of the server.
    pub(crate) major: u32,
}

/// How the rows of a table that may have large ones are read.
#[derive(Debug, Clone)]
pub(crate) struct LargeRows {
    /// `ONLY "schema"."table"`.
    from: String,
    columns: Vec<Column>,
    limit: u64,
    /// A row's `ctid` finds it again: the table is a heap.
    has_places: bool,
}

impl LargeRows {
    /// For a table by its quoted name; none where no row can be large, whatever it holds.
    pub(crate) fn of(
        table: &str,
        columns: &[manifest::Column],
        kinds: &Kinds,
        limit: u64,
        has_places: bool,
    ) -> Option<Self> {
        let kind =
            |name: &String| kinds.get(name).copied().unwrap_or(Kind::Whole { by_cast: false });
        let columns: Vec<_> = columns
            .iter()
            .map(|column| Column { name: quote_identifier(&column.name), kind: kind(&column.name) })
            .collect();
        let some = columns.iter().any(|column| column.kind != Kind::Small);
        // What a server counts is a signed number.
        let limit = limit.min(i64::MAX.unsigned_abs());
        some.then(|| Self { from: format!("ONLY {table}"), columns, limit, has_places })
    }

    /// Whether one of the rows of a condition (`WHERE …`, or nothing) may be large. Reads no value.
    pub(crate) async fn may_be(&self, source: Source<'_>, condition: &str) -> Result<bool> {
        let since_14 = source.major >= COMPRESSION_KNOWN_SINCE;
        let sizes: Vec<_> =
            self.columns.iter().filter_map(|column| column.most(since_14)).collect();
        let sql = format!(
            "SELECT EXISTS (SELECT FROM (SELECT * FROM {} {condition}) AS x WHERE {} > {})",
            self.from,
            sizes.join(" + "),
            self.limit
        );
        get(&one_row(source.client, "sizes of rows", &sql, &[]).await?, 0)
    }

    /// Writes the COPY text of the rows of a condition, the large ones last, and returns the lengths of these.
    pub(crate) async fn copy<S: TextSink>(
        &self,
        source: Source<'_>,
        condition: &str,
        sink: &mut S,
    ) -> Result<Vec<u64>> {
        let places = self.copy_others(source, condition, sink).await?;
        if places.is_empty() {
            return Ok(Vec::new());
        }
        if !self.has_places {
            return self.copy_whole(source, condition, places.len(), sink).await;
        }
        let mut lengths = Vec::new();
        for place in places {
            let mut counted = Counted { sink, bytes: 0 };
            self.copy_in_pieces(source, &place, &mut counted).await?;
            lengths.push(counted.bytes);
        }
        Ok(lengths)
    }

    /// All rows that are not large; returns where the others are, in order. A line begins with a field of its own, which is
    /// empty for a row that goes on.
    async fn copy_others<S: TextSink>(
        &self,
        source: Source<'_>,
        condition: &str,
        sink: &mut S,
    ) -> Result<Vec<String>> {
        let fields = self.fields(|column, field| match column.kind {
            Kind::Small => field,
            _ => format!("CASE WHEN x.large THEN NULL ELSE {field} END"),
        });
        let sql = format!(
            "COPY (SELECT CASE WHEN x.large THEN x.place::text ELSE '' END, {fields} FROM {}) \
             TO STDOUT (FORMAT text, ENCODING {})",
            self.measured(condition),
            quote_literal(source.encoding)
        );
        let failed = |error| Error::sql("read rows", &error);
        let rows = source.client.copy_out(sql.as_str()).await.map_err(failed)?;
        let mut rows = pin!(rows);
        let mut places = Vec::new();
        while let Some(message) = rows.try_next().await.map_err(failed)? {
            match memchr::memchr(b'\t', &message) {
                Some(0) => sink.take(&message[1..]).await?,
                Some(end) => places.push(String::from_utf8_lossy(&message[..end]).into_owned()),
                None => return Err(self.protocol("a line of COPY has one field".to_owned())),
            }
        }
        Ok(places)
    }

    /// The large rows of a table that has no places, each in one message.
    async fn copy_whole<S: TextSink>(
        &self,
        source: Source<'_>,
        condition: &str,
        expected: usize,
        sink: &mut S,
    ) -> Result<Vec<u64>> {
        let sql = format!(
            "COPY (SELECT {} FROM {} WHERE x.large) TO STDOUT (FORMAT text, ENCODING {})",
            self.fields(|_, field| field),
            self.measured(condition),
            quote_literal(source.encoding)
        );
        let failed = |error| Error::sql("read large rows", &error);
        let _alone = WHOLE_ROW.acquire().await.map_err(|error| self.protocol(error.to_string()))?;
        let rows = source.client.copy_out(sql.as_str()).await.map_err(failed)?;
        let mut rows = pin!(rows);
        let mut lengths = Vec::new();
        while let Some(message) = rows.try_next().await.map_err(failed)? {
            sink.take(&message).await?;
            lengths.push(message.len() as u64);
        }
        if lengths.len() != expected {
            let message = format!("{} rows were large and then {expected}", lengths.len());
            return Err(self.protocol(message));
        }
        Ok(lengths)
    }

    /// SQL for the rows of a condition as relation `x`: fields `c0`, `c1` … as COPY writes them, `place`, and whether the row is
    /// `large`. `OFFSET 0` keeps the planner from writing a value out more than once.
    fn measured(&self, condition: &str) -> String {
        let columns = self.columns.iter().enumerate();
        let texts: Vec<_> =
            columns.clone().map(|(n, column)| format!(", {} AS c{n}", column.text())).collect();
        let sizes: Vec<_> = columns
            .filter(|(_, column)| column.kind != Kind::Small)
            .map(|(n, _)| format!("coalesce(octet_length(y.c{n}), 0)::int8"))
            .collect();
        let place = if self.has_places { "ctid" } else { "'-'" };
        format!(
            "(SELECT y.*, {} > {} AS large FROM (SELECT {place} AS place{} FROM {} {condition} OFFSET 0) AS y OFFSET 0) AS x",
            sizes.join(" + "),
            self.limit,
            texts.concat(),
            self.from,
        )
    }

    /// The list of fields of relation `x`.
    fn fields(&self, field: impl Fn(&Column, String) -> String) -> String {
        let columns = self.columns.iter().enumerate();
        let fields: Vec<_> = columns.map(|(n, column)| field(column, format!("x.c{n}"))).collect();
        fields.join(", ")
    }

    fn protocol(&self, message: String) -> Error {
        Error::Protocol { context: format!("read the large rows of {}", self.from), message }
    }
}

/// Passes text on and counts it.
struct Counted<'a, S> {
    sink: &'a mut S,
    bytes: u64,
}

impl<S: TextSink> TextSink for Counted<'_, S> {
    async fn take(&mut self, text: &[u8]) -> Result<()> {
        self.bytes += text.len() as u64;
        self.sink.take(text).await
    }
}

/// The server could not build the text in one buffer (`stringinfo.c`, `mcxt.c`).
pub(crate) fn too_large(error: &Error) -> bool {
    matches!(error, Error::Sql { sqlstate, message, .. } if sqlstate == "54000"
        || (sqlstate == "XX000" && message.contains("memory alloc request size"))
        || (sqlstate == "53200" && message.contains("string buffer")))
}
