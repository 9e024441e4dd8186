//! Somebody has the credentials of the subscription's owner, and tries to destroy what a locked vault holds.

use coffer_engine::{SilentMonitor, verify_recovery_point};
use coffer_store::VerifyDepth;
use reqwest::Method;
use serde_json::{Value, json};

use super::estate::Estate;

impl Estate {
    /// Changes the vault's security settings; the status and the code of the answer.
    async fn secure(&self, settings: Value) -> (u16, String) {
        let body = json!({"properties": {"securitySettings": settings}});
        let answer = self.harness.call(Method::PATCH, &self.vault, Some(body)).await;
        if answer.status.as_u16() == 202 {
            self.follow(&answer).await;
        }
        (answer.status.as_u16(), answer.code().to_owned())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_owner_of_the_subscription_destroys_nothing() {
    let mut estate = Estate::new("On").await;
    estate.grant().await;
    // One that was deleted softly before the vault was locked, and one that is protected.
    super::estate::fill(&estate.postgres, "old");
    let deleted = estate.protect("pg-old", "old").await;
    let old_point = estate.recovery_point(&deleted).await;
    let answer = estate.harness.call(Method::DELETE, &deleted, None).await.expect(202);
    estate.follow(&answer).await;
    let instance = estate.protect("pg-shop", "shop").await;
    let point = estate.recovery_point(&instance).await;
    let locked = estate.secure(json!({"immutabilitySettings": {"state": "Locked"}})).await;
    assert!(locked.0 < 300, "{locked:?}");

    // What is refused by name.
    for (settings, code) in [
        (
            json!({"immutabilitySettings": {"state": "Unlocked"}}),
            "UserErrorUnsupportedVaultImmutabilityStateChange",
        ),
        (
            json!({"immutabilitySettings": {"state": "Disabled"}}),
            "UserErrorUnsupportedVaultImmutabilityStateChange",
        ),
        (
            json!({"softDeleteSettings": {"state": "Off"}}),
            "UserErrorUnsupportedVaultImmutabilityStateChange",
        ),
    ] {
        assert_eq!(estate.secure(settings.clone()).await, (400, code.to_owned()), "{settings}");
    }
    let refused = estate.harness.call(Method::DELETE, &instance, None).await;
    refused.expect_error(400, "UserErrorDeleteBackupItemOnImmutableItem");
    let blocked = estate.harness.call(Method::DELETE, &estate.vault, None).await;
    assert_eq!(blocked.status.as_u16(), 400, "{:#}", blocked.body);
    let message = blocked.body.to_string();
    assert!(message.contains("pg-shop") && message.contains("pg-old"), "{message}");

    // A shorter retention is for what comes, and nothing that is there.
    let policy = format!("{}/backupPolicies/weekly", estate.vault);
    let mut body = estate.harness.call(Method::GET, &policy, None).await.expect(200).body;
    for rule in body["properties"]["policyRules"].as_array_mut().unwrap() {
        if rule["objectType"] == "AzureRetentionRule" {
            rule["lifecycles"][0]["deleteAfter"]["duration"] = json!("PT1S");
        }
    }
    let shorter = json!({"properties": body["properties"]});
    estate.harness.call(Method::PUT, &policy, Some(shorter)).await.expect(200);
    estate.recovery_point(&instance).await;
    estate.later(std::time::Duration::from_secs(3600)).await;

    // Files that are restored go nowhere near the vaults.
    let data = estate.harness.data_dir().to_owned();
    let group = estate.vault.split("/providers/").next().unwrap().to_owned();
    let account = format!(
        "{group}/providers/Microsoft.Storage/storageAccounts/attack?api-version=2023-01-01"
    );
    let store = json!({"location": "westeurope", "properties": {"backingStore": format!("file://{}/storage", data.display())}});
    let refused = estate.harness.call(Method::PUT, &account, Some(store)).await;
    assert_eq!(refused.status.as_u16(), 400, "{:#}", refused.body);

    // And everything else that there is a path for, with every verb and whatever body.
    let subscription = estate.harness.subscription_path();
    let key_vault =
        format!("{subscription}/resourceGroups/coffer/providers/Microsoft.KeyVault/vaults/coffer");
    let vault = estate.vault.clone();
    let points = format!("{instance}/recoveryPoints/{point}");
    let deleted_instance = format!("{vault}/deletedBackupInstances/pg-old");
    let targets = [
        subscription.clone(),
        group.clone(),
        format!("{subscription}/resourceGroups/coffer"),
        vault.clone(),
        format!("{vault}/backupPolicies/weekly"),
        format!("{vault}/backupInstances"),
        format!("{vault}/backupResourceGuardProxies/DppResourceGuardProxy"),
        format!("{vault}/backupJobs"),
        instance.clone(),
        format!("{instance}/recoveryPoints"),
        points.clone(),
        deleted_instance.clone(),
        format!("{deleted_instance}/purge"),
        estate.server.clone(),
        key_vault.clone(),
    ];
    let actions = [
        "",
        "/purge",
        "/delete",
        "/stopProtection",
        "/suspendBackups",
        "/move",
        "/sync",
        "/rehydrate",
    ];
    let mut tried = 0;
    for target in &targets {
        for action in actions {
            for method in [Method::DELETE, Method::PUT, Method::PATCH, Method::POST] {
                for body in [
                    None,
                    Some(json!({})),
                    Some(json!({"properties": {}, "location": "westeurope"})),
                ] {
                    let path = format!("{target}{action}");
                    let answer = estate.harness.call(method.clone(), &path, body).await;
                    assert!(answer.status.as_u16() < 500, "{method} {path}: {:#}", answer.body);
                    tried += 1;
                }
            }
        }
    }
    // Off goes the role of the vault, and the secret.
    estate
        .secure(json!({"softDeleteSettings": {"state": "On", "retentionDurationInDays": 14.0}}))
        .await;
    let secret = format!("{}?api-version=7.4", estate.secret_uri);
    estate.harness.call(Method::DELETE, &secret, None).await;
    println!("{tried} requests were tried");
    coffer_control::background::run_round(estate.harness.service().app()).await;

    // All that was there can be read to the last byte, by storage and key alone.
    let mut found = Vec::new();
    for repository in estate.repositories().await {
        for id in [&point, &old_point] {
            if repository.read_manifest(id).await.is_err() {
                continue;
            }
            let report =
                verify_recovery_point(&repository, id, VerifyDepth::Full, &SilentMonitor).await;
            assert_eq!(report.unwrap().damaged_chunks, 0, "{id}");
            found.push(id.clone());
        }
    }
    found.sort();
    let mut expected = vec![point, old_point];
    expected.sort();
    assert_eq!(found, expected);
}
