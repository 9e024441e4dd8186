//! From a vault and an instance to their bytes: storage location, keyring, repository.

use std::sync::Arc;

use coffer_azure::ResourceId;
use coffer_store::{ObjectLock, ObjectStore, Repository, VaultKeyring};
use serde_json::Value;
use uuid::Uuid;

use crate::app::dataprotection::errors;
use crate::app::dataprotection::state::{InstanceState, VaultState, read_state};
use crate::app::dataprotection::vault_security::Immutability;
use crate::app::{App, user_facing_error};
use crate::db::{self, Resource};
use crate::error::Error;
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
    let state_path = "/properties/securitySettings/immutabilitySettings/state";
    let immutability = resource.body.pointer(state_path).and_then(Value::as_str);
    Ok(VaultStorage {
        store,
        lock,
        immutability: immutability.and_then(Immutability::parse).unwrap_or_default(),
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

/// Destroys a repository for good: its keys first. May be repeated.
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
    Ok(())
}

/// Destroys what the storage holds of a vault, alive or deleted, for good: its keys first. May be repeated.
pub(crate) async fn destroy_vault(app: &App, vault: &ResourceId) -> Result<(), Failure> {
    let VaultStorage { store, vault_guid, .. } = vault_storage(app, vault).await?;
    VaultKeyring::destroy(&store, vault_guid)
        .await
        .map_err(|error| user_facing_error::store_failure(&error))?;
    Ok(())
}
