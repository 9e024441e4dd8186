//! The same behaviour on every kind of storage: a directory, a bucket of S3, a container of Azure Blob.
//!
//! What the other files try on a directory and in memory at every call, these try once on each, with the emulators that
//! `coffer_testkit` starts. Each kind has one emulator and each behaviour a prefix of its own in it.

#![expect(clippy::panic, reason = "a helper of a test may fail the test")]

use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

use coffer_store::{
    Backend, Error, LeasePurpose, Location, LocationOptions, MasterKey, ObjectStore, PackOutcome,
    Repository, Share, StorageFailure, Variables, VaultKeyring, VerifyDepth, clear_probes,
    list_repositories, list_vaults, probe,
};
use coffer_testkit::{ObjectStorage, ObjectStorageKind};
use futures::{StreamExt, TryStreamExt};
use object_store::{ObjectStoreExt, PutMode, PutOptions, PutPayload, path::Path};
use tempfile::TempDir;

use crate::support::{
    REPOSITORY, TTL_MS, VAULT, assert_restores, back_up, chunks, collect, lease, noise, objects,
    options, packs, point, put, references, repository, verify_all,
};

/// A dead endpoint has to be told within this time, or the creation of a vault seems to hang.
const TOLD_WITHIN: Duration = Duration::from_secs(60);

/// Where a test puts its data.
enum Place {
    Directory(TempDir),
    Emulator(ObjectStorage),
}

impl Place {
    fn emulator(kind: ObjectStorageKind) -> Option<Self> {
        ObjectStorage::start(kind).unwrap().map(Self::Emulator)
    }

    fn location(&self, prefix: &str) -> Location {
        match self {
            Self::Directory(directory) => {
                let url = format!("file://{}/{prefix}", directory.path().display());
                Location::new(&url, &LocationOptions::default(), &Variables::default()).unwrap()
            }
            Self::Emulator(emulator) => location(&emulator.url(prefix), &emulator.options()),
        }
    }

    /// Opened anew each time, as by another process.
    fn store(&self, prefix: &str) -> Arc<dyn ObjectStore> {
        Arc::clone(self.location(prefix).create().unwrap().store())
    }
}

fn location(url: &str, options: &[(&'static str, String)]) -> Location {
    let options: serde_json::Map<_, _> =
        options.iter().map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
    let options = serde_json::from_value(options.into()).unwrap();
    Location::new(url, &options, &Variables::default()).unwrap()
}

/// All behaviours, each below a prefix of its own.
async fn behaves(place: Place) {
    let place = &place;
    each("create", place, of_many_writers_of_one_name_one_wins).await;
    each("probe", place, probes_pass_and_leave_nothing).await;
    each("names", place, prefixes_keep_apart_what_begins_alike).await;
    each("backup", place, backups_come_back_and_only_changes_are_stored).await;
    each("pack", place, a_large_object_comes_back_whole_and_in_ranges).await;
    each("damage", place, damage_is_found_and_told_from_absence).await;
    each("lease", place, a_lease_is_taken_over_once).await;
    each("collect", place, pins_hold_back_and_collection_frees).await;
    each("destroy", place, a_destroyed_repository_leaves_nothing).await;
}

#[expect(clippy::print_stderr, reason = "a failure has to say which of the behaviours it is")]
async fn each<'a, T: Future<Output = ()>>(
    prefix: &'static str,
    place: &'a Place,
    behaviour: impl FnOnce(&'a Place, &'static str) -> T,
) {
    eprintln!("behaviour: {prefix}");
    behaviour(place, prefix).await;
}

#[tokio::test]
async fn a_directory_behaves() {
    behaves(Place::Directory(tempfile::tempdir().unwrap())).await;
}

#[tokio::test]
async fn a_bucket_of_s3_behaves() {
    let Some(place) = Place::emulator(ObjectStorageKind::S3) else { return };
    assert!(matches!(place.location("x").open().unwrap().backend(), Backend::S3(_)));
    behaves(place).await;
}

#[tokio::test]
async fn a_container_of_azure_behaves() {
    let Some(place) = Place::emulator(ObjectStorageKind::Azure) else { return };
    assert!(matches!(place.location("x").open().unwrap().backend(), Backend::Azure(_)));
    behaves(place).await;
}

async fn create(store: &Arc<dyn ObjectStore>, name: &Path, content: impl Into<PutPayload>) {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store.put_opts(name, content.into(), options).await.unwrap();
}

async fn of_many_writers_of_one_name_one_wins(place: &Place, prefix: &'static str) {
    const WRITERS: usize = 24;
    let name = Path::from("vaults/race");
    let mut tasks = Vec::new();
    for writer in 0..WRITERS {
        let (store, name) = (place.store(prefix), name.clone());
        tasks.push(tokio::spawn(async move {
            let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
            let content = format!("{writer}").repeat(10_000);
            (writer, store.put_opts(&name, content.into(), options).await)
        }));
    }
    let mut won = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (writer, Ok(_)) => won.push(writer),
            (_, Err(object_store::Error::AlreadyExists { .. })) => {}
            (writer, Err(error)) => panic!("writer {writer}: {error}"),
        }
    }
    assert_eq!(won.len(), 1, "{won:?}");
    let content = place.store(prefix).get(&name).await.unwrap().bytes().await.unwrap();
    assert_eq!(content, format!("{}", won[0]).repeat(10_000));
}

