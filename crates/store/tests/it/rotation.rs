//! Keys are changed by wrapping them anew; at every moment at least one wrapping opens.

use std::sync::Arc;

use coffer_store::{Error, MasterKey, ObjectStore, Repository, Result, VaultKeyring};
use futures::FutureExt;
use object_store::{ObjectStoreExt, path::Path};

use crate::support::{
    REPOSITORY, VAULT, assert_restores, back_up, chunks,
    hooked_store::{Death, HookedStore},
    lease, memory, memory_of, objects, point, repository,
};

async fn open(store: &Arc<dyn ObjectStore>, master: &MasterKey) -> Result<Repository> {
    let keyring = VaultKeyring::open(store, VAULT, master).await?;
    Repository::open(store, VAULT, REPOSITORY, &keyring).await
}

/// Everything that can be changed, in the order in which an operator would.
async fn change_all(store: &Arc<dyn ObjectStore>, old: &MasterKey, new: &MasterKey) -> Result<()> {
    let keyring = VaultKeyring::rotate(store, VAULT, old).await?;
    let repository = Repository::open(store, VAULT, REPOSITORY, &keyring).await?;
    repository.rewrap_key(&keyring).await?;
    VaultKeyring::add_master(store, VAULT, old, new).await?;
    VaultKeyring::remove_master(store, VAULT, old, new).await?;
    Ok(())
}

async fn with_one_backup() -> (std::collections::BTreeMap<Path, bytes::Bytes>, MasterKey) {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    back_up(&found, &held, &point(1), &chunks(8, 1), &[]).await.unwrap();
    (objects(&store).await, master)
}

fn number_below(objects: impl IntoIterator<Item = Path>, directory: &str) -> usize {
    objects.into_iter().filter(|name| name.as_ref().starts_with(directory)).count()
}

#[tokio::test]
async fn all_keys_can_be_changed_and_no_data_is_touched() {
    let (before, old) = with_one_backup().await;
    let (store, new) = (memory_of(&before).await, MasterKey::generate().unwrap());
    let opened_before = open(&store, &old).await.unwrap();
    change_all(&store, &old, &new).await.unwrap();

    let found = open(&store, &new).await.unwrap();
    assert_restores(&found, &point(1), &chunks(8, 1)).await;
    assert_restores(&opened_before, &point(1), &chunks(8, 1)).await;
    assert!(matches!(open(&store, &old).await, Err(Error::WrongKey { .. })));
    let after = objects(&store).await;
    for (name, content) in before.iter().filter(|(name, _)| !name.as_ref().contains("/keys/")) {
        assert_eq!(after.get(name), Some(content), "{name}");
    }
    let root = format!("vaults/{VAULT}");
    assert_eq!(number_below(after.keys().cloned(), &format!("{root}/keys/")), 2);
    let keys = format!("{root}/repositories/{REPOSITORY}/keys/");
    assert_eq!(number_below(after.keys().cloned(), &keys), 1);

    // Again, with nothing to do.
    let keyring = VaultKeyring::open(&store, VAULT, &new).await.unwrap();
    assert_eq!(found.rewrap_key(&keyring).await.unwrap(), 0);
    assert_eq!(VaultKeyring::remove_master(&store, VAULT, &old, &new).await.unwrap(), 0);
    assert_eq!(objects(&store).await, after);
}

#[tokio::test]
async fn whatever_fails_at_whatever_call_the_repository_opens_and_the_change_is_finished_later() {
    let (before, old) = with_one_backup().await;
    let new = MasterKey::generate().unwrap();
    type Fault = fn(&Arc<dyn ObjectStore>, usize) -> HookedStore;
    let faults: [(&str, Fault); 3] = [
        ("fails", HookedStore::failing),
        ("dies before", |store, at| HookedStore::dying(store, Some(Death::Before(at)))),
        ("dies after", |store, at| HookedStore::dying(store, Some(Death::After(at)))),
    ];
    for (name, fault) in faults {
        let mut tried = 0;
        for at in 0.. {
            let store = memory_of(&before).await;
            let faulty = fault(&store, at);
            let outcome = change_all(&faulty.dynamic(), &old, &new).await;
            if !faulty.happened() {
                outcome.unwrap();
                break;
            }
            tried += 1;
            assert!(outcome.is_err(), "{name} {at}");
            let found = match open(&store, &old).await {
                Ok(found) => {
                    assert_restores(&found, &point(1), &chunks(8, 1)).await;
                    change_all(&store, &old, &new).await.unwrap();
                    open(&store, &new).await.unwrap()
                }
                Err(_) => open(&store, &new).await.unwrap(),
            };
            VaultKeyring::remove_master(&store, VAULT, &old, &new).await.unwrap();
            assert_restores(&found, &point(1), &chunks(8, 1)).await;
            assert!(open(&store, &old).await.is_err(), "{name} {at}");
            let keys = format!("vaults/{VAULT}/repositories/{REPOSITORY}/keys/");
            assert_eq!(number_below(objects(&store).await.into_keys(), &keys), 1, "{name} {at}");
        }
        assert!(tried >= 5, "{name}: {tried}");
    }
}

