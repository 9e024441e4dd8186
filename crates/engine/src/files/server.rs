//! A server's recovery point as files, in the layout that Azure gives them: for each database one archive that `pg_restore`
//! reads, `{database}.sql`, and beside them `roles.sql`, `tablespace.sql` and `schema.sql`.
//!
//! The endings are Azure's; an archive is no SQL text. `schema.sql` holds the definitions of all databases, for reading: each
//! archive has its own. The directory gets its name when all of it is written and compared with the recovery point.

use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use coffer_store::Repository;
use tokio_util::sync::CancellationToken;

use super::data_file::{self, Form};
use super::{
    FilesOutcome, FilesRequest, ROLES_FILE, Run, Temporary, Written, final_path, measure, publish,
    roles_sql, tablespaces_sql, unless_cancelled, workers_ended,
};
use crate::error::{Error, Problem, Result};
use crate::manifest::{
    DatabaseEntry, DatabaseManifest, NotProved, Role, Root, ServerManifest, Tablespace, Warning,
};
use crate::monitor::{Counters, Monitor};
use crate::part::PartReader;
use crate::proof::Proof;
use crate::restore::role_map::RoleMap;
use crate::root::{WARNINGS_MAX, describe_root, list_databases, of_database, read_database};
use crate::span::{Traced as _, span};
use crate::tools::{STDERR_BYTES_MAX, Tools};

/// Name of the file of tablespaces.
pub const TABLESPACES_FILE: &str = "tablespace.sql";
/// Name of the file of all definitions.
pub const SCHEMA_FILE: &str = "schema.sql";
/// Ending of a database's file.
const DATABASE_ENDING: &str = ".sql";
/// Directory of what is packed, in that of the files; it goes when it is.
const UNPACKED: &str = ".unpacked";

/// What stands above the definitions.
const SCHEMA_HEAD: &str = "-- Definitions of all databases of a recovery point, for reading. Each database's own file has them, with its rows.\n";

/// Writes a server's recovery point as files. The selection chooses no parts and no database: of one, [`super::restore_files`]
/// makes a directory. `tools` are looked for the `pg_restore` that writes [`SCHEMA_FILE`]; without a fitting one the file says so.
///
/// # Errors
/// As [`super::restore_files`]; [`Error::InDatabase`] for what concerns one database.
pub async fn restore_server_files(
    request: FilesRequest,
    tools: &Tools,
    repository: &Repository,
    monitor: Arc<dyn Monitor>,
    cancel: CancellationToken,
) -> Result<FilesOutcome> {
    let path = final_path(&request)?;
    if !request.selection.is_everything() || request.selection.database.is_some() {
        let message =
            "parts are chosen of one database; all files of a server come whole".to_owned();
        let (code, object) = ("SelectionOfServer".to_owned(), "selection".to_owned());
        return Err(Error::Preflight(vec![Problem { code, object, message }]));
    }
    let temporary = Temporary::create(&request.directory, &request.prefix)?;
    let current = Mutex::new(Weak::new());
    let files = ServerFiles {
        request: &request,
        tools,
        repository,
        directory: &temporary.path,
        monitor,
        counters: Arc::default(),
        current: &current,
        outcome: Written::default(),
    };
    let span = span!("files", recovery_point = request.recovery_point_id);
    let written = unless_cancelled(&cancel, Box::pin(files.write().traced(span))).await;
    let last = std::mem::take(&mut *current.lock().unwrap_or_else(PoisonError::into_inner));
    workers_ended(&last).await;
    let written = written?;
    let (files, bytes) = measure(&temporary.path)?;
    publish(temporary, &request, &path)?;
    let Written { proof, warnings } = written;
    Ok(FilesOutcome { path, files, bytes, rows: proof.rows, proof, warnings })
}

struct ServerFiles<'a> {
    request: &'a FilesRequest,
    tools: &'a Tools,
    repository: &'a Repository,
    directory: &'a Path,
    monitor: Arc<dyn Monitor>,
    counters: Arc<Counters>,
    /// The database that is being written.
    current: &'a Mutex<Weak<Run>>,
    outcome: Written,
}

