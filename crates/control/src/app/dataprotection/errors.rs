//! What requests of this provider are refused with: Azure Backup's codes, its words, and a precise inner reason.
//!
//! Texts that the real service was recorded with are kept word for word, since scripts compare them. Where no recording exists the
//! code is one that the service has and the message is ours.

use coffer_azure::ResourceId;

use super::critical_operation::CriticalOperation;
use crate::error::{Error, ErrorKind, InnerError};

/// A vault is to be made of a deleted one that there is not, or that was another vault.
pub fn no_deleted_vault(id: &str) -> Error {
    // An echo of a header: short.
    let shown: String = id.chars().take(300).collect();
    invalid_input(format!(
        "There is no deleted Backup vault '{shown}' that can be brought back under this id. A vault comes back under the id that it had, until \
         its purge; GET …/providers/Microsoft.DataProtection/locations/{{location}}/deletedVaults of its subscription lists what there is."
    ))
}

/// A deleted vault is to come back where another one is.
pub fn deleted_vaults_name_is_taken(vault: &ResourceId) -> Error {
    invalid_input(format!(
        "The deleted Backup vault cannot be brought back while there is another one of its name. Delete the Backup vault '{}' first.",
        vault.name()
    ))
}

/// A request would give an instance another datasource.
pub fn other_datasource(instance: &ResourceId, current: &ResourceId) -> Error {
    invalid_input(format!(
        "The datasource of a backup instance cannot be changed; that of '{}' is '{current}'.",
        instance.name()
    ))
}

/// The code for everything that is wrong with a body's contents.
const INVALID_INPUT: &str = "BMSUserErrorInvalidInput";
/// The inner code where Azure has none that is finer.
const INNER_UNAVAILABLE: &str = "InnerErrorCodeUnavailable";

/// The body is well-formed and its contents are not usable. `detail` says which member and why, as a full sentence.
pub fn invalid_input(detail: impl Into<String>) -> Error {
    let detail = detail.into();
    Error::invalid(INVALID_INPUT, format!("Input provided for the call is invalid. {detail}"))
        .with_recommended_action(
            "Correct the input as the message says and send the request again.",
        )
        .with_inner(InnerError::new(INNER_UNAVAILABLE, detail))
        .user_facing()
}

/// A resource below a vault, or the vault itself, does not exist.
pub fn resource_not_found() -> Error {
    Error::not_found(
        "UserErrorGenericResourceNotFound",
        "Azure resource does not exist. Please make sure required resources exist. If the issue persists, contact Microsoft support.",
    )
}

/// An operation of the published API that this version does not have.
pub fn not_supported(what: &str) -> Error {
    Error::invalid(
        "OperationNotSupported",
        format!("{what} is not supported by this version of Coffer."),
    )
}

/// The datasource is protected already, here or in another vault.
pub fn datasource_already_protected(vault: &ResourceId, instance_name: &str) -> Error {
    Error::invalid(
        "UserErrorDppDatasourceAlreadyProtected",
        format!("Datasource is already protected under the Backup vault {vault}."),
    )
    .with_recommended_action(format!(
        "Delete the backup instance {instance_name} from the Backup vault {vault} to re-protect the datasource in any other vault."
    ))
    .user_facing()
}

/// The datasource has a soft deleted instance in the same vault.
pub fn datasource_soft_deleted_here(vault: &ResourceId, instance_name: &str) -> Error {
    Error::invalid(
        "UserErrorDppDatasourceAlreadyProtected",
        format!("Datasource is already protected under the Backup vault {vault}."),
    )
    .with_recommended_action(format!(
        "The backup instance {instance_name} of this datasource is soft deleted in the Backup vault {vault}. Undelete it and resume its \
         protection, or protect the datasource in another vault."
    ))
    .user_facing()
}

