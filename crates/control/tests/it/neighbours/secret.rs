use std::time::Duration;

use coffer_control::admin::{Admin, RoleGrant};
use coffer_control::app::secret::SecretReadError;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use super::{READER, SECRETS_OFFICER, SECRETS_USER};
use crate::harness::{Answer, Harness, User, config};

pub(super) const VERSION: &str = "api-version=7.4";

pub(super) async fn set(h: &Harness, name: &str, body: Value) -> Answer {
    h.call(Method::PUT, &format!("/secrets/{name}?{VERSION}"), Some(body)).await
}

pub(super) async fn get(h: &Harness, path: &str) -> Answer {
    h.call(Method::GET, &format!("/secrets{path}?{VERSION}"), None).await
}

pub(super) fn default_vault(h: &Harness) -> String {
    format!("{}/providers/Microsoft.KeyVault/vaults/coffer", h.group_path("coffer"))
}

#[tokio::test]
async fn the_life_of_a_secret() {
    let h = Harness::start().await;
    get(&h, "/Db-Login").await.expect_error(404, "SecretNotFound");
    let body = json!({"value": "first", "contentType": "text/plain", "tags": {"K": "v"}});
    let first = set(&h, "Db-Login", body).await.expect(200).body;
    assert_eq!(first["value"], "first");
    assert_eq!(first["contentType"], "text/plain");
    assert_eq!(first["attributes"]["enabled"], true);
    assert_eq!(first["attributes"]["recoveryLevel"], "Recoverable+Purgeable");
    assert_eq!(first["attributes"]["recoverableDays"], 90);
    let first_id = first["id"].as_str().unwrap().to_owned();
    let base = format!("{}/secrets/Db-Login", h.endpoint);
    assert!(first_id.starts_with(&format!("{base}/")), "{first_id}");
    let version = first_id.rsplit('/').next().unwrap();

    let second = set(&h, "db-login", json!({"value": "second"})).await.expect(200).body;
    assert_ne!(second["id"], first["id"]);
    assert_eq!(get(&h, "/db-login/").await.expect(200).body, second);
    assert_eq!(get(&h, &format!("/db-login/{version}")).await.expect(200).body, first);
    get(&h, "/db-login/0123456789abcdef0123456789abcdef").await.expect_error(404, "SecretNotFound");

    let list = get(&h, "").await.expect(200).body;
    assert_eq!(list["value"].as_array().unwrap().len(), 1);
    assert_eq!(list["value"][0]["id"], base.as_str());
    assert!(list["value"][0].get("value").is_none());
    let versions = get(&h, "/db-login/versions").await.expect(200).body;
    assert_eq!(versions["value"].as_array().unwrap().len(), 2);

    h.stop().await;
}

#[tokio::test]
async fn lists_go_on_by_next_link() {
    let h = Harness::start().await;
    let pages = async |list: &str| {
        let mut next = Some(format!("{}{list}?{VERSION}&maxresults=2", h.endpoint));
        let mut pages = Vec::new();
        while let Some(url) = next {
            let page = h.call(Method::GET, &url, None).await.expect(200).body;
            pages.push(page["value"].as_array().unwrap().len());
            next = page["nextLink"].as_str().map(str::to_owned);
        }
        pages
    };
    for number in 0..5 {
        set(&h, &format!("s{number}"), json!({"value": "x"})).await.expect(200);
        set(&h, "s4", json!({"value": "x"})).await.expect(200);
    }
    assert_eq!(pages("/secrets").await, [2, 2, 1]);
    assert_eq!(pages("/secrets/s4/versions").await, [2, 2, 2]);
    for number in 0..4 {
        h.call(Method::DELETE, &format!("/secrets/s{number}?{VERSION}"), None).await.expect(200);
    }
    assert_eq!(pages("/deletedsecrets").await, [2, 2]);
    assert_eq!(pages("/secrets").await, [1]);
    h.stop().await;
}

