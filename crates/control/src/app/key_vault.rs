//! Key vaults: places for secrets, access to which is decided by roles alone.
//!
//! A vault's name is unique in the installation, because it is part of an address. The default vault exists from the
//! first start, is served on the endpoint's own host, and stays.

use coffer_azure::ResourceId;
use coffer_azure::key_vault::{
    VaultCreateOrUpdateParameters, VaultProperties, VaultRequest, VaultResource, VaultSku,
};
use serde_json::{Value, json};

use super::registration::{self, Wanted, property, text};
use super::{App, Caller};
use crate::db::{self, Page, Paged, Resource};
use crate::error::Error;
use crate::identity::bootstrap::default_key_vault_id;

/// The type of a key vault.
pub const KEY_VAULT_TYPE: &str = "Microsoft.KeyVault/vaults";
/// Kind of a key vault's row.
pub const KEY_VAULT_KIND: &str = "microsoft.keyvault/vaults";

const NAME_CHARS: std::ops::RangeInclusive<usize> = 3..=24;

/// What a new key vault's row holds when nothing was asked for.
pub fn new_body(location: &str, tenant_id: &str) -> Value {
    json!({ "location": location, "properties": { "tenantId": tenant_id, "skuName": "standard", "skuFamily": "A" } })
}

/// Days for which a deleted secret can be recovered, when nothing else was asked for.
const RETENTION_DAYS: i64 = 90;
const RETENTION_DAYS_POSSIBLE: std::ops::RangeInclusive<i64> = 7..=90;

/// What a key vault does with a secret that is deleted. It is always recoverable; only for how long and whether somebody may end
/// that time early can be chosen, each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KeyVaultRecovery {
    /// For how many days it can be recovered.
    pub(super) days: i64,
    /// Nobody may end that time early.
    pub(super) protected: bool,
}

impl KeyVaultRecovery {
    /// As the key vault's row says.
    pub(super) fn of(resource: &Resource) -> Self {
        let properties = &resource.body["properties"];
        Self {
            days: properties["softDeleteRetentionInDays"].as_i64().unwrap_or(RETENTION_DAYS),
            protected: properties["enablePurgeProtection"].as_bool().unwrap_or(false),
        }
    }

    /// `recoveryLevel` of a secret.
    pub(super) fn level(self) -> String {
        let custom = if self.days < RETENTION_DAYS { "Customized" } else { "" };
        let purgeable = if self.protected { "" } else { "+Purgeable" };
        format!("{custom}Recoverable{purgeable}")
    }

    /// What a request makes of it.
    fn changed(existing: Option<Self>, request: &VaultRequest) -> Result<Self, Error> {
        let refused = |property: &str, message: String| {
            Err(Error::invalid("BadRequest", message).with_target(format!("properties.{property}")))
        };
        if request.enable_soft_delete == Some(false) {
            return refused(
                "enableSoftDelete",
                "The property \"enableSoftDelete\" cannot be set to false. Enabling the 'soft delete' functionality is an \
                 irreversible action."
                    .to_owned(),
            );
        }
        let days = request.soft_delete_retention_in_days;
        if let Some(days) = days.filter(|days| !RETENTION_DAYS_POSSIBLE.contains(days)) {
            return refused(
                "softDeleteRetentionInDays",
                format!(
                    "The property \"softDeleteRetentionInDays\" is {days}; it has to be between {} and {}.",
                    RETENTION_DAYS_POSSIBLE.start(),
                    RETENTION_DAYS_POSSIBLE.end()
                ),
            );
        }
        let Some(existing) = existing else {
            return Ok(Self {
                days: days.unwrap_or(RETENTION_DAYS),
                protected: request.enable_purge_protection.unwrap_or(false),
            });
        };
        if days.is_some_and(|days| days != existing.days) {
            return refused(
                "softDeleteRetentionInDays",
                "The property \"softDeleteRetentionInDays\" has been set already and it can't be modified."
                    .to_owned(),
            );
        }
        if existing.protected && request.enable_purge_protection == Some(false) {
            return refused(
                "enablePurgeProtection",
                "The property \"enablePurgeProtection\" cannot be set to false. Enabling the purge protection for a vault is an \
                 irreversible action."
                    .to_owned(),
            );
        }
        Ok(Self {
            days: existing.days,
            protected: existing.protected || request.enable_purge_protection == Some(true),
        })
    }
}

impl App {
    /// Makes or changes a key vault. True beside it when it is new.
    ///
    /// # Errors
    /// The caller may not; the body is not one; the name is not possible or taken; access policies, or less protection of what is
    /// deleted, were asked for.
    pub async fn key_vault_put(
        &self,
        caller: &Caller,
        id: &ResourceId,
        body: impl FnOnce() -> Result<VaultCreateOrUpdateParameters, Error>,
    ) -> Result<(VaultResource, bool), Error> {
        self.authorize(caller, "Microsoft.KeyVault/vaults/write", id).await?;
        let request = body()?;
        check_name(id.name())?;
        if request.properties.access_policies.as_ref().is_some_and(|policies| !policies.is_empty())
        {
            return Err(Error::invalid(
                "AccessPoliciesNotSupported",
                "Access policies are not supported: access to this key vault is decided by role assignments. Send an empty \
                 accessPolicies and assign Key Vault Secrets User or Key Vault Secrets Officer at the key vault.",
            )
            .with_target("properties.accessPolicies"));
        }
        let sku = request.properties.sku.as_ref();
        let sku_part = |part: fn(&VaultSku) -> Option<&String>, or: &str| {
            sku.and_then(part).map_or_else(|| or.to_owned(), Clone::clone)
        };
        let mut tx = self.begin(caller).await?;
        if registration::name_is_taken(&mut tx, id, KEY_VAULT_TYPE).await? {
            return Err(Error::conflict(
                "VaultAlreadyExists",
                format!(
                    "The vault name '{}' is already in use. Vault names are unique in this installation; choose another one.",
                    id.name()
                ),
            ));
        }
        let existing = db::resource_get(&mut *tx, id).await?;
        let recovery = existing.as_ref().map(KeyVaultRecovery::of);
        let recovery = KeyVaultRecovery::changed(recovery, &request.properties)?;
        let properties = json!({
            "tenantId": self.identity.tenant_id,
            "skuName": sku_part(|sku| sku.name.as_ref(), "standard"),
            "skuFamily": sku_part(|sku| sku.family.as_ref(), "A"),
            "softDeleteRetentionInDays": recovery.days,
            "enablePurgeProtection": recovery.protected,
        });
        let wanted = Wanted { location: request.location, tags: request.tags, properties };
        let (resource, new) = registration::put(&mut tx, id, wanted, self.clock.now_us()).await?;
        tx.commit().await?;
        Ok((self.key_vault_shown(&resource), new))
    }

