//! The examples of the specification of 2024-04-01: every body of every request and answer, by the type that the specification
//! gives it.

use std::collections::BTreeSet;

use coffer_azure as azure;
use serde_json::Value;

use crate::material::{Differences, differences, read_json, shared_dir};

const SPECIFICATION: &str = "azure/swagger/2024-04-01/dataprotection.bundled.json";
const EXAMPLES: &str = "azure/swagger/2024-04-01/examples";

/// What the specification calls a body, and our type of it.
const TYPES: &[(&str, Differences)] = &[
    (
        "AzureBackupFindRestorableTimeRangesRequest",
        differences::<azure::AzureBackupFindRestorableTimeRangesRequest>,
    ),
    (
        "AzureBackupFindRestorableTimeRangesResponseResource",
        differences::<azure::AzureBackupFindRestorableTimeRangesResponseResource>,
    ),
    ("AzureBackupJobResource", differences::<azure::AzureBackupJobResource>),
    ("AzureBackupJobResourceList", differences::<azure::Page<azure::AzureBackupJobResource>>),
    ("AzureBackupRecoveryPointResource", differences::<azure::AzureBackupRecoveryPointResource>),
    (
        "AzureBackupRecoveryPointResourceList",
        differences::<azure::Page<azure::AzureBackupRecoveryPointResource>>,
    ),
    ("AzureBackupRehydrationRequest", differences::<azure::AzureBackupRehydrationRequest>),
    ("AzureBackupRestoreRequest", differences::<azure::AzureBackupRestoreRequest>),
    ("BackupInstanceResource", differences::<azure::BackupInstanceResource>),
    ("BackupInstanceResourceList", differences::<azure::Page<azure::BackupInstanceResource>>),
    ("BackupVaultResource", differences::<azure::BackupVaultResource>),
    ("BackupVaultResourceList", differences::<azure::Page<azure::BackupVaultResource>>),
    ("BaseBackupPolicyResource", differences::<azure::BaseBackupPolicyResource>),
    ("BaseBackupPolicyResourceList", differences::<azure::Page<azure::BaseBackupPolicyResource>>),
    ("CheckNameAvailabilityRequest", differences::<azure::CheckNameAvailabilityRequest>),
    ("CheckNameAvailabilityResult", differences::<azure::CheckNameAvailabilityResult>),
    ("CrossRegionRestoreJobRequest", differences::<azure::CrossRegionRestoreJobRequest>),
    ("CrossRegionRestoreJobsRequest", differences::<azure::CrossRegionRestoreJobsRequest>),
    ("CrossRegionRestoreRequestObject", differences::<azure::CrossRegionRestoreRequestObject>),
    ("DeletedBackupInstanceResource", differences::<azure::DeletedBackupInstanceResource>),
    (
        "DeletedBackupInstanceResourceList",
        differences::<azure::Page<azure::DeletedBackupInstanceResource>>,
    ),
    ("DppBaseResource", differences::<azure::DppBaseResource>),
    ("DppBaseResourceList", differences::<azure::Page<azure::DppBaseResource>>),
    ("ExportJobsResult", differences::<azure::ExportJobsResult>),
    ("FeatureValidationRequestBase", differences::<azure::FeatureValidationRequest>),
    ("FeatureValidationResponseBase", differences::<azure::FeatureValidationResponse>),
    (
        "FetchSecondaryRPsRequestParameters",
        differences::<azure::FetchSecondaryRPsRequestParameters>,
    ),
    ("OperationJobExtendedInfo", differences::<azure::OperationJobExtendedInfo>),
    ("OperationResource", differences::<azure::OperationResource>),
    ("PatchResourceGuardInput", differences::<azure::PatchResourceGuardInput>),
    ("PatchResourceRequestInput", differences::<azure::PatchResourceRequestInput>),
    ("ResourceGuardProxyBaseResource", differences::<azure::ResourceGuardProxyBaseResource>),
    (
        "ResourceGuardProxyBaseResourceList",
        differences::<azure::Page<azure::ResourceGuardProxyBaseResource>>,
    ),
    ("ResourceGuardResource", differences::<azure::ResourceGuardResource>),
    ("ResourceGuardResourceList", differences::<azure::Page<azure::ResourceGuardResource>>),
    ("StopProtectionRequest", differences::<azure::StopProtectionRequest>),
    ("SuspendBackupRequest", differences::<azure::SuspendBackupRequest>),
    ("SyncBackupInstanceRequest", differences::<azure::SyncBackupInstanceRequest>),
    ("TriggerBackupRequest", differences::<azure::TriggerBackupRequest>),
    ("UnlockDeleteRequest", differences::<azure::UnlockDeleteRequest>),
    ("UnlockDeleteResponse", differences::<azure::UnlockDeleteResponse>),
    (
        "ValidateCrossRegionRestoreRequestObject",
        differences::<azure::ValidateCrossRegionRestoreRequestObject>,
    ),
    ("ValidateForBackupRequest", differences::<azure::ValidateForBackupRequest>),
    ("ValidateRestoreRequestObject", differences::<azure::ValidateRestoreRequestObject>),
];

