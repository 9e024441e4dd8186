//! Who calls: the bearer token, and what a caller without a good one is told.

use http::HeaderMap;
use http::header::{AUTHORIZATION, HeaderName};

use crate::app::App;
use crate::audit::Trail;
use crate::db::principal;
use crate::error::Error;
use crate::identity::Caller;
use crate::identity::federation::Subject;
use crate::identity::token::{Audience, unauthenticated};

/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8192;
/// Longest name of another issuer's that is shown.
const SHOWN_CHARS_MAX: usize = 128;
/// Most tokens that come beside the caller's, as in Azure.
const AUXILIARY_TOKENS_MAX: usize = 3;
const AUXILIARY: HeaderName = HeaderName::from_static("x-ms-authorization-auxiliary");

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    bearer_of(headers.get(AUTHORIZATION)?.to_str().ok()?)
}

fn bearer_of(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && token.len() <= TOKEN_BYTES_MAX).then(|| token.trim())
}

/// Checks the token and that its principal still exists.
///
/// # Errors
/// [`Unauthenticated`](crate::ErrorKind::Unauthenticated), without a challenge yet.
pub(super) async fn caller(
    app: &App,
    headers: &HeaderMap,
    audiences: &[Audience],
    trail: &Trail,
) -> Result<Caller, Error> {
    let Some(token) = bearer(headers) else {
        return Err(unauthenticated(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing or has no bearer token."
                .to_owned(),
        ));
    };
    trail.has_credentials();
    let caller = token_caller(app, token, audiences).await?;
    trail.caller(&caller);
    Ok(Caller { trail: trail.clone(), ..caller })
}

/// Those whose tokens came beside the caller's, separated by commas or semicolons: each is checked as the caller's is.
///
/// # Errors
/// As [`caller`], also for one bad token among good ones.
pub(super) async fn auxiliaries(app: &App, headers: &HeaderMap) -> Result<Vec<Caller>, Error> {
    let refused = |what: &str| {
        unauthenticated(
            "AuthenticationFailed",
            format!("Authentication failed. The '{AUXILIARY}' header {what}."),
        )
    };
    let mut callers = Vec::new();
    for value in headers.get_all(AUXILIARY) {
        let value = value.to_str().map_err(|_| refused("has characters that no token has"))?;
        for part in value.split([',', ';']).filter(|part| !part.trim().is_empty()) {
            let token =
                bearer_of(part).ok_or_else(|| refused("has something else than bearer tokens"))?;
            if callers.len() == AUXILIARY_TOKENS_MAX {
                return Err(refused("has too many tokens"));
            }
            callers.push(token_caller(app, token, &[Audience::Management]).await?);
        }
    }
    Ok(callers)
}

async fn token_caller(app: &App, token: &str, audiences: &[Audience]) -> Result<Caller, Error> {
    let now_seconds = app.clock.now_seconds();
    if let Some(issuer) = app.identity.federation.issuer_of(token) {
        let subject = issuer.token_check(token, audiences, now_seconds).await?;
        return federated_caller(app, subject).await;
    }
    let caller = app.identity.token_check(token, audiences, now_seconds)?;
    if principal::get(app.db.read(), &caller.principal_id).await?.is_none() {
        return Err(unauthenticated(
            "InvalidAuthenticationToken",
            "The access token is invalid: its principal does not exist any more.".to_owned(),
        ));
    }
    Ok(caller)
}

/// Who somebody is here of whom another issuer has told.
async fn federated_caller(app: &App, subject: Subject) -> Result<Caller, Error> {
    let found = principal::get_by_subject(app.db.read(), &subject.issuer, &subject.subject).await?;
    let principal = found.ok_or_else(|| {
        unauthenticated(
            "InvalidAuthenticationToken",
            "The access token is invalid: there is no principal here for its issuer and its subject.".to_owned(),
        )
    })?;
    let shown =
        |text: String| text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect();
    Ok(Caller {
        principal_id: principal.id,
        application_id: subject.application_id.map_or(principal.application_id, shown),
        tenant_id: subject.tenant_id.map(shown).unwrap_or_default(),
        issuer: Some(subject.issuer),
        trail: Trail::default(),
    })
}

/// Adds ARM's challenge to a refusal.
pub(super) fn challenge_arm(app: &App, mut error: Error) -> Error {
    if error.kind == crate::ErrorKind::Unauthenticated {
        error.challenge = Some(format!(
            "Bearer authorization_uri=\"{}/{}\", error=\"invalid_token\", error_description=\"{}\"",
            app.endpoint(),
            app.identity.tenant_id,
            error.message
        ));
    }
    error
}

/// Adds a key vault's challenge to a refusal: where to log in, and for which resource. Clients accept a resource only if
/// the vault's host ends in its host.
pub(super) fn challenge_key_vault(app: &App, mut error: Error, on_own_host: bool) -> Error {
    if error.kind == crate::ErrorKind::Unauthenticated {
        error.code = "Unauthorized".into();
        let resource = if on_own_host {
            format!("https://{}", app.identity.vault_authority)
        } else {
            app.endpoint().to_owned()
        };
        error.challenge = Some(format!(
            "Bearer authorization=\"{}/{}\", resource=\"{resource}\"",
            app.endpoint(),
            app.identity.tenant_id
        ));
    }
    error
}
