//! What nobody needs is collected, what has rotted is found and stored anew, and no backup fails by either.

use std::path::PathBuf;
use std::time::Duration;

use coffer_engine::{SilentMonitor, verify_recovery_point};
use coffer_store::{
    ChunkKind, Lease, LeasePurpose, MasterKey, Repository, VaultKeyring, VerifyDepth,
    WriterOptions, list_repositories, list_vaults, open_location,
};
use reqwest::Method;

use super::estate::{Estate, digest};

const DAY: Duration = Duration::from_secs(86_400);

impl Estate {
    /// The only repository there is, by storage and key alone.
    async fn repository(&self) -> Repository {
        self.repositories().await.remove(0)
    }

    /// All repositories, by storage and key alone.
    pub(super) async fn repositories(&self) -> Vec<Repository> {
        let data = self.harness.data_dir();
        let store = open_location(&format!("file://{}/storage", data.display())).unwrap();
        let master = MasterKey::read_file(&data.join("master.key")).unwrap();
        let vault = list_vaults(&store).await.unwrap()[0];
        let keyring = VaultKeyring::open(&store, vault, &master).await.unwrap();
        let mut all = Vec::new();
        for id in list_repositories(&store, vault).await.unwrap() {
            all.push(Repository::open(&store, vault, id, &keyring).await.unwrap());
        }
        all
    }

    async fn lease(&self, repository: &Repository, purpose: LeasePurpose, ttl_ms: u64) -> Lease {
        let now_ms = self.harness.service().app().clock.now_ms();
        repository.acquire_lease("test", purpose, now_ms, ttl_ms).await.unwrap()
    }

