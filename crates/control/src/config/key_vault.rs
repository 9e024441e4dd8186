//! Settings for key vaults of Azure itself: which hosts they have, and as whom they are read.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use coffer_azure::ResourceId;
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::ConfigError;

/// Where identities of Azure's public cloud log in.
const AUTHORITY: &str = "https://login.microsoftonline.com";
/// How long reading a secret may take, retries included, unless said otherwise.
const TIMEOUT_SECONDS: u64 = 30;
const TIMEOUT_SECONDS_MAX: u64 = 600;

/// What is set, as it was written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AzureKeyVaultSettings {
    /// Scopes by host; see [`AzureKeyVaultConfig::hosts`].
    pub hosts: BTreeMap<String, String>,
    /// Tenant of the application.
    pub tenant_id: Option<String>,
    /// The application, or the user-assigned identity.
    pub client_id: Option<String>,
    /// The application's secret.
    pub client_secret: Option<SecretString>,
    /// File with another issuer's token for the application.
    pub federated_token_file: Option<PathBuf>,
    /// Whether the machine's identity is used.
    pub managed_identity: Option<bool>,
    /// `https://` URL of where the identity logs in; that of Azure's public cloud when absent.
    pub authority: Option<String>,
    /// Certificates that are trusted beside the operating system's.
    pub ca_file: Option<PathBuf>,
    /// Addresses of hosts that are not asked of the DNS.
    pub addresses: BTreeMap<String, SocketAddr>,
    /// How long reading one secret may take, retries included.
    pub timeout_seconds: Option<u64>,
}

/// Key vaults of Azure, and as whom they are read.
#[derive(Clone, Debug)]
pub struct AzureKeyVaultConfig {
    /// Scopes by lower-cased host, or by `*.` and what hosts end in: the key vault of that name has to be registered at or
    /// within the scope.
    pub hosts: BTreeMap<String, ResourceId>,
    /// As whom they are read.
    pub identity: AzureIdentity,
    /// Where that identity logs in.
    pub authority: Url,
    /// Certificates that are trusted beside the operating system's.
    pub ca_file: Option<PathBuf>,
    /// Addresses of hosts that are not asked of the DNS.
    pub addresses: BTreeMap<String, SocketAddr>,
    /// How long reading one secret may take, retries included.
    pub timeout: Duration,
}

/// As whom key vaults of Azure are read.
#[derive(Clone, Debug)]
pub enum AzureIdentity {
    /// An application with a secret.
    ClientSecret {
        /// Its tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Its secret.
        secret: SecretString,
    },
    /// An application that trusts another issuer's tokens (workload identity of Kubernetes).
    FederatedToken {
        /// Its tenant.
        tenant_id: String,
        /// The application.
        client_id: String,
        /// Where the other issuer's token is found, and renewed.
        file: PathBuf,
    },
    /// The identity of the machine that the service runs on.
    Managed {
        /// The application of a user-assigned identity; the machine's own when absent.
        client_id: Option<String>,
    },
}

impl AzureKeyVaultSettings {
    /// What they mean; none when no host is named.
    ///
    /// # Errors
    /// Something is missing, contradicts another setting, or is not possible.
    pub fn resolve(&self) -> Result<Option<AzureKeyVaultConfig>, ConfigError> {
        let refused = |setting: &str, reason: &str| {
            ConfigError::value(format!("key_vault.azure.{setting}"), reason)
        };
        if self.hosts.is_empty() {
            let identity = self.client_secret.is_some()
                || self.federated_token_file.is_some()
                || self.managed_identity == Some(true);
            return if identity {
                Err(refused("hosts", "names no key vault that the identity is to be used for"))
            } else {
                Ok(None)
            };
        }
        let authority = Url::parse(self.authority.as_deref().unwrap_or(AUTHORITY))
            .ok()
            .filter(|url| url.scheme() == "https" && url.host_str().is_some())
            .ok_or_else(|| refused("authority", "has to be an https:// URL"))?;
        let seconds = self.timeout_seconds.unwrap_or(TIMEOUT_SECONDS);
        if !(1..=TIMEOUT_SECONDS_MAX).contains(&seconds) {
            return Err(refused("timeout_seconds", "has to be 1 to 600"));
        }
        Ok(Some(AzureKeyVaultConfig {
            hosts: self.scopes()?,
            identity: self.identity()?,
            authority,
            ca_file: self.ca_file.clone(),
            addresses: self.addresses.clone(),
            timeout: Duration::from_secs(seconds),
        }))
    }

    fn scopes(&self) -> Result<BTreeMap<String, ResourceId>, ConfigError> {
        let refused = |host: &str, reason: &str| {
            ConfigError::value(format!("key_vault.azure.hosts.\"{host}\""), reason)
        };
        let mut scopes = BTreeMap::new();
        for (host, scope) in &self.hosts {
            let suffix = host.strip_prefix("*.").unwrap_or(host);
            let is_name = suffix.contains('.')
                && suffix.chars().all(|c| c.is_ascii_alphanumeric() || ".-".contains(c))
                && suffix.split('.').all(|label| !label.is_empty());
            if !is_name {
                return Err(refused(
                    host,
                    "has to be a host as vault.vault.azure.net, or *.vault.azure.net",
                ));
            }
            let scope = ResourceId::parse(scope).map_err(|_| {
                refused(
                    host,
                    "has to be the ARM id of a key vault, a resource group or a subscription",
                )
            })?;
            scopes.insert(host.to_lowercase(), scope);
        }
        Ok(scopes)
    }

    fn identity(&self) -> Result<AzureIdentity, ConfigError> {
        let refused = |reason: &str| Err(ConfigError::value("key_vault.azure", reason));
        let application = |tenant: &Option<String>, client: &Option<String>| {
            let (Some(tenant), Some(client)) = (tenant, client) else {
                return Err(ConfigError::value(
                    "key_vault.azure",
                    "needs tenant_id and client_id beside a client_secret or a federated_token_file",
                ));
            };
            Ok((tenant.clone(), client.clone()))
        };
        let managed = self.managed_identity == Some(true);
        match (&self.client_secret, &self.federated_token_file, managed) {
            (Some(secret), None, false) => {
                let (tenant_id, client_id) = application(&self.tenant_id, &self.client_id)?;
                Ok(AzureIdentity::ClientSecret { tenant_id, client_id, secret: secret.clone() })
            }
            (None, Some(file), false) => {
                let (tenant_id, client_id) = application(&self.tenant_id, &self.client_id)?;
                Ok(AzureIdentity::FederatedToken { tenant_id, client_id, file: file.clone() })
            }
            (None, None, true) => Ok(AzureIdentity::Managed { client_id: self.client_id.clone() }),
            (None, None, false) => refused(
                "says not as whom the key vaults are read: set client_secret, federated_token_file or managed_identity",
            ),
            _ => refused(
                "has more than one of client_secret, federated_token_file and managed_identity",
            ),
        }
    }
}
