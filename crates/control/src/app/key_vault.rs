//! Key vaults: places for secrets, access to which is decided by roles alone.
//!
//! A vault's name is unique in the installation, because it is part of an address. The default vault exists from the
//! first start, is served on the endpoint's own host, and stays.

use coffer_azure::ResourceId;
use coffer_azure::key_vault::{
    VaultCreateOrUpdateParameters, VaultProperties, VaultResource, VaultSku,
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

impl App {
    /// Makes or changes a key vault. True beside it when it is new.
    ///
    /// # Errors
    /// The caller may not; the name is not possible or taken; access policies were asked for.
    pub async fn key_vault_put(
        &self,
        caller: &Caller,
        id: &ResourceId,
        request: VaultCreateOrUpdateParameters,
    ) -> Result<(VaultResource, bool), Error> {
        self.authorize(caller, "Microsoft.KeyVault/vaults/write", id).await?;
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
        let sku = request.properties.sku;
        let sku_part = |part: fn(&VaultSku) -> Option<&String>, or: &str| {
            sku.as_ref().and_then(part).map_or_else(|| or.to_owned(), Clone::clone)
        };
        let properties = json!({
            "tenantId": self.identity.tenant_id,
            "skuName": sku_part(|sku| sku.name.as_ref(), "standard"),
            "skuFamily": sku_part(|sku| sku.family.as_ref(), "A"),
        });
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
    /// The caller may not, or it is the default key vault.
    pub async fn key_vault_delete(&self, caller: &Caller, id: &ResourceId) -> Result<bool, Error> {
        self.authorize(caller, "Microsoft.KeyVault/vaults/delete", id).await?;
        if *id == default_key_vault_id(&self.identity.default_subscription_id) {
            return Err(Error::conflict(
                "DefaultVaultInUse",
                "The default key vault is served on the endpoint's own host and can't be deleted. Delete its secrets instead.",
            ));
        }
        let mut tx = self.begin(caller).await?;
        db::secret::delete_vault(&mut tx, id).await?;
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
