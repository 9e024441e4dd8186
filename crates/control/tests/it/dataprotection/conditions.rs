//! `ETag`, `If-Match` and `If-None-Match`: nobody writes over what he has not seen.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Scene, database, instance_body, policy_body, vault_body};
use crate::harness::Answer;

impl Scene {
    async fn on_condition(
        &self,
        method: Method,
        path: &str,
        condition: (&str, &str),
        body: Option<Value>,
    ) -> Answer {
        let client = self.h.client();
        let mut request = client.request(method, self.h.url(path)).bearer_auth(&self.h.owner.token);
        request = request.header(condition.0, condition.1);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.h.send(request).await
    }

    async fn etag(&self, path: &str) -> String {
        let etag = self.get(path).await.expect(200).header("etag").to_owned();
        assert!(etag.starts_with('"') && etag.ends_with('"') && etag.len() > 2, "{etag}");
        etag
    }
}

#[tokio::test]
async fn a_vault_is_changed_by_whoever_has_seen_its_last_state() {
    let s = Scene::start().await;
    let vault = s.vault("v1");
    let absent = ("if-match", "*");
    s.on_condition(Method::PUT, &vault, absent, Some(vault_body("On")))
        .await
        .expect_error(412, "PreconditionFailed");
    let new = ("if-none-match", "*");
    let made = s.on_condition(Method::PUT, &vault, new, Some(vault_body("On"))).await.expect(201);
    assert!(!made.header("etag").is_empty());
    s.finish(&made, "Succeeded").await;
    s.on_condition(Method::PUT, &vault, new, Some(vault_body("On")))
        .await
        .expect_error(412, "PreconditionFailed");

    let etag = s.etag(&vault).await;
    assert_eq!(s.etag(&vault).await, etag, "nothing has changed");
    let tags = |value: &str| Some(json!({ "tags": { "a": value } }));
    // Two have seen the same; one of them comes first.
    let first =
        s.on_condition(Method::PATCH, &vault, ("if-match", &etag), tags("first")).await.expect(202);
    s.finish(&first, "Succeeded").await;
    let second = s.on_condition(Method::PATCH, &vault, ("if-match", &etag), tags("second")).await;
    let now = s.etag(&vault).await;
    let second = second.expect_error(412, "PreconditionFailed");
    assert!(second.body.to_string().contains(now.trim_matches('"')), "{:#}", second.body);
    assert_eq!(s.get(&vault).await.body["tags"], json!({ "a": "first" }));
    for list in [format!("W/{now}"), format!("\"x\", {now}")] {
        let etag = s.on_condition(Method::PATCH, &vault, ("if-match", &list), tags("first")).await;
        etag.expect(200);
    }
    // Who may not write is not told.
    let nobody = s.h.user("nobody").await;
    let request =
        s.h.client().patch(s.h.url(&vault)).bearer_auth(&nobody.token).header("if-match", "\"x\"");
    s.h.send(request.json(&json!({}))).await.expect_error(403, "AuthorizationFailed");
    s.on_condition(Method::DELETE, &vault, ("if-match", &etag), None)
        .await
        .expect_error(412, "PreconditionFailed");
    let gone = s.on_condition(Method::DELETE, &vault, ("if-match", &now), None).await.expect(202);
    s.finish(&gone, "Succeeded").await;
    // Made again, it is another one.
    s.make_vault("v1", "On").await;
    assert_ne!(s.etag(&vault).await, etag);
    s.h.stop().await;
}

#[tokio::test]
async fn policies_instances_and_guards_as_well() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("Off").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    let policy = format!("{vault}/backupPolicies/osspol3");
    let unused = format!("{vault}/backupPolicies/unused");
    s.put(&unused, policy_body()).await.expect(200);
    let guard = format!("{}/providers/Microsoft.DataProtection/resourceGuards/g", s.group);
    s.put(&guard, json!({ "location": "westus" })).await.expect(200);
    let stale = ("if-match", "\"0-0\"");
    let mut body = instance_body(&vault, &database(&server, "empdb11"));
    body["properties"]["friendlyName"] = json!("another");
    for (path, body) in [
        (&policy, policy_body()),
        (&instance, body.clone()),
        (&guard, json!({ "location": "westus" })),
    ] {
        s.on_condition(Method::PUT, path, stale, Some(body.clone()))
            .await
            .expect_error(412, "PreconditionFailed");
        s.on_condition(Method::PUT, path, ("if-none-match", "*"), Some(body))
            .await
            .expect_error(412, "PreconditionFailed");
    }
    s.on_condition(Method::PATCH, &guard, stale, Some(json!({ "tags": { "a": "b" } })))
        .await
        .expect_error(412, "PreconditionFailed");
    for path in [&unused, &instance, &guard] {
        s.on_condition(Method::DELETE, path, stale, None)
            .await
            .expect_error(412, "PreconditionFailed");
    }
    let etag = s.etag(&instance).await;
    let changed =
        s.on_condition(Method::PUT, &instance, ("if-match", &etag), Some(body)).await.expect(201);
    s.finish(&changed, "Succeeded").await;
    assert_ne!(s.etag(&instance).await, etag);
    for path in [&unused, &guard] {
        let etag = s.etag(path).await;
        s.on_condition(Method::DELETE, path, ("if-match", &etag), None).await.expect(200);
    }
    let etag = s.etag(&instance).await;
    let gone =
        s.on_condition(Method::DELETE, &instance, ("if-match", &etag), None).await.expect(202);
    s.finish(&gone, "Succeeded").await;
    s.h.stop().await;
}
