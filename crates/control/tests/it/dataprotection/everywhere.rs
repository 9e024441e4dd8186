//! What holds for every route: authorized first, unknown ones refused in ARM's words, and nothing pretended.

use reqwest::Method;
use serde_json::json;

use super::Scene;

/// Method, path below the group's provider (`~`), and the action that it needs.
fn routes() -> Vec<(Method, &'static str, &'static str)> {
    let (get, put, post, delete) = (Method::GET, Method::PUT, Method::POST, Method::DELETE);
    vec![
        (get.clone(), "backupVaults", "backupVaults/read"),
        (get.clone(), "backupVaults/v1", "backupVaults/read"),
        (put.clone(), "backupVaults/v1", "backupVaults/write"),
        (Method::PATCH, "backupVaults/v1", "backupVaults/write"),
        (delete.clone(), "backupVaults/v1", "backupVaults/delete"),
        (
            post.clone(),
            "backupVaults/v1/validateForBackup",
            "backupVaults/validateForBackup/action",
        ),
        (get.clone(), "backupVaults/v1/operationStatus/x", "backupVaults/operationStatus/read"),
        (get.clone(), "backupVaults/v1/operationResults/x", "backupVaults/operationResults/read"),
        (get.clone(), "backupVaults/v1/backupJobs", "backupVaults/backupJobs/read"),
        (get.clone(), "backupVaults/v1/backupJobs/j", "backupVaults/backupJobs/read"),
        (get.clone(), "backupVaults/v1/backupPolicies", "backupVaults/backupPolicies/read"),
        (get.clone(), "backupVaults/v1/backupPolicies/pol", "backupVaults/backupPolicies/read"),
        (put.clone(), "backupVaults/v1/backupPolicies/pol", "backupVaults/backupPolicies/write"),
        (
            delete.clone(),
            "backupVaults/v1/backupPolicies/pol",
            "backupVaults/backupPolicies/delete",
        ),
        (get.clone(), "backupVaults/v1/backupInstances", "backupVaults/backupInstances/read"),
        (get.clone(), "backupVaults/v1/backupInstances/b", "backupVaults/backupInstances/read"),
        (put.clone(), "backupVaults/v1/backupInstances/b", "backupVaults/backupInstances/write"),
        (
            delete.clone(),
            "backupVaults/v1/backupInstances/b",
            "backupVaults/backupInstances/delete",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/backup",
            "backupVaults/backupInstances/backup/action",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/restore",
            "backupVaults/backupInstances/restore/action",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/validateRestore",
            "backupVaults/backupInstances/validateRestore/action",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/stopProtection",
            "backupVaults/backupInstances/stopProtection/action",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/suspendBackups",
            "backupVaults/backupInstances/suspendBackups/action",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/resumeProtection",
            "backupVaults/backupInstances/resumeProtection/action",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/resumeBackups",
            "backupVaults/backupInstances/resumeBackups/action",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/sync",
            "backupVaults/backupInstances/sync/action",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/rehydrate",
            "backupVaults/backupInstances/rehydrate/action",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/findRestorableTimeRanges",
            "backupVaults/backupInstances/findRestorableTimeRanges/action",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupInstances/b/validateForModifyBackup",
            "backupVaults/backupInstances/validateForModifyBackup/action",
        ),
        (post.clone(), "backupVaults/v1/exportBackupJobs", "backupVaults/backupJobs/read"),
        (get.clone(), "backupVaults/v1/backupJobs/operations/x", "backupVaults/backupJobs/read"),
        (
            get.clone(),
            "backupVaults/v1/backupInstances/b/operationResults/x",
            "backupVaults/backupInstances/operationResults/read",
        ),
        (
            get.clone(),
            "backupVaults/v1/backupInstances/b/recoveryPoints",
            "backupVaults/backupInstances/recoveryPoints/read",
        ),
        (
            get.clone(),
            "backupVaults/v1/backupInstances/b/recoveryPoints/r",
            "backupVaults/backupInstances/recoveryPoints/read",
        ),
        (
            get.clone(),
            "backupVaults/v1/deletedBackupInstances",
            "backupVaults/deletedBackupInstances/read",
        ),
        (
            get.clone(),
            "backupVaults/v1/deletedBackupInstances/b",
            "backupVaults/deletedBackupInstances/read",
        ),
        (
            post.clone(),
            "backupVaults/v1/deletedBackupInstances/b/undelete",
            "backupVaults/deletedBackupInstances/undelete/action",
        ),
        (
            get.clone(),
            "backupVaults/v1/backupResourceGuardProxies",
            "backupVaults/backupResourceGuardProxies/read",
        ),
        (
            get.clone(),
            "backupVaults/v1/backupResourceGuardProxies/p",
            "backupVaults/backupResourceGuardProxies/read",
        ),
        (
            put.clone(),
            "backupVaults/v1/backupResourceGuardProxies/p",
            "backupVaults/backupResourceGuardProxies/write",
        ),
        (
            delete.clone(),
            "backupVaults/v1/backupResourceGuardProxies/p",
            "backupVaults/backupResourceGuardProxies/delete",
        ),
        (
            post.clone(),
            "backupVaults/v1/backupResourceGuardProxies/p/unlockDelete",
            "backupVaults/backupResourceGuardProxies/unlockDelete/action",
        ),
        (
            get.clone(),
            "resourceGuards",
            "subscriptions/resourceGroups/providers/resourceGuards/read",
        ),
        (
            get.clone(),
            "resourceGuards/r",
            "subscriptions/resourceGroups/providers/resourceGuards/read",
        ),
        (put, "resourceGuards/r", "subscriptions/resourceGroups/providers/resourceGuards/write"),
        (
            Method::PATCH,
            "resourceGuards/r",
            "subscriptions/resourceGroups/providers/resourceGuards/write",
        ),
        (
            delete,
            "resourceGuards/r",
            "subscriptions/resourceGroups/providers/resourceGuards/delete",
        ),
        (
            get.clone(),
            "resourceGuards/r/dppModifyPolicy",
            "subscriptions/resourceGroups/providers/resourceGuards/dppModifyPolicy/read",
        ),
        (
            get.clone(),
            "resourceGuards/r/dppModifyPolicy/default",
            "subscriptions/resourceGroups/providers/resourceGuards/dppModifyPolicy/read",
        ),
        (get.clone(), "locations/westus/operationStatus/x", "locations/operationStatus/read"),
        (get, "operationStatus/x", "operationStatus/read"),
        (post, "locations/westus/checkNameAvailability", "locations/checkNameAvailability/action"),
    ]
}

