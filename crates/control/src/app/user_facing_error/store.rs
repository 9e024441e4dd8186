//! The store's failures in words for the user.

use coffer_azure::UserFacingError;
use coffer_store::{Error as StoreError, StorageFailure};

use super::{inner, retryable};

/// A failure of the vault's storage, for the user.
pub(crate) fn store(error: &StoreError) -> UserFacingError {
    match error {
        StoreError::NotFound { what } => UserFacingError::new(
            "UserErrorVaultStorageIncomplete",
            "Something that the vault's storage should hold is not there.",
        )
        .recommend("Restore the vault's storage location to the state in which the backup service left it.")
        .inner(inner("ObjectNotFound", format!("{what} was not found in the vault's storage."))),
        StoreError::Corrupt { what, reason } => UserFacingError::new(
            "UserErrorVaultStorageDamaged",
            "The vault's storage is damaged.",
        )
        .recommend("Restore another recovery point, and verify the vault's storage with `coffer rescue verify`.")
        .inner(inner("ObjectDamaged", format!("{what} is damaged: {reason}."))),
        StoreError::WrongKey { what, sealed_by } => UserFacingError::new(
            "UserErrorVaultKeyMismatch",
            "The vault's storage is sealed by another key than the backup service has.",
        )
        .recommend("Start the backup service with the master key that it had when the vault was made.")
        .inner(inner("WrongKey", format!("{what} is sealed by key {sealed_by}."))),
        StoreError::UnsupportedFormat { what, reason } => UserFacingError::new(
            "UserErrorVaultFormatNotSupported",
            "The vault's storage was written by a newer version of the backup service.",
        )
        .recommend("Upgrade the backup service and retry the operation.")
        .inner(inner("FormatUnsupported", format!("{what}: {reason}."))),
        StoreError::LeaseHeld { holder, .. } => retryable(
            UserFacingError::new(
                "UserErrorMaxConcurrentOperationLimitReached",
                "Another operation uses the backup instance's repository.",
            )
            .recommend("Wait until it has ended and retry the operation.")
            .inner(inner("RepositoryInUse", format!("The lease of the repository is held by {holder}."))),
        ),
        StoreError::LeaseLost { generation } => retryable(
            UserFacingError::new("CloudInternalError", "The operation was interrupted by another one on the same repository.")
                .recommend("Retry the operation.")
                .inner(inner("LeaseLost", format!("Generation {generation} of the repository's lease was taken over."))),
        ),
        StoreError::Pinned { recovery_point_id, holder, .. } => retryable(
            UserFacingError::new(
                "UserErrorMaxConcurrentOperationLimitReached",
                "Another operation reads the recovery point.",
            )
            .recommend("Wait until it has ended and retry the operation.")
            .inner(inner("RecoveryPointInUse", format!("Recovery point {recovery_point_id} is in use by {holder}."))),
        ),
        StoreError::PinLost { recovery_point_id } => UserFacingError::new(
            "UserErrorRecoveryPointNotFound",
            "The recovery point was deleted while it was read.",
        )
        .recommend("Choose another recovery point.")
        .inner(inner("RecoveryPointDeleted", format!("Recovery point {recovery_point_id} is no longer held back from deletion."))),
        StoreError::AlreadyExists { what } => internal_store("ObjectExists", format!("{what} exists already with other content.")),
        StoreError::Incomplete { reason } => retryable(internal_store("BackupIncomplete", reason.clone())),
        StoreError::Invalid { reason } => internal_store("InvalidStoreRequest", reason.clone()),
        StoreError::Location { url, reason } => UserFacingError::new(
            "UserErrorVaultStorageNotAccessible",
            "The storage location of the vault cannot be used.",
        )
        .recommend("Correct the storage location in the configuration of the backup service.")
        .inner(inner("StorageLocationUnusable", format!("{url}: {reason}."))),
        StoreError::LockUnavailable { storage, reason } => UserFacingError::new(
            "UserErrorVaultStorageLockNotAvailable",
            "The storage of the vault cannot lock what is stored there, which its configuration asks for.",
        )
        .recommend("Set up the bucket or the container as docs/storage.md says, or take `lock` out of the storage location's configuration: the vault is then immutable in the service alone.")
        .inner(inner("StorageLockUnavailable", format!("{storage}: {reason}."))),
        StoreError::KeyFile { reason, .. } => internal_store("KeyFileUnusable", reason.clone()),
        StoreError::UploadFailed { pack } => retryable(internal_store("UploadFailed", format!("Pack {pack} could not be stored."))),
        StoreError::StorageFull { action, source } => UserFacingError::new(
            "UserErrorVaultStorageFull",
            "No space is left at the storage location of the vault.",
        )
        .recommend("Free space at the vault's storage location or enlarge it, and retry the operation. Earlier recovery points are not touched.")
        .inner(inner("StorageFull", format!("{action}: {source}."))),
        StoreError::UnsuitableStorage { reason } => UserFacingError::new(
            "UserErrorVaultStorageNotSupported",
            "The storage location of the vault does not work as backups need it.",
        )
        .recommend("Use a storage that honours conditional writes (If-None-Match) and is consistent, as Amazon S3 and Azure Blob Storage are, or a directory, and create the vault again.")
        .inner(inner("StorageNotSupported", format!("The storage was tried out, and {reason}."))),
        StoreError::Storage { action, failure, source } => storage_failed(action, *failure, source),
    }
}

