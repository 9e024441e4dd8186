//! Deleting recovery points, repositories and vaults.

use coffer_store::{
    Error, MasterKey, Repository, VaultKeyring, create_location, list_repositories, list_vaults,
};

use crate::support::{
    REPOSITORY, VAULT, assert_restores, back_up, chunks,
    hooked_store::{Death, HookedStore},
    lease, memory, memory_of, objects, point, repository,
};

#[tokio::test]
async fn a_deleted_recovery_point_is_gone_and_the_others_stay() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let held = lease(&repository, "a", 0).await.unwrap();
    let (_, base) = back_up(&repository, &held, &point(1), &chunks(20, 1), &[]).await.unwrap();
    back_up(&repository, &held, &point(2), &chunks(20, 1), &base).await.unwrap();
    assert!(repository.delete_manifest(&held, &point(1), 0).await.unwrap());
    assert!(!repository.delete_manifest(&held, &point(1), 0).await.unwrap());
    assert!(matches!(repository.read_manifest(&point(1)).await, Err(Error::NotFound { .. })));
    assert_restores(&repository, &point(2), &chunks(20, 1)).await;
    assert_eq!(repository.manifests().await.unwrap().valid.len(), 1);
}

#[tokio::test]
async fn a_destruction_interrupted_anywhere_leaves_nothing_readable_and_is_finished_later() {
    let master = MasterKey::generate().unwrap();
    let full = memory();
    let found = repository(&full, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    back_up(&found, &held, &point(1), &chunks(20, 1), &[]).await.unwrap();
    let full = objects(&full).await;
    let below = full.keys().filter(|name| name.as_ref().contains("/repositories/")).count();

    for (death, name) in [(Death::Before as fn(usize) -> Death, "before"), (Death::After, "after")]
    {
        for at in 0..below {
            let store = memory_of(&full).await;
            let dying = HookedStore::dying(&store, Some(death(at)));
            assert!(
                Repository::destroy(&dying.dynamic(), VAULT, REPOSITORY).await.is_err(),
                "{name} {at}"
            );
            let keyring = VaultKeyring::open(&store, VAULT, &master).await.unwrap();
            if at > 0 || name == "after" {
                assert!(
                    Repository::open(&store, VAULT, REPOSITORY, &keyring).await.is_err(),
                    "{name} {at}"
                );
                if objects(&store).await.keys().any(|name| name.as_ref().ends_with("/format")) {
                    let revived =
                        Repository::create_or_open(&store, VAULT, REPOSITORY, &keyring).await;
                    assert!(
                        matches!(revived, Err(Error::Corrupt { .. })),
                        "{name} {at}: no new key for it"
                    );
                }
            }
            Repository::destroy(&store, VAULT, REPOSITORY).await.unwrap();
            assert!(
                objects(&store).await.keys().all(|name| !name.as_ref().contains("/repositories/"))
            );
            assert!(list_repositories(&store, VAULT).await.unwrap().is_empty());
            assert_eq!(Repository::destroy(&store, VAULT, REPOSITORY).await.unwrap(), 0, "again");
        }
    }
}

#[tokio::test]
async fn keys_go_first() {
    let store = HookedStore::dying(&memory(), None);
    let found = repository(&store.dynamic(), &MasterKey::generate().unwrap()).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    back_up(&found, &held, &point(1), &chunks(20, 1), &[]).await.unwrap();
    Repository::destroy(&store.dynamic(), VAULT, REPOSITORY).await.unwrap();
    let deletions: Vec<String> =
        store.log().into_iter().filter(|entry| entry.starts_with("delete ")).collect();
    assert!(deletions[0].contains("/keys/"), "{deletions:?}");
    assert!(deletions.last().unwrap().ends_with("/format"), "{deletions:?}");
}

#[tokio::test]
async fn a_vault_goes_after_its_last_repository_and_a_directory_is_empty_then() {
    let directory = tempfile::tempdir().unwrap();
    let store = create_location(&format!("file://{}", directory.path().display())).unwrap();
    let found = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    back_up(&found, &held, &point(1), &chunks(20, 1), &[]).await.unwrap();
    assert!(matches!(VaultKeyring::destroy(&store, VAULT).await, Err(Error::Invalid { .. })));
    assert!(Repository::destroy(&store, VAULT, REPOSITORY).await.unwrap() > 4);
    assert_eq!(VaultKeyring::destroy(&store, VAULT).await.unwrap(), 1);
    assert_eq!(VaultKeyring::destroy(&store, VAULT).await.unwrap(), 0);
    assert!(list_vaults(&store).await.unwrap().is_empty());
    assert!(!directory.path().join("vaults").exists());
}
