//! The executor with sagas that do nothing but tell: order, failure at each step, repetition of each step, races, stale
//! claims, the end of the service, and cancellation.

mod cancellation;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use coffer_azure::{ApiVersion, ResourceId, UserFacingError};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::executor::{Parts, Registry};
use super::{
    Executor, ExecutorHandle, Failure, Lane, NewOperation, Operation, OperationKind,
    OperationStatus, Outcome, Run, Saga, begin, request_cancellation,
};
use crate::clock::Clock;
use crate::db::operation::ClaimLimits;
use crate::db::operation::Renewal;
use crate::db::{self, Db, Tx};
use crate::error::Error;

const STEPS: &[&str] = &["first", "second", "third"];
const DEADLINE: Duration = Duration::from_secs(30);

/// What a step of the fake saga does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Act {
    Succeed,
    Fail,
    FailOnce,
    PanicOnce,
    AlwaysTransient,
    WaitForStop,
    SucceedWhenStopped,
    EvenCancelled,
}

/// Writes down all that happens to it.
struct FakeSaga {
    log: Arc<Mutex<Vec<String>>>,
    acts: HashMap<&'static str, Act>,
    failures: AtomicU32,
}

impl FakeSaga {
    fn new(acts: &[(&'static str, Act)]) -> Arc<FakeSaga> {
        Arc::new(FakeSaga {
            log: Arc::default(),
            acts: acts.iter().copied().collect(),
            failures: AtomicU32::new(0),
        })
    }

    fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    fn tell(&self, what: impl Into<String>) {
        self.log.lock().unwrap().push(what.into());
    }
}

#[async_trait]
impl Saga for FakeSaga {
    fn steps(&self) -> &'static [&'static str] {
        STEPS
    }

    async fn run(&self, step: &'static str, run: &mut Run) -> Result<(), Failure> {
        self.tell(step);
        let done: Vec<String> = run.checkpoint()?;
        match self.acts.get(step).copied().unwrap_or(Act::Succeed) {
            Act::Succeed | Act::EvenCancelled => {}
            Act::SucceedWhenStopped => run.cancellation().cancelled().await,
            Act::Fail => {
                return Err(Failure::failed(UserFacingError::new("Fatal", "It cannot be done.")));
            }
            Act::FailOnce if self.failures.fetch_add(1, Ordering::SeqCst) == 0 => {
                return Err(Failure::transient(UserFacingError::new("Passing", "Not now.")));
            }
            Act::PanicOnce if self.failures.fetch_add(1, Ordering::SeqCst) == 0 => {
                panic!("a fault")
            }
            Act::FailOnce | Act::PanicOnce => {}
            Act::AlwaysTransient => {
                return Err(Failure::transient(UserFacingError::new("Passing", "Not now.")));
            }
            Act::WaitForStop => {
                run.cancellation().cancelled().await;
                return Err(Failure::Interrupted);
            }
        }
        run.set_checkpoint(&done.into_iter().chain([step.to_owned()]).collect::<Vec<_>>())?;
        Ok(())
    }

    fn runs_cancelled(&self, step: &str, _run: &Run) -> bool {
        self.acts.get(step) == Some(&Act::EvenCancelled)
    }

    async fn abandon(&self, _run: &mut Run) -> Result<(), Failure> {
        self.tell("abandon");
        Ok(())
    }

    async fn conclude(&self, _tx: &mut Tx, run: &Run, outcome: &Outcome) -> Result<(), Error> {
        let done: Vec<String> = run.checkpoint()?;
        self.tell(match outcome {
            Outcome::Succeeded => format!("succeeded after {}", done.join(" ")),
            Outcome::Failed(error) => {
                format!("failed with {}", error.code.clone().unwrap_or_default())
            }
            Outcome::Cancelled => "cancelled".to_owned(),
        });
        Ok(())
    }
}

struct Bench {
    db: Db,
    clock: Clock,
    handle: ExecutorHandle,
    _directory: TempDir,
}

impl Bench {
    async fn new() -> Bench {
        let directory = tempfile::tempdir().unwrap();
        let db = Db::open(&directory.path().join("coffer.db")).await.unwrap();
        Bench {
            db,
            clock: Clock::system(),
            handle: ExecutorHandle::default(),
            _directory: directory,
        }
    }

