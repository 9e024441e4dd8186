//! Packs are read to the last byte, in shares that can be stopped and continued; what the storage did not answer is neither
//! good nor bad.

use std::{collections::BTreeSet, sync::Arc};

use coffer_store::{MasterKey, ObjectStore, PackId, PackOutcome, Share, VerifyDepth};
use object_store::{ObjectStoreExt, path::Path};

use crate::{
    damage::alterations,
    support::{
        back_up, chunks, flipped, hooked_store::HookedStore, lease, memory, memory_of, objects,
        packs, point, replace, repository, verify_all,
    },
};

/// Two recovery points, the second partly deduplicated against the first.
async fn sample(master: &MasterKey) -> Arc<dyn ObjectStore> {
    let store = memory();
    let found = repository(&store, master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let (_, base) = back_up(&found, &held, &point(1), &chunks(60, 1), &[]).await.unwrap();
    let mut second = chunks(60, 1);
    second[30..].clone_from_slice(&chunks(60, 2)[30..]);
    back_up(&found, &held, &point(2), &second, &base).await.unwrap();
    found.release_lease(held).await.unwrap();
    store
}

#[tokio::test]
async fn shares_are_stable_and_together_they_are_everything() {
    let master = MasterKey::generate().unwrap();
    let store = sample(&master).await;
    let found = repository(&store, &master).await.unwrap();
    let count = packs(&store).await.len();
    assert!(count > 6, "{count}");
    for of in [1, 2, 3, 7, 1000] {
        let mut seen = BTreeSet::new();
        for number in 1..=of {
            let share = Share::new(number, of).unwrap();
            let (verdicts, report) = verify_all(&found, share, None).await;
            assert!(report.is_proof() && report.position.is_none());
            for verdict in verdicts {
                assert!(share.holds(verdict.pack));
                assert!(seen.insert(verdict.pack), "{} in two shares", verdict.pack);
            }
        }
        assert_eq!(seen.len(), count, "of {of}");
    }
    assert!(Share::new(0, 3).is_err() && Share::new(4, 3).is_err() && Share::new(0, 0).is_err());
    assert!(Share::new(2, 3).unwrap().holds("00000000000000010000000000000001".parse().unwrap()));
    for wrong in ["", "1", "0000000000000001000000000000000G", "0000000000000001000000000000000A"] {
        assert!(wrong.parse::<PackId>().is_err(), "{wrong}");
    }
}

#[tokio::test]
async fn samples_that_follow_each_other_are_everything() {
    let master = MasterKey::generate().unwrap();
    let store = sample(&master).await;
    let found = repository(&store, &master).await.unwrap();
    let names: Vec<PackId> =
        verify_all(&found, Share::ALL, None).await.0.iter().map(|verdict| verdict.pack).collect();
    for parts in [1, 500, 3333, 10_000] {
        // The last one may reach into the first.
        let (mut read, mut start) = (BTreeSet::new(), 7_777);
        for _ in 0..10_000_u32.div_ceil(parts) {
            let share = Share::sample(parts, start).unwrap();
            read.extend(names.iter().copied().filter(|pack| share.holds(*pack)));
            start += parts;
        }
        assert_eq!(read.len(), names.len(), "{parts} at a time");
    }
    assert!(Share::sample(0, 1).is_err() && Share::sample(10_001, 1).is_err());
}

#[tokio::test]
async fn a_run_that_was_stopped_anywhere_is_continued_and_reads_each_pack_once() {
    let master = MasterKey::generate().unwrap();
    let store = sample(&master).await;
    let found = repository(&store, &master).await.unwrap();
    let count = packs(&store).await.len();
    for stop in 0..=count {
        let mut run = found.verify_packs(Share::ALL, None).await.unwrap();
        let mut seen = Vec::new();
        for _ in 0..stop {
            seen.push(run.next().await.unwrap().pack);
        }
        assert_eq!(run.progress().done_packs as usize, stop);
        let report = run.finish();
        assert_eq!(report.remaining_packs as usize, count - stop);
        assert_eq!(report.is_proof(), stop == count);
        // The position is text wherever it is kept.
        let position = report.position.map(|pack| pack.to_string().parse::<PackId>().unwrap());
        if stop < count {
            assert_eq!(position, seen.last().copied());
            let (rest, report) = verify_all(&found, Share::ALL, position).await;
            assert!(report.is_proof());
            seen.extend(rest.into_iter().map(|verdict| verdict.pack));
        }
        assert_eq!(seen.len(), count);
        assert!(seen.is_sorted(), "in the order of names");
    }

    let hooked = HookedStore::dying(&store, None);
    let counted = repository(&hooked.dynamic(), &master).await.unwrap();
    let (verdicts, report) = verify_all(&counted, Share::ALL, None).await;
    let bytes: u64 = verdicts.iter().map(|verdict| verdict.bytes).sum();
    assert_eq!(report.checked_bytes, bytes);
    // Once, and once more the end of each pack, where its footer is: here up to 64 KiB of packs of about as much.
    assert!(hooked.read_bytes() < 2 * bytes + 1, "{} of {bytes}", hooked.read_bytes());
}

#[tokio::test]
async fn every_alteration_of_a_pack_is_found_and_names_the_pack_and_the_recovery_points_that_need_it()
 {
    let master = MasterKey::generate().unwrap();
    let good = objects(&sample(&master).await).await;
    let mut tried = 0;
    for (name, content) in good.iter().filter(|(name, _)| name.as_ref().contains("/packs/")) {
        for (how, altered) in alterations(content) {
            tried += 1;
            let mut objects = good.clone();
            objects.insert(name.clone(), altered);
            let found = repository(&memory_of(&objects).await, &master).await.unwrap();
            let (_, report) = verify_all(&found, Share::ALL, None).await;
            assert!(!report.is_proof(), "{name}: {how}");
            assert_eq!((report.damaged_packs, report.unchecked_packs), (1, 0), "{name}: {how}");
            let damaged: Vec<_> = report.damaged.iter().collect();
            assert!(name.as_ref().ends_with(&damaged[0].pack.to_string()), "{name}: {how}");

            // Which recovery points need it: by their references and footers, no pack is read again.
            let mut affected = 0;
            for number in [1, 2] {
                let verifier = found.verifier(VerifyDepth::Closure).knowing(report.damaged.clone());
                for reference in crate::support::references(&found, &point(number)).await.unwrap() {
                    let whole = verifier.check(&reference).await.unwrap();
                    assert_eq!(!whole, report.damaged.of(&reference).is_some(), "{name}: {how}");
                    if damaged[0].chunks.is_some() {
                        assert_eq!(
                            whole,
                            found.read_chunk(&reference).await.is_ok(),
                            "{name}: {how}"
                        );
                    }
                }
                affected += u64::from(verifier.finish().damaged_chunks > 0);
            }
            assert!(affected > 0, "{name}: {how}");
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[tokio::test]
async fn packs_that_are_swapped_are_damaged_both() {
    let master = MasterKey::generate().unwrap();
    let store = sample(&master).await;
    let objects = objects(&store).await;
    let names = packs(&store).await;
    for (number, first) in names.iter().enumerate() {
        let second = &names[(number + 1) % names.len()];
        let store = memory_of(&objects).await;
        replace(&store, first, objects[second].clone()).await;
        replace(&store, second, objects[first].clone()).await;
        let found = repository(&store, &master).await.unwrap();
        assert_eq!(verify_all(&found, Share::ALL, None).await.1.damaged_packs, 2);
    }
}

#[tokio::test]
async fn a_storage_that_fails_is_neither_success_nor_damage() {
    let master = MasterKey::generate().unwrap();
    let store = sample(&master).await;
    let opening = {
        let counted = HookedStore::dying(&store, None);
        repository(&counted.dynamic(), &master).await.unwrap();
        counted.calls()
    };
    let mut tried = 0;
    for call in opening.. {
        for for_good in [false, true] {
            let faulty = if for_good {
                HookedStore::unreachable_from(&store, call)
            } else {
                HookedStore::failing(&store, call)
            };
            let found = repository(&faulty.dynamic(), &master).await.unwrap();
            let Ok(mut run) = found.verify_packs(Share::ALL, None).await else {
                assert!(faulty.happened());
                continue;
            };
            let mut last_known = None;
            while let Some(verdict) = run.next().await {
                match verdict.outcome {
                    PackOutcome::Whole { .. } => last_known = Some(verdict.pack),
                    PackOutcome::Unchecked(error) => assert!(error.is_transient()),
                    PackOutcome::Damaged(_) | PackOutcome::Gone => panic!("{call}: {verdict:?}"),
                }
            }
            let report = run.finish();
            assert_eq!(report.damaged_packs, 0);
            if !faulty.happened() {
                assert!(report.is_proof());
                assert!(tried > 20, "{tried}");
                return;
            }
            tried += 1;
            assert!(!report.is_proof(), "{call}");
            assert!(report.unchecked_packs > 0 && !report.unchecked.is_empty());
            if report.remaining_packs > 0 {
                assert_eq!(
                    report.position, last_known,
                    "the next run begins where this one saw last"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_pack_that_a_collection_deletes_meanwhile_is_gone_and_not_damaged() {
    let master = MasterKey::generate().unwrap();
    let store = sample(&master).await;
    let found = repository(&store, &master).await.unwrap();
    let names = packs(&store).await;
    let mut run = found.verify_packs(Share::ALL, None).await.unwrap();
    run.next().await.unwrap();
    store.delete(names.last().unwrap()).await.unwrap();
    let mut last = None;
    while let Some(verdict) = run.next().await {
        last = Some(verdict);
    }
    assert!(matches!(last.unwrap().outcome, PackOutcome::Gone));
    let report = run.finish();
    assert_eq!((report.gone_packs, report.damaged_packs), (1, 0));
}

#[tokio::test]
async fn several_damaged_chunks_of_a_pack_are_told_apart_and_many_are_not() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let tiny: Vec<_> = (0..400)
        .map(|number: u32| (coffer_store::ChunkKind::Roles, number.to_string().into()))
        .collect();
    let (_, references) = back_up(&found, &held, &point(1), &tiny, &[]).await.unwrap();
    let name: Path = packs(&store).await[0].clone();
    let pack = references[0].pack;
    for count in [1, 3, 128, 129, 200] {
        let mut content = objects(&store).await[&name].clone();
        let hit: Vec<_> = references.iter().filter(|of| of.pack == pack).take(count).collect();
        for reference in &hit {
            content = flipped(&content, reference.offset as usize);
        }
        let mut altered = objects(&store).await;
        altered.insert(name.clone(), content);
        let found = repository(&memory_of(&altered).await, &master).await.unwrap();
        let (_, report) = verify_all(&found, Share::ALL, None).await;
        let damaged = report.damaged.iter().next().unwrap();
        let numbers: Vec<u32> = hit.iter().map(|reference| reference.number).collect();
        let expected = (count == hit.len() && count <= 128).then_some(numbers);
        assert_eq!(damaged.chunks, expected, "{count}");
    }
}
