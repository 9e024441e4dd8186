//! Every operation of the published specification is either served, authorized and denied to strangers, or refused by a
//! sentence that says so. The list of the refused ones may only shrink.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use super::Scene;

/// The newest specification that is published byte for byte.
const SPECIFICATION: &str = "azure/swagger/2024-04-01/dataprotection.json";

/// Operations that this version does not have.
const UNSERVED: &[&str] = &[
    "BackupInstancesExtensionRouting_List",
    "BackupInstances_TriggerCrossRegionRestore",
    "BackupInstances_TriggerRehydrate",
    "BackupInstances_ValidateCrossRegionRestore",
    "FetchCrossRegionRestoreJob_Get",
    "FetchCrossRegionRestoreJobs_List",
    "FetchSecondaryRecoveryPoints_List",
    "RestorableTimeRanges_Find",
];

/// Where the specification and the recordings are, or `None` (after saying so) where they aren't.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
pub(super) fn shared_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("COFFER_SHARED_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    if dir.join(SPECIFICATION).exists() {
        return Some(dir);
    }
    println!("skipped: no Azure specification and recordings at {}", dir.display());
    None
}

fn specification() -> Option<Value> {
    let text = std::fs::read(shared_dir()?.join(SPECIFICATION)).unwrap();
    Some(serde_json::from_slice(&text).unwrap())
}

/// The path with a name in every place for one.
fn filled(path: &str, subscription: &str) -> String {
    let path = path
        .replace(
            "{resourceId}",
            &format!("subscriptions/{subscription}/resourceGroups/g/providers/Microsoft.X/xs/x"),
        )
        .replace("{subscriptionId}", subscription)
        .replace("{location}", "westus");
    let parts: Vec<&str> = path
        .split('/')
        .map(|part| if part.starts_with('{') { "some-name" } else { part })
        .collect();
    parts.join("/")
}

#[tokio::test]
async fn served_or_refused() {
    let Some(specification) = specification() else { return };
    let s = Scene::start().await;
    let nobody = s.h.user("nobody").await;
    let mut unserved = Vec::new();
    for (path, methods) in specification["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            let path = filled(path, &s.h.subscription);
            let method: Method = method.to_uppercase().parse().unwrap();
            let body = matches!(method.as_str(), "PUT" | "PATCH" | "POST").then(|| json!({}));
            let answer = s.h.call_as(&nobody, method, &path, body).await;
            match (answer.status.as_u16(), answer.code()) {
                (403, "AuthorizationFailed") => {}
                (400, "OperationNotSupported") => unserved.push(id),
                // The list of operations is for everyone with a token.
                (200, _) if id == "DataProtectionOperations_List" => {}
                other => panic!("{id} {path}: {other:?}"),
            }
        }
    }
    unserved.sort_unstable();
    assert_eq!(unserved, UNSERVED);
    s.h.stop().await;
}
