//! Collectors and writers that lost their lease without noticing, interrupted at every call.

use std::sync::Arc;

use coffer_store::{ChunkRef, MasterKey, ObjectStore, Repository, Result};
use futures::FutureExt;

use crate::support::{
    TTL_MS, assert_restores, back_up, chunks, collect, hooked_store::HookedStore, lease, memory,
    memory_of, objects, options, point, put, references, repository,
};

/// One recovery point that another is deduplicated against, one deleted, and an interrupted backup after them.
async fn prepare(store: &Arc<dyn ObjectStore>, master: &MasterKey) {
    let found = repository(store, master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    back_up(&found, &held, &point(1), &chunks(20, 1), &[]).await.unwrap();
    back_up(&found, &held, &point(9), &chunks(20, 9), &[]).await.unwrap();
    found.delete_manifest(&held, &point(9), 0).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let interrupted = found.writer(&held, options()).await.unwrap();
    put(&interrupted, &chunks(20, 2), &[]).await.unwrap();
    found.release_lease(held).await.unwrap();
}

/// Deduplicates against an old recovery point, and takes over what an interrupted backup left.
async fn next_backup(found: &Repository, holder: &str, now_ms: u64) -> Result<Vec<ChunkRef>> {
    let held = lease(found, holder, now_ms).await?;
    let mut both = chunks(20, 1);
    both.extend(chunks(20, 2));
    let base = references(found, &point(1)).await?;
    let (_, references) = back_up(found, &held, &point(2), &both, &base).await?;
    found.release_lease(held).await?;
    Ok(references)
}

async fn assert_all_restores(found: &Repository) -> usize {
    let manifests = found.manifests().await.unwrap();
    assert!(manifests.unreadable.is_empty() && manifests.lease_damage.is_none());
    let mut both = chunks(20, 1);
    both.extend(chunks(20, 2));
    for info in &manifests.valid {
        let plain = if info.recovery_point_id == point(1) { &chunks(20, 1) } else { &both };
        assert_restores(found, &info.recovery_point_id, plain).await;
    }
    manifests.valid.len()
}

#[tokio::test]
async fn a_backup_that_takes_over_at_any_call_of_a_collection_loses_nothing() {
    let master = MasterKey::generate().unwrap();
    let prepared = memory();
    prepare(&prepared, &master).await;
    let prepared = objects(&prepared).await;
    for call in 0.. {
        let store = memory_of(&prepared).await;
        let hook = {
            let (store, master) = (Arc::clone(&store), master.clone());
            async move {
                let found = repository(&store, &master).await.unwrap();
                next_backup(&found, "b", TTL_MS).await.unwrap();
            }
        };
        let hooked = HookedStore::interrupted(&store, call, hook.boxed());
        let zombie = repository(&hooked.dynamic(), &master).await.unwrap();
        let _ = collect(&zombie, "gc", 0, 0).await;
        let found = repository(&store, &master).await.unwrap();
        let happened = hooked.happened();
        assert_eq!(assert_all_restores(&found).await, if happened { 2 } else { 1 }, "{call}");
        collect(&found, "later", 10 * TTL_MS, 0).await.unwrap();
        assert_all_restores(&found).await;
        let left = objects(&store).await;
        assert!(left.keys().all(|name| !name.as_ref().contains("/collections/")), "{call}");
        if !happened {
            assert!(call > 20, "{call} calls tried");
            break;
        }
    }
}

#[tokio::test]
async fn a_collection_that_takes_over_at_any_call_of_a_backup_deletes_nothing_that_counts() {
    let master = MasterKey::generate().unwrap();
    let prepared = memory();
    prepare(&prepared, &master).await;
    let prepared = objects(&prepared).await;
    let mut sealed_nevertheless = 0;
    for call in 0.. {
        let store = memory_of(&prepared).await;
        let hook = {
            let (store, master) = (Arc::clone(&store), master.clone());
            async move {
                let found = repository(&store, &master).await.unwrap();
                collect(&found, "gc", TTL_MS, 0).await.unwrap();
            }
        };
        let hooked = HookedStore::interrupted(&store, call, hook.boxed());
        let zombie = repository(&hooked.dynamic(), &master).await.unwrap();
        let outcome = next_backup(&zombie, "b", 0).await;
        let found = repository(&store, &master).await.unwrap();
        let count = assert_all_restores(&found).await;
        if outcome.is_ok() {
            assert_eq!(count, 2, "{call}: what was acknowledged counts");
            sealed_nevertheless += usize::from(hooked.happened());
        }
        collect(&found, "later", 10 * TTL_MS, 0).await.unwrap();
        assert_eq!(assert_all_restores(&found).await, count, "{call}");
        // The garbage of the zombie is gone, and the backup can be made.
        next_backup(&found, "c", 10 * TTL_MS).await.unwrap();
        assert_eq!(assert_all_restores(&found).await, 2);
        if !hooked.happened() {
            assert!(call > 20 && sealed_nevertheless > 0, "{call} calls tried");
            break;
        }
    }
}

#[tokio::test]
async fn a_collection_that_takes_over_from_another_at_any_call_finishes_its_work() {
    let master = MasterKey::generate().unwrap();
    let prepared = memory();
    prepare(&prepared, &master).await;
    let prepared = objects(&prepared).await;
    for call in 0.. {
        let store = memory_of(&prepared).await;
        let hook = {
            let (store, master) = (Arc::clone(&store), master.clone());
            async move {
                let found = repository(&store, &master).await.unwrap();
                collect(&found, "b", TTL_MS, 0).await.unwrap();
                next_backup(&found, "b", TTL_MS).await.unwrap();
            }
        };
        let hooked = HookedStore::interrupted(&store, call, hook.boxed());
        let zombie = repository(&hooked.dynamic(), &master).await.unwrap();
        let _ = collect(&zombie, "gc", 0, 0).await;
        let found = repository(&store, &master).await.unwrap();
        assert_all_restores(&found).await;
        if !hooked.happened() {
            break;
        }
    }
}
