//! The thread that a server's process hangs on.
//!
//! The kernel sends the signal asked for by `setpriv --pdeathsig` when the *thread* that started the process ends. So
//! the server is started by a thread that lives exactly as long as it should, whatever thread the test runs on.

use std::{
    fs::File,
    path::Path,
    process::{Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread::JoinHandle,
    time::Duration,
};

use anyhow::{Context as _, bail};

use super::{Shutdown, account::Account};

/// Ends a process with what comes with every Debian.
const SETPRIV: &str = "/usr/bin/setpriv";

/// A command that is ended by the kernel when we die, where the machine can do that.
pub(super) fn tied_to_us(account: &Account, program: &Path) -> Command {
    let setpriv = Path::new(SETPRIV);
    if !setpriv.is_file() {
        return account.command(program);
    }
    let mut command = account.command(setpriv);
    // SIGQUIT is PostgreSQL's immediate shutdown, which also removes its shared memory.
    command.args(["--pdeathsig", "QUIT", "--"]).arg(program);
    command
}

/// A running server process and the thread that waits for its end.
#[derive(Debug)]
pub(super) struct Guardian {
    pid: u32,
    ended: Receiver<()>,
    thread: Option<JoinHandle<()>>,
    gone: bool,
}

impl Guardian {
    /// Starts `postgres` with its data directory and port.
    pub(super) fn start(
        mut command: Command,
        data: &Path,
        port: u16,
        log: File,
    ) -> anyhow::Result<Self> {
        command.arg("-D").arg(data).arg("-p").arg(port.to_string());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        if let Some(directory) = data.parent() {
            command.current_dir(directory);
        }
        let (started, start) = mpsc::channel();
        let (end, ended) = mpsc::channel::<()>();
        let thread =
            std::thread::Builder::new().name("postgres-guardian".to_owned()).spawn(move || {
                let mut child = match command.spawn() {
                    Ok(child) => child,
                    Err(error) => return drop(started.send(Err(error))),
                };
                drop(started.send(Ok(child.id())));
                drop(child.wait());
                drop(end);
            })?;
        let pid = start
            .recv()
            .context("the thread that starts PostgreSQL died")?
            .context("start postgres")?;
        Ok(Self { pid, ended, thread: Some(thread), gone: false })
    }

    /// Whether the process has ended, of itself or not.
    pub(super) fn has_ended(&mut self) -> bool {
        self.gone = self.gone || !matches!(self.ended.try_recv(), Err(mpsc::TryRecvError::Empty));
        self.gone
    }

    /// Ends the process and waits for it.
    pub(super) fn stop(mut self, how: Shutdown, limit: Duration) -> anyhow::Result<()> {
        self.signal(match how {
            Shutdown::Fast => "INT",
            Shutdown::Immediate => "QUIT",
        })?;
        self.await_end(limit)
    }

    fn signal(&mut self, name: &str) -> anyhow::Result<()> {
        // While the thread has not reaped it the pid is ours; afterwards nothing is sent.
        if self.has_ended() {
            return Ok(());
        }
        let status =
            Command::new("kill").arg(format!("-{name}")).arg(self.pid.to_string()).status()?;
        if !status.success() && !self.has_ended() {
            bail!("cannot send SIG{name} to PostgreSQL's process {}", self.pid);
        }
        Ok(())
    }

    fn await_end(&mut self, limit: Duration) -> anyhow::Result<()> {
        if !self.gone
            && matches!(self.ended.recv_timeout(limit), Err(mpsc::RecvTimeoutError::Timeout))
        {
            bail!("PostgreSQL did not stop within {} s", limit.as_secs());
        }
        self.gone = true;
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
        Ok(())
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        // Only for a server that never became ready: `stop` has taken every other.
        if self.signal("QUIT").is_ok() {
            drop(self.await_end(Duration::from_secs(10)));
        }
    }
}
