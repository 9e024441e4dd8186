//! Soft deletion, undelete, purge, and deletion at once.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use super::estate::{Estate, digest, lock_customer, unlock_customer};

const DAY: Duration = Duration::from_secs(86_400);

/// The directories below `repositories` of the only vault.
fn repositories(data_dir: &Path) -> usize {
    fn files_below(path: &Path) -> usize {
        std::fs::read_dir(path).map_or(0, |entries| {
            entries
                .map(|entry| entry.unwrap().path())
                .map(|path| if path.is_dir() { files_below(&path) } else { 1 })
                .sum()
        })
    }
    let mut found = 0;
    let mut pending = vec![data_dir.to_path_buf()];
    while let Some(path) = pending.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && path.file_name().is_some_and(|name| name == "repositories") {
                found += std::fs::read_dir(&path)
                    .unwrap()
                    .filter(|r| files_below(&r.as_ref().unwrap().path()) > 0)
                    .count();
            } else if path.is_dir() {
                pending.push(path);
            }
        }
    }
    found
}

/// The files of the storage location, without what every running service has there.
fn vault_files(data_dir: &Path) -> Vec<PathBuf> {
    let (mut files, mut pending) = (Vec::new(), vec![data_dir.join("storage")]);
    while let Some(path) = pending.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true if path.ends_with(".staging") => {}
                true => pending.push(path),
                false => files.push(path),
            }
        }
    }
    files
}

async fn delete(estate: &Estate, instance: &str) {
    let answer = estate.harness.call(Method::DELETE, instance, None).await.expect(202);
    estate.harness.call(Method::GET, instance, None).await.expect(404);
    let status = estate.follow(&answer).await;
    assert_eq!(status["status"], "Succeeded", "{status:#}");
    estate.harness.call(Method::DELETE, instance, None).await.expect(204);
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_deleted_undeleted_and_purged() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let harness = &estate.harness;
    let instance = estate.protect("pg-shop", "shop").await;
    estate.backup(&instance).await;
    delete(&estate, &instance).await;

    let deleted = format!("{}/deletedBackupInstances/pg-shop", estate.vault);
    let got = harness.call(Method::GET, &deleted, None).await.expect(200);
    assert_eq!(got.body["properties"]["currentProtectionState"], "SoftDeleted");
    assert!(got.body["properties"]["deletionInfo"]["scheduledPurgeTime"].is_string());
    let answer = harness.call(Method::POST, &format!("{deleted}/undelete"), None).await;
    assert!(answer.status.is_success(), "{:#}", answer.body);
    if answer.status == 202 {
        let url = answer.header("location");
        assert!(!url.is_empty());
        super::estate::follow(harness, &url.replace("operationResults", "operationStatus")).await;
    }
    assert_eq!(estate.state(&instance).await, "ProtectionStopped");
    assert_eq!(estate.recovery_points(&instance).await.len(), 1, "nothing is lost");
    estate.act(&format!("{instance}/resumeProtection")).await;
    estate.backup(&instance).await;
    assert_eq!(estate.recovery_points(&instance).await.len(), 2);

    delete(&estate, &instance).await;
    let app = harness.service().app();
    app.clock.advance(13 * DAY);
    coffer_control::background::run_round(app).await;
    assert_eq!(repositories(harness.data_dir()), 1, "its days are not over");
    app.clock.advance(2 * DAY);
    coffer_control::background::run_round(app).await;
    assert_eq!(repositories(harness.data_dir()), 0);
    // The token's time is over too.
    let mut owner = harness.owner.clone();
    owner.token = harness.token(&owner, &format!("{}/.default", harness.endpoint)).await;
    harness.call_as(&owner, Method::GET, &deleted, None).await.expect(404);
    harness.call_as(&owner, Method::POST, &format!("{deleted}/undelete"), None).await.expect(404);
    let policy = format!("{}/backupPolicies/weekly", estate.vault);
    harness.call_as(&owner, Method::DELETE, &policy, None).await.expect(200);
    let answer = harness.call_as(&owner, Method::DELETE, &estate.vault, None).await.expect(202);
    assert_ne!(answer.header("location"), "");
}

