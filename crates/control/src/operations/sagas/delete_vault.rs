//! A vault goes. Softly, it leaves its group and waits among the deleted vaults; for good, its keys go first, so that nothing below it can
//! be read any more, then whatever else its prefix holds, then its principal and its record.
//!
//! The request has checked what is still in the vault, and marked it as going, and how, so that nothing new can be made in it.

use std::sync::Arc;

use async_trait::async_trait;
use coffer_azure::ResourceId;

use super::instance_repository::destroy_vault;
use crate::app::dataprotection::state::{VaultState, read_state, write_state};
use crate::app::dataprotection::vault_deletion::{STAYS_IN_A_VAULT, STAYS_IN_ANY_CASE};
use crate::app::dataprotection::{deleted_vault, errors};
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
        let vault = &run.operation().vault;
        let row = db::resource_get(self.app.db.read(), vault).await?;
        let row = row.ok_or_else(errors::resource_not_found)?;
        let state: VaultState = read_state(&row.body)?;
        if state.deletion.is_some() {
            return self.require_none(vault, STAYS_IN_ANY_CASE).await;
        }
        self.require_none(vault, STAYS_IN_A_VAULT).await?;
        destroy_vault(&self.app, vault).await
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        let id = &run.operation().vault;
        let Some(mut vault) = db::resource_get(&mut **tx, id).await? else { return Ok(()) };
        let mut state: VaultState = read_state(&vault.body)?;
        if matches!(outcome, Outcome::Succeeded) {
            db::job::delete_in_vault(tx, id).await?;
            // What was granted at the vault is not granted at another one of its name.
            db::role_assignment::delete_within(tx, id).await?;
            if state.deletion.is_some() {
                return deleted_vault::put_away(tx, &vault, run.now_us()).await;
            }
            if let Some(principal_id) = &state.principal_id {
                self.app.principal_delete(tx, principal_id).await?;
            }
            return db::resource_delete(tx, &vault).await;
        }
        state.deleting = false;
        state.deletion = None;
        write_state(&mut vault.body, &state);
        vault.body["properties"]["provisioningState"] = serde_json::json!("Failed");
        db::resource_update(tx, &mut vault, run.now_us()).await
    }
}

impl DeleteVault {
    /// The mark that the request has left keeps it so; this only guards the vault against a fault of ours.
    async fn require_none(
        &self,
        vault: &ResourceId,
        kinds: &[(&str, &str)],
    ) -> Result<(), Failure> {
        for (kind, _) in kinds {
            let page = Page { after: None, rows_max: 1 };
            let children =
                db::resource_list_children(self.app.db.read(), vault, kind, &page).await?;
            if let Some(child) = children.items.first() {
                return Err(Failure::failed(user_facing_error::vault_not_empty(&child.id)));
            }
        }
        Ok(())
    }
}
