//! The schema, archived by the server's own `pg_dump` under the exported snapshot.
//!
//! The archive holds no rows, so it may lie in a local directory for a moment; it is removed whatever happens. The tool is
//! never waited for without a bound: with an ALTER queued behind our locks it would wait for ever, and no deadlock detector
//! would see it. Its `--lock-wait-timeout` ends it, and the caller starts over.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::AsyncReadExt as _;

use crate::connect::ConnectOptions;
use crate::error::{Error, Result};
use crate::manifest::Warning;
use crate::running::RunningTool;
use crate::tools::{STDERR_BYTES_MAX, Tool, scrub};

/// The tool's own words for a server that went away.
const LOST_CONNECTION: [&str; 3] = [
    "server closed the connection unexpectedly",
    "could not receive data from server",
    "could not send data to server",
];

/// The server's own words when a standby ends a query so that it can follow its primary. The tool tells no SQLSTATE.
const CONFLICT: &str = "due to conflict with recovery";

/// Warnings of the tool that are kept, and characters of one.
const WARNINGS_MAX: usize = 50;
const WARNING_CHARS_MAX: usize = 500;

/// What the tool made and said.
pub(super) struct Archived {
    /// The bytes of `toc.dat`. Grows with the number of objects in the schema, not with rows.
    pub(super) toc: Vec<u8>,
    /// What it warned of, though it succeeded: it leaves out what it may not see, and says so nowhere else.
    pub(super) warnings: Vec<Warning>,
}

/// A directory that goes with this value.
struct Output(PathBuf);

impl Drop for Output {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.0.display(), %error, "output of pg_dump can't be removed");
        }
    }
}

/// One archive to be made.
pub(super) struct Archive<'a> {
    pub(super) tool: &'a Tool,
    pub(super) source: &'a ConnectOptions,
    /// The database's own: names are never converted, whatever `client_encoding` a role or database is set to.
    pub(super) encoding: &'a str,
    pub(super) snapshot_name: &'a str,
    pub(super) lock_timeout: Duration,
    pub(super) work_dir: &'a Path,
}

impl Archive<'_> {
    /// Runs the tool.
    pub(super) async fn write(&self) -> Result<Archived> {
        let name = format!("schema-{}", uuid::Uuid::new_v4().simple());
        let output = Arc::new(Output(self.work_dir.join(name)));
        let said = self.run(&output).await?;
        let toc = tokio::fs::read(output.0.join("toc.dat"))
            .await
            .map_err(Error::io("read the archive of the schema"))?;
        Ok(Archived { toc, warnings: warnings(&said) })
    }

    /// What it said in the end, if it succeeded.
    async fn run(&self, output: &Arc<Output>) -> Result<String> {
        let Self { source, lock_timeout, .. } = *self;
        let started = Instant::now();
        let mut command = self.tool.command(source);
        command
            .args([
                "--format=directory",
                "--schema-only",
                "--quote-all-identifiers",
                "--compress=0",
                "--no-password",
            ])
            .arg(format!("--encoding={}", self.encoding))
            .arg(format!("--snapshot={}", self.snapshot_name))
            .arg(format!("--lock-wait-timeout={}", lock_timeout.as_millis().max(1)))
            .arg("--file")
            .arg(&output.0)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let tool = RunningTool::start(command, source.running());
        // One that is being ended may still write.
        let mut tool = tool.map_err(Error::io("start pg_dump"))?.keeping(Arc::clone(output));
        let stderr = match tool.stderr() {
            Some(stderr) => last_words(stderr).await?,
            None => Vec::new(),
        };
        let status = tool.wait().await.map_err(Error::io("wait for pg_dump"))?;
        let stderr = scrub(&stderr, source);
        if !status.success() {
            // Parameters and statements are the same in every language that the server may speak; messages are not.
            if stderr.contains("max_locks_per_transaction") {
                return Err(super::hold::too_many_tables());
            }
            if stderr.contains("LOCK TABLE") && started.elapsed() >= lock_timeout {
                let waited_ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
                return Err(Error::LockTimeout { waited_ms, message: stderr });
            }
            if LOST_CONNECTION.iter().any(|words| stderr.contains(words)) {
                return Err(Error::ConnectionLost { message: stderr });
            }
            if stderr.contains(CONFLICT) {
                return Err(Error::Sql {
                    context: "archive the schema".to_owned(),
                    sqlstate: super::hold::RECOVERY_CONFLICT.to_owned(),
                    message: stderr,
                    relation: None,
                });
            }
            return Err(Error::Tool { tool: "pg_dump", status: status.to_string(), stderr });
        }
        Ok(stderr)
    }
}

