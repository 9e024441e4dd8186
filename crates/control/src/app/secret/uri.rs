//! Which key vault and secret a URI names.

use coffer_azure::ResourceId;
use url::Url;

use super::azure::AzurePlace;
use crate::app::App;
use crate::db::{Executor, resource_exists, resource_find_by_name};
use crate::error::Error;
use crate::identity::Identity;
use crate::identity::bootstrap::default_key_vault_id;

/// What key vaults of Azure itself are named by: the registered vault of that name is meant.
const AZURE_SUFFIX: &str = "vault.azure.net";

/// A secret's URI, taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SecretUri {
    /// The key vault's name; none for the default one.
    pub(super) vault: Option<String>,
    pub(super) name: String,
    pub(super) version: Option<String>,
    /// Where it is, when the operator has configured its host as one of Azure's own key vaults.
    pub(super) azure: Option<AzurePlace>,
}

/// Reads `https://{vault}.vault.azure.net/secrets/{name}[/{version}]`, the same under the installation's own suffix, or
/// `{endpoint}/secrets/{name}[/{version}]`. None when it is nothing of the kind.
///
/// A host that is configured as one of Azure's goes before all of these.
pub(super) fn parse(app: &App, text: &str) -> Option<SecretUri> {
    let identity = &app.identity;
    let url = Url::parse(text.trim()).ok()?;
    if url.scheme() != "https"
        || !url.username().is_empty()
        || url.password().is_some()
        || url.fragment().is_some()
    {
        return None;
    }
    let segments: Vec<&str> = url.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let (name, version) = match segments.as_slice() {
        [secrets, name] if secrets.eq_ignore_ascii_case("secrets") => (*name, None),
        [secrets, name, version] if secrets.eq_ignore_ascii_case("secrets") => {
            (*name, Some(*version))
        }
        _ => return None,
    };
    if !is_name(name) || version.is_some_and(|version| !is_name(version)) {
        return None;
    }
    let host = url.host_str()?.to_lowercase();
    let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
    let found = |vault: Option<&str>| SecretUri {
        vault: vault.map(str::to_owned),
        name: name.to_owned(),
        version: version.map(str::to_owned),
        azure: None,
    };
    if let Some(scope) = app.azure_key_vaults.as_ref().and_then(|azure| azure.scope_of(&host)) {
        let mut secret = found(host.split('.').next());
        secret.azure = Some(AzurePlace { authority, scope: scope.clone() });
        return Some(secret);
    }
    let of_suffix = |authority: &str, suffix: &str| -> Option<String> {
        let vault = authority.strip_suffix(suffix)?.strip_suffix('.')?;
        (!vault.is_empty() && !vault.contains('.')).then(|| vault.to_owned())
    };
    // Nothing is fetched from there, the name is all that counts: the port may be that of an earlier start.
    let own_suffix = identity.vault_authority.split(':').next().unwrap_or_default().to_lowercase();
    if let Some(vault) =
        of_suffix(&authority, AZURE_SUFFIX).or_else(|| of_suffix(&host, &own_suffix))
    {
        return Some(found(Some(&vault)));
    }
    let own = std::iter::once(&identity.endpoint).chain(&identity.endpoint_aliases);
    own.into_iter()
        .any(|endpoint| {
            Url::parse(endpoint).is_ok_and(|endpoint| endpoint.origin() == url.origin())
        })
        .then(|| found(None))
}

/// Whether a text can be a secret's name or version.
pub(super) fn is_name(text: &str) -> bool {
    (1..=127).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// The registered key vault of a name, or the default one.
///
/// # Errors
/// The database fails.
pub(super) async fn find_vault<'e>(
    executor: impl Executor<'e>,
    identity: &Identity,
    vault: Option<&str>,
) -> Result<Option<ResourceId>, Error> {
    match vault {
        None => {
            let id = default_key_vault_id(&identity.default_subscription_id);
            Ok(resource_exists(executor, &id).await?.then_some(id))
        }
        Some(name) => {
            let same = resource_find_by_name(executor, crate::app::key_vault::KEY_VAULT_KIND, name)
                .await?;
            Ok(same.into_iter().next().map(|vault| vault.id))
        }
    }
}