#[tokio::test]
async fn who_opens_while_keys_are_changed_never_finds_none() {
    let (before, master) = with_one_backup().await;
    for call in 0.. {
        let store = memory_of(&before).await;
        let hook = {
            let (store, master) = (Arc::clone(&store), master.clone());
            async move {
                let keyring = VaultKeyring::rotate(&store, VAULT, &master).await.unwrap();
                let found = Repository::open(&store, VAULT, REPOSITORY, &keyring).await.unwrap();
                assert_eq!(found.rewrap_key(&keyring).await.unwrap(), 1);
            }
        };
        let hooked = HookedStore::interrupted(&store, call, hook.boxed());
        let (hooked_store, count) = (hooked.dynamic(), before.len());
        match repository(&hooked_store, &master).await {
            Ok(found) => assert_restores(&found, &point(1), &chunks(8, 1)).await,
            // The keyring was read before the vault had the key: to be read again.
            Err(error) => assert!(matches!(error, Error::WrongKey { .. }), "{call}: {error}"),
        }
        assert_restores(&open(&store, &master).await.unwrap(), &point(1), &chunks(8, 1)).await;
        if !hooked.happened() {
            break;
        }
        assert_eq!(objects(&store).await.len(), count + 1, "{call}: one vault key more");
    }
}

#[tokio::test]
async fn two_that_wrap_anew_at_once_leave_one_wrapping_at_least() {
    let (before, master) = with_one_backup().await;
    for call in 0.. {
        let store = memory_of(&before).await;
        let keyring = VaultKeyring::rotate(&store, VAULT, &master).await.unwrap();
        let hook = {
            let (store, master) = (Arc::clone(&store), master.clone());
            async move {
                let keyring = VaultKeyring::rotate(&store, VAULT, &master).await.unwrap();
                let found = Repository::open(&store, VAULT, REPOSITORY, &keyring).await.unwrap();
                found.rewrap_key(&keyring).await.unwrap();
            }
        };
        let hooked = HookedStore::interrupted(&store, call, hook.boxed());
        if let Ok(found) = Repository::open(&hooked.dynamic(), VAULT, REPOSITORY, &keyring).await {
            // The other one may have taken away what this keyring opens.
            let _ = found.rewrap_key(&keyring).await;
        }
        assert_restores(&open(&store, &master).await.unwrap(), &point(1), &chunks(8, 1)).await;
        if !hooked.happened() {
            break;
        }
    }
}

#[tokio::test]
async fn a_master_key_is_not_removed_before_the_other_opens_everything() {
    let (before, old) = with_one_backup().await;
    let (store, new) = (memory_of(&before).await, MasterKey::generate().unwrap());
    assert!(VaultKeyring::remove_master(&store, VAULT, &old, &new).await.is_err());
    assert!(matches!(
        VaultKeyring::remove_master(&store, VAULT, &old, &old).await,
        Err(Error::Invalid { .. })
    ));
    assert!(matches!(
        VaultKeyring::add_master(&store, VAULT, &new, &old).await,
        Err(Error::WrongKey { .. })
    ));
    assert_eq!(objects(&store).await, before);
    VaultKeyring::add_master(&store, VAULT, &old, &new).await.unwrap();
    VaultKeyring::rotate(&store, VAULT, &old).await.unwrap();
    let refused = VaultKeyring::remove_master(&store, VAULT, &old, &new).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })), "a key was added under the old one");
    open(&store, &new).await.unwrap();
    open(&store, &old).await.unwrap();
}

#[tokio::test]
async fn the_key_of_one_who_was_slow_to_make_the_repository_is_not_meant() {
    let (before, master) = with_one_backup().await;
    let store = memory_of(&before).await;
    let keyring = VaultKeyring::rotate(&store, VAULT, &master).await.unwrap();
    let found = open(&store, &master).await.unwrap();
    found.rewrap_key(&keyring).await.unwrap();

    let elsewhere = memory_of(
        &objects(&store)
            .await
            .into_iter()
            .filter(|(name, _)| !name.as_ref().contains("/repositories/"))
            .collect(),
    )
    .await;
    repository(&elsewhere, &master).await.unwrap();
    let name = Path::from(format!("vaults/{VAULT}/repositories/{REPOSITORY}/keys/0000000001"));
    let late = elsewhere.get(&name).await.unwrap().bytes().await.unwrap();
    store.put(&name, late.into()).await.unwrap();

    let found = open(&store, &master).await.unwrap();
    assert_restores(&found, &point(1), &chunks(8, 1)).await;
    found.rewrap_key(&VaultKeyring::rotate(&store, VAULT, &master).await.unwrap()).await.unwrap();
    assert_restores(&open(&store, &master).await.unwrap(), &point(1), &chunks(8, 1)).await;
}
