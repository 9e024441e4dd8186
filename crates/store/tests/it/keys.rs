//! Keys: made once, wrapped, and of use only to who has the one above.

use std::sync::Arc;

use coffer_store::{Error, MasterKey, Repository, VaultKeyring};
use object_store::{ObjectStoreExt, path::Path};
use uuid::Uuid;

use crate::support::{REPOSITORY, VAULT, memory, memory_of, objects, repository};

#[tokio::test]
async fn another_master_key_is_a_wrong_key() {
    let store = memory();
    repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let other = MasterKey::generate().unwrap();
    for opened in [
        VaultKeyring::open(&store, VAULT, &other).await,
        VaultKeyring::create_or_open(&store, VAULT, &other).await,
    ] {
        assert!(matches!(opened, Err(Error::WrongKey { .. })));
    }
    assert_eq!(objects(&store).await.len(), 3, "nothing was added");
}

#[tokio::test]
async fn what_does_not_exist_is_not_found_and_not_made_by_opening() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    assert!(matches!(
        VaultKeyring::open(&store, VAULT, &master).await,
        Err(Error::NotFound { .. })
    ));
    let keyring = VaultKeyring::create_or_open(&store, VAULT, &master).await.unwrap();
    assert!(matches!(
        Repository::open(&store, VAULT, REPOSITORY, &keyring).await,
        Err(Error::NotFound { .. })
    ));
    assert_eq!(objects(&store).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_make_a_repository_at_once_all_open_the_same() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    let attempts = (0..8).map(|_| {
        let (store, master) = (Arc::clone(&store), master.clone());
        tokio::spawn(async move { *repository(&store, &master).await.unwrap().row_hash_key() })
    });
    let keys: Vec<[u8; 32]> =
        futures::future::join_all(attempts).await.into_iter().map(|key| key.unwrap()).collect();
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[tokio::test]
async fn vaults_and_repositories_have_keys_of_their_own() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    let other = Uuid::from_u128(9);
    let keyring = VaultKeyring::create_or_open(&store, VAULT, &master).await.unwrap();
    let other_keyring = VaultKeyring::create_or_open(&store, other, &master).await.unwrap();
    let one = Repository::create_or_open(&store, VAULT, REPOSITORY, &keyring).await.unwrap();
    let two = Repository::create_or_open(&store, VAULT, other, &keyring).await.unwrap();
    let three =
        Repository::create_or_open(&store, other, REPOSITORY, &other_keyring).await.unwrap();
    assert_ne!(one.row_hash_key(), two.row_hash_key());
    assert_ne!(one.row_hash_key(), three.row_hash_key());
    assert!(matches!(
        Repository::open(&store, VAULT, REPOSITORY, &other_keyring).await,
        Err(Error::Invalid { .. })
    ));
}

#[tokio::test]
async fn a_damaged_copy_of_a_key_does_no_harm_beside_a_good_one() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    let first = *repository(&store, &master).await.unwrap().row_hash_key();
    let root = format!("vaults/{VAULT}");
    for keys in [format!("{root}/keys"), format!("{root}/repositories/{REPOSITORY}/keys")] {
        store.put(&Path::from(format!("{keys}/0000000002")), "damaged".into()).await.unwrap();
    }
    assert_eq!(*repository(&store, &master).await.unwrap().row_hash_key(), first);
}

#[tokio::test]
async fn a_repository_moved_to_another_name_does_not_open() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    repository(&store, &master).await.unwrap();
    let other = Uuid::from_u128(9);
    let moved = objects(&store).await.into_iter().map(|(name, content)| {
        (Path::from(name.as_ref().replace(&REPOSITORY.to_string(), &other.to_string())), content)
    });
    let store = memory_of(&moved.collect()).await;
    let keyring = VaultKeyring::open(&store, VAULT, &master).await.unwrap();
    assert!(matches!(
        Repository::open(&store, VAULT, other, &keyring).await,
        Err(Error::Corrupt { .. })
    ));
}

#[tokio::test]
async fn newer_formats_and_unknown_features_are_refused_and_damage_is_damage() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    repository(&store, &master).await.unwrap();
    let format = Path::from(format!("vaults/{VAULT}/repositories/{REPOSITORY}/format"));
    let cases = [
        (r#"{"magic": "coffer repository", "version": 2, "required_features": []}"#, false),
        (
            r#"{"magic": "coffer repository", "version": 1, "required_features": ["relocations"]}"#,
            false,
        ),
        (r#"{"magic": "something", "version": 1, "required_features": []}"#, true),
        (r#"{"magic": "coffer repository", "version": 0, "required_features": []}"#, true),
        ("{", true),
        ("", true),
    ];
    for (text, damage) in cases {
        store.put(&format, text.into()).await.unwrap();
        let error = repository(&store, &master).await.unwrap_err();
        let expected = if damage {
            matches!(error, Error::Corrupt { .. })
        } else {
            matches!(error, Error::UnsupportedFormat { .. })
        };
        assert!(expected, "{text}: {error}");
    }
    let unknown =
        r#"{"magic": "coffer repository", "version": 1, "required_features": [], "later": 1}"#;
    store.put(&format, unknown.into()).await.unwrap();
    repository(&store, &master).await.unwrap();
}
