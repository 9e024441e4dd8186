//! Reading the root of a recovery point, whichever kind it is, and the roots of the databases that a server's names.

use coffer_store::Repository;
use coffer_store::limits::MANIFEST_BODY_BYTES_MAX;

use crate::error::{Error, Problem, Result};
use crate::manifest::{
    DATABASES_MAX, DatabaseEntry, DatabaseManifest, ENGINE_FORMAT, Part, Root, ServerManifest,
    Warning,
};
use crate::part::PartReader;

/// Names of databases shown in one message.
const NAMES_SHOWN: usize = 20;

/// Warnings of a server and its databases that are told.
pub(crate) const WARNINGS_MAX: usize = 200;

/// What the recovery point consists of, be it that of a database or of a server.
///
/// # Errors
/// [`Error::Store`] when there is no such recovery point or it can't be read, [`Error::Manifest`] when a newer version of
/// Coffer wrote it or its body is damaged.
pub async fn describe_root(repository: &Repository, recovery_point_id: &str) -> Result<Root> {
    let manifest = repository
        .read_manifest(recovery_point_id)
        .await
        .map_err(Error::store("read the manifest"))?;
    parse(&manifest.body, recovery_point_id)
}

/// What the recovery point of a database consists of.
///
/// # Errors
/// As [`describe_root`]; [`Error::Preflight`] when it is that of a server.
pub async fn describe_recovery_point(
    repository: &Repository,
    recovery_point_id: &str,
) -> Result<DatabaseManifest> {
    describe_database(repository, recovery_point_id, None).await
}

/// What the recovery point holds of one database: of a server's recovery point the one that is named, of a database's the only
/// one, which is not named.
///
/// # Errors
/// As [`describe_root`]; [`Error::Preflight`] when no database is named and one has to be, or there is none of that name, or one
/// is named and the recovery point is that of a database.
pub async fn describe_database(
    repository: &Repository,
    recovery_point_id: &str,
    database: Option<&str>,
) -> Result<DatabaseManifest> {
    match (describe_root(repository, recovery_point_id).await?, database) {
        (Root::Database(root), None) => Ok(*root),
        (Root::Database(_), Some(named)) => Err(problem(
            "NotInRecoveryPoint",
            format!("database {named}"),
            "the recovery point is that of one database, which is not named".to_owned(),
        )),
        (Root::Server(root), named) => {
            let databases = list_databases(repository, &root).await?;
            let Some(entry) =
                named.and_then(|named| databases.iter().find(|entry| entry.name == named))
            else {
                return Err(not_found(named, &databases));
            };
            read_database(repository, recovery_point_id, &entry.manifest).await
        }
    }
}

/// The databases of a server's recovery point, by name.
///
/// # Errors
/// [`Error::Store`] and [`Error::Manifest`] when the list can't be read or is longer than allowed.
pub async fn list_databases(
    repository: &Repository,
    server: &ServerManifest,
) -> Result<Vec<DatabaseEntry>> {
    let mut reader = PartReader::new(repository, &server.databases);
    let mut databases = Vec::new();
    while let Some(entry) = reader.next::<DatabaseEntry>().await? {
        if databases.len() == DATABASES_MAX {
            let message = format!("it lists more than {DATABASES_MAX} databases");
            return Err(Error::Manifest { message });
        }
        databases.push(entry);
    }
    Ok(databases)
}

/// What a person should know of the recovery point: of a server's also what concerns its databases, with their names, at most
/// [`WARNINGS_MAX`] in all.
///
/// # Errors
/// [`Error::Store`] and [`Error::Manifest`] when a database's root can't be read.
pub async fn recovery_point_warnings(repository: &Repository, root: &Root) -> Result<Vec<Warning>> {
    let server = match root {
        Root::Database(root) => return Ok(root.warnings.clone()),
        Root::Server(server) => server,
    };
    let mut warnings = server.warnings.clone();
    for entry in list_databases(repository, server).await? {
        let id = &server.recovery_point_id;
        let database = read_database(repository, id, &entry.manifest).await?;
        for told in &database.warnings {
            if warnings.len() == WARNINGS_MAX {
                return Ok(warnings);
            }
            warnings.push(of_database(&entry.name, told));
        }
    }
    Ok(warnings)
}

