//! One large row, column by column.

use std::pin::pin;

use futures::TryStreamExt as _;
use tokio_postgres::binary_copy::BinaryCopyOutStream;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Statement};

use super::kinds::{Column, Kind};
use super::{LargeRows, PIECE_BYTES, Source, TextSink, too_large};
use crate::error::{Error, Result};
use crate::session::{execute, quote_literal};

/// Encoding of our sessions ([`crate::session`]).
const SESSION_ENCODING: &str = "UTF8";

impl LargeRows {
    /// Writes the COPY text of the row at a place, with its newline.
    pub(super) async fn copy_in_pieces<S: TextSink>(
        &self,
        source: Source<'_>,
        place: &str,
        sink: &mut S,
    ) -> Result<()> {
        let runs =
            self.columns.chunk_by(|one, next| one.kind == Kind::Small && next.kind == Kind::Small);
        for (number, run) in runs.enumerate() {
            if number > 0 {
                sink.take(b"\t").await?;
            }
            match run {
                [column] if column.kind != Kind::Small => {
                    self.in_pieces(source, place, column, sink).await?;
                }
                small => self.at_once(source, place, small, sink).await?,
            }
        }
        sink.take(b"\n").await
    }

    /// Small columns as the server writes them.
    async fn at_once<S: TextSink>(
        &self,
        source: Source<'_>,
        place: &str,
        columns: &[Column],
        sink: &mut S,
    ) -> Result<()> {
        let names: Vec<_> = columns.iter().map(|column| column.name.as_str()).collect();
        let names = names.join(", ");
        let sql = format!(
            "COPY (SELECT {names} FROM {} WHERE ctid = '{place}') TO STDOUT (ENCODING {})",
            self.from,
            quote_literal(source.encoding)
        );
        let failed = |error| self.failure(place, &names, &error);
        let stream = source.client.copy_out(sql.as_str()).await.map_err(failed)?;
        let mut stream = pin!(stream);
        let mut rows = 0_u32;
        while let Some(message) = stream.try_next().await.map_err(failed)? {
            rows += 1;
            sink.take(message.strip_suffix(b"\n").unwrap_or(&message)).await?;
        }
        if rows == 1 { Ok(()) } else { Err(self.not_one(place)) }
    }

    /// A value of any size. The server makes it once and cuts it in memory: the lateral join keeps it on the outer side. A null
    /// has one piece, which is null too.
    async fn in_pieces<S: TextSink>(
        &self,
        source: Source<'_>,
        place: &str,
        column: &Column,
        sink: &mut S,
    ) -> Result<()> {
        let sql = format!(
            "COPY (SELECT substr(x.v, 1 + i.n * {PIECE_BYTES}, {PIECE_BYTES}) \
               FROM (SELECT {} AS v FROM {} WHERE ctid = '{place}' OFFSET 0) AS x \
               LEFT JOIN LATERAL generate_series(0, (octet_length(x.v) - 1) / {PIECE_BYTES}) AS i(n) ON true) \
             TO STDOUT (FORMAT binary)",
            column.bytes(),
            self.from
        );
        let Source { client, encoding, .. } = source;
        // Names are in the session's encoding, so the statement is read before that changes.
        let failed = |error| self.failure(place, &column.name, &error);
        let statement = client.prepare(&sql).await.map_err(failed)?;
        if encoding == SESSION_ENCODING {
            return self.pieces(client, &statement, (place, column), sink).await;
        }
        // Only to a client of the same encoding are bytes sent as they are.
        set_encoding(client, encoding).await?;
        let taken = self.pieces(client, &statement, (place, column), sink).await;
        let reset = set_encoding(client, SESSION_ENCODING).await;
        taken.and(reset)
    }

    async fn pieces<S: TextSink>(
        &self,
        client: &Client,
        statement: &Statement,
        (place, column): (&str, &Column),
        sink: &mut S,
    ) -> Result<()> {
        let failed = |error| self.failure(place, &column.name, &error);
        let stream = client.copy_out(statement).await.map_err(failed)?;
        let mut pieces = pin!(BinaryCopyOutStream::new(stream, &[Type::BYTEA]));
        let mut text = Vec::new();
        let mut first = true;
        while let Some(piece) = pieces.try_next().await.map_err(failed)? {
            let piece: Option<&[u8]> = piece.try_get(0).map_err(failed)?;
            text.clear();
            match piece {
                None => text.extend_from_slice(br"\N"),
                Some(bytes) if column.kind == Kind::Bytes => {
                    if first {
                        text.extend_from_slice(br"\\x");
                    }
                    let start = text.len();
                    text.resize(start + bytes.len() * 2, 0);
                    hex::encode_to_slice(bytes, &mut text[start..])
                        .map_err(|error| self.protocol(error.to_string()))?;
                }
                Some(bytes) => escape(bytes, &mut text),
            }
            first = false;
            sink.take(&text).await?;
        }
        if first { Err(self.not_one(place)) } else { Ok(()) }
    }

    fn not_one(&self, place: &str) -> Error {
        self.protocol(format!("there is not one row at {place}"))
    }

    fn failure(&self, place: &str, columns: &str, error: &tokio_postgres::Error) -> Error {
        let table = self.from.strip_prefix("ONLY ").unwrap_or(&self.from);
        match Error::sql(format!("read the large row {place} of {table}"), error) {
            error if too_large(&error) => Error::Unsupported {
                code: "RowTooLarge",
                message: format!(
                    "column {columns} of table {table} has a value, in the row at {place}, whose text passes the gigabyte \
                     that the server can write"
                ),
            },
            other => other,
        }
    }
}

async fn set_encoding(client: &Client, encoding: &str) -> Result<()> {
    let sql = format!("SET client_encoding = {}", quote_literal(encoding));
    execute(client, "read a large row without conversion", &sql).await
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
