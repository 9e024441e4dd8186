//! Vaults: the recorded answers of create, update and delete.

use reqwest::Method;
use serde_json::json;

use super::{Scene, policy_body, vault_body};

#[tokio::test]
async fn created_as_recorded() {
    let s = Scene::start().await;
    let vault = s.vault("testBkpVault");
    let created = s.put(&vault, vault_body("On")).await.expect(201);
    assert_eq!(created.body["properties"]["provisioningState"], "Provisioning");
    assert!(created.header("location").is_empty());
    assert!(created.header("azure-asyncoperation").contains(&format!("{vault}/operationStatus/")));
    s.finish(&created, "Succeeded").await;

    let got = s.get(&vault).await.expect(200);
    let principal = got.body["identity"]["principalId"].as_str().unwrap().to_owned();
    assert_eq!(
        got.body,
        json!({
            "location": "WestUS",
            "identity": { "type": "SystemAssigned", "principalId": principal, "tenantId": s.h.tenant },
            "properties": {
                "provisioningState": "Succeeded",
                "storageSettings": [{ "datastoreType": "VaultStore", "type": "LocallyRedundant" }],
                "isVaultProtectedByResourceGuard": false,
                "securitySettings": { "softDeleteSettings": { "state": "On", "retentionDurationInDays": 14.0 } },
                "secureScore": "None",
                "bcdrSecurityLevel": "Poor",
                "replicatedRegions": []
            },
            "id": vault,
            "name": "testBkpVault",
            "type": "Microsoft.DataProtection/backupVaults"
        })
    );
    let keys: Vec<&String> = got.body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["location", "identity", "properties", "id", "name", "type"]);

    // The same again changes nothing and announces nothing; another case of the location is the same.
    let mut same = vault_body("On");
    same["location"] = json!("west us");
    let unchanged = s.put(&vault, same).await.expect(200);
    assert!(unchanged.header("azure-asyncoperation").is_empty());
    assert_eq!(unchanged.body, got.body);
    for list in [s.group.clone(), s.h.subscription_path()] {
        let list = s
            .get(&format!("{list}/providers/Microsoft.DataProtection/BackupVaults"))
            .await
            .expect(200);
        assert_eq!(list.body, json!({ "value": [got.body] }));
    }
    s.h.stop().await;
}

#[tokio::test]
async fn what_was_made_irreversible_stays() {
    let s = Scene::start().await;
    let vault = s.make_vault("v1", "Off").await;
    let security = |soft_delete: &str, immutability: &str| {
        let mut body = vault_body(soft_delete);
        body["properties"]["securitySettings"]["immutabilitySettings"] =
            json!({ "state": immutability });
        body
    };
    let updated = s.put(&vault, security("AlwaysOn", "Unlocked")).await.expect(201);
    assert_eq!(updated.body["properties"]["provisioningState"], "Updating");
    assert_eq!(updated.body["properties"]["secureScore"], "Adequate");
    s.finish(&updated, "Succeeded").await;
    let refused = s
        .put(&vault, security("On", "Unlocked"))
        .await
        .expect_error(400, "UserErrorDisableSoftDeleteNotAllowed");
    let info = &refused.body["error"]["additionalInfo"][0];
    assert_eq!(info["type"], "UserFacingError");
    assert_eq!(
        info["info"]["recommendedAction"][0],
        "Please contact Microsoft Support if this is not expected."
    );
    let locked = s.put(&vault, security("AlwaysOn", "Locked")).await.expect(201);
    s.finish(&locked, "Succeeded").await;
    s.put(&vault, security("AlwaysOn", "Disabled"))
        .await
        .expect_error(400, "UserErrorUnsupportedVaultImmutabilityStateChange");
    // An empty vault can be deleted, even a locked one.
    let deleted = s.delete(&vault).await.expect(202);
    s.finish(&deleted, "Succeeded").await;
    s.h.stop().await;
}

#[tokio::test]
async fn a_patch_changes_what_it_names() {
    let s = Scene::start().await;
    let vault = s.make_vault("v1", "On").await;
    let patch = |body| s.h.call(Method::PATCH, &vault, Some(body));
    let answer = patch(json!({ "tags": { "newKey": "newVal" } })).await.expect(202);
    assert!(answer.header("location").contains(&format!("{vault}/operationResults/")));
    s.finish(&answer, "Succeeded").await;
    let results = s.get(answer.header("location")).await.expect(200);
    assert_eq!(results.body["tags"], json!({ "newKey": "newVal" }));
    assert_eq!(results.body["properties"]["provisioningState"], "Succeeded");
    patch(json!({ "tags": { "newKey": "newVal" } })).await.expect(200);
    let identity = patch(json!({ "identity": { "type": "None" } })).await.expect(202);
    s.finish(&identity, "Succeeded").await;
    let got = s.get(&vault).await.expect(200);
    assert!(got.body.get("identity").is_none());
    // Each setting alone, and no other with it.
    let settings = [
        (
            "securitySettings",
            "softDeleteSettings",
            json!({ "state": "On", "retentionDurationInDays": 30.0 }),
        ),
        ("securitySettings", "immutabilitySettings", json!({ "state": "Unlocked" })),
        (
            "monitoringSettings",
            "azureMonitorAlertSettings",
            json!({ "alertsForAllJobFailures": "Disabled" }),
        ),
        ("featureSettings", "crossSubscriptionRestoreSettings", json!({ "state": "Disabled" })),
    ];
    let mut expected = s.get(&vault).await.body["properties"].clone();
    for (part, name, value) in settings {
        let answer = patch(json!({ "properties": { part: { name: value } } })).await.expect(202);
        s.finish(&answer, "Succeeded").await;
        let properties = s.get(&vault).await.body["properties"].clone();
        expected[part][name] = value;
        for part in ["securitySettings", "monitoringSettings", "featureSettings", "storageSettings"]
        {
            assert_eq!(properties[part], expected[part], "{name}");
        }
    }
    let got = s.get(&vault).await.expect(200);
    assert_eq!(got.body["tags"], json!({ "newKey": "newVal" }));
    s.h.call(Method::PATCH, &s.vault("other"), Some(json!({}))).await.expect(404);
    s.h.stop().await;
}

