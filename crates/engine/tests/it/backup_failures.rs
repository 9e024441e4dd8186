//! A backup that is stopped or loses its server ends soon, says why, and leaves nothing that looks like a recovery point.

use std::sync::Arc;
use std::time::{Duration, Instant};

use coffer_engine::{BackupRequest, Error, Phase, SilentMonitor, backup};
use coffer_store::{Error as StoreError, create_location};
use coffer_testkit::{ChaosProxy, FailingStore, Fault, StoreOperation, wait_until};
use tokio_util::sync::CancellationToken;

use crate::support::{Fixture, OnPhase, repository_over};

/// A database whose backup takes long enough to be interrupted.
async fn busy() -> Fixture {
    let f = Fixture::start().await;
    f.sql("CREATE TABLE big AS SELECT i, repeat(md5(i::text), 20) AS t FROM generate_series(1, 100000) i");
    f
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_stops_a_running_statement() {
    let f = busy().await;
    // A view's slowness has no place here, but a slow generated text has: the rows take minutes to come.
    f.sql(
        "CREATE FUNCTION slow(int) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT pg_sleep(0.2)::text || $1';
         CREATE TABLE config AS SELECT i FROM generate_series(1, 3000) i;
         CREATE EXTENSION hstore; ALTER EXTENSION hstore ADD TABLE config;
         UPDATE pg_extension SET extconfig = ARRAY['config'::regclass::oid],
           extcondition = ARRAY['WHERE public.slow(i) <> '''''] WHERE extname = 'hstore'",
    );
    let cancel = CancellationToken::new();
    let copying = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'coffer' AND state = 'active' \
                   AND query LIKE 'COPY%config%'";
    let psql = f.psql();
    let token = cancel.clone();
    let canceller = tokio::task::spawn_blocking(move || {
        wait_until("slow COPY", Duration::from_secs(30), || {
            Ok((psql.run(copying)? == "1").then_some(()))
        })
        .unwrap();
        token.cancel();
        Instant::now()
    });
    let error = f.run_with(f.request(), Arc::new(SilentMonitor), cancel).await.unwrap_err();
    assert!(matches!(error, Error::Cancelled), "{error:?}");
    let taken = canceller.await.unwrap().elapsed();
    assert!(taken < Duration::from_secs(5), "{taken:?}");
    let ended = || Ok((f.psql().run(copying)? == "0").then_some(()));
    wait_until("end of the slow COPY", Duration::from_secs(5), ended).unwrap();
    assert!(f.repository.manifests().await.unwrap().valid.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_too_late_to_cancel_while_the_manifest_is_written() {
    let f = Fixture::start().await;
    let cancel = CancellationToken::new();
    let token = cancel.clone();
    let monitor = OnPhase::new(Phase::Seal, move || token.cancel());
    let outcome = f.run_with(f.request(), Arc::new(monitor), cancel).await.unwrap();
    let manifests = f.repository.manifests().await.unwrap();
    assert_eq!(manifests.valid[0].recovery_point_id, outcome.recovery_point_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_session_is_a_lost_connection() {
    let f = busy().await;
    let phases = [
        Phase::Lock,
        Phase::Snapshot,
        Phase::Compare,
        Phase::Schema,
        Phase::Data,
        Phase::LargeObjects,
        Phase::Lists,
        Phase::Flush,
    ];
    for phase in phases {
        let during = f.psql();
        let monitor = OnPhase::new(phase, move || {
            during.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'coffer'");
        });
        let error =
            f.run_with(f.request(), Arc::new(monitor), CancellationToken::new()).await.unwrap_err();
        assert!(
            matches!(error, Error::ConnectionLost { .. }) && error.is_transient(),
            "{phase:?}: {error:?}"
        );
    }
    assert!(f.repository.manifests().await.unwrap().valid.is_empty());
    // What was stored by then is found again.
    let outcome = f.run(f.request()).await.unwrap();
    assert_eq!(outcome.totals.content.rows, 100_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cut_network_is_a_lost_connection_and_the_next_backup_resumes() {
    let f = busy().await;
    let proxy = ChaosProxy::start(f.server.port()).unwrap();
    proxy.cut_after(40_000_000);
    let mut request =
        BackupRequest { source: f.source().with_address("127.0.0.1", proxy.port()), ..f.request() };
    request.options.pack_bytes = 64 * 1024;
    let error = f.run(request).await.unwrap_err();
    assert!(matches!(error, Error::ConnectionLost { .. }), "{error:?}");
    let outcome = f.run(f.request()).await.unwrap();
    assert_eq!(outcome.totals.content.rows, 100_000);
    assert!(outcome.stats.resumed_plain_bytes > 1_000_000, "{:?}", outcome.stats);
}

/// At every write from the first pack to the manifest, with several workers of which each meets it in its own way.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_storage_is_said_by_name_and_the_next_backup_succeeds() {
    let f = busy().await;
    let url = format!("file://{}/store", f.directory.path().display());
    let failing = FailingStore::new(create_location(&url).unwrap());
    let store: Arc<dyn coffer_store::ObjectStore> = Arc::<FailingStore>::clone(&failing);
    let (repository, lease) = repository_over(&store).await;
    let run = async || {
        let monitor = Arc::new(SilentMonitor);
        backup(f.request(), &repository, &lease, monitor, CancellationToken::new()).await
    };
    let first = run().await.unwrap();
    f.sql("UPDATE big SET t = repeat(md5(t), 20)");
    let mut full = 0;
    for nth in 1.. {
        failing.fail_from(StoreOperation::Put, nth, Fault::Full);
        let outcome = run().await;
        failing.heal();
        let manifests = repository.manifests().await.unwrap();
        assert!(manifests.unreadable.is_empty() && manifests.lease_damage.is_none());
        match outcome {
            Err(Error::Store { source: StoreError::StorageFull { .. }, .. }) => {
                let [only] = &manifests.valid[..] else { panic!("write {nth}: {manifests:?}") };
                assert_eq!(only.recovery_point_id, first.recovery_point_id, "write {nth}");
                full += 1;
            }
            Ok(_) => break,
            Err(error) => panic!("write {nth}: {error:?}"),
        }
    }
    assert!(full > 1, "{full} writes refused");
    run().await.unwrap();
    assert_eq!(repository.manifests().await.unwrap().valid.len(), 3);
}
