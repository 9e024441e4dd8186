//! An instance gets another policy, name or credentials. It shows the old ones until this has succeeded, and keeps them
//! when it has not.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::json;

use super::instance_repository::{instance_resource, make_repository};
use super::validate_for_backup::check_instance;
use crate::app::App;
use crate::app::dataprotection::instance_row::{set_state, state_of};
use crate::app::dataprotection::protection_state::ProtectionState;
use crate::db::{self, Tx};
use crate::error::Error;
use crate::operations::{Failure, Outcome, Run, Saga, UpdateProtectionInput};

pub(super) const STEPS: &[&str] = &["check", "make_repository"];

/// See the module.
pub(super) struct UpdateProtection {
    pub(super) app: Arc<App>,
}

#[async_trait]
impl Saga for UpdateProtection {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, step: &'static str, run: &mut Run) -> Result<(), Failure> {
        let operation = run.operation();
        let input: UpdateProtectionInput = run.input()?;
        if step == "make_repository" {
            // There already, unless the first configuration has failed before it.
            let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
            let (_, state) = instance_resource(&self.app, instance).await?;
            make_repository(&self.app, &operation.vault, state.repository_guid).await?;
        } else if input.deep_validation {
            check_instance(&self.app, run, &operation.vault, &input.properties).await?;
        }
        Ok(())
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        let Some(instance) = &run.operation().instance else { return Ok(()) };
        let Some(mut resource) = db::resource_get(&mut **tx, instance).await? else {
            return Ok(());
        };
        if state_of(&resource) == ProtectionState::SoftDeleting {
            // Its deletion was asked for meanwhile, and has stopped this.
            return Ok(());
        }
        let input: UpdateProtectionInput = run.input()?;
        let previous = ProtectionState::parse(&input.previous_state)
            .unwrap_or(ProtectionState::ProtectionConfigured);
        if matches!(outcome, Outcome::Succeeded) {
            resource.body["properties"] =
                serde_json::to_value(&input.properties).map_err(Error::internal)?;
            match &input.tags {
                Some(tags) => resource.body["tags"] = json!(tags),
                None => {
                    resource.body.as_object_mut().map(|members| members.shift_remove("tags"));
                }
            }
            set_state(&mut resource.body, state_after(previous));
        } else {
            set_state(&mut resource.body, previous);
        }
        resource.body["properties"]["provisioningState"] = json!("Succeeded");
        db::schedule::look_again(tx, instance, run.now_us()).await?;
        db::resource_update(tx, &mut resource, run.now_us()).await
    }
}

/// A stopped instance stays stopped; one that could not be configured now is.
fn state_after(previous: ProtectionState) -> ProtectionState {
    match previous {
        ProtectionState::ProtectionStopped | ProtectionState::BackupsSuspended => previous,
        ProtectionState::ConfiguringProtection
        | ProtectionState::ProtectionConfigured
        | ProtectionState::UpdatingProtection
        | ProtectionState::ProtectionError
        | ProtectionState::SoftDeleting
        | ProtectionState::SoftDeleted => ProtectionState::ProtectionConfigured,
    }
}
