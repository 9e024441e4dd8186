//! Secrets of key vaults: their values, sealed under the master key, and who may read them.
//!
//! # Rules
//!
//! * Setting a secret makes a new version; a version's value never changes. Deleting one deletes it for good.
//! * Data actions decide, at the secret (`{vault}/secrets/{name}`) or anything above it.
//! * As in Azure, `exp` and `nbf` inform a client that reads a value; but no backup or restore uses a secret outside them.
//! * A value is in no log, no error and no list.

mod uri;

use coffer_azure::ResourceId;
use coffer_azure::key_vault::{
    SecretAttributes, SecretAttributesRequest, SecretBundle, SecretSetParameters,
    SecretUpdateParameters,
};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;
use zeroize::Zeroizing;

use super::{App, Caller};
use crate::clock::SECOND_US;
use crate::db::secret::{self as rows, SecretVersion};
use crate::db::{Paged, role_assignment};
use crate::error::{Error, ErrorKind};
use crate::identity::Identity;

/// Longest value, in bytes, as in Azure.
pub const SECRET_VALUE_BYTES_MAX: usize = 25 * 1024;
/// Longest page of a list, as in Azure.
pub const SECRETS_PAGE_MAX: u32 = 25;
/// Most versions of one secret: enough for one a day over a year.
pub const SECRET_VERSIONS_MAX: i64 = 500;

const GET: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
const SET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";
const UPDATE: &str = "Microsoft.KeyVault/vaults/secrets/update/action";
const DELETE: &str = "Microsoft.KeyVault/vaults/secrets/delete";
const READ_METADATA: &str = "Microsoft.KeyVault/vaults/secrets/readMetadata/action";

/// What a deleted secret leaves: nothing.
const RECOVERY_LEVEL: &str = "Purgeable";

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

impl From<Error> for SecretReadError {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What is kept beside the value. Times are seconds since 1970.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Kept {
    enabled: bool,
    nbf: Option<i64>,
    exp: Option<i64>,
    content_type: Option<String>,
    tags: BTreeMap<String, String>,
}

impl Kept {
    fn of(secret: &SecretVersion) -> Result<Self, Error> {
        serde_json::from_value(secret.body.clone()).map_err(Error::internal)
    }

    fn put_attributes(&mut self, attributes: &SecretAttributesRequest) {
        self.enabled = attributes.enabled.unwrap_or(self.enabled);
        self.nbf = attributes.nbf.or(self.nbf);
        self.exp = attributes.exp.or(self.exp);
    }
}

impl App {
    /// Reads a secret's value afresh, with the rights of a principal (a vault's identity).
    ///
    /// `secret_uri` is `https://{vault}.vault.azure.net/secrets/{name}[/{version}]`, the same under this
    /// installation's own suffix, or `{endpoint}/secrets/{name}[/{version}]` for the default key vault.
    ///
    /// # Errors
    /// [`SecretReadError`] says why not.
    pub async fn secret_read(
        &self,
        principal_id: &str,
        secret_uri: &str,
    ) -> Result<SecretString, SecretReadError> {
        let uri = uri::parse(&self.identity, secret_uri).ok_or(SecretReadError::Malformed)?;
        let vault = uri::find_vault(self.db.read(), &self.identity, uri.vault.as_deref())
            .await?
            .ok_or(SecretReadError::VaultNotFound)?;
        if !self.allows(principal_id, GET, true, &vault.child("secrets", &uri.name)).await? {
            return Err(SecretReadError::Forbidden);
        }
        let secret = rows::get(self.db.read(), &vault, &uri.name, uri.version.as_deref())
            .await?
            .ok_or(SecretReadError::NotFound)?;
        let kept = Kept::of(&secret)?;
        if !kept.enabled {
            return Err(SecretReadError::Disabled);
        }
        let now = self.clock.now_seconds();
        if kept.exp.is_some_and(|exp| now >= exp) || kept.nbf.is_some_and(|nbf| now < nbf) {
            return Err(SecretReadError::Expired);
        }
        Ok(SecretString::from(self.secret_open(&secret)?.as_str()))
    }

    /// The key vault that a request to the data plane is for.
    ///
    /// # Errors
    /// `VaultNotFound`.
    pub async fn secret_vault(&self, vault: Option<&str>) -> Result<ResourceId, Error> {
        uri::find_vault(self.db.read(), &self.identity, vault).await?.ok_or_else(|| {
            Error::not_found(
                "VaultNotFound",
                format!(
                    "There is no key vault '{}' in this installation.",
                    vault.unwrap_or_default()
                ),
            )
        })
    }

