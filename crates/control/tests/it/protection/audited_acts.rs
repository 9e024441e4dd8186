//! What the service destroys and restores without a request stands in the audit log.

use std::time::Duration;

use coffer_control::audit::{Entry, Outcome};
use reqwest::Method;

use super::estate::Estate;

const DAY: Duration = Duration::from_secs(86_400);

impl Estate {
    /// The rows of one kind of act, oldest first.
    async fn acts(&self, action: &str) -> Vec<Entry> {
        let rows = self.harness.audit().await;
        rows.into_iter().filter(|row| row.action == format!("Coffer/{action}/action")).collect()
    }
}

/// How an act ended, with how many things, which, and in what.
fn told(act: &Entry) -> (Outcome, u64, Vec<&str>, &str) {
    let items = act.items.iter().map(String::as_str).collect();
    (act.outcome, act.count, items, act.resource.as_str())
}

#[tokio::test(flavor = "multi_thread")]
async fn ended_restores_expired_points_and_purges() {
    let mut estate = Estate::new("On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    let (mut points, restore) = (Vec::new(), format!("{instance}/restore"));
    for _ in 0..3 {
        points.push(estate.recovery_point(&instance).await);
    }
    let newest = points.pop().unwrap();

    // A restore that succeeds, and one that does not: each request has its row, and so has each end.
    let wrong = estate.secret("wrong", "postgres://postgres:wrong@ignored/ignored").await;
    let mut refused = estate.restore_to_database(&newest, "shop_refused");
    refused["restoreTargetInfo"]["datasourceAuthCredentials"] = estate.credentials(&wrong);
    for request in [estate.restore_to_database(&newest, "shop_copy"), refused] {
        let answer = estate.harness.call(Method::POST, &restore, Some(request)).await.expect(202);
        estate.job(&answer).await;
    }
    let ended = estate.acts("restores/end").await;
    let expected = [Outcome::Succeeded, Outcome::Failed]
        .map(|outcome| (outcome, 1, vec![newest.as_str()], instance.as_str()));
    assert_eq!(ended.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(ended[0].code, None);
    assert!(ended[1].code.is_some(), "{:?}", ended[1]);
    let rows = estate.harness.audit().await;
    for end in &ended {
        assert_eq!(end.principal_id, None, "nobody asked for its end");
        let begun = rows.iter().find(|row| {
            row.operation_id == end.operation_id && row.action.ends_with("/restore/action")
        });
        assert_eq!(begun.unwrap().principal_id.as_ref(), Some(&estate.harness.owner.principal_id));
    }

    // The two older ones are over; one row tells of both.
    estate.act(&format!("{instance}/suspendBackups")).await;
    assert!(estate.acts("recoveryPoints/expire").await.is_empty());
    estate.later(120 * DAY).await;
    let expired = estate.acts("recoveryPoints/expire").await;
    assert_eq!(expired.len(), 1, "{expired:?}");
    let (outcome, count, mut items, resource) = told(&expired[0]);
    items.sort_unstable();
    points.sort_unstable();
    assert_eq!((outcome, count, resource), (Outcome::Succeeded, 2, instance.as_str()));
    assert_eq!(items, points);

    // A softly deleted instance whose days are over.
    let answer = estate.harness.call(Method::DELETE, &instance, None).await.expect(202);
    assert_eq!(estate.follow(&answer).await["status"], "Succeeded");
    assert!(estate.acts("backupInstances/destroy").await.is_empty(), "it can come back");
    estate.later(15 * DAY).await;
    let purged = estate.acts("backupInstances/purge").await;
    let deleted = instance.replace("/backupInstances/", "/deletedBackupInstances/");
    let expected = [(Outcome::Succeeded, 1, vec![], deleted.as_str())];
    assert_eq!(purged.iter().map(told).collect::<Vec<_>>(), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn deletion_at_once() {
    let estate = Estate::new("Off").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    estate.recovery_point(&instance).await;
    let answer = estate.harness.call(Method::DELETE, &instance, None).await.expect(202);
    assert_eq!(estate.follow(&answer).await["status"], "Succeeded");
    let destroyed = estate.acts("backupInstances/destroy").await;
    let expected = [(Outcome::Succeeded, 1, vec![], instance.as_str())];
    assert_eq!(destroyed.iter().map(told).collect::<Vec<_>>(), expected);
    assert!(destroyed[0].operation_id.is_some());
}
