//! Every operation of the published specification is served, authorized and denied to strangers: none is left out.

use std::path::{Path, PathBuf};

use reqwest::Method;
use serde_json::{Value, json};

use super::Scene;

/// The newest specification that is published byte for byte.
const SPECIFICATION: &str = "azure/swagger/2024-04-01/dataprotection.json";

/// Operations of later specifications, which are not published byte for byte: their methods and paths.
const LATER: &[(&str, &str, &str)] = &[
    (
        "BackupInstances_ValidateForModifyBackup",
        "post",
        "/subscriptions/{subscriptionId}/resourceGroups/{resourceGroupName}/providers/Microsoft.DataProtection/backupVaults/{vaultName}/backupInstances/{backupInstanceName}/validateForModifyBackup",
    ),
    (
        "DeletedBackupVaults_Get",
        "get",
        "/subscriptions/{subscriptionId}/providers/Microsoft.DataProtection/locations/{location}/deletedVaults/{deletedVaultName}",
    ),
    (
        "DeletedBackupVaults_ListByLocation",
        "get",
        "/subscriptions/{subscriptionId}/providers/Microsoft.DataProtection/locations/{location}/deletedVaults",
    ),
];

/// All operations: those of the specification, and later ones. Id, method, path.
fn operations(specification: &Value) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for (path, methods) in specification["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let id = operation["operationId"].as_str().unwrap();
            found.push((id.to_owned(), method.clone(), path.clone()));
        }
    }
    found.extend(
        LATER
            .iter()
            .map(|(id, method, path)| ((*id).to_owned(), (*method).to_owned(), (*path).to_owned())),
    );
    found
}

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
async fn all_are_served_and_none_to_strangers() {
    let Some(specification) = specification() else { return };
    let s = Scene::start().await;
    let nobody = s.h.user("nobody").await;
    let operations = operations(&specification);
    for (id, method, path) in &operations {
        let path = filled(path, &s.h.subscription);
        let method: Method = method.to_uppercase().parse().unwrap();
        let body = matches!(method.as_str(), "PUT" | "PATCH" | "POST").then(|| json!({}));
        let answer = s.h.call_as(&nobody, method, &path, body).await;
        match (answer.status.as_u16(), answer.code()) {
            (403, "AuthorizationFailed") => {}
            // The list of operations is for everyone with a token.
            (200, _) if id == "DataProtectionOperations_List" => {}
            other => panic!("{id} {path}: {other:?}"),
        }
    }
    assert_eq!(operations.len(), 75);
    s.h.stop().await;
}

/// The table of `docs/api.md`: operation, since when it is served, the tests.
fn table() -> Vec<(String, String, Vec<String>)> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md"));
    let mut rows = Vec::new();
    for line in page.unwrap().lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [number, operation, since, tests, _] = cells.as_slice() else { continue };
        if number.parse::<u32>().is_ok() {
            let tests = tests.split('`').skip(1).step_by(2).map(str::to_owned).collect();
            rows.push((operation.trim_matches('`').to_owned(), (*since).to_owned(), tests));
        }
    }
    rows
}

/// Every operation has its row, which says truly whether it is served and names tests that exist.
#[test]
fn the_table_is_complete_and_true() {
    let table = table();
    assert_eq!(table.len(), 75);
    if let Some(specification) = specification() {
        let mut expected: Vec<String> =
            operations(&specification).into_iter().map(|it| it.0).collect();
        let mut rows: Vec<String> = table.iter().map(|row| row.0.clone()).collect();
        expected.sort_unstable();
        rows.sort_unstable();
        assert_eq!(rows, expected);
    }
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    for (operation, since, names) in table {
        assert_ne!(since, "–", "{operation}");
        assert!(!names.is_empty(), "{operation}");
        for name in names {
            let (module, function) = name.rsplit_once("::").unwrap();
            let file = tests.join(format!("{}.rs", module.replace("::", "/")));
            let text = std::fs::read_to_string(&file)
                .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            assert!(text.contains(&format!("async fn {function}()")), "{operation}: {name}");
        }
    }
}