#[tokio::test]
async fn every_route_is_authorized_before_anything_is_looked_at() {
    let s = Scene::start().await;
    s.make_vault("v1", "On").await;
    let nobody = s.h.user("nobody").await;
    for (method, path, action) in routes() {
        let path = format!("{}/providers/Microsoft.DataProtection/{path}", s.group);
        let body =
            (method != Method::GET && method != Method::DELETE).then(|| json!({ "malformed": [] }));
        let answer =
            s.h.call_as(&nobody, method.clone(), &path, body)
                .await
                .expect_error(403, "AuthorizationFailed");
        let message = answer.body["error"]["message"].as_str().unwrap();
        assert!(
            message.contains(&format!("'Microsoft.DataProtection/{action}'")),
            "{method} {path}: {message}"
        );
    }
    let subscription = format!("{}/providers/Microsoft.DataProtection", s.h.subscription_path());
    for path in [
        "backupVaults",
        "resourceGuards",
        "locations/westus/operationStatus/x",
        "locations/westus/operationResults/x",
        "locations/westus/deletedVaults",
        "locations/westus/deletedVaults/x",
    ] {
        s.h.call_as(&nobody, Method::GET, &format!("{subscription}/{path}"), None)
            .await
            .expect(403);
    }
    let feature = format!("{subscription}/locations/westus/checkFeatureSupport");
    s.h.call_as(&nobody, Method::POST, &feature, Some(json!({}))).await.expect(403);
    s.h.stop().await;
}

#[tokio::test]
async fn what_is_not_there_is_refused_and_never_pretended() {
    let s = Scene::start().await;
    let vault = s.make_vault("v1", "On").await;
    let provider = format!("{}/providers/Microsoft.DataProtection", s.group);
    s.get(&format!("{provider}/locations/westus/crossRegionRestore"))
        .await
        .expect_error(405, "MethodNotAllowed");
    s.get(&format!("{provider}/widgets")).await.expect_error(404, "InvalidResourceType");
    s.get(&format!("{vault}/widgets/w")).await.expect_error(404, "InvalidResourceType");
    s.h.call(Method::PUT, &format!("{vault}/backupJobs"), Some(json!({})))
        .await
        .expect_error(405, "MethodNotAllowed");
    assert_eq!(
        s.get(&format!("{vault}/backupResourceGuardProxies")).await.expect(200).body,
        json!({ "value": [] })
    );
    s.get(&format!("{vault}/operationStatus/bm90aGluZw==")).await.expect(404);
    s.h.stop().await;
}

