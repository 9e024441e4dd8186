//! Azure's immutability policies on versions: `Set Blob Immutability Policy` and the headers of `Get Blob Properties` and
//! `Get Container Properties` (Azure Storage REST API, since version 2020-06-12).

use std::fmt;

use async_trait::async_trait;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use jiff::fmt::rfc2822;
use object_store::{
    azure::AzureAuthorizer,
    client::{HttpClient, HttpRequest, HttpRequestBody},
    path::Path,
};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{
    HiddenObject, LockMode, ObjectLock, RetentionLock,
    request::{Answer, Sign, client, send},
};
use crate::{
    error::{Error, Result},
    location::AzureContainer,
};

/// Everything but RFC 3986's unreserved characters.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
const UNTIL: &str = "x-ms-immutability-policy-until-date";
const MODE: &str = "x-ms-immutability-policy-mode";
const VERSIONED: &str = "x-ms-immutable-storage-with-versioning-enabled";
const WITHOUT: &str = "its container has no version-level immutability: make one with it (`az storage container-rm create --enable-vlw`)";

/// The immutability policies of a container's blobs.
#[derive(Debug)]
pub(crate) struct AzureLock {
    container: AzureContainer,
    client: HttpClient,
}

impl AzureLock {
    /// Makes no request.
    pub(crate) fn new(container: &AzureContainer) -> Result<Self> {
        Ok(Self { client: client(&container.client_options)?, container: container.clone() })
    }

    /// Asks about a blob, or about the container.
    async fn ask(
        &self,
        method: Method,
        path: Option<&Path>,
        query: Option<&str>,
        headers: HeaderMap,
        action: &str,
    ) -> Result<Answer> {
        let container = &self.container;
        let mut url = container.endpoint.clone();
        let parts = container.prefix.parts().chain(path.into_iter().flat_map(Path::parts));
        let base = url.path().trim_end_matches('/').to_owned();
        let mut name = format!("{base}/{}", container.container);
        if path.is_some() {
            for part in parts {
                let part: &str = part.as_ref();
                name.extend(["/"].into_iter().chain(utf8_percent_encode(part, NAME)));
            }
        }
        url.set_path(&name);
        url.set_query(query);
        let mut request = HttpRequest::new(HttpRequestBody::empty());
        *request.method_mut() = method;
        *request.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|error| Error::invalid(format!("a request of a lock: {error}")))?;
        *request.headers_mut() = headers;
        send(&self.client, action, &request, container).await
    }

    fn unavailable(&self, reason: &str) -> Error {
        Error::LockUnavailable { storage: self.to_string(), reason: reason.to_owned() }
    }

    /// What every request may be told.
    fn refused(&self, path: Option<&Path>, answer: &Answer, action: &str) -> Error {
        match (answer.status, path) {
            // A HEAD's answer has no body, and not every service names the code in a header.
            (StatusCode::NOT_FOUND, Some(path)) if answer.code() != "ContainerNotFound" => {
                Error::NotFound { what: path.to_string() }
            }
            (StatusCode::FORBIDDEN, _) => self.unavailable(
                "the credentials lack Microsoft.Storage/storageAccounts/blobServices/containers/blobs/immutableStorage/runAsSuperUser/action or another right to set immutability policies",
            ),
            (StatusCode::NOT_IMPLEMENTED, _) | (StatusCode::BAD_REQUEST, _) => {
                self.unavailable(WITHOUT)
            }
            _ => answer.refused(action),
        }
    }
}

impl fmt::Display for AzureLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "container {} of {}", self.container.container, self.container.account)
    }
}

#[async_trait]
impl ObjectLock for AzureLock {
    async fn check(&self) -> Result<()> {
        let action = "read the container's properties";
        let query = Some("restype=container");
        let answer = self.ask(Method::HEAD, None, query, HeaderMap::new(), action).await?;
        if !answer.status.is_success() {
            return Err(self.refused(None, &answer, action));
        }
        match answer.headers.get(VERSIONED) {
            Some(enabled) if enabled.as_bytes().eq_ignore_ascii_case(b"true") => Ok(()),
            _ => Err(self.unavailable(WITHOUT)),
        }
    }

