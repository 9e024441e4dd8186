//! What verification found damaged is stored anew by the next backup, and is trusted again when it is whole again.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use coffer_store::{
    ChunkKind, ChunkRef, LeasePurpose, MasterKey, ObjectStore, Repository, Share, VerifyDepth,
};
use object_store::{ObjectStoreExt, path::Path};

use crate::support::{
    TTL_MS, assert_restores, back_up, chunks, collect, flipped,
    hooked_store::{Death, HookedStore},
    lease, memory, memory_of, objects, options, packs, point, put, references, replace, repository,
    verify_all, verify_and_record,
};

fn first() -> Vec<(ChunkKind, Vec<u8>)> {
    chunks(40, 1)
}

/// One recovery point, one of whose chunks rotted: the object's name, its good bytes, and the references.
struct Rotten {
    store: Arc<dyn ObjectStore>,
    found: Repository,
    name: Path,
    good: Bytes,
    base: Vec<ChunkRef>,
    damaged: ChunkRef,
}

async fn rotten(master: &MasterKey) -> Rotten {
    let store = memory();
    let found = repository(&store, master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let (_, base) = back_up(&found, &held, &point(1), &first(), &[]).await.unwrap();
    found.release_lease(held).await.unwrap();
    let damaged = base[5];
    let all = objects(&store).await;
    let pack = damaged.pack.to_string();
    let (name, good) = all.iter().find(|(name, _)| name.as_ref().ends_with(&pack)).unwrap();
    replace(&store, name, flipped(good, damaged.offset as usize + 3)).await;
    Rotten { found, name: name.clone(), good: good.clone(), base, damaged, store }
}

fn records(objects: &BTreeMap<Path, Bytes>) -> Vec<Path> {
    objects.keys().filter(|name| name.as_ref().contains("/damaged/")).cloned().collect()
}

/// The same database again; how many chunks were stored.
async fn next_backup(found: &Repository, number: u32, base: &[ChunkRef]) -> u64 {
    let held = lease(found, "a", 0).await.unwrap();
    let (info, _) = back_up(found, &held, &point(number), &first(), base).await.unwrap();
    found.release_lease(held).await.unwrap();
    info.stats.stored_chunks
}

#[tokio::test]
async fn the_next_backup_stores_damaged_chunks_anew() {
    let master = MasterKey::generate().unwrap();
    let Rotten { found, base, damaged, store, .. } = rotten(&master).await;
    let report = verify_and_record(&found, 0).await;
    assert_eq!(report.damaged_packs, 1);
    let on_record = found.damaged_packs().await.unwrap();
    assert_eq!(on_record.of(&damaged).unwrap().chunks.as_deref(), Some(&[damaged.number][..]));

    let held = lease(&found, "a", 0).await.unwrap();
    let writer = found.writer(&held, options()).await.unwrap();
    for reference in &base {
        assert_eq!(writer.can_reuse(reference), reference.pack != damaged.pack);
    }
    drop(writer);
    found.release_lease(held).await.unwrap();
    assert!(next_backup(&found, 2, &base).await > 0);
    assert_restores(&found, &point(2), &first()).await;

    // Which recovery point is damaged is known, and which is not.
    for (number, expected) in [(1, 1), (2, 0)] {
        let verifier = found.verifier(VerifyDepth::Closure).knowing(on_record.clone());
        for reference in references(&found, &point(number)).await.unwrap() {
            verifier.check(&reference).await.unwrap();
        }
        assert_eq!(verifier.finish().damaged_chunks, expected, "{number}");
    }
    // From now on the sound copy is what later backups take over.
    let base = references(&found, &point(2)).await.unwrap();
    assert_eq!(next_backup(&found, 3, &base).await, 0);
    assert_restores(&found, &point(3), &first()).await;
    // Found again under another lease: on record once more, and still one pack.
    verify_and_record(&found, 0).await;
    assert_eq!(records(&objects(&store).await).len(), 2);
    assert_eq!(found.damaged_packs().await.unwrap().iter().count(), 1);
}

#[tokio::test]
async fn a_pack_that_was_repaired_is_trusted_when_it_was_read_whole_and_not_before() {
    let master = MasterKey::generate().unwrap();
    let Rotten { found, name, good, base, store, damaged } = rotten(&master).await;
    verify_and_record(&found, 0).await;
    replace(&store, &name, good.clone()).await;
    assert!(next_backup(&found, 2, &base).await > 0, "nobody has looked yet");
    assert!(verify_and_record(&found, 0).await.is_proof());
    assert!(records(&objects(&store).await).is_empty());
    assert_eq!(next_backup(&found, 3, &base).await, 0);
    assert_restores(&found, &point(1), &first()).await;
    assert_restores(&found, &point(3), &first()).await;

    // A verifier that lost its lease cannot take back what a later one found.
    let (verdicts, _) = verify_all(&found, Share::ALL, None).await;
    let stale = found.acquire_lease("v", LeasePurpose::Verification, 0, TTL_MS).await.unwrap();
    replace(&store, &name, flipped(&good, damaged.offset as usize)).await;
    verify_and_record(&found, TTL_MS).await;
    assert!(found.record_verdicts(&stale, &verdicts).await.is_err());
    assert_eq!(records(&objects(&store).await).len(), 1);
}

#[tokio::test]
async fn a_record_that_is_itself_damaged_distrusts_all_the_same() {
    let master = MasterKey::generate().unwrap();
    let Rotten { found, base, damaged, store, .. } = rotten(&master).await;
    verify_and_record(&found, 0).await;
    let name = records(&objects(&store).await).remove(0);
    for content in
        [Bytes::new(), Bytes::from_static(b"x"), flipped(&objects(&store).await[&name], 90)]
    {
        replace(&store, &name, content).await;
        assert_eq!(found.damaged_packs().await.unwrap().of(&damaged).unwrap().chunks, None);
        let held = lease(&found, "a", 0).await.unwrap();
        let writer = found.writer(&held, options()).await.unwrap();
        assert!(!writer.can_reuse(&damaged) && base.iter().any(|of| writer.can_reuse(of)));
        found.release_lease(held).await.unwrap();
    }
}

#[tokio::test]
async fn a_pack_of_an_interrupted_backup_that_rotted_is_not_taken_over() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let interrupted = found.writer(&held, options()).await.unwrap();
    put(&interrupted, &first(), &[]).await.unwrap();
    found.release_lease(held).await.unwrap();
    // Every footer is authentic, every first chunk is not.
    for name in packs(&store).await {
        replace(&store, &name, flipped(&objects(&store).await[&name], 60)).await;
    }
    verify_and_record(&found, 0).await;
    next_backup(&found, 1, &[]).await;
    assert_restores(&found, &point(1), &first()).await;
}

