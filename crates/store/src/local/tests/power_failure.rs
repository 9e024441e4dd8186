//! The power fails after every single change that a backup, a deletion and a collection make to a directory.

use std::ops::Range;

use super::{
    unsynced::{Journal, Luck, Random},
    *,
};
use crate::{
    ChunkKind, ChunkRef, LeasePurpose, MasterKey, Repository, VaultKeyring, WriterOptions,
    limits::PACK_TARGET_BYTES_MIN,
};

const VAULT: uuid::Uuid = uuid::Uuid::from_u128(0xa11);
const REPOSITORY: uuid::Uuid = uuid::Uuid::from_u128(0xb22);
const TTL_MS: u64 = 60_000;
/// Random outcomes that are tried after each change: every run tries others.
const RANDOM_TRIES: u64 = 1;

/// The journal syncs nothing for real, which would take most of the time.
fn journaled(journal: &Arc<Journal>, root: &FsPath) -> Arc<dyn ObjectStore> {
    let files: Arc<dyn FileSystem> = Arc::<Journal>::clone(journal);
    Arc::new(LocalStore::open_with(root, files).unwrap())
}

async fn open(store: &Arc<dyn ObjectStore>, master: &MasterKey) -> Repository {
    let keyring = VaultKeyring::create_or_open(store, VAULT, master).await.unwrap();
    Repository::create_or_open(store, VAULT, REPOSITORY, &keyring).await.unwrap()
}

fn point(number: u32) -> String {
    format!("{number:032x}")
}

/// Rows that do not compress, some of which every recovery point has.
fn chunks(number: u32) -> Vec<Vec<u8>> {
    (0..5_u32)
        .map(|chunk| {
            let seed = if chunk % 3 == 0 { chunk } else { number * 100 + chunk };
            let mut bytes = Vec::new();
            let mut reader = blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof();
            bytes.resize(24_000, 0);
            reader.fill(&mut bytes);
            bytes
        })
        .collect()
}

async fn back_up(repository: &Repository, holder: &str, now_ms: u64, number: u32) {
    let lease =
        repository.acquire_lease(holder, LeasePurpose::Backup, now_ms, TTL_MS).await.unwrap();
    let options = WriterOptions { pack_bytes: PACK_TARGET_BYTES_MIN, ..WriterOptions::default() };
    let writer = repository.writer(&lease, options).await.unwrap();
    let mut streams = [writer.stream(), writer.stream()];
    let mut references = Vec::new();
    for (at, plain) in chunks(number).iter().enumerate() {
        references.push(streams[at % 2].put(ChunkKind::TableRows, plain, None).await.unwrap());
    }
    for stream in streams {
        stream.finish().await.unwrap();
    }
    writer.seal(&point(number), &serde_json::to_vec(&references).unwrap()).await.unwrap();
    repository.renew_lease(&lease, now_ms).await.unwrap();
    repository.release_lease(lease).await.unwrap();
}

async fn collect(repository: &Repository, holder: &str, now_ms: u64) {
    let lease =
        repository.acquire_lease(holder, LeasePurpose::Collection, now_ms, TTL_MS).await.unwrap();
    let mut collection = repository.begin_collection(&lease).await.unwrap();
    while let Some(manifest) = collection.next().await.unwrap() {
        let references: Vec<ChunkRef> = serde_json::from_slice(&manifest.body).unwrap();
        references.iter().for_each(|reference| collection.needs(reference).unwrap());
        collection.answered(&manifest.info).unwrap();
    }
    let plan = collection.plan(now_ms, 0).await.unwrap();
    repository.collect(&lease, plan).await.unwrap();
    repository.release_lease(lease).await.unwrap();
}

/// The recovery points that are listed, each of which was read to the last byte.
async fn listed(repository: &Repository, when: &str) -> Vec<String> {
    let manifests = repository.manifests().await.unwrap();
    assert!(manifests.unreadable.is_empty(), "{when}: {:?}", manifests.unreadable);
    assert!(manifests.lease_damage.is_none(), "{when}: {:?}", manifests.lease_damage);
    let mut ids = Vec::new();
    for info in manifests.valid {
        let manifest = repository.read_manifest(&info.recovery_point_id).await.unwrap();
        let references: Vec<ChunkRef> = serde_json::from_slice(&manifest.body).unwrap();
        let number = u32::from_str_radix(&info.recovery_point_id, 16).unwrap();
        for (reference, plain) in references.iter().zip(chunks(number)) {
            let read = repository.read_chunk(reference).await;
            assert_eq!(read.ok().as_deref(), Some(&plain[..]), "{when}: point {number}");
        }
        assert_eq!(references.len(), chunks(number).len());
        ids.push(info.recovery_point_id);
    }
    ids
}

