//! A hot standby as the source: what its primary has, or an error that says what stood in the way.

use std::sync::Arc;

use coffer_engine::manifest::{Sequence, Table};
use coffer_engine::{BackupOutcome, BackupRequest, Error, Monitor, Phase};
use coffer_testkit::{PostgresOptions, PostgresServer, has_major};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

use crate::restore_support::{assert_same, dump_with};
use crate::support::{DATABASE, Fixture, OnPhase, Psql};
use crate::versions;

async fn primary(major: Option<u32>) -> Fixture {
    Fixture::start_with(&PostgresOptions { major, ..PostgresOptions::default() }).await
}

/// Of a standby that lets its primary's changes end whatever stands in their way.
fn impatient() -> PostgresOptions {
    PostgresOptions::default().setting("max_standby_streaming_delay", "0")
}

fn standby_of(f: &Fixture, options: &PostgresOptions) -> PostgresServer {
    let standby = f.server.start_standby(options).expect("a standby");
    f.server.wait_for_replay(&standby).expect("a standby that follows");
    standby
}

fn request(f: &Fixture, standby: &PostgresServer) -> BackupRequest {
    BackupRequest { source: f.source().with_address("127.0.0.1", standby.port()), ..f.request() }
}

async fn run(
    f: &Fixture,
    request: BackupRequest,
    monitor: impl Monitor + 'static,
) -> Result<BackupOutcome, Error> {
    f.run_with(request, Arc::new(monitor), CancellationToken::new()).await
}

/// Waits until the standby has replayed what was done on the primary.
fn follow(primary: &Psql, standby: &Psql) {
    let position = primary.sql("SET synchronous_commit = on; CREATE TABLE IF NOT EXISTS tick AS SELECT 1; SELECT pg_current_wal_flush_lsn()");
    let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
    coffer_testkit::wait_until("replay", std::time::Duration::from_secs(60), || {
        Ok((standby.run(&sql)? == "t").then_some(()))
    })
    .expect("a standby that follows");
}

fn psql_of(f: &Fixture, server: &PostgresServer) -> Psql {
    f.psql().with_uri(server.uri(DATABASE))
}

async fn the_same_as_the_primary(major: u32) {
    if !has_major(major) {
        return;
    }
    let f = primary(Some(major)).await;
    versions::load(&f);
    f.sql(
        "CREATE UNLOGGED TABLE passing (id serial); INSERT INTO passing DEFAULT VALUES; CREATE SEQUENCE taken;
         SELECT nextval('taken') FROM generate_series(1, 5); SELECT lo_from_bytea(4711, 'large'); CREATE TABLE counted (id serial);
         INSERT INTO counted SELECT FROM generate_series(1, 100)",
    );
    let standby = standby_of(&f, &PostgresOptions::default());
    let outcome = f.run(request(&f, &standby)).await.expect("a backup of the standby");
    let of_standby = f.manifest(&outcome.recovery_point_id).await;
    let (_, of_primary) = f.backup().await;
    assert!(of_standby.source.in_recovery && !of_primary.source.in_recovery);
    assert_eq!(of_standby.source.system_identifier, of_primary.source.system_identifier);
    assert_eq!((of_standby.source.timeline, &of_standby.snapshot.flush_lsn), (1, &None));
    assert!(outcome.warnings.iter().any(|warning| warning.code == "Standby"));

    let standby_tables = f.tables(&of_standby).await;
    let mut primary_tables = f.tables(&of_primary).await;
    let mut left_out = Vec::new();
    primary_tables.retain(|name, table| {
        let unlogged = table.persistence == "u";
        if unlogged {
            left_out.push(format!("table {name}"));
        }
        !unlogged
    });
    let facts = |table: &Table| (table.content, table.columns.clone(), table.shape.clone());
    assert!(
        standby_tables
            .iter()
            .map(|(name, table)| (name, facts(table)))
            .eq(primary_tables.iter().map(|(name, table)| (name, facts(table))))
    );
    let named: Vec<_> = of_standby.not_proved.iter().map(|not| &not.object).collect();
    assert!(left_out.contains(&"table public.passing".to_owned()));
    assert!(left_out.iter().all(|table| named.contains(&table)), "{left_out:?} in {named:?}");
    assert_eq!(of_standby.large_objects.content, of_primary.large_objects.content);
    assert_eq!(of_standby.roles.chunks, of_primary.roles.chunks);
    // The log of a primary is up to 32 numbers ahead of its sequences, so that a crash gives none twice; so is a standby.
    let ahead: Vec<Sequence> = f.list(&of_standby.sequences).await;
    let exact: Vec<Sequence> = f.list(&of_primary.sequences).await;
    assert!(ahead.len() > 2);
    for sequence in ahead {
        let same =
            |other: &&Sequence| (&other.schema, &other.name) == (&sequence.schema, &sequence.name);
        let exact = exact.iter().find(same).expect("the same sequence");
        let distance = (sequence.last_value - exact.last_value).abs();
        assert!(distance <= 320 && (distance == 0 || sequence.is_called), "{sequence:?} {exact:?}");
    }

    let restored = f.restore(f.restore_request(&outcome.recovery_point_id, "copy")).await;
    assert!(restored.expect("a restore").proof.equal);
    let arguments = ["--schema-only"];
    assert_same(
        &dump_with(&f.server, DATABASE, &arguments),
        &dump_with(&f.server, "copy", &arguments),
    );
    let behind = "SELECT pg_sequence_last_value('counted_id_seq') >= (SELECT max(id) FROM counted)";
    assert_eq!(f.server.psql("copy", behind).expect("a check"), "t");
}

