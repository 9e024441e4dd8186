//! A locked vault in a bucket with Object Lock: whoever has the storage's own credentials can hide what is there, and no more.

use std::collections::BTreeMap;
use std::sync::Arc;

use coffer_control::config::StorageConfig;
use coffer_engine::{SilentMonitor, verify_recovery_point};
use coffer_store::{
    HiddenBy, Location, LocationOptions, LockMode, MasterKey, ObjectLock, ObjectStore, Repository,
    RetentionLock, Storage, Variables, VaultKeyring, VerifyDepth, list_repositories, list_vaults,
};
use coffer_testkit::{ObjectStorage, ObjectStorageKind, PostgresServer};
use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use object_store::path::Path;
use reqwest::Method;
use serde_json::json;

use super::estate::{Estate, digest, fill};
use crate::harness::Harness;

const BUCKET: &str = "locking";

fn config(s3: &ObjectStorage, url: String) -> StorageConfig {
    let options: serde_json::Map<_, _> =
        s3.options().into_iter().map(|(name, value)| (name.to_owned(), json!(value))).collect();
    let options: LocationOptions = serde_json::from_value(options.into()).unwrap();
    StorageConfig { url, options, lock: true, paired_with: None }
}

/// The bucket, as somebody sees it who has its credentials and nothing else.
fn open(config: &StorageConfig) -> Storage {
    let location = Location::new(&config.url, &config.options, &Variables::default()).unwrap();
    location.open().unwrap()
}

async fn names(store: &Arc<dyn ObjectStore>) -> Vec<Path> {
    store.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap()
}

/// Every object with its lock.
async fn locks(storage: &Storage) -> BTreeMap<Path, Option<RetentionLock>> {
    let lock = storage.lock().unwrap().unwrap();
    let mut locks = BTreeMap::new();
    for path in names(storage.store()).await {
        let held = lock.get(&path).await.unwrap();
        locks.insert(path, held);
    }
    locks
}

/// What has to be deleted in time.
fn goes(path: &Path) -> bool {
    ["/leases/", "/pins/", "/collections/"].iter().any(|part| path.as_ref().contains(part))
}

async fn repository(store: &Arc<dyn ObjectStore>, estate: &Estate) -> Repository {
    let master = MasterKey::read_file(&estate.harness.data_dir().join("master.key")).unwrap();
    let vault = list_vaults(store).await.unwrap()[0];
    let keyring = VaultKeyring::open(store, vault, &master).await.unwrap();
    let id = list_repositories(store, vault).await.unwrap()[0];
    Repository::open(store, vault, id, &keyring).await.unwrap()
}

