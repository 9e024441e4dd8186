//! Multi-user authorization: each critical operation of a guarded vault is refused without its guard's consent and goes on with it.

use reqwest::Method;
use serde_json::{Value, json};

use super::resource_guards::{Guarded, inner_code};
use super::{database, instance_body, policy_body};
use crate::harness::Answer;

pub(super) const REFUSED: &str = "UserErrorUnauthorizedResourceGuardOperation";

/// A critical operation as the administrator asks for it.
pub(super) struct Critical {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Value,
    /// Where in the body the requests to the guard stand.
    pub(super) place: &'static str,
    /// The type of the request to the guard.
    pub(super) kind: &'static str,
    /// Status and code with consent.
    pub(super) allowed: (u16, &'static str),
}

impl Critical {
    pub(super) fn with(&self, requests: Option<Value>) -> Option<Value> {
        let mut body = self.body.clone();
        if let Some(requests) = requests {
            let place = if self.place.is_empty() { &mut body } else { &mut body[self.place] };
            place["resourceGuardOperationRequests"] = requests;
        }
        Some(body)
    }
}

impl Guarded {
    /// Refused in every way but one, and then allowed.
    pub(super) async fn needs_consent(&self, critical: &Critical) -> Answer {
        let Critical { method, path, kind, .. } = critical;
        let refused = |answer: Answer, inner: &str| {
            let answer = answer.expect_error(403, REFUSED);
            assert_eq!(inner_code(&answer), inner, "{kind}");
            let text = answer.body.to_string();
            assert!(text.contains(&format!("{}/{kind}/default", self.guard)), "{text}");
        };
        let wrong = if *kind == "dppModifyPolicy" {
            "dppTriggerRestoreRequests"
        } else {
            "dppModifyPolicy"
        };
        for body in [
            critical.with(None),
            critical.with(Some(json!([]))),
            critical.with(Some(self.requests(wrong))),
            critical.with(Some(json!([format!("{}x/{kind}/default", self.guard), "no id"]))),
        ] {
            // Nothing is named, whoever stands by.
            let answer = self.act_with(&self.approval(), method.clone(), path, body).await;
            refused(answer, "ResourceGuardOperationRequestMissing");
        }
        // It is named, and nobody here may approve: the administrator only reads the guard.
        let body = critical.with(Some(self.requests(kind)));
        let answer = self.act(method.clone(), path, body.clone()).await;
        refused(answer, "LinkedAuthorizationFailed");
        let reads = format!("Bearer {}", self.admin.token);
        let answer = self.act_with(&reads, method.clone(), path, body.clone()).await;
        refused(answer, "LinkedAuthorizationFailed");

        // Somebody stands by who may do everything at the guard but to consent to this.
        let consent = format!("Microsoft.DataProtection/resourceGuards/{kind}/action");
        let short = json!({"actions": ["*"], "notActions": [consent]});
        let all_but_one = self.token_of(&short).await;
        let answer = self.act_with(&all_but_one, method.clone(), path, body.clone()).await;
        assert!(answer.body.to_string().contains(&consent), "{:#}", answer.body);
        refused(answer, "LinkedAuthorizationFailed");

        // And somebody who may do this and nothing else.
        let just = self.token_of(&json!({"actions": [consent]})).await;
        let answer = self.act_with(&just, method.clone(), path, body).await;
        let got = (answer.status.as_u16(), answer.code());
        assert_eq!(got, critical.allowed, "{kind}: {:#}", answer.body);
        answer
    }

    /// The header with the token of somebody new who has a role of his own at the guard.
    async fn token_of(&self, permission: &Value) -> String {
        let user = self.s.h.user("consenting").await;
        let group = self.guard.split("/providers/").next().unwrap();
        let id = uuid::Uuid::new_v4();
        let path = format!(
            "{group}/providers/Microsoft.Authorization/roleDefinitions/{id}?api-version=2022-04-01"
        );
        let role = json!({"properties": {
            "roleName": id, "permissions": [permission], "assignableScopes": [group],
        }});
        self.s.put(&path, role).await.expect(201);
        self.s.h.assign(&user.principal_id, &id.to_string(), &self.guard).await;
        format!("Bearer {}", user.token)
    }

    pub(super) fn stop(&self, instance: &str) -> Critical {
        Critical {
            method: Method::POST,
            path: format!("{instance}/stopProtection"),
            body: json!({}),
            place: "",
            kind: "dppDisableStopProtectionRequests",
            allowed: (202, ""),
        }
    }

    fn patch(&self, security: Value, kind: &'static str, allowed: (u16, &'static str)) -> Critical {
        Critical {
            method: Method::PATCH,
            path: self.vault.clone(),
            body: json!({ "properties": { "securitySettings": security } }),
            place: "properties",
            kind,
            allowed,
        }
    }