/// What there are no types of, and why. The list may only shrink.
const UNTYPED: &[(&str, &str)] =
    &[("ClientDiscoveryResponse", "the list of operations is a constant, which no client sends")];

/// An example that no operation refers to, with the type of its request's body. (The name has no ending in the specification either.)
const UNREFERENCED: (&str, &str) =
    ("VaultCRUD/PutBackupVaultCMKSettings_ResourceGuardEnabled", "BackupVaultResource");

/// What does not come back as it was, and why: body, place in it, reason. The list may only shrink.
const DIFFERENT: &[(&str, &str, &str)] = &[
    (
        "BackupInstanceOperations/ListBackupInstancesExtensionRouting.json 200",
        ".value[0].properties.policyInfo.policyVersion",
        "an empty version is none: clients send it so, and the service answers what it has",
    ),
    (
        "VaultCRUD/PutBackupVaultCMKSettings_ResourceGuardEnabled 201",
        ".properties.securitySettings.resourceGuardOperationRequests",
        "it stands in the answer where the specification's own schema does not have it",
    ),
];

/// Members that the real service writes as null where they have no value, as its recordings show and its examples do not. Ours
/// are written like the recordings. The lists may only shrink.
const NULLS: &[(&str, &[&str])] = &[
    (
        "AzureBackupJobResource",
        &[
            "properties.destinationDataStoreName",
            "properties.endTime",
            "properties.errorDetails",
            "properties.etag",
            "properties.extendedInfo",
            "properties.extendedInfo.backupInstanceState",
            "properties.extendedInfo.dataTransferredInBytes",
            "properties.extendedInfo.recoveryDestination",
            "properties.extendedInfo.sourceRecoverPoint",
            "properties.extendedInfo.subTasks[].additionalDetails",
            "properties.extendedInfo.subTasks[].taskProgress",
            "properties.extendedInfo.targetRecoverPoint",
            "properties.extendedInfo.warningDetails",
            "properties.isCrossRegionRestore",
            "properties.progressUrl",
            "properties.rehydrationPriority",
            "properties.restoreType",
            "properties.sourceDataStoreName",
            "properties.sourceDataStoreType",
        ],
    ),
    (
        "AzureBackupRecoveryPointResource",
        &[
            "properties.expiryTime",
            "properties.policyName",
            "properties.policyVersion",
            "properties.recoveryPointDataStoresDetails[].expiryTime",
            "properties.recoveryPointDataStoresDetails[].rehydrationExpiryTime",
            "properties.recoveryPointDataStoresDetails[].rehydrationStatus",
            "properties.recoveryPointDataStoresDetails[].state",
            "properties.recoveryPointDataStoresDetails[].visible",
            "properties.recoveryPointId",
            "properties.recoveryPointState",
            "properties.retentionTagName",
            "properties.retentionTagVersion",
        ],
    ),
];

/// The parameter that is the request's body: the only one that is an object.
pub(crate) fn body(example: &Value) -> Option<&Value> {
    example["parameters"].as_object()?.values().find(|value| value.is_object())
}

/// One body of one example.
struct Body {
    /// The example's file, and `request` or the answer's status.
    what: String,
    /// What the specification calls it.
    definition: String,
    value: Value,
}

fn definition(schema: &Value) -> String {
    schema["$ref"].as_str().unwrap_or_default().rsplit('/').next().unwrap().to_owned()
}

