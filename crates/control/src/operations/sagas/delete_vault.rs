//! A vault goes: its keys first, so that nothing below it can be read any more, then whatever else its prefix holds,
//! then its principal and its record.
//!
//! The request has checked that the vault is empty and marked it as going, so that nothing new can be made in it.

use std::sync::Arc;

use async_trait::async_trait;

use super::instance_repository::{VaultStorage, vault_storage};
use crate::app::dataprotection::state::{VaultState, read_state, write_state};
use crate::app::dataprotection::{DELETED_INSTANCE_KIND, INSTANCE_KIND, POLICY_KIND, PROXY_KIND};
use crate::app::{App, user_facing_error};
use crate::db::{self, Page, Tx};
use crate::error::Error;
use crate::operations::{Failure, Outcome, Run, Saga};

pub(super) const STEPS: &[&str] = &["destroy_keys"];

/// See the module.
pub(super) struct DeleteVault {
    pub(super) app: Arc<App>,
}

#[async_trait]
impl Saga for DeleteVault {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, _step: &'static str, run: &mut Run) -> Result<(), Failure> {
        let VaultStorage { store, vault_guid, .. } =
            vault_storage(&self.app, &run.operation().vault).await?;
        self.require_empty(run).await?;
        coffer_store::VaultKeyring::destroy(&store, vault_guid)
            .await
            .map_err(|error| user_facing_error::store_failure(&error))?;
        Ok(())
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        let id = &run.operation().vault;
        let Some(mut vault) = db::resource_get(&mut **tx, id).await? else { return Ok(()) };
        let mut state: VaultState = read_state(&vault.body)?;
        if matches!(outcome, Outcome::Succeeded) {
            if let Some(principal_id) = &state.principal_id {
                self.app.principal_delete(tx, principal_id).await?;
            }
            db::job::delete_in_vault(tx, id).await?;
            return db::resource_delete(tx, &vault).await;
        }
        state.deleting = false;
        write_state(&mut vault.body, &state);
        vault.body["properties"]["provisioningState"] = serde_json::json!("Failed");
        db::resource_update(tx, &mut vault, run.now_us()).await
    }
}

impl DeleteVault {
    /// The mark that the request has left keeps it so; this only guards the keys against a fault of ours.
    async fn require_empty(&self, run: &Run) -> Result<(), Failure> {
        for kind in [INSTANCE_KIND, POLICY_KIND, DELETED_INSTANCE_KIND, PROXY_KIND] {
            let page = Page { after: None, rows_max: 1 };
            let children =
                db::resource_list_children(self.app.db.read(), &run.operation().vault, kind, &page)
                    .await?;
            if let Some(child) = children.items.first() {
                return Err(Failure::failed(user_facing_error::vault_not_empty(&child.id)));
            }
        }
        Ok(())
    }
}
