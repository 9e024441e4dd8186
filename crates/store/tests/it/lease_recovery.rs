//! A lease that cannot be read blocks everyone who writes until somebody asks for its repair, which may die at any point.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use coffer_store::{Error, MasterKey, ObjectStore, Repository};
use object_store::{ObjectStoreExt, path::Path};

use crate::support::{
    TTL_MS, assert_all_is_sound, assert_restores, back_up, chunks, collect, flipped,
    hooked_store::{Death, HookedStore},
    lease, memory, memory_of, objects, options, point, put, repository,
};

const CHUNKS: u32 = 8;
/// The generation under which the second recovery point was made.
const NEWEST: u64 = 2;

/// Two recovery points, each under a generation of its own; the lease of the second one was renewed and not given back.
async fn two_points(master: &MasterKey) -> Arc<dyn ObjectStore> {
    two_points_and_first_records(master).await.0
}

/// The same, and the records of the first generation.
async fn two_points_and_first_records(master: &MasterKey) -> (Arc<dyn ObjectStore>, Objects) {
    let store = memory();
    let repository = repository(&store, master).await.unwrap();
    let held = lease(&repository, "a", 0).await.unwrap();
    back_up(&repository, &held, &point(1), &chunks(CHUNKS, 1), &[]).await.unwrap();
    repository.release_lease(held).await.unwrap();
    let mut first_records = objects(&store).await;
    first_records.retain(|name, _| is_lease(name));
    let held = lease(&repository, "b", 0).await.unwrap();
    back_up(&repository, &held, &point(2), &chunks(CHUNKS, 2), &[]).await.unwrap();
    repository.renew_lease(&held, 0).await.unwrap();
    assert_eq!(held.generation(), NEWEST);
    (store, first_records)
}

fn record(number: u32) -> String {
    format!("/leases/{NEWEST:020}/{number:010}")
}

fn is_lease(name: &Path) -> bool {
    name.as_ref().contains("/leases/")
}

type Objects = BTreeMap<Path, Bytes>;

fn named(objects: &Objects, end: &str) -> Path {
    objects.keys().find(|name| name.as_ref().ends_with(end)).cloned().unwrap()
}

/// Every way in which a lease is damaged here, with the objects that are left.
fn damages(whole: &Objects, first_records: &Objects) -> Vec<(&'static str, Objects)> {
    let with = |change: &dyn Fn(&mut Objects)| {
        let mut objects = whole.clone();
        change(&mut objects);
        objects
    };
    let flip = |objects: &mut Objects, end: &str| {
        let name = named(objects, end);
        let content = flipped(&objects[&name], 70);
        objects.insert(name, content);
    };
    vec![
        ("the newest record altered", with(&|objects| flip(objects, &record(2)))),
        ("the acceptance altered", with(&|objects| flip(objects, &record(1)))),
        (
            "the acceptance empty",
            with(&|objects| drop(objects.insert(named(objects, &record(1)), Bytes::new()))),
        ),
        ("the acceptance gone", with(&|objects| drop(objects.remove(&named(objects, &record(1)))))),
        (
            "the acceptance moved",
            with(&|objects| {
                let moved = objects[&named(objects, &record(2))].clone();
                objects.insert(named(objects, &record(1)), moved);
            }),
        ),
        (
            "all records altered",
            with(&|objects| (0..3).for_each(|number| flip(objects, &record(number)))),
        ),
        ("no records", with(&|objects| objects.retain(|name, _| !is_lease(name)))),
        (
            "an older state of it",
            with(&|objects| {
                objects.retain(|name, _| !is_lease(name));
                objects.extend(first_records.clone());
            }),
        ),
    ]
}

async fn assert_both(repository: &Repository, when: &str) {
    assert_eq!(assert_all_is_sound(repository, when).await, 2, "{when}");
    for number in 1..3 {
        assert_restores(repository, &point(number), &chunks(CHUNKS, number)).await;
    }
}

/// A backup, and a collection that deletes nothing that is needed.
async fn goes_on(repository: &Repository, now_ms: u64, when: &str) {
    let held = lease(repository, "next", now_ms).await.unwrap();
    back_up(repository, &held, &point(3), &chunks(CHUNKS, 3), &[]).await.unwrap();
    repository.release_lease(held).await.unwrap();
    collect(repository, "collector", now_ms, 0).await.unwrap();
    assert_eq!(assert_all_is_sound(repository, when).await, 3, "{when}");
}

