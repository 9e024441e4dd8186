//! The whole life of a protected database, by its requests.

use reqwest::Method;
use serde_json::{Value, json};

use super::estate::{Estate, digest};

#[tokio::test(flavor = "multi_thread")]
async fn protect_back_up_restore_stop_and_resume() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let harness = &estate.harness;

    let validate = json!({"backupInstance": estate.instance_properties("shop")});
    let answer = harness
        .call(Method::POST, &format!("{}/validateForBackup", estate.vault), Some(validate))
        .await
        .expect(202);
    assert_eq!(answer.body, Value::Null);
    let status = estate.follow(&answer).await;
    assert_eq!(status["status"], "Succeeded", "{status:#}");
    assert_eq!(status.get("properties"), None);
    let results = harness.call(Method::GET, answer.header("location"), None).await.expect(200);
    assert_eq!(results.body, json!({"objectType": "OperationJobExtendedInfo"}));
    assert!(
        results.header("azure-asyncoperation").contains("/locations/westeurope/operationStatus/")
    );

    let instance = estate.protect("pg-shop", "shop").await;
    let validate = json!({"backupInstance": estate.instance_properties("shop")});
    harness
        .call(Method::POST, &format!("{}/validateForBackup", estate.vault), Some(validate))
        .await
        .expect_error(400, "UserErrorDppDatasourceAlreadyProtected");

    let job = estate.backup(&instance).await;
    check_backup_job(&estate, &job);
    let listed =
        harness.call(Method::GET, &format!("{}/backupJobs", estate.vault), None).await.expect(200);
    let listed = &listed.body["value"][0]["properties"];
    assert_eq!(listed["extendedInfo"], Value::Null);
    assert_eq!(listed["supportedActions"], json!([]));
    assert!(listed["duration"].as_str().unwrap().starts_with("00:00:"));

    let points = estate.recovery_points(&instance).await;
    assert_eq!(points.len(), 1);
    let point = &points[0]["properties"];
    let id = point["recoveryPointId"].as_str().unwrap();
    assert_eq!(job["properties"]["extendedInfo"]["targetRecoverPoint"]["recoveryPointID"], id);
    assert_eq!(point["expiryTime"], Value::Null);
    assert_eq!(point["retentionTagName"], "default");
    assert_eq!(point["recoveryPointDataStoresDetails"][0]["metaData"], Value::Null);
    let got = harness.call(Method::GET, points[0]["id"].as_str().unwrap(), None).await.expect(200);
    assert!(
        got.body["properties"]["recoveryPointDataStoresDetails"][0]["metaData"]
            .as_str()
            .unwrap()
            .contains("rows")
    );

    restore_as_database(&estate, &instance, id).await;

    let body = json!({"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {"retentionTagOverride": "Monthly"}}});
    let answer =
        harness.call(Method::POST, &format!("{instance}/backup"), Some(body)).await.expect(202);
    let job = estate.job(&answer).await;
    assert_eq!(job["properties"]["extendedInfo"]["additionalDetails"]["RetentionTag"], "Monthly");
    let points = estate.recovery_points(&instance).await;
    assert_eq!(points.len(), 2);
    assert_eq!(points[0]["properties"]["retentionTagName"], "Monthly", "newest first");
    assert_eq!(points[0]["properties"]["expiryTime"], Value::Null);
    assert!(points[1]["properties"]["expiryTime"].is_string(), "an older one expires");

    for (action, state) in [
        ("stopProtection", "ProtectionStopped"),
        ("resumeProtection", "ProtectionConfigured"),
        ("suspendBackups", "BackupsSuspended"),
        ("resumeBackups", "ProtectionConfigured"),
    ] {
        estate.act(&format!("{instance}/{action}")).await;
        assert_eq!(estate.state(&instance).await, state);
    }
    harness.call(Method::POST, &format!("{instance}/resumeProtection"), None).await.expect(200);
}

fn check_backup_job(estate: &Estate, job: &Value) {
    let properties = &job["properties"];
    assert_eq!(properties["status"], "Completed", "{job:#}");
    assert_eq!(properties["operation"], "Backup");
    assert_eq!(properties["dataSourceSetName"], "pg");
    assert_eq!(properties["dataSourceName"], "shop");
    assert_eq!(properties["vaultName"], "vault");
    assert_eq!(properties["policyName"], "weekly");
    assert_eq!(properties["errorDetails"], Value::Null);
    assert_eq!(properties["subscriptionId"], estate.harness.subscription);
    assert_ne!(
        properties["sourceSubscriptionID"], properties["subscriptionId"],
        "the database is in another one"
    );
    assert_eq!(properties["supportedActions"], json!([""]));
    assert!(properties["duration"].as_str().unwrap().starts_with("PT"));
    let info = &properties["extendedInfo"];
    assert!(info["dataTransferredInBytes"].as_f64().unwrap() > 100_000.0);
    assert_eq!(info["subTasks"][0]["taskName"], "Trigger Backup");
    assert_eq!(info["subTasks"][0]["taskStatus"], "Completed");
    assert!(info["subTasks"][0]["additionalDetails"]["OriginalDatasourceSizeInBytes"].is_string());
    assert_eq!(info["additionalDetails"]["RetentionTag"], "default");
}

async fn restore_as_database(estate: &Estate, instance: &str, recovery_point: &str) {
    let harness = &estate.harness;
    let request = estate.restore_to_database(recovery_point, "shop_copy");
    let validate = json!({"restoreRequestObject": request});
    let answer = harness
        .call(Method::POST, &format!("{instance}/validateRestore"), Some(validate))
        .await
        .expect(202);
    let status = estate.follow(&answer).await;
    assert_eq!(status["status"], "Succeeded", "{status:#}");

    let answer = harness
        .call(Method::POST, &format!("{instance}/restore"), Some(request.clone()))
        .await
        .expect(202);
    let job = estate.job(&answer).await;
    let properties = &job["properties"];
    assert!(
        ["Completed", "CompletedWithWarnings"].contains(&properties["status"].as_str().unwrap()),
        "{job:#}"
    );
    assert_eq!(properties["operation"], "Restore");
    assert_eq!(properties["sourceDataStoreType"], "VaultStore");
    let info = &properties["extendedInfo"];
    assert_eq!(info["sourceRecoverPoint"]["recoveryPointID"], recovery_point);
    assert_eq!(info["recoveryDestination"], format!("{}/databases/shop_copy", estate.server));
    assert!(info["additionalDetails"]["Proof"].as_str().unwrap().starts_with("equal"), "{job:#}");
    assert_eq!(digest(&estate.postgres, "shop_copy"), digest(&estate.postgres, "shop"));

    // Wrong credentials: told by the job at once, without attempts that can't succeed.
    let wrong = estate.secret("wrong", "postgres://postgres:wrong@ignored/ignored").await;
    let mut refused = estate.restore_to_database(recovery_point, "shop_refused");
    refused["restoreTargetInfo"]["datasourceAuthCredentials"] = estate.credentials(&wrong);
    let begun = std::time::Instant::now();
    let answer =
        harness.call(Method::POST, &format!("{instance}/restore"), Some(refused)).await.expect(202);
    let job = estate.job(&answer).await;
    assert_eq!(
        job["properties"]["errorDetails"][0]["code"], "UserErrorDBUserAuthFailed",
        "{job:#}"
    );
    assert!(begun.elapsed() < std::time::Duration::from_secs(10), "{:?}", begun.elapsed());

    // The name is taken now: told by the check, and by the job.
    let validate = json!({"restoreRequestObject": request});
    let answer = harness
        .call(Method::POST, &format!("{instance}/validateRestore"), Some(validate))
        .await
        .expect(202);
    let status = estate.follow(&answer).await;
    assert_eq!(status["status"], "Failed");
    assert_eq!(status["error"]["code"], "UserErrorDatabaseNameAlreadyInUse", "{status:#}");
    let answer =
        harness.call(Method::POST, &format!("{instance}/restore"), Some(request)).await.expect(202);
    let job = estate.job(&answer).await;
    assert_eq!(job["properties"]["status"], "Failed");
    assert_eq!(job["properties"]["errorDetails"][0]["code"], "UserErrorDatabaseNameAlreadyInUse");
}

#[tokio::test(flavor = "multi_thread")]
async fn restore_as_files() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let harness = &estate.harness;
    let instance = estate.protect("pg-shop", "shop").await;
    estate.backup(&instance).await;
    let id = estate.recovery_points(&instance).await[0]["name"].as_str().unwrap().to_owned();

    let (account, root, url) = estate.files_account().await;
    let request = Estate::restore_to_files(&id, url);
    let restore = format!("{instance}/restore");

    let answer = harness.call(Method::POST, &restore, Some(request.clone())).await.expect(202);
    let job = estate.job(&answer).await;
    assert_eq!(
        job["properties"]["errorDetails"][0]["code"], "UserErrorContainerNotAccessible",
        "{job:#}"
    );

    harness
        .assign(&estate.vault_principal, super::estate::STORAGE_BLOB_DATA_CONTRIBUTOR, &account)
        .await;
    let answer = harness.call(Method::POST, &restore, Some(request.clone())).await.expect(202);
    let job = estate.job(&answer).await;
    assert_eq!(job["properties"]["errorDetails"], Value::Null, "{job:#}");
    let info = &job["properties"]["extendedInfo"];
    assert_eq!(info["recoveryDestination"], url);
    assert_eq!(info["additionalDetails"]["Restore File Prefix"], "shop_files");
    let archive = root.join("container").join("shop_files");
    assert!(archive.join("toc.dat").exists());
    let left: Vec<_> = std::fs::read_dir(root.join("container"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["shop_files"], "nothing temporary is left");

    let mut restored = std::process::Command::new(estate.postgres.bin().join("pg_restore"));
    restored.args(["-j2", "--no-owner", "-d", &estate.postgres.uri("from_files")]).arg(&archive);
    check_pg_restore(&estate, &mut restored);

    let answer = harness.call(Method::POST, &restore, Some(request)).await.expect(202);
    let job = estate.job(&answer).await;
    assert_eq!(
        job["properties"]["errorDetails"][0]["code"], "UserErrorTargetFilesAlreadyExist",
        "{job:#}"
    );
}

fn check_pg_restore(estate: &Estate, command: &mut std::process::Command) {
    estate.postgres.create_database("from_files").unwrap();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(digest(&estate.postgres, "from_files"), digest(&estate.postgres, "shop"));
}