/// One warning for each that the tool wrote, with its details and hints. Names of objects may be in them, values are not.
fn warnings(said: &str) -> Vec<Warning> {
    let mut warnings: Vec<String> = Vec::new();
    for line in said.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let text = line.strip_prefix("pg_dump: ").unwrap_or(line);
        match (text.strip_prefix("warning: "), warnings.last_mut()) {
            (None, Some(last)) => {
                last.push_str("; ");
                last.push_str(text);
            }
            (warning, _) => warnings.push(warning.unwrap_or(text).to_owned()),
        }
    }
    let more = warnings.len().saturating_sub(WARNINGS_MAX);
    warnings.truncate(WARNINGS_MAX);
    if more > 0 {
        warnings.push(format!("{more} more warnings"));
    }
    warnings
        .into_iter()
        .map(|message| Warning {
            code: "ToolWarning".to_owned(),
            message: format!(
                "pg_dump: {}",
                message.chars().take(WARNING_CHARS_MAX).collect::<String>()
            ),
        })
        .collect()
}

/// Bytes of one line that are kept: after what went wrong the tool repeats its statement, which may name every table.
const LINE_BYTES_MAX: usize = 1024;

/// Reads to the end and keeps the last part: the tool must not block on a full pipe, nor fill memory.
async fn last_words(mut pipe: impl tokio::io::AsyncRead + Unpin) -> Result<Vec<u8>> {
    let mut kept = Vec::new();
    let mut buffer = [0; 4096];
    let mut line_bytes = 0;
    loop {
        let count = pipe.read(&mut buffer).await.map_err(Error::io("read what pg_dump says"))?;
        if count == 0 {
            return Ok(kept);
        }
        for piece in buffer[..count].split_inclusive(|byte| *byte == b'\n') {
            let fits = piece.len().min(LINE_BYTES_MAX.saturating_sub(line_bytes));
            kept.extend_from_slice(&piece[..fits]);
            let is_end = piece.ends_with(b"\n");
            if fits < piece.len() && line_bytes < LINE_BYTES_MAX {
                // Not within a word: half of one could be half of a secret, which nobody would recognize.
                let word = kept.iter().rposition(u8::is_ascii_whitespace).map_or(0, |at| at + 1);
                kept.truncate(word);
                kept.extend_from_slice("…".as_bytes());
            }
            if fits < piece.len() && is_end {
                kept.push(b'\n');
            }
            line_bytes = if is_end { 0 } else { line_bytes + piece.len() };
        }
        // Twice what is shown, so that a secret cut in half at the front is cut away with it.
        if kept.len() > 4 * STDERR_BYTES_MAX {
            kept.drain(..kept.len() - 2 * STDERR_BYTES_MAX);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_went_wrong_is_not_lost_behind_a_long_statement() {
        let names: String = (0..10_000).map(|n| format!("\"public\".\"t{n}\", ")).collect();
        let said =
            format!("error: out of memory\nHINT: more\ndetail: Query was: LOCK {names}\nend\n");
        let kept = String::from_utf8(last_words(said.as_bytes()).await.unwrap()).unwrap();
        let lines: Vec<_> = kept.lines().collect();
        assert_eq!((lines[0], lines[1], lines[3]), ("error: out of memory", "HINT: more", "end"));
        assert!(lines[2].ends_with(" …") && lines[2].len() <= LINE_BYTES_MAX + 4, "{}", lines[2]);
        assert_eq!(last_words("short".as_bytes()).await.unwrap(), b"short");
    }

    #[test]
    fn every_warning_is_kept_within_bounds() {
        let said = "pg_dump: warning: one\npg_dump: detail: of it\n\npg_dump: warning: two\n";
        let messages: Vec<_> = warnings(said).into_iter().map(|warning| warning.message).collect();
        assert_eq!(messages, ["pg_dump: one; detail: of it", "pg_dump: two"]);
        assert!(warnings("").is_empty());
        let many = format!("pg_dump: warning: {}\n", "é".repeat(1000)).repeat(60);
        let many = warnings(&many);
        assert_eq!((many.len(), many[50].message.as_str()), (51, "pg_dump: 10 more warnings"));
        assert_eq!(many[0].message.chars().count(), "pg_dump: ".len() + WARNING_CHARS_MAX);
    }
}