    /// Changes the vault's security as the owner, before it is guarded.
    async fn secure(&self, security: Value) {
        let body = json!({ "properties": { "securitySettings": security } });
        let answer = self.s.h.call(Method::PATCH, &self.vault, Some(body)).await.expect(202);
        self.s.finish(&answer, "Succeeded").await;
    }

    pub(super) async fn state(&self, instance: &str) -> String {
        let got = self.s.get(instance).await.expect(200);
        got.body["properties"]["currentProtectionState"].as_str().unwrap().to_owned()
    }

    async fn act_with_approval(&self, method: Method, path: &str, body: Value) -> Answer {
        self.act_with(&self.approval(), method, path, Some(body)).await
    }

    pub(super) async fn unlock(&self, kind: &str, what: Option<&str>) -> Answer {
        let mut body = json!({ "resourceGuardOperationRequests": self.requests(kind) });
        if let Some(what) = what {
            body["resourceToBeDeleted"] = json!(what);
        }
        let path = format!("{}/unlockDelete", self.proxy());
        self.act_with(&self.approval(), Method::POST, &path, Some(body)).await
    }
}

#[tokio::test]
async fn stopping_and_suspending() {
    let g = Guarded::new("On").await;
    let instance = g.s.protect(&g.vault, "bi1", &database(&g.server, "empdb11")).await;
    g.submit().await;
    let stopped = g.needs_consent(&g.stop(&instance)).await;
    g.s.finish(&stopped, "Succeeded").await;
    assert_eq!(g.state(&instance).await, "ProtectionStopped");
    // What protects more needs nobody's consent.
    let resumed = g.act(Method::POST, &format!("{instance}/resumeProtection"), None).await;
    g.s.finish(&resumed.expect(202), "Succeeded").await;
    let suspend = Critical {
        path: format!("{instance}/suspendBackups"),
        kind: "dppDisableSuspendBackupsRequests",
        ..g.stop(&instance)
    };
    let suspended = g.needs_consent(&suspend).await;
    g.s.finish(&suspended, "Succeeded").await;
    assert_eq!(g.state(&instance).await, "BackupsSuspended");
    g.s.h.stop().await;
}

#[tokio::test]
async fn restoring() {
    let g = Guarded::new("On").await;
    let instance = g.s.protect(&g.vault, "bi1", &database(&g.server, "empdb11")).await;
    g.submit().await;
    let body = json!({
        "objectType": "AzureBackupRecoveryPointBasedRestoreRequest",
        "sourceDataStoreType": "VaultStore",
        "restoreTargetInfo": {
            "objectType": "restoreTargetInfo",
            "recoveryOption": "FailIfExists",
            "dataSourceInfo": { "objectType": "Datasource", "resourceID": database(&g.server, "restored") },
        },
        "recoveryPointId": "eb006fde78cb47198be5a320fbe45e9b"
    });
    let restore = Critical {
        method: Method::POST,
        path: format!("{instance}/restore"),
        body: body.clone(),
        place: "",
        kind: "dppTriggerRestoreRequests",
        // As far as a vault without recovery points lets anybody come.
        allowed: (400, "UserErrorRecoveryPointNotFound"),
    };
    g.needs_consent(&restore).await;
    // To look whether it would work is not to restore.
    let validate = json!({ "restoreRequestObject": body });
    g.act(Method::POST, &format!("{instance}/validateRestore"), Some(validate))
        .await
        .expect_error(400, "UserErrorRecoveryPointNotFound");
    g.s.h.stop().await;
}

#[tokio::test]
async fn another_policy_for_an_instance() {
    let g = Guarded::new("On").await;
    let db = database(&g.server, "empdb11");
    let instance = g.s.protect(&g.vault, "bi1", &db).await;
    g.s.put(&format!("{}/backupPolicies/second", g.vault), policy_body()).await.expect(200);
    g.submit().await;
    let mut body = instance_body(&g.vault, &db);
    // Another name is no critical operation, and neither is another instance.
    body["properties"]["friendlyName"] = json!("another name");
    let renamed = g.act(Method::PUT, &instance, Some(body.clone())).await.expect(201);
    g.s.finish(&renamed, "Succeeded").await;
    let other = format!("{}/backupInstances/bi2", g.vault);
    let new = instance_body(&g.vault, &database(&g.server, "other"));
    let made = g.act(Method::PUT, &other, Some(new)).await.expect(201);
    g.s.finish(&made, "Succeeded").await;

    body["properties"]["policyInfo"]["policyId"] =
        json!(format!("{}/backupPolicies/second", g.vault));
    let change = Critical {
        method: Method::PUT,
        path: instance.clone(),
        body,
        place: "properties",
        kind: "dppModifyPolicy",
        allowed: (201, ""),
    };
    let changed = g.needs_consent(&change).await;
    g.s.finish(&changed, "Succeeded").await;
    let got = g.s.get(&instance).await.expect(200);
    let policy = got.body["properties"]["policyInfo"]["policyId"].as_str().unwrap();
    assert!(policy.ends_with("/second"), "{policy}");
    assert!(got.body["properties"].get("resourceGuardOperationRequests").is_none());
    g.s.h.stop().await;
}