    async fn start(&self, owner: &str, saga: &Arc<FakeSaga>) -> Executor {
        let sagas: Registry = OperationKind::ALL
            .into_iter()
            .map(|kind| (kind, Arc::clone(saga) as Arc<dyn Saga>))
            .collect();
        let parts = Parts {
            db: self.db.clone(),
            clock: self.clock.clone(),
            owner: owner.to_owned(),
            handle: self.handle.clone(),
            sagas,
            data_runs_max: 2,
            limits: ClaimLimits { per_server: 2, per_vault: 2 },
        };
        Executor::start_with(parts).await.unwrap()
    }

    async fn begin(&self, kind: OperationKind) -> Operation {
        let new = NewOperation {
            kind,
            vault: ResourceId::parse(
                "/subscriptions/S/resourceGroups/G/providers/Microsoft.DataProtection/backupVaults/V",
            )
            .unwrap(),
            instance: Some(instance()),
            location: "westeurope".to_owned(),
            input: Value::Null,
            api_version: ApiVersion::parse("2024-04-01").unwrap(),
            activity_id: "activity".to_owned(),
            job: None,
        };
        let mut tx = self.db.begin().await.unwrap();
        let operation = begin(&mut tx, new, self.clock.now_us()).await.unwrap();
        tx.commit().await.unwrap();
        self.handle.wake();
        operation
    }

    async fn get(&self, id: &str) -> Operation {
        db::operation::get(self.db.read(), id).await.unwrap().unwrap()
    }

