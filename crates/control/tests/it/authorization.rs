//! Denied by default; roles reach down from where they are given.

use reqwest::Method;
use serde_json::json;

use crate::harness::Harness;

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
const CONTRIBUTOR: &str = "b24988ac-6180-42a0-ab88-20f7382dd24c";
const KEY_VAULT_SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
const BACKUP_READER: &str = "a795c7a0-d4a2-40c1-ae25-d81f01202912";

#[tokio::test]
async fn nothing_is_allowed_by_default_and_nothing_is_revealed() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let nobody = h.user("nobody").await;
    let there = h
        .call_as(&nobody, Method::GET, &group, None)
        .await
        .expect_error(403, "AuthorizationFailed");
    let missing_path = h.group_path("missing");
    let missing = h
        .call_as(&nobody, Method::GET, &missing_path, None)
        .await
        .expect_error(403, "AuthorizationFailed");
    let message = |answer: &crate::harness::Answer, name: &str| {
        answer.body["error"]["message"].as_str().unwrap().replace(name, "")
    };
    assert_eq!(message(&there, "resourceGroups/g'"), message(&missing, "resourceGroups/missing'"));
    h.call_as(&nobody, Method::PUT, &group, Some(json!({"location": "a"}))).await.expect(403);
    h.call_as(&nobody, Method::DELETE, &group, None).await.expect(403);
    h.call_as(&nobody, Method::HEAD, &group, None).await.expect(403);
    h.call_as(&nobody, Method::GET, &h.subscription_path(), None).await.expect(403);
    h.call_as(&nobody, Method::GET, "/subscriptions/00000000-0000-0000-0000-000000000000", None)
        .await
        .expect(403);
    h.call_as(&nobody, Method::GET, &format!("{}/resourceGroups", h.subscription_path()), None)
        .await
        .expect(403);
    let list = h.call_as(&nobody, Method::GET, "/subscriptions", None).await.expect(200);
    assert_eq!(list.body["value"], json!([]));
    let vault = format!("{group}/providers/Microsoft.DataProtection/backupVaults/v");
    for path in
        [vault.clone(), format!("{vault}/backupInstances"), format!("{vault}/backupInstances/x")]
    {
        h.call_as(&nobody, Method::GET, &path, None).await.expect_error(403, "AuthorizationFailed");
    }
    h.stop().await;
}

#[tokio::test]
async fn a_role_reaches_what_is_below_it_and_nothing_beside_it() {
    let h = Harness::start().await;
    let (a, b) = (h.group("a").await, h.group("b").await);
    let reader = h.user("reader").await;
    h.assign(&reader.principal_id, READER, &a).await;
    h.call_as(&reader, Method::GET, &a, None).await.expect(200);
    h.call_as(&reader, Method::GET, &a.to_uppercase(), None).await.expect(200);
    h.call_as(&reader, Method::GET, &b, None).await.expect(403);
    h.call_as(&reader, Method::GET, &format!("{a}2"), None).await.expect(403);
    h.call_as(&reader, Method::DELETE, &a, None).await.expect(403);
    // The subscription and the list show what can be seen.
    h.call_as(&reader, Method::GET, &h.subscription_path(), None).await.expect(200);
    let list = format!("{}/resourceGroups", h.subscription_path());
    let groups = h.call_as(&reader, Method::GET, &list, None).await.expect(200);
    assert_eq!(groups.body["value"].as_array().unwrap().len(), 1);
    let vaults = format!("{a}/providers/Microsoft.DataProtection/backupVaults");
    h.call_as(&reader, Method::GET, &vaults, None).await.expect(200);

    let wide = h.user("wide").await;
    h.assign(&wide.principal_id, CONTRIBUTOR, &h.subscription_path()).await;
    h.call_as(&wide, Method::GET, &b, None).await.expect(200);
    h.call_as(&wide, Method::PUT, &h.group_path("c"), Some(json!({"location": "x"})))
        .await
        .expect(201);
    h.stop().await;
}

/// As `az … list` without a group needs it.
#[tokio::test]
async fn the_list_of_a_subscription_shows_what_its_reader_may_see() {
    let h = Harness::start().await;
    let (a, b) = (h.group("a").await, h.group("b").await);
    let reader = h.user("reader").await;
    h.assign(&reader.principal_id, BACKUP_READER, &a).await;
    let key_reader = h.user("key-reader").await;
    h.assign(&key_reader.principal_id, READER, &a).await;
    let other = h.user("other").await;
    h.assign(&other.principal_id, KEY_VAULT_SECRETS_USER, &a).await;
    let backup_vault = json!({"location": "westus", "properties": {
        "storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}],
    }});
    let key_vault = json!({"location": "westus", "properties": {
        "tenantId": h.tenant, "sku": {"family": "A", "name": "standard"},
    }});
    for (reader, kind, body) in [
        (&reader, "Microsoft.DataProtection/backupVaults", backup_vault),
        (&key_reader, "Microsoft.KeyVault/vaults", key_vault),
    ] {
        for (group, name) in [(&a, "visible"), (&b, "hidden")] {
            let path = format!("{group}/providers/{kind}/{name}");
            h.call(Method::PUT, &path, Some(body.clone())).await.expect(201);
        }
        let list = format!("{}/providers/{kind}", h.subscription_path());
        let found = h.call_as(reader, Method::GET, &list, None).await.expect(200);
        let found = found.body["value"].as_array().unwrap();
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0]["name"], "visible");
        let beside = format!("{b}/providers/{kind}");
        h.call_as(reader, Method::GET, &beside, None).await.expect(403);
        h.call_as(&other, Method::GET, &list, None).await.expect_error(403, "AuthorizationFailed");
    }
    h.stop().await;
}

#[tokio::test]
async fn a_role_allows_its_own_actions_only() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let user = h.user("backup-reader").await;
    h.assign(&user.principal_id, BACKUP_READER, &group).await;
    let vault = format!("{group}/providers/Microsoft.DataProtection/backupVaults/v");
    h.call_as(&user, Method::GET, &vault, None).await.expect(404);
    h.call_as(&user, Method::DELETE, &vault, None).await.expect_error(403, "AuthorizationFailed");
    h.call_as(&user, Method::PUT, &group, Some(json!({"location": "a"}))).await.expect(403);
    h.stop().await;
}

#[tokio::test]
async fn a_subscription_that_does_not_exist() {
    let h = Harness::start().await;
    let id = "00000000-0000-0000-0000-000000000000";
    h.call(Method::GET, &format!("/subscriptions/{id}/resourceGroups/g"), None).await.expect(403);
    let other = h.other_subscription().await;
    h.call(Method::GET, &format!("/subscriptions/{other}"), None).await.expect(200);
    h.stop().await;
}
