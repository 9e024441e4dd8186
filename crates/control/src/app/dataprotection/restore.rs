//! `validateRestore` and `restore`: which requests can be carried out at all.

use coffer_azure::{
    AuthCredentials, AzureBackupRecoveryPointBasedRestoreRequest, AzureBackupRestoreRequest,
    CrossSubscriptionRestoreSettings, DataStoreType, Datasource, DatasourceSet, RecoveryOption,
    ResourceId, RestoreFilesTargetInfo, RestoreTargetInfoBase, RestoreTargetLocationType,
};

use super::critical_operation::CriticalOperation;
use super::cross_region::SecondRegionScope;
use super::protection_state::{Decision, InstanceAction, decide};
use super::state::{InstanceState, read_state};
use super::{
    Call, Wanted, backup_vault, datasource, errors, guarded, instance_row, restore_choice,
    vault_require_usable,
};
use crate::app::App;
use crate::db::{self, Executor, Resource};
use crate::error::Error;
use crate::operations::{NewJob, Operation, OperationKind, RestoreInput};

/// Longest `filePrefix`, in bytes.
const FILE_PREFIX_BYTES_MAX: usize = 200;

/// What a checked request restores to.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Target {
    /// ARM id of the database, or URL of the container: a job's `recoveryDestination`.
    destination: String,
    /// For files.
    file_prefix: Option<String>,
    /// The subscription of a database.
    subscription: Option<String>,
}

/// The ids of the recovery points that restores of the instance read, or are about to.
///
/// # Errors
/// The database fails.
pub(crate) async fn points_in_use<'e>(
    executor: impl Executor<'e>,
    instance: &ResourceId,
) -> Result<Vec<String>, Error> {
    let restores =
        db::operation::all_unfinished(executor, instance, OperationKind::Restore).await?;
    let ids = restores.into_iter().map(|restore| {
        let input: RestoreInput = serde_json::from_value(restore.input).map_err(Error::internal)?;
        Ok(input.request.recovery_point_id().unwrap_or_default().to_lowercase())
    });
    ids.collect()
}

/// Begins the checks of a restore, without any effect.
///
/// # Errors
/// As [`restore`].
pub async fn validate_restore(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<AzureBackupRestoreRequest, Error> + Send,
) -> Result<Operation, Error> {
    call.authorize(app, "backupVaults/backupInstances/validateRestore/action", id).await?;
    begin(app, call, id, body()?, OperationKind::ValidateRestore, Source::Vault).await
}

/// Begins a restore.
///
/// # Errors
/// Not allowed; the instance or the recovery point is absent; a kind of restore that is not supported or a target that is not usable;
/// the database fails.
pub async fn restore(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    body: impl FnOnce() -> Result<AzureBackupRestoreRequest, Error> + Send,
) -> Result<Operation, Error> {
    call.authorize(app, "backupVaults/backupInstances/restore/action", id).await?;
    begin(app, call, id, body()?, OperationKind::Restore, Source::Vault).await
}

/// Where it is restored from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source<'a> {
    /// The vault's own storage.
    Vault,
    /// The copy in its second region.
    SecondRegion {
        /// The address of the request.
        scope: &'a SecondRegionScope,
        /// The vault's region, as the request has it.
        source_region: &'a str,
    },
}

/// Begins either, for a caller who may do it.
pub(super) async fn begin(
    app: &App,
    call: Call<'_>,
    id: &ResourceId,
    request: AzureBackupRestoreRequest,
    kind: OperationKind,
    source: Source<'_>,
) -> Result<Operation, Error> {
    let mut request = check(request)?;
    let target = check_target(&mut request.restore_target_info).map_err(errors::invalid_input)?;
    let options = request.coffer_restore_options.as_ref();
    let choice = restore_choice::choice(&request.restore_target_info, options)
        .map_err(errors::invalid_input)?;
    let now_us = app.clock.now_us();
    let mut tx = app.begin(call.caller).await?;
    let vault = id.parent().ok_or_else(errors::resource_not_found)?;
    let vault = vault_require_usable(&mut tx, &vault).await?;
    let second_region = match source {
        Source::Vault => None,
        Source::SecondRegion { scope, source_region } => {
            Some(scope.require(&vault, source_region)?)
        }
    };
    let instance = instance_row::require(&mut *tx, id).await?;
    if let Decision::Refused(reason) =
        decide(instance_row::state_of(&instance), InstanceAction::Restore)
    {
        return Err(errors::state_refuses(reason));
    }
    if kind == OperationKind::Restore {
        let requests = request.resource_guard_operation_requests.as_deref();
        let operation = CriticalOperation::Restore;
        guarded::require_consent(app, call, &mut tx, &vault.id, operation, requests).await?;
    }
    let of_server = datasource::is_server(&instance_row::datasource_of(&instance)?);
    restore_choice::fits(&choice, &request.restore_target_info, of_server)
        .map_err(errors::invalid_input)?;
    require_subscription(&vault, &target)?;
    let state: InstanceState = read_state(&instance.body)?;
    let point =
        db::recovery_point::get(&mut *tx, state.repository_guid, &request.recovery_point_id)
            .await?
            .ok_or_else(|| errors::recovery_point_not_found(&request.recovery_point_id))?;
    if second_region.is_some()
        && !db::copy::is_copied(&mut *tx, state.repository_guid, &point.id).await?
    {
        return Err(errors::recovery_point_not_copied(&point.id));
    }
    request.recovery_point_id.clone_from(&point.id);
    let mut wanted =
        Wanted::of_instance(kind, &instance.id).in_location(second_region.clone()).with_input(
            &RestoreInput { request: request.into(), second_region: second_region.clone() },
        )?;
    if kind == OperationKind::Restore {
        wanted = wanted.with_job(NewJob::Restore {
            recovery_point_id: point.id,
            recovery_destination: target.destination,
            file_prefix: target.file_prefix,
            cross_region: second_region.is_some(),
        });
    }
    let operation = call.begin(&mut tx, &vault, wanted, now_us).await?;
    tx.commit().await?;
    app.executor.wake();
    Ok(operation)
}