#[tokio::test]
async fn less_in_a_policy_that_is_used() {
    let g = Guarded::new("On").await;
    g.s.protect(&g.vault, "bi1", &database(&g.server, "empdb11")).await;
    g.s.put(&format!("{}/backupPolicies/unused", g.vault), policy_body()).await.expect(200);
    g.submit().await;
    let policy = format!("{}/backupPolicies/osspol3", g.vault);
    let keeping = |duration: &str| {
        let mut body = policy_body();
        body["properties"]["policyRules"][1]["lifecycles"][0]["deleteAfter"]["duration"] =
            json!(duration);
        body
    };
    g.act(Method::PUT, &policy, Some(keeping("P3M"))).await.expect(200);
    g.act(Method::PUT, &policy, Some(keeping("P1Y"))).await.expect(200);
    let shorten = |place| Critical {
        method: Method::PUT,
        path: policy.clone(),
        body: keeping(if place == "properties" { "P6M" } else { "P1M" }),
        place,
        kind: "dppModifyPolicy",
        allowed: (200, ""),
    };
    let shortened = g.needs_consent(&shorten("properties")).await;
    assert!(!shortened.body.to_string().contains("resourceGuardOperationRequests"));
    assert_eq!(g.s.get(&policy).await.expect(200).body, shortened.body);
    g.needs_consent(&shorten("")).await;
    // A schedule of the next century would end backups.
    let mut never = keeping("P1M");
    never["properties"]["policyRules"][0]["trigger"]["schedule"]["repeatingTimeIntervals"] =
        json!(["R/2121-08-15T06:30:00+00:00/P1W"]);
    g.needs_consent(&Critical { body: never, ..shorten("properties") }).await;
    // Nobody is protected by this one.
    let unused = format!("{}/backupPolicies/unused", g.vault);
    g.act(Method::PUT, &unused, Some(keeping("P1D"))).await.expect(200);
    g.s.h.stop().await;
}

#[tokio::test]
async fn less_security_of_the_vault() {
    let g = Guarded::new("On").await;
    let soft_delete = |state: &str, days: f64| json!({ "softDeleteSettings": { "state": state, "retentionDurationInDays": days } });
    let immutability = |state: &str| json!({ "immutabilitySettings": { "state": state } });
    g.secure(soft_delete("On", 60.0)).await;
    g.secure(immutability("Unlocked")).await;
    g.submit().await;
    let (immutable, deleting) =
        ("dppReduceImmutabilityStateRequests", "dppReduceSoftDeleteSecurityRequests");
    let less = g.patch(immutability("Disabled"), immutable, (202, ""));
    g.s.finish(&g.needs_consent(&less).await, "Succeeded").await;
    let shorter = g.patch(soft_delete("On", 30.0), deleting, (202, ""));
    g.s.finish(&g.needs_consent(&shorter).await, "Succeeded").await;
    let off = g.patch(soft_delete("Off", 30.0), deleting, (202, ""));
    g.s.finish(&g.needs_consent(&off).await, "Succeeded").await;
    // More needs nobody's consent.
    for more in [soft_delete("On", 30.0), soft_delete("On", 40.0), immutability("Unlocked")] {
        let body = json!({ "properties": { "securitySettings": more } });
        let answer = g.act(Method::PATCH, &g.vault, Some(body)).await.expect(202);
        g.s.finish(&answer, "Succeeded").await;
    }
    // A PUT is no other way, and each part needs its own request.
    let mut body = super::vault_body("Off");
    body["properties"]["securitySettings"]["immutabilitySettings"] = json!({ "state": "Disabled" });
    body["properties"]["resourceGuardOperationRequests"] = g.requests(immutable);
    let put = |body| g.act_with_approval(Method::PUT, &g.vault, body);
    let refused = put(body.clone()).await.expect_error(403, REFUSED);
    assert!(refused.body.to_string().contains(deleting));
    let both = [g.requests(immutable)[0].clone(), g.requests(deleting)[0].clone()];
    body["properties"]["resourceGuardOperationRequests"] = json!(both);
    g.s.finish(&put(body).await.expect(201), "Succeeded").await;
    let vault = g.s.get(&g.vault).await.expect(200);
    assert!(vault.body["properties"].get("resourceGuardOperationRequests").is_none());
    assert_eq!(vault.body["properties"]["secureScore"], "None");

    // Encryption by own keys is refused to everybody, but not before the guard was asked.
    let encryption = json!({ "encryptionSettings": { "state": "Enabled" } });
    let kind = "dppModifyEncryptionSettingsRequests";
    g.needs_consent(&g.patch(encryption, kind, (400, "BMSUserErrorInvalidInput"))).await;
    g.s.h.stop().await;
}
