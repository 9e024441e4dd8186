//! The test kit's own promise: servers come up side by side, and nothing of them stays.

use std::{path::PathBuf, time::Duration};

use coffer_testkit::{PostgresOptions, PostgresServer, Shutdown, wait_until};

#[test]
fn two_servers_run_side_by_side_and_leave_nothing() -> anyhow::Result<()> {
    let first = PostgresServer::start()?;
    let second = PostgresServer::start_with(
        &PostgresOptions::default().setting("wal_level", "minimal").setting("max_wal_senders", "0"),
    )?;
    assert_ne!(first.port(), second.port());
    assert_eq!(second.psql("postgres", "SHOW wal_level")?, "minimal");

    first.create_database("a \"quoted\" one")?;
    assert_eq!(first.databases()?, ["a \"quoted\" one", "postgres"]);
    let error = first.psql("postgres", "SELECT 1/0; SELECT 2").err().map(|error| error.to_string());
    assert!(error.is_some_and(|text| text.contains("division by zero")));

    let data = PathBuf::from(first.psql("postgres", "SHOW data_directory")?);
    let pid = first.psql("postgres", "SELECT pg_backend_pid()")?;
    drop(first);
    assert!(!data.exists());
    wait_until("end of the server's processes", Duration::from_secs(10), || {
        Ok((!PathBuf::from(format!("/proc/{pid}")).exists()).then_some(()))
    })
}

#[test]
fn a_server_survives_its_crash() -> anyhow::Result<()> {
    let mut server = PostgresServer::start_with(
        &PostgresOptions::default().setting("synchronous_commit", "on"),
    )?;
    server.psql("postgres", "CREATE TABLE kept (n int); INSERT INTO kept VALUES (7)")?;
    server.stop(Shutdown::Immediate)?;
    assert!(server.psql("postgres", "SELECT 1").is_err());
    server.launch()?;
    assert_eq!(server.psql("postgres", "SELECT n FROM kept")?, "7");
    assert!(server.log()?.contains("automatic recovery in progress"));
    Ok(())
}

#[test]
fn tls_is_verifiable() -> anyhow::Result<()> {
    let server =
        PostgresServer::start_with(&PostgresOptions { tls: true, ..PostgresOptions::default() })?;
    let output = std::process::Command::new(server.bin().join("psql"))
        .args(["-XAtq", "-c", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"])
        .arg(server.uri("postgres"))
        .output()?;
    assert_eq!(
        String::from_utf8(output.stdout)?.trim(),
        "t",
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
