//! Two processes on one directory: one is killed, or goes on without noticing that the other has taken over.

use std::{path::Path, sync::Arc};

use coffer_store::{
    Error, LeasePurpose, MasterKey, ObjectStore, Repository, create_location, open_location,
};
use futures::FutureExt;

use crate::support::{
    TTL_MS, assert_all_is_sound, assert_restores, back_up, chunks, collect,
    hooked_store::HookedStore, lease, objects, options, point, process, put, repository,
};

const CHUNKS: u32 = 16;
/// Backups that a process makes under one lease.
const BACKUPS: u32 = 3;
/// Times that a process is killed.
const ROUNDS: u32 = 24;

/// The location in this directory, opened for this process, and its key.
fn open(directory: &Path) -> (Arc<dyn ObjectStore>, MasterKey) {
    let store = open_location(&url(directory)).unwrap();
    (store, MasterKey::read_file(&directory.join("key")).unwrap())
}

fn url(directory: &Path) -> String {
    format!("file://{}/storage", directory.display())
}

/// A directory with an empty location and a key, and what this process sees of it.
async fn location() -> (tempfile::TempDir, Repository) {
    let directory = tempfile::tempdir().unwrap();
    let master = MasterKey::generate().unwrap();
    master.write_file(&directory.path().join("key")).unwrap();
    let store = create_location(&url(directory.path())).unwrap();
    let repository = repository(&store, &master).await.unwrap();
    (directory, repository)
}

/// `NAME directory now_ms first_point`
struct Role {
    directory: String,
    now_ms: u64,
    first_point: u32,
}

impl Role {
    fn of_this_process() -> Option<Self> {
        let role = process::role()?;
        let mut words = role.splitn(3, ' ');
        let (now_ms, first_point) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        Some(Self { now_ms, first_point, directory: words.next()?.to_owned() })
    }

    fn text(&self) -> String {
        format!("{} {} {}", self.now_ms, self.first_point, self.directory)
    }
}

/// Takes the lease, makes backups, and is killed at some point, at the latest when it has no more to do.
async fn hold(role: Role) {
    let (store, master) = open(Path::new(&role.directory));
    let mine = repository(&HookedStore::saying(&store).dynamic(), &master).await.unwrap();
    let held = lease(&mine, &format!("holder of {}", role.now_ms), role.now_ms).await.unwrap();
    process::say("held");
    for number in role.first_point..role.first_point + BACKUPS {
        back_up(&mine, &held, &point(number), &chunks(CHUNKS, number), &[]).await.unwrap();
        process::say(&format!("sealed {number}"));
        mine.renew_lease(&held, role.now_ms).await.unwrap();
    }
    process::say("done");
    process::wait_for_leave();
}

