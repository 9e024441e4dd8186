//! A repository's copy in another location: whole or not there, whatever dies or is taken over, and never poorer because the
//! first location is.

use std::{collections::BTreeSet, sync::Arc};

use coffer_store::{
    ChunkRef, Error, LeasePurpose, MasterKey, ObjectStore, PackReason, ReplicationReport,
    Repository, Result, VaultKeyring,
};
use futures::FutureExt;
use object_store::ObjectStoreExt;

use crate::support::{
    TTL_MS, VAULT, assert_all_is_sound, assert_restores, back_up, chunks, flipped,
    hooked_store::{Death, HookedStore},
    lease, memory, objects, packs, plan_collection, point, references, replace, repository,
};

const CHUNKS: u32 = 40;

/// Two recovery points that share packs; the references of both.
async fn two_points(store: &Arc<dyn ObjectStore>, master: &MasterKey) -> [Vec<ChunkRef>; 2] {
    let repository = repository(store, master).await.unwrap();
    let mut all: Vec<Vec<ChunkRef>> = Vec::new();
    for number in 1..=2 {
        let held = lease(&repository, "writer", 0).await.unwrap();
        let mut content = chunks(CHUNKS, 1);
        if number == 2 {
            content.truncate(CHUNKS as usize / 2);
            content.extend(chunks(CHUNKS, 2));
        }
        let base = all.last().cloned().unwrap_or_default();
        let (_, references) =
            back_up(&repository, &held, &point(number), &content, &base).await.unwrap();
        repository.release_lease(held).await.unwrap();
        all.push(references);
    }
    all.try_into().unwrap()
}

/// The copy of the repository, opened or made.
async fn copy_of(
    source: &Arc<dyn ObjectStore>,
    target: &Arc<dyn ObjectStore>,
    master: &MasterKey,
) -> Result<(Repository, Repository)> {
    let keyring = VaultKeyring::open(source, VAULT, master).await?;
    let from = repository(source, master).await?;
    let copys_keyring = VaultKeyring::create_or_open(target, VAULT, master).await?;
    let copy = from.create_or_open_copy(&keyring, target, &copys_keyring).await?;
    Ok((from, copy))
}

/// One turn: copies what is missing of these, under a lease of that holder.
async fn replicate(
    source: &Arc<dyn ObjectStore>,
    target: &Arc<dyn ObjectStore>,
    master: &MasterKey,
    holder: &str,
    points: &[u32],
) -> Result<ReplicationReport> {
    let (from, copy) = copy_of(source, target, master).await?;
    let above = from.newest_generation().await?;
    let held = copy.acquire_lease_above(holder, LeasePurpose::Backup, 0, TTL_MS, above).await?;
    let mut turn = copy.begin_replication(&from, &held).await?.unwrap();
    let mut all = ReplicationReport::default();
    for id in points.iter().map(|number| point(*number)) {
        if turn.has(&id) {
            continue;
        }
        let (manifest, mut copying) = turn.begin_point(&id).await?;
        let needed: Vec<ChunkRef> = serde_json::from_slice(&manifest.body).unwrap();
        needed.iter().try_for_each(|chunk| copying.needs(chunk))?;
        let report = turn.copy_point(copying, |_bytes| ()).await?;
        all.packs += report.packs;
        all.copied_packs += report.copied_packs;
        all.copied_bytes += report.copied_bytes;
    }
    copy.release_lease(held).await?;
    Ok(all)
}

