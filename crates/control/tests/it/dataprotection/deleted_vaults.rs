//! Vaults that are deleted softly, listed, brought back, and purged.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Scene, database, vault_body};
use crate::harness::Answer;

/// The first version of the API that knows deleted vaults.
const SOFT: &str = "api-version=2025-09-01";
const DAY: Duration = Duration::from_secs(86_400);

impl Scene {
    fn deleted_vaults(&self, location: &str) -> String {
        let subscription = self.h.subscription_path();
        format!(
            "{subscription}/providers/Microsoft.DataProtection/locations/{location}/deletedVaults"
        )
    }

    async fn delete_softly(&self, vault: &str) {
        let going = self.delete(&format!("{vault}?{SOFT}")).await.expect(202);
        self.finish(&going, "Succeeded").await;
        self.get(vault).await.expect(404);
    }

    /// What the list of a location has.
    async fn listed(&self, location: &str) -> Vec<Value> {
        let list = self.get(&format!("{}?{SOFT}", self.deleted_vaults(location))).await.expect(200);
        list.body["value"].as_array().unwrap().clone()
    }

    /// A PUT that is to bring a deleted vault back.
    async fn put_back(&self, vault: &str, deleted: &str, body: &Value) -> Answer {
        let request = self.h.client().put(self.h.url(&format!("{vault}?{SOFT}")));
        let request = request.bearer_auth(&self.h.owner.token);
        self.h.send(request.header("x-ms-deleted-vault-id", deleted).json(body)).await
    }
}

fn names(list: &Value) -> Vec<&str> {
    let items = list["value"].as_array().unwrap();
    items.iter().map(|item| item["name"].as_str().unwrap()).collect()
}

/// Older versions know no deleted vaults, and have nothing that could be lost by an empty one.
#[tokio::test]
async fn an_empty_vault_is_gone_where_nothing_else_is_known() {
    let s = Scene::start().await;
    let vault = s.make_vault("v1", "On").await;
    let gone = s.delete(&vault).await.expect(202);
    s.finish(&gone, "Succeeded").await;
    assert_eq!(s.listed("westus").await, Vec::<Value>::new());
    let deleted = s.deleted_vaults("westus");
    s.get(&format!("{deleted}/v1")).await.expect_error(404, "UserErrorGenericResourceNotFound");
    // Who wants the old one back does not get an empty one instead.
    for id in [format!("{deleted}/v1"), vault.clone(), "v1".to_owned()] {
        let refused = s.put_back(&vault, &id, &vault_body("On")).await;
        let refused = refused.expect_error(400, "BMSUserErrorInvalidInput");
        assert!(refused.body.to_string().contains(&id), "{:#}", refused.body);
    }
    s.get(&vault).await.expect(404);
    // With soft delete off, a vault is gone in any version.
    let off = s.make_vault("v2", "Off").await;
    s.delete_softly(&off).await;
    assert_eq!(s.listed("westus").await, Vec::<Value>::new());
    s.h.stop().await;
}

