//! The one place that says a failure of the engine, the store or a secret in words for the user: Azure's code, what to
//! do, and an inner error that names precisely which object, where, and what the layer below has said.
//!
//! Its matches have no wildcard arm, so that a new failure cannot be added below without being said here. The longest two
//! stand in files of their own.

mod engine;
mod store;
#[cfg(test)]
mod tests;

use std::time::Duration;

use coffer_azure::{InnerError, ResourceId, UserFacingError};
use coffer_engine::error::Error as EngineError;
use coffer_store::Error as StoreError;

pub(crate) use self::engine::engine;
pub(crate) use self::store::store;
use crate::app::secret::SecretReadError;
use crate::error::{Error, ErrorKind};
use crate::operations::{Failure, OperationKind};

/// The inner code where Azure has none that is finer.
const INNER_UNAVAILABLE: &str = "InnerErrorCodeUnavailable";
/// How many objects or problems one error lists.
const LISTED_MAX: usize = 50;

/// Where something went wrong, for the words of the inner error.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The server's ARM id, or its address where it has none.
    pub(crate) server: String,
    /// The database, on the server.
    pub(crate) database: String,
    /// Address that was connected to.
    pub(crate) address: String,
}

impl Place {
    /// For what the engine does without a server.
    pub(crate) fn storage() -> Place {
        Place {
            server: "none".to_owned(),
            database: "none".to_owned(),
            address: "the vault's storage".to_owned(),
        }
    }

    fn describe(&self) -> String {
        format!("database '{}' of server {} at {}", self.database, self.server, self.address)
    }
}

/// What a step fails with when the engine does.
pub(crate) fn engine_failure(error: &EngineError, place: &Place) -> Failure {
    if matches!(error, EngineError::Cancelled) {
        return Failure::Interrupted;
    }
    let said = engine(error, place);
    if error.is_transient() { Failure::transient(said) } else { Failure::failed(said) }
}

/// What a step fails with when the store does.
pub(crate) fn store_failure(error: &StoreError) -> Failure {
    let said = store(error);
    if error.is_transient() { Failure::transient(said) } else { Failure::failed(said) }
}