#[tokio::test]
async fn the_copy_alone_restores_and_each_pack_is_copied_once() {
    let master = MasterKey::generate().unwrap();
    let (source, target) = (memory(), memory());
    two_points(&source, &master).await;
    let first = replicate(&source, &target, &master, "a", &[2]).await.unwrap();
    assert!(first.copied_packs > 1 && first.copied_packs == first.packs, "{first:?}");
    let second = replicate(&source, &target, &master, "a", &[2, 1]).await.unwrap();
    assert!(second.copied_packs > 0 && second.copied_packs < second.packs, "{second:?}");
    let nothing = replicate(&source, &target, &master, "a", &[2, 1]).await.unwrap();
    assert_eq!(nothing, ReplicationReport::default());
    let names = |all: Vec<object_store::path::Path>| all.into_iter().collect::<BTreeSet<_>>();
    assert_eq!(names(packs(&target).await), names(packs(&source).await));

    // Storage and master key, and nothing of the first location.
    drop(source);
    let keyring = VaultKeyring::open(&target, VAULT, &master).await.unwrap();
    let id = coffer_store::list_repositories(&target, VAULT).await.unwrap()[0];
    let alone = Repository::open(&target, VAULT, id, &keyring).await.unwrap();
    assert_eq!(assert_all_is_sound(&alone, "the copy").await, 2);
    assert_restores(&alone, &point(1), &chunks(CHUNKS, 1)).await;
    // Its counters are those of the backup, not of the copying.
    let manifests = alone.manifests().await.unwrap();
    assert!(manifests.valid.iter().all(|info| info.stats.chunks >= u64::from(CHUNKS)));
    // It can go on as a repository: the source's packs are older than what it writes.
    let held = lease(&alone, "next", 1).await.unwrap();
    let base = references(&alone, &point(1)).await.unwrap();
    let (info, _) = back_up(&alone, &held, &point(3), &chunks(CHUNKS, 1), &base).await.unwrap();
    assert_eq!(info.stats.stored_chunks, 0, "{info:?}");
}

#[tokio::test]
async fn death_at_every_write_leaves_no_manifest_without_its_packs() {
    let master = MasterKey::generate().unwrap();
    let source = memory();
    two_points(&source, &master).await;
    let mut deaths = 0;
    for death in [Death::Before as fn(usize) -> Death, Death::After] {
        for at in 0.. {
            let target = memory();
            let dying = HookedStore::dying(&target, Some(death(at)));
            let outcome = replicate(&source, &dying.dynamic(), &master, "a", &[2, 1]).await;
            if !dying.happened() {
                outcome.unwrap();
                break;
            }
            deaths += 1;
            assert!(outcome.is_err(), "write {at}");
            let when = format!("died at write {at}");
            let (_, copy) = copy_of(&source, &target, &master).await.unwrap();
            assert_all_is_sound(&copy, &when).await;
            // The same holder goes on at once, and copies nothing twice that was whole.
            let before = packs(&target).await.len() as u64;
            replicate(&source, &target, &master, "a", &[2, 1]).await.unwrap();
            assert_eq!(assert_all_is_sound(&copy, &when).await, 2);
            assert!(packs(&target).await.len() as u64 >= before);
        }
    }
    assert!(deaths > 20, "{deaths}");
}

#[tokio::test]
async fn a_copier_that_was_taken_over_can_make_no_recovery_point_appear() {
    let master = Arc::new(MasterKey::generate().unwrap());
    let source = memory();
    two_points(&source, &master).await;
    let quiet = HookedStore::dying(&memory(), None);
    replicate(&source, &quiet.dynamic(), &master, "a", &[2, 1]).await.unwrap();
    let mut taken_over = 0;
    // At every call of one who copies, another one takes the lease, copies and collects.
    for call in 0..quiet.calls() {
        let target = memory();
        let (other_source, other_target) = (Arc::clone(&source), Arc::clone(&target));
        let key = Arc::clone(&master);
        let other = async move {
            let made = copy_of(&other_source, &other_target, &key).await;
            let Ok((from, copy)) = made else { return };
            let above = from.newest_generation().await.unwrap();
            let late = TTL_MS + 1;
            let purpose = LeasePurpose::Collection;
            let held = copy.acquire_lease_above("b", purpose, late, TTL_MS, above).await;
            let Ok(held) = held else { return };
            let plan = plan_collection(&copy, &held, late, 0).await.unwrap();
            copy.collect(&held, plan).await.unwrap();
            copy.release_lease(held).await.unwrap();
        };
        let interrupted = HookedStore::interrupted(&target, call, other.boxed());
        let outcome = replicate(&source, &interrupted.dynamic(), &master, "a", &[2, 1]).await;
        taken_over += usize::from(matches!(outcome, Err(Error::LeaseLost { .. })));
        let (_, copy) = copy_of(&source, &target, &master).await.unwrap();
        assert_all_is_sound(&copy, &format!("taken over at call {call}: {outcome:?}")).await;
    }
    assert!(taken_over > 0);
}

