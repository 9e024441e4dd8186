//! The `api-version` of a request: a date, possibly that of a preview.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

/// An api-version: `YYYY-MM-DD` or `YYYY-MM-DD-preview`.
///
/// Prints as the caller wrote it, since it is echoed in the URLs of operations. Ordered by date, a
/// preview before the release of the same day.
#[derive(Debug, Clone)]
pub struct ApiVersion {
    text: String,
    year: u16,
    month: u8,
    day: u8,
    preview: bool,
}

/// The text is not an api-version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an api-version is a date such as 2024-04-01, optionally followed by -preview")]
pub struct ApiVersionError;

impl ApiVersion {
    /// Reads an api-version.
    ///
    /// # Errors
    /// [`ApiVersionError`] when it is not a date of the calendar with, at most, `-preview` behind it.
    pub fn parse(text: &str) -> Result<Self, ApiVersionError> {
        let (date, preview) = match text.get(10..) {
            Some("") => (text, false),
            Some(suffix) if suffix.eq_ignore_ascii_case("-preview") => (&text[..10], true),
            _ => return Err(ApiVersionError),
        };
        let bytes = date.as_bytes();
        if bytes[4] != b'-' || bytes[7] != b'-' {
            return Err(ApiVersionError);
        }
        let number = |range: std::ops::Range<usize>| -> Result<u16, ApiVersionError> {
            let digits = &date.as_bytes()[range];
            if digits.iter().all(u8::is_ascii_digit) {
                Ok(digits.iter().fold(0, |value, digit| value * 10 + u16::from(digit - b'0')))
            } else {
                Err(ApiVersionError)
            }
        };
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let days = match month {
            4 | 6 | 9 | 11 => 30,
            2 => 29,
            1..=12 => 31,
            _ => return Err(ApiVersionError),
        };
        if day == 0 || day > days {
            return Err(ApiVersionError);
        }
        let narrow = |value: u16| u8::try_from(value).map_err(|_| ApiVersionError);
        Ok(Self { text: text.to_owned(), year, month: narrow(month)?, day: narrow(day)?, preview })
    }

    /// The api-version as the caller wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it is a preview's.
    #[must_use]
    pub fn is_preview(&self) -> bool {
        self.preview
    }

    /// Whether it is of this day or a later one; a preview of the day itself counts.
    #[must_use]
    pub fn is_since(&self, year: u16, month: u8, day: u8) -> bool {
        (self.year, self.month, self.day) >= (year, month, day)
    }

    fn rank(&self) -> (u16, u8, u8, bool) {
        (self.year, self.month, self.day, !self.preview)
    }
}

impl fmt::Display for ApiVersion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl FromStr for ApiVersion {
    type Err = ApiVersionError;

    fn from_str(text: &str) -> Result<Self, ApiVersionError> {
        Self::parse(text)
    }
}

impl PartialEq for ApiVersion {
    fn eq(&self, other: &Self) -> bool {
        self.rank() == other.rank()
    }
}

impl Eq for ApiVersion {}

impl PartialOrd for ApiVersion {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ApiVersion {
    fn cmp(&self, other: &Self) -> Ordering {
        self.rank().cmp(&other.rank())
    }
}

#[cfg(test)]
mod tests {
    use super::ApiVersion;

    #[test]
    fn reads_dates_and_previews() {
        let release = ApiVersion::parse("2024-04-01").unwrap();
        let preview = ApiVersion::parse("2024-04-01-Preview").unwrap();
        assert!(preview < release && preview.is_preview() && !release.is_preview());
        assert_eq!(preview.to_string(), "2024-04-01-Preview");
        assert!(release.is_since(2021, 1, 1) && release.is_since(2024, 4, 1));
        assert!(preview.is_since(2024, 4, 1) && !release.is_since(2024, 4, 2));
    }

    #[test]
    fn refuses_anything_else() {
        for text in [
            "",
            "7.4",
            "latest",
            "2024-4-1",
            "2024-13-01",
            "2024-02-30",
            "2024-00-10",
            "2024-01-00",
            "2024-04-01-",
            "2024-04-01preview",
            "2024-04-01-preview-2",
            "20240401",
            "+024-04-01",
            "2024/04/01",
            "２０２４-04-01",
            "2024-04-0é",
        ] {
            assert!(ApiVersion::parse(text).is_err(), "{text}");
        }
    }
}