/// All bodies of all examples, and how many examples there are.
fn bodies() -> Option<(Vec<Body>, usize)> {
    let shared = shared_dir()?;
    let specification = read_json(&shared.join(SPECIFICATION));
    let mut found = Vec::new();
    let mut files = BTreeSet::new();
    let operations = specification["paths"].as_object().unwrap().values();
    for operation in operations.flat_map(|methods| methods.as_object().unwrap().values()) {
        let Some(examples) = operation["x-ms-examples"].as_object() else { continue };
        for example in examples.values() {
            let file = example["$ref"].as_str().unwrap().split_once("/examples/").unwrap().1;
            let example = read_json(&shared.join(EXAMPLES).join(file));
            let parameters = operation["parameters"].as_array().unwrap();
            let parameter = parameters.iter().find(|parameter| parameter["in"] == "body");
            if let (Some(parameter), Some(value)) = (parameter, body(&example)) {
                found.push(Body {
                    what: format!("{file} request"),
                    definition: definition(&parameter["schema"]),
                    value: value.clone(),
                });
            }
            for (status, answer) in example["responses"].as_object().unwrap() {
                if let Some(value) = answer.get("body") {
                    found.push(Body {
                        what: format!("{file} {status}"),
                        definition: definition(&operation["responses"][status]["schema"]),
                        value: value.clone(),
                    });
                }
            }
            files.insert(file.to_owned());
        }
    }
    let (file, definition) = UNREFERENCED;
    let example = read_json(&shared.join(EXAMPLES).join(file));
    files.insert(file.to_owned());
    let request = Body {
        what: format!("{file} request"),
        definition: definition.to_owned(),
        value: body(&example).unwrap().clone(),
    };
    let answers = example["responses"].as_object().unwrap().iter();
    let answers = answers.filter_map(|(status, answer)| {
        Some(Body {
            what: format!("{file} {status}"),
            definition: definition.to_owned(),
            value: answer.get("body")?.clone(),
        })
    });
    found.extend(answers);
    found.push(request);
    let (on_disk, count) = (files_below(&shared.join(EXAMPLES)), files.len());
    assert_eq!(
        on_disk, files,
        "an example is forgotten, or another one has none that refers to it"
    );
    Some((found, count))
}

fn files_below(directory: &std::path::Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(next) = directories.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                directories.push(path);
            } else {
                let name = path.strip_prefix(directory).unwrap();
                found.insert(name.to_str().unwrap().to_owned());
            }
        }
    }
    found
}

/// The null that a difference is about, if it is one that the service writes: its type, and its place in that.
fn written_null(body: &Body, difference: &str) -> Option<(&'static str, &'static str)> {
    let place = difference.strip_suffix(": added null")?;
    // The same in a list, and at every place in one.
    let place = place.trim_start_matches('.');
    let place = match place.split_once("].") {
        Some((list, rest)) if list.starts_with("value[") => rest,
        _ => place,
    };
    let place: String =
        place.split_inclusive('[').map(|part| part.trim_start_matches(char::is_numeric)).collect();
    let resource = body.definition.trim_end_matches("List");
    let (resource, places) = NULLS.iter().find(|(name, _)| *name == resource)?;
    places.iter().find(|known| **known == place).map(|known| (*resource, *known))
}

#[test]
fn every_example_decodes_and_encodes_to_the_same() {
    let Some((bodies, examples)) = bodies() else { return };
    let mut untyped = BTreeSet::new();
    let mut different = Vec::new();
    let mut nulls = BTreeSet::new();
    let (mut equal, mut but_for_nulls) = (0, 0);
    for body in &bodies {
        let Some((_, differences)) = TYPES.iter().find(|(name, _)| *name == body.definition) else {
            untyped.insert(body.definition.as_str());
            continue;
        };
        let (written, found): (Vec<_>, Vec<_>) = differences(&body.value)
            .into_iter()
            .map(|difference| (written_null(body, &difference), difference))
            .partition(|(null, _)| null.is_some());
        match (written.is_empty(), found.is_empty()) {
            (true, true) => equal += 1,
            (false, true) => but_for_nulls += 1,
            (_, false) => {}
        }
        nulls.extend(written.into_iter().filter_map(|(null, _)| null));
        different.extend(found.into_iter().map(|(_, found)| format!("{}: {found}", body.what)));
    }
    assert_eq!(untyped, UNTYPED.iter().map(|(name, _)| *name).collect());
    let is_listed = |difference: &&String| {
        DIFFERENT
            .iter()
            .any(|(what, place, _)| difference.starts_with(&format!("{what}: {place}: ")))
    };
    let (listed, unlisted): (Vec<&String>, Vec<&String>) = different.iter().partition(is_listed);
    assert!(unlisted.is_empty(), "{unlisted:#?}");
    assert_eq!(listed.len(), DIFFERENT.len(), "the list may be shorter: {listed:#?}");
    let known = NULLS.iter().flat_map(|(name, places)| places.iter().map(|place| (*name, *place)));
    assert_eq!(nulls, known.collect(), "the list may be shorter");
    let without = bodies.iter().filter(|it| untyped.contains(it.definition.as_str())).count();
    println!(
        "{} bodies of {examples} examples: {equal} come back equal, {but_for_nulls} but for the nulls that the service writes, \
         {} differ as listed, {without} have no type",
        bodies.len(),
        bodies.len() - equal - but_for_nulls - without,
    );
}
