//! Sending the few requests that `object_store` has no call for: signed by it, over its client, tried again as it does.

use std::{error::Error as StdError, time::Duration};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::TryStreamExt;
use http::StatusCode;
use object_store::{
    ClientOptions,
    client::{HttpClient, HttpConnector, HttpRequest, HttpResponse, ReqwestConnector},
};
use serde::de::DeserializeOwned;

use crate::{
    error::{Error, Result, StorageFailure},
    limits::{LOCK_ANSWER_BYTES_MAX, LOCK_ATTEMPTS_MAX},
    location::RemoteFailure,
};

/// What is waited before the second attempt; each further wait is twice as long.
const RETRY_DELAY: Duration = Duration::from_millis(200);

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    /// The body as a document.
    pub(super) fn parse<T: DeserializeOwned>(&self, action: &str) -> Result<T> {
        quick_xml::de::from_reader(self.body.as_ref())
            .map_err(|error| failed(action, StatusCode::OK, &error.to_string()))
    }

    /// The code of an error, as both services name it.
    pub(super) fn code(&self) -> String {
        #[derive(serde::Deserialize)]
        struct Refusal {
            #[serde(rename = "Code")]
            code: String,
        }
        if let Some(code) = self.headers.get("x-ms-error-code").and_then(|code| code.to_str().ok())
        {
            return code.to_owned();
        }
        match quick_xml::de::from_reader::<_, Refusal>(self.body.as_ref()) {
            Ok(refusal) => refusal.code,
            Err(_) => String::new(),
        }
    }

    /// The answer as an error, for whoever has no better word.
    pub(super) fn refused(&self, action: &str) -> Error {
        failed(action, self.status, &self.code())
    }
}

/// A client as the location's own.
pub(super) fn client(options: &ClientOptions) -> Result<HttpClient> {
    ReqwestConnector::default()
        .connect(options)
        .map_err(|source| Error::storage("make a client for locks", source))
}

/// Who signs requests.
#[async_trait]
pub(super) trait Sign: Sync {
    async fn sign(&self, request: &mut HttpRequest) -> object_store::Result<()>;
}

/// Sends a request, signed anew for each attempt, until there is an answer that another attempt would not change.
pub(super) async fn send(
    client: &HttpClient,
    action: &str,
    unsigned: &HttpRequest,
    signer: &dyn Sign,
) -> Result<Answer> {
    let mut delay = RETRY_DELAY;
    for attempt in 1.. {
        let mut request = unsigned.clone();
        signer.sign(&mut request).await.map_err(|source| Error::storage(action, source))?;
        let answer = match client.execute(request).await {
            Ok(response) => read(response).await,
            Err(error) => Err(error.into()),
        };
        let last = attempt == LOCK_ATTEMPTS_MAX;
        match answer {
            Ok(answer) if last || !is_busy(answer.status) => return Ok(answer),
            Err(source) if last => {
                let failure = StorageFailure::Unreachable;
                let source = RemoteFailure::new(failure, &source.to_string()).into_error();
                return Err(Error::storage(action, source));
            }
            Ok(_) | Err(_) => {}
        }
        tokio::time::sleep(delay).await;
        delay *= 2;
    }
    Err(Error::invalid("no attempt was made"))
}

/// What another attempt may change.
fn is_busy(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED
        || status == StatusCode::TOO_MANY_REQUESTS
        || status == StatusCode::REQUEST_TIMEOUT
}

async fn read(
    response: HttpResponse,
) -> std::result::Result<Answer, Box<dyn StdError + Send + Sync>> {
    let (parts, body) = response.into_parts();
    let mut stream = body.bytes_stream();
    let mut body = BytesMut::new();
    while let Some(part) = stream.try_next().await? {
        if body.len() + part.len() > LOCK_ANSWER_BYTES_MAX {
            return Err("the answer is too long".into());
        }
        body.extend_from_slice(&part);
    }
    Ok(Answer { status: parts.status, headers: parts.headers, body: body.freeze() })
}

/// A refusal, told as the rest of the storage's refusals are.
fn failed(action: &str, status: StatusCode, code: &str) -> Error {
    let failure = match status {
        _ if code == "NoSuchBucket" || code == "ContainerNotFound" => StorageFailure::NoContainer,
        StatusCode::FORBIDDEN => StorageFailure::Forbidden,
        StatusCode::UNAUTHORIZED => StorageFailure::Unauthenticated,
        StatusCode::NOT_FOUND => StorageFailure::WrongPlace,
        _ => StorageFailure::Other,
    };
    let words = format!("the storage answered {} {code}", status.as_u16());
    Error::storage(action, RemoteFailure::new(failure, &words).into_error())
}
