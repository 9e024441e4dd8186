//! Every kind of object altered in every region: damage is reported as damage, nothing panics, nothing wrong is returned.

use std::collections::BTreeMap;

use bytes::Bytes;
use coffer_store::{ChunkRef, Error, MasterKey, Repository, Result, VaultKeyring, VerifyDepth};
use object_store::path::Path;

use crate::support::{
    REPOSITORY, VAULT, back_up, chunks, is_damage, lease, memory, memory_of, objects, point,
    references, repository,
};

/// Alterations tried on one object.
pub(crate) fn alterations(content: &Bytes) -> Vec<(String, Bytes)> {
    let length = content.len();
    // Every byte at both ends, where the structure is; a sample between.
    let edges = (0..length.min(80)).chain(length.saturating_sub(80)..length);
    let between = (80..length.saturating_sub(80)).step_by((length / 40).max(1));
    let mut altered: Vec<(String, Bytes)> = edges
        .chain(between)
        .map(|at| {
            let mut bytes = content.to_vec();
            bytes[at] ^= 1 << (at % 8);
            (format!("byte {at} of {length} flipped"), bytes.into())
        })
        .collect();
    for keep in [0, 1, 7, 55, 56, 57, 72, length / 2, length - 1] {
        altered.push((format!("cut to {keep} of {length}"), content.slice(..keep.min(length - 1))));
    }
    altered.push(("longer".to_owned(), [content, &b"x"[..]].concat().into()));
    altered.push(("zeros".to_owned(), vec![0; length].into()));
    altered
}

/// Reads everything that a restore reads, and hands back what it got.
async fn restore_all(objects: &BTreeMap<Path, Bytes>, master: &MasterKey) -> Result<Vec<Bytes>> {
    let store = memory_of(objects).await;
    let keyring = VaultKeyring::open(&store, VAULT, master).await?;
    let repository = Repository::open(&store, VAULT, REPOSITORY, &keyring).await?;
    let mut plain = Vec::new();
    for reference in references(&repository, &point(1)).await? {
        plain.push(repository.read_chunk(&reference).await?);
    }
    Ok(plain)
}

async fn sample(master: &MasterKey) -> (BTreeMap<Path, Bytes>, Vec<ChunkRef>) {
    let store = memory();
    let repository = repository(&store, master).await.unwrap();
    let held = lease(&repository, "a", 0).await.unwrap();
    let (_, references) =
        back_up(&repository, &held, &point(1), &chunks(12, 1), &[]).await.unwrap();
    repository.release_lease(held).await.unwrap();
    (objects(&store).await, references)
}

#[tokio::test]
async fn altered_objects_give_errors_or_the_right_bytes_and_nothing_else() {
    let master = MasterKey::generate().unwrap();
    let (good, _) = sample(&master).await;
    let expected = restore_all(&good, &master).await.unwrap();
    let mut tried = 0;
    for (name, content) in &good {
        for (how, altered) in alterations(content) {
            let mut objects = good.clone();
            objects.insert(name.clone(), altered);
            match restore_all(&objects, &master).await {
                // Leases and footers are not needed for a restore; `format` is plain and may say the same differently.
                Ok(plain) => {
                    assert_eq!(plain, expected, "{name}: {how}");
                    let sealed_for_restore =
                        ["/manifests/", "/keys/"].iter().any(|part| name.as_ref().contains(part));
                    assert!(!sealed_for_restore, "{name}: {how} was not noticed");
                }
                Err(error) => assert!(is_damage(&error), "{name}: {how}: {error}"),
            }
            tried += 1;
        }
    }
    assert!(tried > 1000, "{tried}");
}

#[tokio::test]
async fn verification_finds_every_alteration_of_a_pack() {
    let master = MasterKey::generate().unwrap();
    let (good, references) = sample(&master).await;
    for (name, content) in good.iter().filter(|(name, _)| name.as_ref().contains("/packs/")) {
        for (how, altered) in alterations(content) {
            let mut objects = good.clone();
            objects.insert(name.clone(), altered);
            let repository = repository(&memory_of(&objects).await, &master).await.unwrap();
            let verifier = repository.verifier(VerifyDepth::Full);
            for reference in &references {
                verifier.check(reference).await.unwrap();
            }
            let report = verifier.finish();
            assert!(report.damaged_chunks > 0, "{name}: {how}");
            assert_eq!(report.damaged.len() as u64, report.damaged_chunks);
            assert!(
                report
                    .damaged
                    .iter()
                    .all(|damage| name.as_ref().contains(&damage.chunk.pack.to_string()))
            );
        }
    }
}

