//! Instances: the documentation's bodies, one protection per datasource, updates, deletion and undeletion.

use reqwest::Method;
use serde_json::json;

use super::{Scene, database, instance_body, instance_properties, policy_body};

#[tokio::test]
async fn configured_by_the_documented_body() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let db = database(&server, "empdb11");
    let name = "testpostgresql-empdb11-957d23b1-c679-4c94-ade6-c4d34635e149";
    let instance = format!("{vault}/backupInstances/{name}");
    let created = s.put(&instance, instance_body(&vault, &db)).await.expect(201);
    assert!(created.header("location").is_empty());
    let properties = &created.body["properties"];
    assert_eq!(properties["currentProtectionState"], "ConfiguringProtection");
    assert_eq!(properties["protectionStatus"], json!({ "status": "ConfiguringProtection" }));
    assert_eq!(properties["provisioningState"], "Provisioning");
    s.finish(&created, "Succeeded").await;

    let got = s.get(&instance).await.expect(200);
    let mut expected = instance_properties(&vault, &db);
    expected["friendlyName"] = json!(name);
    expected["policyInfo"] = json!({ "policyId": format!("{vault}/backupPolicies/osspol3") });
    expected["protectionStatus"] = json!({ "status": "ProtectionConfigured" });
    expected["currentProtectionState"] = json!("ProtectionConfigured");
    expected["provisioningState"] = json!("Succeeded");
    expected["objectType"] = json!("BackupInstance");
    assert_eq!(
        got.body,
        json!({
            "properties": expected, "id": instance, "name": name,
            "type": "Microsoft.DataProtection/backupVaults/backupInstances"
        })
    );
    assert_eq!(
        s.get(&format!("{vault}/backupInstances")).await.expect(200).body,
        json!({ "value": [got.body] })
    );
    // An identical PUT is answered 200 with the resource.
    assert_eq!(s.put(&instance, instance_body(&vault, &db)).await.expect(200).body, got.body);
    s.h.stop().await;
}

#[tokio::test]
async fn a_datasource_is_protected_once() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let db = database(&server, "empdb11");
    s.protect(&vault, "bi1", &db).await;
    let other = s.make_vault("other", "On").await;
    s.put(&format!("{other}/backupPolicies/osspol3"), policy_body()).await.expect(200);

    // Ids are compared without regard to case.
    let respelled =
        db.replace("resourceGroups", "RESOURCEGROUPS").replace("testpostgresql", "TestPostgreSQL");
    let validate = json!({ "backupInstance": instance_properties(&other, &respelled) });
    let code = "UserErrorDppDatasourceAlreadyProtected";
    let refused =
        s.post(&format!("{other}/validateForBackup"), Some(validate)).await.expect_error(400, code);
    assert_eq!(
        refused.body["error"]["message"],
        json!(format!("Datasource is already protected under the Backup vault {vault}."))
    );
    let action = format!(
        "Delete the backup instance bi1 from the Backup vault {vault} to re-protect the datasource in any other vault."
    );
    assert_eq!(
        refused.body["error"]["additionalInfo"][0]["info"]["recommendedAction"],
        json!([action])
    );
    for path in [format!("{other}/backupInstances/x"), format!("{vault}/backupInstances/bi2")] {
        let (own_vault, _) = path.split_once("/backupInstances").unwrap();
        s.put(&path, instance_body(own_vault, &db)).await.expect_error(400, code);
    }
    // Another database of the server is free.
    s.protect(&other, "bi3", &database(&server, "other")).await;
    s.h.stop().await;
}

#[tokio::test]
async fn of_many_at_the_same_time_one_protects() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let db = database(&server, "empdb11");
    let puts = (0..8).map(|at| {
        let instance = format!("{vault}/backupInstances/bi{at}");
        let body = instance_body(&vault, &db);
        let s = &s;
        async move { s.put(&instance, body).await }
    });
    let answers = futures::future::join_all(puts).await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status.as_u16()).collect();
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), 1, "{statuses:?}");
    assert_eq!(statuses.iter().filter(|status| **status == 400).count(), 7, "{statuses:?}");
    s.h.stop().await;
}

