//! Recovery points as rows, without the backups that make them: listed, filtered, paged, and what they keep from being
//! deleted.

use coffer_azure::ResourceId;
use coffer_control::app::dataprotection::state::{InstanceState, read_state};
use coffer_control::db;
use coffer_control::db::recovery_point::{RecoveryPoint, RecoveryPointBody};
use reqwest::Method;
use serde_json::{Value, json};

use super::{Scene, database};

/// 2026-11-20T00:00:00Z in microseconds.
const DAY_ONE: i64 = 1_795_132_800_000_000;
const DAY: i64 = 86_400_000_000;

/// Adds `count` recovery points, a day apart.
pub(super) async fn add(s: &Scene, instance: &str, count: usize) {
    let app = s.h.service().app();
    let id = ResourceId::parse(instance).unwrap();
    let row = db::resource_get(app.db.read(), &id).await.unwrap().unwrap();
    let state: InstanceState = read_state(&row.body).unwrap();
    let mut tx = app.db.begin().await.unwrap();
    for at in 0..count {
        let taken_us = DAY_ONE + DAY * i64::try_from(at).unwrap();
        let body = RecoveryPointBody {
            retention_tag: "Default".into(),
            retention_tag_version: "638440277250199103".into(),
            policy_name: "osspol3".into(),
            expiry_us: Some(taken_us + 90 * DAY),
            completed_us: taken_us,
            server_version: "15.0".into(),
            database: "empdb11".into(),
            databases: Vec::new(),
            databases_total: None,
            tables: 1,
            rows: 1,
            plain_bytes: 1,
            stored_bytes: 1,
            source_bytes: 1,
            new_bytes: 0,
            policy_version: 1,
            damaged: false,
            storage_lock: None,
            copy_lock: None,
        };
        let point = RecoveryPoint { id: format!("{at:032x}"), taken_us, scheduled_us: None, body };
        db::recovery_point::insert(&mut tx, state.repository_guid, &point).await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn names(list: &Value) -> Vec<&str> {
    list["value"].as_array().unwrap().iter().map(|point| point["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn newest_first_and_by_time() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    add(&s, &instance, 3).await;
    let points = format!("{instance}/recoveryPoints");
    let all = s.get(&points).await.expect(200);
    let [first, second, third] = [0, 1, 2].map(|at| format!("{at:032x}"));
    assert_eq!(names(&all.body), [&third, &second, &first]);
    let newest = &all.body["value"][0];
    assert_eq!(newest["properties"]["expiryTime"], Value::Null);
    assert_eq!(newest["properties"]["recoveryPointTime"], "2026-11-22T00:00:00.0000000Z");
    assert_eq!(
        newest["type"],
        "Microsoft.DataProtection/backupVaults/backupInstances/recoveryPoints"
    );
    assert!(all.body["value"][1]["properties"]["expiryTime"].is_string());
    assert_eq!(s.get(&format!("{points}/{second}")).await.expect(200).body["name"], json!(second));

    for (filter, count) in [
        ("startDate eq '2026-11-21T00:00:00.0000000Z'", 2),
        ("startDate eq '2026-11-21T00:00:00.0000000Z' and endDate eq '2026-11-21T12:00:00Z'", 1),
        ("endDate eq '2026-11-20'", 1),
        ("startDate eq '2026-11-22' and endDate eq '2026-11-20'", 0),
        ("restorePointState eq 'Partial'", 0),
    ] {
        let path = format!("{points}?$filter={}", filter.replace(' ', "%20"));
        assert_eq!(names(&s.get(&path).await.expect(200).body).len(), count, "{filter}");
    }
    for token in ["x", "2", "1.", ".1", "1.x"] {
        s.get(&format!("{points}?$skipToken={token}")).await.expect_error(400, "InvalidSkipToken");
    }
    s.h.stop().await;
}

#[tokio::test]
async fn pages_follow_each_other_whatever_is_added_meanwhile() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    add(&s, &instance, 5).await;
    let mut path =
        format!("{instance}/recoveryPoints?$top=2&$filter=startDate%20eq%20'2026-11-20'");
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let page = s.get(&path).await.expect(200);
        seen.extend(names(&page.body).into_iter().map(str::to_owned));
        pages += 1;
        // What is newer than all of them moves no page; the same rows again change nothing.
        add(&s, &instance, 5 + pages).await;
        match page.body["nextLink"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
        assert!(path.starts_with(&s.h.endpoint) && path.contains("filter="), "{path}");
    }
    let expected: Vec<String> = (0..5).rev().map(|at| format!("{at:032x}")).collect();
    assert_eq!((seen, pages), (expected, 3));
    s.h.stop().await;
}

#[tokio::test]
async fn an_immutable_vault_keeps_them() {
    let s = Scene::start().await;
    let (vault, server) = s.make_all("On").await;
    let instance = s.protect(&vault, "bi1", &database(&server, "empdb11")).await;
    add(&s, &instance, 1).await;
    let immutable = |state: &str| json!({ "properties": { "securitySettings": { "immutabilitySettings": { "state": state } } } });
    let answer = s.h.call(Method::PATCH, &vault, Some(immutable("Unlocked"))).await.expect(202);
    s.finish(&answer, "Succeeded").await;
    s.delete(&instance).await.expect_error(400, "UserErrorDeleteBackupItemOnImmutableItem");
    let stopped = s.post(&format!("{instance}/stopProtection"), None).await.expect(202);
    s.finish(&stopped, "Succeeded").await;
    let answer = s.h.call(Method::PATCH, &vault, Some(immutable("Disabled"))).await.expect(202);
    s.finish(&answer, "Succeeded").await;
    s.delete(&instance).await.expect(202);
    s.h.stop().await;
}
