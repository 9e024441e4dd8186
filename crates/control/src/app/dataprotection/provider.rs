//! What belongs to the provider as a whole: its operations, free names, supported features.

use coffer_azure::ResourceId;

use super::{Call, datasource, names};
use crate::app::App;
use crate::db;
use crate::error::Error;

/// An action that roles can name, as `GET /providers/Microsoft.DataProtection/operations` lists it.
#[derive(Clone, Copy, Debug)]
pub struct ProviderOperation {
    /// Behind `Microsoft.DataProtection/`.
    pub action: &'static str,
    /// What it is done to.
    pub resource: &'static str,
    /// What it does.
    pub operation: &'static str,
}

const fn op(
    action: &'static str,
    resource: &'static str,
    operation: &'static str,
) -> ProviderOperation {
    ProviderOperation { action, resource, operation }
}

/// Every action that this version authorizes.
pub const OPERATIONS: &[ProviderOperation] = &[
    op("backupVaults/read", "Backup Vaults", "Read Backup Vaults"),
    op("backupVaults/write", "Backup Vaults", "Create or update a Backup Vault"),
    op("backupVaults/delete", "Backup Vaults", "Delete a Backup Vault"),
    op(
        "backupVaults/operationResults/read",
        "Backup Vaults",
        "Read the result of an operation of a Backup Vault",
    ),
    op(
        "backupVaults/operationStatus/read",
        "Backup Vaults",
        "Read the status of an operation of a Backup Vault",
    ),
    op(
        "backupVaults/validateForBackup/action",
        "Backup Vaults",
        "Validate for backup of a Backup Instance",
    ),
    op("backupVaults/backupPolicies/read", "Backup Policies", "Read Backup Policies"),
    op("backupVaults/backupPolicies/write", "Backup Policies", "Create or update a Backup Policy"),
    op("backupVaults/backupPolicies/delete", "Backup Policies", "Delete a Backup Policy"),
    op("backupVaults/backupInstances/read", "Backup Instances", "Read Backup Instances"),
    op(
        "backupVaults/backupInstances/write",
        "Backup Instances",
        "Create or update a Backup Instance",
    ),
    op("backupVaults/backupInstances/delete", "Backup Instances", "Delete a Backup Instance"),
    op(
        "backupVaults/backupInstances/backup/action",
        "Backup Instances",
        "Take a backup of a Backup Instance",
    ),
    op(
        "backupVaults/backupInstances/validateRestore/action",
        "Backup Instances",
        "Validate a restore of a Backup Instance",
    ),
    op(
        "backupVaults/backupInstances/restore/action",
        "Backup Instances",
        "Restore a Backup Instance",
    ),
    op(
        "backupVaults/backupInstances/stopProtection/action",
        "Backup Instances",
        "Stop the protection of a Backup Instance",
    ),
    op(
        "backupVaults/backupInstances/suspendBackups/action",
        "Backup Instances",
        "Suspend the backups of a Backup Instance",
    ),
    op(
        "backupVaults/backupInstances/resumeProtection/action",
        "Backup Instances",
        "Resume the protection of a Backup Instance",
    ),
    op(
        "backupVaults/backupInstances/resumeBackups/action",
        "Backup Instances",
        "Resume the backups of a Backup Instance",
    ),
    op(
        "backupVaults/backupInstances/sync/action",
        "Backup Instances",
        "Retry the last failed operation of a Backup Instance",
    ),
    op(
        "backupVaults/backupInstances/operationResults/read",
        "Backup Instances",
        "Read the result of an operation of a Backup Instance",
    ),
    op(
        "backupVaults/backupInstances/recoveryPoints/read",
        "Recovery Points",
        "Read Recovery Points",
    ),
    op(
        "backupVaults/deletedBackupInstances/read",
        "Deleted Backup Instances",
        "Read soft deleted Backup Instances",
    ),
    op(
        "backupVaults/deletedBackupInstances/undelete/action",
        "Deleted Backup Instances",
        "Undelete a soft deleted Backup Instance",
    ),
    op(
        "backupVaults/backupInstances/findRestorableTimeRanges/action",
        "Backup Instances",
        "Find the ranges of time to which a Backup Instance can be restored",
    ),
    op(
        "backupVaults/backupInstances/rehydrate/action",
        "Backup Instances",
        "Bring a Recovery Point back from the archive",
    ),
    op(
        "backupVaults/backupInstances/validateForModifyBackup/action",
        "Backup Instances",
        "Validate a change of a Backup Instance",
    ),
    op("backupVaults/backupJobs/read", "Backup Jobs", "Read Backup Jobs"),
    op(
        "backupVaults/backupResourceGuardProxies/read",
        "Resource Guard Proxies",
        "Read Resource Guard Proxies",
    ),
    op(
        "backupVaults/backupResourceGuardProxies/write",
        "Resource Guard Proxies",
        "Protect a Backup Vault by a Resource Guard",
    ),
    op(
        "backupVaults/backupResourceGuardProxies/delete",
        "Resource Guard Proxies",
        "Delete a Resource Guard Proxy",
    ),
    op(
        "backupVaults/backupResourceGuardProxies/unlockDelete/action",
        "Resource Guard Proxies",
        "Unlock the next deletion that a Resource Guard protects",
    ),
    op(
        "subscriptions/resourceGroups/providers/resourceGuards/read",
        "Resource Guards",
        "Read Resource Guards",
    ),
    op(
        "subscriptions/resourceGroups/providers/resourceGuards/write",
        "Resource Guards",
        "Create or update a Resource Guard",
    ),
    op(
        "subscriptions/resourceGroups/providers/resourceGuards/delete",
        "Resource Guards",
        "Delete a Resource Guard",
    ),
    op(
        "subscriptions/resourceGroups/providers/resourceGuards/{operationName}/read",
        "Resource Guards",
        "Read the requests of a Resource Guard",
    ),
    op(
        "resourceGuards/{operationName}/action",
        "Resource Guards",
        "Approve a critical operation that a Resource Guard protects",
    ),
    op("locations/operationStatus/read", "Operations", "Read the status of an operation"),
    op("locations/deletedVaults/read", "Backup Vaults", "Read deleted Backup Vaults"),
    op("operationStatus/read", "Operations", "Read the status of an operation"),
    op("locations/operationResults/read", "Operations", "Read the result of an operation"),
    op(
        "locations/checkNameAvailability/action",
        "Backup Vaults",
        "Check whether the name of a Backup Vault is free",
    ),
    op("locations/checkFeatureSupport/action", "Provider", "Check whether a feature is supported"),
    op(
        "subscriptions/resourceGroups/providers/locations/fetchSecondaryRecoveryPoints/action",
        "Second Region",
        "List the Recovery Points in the second region",
    ),
    op(
        "subscriptions/resourceGroups/providers/locations/validateCrossRegionRestore/action",
        "Second Region",
        "Validate a restore from the second region",
    ),
    op(
        "subscriptions/resourceGroups/providers/locations/crossRegionRestore/action",
        "Second Region",
        "Restore from the second region",
    ),
    op(
        "subscriptions/resourceGroups/providers/locations/fetchCrossRegionRestoreJobs/action",
        "Second Region",
        "List the restores from the second region",
    ),
    op(
        "subscriptions/resourceGroups/providers/locations/fetchCrossRegionRestoreJob/action",
        "Second Region",
        "Read a restore from the second region",
    ),
    op("operations/read", "Provider", "List the operations of the provider"),
];