#[tokio::test]
async fn attributes() {
    let h = Harness::start().await;
    let now = h.service().app().clock.now_seconds();
    set(&h, "s", json!({"value": "x", "attributes": {"exp": now + 60, "nbf": now - 60}}))
        .await
        .expect(200);
    let uri = format!("{}/secrets/s", h.endpoint);
    let app = std::sync::Arc::clone(h.service().app());
    let read = || app.secret_read(&h.owner.principal_id, &uri);
    assert_eq!(read().await.unwrap().expose_secret(), "x");
    app.clock.advance(Duration::from_secs(61));
    assert!(matches!(read().await.unwrap_err(), SecretReadError::Expired));
    // A reader is told, not refused.
    assert_eq!(get(&h, "/s").await.expect(200).body["attributes"]["exp"], now + 60);
    let path = format!("/secrets/s?{VERSION}");
    let off = json!({"attributes": {"enabled": false, "exp": now + 600}});
    let off = h.call(Method::PATCH, &path, Some(off)).await.expect(200).body;
    assert_eq!(off["attributes"]["enabled"], false);
    assert!(off.get("value").is_none());
    let refused = get(&h, "/s").await.expect_error(403, "Forbidden");
    assert_eq!(refused.body["error"]["innererror"], json!({"code": "SecretDisabled"}));
    assert!(matches!(read().await.unwrap_err(), SecretReadError::Disabled));
    h.stop().await;
}

#[tokio::test]
async fn what_is_refused() {
    let h = Harness::start().await;
    set(&h, "a_b", json!({"value": "x"})).await.expect_error(400, "BadParameter");
    set(&h, &"x".repeat(128), json!({"value": "x"})).await.expect_error(400, "BadParameter");
    set(&h, "s", json!({"value": "x".repeat(25 * 1024 + 1)}))
        .await
        .expect_error(400, "BadParameter");
    let refused = set(&h, "s", json!({"value": {"hunter": 2}})).await;
    refused.expect_error(400, "InvalidRequestContent");
    let refused =
        set(&h, "s", json!({"value": 271828})).await.expect_error(400, "InvalidRequestContent");
    assert!(!refused.body.to_string().contains("271828"));
    set(&h, "s", json!({})).await.expect_error(400, "InvalidRequestContent");
    set(&h, "s", json!(["x"])).await.expect_error(400, "InvalidRequestContent");
    h.call(Method::POST, &format!("/secrets/s?{VERSION}"), None)
        .await
        .expect_error(405, "MethodNotAllowed");
    get(&h, "/a/b/c/d").await.expect(404);
    h.stop().await;
}

#[tokio::test]
async fn roles_decide_at_the_vault_or_the_secret() {
    let h = Harness::start().await;
    set(&h, "one", json!({"value": "1"})).await.expect(200);
    set(&h, "two", json!({"value": "2"})).await.expect(200);
    let path = |name: &str| format!("/secrets/{name}?{VERSION}");
    let user = h.user("user").await;
    h.assign(&user.principal_id, READER, &h.subscription_path()).await;
    h.call_as(&user, Method::GET, &path("one"), None).await.expect_error(403, "Forbidden");
    h.call_as(&user, Method::GET, &path("missing"), None).await.expect_error(403, "Forbidden");
    let scope = format!("{}/secrets/one", default_vault(&h));
    h.assign(&user.principal_id, SECRETS_USER, &scope).await;
    h.call_as(&user, Method::GET, &path("one"), None).await.expect(200);
    h.call_as(&user, Method::GET, &path("two"), None).await.expect_error(403, "Forbidden");
    h.call_as(&user, Method::GET, &format!("/secrets?{VERSION}"), None).await.expect(403);
    h.call_as(&user, Method::PUT, &path("one"), Some(json!({"value": "3"}))).await.expect(403);
    h.call_as(&user, Method::DELETE, &path("one"), None).await.expect(403);
    h.assign(&user.principal_id, SECRETS_OFFICER, &default_vault(&h)).await;
    h.call_as(&user, Method::PUT, &path("two"), Some(json!({"value": "3"}))).await.expect(200);
    h.call_as(&user, Method::GET, &format!("/secrets?{VERSION}"), None).await.expect(200);
    h.stop().await;
}

