//! The backup service's own form of an error: in answers, in failed operations, in jobs, and in the
//! protection state of an instance.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// An error in words for the user. All members are written, absent ones as `null`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct UserFacingError {
    /// What happened.
    pub message: Option<String>,
    /// What the user can do about it, one sentence each.
    pub recommended_action: Option<Vec<String>>,
    /// Further errors.
    pub details: Option<Vec<UserFacingError>>,
    /// What programs look at.
    pub code: Option<String>,
    /// What the error is about; the service writes an empty text.
    pub target: Option<String>,
    /// What lies beneath: which object, where, and the lower layer's own words.
    pub inner_error: Option<InnerError>,
    /// Whether the same request may succeed later.
    pub is_retryable: Option<bool>,
    /// Whether the user caused it. The service says `false` even where the user did.
    pub is_user_error: Option<bool>,
    /// Free members; `ActivityId` in answers to requests.
    pub properties: Option<Map<String, Value>>,
}

/// What lies beneath a [`UserFacingError`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InnerError {
    /// A narrower code.
    pub code: Option<String>,
    /// Free members; the service uses [`DETAILED_MESSAGE`](Self::DETAILED_MESSAGE).
    pub additional_info: Option<Map<String, Value>>,
    /// One level further down.
    pub embedded_inner_error: Option<Box<InnerError>>,
}

impl UserFacingError {
    /// An error in the words of the service: empty target, neither retryable nor the user's fault.
    #[must_use]
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: Some(code.into()),
            message: Some(message.into()),
            target: Some(String::new()),
            is_retryable: Some(false),
            is_user_error: Some(false),
            ..Self::default()
        }
    }

    /// Adds a recommended action.
    #[must_use]
    pub fn recommend(mut self, action: impl Into<String>) -> Self {
        self.recommended_action.get_or_insert_default().push(action.into());
        self
    }

    /// Sets what lies beneath.
    #[must_use]
    pub fn inner(mut self, inner: InnerError) -> Self {
        self.inner_error = Some(inner);
        self
    }

    /// Names the activity that the request belongs to.
    #[must_use]
    pub fn activity(mut self, activity_id: impl Into<String>) -> Self {
        self.properties
            .get_or_insert_default()
            .insert("ActivityId".to_owned(), Value::String(activity_id.into()));
        self
    }
}

impl InnerError {
    /// The free member in which the service puts a precise sentence in English.
    pub const DETAILED_MESSAGE: &str = "DetailedNonLocalisedMessage";

    /// An inner error with a precise sentence.
    #[must_use]
    pub fn new(code: impl Into<String>, detailed_message: impl Into<String>) -> Self {
        let mut additional_info = Map::new();
        additional_info
            .insert(Self::DETAILED_MESSAGE.to_owned(), Value::String(detailed_message.into()));
        Self {
            code: Some(code.into()),
            additional_info: Some(additional_info),
            embedded_inner_error: None,
        }
    }
}
