//! The operator's verbs beside a running service.

use anyhow::Context as _;
use serde_json::Value;

use crate::command::{Serving, json, run};

/// The status of a request for a token.
async fn token_status(serving: &Serving, id: &str, secret: &str) -> anyhow::Result<u16> {
    let env = serving.env()?;
    let endpoint = env.get("COFFER_ENDPOINT").context("no endpoint")?;
    let tenant = env.get("AZURE_TENANT_ID").context("no tenant")?;
    let scope = format!("{endpoint}/.default");
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
        ("scope", &scope),
    ];
    let request =
        serving.client()?.post(format!("{endpoint}/{tenant}/oauth2/v2.0/token")).form(&form);
    Ok(request.send().await?.status().as_u16())
}

fn field<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    value[name].as_str().with_context(|| format!("no {name} in {value}"))
}

#[tokio::test]
async fn policies_are_explained_without_an_instance_and_with_a_wrong_time() -> anyhow::Result<()> {
    let serving = Serving::start()?;
    let data = serving.data_text()?;
    let explained = json(["policy", "explain", "--data-dir", &data, "--output", "json"])?;
    assert_eq!(explained, Value::Array(Vec::new()));
    let (code, _, err) = run(["policy", "explain", "--data-dir", &data, "--at", "tomorrow"])?;
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("'tomorrow' is no time with an offset"), "{err}");
    let (code, _, err) = run(["policy", "explain", "--data-dir", &data, "--instance", "nobody"])?;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("There is no backup instance 'nobody'"), "{err}");
    Ok(())
}

#[tokio::test]
async fn a_principal_lives_from_create_to_delete() -> anyhow::Result<()> {
    let serving = Serving::start()?;
    let data = serving.data_text()?;
    let subscription =
        serving.env()?.get("AZURE_SUBSCRIPTION_ID").context("no subscription")?.clone();
    let scope = format!("/subscriptions/{subscription}");
    let made = json([
        "principal",
        "create",
        "--data-dir",
        &data,
        "--name",
        "nightly",
        "--role",
        "Backup Operator",
        "--scope",
        &scope,
        "--output",
        "json",
    ])?;
    let (id, secret) = (field(&made, "clientId")?, field(&made, "clientSecret")?);
    assert_eq!(token_status(&serving, id, secret).await?, 200);

    let rotated = json(["principal", "rotate", "--data-dir", &data, id, "--output", "json"])?;
    assert_eq!(token_status(&serving, id, secret).await?, 401);
    assert_eq!(token_status(&serving, id, field(&rotated, "clientSecret")?).await?, 200);

    let listed = json(["principal", "list", "--data-dir", &data, "--output", "json"])?;
    let mine = listed.as_array().and_then(|all| all.iter().find(|one| one["clientId"] == id));
    assert_eq!(mine.map(|one| &one["roles"][0]["scope"]), Some(&Value::from(scope)));

    assert_eq!(run(["principal", "delete", "--data-dir", &data, id])?.0, 0);
    assert_eq!(token_status(&serving, id, field(&rotated, "clientSecret")?).await?, 401);
    assert_eq!(run(["principal", "delete", "--data-dir", &data, id])?.0, 1);
    Ok(())
}

#[test]
fn a_role_or_scope_that_does_not_exist_makes_no_principal() -> anyhow::Result<()> {
    let serving = Serving::start()?;
    let data = serving.data_text()?;
    let (code, _, err) = run([
        "principal",
        "create",
        "--data-dir",
        &data,
        "--name",
        "x",
        "--role",
        "Emperor",
        "--scope",
        "/",
    ])?;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("Emperor"), "{err}");
    let (code, _, err) =
        run(["principal", "create", "--data-dir", &data, "--name", "x", "--role", "Owner"])?;
    assert_eq!(code, 2, "{err}");
    let listed = json(["principal", "list", "--data-dir", &data, "--output", "json"])?;
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    Ok(())
}

#[test]
fn a_subscription_is_made_once() -> anyhow::Result<()> {
    let serving = Serving::start()?;
    let data = serving.data_text()?;
    let made = json([
        "subscription",
        "create",
        "--data-dir",
        &data,
        "--name",
        "Databases",
        "--output",
        "json",
    ])?;
    let id = field(&made, "subscriptionId")?;
    let (code, _, err) =
        run(["subscription", "create", "--data-dir", &data, "--name", "Again", "--id", id])?;
    assert_eq!(code, 1, "{err}");
    let (code, out, _) = run(["subscription", "list", "--data-dir", &data])?;
    assert_eq!(code, 0);
    assert!(
        out.starts_with("SUBSCRIPTION") && out.contains(id) && out.contains("Databases"),
        "{out}"
    );
    Ok(())
}