    /// Sets a secret: makes a new version of it.
    ///
    /// # Errors
    /// The caller may not; the name or the value is not possible; there are too many versions.
    pub async fn secret_set(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
        request: SecretSetParameters,
    ) -> Result<SecretBundle, Error> {
        self.secret_authorize(caller, SET, vault, Some(name)).await?;
        check_name(name)?;
        let value = Zeroizing::new(request.value);
        if value.len() > SECRET_VALUE_BYTES_MAX {
            return Err(bad_parameter(format!(
                "The secret value has {} bytes; at most {SECRET_VALUE_BYTES_MAX} are allowed.",
                value.len()
            )));
        }
        let mut kept = Kept { enabled: true, ..Kept::default() };
        kept.put_attributes(&request.attributes);
        kept.content_type = request.content_type;
        kept.tags = request.tags.unwrap_or_default();
        let version = Uuid::new_v4().simple().to_string();
        let now_us = self.clock.now_us();
        let mut tx = self.begin(caller).await?;
        let shown = rows::get(&mut *tx, vault, name, None)
            .await?
            .map_or_else(|| name.to_owned(), |old| old.name);
        let secret = SecretVersion {
            vault: vault.key().to_owned(),
            sealed: self.seal(&purpose(vault.key(), name, &version), value.as_bytes())?,
            name: shown,
            version,
            body: serde_json::to_value(&kept).map_err(Error::internal)?,
            created_us: now_us,
            updated_us: now_us,
        };
        if !crate::db::resource_exists(&mut *tx, vault).await? {
            return Err(Error::not_found("VaultNotFound", "The key vault was deleted meanwhile."));
        }
        if rows::insert(&mut tx, &secret).await? > SECRET_VERSIONS_MAX {
            return Err(Error::conflict(
                "TooManyVersions",
                format!(
                    "The secret has {SECRET_VERSIONS_MAX} versions already. Delete it, or use another name."
                ),
            ));
        }
        tx.commit().await?;
        self.shown(vault, &secret, Some(value.as_str()), true)
    }

