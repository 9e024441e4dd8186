//! Requests that are wrong in form: ARM's errors, never a 500.

use reqwest::Method;
use serde_json::json;

use crate::harness::Harness;

#[tokio::test]
async fn unknown_routes() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    for path in [
        "/",
        "/nothing",
        "/a/b/c/d",
        "/subscriptions/x/y/z",
        "/providers",
        "/providers/Microsoft.DataProtection",
    ] {
        h.call(Method::GET, path, None).await.expect_error(404, "MissingSubscription");
    }
    h.call(Method::GET, &format!("{group}/providers/Microsoft.Nothing/things"), None)
        .await
        .expect_error(404, "InvalidResourceNamespace");
    h.call(Method::GET, &format!("{group}/providers/Microsoft.Authorization/things"), None)
        .await
        .expect_error(404, "InvalidResourceType");
    h.call(Method::POST, &group, None).await.expect_error(405, "MethodNotAllowed");
    h.call(Method::DELETE, "/subscriptions", None).await.expect_error(405, "MethodNotAllowed");
    let odd = Method::from_bytes(b"BREW").unwrap();
    h.call(odd, &group, None).await.expect_error(405, "MethodNotAllowed");
    h.stop().await;
}

#[tokio::test]
async fn segments_that_no_name_can_be() {
    let h = Harness::start().await;
    let path = format!("{}/resourceGroups/", h.subscription_path());
    for name in ["a%2Fb", "a%00b", "%ff", "a%5Cb", "a%3Fb"] {
        h.call(Method::GET, &format!("{path}{name}"), None)
            .await
            .expect_error(400, "InvalidRequestUri");
    }
    h.stop().await;
}

#[tokio::test]
async fn api_versions() {
    let h = Harness::start().await;
    let endpoint = &h.endpoint;
    let get = |url: String| h.send(h.client().get(url).bearer_auth(&h.owner.token));
    get(format!("{endpoint}/subscriptions")).await.expect_error(400, "MissingApiVersionParameter");
    get(format!("{endpoint}/subscriptions?api-version="))
        .await
        .expect_error(400, "MissingApiVersionParameter");
    for version in ["latest", "2024", "7.4", "2024-13-01", "2024-04-01-beta", "%00"] {
        get(format!("{endpoint}/subscriptions?api-version={version}"))
            .await
            .expect_error(400, "NoRegisteredProviderFound");
    }
    get(format!("{endpoint}/subscriptions?api-version=2014-01-01")).await.expect(200);
    get(format!("{endpoint}/subscriptions?API%2Dversion=2030-01-01-preview&$filter="))
        .await
        .expect(200);
    let group = h.group("g").await;
    let vaults = format!("{endpoint}{group}/providers/Microsoft.DataProtection/backupVaults");
    get(format!("{vaults}?api-version=2020-12-31"))
        .await
        .expect_error(400, "NoRegisteredProviderFound");
    for version in ["2021-01-01", "2024-04-01", "2026-06-01", "2031-01-01-preview"] {
        get(format!("{vaults}?api-version={version}")).await.expect(200);
    }
    let secrets = format!("{endpoint}/secrets");
    get(secrets.clone()).await.expect_error(400, "MissingApiVersionParameter");
    get(format!("{secrets}?api-version=8.0")).await.expect_error(400, "NoRegisteredProviderFound");
    for version in ["7.4", "7.6-preview.1", "2025-07-01"] {
        get(format!("{secrets}?api-version={version}")).await.expect(200);
    }
    h.stop().await;
}

