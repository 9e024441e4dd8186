//! Tokens: issued to who proves to be who they are, accepted for what they are meant for, as long as they last.

use std::time::Duration;

use base64::Engine as _;
use reqwest::Method;
use serde_json::Value;

use crate::harness::{Answer, Harness, User};

async fn token_request(h: &Harness, tenant: &str, form: &[(&str, &str)]) -> Answer {
    let url = format!("{}/{tenant}/oauth2/v2.0/token", h.endpoint);
    h.send(h.client().post(url).form(form)).await
}

fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    serde_json::from_slice(&base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

#[tokio::test]
async fn client_credentials_in_every_form() {
    let h = Harness::start().await;
    let (id, secret) = (h.owner.client_id.as_str(), h.owner.secret.as_str());
    let scopes = [
        format!("{}/.default", h.endpoint),
        format!("{}//.default", h.endpoint),
        "https://management.azure.com/.default".to_owned(),
        "https://management.core.windows.net//.default".to_owned(),
    ];
    for scope in &scopes {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", scope.as_str()),
            ("client_info", "1"),
        ];
        let answer = token_request(&h, &h.tenant, &form).await.expect(200);
        assert_eq!(answer.body["token_type"], "Bearer");
        assert!(answer.body["expires_in"].as_i64().unwrap() > 3000);
        assert_eq!(answer.header("cache-control"), "no-store");
        let token = answer.body["access_token"].as_str().unwrap();
        let claims = claims(token);
        assert_eq!(claims["oid"], h.owner.principal_id.as_str());
        assert_eq!(claims["appid"], id);
        assert_eq!(claims["tid"], h.tenant.as_str());
        let user = User { token: token.to_owned(), ..h.owner.clone() };
        h.call_as(&user, Method::GET, "/subscriptions", None).await.expect(200);
    }
    // HTTP Basic, and the older protocol's `resource`.
    let url = format!("{}/{}/oauth2/token", h.endpoint, h.tenant);
    let resource = format!("{}/", h.endpoint);
    let form = [("grant_type", "client_credentials"), ("resource", resource.as_str())];
    h.send(h.client().post(&url).basic_auth(id, Some(secret)).form(&form)).await.expect(200);
    // As an ADFS.
    let url = format!("{}/adfs/oauth2/token", h.endpoint);
    h.send(h.client().post(&url).basic_auth(id, Some(secret)).form(&form)).await.expect(200);
    h.stop().await;
}

/// Tenant (none: ours), form, status, error.
type Refusal<'a> = (&'a str, Vec<(&'a str, &'a str)>, u16, &'a str);

#[tokio::test]
async fn refusals_are_in_the_words_that_clients_know() {
    let h = Harness::start().await;
    let scope = format!("{}/.default", h.endpoint);
    let (id, secret) = (h.owner.client_id.as_str(), h.owner.secret.as_str());
    let unknown = uuid::Uuid::new_v4().to_string();
    let grant = ("grant_type", "client_credentials");
    let cases: [Refusal<'_>; 7] = [
        (
            "",
            vec![grant, ("client_id", id), ("client_secret", "no"), ("scope", &scope)],
            401,
            "invalid_client",
        ),
        (
            "",
            vec![grant, ("client_id", &unknown), ("client_secret", secret), ("scope", &scope)],
            401,
            "invalid_client",
        ),
        ("", vec![grant, ("scope", &scope)], 401, "invalid_client"),
        (
            "",
            vec![
                ("grant_type", "password"),
                ("client_id", id),
                ("client_secret", secret),
                ("scope", &scope),
            ],
            400,
            "unsupported_grant_type",
        ),
        ("", vec![grant, ("client_id", id), ("client_secret", secret)], 400, "invalid_request"),
        (
            "",
            vec![
                grant,
                ("client_id", id),
                ("client_secret", secret),
                ("scope", "https://graph.microsoft.com/.default"),
            ],
            400,
            "invalid_resource",
        ),
        (
            "00000000-0000-0000-0000-000000000000",
            vec![grant, ("client_id", id), ("client_secret", secret), ("scope", &scope)],
            400,
            "invalid_request",
        ),
    ];
    for (tenant, form, status, error) in cases {
        let tenant = if tenant.is_empty() { h.tenant.as_str() } else { tenant };
        let answer = token_request(&h, tenant, &form).await.expect(status);
        assert_eq!(answer.body["error"], error, "{form:?}");
        assert!(answer.body["error_description"].as_str().unwrap().starts_with("AADSTS"));
    }
    h.send(h.client().get(format!("{}/{}/oauth2/v2.0/token", h.endpoint, h.tenant)))
        .await
        .expect(405);
    h.stop().await;
}

