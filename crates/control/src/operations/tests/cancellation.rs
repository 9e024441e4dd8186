//! Cancellations reach what runs here, what waits for a place or for its next attempt, and nothing that is done already.

use super::*;

/// Much less than the time after which a cancellation is met by chance, when a lease is renewed or operations are looked for.
const SOON: Duration = Duration::from_secs(3);

async fn cancel(bench: &Bench, kind: OperationKind) {
    let mut tx = bench.db.begin().await.unwrap();
    request_cancellation(&mut tx, &instance(), &[kind]).await.unwrap();
    tx.commit().await.unwrap();
}

async fn soon(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    until(what, condition).await;
    assert!(begun.elapsed() < SOON, "{what}: {:?}", begun.elapsed());
}

#[tokio::test]
async fn what_runs_can_be_cancelled() {
    let bench = Bench::new().await;
    let saga = FakeSaga::new(&[("second", Act::WaitForStop)]);
    let executor = bench.start("node", &saga).await;
    let operation = bench.begin(OperationKind::ConfigureProtection).await;
    until("the second step runs", || saga.log().len() == 2).await;
    cancel(&bench, OperationKind::ConfigureProtection).await;
    bench.handle.wake();
    let ended = bench.ended(&operation.id).await;
    assert_eq!(ended.error.unwrap().code.as_deref(), Some("UserErrorOperationCancelled"));
    assert_eq!(saga.log(), ["first", "second", "abandon", "cancelled"]);
    executor.shutdown().await;
}

/// Nobody wakes this executor: the request was made in another process.
#[tokio::test]
async fn what_was_cancelled_elsewhere_stops_soon() {
    let bench = Bench::new().await;
    let saga = FakeSaga::new(&[("second", Act::WaitForStop)]);
    let executor = bench.start("node", &saga).await;
    bench.begin(OperationKind::ConfigureProtection).await;
    until("the second step runs", || saga.log().len() == 2).await;
    cancel(&bench, OperationKind::ConfigureProtection).await;
    soon("it stops", || saga.log() == ["first", "second", "abandon", "cancelled"]).await;
    executor.shutdown().await;
}

#[tokio::test]
async fn what_waits_for_a_place_is_cancelled_without_one() {
    let bench = Bench::new().await;
    let saga = FakeSaga::new(&[("first", Act::WaitForStop)]);
    let executor = bench.start("node", &saga).await;
    bench.begin(OperationKind::Restore).await;
    bench.begin(OperationKind::Restore).await;
    until("both places are taken", || saga.log() == ["first", "first"]).await;
    bench.begin(OperationKind::Backup).await;
    cancel(&bench, OperationKind::Backup).await;
    bench.handle.wake();
    let expected = ["first", "first", "abandon", "cancelled"];
    soon("what waits ends without a step", || saga.log() == expected).await;
    executor.shutdown().await;
}

#[tokio::test]
async fn what_waits_for_its_next_attempt_waits_no_longer() {
    let bench = Bench::new().await;
    let saga = FakeSaga::new(&[("first", Act::AlwaysTransient)]);
    let executor = bench.start("node", &saga).await;
    let operation = bench.begin(OperationKind::ConfigureProtection).await;
    until("an attempt was made", || !saga.log().is_empty()).await;
    // Each attempt doubles the wait for the next one.
    let begun = Instant::now();
    while saga.log().len() < 4 || !bench.is_put_back(&operation.id).await {
        assert!(begun.elapsed() < DEADLINE, "four attempts");
        if bench.is_put_back(&operation.id).await {
            bench.clock.advance(Duration::from_secs(60));
            bench.handle.wake();
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    cancel(&bench, OperationKind::ConfigureProtection).await;
    bench.handle.wake();
    let last = || saga.log().last().is_some_and(|last| last == "cancelled");
    soon("it ends", last).await;
    executor.shutdown().await;
}

/// A recovery point that is sealed, or a database that has its name, is not taken back: the operation ends as if nobody had asked.
#[tokio::test]
async fn it_is_too_late_once_something_cannot_be_taken_back() {
    let bench = Bench::new().await;
    let saga = FakeSaga::new(&[("second", Act::SucceedWhenStopped), ("third", Act::EvenCancelled)]);
    let executor = bench.start("node", &saga).await;
    let operation = bench.begin(OperationKind::ConfigureProtection).await;
    until("the second step runs", || saga.log().len() == 2).await;
    cancel(&bench, OperationKind::ConfigureProtection).await;
    bench.handle.wake();
    assert_eq!(bench.ended(&operation.id).await.status, OperationStatus::Succeeded);
    assert_eq!(saga.log(), ["first", "second", "third", "succeeded after first second third"]);
    executor.shutdown().await;
}
