//! Recovery points in a second region: restored from there when the first one is lost, gone from there when their time is over,
//! and never because something is missing in the first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coffer_control::admin::Admin;
use coffer_control::{Config, StorageConfig};
use coffer_engine::{SilentMonitor, verify_recovery_point};
use coffer_store::{
    Location, LocationOptions, MasterKey, Repository, Variables, VaultKeyring, VerifyDepth,
    list_repositories, list_vaults, open_location,
};
use coffer_testkit::{ObjectStorage, ObjectStorageKind, PostgresServer};
use futures::TryStreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::estate::{Estate, digest, fill};
use crate::harness::Harness;

const DAY: Duration = Duration::from_secs(86_400);
const FIRST: &str = "first";
const SECOND: &str = "second";

fn pair(config: &mut Config, second: Option<StorageConfig>) {
    let at = |name: &str| format!("file://{}", config.data_dir.join(name).display());
    let second = second.unwrap_or_else(|| at(SECOND).into());
    let first = StorageConfig { paired_with: Some("North Europe".to_owned()), ..at(FIRST).into() };
    config.storage.insert("westeurope".to_owned(), first);
    config.storage.insert("northeurope".to_owned(), second);
}

/// A service whose vaults in West Europe are copied to North Europe, with a vault that is.
async fn estate(soft_delete: &str, second: Option<StorageConfig>) -> Estate {
    let postgres = PostgresServer::start().unwrap();
    fill(&postgres, "shop");
    let harness = Harness::start_with(|config| {
        config.schedule.catch_up = false;
        pair(config, second);
    });
    let estate = Estate::on(harness.await, postgres, soft_delete).await;
    let body = json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {
        "storageSettings": [{"datastoreType": "VaultStore", "type": "GeoRedundant"}],
        "featureSettings": {"crossRegionRestoreSettings": {"state": "Enabled"}},
    }});
    let changed = estate.harness.call(Method::PUT, &estate.vault, Some(body)).await;
    assert_eq!(changed.body["properties"]["replicatedRegions"], json!(["northeurope"]));
    assert_eq!(estate.follow(&changed).await["status"], "Succeeded");
    estate.grant().await;
    estate
}

/// Names of the objects of a location that hold recovery points, whatever their generations.
fn kept(estate: &Estate, location: &str) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut packs, mut points) = (BTreeSet::new(), BTreeSet::new());
    let mut open = vec![estate.harness.data_dir().join(location)];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        for path in entries.map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if directory.ends_with("packs") {
                packs.insert(name(&path));
            } else if directory.parent().is_some_and(|above| above.ends_with("manifests")) {
                points.insert(name(&directory));
            }
        }
    }
    (packs, points)
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

/// The only repository of a location, by storage and key alone.
async fn repository_at(estate: &Estate, location: &str) -> Repository {
    let data = estate.harness.data_dir();
    let store = open_location(&format!("file://{}", data.join(location).display())).unwrap();
    let master = MasterKey::read_file(&data.join("master.key")).unwrap();
    let vault = list_vaults(&store).await.unwrap()[0];
    let keyring = VaultKeyring::open(&store, vault, &master).await.unwrap();
    let id = list_repositories(&store, vault).await.unwrap()[0];
    Repository::open(&store, vault, id, &keyring).await.unwrap()
}

impl Estate {
    fn in_second_region(&self, action: &str) -> String {
        let group = self.harness.group_path("backup");
        format!("{group}/providers/Microsoft.DataProtection/locations/northeurope/{action}")
    }

    /// The names of the recovery points in the second region.
    async fn copied(&self, instance: &str) -> Vec<String> {
        let asked = json!({"sourceRegion": "westeurope", "sourceBackupInstanceId": instance});
        let path = self.in_second_region("fetchSecondaryRecoveryPoints");
        let answer = self.harness.call(Method::POST, &path, Some(asked)).await.expect(200);
        let points = answer.body["value"].as_array().unwrap();
        points.iter().map(|point| point["name"].as_str().unwrap().to_owned()).collect()
    }