/// A database's warning among those of its server.
pub(crate) fn of_database(database: &str, told: &Warning) -> Warning {
    let message = format!("database {database}: {}", told.message);
    Warning { code: told.code.clone(), message }
}

/// The root of one database of a server's recovery point.
pub(crate) async fn read_database(
    repository: &Repository,
    recovery_point_id: &str,
    part: &Part,
) -> Result<DatabaseManifest> {
    let too_long = || Error::Manifest { message: "the root of a database is too long".to_owned() };
    let mut body = Vec::new();
    let mut reader = PartReader::new(repository, part);
    while let Some(piece) = reader.bytes().await? {
        if piece.len() > MANIFEST_BODY_BYTES_MAX.saturating_sub(body.len()) {
            return Err(too_long());
        }
        body.extend_from_slice(&piece);
    }
    match parse(&body, recovery_point_id)? {
        Root::Database(root) => Ok(*root),
        Root::Server(_) => Err(Error::Manifest {
            message: "a server stands in the place of a database".to_owned(),
        }),
    }
}

/// The body of that recovery point's manifest, or of one of its databases.
pub(crate) fn parse(body: &[u8], recovery_point_id: &str) -> Result<Root> {
    /// Read first: of a newer body nothing else may be assumed.
    #[derive(serde::Deserialize)]
    struct Version {
        engine_format: u32,
    }
    #[derive(serde::Deserialize)]
    struct Kind {
        /// Whatever stands there: what is not known is refused by the type of the whole.
        datasource: Option<serde::de::IgnoredAny>,
    }
    let damaged = |error: serde_json::Error| Error::Manifest { message: error.to_string() };
    let Version { engine_format } = serde_json::from_slice(body).map_err(damaged)?;
    if engine_format > ENGINE_FORMAT {
        let message = format!(
            "it has engine format {engine_format}; this version of Coffer reads up to {ENGINE_FORMAT}"
        );
        return Err(Error::Manifest { message });
    }
    let Kind { datasource } = serde_json::from_slice(body).map_err(damaged)?;
    let (root, id) = if datasource.is_some() {
        let root: ServerManifest = serde_json::from_slice(body).map_err(damaged)?;
        let id = root.recovery_point_id.clone();
        (Root::Server(Box::new(root)), id)
    } else {
        let root: DatabaseManifest = serde_json::from_slice(body).map_err(damaged)?;
        let id = root.recovery_point_id.clone();
        (Root::Database(Box::new(root)), id)
    };
    if id == recovery_point_id {
        Ok(root)
    } else {
        Err(Error::Manifest { message: format!("it is that of {id}") })
    }
}

fn not_found(named: Option<&str>, databases: &[DatabaseEntry]) -> Error {
    let shown = databases.iter().take(NAMES_SHOWN).map(|entry| entry.name.as_str());
    let mut names = shown.collect::<Vec<_>>().join(", ");
    if databases.len() > NAMES_SHOWN {
        names.push_str(", …");
    }
    match named {
        Some(named) => problem(
            "NotInRecoveryPoint",
            format!("database {named}"),
            format!("the recovery point has no database {named:?}; it has {names}"),
        ),
        None => problem(
            "DatabaseNotNamed",
            "database".to_owned(),
            format!(
                "the recovery point is that of a server: name one of its databases, which are {names}"
            ),
        ),
    }
}

fn problem(code: &str, object: String, message: String) -> Error {
    Error::Preflight(vec![Problem { code: code.to_owned(), object, message }])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_newer_format_and_an_unknown_datasource_are_refused() {
        let id = "0".repeat(32);
        let parsed = |body: serde_json::Value| parse(body.to_string().as_bytes(), &id);
        let newer = parsed(json!({"engine_format": ENGINE_FORMAT + 1, "datasource": "server"}));
        assert!(matches!(&newer, Err(Error::Manifest { message }) if message.contains("format 5")));
        let unknown = parsed(json!({"engine_format": ENGINE_FORMAT, "datasource": "galaxy"}));
        assert!(matches!(&unknown, Err(Error::Manifest { .. })), "{unknown:?}");
        for body in ["", "[]", "{}", "null", "{\"engine_format\": 3, \"datasource\": null}"] {
            assert!(parse(body.as_bytes(), &id).is_err(), "{body}");
        }
    }
}