impl ServerFiles<'_> {
    async fn write(mut self) -> Result<Written> {
        let id = &self.request.recovery_point_id;
        let Root::Server(root) = describe_root(self.repository, id).await? else {
            return Err(Error::Manifest { message: "it is that of a database".to_owned() });
        };
        self.outcome.warnings.clone_from(&root.warnings);
        self.counters.expect(root.totals.content.text_bytes, root.totals.tables);
        self.roles_and_tablespaces(&root).await?;
        data_file::create(self.directory, SCHEMA_FILE)?;
        self.append_schema(SCHEMA_HEAD)?;
        for entry in list_databases(self.repository, &root).await? {
            let name = entry.name.clone();
            let database = self.database(&entry).traced(span!("database")).await;
            database.map_err(|error| match error {
                Error::Cancelled => error,
                error => Error::InDatabase { database: name, source: Box::new(error) },
            })?;
        }
        let schema = std::fs::File::open(self.directory.join(SCHEMA_FILE));
        let synced = schema.and_then(|file| file.sync_all());
        synced.map_err(Error::io(format!("write {SCHEMA_FILE}")))?;
        self.outcome.proof.equal = true;
        Ok(self.outcome)
    }

    async fn database(&mut self, entry: &DatabaseEntry) -> Result<()> {
        let id = &self.request.recovery_point_id;
        let manifest = read_database(self.repository, id, &entry.manifest).await?;
        let unpacked = self.directory.join(UNPACKED);
        std::fs::create_dir(&unpacked)
            .map_err(Error::io(format!("make {}", unpacked.display())))?;
        let packed = self.directory.join(file_name(&entry.name));
        let run = Arc::new(Run {
            repository: self.repository.clone(),
            directory: unpacked.clone(),
            form: Form::Packed,
            workers: self.request.workers.max(1),
            monitor: Arc::clone(&self.monitor),
            counters: Arc::clone(&self.counters),
            too_long: Mutex::default(),
        });
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&run);
        let written = run.write(&manifest, self.request, Some(&packed)).await?;
        std::fs::remove_dir_all(&unpacked)
            .map_err(Error::io(format!("remove {}", unpacked.display())))?;
        self.definitions(&manifest, &packed).await?;
        self.add(&entry.name, written);
        Ok(())
    }

    fn add(&mut self, database: &str, written: Written) {
        let Written { proof, warnings } = written;
        let sum: &mut Proof = &mut self.outcome.proof;
        sum.tables += proof.tables;
        sum.rows += proof.rows;
        let not_proved = proof.not_proved.into_iter();
        sum.not_proved.extend(not_proved.map(|NotProved { object, reason }| NotProved {
            object: format!("{object} of database {database}"),
            reason,
        }));
        for told in &warnings {
            let Warning { code, message } = of_database(database, told);
            self.warn(code, message);
        }
    }

    fn warn(&mut self, code: String, message: String) {
        let warnings = &mut self.outcome.warnings;
        if warnings.len() < WARNINGS_MAX {
            warnings.push(Warning { code, message });
        } else if warnings.len() == WARNINGS_MAX {
            let message = "more warnings are not shown".to_owned();
            warnings.push(Warning { code: "MoreWarnings".to_owned(), message });
        }
    }

    /// Adds a database's definitions to the file of all.
    async fn definitions(&mut self, manifest: &DatabaseManifest, packed: &Path) -> Result<()> {
        let major = manifest.schema.tool_major;
        let Some(tool) = self.tools.pg_restore(major) else {
            let message = format!(
                "{SCHEMA_FILE} lacks its definitions, since no pg_restore of version {major} or newer is installed; they \
                 are in its own file"
            );
            self.append_schema("\n-- Definitions of a database were left out: no fitting pg_restore was installed.\n")?;
            let database = &manifest.source.database;
            self.warn("SchemaFileIncomplete".to_owned(), format!("database {database}: {message}"));
            return Ok(());
        };
        let output = self.open_schema()?;
        let mut command = tool.command_without_server();
        command
            .args(["--schema-only", "--create", "--file=-"])
            .arg(packed)
            .stdout(Stdio::from(output))
            .stderr(Stdio::piped());
        let child = command.spawn().map_err(Error::io("start pg_restore"))?;
        let output = child.wait_with_output().await.map_err(Error::io("wait for pg_restore"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let stderr = said.trim().chars().take(STDERR_BYTES_MAX).collect();
        Err(Error::Tool { tool: "pg_restore", status: output.status.to_string(), stderr })
    }

    fn append_schema(&self, text: &str) -> Result<()> {
        let written = std::io::Write::write_all(&mut self.open_schema()?, text.as_bytes());
        written.map_err(Error::io(format!("write {SCHEMA_FILE}")))
    }

    fn open_schema(&self) -> Result<std::fs::File> {
        let file = std::fs::OpenOptions::new().append(true).open(self.directory.join(SCHEMA_FILE));
        file.map_err(Error::io(format!("write {SCHEMA_FILE}")))
    }

    async fn roles_and_tablespaces(&mut self, root: &ServerManifest) -> Result<()> {
        let map = &self.request.role_map;
        let roles = read_roles(self.repository, &root.roles, map).await?;
        data_file::write(self.directory, ROLES_FILE, roles_sql::roles_sql(&roles).as_bytes())?;
        let mut tablespaces = Vec::new();
        let mut reader = PartReader::new(self.repository, &root.tablespaces);
        while let Some(mut tablespace) = reader.next::<Tablespace>().await? {
            tablespace.owner = map.name(&tablespace.owner).to_owned();
            tablespace.acl = map.acl(tablespace.acl.as_deref());
            tablespaces.push(tablespace);
        }
        let mut odd = Vec::new();
        let text = tablespaces_sql::tablespaces_sql(&tablespaces, &mut odd);
        for tablespace in odd {
            let message =
                format!("privileges on tablespace {tablespace} are not understood and left out");
            self.warn("TablespacePrivileges".to_owned(), message);
        }
        data_file::write(self.directory, TABLESPACES_FILE, text.as_bytes())
    }
}

/// Roles as they are to be made: those with another name are there.
pub(super) async fn read_roles(
    repository: &Repository,
    part: &crate::manifest::Part,
    role_map: &RoleMap,
) -> Result<Vec<Role>> {
    let mut roles = Vec::new();
    let mut reader = PartReader::new(repository, part);
    while let Some(mut role) = reader.next::<Role>().await? {
        for membership in &mut role.member_of {
            membership.role = role_map.name(&membership.role).to_owned();
        }
        // A mapped role is there, under its other name.
        if role_map.name(&role.name) == role.name {
            roles.push(role);
        }
    }
    Ok(roles)
}

/// Name of a database's file. What is neither a letter, a digit nor one of `_-.` stands as `%` and two hexadecimal digits for
/// each byte, and so does the first letter of a name that would be that of another file of the layout, and a full stop in front.
#[must_use]
pub fn file_name(database: &str) -> String {
    let reserved = [ROLES_FILE, TABLESPACES_FILE, SCHEMA_FILE]
        .iter()
        .any(|file| file.strip_suffix(DATABASE_ENDING) == Some(&database.to_ascii_lowercase()));
    let mut name = String::new();
    for (at, byte) in database.bytes().enumerate() {
        let plain = byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
        let first = at == 0 && (reserved || byte == b'.');
        if plain && !first {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    name + DATABASE_ENDING
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_database_has_a_file_of_its_own() {
        for (database, file) in [
            ("shop", "shop.sql"),
            ("Odd name/½", "Odd%20name%2F%C2%BD.sql"),
            ("roles", "%72oles.sql"),
            ("Schema", "%53chema.sql"),
            ("tablespace", "%74ablespace.sql"),
            (".", "%2E.sql"),
            ("..", "%2E..sql"),
            ("100%", "100%25.sql"),
        ] {
            assert_eq!(file_name(database), file);
        }
        assert!(file_name(&"é".repeat(31)).len() <= 255);
    }
}
