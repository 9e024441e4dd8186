//! The schema into the target, by the `pg_restore` of its own major version.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Stdio;

use coffer_store::Repository;
use tokio::io::{AsyncRead, AsyncReadExt as _};

use super::context::Context;
use super::pg_restore_log::{Loss, RestoreLog};
use super::preflight;
use super::roles::Roles;
use crate::connect::KEEPALIVES_OF_TOOLS;
use crate::error::{Error, Result};
use crate::files::toc::{Toc, order_foreign_keys};
use crate::manifest::DatabaseManifest;
use crate::part::PartReader;
use crate::running::RunningTool;
use crate::tools::scrub;

/// Largest archive of a schema that is taken into memory: about a kilobyte per object.
const TOC_BYTES_MAX: u64 = 1024 * 1024 * 1024;

/// Error output of one run that is read; the rest is dropped, which counts as a lost object.
const LOG_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Stands for what was dropped.
const CUT: &str = "\npg_restore: error: it said more than is read\n";

/// Memory of the server, in kilobytes, that each session may take to build an index, where it is set to less.
const INDEX_MEMORY_KB: i64 = 128 * 1024;

/// Errors shown in one message.
const ERRORS_SHOWN: usize = 5;

/// Which part of the schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// What rows need.
    PreData,
    /// What is built on rows.
    PostData,
}

/// The stored archive of the schema, put in an order that a parallel restore can keep.
///
/// # Errors
/// [`Error::Store`] when it can't be read, [`Error::Manifest`] when it is no archive that this version understands.
pub(crate) async fn read_toc(repository: &Repository, manifest: &DatabaseManifest) -> Result<Toc> {
    let part = &manifest.schema.toc;
    if part.plain_bytes > TOC_BYTES_MAX {
        return Err(Error::Manifest {
            message: format!("its schema takes {} bytes", part.plain_bytes),
        });
    }
    let mut bytes = Vec::new();
    let mut reader = PartReader::new(repository, part);
    while let Some(piece) = reader.bytes().await? {
        bytes.extend_from_slice(&piece);
    }
    let mut toc =
        Toc::read(&bytes).map_err(|error| Error::Manifest { message: error.to_string() })?;
    order_foreign_keys(&mut toc.entries);
    Ok(toc)
}

/// The archive in a directory for `pg_restore`, which goes with this value.
#[derive(Debug)]
pub(super) struct Archive {
    path: PathBuf,
}

impl Drop for Archive {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "archive of a schema could not be removed");
        }
    }
}

impl Archive {
    fn create(path: PathBuf, toc: &Toc) -> std::io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        std::fs::create_dir_all(path.parent().unwrap_or(&path))?;
        std::fs::DirBuilder::new().mode(0o700).create(&path)?;
        let archive = Self { path };
        std::fs::write(archive.path.join("toc.dat"), toc.write())?;
        Ok(archive)
    }
}

impl Context {
    /// The archive as this restore needs it.
    pub(super) fn archive_for(&self, mut toc: Toc, roles: &Roles) -> Result<Archive> {
        self.request.role_map.apply(&mut toc);
        self.adapt_owners(&mut toc, roles);
        self.adapt_tablespaces(&mut toc);
        let path = self.request.work_dir.join(format!("restore-{:016x}", rand::random::<u64>()));
        Archive::create(path, &toc).map_err(Error::io("write the archive of the schema"))
    }

    /// Puts into the database's own tablespace what was in one that the target lacks, and says so.
    fn adapt_tablespaces(&self, toc: &mut Toc) {
        let mut missing = BTreeSet::new();
        for tablespace in toc.entries.iter_mut().filter_map(|entry| entry.tablespace.as_mut()) {
            let name = String::from_utf8_lossy(tablespace).into_owned();
            if !name.is_empty() && !self.target.tablespaces.contains(&name) {
                tablespace.clear();
                missing.insert(name);
            }
        }
        if !missing.is_empty() {
            let names: Vec<_> = missing.into_iter().collect();
            self.warn(
                "MissingTablespace",
                format!(
                    "tablespaces are missing: {}; what was in them goes into the database's own",
                    names.join(", ")
                ),
            );
        }
    }

