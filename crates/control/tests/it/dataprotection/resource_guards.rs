//! Resource guards and proxies: the recorded and published answers, who may make them, and what keeps them.

use reqwest::Method;
use serde_json::{Value, json};

use super::Scene;
use crate::harness::{Answer, User};

pub(super) const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
pub(super) const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

/// A vault, an administrator of backups who manages it, and a guard in the subscription of somebody else who may approve.
pub(super) struct Guarded {
    pub(super) s: Scene,
    /// Has a policy in it, `osspol3`.
    pub(super) vault: String,
    pub(super) server: String,
    pub(super) guard: String,
    /// Contributor of the vault's group, Reader of the guard.
    pub(super) admin: User,
    /// Contributor of the guard, and nothing else.
    pub(super) approver: User,
}

impl Guarded {
    /// With a guard that no vault submits to yet.
    pub(super) async fn new(soft_delete: &str) -> Self {
        let s = Scene::start().await;
        let (vault, server) = s.make_all(soft_delete).await;
        Self::of(s, vault, server).await
    }

    /// The same for a vault that is there.
    pub(super) async fn of(s: Scene, vault: String, server: String) -> Self {
        let group =
            format!("/subscriptions/{}/resourceGroups/security", s.h.other_subscription().await);
        s.put(&group, json!({ "location": "westeurope" })).await.expect(201);
        let guard = format!("{group}/providers/Microsoft.DataProtection/resourceGuards/guard");
        s.put(&guard, json!({ "location": "westeurope" })).await.expect(200);
        let (admin, approver) = (s.h.user("admin").await, s.h.user("approver").await);
        s.h.assign(&admin.principal_id, CONTRIBUTOR, &s.group).await;
        s.h.assign(&admin.principal_id, READER, &guard).await;
        s.h.assign(&approver.principal_id, CONTRIBUTOR, &guard).await;
        Self { s, vault, server, guard, admin, approver }
    }

    pub(super) fn proxy(&self) -> String {
        format!("{}/backupResourceGuardProxies/DppResourceGuardProxy", self.vault)
    }

    /// Makes the vault submit to the guard.
    pub(super) async fn submit(&self) -> Answer {
        self.act(Method::PUT, &self.proxy(), Some(proxy_body(&self.guard))).await.expect(200)
    }

    /// A request of the administrator.
    pub(super) async fn act(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.s.h.call_as(&self.admin, method, path, body).await
    }

