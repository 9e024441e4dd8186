//! What can go wrong with bytes at rest.
//!
//! A variant exists only where some caller acts differently on it. `Display` never prints its source and never a secret.

use std::{io, path::PathBuf};

use crate::{chunk::PackId, location::RemoteFailure};

/// Result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What can go wrong with bytes at rest.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that was asked for by name is definitely not there.
    #[error("{what} not found")]
    NotFound {
        /// What was looked for.
        what: String,
    },
    /// Bytes that should be there are missing, cut short or altered, or do not mean anything.
    #[error("{what} is damaged: {reason}")]
    Corrupt {
        /// Which object or chunk.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The object is sealed by another key than the one at hand.
    #[error("{what} is sealed by key {sealed_by}, which is not at hand")]
    WrongKey {
        /// Which object.
        what: String,
        /// Public fingerprint of the key that sealed it.
        sealed_by: String,
    },
    /// Written by a newer version of the format, or with a feature that this version does not know.
    #[error("{what} needs a newer version of Coffer: {reason}")]
    UnsupportedFormat {
        /// Which object.
        what: String,
        /// The version or feature that is not known.
        reason: String,
    },
    /// Another holder has the lease of the repository.
    #[error("the repository is in use by {holder}")]
    LeaseHeld {
        /// Who holds it.
        holder: String,
        /// When it ends unless renewed: milliseconds since 1970 by the holder's clock.
        expires_at_ms: u64,
    },
    /// A newer generation of the lease exists: whoever held this one must stop, and nothing that it seals counts.
    #[error("the lease of generation {generation} was taken over")]
    LeaseLost {
        /// The generation that was lost.
        generation: u64,
    },
    /// Somebody reads the recovery point, so that neither it nor what only it needs may be deleted.
    #[error("recovery point {recovery_point_id} is in use by {holder}")]
    Pinned {
        /// Which recovery point.
        recovery_point_id: String,
        /// Who reads it.
        holder: String,
        /// When the pin ends unless renewed: milliseconds since 1970 by the holder's clock.
        expires_at_ms: u64,
    },
    /// The pin was given back, or ran out and the recovery point was deleted meanwhile, so that what it needs may be gone. The
    /// reader must stop.
    #[error(
        "recovery point {recovery_point_id} is no longer held back from deletion, and may be gone"
    )]
    PinLost {
        /// Which recovery point.
        recovery_point_id: String,
    },
    /// An object of that name exists already with other content.
    #[error("{what} exists already")]
    AlreadyExists {
        /// Which object.
        what: String,
    },
    /// A backup cannot be sealed because one of its packs was not stored or one of its streams not finished.
    #[error("the backup is incomplete: {reason}")]
    Incomplete {
        /// What is missing.
        reason: String,
    },
    /// The caller asked for something outside the limits or rules of this crate.
    #[error("invalid request to the store: {reason}")]
    Invalid {
        /// What is not allowed, and what is.
        reason: String,
    },
    /// The storage URL cannot be used.
    #[error("storage location {url} cannot be used: {reason}")]
    Location {
        /// The URL, without credentials.
        url: String,
        /// Why, and what is supported.
        reason: String,
    },
    /// The storage cannot lock objects, or not for us.
    #[error("{storage} cannot lock what is stored there: {reason}")]
    LockUnavailable {
        /// Which bucket or container.
        storage: String,
        /// What is missing, and how it is set up.
        reason: String,
    },
    /// A key file cannot be read or written.
    #[error("key file {} cannot be used: {reason}", path.display())]
    KeyFile {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// An earlier upload of a pack by the same stream failed; the first error was returned then.
    #[error("pack {pack} could not be stored")]
    UploadFailed {
        /// The pack.
        pack: PackId,
    },
    /// The storage has no room, or a quota there is used up. What was stored before is not touched; a person has to make room.
    #[error("no space is left at the storage location: {action}")]
    StorageFull {
        /// What was being done.
        action: String,
        /// The storage's error.
        #[source]
        source: object_store::Error,
    },
    /// The storage does not do what this crate depends on, so that nothing can be kept there safely.
    #[error("the storage cannot hold vaults: {reason}")]
    UnsuitableStorage {
        /// What it did instead.
        reason: String,
    },
    /// The storage itself failed.
    #[error("storage failed: {action}")]
    Storage {
        /// What was being done.
        action: String,
        /// Who can do something about it.
        failure: StorageFailure,
        /// The storage's error.
        #[source]
        source: object_store::Error,
    },
}

/// Why a storage failed, as far as it can be known: what somebody has to do about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageFailure {
    /// Nobody answers, or not in time.
    Unreachable,
    /// The credentials are missing, wrong or no longer good.
    Unauthenticated,
    /// The credentials are good, and do not allow it.
    Forbidden,
    /// The bucket or container does not exist.
    NoContainer,
    /// Something answers, but not for this bucket or container: a wrong region or endpoint.
    WrongPlace,
    /// Anything else.
    Other,
}