async fn probes_pass_and_leave_nothing(place: &Place, prefix: &'static str) {
    let store = place.store(prefix);
    futures::future::try_join_all((0..4).map(|_| probe(&store, VAULT))).await.unwrap();
    assert!(objects(&store).await.is_empty());
    let left = Path::from(format!("vaults/{VAULT}/probes/{REPOSITORY}"));
    create(&store, &left, "probe").await;
    assert_eq!(clear_probes(&store, VAULT).await.unwrap(), 1);
    assert!(objects(&store).await.is_empty());
}

async fn prefixes_keep_apart_what_begins_alike(place: &Place, prefix: &'static str) {
    let (short, long) = (place.store(prefix), place.store(&format!("{prefix}-2/deep")));
    let name = Path::from("vaults/a/keys/1");
    assert!(matches!(short.head(&name).await, Err(object_store::Error::NotFound { .. })));
    assert!(matches!(short.get(&name).await, Err(object_store::Error::NotFound { .. })));
    create(&short, &name, "short").await;
    create(&long, &name, "long").await;
    create(&long, &Path::from("vaults/ab/keys/1"), "").await;
    let names = |store: Arc<dyn ObjectStore>, below: &'static str| async move {
        let below = Path::from(below);
        let listing = store.list(Some(&below)).map_ok(|meta| meta.location.to_string());
        let mut names: Vec<String> = listing.try_collect().await.unwrap();
        names.sort();
        names
    };
    assert_eq!(names(Arc::clone(&short), "vaults").await, ["vaults/a/keys/1"]);
    assert_eq!(names(Arc::clone(&long), "vaults/a").await, ["vaults/a/keys/1"]);
    assert_eq!(names(Arc::clone(&long), "vaults").await.len(), 2);
    let directories = long.list_with_delimiter(Some(&Path::from("vaults"))).await.unwrap();
    let directories: Vec<_> = directories.common_prefixes.iter().map(ToString::to_string).collect();
    assert_eq!(directories, ["vaults/a", "vaults/ab"]);
    short.delete(&name).await.unwrap();
    assert!(matches!(short.head(&name).await, Err(object_store::Error::NotFound { .. })));
    assert_eq!(long.get(&name).await.unwrap().bytes().await.unwrap(), "long");
    assert!(list_vaults(&place.store(&format!("{prefix}-empty"))).await.unwrap().is_empty());
}