#[tokio::test]
async fn bodies() {
    let h = Harness::start().await;
    let url = h.url(&h.group_path("g"));
    let put = |body: String| h.send(h.client().put(&url).bearer_auth(&h.owner.token).body(body));
    for body in [
        "",
        "{",
        "[]",
        "null",
        "\"text\"",
        "{\"location\": 1}",
        "{\"location\": \"a\"} x",
        "\u{feff}{}",
        "{\"location\": \"a\", \"tags\": 3}",
    ] {
        put(body.to_owned()).await.expect_error(400, "InvalidRequestContent");
    }
    put("{\"a\":".repeat(5000)).await.expect_error(400, "InvalidRequestContent");
    put("{\"location\": \"a\", \"tags\": {\"x\": 3}}".to_owned())
        .await
        .expect_error(400, "InvalidTag");
    put("{}".to_owned()).await.expect_error(400, "LocationRequired");
    put("{\"LOCATION\": \"a\", \"unknown\": [1]}".to_owned()).await.expect(201);
    let bytes = h.client().put(&url).bearer_auth(&h.owner.token).body(vec![0xff, 0xfe, 0x00]);
    h.send(bytes).await.expect_error(400, "InvalidRequestContent");
    h.stop().await;
}

#[tokio::test]
async fn a_body_over_the_limit() {
    let h = Harness::start_with(|config| config.limits.body_bytes = 1000).await;
    let url = h.url(&h.group_path("g"));
    let body = json!({"location": "a", "filler": "x".repeat(1000)}).to_string();
    let put = h.client().put(&url).bearer_auth(&h.owner.token).body(body);
    h.send(put).await.expect_error(413, "RequestContentTooLarge");
    // Without a length announced.
    let chunks = futures::stream::iter((0..100).map(|_| Ok::<_, std::io::Error>("x".repeat(100))));
    let put =
        h.client().put(&url).bearer_auth(&h.owner.token).body(reqwest::Body::wrap_stream(chunks));
    h.send(put).await.expect_error(413, "RequestContentTooLarge");
    // Nor for those who only log in.
    let token = format!("{}/{}/oauth2/v2.0/token", h.endpoint, h.tenant);
    h.send(h.client().post(token).body("x".repeat(2000)))
        .await
        .expect_error(413, "RequestContentTooLarge");
    h.stop().await;
}

#[tokio::test]
async fn answers_carry_ids_and_the_common_headers() {
    let h = Harness::start().await;
    let id = "11111111-2222-3333-4444-555555555555";
    let request = h
        .client()
        .get(h.url("/subscriptions"))
        .bearer_auth(&h.owner.token)
        .header("x-ms-correlation-request-id", id)
        .header("x-ms-client-request-id", "my-own")
        .header("accept", "application/json; charset=utf-8; IEEE754Compatible=false");
    let answer = h.send(request).await.expect(200);
    assert_eq!(answer.header("x-ms-correlation-request-id"), id);
    assert_eq!(answer.header("x-ms-client-request-id"), "my-own");
    assert_eq!(answer.header("content-type"), "application/json; charset=utf-8");
    assert_eq!(answer.header("cache-control"), "no-cache");
    assert_eq!(answer.header("expires"), "-1");
    for name in [
        "x-ms-request-id",
        "x-ms-routing-request-id",
        "strict-transport-security",
        "x-content-type-options",
    ] {
        assert!(!answer.header(name).is_empty(), "{name}");
    }
    let failed = h.call(Method::GET, "/nothing", None).await;
    assert_eq!(failed.header("x-ms-error-code"), "MissingSubscription");
    h.stop().await;
}

#[tokio::test]
async fn paths_are_matched_loosely() {
    let h = Harness::start().await;
    h.group("My-Group").await;
    let id = format!("/subscriptions/{}/resourceGroups/My-Group", h.subscription);
    for path in [
        format!("//subscriptions/{}/resourceGroups/My-Group", h.subscription),
        format!("/SUBSCRIPTIONS/{}/RESOURCEGROUPS/my-group/", h.subscription.to_uppercase()),
        format!("/subscriptions/{}/resourcegroups//MY%2DGROUP", h.subscription),
    ] {
        let answer = h.call(Method::GET, &path, None).await.expect(200);
        assert_eq!(answer.body["id"], id.as_str());
    }
    h.stop().await;
}
