//! The one place that says a failure of the engine, the store or a secret in words for the user: Azure's code, what to
//! do, and an inner error that names precisely which object, where, and what the layer below has said.
//!
//! Its matches have no wildcard arm, so that a new failure cannot be added below without being said here.

use coffer_azure::{InnerError, ResourceId, UserFacingError};
use coffer_engine::error::{Error as EngineError, Problem};
use coffer_store::Error as StoreError;

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

/// A failure of the engine, for the user.
pub(crate) fn engine(error: &EngineError, place: &Place) -> UserFacingError {
    let at = place.describe();
    match error {
        EngineError::Unreachable { source, .. } => retryable(
            UserFacingError::new(
                "UserErrorMissingNetworkSecurityPermissions",
                "The backup service cannot establish a network connection to the PostgreSQL server.",
            )
            .recommend("Ensure that the server is running, listens on the registered address, and that a firewall lets the backup service through, and retry the operation.")
            .inner(inner("ServerUnreachable", format!("Cannot connect to {at}: {source}."))),
        ),
        EngineError::Tls { message, .. } => UserFacingError::new(
            "UserErrorMissingNetworkSecurityPermissions",
            "The backup service cannot establish a TLS session with the PostgreSQL server.",
        )
        .recommend("Ensure that the server offers TLS with a certificate that is trusted, or register the server with another sslMode, and retry the operation.")
        .inner(inner("TlsFailed", format!("Cannot establish TLS with {at}: {message}."))),
        EngineError::AuthenticationFailed { user, message } => UserFacingError::new(
            "UserErrorDBUserAuthFailed",
            "The backup service could not log in to the database with the credentials of the secret.",
        )
        .recommend("Ensure that the user name and password of the secret are valid and that the user may log in to the database, and retry the operation.")
        .inner(inner("LoginFailed", format!("Login of role '{user}' to {at} was refused: {message}."))),
        EngineError::DatabaseNotFound { database } => UserFacingError::new(
            "UserErrorDBNotFound",
            "The server or the database could not be found.",
        )
        .recommend("Ensure that the server and the database exist and retry the operation.")
        .inner(inner("DatabaseNotFound", format!("There is no database '{database}' on server {} at {}.", place.server, place.address))),
        EngineError::MissingPrivileges { role, objects, grants } => {
            let mut said = UserFacingError::new(
                "UserErrorMissingDBPermissions",
                "The database user does not have the permissions that a backup needs.",
            );
            for grant in grants.iter().take(LISTED_MAX) {
                said = said.recommend(format!("Run as the owner or an administrator in database '{}': {grant}", place.database));
            }
            said.inner(inner(
                "PrivilegesMissing",
                format!("Role '{role}' cannot read in {at}: {}.", listed(objects.iter().cloned())),
            ))
        }
        EngineError::UnsupportedVersion { version, reason } => UserFacingError::new(
            "UserErrorDatabaseVersionNotSupported",
            "The version of the PostgreSQL server is not supported.",
        )
        .recommend("Upgrade the server, or the backup service, and retry the operation.")
        .inner(inner("ServerVersionUnsupported", format!("The server of {at} has version {version}: {reason}."))),
        EngineError::Unsupported { code, message } => UserFacingError::new(
            "UserErrorDatabaseNotSupported",
            "The server or database has a property that rules out a faithful backup or restore.",
        )
        .recommend("Remove what the inner error names and retry the operation.")
        .inner(inner(*code, format!("{message} ({at})"))),
        EngineError::ToolMissing { tool, major } => UserFacingError::new(
            "UserErrorPostgreSQLToolMissing",
            "The PostgreSQL client programs that this server's version needs are not installed where the backup service runs.",
        )
        .recommend(format!("Install the PostgreSQL client programs of major version {major} (Debian: postgresql-client-{major}) on the machine of the backup service and retry the operation."))
        .inner(inner("ToolMissing", format!("No {tool} of major version {major} or newer was found for {at}."))),
        EngineError::ConnectionLost { message } => retryable(
            UserFacingError::new(
                "UserErrorServerConnectionClosed",
                "The PostgreSQL server closed the connection unexpectedly.",
            )
            .recommend("Retry the operation. If it fails again, look into the server's log.")
            .inner(inner("ConnectionLost", format!("The connection to {at} was lost: {message}."))),
        ),
        EngineError::LockTimeout { waited_ms, message } => retryable(
            UserFacingError::new(
                "UserErrorDatabaseLockTimeout",
                "The tables of the database could not be locked for reading in time.",
            )
            .recommend("End the transactions that hold exclusive locks (look into pg_locks) and retry the operation.")
            .inner(inner("LockTimeout", format!("Locks in {at} were not granted within {waited_ms} ms: {message}."))),
        ),
        EngineError::SnapshotRace { attempts, relations } => retryable(
            UserFacingError::new(
                "UserErrorDatabaseLockTimeout",
                "Tables of the database were truncated or rewritten each time the backup began.",
            )
            .recommend("Retry the operation when the tables that the inner error names are not rewritten.")
            .inner(inner(
                "TablesRewritten",
                format!("In {at}, {attempts} times in a row: {}.", listed(relations.iter().cloned())),
            )),
        ),
        EngineError::TargetExists { database } => UserFacingError::new(
            "UserErrorDatabaseNameAlreadyInUse",
            "A database of the target's name exists already.",
        )
        .recommend("Choose another name for the restored database and retry the operation.")
        .inner(inner("DatabaseExists", format!("Server {} at {} has a database '{database}' already; nothing was overwritten.", place.server, place.address))),
        EngineError::LowerVersion { origin, target } => UserFacingError::new(
            "UserErrorRestoreToLowerVersion",
            "Restoring backups of a higher PostgreSQL version to a lower version is not supported.",
        )
        .recommend("Restore to the same or a higher PostgreSQL version than the source had.")
        .inner(inner("TargetVersionLower", format!("The recovery point was taken from version {origin}; the target, {at}, has version {target}."))),
        EngineError::Preflight(problems) => preflight(problems, &at),
        EngineError::ProofFailed { differences } => UserFacingError::new(
            "UserErrorRestoredDataDiffers",
            "The restored database differs from the recovery point. It was dropped.",
        )
        .recommend("Retry the restore. If it fails again, verify the recovery point and restore another one.")
        .inner(inner(
            "ProofFailed",
            format!(
                "For {at}: {}.",
                listed(differences.iter().map(|d| format!("{}: expected {}, found {}", d.object, d.expected, d.found)))
            ),
        )),
        EngineError::Cancelled => cancelled(),
        EngineError::Tool { tool, status, stderr } => UserFacingError::new(
            "UserErrorPostgreSQLToolFailed",
            format!("{tool} has failed."),
        )
        .recommend("Correct what the inner error says and retry the operation.")
        .inner(inner("ToolFailed", format!("{tool} ended with {status} for {at}: {stderr}"))),
        EngineError::Sql { context, sqlstate, message, relation } => UserFacingError::new(
            "UserErrorDatabaseStatementFailed",
            "The PostgreSQL server refused a statement of the backup service.",
        )
        .recommend("Correct what the inner error says and retry the operation.")
        .inner(inner(
            format!("SQLSTATE_{sqlstate}"),
            match relation {
                Some(relation) => format!("{context}, relation {relation}, in {at}: {message} (SQLSTATE {sqlstate})."),
                None => format!("{context}, in {at}: {message} (SQLSTATE {sqlstate})."),
            },
        )),
        EngineError::Protocol { context, message } => UserFacingError::new(
            "UserErrorUnexpectedServerAnswer",
            "The PostgreSQL server answered something that the backup service does not understand.",
        )
        .recommend("Ensure that the address belongs to a PostgreSQL server (not to a pooler or proxy) and retry the operation.")
        .inner(inner("UnexpectedAnswer", format!("{context}, at {at}: {message}."))),
        EngineError::Store { context, source } => {
            let mut said = store(source);
            if let Some(inner) = &mut said.inner_error
                && let Some(info) = &mut inner.additional_info
            {
                info.insert("Activity".to_owned(), serde_json::Value::String((*context).to_owned()));
            }
            said
        }
        EngineError::Manifest { message } => UserFacingError::new(
            "UserErrorRecoveryPointUnreadable",
            "The recovery point cannot be read.",
        )
        .recommend("Restore another recovery point, and verify the vault's storage with `coffer rescue verify`.")
        .inner(inner("ManifestUnreadable", message.clone())),
        EngineError::Io { context, source } => UserFacingError::new(
            "CloudInternalError",
            "The backup service could not read or write a local file.",
        )
        .recommend("Ensure that the disk of the backup service has room and works, and retry the operation.")
        .inner(inner("LocalFileFailed", format!("{context}: {source}."))),
    }
}