#[tokio::test]
async fn collections_keep_what_is_left_of_a_damaged_pack_while_it_is_needed() {
    let master = MasterKey::generate().unwrap();
    let Rotten { found, base, name, store, .. } = rotten(&master).await;
    verify_and_record(&found, 0).await;
    next_backup(&found, 2, &base).await;
    collect(&found, "gc", 0, 0).await.unwrap();
    assert!(packs(&store).await.contains(&name), "some of its chunks can still be read");
    assert_eq!(records(&objects(&store).await).len(), 1);

    // Lost altogether: known, so that a collection need not refuse for ever.
    let lost = memory_of(&objects(&store).await).await;
    lost.delete(&name).await.unwrap();
    for record in records(&objects(&lost).await) {
        lost.delete(&record).await.unwrap();
    }
    let without = repository(&lost, &master).await.unwrap();
    assert!(collect(&without, "gc", 0, 0).await.unwrap_err().is_damage(), "nobody knows yet");
    let held =
        without.acquire_lease("v", LeasePurpose::Verification, TTL_MS, TTL_MS).await.unwrap();
    without.distrust_pack(&held, base[5].pack, "it is missing").await.unwrap();
    without.release_lease(held).await.unwrap();
    collect(&without, "gc", 0, 0).await.unwrap();
    assert_restores(&without, &point(2), &first()).await;
    assert_eq!(
        records(&objects(&lost).await).len(),
        1,
        "the recovery point that needs it is there"
    );

    // With the last recovery point that needs it go the pack and its record.
    let held = lease(&found, "a", 0).await.unwrap();
    found.delete_manifest(&held, &point(1), 0).await.unwrap();
    found.release_lease(held).await.unwrap();
    collect(&found, "gc", 0, 0).await.unwrap();
    assert!(!packs(&store).await.contains(&name));
    assert!(records(&objects(&store).await).is_empty());
    assert_restores(&found, &point(2), &first()).await;
}

#[tokio::test]
async fn whatever_fails_while_damage_is_put_on_record_the_next_run_finishes_it() {
    let master = MasterKey::generate().unwrap();
    let prepared = rotten(&master).await;
    let before = objects(&prepared.store).await;
    type Fault = fn(&Arc<dyn ObjectStore>, usize) -> HookedStore;
    let faults: [(&str, Fault); 3] = [
        ("fails", HookedStore::failing),
        ("dies before", |store, at| HookedStore::dying(store, Some(Death::Before(at)))),
        ("dies after", |store, at| HookedStore::dying(store, Some(Death::After(at)))),
    ];
    let record = async |store: &Arc<dyn ObjectStore>| {
        let found = repository(store, &master).await?;
        let mut run = found.verify_packs(Share::ALL, None).await?;
        let mut verdicts = Vec::new();
        while let Some(verdict) = run.next().await {
            verdicts.push(verdict);
        }
        let held = found.acquire_lease("v", LeasePurpose::Verification, 0, TTL_MS).await?;
        found.record_verdicts(&held, &verdicts).await?;
        found.release_lease(held).await
    };
    let mut tried = 0;
    for (name, fault) in faults {
        for at in 0.. {
            let store = memory_of(&before).await;
            let faulty = fault(&store, at);
            let outcome = record(&faulty.dynamic()).await;
            let found = repository(&store, &master).await.unwrap();
            let distrusted = !found.damaged_packs().await.unwrap().is_empty();
            if !faulty.happened() {
                outcome.unwrap();
                assert!(distrusted);
                break;
            }
            tried += 1;
            record(&store).await.unwrap();
            next_backup(&found, 2, &prepared.base).await;
            assert_restores(&found, &point(2), &first()).await;
            // And back: the repair is found out in spite of the same faults.
            replace(&store, &prepared.name, prepared.good.clone()).await;
            let faulty = fault(&store, at);
            let _ = record(&faulty.dynamic()).await;
            record(&store).await.unwrap();
            assert!(records(&objects(&store).await).is_empty(), "{name} {at}");
        }
    }
    assert!(tried > 20, "{tried}");
}
