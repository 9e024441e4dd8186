//! Jobs as rows, without the work that makes them: filtered, paged, and exported.

use std::collections::BTreeMap;

use coffer_control::db;
use coffer_control::db::job::{Job, JobBody, JobKind, JobStatus};
use reqwest::Method;
use serde_json::Value;

use super::Scene;

/// 2026-11-20T00:00:00Z in microseconds.
const DAY_ONE: i64 = 1_795_132_800_000_000;
const HOUR: i64 = 3_600_000_000;

/// Adds jobs, an hour apart, of two instances in turn; each third has failed, each fourth is a restore.
async fn add(s: &Scene, vault: &str, numbers: std::ops::Range<usize>) {
    let app = s.h.service().app();
    let mut tx = app.db.begin().await.unwrap();
    for number in numbers {
        let started_us = DAY_ONE + HOUR * i64::try_from(number).unwrap();
        let job = Job {
            id: format!("00000000-0000-0000-0000-{number:012}"),
            status: if number % 3 == 0 { JobStatus::Failed } else { JobStatus::Completed },
            started_us,
            ended_us: Some(started_us + 1),
            updated_us: started_us,
            body: JobBody {
                kind: if number % 4 == 0 { JobKind::Restore } else { JobKind::Backup },
                activity_id: "a".into(),
                vault: vault.into(),
                instance: format!("{vault}/backupInstances/BI{}", number % 2),
                friendly_name: "=HYPERLINK(\"x\")".into(),
                policy: format!("{vault}/backupPolicies/p"),
                datasource: format!(
                    "/subscriptions/s/resourceGroups/g/providers/P.Q/s/s/d/{}",
                    number % 2
                ),
                datasource_name: "<d> & \u{1}".into(),
                datasource_type: "t".into(),
                datasource_location: "l".into(),
                datasource_set_name: None,
                user_triggered: number % 5 == 0,
                cross_region: false,
                transferred_bytes: None,
                source_bytes: None,
                progress_percent: None,
                phase: None,
                progress: None,
                target_recovery_point: None,
                source_recovery_point: None,
                recovery_destination: None,
                details: BTreeMap::new(),
                errors: Vec::new(),
                warnings: Vec::new(),
            },
        };
        db::job::insert(&mut tx, &job, "none").await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn numbers(list: &Value) -> Vec<usize> {
    let jobs = list["value"].as_array().unwrap();
    jobs.iter().map(|job| job["name"].as_str().unwrap()[24..].parse().unwrap()).collect()
}

#[tokio::test]
async fn a_filter_selects_what_it_says_and_nothing_else() {
    let s = Scene::start().await;
    let vault = s.make_vault("testBkpVault", "On").await;
    add(&s, &vault, 0..30).await;
    let of = |wanted: &dyn Fn(usize) -> bool| -> Vec<usize> {
        (0..30).rev().filter(|n| wanted(*n)).collect()
    };
    let instance =
        format!("backupInstanceId eq '{}'", format!("{vault}/backupInstances/bi1").to_uppercase());
    let cases: [(&str, Vec<usize>); 9] = [
        ("", of(&|_| true)),
        ("status eq 'failed'", of(&|n| n % 3 == 0)),
        ("operation eq 'ScheduledBackup'", of(&|n| n % 4 != 0 && n % 5 != 0)),
        ("operation eq 'Backup'", of(&|n| n % 4 != 0 && n % 5 == 0)),
        (
            "operationCategory eq 'Restore' and status eq 'Completed'",
            of(&|n| n % 4 == 0 && n % 3 != 0),
        ),
        (
            "startTime ge '2026-11-20T03:00:00Z' and startTime lt '2026-11-20T06:00:00Z'",
            vec![5, 4, 3],
        ),
        (&instance, of(&|n| n % 2 == 1)),
        (
            "dataSourceId eq '/Subscriptions/S/resourcegroups/g/providers/p.q/s/s/d/0' and isUserTriggered eq true",
            of(&|n| n % 10 == 0),
        ),
        ("startTime gt '2026-11-21' and startTime lt '2026-11-20'", vec![]),
    ];
    for (filter, expected) in cases {
        let query: String = url::form_urlencoded::byte_serialize(filter.as_bytes()).collect();
        let list = s.get(&format!("{vault}/backupJobs?$filter={query}")).await.expect(200);
        assert_eq!(numbers(&list.body), expected, "{filter}");
        assert!(list.body.get("nextLink").is_none());
    }
    for filter in
        ["status ne 'Failed'", "color eq 'red'", "status eq 'Failed' or status eq 'Completed'"]
    {
        let path = format!("{vault}/backupJobs?$filter={}", filter.replace(' ', "%20"));
        let refused = s.get(&path).await.expect_error(400, "InvalidFilterInQueryString");
        assert!(refused.body.to_string().contains(filter), "{:#}", refused.body);
    }
    s.h.stop().await;
}

/// The blob that a result names, without a token.
async fn download(s: &Scene, result: &Value, url: &str, key: &str) -> reqwest::Response {
    let url = format!("{}?{}", result[url].as_str().unwrap(), result[key].as_str().unwrap());
    s.h.client().get(url).send().await.unwrap()
}

#[tokio::test]
async fn jobs_are_exported_and_downloaded_by_links_that_end() {
    let s = Scene::start().await;
    let vault = s.make_vault("testBkpVault", "On").await;
    add(&s, &vault, 0..3).await;
    let export = format!("{vault}/exportBackupJobs");
    let nobody = s.h.user("nobody").await;
    s.h.call_as(&nobody, Method::POST, &export, None)
        .await
        .expect_error(403, "AuthorizationFailed");
    let posted = s.post(&export, None).await.expect(202);
    assert_eq!((posted.header("azure-asyncoperation"), posted.header("retry-after")), ("", "1"));
    let location = posted.header("location").to_owned();
    assert!(location.contains(&format!("{vault}/backupJobs/operations/")), "{location}");
    s.h.call_as(&nobody, Method::GET, &location, None)
        .await
        .expect_error(403, "AuthorizationFailed");
    let deadline = std::time::Instant::now() + crate::harness::DEADLINE;
    let result = loop {
        let got = s.get(&location).await;
        if got.status != 202 {
            break got.expect(200).body;
        }
        assert_eq!(got.header("location"), location);
        assert!(std::time::Instant::now() < deadline);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    };
    // Begun later: not in it, however late it is downloaded.
    let begun_s = s.h.service().app().clock.now_seconds();
    add(
        &s,
        &vault,
        usize::try_from((begun_s + 7200 - DAY_ONE / 1_000_000) / 3600).map_or(3..3, |n| n..n + 1),
    )
    .await;
    let json = download(&s, &result, "blobUrl", "blobSasKey").await;
    assert_eq!(json.status(), 200);
    assert_eq!(json.headers()["content-disposition"], "attachment; filename=\"backupJobs.json\"");
    let exported: Value = json.json().await.unwrap();
    let listed = s.get(&format!("{vault}/backupJobs")).await.expect(200).body;
    let expected: Vec<Value> = exported.as_array().unwrap().clone();
    assert_eq!(numbers(&serde_json::json!({ "value": expected })), [2, 1, 0]);
    for job in &expected {
        let name = job["name"].as_str().unwrap();
        let got = s.get(&format!("{vault}/backupJobs/{name}")).await.expect(200);
        assert_eq!(*job, got.body, "each as a GET has it");
    }
    assert!(listed["value"].as_array().unwrap().len() > 3);

    let workbook = download(&s, &result, "excelFileBlobUrl", "excelFileBlobSasKey").await;
    let bytes = workbook.bytes().await.unwrap();
    assert!(bytes.starts_with(b"PK\x03\x04"));
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(text.matches("<row>").count(), 4, "headings and three jobs");
    assert!(text.contains("&lt;d&gt; &amp; \u{fffd}") && text.contains("=HYPERLINK"), "{text}");

    // The one link does not open the other file, nor another export; and it ends.
    let refused = download(&s, &result, "excelFileBlobUrl", "blobSasKey").await;
    assert_eq!(refused.status(), 403);
    let again = s.post(&export, None).await.expect(202);
    let id =
        again.header("location").rsplit_once('/').unwrap().1.split('?').next().unwrap().to_owned();
    let other = format!("{}/exports/{id}/backupJobs.json", s.h.endpoint);
    let url = format!("{other}?{}", result["blobSasKey"].as_str().unwrap());
    assert_eq!(s.h.client().get(url).send().await.unwrap().status(), 403);
    assert_eq!(s.h.client().get(other).send().await.unwrap().status(), 403);
    s.h.service().app().clock.advance(std::time::Duration::from_secs(3601));
    assert_eq!(download(&s, &result, "blobUrl", "blobSasKey").await.status(), 403);
    s.h.stop().await;
}

#[tokio::test]
async fn pages_of_a_filtered_list_are_whole_and_new_jobs_move_none() {
    let s = Scene::start().await;
    let vault = s.make_vault("testBkpVault", "On").await;
    add(&s, &vault, 0..30).await;
    let mut path = format!("{vault}/backupJobs?$top=3&$filter=operation%20eq%20'Restore'");
    let (mut seen, mut added) = (Vec::new(), 30);
    loop {
        let page = s.get(&path).await.expect(200);
        seen.extend(numbers(&page.body));
        add(&s, &vault, added..added + 2).await;
        added += 2;
        match page.body["nextLink"].as_str() {
            Some(next) => path = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(seen, [28, 24, 20, 16, 12, 8, 4, 0]);
    assert_eq!(added, 36, "three pages");
    s.get(&format!("{vault}/backupJobs?$skipToken=1")).await.expect_error(400, "InvalidSkipToken");
    s.h.stop().await;
}
