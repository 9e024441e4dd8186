//! The example requests of the specification of 2024-04-01.

use coffer_azure as azure;
use serde_json::Value;

use crate::material::{read_json, round_trip, shared_dir};

type RoundTrip = fn(&str, &Value);

/// Every example request about what Coffer's PostgreSQL users do, with its type.
const REQUESTS: &[(&str, RoundTrip)] = &[
    (
        "BackupInstanceOperations/FindRestorableTimeRanges.json",
        round_trip::<azure::AzureBackupFindRestorableTimeRangesRequest>,
    ),
    (
        "BackupInstanceOperations/PutBackupInstance.json",
        round_trip::<azure::BackupInstanceResource>,
    ),
    (
        "BackupInstanceOperations/PutBackupInstance_ResourceGuardEnabled.json",
        round_trip::<azure::BackupInstanceResource>,
    ),
    (
        "BackupInstanceOperations/StopProtection_ResourceGuardEnabled.json",
        round_trip::<azure::StopProtectionRequest>,
    ),
    (
        "BackupInstanceOperations/SuspendBackup_ResourceGuardEnabled.json",
        round_trip::<azure::SuspendBackupRequest>,
    ),
    (
        "BackupInstanceOperations/SyncBackupInstance.json",
        round_trip::<azure::SyncBackupInstanceRequest>,
    ),
    ("BackupInstanceOperations/TriggerBackup.json", round_trip::<azure::TriggerBackupRequest>),
    (
        "BackupInstanceOperations/TriggerRehydrate.json",
        round_trip::<azure::AzureBackupRehydrationRequest>,
    ),
    (
        "BackupInstanceOperations/TriggerRestore.json",
        round_trip::<azure::AzureBackupRestoreRequest>,
    ),
    (
        "BackupInstanceOperations/TriggerRestoreAsFiles.json",
        round_trip::<azure::AzureBackupRestoreRequest>,
    ),
    (
        "BackupInstanceOperations/TriggerRestoreWithRehydration.json",
        round_trip::<azure::AzureBackupRestoreRequest>,
    ),
    (
        "BackupInstanceOperations/ValidateForBackup.json",
        round_trip::<azure::ValidateForBackupRequest>,
    ),
    (
        "BackupInstanceOperations/ValidateRestore.json",
        round_trip::<azure::ValidateRestoreRequestObject>,
    ),
    ("CheckfeatureSupport.json", round_trip::<azure::FeatureValidationRequest>),
    ("PolicyCRUD/CreateOrUpdateBackupPolicy.json", round_trip::<azure::BaseBackupPolicyResource>),
    (
        "VaultCRUD/CheckBackupVaultsNameAvailability.json",
        round_trip::<azure::CheckNameAvailabilityRequest>,
    ),
    ("ResourceGuardCRUD/PatchResourceGuard.json", round_trip::<azure::PatchResourceGuardInput>),
    ("ResourceGuardCRUD/PutResourceGuard.json", round_trip::<azure::ResourceGuardResource>),
    (
        "ResourceGuardProxyCRUD/PutResourceGuardProxy.json",
        round_trip::<azure::ResourceGuardProxyBaseResource>,
    ),
    (
        "ResourceGuardProxyCRUD/UnlockDeleteResourceGuardProxy.json",
        round_trip::<azure::UnlockDeleteRequest>,
    ),
    ("VaultCRUD/PatchBackupVault.json", round_trip::<azure::PatchResourceRequestInput>),
    ("VaultCRUD/PatchBackupVaultWithCMK.json", round_trip::<azure::PatchResourceRequestInput>),
    ("VaultCRUD/PutBackupVault.json", round_trip::<azure::BackupVaultResource>),
    (
        "VaultCRUD/PutBackupVaultCMKSettings_ResourceGuardEnabled",
        round_trip::<azure::BackupVaultResource>,
    ),
    ("VaultCRUD/PutBackupVaultWithCMK.json", round_trip::<azure::BackupVaultResource>),
    ("VaultCRUD/PutBackupVaultWithMSI.json", round_trip::<azure::BackupVaultResource>),
];

