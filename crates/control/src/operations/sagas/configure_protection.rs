//! An instance becomes protected: its repository is made, and with deep validation the checks are made again.

use std::sync::Arc;

use async_trait::async_trait;
use coffer_azure::BackupInstance;
use serde_json::{Value, json};

use super::instance_repository::{instance_resource, make_repository};
use super::validate_for_backup::check_instance;
use crate::app::dataprotection::instance_row::{set_state, state_of};
use crate::app::dataprotection::protection_state::ProtectionState;
use crate::app::{App, user_facing_error};
use crate::db::{self, Tx};
use crate::error::Error;
use crate::operations::{ConfigureProtectionInput, Failure, Outcome, Run, Saga};

pub(super) const STEPS: &[&str] = &["check", "make_repository"];

/// See the module.
pub(super) struct ConfigureProtection {
    pub(super) app: Arc<App>,
}

#[async_trait]
impl Saga for ConfigureProtection {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, step: &'static str, run: &mut Run) -> Result<(), Failure> {
        let operation = run.operation();
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        let (resource, state) = instance_resource(&self.app, instance).await?;
        if step == "make_repository" {
            make_repository(&self.app, &operation.vault, state.repository_guid).await?;
            return Ok(());
        }
        let input: ConfigureProtectionInput = if operation.input.is_null() {
            ConfigureProtectionInput::default()
        } else {
            run.input()?
        };
        if input.deep_validation {
            let properties: BackupInstance =
                serde_json::from_value(resource.body["properties"].clone())
                    .map_err(Error::internal)?;
            check_instance(&self.app, run, &operation.vault, &properties).await?;
        }
        Ok(())
    }

    async fn conclude(&self, tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        conclude_configuration(tx, run, outcome).await
    }
}

/// Writes what the end of a configuration means for the instance's row.
async fn conclude_configuration(tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
    let Some(instance) = &run.operation().instance else { return Ok(()) };
    let Some(mut resource) = db::resource_get(&mut **tx, instance).await? else { return Ok(()) };
    if state_of(&resource) == ProtectionState::SoftDeleting {
        // Its deletion was asked for meanwhile, and has stopped this.
        return Ok(());
    }
    match outcome {
        Outcome::Succeeded => {
            set_state(&mut resource.body, ProtectionState::ProtectionConfigured);
            resource.body["properties"]["provisioningState"] = json!("Succeeded");
        }
        Outcome::Failed(error) => set_error(&mut resource.body, error)?,
        Outcome::Cancelled => set_error(&mut resource.body, &user_facing_error::cancelled())?,
    }
    db::schedule::look_again(tx, instance, run.now_us()).await?;
    db::resource_update(tx, &mut resource, run.now_us()).await
}

/// The instance is not protected, and says why.
pub(super) fn set_error(
    body: &mut Value,
    error: &coffer_azure::UserFacingError,
) -> Result<(), Error> {
    set_state(body, ProtectionState::ProtectionError);
    let error = serde_json::to_value(error).map_err(Error::internal)?;
    let properties = &mut body["properties"];
    properties["protectionStatus"]["errorDetails"] = error.clone();
    properties["protectionErrorDetails"] = error;
    properties["provisioningState"] = json!("Failed");
    Ok(())
}