/// A secret that cannot be read, for the user.
fn secret(error: &SecretReadError, uri: &str, principal_id: &str) -> UserFacingError {
    match error {
        SecretReadError::VaultNotFound => UserFacingError::new(
            "UserErrorInvalidSecretStore",
            "The key vault of the credentials could not be found.",
        )
        .recommend("Ensure that the key vault exists and that the backup service has access to it, and retry the operation.")
        .inner(inner("KeyVaultNotFound", format!("No key vault is registered for {uri}."))),
        SecretReadError::Forbidden => UserFacingError::new(
            "UserErrorMissingPermissionsOnSecretStore",
            "The Backup vault's managed identity does not have permissions on the key vault.",
        )
        .recommend("Assign the role Key Vault Secrets User on the key vault to the Backup vault's managed identity and retry the operation.")
        .inner(inner(
            "SecretForbidden",
            format!("Principal {principal_id}, the vault's identity, lacks Microsoft.KeyVault/vaults/secrets/getSecret/action on {uri}."),
        )),
        SecretReadError::NotFound => UserFacingError::new("UserErrorInvalidSecret", "The secret could not be found in the key vault.")
            .recommend("Ensure that the name of the secret is present in the key vault and retry the operation.")
            .inner(inner("SecretNotFound", format!("There is no secret {uri}."))),
        SecretReadError::Deleted => UserFacingError::new("UserErrorInvalidSecret", "The secret could not be found in the key vault.")
            .recommend("Recover the deleted secret in the key vault, or purge it and set it anew, and retry the operation.")
            .inner(inner("SecretDeleted", format!("The secret {uri} is deleted; it can be recovered."))),
        SecretReadError::Disabled => UserFacingError::new("UserErrorInvalidSecret", "The secret is disabled.")
            .recommend("Enable the secret, or a newer version of it, and retry the operation.")
            .inner(inner("SecretDisabled", format!("The secret {uri} is disabled."))),
        SecretReadError::Expired => UserFacingError::new("UserErrorInvalidSecret", "The secret has expired.")
            .recommend("Set a new version of the secret, or a later expiry date, and retry the operation.")
            .inner(inner("SecretExpired", format!("The secret {uri} has expired."))),
        SecretReadError::NotYetValid => UserFacingError::new("UserErrorInvalidSecret", "The secret is not valid yet.")
            .recommend("Wait until the secret's activation date, or set an earlier one, and retry the operation.")
            .inner(inner("SecretNotYetValid", format!("The activation date of the secret {uri} has not come yet."))),
        SecretReadError::Malformed => UserFacingError::new("UserErrorInvalidSecret", "The secret's URI is not one of a key vault.")
            .recommend("Give the URI of a secret, as https://{vault}.vault.azure.net/secrets/{name}.")
            .inner(inner("SecretUriMalformed", format!("{uri} is not the URI of a secret."))),
        SecretReadError::Refused(code) => UserFacingError::new(
            "UserErrorMissingPermissionsOnSecretStore",
            "The backup service does not have permissions on the key vault.",
        )
        .recommend("Assign the role Key Vault Secrets User on the key vault, in Azure, to the identity that key_vault.azure configures, let the key vault's firewall admit the backup service, and retry the operation.")
        .inner(inner(
            code.as_deref().unwrap_or("SecretForbidden"),
            format!("The key vault refused to let the configured identity read {uri}."),
        )),
        SecretReadError::NotLoggedIn => UserFacingError::new(
            "UserErrorMissingPermissionsOnSecretStore",
            "The backup service could not log in to read the key vault.",
        )
        .recommend("Check tenant, client and secret (or token file, or managed identity) of key_vault.azure in the backup service's configuration, and whether they have expired, and retry the operation.")
        .inner(inner("IdentityNotLoggedIn", format!("No token was issued to the configured identity for {uri}."))),
        SecretReadError::Unreachable(what) => retryable(
            UserFacingError::new("UserErrorInvalidSecretStore", "The key vault could not be reached.")
                .recommend("Ensure that the key vault exists, that its name can be resolved and its network admits the backup service, and retry the operation.")
                .inner(inner("KeyVaultUnreachable", format!("{uri} could not be read: {what}."))),
        ),
        SecretReadError::NotUnderstood(what) => UserFacingError::new("UserErrorInvalidSecretStore", "The key vault's answer is not understood.")
            .recommend("Ensure that the secret's URI is that of a key vault, and that no proxy answers in its place, and retry the operation.")
            .inner(inner("KeyVaultNotUnderstood", format!("{uri} could not be read: {what}."))),
        SecretReadError::Failed(error) => internal(error),
    }
}

/// What a step fails with when a secret cannot be read.
pub(crate) fn secret_failure(error: &SecretReadError, uri: &str, principal_id: &str) -> Failure {
    let said = secret(error, uri, principal_id);
    if error.is_transient() { Failure::transient(said) } else { Failure::failed(said) }
}

/// The secret's value is no connection string. `reason` quotes nothing of it.
pub(crate) fn secret_format(uri: &str, reason: &str) -> UserFacingError {
    UserFacingError::new(
        "UserErrorSecretValueInUnsupportedFormat",
        "The value of the secret is not in a supported format.",
    )
    .recommend("Set the secret to an ADO.NET connection string (Server=…;Database=…;Port=5432;User Id=…;Password=…;Ssl Mode=Require;), a postgres:// URI, or libpq key=value pairs.")
    .inner(inner("SecretFormat", format!("The value of {uri}: {reason}.")))
}

/// Neither the request nor the server's registration names a secret.
pub(crate) fn secret_not_named(server: &ResourceId) -> UserFacingError {
    UserFacingError::new("UserErrorInvalidSecret", "No secret with credentials for the database is known.")
        .recommend("Send datasourceAuthCredentials with the URI of a secret, or register the server with a secretUri.")
        .inner(inner("SecretNotNamed", format!("The request has no datasourceAuthCredentials, and the registration of {server} names no secret.")))
}

/// A backup made no progress for so long, and was ended.
pub(crate) fn backup_stalled(after: Duration, phase: &str, place: &Place) -> UserFacingError {
    UserFacingError::new("UserErrorBackupStalled", "The backup made no progress and was ended.")
        .recommend("Look on the server for what the backup waits for (pg_stat_activity, locks, disk and network), and retry the operation. backup.stall_minutes sets how long a backup may stand still.")
        .inner(no_progress(after, phase, place))
}

/// A restore that stood still while it moved rows.
pub(crate) fn restore_stalled(after: Duration, phase: &str, place: &Place) -> UserFacingError {
    UserFacingError::new("UserErrorRestoreStalled", "The restore made no progress and was ended.")
        .recommend("Look on the target server for what the restore waits for (pg_stat_activity, locks, disk and network), and retry the operation. backup.stall_minutes sets how long rows may stand still.")
        .inner(no_progress(after, phase, place))
}

