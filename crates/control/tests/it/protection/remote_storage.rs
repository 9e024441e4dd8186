//! Vaults in a bucket of S3 and in a container of Azure Blob, from the first backup to the collected garbage.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use coffer_control::StorageConfig;
use coffer_store::{
    LeasePurpose, Location, LocationOptions, MasterKey, ObjectStore, Repository, Variables,
    VaultKeyring, list_repositories, list_vaults,
};
use coffer_testkit::{ObjectStorage, ObjectStorageKind, PostgresServer};
use futures::TryStreamExt;
use reqwest::Method;
use serde_json::{Value, json};

use super::estate::{Estate, digest, fill, follow};
use crate::harness::Harness;

const WEEK: Duration = Duration::from_secs(8 * 86_400);
/// A vault that cannot be made has to say so soon.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

fn options(emulator: &ObjectStorage) -> LocationOptions {
    let options: serde_json::Map<_, _> = emulator
        .options()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    serde_json::from_value(options.into()).unwrap()
}

fn objects(emulator: &ObjectStorage) -> Arc<dyn ObjectStore> {
    let url = emulator.url("coffer/production");
    let location = Location::new(&url, &options(emulator), &Variables::default()).unwrap();
    Arc::clone(location.open().unwrap().store())
}

async fn names(store: &Arc<dyn ObjectStore>, part: &str) -> BTreeSet<String> {
    let names = store.list(None).map_ok(|meta| meta.location.to_string());
    let names = names.try_filter(|name| std::future::ready(name.contains(part)));
    names.try_collect().await.unwrap()
}

/// The only repository there is, by storage and key alone.
async fn repository(estate: &Estate, store: &Arc<dyn ObjectStore>) -> Repository {
    let master = MasterKey::read_file(&estate.harness.data_dir().join("master.key")).unwrap();
    let vault = list_vaults(store).await.unwrap()[0];
    let keyring = VaultKeyring::open(store, vault, &master).await.unwrap();
    let id = list_repositories(store, vault).await.unwrap()[0];
    Repository::open(store, vault, id, &keyring).await.unwrap()
}

async fn delete_point(estate: &Estate, store: &Arc<dyn ObjectStore>, point: &str) {
    let repository = repository(estate, store).await;
    let now_ms = estate.harness.service().app().clock.now_ms();
    let lease =
        repository.acquire_lease("test", LeasePurpose::Deletion, now_ms, 60_000).await.unwrap();
    assert!(repository.delete_manifest(&lease, point, now_ms).await.unwrap());
    repository.release_lease(lease).await.unwrap();
}

