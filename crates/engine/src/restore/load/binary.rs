//! Text of rows as the server's binary format of COPY, where that is the same in every version.
//!
//! Of a load, the server spends a good third on taking lines apart and on reading numbers and dates out of text. Where a table
//! has nothing but columns of the built-in types below, that is done here, while chunks are read. The values' form on the wire
//! is that of `typreceive`, which has not changed since version 10 for any of them. A table with any other column goes as text, and
//! so does one with a value that is written in an uncommon way ([`Unusual`]): the server's own reading is the truth, and
//! the proof reads back what came of either.

mod values;

use bytes::Bytes;

use self::values::{date, digits, numeric, timestamp};
use crate::manifest::Column;

/// The beginning: a signature, no flags, no extension of the header.
const HEADER: &[u8] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The end.
const TRAILER: [u8; 2] = (-1_i16).to_be_bytes();

/// A null.
const NULL: i32 = -1;

/// The value is not written as expected: the server has to read it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unusual;

/// A built-in type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Bool,
    Date,
    /// With a time zone its text ends with that of UTC.
    Timestamp {
        zone: bool,
    },
    Uuid,
    Bytea,
    /// Sent as it is, with or without a first byte that names a version.
    Text {
        version: Option<u8>,
    },
}

impl Kind {
    /// By `format_type`, which leaves only the names of built-in types without a schema.
    fn of(type_name: &str) -> Option<Self> {
        let (name, rest) = match type_name.split_once('(') {
            Some((name, rest)) => (name, rest.split_once(')')?.1),
            None => (type_name, ""),
        };
        Some(match (name, rest) {
            ("smallint", "") => Self::Int2,
            ("integer", "") => Self::Int4,
            ("bigint", "") => Self::Int8,
            ("real", "") => Self::Float4,
            ("double precision", "") => Self::Float8,
            ("numeric", "") => Self::Numeric,
            ("boolean", "") => Self::Bool,
            ("date", "") => Self::Date,
            ("timestamp without time zone", "") | ("timestamp", " without time zone") => {
                Self::Timestamp { zone: false }
            }
            ("timestamp with time zone", "") | ("timestamp", " with time zone") => {
                Self::Timestamp { zone: true }
            }
            ("uuid", "") => Self::Uuid,
            ("bytea", "") => Self::Bytea,
            ("text" | "character varying" | "character" | "json", "") => {
                Self::Text { version: None }
            }
            ("jsonb", "") => Self::Text { version: Some(1) },
            _ => return None,
        })
    }
}

/// Turns the text of rows into binary, cut anywhere on both sides.
#[derive(Debug)]
pub(super) struct Converter {
    kinds: Vec<Kind>,
    /// Beginning of a row whose end has not come yet.
    begun: Vec<u8>,
    out: Vec<u8>,
}

impl Converter {
    /// None where a column is of another type. The text is in UTF-8, which is what such values are taken for.
    pub(super) fn new(columns: &[Column]) -> Option<Self> {
        let kinds: Option<Vec<_>> =
            columns.iter().map(|column| Kind::of(&column.type_name)).collect();
        let kinds =
            kinds.filter(|kinds| !kinds.is_empty() && i16::try_from(kinds.len()).is_ok())?;
        Some(Self { kinds, begun: Vec::new(), out: HEADER.to_vec() })
    }

    /// Takes text until there is a message of `enough` bytes or the text is at its end. Gives the message, which may be shorter
    /// at the end, and moves `text` on.
    pub(super) fn message(&mut self, text: &mut &[u8], enough: usize) -> Result<Bytes, Unusual> {
        self.out.reserve(enough + enough / 4);
        while !text.is_empty() && self.out.len() < enough {
            if self.begun.is_empty()
                && let Some(taken) = self.row(text)?
            {
                *text = &text[taken..];
                continue;
            }
            // Half a row, or the rest of one.
            let end = memchr::memchr(b'\n', text).map_or(text.len(), |end| end + 1);
            self.begun.extend_from_slice(&text[..end]);
            *text = &text[end..];
            if self.begun.ends_with(b"\n") {
                let row = std::mem::take(&mut self.begun);
                if self.row(&row)? != Some(row.len()) {
                    return Err(Unusual);
                }
                self.begun = row;
                self.begun.clear();
            }
        }
        Ok(Bytes::from(std::mem::take(&mut self.out)))
    }

    /// What comes last.
    pub(super) fn finish(mut self) -> Result<Bytes, Unusual> {
        if !self.begun.is_empty() {
            return Err(Unusual);
        }
        self.out.extend_from_slice(&TRAILER);
        Ok(Bytes::from(self.out))
    }

    /// Converts the row that `text` begins with and tells its length; none, and nothing converted, where its end is not there.
    fn row(&mut self, text: &[u8]) -> Result<Option<usize>, Unusual> {
        let before = self.out.len();
        let columns = i16::try_from(self.kinds.len()).map_err(|_| Unusual)?;
        self.out.extend_from_slice(&columns.to_be_bytes());
        let mut at = 0;
        let last = self.kinds.len() - 1;
        for (number, kind) in self.kinds.iter().enumerate() {
            let Some(length) = memchr::memchr2(b'\t', b'\n', &text[at..]) else {
                self.out.truncate(before);
                return Ok(None);
            };
            let end = at + length;
            if (text[end] == b'\n') != (number == last) {
                return Err(Unusual);
            }
            put(*kind, &text[at..end], &mut self.out)?;
            at = end + 1;
        }
        Ok(Some(at))
    }
}

