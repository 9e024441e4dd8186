//! S3 Object Lock: `HeadObject`, `PutObjectRetention`, `GetObjectLockConfiguration`, and what the versions of a bucket
//! are handled by: `ListObjectVersions`, `DeleteObject`, `CopyObject` (Amazon S3 API Reference).

use std::fmt;

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD as BASE64};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use md5::{Digest, Md5};
use object_store::{
    aws::AwsAuthorizer,
    client::{HttpClient, HttpRequest},
    path::Path,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    HiddenObject, LockMode, ObjectLock, RetentionLock,
    request::{Answer, Sign, client, send},
};
use crate::{
    error::{Error, Result},
    location::S3Bucket,
};

/// Everything but RFC 3986's unreserved characters: what S3 signs of a query.
const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The same of a key.
const KEY: &AsciiSet = &VALUE.remove(b'/');

const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";
const WITHOUT: &str =
    "it has no Object Lock: make a bucket with Object Lock, which also versions it";

/// The Object Lock of a bucket.
#[derive(Debug)]
pub(crate) struct S3Lock {
    bucket: S3Bucket,
    client: HttpClient,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ObjectLockConfiguration {
    object_lock_enabled: Option<String>,
}

/// A request about an object, or about the bucket where it has no key.
#[derive(Debug, Default)]
struct Question<'a> {
    method: Method,
    key: Option<&'a str>,
    /// Names that have no value of their own have an empty one.
    query: &'a [(&'a str, &'a str)],
    headers: HeaderMap,
    body: String,
}

impl S3Lock {
    /// Makes no request.
    pub(crate) fn new(bucket: &S3Bucket) -> Result<Self> {
        Ok(Self { client: client(&bucket.client_options)?, bucket: bucket.clone() })
    }

