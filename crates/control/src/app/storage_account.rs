//! Registered restore targets: which directory stands behind a storage account's name.
//!
//! # Rules
//!
//! * An account's name is unique in the installation, because it is part of an address.
//! * Only what the operator allowed (`restore.allowed_directories`) can be registered. Symbolic links are resolved before
//!   the comparison, and everything is compared again at every use, so that a link made later leads nowhere else.

mod directory;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use coffer_azure::ResourceId;
use coffer_azure::storage_account::{
    StorageAccountCreateParameters, StorageAccountProperties, StorageAccountResource,
    StorageEndpoints,
};
use serde_json::json;
use url::Url;

use super::registration::{self, Wanted, property, text};
use super::{App, Caller};
use crate::db::{Page, Paged, Resource, resource_find_by_name};
use crate::error::Error;

/// The type of a storage account.
pub const STORAGE_ACCOUNT_TYPE: &str = "Microsoft.Storage/storageAccounts";
const STORAGE_ACCOUNT_KIND: &str = "microsoft.storage/storageaccounts";

/// What follows an account's name in the address of its containers.
const BLOB_SUFFIX: &str = ".blob.core.windows.net";

const ACCOUNT_CHARS: std::ops::RangeInclusive<usize> = 3..=24;
const CONTAINER_CHARS: std::ops::RangeInclusive<usize> = 3..=63;

/// Where the files of a restore go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreTarget {
    /// The storage account, whose roles decide who may write.
    pub account_id: ResourceId,
    /// The container: a directory inside what the operator allowed, not necessarily there yet.
    pub directory: PathBuf,
}

impl App {
    /// Registers a restore target. True beside it when it is new.
    ///
    /// # Errors
    /// The caller may not; the body is not one; the name is not possible or taken; the backing store is absent or not allowed.
    pub async fn storage_account_put(
        &self,
        caller: &Caller,
        id: &ResourceId,
        body: impl FnOnce() -> Result<StorageAccountCreateParameters, Error>,
    ) -> Result<(StorageAccountResource, bool), Error> {
        self.authorize(caller, "Microsoft.Storage/storageAccounts/write", id).await?;
        let request = body()?;
        check_name(id.name())?;
        let backing_store = request.properties.backing_store.unwrap_or_default();
        self.backing_directory(&backing_store)
            .await
            .map_err(|error| error.with_target("properties.backingStore"))?;
        let properties =
            json!({ "backingStore": backing_store, "sku": request.sku, "kind": request.kind });
        let mut tx = self.begin(caller).await?;
        if registration::name_is_taken(&mut tx, id, STORAGE_ACCOUNT_TYPE).await? {
            return Err(Error::conflict(
                "StorageAccountAlreadyTaken",
                format!("The storage account named {} is already taken.", id.name()),
            ));
        }
        let wanted = Wanted { location: request.location, tags: request.tags, properties };
        let (resource, new) = registration::put(&mut tx, id, wanted, self.clock.now_us()).await?;
        tx.commit().await?;
        Ok((shown(&resource), new))
    }

    /// One restore target.
    ///
    /// # Errors
    /// The caller may not, or there is none.
    pub async fn storage_account_get(
        &self,
        caller: &Caller,
        id: &ResourceId,
    ) -> Result<StorageAccountResource, Error> {
        Ok(shown(&registration::get(self, caller, id, STORAGE_ACCOUNT_TYPE).await?))
    }

    /// The restore targets in a group or a subscription.
    ///
    /// # Errors
    /// The caller may not, or there is no such group or subscription.
    pub async fn storage_account_list(
        &self,
        caller: &Caller,
        scope: &ResourceId,
        page: &Page,
    ) -> Result<Paged<StorageAccountResource>, Error> {
        let found = registration::list(self, caller, scope, STORAGE_ACCOUNT_TYPE, page).await?;
        Ok(Paged { items: found.items.iter().map(shown).collect(), next: found.next })
    }