#[tokio::test]
async fn only_an_empty_vault_goes() {
    let s = Scene::start().await;
    let vault = s.make_vault("v1", "On").await;
    let principal =
        s.get(&vault).await.body["identity"]["principalId"].as_str().unwrap().to_owned();
    let policy = format!("{vault}/backupPolicies/osspol3");
    s.put(&policy, policy_body()).await.expect(200);
    let refused = s.delete(&vault).await.expect(400);
    assert!(
        refused.body["error"]["message"]
            .as_str()
            .unwrap()
            .starts_with("Cannot delete the Backup vault")
    );
    assert!(refused.body.to_string().contains("osspol3"));
    s.delete(&policy).await.expect(200);

    let deleted = s.delete(&vault).await.expect(202);
    let status = deleted.header("azure-asyncoperation");
    assert!(
        status.contains(&format!("{}/providers/Microsoft.DataProtection/locations/", s.group)),
        "{status}"
    );
    assert!(deleted.header("location").contains("/operationResults/"));
    s.finish(&deleted, "Succeeded").await;
    let results = s.get(deleted.header("location")).await.expect(200);
    assert_eq!(results.body, json!({ "objectType": "OperationJobExtendedInfo" }));
    s.get(&vault).await.expect_error(404, "ResourceNotFound");
    s.delete(&vault).await.expect(204);
    // A vault made again is another one.
    let again = s.make_vault("v1", "On").await;
    assert_ne!(s.get(&again).await.body["identity"]["principalId"], json!(principal));
    s.h.stop().await;
}

#[tokio::test]
async fn wrong_settings_are_named() {
    let s = Scene::start().await;
    let vault = s.vault("v1");
    let changed = |pointer: &str, value| {
        let mut body = vault_body("On");
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (body, part) in [
        (changed("/properties/storageSettings", json!([])), "storageSettings"),
        (changed("/properties/storageSettings/0/type", json!("Doubly")), "storageSettings"),
        (changed("/properties/securitySettings/softDeleteSettings/state", json!("Maybe")), "Maybe"),
        (
            changed(
                "/properties/securitySettings/softDeleteSettings/retentionDurationInDays",
                json!(7),
            ),
            "7",
        ),
        (changed("/identity/type", json!("UserAssigned")), "UserAssigned"),
    ] {
        let answer = s.put(&vault, body).await.expect_error(400, "BMSUserErrorInvalidInput");
        assert!(
            answer.body["error"]["message"].as_str().unwrap().contains(part),
            "{:#}",
            answer.body
        );
    }
    s.put(&vault, json!({ "location": "westus" })).await.expect_error(400, "InvalidRequestContent");
    s.put(&vault, changed("/location", json!(""))).await.expect_error(400, "LocationRequired");
    s.put(&s.vault("-"), vault_body("On")).await.expect_error(400, "BMSUserErrorInvalidInput");
    let elsewhere =
        format!("{}/providers/Microsoft.DataProtection/backupVaults/v1", s.h.group_path("nowhere"));
    s.put(&elsewhere, vault_body("On")).await.expect_error(404, "ResourceGroupNotFound");
    s.make_vault("v1", "On").await;
    s.put(&vault, changed("/location", json!("eastus")))
        .await
        .expect_error(409, "InvalidResourceLocation");
    s.h.stop().await;
}

#[tokio::test]
async fn what_has_failed_is_tried_again_by_the_same_request() {
    let s = Scene::start().await;
    let vault = s.make_vault("v1", "On").await;
    let app = s.h.service().app();
    let mut tx = app.db.begin().await.unwrap();
    let id = coffer_azure::ResourceId::parse(&vault).unwrap();
    let mut row = coffer_control::db::resource_get(&mut *tx, &id).await.unwrap().unwrap();
    row.body["properties"]["provisioningState"] = json!("Failed");
    coffer_control::db::resource_update(&mut tx, &mut row, 1).await.unwrap();
    tx.commit().await.unwrap();
    let again = s.put(&vault, vault_body("On")).await.expect(201);
    s.finish(&again, "Succeeded").await;
    assert_eq!(s.get(&vault).await.body["properties"]["provisioningState"], "Succeeded");
    s.put(&vault, vault_body("On")).await.expect(200);
    s.h.stop().await;
}
