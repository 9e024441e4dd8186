//! Roles of one's own: made, given, evaluated, changed, deleted; and what is refused.

use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{READER, USER_ACCESS_ADMINISTRATOR};
use crate::harness::{Harness, User};

const VERSION: &str = "api-version=2022-04-01";

pub(crate) fn definition(scope: &str, id: &str) -> String {
    format!("{scope}/providers/Microsoft.Authorization/roleDefinitions/{id}?{VERSION}")
}

/// A role as `azure-mgmt-authorization` and `az role definition create` send it.
pub(crate) fn role(name: &str, scopes: &[&str], actions: &[&str]) -> Value {
    json!({"properties": {
        "roleName": name, "description": "of a test", "type": "CustomRole",
        "permissions": [{"actions": actions, "notActions": [], "dataActions": [], "notDataActions": []}],
        "assignableScopes": scopes,
    }})
}

fn new_id() -> String {
    Uuid::new_v4().to_string()
}

impl Harness {
    async fn roles(&self, user: &User, scope: &str, filter: &str) -> Vec<String> {
        let path = format!("{scope}/providers/Microsoft.Authorization/roleDefinitions");
        let path = format!("{path}?{VERSION}&$filter={filter}");
        let found = self.call_as(user, Method::GET, &path, None).await.expect(200).body;
        let roles = found["value"].as_array().unwrap();
        roles.iter().map(|role| role["properties"]["roleName"].as_str().unwrap().into()).collect()
    }
}

#[tokio::test]
async fn the_life_of_a_role() {
    let h = Harness::start().await;
    let (group, other) = (h.group("g").await, h.group("other").await);
    let user = h.user("user").await;
    let (id, subscription) = (new_id(), h.subscription_path());
    let path = definition(&subscription, &id);
    h.call(Method::GET, &path, None).await.expect_error(404, "RoleDefinitionDoesNotExist");
    h.call(Method::DELETE, &path, None).await.expect(204);
    let wanted = role(
        "Vault Reader",
        &[&group],
        &["Microsoft.DataProtection/backupVaults/*", "Microsoft.Authorization/*/read"],
    );
    let made = h.call(Method::PUT, &path, Some(wanted)).await.expect(201).body;
    assert_eq!(made["name"], id.as_str());
    assert_eq!(made["id"], path.split('?').next().unwrap());
    assert_eq!(made["type"], "Microsoft.Authorization/roleDefinitions");
    let properties = &made["properties"];
    assert_eq!(
        (&properties["type"], &properties["assignableScopes"]),
        (&json!("CustomRole"), &json!([group]))
    );
    assert_eq!(properties["createdBy"], h.owner.principal_id.as_str());
    let got = h.call(Method::GET, &definition(&subscription, &id.to_uppercase()), None).await;
    assert_eq!(got.expect(200).body, made);

    // Given, it allows what it says, where it was given.
    h.assign(&user.principal_id, &id, &group).await;
    let vault = format!("{group}/providers/Microsoft.DataProtection/backupVaults/v");
    h.call_as(&user, Method::GET, &vault, None).await.expect(404);
    h.call_as(&user, Method::DELETE, &vault, None).await.expect(204);
    h.call_as(&user, Method::GET, &vault.replace("/g/", "/other/"), None).await.expect(403);
    h.call_as(&user, Method::GET, &group, None).await.expect(403);
    let assigned =
        format!("{other}/providers/Microsoft.Authorization/roleAssignments/{}?{VERSION}", new_id());
    let give =
        json!({"properties": {"roleDefinitionId": made["id"], "principalId": user.principal_id}});
    h.call(Method::PUT, &assigned, Some(give))
        .await
        .expect_error(400, "RoleAssignmentScopeNotAssignableToRoleDefinition");

    // Changed, by an answer that is sent back, it allows less from then on.
    let mut changed = made.clone();
    changed["properties"]["permissions"][0]["notActions"] =
        json!(["microsoft.dataprotection/BACKUPVAULTS/delete"]);
    changed["properties"]["roleName"] = json!("Vault Looker");
    let changed = h.call(Method::PUT, &path, Some(changed)).await.expect(201).body;
    assert_eq!(changed["properties"]["createdOn"], made["properties"]["createdOn"]);
    h.call_as(&user, Method::GET, &vault, None).await.expect(404);
    h.call_as(&user, Method::DELETE, &vault, None).await.expect_error(403, "AuthorizationFailed");

    // Whoever has it keeps it.
    h.call(Method::DELETE, &path, None).await.expect_error(400, "RoleDefinitionHasAssignments");
    let moved = role("Vault Looker", &[&other], &["*/read"]);
    h.call(Method::PUT, &path, Some(moved)).await.expect_error(400, "RoleDefinitionHasAssignments");
    h.call_as(&user, Method::GET, &vault, None).await.expect(404);
    let list = format!(
        "{subscription}/providers/Microsoft.Authorization/roleAssignments?{VERSION}&$filter=principalId eq '{}'",
        user.principal_id
    );
    let found = h.call(Method::GET, &list, None).await.expect(200).body;
    h.call(Method::DELETE, found["value"][0]["id"].as_str().unwrap(), None).await.expect(200);
    assert_eq!(h.call(Method::DELETE, &path, None).await.expect(200).body["name"], id.as_str());
    h.call(Method::GET, &path, None).await.expect(404);
    h.call_as(&user, Method::GET, &vault, None).await.expect(403);
    h.stop().await;
}