/// Example requests about what has no types yet: restores across regions. The list may only shrink.
const NOT_YET: &[&str] = &[
    "CrossRegionRestore/FetchCrossRegionRestoreJob.json",
    "CrossRegionRestore/FetchCrossRegionRestoreJobs.json",
    "CrossRegionRestore/FetchSecondaryRPs.json",
    "CrossRegionRestore/TriggerCrossRegionRestore.json",
    "CrossRegionRestore/ValidateCrossRegionRestore.json",
];

/// The parameter that is the request's body: the only one that is an object.
pub(crate) fn body(example: &Value) -> Option<&Value> {
    example["parameters"].as_object()?.values().find(|value| value.is_object())
}

#[test]
fn example_requests_decode_and_encode_to_the_same() {
    let Some(shared) = shared_dir() else { return };
    let examples = shared.join("azure/swagger/2024-04-01/examples");
    for (name, round_trip) in REQUESTS {
        let example = read_json(&examples.join(name));
        round_trip(name, body(&example).unwrap());
    }
}

#[test]
fn no_example_request_is_forgotten() {
    let Some(shared) = shared_dir() else { return };
    let examples = shared.join("azure/swagger/2024-04-01/examples");
    let mut forgotten = Vec::new();
    let mut directories = vec![examples.clone()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
                continue;
            }
            let name = path.strip_prefix(&examples).unwrap().to_str().unwrap().to_owned();
            let known = REQUESTS.iter().map(|(name, _)| *name).chain(NOT_YET.iter().copied());
            if body(&read_json(&path)).is_some() && !known.into_iter().any(|known| known == name) {
                forgotten.push(name);
            }
        }
    }
    assert!(forgotten.is_empty(), "{forgotten:?}");
}

/// Answers of which there is no recording.
#[test]
fn example_answers_decode_and_encode_to_the_same() {
    const ANSWERS: &[(&str, RoundTrip)] = &[
        (
            "BackupInstanceOperations/FindRestorableTimeRanges.json",
            round_trip::<azure::AzureBackupFindRestorableTimeRangesResponseResource>,
        ),
        ("JobCRUD/GetExportJobsOperationResult.json", round_trip::<azure::ExportJobsResult>),
        ("ResourceGuardCRUD/GetResourceGuard.json", round_trip::<azure::ResourceGuardResource>),
        ("ResourceGuardCRUD/PatchResourceGuard.json", round_trip::<azure::ResourceGuardResource>),
        (
            "ResourceGuardCRUD/GetResourceGuardsInSubscription.json",
            round_trip::<azure::Page<azure::ResourceGuardResource>>,
        ),
        (
            "ResourceGuardCRUD/GetDefaultDisableSoftDeleteRequests.json",
            round_trip::<azure::DppBaseResource>,
        ),
        (
            "ResourceGuardCRUD/ListDisableSoftDeleteRequests.json",
            round_trip::<azure::Page<azure::DppBaseResource>>,
        ),
        (
            "ResourceGuardProxyCRUD/GetResourceGuardProxy.json",
            round_trip::<azure::ResourceGuardProxyBaseResource>,
        ),
        (
            "ResourceGuardProxyCRUD/ListResourceGuardProxy.json",
            round_trip::<azure::Page<azure::ResourceGuardProxyBaseResource>>,
        ),
        (
            "ResourceGuardProxyCRUD/UnlockDeleteResourceGuardProxy.json",
            round_trip::<azure::UnlockDeleteResponse>,
        ),
    ];
    let Some(shared) = shared_dir() else { return };
    let examples = shared.join("azure/swagger/2024-04-01/examples");
    for (name, round_trip) in ANSWERS {
        let example = read_json(&examples.join(name));
        round_trip(name, &example["responses"]["200"]["body"]);
    }
}
