//! What is put comes back, is stored once, and is sealed only when it is whole.

use coffer_store::{
    ChunkKind, ChunkRef, Error, MasterKey, PackStream, VerifyDepth, WriterOptions, create_location,
    limits::{CHUNK_BYTES_MAX, PACK_CHUNKS_MAX, PACK_TARGET_BYTES_MAX, PACK_TARGET_BYTES_MIN},
    list_repositories, list_vaults, open_location,
};

use crate::support::{
    REPOSITORY, VAULT, assert_adds_up, assert_restores, back_up, chunks, hooked_store::HookedStore,
    lease, memory, noise, objects, options, point, put, references, repository,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_on_a_real_directory_comes_back_after_everything_in_memory_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let key_file = directory.path().join("master.key");
    let url = format!("file://{}/storage", directory.path().display());
    let chunks = chunks(40, 1);
    {
        let master = MasterKey::generate().unwrap();
        master.write_file(&key_file).unwrap();
        let store = create_location(&url).unwrap();
        let repository = repository(&store, &master).await.unwrap();
        let lease = lease(&repository, "a", 0).await.unwrap();
        let (info, _) = back_up(&repository, &lease, &point(1), &chunks, &[]).await.unwrap();
        assert_adds_up(&info.stats, &chunks);
        assert!(info.stats.packs > 2, "several packs, or this test shows little");
        repository.release_lease(lease).await.unwrap();
    }
    // As break-glass does it: nothing but the location and the key.
    let store = open_location(&url).unwrap();
    assert_eq!(list_vaults(&store).await.unwrap(), [VAULT]);
    assert_eq!(list_repositories(&store, VAULT).await.unwrap(), [REPOSITORY]);
    let master = MasterKey::read_file(&key_file).unwrap();
    let repository = repository(&store, &master).await.unwrap();
    let manifests = repository.manifests().await.unwrap();
    assert_eq!(manifests.valid.len(), 1);
    assert!(manifests.unreadable.is_empty() && manifests.lease_damage.is_none());
    assert_eq!(manifests.valid[0].recovery_point_id, point(1));
    assert_restores(&repository, &point(1), &chunks).await;
    let verifier = repository.verifier(VerifyDepth::Full);
    for reference in references(&repository, &point(1)).await.unwrap() {
        assert!(verifier.check(&reference).await.unwrap());
    }
    let report = verifier.finish();
    assert_eq!((report.chunks, report.damaged_chunks), (40, 0));
}

#[tokio::test]
async fn the_next_backup_stores_only_what_changed() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let lease = lease(&repository, "a", 0).await.unwrap();
    let first = chunks(40, 1);
    let (_, base) = back_up(&repository, &lease, &point(1), &first, &[]).await.unwrap();

    let before = objects(&store).await.len();
    let (same, references) = back_up(&repository, &lease, &point(2), &first, &base).await.unwrap();
    assert_eq!(references, base);
    assert_eq!((same.stats.stored_chunks, same.stats.stored_bytes, same.stats.packs), (0, 0, 0));
    assert_eq!(objects(&store).await.len(), before + 1, "only a manifest was added");

    let mut second = first.clone();
    second[5].1 = noise(9_000, 99);
    let (changed, _) = back_up(&repository, &lease, &point(3), &second, &base).await.unwrap();
    assert_adds_up(&changed.stats, &second);
    assert_eq!((changed.stats.stored_chunks, changed.stats.stored_plain_bytes), (1, 9_000));
    for (number, chunks) in [(1, &first), (2, &first), (3, &second)] {
        assert_restores(&repository, &point(number), chunks).await;
    }
}