#[tokio::test]
async fn what_is_damaged_is_not_copied() {
    let master = MasterKey::generate().unwrap();
    let (source, target) = (memory(), memory());
    let [of_first, _] = two_points(&source, &master).await;
    let largest = of_first.iter().max_by_key(|chunk| chunk.stored_bytes).unwrap();
    let all = objects(&source).await;
    let name = all.keys().find(|name| name.as_ref().ends_with(&largest.pack.to_string())).unwrap();
    let at = usize::try_from(largest.offset).unwrap() + 20;
    replace(&source, name, flipped(&all[name], at)).await;
    let error = replicate(&source, &target, &master, "a", &[1]).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    let (_, copy) = copy_of(&source, &target, &master).await.unwrap();
    assert_eq!(assert_all_is_sound(&copy, "after damage").await, 0);
    assert!(target.head(name).await.is_err(), "the damaged pack itself");
    replace(&source, name, all[name].clone()).await;
    replicate(&source, &target, &master, "a", &[1]).await.unwrap();
    assert_restores(&copy, &point(1), &chunks(CHUNKS, 1)).await;
    // Something that is gone is told as well.
    source.delete(name).await.unwrap();
    let error = replicate(&source, &memory(), &master, "a", &[1]).await.unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

#[tokio::test]
async fn a_collection_of_the_copy_spares_what_may_be_copied_once_more() {
    let master = MasterKey::generate().unwrap();
    let (source, target) = (memory(), memory());
    two_points(&source, &master).await;
    replicate(&source, &target, &master, "a", &[2, 1]).await.unwrap();
    let (from, copy) = copy_of(&source, &target, &master).await.unwrap();
    let above = from.newest_generation().await.unwrap();
    let held =
        copy.acquire_lease_above("a", LeasePurpose::Deletion, 0, TTL_MS, above).await.unwrap();
    assert!(copy.delete_manifest(&held, &point(1), 0).await.unwrap());
    copy.release_lease(held).await.unwrap();

    let before = packs(&target).await.len();
    for (at_source, goes) in [(from.pack_ids().await.unwrap(), false), (Default::default(), true)] {
        let purpose = LeasePurpose::Collection;
        let held = copy.acquire_lease_above("a", purpose, 0, TTL_MS, above).await.unwrap();
        let mut plan = plan_collection(&copy, &held, 0, 0).await.unwrap();
        plan.spare(&at_source);
        let spared = plan.decisions().iter().filter(|it| it.reason == PackReason::AtSource).count();
        assert_eq!(spared > 0, !goes);
        let report = copy.collect(&held, plan).await.unwrap();
        copy.release_lease(held).await.unwrap();
        assert_eq!(report.deleted_packs > 0, goes, "{report:?}");
        assert_eq!(packs(&target).await.len() < before, goes);
    }
    assert_eq!(assert_all_is_sound(&copy, "after the collection").await, 1);
}

#[tokio::test]
async fn each_location_has_a_vault_key_of_its_own_and_is_rotated_alone() {
    let master = MasterKey::generate().unwrap();
    let (source, target) = (memory(), memory());
    two_points(&source, &master).await;
    replicate(&source, &target, &master, "a", &[2, 1]).await.unwrap();
    let (here, there) = (objects(&source).await, objects(&target).await);
    let keys: Vec<_> = here.keys().filter(|name| name.as_ref().contains("/keys/")).collect();
    assert_eq!(keys.len(), 2, "of the vault and of the repository");
    assert!(keys.iter().all(|name| there.contains_key(name) && there[name] != here[name]));
    let rotated = VaultKeyring::rotate(&target, VAULT, &master).await.unwrap();
    let id = coffer_store::list_repositories(&target, VAULT).await.unwrap()[0];
    let copy = Repository::open(&target, VAULT, id, &rotated).await.unwrap();
    assert_eq!(copy.rewrap_key(&rotated).await.unwrap(), 1);
    replicate(&source, &target, &master, "a", &[2, 1]).await.unwrap();
    assert_eq!(assert_all_is_sound(&copy, "rotated").await, 2);
    // A repository of that name that has another key is none of ours.
    let strange = memory();
    repository(&strange, &master).await.unwrap();
    let refused = copy_of(&source, &strange, &master).await.unwrap_err();
    assert!(matches!(refused, Error::Corrupt { .. }), "{refused}");
}