async fn backups_come_back_and_only_changes_are_stored(place: &Place, prefix: &'static str) {
    let master = MasterKey::generate().unwrap();
    let first = chunks(40, 1);
    {
        let mine = repository(&place.store(prefix), &master).await.unwrap();
        let held = lease(&mine, "a", 0).await.unwrap();
        let (info, base) = back_up(&mine, &held, &point(1), &first, &[]).await.unwrap();
        assert!(info.stats.packs > 2, "several packs, or this shows little");
        let (same, again) = back_up(&mine, &held, &point(2), &first, &base).await.unwrap();
        assert_eq!(again, base);
        assert_eq!((same.stats.stored_chunks, same.stats.packs), (0, 0));
        mine.release_lease(held).await.unwrap();
        // Half a backup, and nobody comes back for it.
        let held = lease(&mine, "a", 0).await.unwrap();
        let writer = mine.writer(&held, options()).await.unwrap();
        put(&writer, &chunks(8, 9), &[]).await.unwrap();
    }
    // As break-glass does it: nothing but the location and the key.
    let store = place.store(prefix);
    assert_eq!(list_vaults(&store).await.unwrap(), [VAULT]);
    assert_eq!(list_repositories(&store, VAULT).await.unwrap(), [REPOSITORY]);
    let keyring = VaultKeyring::open(&store, VAULT, &master).await.unwrap();
    let found = Repository::open(&store, VAULT, REPOSITORY, &keyring).await.unwrap();
    assert_eq!(found.manifests().await.unwrap().valid.len(), 2);
    for number in [1, 2] {
        assert_restores(&found, &point(number), &first).await;
    }
    let verifier = found.verifier(VerifyDepth::Full);
    for reference in references(&found, &point(2)).await.unwrap() {
        assert!(verifier.check(&reference).await.unwrap());
    }
    assert_eq!(verifier.finish().damaged_chunks, 0);
    // What the interrupted backup had written whole is not written again.
    let held = lease(&found, "b", 2 * TTL_MS).await.unwrap();
    let (info, _) = back_up(&found, &held, &point(3), &chunks(8, 9), &[]).await.unwrap();
    assert!(info.stats.resumed_chunks > 0, "{:?}", info.stats);
    assert!(VaultKeyring::open(&store, VAULT, &MasterKey::generate().unwrap()).await.is_err());
}

async fn a_large_object_comes_back_whole_and_in_ranges(place: &Place, prefix: &'static str) {
    let store = place.store(prefix);
    let content = noise(20 << 20, 1);
    let name = Path::from("vaults/large");
    create(&store, &name, content.clone()).await;
    assert_eq!(store.head(&name).await.unwrap().size, content.len() as u64);
    assert!(store.get(&name).await.unwrap().bytes().await.unwrap() == content);
    let ranges = [0..1, 5_000_000..9_000_000, (20 << 20) - 7..20 << 20];
    let parts = store.get_ranges(&name, &ranges).await.unwrap();
    for (part, range) in parts.iter().zip(&ranges) {
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        assert!(*part == content[range]);
    }
}

async fn damage_is_found_and_told_from_absence(place: &Place, prefix: &'static str) {
    let master = MasterKey::generate().unwrap();
    let store = place.store(prefix);
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    let (_, references) = back_up(&found, &held, &point(1), &chunks(40, 1), &[]).await.unwrap();
    let names = packs(&store).await;
    let content = objects(&store).await;
    // Cut short, beyond what any footer says; gone; altered.
    for name in &names[..3] {
        store.delete(name).await.unwrap();
    }
    create(&store, &names[0], content[&names[0]].slice(..100)).await;
    let mut altered = content[&names[2]].to_vec();
    altered[200] ^= 1;
    create(&store, &names[2], altered).await;
    let mut outcomes = BTreeMap::new();
    for reference in &references {
        match found.read_chunk(reference).await {
            Ok(_) => *outcomes.entry("read").or_insert(0) += 1,
            Err(Error::Corrupt { what, reason }) => {
                let kind = match () {
                    () if reason.contains("missing") => "missing",
                    () if reason.contains("bytes where") => "short",
                    () => "altered",
                };
                *outcomes.entry(kind).or_insert(0) += 1;
                assert!(
                    names[..3].iter().any(|name| what.contains(name.filename().unwrap())),
                    "{what}"
                );
            }
            Err(error) => panic!("{error}"),
        }
    }
    for kind in ["missing", "short"] {
        assert!(outcomes.contains_key(kind), "{kind}: {outcomes:?}");
    }
    let (verdicts, _) = verify_all(&found, Share::ALL, None).await;
    let damaged = verdicts
        .iter()
        .filter(|verdict| matches!(verdict.outcome, PackOutcome::Damaged { .. }))
        .count();
    assert_eq!(damaged, 2, "a pack that is not there is none: {verdicts:?}");
    assert!(matches!(found.read_manifest(&point(7)).await, Err(Error::NotFound { .. })));
}