macro_rules! majors {
    ($($name:ident $major:literal)*) => {$(
        #[tokio::test(flavor = "multi_thread")]
        async fn $name() {
            the_same_as_the_primary($major).await;
        }
    )*};
}

majors! {
    a_standby_of_14_gives_what_its_primary_has 14
    a_standby_of_15_gives_what_its_primary_has 15
    a_standby_of_16_gives_what_its_primary_has 16
    a_standby_of_17_gives_what_its_primary_has 17
    a_standby_of_18_gives_what_its_primary_has 18
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_with_the_primary_ends_the_backup_and_may_be_tried_again() {
    for (phase, change) in [
        // Rows that the snapshot still sees are removed.
        (Phase::Data, "DELETE FROM t; VACUUM t"),
        (Phase::LargeObjects, "DELETE FROM t; VACUUM t"),
        // A table that is locked for the backup, on the standby alone, is gone.
        (Phase::Data, "DROP TABLE t"),
    ] {
        let f = primary(None).await;
        f.sql("CREATE TABLE t AS SELECT i, repeat('x', 500) AS pad FROM generate_series(1, 20000) i; CREATE TABLE u AS SELECT 1 AS i");
        let standby = standby_of(&f, &impatient());
        let (on_primary, on_standby) = (f.psql(), psql_of(&f, &standby));
        let monitor = OnPhase::new(phase, move || {
            on_primary.script(change).expect(change);
            follow(&on_primary, &on_standby);
        });
        let error = run(&f, request(&f, &standby), monitor).await.expect_err("a conflict");
        assert!(error.is_transient(), "{phase:?} {change}: {error:?}");
        assert!(error.to_string().contains("standby"), "{phase:?} {change}: {error}");
        assert!(f.repository.manifests().await.expect("a list").valid.is_empty());
        f.run(request(&f, &standby)).await.expect("the next backup");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conflict_while_the_schema_is_archived_begins_anew() {
    let f = primary(None).await;
    f.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i; CREATE TABLE u AS SELECT 1 AS i");
    let standby = standby_of(&f, &impatient());
    let (on_primary, on_standby) = (f.psql(), psql_of(&f, &standby));
    let monitor = OnPhase::new(Phase::Schema, move || {
        on_primary.script("DELETE FROM t WHERE i > 10; VACUUM t").expect("a vacuum");
        follow(&on_primary, &on_standby);
    });
    let outcome = run(&f, request(&f, &standby), monitor).await.expect("a backup");
    let manifest = f.manifest(&outcome.recovery_point_id).await;
    assert_eq!(f.tables(&manifest).await["public.t"].content.rows, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standby_that_is_promoted_meanwhile_gives_what_it_had() {
    for phase in [Phase::Lock, Phase::Data] {
        let f = primary(None).await;
        f.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i; CREATE SEQUENCE q; SELECT setval('q', 7)");
        let standby = standby_of(&f, &PostgresOptions::default());
        let promoted = psql_of(&f, &standby);
        let monitor = OnPhase::new(phase, move || {
            assert_eq!(promoted.sql("SELECT pg_promote()"), "t");
            promoted.sql("INSERT INTO t VALUES (0); CREATE TABLE young AS SELECT 1 AS i");
        });
        let outcome = run(&f, request(&f, &standby), monitor).await.expect("a backup");
        let codes: Vec<_> = outcome.warnings.iter().map(|warning| &warning.code).collect();
        assert!(codes.contains(&&"Promoted".to_owned()), "{codes:?}");
        let manifest = f.manifest(&outcome.recovery_point_id).await;
        // Never the base of a later one.
        assert!(manifest.source.in_recovery && manifest.snapshot.flush_lsn.is_none());
        let tables = f.tables(&manifest).await;
        let expected = if phase == Phase::Lock { (1001, 2) } else { (1000, 1) };
        assert_eq!((tables["public.t"].content.rows, tables.len()), expected);
        let restored = f.restore(f.restore_request(&outcome.recovery_point_id, "copy")).await;
        assert!(restored.expect("a restore").proof.equal);
    }
}

/// Forwards its first connection to one port of this machine, and all later ones to another: an address that moves.
async fn moving_address(first: u16, later: u16) -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    tokio::spawn(async move {
        let mut target = first;
        while let Ok((mut client, _)) = listener.accept().await {
            let mut server = TcpStream::connect(("127.0.0.1", target)).await.expect("a server");
            target = later;
            tokio::spawn(async move {
                drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
            });
        }
    });
    port
}

/// Where the primary that was still answers, a backup must not say of the other's rows that they are its own.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_on_different_servers_make_no_backup() {
    let f = primary(None).await;
    f.sql("CREATE TABLE t AS SELECT i FROM generate_series(1, 1000) i");
    let standby = standby_of(&f, &PostgresOptions::default());
    standby.promote().expect("a promotion");
    let of = async |first, later| {
        let port = moving_address(first, later).await;
        let source = f.source().with_address("127.0.0.1", port);
        f.run(BackupRequest { source, ..f.request() }).await
    };
    let error = of(f.server.port(), standby.port()).await.expect_err("two servers");
    assert!(matches!(error, Error::ConnectionLost { .. }) && error.is_transient(), "{error:?}");
    assert!(f.repository.manifests().await.expect("a list").valid.is_empty());
    of(standby.port(), standby.port()).await.expect("a backup of one server");
}
