//! Rows too large for one message of the server, read column by column in pieces.
//!
//! COPY builds the text of a row in one buffer, which can't pass a gigabyte, and the driver hands it over in one piece. A
//! row with more than [`LARGE_ROW_BYTES`] of text is therefore found beforehand, by sizes that the server knows without
//! reading the values (`octet_length` looks into the TOAST pointer, `varlena.c`), left out of the COPY, and put together
//! here: **exactly the bytes that COPY would have written**, so that hashes, restores and archives know no difference.
//!
//! Text and `bytea` come in pieces, whatever their size. A value of any other type (`jsonb`, an array, a composite) has to be
//! written by the server in one piece; where even that passes its limit the row can't be had as text by anybody.

use std::pin::pin;

use futures::TryStreamExt as _;
use tokio_postgres::Client;
use tokio_postgres::binary_copy::BinaryCopyOutStream;
use tokio_postgres::types::Type;

use crate::catalog::{get, rows};
use crate::error::{Error, Result};
use crate::manifest::Column;
use crate::session::{quote_identifier, quote_literal};

/// Bytes of values in a row from which on it is read in pieces. Escapes and `bytea` can double it as text.
pub const LARGE_ROW_BYTES: u64 = 16 * 1024 * 1024;

/// Bytes of one piece. Also what is held of a large value, times a little.
const PIECE_BYTES: u32 = 4 * 1024 * 1024;

/// How much smaller than its value a compressed one can be (LZ4's limit; `pglz` stays below).
const COMPRESSION_MAX: u64 = 255;

/// What can be done with a column's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `text` or `varchar`, or a domain over one: its size is known without reading it.
    Text,
    /// `json`: text, but its size is only known as stored.
    Json,
    /// `bytea`.
    Bytes,
    /// Of variable length, and written by the server in one piece.
    Whole,
    /// Of fixed length.
    Small,
}

/// Takes the text of a row as it comes.
pub(crate) trait TextSink {
    /// The next bytes. A row ends with a newline, which stands nowhere else.
    async fn take(&mut self, text: &[u8]) -> Result<()>;
}

/// How the large rows of one table are found and read.
#[derive(Debug, Clone)]
pub(crate) struct LargeRows {
    /// `ONLY "schema"."table"`.
    from: String,
    columns: Vec<(String, Kind)>,
    /// SQL that is true for large rows.
    condition: String,
}

/// Whether a table with so much TOAST data may have a row of `limit` bytes.
pub(crate) fn possible(toast_bytes: u64, limit: u64) -> bool {
    toast_bytes.saturating_mul(COMPRESSION_MAX) >= limit
}