    /// Waits for the end, while the waits between attempts pass in no time.
    async fn ended(&self, id: &str) -> Operation {
        let begun = Instant::now();
        loop {
            let operation = self.get(id).await;
            if operation.status != OperationStatus::InProgress {
                return operation;
            }
            assert!(begun.elapsed() < DEADLINE, "the operation does not end");
            // Only while nobody holds it: a lease must not run out under a step that is slow today.
            if self.is_put_back(id).await {
                self.clock.advance(Duration::from_secs(60));
                self.handle.wake();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Bench {
    async fn is_put_back(&self, id: &str) -> bool {
        let row: Option<(i64, i64)> =
            sqlx::query_as("SELECT lease_until_us, due_us FROM operation WHERE id = $1")
                .bind(id)
                .fetch_optional(self.db.read())
                .await
                .unwrap();
        row.is_some_and(|(lease_until_us, due_us)| {
            lease_until_us == 0 && due_us > self.clock.now_us()
        })
    }
}

fn instance() -> ResourceId {
    ResourceId::parse(
        "/subscriptions/S/resourceGroups/G/providers/Microsoft.DataProtection/backupVaults/V/backupInstances/I",
    )
    .unwrap()
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < DEADLINE, "{what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn steps_run_in_order_and_leave_checkpoints() {
    let bench = Bench::new().await;
    let saga = FakeSaga::new(&[]);
    let executor = bench.start("a", &saga).await;
    let operation = bench.begin(OperationKind::CreateVault).await;
    let ended = bench.ended(&operation.id).await;
    assert_eq!(ended.status, OperationStatus::Succeeded);
    assert!(ended.ended_us.is_some());
    assert_eq!(saga.log(), ["first", "second", "third", "succeeded after first second third"]);
    executor.shutdown().await;
}

#[tokio::test]
async fn a_failure_at_each_step_is_told_and_taken_back() {
    for (index, step) in STEPS.iter().enumerate() {
        let bench = Bench::new().await;
        let saga = FakeSaga::new(&[(step, Act::Fail)]);
        let executor = bench.start("a", &saga).await;
        let operation = bench.begin(OperationKind::CreateVault).await;
        let ended = bench.ended(&operation.id).await;
        assert_eq!(ended.status, OperationStatus::Failed);
        assert_eq!(ended.error.unwrap().code.as_deref(), Some("Fatal"));
        let mut expected: Vec<&str> = STEPS[..=index].to_vec();
        expected.extend(["abandon", "failed with Fatal"]);
        assert_eq!(saga.log(), expected);
        executor.shutdown().await;
    }
}

#[tokio::test]
async fn each_step_can_be_repeated() {
    for act in [Act::FailOnce, Act::PanicOnce] {
        for (index, step) in STEPS.iter().enumerate() {
            let bench = Bench::new().await;
            let saga = FakeSaga::new(&[(step, act)]);
            let executor = bench.start("a", &saga).await;
            let operation = bench.begin(OperationKind::CreateVault).await;
            assert_eq!(bench.ended(&operation.id).await.status, OperationStatus::Succeeded);
            let mut expected: Vec<&str> = STEPS.to_vec();
            expected.insert(index, step);
            expected.push("succeeded after first second third");
            assert_eq!(saga.log(), expected, "only the step that failed runs twice");
            executor.shutdown().await;
        }
    }
}

#[tokio::test]
async fn attempts_are_bounded() {
    let bench = Bench::new().await;
    let saga = FakeSaga::new(&[("second", Act::AlwaysTransient)]);
    let executor = bench.start("a", &saga).await;
    let operation = bench.begin(OperationKind::CreateVault).await;
    let ended = bench.ended(&operation.id).await;
    assert_eq!(ended.error.unwrap().code.as_deref(), Some("Passing"));
    assert_eq!(saga.log().iter().filter(|step| *step == "second").count(), 5);
    executor.shutdown().await;
}

#[tokio::test]
async fn what_is_killed_again_and_again_goes_on() {
    let bench = Bench::new().await;
    let operation = bench.begin(OperationKind::CreateVault).await;
    die(&bench, 19).await;
    let saga = FakeSaga::new(&[]);
    let executor = bench.start("dead", &saga).await;
    assert_eq!(bench.ended(&operation.id).await.status, OperationStatus::Succeeded);
    executor.shutdown().await;
}

#[tokio::test]
async fn what_dies_again_and_again_fails_in_the_end() {
    let bench = Bench::new().await;
    let operation = bench.begin(OperationKind::CreateVault).await;
    die(&bench, 20).await;
    let saga = FakeSaga::new(&[]);
    let executor = bench.start("dead", &saga).await;
    let ended = bench.ended(&operation.id).await;
    assert_eq!(ended.status, OperationStatus::Failed);
    assert_eq!(saga.log(), ["abandon", "failed with CloudInternalError"]);
    executor.shutdown().await;
}

/// Claimed, and never heard of again.
async fn die(bench: &Bench, times: usize) {
    for _ in 0..times {
        claim(bench, "dead").await.unwrap();
        let mut tx = bench.db.begin().await.unwrap();
        db::operation::release_all(&mut tx, "dead").await.unwrap();
        tx.commit().await.unwrap();
    }
}

async fn claim(bench: &Bench, owner: &str) -> Option<db::operation::ClaimedOperation> {
    let mut tx = bench.db.begin().await.unwrap();
    let now_us = bench.clock.now_us();
    let claimed = db::operation::claim(
        &mut tx,
        Lane::Control,
        owner,
        now_us,
        30_000_000,
        ClaimLimits { per_server: 1, per_vault: 1 },
    )
    .await
    .unwrap();
    tx.commit().await.unwrap();
    claimed.map(Result::unwrap)
}

/// A backup of a database of that server in that vault, due after those before it.
async fn backup_of(bench: &Bench, vault: &str, server: &str) -> String {
    let like = bench.begin(OperationKind::StopProtection).await;
    let mut tx = bench.db.begin().await.unwrap();
    let vault = ResourceId::parse(&format!(
        "/subscriptions/S/resourceGroups/G/providers/Microsoft.DataProtection/backupVaults/{vault}"
    ));
    let operation = Operation {
        id: format!("backup of {} after {}", server, like.id),
        kind: OperationKind::Backup,
        vault: vault.unwrap(),
        server_key: Some(server.to_owned()),
        ..like
    };
    db::operation::insert(&mut tx, &operation).await.unwrap();
    tx.commit().await.unwrap();
    bench.clock.advance(Duration::from_millis(1));
    operation.id
}

/// What can be claimed of the data lane under these limits.
async fn claimed(bench: &Bench, per_server: usize, per_vault: usize) -> Option<String> {
    let mut tx = bench.db.begin().await.unwrap();
    let now_us = bench.clock.now_us();
    let limits = ClaimLimits { per_server, per_vault };
    let claim = db::operation::claim(&mut tx, Lane::Data, "owner", now_us, 30_000_000, limits);
    let claimed = claim.await.unwrap();
    tx.commit().await.unwrap();
    claimed.map(|claimed| claimed.unwrap().operation.id)
}

#[tokio::test]
async fn one_server_or_vault_with_much_to_do_keeps_no_other_waiting() {
    let bench = Bench::new().await;
    let mut first = Vec::new();
    for _ in 0..3 {
        first.push(backup_of(&bench, "V", "busy").await);
    }
    let other = backup_of(&bench, "W", "idle").await;
    let last = backup_of(&bench, "W", "third").await;
    assert_eq!(claimed(&bench, 1, 9).await.as_ref(), Some(&first[0]));
    assert_eq!(claimed(&bench, 1, 9).await.as_ref(), Some(&other), "the busy one has its share");
    assert_eq!(claimed(&bench, 1, 1).await, None, "so have both vaults");
    let next = db::operation::next_due_us(bench.db.read(), Lane::Data, bench.clock.now_us()).await;
    assert!(next.unwrap().is_some_and(|next| next > bench.clock.now_us()), "nobody spins");
    assert_eq!(claimed(&bench, 1, 9).await.as_ref(), Some(&last));
    assert_eq!(claimed(&bench, 1, 9).await, None);
    // A lease that has run out counts no more.
    bench.clock.advance(Duration::from_secs(31));
    assert_eq!(claimed(&bench, 1, 9).await.as_ref(), Some(&first[0]));
    assert_eq!(claimed(&bench, 2, 9).await.as_ref(), Some(&first[1]));
}

#[tokio::test]
async fn two_executors_run_each_operation_once() {
    const OPERATIONS: usize = 40;
    let bench = Bench::new().await;
    let saga = FakeSaga::new(&[]);
    let mut ids = Vec::new();
    for _ in 0..OPERATIONS {
        ids.push(bench.begin(OperationKind::CreateVault).await.id);
    }
    let (one, two) = tokio::join!(bench.start("one", &saga), bench.start("two", &saga));
    for id in &ids {
        let begun = Instant::now();
        while bench.get(id).await.status == OperationStatus::InProgress {
            assert!(begun.elapsed() < DEADLINE, "the operation does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let log = saga.log();
    for step in STEPS {
        assert_eq!(log.iter().filter(|entry| entry == step).count(), OPERATIONS);
    }
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test]
async fn a_claim_that_was_taken_over_changes_nothing() {
    let bench = Bench::new().await;
    let operation = bench.begin(OperationKind::CreateVault).await;
    let first = claim(&bench, "one").await.unwrap();
    assert!(claim(&bench, "two").await.is_none(), "the lease holds");
    bench.clock.advance(Duration::from_secs(31));
    let second = claim(&bench, "two").await.unwrap();
    assert_eq!(second.generation, first.generation + 1);

    let mut tx = bench.db.begin().await.unwrap();
    let (id, stale) = (operation.id.as_str(), first.generation);
    assert!(!db::operation::step_done(&mut tx, id, stale, "second", &json!(null)).await.unwrap());
    assert!(!db::operation::put_back(&mut tx, id, stale, 0, false).await.unwrap());
    assert_eq!(db::operation::renew(&mut tx, id, stale, i64::MAX).await.unwrap(), Renewal::Lost);
    let status = OperationStatus::Succeeded;
    assert!(!db::operation::finish(&mut tx, id, stale, status, None, 1).await.unwrap());
    assert!(db::operation::finish(&mut tx, id, second.generation, status, None, 1).await.unwrap());
    tx.commit().await.unwrap();
    assert!(claim(&bench, "three").await.is_none(), "a finished operation is never claimed");
}

#[tokio::test]
async fn a_new_life_goes_on_where_the_old_one_died() {
    let bench = Bench::new().await;
    let operation = bench.begin(OperationKind::CreateVault).await;
    let dead = claim(&bench, "node").await.unwrap();
    let mut tx = bench.db.begin().await.unwrap();
    assert!(
        db::operation::step_done(
            &mut tx,
            &operation.id,
            dead.generation,
            "second",
            &json!(["first"])
        )
        .await
        .unwrap()
    );
    tx.commit().await.unwrap();

    let saga = FakeSaga::new(&[]);
    let executor = bench.start("node", &saga).await;
    until("the dead node's claim is given up at once", || saga.log().len() == 3).await;
    assert_eq!(bench.ended(&operation.id).await.status, OperationStatus::Succeeded);
    assert_eq!(saga.log(), ["second", "third", "succeeded after first second third"]);
    executor.shutdown().await;
}

#[tokio::test]
async fn the_end_of_the_service_leaves_what_runs_to_the_next() {
    let bench = Bench::new().await;
    let waiting = FakeSaga::new(&[("second", Act::WaitForStop)]);
    let executor = bench.start("node", &waiting).await;
    let operation = bench.begin(OperationKind::CreateVault).await;
    until("the second step runs", || waiting.log().len() == 2).await;
    executor.shutdown().await;
    assert_eq!(bench.get(&operation.id).await.status, OperationStatus::InProgress);
    assert_eq!(waiting.log(), ["first", "second"], "nothing was concluded or taken back");

    let saga = FakeSaga::new(&[]);
    let executor = bench.start("another", &saga).await;
    assert_eq!(bench.ended(&operation.id).await.status, OperationStatus::Succeeded);
    assert_eq!(saga.log(), ["second", "third", "succeeded after first second third"]);
    executor.shutdown().await;
}

#[tokio::test]
async fn one_backup_at_a_time_and_its_submission_ends_at_once() {
    let bench = Bench::new().await;
    let operation = bench.begin(OperationKind::Backup).await;
    assert_eq!(operation.status, OperationStatus::Succeeded);
    let mut tx = bench.db.begin().await.unwrap();
    let new = NewOperation {
        kind: OperationKind::Backup,
        vault: operation.vault.clone(),
        instance: Some(instance()),
        location: String::new(),
        input: Value::Null,
        api_version: ApiVersion::parse("2021-01-01").unwrap(),
        activity_id: String::new(),
        job: None,
    };
    let refused = begin(&mut tx, new, 1).await.unwrap_err();
    assert_eq!(refused.code, "UserErrorMaxConcurrentOperationLimitReached");
}

#[tokio::test]
async fn a_row_of_another_version_stands_in_nobodys_way() {
    let bench = Bench::new().await;
    let strange = bench.begin(OperationKind::CreateVault).await;
    let mut tx = bench.db.begin().await.unwrap();
    sqlx::query("UPDATE operation SET kind = 'of_the_future' WHERE id = $1")
        .bind(&strange.id)
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let saga = FakeSaga::new(&[]);
    let executor = bench.start("node", &saga).await;
    let operation = bench.begin(OperationKind::CreateVault).await;
    assert_eq!(bench.ended(&operation.id).await.status, OperationStatus::Succeeded);
    executor.shutdown().await;
}

#[test]
fn every_step_of_every_saga_is_a_crash_point() {
    let points = super::crash_points();
    for point in [
        "backup:take:before",
        "backup:take:seal",
        "restore:write:rename",
        "create_vault:conclude:after",
    ] {
        assert!(points.iter().any(|known| known == point), "{point}");
    }
    let mut unique = points.clone();
    unique.sort();
    unique.dedup();
    assert_eq!(unique.len(), points.len());
}
