//! What happens by itself: backups at their time, what makes up for missed ones, and recovery points that end.

use std::sync::Arc;
use std::time::Duration;

use coffer_control::Config;
use coffer_control::admin::Admin;
use coffer_control::policy::retention::{Decision, KeepReason};
use coffer_testkit::{ChaosProxy, PostgresServer};
use reqwest::Method;
use serde_json::{Value, json};

use super::alerts::Receiver;
use super::estate::{Estate, fill};
use crate::harness::{DEADLINE, Harness};

const DAY: Duration = Duration::from_secs(86_400);
const WEEK: Duration = Duration::from_secs(7 * 86_400);
/// Between the times of the policy, in seconds since 1970: a Sunday, 2021-08-15T06:30:00Z, and a week.
const FIRST_SUNDAY: i64 = 1_629_009_000;

pub(super) async fn estate(change: impl FnOnce(&mut Config)) -> Estate {
    let postgres = PostgresServer::start().unwrap();
    fill(&postgres, "shop");
    let estate = Estate::on(Harness::start_with(change).await, postgres, "On").await;
    estate.grant().await;
    estate
}

impl Estate {
    /// Goes to a moment behind the next time of the weekly policy.
    pub(super) async fn next_sunday(&mut self, behind: Duration) {
        self.later(self.until_next_sunday() + behind).await;
    }

    pub(super) fn until_next_sunday(&self) -> Duration {
        let now = self.harness.service().app().clock.now_seconds();
        let week = i64::try_from(WEEK.as_secs()).unwrap();
        let left = week - (now - FIRST_SUNDAY).rem_euclid(week);
        Duration::from_secs(u64::try_from(left).unwrap())
    }

