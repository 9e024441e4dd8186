//! Azure's own client for Rust (`azure_mgmt_dataprotection`, api-version 2024-04-01) as a strict reader: whatever a test of this
//! crate is answered by `Microsoft.DataProtection`, the client's models have to decode, and encode again to the same document.
//! So no member may have another type than they give it, no required one may lack, none may be one that they do not
//! know, and no value may be one that they can only keep as unknown.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::sync::Mutex;

use azure_mgmt_dataprotection::package_2024_04::models;
use reqwest::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::dataprotection::proxy_body;
use crate::protection::estate::Estate;

/// Members that the client drops: of which answer, and where. The list may only shrink.
const NOT_KNOWN_TO_IT: &[(&str, &str)] = &[
    // It knows by the address what this is.
    ("OperationJobExtendedInfo", ".objectType"),
    // Recorded, and in later specifications.
    ("AzureBackupJobResource", ".properties.sourceDataStoreType"),
    ("AzureBackupJobResourceList", ".value[].properties.sourceDataStoreType"),
    ("AzureBackupJobResource", ".properties.isCrossRegionRestore"),
    ("AzureBackupJobResourceList", ".value[].properties.isCrossRegionRestore"),
];

/// Values that the client takes for unknown. Both were recorded as the status of a protection. The list may only shrink.
const VALUES_NOT_KNOWN_TO_IT: &[&str] = &["BackupsSuspended", "UpdatingProtection"];

/// Operations that the client doesn't have: those of later specifications, and one of Azure Resource Manager itself.
const NOT_ITS_OWN: &[Place] = &[
    Place("GET", "locations/*/deletedVaults"),
    Place("GET", "locations/*/deletedVaults/*"),
    Place("POST", "register"),
];

/// What the models make of a body: the same in their words, and how they print it.
type Read = fn(&Value) -> Result<(Value, String), String>;

/// Where a model is answered: method (or any, where it is empty), path below the provider with `*` for a name.
struct Place(&'static str, &'static str);

/// A model of the client: its name, how it reads, and where it is answered.
struct Model(&'static str, Read, &'static [Place]);

fn read<T: DeserializeOwned + Serialize + Debug>(body: &Value) -> Result<(Value, String), String> {
    // From text, as the client does it.
    let decoded: T = serde_json::from_str(&body.to_string()).map_err(|error| error.to_string())?;
    let again = serde_json::to_value(&decoded).map_err(|error| error.to_string())?;
    Ok((again, format!("{decoded:?}")))
}

macro_rules! models {
    ($($name:ident: $($method:literal $path:literal),+;)+) => {
        &[$(Model(stringify!($name), read::<models::$name>, &[$(Place($method, $path)),+])),+]
    };
}

