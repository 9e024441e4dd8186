//! The only place that writes to the terminal: results to standard output, all else to standard error.
//!
//! A closed pipe (`coffer … | head`) is no failure of ours, so what cannot be written is let go.

use std::io::Write as _;

use serde::Serialize;

use crate::exit::Failure;

/// A line of the result.
pub(crate) fn result(text: &str) {
    drop(writeln!(std::io::stdout().lock(), "{text}"));
}

/// The result for programs.
pub(crate) fn json<T: Serialize + ?Sized>(value: &T) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(anyhow::Error::from)?;
    result(&text);
    Ok(())
}

/// A line about what is going on.
pub(crate) fn note(text: &str) {
    drop(writeln!(std::io::stderr().lock(), "{text}"));
}

/// The last words of a command that failed.
pub(crate) fn error(failure: &Failure) {
    // The alternate form is the error and its causes on one line.
    note(&format!("error: {:#}", failure.error()));
}

/// Rows as columns, each as wide as its widest cell.
pub(crate) fn table(headings: &[&str], rows: &[Vec<String>]) {
    let widths: Vec<usize> = headings
        .iter()
        .enumerate()
        .map(|(column, heading)| {
            let cells =
                rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
            cells.chain([heading.chars().count()]).max().unwrap_or(0)
        })
        .collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> =
            cells.zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        result(padded.join("  ").trim_end());
    };
    line(&mut headings.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
}

/// Microseconds since 1970 as RFC 3339. A time outside the calendar, which only damage can give, is printed as a number.
pub(crate) fn time(unix_us: i64) -> String {
    jiff::Timestamp::from_microsecond(unix_us)
        .map_or_else(|_| unix_us.to_string(), |time| time.to_string())
}

/// Bytes as a person writes them.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count;
    let mut tenths = 0;
    let mut unit = 0;
    while value >= 1000 && unit + 1 < UNITS.len() {
        tenths = value % 1000 / 100;
        value /= 1000;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 { format!("{value} {name}") } else { format!("{value}.{tenths} {name}") }
}

#[cfg(test)]
mod tests {
    use super::{bytes, time};

    #[test]
    fn times_are_rfc_3339_and_never_fail() {
        assert_eq!(time(1_700_000_000_123_456), "2023-11-14T22:13:20.123456Z");
        assert_eq!(time(i64::MAX), i64::MAX.to_string());
    }

    #[test]
    fn bytes_are_readable() {
        let shown: Vec<_> = [0, 999, 1000, 1999, 312_400_000, u64::MAX].map(bytes).into();
        assert_eq!(shown, ["0 B", "999 B", "1.0 kB", "1.9 kB", "312.4 MB", "18446744.0 TB"]);
    }
}
