//! Large rows into a restored table.
//!
//! COPY takes a line of at most a gigabyte, and a row whose values are longer than that together can't even be formed at
//! once (`heaptuple.c`). Such a row was never inserted as one statement with all of its values, and here it is neither:
//! each long value goes in pieces into a temporary table, is put together in another with the column's own type, where it
//! is stored out of line, and the row is then made of the pointers to these. All of it is one transaction, which leaves no
//! temporary table behind.

use std::collections::VecDeque;
use std::pin::pin;

use bytes::Bytes;
use coffer_store::Repository;
use futures::sink::SinkExt as _;
use futures::stream::{self, BoxStream, Stream, TryStreamExt as _};
use tokio_postgres::{Client, Statement};

use super::ranges::read_chunks;
use crate::error::{Error, Result};
use crate::large_row::{Kind, kinds, table_oid};
use crate::manifest::{RowChunk, Table};
use crate::session::{self, quote_identifier, quote_literal};

/// Text of a row that still goes by COPY, which allows a little less than twice that.
pub const COPY_ROW_BYTES_MAX: u64 = 512 * 1024 * 1024;

/// Text of a value that is kept in memory until its row is complete; longer ones go to the server in pieces.
const SHORT_VALUE_BYTES: usize = 256 * 1024;

/// What fails when a statement here does.
const LOAD: &str = "load a large row";

/// Bytes of a piece.
const PIECE_BYTES: usize = 4 * 1024 * 1024;

/// The text of a range, taken in runs of bytes.
pub(super) struct RangeText<'a> {
    chunks: BoxStream<'a, Result<Bytes>>,
    rest: Bytes,
}

impl<'a> RangeText<'a> {
    pub(super) fn new(repository: &'a Repository, chunks: &[RowChunk]) -> Self {
        Self { chunks: read_chunks(repository, chunks.to_vec()), rest: Bytes::new() }
    }

    /// The next `bytes` of it.
    pub(super) fn run(&mut self, bytes: u64) -> impl Stream<Item = Result<Bytes>> + Send {
        stream::try_unfold((self, bytes), |(text, left)| async move {
            if left == 0 {
                return Ok(None);
            }
            let piece = text.take(left).await?;
            let left = left - piece.len() as u64;
            Ok(Some((piece, (text, left))))
        })
    }

    /// At most `most` bytes, and at least one.
    async fn take(&mut self, most: u64) -> Result<Bytes> {
        while self.rest.is_empty() {
            let next = self.chunks.try_next().await?;
            self.rest = next.ok_or_else(|| Error::Manifest {
                message: "a range is shorter than its large rows say".to_owned(),
            })?;
        }
        let length = self.rest.len().min(usize::try_from(most).unwrap_or(usize::MAX));
        Ok(self.rest.split_to(length))
    }
}

/// Puts large rows into one table, within a transaction of the caller.
pub(super) struct LargeRowLoader<'a> {
    client: &'a Client,
    /// Quoted name of the table, or of the root of its tree.
    into: String,
    columns: Vec<(String, Kind)>,
    types: Vec<String>,
    encoding: &'a str,
}

impl<'a> LargeRowLoader<'a> {
    pub(super) async fn new(
        client: &'a Client,
        into: String,
        table: &Table,
        encoding: &'a str,
    ) -> Result<Self> {
        let oid = table_oid(client, &into).await?;
        let kinds = kinds(client, &[oid]).await?.remove(&oid).unwrap_or_default();
        let kind = |name| kinds.get(name).copied().unwrap_or(Kind::Whole { by_cast: false });
        let columns = table
            .columns
            .iter()
            .map(|column| (quote_identifier(&column.name), kind(&column.name)))
            .collect();
        let types = table.columns.iter().map(|column| column.type_name.clone()).collect();
        Ok(Self { client, into, columns, types, encoding })
    }

    /// Loads the row whose text are the next `length` bytes.
    pub(super) async fn load(&self, text: &mut RangeText<'_>, length: u64) -> Result<()> {
        self.execute(
            "CREATE TEMPORARY TABLE coffer_pieces (field int NOT NULL, piece int NOT NULL, data bytea NOT NULL) ON COMMIT DROP; \
             ALTER TABLE pg_temp.coffer_pieces ALTER COLUMN data SET STORAGE EXTERNAL",
        )
        .await?;
        let add = "INSERT INTO pg_temp.coffer_pieces VALUES ($1, $2, $3)";
        let add = self.client.prepare(add).await.map_err(failed)?;
        let mut row = Row::new(self, add);
        let mut pieces = pin!(text.run(length));
        while let Some(piece) = pieces.try_next().await? {
            row.take(&piece).await?;
        }
        let long = row.finish()?;
        self.insert(long).await
    }