    /// A request for a restore from there into a new database.
    fn restore_across(&self, instance: &str, point: &str, database: &str) -> Value {
        json!({
            "crossRegionRestoreDetails": {"sourceRegion": "West Europe", "sourceBackupInstanceId": instance},
            "restoreRequestObject": self.restore_to_database(point, database),
        })
    }

    /// What waits to be copied is copied now.
    async fn copy(&mut self) {
        self.later(Duration::ZERO).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_lost_in_the_first_region_is_restored_from_the_second() {
    let mut estate = estate("On", None).await;
    let instance = estate.protect("pg-shop", "shop").await;
    estate.recovery_point(&instance).await;
    estate.copy().await;
    let expected = digest(&estate.postgres, "shop");
    let point = estate.recovery_point(&instance).await;
    estate.copy().await;
    assert_eq!(estate.copied(&instance).await.first(), Some(&point));
    assert_eq!(kept(&estate, FIRST), kept(&estate, SECOND));
    assert_eq!(estate.metric("coffer_recovery_points_not_copied").await, Some(0));

    let data = estate.harness.data_dir().to_owned();
    std::fs::rename(data.join(FIRST), data.join("lost")).unwrap();
    let restore = format!("{instance}/restore");
    let request = estate.restore_to_database(&point, "shop_lost");
    let answer = estate.harness.call(Method::POST, &restore, Some(request)).await.expect(202);
    assert_eq!(estate.job(&answer).await["properties"]["status"], "Failed", "it is lost");

    let request = estate.restore_across(&instance, &point, "shop_copy");
    let path = estate.in_second_region("validateCrossRegionRestore");
    let answer = estate.harness.call(Method::POST, &path, Some(request.clone())).await.expect(202);
    let status = estate.follow(&answer).await;
    assert_eq!(status["status"], "Succeeded", "{status:#}");
    assert_eq!(status.get("properties"), None, "{status:#}");

    let path = estate.in_second_region("crossRegionRestore");
    let answer = estate.harness.call(Method::POST, &path, Some(request)).await.expect(202);
    let subscription = format!("{}/providers", estate.harness.subscription_path());
    for (header, part) in
        [("azure-asyncoperation", "operationStatus"), ("location", "operationResults")]
    {
        let place =
            format!("{subscription}/Microsoft.DataProtection/locations/northeurope/{part}/");
        assert!(answer.header(header).contains(&place), "{}", answer.header(header));
    }
    let status = estate.follow(&answer).await;
    let job_id = status["properties"]["jobId"].as_str().unwrap().to_owned();
    assert!(!job_id.contains('/'), "as recorded: {job_id}");
    let result =
        estate.harness.call(Method::GET, answer.header("location"), None).await.expect(200);
    assert_eq!(result.body["jobId"], job_id.as_str());

    let of_vault = json!({"sourceRegion": "westeurope", "sourceBackupVaultId": estate.vault});
    let mut asked = of_vault.clone();
    asked["jobId"] = json!(job_id);
    let path = estate.in_second_region("fetchCrossRegionRestoreJob");
    estate.job_ended(&format!("{}/backupJobs/{job_id}", estate.vault)).await;
    let job = estate.harness.call(Method::POST, &path, Some(asked)).await.expect(200).body;
    let properties = &job["properties"];
    assert_eq!(properties["status"], "Completed", "{job:#}");
    assert_eq!(properties["operationCategory"], "CrossRegionRestore");
    assert_eq!(properties["operation"], "Restore");
    assert_eq!(properties["isCrossRegionRestore"], true);
    let info = &properties["extendedInfo"];
    assert_eq!(info["sourceRecoverPoint"]["recoveryPointID"], point.as_str());
    assert!(info["additionalDetails"]["Proof"].as_str().unwrap().starts_with("equal"), "{job:#}");
    assert!(!job.to_string().contains("null"), "as recorded: {job:#}");
    assert_eq!(digest(&estate.postgres, "shop_copy"), expected);

    // Backups and restores of the first region are none of these.
    let path = estate.in_second_region("fetchCrossRegionRestoreJobs");
    for (filter, count) in [
        ("", 1),
        ("?$filter=status%20eq%20'Failed'", 0),
        ("?$filter=operationCategory%20eq%20'Restore'", 0),
    ] {
        let jobs = format!("{path}{filter}");
        let jobs =
            estate.harness.call(Method::POST, &jobs, Some(of_vault.clone())).await.expect(200);
        assert_eq!(jobs.body["value"].as_array().unwrap().len(), count, "{filter} {:#}", jobs.body);
    }
    let in_vault =
        format!("{}/backupJobs?$filter=operationCategory%20eq%20'Restore'", estate.vault);
    let jobs = estate.harness.call(Method::GET, &in_vault, None).await.expect(200);
    assert_eq!(jobs.body["value"].as_array().unwrap().len(), 1, "{:#}", jobs.body);

    // The storage and the key alone will do as well.
    let repository = repository_at(&estate, SECOND).await;
    let report =
        verify_recovery_point(&repository, &point, VerifyDepth::Closure, &SilentMonitor).await;
    assert_eq!(report.unwrap().damaged_chunks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_goes_from_the_second_region_and_what_was_lost_does_not() {
    let mut estate = estate("Off", None).await;
    let instance = estate.protect("pg-shop", "shop").await;
    for _ in 0..2 {
        estate.recovery_point(&instance).await;
        estate.copy().await;
        let change = "UPDATE customer SET name = md5(name); UPDATE purchase SET total = total + 1";
        estate.postgres.psql("shop", change).unwrap();
    }
    let newest = estate.recovery_point(&instance).await;
    estate.copy().await;
    let before = kept(&estate, SECOND);
    assert_eq!((before.1.len(), &before), (3, &kept(&estate, FIRST)));

    // All but the newest end; the garbage goes once the first region has let go of it.
    estate.act(&format!("{instance}/suspendBackups")).await;
    estate.later(120 * DAY).await;
    estate.later(Duration::from_secs(601)).await;
    estate.later(8 * DAY).await;
    let after = kept(&estate, SECOND);
    assert_eq!(after.1, BTreeSet::from([newest.clone()]));
    assert_eq!(after, kept(&estate, FIRST));
    assert!(after.0.len() < before.0.len(), "{after:?}");
    assert_eq!(estate.copied(&instance).await, [newest.as_str()]);

    // Somebody deletes everything in the first region: the second one keeps what it has.
    let data = estate.harness.data_dir().to_owned();
    for repository in std::fs::read_dir(data.join(FIRST).join("vaults")).unwrap() {
        let below = repository.unwrap().path().join("repositories");
        for repository in std::fs::read_dir(below).unwrap() {
            let repository = repository.unwrap().path();
            for part in ["packs", "manifests"] {
                std::fs::remove_dir_all(repository.join(part)).unwrap();
            }
        }
    }
    for _ in 0..3 {
        estate.later(8 * DAY).await;
    }
    assert_eq!(kept(&estate, SECOND), after);
    let request = estate.restore_across(&instance, &newest, "shop_copy");
    let path = estate.in_second_region("crossRegionRestore");
    let answer = estate.harness.call(Method::POST, &path, Some(request)).await.expect(202);
    let status = estate.follow(&answer).await;
    let job = status["properties"]["jobId"].as_str().unwrap();
    let job = estate.job_ended(&format!("{}/backupJobs/{job}", estate.vault)).await;
    assert_eq!(job["properties"]["status"], "Completed", "{job:#}");

    // Who deletes the instance deletes both.
    let answer = estate.harness.call(Method::DELETE, &instance, None).await.expect(202);
    assert_eq!(estate.follow(&answer).await["status"], "Succeeded");
    assert_eq!(kept(&estate, SECOND), (BTreeSet::new(), BTreeSet::new()));
    let left = std::fs::read_dir(data.join(SECOND).join("vaults")).unwrap().next().unwrap();
    let left = left.unwrap().path().join("repositories");
    assert!(!left.exists() || std::fs::read_dir(left).unwrap().next().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_region_out_of_reach_is_told_and_catches_up() {
    let mut estate = estate("On", None).await;
    let instance = estate.protect("pg-shop", "shop").await;
    let first = estate.recovery_point(&instance).await;
    estate.copy().await;
    assert_eq!(estate.copied(&instance).await, [first.as_str()]);

    // Nothing can be written there: a file stands where its directory was.
    let second = estate.harness.data_dir().join(SECOND);
    let aside = second.with_extension("aside");
    std::fs::rename(&second, &aside).unwrap();
    std::fs::write(&second, "").unwrap();
    let job = estate.backup(&instance).await;
    assert_eq!(job["properties"]["status"], "Completed", "a backup does not wait for it: {job:#}");
    estate.later(Duration::from_secs(3600)).await;
    let lag = format!("coffer_copy_lag_seconds{{instance=\"{instance}\"}}");
    let seconds = estate.metric(&lag).await.unwrap();
    assert!((3600..3600 + 600).contains(&seconds), "{seconds}");
    assert_eq!(estate.metric("coffer_recovery_points_not_copied").await, Some(1));
    assert!(estate.metric("coffer_upkeep_failures_total{duty=\"replication\"}").await > Some(0));
    let alerts = "coffer_alerts_total{kind=\"CopyLate\"}";
    assert_eq!(estate.metric(alerts).await, None);
    for _ in 0..3 {
        estate.later(DAY / 2).await;
        assert_eq!(estate.metric(alerts).await, Some(1), "once");
    }

    std::fs::remove_file(&second).unwrap();
    std::fs::rename(&aside, &second).unwrap();
    estate.later(Duration::from_secs(600)).await;
    assert_eq!(estate.copied(&instance).await.len(), 2);
    assert_eq!(estate.metric("coffer_recovery_points_not_copied").await, Some(0));
    assert_eq!(estate.metric(&lag).await, None);

    // What is lost there is noticed, and copied again.
    let mut gone: Vec<PathBuf> = std::fs::read_dir(second.join("vaults"))
        .unwrap()
        .map(|vault| vault.unwrap().path().join("repositories"))
        .collect();
    let repository = std::fs::read_dir(gone.remove(0)).unwrap().next().unwrap().unwrap().path();
    std::fs::remove_dir_all(&repository).unwrap();
    estate.later(2 * DAY).await;
    estate.copy().await;
    assert_eq!(estate.copied(&instance).await.len(), 2);
    assert_eq!(kept(&estate, FIRST), kept(&estate, SECOND));

    // Each region has vault keys of its own; both are changed, and what is copied from then on is read by the new ones.
    let mut config = crate::harness::config(estate.harness.data_dir());
    pair(&mut config, None);
    let admin = Admin::open(&config).await.unwrap();
    let rotated = admin.keys_rotate().await.unwrap();
    admin.close().await;
    let [vault] = rotated.as_slice() else { panic!("{rotated:?}") };
    assert_eq!(vault.outcome.as_ref().unwrap().failed, Vec::<String>::new());
    for location in [FIRST, SECOND] {
        let vaults = estate.harness.data_dir().join(location).join("vaults");
        let vault = std::fs::read_dir(vaults).unwrap().next().unwrap().unwrap().path();
        assert_eq!(std::fs::read_dir(vault.join("keys")).unwrap().count(), 2, "{location}");
    }
    let newest = estate.recovery_point(&instance).await;
    estate.copy().await;
    assert_eq!(estate.copied(&instance).await[0], newest);
    let repository = repository_at(&estate, SECOND).await;
    let report =
        verify_recovery_point(&repository, &newest, VerifyDepth::Closure, &SilentMonitor).await;
    assert_eq!(report.unwrap().damaged_chunks, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_storage_of_the_second_region_holds_what_an_immutable_vault_wants_held() {
    let Some(s3) = ObjectStorage::start(ObjectStorageKind::S3).unwrap() else { return };
    s3.make_locking("locking").unwrap();
    let options: serde_json::Map<_, _> =
        s3.options().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let options: LocationOptions = serde_json::from_value(options.into()).unwrap();
    let url = s3.url_of("locking", "second");
    let location = Location::new(&url, &options, &Variables::default()).unwrap();
    let second = StorageConfig { url, options, lock: true, paired_with: None };
    let mut estate = estate("On", Some(second)).await;
    let instance = estate.protect("pg-shop", "shop").await;
    let point = estate.recovery_point(&instance).await;
    estate.copy().await;
    assert_eq!(estate.copied(&instance).await, [point]);
    let immutable = json!({"properties": {"securitySettings": {"immutabilitySettings": {"state": "Unlocked"}}}});
    // A directory cannot lock: the copy is held where the second region can, whatever the first one can.
    let changed =
        estate.harness.call(Method::PATCH, &estate.vault, Some(immutable)).await.expect(202);
    assert_eq!(estate.follow(&changed).await["status"], "Succeeded");
    estate.copy().await;
    let storage = location.open().unwrap();
    let lock = storage.lock().unwrap().unwrap();
    let names: Vec<_> =
        storage.store().list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    let mut held = 0;
    for path in names {
        let goes = ["/leases/", "/pins/", "/collections/"];
        if goes.iter().any(|part| path.as_ref().contains(part)) {
            continue;
        }
        assert!(lock.get(&path).await.unwrap().is_some(), "{path}");
        held += 1;
    }
    assert!(held > 4, "{held}");
}

/// Bytes of all packs of a location.
fn pack_bytes(estate: &Estate, location: &str) -> u64 {
    let mut bytes = 0;
    let mut open = vec![estate.harness.data_dir().join(location)];
    while let Some(directory) = open.pop() {
        for path in std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else if directory.ends_with("packs") {
                bytes += path.metadata().unwrap().len();
            }
        }
    }
    bytes
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_services_one_copies_what_waits() {
    let estate = estate("On", None).await;
    let mut instances = Vec::new();
    for name in ["shop1", "shop2", "shop3"] {
        fill(&estate.postgres, name);
        instances.push(estate.protect(&format!("pg-{name}"), name).await);
    }
    let first = Arc::clone(estate.harness.service().app());
    let other = Harness::start_beside(&first.config).await;
    let apps = [first, Arc::clone(other.service().app())];
    for round in 1..=2 {
        for (instance, name) in instances.iter().zip(["shop1", "shop2", "shop3"]) {
            estate.postgres.psql(name, "UPDATE customer SET name = md5(name)").unwrap();
            let job = estate.backup(instance).await;
            assert_eq!(job["properties"]["status"], "Completed", "{job:#}");
        }
        // Who finds that the other one copies looks again a minute later.
        for minute in 0.. {
            let rounds = apps.iter().map(|app| coffer_control::background::run_round(app));
            futures::future::join_all(rounds).await;
            let mut copied = 0;
            for instance in &instances {
                copied += estate.copied(instance).await.len();
            }
            if copied == round * instances.len() {
                break;
            }
            assert!(minute < 10, "{copied} after {minute} minutes");
            apps.iter().for_each(|app| app.clock.advance(Duration::from_secs(61)));
        }
        assert_eq!(kept(&estate, FIRST), kept(&estate, SECOND));
        let copied = estate.metric("coffer_copied_bytes_total").await;
        assert_eq!(copied, Some(pack_bytes(&estate, SECOND)), "each pack once, by whomever");
    }
    other.stop().await;
}
