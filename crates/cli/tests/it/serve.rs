//! `coffer serve`: what it leaves in its directory, what it logs, how it stops.

use std::{fs, os::unix::fs::PermissionsExt as _};

use anyhow::Context as _;

use crate::command::{Serving, coffer, outcome, text};

#[tokio::test]
async fn it_is_ready_when_client_env_is_there_and_stops_on_sigterm() -> anyhow::Result<()> {
    let mut serving = Serving::start()?;
    let env_file = serving.data().join("client.env");
    assert_eq!(fs::metadata(&env_file)?.permissions().mode() & 0o777, 0o600);
    let env = serving.env()?;
    for name in [
        "COFFER_ENDPOINT",
        "COFFER_CA_FILE",
        "REQUESTS_CA_BUNDLE",
        "SSL_CERT_FILE",
        "NODE_EXTRA_CA_CERTS",
        "AZURE_AUTHORITY_HOST",
        "AZURE_TENANT_ID",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_SUBSCRIPTION_ID",
        "COFFER_PRINCIPAL_ID",
        "COFFER_STORAGE_URL",
        "COFFER_KEY_FILE",
    ] {
        assert!(env.get(name).is_some_and(|value| !value.is_empty()), "{name} is missing");
    }
    let endpoint = env.get("COFFER_ENDPOINT").context("no endpoint")?;
    let answer = serving.client()?.get(format!("{endpoint}/healthz")).send().await?;
    assert_eq!(answer.status(), 200);

    assert_eq!(serving.signal("TERM")?.code(), Some(0));
    let log = serving.log()?;
    let secret = env.get("AZURE_CLIENT_SECRET").context("no secret")?;
    assert!(!log.contains(secret.as_str()));
    for line in log.lines() {
        let entry: serde_json::Value =
            serde_json::from_str(line).with_context(|| line.to_owned())?;
        assert!(entry["timestamp"].is_string() && entry["message"].is_string(), "{line}");
        assert!(
            !["WARN", "ERROR"].contains(&entry["level"].as_str().unwrap_or_default()),
            "{line}"
        );
    }
    assert!(log.contains("\"ready\""));
    Ok(())
}

#[cfg(target_os = "linux")]
#[test]
fn it_leaves_no_core_dump_unless_told_to() -> anyhow::Result<()> {
    let limit = |serving: &Serving| -> anyhow::Result<String> {
        let limits = fs::read_to_string(format!("/proc/{}/limits", serving.pid()))?;
        let line = limits.lines().find(|line| line.starts_with("Max core file size"));
        Ok(line.context("no such limit")?.split_whitespace().skip(4).collect::<Vec<_>>().join(" "))
    };
    let own = fs::read_to_string("/proc/self/limits")?;
    let serving = Serving::start()?;
    assert_eq!(limit(&serving)?, "0 0 bytes");
    drop(serving);
    let serving = Serving::start_with(&[("COFFER_CORE_DUMPS", "true")])?;
    let kept = limit(&serving)?;
    let inherited = own.lines().find(|line| line.starts_with("Max core file size"));
    let inherited = inherited.context("no such limit")?.split_whitespace().skip(4);
    assert_eq!(kept, inherited.collect::<Vec<_>>().join(" "));
    Ok(())
}

#[test]
fn a_data_directory_has_one_service() -> anyhow::Result<()> {
    let serving = Serving::start()?;
    let second = coffer()
        .args(["serve", "--listen", "127.0.0.1:0", "--data-dir", &serving.data_text()?])
        .output()?;
    let (code, _, err) = outcome(second)?;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("error: "), "{err}");
    Ok(())
}

#[test]
fn a_taken_address_is_a_clear_error() -> anyhow::Result<()> {
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0))?;
    let address = taken.local_addr()?.to_string();
    let directory = tempfile::tempdir()?;
    let started = coffer()
        .args(["serve", "--listen", &address, "--data-dir", &text(directory.path())?])
        .output()?;
    let (code, _, err) = outcome(started)?;
    assert_eq!(code, 1, "{err}");
    assert!(err.contains(&address), "{err}");
    Ok(())
}