/// All that the client decodes, and the paths whose answers it decodes by it.
const MODELS: &[Model] = models! {
    ClientDiscoveryResponse: "GET" "operations";
    FeatureValidationResponseBaseUnion: "POST" "locations/*/checkFeatureSupport";
    CheckNameAvailabilityResult: "POST" "locations/*/checkNameAvailability";
    OperationResource: "GET" "locations/*/operationStatus/*", "GET" "operationStatus/*",
        "GET" "backupVaults/*/operationStatus/*";
    OperationJobExtendedInfo: "GET" "locations/*/operationResults/*";
    BackupVaultResourceList: "GET" "backupVaults";
    BackupVaultResource: "" "backupVaults/*", "GET" "backupVaults/*/operationResults/*";
    BaseBackupPolicyResourceList: "GET" "backupVaults/*/backupPolicies";
    BaseBackupPolicyResource: "" "backupVaults/*/backupPolicies/*";
    BackupInstanceResourceList: "GET" "backupVaults/*/backupInstances", "GET" "backupInstances";
    BackupInstanceResource: "" "backupVaults/*/backupInstances/*",
        "GET" "backupVaults/*/backupInstances/*/operationResults/*";
    DeletedBackupInstanceResourceList: "GET" "backupVaults/*/deletedBackupInstances";
    DeletedBackupInstanceResource: "GET" "backupVaults/*/deletedBackupInstances/*";
    AzureBackupRecoveryPointResourceList: "GET" "backupVaults/*/backupInstances/*/recoveryPoints",
        "" "locations/*/fetchSecondaryRecoveryPoints";
    AzureBackupRecoveryPointResource: "GET" "backupVaults/*/backupInstances/*/recoveryPoints/*";
    AzureBackupFindRestorableTimeRangesResponseResource:
        "POST" "backupVaults/*/backupInstances/*/findRestorableTimeRanges";
    AzureBackupJobResourceList: "GET" "backupVaults/*/backupJobs", "" "locations/*/fetchCrossRegionRestoreJobs";
    AzureBackupJobResource: "GET" "backupVaults/*/backupJobs/*", "POST" "locations/*/fetchCrossRegionRestoreJob";
    ExportJobsResult: "GET" "backupVaults/*/backupJobs/operations/*";
    ResourceGuardProxyBaseResourceList: "GET" "backupVaults/*/backupResourceGuardProxies";
    ResourceGuardProxyBaseResource: "" "backupVaults/*/backupResourceGuardProxies/*";
    UnlockDeleteResponse: "POST" "backupVaults/*/backupResourceGuardProxies/*/unlockDelete";
    ResourceGuardResourceList: "GET" "resourceGuards";
    ResourceGuardResource: "" "resourceGuards/*";
    DppBaseResourceList: "GET" "resourceGuards/*/*";
    DppBaseResource: "GET" "resourceGuards/*/*/default";
};

/// What an answer without success is decoded by.
const FAILURE: Model = Model("CloudError", read::<models::CloudError>, &[]);

/// The models by which answers were decoded in this process.
static SEEN: Mutex<BTreeSet<&'static str>> = Mutex::new(BTreeSet::new());

fn matches(place: &Place, method: &Method, path: &str) -> bool {
    let Place(of, pattern) = place;
    (of.is_empty() || *of == method.as_str())
        && pattern.split('/').count() == path.split('/').count()
        && pattern
            .split('/')
            .zip(path.split('/'))
            .all(|(pattern, part)| pattern == "*" || pattern.eq_ignore_ascii_case(part))
}

/// The path below the last provider, if that is ours.
fn below_provider(path: &str) -> Option<&str> {
    const PROVIDERS: &str = "/providers/";
    let at = path.to_ascii_lowercase().rfind(PROVIDERS)?;
    let (namespace, below) = path.get(at + PROVIDERS.len()..)?.split_once('/')?;
    namespace.eq_ignore_ascii_case("Microsoft.DataProtection").then(|| below.trim_end_matches('/'))
}

/// Refuses an answer that the client would not read as it was meant.
#[track_caller]
pub(crate) fn check(method: &Method, path: &str, status: StatusCode, body: &Value) {
    let Some(below) = below_provider(path) else { return };
    if body.is_null() || NOT_ITS_OWN.iter().any(|place| matches(place, method, below)) {
        return;
    }
    let model = if status.is_success() {
        let is_answered =
            |model: &&Model| model.2.iter().any(|place| matches(place, method, below));
        MODELS.iter().find(is_answered)
    } else {
        Some(&FAILURE)
    };
    assert!(model.is_some(), "no model for {status} to {method} {path}: {body:#}");
    let model = model.unwrap();
    let found = differences(model, body);
    assert!(
        found.is_empty(),
        "{status} to {method} {path} is no {}:\n{}\n{body:#}",
        model.0,
        found.join("\n")
    );
    SEEN.lock().unwrap().insert(model.0);
}