#[tokio::test]
async fn lists_by_kind_name_and_scope() {
    let h = Harness::start().await;
    let (group, subscription) = (h.group("g").await, h.subscription_path());
    for (name, scope) in [("At Group", group.as_str()), ("At Subscription", subscription.as_str())]
    {
        let path = definition(scope, &new_id());
        h.call(Method::PUT, &path, Some(role(name, &[scope], &["*/read"]))).await.expect(201);
    }
    let custom = "type eq 'CustomRole'";
    let below = "atScopeAndBelow() and type eq 'CustomRole'";
    let owner = &h.owner;
    assert_eq!(h.roles(owner, &subscription, custom).await, ["At Subscription"]);
    assert_eq!(h.roles(owner, &subscription, below).await, ["At Group", "At Subscription"]);
    assert_eq!(h.roles(owner, &group, custom).await, ["At Group", "At Subscription"]);
    assert_eq!(h.roles(owner, &group, "roleName eq 'at GROUP'").await, ["At Group"]);
    assert_eq!(h.roles(owner, &group, "type eq 'BuiltInRole'").await.len(), 14);
    assert_eq!(h.roles(owner, &group, "").await.len(), 16);
    // At the root are those that one may read where they can be assigned.
    assert_eq!(h.roles(owner, "", custom).await, ["At Group", "At Subscription"]);
    let reader = h.user("reader").await;
    h.assign(&reader.principal_id, READER, &group).await;
    assert_eq!(h.roles(&reader, "", custom).await, ["At Group"]);
    let all = format!("{subscription}/providers/Microsoft.Authorization/roleDefinitions");
    h.call_as(&reader, Method::GET, &all, None).await.expect_error(403, "AuthorizationFailed");
    h.stop().await;
}

#[tokio::test]
async fn what_is_no_role() {
    let h = Harness::start().await;
    let (group, subscription) = (h.group("g").await, h.subscription_path());
    let path = definition(&subscription, &new_id());
    let put = async |body: Value| h.call(Method::PUT, &path, Some(body)).await;
    for action in ["", "read", "Microsoft.DataProtection/backupVaults", "backupVaults/read"] {
        put(role("R", &[&group], &[action])).await.expect_error(400, "InvalidActionOrNotAction");
    }
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/v");
    for scope in ["/", "x", vault.as_str()] {
        let answer = put(role("R", &[scope], &["*/read"])).await;
        answer.expect_error(400, "InvalidAssignableScope");
    }
    put(role("R", &[], &["*/read"])).await.expect_error(400, "InvalidAssignableScope");
    let missing = h.group_path("missing");
    put(role("R", &[&missing], &["*/read"])).await.expect_error(404, "ResourceGroupNotFound");
    put(role(" ", &[&group], &["*/read"])).await.expect_error(400, "InvalidRoleDefinitionName");
    let taken = put(role("reader", &[&group], &["*/read"])).await;
    taken.expect_error(409, "RoleDefinitionWithSameNameExists");
    put(role("Mine", &[&group], &["*/read"])).await.expect(201);
    let other = definition(&group, &new_id());
    h.call(Method::PUT, &other, Some(role("MINE", &[&group], &["*/read"])))
        .await
        .expect_error(409, "RoleDefinitionWithSameNameExists");
    let mut built_in = role("R", &[&group], &["*/read"]);
    built_in["properties"]["type"] = json!("BuiltInRole");
    put(built_in).await.expect_error(400, "InvalidRoleDefinitionType");
    put(json!({"properties": {"roleName": "R", "assignableScopes": [group]}}))
        .await
        .expect_error(400, "InvalidRoleDefinitionPermissions");
    let reader = definition(&subscription, READER);
    for method in [Method::PUT, Method::DELETE] {
        h.call(method, &reader, Some(role("R", &[&group], &["*/read"])))
            .await
            .expect_error(400, "RoleDefinitionUpdateNotPermitted");
    }
    h.call(Method::PUT, &definition(&group, "name"), Some(role("R", &[&group], &["*"])))
        .await
        .expect_error(400, "InvalidRoleDefinitionId");
    h.stop().await;
}