#[tokio::test]
async fn bad_tokens_are_401_with_a_challenge() {
    let h = Harness::start().await;
    let url = h.url("/subscriptions");
    let none = h.send(h.client().get(&url)).await.expect_error(401, "AuthenticationFailed");
    assert!(none.header("www-authenticate").starts_with("Bearer authorization_uri=\"https://"));
    let mut forged: Vec<String> = h.owner.token.split('.').map(str::to_owned).collect();
    forged[2] = forged[2].chars().rev().collect();
    // The signature is none at all, by the token's own word.
    let unsigned = format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{}.", forged[1]);
    for token in ["", "x", "a.b.c", &forged.join("."), &unsigned, &"x".repeat(20_000)] {
        let answer = h.send(h.client().get(&url).bearer_auth(token)).await;
        assert_eq!(answer.status, 401, "{}", answer.body);
    }
    let basic = h.client().get(&url).basic_auth(&h.owner.client_id, Some(&h.owner.secret));
    h.send(basic).await.expect_error(401, "AuthenticationFailed");
    h.stop().await;
}

#[tokio::test]
async fn a_token_of_another_installation_is_refused() {
    let (h, other) = tokio::join!(Harness::start(), Harness::start());
    let user = User { token: other.owner.token.clone(), ..h.owner.clone() };
    h.call_as(&user, Method::GET, "/subscriptions", None)
        .await
        .expect_error(401, "InvalidAuthenticationToken");
    tokio::join!(h.stop(), other.stop());
}

#[tokio::test]
async fn a_token_ends() {
    let h = Harness::start_with(|config| config.token_lifetime = Duration::from_secs(600)).await;
    h.call(Method::GET, "/subscriptions", None).await.expect(200);
    h.service().app().clock.advance(Duration::from_secs(599));
    h.call(Method::GET, "/subscriptions", None).await.expect(200);
    h.service().app().clock.advance(Duration::from_secs(2));
    h.call(Method::GET, "/subscriptions", None)
        .await
        .expect_error(401, "ExpiredAuthenticationToken");
    h.stop().await;
}

#[tokio::test]
async fn a_token_is_for_one_audience() {
    let h = Harness::start().await;
    let authority = h.service().app().identity.vault_authority.clone();
    let token = h.token(&h.owner, &format!("https://{authority}/.default")).await;
    let vault_user = User { token, ..h.owner.clone() };
    h.call_as(&vault_user, Method::GET, "/subscriptions", None)
        .await
        .expect_error(401, "InvalidAuthenticationTokenAudience");
    // And the other way round, on a vault's own host.
    let url = format!("https://myvault.{authority}/secrets/x?api-version=7.4");
    let answer = h.send(h.client().get(&url).bearer_auth(&h.owner.token)).await.expect(401);
    assert_eq!(
        answer.header("www-authenticate"),
        format!(
            "Bearer authorization=\"{}/{}\", resource=\"https://{authority}\"",
            h.endpoint, h.tenant
        )
    );
    h.stop().await;
}

#[tokio::test]
async fn a_deleted_or_rotated_principal_cannot_go_on() {
    let h = Harness::start().await;
    let user = h.user("short-lived").await;
    let admin =
        coffer_control::admin::Admin::open(&crate::harness::config(h.data_dir())).await.unwrap();
    admin.principal_rotate(&user.client_id).await.unwrap();
    let scope = format!("{}/.default", h.endpoint);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", user.client_id.as_str()),
        ("client_secret", user.secret.as_str()),
        ("scope", scope.as_str()),
    ];
    token_request(&h, &h.tenant, &form).await.expect(401);
    admin.principal_delete(&user.principal_id).await.unwrap();
    h.call_as(&user, Method::GET, "/subscriptions", None)
        .await
        .expect_error(401, "InvalidAuthenticationToken");
    admin.principal_delete(&h.owner.principal_id).await.unwrap_err();
    admin.close().await;
    h.stop().await;
}
