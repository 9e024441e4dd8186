//! A vault's second region, without the backups that are copied there: which vaults have one, what is listed of it, and what is
//! refused.

use coffer_azure::ResourceId;
use coffer_control::app::dataprotection::state::{InstanceState, read_state};
use coffer_control::{Config, StorageConfig, db};
use reqwest::Method;
use serde_json::{Value, json};

use super::critical_operations::Critical;
use super::resource_guards::Guarded;
use super::{Scene, database, policy_body, recovery_points, vault_body};
use crate::harness::{Answer, Harness};

/// West US is copied to East US; nothing else is copied.
fn paired(config: &mut Config) {
    let at = |name: &str| format!("file://{}", config.data_dir.join(name).display());
    let (first, second) = (at("first"), at("second"));
    let first = StorageConfig { paired_with: Some("East US".to_owned()), ..first.into() };
    config.storage.insert("westus".to_owned(), first);
    config.storage.insert("eastus".to_owned(), second.into());
}

async fn scene() -> Scene {
    let h = Harness::start_with(paired).await;
    let group = h.group("testBkpVaultRG").await;
    Scene { h, group }
}

fn body(location: &str, redundancy: &str, restores: Option<&str>) -> Value {
    let mut body = vault_body("Off");
    body["location"] = json!(location);
    body["properties"]["storageSettings"][0]["type"] = json!(redundancy);
    if let Some(state) = restores {
        body["properties"]["featureSettings"] =
            json!({ "crossRegionRestoreSettings": { "state": state } });
    }
    body
}

fn regions(answer: &Answer) -> &Value {
    &answer.body["properties"]["replicatedRegions"]
}

/// Whether there is anything below `{directory}/vaults`.
fn has_vaults(s: &Scene, directory: &str) -> bool {
    let vaults = s.h.data_dir().join(directory).join("vaults");
    let mut open = vec![vaults];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_file() {
                return true;
            }
            open.push(path);
        }
    }
    false
}