    /// The same with further tokens.
    pub(super) async fn act_with(
        &self,
        auxiliary: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Answer {
        let client = self.s.h.client();
        let mut request = client
            .request(method, self.s.h.url(path))
            .bearer_auth(&self.admin.token)
            .header("x-ms-authorization-auxiliary", auxiliary);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.s.h.send(request).await
    }

    /// The header with the approver's token.
    pub(super) fn approval(&self) -> String {
        format!("Bearer {}", self.approver.token)
    }

    /// `[{guard}/{kind}/default]`.
    pub(super) fn requests(&self, kind: &str) -> Value {
        json!([format!("{}/{kind}/default", self.guard)])
    }
}

pub(crate) fn proxy_body(guard: &str) -> Value {
    json!({ "properties": { "resourceGuardResourceId": guard } })
}

/// What is wrong in detail: the code of the inner error.
#[track_caller]
pub(super) fn inner_code(answer: &Answer) -> &str {
    answer.body["error"]["additionalInfo"][0]["info"]["innerError"]["code"].as_str().unwrap()
}

/// Requests and answers of the recordings in turn, without names and subscriptions.
#[tokio::test]
async fn guards_answer_as_recorded() {
    let Some(shared) = super::published::shared_dir() else { return };
    let s = Scene::start().await;
    let guard = format!(
        "{}/providers/Microsoft.DataProtection/resourceGuards/clitest-resource-guard",
        s.group
    );
    let mut compared = 0;
    for file in ["resource_guard_create_and_delete.json", "resource_guard_update.json"] {
        let text = std::fs::read(shared.join("azure/recordings").join(file)).unwrap();
        let recording: Value = serde_json::from_slice(&text).unwrap();
        for exchange in recording.as_array().unwrap() {
            let path = exchange["uri"].as_str().unwrap().split('?').next().unwrap();
            let is_list = path.to_lowercase().ends_with("/resourceguards");
            let path = if is_list { guard.rsplit_once('/').unwrap().0 } else { &guard };
            let method: Method = exchange["method"].as_str().unwrap().parse().unwrap();
            let body = Some(exchange["req"].clone()).filter(Value::is_object);
            let answer = s.h.call(method, path, body).await;
            assert_eq!(u64::from(answer.status.as_u16()), exchange["status"]["code"]);
            let mut expected = exchange["resp"].clone();
            let recorded = if is_list { &mut expected["value"][0] } else { &mut expected };
            if recorded.is_object() {
                recorded["id"] = json!(guard);
            }
            // As text: the order of members is the service's, too.
            assert_eq!(answer.body.to_string(), expected.to_string(), "{}", exchange["cmd"]);
            compared += 1;
        }
    }
    assert!(compared > 10, "{compared}");
    s.h.stop().await;
}

#[tokio::test]
async fn guards_are_made_changed_listed_and_deleted() {
    let s = Scene::start().await;
    let provider = format!("{}/providers/Microsoft.DataProtection/resourceGuards", s.group);
    let guard = format!("{provider}/guard");
    s.put(&guard, json!({ "tags": {} })).await.expect_error(400, "LocationRequired");
    s.put(&guard, json!({ "location": "westus", "tags": { "a": "b" } })).await.expect(200);
    s.put(&guard, json!({ "location": "eastus" }))
        .await
        .expect_error(409, "InvalidResourceLocation");
    let patch = |tags| s.h.call(Method::PATCH, &guard, Some(json!({ "tags": tags })));
    assert_eq!(patch(json!({ "c": "d" })).await.expect(200).body["tags"], json!({ "c": "d" }));
    assert!(patch(json!({})).await.expect(200).body.get("tags").is_none());
    let got = s.get(&guard).await.expect(200);
    let everywhere =
        format!("{}/providers/Microsoft.DataProtection/resourceGuards", s.h.subscription_path());
    for list in [&provider, &everywhere] {
        assert_eq!(s.get(list).await.expect(200).body, json!({ "value": [got.body] }));
    }
    s.delete(&guard).await.expect(200);
    s.delete(&guard).await.expect(204);
    s.get(&guard).await.expect_error(404, "ResourceNotFound");
    s.get(&everywhere).await.expect(200);
    s.h.stop().await;
}

#[tokio::test]
async fn every_type_of_request_has_its_default() {
    let g = Guarded::new("On").await;
    for kind in [
        "deleteProtectedItemRequests",
        "deleteResourceGuardProxyRequests",
        "disableSoftDeleteRequests",
        "getBackupSecurityPINRequests",
        "updateProtectedItemRequests",
        "updateProtectionPolicyRequests",
        "deleteBackupInstanceRequests",
        "dppReduceImmutabilityStateRequests",
        "dppReduceSoftDeleteSecurityRequests",
        "dppModifyEncryptionSettingsRequests",
        "dppDisableStopProtectionRequests",
        "dppDisableSuspendBackupsRequests",
        "dppModifyPolicy",
        "dppTriggerRestoreRequests",
    ] {
        let object = json!({
            "id": format!("{}/{kind}/default", g.guard),
            "name": "default",
            "type": format!("Microsoft.DataProtection/resourceGuards/{kind}"),
        });
        let list = format!("{}/{}", g.guard, kind.to_uppercase());
        assert_eq!(g.s.get(&list).await.expect(200).body, json!({ "value": [object] }));
        assert_eq!(g.s.get(&format!("{list}/Default")).await.expect(200).body, object);
        g.s.get(&format!("{list}/other")).await.expect(404);
        g.s.put(&list, json!({})).await.expect(405);
    }
    g.s.get(&format!("{}/widgets", g.guard)).await.expect_error(404, "InvalidResourceType");
    g.s.h.stop().await;
}

#[tokio::test]
async fn what_cannot_be_excluded() {
    let g = Guarded::new("On").await;
    let body = |names: Value| {
        json!({
            "location": "westeurope", "properties": { "vaultCriticalOperationExclusionList": names }
        })
    };
    for name in [
        "Microsoft.DataProtection/backupVaults/backupResourceGuardProxies/delete",
        "microsoft.recoveryservices/vaults/backupresourceguardproxies/delete",
        "Microsoft.DataProtection/backupVaults/delete",
    ] {
        let refused =
            g.s.put(&g.guard, body(json!([name])))
                .await
                .expect_error(400, "BMSUserErrorInvalidInput");
        let message = refused.body["error"]["message"].as_str().unwrap().to_lowercase();
        assert!(message.contains(&name.to_lowercase()), "{message}");
    }
    let stop = "Microsoft.DataProtection/backupVaults/backupInstances/stopProtection/action";
    let put = g.s.put(&g.guard, body(json!([stop.to_uppercase()]))).await.expect(200);
    assert_eq!(put.body["properties"]["vaultCriticalOperationExclusionList"], json!([stop]));
    assert_eq!(put.body["properties"]["resourceGuardOperations"].as_array().unwrap().len(), 17);
    g.s.h.stop().await;
}

#[tokio::test]
async fn a_vault_submits_to_one_guard() {
    let g = Guarded::new("On").await;
    let list = format!("{}/backupResourceGuardProxies", g.vault);
    assert_eq!(g.s.get(&list).await.expect(200).body, json!({ "value": [] }));
    let put = g.submit().await;
    let details = put.body["properties"]["resourceGuardOperationDetails"].as_array().unwrap();
    assert_eq!(details.len(), 9);
    assert_eq!(
        details[0],
        json!({
            "vaultCriticalOperation": "Microsoft.DataProtection/backupVaults/backupInstances/delete",
            "defaultResourceRequest": format!("{}/deleteBackupInstanceRequests/default", g.guard),
        })
    );
    assert_eq!(put.body["type"], "Microsoft.DataProtection/vaults/backupResourceGuardProxies");
    assert_eq!(put.body["id"], json!(g.proxy()));
    // It is what the published examples are.
    let proxy: coffer_azure::ResourceGuardProxyBaseResource =
        coffer_azure::decode_value(put.body.clone()).unwrap();
    assert_eq!(serde_json::to_value(proxy).unwrap(), put.body);
    assert_eq!(g.s.get(&g.proxy()).await.expect(200).body, put.body);
    assert_eq!(g.s.get(&list).await.expect(200).body, json!({ "value": [put.body] }));
    assert_eq!(g.submit().await.body, put.body, "the same again changes nothing");
    let vault = g.s.get(&g.vault).await.expect(200);
    assert_eq!(vault.body["properties"]["isVaultProtectedByResourceGuard"], true);
    // It stays so whatever else a change is about.
    let change = json!({ "tags": { "a": "b" } });
    let changed = g.act(Method::PATCH, &g.vault, Some(change)).await.expect(202);
    g.s.finish(&changed, "Succeeded").await;
    let vault = g.s.get(&g.vault).await.expect(200);
    assert_eq!(vault.body["properties"]["isVaultProtectedByResourceGuard"], true);

    // No way out by another guard, or by another proxy.
    let other = g.guard.replace("/guard", "/other");
    g.s.put(&other, json!({ "location": "westeurope" })).await.expect(200);
    let second = format!("{list}/second");
    for (proxy, guard) in [(&g.proxy(), &other), (&second, &other), (&second, &g.guard)] {
        g.s.put(proxy, proxy_body(guard))
            .await
            .expect_error(400, "UserErrorVaultAlreadyProtectedByResourceGuard");
    }
    g.s.h.stop().await;
}

#[tokio::test]
async fn who_makes_a_proxy_may_read_the_guard() {
    let g = Guarded::new("On").await;
    let stranger = g.s.h.user("stranger").await;
    let body = || Some(proxy_body(&g.guard));
    // On the vault he may, on the guard not.
    g.s.h.assign(&stranger.principal_id, CONTRIBUTOR, &g.s.group).await;
    let refused =
        g.s.h
            .call_as(&stranger, Method::PUT, &g.proxy(), body())
            .await
            .expect_error(403, "AuthorizationFailed");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains(&g.guard));
    // On the guard he may, on the vault not.
    g.s.h
        .call_as(&g.approver, Method::PUT, &g.proxy(), body())
        .await
        .expect_error(403, "AuthorizationFailed");
    for wrong in ["", "guard", g.vault.as_str(), &g.guard.replace("/guard", "/absent")] {
        g.s.put(&g.proxy(), proxy_body(wrong)).await.expect_error(400, "BMSUserErrorInvalidInput");
    }
    let absent = g.vault.replace("testBkpVault", "absent");
    let proxy = format!("{absent}/backupResourceGuardProxies/DppResourceGuardProxy");
    g.s.put(&proxy, proxy_body(&g.guard)).await.expect(404);
    g.submit().await;
    g.s.h.stop().await;
}