/// Protection cannot be resumed: another instance protects the datasource by now.
pub fn datasource_has_instance(
    friendly_name: &str,
    instance_name: &str,
    vault: &ResourceId,
    state: &str,
) -> Error {
    Error::invalid(
        "UserErrorDppDatasourceAlreadyHasBackupInstance",
        format!(
            "Datasource is already associated with the backup instance {friendly_name} in the Backup vault {vault} with the protection \
             status as {state}."
        ),
    )
    .with_recommended_action(format!(
        "Delete the backup instance {instance_name} from the Backup vault {vault} to re-protect the datasource in any other vault."
    ))
    .user_facing()
}

/// A policy that instances use cannot be deleted.
pub fn policy_in_use(instance_name: &str) -> Error {
    Error::invalid(
        "UserErrorDppPolicyObjectInUse",
        "Cannot delete the backup policy as one or more backup instances have been configured for protection with this policy.",
    )
    .with_recommended_action("Associate another policy with the backup instances, or delete them, and retry the operation.")
    .with_inner(InnerError::new(INNER_UNAVAILABLE, format!("The backup instance '{instance_name}' uses the policy.")))
    .user_facing()
}

/// A vault with something in it cannot be deleted. `blockers` names what.
pub fn vault_not_empty(blockers: &str) -> Error {
    Error::invalid(
        "UserErrorDppBackupVaultNotEmpty",
        "Cannot delete the Backup vault as there are existing backup instances or backup policies in the vault. Delete all backup \
         instances and backup policies that are present in the vault and then try deleting the vault.",
    )
    .with_recommended_action(format!("Still in the vault: {blockers}."))
    .with_inner(InnerError::new(INNER_UNAVAILABLE, format!("Still in the vault: {blockers}.")))
    .user_facing()
}

/// Soft delete `AlwaysOn` cannot be lowered.
pub fn soft_delete_always_on() -> Error {
    Error::invalid(
        "UserErrorDisableSoftDeleteNotAllowed",
        "Cannot disable soft delete once set to AlwaysOn",
    )
    .with_recommended_action("Please contact Microsoft Support if this is not expected.")
    .user_facing()
}

/// Immutability `Locked` cannot be lowered.
pub fn immutability_locked() -> Error {
    Error::invalid(
        "UserErrorUnsupportedVaultImmutabilityStateChange",
        "The immutable vault property for this vault is locked, hence, this setting cannot be disabled.",
    )
    .with_recommended_action(
        "The vault has its immutable vault property enabled and locked, and it can no longer be reverted to a non-immutable vault. Refer \
         to the documentation to learn more: https://aka.ms/AB-ImmutableVaults-States ",
    )
    .user_facing()
}

/// Soft delete of a locked vault cannot be turned off.
pub fn soft_delete_of_locked_vault() -> Error {
    Error::invalid(
        "UserErrorUnsupportedVaultImmutabilityStateChange",
        "The immutable vault property for this vault is locked, hence, soft delete cannot be turned off.",
    )
    .with_recommended_action("Leave softDeleteSettings.state as it is: turning it off would purge what is soft deleted at once.")
    .user_facing()
}

/// Cross-region restore cannot be turned off.
pub fn cross_region_restore_enabled() -> Error {
    Error::invalid(
        "UserErrorCrossRegionRestoreStateChangeNotAllowed",
        "CrossRegionRestore state cannot be changed from Enabled to Disabled.",
    )
    .with_recommended_action("Please contact Microsoft Support if this is not expected.")
    .user_facing()
}

/// Cross-region restore needs a second region.
pub fn no_second_region(is_geo_redundant: bool) -> Error {
    invalid_input(if is_geo_redundant {
        "crossRegionRestoreSettings cannot be Enabled: the location of the vault is paired with no other one (storage.{location}.paired_with \
         of the configuration)."
    } else {
        "crossRegionRestoreSettings can be Enabled only while the VaultStore is GeoRedundant: others are not copied to a second region."
    })
}