    async fn ask(&self, action: &str, question: Question<'_>) -> Result<Answer> {
        let mut url = self.bucket.bucket_url.clone();
        if let Some(key) = question.key {
            let base = url.path().trim_end_matches('/').to_owned();
            url.set_path(&format!("{base}/{}", utf8_percent_encode(key, KEY)));
        }
        let query: Vec<String> = question
            .query
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, VALUE)))
            .collect();
        url.set_query(Some(&query.join("&")).filter(|query| !query.is_empty()).map(String::as_str));
        let mut request = HttpRequest::new(question.body.into());
        *request.method_mut() = question.method;
        *request.uri_mut() = url.as_str().parse().map_err(invalid)?;
        *request.headers_mut() = question.headers;
        if let Some(bytes) = request.body().as_bytes().filter(|bytes| !bytes.is_empty()) {
            // Demanded with a lock; the one checksum that every service of this kind knows.
            let md5 = BASE64.encode(Md5::digest(bytes));
            let headers = request.headers_mut();
            headers.insert("content-md5", HeaderValue::from_str(&md5).map_err(invalid)?);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml"));
        }
        send(&self.client, action, &request, &self.bucket).await
    }

    /// The key of an object of the location.
    fn key(&self, path: &Path) -> String {
        let parts: Vec<_> = self.bucket.prefix.parts().chain(path.parts()).collect();
        parts.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join("/")
    }

    /// The name in the location of a key.
    pub(super) fn name_in_location(&self, key: &str) -> String {
        let prefix = self.key(&Path::default());
        key.strip_prefix(&prefix).unwrap_or(key).trim_start_matches('/').to_owned()
    }

    /// By the headers of the object: not every storage of this kind answers `GetObjectRetention`, and some answer it with the
    /// object itself.
    async fn read_lock(&self, key: &str, version: Option<&str>) -> Result<Option<RetentionLock>> {
        let action = "read the lock of an object";
        let query: Vec<_> = version.map(|version| ("versionId", version)).into_iter().collect();
        let method = Method::HEAD;
        let question = Question { method, key: Some(key), query: &query, ..Question::default() };
        let answer = self.ask(action, question).await?;
        match answer.status {
            StatusCode::OK => lock_of(&answer.headers),
            // Without a body that says more; of the bucket is asked first.
            StatusCode::NOT_FOUND => Err(Error::NotFound { what: key.to_owned() }),
            _ => Err(self.refused(key, &answer, action)),
        }
    }

    pub(super) async fn lock_of_version(
        &self,
        key: &str,
        version: &str,
    ) -> Result<Option<RetentionLock>> {
        self.read_lock(key, Some(version)).await
    }

    /// One page of the versions below the location's prefix, from the given key and version on.
    pub(super) async fn list_versions<T: DeserializeOwned>(
        &self,
        after: Option<&(String, String)>,
    ) -> Result<T> {
        let action = "list the versions of objects";
        let prefix = self.key(&Path::default());
        let prefix = if prefix.is_empty() { prefix } else { format!("{prefix}/") };
        let mut query = vec![("versions", ""), ("prefix", prefix.as_str())];
        if let Some((key, version)) = after {
            query.push(("key-marker", key));
            if !version.is_empty() {
                query.push(("version-id-marker", version));
            }
        }
        let answer = self.ask(action, Question { query: &query, ..Question::default() }).await?;
        if answer.status.is_success() {
            return answer.parse(action);
        }
        Err(self.refused(&prefix, &answer, action))
    }

    /// Deletes a version for good.
    pub(super) async fn delete_version(&self, key: &str, version: &str) -> Result<()> {
        let action = "delete what hides an object";
        let query = [("versionId", version)];
        let method = Method::DELETE;
        let question = Question { method, key: Some(key), query: &query, ..Question::default() };
        let answer = self.ask(action, question).await?;
        if answer.status.is_success() || answer.code() == "NoSuchVersion" {
            return Ok(());
        }
        Err(self.refused(key, &answer, action))
    }

    /// Makes a copy of a version the newest one.
    pub(super) async fn copy_up(&self, key: &str, version: &str) -> Result<()> {
        let action = "copy a version of an object over those above it";
        let source = format!("/{}/{key}", self.bucket.bucket);
        let source = format!(
            "{}?versionId={}",
            utf8_percent_encode(&source, KEY),
            utf8_percent_encode(version, VALUE)
        );
        let mut headers = HeaderMap::new();
        let source = HeaderValue::from_str(&source).map_err(invalid)?;
        headers.insert("x-amz-copy-source", source);
        let method = Method::PUT;
        let question = Question { method, key: Some(key), headers, ..Question::default() };
        let answer = self.ask(action, question).await?;
        // A copy that fails while it is made is told in the body of a success.
        if answer.status.is_success() && answer.code().is_empty() {
            return Ok(());
        }
        Err(self.refused(key, &answer, action))
    }

    fn unavailable(&self, reason: impl Into<String>) -> Error {
        Error::LockUnavailable { storage: self.to_string(), reason: reason.into() }
    }

    /// What every request may be told.
    fn refused(&self, key: &str, answer: &Answer, action: &str) -> Error {
        match (answer.status, answer.code().as_str()) {
            (StatusCode::NOT_FOUND, "NoSuchKey" | "NoSuchVersion") => {
                Error::NotFound { what: key.to_owned() }
            }
            (StatusCode::BAD_REQUEST, "InvalidRequest") | (StatusCode::NOT_IMPLEMENTED, _) => {
                self.unavailable(WITHOUT)
            }
            (StatusCode::FORBIDDEN, code) => {
                let reason = format!("the credentials may not {action} ({code})");
                self.unavailable(reason)
            }
            _ => answer.refused(action),
        }
    }
}

impl fmt::Display for S3Lock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "bucket {}", self.bucket.bucket)
    }
}

#[async_trait]
impl ObjectLock for S3Lock {
    async fn check(&self) -> Result<()> {
        let action = "ask whether the bucket has Object Lock";
        let query = [("object-lock", "")];
        let answer = self.ask(action, Question { query: &query, ..Question::default() }).await?;
        match (answer.status, answer.code().as_str()) {
            (StatusCode::OK, _) => {
                let configuration: ObjectLockConfiguration = answer.parse(action)?;
                if configuration.object_lock_enabled.as_deref() == Some("Enabled") {
                    Ok(())
                } else {
                    Err(self.unavailable(WITHOUT))
                }
            }
            (StatusCode::NOT_FOUND, code) if code != "NoSuchBucket" => {
                Err(self.unavailable(WITHOUT))
            }
            _ => Err(self.refused("", &answer, action)),
        }
    }