fn differences(model: &Model, body: &Value) -> Vec<String> {
    let (again, printed) = match (model.1)(body) {
        Ok(read) => read,
        Err(error) => return vec![error],
    };
    let mut found = Vec::new();
    compare("", body, &again, &mut found);
    found.retain(|(place, _)| {
        let place: String = place
            .split_inclusive('[')
            .map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit()))
            .collect();
        !NOT_KNOWN_TO_IT.contains(&(model.0, place.as_str()))
    });
    let mut found: Vec<String> =
        found.into_iter().map(|(place, what)| format!("{place} {what}")).collect();
    for unknown in printed.split("UnknownValue(\"").skip(1) {
        let value = unknown.split('"').next().unwrap_or_default();
        if !VALUES_NOT_KNOWN_TO_IT.contains(&value) {
            found.push(format!("{value} is none of the values that it knows"));
        }
    }
    found
}

/// What the client may make of a document: a null or an empty list may be left out, a number and a moment be written otherwise.
fn compare(path: &str, ours: &Value, theirs: &Value, found: &mut Vec<(String, String)>) {
    match (ours, theirs) {
        (Value::Object(left), Value::Object(right)) => {
            for (name, value) in left {
                let path = format!("{path}.{name}");
                match right.get(name) {
                    Some(other) => compare(&path, value, other, found),
                    None if value.is_null() || value.as_array().is_some_and(Vec::is_empty) => {}
                    None => found.push((path, format!("is lost: {value}"))),
                }
            }
            for (name, value) in right.iter().filter(|(name, _)| !left.contains_key(*name)) {
                found.push((format!("{path}.{name}"), format!("is added: {value}")));
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(&format!("{path}[{index}]"), left, right, found);
            }
        }
        (Value::Number(left), Value::Number(right)) if left.as_f64() == right.as_f64() => {}
        (Value::String(left), Value::String(right)) if same_moment(left, right) => {}
        _ if ours == theirs => {}
        _ => found.push((path.to_owned(), format!("becomes {theirs}: {ours}"))),
    }
}

fn same_moment(left: &str, right: &str) -> bool {
    match (left.parse::<jiff::Timestamp>(), right.parse::<jiff::Timestamp>()) {
        (Ok(left), Ok(right)) => left == right,
        _ => false,
    }
}

