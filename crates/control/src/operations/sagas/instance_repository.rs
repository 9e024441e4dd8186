//! From a vault and an instance to their bytes: storage location, keyring, repository.

use std::sync::Arc;

use coffer_azure::ResourceId;
use coffer_store::{
    Error as StoreError, Lease, LeasePurpose, ObjectLock, ObjectStore, Repository, VaultKeyring,
};
use serde_json::Value;
use uuid::Uuid;

use crate::app::dataprotection::errors;
use crate::app::dataprotection::state::{InstanceState, VaultState, read_state};
use crate::app::dataprotection::vault_security::Immutability;
use crate::app::{App, user_facing_error};
use crate::db::{self, Resource};
use crate::error::Error;
use crate::lease::{LEASE_PATIENCE, LeaseClaim, acquire};
use crate::operations::Failure;

/// Where a vault keeps its bytes, and as whom it acts.
pub(super) struct VaultStorage {
    pub(super) store: Arc<dyn ObjectStore>,
    /// Where the operator wants locks of the storage.
    pub(super) lock: Option<Arc<dyn ObjectLock>>,
    pub(super) immutability: Immutability,
    pub(super) vault_guid: Uuid,
    pub(super) principal_id: Option<String>,
}

/// Reads the vault's row and opens its storage location.
pub(super) async fn vault_storage(app: &App, vault: &ResourceId) -> Result<VaultStorage, Error> {
    let resource =
        db::resource_get(app.db.read(), vault).await?.ok_or_else(errors::resource_not_found)?;
    let state: VaultState = read_state(&resource.body)?;
    let location = resource.body["location"].as_str().unwrap_or_default();
    let (store, lock) = app.storage_and_lock(location).await?;
    Ok(VaultStorage {
        store,
        lock,
        immutability: immutability_of(&resource),
        vault_guid: state.vault_guid,
        principal_id: state.principal_id,
    })
}

/// The lock of the vault's storage, where there is one and the vault is immutable.
pub(crate) async fn vault_lock(
    app: &App,
    vault: &ResourceId,
) -> Result<Option<(Arc<dyn ObjectLock>, Immutability)>, Error> {
    let VaultStorage { lock, immutability, .. } = vault_storage(app, vault).await?;
    let is_immutable = matches!(immutability, Immutability::Unlocked | Immutability::Locked);
    Ok(lock.filter(|_| is_immutable).map(|lock| (lock, immutability)))
}

/// Reads the instance's row.
pub(super) async fn instance_resource(
    app: &App,
    instance: &ResourceId,
) -> Result<(Resource, InstanceState), Error> {
    let resource =
        db::resource_get(app.db.read(), instance).await?.ok_or_else(errors::resource_not_found)?;
    let state = read_state(&resource.body)?;
    Ok((resource, state))
}

/// Opens the repository, or makes it.
pub(super) async fn make_repository(
    app: &App,
    vault: &ResourceId,
    repository: Uuid,
) -> Result<Repository, Failure> {
    let VaultStorage { store, vault_guid, .. } = vault_storage(app, vault).await?;
    let store_failure = |error| user_facing_error::store_failure(&error);
    let keyring =
        VaultKeyring::open(&store, vault_guid, &app.master_key).await.map_err(store_failure)?;
    Repository::create_or_open(&store, vault_guid, repository, &keyring)
        .await
        .map_err(store_failure)
}

/// Opens the repository of an instance that is protected.
pub(crate) async fn open_repository(
    app: &App,
    vault: &ResourceId,
    repository: Uuid,
) -> Result<Repository, Failure> {
    let VaultStorage { store, vault_guid, .. } = vault_storage(app, vault).await?;
    let store_failure = |error| user_facing_error::store_failure(&error);
    let keyring =
        VaultKeyring::open(&store, vault_guid, &app.master_key).await.map_err(store_failure)?;
    Repository::open(&store, vault_guid, repository, &keyring).await.map_err(store_failure)
}

/// A vault's second region.
pub(crate) struct SecondRegion {
    /// Its location, as it stands below `storage` in the configuration.
    pub(crate) region: String,
    pub(crate) store: Arc<dyn ObjectStore>,
    /// Where the operator wants locks of that storage.
    pub(crate) lock: Option<Arc<dyn ObjectLock>>,
    pub(crate) immutability: Immutability,
    pub(crate) vault_guid: Uuid,
}

/// Where the vault's recovery points are copied to; none while it is not geo-redundant, or where there is no second region.
pub(crate) async fn second_region(
    app: &App,
    vault: &ResourceId,
) -> Result<Option<SecondRegion>, Error> {
    let resource =
        db::resource_get(app.db.read(), vault).await?.ok_or_else(errors::resource_not_found)?;
    let Some(region) = region_of(&resource) else { return Ok(None) };
    let state: VaultState = read_state(&resource.body)?;
    let (store, lock) = app.storage_and_lock_of_pair(&region).await?;
    let immutability = immutability_of(&resource);
    Ok(Some(SecondRegion { region, store, lock, immutability, vault_guid: state.vault_guid }))
}