    /// Makes the row of its short values, given as COPY text, and the pieces of the long ones.
    async fn insert(&self, fields: Vec<Field>) -> Result<()> {
        let mut short = (Vec::new(), Vec::new());
        let mut values = Vec::new();
        let mut temporary = vec!["pg_temp.coffer_pieces".to_owned()];
        for (number, field) in fields.into_iter().enumerate() {
            let ((name, kind), type_name) = (&self.columns[number], &self.types[number]);
            match field {
                Field::Short(text) => {
                    short.0.push(name.clone());
                    short.1.push(text);
                    values.push(format!("r.{name}"));
                }
                Field::Long { .. } => {
                    let table = format!("coffer_value_{number}");
                    self.put_together(&table, number, *kind, type_name).await?;
                    let table = format!("pg_temp.{table}");
                    values.push(format!("(SELECT v.v FROM {table} v)::{type_name}"));
                    temporary.push(table);
                }
            }
        }
        let mut from = "";
        if !short.0.is_empty() {
            self.copy_short(&short.0.join(", "), short.1).await?;
            from = "FROM pg_temp.coffer_row r";
            temporary.push("pg_temp.coffer_row".to_owned());
        }
        let names: Vec<_> = self.columns.iter().map(|(name, _)| name.as_str()).collect();
        self.execute(&format!(
            "INSERT INTO {} ({}) OVERRIDING SYSTEM VALUE SELECT {} {from}; \
             DROP TABLE {}",
            self.into,
            names.join(", "),
            values.join(", "),
            temporary.join(", ")
        ))
        .await
    }

    /// Makes a long value of its pieces, in a table of its own: a value of nulls, or one that may not be null, needs no search.
    async fn put_together(
        &self,
        table: &str,
        field: usize,
        kind: Kind,
        type_name: &str,
    ) -> Result<()> {
        let whole = format!(
            "(SELECT string_agg(p.data, ''::bytea ORDER BY p.piece) FROM pg_temp.coffer_pieces p WHERE p.field = {field})"
        );
        let text = format!("convert_from({whole}, {})", quote_literal(self.encoding));
        let (stored, value) = match kind {
            Kind::Bytes => ("bytea", whole),
            Kind::Text => ("text", text),
            _ => (type_name, format!("{text}::text::{type_name}")),
        };
        self.execute(&format!(
            "CREATE TEMPORARY TABLE {table} (v {stored}) ON COMMIT DROP; \
             ALTER TABLE pg_temp.{table} ALTER COLUMN v SET STORAGE EXTERNAL; \
             INSERT INTO pg_temp.{table} VALUES ({value})"
        ))
        .await
    }

    /// The short values as they stand, in a table that has their columns' types.
    async fn copy_short(&self, columns: &str, texts: Vec<Vec<u8>>) -> Result<()> {
        self.execute(&format!(
            "CREATE TEMPORARY TABLE coffer_row ON COMMIT DROP AS SELECT {columns} FROM {} WITH NO DATA",
            self.into
        ))
        .await?;
        let copy = format!(
            "COPY pg_temp.coffer_row ({columns}) FROM STDIN WITH (FORMAT text, ENCODING {})",
            quote_literal(self.encoding)
        );
        let sink = self.client.copy_in::<_, Bytes>(&copy).await.map_err(failed)?;
        futures::pin_mut!(sink);
        let mut separator = None;
        for text in texts {
            if let Some(tab) = separator.replace(b"\t") {
                sink.send(Bytes::from_static(tab)).await.map_err(failed)?;
            }
            sink.send(Bytes::from(text)).await.map_err(failed)?;
        }
        sink.send(Bytes::from_static(b"\n")).await.map_err(failed)?;
        sink.finish().await.map(drop).map_err(failed)
    }

    async fn execute(&self, sql: &str) -> Result<()> {
        session::execute(self.client, LOAD, sql).await
    }
}

fn failed(error: tokio_postgres::Error) -> Error {
    Error::sql(LOAD, &error)
}

/// One value of a row.
#[derive(Debug)]
enum Field {
    /// As COPY text.
    Short(Vec<u8>),
    /// On the server, without its escapes, in so many pieces.
    Long { pieces: i32 },
}

/// A row being taken apart.
struct Row<'a> {
    loader: &'a LargeRowLoader<'a>,
    add: Statement,
    done: Vec<Field>,
    current: Field,
    /// Bytes of a long value that make no whole piece yet.
    piece: Vec<u8>,
    /// Bytes whose meaning the next bytes decide: after a backslash, or half of a byte in hexadecimal digits.
    pending: VecDeque<u8>,
    ended: bool,
}

