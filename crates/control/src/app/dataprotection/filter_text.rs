//! The part of `OData`'s `$filter` that lists of jobs and recovery points read: comparisons of a field with a value, joined by `and`.
//!
//! Anything else is an error that says what was not understood, never a filter that silently selects something different. Pure: no
//! clock, no I/O.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// The longest filter that is read, in bytes.
const FILTER_BYTES_MAX: usize = 4096;

/// A field, an operator and a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Comparison<'a> {
    /// As the caller wrote it.
    pub(super) field: &'a str,
    /// As the caller wrote it.
    pub(super) operator: &'a str,
    /// Without its quotes.
    pub(super) value: String,
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text(String),
}

/// Reads a `$filter`. Empty or blank has no comparisons. The error is a sentence for the caller.
pub(super) fn comparisons(text: &str) -> Result<Vec<Comparison<'_>>, String> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(format!("the filter is longer than {FILTER_BYTES_MAX} bytes"));
    }
    let mut found = Vec::new();
    let mut tokens = tokenize(text)?.into_iter().peekable();
    while tokens.peek().is_some() {
        let (Some(Token::Word(field)), Some(Token::Word(operator)), Some(value)) =
            (tokens.next(), tokens.next(), tokens.next())
        else {
            return Err("a comparison is a field, an operator and a value, for example startDate eq '2026-01-31T00:00:00Z'".into());
        };
        let value = match value {
            Token::Word(word) => word.to_owned(),
            Token::Text(text) => text,
        };
        found.push(Comparison { field, operator, value });
        match tokens.next() {
            None => break,
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("and") => {
                if tokens.peek().is_none() {
                    return Err("the filter ends with 'and'".into());
                }
            }
            Some(Token::Word(word)) => {
                return Err(format!(
                    "'{word}' is not supported here; comparisons are joined with 'and'"
                ));
            }
            Some(Token::Text(text)) => {
                return Err(format!("'{text}' stands where 'and' was expected"));
            }
        }
    }
    Ok(found)
}

/// Takes a field's value, which may be given once.
pub(super) fn set_once<T>(slot: &mut Option<T>, value: T, field: &str) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("'{field}' is given twice")),
    }
}

/// Which end of a range a time is.
#[derive(Clone, Copy)]
pub(super) enum Bound {
    /// The first time that counts.
    Start,
    /// The last one.
    End,
}

/// Reads a time, or a date: as an end the whole of that day. In microseconds since 1970.
pub(super) fn parse_bound(text: &str, bound: Bound) -> Result<i64, String> {
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.as_microsecond());
    }
    // .NET's largest date is past the last instant that can be computed with; as a bound it means "no bound".
    if text.starts_with("9999-12-3") {
        return Ok(i64::MAX);
    }
    let civil = if let Ok(date) = text.parse::<Date>()
        && !text.contains(['T', 't', ' '])
    {
        // A bare date as an end means the whole of that day.
        match bound {
            Bound::Start => Some(date.at(0, 0, 0, 0)),
            Bound::End => Some(date.at(23, 59, 59, 999_999_999)),
        }
    } else {
        text.parse::<DateTime>().ok()
    };
    civil
        .and_then(|civil| civil.to_zoned(TimeZone::UTC).ok())
        .map(|zoned| zoned.timestamp().as_microsecond())
        .ok_or_else(|| {
            format!("'{text}' is not a date and time such as 2026-01-31T00:00:00.0000000Z")
        })
}

fn tokenize(text: &str) -> Result<Vec<Token<'_>>, String> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        if first == '\'' {
            let (value, after) = read_quoted(rest)?;
            tokens.push(Token::Text(value));
            rest = after.trim_start();
        } else {
            let end = rest.find(|c: char| c.is_whitespace() || c == '\'').unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            if let Some(bad) = word.chars().find(|c| "(),".contains(*c)) {
                return Err(format!("'{bad}' is not supported in this filter"));
            }
            tokens.push(Token::Word(word));
            rest = after.trim_start();
        }
    }
    Ok(tokens)
}

/// Reads a quoted string; a quote inside is written twice.
fn read_quoted(text: &str) -> Result<(String, &str), String> {
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c != '\'' {
            value.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == '\'') {
            value.push('\'');
            chars.next();
        } else {
            return Ok((value, &text[at + 1..]));
        }
    }
    Err("a quoted value is not closed".into())
}
