//! Tokens of other issuers: any OpenID Connect issuer that the operator has configured.
//!
//! A token says itself who issued it. If that is a configured issuer, its published keys decide, and nothing else does:
//! our own keys never, nor another issuer's. What the token's subject may do is what the principal may that the operator has made for this
//! issuer and this subject (`coffer principal create --issuer … --subject …`). A subject for whom there is none is
//! refused, whatever object id its token claims: an issuer can make nobody of ours.
//!
//! # Invariants
//!
//! * Signatures are RS256, ES256 or `EdDSA`, by a key that is for exactly that; never `none`, never a shared secret.
//! * Issuer, audience, end and begin are checked, with [`LEEWAY_SECONDS`] between the clocks.
//! * An issuer that does not answer takes nobody down: readings are short, few at a time and few in a while
//!   ([`keys`]), and tokens of ours and of other issuers never wait for it.

mod claims;
mod fetch;
mod jwk;
mod keys;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, Validation};
use serde_json::Value;

use super::token::{Audience, unauthenticated};
use crate::clock::Clock;
use crate::config::IssuerConfig;
use crate::error::Error;
use claims::Claims;
use fetch::Fetcher;
use keys::KeyCache;

/// By how much the clocks of an issuer and of this server may differ.
pub const LEEWAY_SECONDS: i64 = 60;

/// All issuers beside our own.
#[derive(Debug, Default)]
pub struct Federation(Vec<Issuer>);

/// One of them.
#[derive(Debug)]
pub struct Issuer {
    config: IssuerConfig,
    keys: KeyCache,
}

/// Whom a token is about, by its issuer's word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// As configured.
    pub issuer: String,
    /// The value of the claim that was configured.
    pub subject: String,
    /// The issuer's name for the client, for the log; none when the token has none.
    pub application_id: Option<String>,
    /// The issuer's tenant, where it has tenants.
    pub tenant_id: Option<String>,
}

impl Federation {
    /// Makes ready; nothing is read from any issuer before a token of it comes.
    ///
    /// # Errors
    /// A file of certificates cannot be used, or an issuer is ourselves.
    pub fn new(issuers: &[IssuerConfig], own_issuer: &str, clock: &Clock) -> Result<Self, Error> {
        let mut out = Vec::new();
        for config in issuers {
            if config.issuer == own_issuer {
                return Err(Error::start_failed(
                    format!("identity.issuers names {own_issuer}, which is this server itself."),
                    "an issuer is this server itself",
                ));
            }
            let keys = KeyCache::new(Fetcher::new(config)?, clock.clone());
            out.push(Issuer { config: config.clone(), keys });
        }
        Ok(Self(out))
    }

    /// The configured issuer that a token says it is of; none for ours, for unknown ones, and for what is no token. Nothing
    /// of the token is believed by this.
    pub(crate) fn issuer_of(&self, token: &str) -> Option<&Issuer> {
        if self.0.is_empty() {
            return None;
        }
        let payload = token.split('.').nth(1)?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(payload).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        let issuer = claims.get("iss")?.as_str()?;
        self.0.iter().find(|known| known.config.issuer == issuer)
    }
}

impl Issuer {
    /// Checks a token that says it is of this issuer, and says whose it is.
    ///
    /// # Errors
    /// [`Unauthenticated`](crate::ErrorKind::Unauthenticated) with ARM's codes;
    /// [`Unavailable`](crate::ErrorKind::Unavailable) when the issuer's keys cannot be had now.
    pub(crate) async fn token_check(
        &self,
        token: &str,
        audiences: &[Audience],
        now_seconds: i64,
    ) -> Result<Subject, Error> {
        let header =
            jsonwebtoken::decode_header(token).map_err(|_| invalid("it is not a token"))?;
        if !matches!(header.alg, Algorithm::RS256 | Algorithm::ES256 | Algorithm::EdDSA) {
            return Err(invalid("it is not signed by RS256, ES256 or EdDSA"));
        }
        let Some(key_id) = header.kid else { return Err(invalid("it does not name its key")) };
        let key = self.keys.get(&key_id).await?;
        if key.algorithm != header.alg {
            return Err(invalid("its key is for another algorithm"));
        }
        let mut validation = Validation::new(key.algorithm);
        // Times and audiences are compared below, by the service's own clock and rules.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.required_spec_claims = std::collections::HashSet::new();
        let claims = jsonwebtoken::decode::<Claims>(token, &key.decoding, &validation)
            .map_err(|_| invalid("its signature is not of its issuer"))?
            .claims;
        self.claims_check(&claims, audiences, now_seconds)
    }

    fn claims_check(
        &self,
        claims: &Claims,
        audiences: &[Audience],
        now_seconds: i64,
    ) -> Result<Subject, Error> {
        if claims.iss != self.config.issuer {
            return Err(unauthenticated(
                "InvalidAuthenticationTokenTenant",
                "The access token is from the wrong issuer.".to_owned(),
            ));
        }
        let is_over = now_seconds >= claims.exp.saturating_add(LEEWAY_SECONDS);
        let is_early =
            claims.nbf.is_some_and(|nbf| now_seconds.saturating_add(LEEWAY_SECONDS) < nbf);
        if is_over || is_early {
            return Err(unauthenticated(
                "ExpiredAuthenticationToken",
                "The access token expiry UTC time is earlier than current UTC time.".to_owned(),
            ));
        }
        // What another issuer's tokens are good for is this endpoint, and no key vault on a host of its own.
        let is_ours = claims.aud.iter().any(|audience| self.config.audiences.contains(audience));
        if !is_ours || !audiences.contains(&Audience::Management) {
            return Err(unauthenticated(
                "InvalidAuthenticationTokenAudience",
                "The access token has been obtained for another audience or resource.".to_owned(),
            ));
        }
        let claim = &self.config.principal_claim;
        let subject = claims
            .others
            .get(claim)
            .and_then(Value::as_str)
            .filter(|subject| !subject.is_empty())
            .ok_or_else(|| invalid(&format!("it has no claim '{claim}'")))?;
        let text = |names: &[&str]| {
            names.iter().find_map(|name| claims.others.get(*name)?.as_str().map(str::to_owned))
        };
        Ok(Subject {
            issuer: self.config.issuer.clone(),
            subject: subject.to_owned(),
            application_id: text(&["appid", "azp", "client_id"]),
            tenant_id: text(&["tid"]),
        })
    }
}

fn invalid(what: &str) -> Error {
    unauthenticated("InvalidAuthenticationToken", format!("The access token is invalid: {what}."))
}

#[cfg(test)]
mod tests;