impl Error {
    /// Whether the same call may succeed later with nothing repaired.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::LeaseHeld { .. } | Self::Pinned { .. } | Self::UploadFailed { .. } => true,
            Self::Storage { failure, source, .. } => storage_is_transient(*failure, source),
            Self::NotFound { .. }
            | Self::Corrupt { .. }
            | Self::WrongKey { .. }
            | Self::UnsupportedFormat { .. }
            | Self::LeaseLost { .. }
            | Self::PinLost { .. }
            | Self::AlreadyExists { .. }
            | Self::Incomplete { .. }
            | Self::Invalid { .. }
            | Self::Location { .. }
            | Self::LockUnavailable { .. }
            | Self::KeyFile { .. }
            | Self::UnsuitableStorage { .. }
            | Self::StorageFull { .. } => false,
        }
    }

    /// Whether bytes at rest are not what they should be, as opposed to a storage or a caller that fails.
    #[must_use]
    pub fn is_damage(&self) -> bool {
        match self {
            Self::Corrupt { .. } | Self::WrongKey { .. } | Self::UnsupportedFormat { .. } => true,
            Self::NotFound { .. }
            | Self::LeaseHeld { .. }
            | Self::LeaseLost { .. }
            | Self::Pinned { .. }
            | Self::PinLost { .. }
            | Self::AlreadyExists { .. }
            | Self::Incomplete { .. }
            | Self::Invalid { .. }
            | Self::Location { .. }
            | Self::LockUnavailable { .. }
            | Self::KeyFile { .. }
            | Self::UploadFailed { .. }
            | Self::UnsuitableStorage { .. }
            | Self::StorageFull { .. }
            | Self::Storage { .. } => false,
        }
    }

    pub(crate) fn corrupt(what: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Corrupt { what: what.into(), reason: reason.into() }
    }

    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Invalid { reason: reason.into() }
    }

    pub(crate) fn storage(action: impl Into<String>, source: object_store::Error) -> Self {
        let action = action.into();
        if is_full(&source) {
            Self::StorageFull { action, source }
        } else {
            let failure = RemoteFailure::find(&source).map_or_else(
                || match &source {
                    object_store::Error::PermissionDenied { .. } => StorageFailure::Forbidden,
                    object_store::Error::Unauthenticated { .. } => StorageFailure::Unauthenticated,
                    _ => StorageFailure::Other,
                },
                |remote| remote.failure,
            );
            Self::Storage { action, failure, source }
        }
    }
}

/// Whether a remote storage, or the operating system at the end of whatever wraps its words, said that there is no room.
fn is_full(error: &object_store::Error) -> bool {
    if RemoteFailure::find(error).is_some_and(|remote| remote.full) {
        return true;
    }
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // An `io::Error` that wraps another one passes over it when asked for its source, so it is asked for its kind first.
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if matches!(kind, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// A network or a busy service may recover; rights and unsupported calls do not by themselves.
fn storage_is_transient(failure: StorageFailure, error: &object_store::Error) -> bool {
    use object_store::Error as E;
    match failure {
        StorageFailure::Unreachable => return true,
        StorageFailure::Unauthenticated
        | StorageFailure::Forbidden
        | StorageFailure::NoContainer
        | StorageFailure::WrongPlace => return false,
        StorageFailure::Other => {}
    }
    match error {
        E::Generic { .. } | E::JoinError { .. } => true,
        E::NotFound { .. }
        | E::InvalidPath { .. }
        | E::NotSupported { .. }
        | E::AlreadyExists { .. }
        | E::Precondition { .. }
        | E::NotModified { .. }
        | E::NotImplemented { .. }
        | E::PermissionDenied { .. }
        | E::Unauthenticated { .. }
        | E::UnknownConfigurationKey { .. } => false,
        // The storage crate's enum may grow.
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_used_up_quota_are_told_apart_from_other_failures() {
        let storage = |kind: io::ErrorKind| {
            let source = io::Error::new(kind, "write /srv/1");
            Error::storage(
                "write 1",
                object_store::Error::Generic { store: "a store", source: source.into() },
            )
        };
        for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
            let full = storage(kind);
            assert!(matches!(full, Error::StorageFull { .. }), "{full}");
            assert!(!full.is_transient(), "somebody has to make room");
            assert!(full.to_string().contains("no space is left"), "{full}");
        }
        let other = storage(io::ErrorKind::TimedOut);
        assert!(matches!(other, Error::Storage { .. }) && other.is_transient());
        let worded = object_store::Error::Generic { store: "a store", source: "full".into() };
        assert!(matches!(Error::storage("write 1", worded), Error::Storage { .. }));
    }
}
