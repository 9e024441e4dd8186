//! Who calls: the bearer token, and what a caller without a good one is told.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::app::App;
use crate::db::principal;
use crate::error::Error;
use crate::identity::Caller;
use crate::identity::token::{Audience, unauthenticated};

/// Longest token that is looked at.
const TOKEN_BYTES_MAX: usize = 8192;

/// The bearer token of a request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
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
) -> Result<Caller, Error> {
    let Some(token) = bearer(headers) else {
        return Err(unauthenticated(
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing or has no bearer token."
                .to_owned(),
        ));
    };
    let caller = app.identity.token_check(token, audiences, app.clock.now_seconds())?;
    if principal::get(app.db.read(), &caller.principal_id).await?.is_none() {
        return Err(unauthenticated(
            "InvalidAuthenticationToken",
            "The access token is invalid: its principal does not exist any more.".to_owned(),
        ));
    }
    Ok(caller)
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
