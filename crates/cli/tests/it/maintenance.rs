//! `coffer rescue verify`, `collect` and `rotate`: looking after a storage location, with no server and no metadata.

use std::{fs, process::Output};

use anyhow::{Context as _, ensure};
use coffer_store::LeasePurpose;
use serde_json::{Value, json};

use crate::{
    command::{self, coffer, outcome, run},
    rescue::{Stored, damage, largest_pack},
};

/// A rescue verb on the location, with these arguments.
fn rescue(stored: &Stored, verb: &str, arguments: &[&str]) -> anyhow::Result<Output> {
    let mut command = coffer();
    command.args(["rescue", verb, "--storage", &stored.storage()?, "--key-file", &stored.key()?]);
    command.args(arguments).env("PGPASSWORD", stored.server.password());
    Ok(command.output()?)
}

/// Its exit code, JSON and standard error.
fn report(stored: &Stored, verb: &str, arguments: &[&str]) -> anyhow::Result<(i32, Value, String)> {
    let arguments = [arguments, &["--output", "json"]].concat();
    let (code, out, err) = outcome(rescue(stored, verb, &arguments)?)?;
    let value = serde_json::from_str(&out).with_context(|| format!("no report: {err}"))?;
    Ok((code, value, err))
}

#[tokio::test]
async fn shares_are_read_once_and_damage_is_on_record_for_the_next_backup() -> anyhow::Result<()> {
    let stored = Stored::make().await?;
    let mut read = 0;
    for share in ["1/3", "2/3", "3/3"] {
        let (code, value, err) = report(&stored, "verify", &["--share", share])?;
        assert_eq!(code, 0, "{err}");
        assert_eq!(value["recoveryPoints"][0]["verdict"], "sound");
        read += value["repositories"][0]["wholePacks"].as_u64().context("no count")?;
    }
    let (_, value, _) = report(&stored, "verify", &[])?;
    assert_eq!(value["repositories"][0]["wholePacks"], read, "the shares are all of it");
    let (code, _, err) = report(&stored, "verify", &["--sample", "5%"])?;
    assert_eq!(code, 0, "{err}");

    damage(&largest_pack(stored.directory.path())?)?;
    // Without a record, it is known for this once.
    let (code, value, err) = report(&stored, "verify", &["--no-record"])?;
    assert_eq!(code, 1, "{err}");
    assert_eq!(value["recoveryPoints"][0]["verdict"], "damaged");
    assert_eq!(value["repositories"][0]["recorded"], false);
    let closure = |expected: &str| -> anyhow::Result<Value> {
        let (_, value, err) = report(&stored, "verify", &["--depth", "closure"])?;
        assert_eq!(value["recoveryPoints"][0]["verdict"], expected, "{err}");
        Ok(value)
    };
    closure("sound")?;
    let (code, value, err) = report(&stored, "verify", &[])?;
    assert_eq!((code, &value["repositories"][0]["recorded"]), (1, &Value::from(true)), "{err}");
    closure("damaged")?;

    let next = stored.back_up(Some(&stored.recovery_point)).await?;
    let (_, value, _) = report(&stored, "verify", &["--depth", "closure"])?;
    let points = value["recoveryPoints"].as_array().context("no list")?;
    for point in points {
        let expected = if point["recoveryPointId"] == next { "sound" } else { "damaged" };
        assert_eq!(point["verdict"], expected, "{value}");
    }
    assert_eq!(points.len(), 2);
    Ok(())
}

