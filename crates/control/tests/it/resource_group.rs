//! Resource groups.

use reqwest::Method;
use serde_json::json;

use crate::harness::Harness;

#[tokio::test]
async fn the_life_of_a_group() {
    let h = Harness::start().await;
    let path = h.group_path("Team-A_1.(x)");
    h.call(Method::HEAD, &path, None).await.expect(404);
    h.call(Method::GET, &path, None).await.expect_error(404, "ResourceGroupNotFound");
    let body = json!({"location": "West Europe", "tags": {"Env": "Test"}});
    let made = h.call(Method::PUT, &path, Some(body.clone())).await.expect(201);
    assert_eq!(
        made.body,
        json!({
            "id": path, "name": "Team-A_1.(x)", "type": "Microsoft.Resources/resourceGroups",
            "location": "westeurope", "tags": {"Env": "Test"}, "properties": {"provisioningState": "Succeeded"},
        })
    );
    h.call(Method::PUT, &path, Some(body)).await.expect(200);
    h.call(Method::HEAD, &path, None).await.expect(204);
    let got = h.call(Method::GET, &path.to_uppercase(), None).await.expect(200);
    assert_eq!(got.body, made.body);
    h.call(Method::PUT, &path, Some(json!({"location": "elsewhere"})))
        .await
        .expect_error(409, "InvalidResourceGroupLocation");
    let patched = h.call(Method::PATCH, &path, Some(json!({"tags": {"a": "b"}}))).await.expect(200);
    assert_eq!(patched.body["tags"], json!({"a": "b"}));
    let untagged =
        h.call(Method::PUT, &path, Some(json!({"location": "westeurope"}))).await.expect(200);
    assert!(untagged.body.get("tags").is_none());
    h.call(Method::DELETE, &path, None).await.expect(200);
    h.call(Method::DELETE, &path, None).await.expect_error(404, "ResourceGroupNotFound");
    h.stop().await;
}

#[tokio::test]
async fn names() {
    let h = Harness::start().await;
    for name in ["ends.", "with%20blank", &"x".repeat(91), "semi;colon"] {
        h.call(Method::PUT, &h.group_path(name), Some(json!({"location": "a"})))
            .await
            .expect_error(400, "InvalidResourceGroup");
    }
    h.stop().await;
}

#[tokio::test]
async fn a_group_that_is_not_empty_is_not_deleted() {
    let h = Harness::start().await;
    let path = h.group_path("coffer");
    let refused =
        h.call(Method::DELETE, &path, None).await.expect_error(409, "ResourceGroupNotEmpty");
    let message = refused.body["error"]["message"].as_str().unwrap();
    assert!(message.contains("Microsoft.KeyVault/vaults/coffer"), "{message}");
    h.call(Method::GET, &path, None).await.expect(200);
    h.stop().await;
}

#[tokio::test]
async fn what_is_in_a_group_is_listed() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let vault = format!("{}/providers/Microsoft.KeyVault/vaults/coffer", h.group_path("coffer"));
    let list = &h;
    let of =
        |scope: String| async move { list.call(Method::GET, &scope, None).await.expect(200).body };
    assert_eq!(of(format!("{group}/resources")).await["value"], json!([]));
    for scope in [h.group_path("coffer"), h.subscription_path()] {
        let found = of(format!("{scope}/resources")).await;
        assert_eq!(found["value"].as_array().unwrap().len(), 1, "{found}");
        assert_eq!(found["value"][0]["id"], vault.as_str());
        assert_eq!(found["value"][0]["type"], "Microsoft.KeyVault/vaults");
        assert_eq!(found["value"][0]["location"], "local");
    }
    let missing = format!("{}/resources", h.group_path("missing"));
    h.call(Method::GET, &missing, None).await.expect_error(404, "ResourceGroupNotFound");
    let nobody = h.user("nobody").await;
    h.call_as(&nobody, Method::GET, &missing, None).await.expect_error(403, "AuthorizationFailed");
    h.stop().await;
}

#[tokio::test]
async fn a_missing_group_is_named_instead_of_what_would_be_in_it() {
    let h = Harness::start().await;
    let path =
        format!("{}/providers/Microsoft.DataProtection/backupVaults/v", h.group_path("missing"));
    h.call(Method::GET, &path, None).await.expect_error(404, "ResourceGroupNotFound");
    h.stop().await;
}

#[tokio::test]
async fn lists_go_on_by_next_link() {
    let h = Harness::start().await;
    for name in ["a", "b", "c", "d", "e"] {
        h.group(name).await;
    }
    let mut next = h.url(&format!("{}/resourceGroups?$top=2&x=1", h.subscription_path()));
    let mut names = Vec::new();
    let mut pages = 0;
    loop {
        let page = h.call(Method::GET, &next, None).await.expect(200);
        names.extend(
            page.body["value"]
                .as_array()
                .unwrap()
                .iter()
                .map(|g| g["name"].as_str().unwrap().to_owned()),
        );
        pages += 1;
        match page.body["nextLink"].as_str() {
            Some(link) => next = link.to_owned(),
            None => break,
        }
    }
    assert_eq!(names, ["a", "b", "c", "coffer", "d", "e"]);
    assert_eq!(pages, 3);
    h.stop().await;
}

#[tokio::test]
async fn a_role_given_at_a_group_goes_with_it() {
    let h = Harness::start().await;
    let path = h.group("g").await;
    let reader = h.user("reader").await;
    h.assign(&reader.principal_id, "acdd72a7-3385-48ef-bd42-f606fba81ae7", &path).await;
    h.call(Method::DELETE, &path, None).await.expect(200);
    h.group("g").await;
    h.call_as(&reader, Method::GET, &path, None).await.expect(403);
    h.stop().await;
}
