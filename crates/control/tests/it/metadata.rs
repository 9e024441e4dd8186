//! What clients ask before they log in, and what operators ask.

use reqwest::Method;

use crate::harness::Harness;

#[tokio::test]
async fn metadata_endpoints_in_three_forms() {
    let h = Harness::start().await;
    let get = |version: &str| {
        h.send(h.client().get(format!("{}/metadata/endpoints?api-version={version}", h.endpoint)))
    };
    let first = get("2015-01-01").await.expect(200).body;
    assert!(first["authentication"]["loginEndpoint"].as_str().unwrap().starts_with(&h.endpoint));
    assert!(first["galleryEndpoint"].is_string());
    let list = get("2019-05-01").await.expect(200).body;
    assert_eq!(list[0]["resourceManager"], format!("{}/", h.endpoint));
    let latest = get("2022-09-01").await.expect(200).body;
    assert_eq!(latest["authentication"]["loginEndpoint"], h.endpoint.as_str());
    assert_eq!(
        latest["suffixes"]["keyVaultDns"],
        h.service().app().identity.vault_authority.as_str()
    );
    h.stop().await;
}

#[tokio::test]
async fn oidc_discovery_leads_to_keys_that_check_our_tokens() {
    let h = Harness::start().await;
    for tenant in [h.tenant.as_str(), "adfs"] {
        let path = if tenant == "adfs" { "adfs".to_owned() } else { format!("{tenant}/v2.0") };
        let url = format!("{}/{path}/.well-known/openid-configuration", h.endpoint);
        let document = h.send(h.client().get(url)).await.expect(200).body;
        let keys =
            h.send(h.client().get(document["jwks_uri"].as_str().unwrap())).await.expect(200).body;
        let key: jsonwebtoken::jwk::Jwk = serde_json::from_value(keys["keys"][0].clone()).unwrap();
        let mut validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::ES256);
        validation.set_audience(&[&h.endpoint]);
        validation.set_issuer(&[document["issuer"].as_str().unwrap()]);
        let key = jsonwebtoken::DecodingKey::from_jwk(&key).unwrap();
        jsonwebtoken::decode::<serde_json::Value>(&h.owner.token, &key, &validation).unwrap();
    }
    let url = format!(
        "{}/00000000-0000-0000-0000-000000000000/v2.0/.well-known/openid-configuration",
        h.endpoint
    );
    h.send(h.client().get(url)).await.expect(400);
    h.stop().await;
}

#[tokio::test]
async fn health_and_metrics() {
    let h = Harness::start().await;
    let health = h.send(h.client().get(format!("{}/healthz", h.endpoint))).await.expect(200);
    assert_eq!(health.body["status"], "ok");
    let metrics = h.send(h.client().get(format!("{}/metrics", h.endpoint))).await.expect(200);
    let text = metrics.body.as_str().unwrap();
    assert!(text.contains("coffer_http_requests_total{"), "{text}");
    assert!(text.contains("coffer_http_request_seconds_bucket{"), "{text}");
    h.stop().await;
}

#[tokio::test]
async fn metrics_with_a_token_want_the_token() {
    let h =
        Harness::start_with(|config| config.metrics_token = Some("let-me-see".to_owned().into()))
            .await;
    let url = format!("{}/metrics", h.endpoint);
    h.send(h.client().get(&url)).await.expect(401);
    h.send(h.client().get(&url).bearer_auth("let-me-sea")).await.expect(401);
    h.send(h.client().get(&url).bearer_auth("let-me-see")).await.expect(200);
    h.stop().await;
}

#[tokio::test]
async fn what_is_above_the_groups() {
    let h = Harness::start().await;
    let tenants = h.call(Method::GET, "/tenants?api-version=2022-12-01", None).await.expect(200);
    assert_eq!(tenants.body["value"][0]["tenantId"], h.tenant.as_str());
    let path = h.subscription_path();
    let subscription = h.call(Method::GET, &path, None).await.expect(200);
    assert_eq!(subscription.body["state"], "Enabled");
    let locations = h.call(Method::GET, &format!("{path}/locations"), None).await.expect(200);
    assert_eq!(locations.body["value"][0]["name"], "local");
    let provider = format!("{path}/providers/microsoft.dataprotection");
    let found = h.call(Method::GET, &provider, None).await.expect(200);
    assert_eq!(found.body["registrationState"], "Registered");
    assert_eq!(found.body["namespace"], "Microsoft.DataProtection");
    h.call(Method::POST, &format!("{provider}/register"), None).await.expect(200);
    let all = h.call(Method::GET, &format!("{path}/providers"), None).await.expect(200);
    assert_eq!(all.body["value"].as_array().unwrap().len(), 6);
    h.call(Method::GET, &format!("{path}/providers/Microsoft.Compute"), None)
        .await
        .expect_error(404, "InvalidResourceNamespace");
    h.stop().await;
}
