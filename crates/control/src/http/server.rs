//! Around every request: ids, limits, a caught panic, the headers that every answer has, the log line.

use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{ConnectInfo, State};
use axum::response::Response;
use bytes::Bytes;
use futures::FutureExt;
use http::header::{self, HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Request, StatusCode, Version};
use tokio::sync::Semaphore;
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::body::{ReadError, RequestBody};
use super::route::{Route, route, segments, table, template};
use super::{ArmResponse, Query, error, face};
use crate::app::App;
use crate::audit::{Ending, Trail};
use crate::error::{Error, ErrorKind};
use crate::trace;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-ms-correlation-request-id");
const CLIENT_REQUEST_ID: HeaderName = HeaderName::from_static("x-ms-client-request-id");
/// Longest id of a client that is taken over.
const CLIENT_REQUEST_ID_BYTES_MAX: usize = 128;
/// What a client that came at a busy moment is told to wait.
const BUSY_RETRY_AFTER_SECONDS: u32 = 1;

/// What serving needs beside the application.
#[derive(Clone, Debug)]
pub(crate) struct Front {
    pub(crate) app: Arc<App>,
    requests: Arc<Semaphore>,
    pub(super) logins: Arc<Semaphore>,
}

impl Front {
    pub(crate) fn new(app: Arc<App>) -> Self {
        let limits = app.config.limits;
        Self {
            app,
            requests: Arc::new(Semaphore::new(limits.concurrent_requests)),
            logins: Arc::new(Semaphore::new(limits.concurrent_logins)),
        }
    }

    /// The service as axum takes it: every path and method goes through [`handle`].
    pub(crate) fn router(self) -> axum::Router {
        axum::Router::new().fallback(handle).with_state(self)
    }
}

/// The ids of one request.
#[derive(Clone, Debug)]
pub(super) struct RequestIds {
    pub(super) request_id: String,
    pub(super) correlation_id: String,
    /// The client's own id, else the correlation id.
    pub(super) activity_id: String,
    client_request_id: Option<HeaderValue>,
}

impl RequestIds {
    fn new(headers: &HeaderMap) -> Self {
        let correlation_id = headers
            .get(CORRELATION_ID)
            .and_then(|value| Uuid::try_parse_ascii(value.as_bytes()).ok())
            .unwrap_or_else(Uuid::new_v4)
            .to_string();
        let client_request_id = headers
            .get(CLIENT_REQUEST_ID)
            .filter(|value| (1..=CLIENT_REQUEST_ID_BYTES_MAX).contains(&value.len()))
            .filter(|value| value.as_bytes().iter().all(u8::is_ascii_graphic))
            .cloned();
        let activity_id = client_request_id
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .map_or_else(|| correlation_id.clone(), str::to_owned);
        Self {
            request_id: Uuid::new_v4().to_string(),
            correlation_id,
            activity_id,
            client_request_id,
        }
    }
}

/// A request whose form is known and whose body is not read yet.
pub(super) struct Incoming {
    pub(super) parts: Parts,
    pub(super) segments: Vec<String>,
    pub(super) query: Query,
    pub(super) ids: RequestIds,
    pub(super) peer: SocketAddr,
    /// What the audit log will say of it.
    pub(super) trail: Trail,
    body: RequestBody,
}

impl Incoming {
    /// Reads the whole body.
    ///
    /// # Errors
    /// It is larger than the limit, does not arrive in time, or the connection breaks.
    pub(super) async fn read_body(&self, app: &App) -> Result<Bytes, Error> {
        let limits = app.config.limits;
        let read = self.body.read(limits.body_bytes, limits.body_timeout).await;
        read.map_err(|error| match error {
            ReadError::TooLarge => Error::new(
                ErrorKind::TooLarge,
                "RequestContentTooLarge",
                format!("The request's body is larger than {} bytes.", limits.body_bytes),
            ),
            ReadError::Late => Error::invalid_content("The request's body did not arrive in time."),
            ReadError::Broken(source) => {
                Error::invalid_content("The request's body broke off.").with_source(source)
            }
        })
    }
}