async fn a_whole_life(kind: ObjectStorageKind) {
    let Some(emulator) = ObjectStorage::start(kind).unwrap() else { return };
    let store = objects(&emulator);
    let postgres = PostgresServer::start().unwrap();
    fill(&postgres, "shop");
    let harness = Harness::start_with(|config| {
        config.schedule.catch_up = false;
        config.storage_default = StorageConfig {
            url: emulator.url("coffer/production"),
            options: options(&emulator),
            lock: false,
            paired_with: None,
        };
    })
    .await;
    assert_eq!(harness.env["COFFER_STORAGE_URL"], emulator.url("coffer/production"));
    let mut estate = Estate::on(harness, postgres, "Off").await;
    assert!(names(&store, "/probes/").await.is_empty(), "nothing is left of the probe");
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;

    let first = estate.recovery_point(&instance).await;
    let packs = names(&store, "/packs/").await;
    assert!(!packs.is_empty());
    let second = estate.recovery_point(&instance).await;
    estate.postgres.psql("shop", "UPDATE purchase SET total = total + 1").unwrap();
    let third = estate.recovery_point(&instance).await;
    let all = names(&store, "/packs/").await;
    assert!(all.is_superset(&packs) && all.len() > packs.len());

    let request = estate.restore_to_database(&third, "shop_copy");
    let restore = format!("{instance}/restore");
    let answer = estate.harness.call(Method::POST, &restore, Some(request)).await.expect(202);
    let job = estate.job(&answer).await;
    let proof = &job["properties"]["extendedInfo"]["additionalDetails"]["Proof"];
    assert!(proof.as_str().unwrap_or_default().starts_with("equal"), "{job:#}");
    assert_eq!(digest(&estate.postgres, "shop_copy"), digest(&estate.postgres, "shop"));

    for point in [first, second] {
        delete_point(&estate, &store, &point).await;
    }
    estate.later(WEEK).await;
    estate.later(WEEK).await;
    let left = names(&store, "/packs/").await;
    assert!(!left.is_empty() && packs.iter().any(|pack| !left.contains(pack)), "{left:?}");

    let answer = estate.harness.call(Method::DELETE, &instance, None).await.expect(202);
    assert_eq!(estate.follow(&answer).await["status"], "Succeeded");
    assert!(names(&store, "/repositories/").await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_in_s3_backs_up_restores_and_frees_what_nobody_needs() {
    a_whole_life(ObjectStorageKind::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_in_azure_blob_backs_up_restores_and_frees_what_nobody_needs() {
    a_whole_life(ObjectStorageKind::Azure).await;
}

/// The error of a vault that cannot be made in this location.
async fn refused(harness: &Harness, location: &str) -> Value {
    let group = harness.group(location).await;
    let vault = format!("{group}/providers/Microsoft.DataProtection/backupVaults/vault");
    let body = json!({"location": location, "properties": {
        "storageSettings": [{"datastoreType": "VaultStore", "type": "LocallyRedundant"}],
    }});
    let made = harness.call(Method::PUT, &vault, Some(body)).await.expect(201);
    let url = made.header("azure-asyncoperation").to_owned();
    let status = tokio::time::timeout(TOLD_WITHIN, follow(harness, &url)).await.unwrap();
    assert_eq!(status["status"], "Failed", "{status:#}");
    let text = status.to_string();
    assert!(!text.contains("secret") && !text.contains("c2Vjc"), "{text}");
    let got = harness.call(Method::GET, &vault, None).await.expect(200);
    assert_eq!(got.body["properties"]["provisioningState"], "Failed");
    status["error"].clone()
}

async fn refusals(kind: ObjectStorageKind) {
    let Some(emulator) = ObjectStorage::start(kind).unwrap() else { return };
    let mut wrong = options(&emulator);
    if kind == ObjectStorageKind::Azure {
        wrong.account_key = Some("c2VjcmV0c2VjcmV0c2VjcmV0".to_owned().into());
    }
    let harness = Harness::start_with(|config| {
        let missing = emulator.url_of("no-such-place", "");
        config.storage.insert(
            "westus".to_owned(),
            StorageConfig {
                url: missing,
                options: options(&emulator),
                lock: false,
                paired_with: None,
            },
        );
        let url = emulator.url("wrong");
        config.storage.insert(
            "eastus".to_owned(),
            StorageConfig { url, options: wrong, lock: false, paired_with: None },
        );
    })
    .await;
    let missing = refused(&harness, "westus").await;
    assert_eq!(missing["code"], "UserErrorVaultStorageNotAccessible", "{missing:#}");
    assert!(missing.to_string().contains("StorageContainerNotFound"), "{missing:#}");
    if kind == ObjectStorageKind::S3 {
        emulator.refuse_credentials().unwrap();
    }
    let wrong = refused(&harness, "eastus").await;
    assert_eq!(wrong["code"], "UserErrorVaultStorageNotAccessible", "{wrong:#}");
    assert!(wrong.to_string().contains("StorageCredentialsRefused"), "{wrong:#}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_says_that_its_bucket_is_missing_or_its_keys_are_wrong() {
    refusals(ObjectStorageKind::S3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vault_says_that_its_container_is_missing_or_its_key_is_wrong() {
    refusals(ObjectStorageKind::Azure).await;
}
