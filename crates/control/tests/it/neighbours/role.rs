use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{OWNER, READER, USER_ACCESS_ADMINISTRATOR};
use crate::harness::Harness;

fn assignment(scope: &str, name: &str) -> String {
    format!(
        "{scope}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01"
    )
}

fn list(scope: &str, filter: &str) -> String {
    let query = format!("api-version=2022-04-01{filter}");
    format!("{scope}/providers/Microsoft.Authorization/roleAssignments?{query}")
}

fn body(role: &str, principal: &str) -> Option<Value> {
    Some(json!({"properties": {
        "roleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
        "principalId": principal,
    }}))
}

#[tokio::test]
async fn definitions_are_found_by_name_at_any_scope() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    for scope in ["", &h.subscription_path(), &group, &format!("/{group}")] {
        let path = format!("{scope}/providers/Microsoft.Authorization/roleDefinitions");
        let query = "api-version=2022-04-01&$filter=roleName eq 'Reader'";
        let found = h.call(Method::GET, &format!("{path}?{query}"), None).await.expect(200).body;
        assert_eq!(found["value"].as_array().unwrap().len(), 1);
        let role = &found["value"][0];
        assert_eq!(role["name"], READER);
        assert_eq!(role["properties"]["roleName"], "Reader");
        assert_eq!(role["properties"]["type"], "BuiltInRole");
        assert_eq!(role["properties"]["permissions"][0]["actions"], json!(["*/read"]));
        let got = h.call(Method::GET, role["id"].as_str().unwrap(), None).await.expect(200);
        assert_eq!(got.body["name"], READER);
        let all = h.call(Method::GET, &format!("{path}?$filter="), None).await.expect(200).body;
        assert_eq!(all["value"].as_array().unwrap().len(), 14);
    }
    let path = "/providers/Microsoft.Authorization/roleDefinitions";
    let none = format!("{path}?$filter=roleName%20eq%20'Nobody'");
    assert_eq!(h.call(Method::GET, &none, None).await.expect(200).body["value"], json!([]));
    h.call(Method::GET, &format!("{path}?$filter=nonsense"), None)
        .await
        .expect_error(400, "InvalidFilter");
    h.call(Method::GET, &format!("{path}/{}", Uuid::new_v4()), None)
        .await
        .expect_error(404, "RoleDefinitionDoesNotExist");
    h.stop().await;
}

#[tokio::test]
async fn the_life_of_an_assignment() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let user = h.user("user").await;
    let name = Uuid::new_v4().to_string();
    let path = assignment(&group, &name);
    h.call(Method::GET, &path, None).await.expect_error(404, "RoleAssignmentNotFound");
    h.call(Method::DELETE, &path, None).await.expect(204);
    let made = h.call(Method::PUT, &path, body(READER, &user.principal_id)).await.expect(201).body;
    assert_eq!(made["name"], name.as_str());
    assert_eq!(made["type"], "Microsoft.Authorization/roleAssignments");
    assert_eq!(made["properties"]["scope"], group.as_str());
    assert_eq!(made["properties"]["principalType"], "ServicePrincipal");
    let definition = made["properties"]["roleDefinitionId"].as_str().unwrap();
    assert!(definition.starts_with(&h.subscription_path()), "{definition}");
    let again = h.call(Method::PUT, &path, body(READER, &user.principal_id)).await.expect(200);
    assert_eq!(again.body, made);
    assert_eq!(h.call(Method::GET, &path, None).await.expect(200).body, made);
    h.call_as(&user, Method::GET, &group, None).await.expect(200);

    let other = assignment(&group, &Uuid::new_v4().to_string());
    let exists = h.call(Method::PUT, &other, body(READER, &user.principal_id)).await;
    let exists = exists.expect_error(409, "RoleAssignmentExists");
    let message = exists.body["error"]["message"].as_str().unwrap();
    assert!(message.contains(&name.replace('-', "")), "{message}");
    h.call(Method::PUT, &path, body(OWNER, &user.principal_id))
        .await
        .expect_error(409, "RoleAssignmentUpdateNotPermitted");

    h.call(Method::DELETE, &path, None).await.expect(200);
    h.call_as(&user, Method::GET, &group, None).await.expect(403);
    h.stop().await;
}

#[tokio::test]
async fn what_is_refused() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let user = h.user("user").await;
    let path = assignment(&group, &Uuid::new_v4().to_string());
    let id = user.principal_id.as_str();
    h.call(Method::PUT, &assignment(&group, "not-a-guid"), body(READER, id))
        .await
        .expect_error(400, "InvalidRoleAssignmentId");
    h.call(Method::PUT, &path, body("00000000-0000-0000-0000-000000000000", id))
        .await
        .expect_error(400, "RoleDefinitionDoesNotExist");
    // The client id is a usual slip.
    h.call(Method::PUT, &path, body(READER, &user.client_id))
        .await
        .expect_error(400, "PrincipalNotFound");
    let mut wrong = body(READER, id).unwrap();
    wrong["properties"]["principalType"] = json!("User");
    h.call(Method::PUT, &path, Some(wrong)).await.expect_error(400, "UnmatchedPrincipalType");
    let mut conditional = body(READER, id).unwrap();
    conditional["properties"]["condition"] = json!("@Resource[x] StringEquals 'y'");
    h.call(Method::PUT, &path, Some(conditional)).await.expect_error(400, "ConditionNotSupported");
    h.call(Method::PUT, &path, Some(json!({"properties": {"principalId": id}})))
        .await
        .expect_error(400, "InvalidRequestContent");
    for scope in [
        format!("{group}/providers/Microsoft.KeyVault/vaults/missing"),
        format!("{group}/providers/Microsoft.KeyVault/vaults/missing/secrets/s"),
        h.group_path("missing"),
    ] {
        let path = assignment(&scope, &Uuid::new_v4().to_string());
        h.call(Method::PUT, &path, body(READER, id)).await.expect(404);
    }
    h.stop().await;
}

