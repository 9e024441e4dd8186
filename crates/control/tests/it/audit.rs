//! What the audit log has of requests.

use coffer_control::admin::Admin;
use coffer_control::audit::{Entry, Outcome};
use reqwest::Method;
use serde_json::json;

use crate::harness::{Harness, config};

const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

impl Harness {
    /// All rows of the log, which has to verify.
    pub(crate) async fn audit(&self) -> Vec<Entry> {
        let admin = Admin::open(&config(self.data_dir())).await.unwrap();
        let report = admin.audit_verify(None).await.unwrap();
        assert_eq!(report.broken, None);
        let mut entries = Vec::new();
        let mut after = 0;
        loop {
            let page = admin.audit_page(after).await.unwrap();
            let Some(last) = page.last() else { break };
            after = last.row.sequence;
            entries.extend(page.into_iter().map(|row| row.entry.unwrap()));
        }
        admin.close().await;
        entries
    }
}

#[tokio::test]
async fn writes_actions_and_refusals_are_there_and_reads_are_not() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    h.call(Method::GET, &group, None).await.expect(200);
    // Once more, with nothing to change; a wrong one; one that is gone already.
    h.call(Method::PUT, &group, Some(json!({"location": "westeurope"}))).await.expect(200);
    h.call(Method::PUT, &group, Some(json!({"location": "elsewhere"}))).await.expect(409);
    let vault = format!("{group}/providers/Microsoft.KeyVault/vaults/none");
    h.call(Method::DELETE, &vault, None).await.expect(204);
    let entries = h.audit().await;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action.rsplit('.').next().unwrap(), entry.outcome, entry.status))
        .collect();
    let write = "Resources/subscriptions/resourceGroups/write";
    assert_eq!(seen[0], (write, Outcome::Succeeded, None));
    assert_eq!(seen[1].1, Outcome::Succeeded);
    assert_eq!(seen[2], (write, Outcome::Failed, Some(409)));
    assert_eq!(seen[3], ("KeyVault/vaults/delete", Outcome::Succeeded, None));
    assert_eq!(seen.len(), 4);
    let first = &entries[0];
    assert_eq!(first.principal_id.as_deref(), Some(h.owner.principal_id.as_str()));
    assert_eq!(first.application_id.as_deref(), Some(h.owner.client_id.as_str()));
    assert_eq!(first.tenant_id.as_deref(), Some(h.tenant.as_str()));
    assert_eq!(first.resource, group);
    assert_eq!(first.address.as_deref(), Some("127.0.0.1"));
    assert!(uuid::Uuid::try_parse(first.correlation_id.as_deref().unwrap()).is_ok());
    h.stop().await;
}

#[tokio::test]
async fn who_is_refused_is_there_too_but_not_without_end() {
    let h = Harness::start().await;
    let group = h.group("g").await;
    let reader = h.user("reader").await;
    h.assign(&reader.principal_id, READER, &group).await;
    let before = h.audit().await.len();
    h.call_as(&reader, Method::DELETE, &group, None).await.expect(403);
    h.call_as(&reader, Method::GET, &h.group_path("other"), None).await.expect(403);
    h.send(h.client().delete(h.url(&group)).bearer_auth("not.a.token")).await.expect(401);
    // How a client finds out where to log in is no refusal.
    h.send(h.client().delete(h.url(&group))).await.expect(401);
    let url = format!("{}/{}/oauth2/v2.0/token", h.endpoint, h.tenant);
    let scope = format!("{}/.default", h.endpoint);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", reader.client_id.as_str()),
        ("client_secret", "guessed-and-wrong"),
        ("scope", scope.as_str()),
    ];
    h.send(h.client().post(&url).form(&form)).await.expect(401);
    let entries = h.audit().await;
    let seen: Vec<_> =
        entries[before..].iter().map(|entry| (entry.action.as_str(), entry.status)).collect();
    assert_eq!(
        seen,
        [
            ("Microsoft.Resources/subscriptions/resourceGroups/delete", Some(403)),
            ("Microsoft.Resources/subscriptions/resourceGroups/read", Some(403)),
            ("", Some(401)),
            ("Coffer/tokens/issue/action", Some(401)),
        ]
    );
    assert!(entries[before..].iter().all(|entry| entry.outcome == Outcome::Refused));
    assert_eq!(entries[before + 3].application_id.as_deref(), Some(reader.client_id.as_str()));
    assert!(!format!("{entries:?}").contains("guessed-and-wrong"));

    // A flood leaves a bounded number of rows, and what was left out is counted.
    for _ in 0..100 {
        h.call_as(&reader, Method::DELETE, &group, None).await.expect(403);
    }
    let flooded = h.audit().await.len();
    assert!(flooded - entries.len() < 61, "{flooded}");
    h.service().app().clock.advance(std::time::Duration::from_secs(60));
    h.call_as(&reader, Method::DELETE, &group, None).await.expect(403);
    let entries = h.audit().await;
    assert!(entries.last().unwrap().unwritten > 39, "{:?}", entries.last());
    // Others are written as ever.
    let other = h.user("other").await;
    h.call_as(&other, Method::DELETE, &group, None).await.expect(403);
    let entries = h.audit().await;
    assert_eq!(entries.last().unwrap().principal_id.as_deref(), Some(other.principal_id.as_str()));
    h.stop().await;
}

