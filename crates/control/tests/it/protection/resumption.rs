//! What was begun goes on after the service was stopped, and shows how far it is.

use reqwest::Method;
use serde_json::{Value, json};

use super::estate::{Estate, lock_customer, unlock_customer};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_outlives_the_service_that_accepted_it() {
    let mut estate = Estate::new("On").await;
    estate.grant().await;
    // By the vault's name: the restarted service has another port, and so another address of its own.
    estate.secret_uri = "https://coffer.vault.azure.net/secrets/shop".to_owned();
    let instance = estate.protect("pg-shop", "shop").await;
    let lock = lock_customer(&estate.postgres);
    let body = json!({"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {}}});
    let answer = estate
        .harness
        .call(Method::POST, &format!("{instance}/backup"), Some(body))
        .await
        .expect(202);
    let status = estate.follow(&answer).await;
    let job = status["properties"]["jobId"].as_str().unwrap().to_owned();

    let begun = std::time::Instant::now();
    let running = loop {
        let got = estate.harness.call(Method::GET, &job, None).await.expect(200);
        let task = &got.body["properties"]["extendedInfo"]["subTasks"][0];
        if task["additionalDetails"]["Phase"].is_string() {
            break got.body;
        }
        assert!(begun.elapsed() < crate::harness::DEADLINE, "no progress is shown: {:#}", got.body);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    };
    assert_eq!(running["properties"]["status"], "InProgress");
    assert_eq!(running["properties"]["endTime"], Value::Null);
    assert_eq!(running["properties"]["duration"], "PT0S");

    estate.harness = estate.harness.restart().await;
    unlock_customer(&estate.postgres, lock);
    let ended = estate.job_ended(&job).await;
    assert_eq!(ended["properties"]["status"], "Completed", "{ended:#}");
    assert_eq!(estate.recovery_points(&instance).await.len(), 1);
}