#[tokio::test]
async fn a_change_is_shown_when_it_is_done() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let db = database(&server, "empdb11");
    let instance = s.protect(&vault, "bi1", &db).await;
    s.put(&format!("{vault}/backupPolicies/second"), policy_body()).await.expect(200);
    let mut body = instance_body(&vault, &db);
    body["properties"]["policyInfo"]["policyId"] = json!(format!("{vault}/backupPolicies/second"));

    let updated = s.put(&instance, body.clone()).await.expect(201);
    assert_eq!(updated.body["properties"]["currentProtectionState"], "UpdatingProtection");
    assert_eq!(
        updated.body["properties"]["policyInfo"]["policyId"],
        json!(format!("{vault}/backupPolicies/osspol3"))
    );
    s.finish(&updated, "Succeeded").await;
    let got = s.get(&instance).await.expect(200);
    assert_eq!(
        got.body["properties"]["policyInfo"]["policyId"],
        json!(format!("{vault}/backupPolicies/second"))
    );
    assert_eq!(got.body["properties"]["currentProtectionState"], "ProtectionConfigured");

    // Since 2025-07-01 the answer has no body, and its result is the resource.
    body["properties"]["policyInfo"]["policyId"] = json!(format!("{vault}/backupPolicies/osspol3"));
    let updated = s.put(&format!("{instance}?api-version=2025-07-01"), body).await.expect(202);
    assert!(updated.body.is_null());
    s.finish(&updated, "Succeeded").await;
    let result = s.get(updated.header("location")).await.expect(200);
    assert_eq!(result.body["id"], json!(instance));

    let mut moved = instance_body(&vault, &database(&server, "elsewhere"));
    moved["properties"]["friendlyName"] = json!("x");
    s.put(&instance, moved).await.expect_error(400, "BMSUserErrorInvalidInput");
    s.h.stop().await;
}

#[tokio::test]
async fn deleted_softly_and_brought_back() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let db = database(&server, "empdb11");
    let instance = s.protect(&vault, "bi1", &db).await;
    let deleted = s.delete(&instance).await.expect(202);
    s.get(&instance).await.expect_error(404, "UserErrorGenericResourceNotFound");
    s.finish(&deleted, "Succeeded").await;
    s.delete(&instance).await.expect(204);

    let gone = s.get(&format!("{vault}/deletedBackupInstances/bi1")).await.expect(200);
    let properties = &gone.body["properties"];
    assert_eq!(properties["objectType"], "DeletedBackupInstance");
    assert_eq!(properties["currentProtectionState"], "SoftDeleted");
    assert_eq!(
        properties["deletionInfo"]["billingEndDate"],
        properties["deletionInfo"]["deletionTime"]
    );
    assert!(
        properties["deletionInfo"]["scheduledPurgeTime"].as_str()
            > properties["deletionInfo"]["deletionTime"].as_str()
    );
    assert_eq!(gone.body["type"], "Microsoft.DataProtection/backupVaults/deletedBackupInstances");
    let list = s.get(&format!("{vault}/deletedBackupInstances")).await.expect(200);
    assert_eq!(list.body, json!({ "value": [gone.body] }));

    // Not again in the same vault, but in another one; then undeletion works and resuming does not.
    s.put(&instance, instance_body(&vault, &db)).await.expect(400);
    s.put(&format!("{vault}/backupInstances/bi2"), instance_body(&vault, &db))
        .await
        .expect_error(400, "UserErrorDppDatasourceAlreadyProtected");
    s.delete(&vault).await.expect(400);
    let other = s.make_vault("other", "Off").await;
    s.put(&format!("{other}/backupPolicies/osspol3"), policy_body()).await.expect(200);
    let elsewhere = s.protect(&other, "bi3", &db).await;

    let undelete = format!("{vault}/deletedBackupInstances/bi1/undelete");
    let answer = s.post(&undelete, None).await.expect(202);
    s.finish(&answer, "Succeeded").await;
    s.post(&undelete, None).await.expect_error(404, "UserErrorGenericResourceNotFound");
    let back = s.get(&instance).await.expect(200);
    assert_eq!(back.body["properties"]["currentProtectionState"], "ProtectionStopped");
    assert_eq!(back.body["properties"]["objectType"], "BackupInstance");
    let resume = format!("{instance}/resumeProtection");
    let refused = s
        .post(&resume, None)
        .await
        .expect_error(400, "UserErrorDppDatasourceAlreadyHasBackupInstance");
    assert!(
        refused.body["error"]["message"]
            .as_str()
            .unwrap()
            .ends_with("with the protection status as ProtectionConfigured.")
    );

    // Without soft delete the other instance is gone at once, and the way is free.
    let deleted = s.delete(&elsewhere).await.expect(202);
    s.finish(&deleted, "Succeeded").await;
    s.get(&format!("{other}/deletedBackupInstances/bi3")).await.expect(404);
    let resumed = s.post(&resume, None).await.expect(202);
    s.finish(&resumed, "Succeeded").await;
    assert_eq!(
        s.get(&instance).await.body["properties"]["currentProtectionState"],
        "ProtectionConfigured"
    );
    s.post(&resume, None).await.expect(200);
    s.h.stop().await;
}