#[tokio::test]
async fn reading_a_secret_is_an_action_and_no_value_is_in_the_log() {
    let h = Harness::start().await;
    let secret = format!("{}/secrets/db?api-version=7.4", h.endpoint);
    let value =
        json!({"value": "postgres://u:hunter2-the-value@h/db", "tags": {"t": "tag-hunter2"}});
    h.call(Method::PUT, &secret, Some(value)).await.expect(200);
    h.call(Method::GET, &secret, None).await.expect(200);
    let entries = h.audit().await;
    let seen: Vec<_> = entries
        .iter()
        .map(|entry| (entry.action.as_str(), entry.resource.rsplit('/').next().unwrap()))
        .collect();
    assert_eq!(
        seen,
        [
            ("Microsoft.KeyVault/vaults/secrets/setSecret/action", "db"),
            ("Microsoft.KeyVault/vaults/secrets/getSecret/action", "db"),
        ]
    );
    let data_dir = h.stop().await;
    // Not in the table, and not in what it leaves behind in its file either.
    let mut connection_bytes = Vec::new();
    for name in ["metadata.db", "metadata.db-wal"] {
        if let Ok(bytes) = std::fs::read(data_dir.path().join(name)) {
            connection_bytes.extend(bytes);
        }
    }
    let text = String::from_utf8_lossy(&connection_bytes);
    assert!(!text.contains("hunter2-the-value"));
}

/// Whoever may read a secret does not make the log grow without end, and nobody's reading is left out.
#[tokio::test]
async fn the_same_reading_again_and_again_is_counted() {
    const READ: &str = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
    const SECRETS_USER: &str = "4633458b-17de-408a-b874-0445c86b69e6";
    let h = Harness::start().await;
    let secret = |name: &str| format!("{}/secrets/{name}?api-version=7.4", h.endpoint);
    for name in ["one", "two"] {
        h.call(Method::PUT, &secret(name), Some(json!({"value": "v"}))).await.expect(200);
    }
    let key_vault = format!(
        "{}/resourceGroups/coffer/providers/Microsoft.KeyVault/vaults/coffer",
        h.subscription_path()
    );
    let other = h.user("other").await;
    h.assign(&other.principal_id, SECRETS_USER, &key_vault).await;
    for _ in 0..50 {
        h.call(Method::GET, &secret("one"), None).await.expect(200);
    }
    h.call(Method::GET, &secret("two"), None).await.expect(200);
    h.call_as(&other, Method::GET, &secret("one"), None).await.expect(200);
    let readings = |entries: Vec<Entry>| {
        let of_reading = entries.into_iter().filter(|entry| entry.action == READ);
        of_reading
            .map(|entry| {
                let who = if entry.principal_id == Some(other.principal_id.clone()) {
                    "other"
                } else {
                    "owner"
                };
                let name = entry.resource.rsplit('/').next().unwrap().to_owned();
                (who, name, entry.repeated.map_or(0, |repeated| repeated.count))
            })
            .collect::<Vec<_>>()
    };
    let one = || "one".to_owned();
    let first = [("owner", one(), 0), ("owner", "two".to_owned(), 0), ("other", one(), 0)];
    assert_eq!(readings(h.audit().await), first);

    // When the time is over, the number is told: by itself, and where nothing was repeated there is nothing to tell.
    h.service().app().clock.advance(std::time::Duration::from_secs(15 * 60));
    coffer_control::background::run_round(h.service().app()).await;
    let told = readings(h.audit().await);
    assert_eq!(told[..3], first);
    assert_eq!(told[3..], [("owner", one(), 49)]);
    // And when the service stops.
    for _ in 0..3 {
        h.call(Method::GET, &secret("one"), None).await.expect(200);
    }
    let h = h.restart().await;
    let told = h.audit().await;
    let last: Vec<_> = told.iter().filter(|entry| entry.action == READ).skip(4).collect();
    assert_eq!(last.len(), 2, "{last:?}");
    let repeated = last[1].repeated.as_ref().unwrap();
    assert_eq!(repeated.count, 2);
    assert!(repeated.from < repeated.until, "{repeated:?}");
    h.stop().await;
}

#[tokio::test]
async fn what_is_older_than_the_retention_goes_and_the_rest_verifies() {
    let h = Harness::start_with(|config| config.audit_retention_days = 30).await;
    h.group("old").await;
    let day = std::time::Duration::from_secs(86_400);
    h.service().app().clock.advance(31 * day);
    coffer_control::background::run_round(h.service().app()).await;
    let entries = h.audit().await;
    assert_eq!(entries.len(), 1, "{entries:?}");
    assert_eq!(entries[0].action, "Coffer/audit/cut/action");
    assert_eq!(entries[0].cut.as_ref().map(|cut| (cut.0, cut.1)), Some((1, 1)));
    h.stop().await;
}