/// Puts one value with its length.
fn put(kind: Kind, text: &[u8], out: &mut Vec<u8>) -> Result<(), Unusual> {
    if text == b"\\N" {
        out.extend_from_slice(&NULL.to_be_bytes());
        return Ok(());
    }
    match kind {
        Kind::Int2 => two(integer::<i16>(text)?.to_be_bytes(), out),
        Kind::Int4 => four(integer::<i32>(text)?.to_be_bytes(), out),
        Kind::Int8 => eight(integer::<i64>(text)?.to_be_bytes(), out),
        Kind::Float4 => four(float::<f32>(text)?.to_be_bytes(), out),
        Kind::Float8 => eight(float::<f64>(text)?.to_be_bytes(), out),
        Kind::Numeric => numeric(text, out)?,
        Kind::Bool => match text {
            b"t" => out.extend_from_slice(&[0, 0, 0, 1, 1]),
            b"f" => out.extend_from_slice(&[0, 0, 0, 1, 0]),
            _ => return Err(Unusual),
        },
        Kind::Date => four(date(text)?.to_be_bytes(), out),
        Kind::Timestamp { zone } => eight(timestamp(text, zone)?.to_be_bytes(), out),
        Kind::Uuid => uuid(text, out)?,
        Kind::Bytea => {
            // Its text begins with a backslash, which is escaped.
            let hex = text.strip_prefix(br"\\x").ok_or(Unusual)?;
            let start = begin(out);
            let from = out.len();
            out.resize(from + hex.len() / 2, 0);
            hex::decode_to_slice(hex, &mut out[from..]).map_err(|_| Unusual)?;
            end(start, out)?;
        }
        Kind::Text { version } => {
            let start = begin(out);
            out.extend_from_slice(version.as_slice());
            unescape(text, out)?;
            end(start, out)?;
        }
    }
    Ok(())
}

fn two([a, b]: [u8; 2], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 2, a, b]);
}

fn four([a, b, c, d]: [u8; 4], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 4, a, b, c, d]);
}

fn eight([a, b, c, d, e, f, g, h]: [u8; 8], out: &mut Vec<u8>) {
    out.extend_from_slice(&[0, 0, 0, 8, a, b, c, d, e, f, g, h]);
}

/// Room for a length that is not known yet.
fn begin(out: &mut Vec<u8>) -> usize {
    out.extend_from_slice(&[0; 4]);
    out.len()
}

fn end(start: usize, out: &mut [u8]) -> Result<(), Unusual> {
    let length = i32::try_from(out.len() - start).map_err(|_| Unusual)?;
    out[start - 4..start].copy_from_slice(&length.to_be_bytes());
    Ok(())
}

fn integer<T: TryFrom<i64>>(text: &[u8]) -> Result<T, Unusual> {
    let (negative, number) = match text.strip_prefix(b"-") {
        Some(number) => (true, number),
        None => (false, text),
    };
    let magnitude = digits(number)?;
    // The least number has no positive counterpart.
    let value =
        if negative { 0_i64.checked_sub_unsigned(magnitude) } else { magnitude.try_into().ok() };
    value.and_then(|value| T::try_from(value).ok()).ok_or(Unusual)
}

fn float<T: std::str::FromStr>(text: &[u8]) -> Result<T, Unusual> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or(Unusual)
}

fn uuid(text: &[u8], out: &mut Vec<u8>) -> Result<(), Unusual> {
    let text: &[u8; 36] = text.try_into().map_err(|_| Unusual)?;
    let mut hex = [0; 32];
    let mut filled = 0;
    for (position, byte) in text.iter().enumerate() {
        if matches!(position, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return Err(Unusual);
            }
        } else {
            hex[filled] = *byte;
            filled += 1;
        }
    }
    let mut bytes = [0; 16];
    hex::decode_to_slice(hex, &mut bytes).map_err(|_| Unusual)?;
    out.extend_from_slice(&[0, 0, 0, 16]);
    out.extend_from_slice(&bytes);
    Ok(())
}

/// Takes COPY's escapes out of a value.
fn unescape(mut text: &[u8], out: &mut Vec<u8>) -> Result<(), Unusual> {
    while let Some(at) = memchr::memchr(b'\\', text) {
        out.extend_from_slice(&text[..at]);
        out.push(match text.get(at + 1).ok_or(Unusual)? {
            b'b' => 8,
            b't' => b'\t',
            b'n' => b'\n',
            b'v' => 11,
            b'f' => 12,
            b'r' => b'\r',
            b'\\' => b'\\',
            // No server writes others.
            _ => return Err(Unusual),
        });
        text = &text[at + 2..];
    }
    out.extend_from_slice(text);
    Ok(())
}

#[cfg(test)]
mod tests;