#[tokio::test]
async fn what_a_killed_process_reported_is_there_and_another_takes_over_when_its_lease_has_run_out()
{
    if let Some(role) = Role::of_this_process() {
        return hold(role).await;
    }
    let seed = std::env::var("COFFER_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = seed.unwrap_or_else(std::process::id);
    println!("seed {seed}: run again with COFFER_TEST_SEED={seed}");
    let (directory, mine) = location().await;
    let mut calls = None;
    let (mut reported, mut killed_early, mut had_lease) = (Vec::new(), 0, 0);
    for round in 0..ROUNDS {
        let role = Role {
            directory: directory.path().to_str().unwrap().to_owned(),
            now_ms: u64::from(round) * 10 * TTL_MS,
            first_point: 100 * (round + 1),
        };
        let mut other = process::start(
            "two_processes::what_a_killed_process_reported_is_there_and_another_takes_over_when_its_lease_has_run_out",
            &role.text(),
        );
        // The first one may do all that it has to do, and so tells how many calls that takes.
        let after = calls.map_or(u32::MAX, |calls| {
            let random = seed.wrapping_mul(2_654_435_761).wrapping_add(round.wrapping_mul(40_503));
            (random >> 3) % calls
        });
        let mut said = Vec::new();
        let mut seen = 0;
        while seen <= after {
            let Some(next) = other.next() else { panic!("round {round}: it ended by itself") };
            seen += u32::from(next == "call");
            let done = next == "done";
            said.push(next);
            if done {
                break;
            }
        }
        said.extend(other.kill());
        calls.get_or_insert(seen);
        killed_early += u32::from(!said.iter().any(|line| line == "done"));
        let when = format!("seed {seed}, round {round}, killed after call {after}");

        if said.iter().any(|line| line == "held") {
            had_lease += 1;
            let early = lease(&mine, "other", role.now_ms + TTL_MS - 1).await;
            assert!(matches!(early, Err(Error::LeaseHeld { .. })), "{when}: {early:?}");
        }
        let now_ms = role.now_ms + TTL_MS;
        let held = lease(&mine, "other", now_ms).await.unwrap();
        reported.extend(said.iter().filter_map(|line| line.strip_prefix("sealed ")).map(
            |number| {
                let number: u32 = number.parse().unwrap();
                number
            },
        ));
        let own = role.first_point + 50;
        back_up(&mine, &held, &point(own), &chunks(CHUNKS, own), &[]).await.unwrap();
        reported.push(own);
        mine.release_lease(held).await.unwrap();
        if round % 3 == 0 {
            collect(&mine, "collector", now_ms, 0).await.unwrap();
        }
        assert!(assert_all_is_sound(&mine, &when).await >= reported.len(), "{when}");
        for number in &reported {
            assert_restores(&mine, &point(*number), &chunks(CHUNKS, *number)).await;
        }
        // What restores goes, so that the next round reads only its own.
        if reported.len() > 20 {
            let held =
                mine.acquire_lease("other", LeasePurpose::Deletion, now_ms, TTL_MS).await.unwrap();
            for number in reported.drain(..) {
                assert!(mine.delete_manifest(&held, &point(number), now_ms).await.unwrap());
            }
            mine.release_lease(held).await.unwrap();
        }
    }
    assert!(killed_early > ROUNDS / 2 && had_lease > ROUNDS / 2, "{killed_early} {had_lease}");
}

/// Stops right before its manifest is written, when it has made sure for the last time that it holds the lease.
async fn seal_late(role: Role) {
    let (store, master) = open(Path::new(&role.directory));
    let hooked = HookedStore::dying(&store, None);
    let mine = repository(&hooked.dynamic(), &master).await.unwrap();
    let held = lease(&mine, "stale", role.now_ms).await.unwrap();
    let writer = mine.writer(&held, options()).await.unwrap();
    let references = put(&writer, &chunks(CHUNKS, role.first_point), &[]).await.unwrap();
    let hook = async {
        process::say("about to seal");
        process::wait_for_leave();
    };
    // The call before lists the leases.
    hooked.interrupt(hooked.calls() + 1, hook.boxed());
    let body = serde_json::to_vec(&references).unwrap();
    let outcome = writer.seal(&point(role.first_point), &body).await;
    let written = hooked.log().last().is_some_and(|what| what.contains("/manifests/"));
    let lost = matches!(outcome, Err(Error::LeaseLost { .. }));
    process::say(if written && lost { "written and lost" } else { "otherwise" });
    process::wait_for_leave();
}

#[tokio::test]
async fn what_a_process_seals_after_another_has_taken_over_is_ignored_for_good() {
    if let Some(role) = Role::of_this_process() {
        return seal_late(role).await;
    }
    let (directory, mine) = location().await;
    let held = lease(&mine, "first", 0).await.unwrap();
    back_up(&mine, &held, &point(1), &chunks(CHUNKS, 1), &[]).await.unwrap();
    mine.release_lease(held).await.unwrap();
    let role = Role {
        directory: directory.path().to_str().unwrap().to_owned(),
        now_ms: TTL_MS,
        first_point: 2,
    };
    let mut stale = process::start(
        "two_processes::what_a_process_seals_after_another_has_taken_over_is_ignored_for_good",
        &role.text(),
    );
    assert_eq!(stale.next().as_deref(), Some("about to seal"));
    assert!(matches!(lease(&mine, "b", 2 * TTL_MS - 1).await, Err(Error::LeaseHeld { .. })));
    let held = lease(&mine, "b", 2 * TTL_MS).await.unwrap();
    stale.give_leave();
    assert_eq!(stale.next().as_deref(), Some("written and lost"));
    drop(stale);

    let (store, _) = open(directory.path());
    let written = async || {
        objects(&store).await.keys().filter(|name| name.as_ref().contains(&point(2))).count()
    };
    assert_eq!(written().await, 1, "its manifest is there");
    for turn in 0..3_u64 {
        let when = format!("turn {turn}");
        assert_eq!(assert_all_is_sound(&mine, &when).await, 1, "{when}");
        assert!(matches!(mine.read_manifest(&point(2)).await, Err(Error::NotFound { .. })));
        assert_restores(&mine, &point(1), &chunks(CHUNKS, 1)).await;
        if turn == 0 {
            mine.release_lease(held.clone()).await.unwrap();
        } else {
            // Its packs go, and it counts no more under later generations.
            collect(&mine, "collector", (2 + turn) * TTL_MS, 0).await.unwrap();
        }
    }
    let held = lease(&mine, "b", 9 * TTL_MS).await.unwrap();
    back_up(&mine, &held, &point(2), &chunks(CHUNKS, 7), &[]).await.unwrap();
    assert_eq!(written().await, 2);
    assert_restores(&mine, &point(2), &chunks(CHUNKS, 7)).await;
}