#[tokio::test]
async fn equal_chunks_of_one_backup_are_stored_once_whatever_the_stream_but_kinds_stay_apart() {
    let repository = repository(&memory(), &MasterKey::generate().unwrap()).await.unwrap();
    let lease = lease(&repository, "a", 0).await.unwrap();
    let writer = repository.writer(&lease, options()).await.unwrap();
    let (mut one, mut two) = (writer.stream(), writer.stream());
    let plain = noise(5_000, 3);
    let first = one.put(ChunkKind::TableRows, &plain, None).await.unwrap();
    assert_eq!(two.put(ChunkKind::TableRows, &plain, None).await.unwrap(), first);
    let other = two.put(ChunkKind::LargeObjectData, &plain, None).await.unwrap();
    assert_eq!(other.id, first.id);
    assert_ne!((other.pack, other.kind), (first.pack, first.kind));
    one.finish().await.unwrap();
    two.finish().await.unwrap();
    assert_eq!((writer.stats().stored_chunks, writer.stats().deduplicated_chunks), (2, 1));
    writer.seal(&point(1), b"").await.unwrap();
    for reference in [first, other] {
        assert_eq!(repository.read_chunk(&reference).await.unwrap(), plain);
    }
}

#[tokio::test]
async fn a_reference_whose_pack_is_gone_or_cut_is_stored_again() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let held = lease(&repository, "a", 0).await.unwrap();
    let chunks = chunks(40, 1);
    let (_, base) = back_up(&repository, &held, &point(1), &chunks, &[]).await.unwrap();
    let lost = base[0].pack;
    let name = objects(&store)
        .await
        .into_keys()
        .find(|name| name.as_ref().contains(&lost.to_string()))
        .unwrap();
    object_store::ObjectStoreExt::delete(&store, &name).await.unwrap();

    let held = lease(&repository, "a", 0).await.unwrap();
    let writer = repository.writer(&held, options()).await.unwrap();
    assert!(!writer.can_reuse(&base[0]));
    let beyond = ChunkRef { offset: u64::MAX, ..base[1] };
    assert!(!writer.can_reuse(&beyond));
    let references = put(&writer, &chunks, &base).await.unwrap();
    assert!(references.iter().all(|reference| reference.pack != lost));
    writer.seal(&point(2), &serde_json::to_vec(&references).unwrap()).await.unwrap();
    assert_restores(&repository, &point(2), &chunks).await;
}

#[tokio::test]
async fn the_manifest_is_the_last_object_and_nothing_is_written_twice() {
    let store = HookedStore::dying(&memory(), None);
    let repository = repository(&store.dynamic(), &MasterKey::generate().unwrap()).await.unwrap();
    let lease = lease(&repository, "a", 0).await.unwrap();
    back_up(&repository, &lease, &point(1), &chunks(40, 1), &[]).await.unwrap();
    let log = store.log();
    assert!(log.last().unwrap().contains("/manifests/"), "{log:?}");
    let mut names = log.clone();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), log.len());
    assert!(log.iter().all(|entry| entry.starts_with("put ")), "{log:?}");
}

#[tokio::test]
async fn an_incomplete_backup_is_not_sealed() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let lease = lease(&repository, "a", 0).await.unwrap();
    let put_one = async |stream: &mut PackStream| {
        stream.put(ChunkKind::Roles, &noise(900, 1), None).await.unwrap()
    };

    let writer = repository.writer(&lease, options()).await.unwrap();
    let mut stream = writer.stream();
    put_one(&mut stream).await;
    let error = writer.clone().seal(&point(1), b"").await.unwrap_err();
    assert!(matches!(error, Error::Incomplete { .. }), "unfinished: {error}");
    assert!(stream.put(ChunkKind::Roles, b"more", None).await.is_err(), "after sealing was tried");

    let writer = repository.writer(&lease, options()).await.unwrap();
    let mut stream = writer.stream();
    put_one(&mut stream).await;
    drop(stream);
    let error = writer.seal(&point(1), b"").await.unwrap_err();
    assert!(matches!(error, Error::Incomplete { .. }), "dropped: {error}");

    // A stream that was dropped with nothing in it loses nothing.
    let writer = repository.writer(&lease, options()).await.unwrap();
    drop(writer.stream());
    let mut stream = writer.stream();
    put_one(&mut stream).await;
    stream.finish().await.unwrap();
    let second = writer.clone();
    writer.seal(&point(1), b"body").await.unwrap();
    assert!(second.seal(&point(2), b"").await.is_err(), "once");
    assert_eq!(repository.read_manifest(&point(1)).await.unwrap().body, b"body");
    assert_eq!(repository.manifests().await.unwrap().valid.len(), 1);
}