    /// All backup jobs of the vault, when none runs any more.
    pub(super) async fn backups(&self) -> Vec<Value> {
        let path = format!("{}/backupJobs", self.vault);
        let deadline = tokio::time::Instant::now() + DEADLINE;
        loop {
            let got = self.harness.call(Method::GET, &path, None).await.expect(200);
            let jobs = got.body["value"].as_array().unwrap().clone();
            if jobs.iter().all(|job| job["properties"]["status"] != "InProgress") {
                return jobs;
            }
            assert!(tokio::time::Instant::now() < deadline, "{jobs:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_taken_at_its_time_with_the_tag_that_fits() {
    let mut estate = estate(|_| {}).await;
    let instance = estate.protect("pg-shop", "shop").await;
    assert!(estate.backups().await.is_empty(), "nothing is due at once");
    estate.next_sunday(Duration::from_secs(1)).await;
    let jobs = estate.backups().await;
    assert_eq!(jobs.len(), 1);
    let job = &jobs[0]["properties"];
    assert_eq!(job["status"], "Completed", "{job:#}");
    assert_eq!(job["isUserTriggered"], false);
    // The first that the schedule has made in its month.
    let points = estate.recovery_points(&instance).await;
    assert_eq!(points[0]["properties"]["retentionTagName"], "Monthly");

    // What somebody asks for takes no period's place, and nobody else's time.
    estate.backup(&instance).await;
    let points = estate.recovery_points(&instance).await;
    assert_eq!(points[0]["properties"]["retentionTagName"], "default");
    estate.later(Duration::from_secs(60)).await;
    assert_eq!(estate.backups().await.len(), 2);

    let metrics = estate.harness.call(Method::GET, "/metrics", None).await;
    let text = metrics.body.as_str().unwrap_or_default().to_owned();
    for name in [
        "coffer_schedule_begun_total 1",
        "coffer_jobs_total{kind=\"backup\",status=\"Completed\"} 2",
        "coffer_job_seconds_count{kind=\"backup\"} 2",
        "coffer_backup_read_bytes_total",
        "coffer_backup_stored_bytes_total",
        "coffer_retention_decisions_total",
    ] {
        assert!(text.contains(name), "{name} is not in {text}");
    }
    let app = estate.harness.service().app();
    let oldest = coffer_control::db::schedule::oldest(app.db.read(), 10).await.unwrap();
    assert_eq!(oldest.len(), 1, "what the age of the newest recovery point is told from");

    // Suspended: nothing comes. Resumed: not for what was then, but at the next time.
    estate.act(&format!("{instance}/suspendBackups")).await;
    estate.next_sunday(DAY).await;
    assert_eq!(estate.backups().await.len(), 2);
    estate.act(&format!("{instance}/resumeBackups")).await;
    estate.later(Duration::from_secs(60)).await;
    assert_eq!(estate.backups().await.len(), 2);
    estate.next_sunday(Duration::from_secs(1)).await;
    assert_eq!(estate.backups().await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_policy_is_followed_from_then_on_and_ends_nothing_that_is_there() {
    let mut estate = estate(|_| {}).await;
    let instance = estate.protect("pg-shop", "shop").await;
    estate.next_sunday(Duration::from_secs(1)).await;
    estate.backups().await;
    estate.next_sunday(Duration::from_secs(1)).await;
    assert_eq!(estate.backups().await.len(), 2);
    let points = estate.recovery_points(&instance).await;
    let before = points[1]["properties"]["expiryTime"].clone();
    assert!(before.is_string(), "{points:#?}");

    let policy = format!("{}/backupPolicies/weekly", estate.vault);
    let mut body = estate.harness.call(Method::GET, &policy, None).await.expect(200).body;
    let rule = &mut body["properties"]["policyRules"][0];
    rule["trigger"]["schedule"]["repeatingTimeIntervals"] =
        json!(["R/2021-08-15T06:30:00+00:00/P1D"]);
    body["properties"]["policyRules"][2]["lifecycles"][0]["deleteAfter"]["duration"] = json!("P7D");
    let body = json!({"properties": body["properties"]});
    estate.harness.call(Method::PUT, &policy, Some(body)).await.expect(200);
    estate.later(Duration::from_secs(60)).await;
    assert_eq!(estate.backups().await.len(), 2, "nothing of before the change is due");
    estate.later(DAY).await;
    assert_eq!(estate.backups().await.len(), 3);
    let points = estate.recovery_points(&instance).await;
    assert_eq!(points[2]["properties"]["expiryTime"], before);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_missed_is_made_up_for_once_and_somebody_is_told() {
    let (receiver, url) = Receiver::listen(1).await;
    let mut estate = estate(|config| {
        config.alerts.webhook_url = Some(url.parse().unwrap());
        config.alerts.webhook_secret = Some("a-secret-of-alerts".to_owned().into());
    })
    .await;
    let instance = estate.protect("pg-shop", "shop").await;
    // As if nothing had run for more than three weeks.
    estate.next_sunday(3 * WEEK + DAY).await;
    let jobs = estate.backups().await;
    assert_eq!(jobs.len(), 1, "one for all of them");
    estate.later(Duration::from_secs(60)).await;
    let alerts = receiver.alerts(1).await;
    let essentials = &alerts[0]["data"]["essentials"];
    assert_eq!(essentials["alertRule"], "BackupMissed");
    let text = essentials["description"].as_str().unwrap();
    assert!(text.starts_with("4 scheduled backups did not begin at their time"), "{text}");
    let targets = essentials["alertTargetIDs"][0].as_str().unwrap();
    assert!(targets.eq_ignore_ascii_case(&instance), "{targets}");
    let (headers, body) = receiver.taken.lock().unwrap()[0].clone();
    let signature = headers["webhook-signature"].to_str().unwrap();
    let signed = format!(
        "{}.{}.{body}",
        headers["webhook-id"].to_str().unwrap(),
        headers["webhook-timestamp"].to_str().unwrap()
    );
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, b"a-secret-of-alerts");
    use base64::Engine as _;
    let tag = base64::engine::general_purpose::STANDARD
        .decode(signature.strip_prefix("v1,").unwrap())
        .unwrap();
    aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &tag).unwrap();

    // A failed backup is told as well, by its codes alone.
    estate.postgres.psql("postgres", "ALTER DATABASE shop RENAME TO gone").unwrap();
    estate.backup(&instance).await;
    let alerts = receiver.alerts(2).await;
    assert_eq!(alerts[1]["data"]["essentials"]["alertRule"], "BackupFailure");
    let context = &alerts[1]["data"]["alertContext"];
    assert!(!context["errorCode"].as_str().unwrap_or_default().is_empty(), "{context:#}");
    assert!(!alerts[1].to_string().contains(estate.postgres.password()));

    // A vault that does not want alerts sends none.
    let quiet = json!({"properties": {"monitoringSettings": {"azureMonitorAlertSettings": {"alertsForAllJobFailures": "Disabled"}}}});
    let patched = estate.harness.call(Method::PATCH, &estate.vault, Some(quiet)).await;
    assert!(patched.status.is_success(), "{:#}", patched.body);
    estate.follow(&patched).await;
    // That itself is told, as is a deletion: an attacker would begin with the switch.
    let alerts = receiver.alerts(3).await;
    assert_eq!(alerts[2]["data"]["essentials"]["alertRule"], "SecurityWeakened", "{:#}", alerts[2]);
    estate.backup(&instance).await;
    let answer = estate.harness.call(Method::DELETE, &instance, None).await.expect(202);
    estate.follow(&answer).await;
    let alerts = receiver.alerts(4).await;
    assert_eq!(alerts[3]["data"]["essentials"]["alertRule"], "DeleteBackupData", "{:#}", alerts[3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_unlike_those_before_it_says_so() {
    let mut estate = estate(|_| {}).await;
    let grow = "INSERT INTO purchase (customer, total) SELECT 1 + i % 500, i FROM generate_series(1, 50000) i";
    estate.postgres.psql("shop", grow).unwrap();
    let instance = estate.protect("pg-shop", "shop").await;
    for _ in 0..5 {
        let job = estate.backup(&instance).await;
        assert_eq!(job["properties"]["status"], "Completed", "{job:#}");
    }
    estate.postgres.psql("shop", "DELETE FROM purchase WHERE id % 4 > 0").unwrap();
    let job = estate.backup(&instance).await;
    assert_eq!(job["properties"]["status"], "CompletedWithWarnings", "{job:#}");
    let text = job["properties"].to_string();
    assert!(text.contains("BackupUnusual") && text.contains("backups before had about"), "{job:#}");
    let newest = estate.recovery_points(&instance).await;
    assert_eq!(newest.len(), 6, "it is a recovery point like any other");
    estate.later(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_year_goes_by_in_seconds_and_leaves_what_the_policy_wants() {
    let mut estate = estate(|_| {}).await;
    estate.postgres.create_database("small").unwrap();
    estate.postgres.psql("small", "CREATE TABLE t AS SELECT 1 AS a").unwrap();
    let policy = format!("{}/backupPolicies/weekly", estate.vault);
    let mut body = estate.harness.call(Method::GET, &policy, None).await.expect(200).body;
    body["properties"]["policyRules"][1]["lifecycles"][0]["deleteAfter"]["duration"] = json!("P4W");
    let body = json!({"properties": body["properties"]});
    estate.harness.call(Method::PUT, &policy, Some(body)).await.expect(200);
    let instance = estate.protect("pg-small", "small").await;
    let mut months = std::collections::BTreeSet::new();
    for week in 1..=52 {
        estate.next_sunday(Duration::from_secs(1)).await;
        estate.backups().await;
        let points = estate.recovery_points(&instance).await;
        let newest = points[0]["properties"]["recoveryPointTime"].as_str().unwrap().to_owned();
        let is_first = months.insert(newest[..7].to_owned());
        let tag = if is_first { "Monthly" } else { "Default" };
        assert_eq!(points[0]["properties"]["retentionTagName"], tag, "week {week}, {newest}");
    }
    estate.later(Duration::from_secs(3600)).await;
    let points = estate.recovery_points(&instance).await;
    let of = |tag: &str| {
        points.iter().filter(|point| point["properties"]["retentionTagName"] == tag).count()
    };
    // A year after the first of them has gone by, less the days before the first Sunday.
    assert!((months.len() - 1..=months.len()).contains(&of("Monthly")), "{}", of("Monthly"));
    assert!((3..=4).contains(&of("Default")), "{}", of("Default"));
    let app = estate.harness.service().app();
    let next = coffer_control::db::schedule::next_due_us(app.db.read()).await.unwrap().unwrap();
    assert!(next > app.clock.now_us(), "nothing is left over");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_is_begun_once_however_many_look() {
    let mut estate = estate(|_| {}).await;
    let instance = estate.protect("pg-shop", "shop").await;
    let app = Arc::clone(estate.harness.service().app());
    app.clock.advance(estate.until_next_sunday() + Duration::from_secs(1));
    let rounds = (0..8).map(|_| coffer_control::background::run_round(&app));
    futures::future::join_all(rounds).await;
    estate.later(Duration::ZERO).await;
    assert_eq!(estate.backups().await.len(), 1);
    assert_eq!(estate.recovery_points(&instance).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_points_go_the_newest_stays_and_stopping_keeps_all() {
    let mut estate = estate(|_| {}).await;
    let instance = estate.protect("pg-shop", "shop").await;
    for _ in 0..2 {
        estate.backup(&instance).await;
        estate.postgres.psql("shop", "UPDATE purchase SET total = total + 1").unwrap();
    }
    estate.act(&format!("{instance}/stopProtection")).await;
    // The default retention is three months.
    estate.later(120 * DAY).await;
    assert_eq!(estate.recovery_points(&instance).await.len(), 2, "a stopped one keeps all");

    estate.act(&format!("{instance}/resumeProtection")).await;
    estate.act(&format!("{instance}/suspendBackups")).await;
    let newest = estate.recovery_points(&instance).await[0]["name"].clone();
    let app = estate.harness.service().app();
    let admin = Admin::open(&app.config).await.unwrap();
    let explained = admin.policy_explain(Some(&instance), Some(app.clock.now_us())).await.unwrap();
    admin.close().await;
    let decisions: Vec<_> = explained[0].recovery_points.iter().map(|(_, why)| *why).collect();
    assert_eq!(decisions[0], Decision::Keep(KeepReason::NewestGood));
    assert!(matches!(decisions[1], Decision::Delete { .. }), "{decisions:?}");
    assert!(explained[0].next_backups_us.is_empty(), "suspended");
    estate.later(Duration::from_secs(60)).await;
    let left = estate.recovery_points(&instance).await;
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(left[0]["name"], newest, "the newest stays, whatever its end says");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_stands_still_is_ended_and_others_go_on() {
    let mut estate = estate(|config| {
        config.backup_stall = Duration::from_secs(2);
        config.limits.backups_per_server = 1;
    })
    .await;
    let instance = estate.protect("pg-shop", "shop").await;
    // The same server behind something that stops to forward.
    let proxy = ChaosProxy::start(estate.postgres.port()).unwrap();
    let slow = estate.server.replace("/servers/pg", "/servers/slow");
    let registration = json!({"location": "westeurope", "properties": {
        "fullyQualifiedDomainName": "127.0.0.1", "port": proxy.port(), "sslMode": "disable"}});
    let put = format!("{slow}?api-version=2017-12-01");
    let made = estate.harness.call(Method::PUT, &put, Some(registration)).await;
    assert!(made.status.is_success(), "{:#}", made.body);
    estate.harness.assign(&estate.vault_principal, super::estate::READER, &slow).await;
    let server = std::mem::replace(&mut estate.server, slow);
    let stuck = estate.protect("slow-shop", "shop").await;
    estate.server = server;

    proxy.stall(true);
    let body = json!({"backupRuleOptions": {"ruleName": "BackupWeekly", "triggerOption": {}}});
    let path = format!("{stuck}/backup");
    let begun = estate.harness.call(Method::POST, &path, Some(body)).await.expect(202);
    let other = estate.backup(&instance).await;
    assert_eq!(other["properties"]["status"], "Completed", "{other:#}");
    let status = estate.follow(&begun).await;
    let job = status["properties"]["jobId"].as_str().unwrap();
    let ended = estate.job_ended(job).await;
    assert_eq!(ended["properties"]["status"], "Failed", "{ended:#}");
    let error = &ended["properties"]["errorDetails"][0];
    assert_eq!(error["code"], "UserErrorBackupStalled", "{ended:#}");
}