async fn undelete(lock: &Arc<dyn ObjectLock>, now_ms: u64, look_only: bool) -> Vec<HiddenBy> {
    let mut found = Vec::new();
    lock.undelete(now_ms, look_only, &mut |object| found.push(object.by)).await.unwrap();
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_locked_vault_holds_comes_back_after_everything_was_deleted() {
    let Some(s3) = ObjectStorage::start(ObjectStorageKind::S3).unwrap() else { return };
    s3.make_locking(BUCKET).unwrap();
    let place = config(&s3, s3.url_of(BUCKET, "some where/vaults"));
    let postgres = PostgresServer::start().unwrap();
    fill(&postgres, "shop");
    let default = place.clone();
    let harness = Harness::start_with(|config| {
        config.storage_default = default;
        config.schedule.catch_up = false;
    });
    let mut estate = Estate::on(harness.await, postgres, "On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    let first = estate.recovery_point(&instance).await;
    let storage = open(&place);
    let before = locks(&storage).await;
    assert!(before.values().all(Option::is_none), "the vault is not immutable: {before:?}");

    // From now on it is, and what is there already is held as well.
    let body =
        json!({"properties": {"securitySettings": {"immutabilitySettings": {"state": "Locked"}}}});
    let changed = estate.harness.call(Method::PATCH, &estate.vault, Some(body)).await.expect(202);
    assert_eq!(estate.follow(&changed).await["status"], "Succeeded");
    estate.later(std::time::Duration::from_secs(60)).await;
    let end_of = async |point: &str| {
        let repository = repository(storage.store(), &estate).await;
        let manifest = coffer_engine::describe_recovery_point(&repository, point).await.unwrap();
        // The policy keeps by default for three months or more.
        u64::try_from(manifest.snapshot.taken_at_unix_us / 1000).unwrap() + 80 * 86_400_000
    };
    let until = end_of(&first).await;
    for (path, lock) in locks(&storage).await {
        if goes(&path) {
            assert_eq!(lock, None, "{path}");
        } else {
            let lock = lock.unwrap_or_else(|| panic!("{path} is not locked"));
            assert!(lock.mode == LockMode::Locked && lock.until_ms > until, "{path} {lock:?}");
        }
    }

    // A backup locks what it has written, and prolongs what it shares.
    estate.postgres.psql("shop", "UPDATE purchase SET total = total + 1 WHERE id > 19000").unwrap();
    let second = estate.recovery_point(&instance).await;
    let until = end_of(&second).await;
    let held = locks(&storage).await;
    let manifest = held.iter().find(|(path, _)| path.as_ref().contains(&second)).unwrap();
    assert!(manifest.1.unwrap().until_ms > until);
    assert!(held.iter().all(|(path, lock)| goes(path) || lock.is_some()), "{held:?}");
    assert!(
        held.iter()
            .filter(|(path, _)| path.as_ref().contains("/keys/"))
            .all(|(_, lock)| lock.unwrap().until_ms >= manifest.1.unwrap().until_ms)
    );

    // The attacker has the credentials of the storage: he deletes everything, and writes over some of it.
    let lock = storage.lock().unwrap().unwrap();
    let now_ms = estate.harness.service().app().clock.now_ms();
    assert_eq!(undelete(&lock, now_ms, true).await, [], "nothing is hidden yet");
    for (number, path) in held.keys().enumerate() {
        storage.store().delete(path).await.unwrap();
        if number % 3 == 0 {
            storage.store().put(path, "encrypted by us, pay".into()).await.unwrap();
        }
    }
    assert_eq!(estate.backup(&instance).await["properties"]["status"], "Failed");

    let hidden = held.keys().filter(|path| !goes(path)).count();
    assert_eq!(undelete(&lock, now_ms, true).await.len(), hidden);
    let found = undelete(&lock, now_ms, false).await;
    assert_eq!(found.len(), hidden);
    assert!(found.contains(&HiddenBy::Deletion) && found.contains(&HiddenBy::AnotherVersion));
    assert_eq!(undelete(&lock, now_ms, true).await, [], "all of it is back");
    // Leases are not locked, and what he has put in their place is none.
    for path in names(storage.store()).await.iter().filter(|path| goes(path)) {
        storage.store().delete(path).await.unwrap();
    }
    let repository = repository(storage.store(), &estate).await;
    let recovered = repository.recover_lease("test", now_ms, 60_000).await.unwrap().unwrap();
    assert_eq!(recovered.accepted.len(), 2, "{recovered:?}");
    for point in [&first, &second] {
        let report =
            verify_recovery_point(&repository, point, VerifyDepth::Full, &SilentMonitor).await;
        assert_eq!(report.unwrap().damaged_chunks, 0, "{point}");
    }
    let request = estate.restore_to_database(&second, "shop_copy");
    let url = format!("{instance}/restore");
    let answer = estate.harness.call(Method::POST, &url, Some(request)).await.expect(202);
    assert_eq!(estate.job(&answer).await["properties"]["status"], "Completed");
    assert_eq!(digest(&estate.postgres, "shop_copy"), digest(&estate.postgres, "shop"));
    // And the vault works on.
    estate.recovery_point(&instance).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_without_locks_makes_no_immutable_vault_where_locks_are_asked_for() {
    let Some(s3) = ObjectStorage::start(ObjectStorageKind::S3).unwrap() else { return };
    let place = config(&s3, s3.url("vaults"));
    let harness = Harness::start_with(|config| config.storage_default = place).await;
    let group = harness.group("backup").await;
    let vault = format!("{group}/providers/Microsoft.DataProtection/backupVaults/vault");
    let body = |state: &str| {
        json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {
            "storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}],
            "securitySettings": {"immutabilitySettings": {"state": state}}}})
    };
    let finish = async |state: &str| {
        let answer = harness.call(Method::PUT, &vault, Some(body(state))).await.expect(201);
        let url = answer.header("azure-asyncoperation").to_owned();
        loop {
            let status = harness.call(Method::GET, &url, None).await.expect(200).body;
            if status["status"] != "Inprogress" {
                return status;
            }
        }
    };
    let made = finish("Disabled").await;
    assert_eq!(made["status"], "Succeeded", "{made:#}");
    let failed = finish("Unlocked").await;
    assert_eq!(failed["status"], "Failed");
    assert_eq!(failed["error"]["code"], "UserErrorVaultStorageLockNotAvailable", "{failed:#}");
    assert!(failed.to_string().contains("Object Lock"), "{failed:#}");
}
