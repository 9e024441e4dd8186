//! A vault is created or changed: its keyring exists in its storage location before the vault counts as made.
//!
//! Before the first key is written, the storage is tried out: on one that ignores the conditions of writes, backups would
//! destroy each other's work without an error.
//!
//! The vault's row, with the new values and a provisioning state that says so, was written by the request.

use std::sync::Arc;

use async_trait::async_trait;
use coffer_store::{ObjectStore, VaultKeyring};
use serde_json::json;
use uuid::Uuid;

use super::instance_repository::{
    VaultStorage, region_of, second_region, vault_lock, vault_storage,
};
use crate::app::dataprotection::vault_security::Immutability;
use crate::app::{App, user_facing_error};
use crate::db::upkeep::Duty;
use crate::db::{self, Tx};
use crate::error::Error;
use crate::operations::{Failure, Outcome, Run, Saga};

pub(super) const STEPS: &[&str] = &["make_keyring"];

/// See the module.
pub(super) struct PutVault {
    pub(super) app: Arc<App>,
}

#[async_trait]
impl Saga for PutVault {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, _step: &'static str, run: &mut Run) -> Result<(), Failure> {
        let VaultStorage { store, vault_guid, .. } =
            vault_storage(&self.app, &run.operation().vault).await?;
        self.make_keyring(&store, vault_guid)
            .await
            .map_err(|error| user_facing_error::store_failure(&error))?;
        if let Some((storage, _)) = vault_lock(&self.app, &run.operation().vault).await? {
            storage.check().await.map_err(|error| user_facing_error::store_failure(&error))?;
        }
        self.make_second(run).await
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        let Some(mut vault) = db::resource_get(&mut **tx, &run.operation().vault).await? else {
            return Ok(());
        };
        let state = match outcome {
            Outcome::Succeeded => "Succeeded",
            Outcome::Failed(_) | Outcome::Cancelled => "Failed",
        };
        vault.body["properties"]["provisioningState"] = json!(state);
        // It may have become immutable.
        let duty = Duty::StorageLock;
        db::upkeep::bring_forward_vault(tx, duty, &run.operation().vault, run.now_us()).await?;
        if region_of(&vault).is_some() {
            // It may have got its second region.
            let (duty, id) = (Duty::Replication, &run.operation().vault);
            db::upkeep::bring_forward_vault(tx, duty, id, run.now_us()).await?;
        }
        db::resource_update(tx, &mut vault, run.now_us()).await
    }

    fn concluded(&self) {
        self.app.duties.wake_replication();
    }
}

impl PutVault {
    /// The second region has to be as good as the first before anybody relies on it.
    async fn make_second(&self, run: &Run) -> Result<(), Failure> {
        let Some(second) = second_region(&self.app, &run.operation().vault).await? else {
            return Ok(());
        };
        self.make_keyring(&second.store, second.vault_guid)
            .await
            .map_err(|error| user_facing_error::store_failure(&error))?;
        let is_immutable =
            matches!(second.immutability, Immutability::Unlocked | Immutability::Locked);
        if let Some(lock) = second.lock.filter(|_| is_immutable) {
            lock.check().await.map_err(|error| user_facing_error::store_failure(&error))?;
        }
        Ok(())
    }

    async fn make_keyring(
        &self,
        store: &Arc<dyn ObjectStore>,
        vault: Uuid,
    ) -> coffer_store::Result<()> {
        let open = || VaultKeyring::open(store, vault, &self.app.master_key);
        if is_absent(open().await)?
            && let Err(error) = coffer_store::probe(store, vault).await
            // Another run of this step, which had taken this one for dead, was faster, and has cleared what this one wrote.
            && is_absent(open().await)?
        {
            return Err(error);
        }
        VaultKeyring::create_or_open(store, vault, &self.app.master_key).await?;
        // From here on no probe's outcome counts.
        coffer_store::clear_probes(store, vault).await?;
        Ok(())
    }
}

fn is_absent(opened: coffer_store::Result<VaultKeyring>) -> coffer_store::Result<bool> {
    match opened {
        Ok(_) => Ok(false),
        Err(coffer_store::Error::NotFound { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}
