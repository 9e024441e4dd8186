//! A small backup to try everything on, and the store that fails.

pub(crate) mod hooked_store;
pub(crate) mod process;

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use coffer_store::{
    ChunkKind, ChunkRef, CollectionPlan, CollectionReport, Error, Lease, LeasePurpose,
    ManifestInfo, MasterKey, ObjectStore, PackId, PackReport, PackVerdict, Repository, Result,
    Share, VaultKeyring, Writer, WriterOptions, WriterStats, limits::PACK_TARGET_BYTES_MIN,
};
use futures::TryStreamExt;
use object_store::{ObjectStoreExt, memory::InMemory, path::Path};
use uuid::Uuid;

pub(crate) const VAULT: Uuid = Uuid::from_u128(0xa11);
pub(crate) const REPOSITORY: Uuid = Uuid::from_u128(0xb22);
/// Long enough for every test that does not mean to let it run out.
pub(crate) const TTL_MS: u64 = 60_000;

pub(crate) fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(InMemory::new())
}

/// A recovery point's id.
pub(crate) fn point(number: u32) -> String {
    format!("{number:032x}")
}

/// Small packs, so that a small backup has several.
pub(crate) fn options() -> WriterOptions {
    WriterOptions { pack_bytes: PACK_TARGET_BYTES_MIN, ..WriterOptions::default() }
}

/// Chunks to back up: some compress, some don't, one is empty.
pub(crate) fn chunks(count: u32, seed: u32) -> Vec<(ChunkKind, Vec<u8>)> {
    (0..count)
        .map(|number| {
            let kind = ChunkKind::ALL[number as usize % ChunkKind::ALL.len()];
            let plain = match number % 4 {
                0 => format!("row {number} of {seed}\n").repeat(1000).into_bytes(),
                1 => noise(20_000, seed.wrapping_mul(1000).wrapping_add(number)),
                2 => format!("{seed}/{number}").into_bytes(),
                _ => noise(7, seed ^ number << 8),
            };
            (kind, plain)
        })
        .collect()
}

/// Bytes that do not compress, the same for the same seed.
pub(crate) fn noise(length: usize, seed: u32) -> Vec<u8> {
    let mut state = u64::from(seed).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    })
    .take(length)
    .collect()
}

pub(crate) async fn repository(
    store: &Arc<dyn ObjectStore>,
    master: &MasterKey,
) -> Result<Repository> {
    let keyring = VaultKeyring::create_or_open(store, VAULT, master).await?;
    Repository::create_or_open(store, VAULT, REPOSITORY, &keyring).await
}

pub(crate) async fn lease(repository: &Repository, holder: &str, now_ms: u64) -> Result<Lease> {
    repository.acquire_lease(holder, LeasePurpose::Backup, now_ms, TTL_MS).await
}

/// Puts the chunks through two streams; the references in order.
pub(crate) async fn put(
    writer: &Writer,
    chunks: &[(ChunkKind, Vec<u8>)],
    base: &[ChunkRef],
) -> Result<Vec<ChunkRef>> {
    let mut streams = [writer.stream(), writer.stream()];
    let mut references = Vec::new();
    for (number, (kind, plain)) in chunks.iter().enumerate() {
        references.push(streams[number % 2].put(*kind, plain, base.get(number)).await?);
    }
    for stream in streams {
        stream.finish().await?;
    }
    Ok(references)
}

/// One whole backup; its body is the list of references.
pub(crate) async fn back_up(
    repository: &Repository,
    lease: &Lease,
    point: &str,
    chunks: &[(ChunkKind, Vec<u8>)],
    base: &[ChunkRef],
) -> Result<(ManifestInfo, Vec<ChunkRef>)> {
    let writer = repository.writer(lease, options()).await?;
    let references = put(&writer, chunks, base).await?;
    let info = writer.seal(point, &serde_json::to_vec(&references).unwrap()).await?;
    Ok((info, references))
}

/// Collects garbage under a lease of that holder. Bodies are lists of references.
pub(crate) async fn collect(
    repository: &Repository,
    holder: &str,
    now_ms: u64,
    grace_ms: u64,
) -> Result<CollectionReport> {
    let lease = repository.acquire_lease(holder, LeasePurpose::Collection, now_ms, TTL_MS).await?;
    let plan = plan_collection(repository, &lease, now_ms, grace_ms).await?;
    let report = repository.collect(&lease, plan).await?;
    repository.release_lease(lease).await?;
    Ok(report)
}

/// The first half of [`collect`].
pub(crate) async fn plan_collection(
    repository: &Repository,
    lease: &Lease,
    now_ms: u64,
    grace_ms: u64,
) -> Result<CollectionPlan> {
    let mut collection = repository.begin_collection(lease).await?;
    while let Some(manifest) = collection.next().await? {
        let references: Vec<ChunkRef> = serde_json::from_slice(&manifest.body).unwrap();
        for reference in &references {
            collection.needs(reference)?;
        }
        collection.answered(&manifest.info)?;
    }
    collection.plan(now_ms, grace_ms).await
}