async fn a_lease_is_taken_over_once(place: &Place, prefix: &'static str) {
    let master = MasterKey::generate().unwrap();
    let mut processes = Vec::new();
    for _ in 0..8 {
        processes.push(repository(&place.store(prefix), &master).await.unwrap());
    }
    let stale = lease(&processes[0], "stale", 0).await.unwrap();
    back_up(&processes[0], &stale, &point(1), &chunks(4, 1), &[]).await.unwrap();
    assert!(matches!(
        lease(&processes[1], "early", TTL_MS - 1).await,
        Err(Error::LeaseHeld { .. })
    ));
    let takers = processes.iter().enumerate().map(|(number, process)| async move {
        lease(process, &format!("taker {number}"), TTL_MS).await
    });
    let taken = futures::future::join_all(takers).await;
    assert_eq!(taken.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{taken:?}");
    for outcome in taken {
        match outcome {
            Ok(_) | Err(Error::LeaseHeld { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
    let late = back_up(&processes[0], &stale, &point(2), &chunks(4, 2), &[]).await;
    assert!(matches!(late, Err(Error::LeaseLost { .. })), "{late:?}");
    assert_restores(&processes[0], &point(1), &chunks(4, 1)).await;
}

async fn pins_hold_back_and_collection_frees(place: &Place, prefix: &'static str) {
    let store = place.store(prefix);
    let found = repository(&store, &MasterKey::generate().unwrap()).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    for number in [1, 2] {
        back_up(&found, &held, &point(number), &chunks(12, number), &[]).await.unwrap();
    }
    found.release_lease(held).await.unwrap();
    let pin = found.pin(&point(1), "restore", 0, TTL_MS).await.unwrap();
    let delete = || async {
        let held = found.acquire_lease("r", LeasePurpose::Deletion, 1, TTL_MS).await.unwrap();
        let deleted = found.delete_manifest(&held, &point(1), 1).await;
        found.release_lease(held).await.unwrap();
        deleted
    };
    assert!(matches!(delete().await, Err(Error::Pinned { .. })));
    assert_eq!(collect(&found, "gc", 1, 0).await.unwrap().deleted_packs, 0);
    found.release_pin(pin).await.unwrap();
    assert!(delete().await.unwrap());
    let before = packs(&store).await.len();
    let report = collect(&found, "gc", 1, 0).await.unwrap();
    assert!(report.deleted_packs > 0);
    assert_eq!(packs(&store).await.len() as u64, before as u64 - report.deleted_packs);
    assert_restores(&found, &point(2), &chunks(12, 2)).await;
}

async fn a_destroyed_repository_leaves_nothing(place: &Place, prefix: &'static str) {
    let master = MasterKey::generate().unwrap();
    let store = place.store(prefix);
    let found = repository(&store, &master).await.unwrap();
    let held = lease(&found, "a", 0).await.unwrap();
    // More than a batch of deletions.
    back_up(&found, &held, &point(1), &chunks(40, 1), &[]).await.unwrap();
    let stray = Path::from(format!("vaults/{VAULT}/repositories/{REPOSITORY}/packs/stray"));
    futures::stream::iter(0..300)
        .for_each_concurrent(16, |number| {
            let (store, name) = (Arc::clone(&store), stray.clone().join(number.to_string()));
            async move {
                create(&store, &name, "x").await;
            }
        })
        .await;
    assert!(Repository::destroy(&store, VAULT, REPOSITORY).await.unwrap() > 300);
    assert!(list_repositories(&store, VAULT).await.unwrap().is_empty());
    assert_eq!(VaultKeyring::destroy(&store, VAULT).await.unwrap(), 1);
    assert!(objects(&store).await.is_empty());
    assert!(list_vaults(&store).await.unwrap().is_empty());
}

/// What every call of a fresh process meets first.
async fn failures(location: &Location) -> Vec<Error> {
    let store = Arc::clone(location.open().unwrap().store());
    let master = MasterKey::generate().unwrap();
    vec![
        list_vaults(&store).await.unwrap_err(),
        list_repositories(&store, VAULT).await.unwrap_err(),
        VaultKeyring::open(&store, VAULT, &master).await.unwrap_err(),
        VaultKeyring::create_or_open(&store, VAULT, &master).await.unwrap_err(),
        probe(&store, VAULT).await.unwrap_err(),
    ]
}

#[track_caller]
fn assert_all(errors: Vec<Error>, expected: StorageFailure) {
    for error in errors {
        let Error::Storage { failure, source, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*failure, expected, "{error}: {source}");
        assert_eq!(error.is_transient(), expected == StorageFailure::Unreachable);
        assert!(!format!("{error:?} {source}").contains("secret"), "{error:?}");
    }
}

async fn refusals(kind: ObjectStorageKind) {
    let Some(emulator) = ObjectStorage::start(kind).unwrap() else { return };
    let missing = location(&emulator.url_of("no-such-place", "x"), &emulator.options());
    assert_all(failures(&missing).await, StorageFailure::NoContainer);
    let store = Arc::clone(missing.open().unwrap().store());
    let head = store.head(&Path::from("vaults/a")).await.unwrap_err();
    assert!(
        !matches!(head, object_store::Error::NotFound { .. }),
        "never an absent object: {head}"
    );

    let mut wrong = emulator.options();
    match kind {
        ObjectStorageKind::S3 => emulator.refuse_credentials().unwrap(),
        ObjectStorageKind::Azure => {
            for (name, value) in &mut wrong {
                if *name == "account_key" {
                    *value = "c2VjcmV0c2VjcmV0c2VjcmV0".to_owned();
                }
            }
        }
    }
    let wrong = location(&emulator.url("x"), &wrong);
    assert_all(failures(&wrong).await, StorageFailure::Unauthenticated);

    // Nobody listens any more.
    let dead = location(&emulator.url("x"), &emulator.options());
    drop(emulator);
    let store = Arc::clone(dead.open().unwrap().store());
    let error = tokio::time::timeout(TOLD_WITHIN, probe(&store, VAULT)).await.unwrap().unwrap_err();
    assert_all(vec![error], StorageFailure::Unreachable);
}

#[tokio::test]
async fn a_certificate_of_the_storages_own_is_trusted_where_it_is_named() {
    let Some(emulator) = ObjectStorage::start_s3_with_tls().unwrap() else { return };
    let mut options = emulator.options();
    let store = Arc::clone(location(&emulator.url("x"), &options).open().unwrap().store());
    let error = probe(&store, VAULT).await.unwrap_err();
    let Error::Storage { failure, source, .. } = &error else { panic!("{error:?}") };
    assert_eq!(*failure, StorageFailure::Unreachable, "{source}");
    assert!(source.to_string().contains("certificate"), "says what is wrong: {source}");
    options.push(("ca_file", emulator.ca_file().to_str().unwrap().to_owned()));
    let store = Arc::clone(location(&emulator.url("x"), &options).open().unwrap().store());
    probe(&store, VAULT).await.unwrap();
}

#[tokio::test]
async fn a_missing_bucket_wrong_keys_and_a_dead_endpoint_are_told_apart() {
    refusals(ObjectStorageKind::S3).await;
}

#[tokio::test]
async fn a_missing_container_a_wrong_key_and_a_dead_endpoint_are_told_apart() {
    refusals(ObjectStorageKind::Azure).await;
}
