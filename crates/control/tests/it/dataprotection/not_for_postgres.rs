//! What the API has for other datasources and other tiers: answered truly, never passed over.

use serde_json::{Value, json};

use super::{Scene, database, instance_properties, policy_body};
use crate::harness::API_VERSION;

#[tokio::test]
async fn there_are_no_ranges_of_time_and_wrong_ones_are_named() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    let find = format!("{instance}/findRestorableTimeRanges");
    let ask = |from: &str, to: &str| {
        Some(json!({ "sourceDataStoreType": "OperationalStore", "startTime": from, "endTime": to }))
    };
    let found = s
        .post(&find, ask("2020-10-17T23:28:17.6829685Z", "2021-02-24T00:35:17.6829685Z"))
        .await
        .expect(200);
    assert_eq!(
        found.body,
        json!({
            "id": "bi1",
            "type": "Microsoft.DataProtection/backupVaults/backupInstances/findRestorableTimeRanges",
            "properties": { "restorableTimeRanges": [], "objectType": "AzureBackupFindRestorableTimeRangesResponse" }
        })
    );
    s.post(&find, Some(json!({ "sourceDataStoreType": "VaultStore" }))).await.expect(200);
    for (from, to) in [("2021-02-24", "2020-02-24"), ("yesterday", "2020-02-24")] {
        s.post(&find, ask(from, to)).await.expect_error(400, "UserErrorInvalidRestorableTimeRange");
    }
    s.post(&find, Some(json!({}))).await.expect_error(400, "InvalidRequestContent");
    s.post(&find.replace("/bi1/", "/other/"), ask("2020-01-01", "2021-01-01")).await.expect(404);
    s.h.stop().await;
}

#[tokio::test]
async fn nothing_is_rehydrated_and_the_reason_is_told() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    super::recovery_points::add(&s, &instance, 1).await;
    let rehydrate = format!("{instance}/rehydrate");
    let ask = |point: &str| {
        Some(
            json!({ "recoveryPointId": point, "rehydrationPriority": "High", "rehydrationRetentionDuration": "P15D" }),
        )
    };
    let refused = s
        .post(&rehydrate, ask(&format!("{:032x}", 0)))
        .await
        .expect_error(400, "BMSUserErrorInvalidInput");
    assert!(
        refused.body.to_string().contains("is restored from there as it is"),
        "{:#}",
        refused.body
    );
    s.post(&rehydrate, ask("other")).await.expect_error(400, "UserErrorRecoveryPointNotFound");
    s.post(&rehydrate, Some(json!({}))).await.expect_error(400, "InvalidRequestContent");
    s.h.stop().await;
}

#[tokio::test]
async fn a_change_of_an_instance_is_checked_without_effect() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let db = database(&server, "empdb11");
    let instance = s.protect(&vault, "bi1", &db).await;
    s.put(&format!("{vault}/backupPolicies/second"), policy_body()).await.expect(200);
    let validate = format!("{instance}/validateForModifyBackup?api-version=2025-07-01");
    let ask = |properties: Value| Some(json!({ "backupInstance": properties }));
    let mut properties = instance_properties(&vault, &db);
    properties["policyInfo"]["policyId"] = json!(format!("{vault}/backupPolicies/second"));
    properties["objectType"] = json!("BackupInstance");
    let before = s.get(&instance).await.body;
    let answer = s.post(&validate, ask(properties.clone())).await.expect(202);
    assert!(
        answer.header("location").contains("/operationResults/"),
        "{}",
        answer.header("location")
    );
    // Nothing listens where the server is registered: the checks run, and say so.
    let status = s.finish(&answer, "Failed").await;
    assert!(
        status["error"]["code"].as_str().is_some_and(|code| code.starts_with("UserError")),
        "{status:#}"
    );
    assert_eq!(s.get(&instance).await.body, before);

    let mut elsewhere = properties.clone();
    elsewhere["dataSourceInfo"]["resourceID"] = json!(database(&server, "other"));
    elsewhere["dataSourceInfo"]["resourceName"] = json!("other");
    let refused =
        s.post(&validate, ask(elsewhere)).await.expect_error(400, "BMSUserErrorInvalidInput");
    assert!(refused.body.to_string().contains("cannot be changed"), "{:#}", refused.body);
    properties["policyInfo"]["policyId"] = json!(format!("{vault}/backupPolicies/absent"));
    let refused = s.post(&validate, ask(properties.clone())).await;
    assert!(refused.status.is_client_error(), "{:#}", refused.body);
    let absent =
        format!("{vault}/backupInstances/other/validateForModifyBackup?api-version={API_VERSION}");
    properties["policyInfo"]["policyId"] = json!(format!("{vault}/backupPolicies/second"));
    s.post(&absent, ask(properties)).await.expect(404);
    s.h.stop().await;
}