    /// One key vault.
    ///
    /// # Errors
    /// The caller may not, or there is none.
    pub async fn key_vault_get(
        &self,
        caller: &Caller,
        id: &ResourceId,
    ) -> Result<VaultResource, Error> {
        let resource = registration::get(self, caller, id, KEY_VAULT_TYPE).await?;
        Ok(self.key_vault_shown(&resource))
    }

    /// The key vaults in a group or a subscription.
    ///
    /// # Errors
    /// The caller may not, or there is no such group or subscription.
    pub async fn key_vault_list(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        page: &Page,
    ) -> Result<Paged<VaultResource>, Error> {
        let found = registration::list(self, caller, scope, KEY_VAULT_TYPE, page).await?;
        Ok(Paged {
            items: found.items.iter().map(|vault| self.key_vault_shown(vault)).collect(),
            next: found.next,
        })
    }

    /// Deletes a key vault with all its secrets, for good. False when there was none.
    ///
    /// # Errors
    /// The caller may not, or it is the default key vault, or its purge protection holds a secret.
    pub async fn key_vault_delete(&self, caller: &Caller, id: &ResourceId) -> Result<bool, Error> {
        self.authorize(caller, "Microsoft.KeyVault/vaults/delete", id).await?;
        if *id == default_key_vault_id(&self.identity.default_subscription_id) {
            return Err(Error::conflict(
                "DefaultVaultInUse",
                "The default key vault is served on the endpoint's own host and can't be deleted. Delete its secrets instead.",
            ));
        }
        let mut tx = self.begin(caller).await?;
        // The vault itself is not recoverable, so its deletion would be the purge that was ruled out.
        if db::resource_get(&mut *tx, id)
            .await?
            .is_some_and(|vault| KeyVaultRecovery::of(&vault).protected)
            && db::deleted_secret::vault_holds_any(&mut *tx, id).await?
        {
            return Err(Error::conflict(
                "Conflict",
                format!(
                    "The vault '{}' has purge protection and can't be deleted while it holds secrets, deleted ones included. Delete \
                     the secrets; they are purged after the retention period.",
                    id.name()
                ),
            ));
        }
        db::secret::purge_vault(&mut tx, id).await?;
        let existed = registration::delete(&mut tx, id).await?;
        tx.commit().await?;
        Ok(existed)
    }

    /// Where a key vault's secrets are, without a trailing slash.
    pub(crate) fn key_vault_base(&self, id: &ResourceId) -> String {
        if *id == default_key_vault_id(&self.identity.default_subscription_id) {
            self.endpoint().to_owned()
        } else {
            format!("https://{}.{}", id.name().to_lowercase(), self.identity.vault_authority)
        }
    }

    fn key_vault_shown(&self, resource: &Resource) -> VaultResource {
        let recovery = KeyVaultRecovery::of(resource);
        VaultResource {
            id: resource.id.to_string(),
            name: resource.id.name().to_owned(),
            kind: KEY_VAULT_TYPE.to_owned(),
            location: text(resource, "location").to_owned(),
            tags: registration::tags(resource).unwrap_or_default(),
            properties: VaultProperties {
                sku: VaultSku {
                    family: property(resource, "skuFamily").map(str::to_owned),
                    name: property(resource, "skuName").map(str::to_owned),
                },
                tenant_id: self.identity.tenant_id.clone(),
                access_policies: Vec::new(),
                enable_rbac_authorization: true,
                enable_soft_delete: true,
                soft_delete_retention_in_days: recovery.days,
                enable_purge_protection: recovery.protected.then_some(true),
                vault_uri: format!("{}/", self.key_vault_base(&resource.id)),
                provisioning_state: "Succeeded".to_owned(),
            },
        }
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let possible = NAME_CHARS.contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && !name.ends_with('-')
        && !name.contains("--");
    if possible {
        return Ok(());
    }
    Err(Error::invalid(
        "VaultNameNotValid",
        format!(
            "The vault name '{name}' is invalid. A vault's name must be between 3-24 alphanumeric characters. The name must \
             begin with a letter, end with a letter or digit, and not contain consecutive hyphens."
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::check_name;

    #[test]
    fn names_can_be_part_of_a_host() {
        for name in ["abc", "a-b", "A1b", "abcdefghijklmnopqrstuvwx"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
        for name in
            ["", "ab", "1bc", "a--b", "ab-", "a.b", "a_b", "äbc", "abcdefghijklmnopqrstuvwxy"]
        {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