    /// Runs `pg_restore` for a part of the schema. What it ignored becomes a warning where only an attribute was lost.
    ///
    /// # Errors
    /// [`Error::Tool`] when an object was lost.
    pub(super) async fn run_pg_restore(&self, archive: &Archive, part: Part) -> Result<()> {
        let major = preflight::tool_major(&self.manifest, &self.target);
        let tool = self
            .request
            .tools
            .pg_restore(major)
            .ok_or(Error::ToolMissing { tool: "pg_restore", major })?;
        let options = self.inside();
        let mut command = tool.command(&options);
        let section = match part {
            Part::PreData => "pre-data",
            Part::PostData => "post-data",
        };
        command
            .arg("--no-password")
            .arg("--dbname")
            // The name is one that needs no quoting. Without keepalives a server that went away is waited for for hours.
            .arg(format!("dbname={} {KEEPALIVES_OF_TOOLS}", options.database))
            .arg("--section")
            .arg(section);
        if part == Part::PostData {
            command.arg("--jobs").arg(self.workers.to_string());
        }
        if self.request.options.roles == super::RoleMode::Ignore {
            command.args(["--no-owner", "--no-acl"]);
        }
        command
            .arg(&archive.path)
            // The words "Command was" are looked for in what it says.
            .env("LC_ALL", "C")
            .env("PGOPTIONS", self.tool_settings())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let tool = RunningTool::start(command, options.running());
        let mut tool = tool.map_err(Error::io("start pg_restore"))?;
        let said = match tool.stderr() {
            Some(stderr) => {
                read_log(stderr).await.map_err(Error::io("read what pg_restore says"))?
            }
            None => Vec::new(),
        };
        let status = tool.wait().await.map_err(Error::io("wait for pg_restore"))?;
        let log = RestoreLog::parse(&String::from_utf8_lossy(&said), status.success());
        self.judge(&log, &status.to_string())
    }

    /// Warnings for lost attributes, an error for lost objects.
    fn judge(&self, log: &RestoreLog, status: &str) -> Result<()> {
        let clean = |text: &str| scrub(text.as_bytes(), &self.request.target);
        let lost: Vec<_> = log.errors.iter().filter(|error| error.loss == Loss::Object).collect();
        if !lost.is_empty() {
            let mut stderr = format!("{} object(s) could not be restored", lost.len());
            for error in lost.iter().take(ERRORS_SHOWN) {
                stderr.push_str("; ");
                stderr.push_str(&clean(&error.text));
            }
            return Err(Error::Tool { tool: "pg_restore", status: status.to_owned(), stderr });
        }
        for error in &log.errors {
            self.warn("AttributeNotRestored", clean(&error.text));
        }
        Ok(())
    }

    /// Settings of the tool's sessions: never ended by a timeout, with commits that need not wait for the disk, and with
    /// memory to build indexes in.
    fn tool_settings(&self) -> String {
        let mut settings = String::from(
            "-c statement_timeout=0 -c lock_timeout=0 -c idle_in_transaction_session_timeout=0 -c synchronous_commit=off \
             -c default_transaction_read_only=off -c client_min_messages=warning",
        );
        if self.target.version_num >= 170_000 {
            settings.push_str(" -c transaction_timeout=0");
        }
        if self.target.maintenance_work_mem_kb < INDEX_MEMORY_KB {
            settings.push_str(&format!(" -c maintenance_work_mem={INDEX_MEMORY_KB}"));
        }
        settings
    }
}

/// Reads to the end, keeping the beginning.
async fn read_log(mut stderr: impl AsyncRead + Unpin) -> std::io::Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut piece = vec![0; 64 * 1024];
    let mut cut = false;
    loop {
        let length = stderr.read(&mut piece).await?;
        if length == 0 {
            if cut {
                kept.extend_from_slice(CUT.as_bytes());
            }
            return Ok(kept);
        }
        let room = LOG_BYTES_MAX.saturating_sub(kept.len());
        cut |= length > room;
        kept.extend_from_slice(&piece[..length.min(room)]);
    }
}
