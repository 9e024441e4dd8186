//! The checks that a recovery point can be restored to a target; nothing is changed by them.

use std::sync::Arc;

use async_trait::async_trait;

use super::files_target::FilesTarget;
use super::instance_repository::instance_resource;
use super::restore_target::{
    DatabaseTarget, Target, check_failure, chosen, database_target, recovery_point_id,
    require_point, source_repository, target,
};
use crate::app::App;
use crate::app::user_facing_error::{Place, engine_failure};
use crate::db::Tx;
use crate::error::Error;
use crate::operations::{Failure, Outcome, RestoreInput, Run, Saga};

pub(super) const STEPS: &[&str] = &["check"];

/// See the module.
pub(super) struct ValidateRestore {
    pub(super) app: Arc<App>,
}

#[async_trait]
impl Saga for ValidateRestore {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, _step: &'static str, run: &mut Run) -> Result<(), Failure> {
        let app = &self.app;
        let operation = run.operation();
        let input: RestoreInput = run.input()?;
        let instance = operation.instance.as_ref().unwrap_or(&operation.vault);
        let (_, state) = instance_resource(app, instance).await?;
        let id = recovery_point_id(&input.request)?;
        require_point(app, &input, state.repository_guid, &id).await?;
        match target(&input)? {
            Target::Files(info) => {
                FilesTarget::resolve(app, run, &operation.vault, info).await?.require_free()?;
                let repository =
                    source_repository(app, &operation.vault, &input, state.repository_guid).await?;
                coffer_engine::check_selection(&chosen(&input)?.selection, &id, &repository)
                    .await
                    .map_err(|error| engine_failure(&error, &Place::storage()))
            }
            Target::Database { datasource, credentials } => {
                let DatabaseTarget { request, access } =
                    database_target(app, run, &operation.vault, &input, datasource, credentials)
                        .await?;
                let repository =
                    source_repository(app, &operation.vault, &input, state.repository_guid).await?;
                let checked = tokio::select! {
                    checked = coffer_engine::restore::restore_preflight(&request, &repository) => checked,
                    () = run.cancellation().cancelled() => return Err(Failure::Interrupted),
                };
                let preflight = checked.map_err(|error| check_failure(&error, &access))?;
                if preflight.problems.is_empty() {
                    return Ok(());
                }
                Err(check_failure(&coffer_engine::Error::Preflight(preflight.problems), &access))
            }
        }
    }

    async fn conclude(&self, _tx: &mut Tx, _run: &Run, _outcome: &Outcome) -> Result<(), Error> {
        Ok(())
    }
}
