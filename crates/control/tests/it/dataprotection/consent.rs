//! Multi-user authorization: who consents, to what and for how long.

use std::time::Duration;

use coffer_control::audit::Outcome;
use reqwest::Method;
use serde_json::{Value, json};

use super::critical_operations::{Critical, REFUSED};
use super::database;
use super::resource_guards::{CONTRIBUTOR, Guarded, READER, inner_code};

#[tokio::test]
async fn deletions_are_unlocked_one_by_one_and_for_a_while() {
    let g = Guarded::new("On").await;
    let first = g.s.protect(&g.vault, "bi1", &database(&g.server, "one")).await;
    let second = g.s.protect(&g.vault, "bi2", &database(&g.server, "two")).await;
    g.submit().await;
    let locked = async |path: &str| {
        let refused = g.act(Method::DELETE, path, None).await.expect_error(403, REFUSED);
        assert_eq!(inner_code(&refused), "DeleteNotUnlocked");
    };
    locked(&first).await;
    // The approver's token alone is not enough.
    g.act_with(&g.approval(), Method::DELETE, &first, None).await.expect_error(403, REFUSED);
    let unlock = Critical {
        method: Method::POST,
        path: format!("{}/unlockDelete", g.proxy()),
        body: json!({ "resourceToBeDeleted": first }),
        place: "",
        kind: "deleteBackupInstanceRequests",
        allowed: (200, ""),
    };
    let unlocked = g.needs_consent(&unlock).await;
    let until = unlocked.body["unlockDeleteExpiryTime"].as_str().unwrap();
    assert!(until.ends_with('Z') && until.len() == "2022-09-16T12:50:10.7039695Z".len(), "{until}");
    locked(&second).await;
    locked(&g.proxy()).await;
    let deleted = g.act(Method::DELETE, &first, None).await.expect(202);
    g.s.finish(&deleted, "Succeeded").await;
    g.act(Method::DELETE, &first, None).await.expect(204);

    // What is unlocked for one is not unlocked for the other, nor for ever.
    for wrong in ["x", g.vault.as_str(), &format!("{}/backupPolicies/osspol3", g.vault)] {
        g.unlock("deleteBackupInstanceRequests", Some(wrong))
            .await
            .expect_error(400, "BMSUserErrorInvalidInput");
    }
    g.unlock("deleteBackupInstanceRequests", Some(&first)).await.expect(404);
    g.unlock("deleteBackupInstanceRequests", None).await.expect_error(403, REFUSED);
    g.unlock("deleteResourceGuardProxyRequests", Some(&second)).await.expect_error(403, REFUSED);
    g.unlock(
        "deleteBackupInstanceRequests",
        Some(&second.to_uppercase().replace("SUBSCRIPTIONS", "subscriptions")),
    )
    .await
    .expect(200);
    g.unlock("deleteResourceGuardProxyRequests", None).await.expect(200);
    let clock = &g.s.h.service().app().clock;
    clock.advance(Duration::from_secs(31 * 60));
    locked(&second).await;
    locked(&g.proxy()).await;

    // Within its time it serves one deletion.
    g.unlock("deleteResourceGuardProxyRequests", Some(&g.proxy())).await.expect(200);
    clock.advance(Duration::from_secs(20 * 60));
    assert_eq!(g.act(Method::DELETE, &g.proxy(), None).await.expect(200).body, json!({}));
    g.act(Method::DELETE, &g.proxy(), None).await.expect(204);
    g.s.get(&g.proxy()).await.expect(404);
    let vault = g.s.get(&g.vault).await.expect(200);
    assert_eq!(vault.body["properties"]["isVaultProtectedByResourceGuard"], false);
    // Nobody watches any more.
    let deleted = g.act(Method::DELETE, &second, None).await.expect(202);
    g.s.finish(&deleted, "Succeeded").await;
    // What was unlocked before is not in the next proxy.
    g.submit().await;
    locked(&g.proxy()).await;
    g.s.h.stop().await;
}

