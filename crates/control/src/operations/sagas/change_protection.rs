//! Stop, suspend and resume: the instance's state is all that changes.
//!
//! A backup that runs is left to end. The request has decided that the instance's state allows the change; should the
//! instance have begun to go since, it stays as it is.

use async_trait::async_trait;

use crate::app::dataprotection::instance_row::{set_state, state_of};
use crate::app::dataprotection::protection_state::ProtectionState;
use crate::app::dataprotection::state::{InstanceState, read_state};
use crate::db::upkeep::Duty;
use crate::db::{self, Tx};
use crate::error::Error;
use crate::operations::{Failure, OperationKind, Outcome, Run, Saga};

pub(super) const STEPS: &[&str] = &[];

/// See the module.
pub(super) struct ChangeProtection;

#[async_trait]
impl Saga for ChangeProtection {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, _step: &'static str, _run: &mut Run) -> Result<(), Failure> {
        Ok(())
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        let Some(instance) = &run.operation().instance else { return Ok(()) };
        let Some(mut resource) = db::resource_get(&mut **tx, instance).await? else {
            return Ok(());
        };
        if !matches!(outcome, Outcome::Succeeded)
            || state_of(&resource) == ProtectionState::SoftDeleting
        {
            return Ok(());
        }
        let state = match run.kind() {
            OperationKind::StopProtection => ProtectionState::ProtectionStopped,
            OperationKind::SuspendBackups => ProtectionState::BackupsSuspended,
            _ => ProtectionState::ProtectionConfigured,
        };
        set_state(&mut resource.body, state);
        let repository = read_state::<InstanceState>(&resource.body)?.repository_guid;
        // What has ended while everything was kept goes now, and not when somebody happens to look.
        let now_us = run.now_us();
        let duty = Duty::Retention;
        db::upkeep::bring_forward(tx, duty, repository, &resource.id, now_us).await?;
        db::schedule::look_again(tx, instance, run.now_us()).await?;
        db::resource_update(tx, &mut resource, run.now_us()).await
    }
}