/// Everything that stands in the way of a restore. The first problem that Azure has a code for gives the code and the
/// message; all of them are told.
fn preflight(problems: &[Problem], at: &str) -> UserFacingError {
    let (code, message) = problems
        .iter()
        .find_map(|problem| match problem.code.as_str() {
            "TargetExists" => {
                Some(("UserErrorDatabaseNameAlreadyInUse", "A database of the target's name exists already."))
            }
            "LowerVersion" => Some((
                "UserErrorRestoreToLowerVersion",
                "Restoring backups of a higher PostgreSQL version to a lower version is not supported.",
            )),
            "CreateDatabase" => Some((
                "UserErrorMissingDBPermissions",
                "The database user does not have the permissions that a restore needs.",
            )),
            _ => None,
        })
        .unwrap_or((
            "UserErrorRestorePrerequisitesNotMet",
            "The target does not fulfil what the restore of this recovery point needs. Nothing was written.",
        ));
    let mut said = UserFacingError::new(code, message);
    for problem in problems.iter().take(LISTED_MAX) {
        said = said.recommend(sentence(&problem.message));
    }
    said.inner(inner(
        "RestorePreflight",
        format!(
            "For {at}: {}.",
            listed(problems.iter().map(|p| format!("{} ({}): {}", p.code, p.object, p.message)))
        ),
    ))
}

