//! Locking recovery points: what is locked, in which order, and that no lock is made shorter or weaker.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex},
};

use coffer_store::{
    ChunkRef, Error, HiddenObject, LockMode, LockReport, MasterKey, ObjectLock, ObjectStore,
    Repository, Result, RetentionLock,
};
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, path::Path};

use crate::support::{back_up, chunks, lease, memory, point, repository};

const MONTH_MS: u64 = 30 * 86_400_000;

/// Locks in memory, in the order in which they were set; refuses those of names that contain `refused`.
#[derive(Debug)]
struct Locks {
    store: Arc<dyn ObjectStore>,
    set: Mutex<Vec<(Path, RetentionLock)>>,
    refused: Mutex<Option<String>>,
}

impl Locks {
    fn new(store: &Arc<dyn ObjectStore>) -> Self {
        Self { store: Arc::clone(store), set: Mutex::default(), refused: Mutex::default() }
    }

    fn held(&self) -> BTreeMap<Path, RetentionLock> {
        self.set.lock().unwrap().iter().cloned().collect()
    }

    fn refuse(&self, names: Option<&str>) {
        *self.refused.lock().unwrap() = names.map(str::to_owned);
    }
}

impl fmt::Display for Locks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("locks in memory")
    }
}

#[async_trait::async_trait]
impl ObjectLock for Locks {
    async fn check(&self) -> Result<()> {
        Ok(())
    }

    async fn get(&self, path: &Path) -> Result<Option<RetentionLock>> {
        if self.store.head(path).await.is_err() {
            return Err(Error::NotFound { what: path.to_string() });
        }
        Ok(self.held().get(path).copied())
    }

    async fn set(&self, path: &Path, lock: &RetentionLock) -> Result<()> {
        if let Some(name) = &*self.refused.lock().unwrap()
            && path.as_ref().contains(name.as_str())
        {
            return Err(Error::LockUnavailable {
                storage: self.to_string(),
                reason: "asked for by the test".to_owned(),
            });
        }
        self.set.lock().unwrap().push((path.clone(), *lock));
        Ok(())
    }

    async fn undelete(
        &self,
        _: u64,
        _: bool,
        _: &mut (dyn FnMut(HiddenObject) + Send),
    ) -> Result<()> {
        Ok(())
    }
}

async fn lock(
    repository: &Repository,
    locks: &Locks,
    point: &str,
    lock: RetentionLock,
) -> Result<LockReport> {
    let (manifest, mut locking) = repository.begin_locking(point).await?;
    let references: Vec<ChunkRef> = serde_json::from_slice(&manifest.body).unwrap();
    references.iter().try_for_each(|chunk| locking.needs(chunk))?;
    locking.lock(locks, lock).await
}

#[tokio::test]
async fn everything_that_a_recovery_point_needs_is_locked_and_its_manifest_last() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let held = lease(&repository, "a", 0).await.unwrap();
    back_up(&repository, &held, &point(1), &chunks(40, 1), &[]).await.unwrap();
    repository.release_lease(held).await.unwrap();
    let locks = Locks::new(&store);
    let until = RetentionLock { mode: LockMode::Locked, until_ms: MONTH_MS };
    let report = lock(&repository, &locks, &point(1), until).await.unwrap();

    let objects: Vec<Path> =
        store.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    let held = locks.held();
    for path in &objects {
        let has_to_go_in_time = path.as_ref().contains("/leases/");
        assert_eq!(held.contains_key(path), !has_to_go_in_time, "{path}");
    }
    assert!(held.values().all(|lock| *lock == until));
    assert_eq!(report.objects, held.len() as u64);
    assert_eq!(report.changed, report.objects);
    let last = locks.set.lock().unwrap().last().unwrap().0.clone();
    assert!(last.as_ref().contains("/manifests/"), "{last}");

    let again = lock(&repository, &locks, &point(1), until).await.unwrap();
    assert_eq!(again, LockReport { objects: report.objects, changed: 0 });
}

#[tokio::test]
async fn a_shared_pack_is_held_by_the_longer_and_by_the_firmer_of_its_locks() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let held = lease(&repository, "a", 0).await.unwrap();
    let content = chunks(40, 1);
    let (_, base) = back_up(&repository, &held, &point(1), &content, &[]).await.unwrap();
    // The second one has the packs of the first.
    back_up(&repository, &held, &point(2), &content, &base).await.unwrap();
    let locks = Locks::new(&store);
    let firm = RetentionLock { mode: LockMode::Locked, until_ms: MONTH_MS };
    let longer = RetentionLock { mode: LockMode::Unlocked, until_ms: 2 * MONTH_MS };
    lock(&repository, &locks, &point(1), firm).await.unwrap();
    lock(&repository, &locks, &point(2), longer).await.unwrap();
    let held = locks.held();
    let packs: Vec<_> = held.iter().filter(|(path, _)| path.as_ref().contains("/packs/")).collect();
    assert!(packs.len() > 1);
    for (path, lock) in packs {
        assert_eq!(
            *lock,
            RetentionLock { mode: LockMode::Locked, until_ms: 2 * MONTH_MS },
            "{path}"
        );
    }
    // And the other way round nothing changes any more.
    let shorter = RetentionLock { mode: LockMode::Unlocked, until_ms: 1 };
    let report = lock(&repository, &locks, &point(1), shorter).await.unwrap();
    assert_eq!(report.changed, 0);
}

#[tokio::test]
async fn where_a_pack_cannot_be_locked_the_manifest_is_not() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let held = lease(&repository, "a", 0).await.unwrap();
    back_up(&repository, &held, &point(1), &chunks(8, 1), &[]).await.unwrap();
    let locks = Locks::new(&store);
    let until = RetentionLock { mode: LockMode::Locked, until_ms: MONTH_MS };
    for part in ["/packs/", "/keys/"] {
        locks.refuse(Some(part));
        let error = lock(&repository, &locks, &point(1), until).await.unwrap_err();
        assert!(matches!(error, Error::LockUnavailable { .. }), "{error}");
        assert!(locks.held().keys().all(|path| !path.as_ref().contains("/manifests/")));
    }
    // It goes on where it ended.
    locks.refuse(None);
    let report = lock(&repository, &locks, &point(1), until).await.unwrap();
    assert!(report.changed > 0 && report.changed < report.objects, "{report:?}");
}

#[tokio::test]
async fn a_recovery_point_with_a_missing_pack_is_damaged_and_not_locked() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let held = lease(&repository, "a", 0).await.unwrap();
    back_up(&repository, &held, &point(1), &chunks(8, 1), &[]).await.unwrap();
    let packs: Vec<Path> = store
        .list(None)
        .map_ok(|meta| meta.location)
        .try_filter(|path| std::future::ready(path.as_ref().contains("/packs/")))
        .try_collect()
        .await
        .unwrap();
    store.delete(&packs[0]).await.unwrap();
    let locks = Locks::new(&store);
    let until = RetentionLock { mode: LockMode::Locked, until_ms: MONTH_MS };
    let error = lock(&repository, &locks, &point(1), until).await.unwrap_err();
    assert!(error.is_damage(), "{error}");
    assert!(locks.held().keys().all(|path| !path.as_ref().contains("/manifests/")));
    let (_, nothing_named) = repository.begin_locking(&point(1)).await.unwrap();
    let error = nothing_named.lock(&locks, until).await.unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }), "{error}");
}