/// The life of a protected database, in which everything is answered that the client has a model for.
#[tokio::test(flavor = "multi_thread")]
async fn all_its_models_read_what_is_answered() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let harness = &estate.harness;
    let (get, post, put) = (Method::GET, Method::POST, Method::PUT);
    let subscription = harness.subscription_path();
    let group = harness.group_path("backup");
    let provider = |scope: &str| format!("{scope}/providers/Microsoft.DataProtection");
    let of_group = provider(&group);
    let vault = &estate.vault;

    // What runs and what has run.
    let instance = estate.protect("pg-shop", "shop").await;
    let body = json!({"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {}}});
    let backup = harness.call(post.clone(), &format!("{instance}/backup"), Some(body)).await;
    estate.job(&backup.expect(202)).await;
    let point = estate.recovery_points(&instance).await.remove(0);
    let id = point["properties"]["recoveryPointId"].as_str().unwrap();
    let request = json!({"restoreRequestObject": estate.restore_to_database(id, "shop_copy")});
    let validated =
        harness.call(post.clone(), &format!("{instance}/validateRestore"), Some(request)).await;
    let validated = validated.expect(202);
    let operation = estate.follow(&validated).await;
    let operation = operation["name"].as_str().unwrap();
    let restore = Some(estate.restore_to_database(id, "shop_copy"));
    let restore = harness.call(post.clone(), &format!("{instance}/restore"), restore).await;
    estate.job(&restore.expect(202)).await;
    let export = harness.call(post.clone(), &format!("{vault}/exportBackupJobs"), None).await;
    let export = export.expect(202).header("location").to_owned();
    let guard = format!("{of_group}/resourceGuards/guard");
    harness.call(put.clone(), &guard, Some(json!({"location": "westeurope"}))).await.expect(200);
    let proxy = format!("{vault}/backupResourceGuardProxies/DppResourceGuardProxy");
    harness.call(put, &proxy, Some(proxy_body(&guard))).await.expect(200);

    for path in [
        provider("") + "/operations",
        provider(&subscription) + "/backupVaults",
        provider(&subscription) + "/resourceGuards",
        format!("{of_group}/backupVaults"),
        format!("{of_group}/resourceGuards"),
        provider(&estate.server) + "/backupInstances",
        guard.clone(),
        format!("{guard}/dppModifyPolicy"),
        format!("{guard}/dppModifyPolicy/default"),
        vault.clone(),
        format!("{vault}/backupPolicies"),
        format!("{vault}/backupPolicies/weekly"),
        format!("{vault}/backupInstances"),
        format!("{vault}/backupJobs"),
        export,
        validated.header("location").to_owned(),
        format!("{vault}/backupResourceGuardProxies"),
        proxy.clone(),
        point["id"].as_str().unwrap().to_owned(),
        format!("{vault}/operationStatus/{operation}"),
        format!("{of_group}/operationStatus/{operation}"),
    ] {
        harness.call(get.clone(), &path, None).await.expect(200);
    }
    let unlock = json!({
        "resourceGuardOperationRequests": [format!("{guard}/deleteBackupInstanceRequests/default")],
        "resourceToBeDeleted": instance,
    });
    for (path, body) in [
        (
            provider(&subscription) + "/locations/westeurope/checkFeatureSupport",
            json!({"objectType": "FeatureValidationRequest", "featureType": "DataSourceType",
                "featureName": "Microsoft.DBforPostgreSQL/servers/databases"}),
        ),
        (
            format!("{of_group}/locations/westeurope/checkNameAvailability"),
            json!({"name": "vault", "type": "Microsoft.DataProtection/BackupVaults"}),
        ),
        (
            format!("{instance}/findRestorableTimeRanges"),
            json!({"sourceDataStoreType": "VaultStore"}),
        ),
        (format!("{proxy}/unlockDelete"), unlock),
    ] {
        harness.call(post.clone(), &path, Some(body)).await.expect(200);
    }

    // What is deleted, and what isn't there.
    let deleted = harness.call(Method::DELETE, &instance, None).await.expect(202);
    assert_eq!(estate.follow(&deleted).await["status"], "Succeeded");
    let of_deleted = format!("{vault}/deletedBackupInstances");
    harness.call(get.clone(), &of_deleted, None).await.expect(200);
    harness.call(get.clone(), &format!("{of_deleted}/pg-shop"), None).await.expect(200);
    harness.call(get.clone(), &instance, None).await.expect(404);

    let seen = SEEN.lock().unwrap();
    let unseen: Vec<&str> = MODELS
        .iter()
        .chain([&FAILURE])
        .map(|model| model.0)
        .filter(|it| !seen.contains(it))
        .collect();
    assert!(unseen.is_empty(), "never answered: {unseen:?}");
    println!("{} models of the client read what was answered", seen.len());
}

/// It finds what it is there to find.
#[test]
fn what_the_client_would_lose_or_refuse_is_found() {
    let vault = json!({"id": "/x", "name": "v", "type": "t", "location": "westus", "properties": {
        "provisioningState": "Succeeded",
        "storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}]}});
    let model = MODELS.iter().find(|model| model.0 == "BackupVaultResource").unwrap();
    assert_eq!(differences(model, &vault), Vec::<String>::new());
    for (member, value, said) in [
        ("storageSettings", json!(null), "invalid type: null"),
        ("storageSettings", json!({}), "invalid type: map"),
        ("isVaultProtectedByResourceGuard", json!("true"), "invalid type: string"),
        ("provisioningState", json!("Finished"), "Finished is none of the values"),
        ("storageSetting", json!([1]), ".properties.storageSetting is lost"),
    ] {
        let mut wrong = vault.clone();
        wrong["properties"][member] = value;
        let found = differences(model, &wrong);
        assert!(found.len() == 1 && found[0].contains(said), "{member}: {found:?}");
    }
    let mut without = vault.clone();
    without["properties"].as_object_mut().unwrap().remove("storageSettings");
    assert!(differences(model, &without)[0].contains("missing field `storageSettings`"));
}
