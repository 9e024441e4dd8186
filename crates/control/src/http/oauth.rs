//! The token endpoint: OAuth 2.0 client credentials, in the form body or by HTTP Basic, answered as Entra ID does.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Method, StatusCode};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use serde_json::json;

use super::server::{Front, Incoming};
use super::{ArmResponse, Query, face, metadata};
use crate::error::Error;
use crate::identity::principal::secret_matches;

/// How long a log-in waits for its turn before the client is told to come again.
const TURN_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest secret that is hashed.
const SECRET_BYTES_MAX: usize = 1024;

/// A refusal in the words that clients look for.
struct Refusal {
    status: StatusCode,
    error: &'static str,
    code: u32,
    description: String,
}

impl Refusal {
    fn bad_request(error: &'static str, code: u32, description: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, error, code, description: description.into() }
    }

    fn invalid_client() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            code: 7_000_215,
            description: "Invalid client secret provided, or no application of this client id."
                .to_owned(),
        }
    }
}

/// Answers `POST …/token`.
pub(super) async fn token(
    front: &Front,
    incoming: Incoming,
    tenant: &str,
) -> Result<ArmResponse, Error> {
    if incoming.parts.method != Method::POST {
        return Err(face::method_not_allowed(&incoming.parts.method));
    }
    let body = incoming.read_body(&front.app).await?;
    let form = Query::parse(&String::from_utf8_lossy(&body));
    let correlation_id = incoming.ids.correlation_id.clone();
    let answer = match check_form(front, &incoming.parts.headers, &form, tenant) {
        Ok(login) => {
            let client_id = login.client_id.clone();
            let answer = log_in(front, login).await?;
            if answer.is_err() {
                incoming.trail.log_in_refused(&client_id);
            }
            answer
        }
        Err(refusal) => Err(refusal),
    };
    let response = match answer {
        Ok(response) => response,
        Err(refusal) => {
            metrics::counter!("coffer_logins_total", "outcome" => refusal.error).increment(1);
            ArmResponse::json(
                refusal.status,
                json!({
                    "error": refusal.error,
                    "error_description": format!("AADSTS{}: {}", refusal.code, refusal.description),
                    "error_codes": [refusal.code],
                    "trace_id": incoming.ids.request_id,
                    "correlation_id": correlation_id,
                }),
            )
        }
    };
    Ok(response.with_header("cache-control", "no-store"))
}

struct Login {
    client_id: String,
    secret: SecretString,
    audience: String,
}

fn check_form(
    front: &Front,
    headers: &HeaderMap,
    form: &Query,
    tenant: &str,
) -> Result<Login, Refusal> {
    if !metadata::is_our_tenant(&front.app, tenant) {
        return Err(Refusal::bad_request(
            "invalid_request",
            90_002,
            "Tenant not found. Check to make sure you have the correct tenant ID.",
        ));
    }
    match form.get("grant_type") {
        Some("client_credentials") => {}
        Some(_) => {
            return Err(Refusal::bad_request(
                "unsupported_grant_type",
                70_003,
                "The app requested an unsupported grant type. Only client_credentials is served.",
            ));
        }
        None => {
            return Err(Refusal::bad_request(
                "invalid_request",
                900_144,
                "The request body must contain the following parameter: 'grant_type'.",
            ));
        }
    }
    let (client_id, secret) = credentials(headers, form)?;
    let audience = requested_audience(form);
    if audience.is_empty() {
        return Err(Refusal::bad_request(
            "invalid_request",
            900_144,
            "The request body must contain the following parameter: 'scope'.",
        ));
    }
    if front.app.identity.audience(&audience).is_none() {
        return Err(Refusal::bad_request(
            "invalid_resource",
            500_011,
            "The resource principal of the requested scope was not found in the tenant.",
        ));
    }
    Ok(Login { client_id, secret, audience })
}

fn credentials(headers: &HeaderMap, form: &Query) -> Result<(String, SecretString), Refusal> {
    let basic =
        headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| {
            let (scheme, encoded) = value.split_once(' ')?;
            if !scheme.eq_ignore_ascii_case("basic") {
                return None;
            }
            let decoded = String::from_utf8(BASE64_STANDARD.decode(encoded.trim()).ok()?).ok()?;
            let (id, secret) = decoded.split_once(':')?;
            let plain =
                |text: &str| Some(percent_decode_str(text).decode_utf8().ok()?.into_owned());
            Some((plain(id)?, plain(secret)?))
        });
    let (client_id, secret) = match basic {
        Some(pair) => pair,
        None => match (form.get("client_id"), form.get("client_secret")) {
            (Some(id), Some(secret)) => (id.to_owned(), secret.to_owned()),
            _ => {
                return Err(Refusal {
                    status: StatusCode::UNAUTHORIZED,
                    error: "invalid_client",
                    code: 7_000_218,
                    description:
                        "The request body must contain the following parameters: 'client_id' and \
                                  'client_secret'."
                            .to_owned(),
                });
            }
        },
    };
    if secret.len() > SECRET_BYTES_MAX {
        return Err(Refusal::invalid_client());
    }
    Ok((client_id, secret.into()))
}

/// The first scope that ends in `/.default` without that, or the `resource` of the older form of the protocol.
fn requested_audience(form: &Query) -> String {
    let from_scope = form
        .get("scope")
        .unwrap_or_default()
        .split_whitespace()
        .find_map(|scope| scope.strip_suffix("/.default").map(str::to_owned));
    from_scope
        .or_else(|| form.get("resource").map(str::to_owned))
        .unwrap_or_default()
        .trim_end_matches('/')
        .to_owned()
}

async fn log_in(front: &Front, login: Login) -> Result<Result<ArmResponse, Refusal>, Error> {
    let app = &front.app;
    let busy = || Error::unavailable("Too many log-ins at once.", 1);
    let _turn = tokio::time::timeout(TURN_TIMEOUT, front.logins.acquire())
        .await
        .map_err(|_elapsed| busy())?
        .map_err(|_closed| busy())?;
    let principal = app.application_find(&login.client_id).await?;
    let (principal, hashes) = match principal {
        Some((principal, hashes)) => (Some(principal), hashes),
        None => (None, Vec::new()),
    };
    let matches = secret_matches(hashes, login.secret).await?;
    let Some(principal) = principal.filter(|_| matches) else {
        return Ok(Err(Refusal::invalid_client()));
    };
    let lifetime = i64::try_from(app.config.token_lifetime.as_secs()).unwrap_or(i64::MAX);
    let token = app.identity.token_issue(
        &principal.id,
        &principal.application_id,
        &login.audience,
        app.clock.now_seconds(),
        lifetime,
    )?;
    metrics::counter!("coffer_logins_total", "outcome" => "success").increment(1);
    // One second less than it is good for, as Entra ID says it.
    let expires_in = lifetime.saturating_sub(1);
    let expires_on = app.clock.now_seconds().saturating_add(expires_in);
    Ok(Ok(ArmResponse::ok(json!({
        "token_type": "Bearer",
        "expires_in": expires_in,
        "ext_expires_in": expires_in,
        "expires_on": expires_on.to_string(),
        "resource": login.audience,
        "access_token": token,
    }))))
}