/// Only a restore of a recovery point in the vault can be carried out.
fn check(
    request: AzureBackupRestoreRequest,
) -> Result<AzureBackupRecoveryPointBasedRestoreRequest, Error> {
    let request = match request {
        AzureBackupRestoreRequest::AzureBackupRecoveryPointBasedRestoreRequest(request) => *request,
        AzureBackupRestoreRequest::AzureBackupRestoreWithRehydrationRequest(_) => {
            return Err(errors::invalid_input(
                "AzureBackupRestoreWithRehydrationRequest is not supported by this version: there is no archive tier to rehydrate from. \
                 Every recovery point can be restored with AzureBackupRecoveryPointBasedRestoreRequest.",
            ));
        }
        AzureBackupRestoreRequest::AzureBackupRecoveryTimeBasedRestoreRequest(_) => {
            return Err(errors::invalid_input(
                "AzureBackupRecoveryTimeBasedRestoreRequest is not supported for PostgreSQL databases; restore a recovery point with \
                 AzureBackupRecoveryPointBasedRestoreRequest.",
            ));
        }
    };
    if request.source_data_store_type != DataStoreType::VaultStore {
        return Err(errors::invalid_input(format!(
            "The sourceDataStoreType '{}' is not supported by this version; recovery points lie in VaultStore.",
            request.source_data_store_type
        )));
    }
    if let Some(identity) = &request.identity_details
        && (identity.use_system_assigned_identity == Some(false)
            || identity
                .user_assigned_identity_arm_url
                .as_deref()
                .is_some_and(|url| !url.is_empty()))
    {
        return Err(errors::invalid_input(
            "identityDetails asks for a user-assigned identity, which is not supported by this version; the vault's own is used.",
        ));
    }
    Ok(request)
}

fn check_target(target: &mut RestoreTargetInfoBase) -> Result<Target, String> {
    match target {
        RestoreTargetInfoBase::RestoreTargetInfo(target) => check_database_target(
            &target.recovery_option,
            &target.datasource_info,
            target.datasource_set_info.as_ref(),
            target.datasource_auth_credentials.as_mut(),
        ),
        RestoreTargetInfoBase::RestoreFilesTargetInfo(target) => check_files_target(target),
        RestoreTargetInfoBase::ItemLevelRestoreTargetInfo(target) => check_database_target(
            &target.recovery_option,
            &target.datasource_info,
            target.datasource_set_info.as_ref(),
            target.datasource_auth_credentials.as_mut(),
        ),
    }
}

fn check_database_target(
    option: &RecoveryOption,
    datasource: &Datasource,
    set: Option<&DatasourceSet>,
    credentials: Option<&mut AuthCredentials>,
) -> Result<Target, String> {
    check_option(option)?;
    let database = datasource::check_database(datasource, set)?;
    if let Some(credentials) = credentials {
        datasource::check_credentials(credentials)?;
    }
    Ok(Target {
        subscription: database.id.subscription_id().map(str::to_owned),
        destination: database.id.to_string(),
        file_prefix: None,
    })
}

fn check_files_target(target: &RestoreFilesTargetInfo) -> Result<Target, String> {
    check_option(&target.recovery_option)?;
    let details = &target.target_details;
    if details.restore_target_location_type != RestoreTargetLocationType::AzureBlobs {
        return Err(format!(
            "The restoreTargetLocationType '{}' is not supported; AzureBlobs is.",
            details.restore_target_location_type
        ));
    }
    let prefix = &details.file_prefix;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if prefix.is_empty()
        || prefix.len() > FILE_PREFIX_BYTES_MAX
        || !prefix.chars().all(plain)
        || prefix.starts_with('.')
    {
        return Err(format!(
            "The filePrefix '{prefix}' is not usable. It has up to {FILE_PREFIX_BYTES_MAX} letters, digits and -_. and does not begin \
             with a full stop."
        ));
    }
    let is_container = url::Url::parse(&details.url).is_ok_and(|url| {
        url.scheme() == "https" && !url.path().trim_matches('/').is_empty() && url.query().is_none()
    });
    if !is_container {
        return Err(format!(
            "The url '{}' is not that of a container, such as https://account.blob.core.windows.net/container.",
            details.url
        ));
    }
    Ok(Target {
        destination: details.url.clone(),
        file_prefix: Some(prefix.clone()),
        subscription: None,
    })
}

