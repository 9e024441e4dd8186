//! Errors as ARM and the backup service write them: `{"error": {…}}`.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::user_facing_error::UserFacingError;

/// The body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CloudError {
    /// The error itself.
    pub error: Error,
}

/// An error of ARM, as the body of an answer or as the outcome of an operation.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Error {
    /// What the service adds in its own words; see [`ErrorAdditionalInfo::user_facing`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_info: Option<Vec<ErrorAdditionalInfo>>,
    /// What programs look at, as `UserErrorGenericResourceNotFound`.
    #[serde(default)]
    pub code: String,
    /// What people read.
    #[serde(default)]
    pub message: String,
    /// What the error is about. The service writes `null` here in answers to requests
    /// (`Some(None)`) and nothing in operations (`None`).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub target: Option<Option<String>>,
    /// Further errors; absent and `null` as in [`target`](Self::target).
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "present")]
    pub details: Option<Option<Vec<Error>>>,
    /// The finer reason, as key vaults give it: one word, all in lower case on the wire.
    #[serde(default, rename = "innererror", skip_serializing_if = "Option::is_none")]
    pub inner_error: Option<InnerCode>,
}

/// The finer reason of a key vault's error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InnerCode {
    /// As `SecretDisabled`.
    pub code: String,
}

/// One addition to an [`Error`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorAdditionalInfo {
    /// What kind of addition: `UserFacingError`.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// The addition, in the shape that its kind has.
    #[serde(default)]
    pub info: Value,
}

impl CloudError {
    /// An error of ARM itself: a code and a message, nothing else.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { error: Error::new(code, message) }
    }

    /// An error of the backup service in answer to a request, with the whole of `error` in
    /// `additionalInfo`.
    #[must_use]
    pub fn user_facing(error: UserFacingError) -> Self {
        let mut outer = Error::user_facing(error);
        outer.target = Some(None);
        outer.details = Some(None);
        Self { error: outer }
    }
}

impl Error {
    /// An error with a code and a message, nothing else.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into(), ..Self::default() }
    }

    /// An error of the backup service as the outcome of an operation.
    #[must_use]
    pub fn user_facing(error: UserFacingError) -> Self {
        Self {
            code: error.code.clone().unwrap_or_default(),
            message: error.message.clone().unwrap_or_default(),
            additional_info: Some(vec![ErrorAdditionalInfo::user_facing(&error)]),
            target: None,
            inner_error: None,
            details: None,
        }
    }
}

impl ErrorAdditionalInfo {
    /// The `type` of the additions that the backup service makes.
    pub const USER_FACING_ERROR: &str = "UserFacingError";

    /// The backup service's own description of the error.
    #[must_use]
    pub fn user_facing(error: &UserFacingError) -> Self {
        Self {
            kind: Self::USER_FACING_ERROR.to_owned(),
            // Strings, numbers and maps with string keys: this can't fail.
            info: serde_json::to_value(error).unwrap_or_default(),
        }
    }
}

/// Tells a member that is `null` (`Some(None)`) from one that is absent (`None`, by `default`).
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::<T>::deserialize(deserializer).map(Some)
}