#[tokio::test]
async fn a_run_goes_on_where_its_state_says() -> anyhow::Result<()> {
    let stored = Stored::make().await?;
    let state = stored.directory.path().join("state");
    let state_text = command::text(&state)?;
    let mut packs: Vec<String> =
        fs::read_dir(largest_pack(stored.directory.path())?.parent().context("no directory")?)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<anyhow::Result<_>>()?;
    packs.sort();
    // As a run leaves it that was killed after this many packs.
    for (read, pack) in packs.iter().enumerate() {
        let position = json!({"after": pack, "done": false});
        let kept = json!({"share": {"first": 0, "count": 1, "of": 1},
            "repositories": {stored.repository.to_string(): position}});
        fs::write(&state, kept.to_string())?;
        let (code, value, err) = report(&stored, "verify", &["--state", &state_text])?;
        assert_eq!(code, 0, "{err}");
        assert_eq!(value["repositories"][0]["wholePacks"], packs.len() - read - 1);
        assert!(!state.exists(), "all was read");
    }
    fs::write(
        &state,
        json!({"share": {"first": 0, "count": 1, "of": 2}, "repositories": {}}).to_string(),
    )?;
    let (code, _, err) =
        outcome(rescue(&stored, "verify", &["--state", &state_text, "--share", "2/2"])?)?;
    assert_eq!(code, 2, "another share: {err}");
    assert!(state.exists());

    fs::write(&state, "{}")?;
    let (code, _, err) = outcome(rescue(&stored, "verify", &["--state", &state_text])?)?;
    assert_eq!(code, 1);
    assert!(err.contains("no state of a verification"), "{err}");
    Ok(())
}

#[tokio::test]
async fn a_recovery_point_is_proved_by_a_restore_that_leaves_nothing() -> anyhow::Result<()> {
    let stored = Stored::make().await?;
    let scratch = format!("postgres://postgres@127.0.0.1:{}?sslmode=disable", stored.server.port());
    let arguments = ["--depth", "restore", "--scratch", &scratch];
    let (code, value, err) = report(&stored, "verify", &arguments)?;
    assert_eq!(code, 0, "{err}");
    let point = &value["recoveryPoints"][0];
    assert_eq!(point["verdict"], "sound");
    assert!(point["rowsProved"].as_u64().context("no rows")? > 1000, "{value}");
    assert_eq!(stored.server.databases()?, ["postgres", "shop"]);

    damage(&largest_pack(stored.directory.path())?)?;
    let (code, value, err) = report(&stored, "verify", &arguments)?;
    assert_eq!(
        (code, &value["recoveryPoints"][0]["verdict"]),
        (1, &Value::from("damaged")),
        "{err}"
    );
    assert_eq!(stored.server.databases()?, ["postgres", "shop"]);

    let nowhere = "postgres://postgres@127.0.0.1:1?sslmode=disable";
    let (code, value, err) =
        report(&stored, "verify", &["--depth", "restore", "--scratch", nowhere])?;
    assert_eq!(
        (code, &value["recoveryPoints"][0]["verdict"]),
        (1, &Value::from("unchecked")),
        "{err}"
    );
    assert!(!err.contains(stored.server.password()));
    Ok(())
}

/// Two recovery points, of which the first was deleted, so that much of it is garbage.
async fn with_garbage() -> anyhow::Result<(Stored, String)> {
    let stored = Stored::make().await?;
    stored.server.psql(
        "shop",
        "CREATE TABLE more AS SELECT i, md5(i::text) FROM generate_series(1, 5000) i",
    )?;
    // Without the first as its base, it shares nothing with it.
    let second = stored.back_up(None).await?;
    let repository = stored.open().await?;
    let lease = repository.acquire_lease("test", LeasePurpose::Deletion, 0, 60_000).await?;
    ensure!(repository.delete_manifest(&lease, &stored.recovery_point, 0).await?, "no manifest");
    repository.release_lease(lease).await?;
    Ok((stored, second))
}

fn assert_comes_back(stored: &Stored, point: &str, database: &str) -> anyhow::Result<()> {
    let (code, value, err) = report(stored, "verify", &[])?;
    assert_eq!((code, &value["recoveryPoints"][0]["verdict"]), (0, &Value::from("sound")), "{err}");
    let target = format!(
        "postgres://postgres@127.0.0.1:{}/{database}?sslmode=disable",
        stored.server.port()
    );
    let (code, _, err) =
        outcome(rescue(stored, "restore", &["--recovery-point", point, "--target", &target])?)?;
    assert_eq!(code, 0, "{err}");
    assert_eq!(stored.content(database)?, stored.content("shop")?);
    Ok(())
}