/// Whether a vault of this name can be made in the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NameAvailability {
    /// It can.
    Available,
    /// There is one.
    Taken(String),
    /// No vault can have such a name.
    Invalid(String),
}

/// Answers `checkNameAvailability` for a vault in the group. `name` is read after the caller was authorized.
///
/// # Errors
/// The caller may not ask, or the database fails.
pub async fn check_name_availability(
    app: &App,
    call: Call<'_>,
    group: &ResourceId,
    name: impl FnOnce() -> Result<String, Error> + Send,
) -> Result<NameAvailability, Error> {
    call.authorize(app, "locations/checkNameAvailability/action", group).await?;
    let name = &name()?;
    if let Err(reason) = names::check_vault_name(name) {
        return Ok(NameAvailability::Invalid(reason));
    }
    let vault = group.provider_child(super::NAMESPACE, "backupVaults", name);
    if db::resource_exists(app.db.read(), &vault).await? {
        Ok(NameAvailability::Taken(format!(
            "A Backup vault with the name '{name}' already exists in this resource group."
        )))
    } else {
        Ok(NameAvailability::Available)
    }
}

/// The datasource types that can be protected. Answers `checkFeatureSupport`.
///
/// # Errors
/// The caller may not ask, or the database fails.
pub async fn check_feature_support(
    app: &App,
    call: Call<'_>,
    subscription: &ResourceId,
) -> Result<&'static [&'static str], Error> {
    call.authorize(app, "locations/checkFeatureSupport/action", subscription).await?;
    Ok(&[datasource::DATABASE_TYPE, datasource::SERVER_TYPE])
}