#[tokio::test]
async fn only_who_may_give_roles_gives_them() {
    let h = Harness::start().await;
    let (one, two) = (h.group("one").await, h.group("two").await);
    let (user, friend) = (h.user("user").await, h.user("friend").await);
    let new = |scope: &str| assignment(scope, &Uuid::new_v4().to_string());
    let wanted = || body(READER, &friend.principal_id);
    h.call_as(&user, Method::PUT, &new(&one), wanted()).await.expect(403);
    h.assign(&user.principal_id, READER, &one).await;
    h.call_as(&user, Method::PUT, &new(&one), wanted()).await.expect(403);
    h.call_as(&user, Method::GET, &list(&one, ""), None).await.expect(200);
    h.call_as(&user, Method::GET, &list(&two, ""), None).await.expect(403);
    h.assign(&user.principal_id, USER_ACCESS_ADMINISTRATOR, &one).await;
    h.call_as(&user, Method::PUT, &new(&one), wanted()).await.expect(201);
    h.call_as(&user, Method::PUT, &new(&two), wanted()).await.expect(403);
    h.call_as(&user, Method::PUT, &new(&h.subscription_path()), wanted()).await.expect(403);
    h.call_as(&user, Method::PUT, &new(""), wanted()).await.expect(403);
    h.stop().await;
}

#[tokio::test]
async fn lists_by_scope_and_principal() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let vault = format!("{}/providers/Microsoft.KeyVault/vaults/coffer", h.group_path("coffer"));
    let user = h.user("user").await;
    h.assign(&user.principal_id, READER, &group).await;
    h.assign(&user.principal_id, READER, &vault).await;
    let count = async |path: String| {
        let found = h.call(Method::GET, &path, None).await.expect(200).body;
        found["value"].as_array().unwrap().len()
    };
    // The bootstrap principal has two at the subscription.
    let subscription = h.subscription_path();
    assert_eq!(count(list(&subscription, "")).await, 4);
    assert_eq!(count(list(&subscription, "&$filter=atScope()")).await, 2);
    assert_eq!(count(list(&group, "")).await, 3);
    assert_eq!(count(list(&group, "&$filter=atScope()")).await, 3);
    assert_eq!(count(list(&vault, "&$filter=atScope()")).await, 3);
    let of_user = format!("&$filter=principalId eq '{}'", user.principal_id);
    assert_eq!(count(list(&subscription, &of_user)).await, 2);
    assert_eq!(count(list(&group, &of_user)).await, 1);
    let assigned = format!("&$filter=atScope()%20and%20assignedTo('{}')", user.principal_id);
    assert_eq!(count(list(&subscription, &assigned)).await, 0);
    assert_eq!(count(list(&group, &assigned)).await, 1);
    h.call(Method::GET, &list(&group, "&$filter=color eq 'red'"), None)
        .await
        .expect_error(400, "InvalidFilter");
    h.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages_at_every_scope() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/pages");
    let key_vault = json!({"location": "westus", "properties": {
        "tenantId": h.tenant, "sku": {"family": "A", "name": "standard"},
    }});
    h.call(Method::PUT, &vault, Some(key_vault)).await.expect(201);
    let user = h.user("user").await;
    // From the subscription down to a secret, which has no row of its own.
    let secret = format!("{vault}/secrets/s");
    for scope in [&h.subscription_path(), &group, &vault, &secret] {
        h.assign(&user.principal_id, READER, scope).await;
    }
    let pages = async |scope: &str, filter: &str| {
        let mut next = format!("{}&$top=1", list(scope, filter));
        let mut scopes = Vec::new();
        loop {
            let page = h.call(Method::GET, &next, None).await.expect(200).body;
            let items = page["value"].as_array().unwrap();
            assert!(items.len() <= 1);
            scopes.extend(
                items.iter().map(|item| item["properties"]["scope"].as_str().unwrap().len()),
            );
            match page["nextLink"].as_str() {
                Some(link) => next = link.to_owned(),
                None => break,
            }
        }
        scopes.sort_unstable();
        scopes
    };
    let of_user = format!("&$filter=principalId eq '{}'", user.principal_id);
    let lengths = [h.subscription_path().len(), group.len(), vault.len(), secret.len()];
    assert_eq!(pages(&h.subscription_path(), &of_user).await, lengths);
    assert_eq!(pages(&secret, &of_user).await, lengths);
    let above = format!("{of_user} and atScope()");
    assert_eq!(pages(&group, &above).await, lengths[..2]);
    assert_eq!(pages(&secret, &above).await, lengths);
    // What only begins alike is neither above nor below.
    let beside = h.group("g2").await;
    assert_eq!(pages(&beside, &of_user).await, lengths[..1]);
    h.stop().await;
}
