//! A test that goes on in other processes: the test binary runs itself again, with that one test and a variable set.

use std::{
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

/// Says to the process what it is to do.
const ROLE: &str = "COFFER_TEST_ROLE";

/// Begins what a process says to the one that started it, as the test harness prints too.
const SAYS: &str = "coffer says: ";

/// What this process was started to do; none for the one that the test runner started.
pub(crate) fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// The arguments that run only this test, by its whole name.
pub(crate) fn arguments(test: &str) -> [String; 3] {
    ["--exact".to_owned(), test.to_owned(), "--nocapture".to_owned()]
}

/// This binary.
pub(crate) fn program() -> PathBuf {
    std::env::current_exe().unwrap()
}

/// Marks the process that a command starts.
pub(crate) fn with_role(command: &mut Command, role: &str) {
    command.env(ROLE, role);
}

/// Says something to the process that started this one.
pub(crate) fn say(what: &str) {
    // As one write, so that threads do not mix their lines.
    let mut out = std::io::stdout().lock();
    out.write_all(format!("\n{SAYS}{what}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// Waits until the process that started this one goes on, or is gone.
pub(crate) fn wait_for_leave() {
    std::io::stdin().read_line(&mut String::new()).unwrap();
}

/// A process that does not outlive the test.
pub(crate) struct Started {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Another process that runs the same test, in that role.
pub(crate) fn start(test: &str, role: &str) -> Started {
    let mut command = Command::new(program());
    command.args(arguments(test)).stdin(Stdio::piped()).stdout(Stdio::piped());
    with_role(&mut command, role);
    let mut child = command.spawn().unwrap();
    let (input, output) = (child.stdin.take(), BufReader::new(child.stdout.take().unwrap()));
    Started { child, input, output }
}

impl Started {
    /// What it says next; none when it has ended.
    pub(crate) fn next(&mut self) -> Option<String> {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            if let Some(said) = line.trim_end().strip_prefix(SAYS) {
                return Some(said.to_owned());
            }
            line.clear();
        }
        None
    }

    /// Lets it go on from [`wait_for_leave`].
    pub(crate) fn give_leave(&mut self) {
        self.input.as_mut().unwrap().write_all(b"\n").unwrap();
    }

    /// By a signal that no process can act upon, while it does whatever it does; what it had said until then.
    pub(crate) fn kill(&mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        std::iter::from_fn(|| self.next()).collect()
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