#[tokio::test]
async fn a_damaged_lease_is_repaired_on_demand_and_loses_no_recovery_point() {
    let master = MasterKey::generate().unwrap();
    let (store, first_records) = two_points_and_first_records(&master).await;
    let whole = objects(&store).await;
    for (what, damaged) in damages(&whole, &first_records) {
        let store = memory_of(&damaged).await;
        let found = repository(&store, &master).await.unwrap();
        assert!(found.lease_damage().await.unwrap().is_some(), "{what}");
        let blocked = lease(&found, "c", u64::MAX).await;
        assert!(matches!(blocked, Err(Error::Corrupt { .. })), "{what}: {blocked:?}");
        let now_ms = 2 * TTL_MS;
        let store = memory_of(&damaged).await;
        let found = repository(&store, &master).await.unwrap();
        let done = found.recover_lease("rescue", now_ms, TTL_MS).await.unwrap().unwrap();
        assert_eq!(done.accepted, [point(1), point(2)], "{what}");
        assert!(done.left_out.is_empty() && done.generation > NEWEST, "{what}: {done:?}");
        assert_eq!(done.may_hold_stale, what != "the newest record altered", "{what}");
        assert_both(&found, what).await;
        assert!(
            objects(&store).await.keys().filter(|name| is_lease(name)).all(|name| {
                name.as_ref().contains(&format!("/leases/{:020}/", done.generation))
            }),
            "{what}: older records stay"
        );
        assert!(found.lease_damage().await.unwrap().is_none(), "{what}");
        let again = found.recover_lease("rescue", now_ms, TTL_MS).await.unwrap();
        assert!(again.is_none(), "{what}: {again:?}");
        // It was given back: nobody has to wait.
        goes_on(&found, now_ms, what).await;
    }
}

#[tokio::test]
async fn a_repair_that_dies_at_any_write_is_done_again() {
    let master = MasterKey::generate().unwrap();
    let (store, first_records) = two_points_and_first_records(&master).await;
    let whole = objects(&store).await;
    let mut deaths = 0;
    for (what, damaged) in damages(&whole, &first_records) {
        for death in [Death::Before as fn(usize) -> Death, Death::After] {
            for at in 0.. {
                let when = format!("{what}, {:?}", death(at));
                let store = memory_of(&damaged).await;
                let dying = HookedStore::dying(&store, Some(death(at)));
                let mine = repository(&dying.dynamic(), &master).await.unwrap();
                let outcome = mine.recover_lease("dies", 2 * TTL_MS, TTL_MS).await;
                if !dying.happened() {
                    outcome.unwrap();
                    break;
                }
                deaths += 1;
                assert!(outcome.is_err(), "{when}");
                let found = repository(&store, &master).await.unwrap();
                // Another one waits until the claim of the one that died has run out.
                let done = found.recover_lease("again", 3 * TTL_MS, TTL_MS).await.unwrap();
                if let Some(done) = done {
                    assert_eq!(done.accepted, [point(1), point(2)], "{when}");
                }
                assert_both(&found, &when).await;
                goes_on(&found, 3 * TTL_MS, &when).await;
            }
        }
    }
    assert!(deaths > 50, "{deaths}");
}

#[tokio::test]
async fn a_sound_lease_and_one_that_is_held_are_left_alone() {
    let master = MasterKey::generate().unwrap();
    let store = two_points(&master).await;
    let found = repository(&store, &master).await.unwrap();
    let before = objects(&store).await;
    assert!(found.recover_lease("rescue", 2 * TTL_MS, TTL_MS).await.unwrap().is_none());
    assert_eq!(objects(&store).await, before, "nothing was written");

    // Its acceptance is damaged, and its holder lives.
    let acceptance = named(&before, &record(1));
    store.put(&acceptance, flipped(&before[&acceptance], 70).into()).await.unwrap();
    let held = found.recover_lease("rescue", TTL_MS - 1, TTL_MS).await;
    assert!(matches!(held, Err(Error::LeaseHeld { ref holder, .. }) if holder == "b"), "{held:?}");
    assert!(found.recover_lease("rescue", TTL_MS, TTL_MS).await.unwrap().is_some());
    let empty = repository(&memory(), &master).await.unwrap();
    assert!(empty.recover_lease("rescue", 0, TTL_MS).await.unwrap().is_none());
    assert!(matches!(empty.recover_lease("", 0, TTL_MS).await, Err(Error::Invalid { .. })));
}

