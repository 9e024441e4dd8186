//! A vault is created or changed: its keyring exists in its storage location before the vault counts as made.
//!
//! The vault's row, with the new values and a provisioning state that says so, was written by the request.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::instance_repository::{VaultStorage, vault_storage};
use crate::app::{App, user_facing_error};
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
        coffer_store::VaultKeyring::create_or_open(&store, vault_guid, &self.app.master_key)
            .await
            .map_err(|error| user_facing_error::store_failure(&error))?;
        Ok(())
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
        db::resource_update(tx, &mut vault, run.now_us()).await
    }
}
