//! The `$filter` of `GET …/recoveryPoints`: `startDate eq '…' and endDate eq '…'`.
//!
//! Pure: no clock, no I/O.

use super::filter_text::{Bound, Comparison, comparisons, parse_bound, set_once};

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

/// Reads a `$filter`. Empty or blank means "all". The error is a sentence for the caller.
pub fn parse_recovery_point_filter(text: &str) -> Result<RecoveryPointFilter, String> {
    let mut filter = RecoveryPointFilter::default();
    for comparison in comparisons(text)? {
        apply(&mut filter, comparison)?;
    }
    Ok(filter)
}

fn apply(filter: &mut RecoveryPointFilter, comparison: Comparison<'_>) -> Result<(), String> {
    let Comparison { field, operator, value } = comparison;
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