#[tokio::test]
async fn what_does_not_authenticate_is_left_out_and_named() {
    let master = MasterKey::generate().unwrap();
    let mut damaged = objects(&two_points(&master).await).await;
    let manifest = named(&damaged, &format!("/manifests/{}/{:020}", point(1), 1));
    damaged.insert(manifest.clone(), flipped(&damaged[&manifest], 80));
    damaged.retain(|name, _| !is_lease(name));
    let store = memory_of(&damaged).await;
    let found = repository(&store, &master).await.unwrap();
    let done = found.recover_lease("rescue", 0, TTL_MS).await.unwrap().unwrap();
    assert_eq!(done.accepted, [point(2)]);
    let [left_out] = &done.left_out[..] else { panic!("{done:?}") };
    assert_eq!((&left_out.recovery_point_id, left_out.generation), (&point(1), 1));
    assert_eq!(assert_all_is_sound(&found, "one left out").await, 1);
    assert_restores(&found, &point(2), &chunks(CHUNKS, 2)).await;
}

/// A holder that does not know that its lease was damaged and repaired, with a manifest on its way.
#[tokio::test]
async fn a_holder_that_is_at_work_all_the_same_loses_the_lease() {
    let master = MasterKey::generate().unwrap();
    let store = two_points(&master).await;
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "c", 2 * TTL_MS).await.unwrap();
    let writer = found.writer(&held, options()).await.unwrap();
    let references = put(&writer, &chunks(CHUNKS, 4), &[]).await.unwrap();
    for name in objects(&store).await.keys().filter(|name| is_lease(name)) {
        store.delete(name).await.unwrap();
    }
    let done = found.recover_lease("rescue", 2 * TTL_MS, TTL_MS).await.unwrap().unwrap();
    assert!(done.generation > held.generation());
    let body = serde_json::to_vec(&references).unwrap();
    assert!(matches!(writer.seal(&point(4), &body).await, Err(Error::LeaseLost { .. })));
    assert_both(&found, "sealed late").await;
}

/// With an acceptance that can be read, what a stale holder has written stays nothing.
#[tokio::test]
async fn stale_manifests_are_told_apart_where_that_can_be_read() {
    let master = MasterKey::generate().unwrap();
    let store = two_points(&master).await;
    let found = repository(&store, &master).await.unwrap();
    // Written under generation 1 by a holder that is late, as `two_processes` has one: here its object is put in place.
    let other = memory();
    for (name, content) in objects(&store).await {
        if !name.as_ref().contains("/manifests/") && !is_lease(&name) {
            other.put(&name, content.into()).await.unwrap();
        }
    }
    let late = repository(&other, &master).await.unwrap();
    let held = lease(&late, "late", 0).await.unwrap();
    assert_eq!(held.generation(), 1);
    back_up(&late, &held, &point(9), &chunks(CHUNKS, 9), &[]).await.unwrap();
    for (name, content) in objects(&other).await {
        if name.as_ref().contains(&point(9)) || name.as_ref().contains("/packs/") {
            store.put(&name, content.into()).await.unwrap();
        }
    }
    assert_both(&found, "with a stale manifest").await;
    let records = objects(&store).await;
    let flip = async |number: u32| {
        let name = named(&records, &record(number));
        store.put(&name, flipped(&records[&name], 70).into()).await.unwrap();
    };
    flip(2).await;
    let done = found.recover_lease("rescue", 2 * TTL_MS, TTL_MS).await.unwrap().unwrap();
    assert_eq!(done.accepted, [point(1), point(2)]);
    assert!(!done.may_hold_stale);
    assert_both(&found, "stale and told apart").await;

    // Without one, it is said that there may be some.
    for (name, _) in objects(&store).await.iter().filter(|(name, _)| is_lease(name)) {
        store.delete(name).await.unwrap();
    }
    let done = found.recover_lease("rescue", 2 * TTL_MS, TTL_MS).await.unwrap().unwrap();
    assert_eq!(done.accepted, [point(1), point(2), point(9)]);
    assert!(done.may_hold_stale);
}