#[tokio::test]
async fn a_vault_of_its_own_host_challenges_and_serves() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/myvault");
    h.call(Method::PUT, &vault, Some(json!({"location": "westeurope"}))).await.expect(201);
    let authority = h.service().app().identity.vault_authority.clone();
    let url = format!("https://myvault.{authority}/secrets/s?{VERSION}");
    let challenge = h.send(h.client().put(&url)).await.expect(401);
    let challenge = challenge.header("www-authenticate").to_owned();
    assert!(challenge.starts_with("Bearer authorization=\"https://"), "{challenge}");
    assert!(challenge.contains(&format!("/{}\"", h.tenant)), "{challenge}");
    let resource = challenge.split("resource=\"").nth(1).unwrap().split('"').next().unwrap();
    let token = h.token(&h.owner, &format!("{resource}/.default")).await;
    let user = User { token, ..h.owner.clone() };
    let made =
        h.call_as(&user, Method::PUT, &url, Some(json!({"value": "mine"}))).await.expect(200);
    let id = made.body["id"].as_str().unwrap();
    assert!(id.starts_with(&format!("https://myvault.{authority}/secrets/s/")), "{id}");
    assert_eq!(h.call_as(&user, Method::GET, id, None).await.status, 400);
    h.call_as(&user, Method::GET, &format!("{id}?{VERSION}"), None).await.expect(200);
    // It is not in the default vault.
    get(&h, "/s").await.expect_error(404, "SecretNotFound");
    // It goes with its vault, and a new vault of the name begins empty.
    h.call(Method::DELETE, &vault, None).await.expect(200);
    h.call_as(&user, Method::GET, &url, None).await.expect_error(403, "Forbidden");
    h.call(Method::PUT, &vault, Some(json!({"location": "westeurope"}))).await.expect(201);
    h.call_as(&user, Method::GET, &url, None).await.expect_error(404, "SecretNotFound");
    h.stop().await;
}

/// Names of key vaults are unique in the installation: who may not read in one is not told whether it is there.
#[tokio::test]
async fn a_key_vault_that_is_not_there_and_one_that_is_not_mine_look_the_same() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/myvault");
    let authority = h.service().app().identity.vault_authority.clone();
    let scope = format!("https://{authority}/.default");
    let nobody = h.user("nobody").await;
    let nobody = User { token: h.token(&nobody, &scope).await, ..nobody };
    let owner = User { token: h.token(&h.owner, &scope).await, ..h.owner.clone() };
    let paths = [
        (Method::GET, "secrets", None),
        (Method::GET, "secrets/s", None),
        (Method::GET, "secrets/s/versions", None),
        (Method::PUT, "secrets/s", Some(json!({"value": "v"}))),
        (Method::PUT, "secrets/s", Some(json!({"value": []}))),
        (Method::PATCH, "secrets/s", Some(json!([]))),
        (Method::DELETE, "secrets/s", None),
        (Method::GET, "deletedsecrets", None),
        (Method::POST, "deletedsecrets/s/recover", None),
        (Method::POST, "secrets/restore", None),
    ];
    let mut answers = Vec::new();
    for exists in [false, true] {
        if exists {
            h.call(Method::PUT, &vault, Some(json!({"location": "westeurope"}))).await.expect(201);
            let url = format!("https://myvault.{authority}/secrets/s?{VERSION}");
            h.call_as(&owner, Method::PUT, &url, Some(json!({"value": "v"}))).await.expect(200);
        }
        let mut seen = Vec::new();
        for (method, path, body) in &paths {
            let url = format!("https://myvault.{authority}/{path}?{VERSION}");
            let answer = h.call_as(&nobody, method.clone(), &url, body.clone()).await;
            seen.push(answer.expect_error(403, "Forbidden").body);
        }
        answers.push(seen);
    }
    assert_eq!(answers[0], answers[1]);
    // Who may do it in every key vault hears what is wrong.
    h.call(Method::DELETE, &vault, None).await.expect(200);
    let admin = Admin::open(&config(h.data_dir())).await.unwrap();
    let made = admin
        .principal_create(
            "everywhere",
            &[RoleGrant { role: "Key Vault Administrator".to_owned(), scope: "/".to_owned() }],
        )
        .await
        .unwrap();
    admin.close().await;
    let mut everywhere = User {
        principal_id: made.principal.id,
        client_id: made.principal.application_id,
        secret: made.secret.expose_secret().to_owned(),
        token: String::new(),
    };
    everywhere.token = h.token(&everywhere, &scope).await;
    let url = format!("https://myvault.{authority}/secrets/s?{VERSION}");
    h.call_as(&everywhere, Method::GET, &url, None).await.expect_error(404, "VaultNotFound");
    h.stop().await;
}

