//! Other issuers of tokens.

use std::path::PathBuf;

use super::ConfigError;

/// Another issuer of tokens: any that speaks OpenID Connect.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IssuerConfig {
    /// As its tokens have it in `iss`; its discovery document is below it.
    pub issuer: String,
    /// What a token may have in `aud` to be meant for this server.
    pub audiences: Vec<String>,
    /// The claim that says who somebody is: `sub`, or Entra ID's `oid`.
    #[serde(default = "subject_claim")]
    pub principal_claim: String,
    /// Certificates to trust instead of the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
}

impl IssuerConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let refused = |reason: &str| {
            Err(ConfigError::value(format!("identity.issuers ({})", self.issuer), reason))
        };
        let is_good = url::Url::parse(&self.issuer).is_ok_and(|url| {
            is_trustworthy(&url) && url.query().is_none() && url.fragment().is_none()
        });
        if !is_good {
            return refused(
                "has to be an https:// URL without a query; http:// on this machine only",
            );
        }
        if self.audiences.is_empty() || self.audiences.iter().any(String::is_empty) {
            return refused("needs audiences: without one, tokens for anybody would be good here");
        }
        if self.principal_claim.is_empty() {
            return refused("needs a principal_claim");
        }
        Ok(())
    }
}

/// Whether what is read there can be believed: nobody on the way can have changed it.
pub(crate) fn is_trustworthy(url: &url::Url) -> bool {
    let is_here = match url.host() {
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        Some(url::Host::Domain(name)) => name == "localhost",
        None => return false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_here)
}

fn subject_claim() -> String {
    "sub".to_owned()
}

/// Refuses issuers that cannot be used, and one that is there twice.
pub(super) fn check(issuers: &[IssuerConfig]) -> Result<(), ConfigError> {
    for (index, issuer) in issuers.iter().enumerate() {
        issuer.check()?;
        if issuers[..index].iter().any(|other| other.issuer == issuer.issuer) {
            return Err(ConfigError::value(
                format!("identity.issuers ({})", issuer.issuer),
                "is there twice",
            ));
        }
    }
    Ok(())
}
