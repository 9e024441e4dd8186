//! The `$filter` of `GET …/recoveryPoints`: `startDate eq '…' and endDate eq '…'`.
//!
//! A conjunction of comparisons is all that the service takes, so that is all that is read here; anything else is an error that
//! says what was not understood, never a filter that silently selects something different. Pure: no clock, no I/O.

use jiff::Timestamp;
use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

/// The longest filter that is read, in bytes.
pub const FILTER_BYTES_MAX: usize = 4096;

/// Which recovery points a listing returns. Bounds in the wrong order select nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RecoveryPointFilter {
    /// Only recovery points taken at or after this time, in microseconds since 1970.
    pub start_us: Option<i64>,
    /// Only recovery points taken at or before this time, in microseconds since 1970.
    pub end_us: Option<i64>,
    /// Only recovery points of this state (`Completed` or `Partial`).
    pub state: Option<String>,
}

#[derive(Debug, PartialEq, Eq)]
enum Token<'a> {
    Word(&'a str),
    Text(String),
}

/// Reads a `$filter`. Empty or blank means "all". The error is a sentence for the caller.
pub fn parse_recovery_point_filter(text: &str) -> Result<RecoveryPointFilter, String> {
    if text.len() > FILTER_BYTES_MAX {
        return Err(format!("the filter is longer than {FILTER_BYTES_MAX} bytes"));
    }
    let mut filter = RecoveryPointFilter::default();
    let mut tokens = tokenize(text)?.into_iter().peekable();
    while tokens.peek().is_some() {
        let (Some(Token::Word(field)), Some(Token::Word(operator)), Some(value)) =
            (tokens.next(), tokens.next(), tokens.next())
        else {
            return Err("a comparison is a field, an operator and a value, for example startDate eq '2026-01-31T00:00:00Z'".into());
        };
        apply(&mut filter, field, operator, &value)?;
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
    Ok(filter)
}

fn apply(
    filter: &mut RecoveryPointFilter,
    field: &str,
    operator: &str,
    value: &Token<'_>,
) -> Result<(), String> {
    let value = match value {
        Token::Word(word) => (*word).to_owned(),
        Token::Text(text) => text.clone(),
    };
    let field_key = field.to_ascii_lowercase();
    let operator_key = operator.to_ascii_lowercase();
    match (field_key.as_str(), operator_key.as_str()) {
        ("startdate", "eq" | "ge") => {
            set_once(&mut filter.start_us, parse_bound(&value, Bound::Start)?, field)
        }
        ("enddate", "eq" | "le") => {
            set_once(&mut filter.end_us, parse_bound(&value, Bound::End)?, field)
        }
        ("restorepointstate", "eq") => set_once(&mut filter.state, value, field),
        // Every recovery point here is visible and is listed whole, so that these select nothing away when they are true.
        ("isvisible" | "extendedinfo", "eq") if value.eq_ignore_ascii_case("true") => Ok(()),
        ("isvisible" | "extendedinfo" | "restorepointdatastoreid", _) => {
            Err(format!("'{field} {operator} {value}' is not supported by this version"))
        }
        ("startdate" | "enddate" | "restorepointstate", _) => {
            Err(format!("the operator '{operator}' is not supported for '{field}'"))
        }
        _ => Err(format!(
            "'{field}' is not a field that recovery points are filtered by; use startDate and endDate"
        )),
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, field: &str) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(format!("'{field}' is given twice")),
    }
}

#[derive(Clone, Copy)]
enum Bound {
    Start,
    End,
}

fn parse_bound(text: &str, bound: Bound) -> Result<i64, String> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_clients_send() {
        assert_eq!(parse_recovery_point_filter("").unwrap(), RecoveryPointFilter::default());
        assert_eq!(parse_recovery_point_filter("  ").unwrap(), RecoveryPointFilter::default());
        let filter = parse_recovery_point_filter(
            "startDate eq '2023-06-16T01:00:00.0000000Z' and endDate eq '2033-06-16T01:00:00.0000000Z'",
        )
        .unwrap();
        assert_eq!(filter.start_us, Some(1_686_877_200_000_000));
        assert_eq!(filter.end_us, Some(2_002_496_400_000_000));
        let inverted =
            parse_recovery_point_filter("endDate eq '2020-01-01' and startDate eq '2021-01-01'")
                .unwrap();
        assert!(inverted.start_us > inverted.end_us);
    }

    #[test]
    fn forms_of_dates() {
        let day =
            parse_recovery_point_filter("STARTDATE EQ '2026-11-20' AND enddate eq '2026-11-20'")
                .unwrap();
        assert_eq!(day.end_us.unwrap() - day.start_us.unwrap(), 86_400_000_000 - 1);
        let plain = parse_recovery_point_filter("startDate eq 2026-11-20T00:00:00").unwrap();
        assert_eq!(plain.start_us, day.start_us);
        let offset =
            parse_recovery_point_filter("startDate ge '2026-11-20T01:00:00+01:00'").unwrap();
        assert_eq!(offset.start_us, day.start_us);
        let largest =
            parse_recovery_point_filter("endDate le '9999-12-31T23:59:59.9999999Z'").unwrap();
        assert_eq!(largest.end_us, Some(i64::MAX));
    }

    #[test]
    fn what_is_not_understood_is_said() {
        for (text, part) in [
            ("startDate", "comparison"),
            ("startDate eq", "comparison"),
            ("startDate gt '2026-01-01'", "'gt'"),
            ("startDate eq 'yesterday'", "yesterday"),
            ("startDate eq '2026-01-01", "not closed"),
            ("startDate eq '2026-01-01' or endDate eq '2026-01-02'", "'or'"),
            ("startDate eq '2026-01-01' and", "ends with 'and'"),
            ("startDate eq '2026-01-01' and startDate eq '2026-01-02'", "twice"),
            ("(startDate eq '2026-01-01')", "'('"),
            ("color eq 'red'", "'color'"),
            ("isVisible eq false", "isVisible"),
        ] {
            let reason = parse_recovery_point_filter(text).expect_err(text);
            assert!(reason.contains(part), "{text}: {reason}");
        }
    }

    #[test]
    fn a_state_and_a_quote_inside() {
        let filter = parse_recovery_point_filter("restorePointState eq 'Partial'").unwrap();
        assert_eq!(filter.state.as_deref(), Some("Partial"));
        assert_eq!(
            parse_recovery_point_filter("restorePointState eq 'it''s'").unwrap().state.as_deref(),
            Some("it's")
        );
    }
}