#[tokio::test]
async fn who_may_approve() {
    let g = Guarded::new("On").await;
    let instance = g.s.protect(&g.vault, "bi1", &database(&g.server, "empdb11")).await;
    g.submit().await;
    let critical = g.stop(&instance);
    let body = critical.with(Some(g.requests(critical.kind)));
    let (path, sent) = (&critical.path, &body);
    let try_with =
        async |auxiliary: String| g.act_with(&auxiliary, Method::POST, path, sent.clone()).await;
    // A role at another guard, at this one that only reads, or for another request.
    let other = g.s.h.user("other").await;
    let elsewhere = g.guard.replace("/guard", "/other");
    g.s.put(&elsewhere, json!({ "location": "westeurope" })).await.expect(200);
    g.s.h.assign(&other.principal_id, CONTRIBUTOR, &elsewhere).await;
    g.s.h.assign(&other.principal_id, READER, &g.guard).await;
    let request = |kind: &str| format!("{}/{kind}/default", g.guard);
    g.s.h.assign(&other.principal_id, CONTRIBUTOR, &request("dppModifyPolicy")).await;
    let refused = try_with(format!("Bearer {}", other.token)).await.expect_error(403, REFUSED);
    assert_eq!(inner_code(&refused), "LinkedAuthorizationFailed");

    // Tokens are checked as the caller's is.
    for bad in [
        "nonsense".to_owned(),
        "Bearer nonsense".to_owned(),
        format!("Basic {}", g.approver.token),
        format!("{}x", g.approval()),
        format!("Bearer {}", g.s.h.token(&g.approver, "https://vault.azure.net/.default").await),
        format!("{}, Bearer nonsense", g.approval()),
        [g.approval(), g.approval(), g.approval(), g.approval()].join(","),
    ] {
        let answer = try_with(bad.clone()).await.expect(401);
        assert!(answer.header("www-authenticate").starts_with("Bearer "), "{bad}");
    }
    assert_eq!(g.state(&instance).await, "ProtectionConfigured");

    // A role for this very request is enough, and the token may stand among others.
    g.s.h.assign(&other.principal_id, CONTRIBUTOR, &request(critical.kind)).await;
    let both = format!("Bearer {}; bearer {}", g.admin.token, other.token);
    g.s.finish(&try_with(both).await.expect(202), "Succeeded").await;
    // The audit log has who asked, who consented, and what was begun.
    let entries = g.s.h.audit().await;
    let row = entries.iter().rfind(|entry| entry.outcome == Outcome::Succeeded).unwrap();
    assert!(
        row.action.ends_with("/stopProtection/action") && row.operation_id.is_some(),
        "{row:?}"
    );
    assert_eq!(row.principal_id.as_deref(), Some(g.admin.principal_id.as_str()));
    assert_eq!(row.consents[0].principal_id, other.principal_id);
    assert_eq!(row.consents[0].request, request(critical.kind));
    let last = entries.iter().rfind(|entry| entry.outcome == Outcome::Refused).unwrap();
    assert!(last.consents.is_empty());
    let resumed = g.act(Method::POST, &format!("{instance}/resumeProtection"), None).await;
    g.s.finish(&resumed.expect(202), "Succeeded").await;
    // So is the caller's own token when the caller has the role: the requests are asked for all the same.
    g.s.h.call(Method::POST, &critical.path, critical.with(None)).await.expect_error(403, REFUSED);
    let answer = g.s.h.call(Method::POST, &critical.path, body.clone()).await.expect(202);
    g.s.finish(&answer, "Succeeded").await;
    // To approve is not to be allowed on the vault.
    let answer = g.s.h.call_as(&g.approver, Method::POST, &critical.path, body.clone()).await;
    answer.expect_error(403, "AuthorizationFailed");
    g.s.h.stop().await;
}

#[tokio::test]
async fn a_token_that_is_over_approves_nothing() {
    let g = Guarded::new("On").await;
    let instance = g.s.protect(&g.vault, "bi1", &database(&g.server, "empdb11")).await;
    g.submit().await;
    let critical = g.stop(&instance);
    let body = critical.with(Some(g.requests(critical.kind)));
    g.s.h.service().app().clock.advance(Duration::from_secs(3601));
    let mut fresh = g.admin.clone();
    fresh.token = g.s.h.token(&fresh, &format!("{}/.default", g.s.h.endpoint)).await;
    let request =
        g.s.h
            .client()
            .post(g.s.h.url(&critical.path))
            .bearer_auth(&fresh.token)
            .header("x-ms-authorization-auxiliary", g.approval())
            .json(&body.unwrap());
    g.s.h.send(request).await.expect_error(401, "ExpiredAuthenticationToken");
    g.s.h.stop().await;
}

#[tokio::test]
async fn what_a_guard_excludes_needs_no_consent() {
    let g = Guarded::new("On").await;
    let instance = g.s.protect(&g.vault, "bi1", &database(&g.server, "empdb11")).await;
    g.submit().await;
    let vaults = "Microsoft.DataProtection/backupVaults";
    let guard = |excluded: Value| json!({ "location": "westeurope", "properties": { "vaultCriticalOperationExclusionList": excluded } });
    let excluded = json!([
        format!("{vaults}/backupInstances/stopProtection/action"),
        format!("{vaults}/backupInstances/delete")
    ]);
    g.s.put(&g.guard, guard(excluded)).await.expect(200);
    let proxy = g.s.get(&g.proxy()).await.expect(200);
    let details = proxy.body["properties"]["resourceGuardOperationDetails"].as_array().unwrap();
    assert_eq!(details.len(), 7);
    let stopped = g.act(Method::POST, &format!("{instance}/stopProtection"), None).await;
    g.s.finish(&stopped.expect(202), "Succeeded").await;
    let resumed = g.act(Method::POST, &format!("{instance}/resumeProtection"), None).await;
    g.s.finish(&resumed.expect(202), "Succeeded").await;
    g.act(Method::POST, &format!("{instance}/suspendBackups"), None)
        .await
        .expect_error(403, REFUSED);
    // A guard that excludes nothing any more watches at once.
    g.s.put(&g.guard, guard(json!([]))).await.expect(200);
    g.needs_consent(&g.stop(&instance)).await;
    g.act(Method::DELETE, &instance, None).await.expect_error(403, REFUSED);
    g.s.h.stop().await;
}

/// Who may not even touch the vault is told so, and nothing of a guard.
#[tokio::test]
async fn one_permission_short() {
    let g = Guarded::new("On").await;
    let instance = g.s.protect(&g.vault, "bi1", &database(&g.server, "empdb11")).await;
    g.submit().await;
    let reader = g.s.h.user("reader").await;
    g.s.h.assign(&reader.principal_id, READER, &g.s.group).await;
    g.s.h.assign(&reader.principal_id, CONTRIBUTOR, &g.guard).await;
    let named =
        json!({ "resourceGuardOperationRequests": g.requests("deleteResourceGuardProxyRequests") });
    for (method, path, body) in [
        (Method::POST, format!("{}/unlockDelete", g.proxy()), Some(named.clone())),
        (Method::DELETE, g.proxy(), None),
        (Method::DELETE, instance.clone(), None),
        (Method::POST, format!("{instance}/stopProtection"), Some(named)),
    ] {
        let answer = g.s.h.call_as(&reader, method, &path, body).await;
        let answer = answer.expect_error(403, "AuthorizationFailed");
        assert!(!answer.body.to_string().contains("resourceGuards/"), "{:#}", answer.body);
    }
    g.s.h.stop().await;
}