fn refusal(answer: &Answer) -> &str {
    answer.body["error"]["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn a_geo_redundant_vault_gets_its_second_region_and_keeps_it() {
    let s = scene().await;
    // Others are copied nowhere, and nothing could be restored.
    for (location, redundancy, word) in [
        ("westus", "LocallyRedundant", "GeoRedundant"),
        ("westus", "ZoneRedundant", "GeoRedundant"),
        ("northus", "GeoRedundant", "paired_with"),
    ] {
        let wanted = body(location, redundancy, Some("Enabled"));
        let refused = s.put(&s.vault("refused"), wanted).await;
        assert!(refusal(&refused).contains(word), "{location} {redundancy}: {:#}", refused.body);
        refused.expect_error(400, "BMSUserErrorInvalidInput");
    }
    let alone = s.put(&s.vault("alone"), body("northus", "GeoRedundant", None)).await.expect(201);
    assert_eq!(regions(&alone), &json!([]));
    s.finish(&alone, "Succeeded").await;
    assert!(!has_vaults(&s, "second"));

    let vault = s.vault("v1");
    let made = s.put(&vault, body("West US", "GeoRedundant", None)).await.expect(201);
    assert_eq!(regions(&made), &json!(["eastus"]));
    s.finish(&made, "Succeeded").await;
    assert!(has_vaults(&s, "second"), "it has a keyring there before anybody relies on it");
    let state = |state: &str| {
        json!({ "properties": { "featureSettings": {
        "crossRegionRestoreSettings": { "state": state } } } })
    };
    let enabled = s.h.call(Method::PATCH, &vault, Some(state("Enabled"))).await.expect(202);
    s.finish(&enabled, "Succeeded").await;
    s.h.call(Method::PATCH, &vault, Some(state("Disabled")))
        .await
        .expect_error(400, "UserErrorCrossRegionRestoreStateChangeNotAllowed");
    s.put(&vault, body("West US", "LocallyRedundant", None))
        .await
        .expect_error(400, "BMSUserErrorInvalidInput");
    let got = s.get(&vault).await.expect(200);
    assert_eq!(regions(&got), &json!(["eastus"]));

    // One that is empty may cease to be geo-redundant, and what it has there goes with it all the same.
    let other = s.vault("v2");
    let made = s.put(&other, body("West US", "GeoRedundant", None)).await.expect(201);
    s.finish(&made, "Succeeded").await;
    let changed = s.put(&other, body("West US", "LocallyRedundant", None)).await;
    assert_eq!(regions(&changed), &json!([]), "{:#}", changed.body);
    s.finish(&changed, "Succeeded").await;
    for vault in [vault, other] {
        let gone = s.delete(&vault).await.expect(202);
        s.finish(&gone, "Succeeded").await;
    }
    assert!(!has_vaults(&s, "first") && !has_vaults(&s, "second"));
    s.h.stop().await;
}

#[tokio::test]
async fn a_second_region_that_cannot_be_used_is_no_second_region() {
    let h = Harness::start_with(|config| {
        paired(config);
        let file = config.data_dir.join("no-directory");
        std::fs::create_dir_all(&config.data_dir).unwrap();
        std::fs::write(&file, "").unwrap();
        let url = format!("file://{}", file.join("below").display());
        config.storage.insert("eastus".to_owned(), url.into());
    })
    .await;
    let group = h.group("testBkpVaultRG").await;
    let s = Scene { h, group };
    let made = s.put(&s.vault("v1"), body("West US", "GeoRedundant", None)).await.expect(201);
    s.finish(&made, "Failed").await;
    s.h.stop().await;
}

/// A vault that restores across regions, and an instance with five recovery points, of which the odd ones have been copied.
async fn with_points(s: &Scene) -> (String, String) {
    let vault = s.vault("testBkpVault");
    let made = s.put(&vault, body("WestUS", "GeoRedundant", Some("Enabled"))).await.expect(201);
    s.finish(&made, "Succeeded").await;
    s.put(&format!("{vault}/backupPolicies/osspol3"), policy_body()).await.expect(200);
    let server = s.make_server("testpostgresql").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    recovery_points::add(s, &instance, 7).await;
    let app = s.h.service().app();
    let id = ResourceId::parse(&instance).unwrap();
    let row = db::resource_get(app.db.read(), &id).await.unwrap().unwrap();
    let state: InstanceState = read_state(&row.body).unwrap();
    let mut tx = app.db.begin().await.unwrap();
    for at in [1, 3, 5] {
        let id = format!("{at:032x}");
        db::copy::set_copied(&mut tx, state.repository_guid, &id, Some(1)).await.unwrap();
    }
    tx.commit().await.unwrap();
    (vault, instance)
}

fn names(list: &Value) -> Vec<&str> {
    list["value"].as_array().unwrap().iter().map(|point| point["name"].as_str().unwrap()).collect()
}

impl Scene {
    fn in_region(&self, region: &str, action: &str) -> String {
        format!("{}/providers/Microsoft.DataProtection/locations/{region}/{action}", self.group)
    }
}

#[tokio::test]
async fn what_has_been_copied_is_listed_by_filters_and_pages() {
    let s = scene().await;
    let (_, instance) = with_points(&s).await;
    let asked = json!({ "sourceRegion": "West US", "sourceBackupInstanceId": instance });
    let list = s.in_region("East%20US", "fetchSecondaryRecoveryPoints");
    let all = s.post(&list, Some(asked.clone())).await.expect(200);
    let [first, second, third] = [1, 3, 5].map(|at| format!("{at:032x}"));
    assert_eq!(names(&all.body), [&third, &second, &first]);
    for point in all.body["value"].as_array().unwrap() {
        assert!(point["properties"]["expiryTime"].is_string(), "{point:#}");
        assert_eq!(
            point["id"],
            format!("{instance}/recoveryPoints/{}", point["name"].as_str().unwrap())
        );
    }
    assert_eq!(all.body.get("nextLink"), None);
    // Without a region, which the specification allows.
    let short = json!({ "sourceBackupInstanceId": instance });
    assert_eq!(names(&s.post(&list, Some(short)).await.expect(200).body).len(), 3);
    let filter = "$filter=startDate%20eq%20'2026-11-23'%20and%20endDate%20eq%20'2026-11-24'";
    let some = s.post(&format!("{list}?{filter}"), Some(asked.clone())).await.expect(200);
    assert_eq!(names(&some.body), [&second]);

    // Clients follow a link by GET and without a body.
    let page = s.post(&format!("{list}?$top=2"), Some(asked.clone())).await.expect(200);
    assert_eq!(names(&page.body), [&third, &second]);
    let next = page.body["nextLink"].as_str().unwrap().to_owned();
    assert!(next.starts_with(&s.h.endpoint), "{next}");
    let last = s.get(&next).await.expect(200);
    assert_eq!(names(&last.body), [&first]);
    let nobody = s.h.user("nobody").await;
    s.h.call_as(&nobody, Method::GET, &next, None).await.expect_error(403, "AuthorizationFailed");
    s.post(&format!("{list}?$filter=colour%20eq%20'red'"), Some(asked))
        .await
        .expect_error(400, "InvalidFilterInQueryString");
    s.h.stop().await;
}

#[tokio::test]
async fn what_a_request_says_of_the_regions_has_to_be_true() {
    let s = scene().await;
    let (vault, instance) = with_points(&s).await;
    let asked =
        |region: &str, id: &str| json!({ "sourceRegion": region, "sourceBackupInstanceId": id });
    let list = s.in_region("eastus", "fetchSecondaryRecoveryPoints");
    let invalid = "BMSUserErrorInvalidInput";
    for (path, body, word) in [
        (&list, asked("eastus", &instance), "sourceRegion"),
        (&list, asked("westus", ""), "sourceBackupInstanceId"),
        (&list, asked("westus", &vault), "sourceBackupInstanceId"),
        (
            &s.in_region("westus", "fetchSecondaryRecoveryPoints"),
            asked("westus", &instance),
            "second region",
        ),
        (&list.replace("testBkpVaultRG", "other"), asked("westus", &instance), "resource group"),
    ] {
        let refused = s.post(path, Some(body)).await;
        assert!(refusal(&refused).contains(word), "{path}: {:#}", refused.body);
        refused.expect_error(400, invalid);
    }
    let absent = asked("westus", &format!("{instance}-absent"));
    s.post(&list, Some(absent)).await.expect(404);

    // Copied, but nobody is to restore from there.
    let closed = s.vault("closed");
    let made = s.put(&closed, body("WestUS", "GeoRedundant", None)).await.expect(201);
    s.finish(&made, "Succeeded").await;
    let of_closed = asked("westus", &format!("{closed}/backupInstances/bi1"));
    let code = "UserErrorCrossRegionRestoreNotEnabled";
    s.post(&list, Some(of_closed)).await.expect_error(400, code);
    let of_vault = |id: &str| json!({ "sourceRegion": "westus", "sourceBackupVaultId": id });
    let jobs = s.in_region("eastus", "fetchCrossRegionRestoreJobs");
    s.post(&jobs, Some(of_vault(&closed))).await.expect_error(400, code);
    assert_eq!(s.post(&jobs, Some(of_vault(&vault))).await.expect(200).body, json!({"value": []}));
    let mut one = of_vault(&vault);
    one["jobId"] = json!("0af76519-16cd-43dd-8448-eb211c80319c");
    let job = s.in_region("eastus", "fetchCrossRegionRestoreJob");
    s.post(&job, Some(one)).await.expect_error(404, "UserErrorGenericResourceNotFound");

    // There, and not yet copied.
    let files = json!({ "objectType": "RestoreFilesTargetInfo", "recoveryOption": "FailIfExists",
        "targetDetails": { "filePrefix": "p", "restoreTargetLocationType": "AzureBlobs",
            "url": "https://a.blob.core.windows.net/c" } });
    let request = |point: u32| {
        json!({
        "crossRegionRestoreDetails": asked("westus", &instance),
        "restoreRequestObject": {
            "objectType": "AzureBackupRecoveryPointBasedRestoreRequest", "restoreTargetInfo": files,
            "recoveryPointId": format!("{point:032x}"), "sourceDataStoreType": "VaultStore" } })
    };
    for action in ["crossRegionRestore", "validateCrossRegionRestore"] {
        for (point, word) in [(4, "not been copied"), (99, "no recovery point")] {
            let refused = s.post(&s.in_region("eastus", action), Some(request(point))).await;
            assert!(refused.body.to_string().contains(word), "{:#}", refused.body);
            refused.expect_error(400, "UserErrorRecoveryPointNotFound");
        }
    }
    s.h.stop().await;
}

#[tokio::test]
async fn a_restore_from_there_needs_the_consent_of_the_vaults_guard() {
    let s = scene().await;
    let (vault, instance) = with_points(&s).await;
    let guarded = Guarded::of(s, vault, String::new()).await;
    guarded.submit().await;
    let target = json!({ "objectType": "RestoreFilesTargetInfo", "recoveryOption": "FailIfExists",
        "targetDetails": { "filePrefix": "p", "restoreTargetLocationType": "AzureBlobs",
            "url": "https://a.blob.core.windows.net/c" } });
    let restore = Critical {
        method: Method::POST,
        path: guarded.s.in_region("eastus", "crossRegionRestore"),
        body: json!({
            "crossRegionRestoreDetails": { "sourceRegion": "westus", "sourceBackupInstanceId": instance },
            "restoreRequestObject": {
                "objectType": "AzureBackupRecoveryPointBasedRestoreRequest", "restoreTargetInfo": target,
                "recoveryPointId": format!("{:032x}", 3), "sourceDataStoreType": "VaultStore" } }),
        place: "restoreRequestObject",
        kind: "dppTriggerRestoreRequests",
        allowed: (202, ""),
    };
    guarded.needs_consent(&restore).await;
    // To look whether it could be done is no critical operation.
    let path = guarded.s.in_region("eastus", "validateCrossRegionRestore");
    guarded.act(Method::POST, &path, restore.with(None)).await.expect(202);
    guarded.s.h.stop().await;
}
