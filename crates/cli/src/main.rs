//! The binary `coffer`: the service, its operator's verbs on the data directory, and the verbs that need no server.
//!
//! Results go to standard output, everything else to standard error; `printer` alone writes to either. Exit codes are
//! those of `exit`: 0 done, 1 the request failed, 2 usage, 3 unexpected. Here are arguments and terminals; what is done
//! is in `coffer_control`, `coffer_engine` and `coffer_store`. There is no SQL in this crate.

#![expect(
    clippy::doc_markdown,
    reason = "comments on arguments are the help text: what is marked up there is printed so"
)]

mod args;
mod commands;
mod exit;
mod hardening;
mod logs;
mod printer;
mod progress;
mod traces;

use std::process::ExitCode;

use clap::Parser as _;

use crate::{
    args::{Arguments, Command},
    exit::Failure,
};

fn main() -> ExitCode {
    // Usage errors end here, with code 2.
    let arguments = Arguments::parse();
    // The service asks its configuration first.
    if !matches!(arguments.command, Command::Serve(_)) {
        hardening::without_core_dumps();
    }
    match run(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            printer::error(&failure);
            failure.code()
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Failure> {
    // One provider for all TLS in the process. It is there already only when a library of ours installed the same one.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)?;
    runtime.block_on(async {
        match arguments.command {
            Command::Serve(command) => Box::pin(command.run()).await,
            Command::Policy(command) => command.run().await,
            Command::Principal(command) => command.run().await,
            Command::Subscription(command) => command.run().await,
            Command::Audit(command) => command.run().await,
            Command::Key(command) => command.run().await,
            Command::Rescue(command) => Box::pin(command.run()).await,
            #[cfg(debug_assertions)]
            Command::CrashPoints => commands::crash_points::run(),
        }
    })
}
