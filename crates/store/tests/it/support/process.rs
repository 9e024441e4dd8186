//! A test that goes on in other processes: the test binary runs itself again, with that one test and a variable set.

use std::{path::PathBuf, process::Command};

/// Says to the process what it is to do.
const ROLE: &str = "COFFER_TEST_ROLE";

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
