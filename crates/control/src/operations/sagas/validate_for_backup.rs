//! The checks that a database can be protected, each really made; nothing is changed by them.
//!
//! The order is that of [`datasource_access`], then the server answers, the login works, the database exists, everything
//! that a backup reads can be read, and the server's version is one that can be dumped. Of a whole server each database is
//! checked that a backup would read.

use std::sync::Arc;

use async_trait::async_trait;
use coffer_azure::{BackupInstance, ResourceId};
use coffer_engine::Tools;

use super::datasource_access::{DatasourceAccess, datasource_access};
use crate::app::{App, user_facing_error};
use crate::db::Tx;
use crate::error::Error;
use crate::operations::{Failure, Outcome, Run, Saga, ValidateForBackupInput};

pub(super) const STEPS: &[&str] = &["check"];

/// See the module.
pub(super) struct ValidateForBackup {
    pub(super) app: Arc<App>,
}

#[async_trait]
impl Saga for ValidateForBackup {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, _step: &'static str, run: &mut Run) -> Result<(), Failure> {
        let input: ValidateForBackupInput = run.input()?;
        check_instance(&self.app, run, &run.operation().vault, &input.backup_instance).await
    }

    async fn conclude(&self, _tx: &mut Tx, _run: &Run, _outcome: &Outcome) -> Result<(), Error> {
        Ok(())
    }
}

/// Makes all checks. The user waits for the answer, so a server that does not answer is a failure at once.
pub(super) async fn check_instance(
    app: &App,
    run: &Run,
    vault: &ResourceId,
    instance: &BackupInstance,
) -> Result<(), Failure> {
    let credentials = instance.datasource_auth_credentials.as_ref();
    let DatasourceAccess { connect, place, whole_server } =
        datasource_access(app, vault, &instance.data_source_info, credentials).await?;
    let tools = discover_tools(app).await?;
    let checking = async {
        if whole_server {
            coffer_engine::check_server(&connect, &tools).await.map(drop)
        } else {
            coffer_engine::check_source(&connect, &tools).await.map(drop)
        }
    };
    let checked = tokio::select! {
        checked = Box::pin(checking) => checked,
        () = run.cancellation().cancelled() => return Err(Failure::Interrupted),
    };
    checked.map_err(|error| Failure::failed(user_facing_error::engine(&error, &place)))?;
    Ok(())
}

/// Looks for PostgreSQL's programs anew each time: an operator may have installed what the last error has asked for.
pub(super) async fn discover_tools(app: &App) -> Result<Tools, Error> {
    let directories = app.config.postgres_tool_directories.clone();
    tokio::task::spawn_blocking(move || Tools::discover(&directories))
        .await
        .map_err(Error::internal)
}
