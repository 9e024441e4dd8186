//! `coffer audit`, and that the log is whole after the service was killed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context as _, ensure};
use coffer_testkit::wait_until;
use serde_json::{Value, json as object};

use crate::command::{Serving, json, run};

/// Groups that are known to be made before the service is killed.
const ACKNOWLEDGED_MIN: usize = 40;

async fn token(serving: &Serving) -> anyhow::Result<String> {
    let env = serving.env()?;
    let get = |name: &str| env.get(name).cloned().context("a variable of client.env is missing");
    let endpoint = get("COFFER_ENDPOINT")?;
    let (id, secret, scope) =
        (get("AZURE_CLIENT_ID")?, get("AZURE_CLIENT_SECRET")?, format!("{endpoint}/.default"));
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &id),
        ("client_secret", &secret),
        ("scope", &scope),
    ];
    let url = format!("{endpoint}/{}/oauth2/v2.0/token", get("AZURE_TENANT_ID")?);
    let answer: Value = serving.client()?.post(url).form(&form).send().await?.json().await?;
    Ok(answer["access_token"].as_str().context("no token")?.to_owned())
}

fn entries(data: &str) -> anyhow::Result<Vec<Value>> {
    let (code, out, err) = run(["audit", "export", "--data-dir", data])?;
    ensure!(code == 0, "{err}");
    out.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

/// Names of the groups whose writing the log tells of.
fn groups_in(entries: &[Value]) -> BTreeSet<String> {
    entries
        .iter()
        .filter(|row| {
            row["entry"]["action"] == "Microsoft.Resources/subscriptions/resourceGroups/write"
                && row["entry"]["outcome"] == "Succeeded"
        })
        .filter_map(|row| row["entry"]["resource"].as_str()?.rsplit('/').next().map(str::to_owned))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_leaves_exactly_the_rows_of_what_it_has_done() -> anyhow::Result<()> {
    let mut serving = Serving::start()?;
    let env = serving.env()?;
    let endpoint = env.get("COFFER_ENDPOINT").context("no endpoint")?.clone();
    let subscription = env.get("AZURE_SUBSCRIPTION_ID").context("no subscription")?.clone();
    let token = token(&serving).await?;
    let (client, stop) = (serving.client()?, Arc::new(AtomicBool::new(false)));
    let count = Arc::new(AtomicUsize::new(0));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..4 {
        let (client, token, stop, count) =
            (client.clone(), token.clone(), Arc::clone(&stop), Arc::clone(&count));
        let base = format!("{endpoint}/subscriptions/{subscription}/resourceGroups");
        writers.spawn(async move {
            let mut acknowledged = Vec::new();
            for number in 0.. {
                if stop.load(Ordering::Relaxed) {
                    break;
                }
                let name = format!("w{writer}-{number}");
                let url = format!("{base}/{name}?api-version=2022-09-01");
                let body = object!({"location": "westus"});
                let sent = client.put(url).bearer_auth(&token).json(&body).send().await;
                match sent {
                    Ok(answer) if answer.status() == 201 => acknowledged.push(name),
                    _ => break,
                }
                count.fetch_add(1, Ordering::Relaxed);
            }
            acknowledged
        });
    }
    wait_until("some writes", std::time::Duration::from_secs(60), || {
        Ok((count.load(Ordering::Relaxed) >= ACKNOWLEDGED_MIN).then_some(()))
    })?;
    serving.signal("KILL")?;
    stop.store(true, Ordering::Relaxed);
    let acknowledged: BTreeSet<String> = writers.join_all().await.into_iter().flatten().collect();

    let serving = Serving::start_after(serving, &[])?;
    let data = serving.data_text()?;
    let checked = json(["audit", "verify", "--data-dir", &data, "--output", "json"])?;
    assert_eq!(checked["verified"], true, "{checked}");
    let logged = groups_in(&entries(&data)?);
    ensure!(logged.is_superset(&acknowledged), "an acknowledged write has no row");
    let env = serving.env()?;
    let endpoint = env.get("COFFER_ENDPOINT").context("no endpoint")?;
    let token = self::token(&serving).await?;
    let mut url =
        format!("{endpoint}/subscriptions/{subscription}/resourceGroups?api-version=2022-09-01");
    let mut made = BTreeSet::new();
    loop {
        let list: Value =
            serving.client()?.get(&url).bearer_auth(&token).send().await?.json().await?;
        let items = list["value"].as_array().context("no list")?;
        made.extend(items.iter().filter_map(|group| group["name"].as_str().map(str::to_owned)));
        match list["nextLink"].as_str() {
            Some(next) => url = next.to_owned(),
            None => break,
        }
    }
    made.remove("coffer");
    assert_eq!(logged, made, "rows and groups are not the same");
    Ok(())
}

#[tokio::test]
async fn verbs_on_the_directory_are_recorded_and_a_change_is_found() -> anyhow::Result<()> {
    let serving = Serving::start()?;
    let data = serving.data_text()?;
    let made =
        json(["principal", "create", "--data-dir", &data, "--name", "p", "--output", "json"])?;
    let id = made["principalId"].as_str().context("no id")?;
    json(["principal", "rotate", "--data-dir", &data, id, "--output", "json"])?;
    assert_eq!(run(["principal", "delete", "--data-dir", &data, id])?.0, 0);
    json(["subscription", "create", "--data-dir", &data, "--name", "s", "--output", "json"])?;
    assert_eq!(run(["principal", "delete", "--data-dir", &data, id])?.0, 1);
    let listed = json(["audit", "list", "--data-dir", &data, "--output", "json"])?;
    let listed = listed.as_array().context("no list")?;
    let actions: Vec<_> = listed.iter().filter_map(|row| row["entry"]["action"].as_str()).collect();
    assert_eq!(
        actions,
        [
            "Coffer/principals/create/action",
            "Coffer/principals/rotate/action",
            "Coffer/principals/delete",
            "Coffer/subscriptions/create/action",
        ]
    );
    assert!(listed.iter().all(|row| row["entry"]["operatorUid"].is_u64()));
    let secret = made["clientSecret"].as_str().context("no secret")?;
    let (code, exported, _) = run(["audit", "export", "--data-dir", &data])?;
    assert_eq!(code, 0);
    assert!(!exported.contains(secret));
    let (_, table, _) = run(["audit", "list", "--data-dir", &data, "--limit", "1"])?;
    assert!(table.contains("operator ") && table.lines().count() == 2, "{table}");
    let about = json(["audit", "list", "--data-dir", &data, "--resource", id, "--output", "json"])?;
    assert_eq!(about.as_array().map(Vec::len), Some(3));

    let (code, out, err) = run(["audit", "verify", "--data-dir", &data])?;
    assert_eq!(code, 0, "{err}");
    let head = out.trim().rsplit(' ').next().context("no head")?.to_owned();
    assert!(head.starts_with("4:"), "{out}");
    assert_eq!(run(["audit", "verify", "--data-dir", &data, "--head", &head])?.0, 0);
    let later = head.replacen("4:", "9:", 1);
    let (code, _, err) = run(["audit", "verify", "--data-dir", &data, "--head", &later])?;
    assert_eq!(code, 1);
    assert!(err.contains("row 5"), "{err}");
    assert_eq!(run(["audit", "verify", "--data-dir", &data, "--head", "x"])?.0, 2);
    Ok(())
}