    /// A secret with its value; the current version when none is named.
    ///
    /// # Errors
    /// The caller may not; `SecretNotFound`; it is disabled.
    pub async fn secret_get(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
        version: Option<&str>,
    ) -> Result<SecretBundle, Error> {
        self.secret_authorize(caller, GET, vault, Some(name)).await?;
        let secret = self.secret_row(vault, name, version).await?;
        if !Kept::of(&secret)?.enabled {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "Forbidden",
                "Operation get is not allowed on a disabled secret.",
            ));
        }
        let value = self.secret_open(&secret)?;
        self.shown(vault, &secret, Some(value.as_str()), true)
    }

    /// Changes a version's attributes.
    ///
    /// # Errors
    /// The caller may not, or `SecretNotFound`.
    pub async fn secret_update(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
        version: Option<&str>,
        request: SecretUpdateParameters,
    ) -> Result<SecretBundle, Error> {
        self.secret_authorize(caller, UPDATE, vault, Some(name)).await?;
        let mut tx = self.begin(caller).await?;
        let found = rows::get(&mut *tx, vault, name, version).await?;
        let mut secret = found.ok_or_else(|| not_found(name, version))?;
        let mut kept = Kept::of(&secret)?;
        kept.put_attributes(&request.attributes);
        kept.content_type = request.content_type.or(kept.content_type);
        kept.tags = request.tags.unwrap_or(kept.tags);
        secret.body = serde_json::to_value(&kept).map_err(Error::internal)?;
        secret.updated_us = self.clock.now_us();
        rows::update(&mut tx, &secret).await?;
        tx.commit().await?;
        self.shown(vault, &secret, None, true)
    }

    /// Deletes a secret with all its versions, for good.
    ///
    /// # Errors
    /// The caller may not, or `SecretNotFound`.
    pub async fn secret_delete(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
    ) -> Result<SecretBundle, Error> {
        self.secret_authorize(caller, DELETE, vault, Some(name)).await?;
        let mut tx = self.begin(caller).await?;
        let found = rows::get(&mut *tx, vault, name, None).await?;
        let secret = found.ok_or_else(|| not_found(name, None))?;
        rows::delete(&mut tx, vault, name).await?;
        role_assignment::delete_within(&mut tx, &vault.child("secrets", name)).await?;
        tx.commit().await?;
        self.shown(vault, &secret, None, true)
    }

    /// The secrets of a key vault without their values, by name. `after` is where the last page ended.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn secret_list(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        after: &str,
        rows_max: u32,
    ) -> Result<Paged<SecretBundle>, Error> {
        self.secret_authorize(caller, READ_METADATA, vault, None).await?;
        let found = rows::list(self.db.read(), vault, after, page_rows(rows_max)).await?;
        self.shown_page(vault, found, false)
    }

    /// The versions of one secret without their values.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn secret_versions(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
        after: &str,
        rows_max: u32,
    ) -> Result<Paged<SecretBundle>, Error> {
        self.secret_authorize(caller, READ_METADATA, vault, Some(name)).await?;
        let found =
            rows::list_versions(self.db.read(), vault, name, after, page_rows(rows_max)).await?;
        self.shown_page(vault, found, true)
    }

    /// Refuses in a key vault's words unless the caller may do the data action at the vault or secret.
    pub(crate) async fn secret_authorize(
        &self,
        caller: &Caller,
        action: &str,
        vault: &ResourceId,
        name: Option<&str>,
    ) -> Result<(), Error> {
        let scope = name.map_or_else(|| vault.clone(), |name| vault.child("secrets", name));
        if self.allows(&caller.principal_id, action, true, &scope).await? {
            caller.trail.allowed(action, scope.as_str());
            return Ok(());
        }
        caller.trail.refused(action, scope.as_str());
        Err(Error::new(
            ErrorKind::Forbidden,
            "Forbidden",
            format!(
                "Caller is not authorized to perform action on resource. If role assignments were changed recently, please \
                 observe propagation time. Caller: appid={};oid={} Action: '{action}' Resource: '{scope}'",
                caller.application_id, caller.principal_id
            ),
        ))
    }

    async fn secret_row(
        &self,
        vault: &ResourceId,
        name: &str,
        version: Option<&str>,
    ) -> Result<SecretVersion, Error> {
        rows::get(self.db.read(), vault, name, version)
            .await?
            .ok_or_else(|| not_found(name, version))
    }

    fn secret_open(&self, secret: &SecretVersion) -> Result<Zeroizing<String>, Error> {
        let plain =
            self.unseal(&purpose(&secret.vault, &secret.name, &secret.version), &secret.sealed)?;
        std::str::from_utf8(&plain)
            .map(|text| Zeroizing::new(text.to_owned()))
            .map_err(Error::internal)
    }

    fn shown_page(
        &self,
        vault: &ResourceId,
        found: Paged<SecretVersion>,
        with_version: bool,
    ) -> Result<Paged<SecretBundle>, Error> {
        let items = found.items.iter().map(|secret| self.shown(vault, secret, None, with_version));
        Ok(Paged { items: items.collect::<Result<_, _>>()?, next: found.next })
    }

    fn shown(
        &self,
        vault: &ResourceId,
        secret: &SecretVersion,
        value: Option<&str>,
        with_version: bool,
    ) -> Result<SecretBundle, Error> {
        let kept = Kept::of(secret)?;
        let mut id = format!("{}/secrets/{}", self.key_vault_base(vault), secret.name);
        if with_version {
            id.push('/');
            id.push_str(&secret.version);
        }
        Ok(SecretBundle {
            value: value.map(str::to_owned),
            content_type: kept.content_type,
            id,
            attributes: SecretAttributes {
                enabled: kept.enabled,
                nbf: kept.nbf,
                exp: kept.exp,
                created: secret.created_us / SECOND_US,
                updated: secret.updated_us / SECOND_US,
                recovery_level: RECOVERY_LEVEL.to_owned(),
            },
            tags: kept.tags,
        })
    }
}

/// Whether a text has the form of a secret's URI that [`App::secret_read`] takes.
pub(super) fn is_secret_uri(identity: &Identity, text: &str) -> bool {
    uri::parse(identity, text).is_some()
}

fn page_rows(asked: u32) -> u32 {
    if asked == 0 { SECRETS_PAGE_MAX } else { asked.min(SECRETS_PAGE_MAX) }
}

/// What a value is sealed for: it opens nowhere else in the database.
fn purpose(vault_key: &str, name: &str, version: &str) -> String {
    format!("secrets/{vault_key}/{}/{version}", name.to_lowercase())
}

fn check_name(name: &str) -> Result<(), Error> {
    if uri::is_name(name) {
        return Ok(());
    }
    Err(bad_parameter(format!(
        "The request URI contains an invalid name: {name}. A secret's name has 1 to 127 letters, digits and hyphens."
    )))
}

fn bad_parameter(message: String) -> Error {
    Error::invalid("BadParameter", message)
}

/// A key vault's answer for a secret that does not exist.
fn not_found(name: &str, version: Option<&str>) -> Error {
    let id = version.map_or_else(|| name.to_owned(), |version| format!("{name}/{version}"));
    Error::not_found(
        "SecretNotFound",
        format!("A secret with (name/id) {id} was not found in this key vault."),
    )
}