/// Kinds of a table's columns, in the order given; `table` is its quoted name.
pub(crate) async fn kinds(
    client: &Client,
    table: &str,
    columns: &[Column],
) -> Result<Vec<(String, Kind)>> {
    let sql = format!(
        "WITH RECURSIVE base(name, oid) AS (\
           SELECT a.attname::text, a.atttypid FROM pg_attribute a \
             WHERE a.attrelid = {}::regclass AND a.attnum > 0 AND NOT a.attisdropped \
           UNION ALL SELECT b.name, t.typbasetype FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype = 'd') \
         SELECT b.name, b.oid, t.typlen < 0 FROM base b JOIN pg_type t ON t.oid = b.oid WHERE t.typtype <> 'd'",
        quote_literal(table)
    );
    let mut of = std::collections::HashMap::new();
    for row in rows(client, "types of columns", &sql, &[]).await? {
        let (name, oid, variable): (String, u32, bool) =
            (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        let kind = match oid {
            25 | 1043 => Kind::Text,
            114 => Kind::Json,
            17 => Kind::Bytes,
            _ if variable => Kind::Whole,
            _ => Kind::Small,
        };
        of.insert(name, kind);
    }
    let kind = |column: &Column| of.get(&column.name).copied().unwrap_or(Kind::Whole);
    Ok(columns.iter().map(|column| (quote_identifier(&column.name), kind(column))).collect())
}

impl LargeRows {
    /// For a table by its quoted name; none where no row can be large.
    pub(crate) async fn of(
        client: &Client,
        table: &str,
        columns: &[Column],
        limit: u64,
    ) -> Result<Option<Self>> {
        let columns = kinds(client, table, columns).await?;
        let sizes: Vec<_> = columns
            .iter()
            .filter_map(|(name, kind)| match kind {
                Kind::Text | Kind::Bytes => {
                    Some(format!("coalesce(octet_length({name}), 0)::int8"))
                }
                Kind::Json | Kind::Whole => {
                    Some(format!("coalesce(pg_column_size({name}), 0)::int8"))
                }
                Kind::Small => None,
            })
            .collect();
        if sizes.is_empty() {
            return Ok(None);
        }
        let condition = format!("{} > {limit}", sizes.join(" + "));
        Ok(Some(Self { from: format!("ONLY {table}"), columns, condition }))
    }

    /// Where the large rows among those of a condition are (`WHERE …`, or nothing), in order.
    pub(crate) async fn find(&self, client: &Client, condition: &str) -> Result<Vec<String>> {
        let word = if condition.is_empty() { "WHERE" } else { "AND" };
        let sql = format!(
            "SELECT ctid::text FROM {} {condition} {word} {} ORDER BY ctid",
            self.from, self.condition
        );
        let found = rows(client, "places of large rows", &sql, &[]).await?;
        found.iter().map(|row| get(row, 0)).collect()
    }

    /// The same condition without the large rows.
    pub(crate) fn without(&self, condition: &str) -> String {
        let word = if condition.is_empty() { "WHERE" } else { "AND" };
        format!("{condition} {word} NOT ({})", self.condition)
    }

    /// Writes the COPY text of one row, with its newline.
    pub(crate) async fn read<S: TextSink>(
        &self,
        client: &Client,
        place: &str,
        encoding: &str,
        sink: &mut S,
    ) -> Result<()> {
        let mut plain: Vec<&str> = Vec::new();
        let mut first = true;
        for (name, kind) in &self.columns {
            if matches!(kind, Kind::Small) {
                plain.push(name);
                continue;
            }
            if !plain.is_empty() {
                separate(&mut first, sink).await?;
                self.whole(client, place, encoding, &plain.join(", "), sink).await?;
                plain.clear();
            }
            separate(&mut first, sink).await?;
            match kind {
                Kind::Text | Kind::Json | Kind::Bytes => {
                    self.in_pieces(client, place, encoding, (name, *kind), sink).await?;
                }
                Kind::Whole | Kind::Small => {
                    self.whole(client, place, encoding, name, sink).await?;
                }
            }
        }
        if !plain.is_empty() {
            separate(&mut first, sink).await?;
            self.whole(client, place, encoding, &plain.join(", "), sink).await?;
        }
        sink.take(b"\n").await
    }

    /// Columns as the server writes them.
    async fn whole<S: TextSink>(
        &self,
        client: &Client,
        place: &str,
        encoding: &str,
        columns: &str,
        sink: &mut S,
    ) -> Result<()> {
        let sql = format!(
            "COPY (SELECT {columns} FROM {} WHERE ctid = '{place}') TO STDOUT (ENCODING {})",
            self.from,
            quote_literal(encoding)
        );
        let failed = |error| self.failure(place, columns, &error);
        let stream = client.copy_out(sql.as_str()).await.map_err(failed)?;
        let mut stream = pin!(stream);
        let mut rows = 0_u32;
        while let Some(message) = stream.try_next().await.map_err(failed)? {
            rows += 1;
            sink.take(message.strip_suffix(b"\n").unwrap_or(&message)).await?;
        }
        self.one_row(rows, place)
    }

    /// A value of any size. The server reads it once and cuts it in memory: the lateral join keeps it on the outer side, and
    /// the concatenation and the conversion to its own encoding, which changes nothing, make it be read before it is cut.
    async fn in_pieces<S: TextSink>(
        &self,
        client: &Client,
        place: &str,
        encoding: &str,
        (name, kind): (&str, Kind),
        sink: &mut S,
    ) -> Result<()> {
        let value = match kind {
            Kind::Bytes => format!("{name} || ''::bytea"),
            _ => format!("convert_to({name}::text, {})", quote_literal(encoding)),
        };
        let sql = format!(
            "COPY (SELECT substr(x.v, 1 + i.n * {PIECE_BYTES}, {PIECE_BYTES}) \
               FROM (SELECT {value} AS v FROM {} WHERE ctid = '{place}' OFFSET 0) AS x \
               CROSS JOIN LATERAL generate_series(0, (octet_length(x.v) - 1) / {PIECE_BYTES}) AS i(n)) \
             TO STDOUT (FORMAT binary)",
            self.from
        );
        let failed = |error| self.failure(place, name, &error);
        let stream = client.copy_out(sql.as_str()).await.map_err(failed)?;
        let mut pieces = pin!(BinaryCopyOutStream::new(stream, &[Type::BYTEA]));
        let mut text = Vec::new();
        let mut first = true;
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            let piece: &[u8] = piece.try_get(0).map_err(failed)?;
            text.clear();
            if kind == Kind::Bytes {
                if std::mem::take(&mut first) {
                    text.extend_from_slice(br"\\x");
                }
                let start = text.len();
                text.resize(start + piece.len() * 2, 0);
                hex::encode_to_slice(piece, &mut text[start..]).map_err(|error| {
                    Error::Protocol {
                        context: "write a value of bytes as text".to_owned(),
                        message: error.to_string(),
                    }
                })?;
            } else {
                first = false;
                escape(piece, &mut text);
            }
            sink.take(&text).await?;
        }
        // Without a value there are no pieces, not even an empty one.
        if first { sink.take(br"\N").await } else { Ok(()) }
    }

    fn one_row(&self, rows: u32, place: &str) -> Result<()> {
        if rows == 1 {
            return Ok(());
        }
        Err(Error::Protocol {
            context: format!("read the large row {place} of {}", self.from),
            message: format!("{rows} rows are at its place"),
        })
    }

    fn failure(&self, place: &str, columns: &str, error: &tokio_postgres::Error) -> Error {
        let table = self.from.strip_prefix("ONLY ").unwrap_or(&self.from);
        match Error::sql(format!("read the large row {place} of {table}"), error) {
            error if too_large(&error) => Error::Unsupported {
                code: "RowTooLarge",
                message: format!(
                    "column {columns} of table {table} has a value, in the row at {place}, whose text passes the gigabyte \
                     that the server can write, and its type has no pieces to read it by"
                ),
            },
            other => other,
        }
    }
}

