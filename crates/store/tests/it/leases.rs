//! Who may write, and which manifests count.

use coffer_store::{Error, LeasePurpose, MasterKey, create_location};
use futures::FutureExt;

use crate::support::{
    TTL_MS, assert_restores, back_up, chunks, hooked_store::HookedStore, lease, memory, objects,
    options, point, put, repository,
};

#[tokio::test]
async fn one_holder_at_a_time() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let first = lease(&repository, "a", 1000).await.unwrap();
    let held = lease(&repository, "b", 1000 + TTL_MS - 1).await.unwrap_err();
    assert!(
        matches!(held, Error::LeaseHeld { ref holder, expires_at_ms } if holder == "a" && expires_at_ms == 1000 + TTL_MS)
    );
    assert!(held.is_transient());

    repository.renew_lease(&first, 5000).await.unwrap();
    assert!(lease(&repository, "b", 5000 + TTL_MS - 1).await.is_err());
    let second = lease(&repository, "b", 5000 + TTL_MS).await.unwrap();
    assert!(second.generation() > first.generation());
    assert!(matches!(repository.renew_lease(&first, 6000).await, Err(Error::LeaseLost { .. })));
    assert!(first.is_lost() && !second.is_lost());
    repository.release_lease(first).await.unwrap();
    assert!(lease(&repository, "c", 0).await.is_err(), "a lost lease gives nothing back");

    let again = lease(&repository, "b", 0).await.unwrap();
    assert!(again.generation() > second.generation(), "the same holder takes over at once");
    repository.release_lease(again.clone()).await.unwrap();
    assert!(repository.writer(&again, options()).await.is_err(), "a clone of a released lease");
    lease(&repository, "c", 0).await.unwrap();
}

#[tokio::test]
async fn renewals_do_not_pile_up() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let first = lease(&repository, "a", 0).await.unwrap();
    for now_ms in 0..50 {
        repository.renew_lease(&first, now_ms).await.unwrap();
    }
    let count = async || {
        objects(&store).await.keys().filter(|name| name.as_ref().contains("/leases/")).count()
    };
    assert_eq!(count().await, 3);
    lease(&repository, "a", 0).await.unwrap();
    assert_eq!(count().await, 2, "older generations are cleared away");
}

#[tokio::test]
async fn what_a_stale_holder_seals_is_nothing() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let stale = lease(&repository, "a", 0).await.unwrap();
    let kept = chunks(8, 1);
    back_up(&repository, &stale, &point(1), &kept, &[]).await.unwrap();
    let writer = repository.writer(&stale, options()).await.unwrap();
    let late = put(&writer, &chunks(8, 2), &[]).await.unwrap();

    let lease_b = lease(&repository, "b", TTL_MS).await.unwrap();
    let error = writer.seal(&point(2), &serde_json::to_vec(&late).unwrap()).await.unwrap_err();
    assert!(matches!(error, Error::LeaseLost { .. }), "{error}");
    assert!(matches!(repository.writer(&stale, options()).await, Err(Error::LeaseLost { .. })));
    assert!(matches!(
        repository.delete_manifest(&stale, &point(1), 0).await,
        Err(Error::LeaseLost { .. })
    ));

    // The new holder may seal the same recovery point; the old one goes on counting.
    let fresh = chunks(8, 3);
    back_up(&repository, &lease_b, &point(2), &fresh, &[]).await.unwrap();
    let ids: Vec<_> = repository
        .manifests()
        .await
        .unwrap()
        .valid
        .into_iter()
        .map(|info| info.recovery_point_id)
        .collect();
    assert_eq!(ids, [point(1), point(2)]);
    assert_restores(&repository, &point(1), &kept).await;
    assert_restores(&repository, &point(2), &fresh).await;
}

