//! What happens to the server between backups.

use std::process::Command;
use std::time::Duration;

use coffer_testkit::{PostgresOptions, PostgresServer, Shutdown, wait_until};

use crate::backup_unread::session;
use crate::support::{DATABASE, Fixture};

/// How long a server may take to come back.
const RETURN_LIMIT: Duration = Duration::from_secs(60);

/// Something that takes log back that was not durable yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Accident {
    /// One of the server's processes is killed: it recovers, and says of itself that it was started when it was.
    Killed,
    /// All of it is ended at once, and started again.
    Stopped,
    /// A standby that lags behind takes over.
    Promoted,
}

/// The version from which on a standby is told by a setting to follow no longer.
pub(super) const PROMOTED_SINCE: u32 = 13;

/// Writes something without waiting for it to be durable, and says what shows whether it is there.
fn write_late(f: &Fixture) -> String {
    f.sql("CREATE TABLE IF NOT EXISTS late (n int); INSERT INTO late SELECT count(*) + 1 FROM late RETURNING n")
}

fn was_lost(f: &Fixture, late: &str) -> bool {
    f.server
        .psql(DATABASE, &format!("SELECT count(*) FROM late WHERE n = {late}"))
        .map_or(true, |found| found == "0")
}

/// Whether something was lost.
pub(super) async fn kill_a_process(f: &Fixture) -> bool {
    let witness = session(f).await;
    let row = witness.query_one("SELECT pg_backend_pid()", &[]).await.expect("its number");
    let pid: i32 = row.get(0);
    let late = write_late(f);
    let killed = Command::new("kill").args(["-KILL", &pid.to_string()]).status().expect("kill");
    assert!(killed.success());
    wait_until("the end of all sessions", RETURN_LIMIT, || Ok(witness.is_closed().then_some(())))
        .expect("a crash");
    // Its other processes end first, and then it answers again.
    wait_until("the server's return", RETURN_LIMIT, || {
        let log = f.server.log()?;
        let (_, since) = log.rsplit_once("terminating any other active").unwrap_or_default();
        let is_back = since.contains("ready to accept connections");
        Ok((is_back && f.server.psql(DATABASE, "SELECT 1").is_ok()).then_some(()))
    })
    .expect("a server");
    was_lost(f, &late)
}

/// Whether something was lost.
pub(super) fn stop(f: &mut Fixture) -> bool {
    let late = write_late(f);
    f.server.stop(Shutdown::Immediate).expect("an end");
    f.server.launch().expect("a start");
    was_lost(f, &late)
}

/// Has the standby follow no longer.
pub(super) fn detach(standby: &PostgresServer) {
    standby.psql("postgres", "ALTER SYSTEM SET primary_conninfo = ''").expect("a setting");
    standby.psql("postgres", "SELECT pg_reload_conf()").expect("a setting");
    wait_until("the end of the stream", RETURN_LIMIT, || {
        Ok((standby.psql("postgres", "SELECT count(*) FROM pg_stat_wal_receiver")? == "0")
            .then_some(()))
    })
    .expect("a standby that lags behind");
}

/// Puts a detached standby in the place of the server, and a new standby in its. Whether something was lost.
pub(super) fn promote(
    f: &mut Fixture,
    standby: &mut PostgresServer,
    options: &PostgresOptions,
) -> bool {
    let late = write_late(f);
    f.server.stop(Shutdown::Immediate).expect("an end");
    standby.promote().expect("a promotion");
    let next = standby.start_standby(options).expect("a standby");
    f.server = std::mem::replace(standby, next);
    was_lost(f, &late)
}

/// Rolls back what is prepared under names like this one. Somebody else may do the same.
pub(super) fn end_prepared(f: &Fixture, names: &str) {
    let sql = format!(
        "SELECT format('ROLLBACK PREPARED %L', gid) FROM pg_prepared_xacts WHERE gid LIKE '{names}' \\gexec"
    );
    drop(f.server.psql(DATABASE, &sql));
}

/// Waits until whoever is open now has ended: the bound of the next backup is behind them.
pub(super) fn settle(f: &Fixture) {
    let open = f.sql("SELECT txid_snapshot_xmax(txid_current_snapshot())");
    let sql = format!("SELECT txid_snapshot_xmin(txid_current_snapshot()) >= {open}");
    wait_until("the end of what was open", RETURN_LIMIT, || {
        end_prepared(f, "%");
        Ok((f.server.psql(DATABASE, &sql)? == "t").then_some(()))
    })
    .expect("calm");
}

/// Waits until the numbers of transactions that a snapshot had seen, and that were lost, are given to others.
pub(super) fn catch_up(f: &Fixture, xid_snapshot: &str) {
    let (xmin, _) = xid_snapshot.split_once(':').expect("a snapshot");
    let sql = format!("SELECT txid_snapshot_xmax(txid_current_snapshot()) >= {xmin}");
    wait_until("as many transactions", RETURN_LIMIT, || {
        Ok((f.server.psql(DATABASE, &sql)? == "t").then_some(()))
    })
    .expect("writers that go on");
}