#[tokio::test]
async fn the_provider_tells_about_itself() {
    let s = Scene::start().await;
    s.make_vault("v1", "On").await;
    let operations = s.get("/providers/Microsoft.DataProtection/operations").await.expect(200);
    let listed: Vec<String> = operations.body["value"]
        .as_array()
        .unwrap()
        .iter()
        .map(|operation| operation["name"].as_str().unwrap().to_lowercase())
        .collect();
    for (_, _, action) in routes() {
        let action =
            action.replace("resourceGuards/dppModifyPolicy", "resourceGuards/{operationName}");
        assert!(
            listed.contains(&format!("microsoft.dataprotection/{action}").to_lowercase()),
            "{action}"
        );
    }
    let check = format!(
        "{}/providers/Microsoft.DataProtection/locations/westus/checkNameAvailability",
        s.group
    );
    let ask = |name: &str| json!({ "name": name, "type": "Microsoft.DataProtection/BackupVaults" });
    assert_eq!(
        s.post(&check, Some(ask("v2"))).await.expect(200).body,
        json!({ "nameAvailable": true })
    );
    assert_eq!(s.post(&check, Some(ask("V1"))).await.expect(200).body["reason"], "AlreadyExists");
    assert_eq!(s.post(&check, Some(ask("-"))).await.expect(200).body["reason"], "Invalid");
    let feature = format!(
        "{}/providers/Microsoft.DataProtection/locations/westus/checkFeatureSupport",
        s.h.subscription_path()
    );
    let answer = s.post(&feature, Some(json!({ "featureType": "DataSourceType", "objectType": "FeatureValidationRequest" }))).await;
    assert_eq!(answer.expect(200).body["features"][0]["featureName"], super::DATABASE_TYPE);
    s.h.stop().await;
}

/// One operation, read at every address that the service has for it.
#[tokio::test]
async fn an_operation_has_all_its_addresses() {
    let s = Scene::start().await;
    let vault = s.make_vault("v1", "On").await;
    let answer =
        s.h.call(Method::PATCH, &vault, Some(json!({ "tags": { "a": "b" } }))).await.expect(202);
    let status = s.finish(&answer, "Succeeded").await;
    let id = status["name"].as_str().unwrap();
    let provider = "providers/Microsoft.DataProtection";
    let subscription = s.h.subscription_path();
    for path in [
        format!("{vault}/operationStatus/{id}"),
        format!("{}/{provider}/operationStatus/{id}", s.group),
        format!("{}/{provider}/locations/westus/operationStatus/{id}", s.group),
        format!("{subscription}/{provider}/locations/WestUS/operationStatus/{id}"),
    ] {
        let answer = s.get(&format!("{path}?t=1&c=2&s=3&h=4")).await.expect(200);
        assert_eq!(
            (answer.body["status"].as_str(), answer.body["id"].as_str()),
            (Some("Succeeded"), Some(path.as_str()))
        );
    }
    for path in [
        format!("{vault}/operationResults/{id}"),
        format!("{subscription}/{provider}/locations/westus/operationResults/{id}"),
    ] {
        s.get(&path).await.expect(200);
    }
    s.get(&format!("{subscription}/{provider}/locations/eastus/operationStatus/{id}"))
        .await
        .expect(404);
    s.h.stop().await;
}

#[tokio::test]
async fn lists_come_in_pages() {
    let s = Scene::start().await;
    for name in ["v1", "v2", "v3"] {
        s.make_vault(name, "On").await;
    }
    let list = format!("{}/providers/Microsoft.DataProtection/backupVaults", s.group);
    let mut names = Vec::new();
    let mut next = format!("{list}?$top=2");
    loop {
        let page = s.get(&next).await.expect(200);
        let items = page.body["value"].as_array().unwrap();
        assert!(items.len() <= 2);
        names.extend(items.iter().map(|vault| vault["name"].as_str().unwrap().to_owned()));
        match page.body["nextLink"].as_str() {
            Some(link) => {
                assert!(link.starts_with(&s.h.endpoint) && link.contains("api-version="), "{link}");
                next = link.to_owned();
            }
            None => break,
        }
    }
    assert_eq!(names, ["v1", "v2", "v3"]);
    s.h.stop().await;
}
