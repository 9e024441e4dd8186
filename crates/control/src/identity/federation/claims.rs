//! What a token of another issuer says, as far as anybody asks.

use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

#[derive(Debug, Deserialize)]
pub(super) struct Claims {
    pub(super) iss: String,
    /// One, or several.
    #[serde(deserialize_with = "one_or_several")]
    pub(super) aud: Vec<String>,
    /// Seconds since 1970; a token without an end is refused.
    #[serde(deserialize_with = "seconds")]
    pub(super) exp: i64,
    #[serde(default, deserialize_with = "optional_seconds")]
    pub(super) nbf: Option<i64>,
    #[serde(flatten)]
    pub(super) others: Map<String, Value>,
}

fn one_or_several<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Shape {
        One(String),
        Several(Vec<String>),
    }
    Ok(match Shape::deserialize(deserializer)? {
        Shape::One(one) => vec![one],
        Shape::Several(several) => several,
    })
}

/// A number of seconds, with a fraction or without, as the standard allows.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    let number = serde_json::Number::deserialize(deserializer)?;
    whole(&number).ok_or_else(|| serde::de::Error::custom("no time"))
}

fn optional_seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    match Option::<serde_json::Number>::deserialize(deserializer)? {
        Some(number) => whole(&number).map(Some).ok_or_else(|| serde::de::Error::custom("no time")),
        None => Ok(None),
    }
}

fn whole(number: &serde_json::Number) -> Option<i64> {
    if let Some(whole) = number.as_i64() {
        return Some(whole);
    }
    // Far beyond any time that a token has, and exact in a float.
    const TIME_MAX: f64 = 1e15;
    let fraction = number.as_f64().filter(|value| value.abs() < TIME_MAX)?;
    #[expect(clippy::cast_possible_truncation, reason = "within bounds; the fraction is to go")]
    Some(fraction as i64)
}
