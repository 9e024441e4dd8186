//! The engine's failures in words for the user.

use coffer_azure::UserFacingError;
use coffer_engine::error::{Error as EngineError, Problem};

use super::{LISTED_MAX, Place, cancelled, inner, listed, retryable, store};

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
                "Tables of the database were truncated or rewritten, or definitions changed, each time the backup began.",
            )
            .recommend("Retry the operation when what the inner error names is not being changed.")
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
        EngineError::InDatabase { database, source } => {
            let place = Place { database: database.clone(), ..place.clone() };
            let mut said = engine(source, &place);
            // What is not about a server does not say which database it was.
            if let Some(inner) = &mut said.inner_error {
                let info = inner.additional_info.get_or_insert_default();
                info.insert("Database".to_owned(), serde_json::Value::String(database.clone()));
            }
            said
        }
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