/// A request about the second region of a vault from which nobody may restore there.
pub fn not_enabled_across(vault: &ResourceId) -> Error {
    Error::invalid(
        "UserErrorCrossRegionRestoreNotEnabled",
        format!("Cross region restore is not enabled for the Backup vault {vault}."),
    )
    .with_recommended_action(
        "Set featureSettings.crossRegionRestoreSettings.state of the Backup vault to Enabled.",
    )
    .user_facing()
}

/// A request about a second region that is another one than it says.
pub fn other_region(what: &str, given: &str, expected: &str) -> Error {
    invalid_input(format!("The {what} is '{given}'; of this Backup vault it is '{expected}'."))
}

/// A destructive action that the vault's immutability forbids.
pub fn vault_is_immutable(detail: &str) -> Error {
    Error::invalid(
        "UserErrorDeleteBackupItemOnImmutableItem",
        "The Vault and Backup Item is in Immutable state where destructive operations are not supported.",
    )
    .with_recommended_action("Stop the protection and retain the data, or wait until every recovery point has expired.")
    .with_inner(InnerError::new(INNER_UNAVAILABLE, detail))
    .user_facing()
}

/// The instance's state does not allow the action. `reason` says why and what to do.
pub fn state_refuses(reason: impl Into<String>) -> Error {
    Error::invalid("UserErrorDppActionNotAllowedInCurrentState", reason)
        .with_recommended_action("Read the backup instance's currentProtectionState and retry when it allows the operation.")
        .user_facing()
}

/// `ruleName` of an ad hoc backup is not the name of the policy's backup rule.
pub fn backup_rule_unknown(given: &str, expected: &str) -> Error {
    Error::invalid("BMSUserErrorDPPAdhocBackupNotAllowedForBackupType", "Adhoc backup is not allowed for the given backup rule.")
        .with_recommended_action(format!(
            "Use the name of the policy's AzureBackupRule, '{expected}', as ruleName. The retention is chosen with \
             triggerOption.retentionTagOverride."
        ))
        .with_inner(InnerError::new(
            INNER_UNAVAILABLE,
            format!("'{given}' is not an AzureBackupRule of the policy; '{expected}' is."),
        ))
        .user_facing()
}

/// A guarded vault's critical operation does not name the request that its guard wants.
pub fn consent_not_asked_for(
    operation: CriticalOperation,
    guard: &ResourceId,
    request: &ResourceId,
) -> Error {
    not_consented(operation, guard)
        .with_recommended_action(format!(
            "Name the request {request} in resourceGuardOperationRequests, with the token of somebody who may approve it: the caller's \
             own, or another one in the header x-ms-authorization-auxiliary."
        ))
        .with_inner(InnerError::new(
            "ResourceGuardOperationRequestMissing",
            format!("resourceGuardOperationRequests does not name {request}."),
        ))
}

/// Nobody whose token came with the request may approve it at the guard.
pub fn consent_refused(
    operation: CriticalOperation,
    guard: &ResourceId,
    request: &ResourceId,
    action: &str,
) -> Error {
    not_consented(operation, guard)
        .with_recommended_action(format!(
            "Ask the owner of the resource guard for a role there that approves, such as Contributor; Reader does not. It may be given for \
             this one request, at the scope {request}."
        ))
        .with_inner(InnerError::new(
            "LinkedAuthorizationFailed",
            format!(
                "None of the callers has authorization to perform action '{action}' over the linked scope '{request}'."
            ),
        ))
}

/// A deletion in a guarded vault that was not unlocked, or too long ago.
pub fn deletion_locked(
    operation: CriticalOperation,
    guard: &ResourceId,
    proxy: &ResourceId,
    what: &ResourceId,
) -> Error {
    let request = operation.request_of(guard);
    not_consented(operation, guard)
        .with_recommended_action(format!(
            "Unlock the deletion by POST {proxy}/unlockDelete, naming the request {request}, and delete within 30 minutes."
        ))
        .with_inner(InnerError::new(
            "DeleteNotUnlocked",
            format!("The deletion of {what} is not unlocked; it needs the request {request}."),
        ))
}

