use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::SECRETS_USER;
use super::secret::{VERSION, default_vault, get, set};
use crate::harness::{Harness, User};

#[tokio::test]
async fn what_is_deleted_can_be_recovered_or_purged() {
    let h = Harness::start().await;
    let deleted = async |method: Method, path: &str| {
        h.call(method, &format!("/deletedsecrets{path}?{VERSION}"), None).await
    };
    set(&h, "Db-Login", json!({"value": "first"})).await.expect(200);
    let second =
        set(&h, "db-login", json!({"value": "second", "tags": {"K": "v"}})).await.expect(200);
    let id = second.body["id"].as_str().unwrap();
    deleted(Method::GET, "/db-login").await.expect_error(404, "SecretNotFound");
    let scope = format!("{}/secrets/db-login", default_vault(&h));
    let user = h.user("user").await;
    h.assign(&user.principal_id, SECRETS_USER, &scope).await;

    let removed = h
        .call(Method::DELETE, &format!("/secrets/db-login?{VERSION}"), None)
        .await
        .expect(200)
        .body;
    assert_eq!(removed["recoveryId"], format!("{}/deletedsecrets/Db-Login", h.endpoint));
    let (from, to) = (&removed["deletedDate"], &removed["scheduledPurgeDate"]);
    assert_eq!(to.as_i64().unwrap() - from.as_i64().unwrap(), 90 * 86_400);
    assert_eq!(removed["id"], id);
    assert_eq!(removed["tags"], json!({"K": "v"}));
    assert!(removed.get("value").is_none());
    for path in ["/db-login", "/db-login/versions", ""] {
        let found = get(&h, path).await;
        assert!(found.status == 404 || found.body["value"] == json!([]), "{path}");
    }
    get(&h, &id[id.find("/Db-Login").unwrap()..]).await.expect_error(404, "SecretNotFound");
    h.call(Method::DELETE, &format!("/secrets/db-login?{VERSION}"), None)
        .await
        .expect_error(404, "SecretNotFound");
    let blocked = set(&h, "DB-login", json!({"value": "x"})).await.expect_error(409, "Conflict");
    assert_eq!(blocked.body["error"]["innererror"]["code"], "ObjectIsDeletedButRecoverable");
    assert_eq!(deleted(Method::GET, "/DB-LOGIN").await.expect(200).body, removed);
    let list = deleted(Method::GET, "").await.expect(200).body;
    assert_eq!(list["value"][0]["recoveryId"], removed["recoveryId"]);
    assert_eq!(list["value"][0]["id"], format!("{}/secrets/Db-Login", h.endpoint));

    // Recovered, it is what it was: versions, and who may read it.
    let recovered = deleted(Method::POST, "/db-login/recover").await.expect(200).body;
    assert_eq!(recovered["id"], id);
    assert!(recovered.get("value").is_none());
    assert_eq!(get(&h, "/db-login").await.expect(200).body["value"], "second");
    let versions = get(&h, "/db-login/versions").await.expect(200).body;
    assert_eq!(versions["value"].as_array().unwrap().len(), 2);
    let path = format!("/secrets/db-login?{VERSION}");
    h.call_as(&user, Method::GET, &path, None).await.expect(200);
    deleted(Method::POST, "/db-login/recover").await.expect_error(404, "SecretNotFound");

    h.call(Method::DELETE, &path, None).await.expect(200);
    deleted(Method::DELETE, "/db-login").await.expect(204);
    deleted(Method::DELETE, "/db-login").await.expect_error(404, "SecretNotFound");
    deleted(Method::GET, "/db-login").await.expect_error(404, "SecretNotFound");
    // The name is free, and nothing of before is in it.
    set(&h, "db-login", json!({"value": "third"})).await.expect(200);
    let versions = get(&h, "/db-login/versions").await.expect(200).body;
    assert_eq!(versions["value"].as_array().unwrap().len(), 1);
    h.call_as(&user, Method::GET, &path, None).await.expect_error(403, "Forbidden");

    for (path, code) in [("/secrets/db-login/backup", 400), ("/secrets/restore", 400)] {
        let refused = h.call(Method::POST, &format!("{path}?{VERSION}"), Some(json!({}))).await;
        let refused = refused.expect_error(code, "NotSupported");
        assert!(refused.body["error"]["message"].as_str().unwrap().contains("recovered"));
    }
    h.call(Method::POST, &format!("/secrets/missing/backup?{VERSION}"), None)
        .await
        .expect_error(404, "SecretNotFound");
    deleted(Method::PUT, "/db-login").await.expect_error(405, "MethodNotAllowed");
    h.stop().await;
}

