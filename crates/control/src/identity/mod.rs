//! Who we are and who calls: tenant, keys, certificates, principals, tokens.

pub mod bootstrap;
pub mod certificate;
pub mod download;
pub mod federation;
pub mod principal;
pub mod sealing;
pub mod signing_key;
pub mod token;

use federation::Federation;
use signing_key::SigningKey;

use crate::audit::Trail;

/// Who makes a request: proved by a token.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Object id, lower case: what roles are assigned to.
    pub principal_id: String,
    /// Client id, lower case.
    pub application_id: String,
    /// The tenant that the token is of.
    pub tenant_id: String,
    /// Who issued the token; none when it was this installation.
    pub issuer: Option<String>,
    /// Where it is noted what the request does.
    pub trail: Trail,
}

/// Who we are.
#[derive(Debug)]
pub struct Identity {
    /// The one tenant of this installation, a GUID.
    pub tenant_id: String,
    /// The subscription that exists from the first start.
    pub default_subscription_id: String,
    /// `https://host:port`, without a trailing slash.
    pub endpoint: String,
    /// The same endpoint by other names (`localhost`, `127.0.0.1`) and those of earlier starts, lower-cased: audiences
    /// that clients use as well, and what stored addresses of secrets begin with.
    pub endpoint_aliases: Vec<String>,
    /// What key vaults' hosts end in, with the port when it isn't 443: `vault.localhost:8443`.
    pub vault_authority: String,
    pub(crate) signing_key: SigningKey,
    /// Whose tokens are taken beside ours.
    pub federation: Federation,
}

/// Makes the one cryptographic library known to those that look for it by themselves. Doing so again changes nothing.
pub fn install_providers() {
    // Errors mean that one is installed already; there is only this one in the program.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
}
