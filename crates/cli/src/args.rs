//! What may stand on the command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::commands::{audit, key, policy, principal, rescue, serve, subscription};

/// A backup service for PostgreSQL that speaks the Azure Backup REST API.
#[derive(Debug, Parser)]
#[command(name = "coffer", version, arg_required_else_help = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the service.
    Serve(serve::Serve),
    /// See what policies are going to do: the next backups, and which recovery points go, when and why.
    Policy(policy::Policy),
    /// Manage service principals, directly in the metadata (whoever holds the data directory is the operator).
    Principal(principal::PrincipalCommand),
    /// Manage subscriptions, directly in the metadata.
    Subscription(subscription::Subscription),
    /// Read and check the log of who did what.
    Audit(audit::Audit),
    /// Give all vaults new keys; the data stays as it is.
    Key(key::Key),
    /// List, verify, restore and look after recovery points from a storage location and the key alone, without server or
    /// metadata.
    Rescue(rescue::Rescue),
    /// Print the points at which COFFER_CRASH_AT can end a debug build.
    #[cfg(debug_assertions)]
    #[command(hide = true)]
    CrashPoints,
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Which installation an operator's verb works on.
#[derive(Debug, Args)]
pub(crate) struct Installation {
    /// Directory that holds everything of the installation
    #[arg(long, value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Configuration file, where the installation has one
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// How the result is printed
    #[arg(long, value_enum, default_value_t)]
    pub(crate) output: Output,
}