#[tokio::test]
async fn a_vault_comes_back_with_what_was_in_it() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let db = database(&server, "empdb11");
    let instance = s.protect(&vault, "bi1", &db).await;
    super::recovery_points::add(&s, &instance, 3).await;
    // What is protected keeps its vault.
    s.delete(&format!("{vault}?{SOFT}")).await.expect_error(400, "UserErrorDppBackupVaultNotEmpty");
    let going = s.delete(&instance).await.expect(202);
    s.finish(&going, "Succeeded").await;
    let blocked = s.delete(&vault).await.expect_error(400, "UserErrorDppBackupVaultNotEmpty");
    assert!(blocked.body.to_string().contains("2025-09-01"), "{:#}", blocked.body);
    let before = s.get(&vault).await.expect(200).body;

    s.delete_softly(&vault).await;
    // Locations are compared without case and blanks.
    let listed = s.listed("West%20US").await;
    let [deleted] = listed.as_slice() else { panic!("{listed:#?}") };
    let id = deleted["id"].as_str().unwrap();
    assert_eq!(s.get(&format!("{id}?{SOFT}")).await.expect(200).body, *deleted);
    let properties = &deleted["properties"];
    assert_eq!(properties["originalBackupVaultId"], vault);
    assert_eq!(properties["originalBackupVaultName"], "testBkpVault");
    assert_eq!(properties["originalBackupVaultResourcePath"], vault);
    assert_eq!(properties["storageSettings"], before["properties"]["storageSettings"]);
    let info = &properties["resourceDeletionInfo"];
    let time = |name: &str| info[name].as_str().unwrap().to_owned();
    assert!(time("scheduledPurgeTime") > time("deletionTime"), "{info:#}");
    assert!(!time("deleteActivityId").is_empty());
    assert_eq!(s.listed("eastus").await, Vec::<Value>::new());

    // Another one has its name meanwhile, and protects the same database; it knows nothing of the first.
    let (_, _) = s.make_all("Off").await;
    let deleted_instances = format!("{vault}/deletedBackupInstances");
    assert_eq!(s.get(&deleted_instances).await.expect(200).body, json!({ "value": [] }));
    assert_eq!(s.get(&format!("{vault}/backupJobs")).await.expect(200).body["value"], json!([]));
    let other = s.protect(&vault, "bi1", &db).await;
    let taken = s.put_back(&vault, id, &vault_body("On")).await;
    let taken = taken.expect_error(400, "BMSUserErrorInvalidInput");
    assert!(taken.body.to_string().contains("Delete the Backup vault"), "{:#}", taken.body);
    let going = s.delete(&other).await.expect(202);
    s.finish(&going, "Succeeded").await;
    s.delete(&format!("{vault}/backupPolicies/osspol3")).await.expect(200);
    s.delete_softly(&vault).await;

    // It comes back under its own id alone.
    let elsewhere = vault.replace("testBkpVault", "another");
    s.put_back(&elsewhere, id, &vault_body("On"))
        .await
        .expect_error(400, "BMSUserErrorInvalidInput");
    let back = s.put_back(&vault, id, &vault_body("On")).await.expect(201);
    s.finish(&back, "Succeeded").await;
    let after = s.get(&vault).await.expect(200).body;
    assert_eq!(after["identity"], before["identity"], "what it was granted is still granted");
    assert_eq!(after["properties"]["provisioningState"], "Succeeded");
    assert_eq!(s.listed("westus").await, Vec::<Value>::new());
    s.get(&format!("{vault}/backupPolicies/osspol3")).await.expect(200);
    assert_eq!(names(&s.get(&deleted_instances).await.expect(200).body), ["bi1"]);
    let undeleted = s.post(&format!("{deleted_instances}/bi1/undelete"), None).await.expect(202);
    s.finish(&undeleted, "Succeeded").await;
    let points = s.get(&format!("{instance}/recoveryPoints")).await.expect(200).body;
    assert_eq!(names(&points).len(), 3);
    // It holds its database again, as before.
    let resumed = s.post(&format!("{instance}/resumeProtection"), None).await.expect(202);
    s.finish(&resumed, "Succeeded").await;
    s.put_back(&vault, id, &vault_body("On")).await.expect_error(400, "BMSUserErrorInvalidInput");
    s.h.stop().await;
}

#[tokio::test]
async fn a_deleted_vault_is_purged_after_what_is_in_it() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let days = |days: f64| {
        let settings = json!({ "state": "On", "retentionDurationInDays": days });
        json!({ "properties": { "securitySettings": { "softDeleteSettings": settings } } })
    };
    let patch = async |body| {
        let url = s.h.url(&vault);
        let request = s.h.client().patch(url).bearer_auth(&s.h.owner.token).json(&body);
        let patched = s.h.send(request).await.expect(202);
        s.finish(&patched, "Succeeded").await;
    };
    // The instance is kept for longer than its vault.
    patch(days(30.0)).await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    super::recovery_points::add(&s, &instance, 1).await;
    let going = s.delete(&instance).await.expect(202);
    s.finish(&going, "Succeeded").await;
    patch(days(14.0)).await;
    let principal = s.get(&vault).await.body["identity"]["principalId"].clone();
    s.delete_softly(&vault).await;
    let deleted = s.listed("westus").await[0]["id"].as_str().unwrap().to_owned();

    let app = std::sync::Arc::clone(s.h.service().app());
    let rounds = async |by: Duration| {
        app.clock.advance(by);
        coffer_control::background::run_round(&app).await;
        let mut owner = s.h.owner.clone();
        owner.token = s.h.token(&owner, &format!("{}/.default", s.h.endpoint)).await;
        owner
    };
    let url = format!("{deleted}?{SOFT}");
    let owner = rounds(15 * DAY).await;
    s.h.call_as(&owner, reqwest::Method::GET, &url, None).await.expect(200);
    let owner = rounds(16 * DAY).await;
    // The instance went in that round; the vault waits for its next look.
    s.h.call_as(&owner, reqwest::Method::GET, &url, None).await.expect(200);
    let owner = rounds(Duration::from_secs(7200)).await;
    s.h.call_as(&owner, reqwest::Method::GET, &url, None).await.expect(404);
    let kept = coffer_control::db::principal::get(app.db.read(), principal.as_str().unwrap()).await;
    assert!(kept.unwrap().is_none(), "its principal went with it");
    let rows = s.h.audit().await;
    let purged = rows.iter().filter(|row| row.action == "Coffer/backupVaults/purge/action");
    let purged: Vec<&str> = purged.map(|row| row.resource.as_str()).collect();
    assert_eq!(purged, [deleted.as_str()]);
    s.h.stop().await;
}