    /// The packs' files.
    pub(super) fn packs(&self) -> Vec<PathBuf> {
        let mut open = vec![self.harness.data_dir().join("storage")];
        let mut packs = Vec::new();
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    open.push(path);
                } else if directory.ends_with("packs") {
                    packs.push(path);
                }
            }
        }
        packs.sort();
        packs
    }

    /// Days go by, and what is due is done. Tokens of before are over.
    async fn days_later(&mut self, days: u32) {
        self.later(days * DAY).await;
    }

    /// What `/metrics` says under that name, with its labels.
    pub(super) async fn metric(&self, name: &str) -> Option<u64> {
        let metrics = self.harness.call(Method::GET, "/metrics", None).await.expect(200);
        let text = metrics.body.as_str().unwrap_or_default().to_owned();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        Some(line.parse().unwrap())
    }

    /// Restores a recovery point with its proof.
    async fn comes_back(&self, instance: &str, point: &str, database: &str) {
        let request = self.restore_to_database(point, database);
        let answer = self
            .harness
            .call(Method::POST, &format!("{instance}/restore"), Some(request))
            .await
            .expect(202);
        let job = self.job(&answer).await;
        let proof = &job["properties"]["extendedInfo"]["additionalDetails"]["Proof"];
        assert!(proof.as_str().unwrap_or_default().starts_with("equal"), "{job:#}");
        assert_eq!(digest(&self.postgres, database), digest(&self.postgres, "shop"));
    }

    /// Takes a backup that must succeed, and returns its recovery point.
    pub(super) async fn recovery_point(&self, instance: &str) -> String {
        let job = self.backup(instance).await;
        assert_eq!(job["properties"]["status"], "Completed", "{job:#}");
        self.recovery_points(instance).await[0]["name"].as_str().unwrap().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_is_collected_and_the_rest_comes_back() {
    let mut estate = Estate::new("On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    let first = estate.recovery_point(&instance).await;
    let of_first = estate.packs();
    estate.postgres.psql("shop", "UPDATE purchase SET total = total + 1").unwrap();
    let second = estate.recovery_point(&instance).await;
    let of_both = estate.packs();
    estate.days_later(8).await;
    assert_eq!(estate.packs(), of_both, "all of it is needed");

    let repository = estate.repository().await;
    let lease = estate.lease(&repository, LeasePurpose::Deletion, 60_000).await;
    let now_ms = estate.harness.service().app().clock.now_ms();
    assert!(repository.delete_manifest(&lease, &first, now_ms).await.unwrap());
    repository.release_lease(lease).await.unwrap();
    // And what a backup leaves that is killed and never tried again.
    let lease = estate.lease(&repository, LeasePurpose::Backup, 60_000).await;
    let writer = repository.writer(&lease, WriterOptions::default()).await.unwrap();
    let mut stream = writer.stream();
    let plain = b"what a backup wrote that nobody knows any more";
    stream.put(ChunkKind::TableRows, plain, None).await.unwrap();
    stream.finish().await.unwrap();
    drop(writer);
    repository.release_lease(lease).await.unwrap();
    assert_eq!(estate.packs().len(), of_both.len() + 1);

    estate.days_later(1).await;
    assert_eq!(
        estate.packs().len(),
        of_both.len() + 1,
        "nobody has said anything, and a week is not over"
    );
    estate.days_later(7).await;
    let left = estate.packs();
    assert!(left.iter().all(|pack| of_both.contains(pack)), "the interrupted one's is gone");
    assert!(of_first.iter().any(|pack| !left.contains(pack)), "{left:?}");
    assert!(!left.is_empty());
    estate.comes_back(&instance, &second, "shop_copy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_rotted_is_found_and_the_next_backup_stores_it_anew() {
    let mut estate = Estate::new("On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    let first = estate.recovery_point(&instance).await;
    let repository = estate.repository().await;
    let closure = async |point: &str| {
        let depth = VerifyDepth::Closure;
        let report = verify_recovery_point(&repository, point, depth, &SilentMonitor).await;
        report.unwrap().damaged_chunks
    };
    let largest =
        estate.packs().into_iter().max_by_key(|pack| pack.metadata().unwrap().len()).unwrap();
    let mut bytes = std::fs::read(&largest).unwrap();
    let middle = bytes.len() / 4;
    bytes[middle] ^= 1;
    std::fs::write(&largest, bytes).unwrap();
    assert_eq!(closure(&first).await, 0, "nobody has looked");

    let period = estate.harness.service().app().config.verification_period_days;
    for _ in 0..=period {
        estate.days_later(1).await;
        if closure(&first).await > 0 {
            break;
        }
    }
    assert!(closure(&first).await > 0, "not found in {period} days");
    let second = estate.recovery_point(&instance).await;
    assert_eq!(closure(&second).await, 0);
    estate.comes_back(&instance, &second, "shop_copy").await;
    let metrics = estate.harness.call(Method::GET, "/metrics", None).await;
    let text = metrics.body.as_str().unwrap_or_default().to_owned();
    assert!(text.contains("coffer_damaged_packs_total"), "{text}");
}

/// What ended gives its space back: all that nobody else needs, and the numbers say what the disk says.
#[tokio::test(flavor = "multi_thread")]
async fn the_space_of_expired_recovery_points_is_given_back_and_counted() {
    let mut estate = Estate::new("On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    let mut newest = String::new();
    for round in 0..3 {
        newest = estate.recovery_point(&instance).await;
        if round < 2 {
            let change =
                "UPDATE customer SET name = md5(name); UPDATE purchase SET total = total + 1";
            estate.postgres.psql("shop", change).unwrap();
        }
    }
    let bytes = |packs: &[PathBuf]| packs.iter().map(|pack| pack.metadata().unwrap().len()).sum();
    let before = estate.packs();
    let bytes_before: u64 = bytes(&before);
    // Without which the newest is whole all the same: found by taking each away in turn.
    let mut idle = Vec::new();
    for pack in &before {
        let aside = pack.with_extension("aside");
        std::fs::rename(pack, &aside).unwrap();
        let (repository, depth) = (estate.repository().await, VerifyDepth::Closure);
        let report = verify_recovery_point(&repository, &newest, depth, &SilentMonitor).await;
        if report.is_ok_and(|report| report.damaged_chunks == 0) {
            idle.push(pack.clone());
        }
        std::fs::rename(&aside, pack).unwrap();
    }
    let bytes_idle: u64 = bytes(&idle);
    assert!(bytes_idle > bytes_before / 3 && bytes_idle < bytes_before, "{bytes_idle}");
    estate.later(Duration::ZERO).await;
    assert_eq!(estate.metric("coffer_stored_bytes").await, Some(bytes_before));

    estate.act(&format!("{instance}/suspendBackups")).await;
    // The default retention is three months; the garbage stays ten minutes more.
    estate.days_later(120).await;
    let left = estate.recovery_points(&instance).await;
    assert_eq!(left.len(), 1, "{left:#?}");
    assert_eq!(left[0]["name"], newest.as_str());
    estate.later(Duration::from_secs(601)).await;
    let after = estate.packs();
    let gone: Vec<PathBuf> = before.into_iter().filter(|pack| !after.contains(pack)).collect();
    assert_eq!(gone, idle, "all that only they needed, and nothing else");
    let bytes_after: u64 = bytes(&after);
    assert_eq!(bytes_before - bytes_after, bytes_idle);
    println!("{bytes_idle} of {bytes_before} bytes in {} packs were given back", gone.len());
    assert_eq!(estate.metric("coffer_expired_recovery_points_total").await, Some(2));
    assert_eq!(estate.metric("coffer_collected_packs_total").await, Some(gone.len() as u64));
    assert_eq!(estate.metric("coffer_collected_bytes_total").await, Some(bytes_idle));
    assert_eq!(estate.metric("coffer_stored_bytes").await, Some(bytes_after));
    estate.comes_back(&instance, &newest, "shop_copy").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_measured_of_what_is_protected_no_more() {
    let mut estate = Estate::new("Off").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    estate.recovery_point(&instance).await;
    let age = format!("coffer_recovery_point_age_seconds{{instance=\"{instance}\"}}");
    estate.later(Duration::from_secs(90)).await;
    let seconds = estate.metric(&age).await.unwrap();
    assert!((90..90 + crate::harness::DEADLINE.as_secs()).contains(&seconds), "{seconds}");
    assert_eq!(estate.metric("coffer_protected_instances").await, Some(1));

    estate.act(&format!("{instance}/suspendBackups")).await;
    estate.later(Duration::ZERO).await;
    assert_eq!(estate.metric(&age).await, None);
    assert_eq!(estate.metric("coffer_protected_instances").await, Some(0));
    assert!(estate.metric("coffer_stored_bytes").await.unwrap() > 0, "its data is still there");
    estate.act(&format!("{instance}/resumeBackups")).await;
    estate.later(Duration::ZERO).await;
    assert!(estate.metric(&age).await.is_some());

    let answer = estate.harness.call(Method::DELETE, &instance, None).await.expect(202);
    assert_eq!(estate.follow(&answer).await["status"], "Succeeded");
    estate.later(Duration::ZERO).await;
    assert_eq!(estate.metric(&age).await, None);
    assert_eq!(estate.metric("coffer_protected_instances").await, Some(0));
    assert_eq!(estate.metric("coffer_stored_bytes").await, Some(0));
}

/// A collection, or a record of damage, holds the repository for a while: a backup waits, and it does not fail.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_waits_for_a_lease_that_another_holds() {
    let mut estate = Estate::new("On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    let repository = estate.repository().await;
    let held = estate.lease(&repository, LeasePurpose::Collection, 600_000).await;
    let waiting = estate.backup(&instance);
    let release = async {
        // When it has begun to wait: the operation is claimed and has fixed its recovery point.
        let deadline = tokio::time::Instant::now() + crate::harness::DEADLINE;
        let db = &estate.harness.service().app().db;
        let id = coffer_azure::ResourceId::parse(&instance).unwrap();
        let kind = coffer_control::operations::OperationKind::Backup;
        while !coffer_control::db::operation::is_unfinished(db.read(), &id, kind).await.unwrap() {
            assert!(tokio::time::Instant::now() < deadline, "the backup does not begin");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        repository.release_lease(held).await.unwrap();
    };
    let (job, ()) = tokio::join!(waiting, release);
    assert_eq!(job["properties"]["status"], "Completed", "{job:#}");

    // The other way round: who needs the repository is not disturbed, and its turn comes later.
    let held = estate.lease(&repository, LeasePurpose::Backup, 3_600_000_000).await;
    estate.days_later(8).await;
    repository.renew_lease(&held, 0).await.expect("it was not taken over");
    repository.release_lease(held).await.unwrap();
}

/// While a restore runs, its recovery point cannot be deleted, nor what it needs be collected.
#[tokio::test(flavor = "multi_thread")]
async fn a_running_restore_holds_its_recovery_point_back() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    // The restore makes this index again, which takes two seconds.
    let slow = "CREATE FUNCTION slow(int) RETURNS int IMMUTABLE LANGUAGE plpgsql
            AS 'BEGIN PERFORM pg_catalog.pg_sleep(0.5); RETURN $1; END';
        CREATE TABLE slow AS SELECT i FROM generate_series(1, 4) i; CREATE INDEX ON slow (slow(i))";
    estate.postgres.psql("shop", slow).unwrap();
    let instance = estate.protect("pg-shop", "shop").await;
    let point = estate.recovery_point(&instance).await;
    let repository = estate.repository().await;
    let restoring = estate.comes_back(&instance, &point, "shop_copy");
    let deleting = async {
        let deadline = tokio::time::Instant::now() + crate::harness::DEADLINE;
        while repository.pins().await.unwrap().readable.is_empty() {
            assert!(tokio::time::Instant::now() < deadline, "it is never pinned");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let lease = estate.lease(&repository, LeasePurpose::Deletion, 60_000).await;
        let now_ms = estate.harness.service().app().clock.now_ms();
        let refused = repository.delete_manifest(&lease, &point, now_ms).await;
        assert!(matches!(refused, Err(coffer_store::Error::Pinned { .. })), "{refused:?}");
        repository.release_lease(lease).await.unwrap();
    };
    tokio::join!(restoring, deleting);
    assert!(repository.pins().await.unwrap().readable.is_empty(), "it was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_all_vaults_are_changed_beside_a_running_service() {
    let estate = Estate::new("On").await;
    estate.grant().await;
    let instance = estate.protect("pg-shop", "shop").await;
    let first = estate.recovery_point(&instance).await;
    let packs = estate.packs();
    let config = crate::harness::config(estate.harness.data_dir());
    let admin = coffer_control::admin::Admin::open(&config).await.unwrap();
    let rotated = admin.keys_rotate().await.unwrap();
    admin.close().await;
    assert_eq!(rotated.len(), 1);
    let done = rotated[0].outcome.as_ref().unwrap();
    assert_eq!((done.repositories, done.failed.len()), (1, 0));
    assert_eq!(estate.packs(), packs, "no data was touched");
    estate.recovery_point(&instance).await;
    estate.comes_back(&instance, &first, "shop_copy").await;
}