#[tokio::test]
async fn garbage_is_listed_with_its_reasons_and_then_deleted() -> anyhow::Result<()> {
    let (stored, second) = with_garbage().await?;
    let (code, planned, err) = report(&stored, "collect", &["--dry-run"])?;
    assert_eq!(code, 0, "{err}");
    let packs = planned[0]["packs"].as_array().context("no packs")?;
    let going: Vec<_> = packs.iter().filter(|pack| pack["goes"] == true).collect();
    ensure!(!going.is_empty() && going.len() < packs.len(), "{planned}");
    assert!(going.iter().all(|pack| pack["reason"] == "unreferenced"), "{planned}");
    assert_eq!(planned[0]["done"], Value::Null);
    let idle: u64 = packs.iter().filter_map(|pack| pack["idleBytes"].as_u64()).sum();
    let (code, text, err) = outcome(rescue(&stored, "collect", &["--dry-run"])?)?;
    assert_eq!(code, 0, "{err}");
    assert!(text.contains("are not needed but lie beside what is"), "{text}");
    let (code, done, err) = report(&stored, "collect", &["--yes"])?;
    assert_eq!(code, 0, "{err}");
    assert_eq!(done[0]["done"]["deletedPacks"], going.len());
    assert_eq!(done[0]["done"]["idleBytes"], idle, "{done}");
    let (_, again, _) = report(&stored, "collect", &["--dry-run"])?;
    let left = again[0]["packs"].as_array().context("no packs")?;
    assert_eq!(left.len(), packs.len() - going.len());
    assert_comes_back(&stored, &second, "after")?;

    // Nobody collects while a backup holds the repository, and what is damaged stays until it was looked at.
    let repository = stored.open().await?;
    fs::remove_file(largest_pack(stored.directory.path())?)?;
    let (code, value, _) = report(&stored, "collect", &["--yes"])?;
    assert_eq!((code, &value[0]["done"]), (1, &Value::Null), "{value}");
    assert!(value[0]["error"].as_str().context("no error")?.contains("missing"), "{value}");
    let now_ms = coffer_control::Clock::system().now_ms();
    repository.acquire_lease("a backup", LeasePurpose::Backup, now_ms, 600_000).await?;
    let (code, value, _) = report(&stored, "collect", &["--yes"])?;
    assert_eq!(code, 1);
    assert!(value[0]["error"].as_str().context("no error")?.contains("in use"), "{value}");
    Ok(())
}

/// Only debug builds can be made to die at a point.
#[cfg(debug_assertions)]
#[tokio::test]
async fn a_collection_that_is_killed_loses_nothing_and_is_finished_by_the_next()
-> anyhow::Result<()> {
    let (stored, second) = with_garbage().await?;
    for point in ["planned", "deleting"] {
        let mut command = coffer();
        command.args(["rescue", "collect", "--yes", "--storage", &stored.storage()?]);
        command.args(["--key-file", &stored.key()?]);
        let output = command.env("COFFER_CRASH_AT", format!("collection:{point}")).output()?;
        assert_eq!(output.status.code(), None, "it was to be killed at {point}: {output:?}");
        assert_comes_back(&stored, &second, point)?;
        // The dead one's lease would have to run out.
        let repository = stored.open().await?;
        let later = coffer_control::Clock::system().now_ms() + 600_000;
        let lease = repository.acquire_lease("t", LeasePurpose::Verification, later, 1).await?;
        repository.release_lease(lease).await?;
    }
    let (code, done, err) = report(&stored, "collect", &["--yes"])?;
    assert_eq!(code, 0, "{err}: {done}");
    let (_, left, _) = report(&stored, "collect", &["--dry-run"])?;
    let left = left[0]["packs"].as_array().context("no packs")?;
    assert!(left.iter().all(|pack| pack["goes"] == false), "{left:?}");
    assert_comes_back(&stored, &second, "finished")
}

