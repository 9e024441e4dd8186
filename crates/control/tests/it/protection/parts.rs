//! A part of a recovery point over REST, as a database and as files, and what is refused.

use http::Method;
use serde_json::{Value, json};

use super::estate::Estate;

fn criteria(path: &str) -> Value {
    json!([{"objectType": "ItemPathBasedRestoreCriteria", "itemPath": path, "isPathRelativeToBackupItem": true}])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_is_restored_by_its_path_and_the_job_says_what_stayed_away() {
    let estate = Estate::new("Off").await;
    let harness = &estate.harness;
    estate.postgres.psql(
        "shop",
        "CREATE SCHEMA side; CREATE TABLE side.head (id int PRIMARY KEY); INSERT INTO side.head SELECT generate_series(1, 7);
         CREATE TABLE side.line (id int REFERENCES side.head); CREATE ROLE clerk; CREATE ROLE seller; ALTER TABLE side.line OWNER TO clerk;
         INSERT INTO side.line VALUES (3), (4)",
    )
    .expect("tables");
    estate.grant().await;
    estate.policy("weekly").await;
    let instance = estate.protect("shop", "shop").await;
    estate.backup(&instance).await;
    let point = estate.recovery_points(&instance).await[0]["name"].as_str().unwrap().to_owned();

    let mut request = estate.restore_to_database(&point, "part");
    request["restoreTargetInfo"]["objectType"] = json!("ItemLevelRestoreTargetInfo");
    request["restoreTargetInfo"]["restoreCriteria"] = criteria("side/line");
    request["cofferRestoreOptions"] = json!({"roleMap": [{"from": "clerk", "to": "seller"}]});
    let restore = format!("{instance}/restore");
    let answer = harness.call(Method::POST, &restore, Some(request.clone())).await.expect(202);
    let job = estate.job(&answer).await;
    let properties = &job["properties"];
    assert_eq!(properties["status"], "CompletedWithWarnings", "{job:#}");
    let info = &properties["extendedInfo"];
    assert_eq!(info["additionalDetails"]["Restored Items"], "table side.line");
    assert_eq!(info["additionalDetails"]["Proved Rows"], "2");
    assert!(info["warningDetails"].to_string().contains("line_id_fkey"), "{job:#}");
    let found = "SELECT (SELECT string_agg(n.nspname || '.' || relname, ',') FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace \
         WHERE relkind = 'r' AND n.nspname !~ '^pg_|information'), (SELECT sum(id) FROM side.line), \
         (SELECT pg_get_userbyid(relowner) FROM pg_class WHERE relname = 'line')";
    assert_eq!(estate.postgres.psql("part", found).expect("the part"), "side.line|7|seller");

    // What can't be is said at once, or by the validation, and nothing is begun.
    let validate = format!("{instance}/validateRestore");
    request["restoreTargetInfo"]["datasourceInfo"] = estate.datasource("other");
    request["restoreTargetInfo"]["restoreCriteria"] = criteria("side/nothing");
    let body = json!({"restoreRequestObject": request});
    let answer = harness.call(Method::POST, &validate, Some(body)).await.expect(202);
    let status = estate.follow(&answer).await;
    assert_eq!(status["status"], "Failed", "{status:#}");
    assert!(status.to_string().contains("side.nothing"), "{status:#}");
    for (criteria, options, word) in [
        (criteria("a/b/c"), json!({}), "a/b/c"),
        (criteria("side"), json!({"roles": "Rename"}), "Rename"),
        (json!([{"objectType": "KubernetesPVRestoreCriteria"}]), json!({}), "KubernetesPV"),
    ] {
        request["restoreTargetInfo"]["restoreCriteria"] = criteria;
        request["cofferRestoreOptions"] = options;
        let refused = harness.call(Method::POST, &restore, Some(request.clone())).await.expect(400);
        assert!(refused.body.to_string().contains(word), "{:#}", refused.body);
    }
}