/// The same of what may have been left there by a vault that was geo-redundant once.
async fn second_store(
    app: &App,
    vault: &ResourceId,
) -> Result<Option<(Arc<dyn ObjectStore>, Uuid)>, Error> {
    let resource =
        db::resource_get(app.db.read(), vault).await?.ok_or_else(errors::resource_not_found)?;
    let state: VaultState = read_state(&resource.body)?;
    let Some(region) = state.second_region else { return Ok(None) };
    let (store, _) = app.storage_and_lock_of_pair(&region).await?;
    Ok(Some((store, state.vault_guid)))
}

/// Opens the copy of a repository in the vault's second region, by what is there alone.
pub(crate) async fn open_copy(
    app: &App,
    vault: &ResourceId,
    repository: Uuid,
) -> Result<Repository, Failure> {
    let second = second_region(app, vault).await?;
    let SecondRegion { store, vault_guid, .. } =
        second.ok_or_else(|| errors::not_enabled_across(vault))?;
    let store_failure = |error| user_facing_error::store_failure(&error);
    let keyring =
        VaultKeyring::open(&store, vault_guid, &app.master_key).await.map_err(store_failure)?;
    Repository::open(&store, vault_guid, repository, &keyring).await.map_err(store_failure)
}

/// Destroys a repository for good, and then its copy, which nothing can be copied to any more: keys first. May be repeated.
pub(crate) async fn destroy_repository(
    app: &App,
    vault: &ResourceId,
    repository: Uuid,
) -> Result<(), Failure> {
    let VaultStorage { store, vault_guid, .. } = vault_storage(app, vault).await?;
    let objects = Repository::destroy(&store, vault_guid, repository)
        .await
        .map_err(|error| user_facing_error::store_failure(&error))?;
    tracing::info!(%repository, objects, "a repository was destroyed");
    destroy_copy(app, vault, repository).await
}

async fn destroy_copy(app: &App, vault: &ResourceId, repository: Uuid) -> Result<(), Failure> {
    let Some((store, vault_guid)) = second_store(app, vault).await? else { return Ok(()) };
    // Whoever copies at this moment has to stop first, or would leave something behind.
    let _lease = stop_copying(app, &store, vault_guid, repository).await?;
    let objects = Repository::destroy(&store, vault_guid, repository)
        .await
        .map_err(|error| user_facing_error::store_failure(&error))?;
    if objects > 0 {
        tracing::info!(%repository, objects, "the copy of a repository was destroyed");
    }
    Ok(())
}

/// Waits for the lease of the copy. None where there is nothing to wait for: it is not there, or cannot be used.
async fn stop_copying(
    app: &App,
    store: &Arc<dyn ObjectStore>,
    vault_guid: Uuid,
    repository: Uuid,
) -> Result<Option<Lease>, Failure> {
    let opened = async {
        let keyring = VaultKeyring::open(store, vault_guid, &app.master_key).await?;
        Repository::open(store, vault_guid, repository, &keyring).await
    };
    let copy = match opened.await {
        Ok(copy) => copy,
        Err(error @ StoreError::Storage { .. }) => {
            return Err(user_facing_error::store_failure(&error));
        }
        Err(_) => return Ok(None),
    };
    let holder = format!("the deletion by the service {}", app.node_name);
    let claim = LeaseClaim {
        holder: &holder,
        purpose: LeasePurpose::Deletion,
        patience: LEASE_PATIENCE,
        above: 0,
    };
    match acquire(&copy, claim, &app.clock, &app.stopping).await {
        Ok(lease) => Ok(Some(lease)),
        Err(StoreError::Corrupt { .. } | StoreError::WrongKey { .. }) => Ok(None),
        Err(error) => Err(user_facing_error::store_failure(&error)),
    }
}

/// Destroys what the storages hold of a vault, alive or deleted, for good: its keys first. May be repeated.
pub(crate) async fn destroy_vault(app: &App, vault: &ResourceId) -> Result<(), Failure> {
    let VaultStorage { store, vault_guid, .. } = vault_storage(app, vault).await?;
    let store_failure = |error| user_facing_error::store_failure(&error);
    VaultKeyring::destroy(&store, vault_guid).await.map_err(store_failure)?;
    let Some((store, vault_guid)) = second_store(app, vault).await? else { return Ok(()) };
    let destroy = async {
        // None is left but by somebody who copied and did not notice that he was to stop.
        for repository in coffer_store::list_repositories(&store, vault_guid).await? {
            Repository::destroy(&store, vault_guid, repository).await?;
        }
        VaultKeyring::destroy(&store, vault_guid).await
    };
    destroy.await.map(drop).map_err(store_failure)
}

/// Where a vault's recovery points are copied to, by its row.
#[must_use]
pub(crate) fn region_of(vault: &Resource) -> Option<String> {
    let region = vault.body.pointer("/properties/replicatedRegions/0")?;
    region.as_str().map(str::to_owned)
}

fn immutability_of(vault: &Resource) -> Immutability {
    let state_path = "/properties/securitySettings/immutabilitySettings/state";
    let immutability = vault.body.pointer(state_path).and_then(Value::as_str);
    immutability.and_then(Immutability::parse).unwrap_or_default()
}
