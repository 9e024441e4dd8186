//! What a provider answers.

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use serde_json::Value;

use crate::error::Error;

/// A status, the headers that are special to this answer, and a JSON body or none.
#[derive(Clone, Debug)]
pub struct ArmResponse {
    /// 2xx; failures are [`Error`]s.
    pub status: StatusCode,
    /// Beside those that every answer carries.
    pub headers: HeaderMap,
    /// None means no body at all, not `null`.
    pub body: Option<Value>,
    /// A body that is no JSON value: its content type and bytes.
    pub(super) raw: Option<(&'static str, Bytes)>,
}

impl ArmResponse {
    /// A status without a body.
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: None, raw: None }
    }

    /// A status with a body.
    pub fn json(status: StatusCode, body: Value) -> Self {
        Self { status, headers: HeaderMap::new(), body: Some(body), raw: None }
    }

    /// A status with a text that is no JSON.
    pub(super) fn text(status: StatusCode, content_type: &'static str, text: String) -> Self {
        Self { raw: Some((content_type, text.into())), ..Self::empty(status) }
    }

    /// 200 with a file.
    pub(super) fn file(content_type: &'static str, bytes: Vec<u8>) -> Self {
        Self { raw: Some((content_type, bytes.into())), ..Self::empty(StatusCode::OK) }
    }

    /// 200 with a body.
    pub fn ok(body: Value) -> Self {
        Self::json(StatusCode::OK, body)
    }

    /// 201 with a body.
    pub fn created(body: Value) -> Self {
        Self::json(StatusCode::CREATED, body)
    }

    /// 202 without a body.
    pub fn accepted() -> Self {
        Self::empty(StatusCode::ACCEPTED)
    }

    /// 204.
    pub fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// A status with anything that serializes.
    ///
    /// # Errors
    /// The value has no JSON form: a fault of ours.
    pub fn encode(status: StatusCode, body: &impl Serialize) -> Result<Self, Error> {
        Ok(Self::json(status, serde_json::to_value(body).map_err(Error::internal)?))
    }

    /// Adds or replaces a header. A value that no header can carry is left out and logged: it would be a fault of ours,
    /// and the answer is worth more than the header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        match HeaderValue::from_str(value) {
            Ok(value) => {
                self.headers.insert(HeaderName::from_static(name), value);
            }
            Err(error) => tracing::error!(name, %error, "a header's value cannot be sent"),
        }
        self
    }
}
