//! The account that a test server runs under: our own, or, since PostgreSQL refuses root, that of `postgres`.

use std::{
    fs,
    os::unix::{
        fs::{MetadataExt as _, chown},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use anyhow::Context as _;

/// Accounts to become when the test runs as root, in order of preference.
const CANDIDATES: [&str; 2] = ["postgres", "nobody"];

/// Who the server runs as.
#[derive(Debug, Clone, Copy)]
pub(super) enum Account {
    /// The one that runs the test.
    Same,
    /// Another one; only root can do that.
    Other { uid: u32, gid: u32 },
}

impl Account {
    /// The account for a server started by this process.
    pub(super) fn for_server() -> anyhow::Result<Self> {
        // The owner of our own process directory is our effective user: no libc call is needed.
        if fs::metadata("/proc/self").context("look at /proc/self")?.uid() != 0 {
            return Ok(Self::Same);
        }
        let accounts = fs::read_to_string("/etc/passwd").context("read /etc/passwd")?;
        CANDIDATES
            .iter()
            .find_map(|wanted| accounts.lines().find_map(|line| parse(line, wanted)))
            .context("running as root, and there is neither a user `postgres` nor `nobody` to run PostgreSQL")
    }

    /// A command to be run under this account.
    pub(super) fn command(self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid } = self {
            command.uid(uid).gid(gid);
        }
        command
    }

    /// Gives a file or directory to this account.
    pub(super) fn own(self, path: &Path) -> anyhow::Result<()> {
        if let Self::Other { uid, gid } = self {
            chown(path, Some(uid), Some(gid))
                .with_context(|| format!("change the owner of {}", path.display()))?;
        }
        Ok(())
    }
}

/// A line of `/etc/passwd`, if it is of the user wanted.
fn parse(line: &str, wanted: &str) -> Option<Account> {
    let mut fields = line.split(':');
    if fields.next() != Some(wanted) {
        return None;
    }
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(Account::Other { uid, gid })
}