    async fn get(&self, path: &Path) -> Result<Option<RetentionLock>> {
        let action = "read a blob's properties";
        let answer = self.ask(Method::HEAD, Some(path), None, HeaderMap::new(), action).await?;
        if !answer.status.is_success() {
            return Err(self.refused(Some(path), &answer, action));
        }
        lock_of(&answer.headers)
    }

    async fn set(&self, path: &Path, lock: &RetentionLock) -> Result<()> {
        let headers = headers_of(lock)?;
        let query = Some("comp=immutabilityPolicies");
        let action = "set a blob's immutability policy";
        let answer = self.ask(Method::PUT, Some(path), query, headers, action).await?;
        if answer.status.is_success() {
            return Ok(());
        }
        Err(self.refused(Some(path), &answer, action))
    }

    async fn undelete(
        &self,
        _: u64,
        _: bool,
        _: &mut (dyn FnMut(HiddenObject) + Send),
    ) -> Result<()> {
        Err(self.unavailable(
            "bringing back versions is left to Azure's own tools: undelete the blobs, or copy their oldest version over them",
        ))
    }
}

#[async_trait]
impl Sign for AzureContainer {
    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()> {
        let credential = self.credentials.get_credential().await?;
        AzureAuthorizer::new(&credential, &self.account).try_authorize(request)
    }
}

fn headers_of(lock: &RetentionLock) -> Result<HeaderMap> {
    let invalid = |error: &dyn fmt::Display| Error::invalid(format!("the time of a lock: {error}"));
    let until = rfc2822::DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&lock.until()?)
        .map_err(|error| invalid(&error))?;
    let mut headers = HeaderMap::new();
    headers.insert(UNTIL, HeaderValue::from_str(&until).map_err(|error| invalid(&error))?);
    let mode = match lock.mode {
        LockMode::Unlocked => "unlocked",
        LockMode::Locked => "locked",
    };
    headers.insert(MODE, HeaderValue::from_static(mode));
    headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    Ok(headers)
}

fn lock_of(headers: &HeaderMap) -> Result<Option<RetentionLock>> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let (Some(until), Some(mode)) = (text(UNTIL), text(MODE)) else { return Ok(None) };
    let corrupt = |reason| Error::corrupt("the immutability policy of a blob", reason);
    let until = rfc2822::DateTimeParser::new()
        .parse_timestamp(until)
        .map_err(|error| corrupt(format!("its time is {until:?}: {error}")))?;
    let mode = if mode.eq_ignore_ascii_case("locked") {
        LockMode::Locked
    } else if mode.eq_ignore_ascii_case("unlocked") {
        LockMode::Unlocked
    } else {
        return Err(corrupt(format!("its mode is {mode:?}")));
    };
    let until_ms = u64::try_from(until.as_millisecond()).unwrap_or(0);
    Ok(Some(RetentionLock { mode, until_ms }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_read_as_it_was_written() {
        for mode in [LockMode::Unlocked, LockMode::Locked] {
            // 2026-11-29T12:00:01Z, rounded up.
            let lock = RetentionLock { mode, until_ms: 1_795_953_600_500 };
            let headers = headers_of(&lock).unwrap();
            let read = lock_of(&headers).unwrap().unwrap();
            assert_eq!(read, RetentionLock { mode, until_ms: 1_795_953_601_000 });
        }
        let headers = headers_of(&RetentionLock { mode: LockMode::Locked, until_ms: 0 }).unwrap();
        assert_eq!(headers[UNTIL], "Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(headers[MODE], "locked");
        assert!(lock_of(&HeaderMap::new()).unwrap().is_none());
    }

    #[test]
    fn a_policy_that_is_none_of_the_known_is_an_error_and_no_missing_lock() {
        let mut headers =
            headers_of(&RetentionLock { mode: LockMode::Locked, until_ms: 0 }).unwrap();
        headers.insert(MODE, HeaderValue::from_static("mutable"));
        assert!(matches!(lock_of(&headers), Err(Error::Corrupt { .. })));
        headers.insert(MODE, HeaderValue::from_static("Locked"));
        headers.insert(UNTIL, HeaderValue::from_static("tomorrow"));
        assert!(matches!(lock_of(&headers), Err(Error::Corrupt { .. })));
    }
}