#[tokio::test]
async fn a_missing_pack_a_foreign_one_and_a_wrong_reference_are_found_by_footers_alone() {
    let master = MasterKey::generate().unwrap();
    let (good, references) = sample(&master).await;
    let packs: Vec<Path> =
        good.keys().filter(|name| name.as_ref().contains("/packs/")).cloned().collect();
    let mut missing = good.clone();
    missing.remove(&packs[0]);
    let mut swapped = good.clone();
    swapped.insert(packs[0].clone(), good[&packs[1]].clone());
    for objects in [missing, swapped] {
        let repository = repository(&memory_of(&objects).await, &master).await.unwrap();
        let verifier = repository.verifier(VerifyDepth::Closure);
        for reference in &references {
            let intact = verifier.check(reference).await.unwrap();
            assert_eq!(intact, !packs[0].as_ref().contains(&reference.pack.to_string()));
        }
        assert!(verifier.finish().damaged_chunks > 0);
    }
    let repository = repository(&memory_of(&good).await, &master).await.unwrap();
    let verifier = repository.verifier(VerifyDepth::Closure);
    let first = references[0];
    let wrong = [
        ChunkRef { number: first.number + 1, ..first },
        ChunkRef { number: u32::MAX, ..first },
        ChunkRef { offset: first.offset + 1, ..first },
        ChunkRef { stored_bytes: 0, ..first },
        ChunkRef { plain_bytes: 0, ..first },
        ChunkRef { id: references[1].id, ..first },
    ];
    for reference in &wrong {
        assert!(!verifier.check(reference).await.unwrap(), "{reference:?}");
        if reference.plain_bytes != first.plain_bytes
            || reference.id != first.id
            || reference.offset != first.offset
        {
            assert!(is_damage(&repository.read_chunk(reference).await.unwrap_err()));
        }
    }
    for reference in [
        ChunkRef { offset: u64::MAX, ..first },
        ChunkRef { stored_bytes: u32::MAX, ..first },
        ChunkRef { offset: 0, ..first },
        ChunkRef { number: u32::MAX, ..first },
    ] {
        assert!(is_damage(&repository.read_chunk(&reference).await.unwrap_err()), "{reference:?}");
    }
}

#[tokio::test]
async fn a_manifest_that_cannot_be_read_is_reported_beside_the_others() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    for number in 1..=3 {
        back_up(&found, &held, &point(number), &chunks(3, number), &[]).await.unwrap();
    }
    let mut objects = objects(&store).await;
    for (name, content) in &mut objects {
        if name.as_ref().contains(&point(2)) {
            *content = content.slice(..content.len() - 1);
        }
    }
    let found = repository(&memory_of(&objects).await, &master).await.unwrap();
    let manifests = found.manifests().await.unwrap();
    let ids: Vec<_> = manifests.valid.iter().map(|info| info.recovery_point_id.clone()).collect();
    assert_eq!(ids, [point(1), point(3)]);
    assert_eq!(manifests.unreadable.len(), 1);
    assert_eq!(manifests.unreadable[0].recovery_point_id, point(2));
    assert!(matches!(found.read_manifest(&point(2)).await, Err(Error::Corrupt { .. })));
    assert!(matches!(found.read_manifest(&point(4)).await, Err(Error::NotFound { .. })));
}

#[tokio::test]
async fn a_damaged_lease_stops_writers_and_not_readers() {
    let master = MasterKey::generate().unwrap();
    let (good, _) = sample(&master).await;
    let leases = |name: &Path| name.as_ref().contains("/leases/");
    let mut altered = good.clone();
    altered
        .iter_mut()
        .filter(|(name, _)| leases(name))
        .for_each(|(_, content)| *content = Bytes::from_static(b"x"));
    let mut gone = good.clone();
    gone.retain(|name, _| !leases(name));
    for objects in [altered, gone] {
        let found = repository(&memory_of(&objects).await, &master).await.unwrap();
        assert!(matches!(lease(&found, "b", u64::MAX).await, Err(Error::Corrupt { .. })));
        let manifests = found.manifests().await.unwrap();
        assert_eq!(manifests.valid.len(), 1);
        assert!(matches!(manifests.lease_damage, Some(Error::Corrupt { .. })));
        assert!(found.read_manifest(&point(1)).await.is_ok());
    }
}

#[tokio::test]
async fn stray_objects_are_ignored() {
    let master = MasterKey::generate().unwrap();
    let (mut objects, _) = sample(&master).await;
    let root = format!("vaults/{VAULT}/repositories/{REPOSITORY}");
    for name in [
        "packs/x",
        "packs/.tmp",
        "manifests/x",
        "manifests/y/1",
        "leases/9",
        "leases/9/9",
        "keys/x",
        "x/y",
    ] {
        objects.insert(Path::from(format!("{root}/{name}")), Bytes::from_static(b"stray"));
    }
    objects.insert(Path::from("vaults/notes.txt"), Bytes::from_static(b"stray"));
    let store = memory_of(&objects).await;
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "b", 0).await.unwrap();
    back_up(&found, &held, &point(2), &chunks(3, 5), &[]).await.unwrap();
    assert_eq!(found.manifests().await.unwrap().valid.len(), 2);
    assert_eq!(coffer_store::list_vaults(&store).await.unwrap(), [VAULT]);
}