#[tokio::test]
async fn what_is_not_usable_is_named() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let db = database(&server, "empdb11");
    let instance = format!("{vault}/backupInstances/bi1");
    let changed = |pointer: &str, value| {
        let mut body = instance_body(&vault, &db);
        *body.pointer_mut(pointer).unwrap() = value;
        body
    };
    for (body, part) in [
        (
            changed("/properties/dataSourceInfo/datasourceType", json!("Microsoft.Compute/disks")),
            "Microsoft.Compute/disks",
        ),
        (changed("/properties/dataSourceInfo/resourceID", json!("nothing")), "nothing"),
        (
            changed("/properties/dataSourceInfo/resourceID", json!(server)),
            "is not that of a database",
        ),
        (
            changed("/properties/dataSourceSetInfo/resourceID", json!(format!("{server}x"))),
            "is not the server",
        ),
        (
            changed(
                "/properties/policyInfo/policyId",
                json!(format!("{vault}/backupPolicies/missing")),
            ),
            "missing",
        ),
        (
            changed(
                "/properties/policyInfo/policyId",
                json!(format!("{vault}x/backupPolicies/osspol3")),
            ),
            "is not a backup policy of",
        ),
    ] {
        let answer =
            s.put(&instance, body.clone()).await.expect_error(400, "BMSUserErrorInvalidInput");
        assert!(
            answer.body["error"]["message"].as_str().unwrap().contains(part),
            "{:#}",
            answer.body
        );
        let validate = json!({ "backupInstance": body["properties"] });
        s.post(&format!("{vault}/validateForBackup"), Some(validate))
            .await
            .expect_error(400, "BMSUserErrorInvalidInput");
    }
    let unregistered = server.replace("testpostgresql", "unknown");
    let mut body = instance_body(&vault, &database(&unregistered, "db"));
    body["properties"]["dataSourceSetInfo"]["resourceID"] = json!(unregistered);
    s.put(&instance, body).await.expect_error(400, "UserErrorDBNotFound");
    s.put(&instance, json!({ "properties": {} })).await.expect_error(400, "InvalidRequestContent");
    s.get(&instance).await.expect(404);
    s.delete(&instance).await.expect(204);
    s.h.call(Method::PATCH, &instance, Some(json!({}))).await.expect(405);
    s.h.stop().await;
}

#[tokio::test]
async fn validation_without_a_server_to_reach_fails_as_an_operation() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let properties = instance_properties(&vault, &database(&server, "empdb11"));
    let answer = s
        .post(&format!("{vault}/validateForBackup"), Some(json!({ "backupInstance": properties })))
        .await
        .expect(202);
    assert!(answer.body.is_null());
    let ended = s.finish(&answer, "Failed").await;
    // The vault's identity was given no role on the server.
    assert_eq!(ended["error"]["code"], "UserErrorMSIMissingPermissions", "{ended:#}");
    assert!(
        ended["error"]["additionalInfo"][0]["info"]["innerError"]["additionalInfo"].is_object()
    );
    s.h.stop().await;
}