/// A vault that was deleted has lost nothing until its days are over, and then all.
#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_vaults_data_comes_back_and_goes() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let harness = &estate.harness;
    let instance = estate.protect("pg-shop", "shop").await;
    estate.backup(&instance).await;
    let point = estate.recovery_points(&instance).await[0]["name"].as_str().unwrap().to_owned();
    let delete_all = async || {
        delete(&estate, &instance).await;
        let path = format!("{}?api-version=2025-09-01", estate.vault);
        let answer = harness.call(Method::DELETE, &path, None).await.expect(202);
        assert_eq!(estate.follow(&answer).await["status"], "Succeeded");
        harness.call(Method::GET, &estate.vault, None).await.expect(404);
        let list = format!(
            "{}/providers/Microsoft.DataProtection/locations/westeurope/deletedVaults",
            harness.subscription_path()
        );
        let list = harness.call(Method::GET, &list, None).await.expect(200);
        list.body["value"][0]["id"].as_str().unwrap().to_owned()
    };
    let deleted = delete_all().await;
    assert_eq!(repositories(harness.data_dir()), 1);

    let body = serde_json::json!({
        "location": "westeurope",
        "identity": { "type": "SystemAssigned" },
        "properties": { "storageSettings": [{ "datastoreType": "VaultStore", "type": "LocallyRedundant" }] }
    });
    let put =
        harness.client().put(harness.url(&format!("{}?api-version=2025-09-01", estate.vault)));
    let put = put.bearer_auth(&harness.owner.token).header("x-ms-deleted-vault-id", deleted);
    let answer = harness.send(put.json(&body)).await.expect(201);
    assert_eq!(estate.follow(&answer).await["status"], "Succeeded");
    let undelete = format!("{}/deletedBackupInstances/pg-shop/undelete", estate.vault);
    estate.act(&undelete).await;
    let request = serde_json::json!({ "objectType": "ValidateRestoreRequestObject",
        "restoreRequestObject": estate.restore_to_database(&point, "shop_copy") });
    let validated =
        harness.call(Method::POST, &format!("{instance}/validateRestore"), Some(request)).await;
    assert_eq!(estate.follow(&validated.expect(202)).await["status"], "Succeeded");
    let request = estate.restore_to_database(&point, "shop_copy");
    let restored = harness.call(Method::POST, &format!("{instance}/restore"), Some(request)).await;
    let job = estate.job(&restored.expect(202)).await;
    assert_eq!(job["properties"]["status"], "Completed", "{job:#}");
    assert_eq!(digest(&estate.postgres, "shop_copy"), digest(&estate.postgres, "shop"));

    delete_all().await;
    let app = harness.service().app();
    app.clock.advance(15 * DAY);
    coffer_control::background::run_round(app).await;
    assert_eq!(repositories(harness.data_dir()), 0);
    app.clock.advance(DAY);
    coffer_control::background::run_round(app).await;
    let left = vault_files(harness.data_dir());
    assert!(left.is_empty(), "nothing of the vault is left: {left:?}");
}

/// Nobody should have to wait for the next round before an emptied vault can be deleted.
#[tokio::test(flavor = "multi_thread")]
async fn turning_soft_delete_off_purges_at_once() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let harness = &estate.harness;
    let instance = estate.protect("pg-shop", "shop").await;
    estate.backup(&instance).await;
    delete(&estate, &instance).await;
    assert_eq!(repositories(harness.data_dir()), 1);

    let off = serde_json::json!({"properties": {"securitySettings": {"softDeleteSettings": {"state": "Off"}}}});
    let answer = harness.call(Method::PATCH, &estate.vault, Some(off)).await.expect(202);
    assert_eq!(estate.follow(&answer).await["status"], "Succeeded");
    let deadline = Instant::now() + Duration::from_secs(30);
    let deleted = format!("{}/deletedBackupInstances", estate.vault);
    while harness.call(Method::GET, &deleted, None).await.expect(200).body["value"]
        != Value::Array(Vec::new())
    {
        assert!(Instant::now() < deadline, "not purged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(repositories(harness.data_dir()), 0);
}

/// There is nothing to bring back, and the database must not be held for days.
#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_was_never_protected_leaves_nothing() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let harness = &estate.harness;
    let mut properties = estate.instance_properties("absent");
    properties["validationType"] = "DeepValidation".into();
    let instance = estate.instance("pg-absent");
    let body = serde_json::json!({ "properties": properties });
    let answer = harness.call(Method::PUT, &instance, Some(body.clone())).await.expect(201);
    assert_eq!(estate.follow(&answer).await["status"], "Failed");
    assert_eq!(estate.state(&instance).await, "ProtectionError");
    delete(&estate, &instance).await;
    let deleted = format!("{}/deletedBackupInstances/pg-absent", estate.vault);
    harness.call(Method::GET, &deleted, None).await.expect(404);
    assert_eq!(repositories(harness.data_dir()), 0);
    harness.call(Method::PUT, &estate.instance("pg-another"), Some(body)).await.expect(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn deleted_at_once_with_its_data_and_its_running_backup() {
    let estate = Estate::new("Off").await;
    estate.grant().await;
    let harness = &estate.harness;
    let instance = estate.protect("pg-shop", "shop").await;
    estate.backup(&instance).await;
    assert_eq!(repositories(harness.data_dir()), 1);

    // A backup that waits for a lock is stopped by the deletion.
    let body =
        serde_json::json!({"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {}}});
    let lock = lock_customer(&estate.postgres);
    let running = harness
        .call(Method::POST, &format!("{instance}/backup"), Some(body.clone()))
        .await
        .expect(202);
    harness
        .call(Method::POST, &format!("{instance}/backup"), Some(body))
        .await
        .expect_error(400, "UserErrorMaxConcurrentOperationLimitReached");
    delete(&estate, &instance).await;
    unlock_customer(&estate.postgres, lock);
    let job = estate.job(&running).await;
    assert_eq!(job["properties"]["status"], "Cancelled", "{job:#}");
    assert_eq!(repositories(harness.data_dir()), 0);
    let deleted = harness
        .call(Method::GET, &format!("{}/deletedBackupInstances", estate.vault), None)
        .await
        .expect(200);
    assert_eq!(deleted.body["value"], Value::Array(Vec::new()));

    harness
        .call(Method::DELETE, &format!("{}/backupPolicies/weekly", estate.vault), None)
        .await
        .expect(200);
    let answer = harness.call(Method::DELETE, &estate.vault, None).await.expect(202);
    assert_eq!(estate.follow(&answer).await["status"], "Succeeded");
    harness.call(Method::GET, &estate.vault, None).await.expect(404);
}