    /// Forgets a restore target; its files stay. False when there was none.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn storage_account_delete(
        &self,
        caller: &Caller,
        id: &ResourceId,
    ) -> Result<bool, Error> {
        self.authorize(caller, "Microsoft.Storage/storageAccounts/delete", id).await?;
        let mut tx = self.begin(caller).await?;
        let existed = registration::delete(&mut tx, id).await?;
        tx.commit().await?;
        Ok(existed)
    }

    /// What `https://{account}.blob.core.windows.net/{container}` stands for.
    ///
    /// # Errors
    /// [`Invalid`](crate::ErrorKind::Invalid) when the URL is not of that form, or the account's location is not
    /// allowed any more; [`NotFound`](crate::ErrorKind::NotFound) when no account of that name is registered.
    pub async fn restore_target_resolve(&self, url: &str) -> Result<RestoreTarget, Error> {
        let (account, container) = parse_container_url(url).ok_or_else(|| {
            Error::invalid(
                "InvalidContainerUrl",
                format!("'{url}' is not the URL of a container, as https://{{account}}{BLOB_SUFFIX}/{{container}}."),
            )
            .with_target("targetDetails.url")
        })?;
        let same = resource_find_by_name(self.db.read(), STORAGE_ACCOUNT_KIND, &account).await?;
        let resource = same.into_iter().next().ok_or_else(|| {
            Error::not_found(
                "StorageAccountNotFound",
                format!("The storage account '{account}' is not registered. Register it with its properties.backingStore."),
            )
        })?;
        let backing =
            self.backing_directory(property(&resource, "backingStore").unwrap_or_default()).await?;
        let directory = self.allowed_directory(backing.join(container)).await?;
        Ok(RestoreTarget { account_id: resource.id, directory })
    }

    /// The directory that a backing store's URL names, when it is allowed.
    async fn backing_directory(&self, backing_store: &str) -> Result<PathBuf, Error> {
        let directory = directory::of_url(backing_store).map_err(|why| not_allowed(&why))?;
        self.allowed_directory(directory).await
    }

    async fn allowed_directory(&self, directory: PathBuf) -> Result<PathBuf, Error> {
        let allowed = self.config.restore_allowed_directories.clone();
        // The file system may be slow; it isn't asked on the threads that serve requests.
        tokio::task::spawn_blocking(move || directory::within(&directory, &allowed))
            .await
            .map_err(Error::internal)?
            .map_err(|why| not_allowed(&why))
    }
}

fn not_allowed(why: &str) -> Error {
    Error::invalid("BackingStoreNotAllowed", format!("The backing store can't be used: {why}."))
}

fn check_name(name: &str) -> Result<(), Error> {
    if is_account_name(name) {
        return Ok(());
    }
    Err(Error::invalid(
        "AccountNameInvalid",
        format!(
            "{name} is not a valid storage account name. Storage account name must be between 3 and 24 characters in length \
             and use numbers and lower-case letters only."
        ),
    ))
}

fn is_account_name(name: &str) -> bool {
    ACCOUNT_CHARS.contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

/// Letters, digits and single hyphens between them: also what keeps a container from leaving its account.
fn is_container_name(name: &str) -> bool {
    CONTAINER_CHARS.contains(&name.len())
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
        && !name.starts_with('-')
        && !name.ends_with('-')
        && !name.contains("--")
}

/// Account and container of `https://{account}.blob.core.windows.net/{container}`.
fn parse_container_url(text: &str) -> Option<(String, String)> {
    let url = Url::parse(text.trim()).ok()?;
    if url.scheme() != "https"
        || !url.username().is_empty()
        || url.password().is_some()
        || url.port().is_some()
    {
        return None;
    }
    let account = url.host_str()?.strip_suffix(BLOB_SUFFIX)?.to_owned();
    let mut segments = url.path().split('/').filter(|segment| !segment.is_empty());
    let container = segments.next()?.to_owned();
    (segments.next().is_none() && is_account_name(&account) && is_container_name(&container))
        .then_some((account, container))
}

fn shown(resource: &Resource) -> StorageAccountResource {
    let sku = &resource.body["properties"]["sku"];
    StorageAccountResource {
        sku: (!sku.is_null()).then(|| sku.clone()),
        kind: property(resource, "kind").map(str::to_owned),
        id: resource.id.to_string(),
        name: resource.id.name().to_owned(),
        resource_type: STORAGE_ACCOUNT_TYPE.to_owned(),
        location: text(resource, "location").to_owned(),
        tags: registration::tags(resource).unwrap_or_default(),
        properties: StorageAccountProperties {
            backing_store: property(resource, "backingStore").unwrap_or_default().to_owned(),
            primary_endpoints: StorageEndpoints {
                blob: format!("https://{}{BLOB_SUFFIX}/", resource.id.name().to_lowercase()),
            },
            provisioning_state: "Succeeded".to_owned(),
        },
    }
}