fn no_progress(after: Duration, phase: &str, place: &Place) -> InnerError {
    let (seconds, place) = (after.as_secs(), place.describe());
    inner(
        "NoProgress",
        format!(
            "No byte was moved and no phase entered for {seconds} seconds, in phase {phase}, of {place}."
        ),
    )
}

/// A backup that differs sharply from those before it.
pub(crate) fn unusual_backup(sign: String) -> UserFacingError {
    UserFacingError::new("BackupUnusual", "The backup differs sharply from those before it.")
        .recommend("If nobody knows why, treat it as a sign of deletion or encryption by an intruder: keep the recovery points of before, and suspend the backups so that they do not expire.")
        .inner(inner("ComparedWithHistory", sign))
}

/// The error and what the layer below says of it, which may name objects of the storage and never holds a secret.
pub(crate) fn with_cause(error: &EngineError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// A recovery point is whole, and the storage does not hold it yet.
pub(crate) fn not_locked(error: &EngineError) -> UserFacingError {
    UserFacingError::new(
        "RecoveryPointNotLocked",
        "The recovery point is whole, but could not be locked in the storage yet. It is tried again every hour.",
    )
    .recommend("Ensure that the vault's storage can be reached and is set up for locks (docs/storage.md).")
    .inner(inner("StorageNotLocked", format!("{}.", with_cause(error))))
}

/// The vault has no identity of its own to act with.
pub(crate) fn vault_without_identity(vault: &ResourceId) -> UserFacingError {
    UserFacingError::new("UserErrorMissingRequiredPermissions", "Appropriate permissions to perform the operation is missing.")
        .recommend("Enable the system-assigned identity of the Backup vault, grant it the roles, and retry the operation. https://aka.ms/UserErrorMissingRequiredPermissions")
        .inner(inner("VaultHasNoIdentity", format!("The Backup vault {vault} has no system-assigned identity.")))
}

/// The vault's identity may not read the server, or not back it up as a whole.
pub(crate) fn server_forbidden(
    server: &ResourceId,
    principal_id: &str,
    action: &str,
) -> UserFacingError {
    let role = if action.contains("/ltr") || action.contains("/startLtr") {
        "PostgreSQL Flexible Server Long Term Retention Backup Role"
    } else {
        "Reader"
    };
    UserFacingError::new(
        "UserErrorMSIMissingPermissions",
        "The Backup vault's managed identity does not have the permissions to access the PostgreSQL server.",
    )
    .recommend(format!("Assign the role {role} on the PostgreSQL server to the Backup vault's managed identity and retry the operation."))
    .inner(inner("ServerForbidden", format!("Principal {principal_id}, the vault's identity, lacks {action} on {server}.")))
}

/// The server of the ARM id is not registered.
pub(crate) fn server_not_registered(server: &ResourceId) -> UserFacingError {
    UserFacingError::new("UserErrorDBNotFound", "The server or the database could not be found.")
        .recommend("Ensure that the server and the database exist and retry the operation.")
        .inner(inner("ServerNotRegistered", format!("No server is registered as {server}.")))
}

/// The datasource's id is neither one of a database nor of a server.
pub(crate) fn datasource_malformed(datasource: &str) -> UserFacingError {
    UserFacingError::new("UserErrorDBNotFound", "The server or the database could not be found.")
        .recommend(
            "Give the ARM id of a database, or of a flexible server, as the datasource's resourceID.",
        )
        .inner(inner("DatasourceMalformed", format!("'{datasource}' is not the id of a database or a server.")))
}

/// The container that files are to be restored to cannot be used.
pub(crate) fn container_not_accessible(url: &str, reason: &str) -> UserFacingError {
    UserFacingError::new("UserErrorContainerNotAccessible", "The backup service cannot write to the target container.")
        .recommend("Ensure that the storage account is registered, that the Backup vault's managed identity has the role Storage Blob Data Contributor on it, and retry the operation.")
        .inner(inner("ContainerNotAccessible", format!("{url}: {reason}")))
}

/// The recovery point does not exist, or not any more.
pub(crate) fn recovery_point_not_found(id: &str) -> UserFacingError {
    UserFacingError::new("UserErrorRecoveryPointNotFound", "The recovery point could not be found.")
        .recommend("List the recovery points of the backup instance and choose one of them.")
        .inner(inner("RecoveryPointNotFound", format!("There is no recovery point {id}.")))
}

/// Files of the prefix are there already.
pub(crate) fn files_exist(path: &str) -> UserFacingError {
    UserFacingError::new(
        "UserErrorTargetFilesAlreadyExist",
        "Files of that prefix exist in the target container already.",
    )
    .recommend("Choose another filePrefix and retry the operation.")
    .inner(inner("FilesExist", format!("{path} exists already; nothing was overwritten.")))
}

/// The request to begin a second backup of an instance.
pub(crate) fn backup_is_running(instance: &ResourceId) -> Error {
    Error::invalid(
        "UserErrorMaxConcurrentOperationLimitReached",
        "A backup of this backup instance is in progress; only one can run at a time.",
    )
    .with_recommended_action("Wait until the current backup job has ended and retry the operation.")
    .with_inner(crate::error::InnerError::new(
        INNER_UNAVAILABLE,
        format!("A backup of {instance} has not ended."),
    ))
    .user_facing()
}

/// Something is found in a vault that is deleted.
pub(crate) fn vault_not_empty(child: &ResourceId) -> UserFacingError {
    internal(&crate::app::dataprotection::errors::vault_not_empty(child.as_str()))
}

/// What runs for an instance that is deleted was asked to stop and has not yet.
pub(crate) fn work_does_not_stop(instance: &ResourceId) -> UserFacingError {
    retryable(
        UserFacingError::new(
            "UserErrorMaxConcurrentOperationLimitReached",
            "A backup or restore of the backup instance is in progress and has not stopped yet.",
        )
        .recommend("Wait until the current job has ended and retry the operation.")
        .inner(inner(
            INNER_UNAVAILABLE,
            format!("An operation of {instance} was asked to stop and has not ended."),
        )),
    )
}

/// The operation was cancelled.
pub(crate) fn cancelled() -> UserFacingError {
    UserFacingError::new("UserErrorOperationCancelled", "The operation was cancelled.")
        .recommend("Begin it again if it is still wanted.")
}

/// An operation that was begun again and again and never lived to tell how it ended.
pub(crate) fn died_too_often(kind: OperationKind, attempts: u32) -> UserFacingError {
    UserFacingError::new("CloudInternalError", "The operation was interrupted too often.")
        .recommend("Ensure that the backup service has enough memory and disk space, look into its log, and retry the operation.")
        .inner(inner("InterruptedTooOften", format!("{kind} was begun {} times and ended with the process each time.", attempts.saturating_sub(1))))
}

/// A fault of ours, or a refusal that the control plane has worded already.
pub(crate) fn internal(error: &Error) -> UserFacingError {
    match error.kind {
        ErrorKind::Internal => {
            tracing::error!(error = error.chain(), "an operation has met an internal error");
            UserFacingError::new("CloudInternalError", "Microsoft Azure Backup encountered an internal error.")
                .recommend("Wait for a few minutes and then try the operation again. If the issue persists, look into the backup service's log.")
        }
        ErrorKind::Invalid
        | ErrorKind::Unauthenticated
        | ErrorKind::Forbidden
        | ErrorKind::NotFound
        | ErrorKind::Conflict
        | ErrorKind::PreconditionFailed
        | ErrorKind::TooLarge
        | ErrorKind::MethodNotAllowed
        | ErrorKind::Throttled
        | ErrorKind::Unavailable => {
            let mut said = UserFacingError::new(error.code.to_string(), error.message.clone());
            for action in &error.recommended_actions {
                said = said.recommend(action.clone());
            }
            if let Some(finer) = &error.inner {
                said =
                    said.inner(inner(finer.code.clone(), finer.detail.clone().unwrap_or_default()));
            }
            said
        }
    }
}

fn inner(code: impl Into<String>, detail: impl Into<String>) -> InnerError {
    InnerError::new(code, detail)
}

fn retryable(mut error: UserFacingError) -> UserFacingError {
    error.is_retryable = Some(true);
    error
}

fn listed(items: impl ExactSizeIterator<Item = String>) -> String {
    let count = items.len();
    let mut text = items.take(LISTED_MAX).collect::<Vec<_>>().join("; ");
    if count > LISTED_MAX {
        text.push_str(&format!("; and {} more", count - LISTED_MAX));
    }
    text
}