#[tokio::test]
async fn limits_and_malformed_names_are_refused() {
    let store = memory();
    let repository = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let lease = lease(&repository, "a", 0).await.unwrap();
    for pack_bytes in [0, PACK_TARGET_BYTES_MIN - 1, PACK_TARGET_BYTES_MAX + 1, usize::MAX] {
        let refused = repository.writer(&lease, WriterOptions { pack_bytes, ..options() }).await;
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{pack_bytes}");
    }
    let refused = repository.writer(&lease, WriterOptions { zstd_level: 1000, ..options() }).await;
    assert!(matches!(refused, Err(Error::Invalid { .. })));
    let writer = repository.writer(&lease, options()).await.unwrap();
    let mut stream = writer.stream();
    let too_large = vec![0; CHUNK_BYTES_MAX + 1];
    assert!(matches!(
        stream.put(ChunkKind::TableRows, &too_large, None).await,
        Err(Error::Invalid { .. })
    ));
    let largest = stream.put(ChunkKind::TableRows, &too_large[1..], None).await.unwrap();
    let empty = stream.put(ChunkKind::TableRows, b"", None).await.unwrap();
    stream.finish().await.unwrap();
    assert_eq!(repository.read_chunk(&largest).await.unwrap().len(), CHUNK_BYTES_MAX);
    assert_eq!(repository.read_chunk(&empty).await.unwrap().len(), 0);
    for id in ["", "x", "../../../format", &"A".repeat(32)] {
        assert!(matches!(writer.clone().seal(id, b"").await, Err(Error::Invalid { .. })), "{id}");
        assert!(matches!(repository.read_manifest(id).await, Err(Error::Invalid { .. })), "{id}");
        assert!(
            matches!(repository.delete_manifest(&lease, id, 0).await, Err(Error::Invalid { .. })),
            "{id}"
        );
    }
}

#[tokio::test]
async fn very_many_tiny_chunks_fit() {
    let repository = repository(&memory(), &MasterKey::generate().unwrap()).await.unwrap();
    let lease = lease(&repository, "a", 0).await.unwrap();
    let options = WriterOptions { pack_bytes: PACK_TARGET_BYTES_MAX, ..options() };
    let writer = repository.writer(&lease, options).await.unwrap();
    let mut stream = writer.stream();
    let mut last = None;
    for number in 0..=PACK_CHUNKS_MAX {
        last = Some(
            stream.put(ChunkKind::TableRows, number.to_string().as_bytes(), None).await.unwrap(),
        );
    }
    stream.finish().await.unwrap();
    assert_eq!(writer.stats().packs, 2);
    let last = last.unwrap();
    assert_eq!(last.number, 0);
    assert_eq!(repository.read_chunk(&last).await.unwrap(), PACK_CHUNKS_MAX.to_string());
}

#[tokio::test]
async fn the_storage_shows_nothing_of_the_content() {
    let store = memory();
    let master = MasterKey::generate().unwrap();
    let repository = repository(&store, &master).await.unwrap();
    let lease = lease(&repository, "holder-secret", 0).await.unwrap();
    let writer = repository.writer(&lease, options()).await.unwrap();
    let mut stream = writer.stream();
    let plain = b"row-secret".to_vec();
    let reference = stream.put(ChunkKind::TableRows, &plain, None).await.unwrap();
    stream.finish().await.unwrap();
    writer.seal(&point(1), b"body-secret").await.unwrap();
    for (name, content) in objects(&store).await {
        for secret in [
            &b"secret"[..],
            blake3::hash(&plain).as_bytes(),
            reference.id.as_bytes(),
            repository.row_hash_key(),
        ] {
            assert!(!content.windows(secret.len()).any(|window| window == secret), "{name}");
        }
    }
}
