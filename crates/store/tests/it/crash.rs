//! The process dies at every write of a backup; afterwards nothing that a manifest names is missing, and the backup goes on.

use std::sync::Arc;

use coffer_store::{MasterKey, ObjectStore, Result};

use crate::support::{
    assert_adds_up, assert_restores, back_up, chunks,
    hooked_store::{Death, HookedStore},
    lease, memory, objects, options, point, put, references, repository,
};

const CHUNKS: u32 = 40;

/// From nothing to a sealed recovery point on top of another one, with a renewal in between.
async fn two_backups(store: &Arc<dyn ObjectStore>, master: &MasterKey) -> Result<()> {
    let repository = repository(store, master).await?;
    let held = lease(&repository, "a", 0).await?;
    let (_, base) = back_up(&repository, &held, &point(1), &chunks(CHUNKS, 1), &[]).await?;
    repository.renew_lease(&held, 1).await?;
    repository.renew_lease(&held, 2).await?;
    repository.release_lease(held).await?;
    let held = lease(&repository, "a", 3).await?;
    back_up(&repository, &held, &point(2), &chunks(CHUNKS, 2), &base).await?;
    Ok(())
}

#[tokio::test]
async fn death_at_every_write() {
    let master = MasterKey::generate().unwrap();
    let mut points = 0;
    for (death, name) in [(Death::Before as fn(usize) -> Death, "before"), (Death::After, "after")]
    {
        for at in 0.. {
            let store = memory();
            let dying = HookedStore::dying(&store, Some(death(at)));
            let outcome = two_backups(&dying.dynamic(), &master).await;
            if !dying.happened() {
                outcome.unwrap();
                break;
            }
            points += 1;
            assert!(outcome.is_err(), "{name} write {at}");
            let found = repository(&store, &master).await.unwrap();
            let manifests = found.manifests().await.unwrap();
            assert!(
                manifests.unreadable.is_empty() && manifests.lease_damage.is_none(),
                "{name} write {at}"
            );
            for info in &manifests.valid {
                let seed = if info.recovery_point_id == point(1) { 1 } else { 2 };
                assert_restores(&found, &info.recovery_point_id, &chunks(CHUNKS, seed)).await;
            }
            // The same holder goes on at once, whatever became of its lease.
            let held = lease(&found, "a", 4).await.unwrap();
            let base = references(&found, &point(1)).await.unwrap_or_default();
            let (info, _) =
                back_up(&found, &held, &point(2), &chunks(CHUNKS, 2), &base).await.unwrap();
            assert_adds_up(&info.stats, &chunks(CHUNKS, 2));
            assert_restores(&found, &point(2), &chunks(CHUNKS, 2)).await;
        }
    }
    assert!(points > 40, "{points} deaths tried");
}

#[tokio::test]
async fn whole_packs_of_an_interrupted_backup_are_found_again() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let chunks = chunks(CHUNKS, 1);
    let interrupted = found.writer(&held, options()).await.unwrap();
    let references = put(&interrupted, &chunks, &[]).await.unwrap();
    let distinct = interrupted.stats().stored_chunks;
    drop(interrupted);
    let packs = async || {
        objects(&store).await.keys().filter(|name| name.as_ref().contains("/packs/")).count()
    };
    let before = packs().await;
    assert!(before > 2);

    // In the same lease, and in the next one.
    for (number, holder) in [(1, None), (2, Some("b"))] {
        let held = match holder {
            None => held.clone(),
            Some(holder) => {
                found.release_lease(held.clone()).await.unwrap();
                lease(&found, holder, 0).await.unwrap()
            }
        };
        let writer = found.writer(&held, options()).await.unwrap();
        assert_eq!(put(&writer, &chunks, &[]).await.unwrap(), references);
        assert_eq!((writer.stats().stored_chunks, writer.stats().packs), (0, 0));
        assert!(writer.stats().resumed_chunks >= distinct);
        if number == 2 {
            writer.seal(&point(1), &serde_json::to_vec(&references).unwrap()).await.unwrap();
        }
    }
    assert_restores(&found, &point(1), &chunks).await;
    assert_eq!(packs().await, before);
}

#[tokio::test]
async fn a_pack_that_is_not_whole_is_not_resumed() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let chunks = chunks(CHUNKS, 1);
    let interrupted = found.writer(&held, options()).await.unwrap();
    put(&interrupted, &chunks, &[]).await.unwrap();
    drop(interrupted);
    let mut damaged = objects(&store).await;
    for (number, (_, content)) in
        damaged.iter_mut().filter(|(name, _)| name.as_ref().contains("/packs/")).enumerate()
    {
        // Cut at the end, cut to nothing, zeros at the end: what a lying disk leaves behind.
        *content = match number % 3 {
            0 => content.slice(..content.len() - 1),
            1 => content.slice(..0),
            _ => [&content[..content.len() - 100], &[0; 100]].concat().into(),
        };
    }
    let store = crate::support::memory_of(&damaged).await;
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let (info, _) = back_up(&found, &held, &point(1), &chunks, &[]).await.unwrap();
    assert_eq!(info.stats.resumed_chunks, 0);
    assert_restores(&found, &point(1), &chunks).await;
}

#[tokio::test]
async fn a_pack_that_cannot_be_stored_fails_the_backup_and_not_only_once() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    repository(&store, &master).await.unwrap();
    // The claim and the acceptance are written, the first pack is not.
    let dying = HookedStore::dying(&store, Some(Death::Before(2)));
    let found = repository(&dying.dynamic(), &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let writer = found.writer(&held, options()).await.unwrap();
    let mut stream = writer.stream();
    let mut failures = 0;
    for (kind, plain) in chunks(CHUNKS, 1) {
        failures += u32::from(stream.put(kind, &plain, None).await.is_err());
    }
    assert!(failures > 1, "a stream that failed goes on failing");
    assert!(stream.finish().await.is_err());
    assert!(writer.seal(&point(1), b"").await.is_err());
    assert!(repository(&store, &master).await.unwrap().manifests().await.unwrap().valid.is_empty());
}
