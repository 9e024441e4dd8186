//! Stop, suspend, resume, back up and restore, as far as no database is needed for it.

use serde_json::json;

use super::{Scene, database};

#[tokio::test]
async fn stopped_suspended_and_resumed() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    let backup =
        json!({ "backupRuleOptions": { "ruleName": "BackupWeekly", "triggerOption": {} } });
    for (action, state, again) in [
        ("stopProtection", "ProtectionStopped", 200),
        ("resumeProtection", "ProtectionConfigured", 200),
        ("suspendBackups", "BackupsSuspended", 200),
        ("resumeBackups", "ProtectionConfigured", 200),
        ("suspendBackups", "BackupsSuspended", 200),
        ("resumeProtection", "ProtectionConfigured", 200),
    ] {
        let answer = s.post(&format!("{instance}/{action}"), None).await.expect(202);
        assert!(answer.header("location").contains("/operationResults/"));
        s.finish(&answer, "Succeeded").await;
        let got = s.get(&instance).await.expect(200);
        assert_eq!(got.body["properties"]["currentProtectionState"], state, "{action}");
        assert_eq!(got.body["properties"]["protectionStatus"]["status"], state, "{action}");
        s.post(&format!("{instance}/{action}"), Some(json!({}))).await.expect(again);
        if state != "ProtectionConfigured" {
            s.post(&format!("{instance}/backup"), Some(backup.clone())).await.expect(400);
        }
    }
    s.post(&format!("{instance}/sync"), Some(json!({ "syncType": "Default" }))).await.expect(200);
    // A body may be absent; one that is sent is read.
    for action in ["stopProtection", "suspendBackups", "sync"] {
        s.post(&format!("{instance}/{action}"), Some(json!(["no object"])))
            .await
            .expect_error(400, "InvalidRequestContent");
    }
    let guarded = json!({ "resourceGuardOperationRequests": 3 });
    s.post(&format!("{instance}/stopProtection"), Some(guarded))
        .await
        .expect_error(400, "InvalidRequestContent");
    s.post(&format!("{instance}/stopProtection"), Some(json!(null))).await.expect(202);
    s.post(&format!("{vault}/backupInstances/missing/stopProtection"), None)
        .await
        .expect_error(404, "UserErrorGenericResourceNotFound");
    s.h.stop().await;
}

#[tokio::test]
async fn a_backup_names_the_backup_rule() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    let backup = format!("{instance}/backup");
    let body = |rule: &str, tag: &str| json!({ "backupRuleOptions": { "ruleName": rule, "triggerOption": { "retentionTagOverride": tag } } });
    let code = "BMSUserErrorDPPAdhocBackupNotAllowedForBackupType";
    let refused = s.post(&backup, Some(body("Default", ""))).await.expect_error(400, code);
    assert!(refused.body.to_string().contains("BackupWeekly"));
    let refused = s
        .post(&backup, Some(body("BackupWeekly", "Yearly")))
        .await
        .expect_error(400, "BMSUserErrorInvalidInput");
    assert!(refused.body.to_string().contains("Default"));

    let answer = s.post(&backup, Some(body("backupweekly", "default"))).await.expect(202);
    let status = s.finish(&answer, "Succeeded").await;
    let job = status["properties"]["jobId"].as_str().unwrap();
    assert!(job.starts_with(&format!("{vault}/backupJobs/")));
    let results = s.get(answer.header("location")).await.expect(200);
    assert_eq!(results.body, json!({ "jobId": job, "objectType": "OperationJobExtendedInfo" }));
    let got = s.get(job).await.expect(200);
    assert_eq!(got.body["properties"]["operation"], "Backup");
    assert_eq!(
        got.body["properties"]["extendedInfo"]["additionalDetails"],
        json!({ "RetentionTag": "Default" })
    );
    let list = s.get(&format!("{vault}/backupJobs")).await.expect(200);
    assert_eq!(list.body["value"].as_array().unwrap().len(), 1);
    assert!(list.body["value"][0]["properties"]["extendedInfo"].is_null());
    s.get(&format!("{vault}/backupJobs/00000000-0000-0000-0000-000000000000")).await.expect(404);
    s.h.stop().await;
}

#[tokio::test]
async fn restores_that_cannot_be_are_refused_at_once() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    let request = json!({
        "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
        "sourceDataStoreType": "VaultStore",
        "restoreTargetInfo": {
            "objectType": "restoreTargetInfo",
            "recoveryOption": "FailIfExists",
            "dataSourceInfo": { "objectType": "Datasource", "resourceID": database(&server, "emprestored21") },
            "restoreLocation": "westus"
        },
        "recoveryPointId": "eb006fde78cb47198be5a320fbe45e9b"
    });
    s.post(&format!("{instance}/restore"), Some(request.clone()))
        .await
        .expect_error(400, "UserErrorRecoveryPointNotFound");
    // The documentation's validateRestore has the recovery point beside the object.
    let mut inside = request.clone();
    inside.as_object_mut().unwrap().remove("recoveryPointId");
    let beside = json!({
        "objectType": "ValidateRestoreRequestObject",
        "recoveryPointId": "eb006fde78cb47198be5a320fbe45e9b",
        "restoreRequestObject": inside
    });
    s.post(&format!("{instance}/validateRestore"), Some(beside))
        .await
        .expect_error(400, "UserErrorRecoveryPointNotFound");
    let mut archive = request;
    archive["sourceDataStoreType"] = json!("ArchiveStore");
    archive["rehydration_priority"] = json!("Standard");
    let refused = s
        .post(&format!("{instance}/restore"), Some(archive))
        .await
        .expect_error(400, "BMSUserErrorInvalidInput");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("ArchiveStore"));
    s.h.stop().await;
}

#[tokio::test]
async fn recovery_points_are_filtered_by_time() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    let points = format!("{instance}/recoveryPoints");
    for filter in [
        "",
        "?$filter=",
        "?$filter=startDate%20eq%20'2023-06-16T01:00:00.0000000Z'%20and%20endDate%20eq%20'2033-06-16'",
    ] {
        let list = s.get(&format!("{points}{filter}")).await.expect(200);
        assert_eq!(list.body, json!({ "value": [] }));
    }
    let refused = s
        .get(&format!("{points}?$filter=color%20eq%20'red'"))
        .await
        .expect_error(400, "InvalidFilterInQueryString");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("color"));
    s.get(&format!("{points}/3e192126995b408bab9f4252d76c6b23"))
        .await
        .expect_error(404, "UserErrorGenericResourceNotFound");
    s.h.stop().await;
}
