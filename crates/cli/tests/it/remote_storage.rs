//! `coffer rescue` on S3 and Azure Blob, with nothing but the key and the environment's credentials.

use std::process::Command;

use anyhow::Context as _;
use coffer_testkit::{ObjectStorage, ObjectStorageKind};
use serde_json::Value;

use crate::{
    command::{coffer, outcome},
    rescue::Stored,
};

/// A command of `rescue` on a location of the emulator.
fn rescue(
    stored: &Stored,
    emulator: &ObjectStorage,
    url: &str,
    verb: &str,
) -> anyhow::Result<Command> {
    let mut command = coffer();
    command.args(["rescue", verb, "--storage", url, "--key-file", &stored.key()?]);
    command.args(["--output", "json"]).envs(emulator.variables());
    Ok(command)
}

async fn rescued(kind: ObjectStorageKind) -> anyhow::Result<()> {
    let Some(emulator) = ObjectStorage::start(kind)? else { return Ok(()) };
    let stored = Stored::make_in(Some(emulator)).await?;
    let emulator = stored.emulator.as_ref().context("no emulator")?;
    let url = stored.storage()?;
    let ended = |mut command: Command| outcome(command.output()?);

    let (code, out, err) = ended(rescue(&stored, emulator, &url, "list")?)?;
    assert_eq!(code, 0, "{err}");
    let listed: Value = serde_json::from_str(&out)?;
    assert_eq!(listed[0]["recoveryPointId"], stored.recovery_point.as_str(), "{listed}");

    let (code, out, err) = ended(rescue(&stored, emulator, &url, "verify")?)?;
    assert_eq!(code, 0, "{err}");
    let verified: Value = serde_json::from_str(&out)?;
    assert_eq!(verified["recoveryPoints"][0]["sound"], true, "{verified}");

    let mut restore = rescue(&stored, emulator, &url, "restore")?;
    let port = stored.server.port();
    let target = format!("postgres://postgres@127.0.0.1:{port}/shop_again?sslmode=disable");
    restore.args(["--recovery-point", &stored.recovery_point, "--target", &target]);
    restore.env("PGPASSWORD", stored.server.password());
    let (code, out, err) = ended(restore)?;
    assert_eq!(code, 0, "{err}");
    assert_eq!(serde_json::from_str::<Value>(&out)?["proved"], true, "{out}");
    assert_eq!(stored.content("shop_again")?, stored.content("shop")?);

    let missing = emulator.url_of("no-such-place", "coffer");
    let (code, out, err) = ended(rescue(&stored, emulator, &missing, "list")?)?;
    assert_eq!((code, out.as_str()), (1, ""), "a missing bucket is no empty list");
    assert!(err.contains("NoSuchBucket") || err.contains("ContainerNotFound"), "{err}");

    // Half of the credentials, or wrong ones.
    let mut half = rescue(&stored, emulator, &url, "list")?;
    half.env_remove("AWS_SECRET_ACCESS_KEY").env("AZURE_STORAGE_KEY", "c2VjcmV0");
    let (code, _, err) = ended(half)?;
    assert_eq!(code, 1);
    let said = ["go together", "failed to authenticate"];
    assert!(said.iter().any(|said| err.contains(said)), "{err}");
    assert!(!err.contains("c2VjcmV0") && !err.contains("test-secret"), "{err}");
    Ok(())
}

#[tokio::test]
async fn everything_comes_back_from_a_bucket_and_the_key_alone() -> anyhow::Result<()> {
    rescued(ObjectStorageKind::S3).await
}

#[tokio::test]
async fn everything_comes_back_from_a_container_and_the_key_alone() -> anyhow::Result<()> {
    rescued(ObjectStorageKind::Azure).await
}
