//! Tokens of another issuer, over HTTPS: whom they make, and whom they cannot make.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use coffer_control::admin::{Admin, RoleGrant};
use coffer_control::config::IssuerConfig;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Harness, User, config};

const AUDIENCE: &str = "api://coffer";

/// An issuer that publishes one key.
struct Issuer {
    url: String,
    pkcs8: Vec<u8>,
    is_down: Arc<AtomicBool>,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Issuer {
    async fn start() -> Self {
        coffer_control::identity::install_providers();
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .unwrap();
        let pair =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
        let point = pair.public_key().as_ref().to_vec();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let text = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let keys = json!({"keys": [{
            "kty": "EC", "crv": "P-256", "kid": "k", "x": text(&point[1..33]), "y": text(&point[33..]),
        }]});
        let discovery = json!({"issuer": url, "jwks_uri": format!("{url}/keys")});
        let is_down = Arc::new(AtomicBool::new(false));
        let down = Arc::clone(&is_down);
        let answer = move |uri: http::Uri| {
            let body = if uri.path() == "/keys" { &keys } else { &discovery }.to_string();
            let status = if down.load(Ordering::Relaxed) { 503 } else { 200 };
            async move { (http::StatusCode::from_u16(status).unwrap(), body) }
        };
        let router = axum::Router::new().fallback(answer);
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { url, pkcs8: pkcs8.as_ref().to_vec(), is_down, server }
    }

    fn config(&self, claim: &str) -> IssuerConfig {
        IssuerConfig {
            issuer: self.url.clone(),
            audiences: vec![AUDIENCE.to_owned()],
            principal_claim: claim.to_owned(),
            ca_file: None,
        }
    }

    fn token(&self, h: &Harness, more: &Value) -> String {
        let now = h.service().app().clock.now_seconds();
        let mut claims =
            json!({"iss": self.url, "aud": AUDIENCE, "exp": now + 600, "azp": "their-client"});
        claims.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some("k".to_owned());
        jsonwebtoken::encode(&header, &claims, &EncodingKey::from_ec_der(&self.pkcs8)).unwrap()
    }
}

impl Harness {
    fn with_token(&self, token: String) -> User {
        User { token, ..self.owner.clone() }
    }
}

#[tokio::test]
async fn who_comes_from_another_issuer_is_who_the_operator_says() {
    let issuer = Issuer::start().await;
    let h = Harness::start_with(|config| config.issuers = vec![issuer.config("sub")]).await;
    let group = h.group("g").await;
    let somebody = h.with_token(issuer.token(&h, &json!({"sub": "somebody"})));
    // A good token of somebody who is not known here.
    h.call_as(&somebody, Method::GET, &group, None)
        .await
        .expect_error(401, "InvalidAuthenticationToken");
    let mut operator = config(h.data_dir());
    let admin = Admin::open(&operator).await.unwrap();
    let refused = admin.principal_create_federated("x", &issuer.url, "somebody", &[]).await;
    assert_eq!(refused.unwrap_err().code, "IssuerNotConfigured");
    admin.close().await;
    operator.issuers = vec![issuer.config("sub")];
    let admin = Admin::open(&operator).await.unwrap();
    let grant = RoleGrant { role: "reader".to_owned(), scope: group.clone() };
    let made = admin
        .principal_create_federated("Somebody", &issuer.url, "somebody", &[grant])
        .await
        .unwrap();
    let twice = admin.principal_create_federated("Twice", &issuer.url, "somebody", &[]).await;
    assert_eq!(twice.unwrap_err().code, "PrincipalExists");
    h.call_as(&somebody, Method::GET, &group, None).await.expect(200);
    let refused = h.call_as(&somebody, Method::DELETE, &group, None).await;
    let refused = refused.expect_error(403, "AuthorizationFailed");
    let message = refused.body["error"]["message"].as_str().unwrap();
    assert!(message.contains("'their-client'") && message.contains(&made.id), "{message}");
    let audited = h.audit().await.pop().unwrap();
    assert_eq!(audited.issuer.as_deref(), Some(issuer.url.as_str()));
    assert_eq!(audited.principal_id.as_deref(), Some(made.id.as_str()));

    // Roles are given to him by the API as to others; he may be a person.
    let path = format!(
        "{group}/providers/Microsoft.Authorization/roleAssignments/{}?api-version=2022-04-01",
        uuid::Uuid::new_v4()
    );
    let contributor =
        "/providers/Microsoft.Authorization/roleDefinitions/b24988ac-6180-42a0-ab88-20f7382dd24c";
    let give = json!({"properties": {
        "roleDefinitionId": contributor, "principalId": made.id, "principalType": "User",
    }});
    let given = h.call(Method::PUT, &path, Some(give)).await.expect(201);
    assert_eq!(given.body["properties"]["principalType"], "User");
    h.call_as(&somebody, Method::DELETE, &group, None).await.expect(200);
    // There is no secret to log in with here, and none to be had.
    assert_eq!(admin.principal_rotate(&made.id).await.unwrap_err().code, "PrincipalHasNoSecret");
    admin.principal_delete(&made.id).await.unwrap();
    h.call_as(&somebody, Method::GET, &h.subscription_path(), None).await.expect(401);
    admin.close().await;
    h.stop().await;
}

#[tokio::test]
async fn an_issuer_makes_nobody_of_ours() {
    let issuer = Issuer::start().await;
    let h = Harness::start_with(|config| config.issuers = vec![issuer.config("oid")]).await;
    let owner = h.owner.principal_id.clone();
    // The bootstrap principal's own object id, claimed by another issuer in every place.
    let claimed = json!({"oid": owner, "sub": owner, "appid": h.owner.client_id, "tid": h.tenant});
    let forger = h.with_token(issuer.token(&h, &claimed));
    h.call_as(&forger, Method::GET, &h.subscription_path(), None).await.expect(401);
    // Not even when there is a principal for this very claim: it is somebody else.
    let mut operator = config(h.data_dir());
    operator.issuers = vec![issuer.config("oid")];
    let admin = Admin::open(&operator).await.unwrap();
    let made = admin.principal_create_federated("x", &issuer.url, &owner, &[]).await.unwrap();
    assert_ne!(made.id, owner);
    h.call_as(&forger, Method::GET, &h.subscription_path(), None).await.expect(403);
    // A GUID that is free becomes the object id, so that roles are given to the id that people know.
    let oid = uuid::Uuid::new_v4().to_string();
    let made = admin.principal_create_federated("y", &issuer.url, &oid, &[]).await.unwrap();
    assert_eq!(made.id, oid);
    admin.close().await;
    // A token that says it is ours, signed by them; and ours do not become theirs.
    let ours = format!("{}/{}/v2.0", h.endpoint, h.tenant);
    let claims =
        json!({"iss": ours, "oid": owner, "sub": owner, "tid": h.tenant, "aud": h.endpoint});
    let forger = h.with_token(issuer.token(&h, &claims));
    h.call_as(&forger, Method::GET, &h.subscription_path(), None).await.expect(401);
    // Theirs are for this endpoint and for no key vault's own host.
    let authority = h.service().app().identity.vault_authority.clone();
    let url = format!("https://myvault.{authority}/secrets/x?api-version=7.4");
    let token = issuer.token(&h, &json!({"oid": oid}));
    h.send(h.client().get(&url).bearer_auth(token)).await.expect(401);
    h.stop().await;
}

#[tokio::test]
async fn an_issuer_that_is_down_takes_nobody_down() {
    let issuer = Issuer::start().await;
    let h = Harness::start_with(|config| config.issuers = vec![issuer.config("sub")]).await;
    issuer.is_down.store(true, Ordering::Relaxed);
    let somebody = h.with_token(issuer.token(&h, &json!({"sub": "somebody"})));
    let started = std::time::Instant::now();
    for _ in 0..50 {
        let answer = h.call_as(&somebody, Method::GET, "/subscriptions", None).await;
        let answer = answer.expect_error(503, "ServiceUnavailable");
        assert_eq!(answer.header("retry-after"), "5");
        h.call(Method::GET, "/subscriptions", None).await.expect(200);
    }
    assert!(started.elapsed() < crate::harness::DEADLINE);
    issuer.is_down.store(false, Ordering::Relaxed);
    h.service().app().clock.advance(std::time::Duration::from_secs(11));
    let fresh = h.with_token(issuer.token(&h, &json!({"sub": "somebody"})));
    h.call_as(&fresh, Method::GET, "/subscriptions", None).await.expect(401);
    h.stop().await;
}
