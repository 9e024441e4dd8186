mod power_failure;
mod unsynced;

use object_store::ObjectStoreExt;

use super::*;

fn store() -> (tempfile::TempDir, LocalStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = LocalStore::open(directory.path()).unwrap();
    (directory, store)
}

fn create() -> PutOptions {
    PutOptions { mode: PutMode::Create, ..PutOptions::default() }
}

#[tokio::test]
async fn an_object_is_written_once() {
    let (_directory, store) = store();
    let path = Path::from("a/b/c");
    store.put_opts(&path, "one".into(), create()).await.unwrap();
    let again = store.put_opts(&path, "two".into(), create()).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })));
    assert!(
        store.put_opts(&path, "two".into(), PutOptions::default()).await.is_err(),
        "no overwriting"
    );
    assert!(store.copy(&path, &Path::from("d")).await.is_err());
    assert!(store.rename(&path, &Path::from("d")).await.is_err());
    assert_eq!(store.get(&path).await.unwrap().bytes().await.unwrap(), "one");
}

#[tokio::test]
async fn of_many_writers_one_wins() {
    let (_directory, store) = store();
    let store = Arc::new(store);
    let attempts = (0..16).map(|number: u32| {
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            store
                .put_opts(&Path::from("x/y"), number.to_string().into(), create())
                .await
                .is_ok()
                .then_some(number)
        })
    });
    let winners: Vec<u32> = futures::future::join_all(attempts)
        .await
        .into_iter()
        .filter_map(|attempt| attempt.unwrap())
        .collect();
    assert_eq!(winners.len(), 1);
    let content = store.get(&Path::from("x/y")).await.unwrap().bytes().await.unwrap();
    assert_eq!(content, winners[0].to_string());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn writers_and_deleters_of_one_directory_do_not_trip_over_each_other() {
    let (directory, store) = store();
    let store = Arc::new(store);
    for round in 0..40_u32 {
        let tasks = (0..4_u32).map(|task| {
            let store = Arc::clone(&store);
            tokio::spawn(async move {
                let path = Path::from(format!("a/b/c/{task}-{round}"));
                store.put_opts(&path, "x".into(), create()).await.unwrap();
                store.delete(&path).await.unwrap();
            })
        });
        for task in futures::future::join_all(tasks).await {
            task.unwrap();
        }
    }
    assert!(!directory.path().join("a").exists(), "what is empty is gone");
}

#[tokio::test]
async fn deleting_leaves_no_directories_and_says_what_was_not_there() {
    let (directory, store) = store();
    for name in ["a/b/1", "a/b/2", "a/c/3"] {
        store.put_opts(&Path::from(name), "x".into(), create()).await.unwrap();
    }
    store.delete(&Path::from("a/b/1")).await.unwrap();
    store.delete(&Path::from("a/b/2")).await.unwrap();
    assert!(!directory.path().join("a/b").exists());
    assert!(directory.path().join("a/c/3").exists());
    let missing = store.delete(&Path::from("a/b/1")).await;
    assert!(matches!(missing, Err(object_store::Error::NotFound { .. })));
    store.delete(&Path::from("a/c/3")).await.unwrap();
    assert!(!directory.path().join("a").exists());
    store.put_opts(&Path::from("a/b/1"), "y".into(), create()).await.unwrap();
}

#[tokio::test]
async fn temporary_files_are_no_objects_and_do_not_outlive_their_process() {
    let (directory, store) = store();
    store.put_opts(&Path::from("a/1"), "x".into(), create()).await.unwrap();
    let staging = store.disk.staging.get().unwrap().directory.clone();
    fs::write(staging.join("77"), "half").unwrap();
    assert_eq!(store.list(None).try_collect::<Vec<_>>().await.unwrap().len(), 1);
    assert_eq!(store.list_with_delimiter(None).await.unwrap().common_prefixes, [Path::from("a")]);

    let other = LocalStore::open(directory.path()).unwrap();
    assert!(staging.join("77").exists(), "its owner lives");
    let dead = directory.path().join(STAGING).join("dead");
    fs::create_dir(&dead).unwrap();
    fs::write(dead.join(LOCK), "").unwrap();
    fs::write(dead.join("1"), "half").unwrap();
    drop(LocalStore::open(directory.path()).unwrap());
    assert!(!dead.exists());
    drop(other);
    drop(store);
    assert!(!staging.exists());
}
