//! What somebody reads is not deleted under his hands: not by a deletion, not by a collection, whoever is first.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use coffer_store::{
    Error, LeasePurpose, MasterKey, ObjectStore, Pin, Repository, Result, limits::PIN_TTL_MS_MAX,
};
use futures::FutureExt;
use object_store::{ObjectStoreExt, path::Path};

use crate::support::{
    TTL_MS, assert_restores, back_up, chunks, collect, flipped, hooked_store::HookedStore, lease,
    memory, memory_of, objects, packs, point, replace, repository,
};

/// Two recovery points that share nothing.
async fn two_points(master: &MasterKey) -> BTreeMap<Path, Bytes> {
    let store = memory();
    let found = repository(&store, master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    back_up(&found, &held, &point(1), &chunks(12, 1), &[]).await.unwrap();
    back_up(&found, &held, &point(2), &chunks(12, 2), &[]).await.unwrap();
    found.release_lease(held).await.unwrap();
    objects(&store).await
}

async fn opened(
    objects: &BTreeMap<Path, Bytes>,
    master: &MasterKey,
) -> (Arc<dyn ObjectStore>, Repository) {
    let store = memory_of(objects).await;
    let found = repository(&store, master).await.unwrap();
    (store, found)
}

async fn delete(found: &Repository, holder: &str, number: u32, now_ms: u64) -> Result<bool> {
    let held = found.acquire_lease(holder, LeasePurpose::Deletion, now_ms, TTL_MS).await?;
    let deleted = found.delete_manifest(&held, &point(number), now_ms).await;
    found.release_lease(held).await?;
    deleted
}

async fn delete_and_collect(found: &Repository, holder: &str, now_ms: u64) -> Result<u64> {
    delete(found, holder, 1, now_ms).await?;
    Ok(collect(found, holder, now_ms, 0).await?.deleted_packs)
}

/// The manifest goes without anybody looking for pins, as by one who had looked before.
async fn delete_blindly(store: &Arc<dyn ObjectStore>, number: u32) {
    for name in objects(store).await.into_keys() {
        if name.as_ref().contains(&format!("/manifests/{}", point(number))) {
            store.delete(&name).await.unwrap();
        }
    }
}

async fn pin_records(store: &Arc<dyn ObjectStore>) -> Vec<Path> {
    objects(store).await.into_keys().filter(|name| name.as_ref().contains("/pins/")).collect()
}

fn is_pinned(outcome: &Result<impl Sized>, by: &str) -> bool {
    matches!(outcome, Err(Error::Pinned { holder, .. }) if holder == by)
}

#[tokio::test]
async fn a_pinned_recovery_point_is_deleted_after_its_last_reader() {
    let master = MasterKey::generate().unwrap();
    let (store, found) = opened(&two_points(&master).await, &master).await;
    let first = found.pin(&point(1), "restore", 1_000, TTL_MS).await.unwrap();
    let second = found.pin(&point(1), "verification", 1_000, TTL_MS).await.unwrap();
    assert_eq!((first.recovery_point_id(), first.holder()), (&*point(1), "restore"));
    assert_eq!(found.pins().await.unwrap().readable.len(), 2);

    let refused = delete(&found, "r", 1, 1_000).await;
    assert!(matches!(&refused, Err(error @ Error::Pinned { .. }) if error.is_transient()));
    assert!(delete(&found, "r", 2, 1_000).await.unwrap(), "another one");
    assert!(
        collect(&found, "gc", 1_000, 0).await.unwrap().deleted_packs > 0,
        "pins of what counts"
    );
    found.release_pin(first.clone()).await.unwrap();
    assert!(is_pinned(&delete(&found, "r", 1, 1_000).await, "verification"));
    assert!(matches!(found.renew_pin(&first, 1_000).await, Err(Error::PinLost { .. })), "a clone");
    assert_restores(&found, &point(1), &chunks(12, 1)).await;
    found.release_pin(second).await.unwrap();
    assert!(pin_records(&store).await.is_empty());
    delete_and_collect(&found, "r", 1_000).await.unwrap();
    assert!(packs(&store).await.is_empty());
}

#[tokio::test]
async fn renewals_extend_it_and_do_not_pile_up() {
    let master = MasterKey::generate().unwrap();
    let (store, found) = opened(&two_points(&master).await, &master).await;
    let pin = found.pin(&point(1), "restore", 0, TTL_MS).await.unwrap();
    for now_ms in (1..20).map(|step| step * TTL_MS / 2) {
        found.renew_pin(&pin, now_ms).await.unwrap();
        assert!(is_pinned(&delete(&found, "r", 1, now_ms + TTL_MS - 1).await, "restore"));
    }
    assert_eq!(pin_records(&store).await.len(), 1);
}

#[tokio::test]
async fn a_reader_that_died_holds_nothing_back_when_its_time_is_over() {
    let master = MasterKey::generate().unwrap();
    let (store, found) = opened(&two_points(&master).await, &master).await;
    let dead = found.pin(&point(1), "restore", 0, TTL_MS).await.unwrap();
    assert!(is_pinned(&delete(&found, "r", 1, TTL_MS - 1).await, "restore"));
    delete_and_collect(&found, "r", TTL_MS).await.unwrap();
    assert!(pin_records(&store).await.is_empty(), "removed with the garbage");
    assert_restores(&found, &point(2), &chunks(12, 2)).await;

    // It was not dead: it learns it, and leaves nothing behind.
    assert!(matches!(found.renew_pin(&dead, TTL_MS + 1).await, Err(Error::PinLost { .. })));
    assert!(dead.is_lost() && pin_records(&store).await.is_empty());
    // One that was late, but whose recovery point still exists, goes on.
    let late = found.pin(&point(2), "restore", 0, TTL_MS).await.unwrap();
    collect(&found, "gc", TTL_MS, 0).await.unwrap();
    assert!(pin_records(&store).await.is_empty());
    found.renew_pin(&late, 2 * TTL_MS).await.unwrap();
    assert!(is_pinned(&delete(&found, "r", 2, 3 * TTL_MS - 1).await, "restore"));
}

#[tokio::test]
async fn a_collection_keeps_what_is_read_though_its_manifest_is_gone() {
    let master = MasterKey::generate().unwrap();
    let (store, found) = opened(&two_points(&master).await, &master).await;
    let before = packs(&store).await;
    let pin = found.pin(&point(1), "restore", 0, TTL_MS).await.unwrap();
    let body = found.read_manifest(&point(1)).await.unwrap().body;
    delete_blindly(&store, 1).await;
    assert!(is_pinned(&collect(&found, "gc", TTL_MS - 1, 0).await, "restore"));
    assert_eq!(packs(&store).await, before);
    found.renew_pin(&pin, TTL_MS - 1).await.unwrap();
    for reference in serde_json::from_slice::<Vec<_>>(&body).unwrap() {
        found.read_chunk(&reference).await.unwrap();
    }
    found.release_pin(pin).await.unwrap();
    assert!(collect(&found, "gc", TTL_MS, 0).await.unwrap().deleted_packs > 0);
    assert_restores(&found, &point(2), &chunks(12, 2)).await;
}

/// A whole reading, pin first: what it read, or why it could not begin.
async fn read_pinned(found: &Repository, now_ms: u64) -> Result<Pin> {
    let pin = found.pin(&point(1), "restore", now_ms, TTL_MS).await?;
    assert_restores(found, &point(1), &chunks(12, 1)).await;
    Ok(pin)
}

#[tokio::test]
async fn whoever_gets_a_pin_at_any_call_of_a_deletion_and_collection_reads_to_the_end() {
    let master = MasterKey::generate().unwrap();
    let prepared = two_points(&master).await;
    let (mut pinned, mut refused) = (0, 0);
    for call in 0.. {
        let store = memory_of(&prepared).await;
        let (sender, mut receiver) = tokio::sync::oneshot::channel();
        let hook = {
            let (store, master) = (Arc::clone(&store), master.clone());
            async move {
                let found = repository(&store, &master).await.unwrap();
                // References are read now, chunks when the others have done what they will do.
                let pin = found.pin(&point(1), "restore", 0, TTL_MS).await;
                let body = match &pin {
                    Ok(_) => found.read_manifest(&point(1)).await.map(|manifest| manifest.body),
                    Err(_) => Ok(Vec::new()),
                };
                drop(sender.send((found, pin, body)));
            }
        };
        let hooked = HookedStore::interrupted(&store, call, hook.boxed());
        let other = repository(&hooked.dynamic(), &master).await.unwrap();
        let outcome = delete_and_collect(&other, "r", 0).await;
        let Ok((found, pin, body)) = receiver.try_recv() else {
            assert!(outcome.is_ok() && call > 20, "{call}: {outcome:?}");
            break;
        };
        match (pin, body) {
            (Ok(_), Ok(body)) => {
                for reference in serde_json::from_slice::<Vec<_>>(&body).unwrap() {
                    let read = found.read_chunk(&reference).await;
                    assert!(read.is_ok(), "call {call}: {read:?}, collector: {outcome:?}");
                }
                pinned += 1;
            }
            // Deleted between pin and manifest by one who had looked before.
            (Ok(_), Err(Error::NotFound { .. })) | (Err(Error::NotFound { .. }), _) => refused += 1,
            (pin, body) => panic!("call {call}: {pin:?} {body:?}"),
        }
        assert!(outcome.is_ok() || is_pinned(&outcome, "restore"), "call {call}: {outcome:?}");
    }
    assert!(pinned > 3 && refused > 3, "{pinned} {refused}");
}

#[tokio::test]
async fn a_deletion_and_collection_at_any_call_of_a_reader_take_nothing_from_it() {
    let master = MasterKey::generate().unwrap();
    let prepared = two_points(&master).await;
    let (mut read, mut refused) = (0, 0);
    for call in 0.. {
        let store = memory_of(&prepared).await;
        let hook = {
            let (store, master) = (Arc::clone(&store), master.clone());
            async move {
                let found = repository(&store, &master).await.unwrap();
                let outcome = delete_and_collect(&found, "r", 0).await;
                assert!(outcome.is_ok() || is_pinned(&outcome, "restore"), "{outcome:?}");
            }
        };
        let hooked = HookedStore::interrupted(&store, call, hook.boxed());
        let reader = repository(&hooked.dynamic(), &master).await.unwrap();
        match read_pinned(&reader, 0).await {
            Ok(pin) => {
                reader.release_pin(pin).await.unwrap();
                read += 1;
            }
            Err(Error::NotFound { .. }) => refused += 1,
            Err(error) => panic!("call {call}: {error}"),
        }
        assert!(pin_records(&store).await.is_empty(), "call {call}");
        if !hooked.happened() {
            break;
        }
    }
    assert!(read > 3 && refused > 3, "{read} {refused}");
}

/// The collector's clock is ahead: to it the pin has run out, to its holder not. One of the two must learn of the other.
#[tokio::test]
async fn clocks_that_differ_never_let_both_go_on() {
    let master = MasterKey::generate().unwrap();
    let prepared = two_points(&master).await;
    let (mut kept, mut lost) = (0, 0);
    for (collector_first, call) in
        [true, false].into_iter().flat_map(|it| (0..200).map(move |call| (it, call)))
    {
        let store = memory_of(&prepared).await;
        let holder = repository(&store, &master).await.unwrap();
        let pin = holder.pin(&point(1), "restore", 0, TTL_MS).await.unwrap();
        let body = holder.read_manifest(&point(1)).await.unwrap().body;
        delete_blindly(&store, 1).await;
        let before = packs(&store).await;

        let (sender, mut receiver) = tokio::sync::oneshot::channel();
        let hooked;
        let (collected, renewed) = if collector_first {
            // The renewal comes at a call of the collection.
            let (holder, pin) = (holder.clone(), pin.clone());
            let hook = async move { drop(sender.send(holder.renew_pin(&pin, TTL_MS / 2).await)) };
            hooked = HookedStore::interrupted(&store, call, hook.boxed());
            let collector = repository(&hooked.dynamic(), &master).await.unwrap();
            let collected = collect(&collector, "gc", TTL_MS, 0).await.map(drop);
            let Ok(renewed) = receiver.try_recv() else { continue };
            (collected, renewed)
        } else {
            let collector = repository(&store, &master).await.unwrap();
            let hook = async move {
                drop(sender.send(collect(&collector, "gc", TTL_MS, 0).await.map(drop)));
            };
            hooked = HookedStore::interrupted(&store, call, hook.boxed());
            let holder = repository(&hooked.dynamic(), &master).await.unwrap();
            // The same pin by another handle of the repository.
            let renewed = holder.renew_pin(&pin, TTL_MS / 2).await;
            let Ok(collected) = receiver.try_recv() else { continue };
            (collected, renewed)
        };
        let which = format!("collector first: {collector_first}, call {call}");
        match renewed {
            Ok(()) => {
                assert!(is_pinned(&collected, "restore"), "{which}: {collected:?}");
                assert_eq!(packs(&store).await, before, "{which}");
                for reference in serde_json::from_slice::<Vec<_>>(&body).unwrap() {
                    holder.read_chunk(&reference).await.unwrap();
                }
                kept += 1;
            }
            Err(Error::PinLost { .. }) => lost += 1,
            Err(error) => panic!("{which}: {error}"),
        }
    }
    assert!(kept > 3 && lost > 3, "{kept} {lost}");

    // By more than the time to live: the collector never sees it in force, and the holder learns it by the next renewal.
    let (_, found) = opened(&prepared, &master).await;
    let pin = found.pin(&point(1), "restore", 0, TTL_MS).await.unwrap();
    found.renew_pin(&pin, TTL_MS / 2).await.unwrap();
    delete_and_collect(&found, "gc", 10 * TTL_MS).await.unwrap();
    assert!(matches!(found.renew_pin(&pin, TTL_MS).await, Err(Error::PinLost { .. })));
}

#[tokio::test]
async fn a_pin_that_cannot_be_read_stops_deletions_until_a_person_breaks_it() {
    let master = MasterKey::generate().unwrap();
    let (store, found) = opened(&two_points(&master).await, &master).await;
    found.pin(&point(1), "restore", 0, TTL_MS).await.unwrap();
    let good = objects(&store).await;
    let name = pin_records(&store).await.remove(0);
    for (how, damaged) in crate::damage::alterations(&good[&name]) {
        replace(&store, &name, damaged).await;
        let pins = found.pins().await.unwrap();
        assert_eq!((pins.readable.len(), pins.unreadable.len()), (0, 1), "{how}");
        assert_eq!(pins.unreadable[0].recovery_point_id, point(1));
        let outcome = delete(&found, "r", 1, 10 * TTL_MS).await;
        assert!(matches!(&outcome, Err(error) if error.is_damage()), "{how}: {outcome:?}");
    }
    // As long as the recovery point is there, its needs are known and nothing stops a collection.
    collect(&found, "gc", 10 * TTL_MS, 0).await.unwrap();
    let before = packs(&store).await;
    delete_blindly(&store, 1).await;
    let outcome = collect(&found, "gc", 10 * TTL_MS, 0).await;
    assert!(matches!(&outcome, Err(error) if error.is_damage()), "{outcome:?}");
    assert_eq!(packs(&store).await, before);

    let held = found.acquire_lease("gc", LeasePurpose::Deletion, 0, TTL_MS).await.unwrap();
    assert_eq!(found.break_pins(&held, &point(1)).await.unwrap(), 1);
    assert_eq!(found.break_pins(&held, &point(1)).await.unwrap(), 0);
    found.release_lease(held).await.unwrap();
    assert!(collect(&found, "gc", 0, 0).await.unwrap().deleted_packs > 0);
    assert_restores(&found, &point(2), &chunks(12, 2)).await;

    // A pin that was moved to another recovery point is damage, not a pin of that one.
    let (store, found) = opened(&good, &master).await;
    let moved = Path::from(name.as_ref().replace(&point(1), &point(2)));
    store.put(&moved, good[&name].clone().into()).await.unwrap();
    assert_eq!(found.pins().await.unwrap().unreadable[0].recovery_point_id, point(2));
    replace(&store, &moved, flipped(&good[&name], 60)).await;
    assert_eq!(found.pins().await.unwrap().readable.len(), 1);
}

#[tokio::test]
async fn a_storage_that_fails_at_any_call_is_neither_a_lost_pin_nor_no_pin() {
    let master = MasterKey::generate().unwrap();
    let prepared = two_points(&master).await;
    for call in 0.. {
        let store = memory_of(&prepared).await;
        let plain = repository(&store, &master).await.unwrap();
        let faulty = HookedStore::failing(&store, call);
        let Ok(found) = repository(&faulty.dynamic(), &master).await else { continue };
        let pin = match found.pin(&point(1), "restore", 0, TTL_MS).await {
            Ok(pin) => pin,
            Err(Error::Storage { .. }) => {
                delete_and_collect(&plain, "r", TTL_MS).await.unwrap();
                continue;
            }
            Err(error) => panic!("call {call}: {error}"),
        };
        if let Err(error) = found.renew_pin(&pin, 1).await {
            assert!(matches!(error, Error::Storage { .. }), "call {call}: {error}");
        }
        if let Err(error) = found.renew_pin(&pin, 2).await {
            assert!(matches!(error, Error::Storage { .. }), "call {call}: {error}");
            found.renew_pin(&pin, 2).await.unwrap();
        }
        assert!(is_pinned(&delete(&plain, "r", 1, 1 + TTL_MS).await, "restore"), "call {call}");
        if found.release_pin(pin).await.is_ok() {
            assert!(pin_records(&store).await.is_empty(), "call {call}");
        }
        delete_and_collect(&plain, "r", 2 * TTL_MS).await.unwrap();
        if !faulty.happened() {
            assert!(call > 10, "{call}");
            break;
        }
    }
}

#[tokio::test]
async fn a_deletion_or_collection_that_cannot_ask_for_pins_deletes_nothing() {
    let master = MasterKey::generate().unwrap();
    let (store, found) = opened(&two_points(&master).await, &master).await;
    found.pin(&point(1), "restore", 0, TTL_MS).await.unwrap();
    let with_manifest = objects(&store).await;
    delete_blindly(&store, 1).await;
    let without = objects(&store).await;
    for call in 0.. {
        let store = memory_of(&with_manifest).await;
        let faulty = HookedStore::unreachable_from(&store, call);
        if let Ok(found) = repository(&faulty.dynamic(), &master).await {
            assert!(delete(&found, "r", 1, 0).await.is_err(), "call {call}");
        }
        let found = repository(&store, &master).await.unwrap();
        assert_restores(&found, &point(1), &chunks(12, 1)).await;

        let store = memory_of(&without).await;
        let before = packs(&store).await;
        let faulty = HookedStore::failing(&store, call);
        if let Ok(found) = repository(&faulty.dynamic(), &master).await {
            assert!(collect(&found, "gc", 0, 0).await.is_err(), "call {call}");
        }
        assert_eq!(packs(&store).await, before, "call {call}");
        if !faulty.happened() {
            break;
        }
    }
}

#[tokio::test]
async fn nonsense_is_refused_and_what_is_not_there_cannot_be_pinned() {
    let master = MasterKey::generate().unwrap();
    let (store, found) = opened(&two_points(&master).await, &master).await;
    let long = "x".repeat(1_000);
    for (id, holder, ttl_ms) in [
        ("x", "a", 1),
        (&*point(1), "", 1),
        (&*point(1), &*long, 1),
        (&*point(1), "a", 0),
        (&*point(1), "a", PIN_TTL_MS_MAX + 1),
    ] {
        let refused = found.pin(id, holder, 0, ttl_ms).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{id} {holder} {ttl_ms}");
    }
    assert!(matches!(found.pin(&point(3), "a", 0, 1).await, Err(Error::NotFound { .. })));
    assert!(pin_records(&store).await.is_empty());
}