/// The storage itself failed: who can do something about it, and what.
fn storage_failed(
    action: &str,
    failure: StorageFailure,
    source: &dyn std::error::Error,
) -> UserFacingError {
    let not_accessible =
        |message: &str| UserFacingError::new("UserErrorVaultStorageNotAccessible", message);
    let (said, code) = match failure {
        StorageFailure::Unreachable => (
            retryable(not_accessible("The storage of the vault cannot be reached.").recommend(
                "Ensure that the backup service reaches the endpoint of the vault's storage location (name, port, proxy, certificate), and retry the operation.",
            )),
            "StorageUnreachable",
        ),
        StorageFailure::Unauthenticated => (
            not_accessible("The storage of the vault refuses the credentials of the backup service.").recommend(
                "Correct the credentials of the storage location in the configuration or the environment of the backup service, restart it, and retry the operation.",
            ),
            "StorageCredentialsRefused",
        ),
        StorageFailure::Forbidden => (
            not_accessible("The credentials of the backup service do not allow what it has to do in the vault's storage.").recommend(
                "Grant the rights to read, write, list and delete objects of the bucket, container or directory, and retry the operation.",
            ),
            "StorageAccessDenied",
        ),
        StorageFailure::NoContainer => (
            not_accessible("The bucket or container of the vault's storage location does not exist.").recommend(
                "Create the bucket or container, or correct the storage location in the configuration of the backup service, and retry the operation.",
            ),
            "StorageContainerNotFound",
        ),
        StorageFailure::WrongPlace => (
            not_accessible("What answers at the vault's storage location is not its bucket or container.").recommend(
                "Correct the endpoint and the region of the storage location in the configuration of the backup service, restart it, and retry the operation.",
            ),
            "StorageNotFound",
        ),
        StorageFailure::Other => (
            retryable(not_accessible("The storage of the vault does not work.").recommend(
                "Ensure that the vault's storage can be reached and works, and retry the operation.",
            )),
            "StorageFailed",
        ),
    };
    said.inner(inner(code, format!("{action}: {source}.")))
}

fn internal_store(code: &str, detail: String) -> UserFacingError {
    UserFacingError::new(
        "CloudInternalError",
        "The backup service could not write to the vault's storage as it should.",
    )
    .recommend("Retry the operation. If it fails again, look into the backup service's log.")
    .inner(inner(code, detail))
}