/// Names of the packs that there are.
pub(crate) async fn packs(store: &Arc<dyn ObjectStore>) -> Vec<Path> {
    objects(store).await.into_keys().filter(|name| name.as_ref().contains("/packs/")).collect()
}

/// Flips one bit.
pub(crate) fn flipped(content: &Bytes, at: usize) -> Bytes {
    let mut bytes = content.to_vec();
    bytes[at] ^= 1;
    bytes.into()
}

/// Puts other bytes in an object's place: what only a disk, an attacker or a repair does.
pub(crate) async fn replace(store: &Arc<dyn ObjectStore>, name: &Path, content: Bytes) {
    store.put(name, content.into()).await.unwrap();
}

/// Reads all packs to the end.
pub(crate) async fn verify_all(
    repository: &Repository,
    share: Share,
    after: Option<PackId>,
) -> (Vec<PackVerdict>, PackReport) {
    let mut run = repository.verify_packs(share, after).await.unwrap();
    let mut verdicts = Vec::new();
    while let Some(verdict) = run.next().await {
        verdicts.push(verdict);
    }
    (verdicts, run.finish())
}

/// Reads all packs and puts on record what is found.
pub(crate) async fn verify_and_record(repository: &Repository, now_ms: u64) -> PackReport {
    let (verdicts, report) = verify_all(repository, Share::ALL, None).await;
    let held = repository
        .acquire_lease("verifier", LeasePurpose::Verification, now_ms, TTL_MS)
        .await
        .unwrap();
    repository.record_verdicts(&held, &verdicts).await.unwrap();
    repository.release_lease(held).await.unwrap();
    report
}

/// Everything that is listed can be read, and everything that it needs is whole; how many recovery points that are.
pub(crate) async fn assert_all_is_sound(repository: &Repository, when: &str) -> usize {
    let manifests = repository.manifests().await.unwrap();
    assert!(manifests.lease_damage.is_none(), "{when}: {manifests:?}");
    assert!(manifests.unreadable.is_empty(), "{when}: {manifests:?}");
    for info in &manifests.valid {
        for reference in references(repository, &info.recovery_point_id).await.unwrap() {
            let read = repository.read_chunk(&reference).await;
            assert!(
                read.is_ok(),
                "{when}: {} needs {reference:?}: {read:?}",
                info.recovery_point_id
            );
        }
    }
    manifests.valid.len()
}

/// The references in a recovery point's body.
pub(crate) async fn references(repository: &Repository, point: &str) -> Result<Vec<ChunkRef>> {
    Ok(serde_json::from_slice(&repository.read_manifest(point).await?.body).unwrap())
}

/// Reads a recovery point back and compares every byte.
pub(crate) async fn assert_restores(
    repository: &Repository,
    point: &str,
    chunks: &[(ChunkKind, Vec<u8>)],
) {
    let references = references(repository, point).await.unwrap();
    assert_eq!(references.len(), chunks.len());
    for (reference, (kind, plain)) in references.iter().zip(chunks) {
        assert_eq!(reference.kind, *kind);
        assert_eq!(repository.read_chunk(reference).await.unwrap(), *plain);
    }
}

/// Every object with its content.
pub(crate) async fn objects(store: &Arc<dyn ObjectStore>) -> BTreeMap<Path, Bytes> {
    let names: Vec<Path> =
        store.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    let mut objects = BTreeMap::new();
    for name in names {
        let content = store.get(&name).await.unwrap().bytes().await.unwrap();
        objects.insert(name, content);
    }
    objects
}

/// A store in memory with exactly these objects.
pub(crate) async fn memory_of(objects: &BTreeMap<Path, Bytes>) -> Arc<dyn ObjectStore> {
    let store = memory();
    for (name, content) in objects {
        store.put(name, content.clone().into()).await.unwrap();
    }
    store
}

/// Counts that must add up in every backup.
pub(crate) fn assert_adds_up(stats: &WriterStats, chunks: &[(ChunkKind, Vec<u8>)]) {
    assert_eq!(stats.chunks, chunks.len() as u64);
    assert_eq!(stats.plain_bytes, chunks.iter().map(|(_, plain)| plain.len() as u64).sum::<u64>());
    assert_eq!(
        stats.chunks,
        stats.stored_chunks + stats.deduplicated_chunks + stats.resumed_chunks
    );
}

/// Damage, and nothing else.
pub(crate) fn is_damage(error: &Error) -> bool {
    matches!(
        error,
        Error::Corrupt { .. }
            | Error::WrongKey { .. }
            | Error::UnsupportedFormat { .. }
            | Error::NotFound { .. }
    )
}
