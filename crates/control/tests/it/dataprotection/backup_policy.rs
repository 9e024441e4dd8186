//! Policies over HTTPS; every mistake that is found in one has a unit test beside the rules.

use serde_json::json;

use super::{Scene, database, policy_body};

#[tokio::test]
async fn written_as_recorded_with_and_without_the_envelope() {
    let s = Scene::start().await;
    let vault = s.make_vault("testBkpVault", "On").await;
    let policy = format!("{vault}/backupPolicies/osspol3");
    let put = s.put(&policy, policy_body()).await.expect(200);
    let rules = policy_body()["properties"]["policyRules"].clone();
    assert_eq!(
        put.body,
        json!({
            "properties": {
                "policyRules": rules,
                "datasourceTypes": ["Microsoft.DBforPostgreSQL/servers/databases"],
                "objectType": "BackupPolicy"
            },
            "id": policy,
            "name": "osspol3",
            "type": "Microsoft.DataProtection/backupVaults/backupPolicies"
        })
    );
    // The documentation's example has no envelope.
    let bare = s.put(&policy, policy_body()["properties"].clone()).await.expect(200);
    assert_eq!(bare.body, put.body);
    assert_eq!(s.get(&policy.to_uppercase()).await.expect(200).body, put.body);
    assert_eq!(
        s.get(&format!("{vault}/backupPolicies")).await.expect(200).body,
        json!({ "value": [put.body] })
    );

    let mut daily = policy_body();
    daily["properties"]["policyRules"][0]["trigger"]["schedule"] = json!({ "repeatingTimeIntervals": ["R/2026-01-01T02:00:00/PT6H"], "timeZone": "India Standard Time" });
    s.put(&policy, daily).await.expect(200);
    s.delete(&policy).await.expect(200);
    s.delete(&policy).await.expect(204);
    s.get(&policy).await.expect_error(404, "UserErrorGenericResourceNotFound");
    s.h.stop().await;
}

#[tokio::test]
async fn mistakes_are_named() {
    let s = Scene::start().await;
    let vault = s.make_vault("testBkpVault", "On").await;
    let policy = format!("{vault}/backupPolicies/osspol3");
    let mut body = policy_body();
    body["properties"]["policyRules"][0]["trigger"]["schedule"]["repeatingTimeIntervals"][0] =
        json!("R/PT4H");
    let refused = s.put(&policy, body).await.expect_error(400, "BMSUserErrorInvalidInput");
    let inner = &refused.body["error"]["additionalInfo"][0]["info"]["innerError"]["additionalInfo"];
    assert!(
        inner["DetailedNonLocalisedMessage"].as_str().unwrap().contains("R/PT4H"),
        "{:#}",
        refused.body
    );
    s.put(&format!("{vault}/backupPolicies/a"), policy_body())
        .await
        .expect_error(400, "BMSUserErrorInvalidInput");
    s.put(&policy, json!({})).await.expect_error(400, "InvalidRequestContent");
    s.put(&format!("{}/backupPolicies/osspol3", s.vault("missing")), policy_body())
        .await
        .expect(404);
    s.h.stop().await;
}

#[tokio::test]
async fn one_in_use_stays() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    let policy = format!("{vault}/backupPolicies/osspol3");
    let refused = s.delete(&policy).await.expect_error(400, "UserErrorDppPolicyObjectInUse");
    assert!(refused.body.to_string().contains("bi1"));
    let deleted = s.delete(&instance).await.expect(202);
    s.finish(&deleted, "Succeeded").await;
    s.delete(&policy).await.expect(200);
    s.h.stop().await;
}