/// When, counted in changes, a recovery point was reported, and its deletion begun and reported.
struct Reported {
    point: u32,
    there: Range<usize>,
    gone: usize,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_was_not_synced_is_lost_and_nothing_that_was_reported() {
    let master = MasterKey::generate().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let journal = Arc::new(Journal::new(directory.path()));
    let store = journaled(&journal, directory.path());
    let repository = open(&store, &master).await;
    back_up(&repository, "a", 0, 1).await;
    let first = journal.length();
    back_up(&repository, "b", 0, 2).await;
    let second = journal.length();
    let lease = repository.acquire_lease("c", LeasePurpose::Deletion, 0, TTL_MS).await.unwrap();
    let deleting = journal.length();
    assert!(repository.delete_manifest(&lease, &point(1), 0).await.unwrap());
    let deleted = journal.length();
    repository.release_lease(lease).await.unwrap();
    collect(&repository, "d", 0).await;
    let all = journal.length();
    let reported = [
        Reported { point: 1, there: first..deleting, gone: deleted },
        Reported { point: 2, there: second..all, gone: usize::MAX },
    ];

    let seed = std::env::var("COFFER_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = seed.unwrap_or_else(|| {
        let mut bytes = [0; 4];
        crate::crypto::random(&mut bytes).unwrap();
        u32::from_le_bytes(bytes).into()
    });
    println!("seed {seed}: run again with COFFER_TEST_SEED={seed}");
    let (mut tried, mut different) = (0, HashSet::new());
    for after in 0..=all {
        let disk = journal.disk_after(after);
        let random = (0..RANDOM_TRIES)
            .map(|number| Luck::Random(Random::new(seed + after as u64 * RANDOM_TRIES + number)));
        for (number, mut luck) in
            [Luck::Lost, Luck::NamesOnly].into_iter().chain(random).enumerate()
        {
            let when = format!("seed {seed}, after {after} of {all} changes, outcome {number}");
            let left = tempfile::tempdir().unwrap();
            disk.fail(left.path(), &mut luck);
            tried += 1;
            drop(LocalStore::open(left.path()).unwrap());
            assert_eq!(staged_bytes(left.path()), 0, "{when}: what was staged takes room for ever");
            if different.insert(outcome(left.path(), after, &reported)) {
                check(left.path(), &master, after, &reported, &when).await;
            }
        }
    }
    assert!(tried > 400 && different.len() > 30, "{} outcomes of {tried}", different.len());
}

/// A process that died had made names and not said so. Whoever sees them makes them durable before relying on them.
#[tokio::test]
async fn what_a_dead_process_has_left_is_durable_once_it_is_listed() {
    let directory = tempfile::tempdir().unwrap();
    fs::create_dir_all(directory.path().join("packs/of")).unwrap();
    for name in ["packs/of/one", "packs/of/two", "packs/three"] {
        fs::write(directory.path().join(name), "whole").unwrap();
    }
    let journal = Arc::new(Journal::new(directory.path()));
    let store = journaled(&journal, directory.path());
    for listings in 1..=2 {
        let found: Vec<ObjectMeta> =
            store.list(Some(&Path::from("packs"))).try_collect().await.unwrap();
        assert_eq!(found.len(), 3);
        // One for each directory, in every listing: another process may have died since.
        assert_eq!(journal.length(), 2 * listings);
    }
}

/// The same for what is left when nothing but the staging area differs, and the same was reported: it need not be tried again.
fn outcome(left: &FsPath, after: usize, reported: &[Reported]) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    for Reported { there, gone, .. } in reported {
        hasher.update(&[u8::from(there.contains(&after)), u8::from(after < *gone)]);
    }
    add_files(left, &mut hasher);
    hasher.finalize()
}

fn add_files(directory: &FsPath, hasher: &mut blake3::Hasher) {
    let mut paths: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| !path.ends_with(STAGING)) {
        hasher.update(path.file_name().unwrap().as_encoded_bytes()).update(b"/");
        if path.is_dir() {
            add_files(path, hasher);
        } else {
            hasher.update(blake3::hash(&fs::read(path).unwrap()).as_bytes());
        }
        hasher.update(b"/");
    }
}

async fn check(left: &FsPath, master: &MasterKey, after: usize, reported: &[Reported], when: &str) {
    let store = journaled(&Arc::new(Journal::new(left)), left);
    let repository = open(&store, master).await;
    let ids = listed(&repository, when).await;
    for Reported { point: number, there, gone } in reported {
        let is_there = ids.contains(&point(*number));
        assert!(is_there || !there.contains(&after), "{when}: point {number} was reported");
        assert!(!is_there || after < *gone, "{when}: the deletion of {number} was reported");
    }
    back_up(&repository, "next", TTL_MS, 3).await;
    collect(&repository, "next", TTL_MS).await;
    let mut expected = ids;
    expected.push(point(3));
    assert_eq!(listed(&repository, when).await, expected, "{when}");
}

fn staged_bytes(root: &FsPath) -> u64 {
    fn below(directory: &FsPath) -> u64 {
        let Ok(entries) = fs::read_dir(directory) else { return 0 };
        entries
            .map(|entry| {
                let entry = entry.unwrap();
                let meta = entry.metadata().unwrap();
                if meta.is_dir() { below(&entry.path()) } else { meta.len() }
            })
            .sum()
    }
    below(&root.join(STAGING))
}
