//! A recovery point is sound or it is not, at each of the three depths, and a verification leaves nothing behind.

use std::sync::Arc;

use coffer_engine::manifest::DatabaseManifest;
use coffer_engine::verify::SCRATCH_PREFIX;
use coffer_engine::{
    Error, Monitor, PackReading, Phase, Progress, RestoreOutcome, ScratchRequest, SilentMonitor,
    verify_by_restore, verify_recovery_point,
};
use coffer_store::{ChunkRef, LeasePurpose, PackVerdict, Share, VerifyDepth};
use tokio_util::sync::CancellationToken;

use crate::support::{DATABASE, Fixture, OnPhase};

/// A source with a table of some packs, and a recovery point of it.
async fn sample() -> (Fixture, String, DatabaseManifest) {
    let f = Fixture::start().await;
    f.sql(
        "CREATE TABLE t (id serial PRIMARY KEY, v text); INSERT INTO t (v) SELECT i FROM generate_series(1, 1000) i;
         CREATE TABLE wide AS SELECT i, (SELECT string_agg(md5(i || '-' || j), '') FROM generate_series(1, 30) j) AS t
             FROM generate_series(1, 4000) i;
         CREATE MATERIALIZED VIEW m AS SELECT count(*) FROM t; CREATE ROLE somebody; ALTER TABLE wide OWNER TO somebody",
    );
    let mut request = f.request();
    request.options.range_bytes = 512 * 1024;
    request.options.chunk_bytes = 128 * 1024;
    let outcome = f.run(request).await.expect("a backup");
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    (f, outcome.recovery_point_id, manifest)
}

impl Fixture {
    fn scratch(&self, point: &str) -> ScratchRequest {
        ScratchRequest {
            server: self.source().with_database("postgres"),
            tools: self.tools.clone(),
            recovery_point_id: point.to_owned(),
            workers: 2,
            work_dir: self.work_dir(),
        }
    }

    /// A verification by restore, which leaves the server as it was.
    async fn verify_with(
        &self,
        point: &str,
        monitor: Arc<dyn Monitor>,
        cancel: CancellationToken,
    ) -> Result<RestoreOutcome, Error> {
        let roles = "SELECT string_agg(rolname, ',' ORDER BY rolname) FROM pg_roles";
        let before = (self.server.databases().expect("databases"), self.sql(roles));
        let outcome =
            verify_by_restore(self.scratch(point), &self.repository, monitor, cancel).await;
        assert_eq!((self.server.databases().expect("databases"), self.sql(roles)), before);
        let left = std::fs::read_dir(self.work_dir()).map(Iterator::count).unwrap_or_default();
        assert_eq!(left, 0, "something is left in the working directory");
        outcome
    }

    async fn verify(&self, point: &str) -> Result<RestoreOutcome, Error> {
        self.verify_with(point, Arc::new(SilentMonitor), CancellationToken::new()).await
    }

