//! Reading an issuer's keys: discovery, then the set that it points to. Two short requests with bounds, and no redirects.

use std::time::Duration;

use serde::Deserialize;
use url::Url;

use super::jwk::{self, Keys};
use crate::config::{IssuerConfig, is_trustworthy};
use crate::error::Error;

/// How long each of the two requests may take.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest answer that is read.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Fetcher {
    issuer: String,
    client: reqwest::Client,
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

impl Fetcher {
    pub(super) fn new(config: &IssuerConfig) -> Result<Self, Error> {
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::start_failed(format!("The issuer {} cannot be used.", config.issuer), source)
        };
        let mut builder = reqwest::Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none());
        if let Some(path) = &config.ca_file {
            let pem = std::fs::read(path).map_err(|error| failed(error.into()))?;
            let certificates = reqwest::Certificate::from_pem_bundle(&pem)
                .map_err(|error| failed(error.into()))?;
            builder = builder.tls_certs_only(certificates);
        }
        let client = builder.build().map_err(|error| failed(error.into()))?;
        Ok(Self { issuer: config.issuer.clone(), client })
    }

    pub(super) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Reads the keys. The reason, when that fails, is for the log.
    pub(super) async fn fetch(&self) -> Result<Keys, String> {
        let base = self.issuer.trim_end_matches('/');
        let discovery = self.get(&format!("{base}/.well-known/openid-configuration")).await?;
        let discovery: Discovery = serde_json::from_slice(&discovery)
            .map_err(|error| format!("its discovery document is not understood: {error}"))?;
        if discovery.issuer != self.issuer {
            return Err("its discovery document is of another issuer".to_owned());
        }
        let is_good = Url::parse(&discovery.jwks_uri).is_ok_and(|url| is_trustworthy(&url));
        if !is_good {
            return Err("its keys are not at an https:// address".to_owned());
        }
        let set = self.get(&discovery.jwks_uri).await?;
        jwk::read(&set).ok_or_else(|| "its keys are not understood".to_owned())
    }

    async fn get(&self, url: &str) -> Result<Vec<u8>, String> {
        let describe = |error: reqwest::Error| error.to_string();
        let mut answer = self.client.get(url).send().await.map_err(describe)?;
        if !answer.status().is_success() {
            return Err(format!("{url} was answered {}", answer.status().as_u16()));
        }
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(describe)? {
            if body.len() + chunk.len() > ANSWER_BYTES_MAX {
                return Err(format!("{url} has more than {ANSWER_BYTES_MAX} bytes"));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}
