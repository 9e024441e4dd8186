//! Reading what clients send.
//!
//! Azure matches property names and discriminators without regard to case, and its clients rely on
//! it: `resourceId` and `resourceID`, `dataSourceInfo` and `datasourceInfo` are the same. So a body
//! is parsed, its names are brought into the spelling that the types of this crate declare
//! (by the table in `decode::names`), members that are `null` are dropped, and only then is it given to serde. Unknown
//! members are ignored. Maps whose keys belong to the user (`tags`) and parts that only the service
//! writes (errors) are left as they are.
//!
//! A discriminator (`objectType`) is moved to the front of its object, which lets
//! the tagged enums read without buffering, so that an error names its whole path.

mod names;
#[cfg(test)]
mod tests;

pub use names::canonical as canonical_name;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// Longest text of an error, in bytes: serde quotes the offending value, which may be huge.
const MESSAGE_BYTES_MAX: usize = 300;

/// Why a body is not what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if path.is_empty() { String::new() } else { format!("{path}: ") })]
pub struct DecodeError {
    /// Where in the body, as `properties.policyRules[0].trigger`; empty when it is not about a place
    /// (malformed JSON) or about the whole body.
    pub path: String,
    /// What is wrong there. May quote a part of the body.
    pub message: String,
}

impl DecodeError {
    fn new(path: String, message: &str) -> Self {
        let mut end = message.len().min(MESSAGE_BYTES_MAX);
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        let path = if path == "." { String::new() } else { path };
        Self { path, message: message[..end].to_owned() }
    }
}

/// Reads a body, which is an object in all of ARM.
///
/// # Errors
/// [`DecodeError`] when it is not a JSON object (nested deeper than 128 levels counts as such), a required
/// member is missing, or a member has the wrong type or a value that its type does not know.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| DecodeError::new(String::new(), &format!("not valid JSON: {error}")))?;
    // serde would read an array as the members of a struct in turn.
    if !value.is_object() {
        return Err(DecodeError::new(String::new(), "a JSON object is expected"));
    }
    decode_value(value)
}

/// Reads a body, or a part of one, that was parsed already.
///
/// # Errors
/// As [`decode`].
pub fn decode_value<T: DeserializeOwned>(mut value: Value) -> Result<T, DecodeError> {
    normalise(&mut value);
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        DecodeError::new(path, &error.into_inner().to_string())
    })
}

/// Brings names into the spelling of the types, drops nulls, puts discriminators first.
fn normalise(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(normalise),
        Value::Object(members) => {
            let mut normal = Map::with_capacity(members.len());
            if let Some((_, kind)) =
                members.iter().find(|(name, _)| name.eq_ignore_ascii_case("objectType"))
                && !kind.is_null()
            {
                normal.insert("objectType".to_owned(), kind.clone());
            }
            for (name, mut member) in std::mem::take(members) {
                let name = match names::canonical(&name) {
                    Some(known) => known.to_owned(),
                    None => name,
                };
                if names::is_opaque(&name) {
                    if !member.is_null() {
                        normal.insert(name, member);
                    }
                    continue;
                }
                if member.is_null() || name == "objectType" {
                    continue;
                }
                normalise(&mut member);
                normal.insert(name, member);
            }
            *members = normal;
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
