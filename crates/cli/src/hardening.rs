//! What keeps this process's memory, which holds keys and passwords, from being written to a disk or looked into.
//!
//! No core is dumped, neither of this process nor of the tools that it starts, and on Linux no other process of the same user may
//! look into its memory or its environment. Root still may, and what has been dropped is overwritten only where the types that
//! held it do so: freed buffers of libraries are not.

use rustix::process::{Resource, Rlimit, setrlimit};

/// Rules core dumps out. What the system refuses is told in the log and keeps nothing from running.
pub(crate) fn without_core_dumps() {
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = setrlimit(Resource::Core, none) {
        tracing::warn!(%error, "the limit for core dumps cannot be set");
    }
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
    {
        tracing::warn!(%error, "the process cannot be closed to others of its user");
    }
}
