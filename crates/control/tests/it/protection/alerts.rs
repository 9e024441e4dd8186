//! Alerts at their receiver, and what the queue tells by them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use coffer_azure::ResourceId;
use coffer_control::db;
use coffer_control::operations::Lane;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::estate::{lock_customer, unlock_customer};
use super::schedule::estate;
use crate::harness::DEADLINE;

/// What a receiver of alerts has taken.
#[derive(Clone, Default)]
pub(super) struct Receiver {
    pub(super) taken: Arc<Mutex<Vec<(HeaderMap, String)>>>,
    refuse: Arc<Mutex<usize>>,
}

impl Receiver {
    /// Listens, and refuses the first deliveries.
    pub(super) async fn listen(refuse: usize) -> (Self, String) {
        let receiver = Self { refuse: Arc::new(Mutex::new(refuse)), ..Self::default() };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook?token=of-the-url", listener.local_addr().unwrap());
        let router = Router::new().route("/hook", post(take)).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, url)
    }

    /// The alerts, when there are so many.
    pub(super) async fn alerts(&self, count: usize) -> Vec<Value> {
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let taken = self.taken.lock().unwrap().clone();
            if taken.len() >= count {
                return taken.iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect();
            }
            assert!(tokio::time::Instant::now() < deadline, "{taken:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: String) -> StatusCode {
    let mut refuse = receiver.refuse.lock().unwrap();
    if *refuse > 0 {
        *refuse -= 1;
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    receiver.taken.lock().unwrap().push((headers, body));
    StatusCode::NO_CONTENT
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_waits_too_long_in_the_queue_is_told_once() {
    let (receiver, url) = Receiver::listen(0).await;
    let mut estate = estate(|config| {
        config.alerts.webhook_url = Some(url.parse().unwrap());
        config.alerts.webhook_secret = Some("a-secret-of-alerts".to_owned().into());
        config.alerts.backup_late = Duration::from_secs(5);
        config.limits.backups_per_server = 1;
    })
    .await;
    estate.postgres.create_database("small").unwrap();
    let (busy, waits) =
        (estate.protect("pg-shop", "shop").await, estate.protect("pg-small", "small").await);
    let lock = lock_customer(&estate.postgres);
    let ask = json!({"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {}}});
    let mut begun = Vec::new();
    for instance in [&busy, &waits] {
        let path = format!("{instance}/backup");
        let call = estate.harness.call(Method::POST, &path, Some(ask.clone()));
        begun.push(call.await.expect(202));
        // The first has the server before the second comes.
        let deadline = tokio::time::Instant::now() + DEADLINE;
        let app = estate.harness.service().app();
        while db::operation::counts(app.db.read(), Lane::Data, app.clock.now_us()).await.unwrap().0
            == 0
        {
            assert!(tokio::time::Instant::now() < deadline, "no backup begins");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    estate.later(Duration::ZERO).await;
    assert!(receiver.taken.lock().unwrap().is_empty(), "not yet");
    for _ in 0..3 {
        estate.later(Duration::from_secs(6)).await;
    }
    let alerts = receiver.alerts(1).await;
    let essentials = &alerts[0]["data"]["essentials"];
    assert_eq!(
        (&essentials["alertRule"], &essentials["severity"]),
        (&json!("BackupLate"), &json!("Sev2"))
    );
    let target = essentials["alertTargetIDs"][0].as_str().unwrap();
    assert_eq!(ResourceId::parse(target).unwrap().key(), ResourceId::parse(&waits).unwrap().key());
    assert!(alerts[0]["data"]["alertContext"]["jobId"].is_string(), "{:#}", alerts[0]);

    unlock_customer(&estate.postgres, lock);
    for begun in &begun {
        let job = estate.job(begun).await;
        assert_eq!(job["properties"]["status"], "Completed", "{job:#}");
    }
    // It has ended: the next one that waits is told again, and nothing more was told of this one.
    assert_eq!(receiver.taken.lock().unwrap().len(), 1);
    let app = estate.harness.service().app();
    assert_eq!(db::alert::count(app.db.read()).await.unwrap(), 0);
}