fn check_option(option: &RecoveryOption) -> Result<(), String> {
    match option {
        RecoveryOption::FailIfExists => Ok(()),
        RecoveryOption::Unknown(other) => Err(format!(
            "The recoveryOption '{other}' is not supported; FailIfExists is: nothing is ever overwritten."
        )),
    }
}

/// A vault whose cross-subscription restore was disabled restores to databases of its own subscription only.
fn require_subscription(vault: &Resource, target: &Target) -> Result<(), Error> {
    let features = backup_vault::wire(vault)?.properties.feature_settings.unwrap_or_default();
    let allowed = match features.cross_subscription_restore_settings {
        Some(CrossSubscriptionRestoreSettings { state: Some(state) }) => {
            state.eq_ignore_ascii_case("Enabled")
        }
        _ => true,
    };
    match (&target.subscription, vault.id.subscription_id()) {
        (Some(other), Some(own)) if !allowed && !other.eq_ignore_ascii_case(own) => {
            Err(errors::invalid_input(format!(
                "The target is in subscription '{other}', and cross-subscription restore is disabled in the vault."
            )))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn files(prefix: &str, url: &str) -> Value {
        json!({
            "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
            "recoveryPointId": "3e192126995b408bab9f4252d76c6b23",
            "sourceDataStoreType": "VaultStore",
            "restoreTargetInfo": {
                "objectType": "RestoreFilesTargetInfo",
                "recoveryOption": "FailIfExists",
                "targetDetails": { "filePrefix": prefix, "restoreTargetLocationType": "AzureBlobs", "url": url }
            }
        })
    }

    fn outcome(value: Value) -> Result<Target, String> {
        let request = coffer_azure::decode_value(value).expect("the request decodes");
        let mut request = check(request).map_err(|error| error.message.clone())?;
        check_target(&mut request.restore_target_info)
    }

    const CONTAINER: &str = "https://ossclitestsa.blob.core.windows.net/oss-clitest-blob-container";

    #[test]
    fn files_and_databases() {
        let target = outcome(files("postgres_restore_20022024_174431", CONTAINER)).unwrap();
        assert_eq!(target.destination, CONTAINER);
        let database = "/subscriptions/s/resourceGroups/g/providers/Microsoft.DBforPostgreSQL/servers/srv/databases/restored";
        let target = outcome(json!({
            "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
            "recoveryPointId": "x",
            "sourceDataStoreType": "VaultStore",
            "restoreTargetInfo": {
                "objectType": "restoreTargetInfo",
                "recoveryOption": "FailIfExists",
                "dataSourceInfo": { "resourceID": database, "datasourceType": "Microsoft.DBforPostgreSQL/servers/databases" }
            }
        }))
        .unwrap();
        assert_eq!(
            (target.destination.as_str(), target.subscription.as_deref()),
            (database, Some("s"))
        );
    }

    #[test]
    fn what_cannot_be_carried_out_is_refused() {
        for prefix in ["", "../x", "a/b", ".hidden", "a b"] {
            assert!(
                outcome(files(prefix, CONTAINER)).unwrap_err().contains("filePrefix"),
                "{prefix}"
            );
        }
        for url in [
            "",
            "http://a.blob.core.windows.net/c",
            "https://a.blob.core.windows.net/",
            "https://a/c?sig=1",
        ] {
            assert!(outcome(files("p", url)).unwrap_err().contains("url"), "{url}");
        }
        let changed = |pointer: &str, value: Value| {
            let mut request = files("p", CONTAINER);
            *request.pointer_mut(pointer).unwrap() = value;
            outcome(request).unwrap_err()
        };
        assert!(changed("/sourceDataStoreType", json!("ArchiveStore")).contains("ArchiveStore"));
        assert!(
            changed("/restoreTargetInfo/recoveryOption", json!("Overwrite")).contains("Overwrite")
        );
        assert!(
            changed(
                "/restoreTargetInfo/targetDetails/restoreTargetLocationType",
                json!("AzureFiles")
            )
            .contains("AzureFiles")
        );
        let mut rehydrate = files("p", CONTAINER);
        rehydrate["objectType"] = json!("AzureBackupRestoreWithRehydrationRequest");
        rehydrate["rehydrationPriority"] = json!("High");
        rehydrate["rehydrationRetentionDuration"] = json!("P15D");
        assert!(outcome(rehydrate).unwrap_err().contains("archive"));
    }
}
