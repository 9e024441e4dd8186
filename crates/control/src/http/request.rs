//! What a provider is asked, already checked for form: who calls, which version, the path in segments.

use bytes::Bytes;
use coffer_azure::ApiVersion;
use http::{HeaderMap, Method};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::app::App;
use crate::db::Page;
use crate::error::Error;
use crate::identity::Caller;

/// What a segment of a path is percent-encoded in.
const PATH_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The query's parameters: names without regard to case, names and values percent-decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a raw query string. What is no valid UTF-8 after decoding is replaced, never refused: unknown parameters
    /// are nobody's business.
    pub fn parse(raw: &str) -> Self {
        Self(
            url::form_urlencoded::parse(raw.as_bytes())
                .map(|(k, v)| (k.to_lowercase(), v.into_owned()))
                .collect(),
        )
    }

    /// The first value of a parameter. `name` has to be lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

/// An authenticated request to Azure Resource Manager's face, or to a key vault's.
#[derive(Clone, Debug)]
pub struct ArmRequest {
    /// GET, PUT, …
    pub method: Method,
    /// The path: percent-decoded, empty segments dropped, the caller's case.
    pub segments: Vec<String>,
    /// Everything behind `?`.
    pub query: Query,
    /// Echoed in the URLs of operations.
    pub api_version: ApiVersion,
    /// As received.
    pub headers: HeaderMap,
    /// Whole; at most `limits.body_bytes`.
    pub body: Bytes,
    /// Who calls.
    pub caller: Caller,
    /// Of this request, for the log and `x-ms-correlation-request-id`.
    pub correlation_id: String,
    /// The caller's `x-ms-client-request-id`, else the correlation id: becomes a job's `activityID`.
    pub activity_id: String,
}

impl ArmRequest {
    /// Reads the body as JSON of the given type, under Azure's rules (property names in any case, nulls as absent).
    ///
    /// # Errors
    /// `InvalidRequestContent` saying where the body is wrong.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Error> {
        if self.body.is_empty() {
            return Err(Error::invalid_content(
                "The request content was invalid: a body is required.",
            ));
        }
        // A struct would also be read from an array of its members, which is not what any client means.
        if self.body.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'{') {
            return Err(Error::invalid_content(
                "The request content was invalid and could not be deserialized: a JSON object is required.",
            ));
        }
        coffer_azure::decode(&self.body).map_err(|error| {
            let message = if error.path.is_empty() {
                format!(
                    "The request content was invalid and could not be deserialized: {}.",
                    error.message
                )
            } else {
                format!(
                    "The request content was invalid and could not be deserialized: '{}': {}.",
                    error.path, error.message
                )
            };
            Error::invalid_content(message).with_target(error.path)
        })
    }

    /// The same; an empty body, or `null`, means none.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_optional<T: DeserializeOwned>(&self) -> Result<Option<T>, Error> {
        let body = self.body.trim_ascii();
        if body.is_empty() || body == b"null" { Ok(None) } else { self.decode().map(Some) }
    }

    /// Which part of a list is asked for, by `$skipToken` and `$top`.
    pub fn page(&self) -> Page {
        Page {
            after: self
                .query
                .get("$skiptoken")
                .filter(|token| !token.is_empty())
                .map(str::to_owned),
            rows_max: self.query.get("$top").and_then(|top| top.parse().ok()).unwrap_or(0),
        }
    }

    /// A list's body: `{"value": […]}`, with an absolute `nextLink` when there is more.
    pub fn list_body(&self, app: &App, value: Vec<Value>, next: Option<&str>) -> Value {
        let mut body = Map::new();
        body.insert("value".to_owned(), Value::Array(value));
        if let Some(next) = next {
            let path: Vec<String> = self
                .segments
                .iter()
                .map(|s| utf8_percent_encode(s, PATH_SEGMENT).to_string())
                .collect();
            let mut query = url::form_urlencoded::Serializer::new(String::new());
            for (name, value) in &self.query.0 {
                if name != "$skiptoken" {
                    query.append_pair(name, value);
                }
            }
            query.append_pair("$skipToken", next);
            let link = format!("{}/{}?{}", app.endpoint(), path.join("/"), query.finish());
            body.insert("nextLink".to_owned(), Value::String(link));
        }
        Value::Object(body)
    }

    /// A path segment of the request in lower case; empty when there is none.
    pub fn segment(&self, index: usize) -> String {
        self.segments.get(index).map(|segment| segment.to_lowercase()).unwrap_or_default()
    }
}