#[tokio::test]
async fn each_of_these_needs_its_own_action() {
    let h = Harness::start().await;
    set(&h, "gone", json!({"value": "x"})).await.expect(200);
    h.call(Method::DELETE, &format!("/secrets/gone?{VERSION}"), None).await.expect(200);
    let reader = h.user("reader").await;
    h.assign(&reader.principal_id, SECRETS_USER, &default_vault(&h)).await;
    let call = async |method: Method, path: &str| {
        h.call_as(&reader, method, &format!("{path}?{VERSION}"), None).await
    };
    call(Method::GET, "/deletedsecrets").await.expect(200);
    call(Method::GET, "/deletedsecrets/gone").await.expect(200);
    for (method, path) in [
        (Method::POST, "/deletedsecrets/gone/recover"),
        (Method::DELETE, "/deletedsecrets/gone"),
        (Method::DELETE, "/deletedsecrets/missing"),
        (Method::POST, "/secrets/gone/backup"),
        (Method::POST, "/secrets/restore"),
    ] {
        call(method, path).await.expect_error(403, "Forbidden");
    }
    let nobody = h.user("nobody").await;
    for path in ["/deletedsecrets", "/deletedsecrets/gone", "/deletedsecrets/missing"] {
        h.call_as(&nobody, Method::GET, &format!("{path}?{VERSION}"), None)
            .await
            .expect_error(403, "Forbidden");
    }
    h.stop().await;
}

#[tokio::test]
async fn a_deleted_secret_goes_by_itself_and_purge_protection_keeps_it_until_then() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/myvault");
    let body = |properties: Value| json!({"location": "westeurope", "properties": properties});
    let put = async |properties: Value| h.call(Method::PUT, &vault, Some(body(properties))).await;
    put(json!({"softDeleteRetentionInDays": 6})).await.expect_error(400, "BadRequest");
    put(json!({"enableSoftDelete": false})).await.expect_error(400, "BadRequest");
    let asked = json!({"softDeleteRetentionInDays": 7, "enablePurgeProtection": true, "enableSoftDelete": true});
    let made = put(asked.clone()).await.expect(201);
    for (name, value) in asked.as_object().unwrap() {
        assert_eq!(made.body["properties"][name], *value, "{name}");
    }
    put(json!({"softDeleteRetentionInDays": 8})).await.expect_error(400, "BadRequest");
    put(json!({"enablePurgeProtection": false})).await.expect_error(400, "BadRequest");
    let kept = put(json!({})).await.expect(200);
    assert_eq!(kept.body["properties"]["enablePurgeProtection"], true);

    let authority = h.service().app().identity.vault_authority.clone();
    let at = |path: &str| format!("https://myvault.{authority}{path}?{VERSION}");
    let login = async || {
        let token = h.token(&h.owner, &format!("https://{authority}/.default")).await;
        User { token, ..h.owner.clone() }
    };
    let owner = login().await;
    let value = Some(json!({"value": "mine"}));
    let set = h.call_as(&owner, Method::PUT, &at("/secrets/s"), value.clone()).await.expect(200);
    assert_eq!(set.body["attributes"]["recoveryLevel"], "CustomizedRecoverable");
    assert_eq!(set.body["attributes"]["recoverableDays"], 7);
    h.call_as(&owner, Method::DELETE, &at("/secrets/s"), None).await.expect(200);
    let refused = h.call_as(&owner, Method::DELETE, &at("/deletedsecrets/s"), None).await;
    let refused = refused.expect_error(403, "Forbidden");
    assert!(refused.body["error"]["message"].as_str().unwrap().contains("purge protection"));
    // Nor by the vault's own end.
    h.call(Method::DELETE, &vault, None).await.expect_error(409, "Conflict");

    let app = h.service().app();
    let day = Duration::from_secs(86_400);
    app.clock.advance(day * 7 - Duration::from_secs(60));
    coffer_control::background::run_round(app).await;
    let owner = login().await;
    h.call_as(&owner, Method::GET, &at("/deletedsecrets/s"), None).await.expect(200);
    app.clock.advance(Duration::from_secs(60));
    coffer_control::background::run_round(app).await;
    let gone = h.call_as(&owner, Method::GET, &at("/deletedsecrets/s"), None).await;
    gone.expect_error(404, "SecretNotFound");
    let rows = h.audit().await;
    let purged: Vec<_> =
        rows.iter().filter(|row| row.action == "Coffer/secrets/purge/action").collect();
    assert_eq!(purged.len(), 1, "{purged:?}");
    assert_eq!((purged[0].resource.as_str(), purged[0].count), (vault.as_str(), 1));
    assert_eq!(purged[0].items, ["s"]);
    h.call_as(&owner, Method::PUT, &at("/secrets/s"), value).await.expect(200);
    h.stop().await;
}
