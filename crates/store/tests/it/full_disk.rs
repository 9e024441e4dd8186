//! The storage runs out of room at every write of a backup: the failure says so, nothing is lost by it, and with room again the
//! next backup succeeds.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use coffer_store::{Error, MasterKey, ObjectStore, Repository, Result, create_location};

use crate::support::{
    TTL_MS, assert_all_is_sound, assert_restores, back_up, chunks, hooked_store::HookedStore,
    lease, memory, memory_of, objects, point, process, references, repository,
};

const CHUNKS: u32 = 40;
/// Of the directory that the real disk is to be mounted on.
const DISK: &str = "COFFER_TEST_DISK";
/// What the shell ends with where it may not mount.
const CANNOT_MOUNT: i32 = 77;

async fn first_backup(store: &Arc<dyn ObjectStore>, master: &MasterKey) {
    let repository = repository(store, master).await.unwrap();
    let held = lease(&repository, "a", 0).await.unwrap();
    back_up(&repository, &held, &point(1), &chunks(CHUNKS, 1), &[]).await.unwrap();
    repository.release_lease(held).await.unwrap();
}

/// On top of the first one, by a holder of its own for each time.
async fn second_backup(repository: &Repository, now_ms: u64) -> Result<()> {
    let base = references(repository, &point(1)).await?;
    let held = lease(repository, &format!("b{now_ms}"), now_ms).await?;
    back_up(repository, &held, &point(2), &chunks(CHUNKS, 2), &base).await?;
    repository.release_lease(held).await
}

async fn assert_only_the_first(store: &Arc<dyn ObjectStore>, master: &MasterKey, when: &str) {
    let found = repository(store, master).await.unwrap();
    assert_eq!(assert_all_is_sound(&found, when).await, 1, "{when}");
    assert_restores(&found, &point(1), &chunks(CHUNKS, 1)).await;
}

#[tokio::test]
async fn a_full_storage_fails_the_backup_by_name_and_harms_nothing() {
    let (store, master) = (memory(), MasterKey::generate().unwrap());
    first_backup(&store, &master).await;
    let before = objects(&store).await;
    let (mut room, mut refused) = (0, 0);
    loop {
        let store = memory_of(&before).await;
        let small = HookedStore::with_room(&store, room);
        let mine = repository(&small.dynamic(), &master).await.unwrap();
        let outcome = second_backup(&mine, 0).await;
        let Some(needed) = small.missing_room() else {
            outcome.unwrap();
            break;
        };
        let sealed = match outcome {
            Err(Error::StorageFull { .. }) => references(&mine, &point(2)).await.is_ok(),
            other => panic!("room for {room} bytes: {other:?}"),
        };
        // Sealed and failed is only what had no room for giving the lease back.
        let when = format!("room for {room} bytes");
        if !sealed {
            assert_only_the_first(&store, &master, &when).await;
        }
        small.make_room();
        second_backup(&mine, 2 * TTL_MS).await.unwrap();
        let found = repository(&store, &master).await.unwrap();
        assert_eq!(assert_all_is_sound(&found, &when).await, 2, "{when}");
        assert_restores(&found, &point(1), &chunks(CHUNKS, 1)).await;
        assert_restores(&found, &point(2), &chunks(CHUNKS, 2)).await;
        room = needed;
        refused += 1;
    }
    assert!(refused > 5, "{refused} writes refused");
}

/// A disk of a few megabytes that really is full, in a mount namespace that ends with its process. Where none may be made,
/// the test above has shown the same with a store that refuses, and this one says that it did not run.
#[tokio::test]
async fn a_real_disk_that_is_full_does_the_same() {
    if let Some(directory) = std::env::var_os(DISK).filter(|_| process::role().is_some()) {
        return on_a_small_disk(&PathBuf::from(directory)).await;
    }
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "mount -t tmpfs -o size=2m coffer \"${DISK}\" || exit {CANNOT_MOUNT}; exec \"$0\" \"$@\""
    );
    for namespaces in [&["--mount"][..], &["--user", "--map-root-user", "--mount"]] {
        let mut command = Command::new("unshare");
        command.args(namespaces).args(["--", "sh", "-c", &script]).arg(process::program());
        command.args(process::arguments("full_disk::a_real_disk_that_is_full_does_the_same"));
        command.env(DISK, directory.path());
        process::with_role(&mut command, "small disk");
        let output = match command.output() {
            Ok(output) => output,
            Err(error) => {
                eprintln!("NOT TESTED on a real disk that is full: no unshare: {error}");
                return;
            }
        };
        let said = String::from_utf8_lossy(&output.stdout);
        if output.status.success() {
            assert!(said.contains("1 passed"), "{said}");
            return;
        }
        let why = String::from_utf8_lossy(&output.stderr);
        let not_begun = !said.contains("running 1 test");
        assert!(not_begun, "{}\n{said}\n{why}", output.status);
        eprintln!("unshare {namespaces:?}: {}: {why}", output.status);
    }
    eprintln!("NOT TESTED on a real disk that is full: this machine lets nobody mount one");
}

async fn on_a_small_disk(disk: &Path) {
    let url = format!("file://{}/storage", disk.display());
    let open = || create_location(&url).unwrap();
    let master = MasterKey::generate().unwrap();
    first_backup(&open(), &master).await;
    let ballast = disk.join("ballast");
    let mut full = 0;
    for room in (0..).step_by(16 * 1024) {
        leave(&ballast, room);
        let store = open();
        // Opening writes nothing, so that it works with no room at all.
        let mine = repository(&store, &master).await.unwrap();
        // Each time when the lease of the time before has run out, as it could not be given back.
        let outcome = second_backup(&mine, 2 * TTL_MS * (room + 1)).await;
        if outcome.is_ok() {
            break;
        }
        assert!(matches!(outcome, Err(Error::StorageFull { .. })), "{room} bytes: {outcome:?}");
        full += 1;
        if references(&mine, &point(2)).await.is_err() {
            assert_only_the_first(&store, &master, &format!("room for {room} bytes")).await;
        }
        drop(store);
    }
    assert!(full > 1, "the disk was never full");
    fs::remove_file(&ballast).unwrap();
    let found = repository(&open(), &master).await.unwrap();
    assert_eq!(assert_all_is_sound(&found, "with room again").await, 2);
    assert_restores(&found, &point(1), &chunks(CHUNKS, 1)).await;
    assert_restores(&found, &point(2), &chunks(CHUNKS, 2)).await;
}

/// Fills the disk to the last byte, and then leaves so much.
fn leave(ballast: &Path, room: u64) {
    use std::io::Write as _;
    let mut file = fs::OpenOptions::new().create(true).append(true).open(ballast).unwrap();
    let error = loop {
        if let Err(error) = file.write_all(&[0; 4096]) {
            break error;
        }
    };
    assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    let length = file.metadata().unwrap().len();
    file.set_len(length.saturating_sub(room)).unwrap();
}