impl<'a> Row<'a> {
    fn new(loader: &'a LargeRowLoader<'a>, add: Statement) -> Self {
        Self {
            loader,
            add,
            done: Vec::new(),
            current: Field::Short(Vec::new()),
            piece: Vec::new(),
            pending: VecDeque::new(),
            ended: false,
        }
    }

    async fn take(&mut self, mut text: &[u8]) -> Result<()> {
        while let Some(end) = memchr::memchr2(b'\t', b'\n', text) {
            self.value(&text[..end]).await?;
            self.end_value(text[end] == b'\n').await?;
            text = &text[end + 1..];
        }
        self.value(text).await
    }

    /// More text of the current value.
    async fn value(&mut self, text: &[u8]) -> Result<()> {
        if let Field::Short(short) = &mut self.current {
            short.extend_from_slice(text);
            if short.len() <= SHORT_VALUE_BYTES {
                return Ok(());
            }
            let text = std::mem::take(short);
            self.current = Field::Long { pieces: 0 };
            return Box::pin(self.long(&text)).await;
        }
        self.long(text).await
    }

    async fn long(&mut self, text: &[u8]) -> Result<()> {
        let bytes = matches!(self.loader.columns.get(self.done.len()), Some((_, Kind::Bytes)));
        let mut rest = text;
        while let Some(first) = rest.first() {
            // Runs without anything to decide on go the short way.
            let run = match memchr::memchr(b'\\', rest).unwrap_or(rest.len()) {
                _ if !self.pending.is_empty() => 0,
                run if bytes => (run & !1).min(PIECE_BYTES),
                run => run.min(PIECE_BYTES),
            };
            if run == 0 {
                self.pending.push_back(*first);
                self.piece.extend(decode(&mut self.pending, bytes)?);
            } else if bytes {
                let start = self.piece.len();
                self.piece.resize(start + run / 2, 0);
                hex::decode_to_slice(&rest[..run], &mut self.piece[start..])
                    .map_err(|_| broken())?;
            } else {
                self.piece.extend_from_slice(&rest[..run]);
            }
            rest = &rest[run.max(1)..];
            if self.piece.len() >= PIECE_BYTES {
                self.send().await?;
            }
        }
        Ok(())
    }

    async fn send(&mut self) -> Result<()> {
        let Field::Long { pieces } = &mut self.current else { return Ok(()) };
        let field = i32::try_from(self.done.len()).unwrap_or(i32::MAX);
        let data = self.piece.as_slice();
        self.loader.client.execute(&self.add, &[&field, &*pieces, &data]).await.map_err(failed)?;
        *pieces += 1;
        self.piece.clear();
        Ok(())
    }

    async fn end_value(&mut self, last: bool) -> Result<()> {
        if matches!(self.current, Field::Long { .. }) {
            self.send().await?;
        }
        if !self.pending.is_empty() || self.ended {
            return Err(broken());
        }
        if self.done.len() == self.loader.columns.len() {
            return Err(broken());
        }
        self.done.push(std::mem::replace(&mut self.current, Field::Short(Vec::new())));
        self.ended = last;
        Ok(())
    }

    fn finish(self) -> Result<Vec<Field>> {
        if self.ended && self.done.len() == self.loader.columns.len() {
            return Ok(self.done);
        }
        Err(broken())
    }
}

/// One byte of a value from its text: without COPY's escapes, and out of the digits of a `bytea`. None until it is known.
fn decode(pending: &mut VecDeque<u8>, digits: bool) -> Result<Option<u8>> {
    // A bytea's text is `\x` and digits; its backslash is escaped like any other.
    if digits {
        let value = match pending.make_contiguous() {
            [b'\\'] | [b'\\', b'\\'] => return Ok(None),
            [b'\\', b'\\', b'x'] => None,
            [high] => return digit(*high).map(|_| None).ok_or_else(broken),
            [high, low] => Some(digit(*high).zip(digit(*low)).ok_or_else(broken)?),
            _ => return Err(broken()),
        };
        pending.clear();
        return Ok(value.map(|(high, low)| high << 4 | low));
    }
    let value = match pending.make_contiguous() {
        [b'\\'] => return Ok(None),
        [b'\\', letter] => match letter {
            b'b' => 8,
            b't' => 9,
            b'n' => 10,
            b'v' => 11,
            b'f' => 12,
            b'r' => 13,
            other => *other,
        },
        [byte] => *byte,
        _ => return Err(broken()),
    };
    pending.clear();
    Ok(Some(value))
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn broken() -> Error {
    Error::Manifest { message: "the text of a large row is damaged".to_owned() }
}
