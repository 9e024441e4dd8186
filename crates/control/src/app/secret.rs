//! Secrets of key vaults: their values, sealed under the master key, and who may read them.
//!
//! # Rules
//!
//! * Setting a secret makes a new version; a version's value never changes.
//! * A deleted secret can be recovered until its key vault's time is over, and blocks its name so long ([`deleted`]).
//! * Data actions decide, at the secret (`{vault}/secrets/{name}`) or anything above it.
//! * As in Azure, `exp` and `nbf` inform a client that reads a value; but no backup or restore uses a secret outside them.
//! * A value is in no log, no error and no list.

pub(crate) mod azure;
mod deleted;
mod read;
mod uri;

use coffer_azure::ResourceId;
use coffer_azure::key_vault::{
    SecretAttributes, SecretAttributesRequest, SecretBundle, SecretSetParameters,
    SecretUpdateParameters,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::read::SecretReadError;
use super::key_vault::KeyVaultRecovery;
use super::{App, Caller};
use crate::audit::readings::READ_SECRET;
use crate::clock::SECOND_US;
use crate::db::secret::{self as rows, SecretVersion};
use crate::db::{self, Paged, deleted_secret};
use crate::error::{Error, ErrorKind, InnerError};

/// Longest value, in bytes, as in Azure.
pub const SECRET_VALUE_BYTES_MAX: usize = 25 * 1024;
/// Longest page of a list, as in Azure.
pub const SECRETS_PAGE_MAX: u32 = 25;
/// Most versions of one secret: enough for one a day over a year.
pub const SECRET_VERSIONS_MAX: i64 = 500;

const GET: &str = READ_SECRET;
const SET: &str = "Microsoft.KeyVault/vaults/secrets/setSecret/action";
const UPDATE: &str = "Microsoft.KeyVault/vaults/secrets/update/action";
const READ_METADATA: &str = "Microsoft.KeyVault/vaults/secrets/readMetadata/action";

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
    /// The key vault that a request to the data plane is for. Where none has the name, an id in no subscription, at which only who
    /// may do the action at every key vault may do it: [`secret_authorize`](Self::secret_authorize) tells nobody else that
    /// there is none.
    ///
    /// # Errors
    /// The database fails.
    pub async fn secret_vault(&self, vault: Option<&str>) -> Result<ResourceId, Error> {
        let found = uri::find_vault(self.db.read(), &self.identity, vault).await?;
        Ok(found.unwrap_or_else(|| {
            let name = vault.unwrap_or_default();
            ResourceId::root().provider_child("Microsoft.KeyVault", "vaults", name)
        }))
    }

    /// Sets a secret: makes a new version of it.
    ///
    /// # Errors
    /// The caller may not; the body is not one; the name or the value is not possible; a deleted secret has the name; there are
    /// too many versions.
    pub async fn secret_set(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
        body: impl FnOnce() -> Result<SecretSetParameters, Error>,
    ) -> Result<SecretBundle, Error> {
        self.secret_authorize(caller, SET, vault, Some(name)).await?;
        let request = body()?;
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
        let recovery = self.secret_recovery(&mut *tx, vault).await?;
        if deleted_secret::get(&mut *tx, vault, name).await?.is_some() {
            return Err(name_is_deleted(name));
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
        self.shown(vault, recovery, &secret, Some(value.as_str()), true)
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
            )
            .with_inner(InnerError {
                code: "SecretDisabled".to_owned(),
                detail: None,
                embedded: None,
            }));
        }
        let value = self.secret_open(&secret)?;
        let recovery = self.secret_recovery(self.db.read(), vault).await?;
        self.shown(vault, recovery, &secret, Some(value.as_str()), true)
    }

    /// Changes a version's attributes.
    ///
    /// # Errors
    /// The caller may not, the body is not one, or `SecretNotFound`.
    pub async fn secret_update(
        &self,
        caller: &Caller,
        vault: &ResourceId,
        name: &str,
        version: Option<&str>,
        body: impl FnOnce() -> Result<SecretUpdateParameters, Error>,
    ) -> Result<SecretBundle, Error> {
        self.secret_authorize(caller, UPDATE, vault, Some(name)).await?;
        let request = body()?;
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
        let recovery = self.secret_recovery(&mut *tx, vault).await?;
        tx.commit().await?;
        self.shown(vault, recovery, &secret, None, true)
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
        self.shown_page(vault, found, false).await
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
        self.shown_page(vault, found, true).await
    }

    /// Refuses in a key vault's words unless the caller may do the data action at the vault or secret. A key vault is named by its
    /// address alone, so that the refusal is the same whether there is one or not.
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
            if vault.subscription_id().is_none() {
                return Err(Error::not_found(
                    "VaultNotFound",
                    format!("There is no key vault '{}' in this installation.", vault.name()),
                ));
            }
            return Ok(());
        }
        caller.trail.refused(action, scope.as_str());
        let mut address = format!("{}/secrets", self.key_vault_base(vault));
        if let Some(name) = name {
            address = format!("{address}/{name}");
        }
        Err(Error::new(
            ErrorKind::Forbidden,
            "Forbidden",
            format!(
                "Caller is not authorized to perform action on resource. If role assignments were changed recently, please \
                 observe propagation time. Caller: appid={};oid={} Action: '{action}' Resource: '{address}'",
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

    /// What a key vault does with what is deleted.
    async fn secret_recovery<'e>(
        &self,
        executor: impl db::Executor<'e>,
        vault: &ResourceId,
    ) -> Result<KeyVaultRecovery, Error> {
        let resource = db::resource_get(executor, vault).await?;
        resource.as_ref().map(KeyVaultRecovery::of).ok_or_else(|| {
            Error::not_found("VaultNotFound", "The key vault was deleted meanwhile.")
        })
    }

    async fn shown_page(
        &self,
        vault: &ResourceId,
        found: Paged<SecretVersion>,
        with_version: bool,
    ) -> Result<Paged<SecretBundle>, Error> {
        let recovery = self.secret_recovery(self.db.read(), vault).await?;
        let items = found
            .items
            .iter()
            .map(|secret| self.shown(vault, recovery, secret, None, with_version));
        Ok(Paged { items: items.collect::<Result<_, _>>()?, next: found.next })
    }

    fn shown(
        &self,
        vault: &ResourceId,
        recovery: KeyVaultRecovery,
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
                recovery_level: recovery.level(),
                recoverable_days: recovery.days,
            },
            tags: kept.tags,
        })
    }
}

/// Whether a text has the form of a secret's URI that [`App::secret_read`] takes.
pub(super) fn is_secret_uri(app: &App, text: &str) -> bool {
    uri::parse(app, text).is_some()
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
        format!(
            "A secret with (name/id) {id} was not found in this key vault. If you recently deleted this secret you may be able to \
             recover it using the correct recovery command. For help resolving this issue, please see \
             https://go.microsoft.com/fwlink/?linkid=2125182"
        ),
    )
}

/// A key vault's answer for a name that a deleted secret blocks.
fn name_is_deleted(name: &str) -> Error {
    Error::conflict(
        "Conflict",
        format!(
            "Secret {name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the \
             secret can only be recovered or purged."
        ),
    )
    .with_inner(InnerError {
        code: "ObjectIsDeletedButRecoverable".to_owned(),
        detail: None,
        embedded: None,
    })
}