fn not_consented(operation: CriticalOperation, guard: &ResourceId) -> Error {
    Error::new(
        ErrorKind::Forbidden,
        "UserErrorUnauthorizedResourceGuardOperation",
        format!(
            "The operation '{}' is protected by the resource guard {guard} and was not approved.",
            operation.name()
        ),
    )
    .with_target(guard.to_string())
    .user_facing()
}

/// More deletions are unlocked in the vault than are kept track of.
pub fn too_many_unlocked(most: usize) -> Error {
    Error::conflict(
        "TooManyUnlockedDeletions",
        format!("{most} deletions are unlocked in the Backup vault already."),
    )
    .with_recommended_action("Delete what was unlocked, or wait for half an hour.")
}

/// A guard to which vaults submit cannot be deleted. `vaults` names them.
pub fn guard_in_use(vaults: &str) -> Error {
    Error::invalid(
        "UserErrorResourceGuardInUse",
        "Cannot delete the resource guard as there are Backup vaults that it protects.",
    )
    .with_recommended_action("Delete the resource guard proxies of the vaults first.")
    .with_inner(InnerError::new(INNER_UNAVAILABLE, format!("It protects {vaults}.")))
    .user_facing()
}

/// A vault submits to one guard only, and to another only when it has left that.
pub fn guarded_already(proxy: &ResourceId, guard: &ResourceId) -> Error {
    Error::invalid(
        "UserErrorVaultAlreadyProtectedByResourceGuard",
        format!("The Backup vault is protected by the resource guard {guard} already."),
    )
    .with_recommended_action(format!("Delete the resource guard proxy {proxy} first."))
    .user_facing()
}

/// A resource of this id is in another location.
pub fn other_location(id: &ResourceId, current: &str, location: &str) -> Error {
    let group = id.resource_group().unwrap_or_default();
    Error::conflict(
        "InvalidResourceLocation",
        format!(
            "The resource '{}' already exists in location '{current}' in resource group '{group}'. A resource with the same name cannot be \
             created in location '{location}'. Please select a new resource name.",
            id.name()
        ),
    )
}

/// The vault is being deleted.
pub fn vault_is_deleting(vault: &ResourceId) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "ResourceDeletionInProgress",
        format!("The Backup vault {vault} is being deleted."),
    )
    .with_recommended_action("Wait until the deletion has ended, then create the vault again.")
}

/// An operation on the same resource has not ended.
pub fn operation_in_progress(what: &str) -> Error {
    Error::new(
        ErrorKind::Conflict,
        "AnotherOperationInProgress",
        format!("Another operation on {what} is in progress."),
    )
    .with_recommended_action("Wait until it has ended and retry.")
}

/// The instance has no such recovery point.
pub fn recovery_point_not_found(id: &str) -> Error {
    Error::invalid("UserErrorRecoveryPointNotFound", "The recovery point could not be found.")
        .with_recommended_action(
            "List the recovery points of the backup instance and choose one of them.",
        )
        .with_inner(InnerError::new(
            INNER_UNAVAILABLE,
            format!("The backup instance has no recovery point '{id}'."),
        ))
        .user_facing()
}

/// The instance has it, and its second region not yet.
pub fn recovery_point_not_copied(id: &str) -> Error {
    Error::invalid("UserErrorRecoveryPointNotFound", "The recovery point could not be found.")
        .with_recommended_action(
            "List the recovery points in the second region and choose one of them, or wait until it has been copied.",
        )
        .with_inner(InnerError::new(
            INNER_UNAVAILABLE,
            format!("The recovery point '{id}' has not been copied to the second region yet."),
        ))
        .user_facing()
}
