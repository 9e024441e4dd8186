//! A hot standby: a copy of a running server by `pg_basebackup`, which follows it by streaming.

use std::{fs, process::Stdio, time::Duration};

use anyhow::{Context as _, bail};
use tempfile::TempDir;

use super::{PostgresOptions, PostgresServer, SUPERUSER};
use crate::wait_until;

/// How long a standby may take to replay what its primary wrote.
const REPLAY_LIMIT: Duration = Duration::from_secs(60);

impl PostgresServer {
    /// Starts a hot standby of this server, of the same version, with more lines for its `postgresql.conf`.
    ///
    /// # Errors
    /// When this version's `pg_basebackup` is not installed or fails, or as [`PostgresServer::start`].
    pub fn start_standby(&self, options: &PostgresOptions) -> anyhow::Result<Self> {
        let directory: TempDir = tempfile::Builder::new().prefix("coffer-pg-").tempdir()?;
        self.account.own(directory.path())?;
        let mut standby = Self {
            process: None,
            directory,
            account: self.account,
            binaries: self.binaries.clone(),
            port: 0,
            password: self.password.clone(),
            tls: false,
        };
        let mut command = self.account.command(&self.binaries.server.join("pg_basebackup"));
        if let Some(libraries) = &self.binaries.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        let output = command
            .args(["-h", "127.0.0.1", "-U", SUPERUSER, "--no-sync", "--checkpoint=fast"])
            .args(["-p", &self.port.to_string(), "--wal-method=stream", "--pgdata"])
            .arg(standby.data_path())
            .env("PGPASSWORD", &self.password)
            .current_dir(standby.directory.path())
            .stdin(Stdio::null())
            .output()
            .context("start pg_basebackup")?;
        if !output.status.success() {
            bail!("pg_basebackup: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let primary = format!(
            "host=127.0.0.1 port={} user={SUPERUSER} password={}",
            self.port, self.password
        );
        standby.configure(&options.clone().setting("primary_conninfo", &primary))?;
        let signal = standby.data_path().join("standby.signal");
        fs::write(&signal, "")?;
        self.account.own(&signal)?;
        standby.launch_on_free_port()?;
        Ok(standby)
    }

    /// Waits until a standby has replayed all that this server has committed.
    ///
    /// # Errors
    /// When that takes too long, or as [`PostgresServer::psql`].
    pub fn wait_for_replay(&self, standby: &Self) -> anyhow::Result<()> {
        // A commit that waits for the log makes everything before it durable, and only that is sent.
        let durable = "SET synchronous_commit = on; BEGIN; SELECT txid_current() > 0; COMMIT; SELECT pg_current_wal_flush_lsn()";
        let said = self.psql("postgres", durable)?;
        let position = said.lines().last().context("no position of the log")?;
        let sql = format!("SELECT pg_last_wal_replay_lsn() >= '{position}'");
        wait_until("replay of a standby", REPLAY_LIMIT, || {
            Ok((standby.psql("postgres", &sql)? == "t").then_some(()))
        })
    }

    /// Makes a primary of a standby, and returns when it is one.
    ///
    /// # Errors
    /// As [`PostgresServer::psql`].
    pub fn promote(&self) -> anyhow::Result<()> {
        match self.psql("postgres", "SELECT pg_promote()")?.as_str() {
            "t" => Ok(()),
            other => bail!("the standby was not promoted: {other}"),
        }
    }
}
