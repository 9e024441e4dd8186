use reqwest::Method;
use serde_json::json;

use super::READER;
use crate::harness::Harness;

#[tokio::test]
async fn a_key_vault_is_made_changed_listed_and_deleted() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let path = format!("{group}/providers/Microsoft.KeyVault/vaults/myvault");
    h.call(Method::GET, &path, None).await.expect_error(404, "ResourceNotFound");
    // As an SDK writes it.
    let body = json!({"location": "West Europe", "properties": {
        "tenantId": h.tenant, "sku": {"family": "A", "name": "standard"}, "accessPolicies": [],
        "enableRbacAuthorization": true,
    }});
    let made = h.call(Method::PUT, &path, Some(body.clone())).await.expect(201);
    let properties = &made.body["properties"];
    assert_eq!(made.body["id"], path.as_str());
    assert_eq!(made.body["location"], "westeurope");
    assert_eq!(properties["enableRbacAuthorization"], true);
    let authority = &h.service().app().identity.vault_authority;
    assert_eq!(properties["vaultUri"], format!("https://myvault.{authority}/"));
    h.call(Method::PUT, &path, Some(body)).await.expect(200);
    h.call(Method::PUT, &path, Some(json!({"location": "elsewhere"})))
        .await
        .expect_error(409, "InvalidResourceLocation");
    let changed = json!({"tags": {"Env": "Test"}, "properties": {}});
    let changed = h.call(Method::PUT, &path, Some(changed)).await.expect(200);
    assert_eq!(changed.body["tags"], json!({"Env": "Test"}));
    let got = h.call(Method::GET, &path.to_uppercase(), None).await.expect(200);
    assert_eq!(got.body, changed.body);
    for scope in [&group, &h.subscription_path()] {
        let list = format!("{scope}/providers/Microsoft.KeyVault/vaults");
        let list = h.call(Method::GET, &list, None).await.expect(200);
        assert!(list.body["value"].as_array().unwrap().contains(&got.body));
    }
    h.call(Method::DELETE, &path, None).await.expect(200);
    h.call(Method::DELETE, &path, None).await.expect(204);
    h.stop().await;
}

#[tokio::test]
async fn what_is_refused() {
    let h = Harness::start().await;
    let (one, two) = (h.group("one").await, h.group("two").await);
    let path =
        |group: &str, name: &str| format!("{group}/providers/Microsoft.KeyVault/vaults/{name}");
    let body = json!({"location": "westeurope"});
    h.call(Method::PUT, &path(&one, "myvault"), Some(body.clone())).await.expect(201);
    h.call(Method::PUT, &path(&two, "MyVault"), Some(body.clone()))
        .await
        .expect_error(409, "VaultAlreadyExists");
    h.call(Method::PUT, &path(&two, "coffer"), Some(body.clone()))
        .await
        .expect_error(409, "VaultAlreadyExists");
    for name in ["ab", "1abc", "a--b", "a_b"] {
        h.call(Method::PUT, &path(&one, name), Some(body.clone()))
            .await
            .expect_error(400, "VaultNameNotValid");
    }
    h.call(Method::PUT, &path(&one, "other"), Some(json!({})))
        .await
        .expect_error(400, "LocationRequired");
    h.call(Method::PUT, &path(&h.group_path("missing"), "other"), Some(body.clone()))
        .await
        .expect_error(404, "ResourceGroupNotFound");
    let policies = json!({"location": "westeurope", "properties": {"accessPolicies": [
        {"tenantId": h.tenant, "objectId": h.owner.principal_id, "permissions": {"secrets": ["get"]}}
    ]}});
    let refused = h.call(Method::PUT, &path(&one, "other"), Some(policies)).await;
    let refused = refused.expect_error(400, "AccessPoliciesNotSupported");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("Key Vault Secrets User"));
    h.call(Method::DELETE, &path(&h.group_path("coffer"), "coffer"), None)
        .await
        .expect_error(409, "DefaultVaultInUse");
    h.call(Method::POST, &path(&one, "myvault"), None).await.expect_error(405, "MethodNotAllowed");
    let reader = h.user("reader").await;
    h.assign(&reader.principal_id, READER, &one).await;
    h.call_as(&reader, Method::GET, &path(&one, "myvault"), None).await.expect(200);
    h.call_as(&reader, Method::PUT, &path(&one, "other"), Some(body)).await.expect(403);
    h.call_as(&reader, Method::DELETE, &path(&one, "myvault"), None).await.expect(403);
    h.stop().await;
}