    /// Changes a byte of a stored chunk.
    pub(crate) fn rot(&self, chunk: &ChunkRef) {
        let name = chunk.pack.to_string();
        let mut open = vec![self.directory.path().join("store")];
        let mut rotten = 0;
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(directory).expect("a directory") {
                let path = entry.expect("an entry").path();
                if path.is_dir() {
                    open.push(path);
                } else if path.ends_with(&name) {
                    let mut bytes = std::fs::read(&path).expect("a pack");
                    let at = usize::try_from(chunk.offset).expect("an offset") + 20;
                    bytes[at] ^= 1;
                    std::fs::write(&path, bytes).expect("a pack");
                    rotten += 1;
                }
            }
        }
        assert_eq!(rotten, 1, "packs of the name {name}");
    }

    /// Reads a share of the packs turn by turn, beginning anew from the position after each, as by several processes.
    async fn read_packs(&self, share: Share, bytes_max: u64) -> (Vec<PackVerdict>, usize) {
        let (mut verdicts, mut position, mut turns) = (Vec::new(), None, 0);
        loop {
            let mut run = PackReading::begin(&self.repository, share, position).await.expect("run");
            let turn = run.turn(bytes_max, &SilentMonitor, &CancellationToken::new()).await;
            if turn.is_empty() {
                assert_eq!(run.finish().remaining_packs, 0);
                return (verdicts, turns);
            }
            position = run.position();
            verdicts.extend(turn);
            turns += 1;
        }
    }

    async fn record(&mut self, verdicts: &[PackVerdict]) {
        let lease = self.repository.acquire_lease("test", LeasePurpose::Verification, 0, 60_000);
        self.lease = lease.await.expect("a lease");
        self.repository.record_verdicts(&self.lease, verdicts).await.expect("a record");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_sound_is_sound_at_every_depth() {
    let (f, point, manifest) = sample().await;
    for depth in [VerifyDepth::Closure, VerifyDepth::Full] {
        let report = verify_recovery_point(&f.repository, &point, depth, &SilentMonitor).await;
        assert_eq!(report.expect("a report").damaged_chunks, 0);
    }
    let (all, turns) = f.read_packs(Share::ALL, 1).await;
    assert!(all.len() > 1 && turns == all.len(), "a pack a turn: {turns} of {}", all.len());
    let (in_one, turns) = f.read_packs(Share::ALL, u64::MAX).await;
    assert_eq!((in_one.len(), turns), (all.len(), 1));
    let cancelled = CancellationToken::new();
    cancelled.cancel();
    let mut run = PackReading::begin(&f.repository, Share::ALL, None).await.expect("a run");
    assert!(run.turn(u64::MAX, &SilentMonitor, &cancelled).await.is_empty());
    assert!(!run.finish().is_proof(), "nothing was read");

    let outcome = f.verify(&point).await.expect("a proof");
    assert!(outcome.proof.equal);
    assert_eq!(outcome.proof.rows, manifest.totals.content.rows);
    assert_eq!(outcome.warnings, []);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_chunk_is_found_put_on_record_and_stored_anew() {
    let (mut f, point, manifest) = sample().await;
    let wide = &f.tables(&manifest).await["public.wide"];
    let chunk = *f.ranges(wide).await[1].chunks[0].base();
    f.rot(&chunk);
    let closure = |f: &Fixture, point: &str| {
        let (repository, point) = (f.repository.clone(), point.to_owned());
        async move {
            let depth = VerifyDepth::Closure;
            let report = verify_recovery_point(&repository, &point, depth, &SilentMonitor).await;
            report.expect("a report").damaged_chunks
        }
    };
    assert_eq!(closure(&f, &point).await, 0, "the footer tells nothing of it");
    let error = f.verify(&point).await.expect_err("damage");
    assert!(matches!(&error, Error::Store { source, .. } if source.is_damage()), "{error}");

    let (verdicts, _) = f.read_packs(Share::ALL, 1).await;
    f.record(&verdicts).await;
    assert_eq!(closure(&f, &point).await, 1);
    let lease = f.repository.acquire_lease("test", LeasePurpose::Backup, 0, 3_600_000);
    f.lease = lease.await.expect("a lease");
    let mut request = f.request();
    request.options.previous = Some(point.clone());
    let next = f.run(request).await.expect("a backup").recovery_point_id;
    assert_eq!((closure(&f, &next).await, closure(&f, &point).await), (0, 1));
    assert!(f.verify(&next).await.expect("a proof").proof.equal);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_list_is_found_at_every_depth_that_reads_it() {
    let (mut f, point, manifest) = sample().await;
    f.rot(&manifest.tables.chunks[0]);
    let error =
        verify_recovery_point(&f.repository, &point, VerifyDepth::Closure, &SilentMonitor).await;
    assert!(matches!(error, Err(Error::Manifest { .. })), "{error:?}");
    let report =
        verify_recovery_point(&f.repository, &point, VerifyDepth::Full, &SilentMonitor).await;
    assert_eq!(report.expect("a report").damaged_chunks, 1);
    let error = f.verify(&point).await.expect_err("damage");
    assert!(matches!(&error, Error::Store { source, .. } if source.is_damage()), "{error}");
    // On record, it is damage that the closure counts instead of an end of the walk.
    let (verdicts, _) = f.read_packs(Share::ALL, u64::MAX).await;
    f.record(&verdicts).await;
    let report =
        verify_recovery_point(&f.repository, &point, VerifyDepth::Closure, &SilentMonitor).await;
    assert!(report.expect("a report").damaged_chunks > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_comes_back_otherwise_is_a_difference_of_its_table() {
    let (f, point, _) = sample().await;
    let mut psql = std::process::Command::new(f.server.bin().join("psql"));
    let name = format!("{SCRATCH_PREFIX}{point}");
    psql.args(["-qc", "UPDATE t SET v = 'x' WHERE id = 77", &f.server.uri(&name)]);
    let tamper = move || assert!(psql.status().expect("psql").success());
    let monitor = Arc::new(OnPhase::new(Phase::Proof, tamper));
    let error = f.verify_with(&point, monitor, CancellationToken::new()).await;
    let Err(Error::ProofFailed { differences }) = error else { panic!("{error:?}") };
    let objects: Vec<_> = differences.iter().map(|difference| difference.object.as_str()).collect();
    assert_eq!(objects, ["table public.t"]);
}

/// Cancels when a phase begins.
struct CancelAt(Phase, CancellationToken);

impl Monitor for CancelAt {
    fn report(&self, progress: &Progress) {
        if progress.phase == self.0 {
            self.1.cancel();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_that_is_cancelled_anywhere_leaves_no_database() {
    let (f, point, _) = sample().await;
    for phase in [Phase::CreateDatabase, Phase::Load, Phase::PostData, Phase::Proof] {
        let cancel = CancellationToken::new();
        let monitor = Arc::new(CancelAt(phase, cancel.clone()));
        let outcome = f.verify_with(&point, monitor, cancel).await;
        assert!(matches!(outcome, Err(Error::Cancelled)), "{phase:?}: {outcome:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_verification_leaves_is_dropped_by_the_next_and_a_running_ones_is_not() {
    let (f, point, _) = sample().await;
    let left = format!("{SCRATCH_PREFIX}{}", "0".repeat(32));
    f.server.create_database(&left).expect("a database");
    let (reached, mut running) = tokio::sync::mpsc::unbounded_channel();
    let (go_on, wait) = std::sync::mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let hold = move || {
        reached.send(()).expect("a test that waits");
        // Ends with an error when the other side is dropped, which lets it go on as well.
        tokio::task::block_in_place(|| wait.lock().expect("no panic").recv().unwrap_or_default());
    };
    let monitor = Arc::new(OnPhase::new(Phase::Proof, hold));
    let (request, repository) = (f.scratch(&point), f.repository.clone());
    let first = tokio::spawn(async move {
        verify_by_restore(request, &repository, monitor, CancellationToken::new()).await
    });
    running.recv().await.expect("a proof that begins");
    let name = format!("{SCRATCH_PREFIX}{point}");
    assert_eq!(f.server.databases().expect("databases"), [&name, "postgres", DATABASE]);
    let second = verify_by_restore(
        f.scratch(&point),
        &f.repository,
        Arc::new(SilentMonitor),
        CancellationToken::new(),
    );
    let error = second.await.expect_err("the same name");
    assert!(matches!(error, Error::Unsupported { code: "ScratchInUse", .. }), "{error}");
    drop(go_on);
    assert!(first.await.expect("no panic").expect("a proof").proof.equal);
    assert_eq!(f.server.databases().expect("databases"), ["postgres", DATABASE]);
}
