//! Reading a secret for a run: afresh each time, with the rights of the vault's identity, from where its key vault is.
//!
//! The same role decides in both cases. What an embedded key vault holds is read from the metadata; what is in a key vault of
//! Azure is read there ([`super::azure`]) with the one identity that the operator has configured. That identity may well be
//! allowed more than the caller, so it is used for nobody who lacks the role at the key vault's registration here.

use secrecy::SecretString;

use super::{GET, Kept, rows, uri};
use crate::app::App;
use crate::db::deleted_secret;
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
    /// The secret is deleted and can be recovered.
    #[error("the secret is deleted")]
    Deleted,
    /// The secret is switched off.
    #[error("the secret is disabled")]
    Disabled,
    /// The secret's time is over.
    #[error("the secret has expired")]
    Expired,
    /// The secret's time has not come yet.
    #[error("the secret is not valid yet")]
    NotYetValid,
    /// The URI does not name a secret of a key vault that can be registered here.
    #[error("the URI is not that of a key vault's secret")]
    Malformed,
    /// Azure's key vault does not let the configured identity read the secret. What it says is its own inner code, if any.
    #[error("the key vault refused the configured identity")]
    Refused(Option<String>),
    /// The configured identity could not log in to Azure.
    #[error("the configured identity cannot log in")]
    NotLoggedIn,
    /// Azure's key vault, or the authority that its tokens are of, does not answer, or asks to come later. What was seen.
    #[error("the key vault cannot be reached")]
    Unreachable(String),
    /// What answered is no key vault. What was seen.
    #[error("the key vault's answer is not understood")]
    NotUnderstood(String),
    /// A fault of ours.
    #[error("the secret cannot be read")]
    Failed(#[source] Error),
}

impl SecretReadError {
    /// Whether the same call may succeed later with nothing changed by anybody.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Failed(error) => error.is_transient(),
            Self::VaultNotFound
            | Self::Forbidden
            | Self::NotFound
            | Self::Deleted
            | Self::Disabled
            | Self::Expired
            | Self::NotYetValid
            | Self::Malformed
            | Self::Refused(_)
            | Self::NotLoggedIn
            | Self::NotUnderstood(_) => false,
        }
    }
}

impl From<Error> for SecretReadError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl App {
    /// Reads a secret's value afresh, with the rights of a principal (a vault's identity).
    ///
    /// `secret_uri` is `https://{vault}.vault.azure.net/secrets/{name}[/{version}]`, the same under this
    /// installation's own suffix, `{endpoint}/secrets/{name}[/{version}]` for the default key vault, or that of a host
    /// configured as one of Azure's key vaults.
    ///
    /// # Errors
    /// [`SecretReadError`] says why not.
    pub async fn secret_read(
        &self,
        principal_id: &str,
        secret_uri: &str,
    ) -> Result<SecretString, SecretReadError> {
        let uri = uri::parse(self, secret_uri).ok_or(SecretReadError::Malformed)?;
        let vault = uri::find_vault(self.db.read(), &self.identity, uri.vault.as_deref())
            .await?
            .filter(|vault| uri.azure.as_ref().is_none_or(|place| place.admits(vault)))
            .ok_or(SecretReadError::VaultNotFound)?;
        if !self.allows(principal_id, GET, true, &vault.child("secrets", &uri.name)).await? {
            return Err(SecretReadError::Forbidden);
        }
        if let (Some(place), Some(azure)) = (&uri.azure, &self.azure_key_vaults) {
            let read = azure.read(&place.authority, &uri.name, uri.version.as_deref()).await?;
            check_validity(self.clock.now_seconds(), read.enabled, read.nbf, read.exp)?;
            return Ok(read.value);
        }
        let found = rows::get(self.db.read(), &vault, &uri.name, uri.version.as_deref()).await?;
        let Some(secret) = found else {
            let deleted = deleted_secret::get(self.db.read(), &vault, &uri.name).await?.is_some();
            return Err(if deleted { SecretReadError::Deleted } else { SecretReadError::NotFound });
        };
        let kept = Kept::of(&secret)?;
        check_validity(self.clock.now_seconds(), kept.enabled, kept.nbf, kept.exp)?;
        Ok(SecretString::from(self.secret_open(&secret)?.as_str()))
    }
}

/// A run uses no secret that is switched off, or outside its time. Times are seconds since 1970.
fn check_validity(
    now: i64,
    enabled: bool,
    nbf: Option<i64>,
    exp: Option<i64>,
) -> Result<(), SecretReadError> {
    if !enabled {
        return Err(SecretReadError::Disabled);
    }
    if exp.is_some_and(|exp| now >= exp) {
        return Err(SecretReadError::Expired);
    }
    if nbf.is_some_and(|nbf| now < nbf) {
        return Err(SecretReadError::NotYetValid);
    }
    Ok(())
}