/// The administrator of backups has no way round the guard by what it rests on.
#[tokio::test]
async fn a_guard_in_use_stays() {
    let g = Guarded::new("On").await;
    g.submit().await;
    let refused = g.s.delete(&g.guard).await.expect_error(400, "UserErrorResourceGuardInUse");
    assert!(refused.body.to_string().contains(&g.vault));
    g.s.get(&g.guard).await.expect(200);
    let security = g.guard.split("/providers/").next().unwrap();
    g.s.delete(security).await.expect_error(409, "ResourceGroupNotEmpty");
    // None of it is the administrator's to touch, and what he has may go without harm.
    g.act(Method::DELETE, &g.guard, None).await.expect_error(403, "AuthorizationFailed");
    g.act(Method::PUT, &g.guard, Some(json!({ "location": "westeurope" })))
        .await
        .expect_error(403, "AuthorizationFailed");
    g.act(Method::DELETE, security, None).await.expect_error(403, "AuthorizationFailed");
    let roles = format!("{}/providers/Microsoft.Authorization/roleAssignments", g.guard);
    let listed = g.s.get(&format!("{roles}?api-version=2022-04-01")).await.expect(200);
    let ids: Vec<&str> = listed.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|it| it["properties"]["scope"] == json!(g.guard))
        .map(|it| it["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), 2);
    for id in ids {
        g.act(Method::DELETE, &format!("{id}?api-version=2022-04-01"), None).await.expect(403);
        g.s.delete(&format!("{id}?api-version=2022-04-01")).await.expect(200);
    }
    let vault = g.s.get(&g.vault).await.expect(200);
    assert_eq!(vault.body["properties"]["isVaultProtectedByResourceGuard"], true);
    // An empty vault goes when its watch has ended.
    g.s.delete(&format!("{}/backupPolicies/osspol3", g.vault)).await.expect(200);
    let refused = g.s.delete(&g.vault).await.expect_error(400, "UserErrorDppBackupVaultNotEmpty");
    assert!(refused.body.to_string().contains("DppResourceGuardProxy"));
    g.s.h.stop().await;
}

#[tokio::test]
async fn the_highest_score_needs_all_three() {
    let g = Guarded::new("AlwaysOn").await;
    let scores = async || {
        let vault = g.s.get(&g.vault).await.expect(200);
        let of = |name: &str| vault.body["properties"][name].as_str().unwrap().to_owned();
        (of("secureScore"), of("bcdrSecurityLevel"))
    };
    g.submit().await;
    assert_eq!(scores().await, ("Adequate".to_owned(), "Good".to_owned()));
    let lock = json!({ "properties": { "securitySettings": { "immutabilitySettings": { "state": "Locked" } } } });
    let answer = g.act(Method::PATCH, &g.vault, Some(lock)).await.expect(202);
    g.s.finish(&answer, "Succeeded").await;
    assert_eq!(scores().await, ("Maximum".to_owned(), "Excellent".to_owned()));
    let request =
        json!({ "resourceGuardOperationRequests": g.requests("deleteResourceGuardProxyRequests") });
    g.s.post(&format!("{}/unlockDelete", g.proxy()), Some(request)).await.expect(200);
    g.s.delete(&g.proxy()).await.expect(200);
    assert_eq!(scores().await, ("Adequate".to_owned(), "Good".to_owned()));
    g.s.h.stop().await;
}