/// A fragment of a lower layer as a sentence.
fn sentence(fragment: &str) -> String {
    let mut letters = fragment.chars();
    let first: String =
        letters.next().map(|first| first.to_uppercase().collect()).unwrap_or_default();
    format!("{first}{}.", letters.as_str().trim_end_matches('.'))
}

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
        StoreError::AlreadyExists { what } => internal_store("ObjectExists", format!("{what} exists already with other content.")),
        StoreError::Incomplete { reason } => retryable(internal_store("BackupIncomplete", reason.clone())),
        StoreError::Invalid { reason } => internal_store("InvalidStoreRequest", reason.clone()),
        StoreError::Location { url, reason } => UserFacingError::new(
            "UserErrorVaultStorageNotAccessible",
            "The storage location of the vault cannot be used.",
        )
        .recommend("Correct the storage location in the configuration of the backup service.")
        .inner(inner("StorageLocationUnusable", format!("{url}: {reason}."))),
        StoreError::KeyFile { reason, .. } => internal_store("KeyFileUnusable", reason.clone()),
        StoreError::UploadFailed { pack } => retryable(internal_store("UploadFailed", format!("Pack {pack} could not be stored."))),
        StoreError::Storage { action, source } => retryable(
            UserFacingError::new(
                "UserErrorVaultStorageNotAccessible",
                "The storage of the vault does not work.",
            )
            .recommend("Ensure that the vault's storage has room and can be reached, and retry the operation.")
            .inner(inner("StorageFailed", format!("{action}: {source}."))),
        ),
    }
}

/// A secret that cannot be read, for the user.
pub(crate) fn secret(error: &SecretReadError, uri: &str, principal_id: &str) -> UserFacingError {
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
        SecretReadError::Disabled => UserFacingError::new("UserErrorInvalidSecret", "The secret is disabled.")
            .recommend("Enable the secret, or a newer version of it, and retry the operation.")
            .inner(inner("SecretDisabled", format!("The secret {uri} is disabled."))),
        SecretReadError::Expired => UserFacingError::new("UserErrorInvalidSecret", "The secret is not valid at this time.")
            .recommend("Set a new version of the secret, or change its validity, and retry the operation.")
            .inner(inner("SecretExpired", format!("The secret {uri} has expired or is not valid yet."))),
        SecretReadError::Malformed => UserFacingError::new("UserErrorInvalidSecret", "The secret's URI is not one of a key vault.")
            .recommend("Give the URI of a secret, as https://{vault}.vault.azure.net/secrets/{name}.")
            .inner(inner("SecretUriMalformed", format!("{uri} is not the URI of a secret."))),
        SecretReadError::Failed(error) => internal(error),
    }
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

/// The vault has no identity of its own to act with.
pub(crate) fn vault_without_identity(vault: &ResourceId) -> UserFacingError {
    UserFacingError::new("UserErrorMissingRequiredPermissions", "Appropriate permissions to perform the operation is missing.")
        .recommend("Enable the system-assigned identity of the Backup vault, grant it the roles, and retry the operation. https://aka.ms/UserErrorMissingRequiredPermissions")
        .inner(inner("VaultHasNoIdentity", format!("The Backup vault {vault} has no system-assigned identity.")))
}

/// The vault's identity may not read the server.
pub(crate) fn server_forbidden(
    server: &ResourceId,
    principal_id: &str,
    action: &str,
) -> UserFacingError {
    UserFacingError::new(
        "UserErrorMSIMissingPermissions",
        "The Backup vault's managed identity does not have the permissions to access the PostgreSQL server.",
    )
    .recommend("Assign the role Reader on the PostgreSQL server to the Backup vault's managed identity and retry the operation.")
    .inner(inner("ServerForbidden", format!("Principal {principal_id}, the vault's identity, lacks {action} on {server}.")))
}

/// The server of the ARM id is not registered.
pub(crate) fn server_not_registered(server: &ResourceId) -> UserFacingError {
    UserFacingError::new("UserErrorDBNotFound", "The server or the database could not be found.")
        .recommend("Ensure that the server and the database exist and retry the operation.")
        .inner(inner("ServerNotRegistered", format!("No server is registered as {server}.")))
}

/// The datasource's id is not one of a database.
pub(crate) fn datasource_malformed(datasource: &str) -> UserFacingError {
    UserFacingError::new("UserErrorDBNotFound", "The server or the database could not be found.")
        .recommend(
            "Give the ARM id of a database of a PostgreSQL server as the datasource's resourceID.",
        )
        .inner(inner("DatasourceMalformed", format!("'{datasource}' is not the id of a database.")))
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

fn internal_store(code: &str, detail: String) -> UserFacingError {
    UserFacingError::new(
        "CloudInternalError",
        "The backup service could not write to the vault's storage as it should.",
    )
    .recommend("Retry the operation. If it fails again, look into the backup service's log.")
    .inner(inner(code, detail))
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
