//! A place in a list that is ordered by time, newest first, and then by id: what a page begins behind.

/// Microseconds since 1970, and an id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPlace {
    at_us: i64,
    id: String,
}

impl ListPlace {
    /// Behind the item of that time and id.
    #[must_use]
    pub fn behind(at_us: i64, id: &str) -> Self {
        Self { at_us, id: id.to_owned() }
    }

    /// What [`Self::token`] has made; none for anything else.
    #[must_use]
    pub fn parse(token: &str) -> Option<Self> {
        let (at_us, id) = token.split_once('.')?;
        let is_id = !id.is_empty() && id.bytes().all(|b| b.is_ascii_hexdigit() || b == b'-');
        is_id.then_some(())?;
        Some(Self { at_us: at_us.parse().ok()?, id: id.to_lowercase() })
    }

    /// As a `$skipToken`.
    #[must_use]
    pub fn token(&self) -> String {
        format!("{}.{}", self.at_us, self.id)
    }

    pub(super) fn parts(&self) -> (i64, &str) {
        (self.at_us, &self.id)
    }
}
