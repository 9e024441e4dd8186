//! A softly deleted instance comes back, with everything it had, as one whose protection is stopped.
//!
//! The purge waits for an undelete that was begun, so what the step has found is still there at the conclusion.

use std::sync::Arc;

use async_trait::async_trait;

use crate::app::App;
use crate::app::dataprotection::errors;
use crate::app::dataprotection::instance_row::{deleted_id, set_state};
use crate::app::dataprotection::protection_state::ProtectionState;
use crate::app::dataprotection::state::{InstanceState, read_state, write_state};
use crate::app::user_facing_error;
use crate::db::{self, NewResource, Tx};
use crate::error::Error;
use crate::operations::{Failure, Outcome, Run, Saga};

pub(super) const STEPS: &[&str] = &["find"];

/// See the module.
pub(super) struct UndeleteInstance {
    pub(super) app: Arc<App>,
}

#[async_trait]
impl Saga for UndeleteInstance {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, _step: &'static str, run: &mut Run) -> Result<(), Failure> {
        let operation = run.operation();
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        if db::resource_exists(self.app.db.read(), instance).await? {
            // Another undelete came first.
            return Ok(());
        }
        let gone = || Failure::failed(user_facing_error::internal(&errors::resource_not_found()));
        let deleted =
            db::resource_get(self.app.db.read(), &deleted_id(instance)?).await?.ok_or_else(gone)?;
        let state: InstanceState = read_state(&deleted.body)?;
        if state.deletion.is_some_and(|deletion| deletion.purging) {
            return Err(gone());
        }
        Ok(())
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        let Some(instance) = &run.operation().instance else { return Ok(()) };
        if !matches!(outcome, Outcome::Succeeded) {
            return Ok(());
        }
        let deleted = deleted_id(instance)?;
        let Some(resource) = db::resource_get(&mut **tx, &deleted).await? else { return Ok(()) };
        let mut state: InstanceState = read_state(&resource.body)?;
        state.deletion = None;
        let mut body = resource.body.clone();
        set_state(&mut body, ProtectionState::ProtectionStopped);
        write_state(&mut body, &state);
        db::resource_delete(tx, &resource).await?;
        db::purge::clear(tx, &deleted).await?;
        db::resource_insert(tx, NewResource { id: instance.clone(), body, now_us: run.now_us() })
            .await?;
        Ok(())
    }
}