#[tokio::test]
async fn a_damaged_lease_is_told_and_repaired_only_when_asked() -> anyhow::Result<()> {
    let stored = Stored::make().await?;
    let (code, value, err) = report(&stored, "recover-lease", &["--dry-run"])?;
    assert_eq!((code, &value[0]["damage"]), (0, &Value::Null), "{err}");
    let records = largest_pack(stored.directory.path())?;
    let records = records.parent().and_then(|packs| packs.parent()).context("no repository")?;
    let newest = fs::read_dir(records.join("leases"))?.next().context("no lease")??.path();
    damage(&newest.join("0000000001"))?;

    let (code, value, _) = report(&stored, "recover-lease", &["--dry-run"])?;
    assert_eq!(code, 1, "{value}");
    assert!(
        value[0]["damage"].as_str().is_some_and(|damage| damage.contains("damaged")),
        "{value}"
    );
    let repository = stored.open().await?;
    let blocked = repository.acquire_lease("t", LeasePurpose::Backup, 0, 1).await;
    assert!(blocked.is_err(), "nothing was repaired");
    let (code, value, err) = report(&stored, "recover-lease", &["--yes"])?;
    assert_eq!(code, 0, "{err}");
    assert_eq!(value[0]["repaired"]["recoveryPoints"], json!([stored.recovery_point]), "{value}");
    assert_eq!(value[0]["repaired"]["mayHoldStale"], true, "{value}");

    let next = stored.back_up(Some(&stored.recovery_point)).await?;
    let (code, value, err) = report(&stored, "verify", &[])?;
    assert_eq!(code, 0, "{err}: {value}");
    assert_eq!(value["recoveryPoints"].as_array().map(Vec::len), Some(2));
    assert_comes_back(&stored, &next, "repaired")
}

#[tokio::test]
async fn keys_are_changed_and_the_data_stays() -> anyhow::Result<()> {
    let stored = Stored::make().await?;
    let pack = largest_pack(stored.directory.path())?;
    let before = fs::read(&pack)?;
    let (code, value, err) = report(&stored, "rotate", &[])?;
    assert_eq!((code, &value[0]["repositories"]), (0, &Value::from(1)), "{err}");

    let (storage, old) = (stored.storage()?, stored.key()?);
    let new = command::text(&stored.directory.path().join("new.key"))?;
    let list = |key: &str| run(["rescue", "list", "--storage", &storage, "--key-file", key]);
    let (code, value, err) = report(&stored, "rotate", &["--new-key-file", &new])?;
    assert_eq!(code, 0, "{err}");
    // The first key, and one of each rotation.
    assert_eq!(value[0]["keysOfNewMaster"], 3, "{value}");
    assert_eq!((list(&old)?.0, list(&new)?.0), (0, 0), "either opens it");
    let (code, _, err) = report(&stored, "rotate", &["--new-key-file", &new, "--remove-old"])?;
    assert_eq!(code, 0, "{err}");
    let (code, _, err) = list(&old)?;
    assert_eq!(code, 1, "{err}");
    let listed = command::json([
        "rescue",
        "list",
        "--storage",
        &storage,
        "--key-file",
        &new,
        "--output",
        "json",
    ])?;
    assert_eq!(listed[0]["recoveryPointId"], stored.recovery_point.as_str());
    let (code, _, err) = run(["rescue", "verify", "--storage", &storage, "--key-file", &new])?;
    assert_eq!(code, 0, "{err}");
    assert_eq!(fs::read(&pack)?, before, "no data was touched");
    Ok(())
}

#[test]
fn what_makes_no_sense_together_is_a_usage_error() -> anyhow::Result<()> {
    let verify = |arguments: &[&str]| -> anyhow::Result<(i32, String, String)> {
        let mut command = coffer();
        command.args(["rescue", "verify", "--storage", "file:///tmp", "--key-file", "k"]);
        outcome(command.args(arguments).output()?)
    };
    let wrong: [&[&str]; 8] = [
        &["--share", "8/7"],
        &["--share", "1/2", "--sample", "5%"],
        &["--sample", "0%"],
        &["--depth", "closure", "--share", "1/2"],
        &["--recovery-point", "x", "--sample", "5%"],
        &["--depth", "restore"],
        &["--depth", "full", "--scratch", "postgres://u@h"],
        &["--depth", "restore", "--scratch", "mysql://u:hunter2@h"],
    ];
    for arguments in wrong {
        let (code, out, err) = verify(arguments)?;
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
    let verbs: [&[&str]; 4] = [
        &["collect"],
        &["collect", "--yes", "--dry-run"],
        &["recover-lease"],
        &["rotate", "--remove-old"],
    ];
    for verb in verbs {
        let mut command = coffer();
        command.arg("rescue").args(verb);
        command.args(["--storage", "file:///tmp", "--key-file", "k"]);
        let (code, _, err) = outcome(command.output()?)?;
        assert_eq!(code, 2, "{verb:?}: {err}");
    }
    Ok(())
}
