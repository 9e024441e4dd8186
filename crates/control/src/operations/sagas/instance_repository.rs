//! From a vault and an instance to their bytes: storage location, keyring, repository, lease.

use std::sync::Arc;
use std::time::Duration;

use coffer_azure::ResourceId;
use coffer_store::{Lease, LeasePurpose, ObjectStore, Repository, VaultKeyring};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::app::dataprotection::errors;
use crate::app::dataprotection::state::{InstanceState, VaultState, read_state};
use crate::app::{App, user_facing_error};
use crate::clock::Clock;
use crate::db::{self, Resource};
use crate::error::Error;
use crate::operations::Failure;

/// How long a repository's lease holds without being renewed.
const LEASE: Duration = Duration::from_secs(60);
/// How often it is renewed.
const LEASE_RENEWAL: Duration = Duration::from_secs(15);

/// Where a vault keeps its bytes, and as whom it acts.
pub(super) struct VaultStorage {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) vault_guid: Uuid,
    pub(super) principal_id: Option<String>,
}

/// Reads the vault's row and opens its storage location.
pub(super) async fn vault_storage(app: &App, vault: &ResourceId) -> Result<VaultStorage, Error> {
    let resource =
        db::resource_get(app.db.read(), vault).await?.ok_or_else(errors::resource_not_found)?;
    let state: VaultState = read_state(&resource.body)?;
    let location = resource.body["location"].as_str().unwrap_or_default();
    let store = app.storage_for_location(location)?;
    Ok(VaultStorage { store, vault_guid: state.vault_guid, principal_id: state.principal_id })
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
pub(super) async fn open_repository(
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

/// Does `work` while the repository's lease is held and renewed; `stop` is cancelled when the lease is lost. The same
/// holder takes over at once what it held in an earlier life.
pub(super) async fn with_lease<T, W: Future<Output = T>>(
    repository: &Repository,
    holder: &str,
    purpose: LeasePurpose,
    clock: &Clock,
    stop: &CancellationToken,
    work: impl FnOnce(Lease) -> W,
) -> Result<T, coffer_store::Error> {
    let ttl_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    let lease = repository.acquire_lease(holder, purpose, clock.now_ms(), ttl_ms).await?;
    // Both are polled together: the work goes on while a renewal is on its way. A renewal that has begun is waited for,
    // since one that was given up could have written its record and not know it.
    let over = CancellationToken::new();
    let working = async {
        let done = work(lease.clone()).await;
        over.cancel();
        done
    };
    let (done, lost) = tokio::join!(working, keep(repository, &lease, clock, &over, stop));
    if let Some(error) = lost {
        return Err(error);
    }
    if let Err(error) = repository.release_lease(lease).await {
        tracing::warn!(%error, "the lease of a repository could not be given back; it will run out");
    }
    Ok(done)
}

/// Renews a lease until the work is over. When it is lost, the work is stopped and the reason returned; a storage that does
/// not answer loses it when it runs out, not later.
async fn keep(
    repository: &Repository,
    lease: &Lease,
    clock: &Clock,
    over: &CancellationToken,
    stop: &CancellationToken,
) -> Option<coffer_store::Error> {
    let mut renewal = tokio::time::interval(LEASE_RENEWAL);
    renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    renewal.tick().await;
    let mut held_until = tokio::time::Instant::now() + LEASE;
    loop {
        tokio::select! {
            () = over.cancelled() => return None,
            _ = renewal.tick() => {}
        }
        let begun = tokio::time::Instant::now();
        let renewed = repository.renew_lease(lease, clock.now_ms());
        let error = match tokio::time::timeout_at(held_until, renewed).await {
            Ok(Ok(())) => {
                held_until = begun + LEASE;
                continue;
            }
            Ok(Err(error)) if error.is_transient() && begun < held_until => {
                tracing::warn!(%error, "the lease of a repository cannot be renewed yet");
                continue;
            }
            Ok(Err(error)) => error,
            Err(_elapsed) => coffer_store::Error::LeaseLost { generation: lease.generation() },
        };
        stop.cancel();
        return Some(error);
    }
}
