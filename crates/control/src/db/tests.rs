use coffer_azure::ResourceId;
use serde_json::json;

use super::role_assignment::RoleAssignment;
use super::*;
use crate::error::ErrorKind;

struct Store {
    db: Db,
    // Removed when the test is over.
    _directory: tempfile::TempDir,
}

async fn store() -> Store {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::open(&directory.path().join("metadata.db")).await.unwrap();
    let store = Store { db, _directory: directory };
    store.put("/subscriptions/S").await.unwrap();
    store.put("/subscriptions/S/resourceGroups/G").await.unwrap();
    store
}

fn id(text: &str) -> ResourceId {
    ResourceId::parse(text).unwrap()
}

impl Store {
    async fn put(&self, text: &str) -> Result<Resource, Error> {
        let mut tx = self.db.begin().await?;
        let new = NewResource { id: id(text), body: json!({"n": 1}), now_us: 7 };
        let made = resource_insert(&mut tx, new).await?;
        tx.commit().await?;
        Ok(made)
    }

    async fn refused(&self, text: &str) -> String {
        self.put(text).await.unwrap_err().code.to_string()
    }
}

const VAULT: &str = "/subscriptions/S/resourceGroups/G/providers/P.Q/vaults/V";

#[tokio::test]
async fn ids_keep_their_case_and_are_found_in_any() {
    let store = store().await;
    let made = store.put(VAULT).await.unwrap();
    assert_eq!(made.kind, "p.q/vaults");
    assert_eq!(made.parent.as_deref(), Some("/subscriptions/s/resourcegroups/g"));
    let found = resource_get(store.db.read(), &id(&VAULT.to_uppercase())).await.unwrap().unwrap();
    assert_eq!(found.id.as_str(), VAULT);
    assert_eq!(store.refused(&VAULT.to_lowercase()).await, "ResourceExists");
    let by_name = resource_find_by_name(store.db.read(), "p.q/vaults", "v").await.unwrap();
    assert_eq!(by_name.len(), 1);
}

#[tokio::test]
async fn nothing_is_made_where_nothing_is() {
    let store = store().await;
    assert_eq!(store.refused("/subscriptions/X/resourceGroups/G").await, "SubscriptionNotFound");
    let elsewhere = VAULT.replace("/G/", "/H/");
    assert_eq!(store.refused(&elsewhere).await, "ResourceGroupNotFound");
    assert_eq!(store.refused(&format!("{VAULT}/children/C")).await, "ParentResourceNotFound");
    store.put(VAULT).await.unwrap();
    let child = store.put(&format!("{VAULT}/children/C")).await.unwrap();
    assert_eq!(child.parent, Some(VAULT.to_lowercase()));
}

#[tokio::test]
async fn a_write_from_an_old_version_is_refused() {
    let store = store().await;
    let mut first = store.put(VAULT).await.unwrap();
    let mut second = first.clone();
    let mut tx = store.db.begin().await.unwrap();
    first.body = json!({"n": 2});
    resource_update(&mut tx, &mut first, 8).await.unwrap();
    assert_eq!((first.version, first.updated_us), (2, 8));
    assert_eq!(
        resource_update(&mut tx, &mut second, 9).await.unwrap_err().kind,
        ErrorKind::Conflict
    );
    assert_eq!(resource_delete(&mut tx, &second).await.unwrap_err().kind, ErrorKind::Conflict);
    tx.commit().await.unwrap();
    let found = resource_get(store.db.read(), &first.id).await.unwrap().unwrap();
    assert_eq!((found.body, found.version), (json!({"n": 2}), 2));
}

#[tokio::test]
async fn what_is_not_committed_never_was() {
    let store = store().await;
    let mut tx = store.db.begin().await.unwrap();
    let new = NewResource { id: id(VAULT), body: json!({}), now_us: 1 };
    resource_insert(&mut tx, new).await.unwrap();
    assert!(resource_get(store.db.read(), &id(VAULT)).await.unwrap().is_none());
    drop(tx);
    assert!(resource_get(store.db.read(), &id(VAULT)).await.unwrap().is_none());
    // And the writer is free again.
    store.put(VAULT).await.unwrap();
}

