//! What one run has running outside of its own tasks: sessions of servers, and tools.
//!
//! Both end by themselves when nobody waits for them any more: a session has its statement cancelled and takes leave, a tool is
//! asked to end and then made to. That takes a moment. Whoever gives a run up waits here until it is over, so that nothing of
//! the run works beside what comes after it: a database is not made after it was dropped, nor a file after its directory.

use std::io;
use std::process::ExitStatus;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group, test_kill_process_group};
use tokio::process::{Child, ChildStderr, Command};
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// How long what is ending is waited for: somewhat longer than either kind takes at most.
const ENDED_WITHIN: Duration = Duration::from_secs(4);
/// How long a tool has to cancel what its sessions run and to end.
const TOOL_GRACE: Duration = Duration::from_millis(500);
/// How much longer than itself its own processes have, which are asked at the same time. Those that have ended may be there for
/// longer, until whoever inherits them looks.
const GROUP_GRACE: Duration = Duration::from_millis(100);
/// Time between two looks whether they have ended.
const TOOL_POLL: Duration = Duration::from_millis(5);

/// Counts what runs. Clones share it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Running(TaskTracker);

impl Running {
    /// Counts a task until it ends.
    pub(crate) fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future<Output: Send + 'static> + Send + 'static,
    {
        self.0.spawn(task)
    }

    /// Returns when nothing runs any more. Whoever uses something of it still would be waited for; a server that does not
    /// answer is not waited for long.
    pub(crate) async fn ended(&self) {
        self.0.close();
        if tokio::time::timeout(ENDED_WITHIN, self.0.wait()).await.is_err() {
            tracing::warn!(
                left = self.0.len(),
                "sessions or tools of a run have not ended in time; they are left to themselves"
            );
        }
    }
}

/// A tool that runs, with the processes that it has started. When this is dropped before the tool has ended, they are asked
/// to end, upon which they have the server cancel what it runs for them, and killed when they do not.
pub(crate) struct RunningTool {
    child: Option<Child>,
    running: Running,
    /// Goes when the tool has ended, however it ends.
    keeps: Option<Box<dyn Send>>,
}

impl RunningTool {
    pub(crate) fn start(mut command: Command, running: &Running) -> io::Result<Self> {
        // A group of its own, by which those are found that it starts.
        let child = command.process_group(0).spawn()?;
        Ok(Self { child: Some(child), running: running.clone(), keeps: None })
    }

    /// Something that may not go before the tool has ended, such as the directory that it writes to.
    pub(crate) fn keeping(mut self, what: impl Send + 'static) -> Self {
        self.keeps = Some(Box::new(what));
        self
    }

    /// What it says. Only once.
    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.child.as_mut()?.stderr.take()
    }

    /// Waits until it ends.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        let Some(child) = &mut self.child else {
            return Err(io::Error::other("the tool has been waited for"));
        };
        let status = child.wait().await?;
        self.child = None;
        Ok(status)
    }
}

impl Drop for RunningTool {
    fn drop(&mut self) {
        let Some(child) = self.child.take() else { return };
        let keeps = self.keeps.take();
        // Else it is killed when the handle is dropped.
        if tokio::runtime::Handle::try_current().is_ok() {
            self.running.spawn(async move {
                end(child).await;
                drop(keeps);
            });
        }
    }
}

async fn end(mut child: Child) {
    let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
    let Some(group) = group else { return };
    // An error says that there is none any more.
    let _asked = kill_process_group(group, Signal::TERM);
    let hangs = tokio::time::timeout(TOOL_GRACE, child.wait()).await.is_err();
    let others = async {
        while test_kill_process_group(group).is_ok() {
            tokio::time::sleep(TOOL_POLL).await;
        }
    };
    if hangs || tokio::time::timeout(GROUP_GRACE, others).await.is_err() {
        let _killed = kill_process_group(group, Signal::KILL);
        let _status = child.wait().await;
    }
}