#[tokio::test]
async fn a_run_reads_by_any_address_of_the_vault_and_by_its_own_roles() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/myvault");
    h.call(Method::PUT, &vault, Some(json!({"location": "westeurope"}))).await.expect(201);
    let authority = h.service().app().identity.vault_authority.clone();
    let made = set(&h, "s", json!({"value": "default"})).await.expect(200).body;
    let token = h.token(&h.owner, &format!("https://{authority}/.default")).await;
    let owner = User { token, ..h.owner.clone() };
    let url = format!("https://myvault.{authority}/secrets/s?{VERSION}");
    h.call_as(&owner, Method::PUT, &url, Some(json!({"value": "mine"}))).await.expect(200);

    let app = h.service().app();
    let run = h.user("run").await;
    let read = |uri: String| {
        let id = run.principal_id.clone();
        async move { app.secret_read(&id, &uri).await }
    };
    let mine = "https://myvault.vault.azure.net/secrets/s".to_owned();
    assert!(matches!(read(mine.clone()).await.unwrap_err(), SecretReadError::Forbidden));
    h.assign(&run.principal_id, SECRETS_USER, &vault).await;
    assert_eq!(read(mine.clone()).await.unwrap().expose_secret(), "mine");
    assert_eq!(
        read("https://MyVault.Vault.Azure.Net/Secrets/S/".to_owned())
            .await
            .unwrap()
            .expose_secret(),
        "mine"
    );
    let own_host = format!("https://myvault.{authority}/secrets/s");
    assert_eq!(read(own_host).await.unwrap().expose_secret(), "mine");
    let default = made["id"].as_str().unwrap().to_owned();
    assert!(matches!(read(default.clone()).await.unwrap_err(), SecretReadError::Forbidden));
    h.assign(&run.principal_id, SECRETS_USER, &default_vault(&h)).await;
    assert_eq!(read(default).await.unwrap().expose_secret(), "default");
    let by_name = "https://coffer.vault.azure.net/secrets/s".to_owned();
    assert_eq!(read(by_name).await.unwrap().expose_secret(), "default");

    let missing = "https://nobody.vault.azure.net/secrets/s".to_owned();
    assert!(matches!(read(missing).await.unwrap_err(), SecretReadError::VaultNotFound));
    assert!(matches!(read(format!("{mine}2")).await.unwrap_err(), SecretReadError::NotFound));
    for malformed in [
        "",
        "secrets/s",
        "http://myvault.vault.azure.net/secrets/s",
        "https://myvault.vault.azure.net/keys/s",
        "https://myvault.vault.azure.net/secrets/s/v/x",
        "https://u:p@myvault.vault.azure.net/secrets/s",
        "https://myvault.vault.azure.net.example.org/secrets/s",
        "https://a.b.vault.azure.net/secrets/s",
        "https://vault.azure.net/secrets/s",
        "https://example.org/secrets/s",
    ] {
        let error = read(malformed.to_owned()).await.unwrap_err();
        assert!(matches!(error, SecretReadError::Malformed), "{malformed}: {error:?}");
    }
    h.stop().await;
}

#[tokio::test]
async fn values_are_nowhere_in_clear_and_survive_a_restart() {
    let h = Harness::start().await;
    let value = "hunter2-hunter2-hunter2";
    set(&h, "s", json!({"value": value})).await.expect(200);
    let h = h.restart().await;
    assert_eq!(get(&h, "/s").await.expect(200).body["value"], value);
    let data_dir = h.stop().await;
    for entry in std::fs::read_dir(data_dir.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(value.len()).any(|part| part == value.as_bytes()), "{path:?}");
        }
    }
}
