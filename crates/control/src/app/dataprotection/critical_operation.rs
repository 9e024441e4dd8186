//! The operations of vaults that a resource guard watches over, by Azure's names.
//!
//! A guard lists eighteen: nine of Recovery Services vaults, which are shown because the service shows them, and nine of backup vaults,
//! which are the ones that [`super::guarded`] enforces.

use coffer_azure::{ResourceGuardOperation, ResourceGuardOperationDetail, ResourceId};

/// The name of the one request of every type.
pub const DEFAULT_REQUEST: &str = "default";

/// An operation of a backup vault that needs the consent of its guard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CriticalOperation {
    /// Deletion of a backup instance.
    DeleteInstance,
    /// Deletion of the vault's proxy, which ends the guard's watch.
    DeleteProxy,
    /// A weaker state of immutability.
    ReduceImmutability,
    /// A weaker state or a shorter retention of soft delete.
    ReduceSoftDelete,
    /// Keys of the customer's own.
    ModifyEncryption,
    /// `stopProtection`.
    StopProtection,
    /// `suspendBackups`.
    SuspendBackups,
    /// Another policy for a backup instance, or less in the policy that it has.
    ModifyPolicy,
    /// `restore`.
    Restore,
}

/// What a guard lists for Recovery Services vaults: the operation, and the type of its requests.
const RECOVERY_SERVICES: [(&str, &str); 9] = [
    (
        "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/delete",
        "deleteProtectedItemRequests",
    ),
    (
        "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/write",
        "updateProtectedItemRequests",
    ),
    ("Microsoft.RecoveryServices/vaults/backupPolicies/write", "updateProtectionPolicyRequests"),
    (RECOVERY_SERVICES_DELETE_PROXY, "deleteResourceGuardProxyRequests"),
    ("Microsoft.RecoveryServices/vaults/backupSecurityPIN/action", "getBackupSecurityPINRequests"),
    ("Microsoft.RecoveryServices/vaults/backupconfig/write", "disableSoftDeleteRequests"),
    (
        "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/write#stopProtectionWithRetainData",
        "stopProtectionWithRetainDataRequests",
    ),
    (
        "Microsoft.RecoveryServices/vaults/write#reduceImmutabilityState",
        "reduceImmutabilityStateRequests",
    ),
    (
        "Microsoft.RecoveryServices/vaults/backupFabrics/protectionContainers/protectedItems/recoveryPoints/restore/action",
        "triggerRestoreRequests",
    ),
];

const RECOVERY_SERVICES_DELETE_PROXY: &str =
    "Microsoft.RecoveryServices/vaults/backupResourceGuardProxies/delete";

impl CriticalOperation {
    /// All nine, in the service's order.
    pub const ALL: [Self; 9] = [
        Self::DeleteInstance,
        Self::DeleteProxy,
        Self::ReduceImmutability,
        Self::ReduceSoftDelete,
        Self::ModifyEncryption,
        Self::StopProtection,
        Self::SuspendBackups,
        Self::ModifyPolicy,
        Self::Restore,
    ];

    /// The operation's name, as a guard and its exclusion list have it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DeleteInstance => "Microsoft.DataProtection/backupVaults/backupInstances/delete",
            Self::DeleteProxy => {
                "Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/delete"
            }
            Self::ReduceImmutability => {
                "Microsoft.DataProtection/backupVaults/write#reduceImmutabilityState"
            }
            Self::ReduceSoftDelete => {
                "Microsoft.DataProtection/backupVaults/write#reduceSoftDeleteSecurity"
            }
            Self::ModifyEncryption => {
                "Microsoft.DataProtection/backupVaults/write#modifyEncryptionSettings"
            }
            Self::StopProtection => {
                "Microsoft.DataProtection/backupVaults/backupInstances/stopProtection/action"
            }
            Self::SuspendBackups => {
                "Microsoft.DataProtection/backupVaults/backupInstances/suspendBackups/action"
            }
            Self::ModifyPolicy => "Microsoft.DataProtection/backupVaults/backupInstances/write",
            Self::Restore => "Microsoft.DataProtection/backupVaults/backupInstances/restore/action",
        }
    }

    /// The type of the requests by which consent is asked for: the last segment of it.
    #[must_use]
    pub fn request_type(self) -> &'static str {
        match self {
            Self::DeleteInstance => "deleteBackupInstanceRequests",
            Self::DeleteProxy => "deleteResourceGuardProxyRequests",
            Self::ReduceImmutability => "dppReduceImmutabilityStateRequests",
            Self::ReduceSoftDelete => "dppReduceSoftDeleteSecurityRequests",
            Self::ModifyEncryption => "dppModifyEncryptionSettingsRequests",
            Self::StopProtection => "dppDisableStopProtectionRequests",
            Self::SuspendBackups => "dppDisableSuspendBackupsRequests",
            Self::ModifyPolicy => "dppModifyPolicy",
            Self::Restore => "dppTriggerRestoreRequests",
        }
    }

    /// The request to `guard` that has to be named.
    #[must_use]
    pub fn request_of(self, guard: &ResourceId) -> ResourceId {
        guard.child(self.request_type(), DEFAULT_REQUEST)
    }
}

