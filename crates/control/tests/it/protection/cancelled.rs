//! A job tells how far it is and how fast it goes while it runs, and stops when it is cancelled: nothing of it is left, and the next one
//! begins at once.

use std::time::{Duration, Instant};

use coffer_testkit::wait_until;
use reqwest::Method;
use serde_json::{Value, json};

use super::estate::{Estate, READER, lock_customer, unlock_customer};
use crate::harness::DEADLINE;

/// A cancelled job ends within a second; what it waits for here lasts for minutes.
const ENDED_WITHIN: Duration = Duration::from_secs(10);

/// A table whose rows come slowly, for whoever reads them all or looks at them one by one.
const SLOW: &str =
    "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql AS 'BEGIN RETURN $1; END';
     CREATE TABLE steps (i int CHECK (public.slow(i) > 0)); INSERT INTO steps SELECT generate_series(1, 3000);
     CREATE OR REPLACE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql
       AS 'BEGIN PERFORM pg_sleep(0.1); RETURN $1; END'";

impl Estate {
    /// Begins a job and returns its path.
    async fn begin(&self, path: &str, body: Value) -> String {
        let post = self.harness.call(Method::POST, path, Some(body)).await.expect(202);
        let status = self.follow(&post).await;
        status["properties"]["jobId"].as_str().unwrap().to_owned()
    }

    async fn begin_backup(&self, instance: &str) -> String {
        let body = json!({"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {}}});
        self.begin(&format!("{instance}/backup"), body).await
    }

    async fn details(&self, job: &str) -> Value {
        let got = self.harness.call(Method::GET, job, None).await.expect(200);
        let properties = &got.body["properties"];
        assert_eq!(properties["status"], "InProgress", "{:#}", got.body);
        properties["extendedInfo"]["subTasks"][0]["additionalDetails"].clone()
    }

    /// Waits until the details of a job that runs have what is looked for.
    async fn until(&self, job: &str, what: &str, found: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let details = self.details(job).await;
            if found(&details) {
                return details;
            }
            assert!(begun.elapsed() < DEADLINE, "{what}: {details:#}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Cancels a job, and sees that it ends as cancelled and leaves nothing at the server or on the disk; how long that took.
    async fn cancel(&self, job: &str) -> Duration {
        let begun = Instant::now();
        let asked =
            self.harness.call(Method::POST, &format!("{job}/cancel"), None).await.expect(202);
        assert_eq!(asked.body, Value::Null);
        let ended = self.job_ended(job).await;
        let taken = begun.elapsed();
        assert!(taken < ENDED_WITHIN, "{taken:?}");
        let properties = &ended["properties"];
        assert_eq!(properties["status"], "Cancelled", "{ended:#}");
        assert_eq!(properties["errorDetails"][0]["code"], "UserErrorOperationCancelled");
        let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'coffer'";
        let gone = || Ok((self.postgres.psql("postgres", sessions)?.trim() == "0").then_some(()));
        wait_until("end of all sessions", Duration::from_secs(2), gone).unwrap();
        let databases = self.postgres.databases().unwrap();
        assert!(databases.iter().all(|name| !name.starts_with("coffer_restore_")), "{databases:?}");
        let work = std::fs::read_dir(self.harness.data_dir().join("work"));
        assert_eq!(work.map(Iterator::count).unwrap_or_default(), 0, "work directories");
        self.harness
            .call(Method::POST, &format!("{job}/cancel"), None)
            .await
            .expect_error(400, "UserErrorDppActionNotAllowedInCurrentState");
        taken
    }
}

fn number(details: &Value, name: &str) -> Option<u64> {
    details[name].as_str()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_tells_how_fast_it_goes_until_it_is_cancelled() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    // Rows come slowly to whoever reads them: the condition is an extension's.
    estate
        .postgres
        .psql(
            "shop",
            "CREATE FUNCTION slowly(int) RETURNS boolean LANGUAGE sql VOLATILE AS 'SELECT pg_sleep(0.01) IS NOT NULL';
             CREATE TABLE config AS SELECT i, repeat('x', 4000) AS t FROM generate_series(1, 60000) i;
             CREATE EXTENSION hstore; ALTER EXTENSION hstore ADD TABLE config;
             UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid],
               extcondition = ARRAY['WHERE public.slowly(i)'] WHERE extname = 'hstore'",
        )
        .unwrap();
    let instance = estate.protect("pg-shop", "shop").await;
    let begun = Instant::now();
    let job = estate.begin_backup(&instance).await;
    estate.until(&job, "a first report", |details| details["Phase"].is_string()).await;
    println!("first report {:?} after the request", begun.elapsed());
    let moving = |details: &Value| {
        number(details, "BytesPerSecond") > Some(0) && number(details, "PhaseSecondsLeft") > Some(0)
    };
    let details = estate.until(&job, "rate and time left", moving).await;
    assert!(details["Phase"].as_str().unwrap().starts_with("data"), "{details:#}");
    assert!(number(&details, "EstimatedTotalInBytes") > Some(1_000_000), "{details:#}");
    assert!(number(&details, "ItemsTotal") >= Some(3), "{details:#}");
    assert!(number(&details, "Rows").is_some(), "{details:#}");

    // Who may read jobs may not stop them.
    let reader = estate.harness.user("reader").await;
    estate.harness.assign(&reader.principal_id, READER, &estate.vault).await;
    let cancel = format!("{job}/cancel");
    estate
        .harness
        .call_as(&reader, Method::POST, &cancel, None)
        .await
        .expect_error(403, "AuthorizationFailed");
    let taken = estate.cancel(&job).await;
    println!("ended {taken:?} after it was cancelled");
    assert!(estate.recovery_points(&instance).await.is_empty());
    // Nothing holds the repository any more.
    estate
        .postgres
        .psql("shop", "ALTER EXTENSION hstore DROP TABLE config; DROP TABLE config")
        .unwrap();
    let job = estate.backup(&instance).await;
    assert_eq!(job["properties"]["status"], "Completed", "{job:#}");
    let details = &job["properties"]["extendedInfo"]["subTasks"][0]["additionalDetails"];
    assert_eq!(details.get("BytesPerSecond"), None, "{details:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_waits_for_a_lock_is_cancelled() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    let lock = lock_customer(&estate.postgres);
    let job = estate.begin_backup(&instance).await;
    estate.until(&job, "the lock", |details| details["Phase"] == "lock").await;
    let taken = estate.cancel(&job).await;
    println!("ended {taken:?} after it was cancelled");
    unlock_customer(&estate.postgres, lock);
    assert_eq!(estate.backup(&instance).await["properties"]["status"], "Completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restore_that_loads_is_cancelled() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    estate.postgres.psql("shop", SLOW).unwrap();
    let instance = estate.protect("pg-shop", "shop").await;
    let job = estate.backup(&instance).await;
    assert_eq!(job["properties"]["status"], "Completed", "{job:#}");
    let points = estate.recovery_points(&instance).await;
    let id = points[0]["properties"]["recoveryPointId"].as_str().unwrap();
    let request = estate.restore_to_database(id, "shop_copy");
    let job = estate.begin(&format!("{instance}/restore"), request).await;
    let loading =
        |details: &Value| details["Phase"].as_str().is_some_and(|phase| phase.starts_with("load"));
    let details = estate.until(&job, "rows", loading).await;
    assert!(number(&details, "EstimatedTotalInBytes") > Some(100_000), "{details:#}");
    let taken = estate.cancel(&job).await;
    println!("ended {taken:?} after it was cancelled");
    assert!(!estate.postgres.databases().unwrap().contains(&"shop_copy".to_owned()));
}
