//! Access tokens: issued for client credentials, checked on every request.
//!
//! A token is an ES256 JSON web token with the claims that Azure's clients look for (`oid`, `tid`, `appid`). It is good
//! for one audience: Resource Manager (this endpoint, or Azure's own management addresses, so that clients which can't
//! be told another scope work), or a key vault. Audiences are compared without a trailing slash and without case.

use jsonwebtoken::errors::ErrorKind as JwtErrorKind;
use jsonwebtoken::{Algorithm, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Caller, Identity};
use crate::audit::Trail;
use crate::error::{Error, ErrorKind};

/// Azure's own audiences of Resource Manager.
const MANAGEMENT_AUDIENCES: [&str; 2] =
    ["https://management.azure.com", "https://management.core.windows.net"];
/// Azure's own audience of key vaults.
const VAULT_AUDIENCE: &str = "https://vault.azure.net";

/// What a token is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// Azure Resource Manager's face, and the default key vault on the same host.
    Management,
    /// Key vaults on hosts of their own.
    KeyVault,
}

/// What a token says.
#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    aud: String,
    iss: String,
    iat: i64,
    nbf: i64,
    exp: i64,
    appid: String,
    appidacr: String,
    idtyp: String,
    oid: String,
    sub: String,
    tid: String,
    uti: String,
    ver: String,
}

impl Identity {
    /// What an audience (a scope without `/.default`, or a v1 `resource`) stands for; none when it is not ours.
    pub fn audience(&self, text: &str) -> Option<Audience> {
        let audience = text.trim().trim_end_matches('/').to_lowercase();
        if audience == self.endpoint.to_lowercase()
            || MANAGEMENT_AUDIENCES.contains(&audience.as_str())
            || self.endpoint_aliases.contains(&audience)
        {
            return Some(Audience::Management);
        }
        let host = audience.strip_prefix("https://")?;
        let authority = self.vault_authority.to_lowercase();
        let in_vaults = host == authority
            || host.strip_suffix(&authority).is_some_and(|rest| rest.ends_with('.'));
        (in_vaults || audience == VAULT_AUDIENCE).then_some(Audience::KeyVault)
    }

    /// Who issues tokens: `https://host:port/{tenant}/v2.0`.
    pub fn issuer(&self) -> String {
        format!("{}/{}/v2.0", self.endpoint, self.tenant_id)
    }

    /// Issues a token for an application.
    ///
    /// # Errors
    /// Signing fails.
    pub(crate) fn token_issue(
        &self,
        principal_id: &str,
        application_id: &str,
        audience: &str,
        now_seconds: i64,
        lifetime_seconds: i64,
    ) -> Result<String, Error> {
        let claims = Claims {
            aud: audience.trim_end_matches('/').to_owned(),
            iss: self.issuer(),
            iat: now_seconds,
            nbf: now_seconds,
            exp: now_seconds.saturating_add(lifetime_seconds),
            appid: application_id.to_owned(),
            appidacr: "1".to_owned(),
            idtyp: "app".to_owned(),
            oid: principal_id.to_owned(),
            sub: principal_id.to_owned(),
            tid: self.tenant_id.clone(),
            uti: Uuid::new_v4().simple().to_string(),
            ver: "2.0".to_owned(),
        };
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.signing_key.id.clone());
        jsonwebtoken::encode(&header, &claims, &self.signing_key.encoding).map_err(Error::internal)
    }

    /// Checks a token and says whose it is. That its principal still exists is for the caller to check.
    ///
    /// # Errors
    /// [`Unauthenticated`](ErrorKind::Unauthenticated) with ARM's codes.
    pub(crate) fn token_check(
        &self,
        token: &str,
        audiences: &[Audience],
        now_seconds: i64,
    ) -> Result<Caller, Error> {
        let mut validation = Validation::new(Algorithm::ES256);
        // Times are compared below, by the service's own clock.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims = std::collections::HashSet::new();
        let claims = jsonwebtoken::decode::<Claims>(token, &self.signing_key.decoding, &validation)
            .map_err(|error| {
                let what = match error.kind() {
                    JwtErrorKind::InvalidSignature => "its signature is not of this server",
                    _ => "it is not a token of this server",
                };
                unauthenticated(
                    "InvalidAuthenticationToken",
                    format!("The access token is invalid: {what}."),
                )
            })?
            .claims;
        if claims.tid != self.tenant_id {
            return Err(unauthenticated(
                "InvalidAuthenticationTokenTenant",
                "The access token is from the wrong issuer.".to_owned(),
            ));
        }
        if now_seconds >= claims.exp || now_seconds.saturating_add(CLOCK_SKEW_SECONDS) < claims.nbf
        {
            return Err(unauthenticated(
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.".to_owned(),
            ));
        }
        if !self.audience(&claims.aud).is_some_and(|audience| audiences.contains(&audience)) {
            return Err(unauthenticated(
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for another audience or resource.".to_owned(),
            ));
        }
        Ok(Caller {
            principal_id: claims.oid,
            application_id: claims.appid,
            tenant_id: claims.tid,
            issuer: None,
            trail: Trail::default(),
        })
    }
}

/// By how much clocks of several replicas may differ.
const CLOCK_SKEW_SECONDS: i64 = 300;

/// An error that says: come again with a good token.
pub(crate) fn unauthenticated(code: &'static str, message: String) -> Error {
    Error::new(ErrorKind::Unauthenticated, code, message)
}

#[cfg(test)]
mod tests;