async fn handle(
    State(front): State<Front>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request<Body>,
) -> Response {
    let started = Instant::now();
    let (parts, body) = request.into_parts();
    let body = RequestBody::new(body);
    let ids = RequestIds::new(&parts.headers);
    let (method, version) = (parts.method.clone(), parts.version);
    let path = parts.uri.path().to_owned();
    let span = tracing::info_span!("request", otel.kind = "server", correlation_id = %ids.correlation_id, request_id = %ids.request_id);
    trace::adopt_caller(&span, &parts.headers);
    trace::say(&span, "http.request.method", method_label(&method));
    trace::name(&span, method_label(&method));
    let address = peer.ip().to_canonical().to_string();
    let trail = Trail::of_request(&front.app.clock, &ids.correlation_id, &address);
    let around = Around { ids: ids.clone(), peer, trail: trail.clone() };
    let work = answer(&front, parts, body.clone(), around).instrument(span.clone());
    let outcome = match AssertUnwindSafe(work).catch_unwind().await {
        Ok(outcome) => outcome,
        Err(_panic) => {
            metrics::counter!("coffer_http_panics_total").increment(1);
            Err(Error::internal("a request's handler panicked"))
        }
    };
    let outcome = audited(&front.app, &trail, outcome).await;
    // HTTP/2 has a stream for each request, and forbids the header.
    let close = !body.drain().await && version < Version::HTTP_2;
    let mut response = span.in_scope(|| {
        if let Err(error) = &outcome
            && matches!(error.kind, ErrorKind::Internal | ErrorKind::Unavailable)
        {
            tracing::error!(%method, path, error = error.chain(), "request failed");
        }
        encode(outcome, &ids)
    });
    if close {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let status = response.status().as_u16();
    trace::say(&span, "http.response.status_code", i64::from(status));
    if response.status().is_server_error() {
        trace::failed(&span, "");
    }
    let seconds = started.elapsed().as_secs_f64();
    metrics::counter!("coffer_http_requests_total", "method" => method_label(&method), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("coffer_http_request_seconds", "method" => method_label(&method))
        .record(seconds);
    span.in_scope(|| tracing::debug!(%method, path, status, seconds, "request"));
    response
}

/// A closed set: a made-up method must not make a new series.
fn method_label(method: &http::Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "PUT" => "PUT",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    }
}

/// Names the request's span by what is asked for and not by whom: names of resources and secrets are no names of spans.
fn name_route(method: &http::Method, route: &Route, segments: &[String]) {
    let span = Span::current();
    if span.is_disabled() {
        return;
    }
    let template = template(route, segments);
    trace::name(&span, format!("{} {template}", method_label(method)));
    trace::say(&span, "http.route", template);
}

/// What is known of a request beside itself.
struct Around {
    ids: RequestIds,
    peer: SocketAddr,
    trail: Trail,
}

/// Has the audit log written up before the answer is given. A success that cannot be written down is not told.
async fn audited(
    app: &App,
    trail: &Trail,
    outcome: Result<ArmResponse, Error>,
) -> Result<ArmResponse, Error> {
    let ending = match &outcome {
        Ok(response) => Ending { status: response.status.as_u16(), error: None },
        Err(error) => Ending {
            status: error::status(error.kind).as_u16(),
            error: Some((error.kind, error.code.as_ref())),
        },
    };
    app.audit.finish(&app.db, trail, &ending).await?;
    outcome
}

async fn answer(
    front: &Front,
    parts: Parts,
    body: RequestBody,
    around: Around,
) -> Result<ArmResponse, Error> {
    let Around { ids, peer, trail } = around;
    let segments = segments(parts.uri.path())?;
    let query = Query::parse(parts.uri.query().unwrap_or_default());
    let vault_host = vault_host(&parts, &front.app.config.vault_host_suffix);
    let route = route(&segments, vault_host);
    name_route(&parts.method, &route, &segments);
    let incoming = Incoming { parts, segments, query, ids, peer, trail, body };
    // Health and metrics answer however busy the rest is.
    match route {
        Route::Health => {
            return face::health(front, &incoming.parts.method).await;
        }
        Route::Metrics => return face::metrics(front, &incoming),
        _ => {}
    }
    let Ok(_permit) = front.requests.try_acquire() else {
        return Err(Error::unavailable("The server is busy.", BUSY_RETRY_AFTER_SECONDS));
    };
    let asked = cfg!(debug_assertions)
        .then(|| (incoming.parts.method.clone(), template(&route, &incoming.segments)));
    let outcome = Box::pin(face::dispatch(front, incoming, route)).await;
    if let Some((method, template)) = asked.filter(|_| is_served(&outcome)) {
        debug_assert!(
            table::lists(&method, &template),
            "{method} {template} is served and not in http/route/table.rs"
        );
    }
    outcome
}

/// Whether somebody has taken the request for his: it was done, or refused for what the caller may not do.
fn is_served(outcome: &Result<ArmResponse, Error>) -> bool {
    match outcome {
        Ok(response) => response.status.is_success(),
        Err(error) => error.kind == ErrorKind::Forbidden,
    }
}

/// The vault's name when the request's host is one of a key vault.
fn vault_host(parts: &Parts, suffix: &str) -> Option<String> {
    // HTTP/2 has the authority in the URI, HTTP/1.1 in the header.
    let authority = match parts.uri.host() {
        Some(host) => host,
        None => parts.headers.get(header::HOST)?.to_str().ok()?,
    };
    let host = authority.split(':').next()?.to_lowercase();
    let name = host.strip_suffix(&suffix.to_lowercase())?.strip_suffix('.')?;
    (!name.is_empty() && !name.contains('.')).then(|| name.to_owned())
}

fn encode(outcome: Result<ArmResponse, Error>, ids: &RequestIds) -> Response {
    let (mut response, code) = match outcome {
        Ok(response) => (response, None),
        Err(error) => {
            let response =
                ArmResponse::json(error::status(error.kind), error::body(&error, &ids.activity_id));
            let response = match error.retry_after_seconds {
                Some(seconds) => response.with_header("retry-after", &seconds.to_string()),
                None => response,
            };
            let response = match &error.challenge {
                Some(challenge) => response.with_header("www-authenticate", challenge),
                None => response,
            };
            (response, Some(error.code.clone()))
        }
    };
    if let Some(code) = code {
        response = response.with_header("x-ms-error-code", &code);
    }
    let text = match response.raw.take() {
        Some(raw) => Some(raw),
        None => response
            .body
            .as_ref()
            .map(|body| ("application/json; charset=utf-8", body.to_string().into())),
    };
    let mut out = Response::new(Body::empty());
    *out.status_mut() = response.status;
    common_headers(out.headers_mut(), ids);
    if let Some((content_type, text)) = text {
        out.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        *out.body_mut() = Body::from(text);
    }
    out.headers_mut().extend(response.headers);
    debug_assert!(out.status() != StatusCode::NO_CONTENT || response.body.is_none());
    out
}

fn common_headers(headers: &mut HeaderMap, ids: &RequestIds) {
    let fixed = [
        (header::CACHE_CONTROL, "no-cache"),
        (header::PRAGMA, "no-cache"),
        (header::EXPIRES, "-1"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=31536000; includeSubDomains"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let ids_of_request = [
        (HeaderName::from_static("x-ms-request-id"), ids.request_id.clone()),
        (CORRELATION_ID, ids.correlation_id.clone()),
        (HeaderName::from_static("x-ms-routing-request-id"), format!("COFFER:{}", ids.request_id)),
    ];
    for (name, value) in ids_of_request {
        // GUIDs: always a valid header.
        if let Ok(value) = HeaderValue::from_str(&value) {
            headers.insert(name, value);
        }
    }
    if let Some(value) = &ids.client_request_id {
        headers.insert(CLIENT_REQUEST_ID, value.clone());
    }
}
