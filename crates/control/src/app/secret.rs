//! Secrets of key vaults: their values, sealed under the master key, and who may read them.

use secrecy::SecretString;

use super::App;
use crate::error::Error;

/// Why a secret that somebody's run needs cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SecretReadError {
    /// No key vault of that name is registered.
    #[error("the key vault does not exist")]
    VaultNotFound,
    /// The principal has no role that lets it read the vault's secrets.
    #[error("the principal may not read the secrets of the key vault")]
    Forbidden,
    /// The key vault has no such secret, or not in that version.
    #[error("the secret does not exist")]
    NotFound,
    /// The secret is switched off.
    #[error("the secret is disabled")]
    Disabled,
    /// The secret's time is over or has not come yet.
    #[error("the secret is not valid at this time")]
    Expired,
    /// The URI does not name a secret of a key vault that can be registered here.
    #[error("the URI is not that of a key vault's secret")]
    Malformed,
    /// A fault of ours.
    #[error("the secret cannot be read")]
    Failed(#[source] Error),
}

impl App {
    /// Reads a secret's value afresh, with the rights of a principal (a vault's identity).
    ///
    /// `secret_uri` is `https://{vault}.vault.azure.net/secrets/{name}[/{version}]`, the same under this
    /// installation's own suffix, or `{endpoint}/secrets/{name}[/{version}]` for the default key vault.
    ///
    /// # Errors
    /// [`SecretReadError`] says why not.
    pub async fn secret_read(&self, principal_id: &str, secret_uri: &str) -> Result<SecretString, SecretReadError> {
        let _ = (principal_id, secret_uri);
        Err(SecretReadError::VaultNotFound)
    }
}