    async fn get(&self, path: &Path) -> Result<Option<RetentionLock>> {
        self.read_lock(&self.key(path), None).await
    }

    async fn set(&self, path: &Path, lock: &RetentionLock) -> Result<()> {
        let action = "lock an object";
        let key = self.key(path);
        let answer = self
            .ask(
                action,
                Question {
                    method: Method::PUT,
                    key: Some(&key),
                    query: &[("retention", "")],
                    headers: HeaderMap::new(),
                    body: body_of(lock)?,
                },
            )
            .await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(self.refused(&key, &answer, action))
    }

    async fn undelete(
        &self,
        now_ms: u64,
        look_only: bool,
        tell: &mut (dyn FnMut(HiddenObject) + Send),
    ) -> Result<()> {
        self.undelete_all(now_ms, look_only, tell).await
    }
}

fn body_of(lock: &RetentionLock) -> Result<String> {
    let mode = match lock.mode {
        LockMode::Unlocked => "GOVERNANCE",
        LockMode::Locked => "COMPLIANCE",
    };
    let until = lock.until()?;
    Ok(format!(
        r#"<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>{mode}</Mode><RetainUntilDate>{until}</RetainUntilDate></Retention>"#
    ))
}

fn lock_of(headers: &HeaderMap) -> Result<Option<RetentionLock>> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let (Some(mode), Some(until)) = (text(MODE), text(UNTIL)) else { return Ok(None) };
    let corrupt = |reason| Error::corrupt("the lock of an object", reason);
    let mode = match mode {
        "GOVERNANCE" => LockMode::Unlocked,
        "COMPLIANCE" => LockMode::Locked,
        other => return Err(corrupt(format!("its mode is {other:?}"))),
    };
    let until: jiff::Timestamp =
        until.parse().map_err(|error| corrupt(format!("its time is {until:?}: {error}")))?;
    // A time before 1970 is over, whatever it is.
    let until_ms = u64::try_from(until.as_millisecond()).unwrap_or(0);
    Ok(Some(RetentionLock { mode, until_ms }))
}

#[async_trait]
impl Sign for S3Bucket {
    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        let credential = self.credentials.get_credential().await?;
        AwsAuthorizer::new(&credential, "s3", &self.region).try_authorize(request, None)
    }
}

fn invalid(error: impl fmt::Display) -> Error {
    Error::invalid(format!("a request to the storage: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(mode: &'static str, until: &'static str) -> HeaderMap {
        HeaderMap::from_iter([
            (MODE.parse().unwrap(), HeaderValue::from_static(mode)),
            (UNTIL.parse().unwrap(), HeaderValue::from_static(until)),
        ])
    }

    #[test]
    fn a_lock_is_told_in_the_words_of_the_service() {
        let body = body_of(&RetentionLock { mode: LockMode::Locked, until_ms: 1_795_953_600_500 });
        let body = body.unwrap();
        assert!(body.contains("<Mode>COMPLIANCE</Mode>"), "{body}");
        assert!(body.contains("<RetainUntilDate>2026-11-29T12:00:01Z</RetainUntilDate>"), "{body}");
        let read = lock_of(&headers("GOVERNANCE", "2026-11-29T12:00:01.000Z")).unwrap().unwrap();
        assert_eq!(read, RetentionLock { mode: LockMode::Unlocked, until_ms: 1_795_953_601_000 });
        assert!(lock_of(&HeaderMap::new()).unwrap().is_none());
        assert!(lock_of(&headers("MAYBE", "2026-11-29T12:00:01.000Z")).is_err());
        assert!(lock_of(&headers("COMPLIANCE", "tomorrow")).is_err());
    }
}
