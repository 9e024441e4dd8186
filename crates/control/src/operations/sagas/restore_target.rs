//! Where a restore goes, taken out of its request, with the checks that each kind of target needs.

use coffer_azure::{
    AuthCredentials, AzureBackupRestoreRequest, Datasource, ResourceId, RestoreFilesTargetInfo,
    RestoreTargetInfoBase,
};
use coffer_engine::restore::{RestoreOptions, RestoreRequest, TEMPORARY_PREFIX};
use coffer_store::Repository;
use uuid::Uuid;

use super::data_run::{operation_guid, work_path};
use super::datasource_access::{DatasourceAccess, datasource_access};
use super::instance_repository::{open_copy, open_repository};
use super::validate_for_backup::discover_tools;
use crate::app::dataprotection::errors;
use crate::app::dataprotection::restore_choice::{Choice, choice};
use crate::app::{App, user_facing_error};
use crate::db;
use crate::operations::{Failure, RestoreInput, Run};

/// The two kinds of targets.
pub(super) enum Target<'a> {
    /// A database to be made.
    Database { datasource: &'a Datasource, credentials: Option<&'a AuthCredentials> },
    /// Files in a container.
    Files(&'a RestoreFilesTargetInfo),
}

/// The recovery point that the request names.
pub(super) fn recovery_point_id(request: &AzureBackupRestoreRequest) -> Result<String, Failure> {
    match request.recovery_point_id() {
        // Ids are lower case in the repository, whatever the caller sends.
        Some(id) => Ok(id.to_lowercase()),
        None => Err(errors::not_supported("A restore to a point in time").into()),
    }
}

/// Fails unless the recovery point is where it is to be restored from.
pub(super) async fn require_point(
    app: &App,
    input: &RestoreInput,
    repository: Uuid,
    id: &str,
) -> Result<(), Failure> {
    let is_there = match input.second_region {
        Some(_) => db::copy::is_copied(app.db.read(), repository, id).await?,
        None => db::recovery_point::get(app.db.read(), repository, id).await?.is_some(),
    };
    if is_there {
        return Ok(());
    }
    Err(Failure::failed(user_facing_error::recovery_point_not_found(id)))
}

/// The repository that is restored from: of the first region nothing is needed where it is the second.
pub(super) async fn source_repository(
    app: &App,
    vault: &ResourceId,
    input: &RestoreInput,
    repository: Uuid,
) -> Result<Repository, Failure> {
    match input.second_region {
        Some(_) => open_copy(app, vault, repository).await,
        None => open_repository(app, vault, repository).await,
    }
}

/// The target that the request names.
pub(super) fn target(input: &RestoreInput) -> Result<Target<'_>, Failure> {
    match input.request.restore_target_info() {
        RestoreTargetInfoBase::RestoreTargetInfo(info) => Ok(Target::Database {
            datasource: &info.datasource_info,
            credentials: info.datasource_auth_credentials.as_ref(),
        }),
        RestoreTargetInfoBase::RestoreFilesTargetInfo(info) => Ok(Target::Files(info)),
        RestoreTargetInfoBase::ItemLevelRestoreTargetInfo(info) => Ok(Target::Database {
            datasource: &info.datasource_info,
            credentials: info.datasource_auth_credentials.as_ref(),
        }),
    }
}

/// What of the recovery point the request asks for.
pub(super) fn chosen(input: &RestoreInput) -> Result<Choice, Failure> {
    let request = &input.request;
    choice(request.restore_target_info(), request.coffer_restore_options())
        .map_err(|reason| errors::invalid_input(reason).into())
}

/// What the engine is asked, and how the target is named in errors.
pub(super) struct DatabaseTarget {
    pub(super) request: RestoreRequest,
    pub(super) access: DatasourceAccess,
}

/// Name of the database until it is proved: derived from the operation, so that a later run finds what an earlier one has left.
pub(super) fn temporary_name(run: &Run) -> String {
    format!("{TEMPORARY_PREFIX}{}", operation_guid(run).simple())
}

/// Makes the checks before a connection and composes the request.
pub(super) async fn database_target(
    app: &App,
    run: &Run,
    vault: &ResourceId,
    input: &RestoreInput,
    datasource: &Datasource,
    credentials: Option<&AuthCredentials>,
) -> Result<DatabaseTarget, Failure> {
    let access = datasource_access(app, vault, datasource, credentials).await?;
    let Choice { selection, roles, role_map } = chosen(input)?;
    let request = RestoreRequest {
        target: access.connect.clone(),
        database: access.connect.database.clone(),
        temporary_database: temporary_name(run),
        tools: discover_tools(app).await?,
        recovery_point_id: recovery_point_id(&input.request)?,
        options: RestoreOptions {
            workers: app.config.limits.data_workers,
            roles,
            ..RestoreOptions::default()
        },
        selection,
        role_map,
        work_dir: work_path(app, run),
    };
    Ok(DatabaseTarget { request, access })
}

/// The failure of a target's check, told at once: nobody waits for a server that may come back.
pub(super) fn check_failure(error: &coffer_engine::Error, access: &DatasourceAccess) -> Failure {
    match error {
        coffer_engine::Error::Cancelled => Failure::Interrupted,
        error => Failure::failed(user_facing_error::engine(error, &access.place)),
    }
}