/// The takeover comes at every single call of a running seal.
#[tokio::test]
async fn a_seal_that_reports_success_counts_whenever_another_takes_over() {
    let (mut succeeded, mut lost) = (0, 0);
    for call in 0.. {
        let store = memory();
        let master = MasterKey::generate().unwrap();
        let other = repository(&store, &master).await.unwrap();
        let hook = {
            let other = other.clone();
            async move {
                lease(&other, "b", 10 * TTL_MS).await.unwrap();
            }
        };
        // The calls are counted from the opening on; only those of the seal matter, the rest is tried as well.
        let hooked = HookedStore::interrupted(&store, call, hook.boxed());
        let outcome = async {
            let mine = repository(&hooked.dynamic(), &master).await?;
            let held = lease(&mine, "a", 0).await?;
            back_up(&mine, &held, &point(1), &chunks(4, 1), &[]).await
        }
        .await;
        let counts = other.read_manifest(&point(1)).await.is_ok();
        match outcome {
            Ok(_) => {
                assert!(counts, "reported and not there: call {call}");
                succeeded += 1;
            }
            Err(Error::LeaseLost { .. } | Error::LeaseHeld { .. }) => {
                assert!(!counts, "not reported and there: call {call}");
                lost += 1;
            }
            Err(error) => panic!("call {call}: {error}"),
        }
        if !hooked.happened() {
            break;
        }
    }
    assert!(succeeded > 1 && lost > 5, "{succeeded} {lost}");
}

/// A whole seal comes at every single call of a takeover.
#[tokio::test]
async fn a_takeover_sees_every_manifest_that_was_reported() {
    let mut reported = 0;
    for call in 0.. {
        let store = memory();
        let master = MasterKey::generate().unwrap();
        let mine = repository(&store, &master).await.unwrap();
        let held = lease(&mine, "a", 0).await.unwrap();
        let writer = mine.writer(&held, options()).await.unwrap();
        let references = put(&writer, &chunks(4, 1), &[]).await.unwrap();
        let (sender, mut sealed) = tokio::sync::oneshot::channel();
        let hook = async move {
            let outcome = writer.seal(&point(1), &serde_json::to_vec(&references).unwrap()).await;
            sender.send(outcome.is_ok()).unwrap();
        };
        let hooked = HookedStore::interrupted(&store, call, hook.boxed());
        let other = repository(&hooked.dynamic(), &master).await.unwrap();
        lease(&other, "b", 10 * TTL_MS).await.unwrap();
        let Ok(sealed) = sealed.try_recv() else { break };
        assert_eq!(mine.read_manifest(&point(1)).await.is_ok(), sealed, "call {call}");
        reported += u32::from(sealed);
    }
    assert!(reported > 2);
}

/// Several processes on one directory: each opens the location for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_that_take_it_at_once_one_holds_it() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("file://{}", directory.path().display());
    let master = MasterKey::generate().unwrap();
    let mut processes = Vec::new();
    for _ in 0..4 {
        processes.push(repository(&create_location(&url).unwrap(), &master).await.unwrap());
    }
    for round in 1..10_u64 {
        let attempts = processes.iter().cloned().enumerate().map(|(number, repository)| {
            tokio::spawn(async move {
                let now_ms = round * 10 * TTL_MS;
                repository
                    .acquire_lease(&number.to_string(), LeasePurpose::Backup, now_ms, TTL_MS)
                    .await
            })
        });
        let mut writing = 0;
        for (attempt, repository) in
            futures::future::join_all(attempts).await.into_iter().zip(&processes)
        {
            match attempt.unwrap() {
                Ok(lease) => {
                    writing += u32::from(repository.writer(&lease, options()).await.is_ok());
                }
                Err(Error::LeaseHeld { .. } | Error::LeaseLost { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        }
        assert!(writing <= 1, "round {round}: {writing}");
    }
}

#[tokio::test]
async fn nonsense_is_refused() {
    let repository = repository(&memory(), &MasterKey::generate().unwrap()).await.unwrap();
    for (holder, ttl_ms) in [("", 1), ("a", 0), (&*"x".repeat(1000), 1)] {
        let refused = repository.acquire_lease(holder, LeasePurpose::Collection, 0, ttl_ms).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })));
    }
}
