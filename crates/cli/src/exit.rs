//! How a command ends: scripts tell the cases apart by the exit code.

use std::process::ExitCode;

/// Why a command did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// 1: it was understood and could not be done.
    Request(anyhow::Error),
    /// 2: it was not understood. (Most of these are found by the parser of the command line.)
    Usage(anyhow::Error),
    /// 3: something that should not happen.
    Unexpected(anyhow::Error),
}

impl Failure {
    /// A request that failed for a reason that the person can see or act on.
    pub(crate) fn request(error: impl Into<anyhow::Error>) -> Self {
        Self::Request(error.into())
    }

    /// A request that cannot be understood.
    pub(crate) fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self::Usage(error.into())
    }

    /// The process's exit code.
    pub(crate) fn code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Request(_) => 1,
            Self::Usage(_) => 2,
            Self::Unexpected(_) => 3,
        })
    }

    /// What went wrong, with its causes.
    pub(crate) fn error(&self) -> &anyhow::Error {
        match self {
            Self::Request(error) | Self::Usage(error) | Self::Unexpected(error) => error,
        }
    }
}

/// What no command foresaw.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Self {
        Self::Unexpected(error)
    }
}