/// Every type of request that a guard has, in the spelling of the service.
#[must_use]
pub fn request_type(name: &str) -> Option<&'static str> {
    let recovery_services = RECOVERY_SERVICES.iter().map(|(_, request)| *request);
    CriticalOperation::ALL
        .into_iter()
        .map(CriticalOperation::request_type)
        .chain(recovery_services)
        .find(|request| request.eq_ignore_ascii_case(name))
}

/// Brings an exclusion list into the service's spelling, each operation once.
///
/// # Errors
/// A sentence: an operation is unknown, or one that no guard can do without.
pub(super) fn check_exclusions(names: &[String]) -> Result<Vec<String>, String> {
    let mut excluded: Vec<String> = Vec::new();
    for name in names {
        let known = all().find(|known| known.eq_ignore_ascii_case(name)).ok_or_else(|| {
            format!(
                "vaultCriticalOperationExclusionList has '{name}', which is no critical operation."
            )
        })?;
        if known == CriticalOperation::DeleteProxy.name() || known == RECOVERY_SERVICES_DELETE_PROXY
        {
            return Err(format!(
                "vaultCriticalOperationExclusionList has '{known}', which cannot be excluded: without it the guard protects nothing."
            ));
        }
        if !excluded.iter().any(|other| other == known) {
            excluded.push(known.to_owned());
        }
    }
    Ok(excluded)
}

/// What a guard shows as its operations.
pub(super) fn operations(excluded: &[String]) -> Vec<ResourceGuardOperation> {
    let recovery_services = RECOVERY_SERVICES
        .iter()
        .map(|(name, request)| (*name, format!("{}/resourceGuards/{request}", super::NAMESPACE)));
    // The service repeats the operation's own name here, whatever the type of its requests.
    let own = CriticalOperation::ALL
        .into_iter()
        .map(|operation| (operation.name(), operation.name().to_owned()));
    recovery_services
        .chain(own)
        .filter(|(name, _)| !excluded.iter().any(|other| other == name))
        .map(|(name, request_type)| ResourceGuardOperation {
            vault_critical_operation: Some(name.to_owned()),
            request_resource_type: Some(request_type),
        })
        .collect()
}

/// What a vault's proxy shows: the operations of backup vaults, and the request that each has to name.
pub(super) fn details(
    guard: &ResourceId,
    excluded: &[String],
) -> Vec<ResourceGuardOperationDetail> {
    CriticalOperation::ALL
        .into_iter()
        .filter(|operation| !excluded.iter().any(|other| other == operation.name()))
        .map(|operation| ResourceGuardOperationDetail {
            vault_critical_operation: Some(operation.name().to_owned()),
            default_resource_request: Some(operation.request_of(guard).to_string()),
        })
        .collect()
}

fn all() -> impl Iterator<Item = &'static str> {
    let recovery_services = RECOVERY_SERVICES.iter().map(|(name, _)| *name);
    recovery_services.chain(CriticalOperation::ALL.into_iter().map(CriticalOperation::name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eighteen_without_the_excluded_ones() {
        assert_eq!(operations(&[]).len(), 18);
        let excluded = check_exclusions(&[
            "microsoft.dataprotection/BACKUPVAULTS/backupInstances/delete".to_owned(),
            "Microsoft.DataProtection/backupVaults/backupInstances/delete".to_owned(),
            "Microsoft.RecoveryServices/vaults/backupSecurityPIN/action".to_owned(),
        ])
        .unwrap();
        assert_eq!(excluded.len(), 2);
        assert_eq!(operations(&excluded).len(), 16);
        let guard = ResourceId::parse(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.DataProtection/resourceGuards/r",
        )
        .unwrap();
        let details = details(&guard, &excluded);
        assert_eq!(details.len(), 8);
        assert_eq!(
            details[0].default_resource_request,
            Some(format!("{guard}/deleteResourceGuardProxyRequests/default"))
        );
    }

    #[test]
    fn the_way_out_stays_guarded() {
        for name in ["Microsoft.DataProtection/backupVaults", "Microsoft.RecoveryServices/vaults"] {
            let name = format!("{name}/backupResourceGuardProxies/DELETE");
            assert!(check_exclusions(&[name]).unwrap_err().contains("cannot be excluded"));
        }
        assert!(check_exclusions(&["write".to_owned()]).unwrap_err().contains("'write'"));
    }

    #[test]
    fn types_of_requests_in_any_case() {
        assert_eq!(request_type("DPPMODIFYPOLICY"), Some("dppModifyPolicy"));
        assert_eq!(
            request_type("getbackupsecuritypinrequests"),
            Some("getBackupSecurityPINRequests")
        );
        assert_eq!(request_type("requests"), None);
    }
}