#[tokio::test]
async fn nobody_gives_himself_more() {
    let h = Harness::start().await;
    let (one, two) = (h.group("one").await, h.group("two").await);
    let user = h.user("user").await;
    h.assign(&user.principal_id, USER_ACCESS_ADMINISTRATOR, &one).await;
    h.assign(&user.principal_id, READER, &two).await;
    let path = definition(&one, &new_id());
    let put = async |path: &str, scopes: &[&str]| {
        h.call_as(&user, Method::PUT, path, Some(role("R", scopes, &["*"]))).await
    };
    // Not where he may not write roles, not by the way of a scope where he may.
    put(&path, &[&two]).await.expect_error(403, "AuthorizationFailed");
    put(&path, &[&one, &two]).await.expect_error(403, "AuthorizationFailed");
    put(&path, &[&h.subscription_path()]).await.expect_error(403, "AuthorizationFailed");
    put(&definition("", &new_id()), &[&one]).await.expect_error(403, "AuthorizationFailed");
    put(&path, &[&one]).await.expect(201);
    // A role of others is not changed or deleted, and where it can be assigned is not told.
    let id = new_id();
    let foreign = definition(&two, &id);
    h.call(Method::PUT, &foreign, Some(role("Foreign", &[&two], &["*/read"]))).await.expect(201);
    let here = definition(&one, &id);
    let refused = put(&here, &[&one]).await.expect_error(403, "AuthorizationFailed");
    assert!(!refused.body.to_string().contains("resourceGroups/two"), "{}", refused.body);
    h.call_as(&user, Method::DELETE, &here, None).await.expect_error(403, "AuthorizationFailed");
    h.call_as(&user, Method::DELETE, &foreign, None).await.expect_error(403, "AuthorizationFailed");
    // A role that is spread over two groups is changed only by who may at both.
    let shared = definition(&one, &new_id());
    h.call(Method::PUT, &shared, Some(role("Shared", &[&one, &two], &["*/read"])))
        .await
        .expect(201);
    h.call_as(&user, Method::PUT, &shared, Some(role("Shared", &[&one], &["*"])))
        .await
        .expect_error(403, "AuthorizationFailed");
    h.call_as(&user, Method::DELETE, &shared, None).await.expect_error(403, "AuthorizationFailed");
    // What anybody may do is nothing of this.
    let nobody = h.user("nobody").await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        for path in [&shared, &definition(&one, &new_id())] {
            h.call_as(&nobody, method.clone(), path, None)
                .await
                .expect_error(403, "AuthorizationFailed");
        }
    }
    h.stop().await;
}

#[tokio::test]
async fn data_actions_and_several_permissions() {
    let h = Harness::start().await;
    let group = h.group_path("coffer");
    let user = h.user("user").await;
    let id = new_id();
    let body = json!({"properties": {
        "roleName": "Secrets But One", "assignableScopes": [group],
        "permissions": [
            {"dataActions": ["Microsoft.KeyVault/vaults/secrets/*"], "notDataActions": ["Microsoft.KeyVault/vaults/secrets/delete"]},
            {"actions": ["*/read"], "notActions": ["Microsoft.KeyVault/*"]},
        ],
    }});
    h.call(Method::PUT, &definition(&group, &id), Some(body)).await.expect(201);
    h.assign(&user.principal_id, &id, &group).await;
    let secret = format!("{}/secrets/s?api-version=7.4", h.endpoint);
    let value = Some(json!({"value": "v"}));
    h.call_as(&user, Method::PUT, &secret, value).await.expect(200);
    h.call_as(&user, Method::GET, &secret, None).await.expect(200);
    h.call_as(&user, Method::DELETE, &secret, None).await.expect(403);
    h.call_as(&user, Method::GET, &group, None).await.expect(200);
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/coffer");
    h.call_as(&user, Method::GET, &vault, None).await.expect(403);
    h.stop().await;
}