#[tokio::test]
async fn lists_come_in_pages_and_stay_in_their_scope() {
    let store = store().await;
    store.put("/subscriptions/S/resourceGroups/G2").await.unwrap();
    for n in 0..5 {
        store.put(&VAULT.replace("/V", &format!("/V{n}"))).await.unwrap();
    }
    store.put(&VAULT.replace("/G/", "/G2/")).await.unwrap();
    let mut page = Page { after: None, rows_max: 2 };
    let mut names = Vec::new();
    loop {
        let part =
            resource_list(store.db.read(), "s", Some("g"), "p.q/vaults", &page).await.unwrap();
        assert!(part.items.len() <= 2);
        names.extend(part.items.iter().map(|vault| vault.id.name().to_owned()));
        match part.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    assert_eq!(names, ["V0", "V1", "V2", "V3", "V4"]);
    let all =
        resource_list(store.db.read(), "S", None, "p.q/vaults", &Page::default()).await.unwrap();
    assert_eq!((all.items.len(), all.next), (6, None));
    let group = id("/subscriptions/S/resourceGroups/G2");
    let children = resource_list_children(store.db.read(), &group, "p.q/vaults", &Page::default())
        .await
        .unwrap();
    assert_eq!(children.items.len(), 1);
}

#[tokio::test]
async fn writers_take_turns() {
    let store = store().await;
    let vault = store.put(VAULT).await.unwrap();
    let count = 20;
    let writes = (0..count).map(|_| {
        let (db, id) = (store.db.clone(), vault.id.clone());
        async move {
            let mut tx = db.begin().await.unwrap();
            let mut vault = resource_get(&mut *tx, &id).await.unwrap().unwrap();
            vault.body["n"] = json!(vault.body["n"].as_i64().unwrap() + 1);
            resource_update(&mut tx, &mut vault, 1).await.unwrap();
            tx.commit().await.unwrap();
        }
    });
    futures::future::join_all(writes).await;
    let found = resource_get(store.db.read(), &vault.id).await.unwrap().unwrap();
    assert_eq!(found.body["n"], json!(1 + count));
}

#[tokio::test]
async fn assignments_go_with_their_scope_and_only_with_it() {
    let store = store().await;
    let scopes = [
        "/subscriptions/S",
        "/subscriptions/S/resourceGroups/G",
        VAULT,
        "/subscriptions/S/resourceGroups/G2",
    ];
    let mut tx = store.db.begin().await.unwrap();
    for scope in scopes {
        let scope = id(scope);
        let assignment = RoleAssignment {
            id: scope.provider_child("Microsoft.Authorization", "roleAssignments", "A"),
            scope_key: scope.key().to_owned(),
            scope,
            principal_id: "p".to_owned(),
            principal_type: "ServicePrincipal".to_owned(),
            role_id: "r".to_owned(),
            role_definition_id: "r".to_owned(),
            created_by: "p".to_owned(),
            created_us: 1,
            updated_us: 1,
        };
        role_assignment::insert(&mut tx, &assignment).await.unwrap();
        let again = role_assignment::insert(&mut tx, &assignment).await.unwrap_err();
        assert_eq!(again.code, "RoleAssignmentExists");
    }
    role_assignment::delete_within(&mut tx, &id(scopes[1])).await.unwrap();
    tx.commit().await.unwrap();
    let left = role_assignment::list_for_principal(store.db.read(), "P").await.unwrap();
    let left: Vec<&str> = left.iter().map(|assignment| assignment.scope.as_str()).collect();
    assert_eq!(left, ["/subscriptions/S", "/subscriptions/S/resourceGroups/G2"]);
}

#[cfg(unix)]
#[tokio::test]
async fn the_file_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let store = store().await;
    for file in std::fs::read_dir(store._directory.path()).unwrap() {
        let file = file.unwrap();
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.path());
    }
}