/// The server could not build the text in one buffer (`stringinfo.c`, `mcxt.c`).
pub(crate) fn too_large(error: &Error) -> bool {
    matches!(error, Error::Sql { sqlstate, message, .. } if sqlstate == "54000"
        || (sqlstate == "XX000" && message.contains("memory alloc request size"))
        || (sqlstate == "53200" && message.contains("string buffer")))
}

async fn separate<S: TextSink>(first: &mut bool, sink: &mut S) -> Result<()> {
    if std::mem::take(first) { Ok(()) } else { sink.take(b"\t").await }
}

/// COPY's escapes (`CopyAttributeOutText` in `copyto.c`). In every encoding of a server a byte below 128 is that character.
fn escape(mut bytes: &[u8], text: &mut Vec<u8>) {
    while let Some(at) = bytes.iter().position(|byte| matches!(byte, 8..=13 | b'\\')) {
        text.extend_from_slice(&bytes[..at]);
        let letter = match bytes[at] {
            8 => b'b',
            9 => b't',
            10 => b'n',
            11 => b'v',
            12 => b'f',
            13 => b'r',
            other => other,
        };
        text.extend_from_slice(&[b'\\', letter]);
        bytes = &bytes[at + 1..];
    }
    text.extend_from_slice(bytes);
}
