//! Garbage goes, all else stays, and whatever cannot be read ends a collection before anything is deleted.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use coffer_store::{Error, LeasePurpose, MasterKey, ObjectStore, PackReason, Repository};
use object_store::path::Path;

use crate::support::{
    TTL_MS, assert_restores, back_up, chunks, collect,
    hooked_store::{Death, HookedStore},
    lease, memory, memory_of, objects, options, packs, plan_collection, point, put, repository,
};

const GRACE_MS: u64 = 1_000;

/// Two recovery points of which the second refers to packs of the first, which is deleted, and a newer interrupted backup.
async fn with_garbage(master: &MasterKey) -> BTreeMap<Path, Bytes> {
    let store = memory();
    let found = repository(&store, master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let (_, base) = back_up(&found, &held, &point(1), &chunks(60, 1), &[]).await.unwrap();
    back_up(&found, &held, &point(2), &second(), &base).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    found.delete_manifest(&held, &point(1), 0).await.unwrap();
    let interrupted = found.writer(&held, options()).await.unwrap();
    put(&interrupted, &chunks(20, 3), &[]).await.unwrap();
    found.release_lease(held).await.unwrap();
    objects(&store).await
}

/// Half of the first recovery point, and more.
fn second() -> Vec<(coffer_store::ChunkKind, Vec<u8>)> {
    let mut second = chunks(60, 1);
    second.truncate(20);
    second.extend(chunks(10, 2));
    second
}

async fn opened(
    objects: &BTreeMap<Path, Bytes>,
    master: &MasterKey,
) -> (Arc<dyn ObjectStore>, Repository) {
    let store = memory_of(objects).await;
    let repository = repository(&store, master).await.unwrap();
    (store, repository)
}

#[tokio::test]
async fn only_what_nobody_needs_is_deleted() {
    let master = MasterKey::generate().unwrap();
    let before = with_garbage(&master).await;
    let (store, found) = opened(&before, &master).await;
    let count = packs(&store).await.len() as u64;

    let held = found.acquire_lease("gc", LeasePurpose::Collection, 0, TTL_MS).await.unwrap();
    let plan = plan_collection(&found, &held, 0, GRACE_MS).await.unwrap();
    let number =
        |reason| plan.decisions().iter().filter(|decision| decision.reason == reason).count();
    for reason in [PackReason::Needed, PackReason::Unreferenced, PackReason::WithinGrace] {
        assert!(number(reason) > 0, "{reason:?}");
    }
    assert_eq!(packs(&store).await.len() as u64, count, "a plan deletes nothing");
    let (unreferenced, young) =
        (number(PackReason::Unreferenced) as u64, number(PackReason::WithinGrace) as u64);
    let report = found.collect(&held, plan).await.unwrap();
    assert_eq!((report.deleted_packs, report.kept_packs), (unreferenced, count - unreferenced));
    assert!(report.deleted_bytes > 0 && report.kept_bytes > 0);
    found.release_lease(held).await.unwrap();
    assert_restores(&found, &point(2), &second()).await;

    // What was interrupted is taken over as long as it is there.
    let again = collect(&found, "gc", 0, GRACE_MS).await.unwrap();
    assert_eq!(again.deleted_packs, 0);
    let held = lease(&found, "a", 0).await.unwrap();
    let writer = found.writer(&held, options()).await.unwrap();
    put(&writer, &chunks(20, 3), &[]).await.unwrap();
    assert_eq!(writer.stats().stored_chunks, 0);
    found.release_lease(held).await.unwrap();
    assert_eq!(collect(&found, "gc", u64::MAX / 2, GRACE_MS).await.unwrap().deleted_packs, young);
    assert_restores(&found, &point(2), &second()).await;
    assert!(objects(&store).await.keys().all(|name| !name.as_ref().contains("/collections/")));
}

/// What partly needed packs hold in vain is what a repository of only what is needed would be smaller by.
#[tokio::test]
async fn what_is_not_needed_beside_what_is_counts_to_the_byte() {
    let master = MasterKey::generate().unwrap();
    let store = memory();
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let all = chunks(24, 1);
    let (_, references) = back_up(&found, &held, &point(1), &all, &[]).await.unwrap();
    found.release_lease(held).await.unwrap();
    let whole = collect(&found, "gc", 0, 0).await.unwrap();
    assert_eq!((whole.idle_packs, whole.idle_bytes), (0, 0), "everything is needed");

    // Every third chunk is needed by two recovery points, the others by none.
    let (kept, base): (Vec<_>, Vec<_>) = all
        .iter()
        .zip(&references)
        .enumerate()
        .filter(|(number, _)| number % 3 == 1)
        .map(|(_, (chunk, reference))| (chunk.clone(), *reference))
        .unzip();
    for number in 2..4 {
        let held = lease(&found, "a", 0).await.unwrap();
        back_up(&found, &held, &point(number), &kept, &base).await.unwrap();
        found.release_lease(held).await.unwrap();
    }
    let held = found.acquire_lease("d", LeasePurpose::Deletion, 0, TTL_MS).await.unwrap();
    assert!(found.delete_manifest(&held, &point(1), 0).await.unwrap());
    found.release_lease(held).await.unwrap();
    let held = found.acquire_lease("gc", LeasePurpose::Collection, 0, TTL_MS).await.unwrap();
    let plan = plan_collection(&found, &held, 0, 0).await.unwrap();
    let mut expected = 0;
    for decision in plan.decisions() {
        let needed: BTreeMap<u32, u64> = base
            .iter()
            .filter(|reference| reference.pack == decision.pack)
            .map(|reference| (reference.number, u64::from(reference.stored_bytes)))
            .collect();
        // Header, and a footer of as many entries (`docs/format.md` §7).
        let alone = 56 + needed.values().sum::<u64>() + 12 + 41 * needed.len() as u64 + 8 + 16 + 12;
        let idle = if needed.is_empty() { 0 } else { decision.bytes - alone };
        assert_eq!(decision.idle_bytes, idle, "{decision:?}");
        expected += idle;
    }
    let report = found.collect(&held, plan).await.unwrap();
    assert!(expected > 0 && report.idle_packs > 0 && report.idle_packs <= report.kept_packs);
    assert_eq!(report.idle_bytes, expected);
    assert_restores(&found, &point(3), &kept).await;
}

#[tokio::test]
async fn whatever_fails_at_whatever_call_nothing_is_lost_and_the_next_one_finishes() {
    let master = MasterKey::generate().unwrap();
    let before = with_garbage(&master).await;
    let (store, found) = opened(&before, &master).await;
    collect(&found, "gc", 0, 0).await.unwrap();
    let wanted = packs(&store).await;

    type Fault = fn(&Arc<dyn ObjectStore>, usize) -> HookedStore;
    let faults: [(&str, Fault); 3] = [
        ("fails", HookedStore::failing),
        ("dies before", |store, at| HookedStore::dying(store, Some(Death::Before(at)))),
        ("dies after", |store, at| HookedStore::dying(store, Some(Death::After(at)))),
    ];
    for (name, fault) in faults {
        for at in 0.. {
            let store = memory_of(&before).await;
            let faulty = fault(&store, at);
            let outcome = match repository(&faulty.dynamic(), &master).await {
                Ok(found) => collect(&found, "gc", 0, 0).await,
                Err(error) => Err(error),
            };
            if !faulty.happened() {
                outcome.unwrap();
                assert!(at > 5, "{name}");
                break;
            }
            assert!(outcome.is_err(), "{name} {at}");
            let found = repository(&store, &master).await.unwrap();
            assert_restores(&found, &point(2), &second()).await;
            // Another holder backs up what the interrupted backup had, whose packs may be announced or half gone.
            let copy = opened(&objects(&store).await, &master).await.1;
            let held = lease(&copy, "b", TTL_MS).await.unwrap();
            back_up(&copy, &held, &point(3), &chunks(20, 3), &[]).await.unwrap();
            copy.release_lease(held).await.unwrap();
            collect(&copy, "gc", TTL_MS, 0).await.unwrap();
            assert_restores(&copy, &point(3), &chunks(20, 3)).await;
            assert_restores(&copy, &point(2), &second()).await;

            collect(&found, "gc", 0, 0).await.unwrap();
            assert_restores(&found, &point(2), &second()).await;
            assert_eq!(packs(&store).await, wanted, "{name} {at}");
            let left = objects(&store).await;
            assert!(
                left.keys().all(|name| !name.as_ref().contains("/collections/")),
                "{name} {at}"
            );
        }
    }
}

#[tokio::test]
async fn what_cannot_be_read_or_is_missing_ends_it_before_anything_is_deleted() {
    let master = MasterKey::generate().unwrap();
    let mut before = with_garbage(&master).await;
    // A collection that was interrupted right after it wrote its list.
    let mut store = memory_of(&before).await;
    for at in 0.. {
        let dying = HookedStore::dying(&store, Some(Death::After(at)));
        let found = repository(&dying.dynamic(), &master).await.unwrap();
        assert!(collect(&found, "gc", 0, 0).await.is_err());
        if objects(&store).await.keys().any(|name| name.as_ref().contains("/collections/")) {
            break;
        }
        store = memory_of(&before).await;
    }
    let found = repository(&store, &master).await.unwrap();
    let held = found.acquire_lease("gc", LeasePurpose::Collection, 0, TTL_MS).await.unwrap();
    let plan = plan_collection(&found, &held, 0, 0).await.unwrap();
    let needed: Vec<String> = plan
        .decisions()
        .iter()
        .filter(|decision| decision.reason == PackReason::Needed)
        .map(|decision| decision.pack.to_string())
        .collect();
    assert!(plan.decisions().iter().any(|decision| decision.reason == PackReason::Announced));
    found.release_lease(held).await.unwrap();
    before = objects(&store).await;

    let mut tried = 0;
    for (name, content) in &before {
        let is_needed = needed.iter().any(|pack| name.as_ref().ends_with(pack));
        let of = |directory: &str| name.as_ref().contains(directory);
        // A claim decides nothing once its generation has an acceptance and a newer record.
        let record = of("/leases/") && !name.as_ref().ends_with("/0000000000");
        if !(is_needed || of("/manifests/") || record || of("/collections/")) {
            continue;
        }
        let mut flipped = content.to_vec();
        let middle = flipped.len() / 2;
        flipped[middle] ^= 1;
        // Of a pack the first chunk is gone too, whichever are needed.
        let cut = content.slice(..if is_needed { 60 } else { content.len() / 2 });
        for (damage, damaged) in
            [("flipped", Some(flipped.into())), ("cut", Some(cut)), ("gone", None)]
        {
            // A pack's bytes are the business of a verification; a manifest or list that is gone is one that is not there.
            if is_needed && damage == "flipped" || !is_needed && damage == "gone" {
                continue;
            }
            tried += 1;
            let mut objects = before.clone();
            match damaged {
                Some(damaged) => drop(objects.insert(name.clone(), damaged)),
                None => drop(objects.remove(name)),
            }
            let (store, found) = opened(&objects, &master).await;
            let packs_before = packs(&store).await;
            let outcome = collect(&found, "gc", 0, 0).await;
            assert!(outcome.is_err(), "{name} {damage}: {outcome:?}");
            assert_eq!(packs(&store).await, packs_before, "{name} {damage}");
            // A damaged list of a collection stops no backup.
            if of("/collections/") {
                let held = lease(&found, "gc", 0).await.unwrap();
                back_up(&found, &held, &point(3), &chunks(20, 3), &[]).await.unwrap();
                assert_restores(&found, &point(3), &chunks(20, 3)).await;
            }
        }
    }
    assert!(tried > 8, "{tried}");
}

#[tokio::test]
async fn the_caller_must_answer_for_exactly_the_manifests_that_count() {
    let master = MasterKey::generate().unwrap();
    let (store, found) = opened(&with_garbage(&master).await, &master).await;
    let before = packs(&store).await;
    let backup = lease(&found, "gc", 0).await.unwrap();
    assert!(matches!(found.begin_collection(&backup).await, Err(Error::Invalid { .. })));
    let held = found.acquire_lease("gc", LeasePurpose::Collection, 0, TTL_MS).await.unwrap();
    assert!(matches!(found.writer(&held, options()).await, Err(Error::Invalid { .. })));
    assert!(found.begin_collection(&backup).await.is_err(), "lost");

    let begin = async || found.begin_collection(&held).await.unwrap();
    assert!(matches!(begin().await.plan(0, 0).await, Err(Error::Invalid { .. })), "not asked");
    let mut collection = begin().await;
    let manifest = collection.next().await.unwrap().unwrap();
    assert!(matches!(collection.answered(&manifest.info), Err(Error::Invalid { .. })), "no chunk");
    assert!(matches!(collection.next().await, Err(Error::Invalid { .. })), "not answered for");
    assert!(matches!(collection.plan(0, 0).await, Err(Error::Invalid { .. })), "not answered for");

    let references = crate::support::references(&found, &point(2)).await.unwrap();
    let mut collection = begin().await;
    assert!(matches!(collection.needs(&references[0]), Err(Error::Invalid { .. })));
    let mut manifest = collection.next().await.unwrap().unwrap();
    collection.needs(&references[0]).unwrap();
    manifest.info.generation += 1;
    assert!(matches!(collection.answered(&manifest.info), Err(Error::Invalid { .. })), "another");

    // A plan is good under its lease only, and while no manifest was added.
    let plan = plan_collection(&found, &held, 0, 0).await.unwrap();
    let next = found.acquire_lease("gc", LeasePurpose::Collection, 0, TTL_MS).await.unwrap();
    assert!(matches!(found.collect(&next, plan).await, Err(Error::Invalid { .. })));
    assert_eq!(packs(&store).await, before);
}
