//! Everything that can stand in the way of a restore, found before the first write and told all at once.

use std::collections::HashSet;

use coffer_store::Repository;

use super::target::{TargetFacts, Wanted};
use super::{RestoreRequest, RoleMode, schema, temporary};
use crate::error::{Error, Problem, Result};
use crate::files::toc::Toc;
use crate::manifest::{DatabaseManifest, Extension, Role, Warning};
use crate::part::PartReader;
use crate::root::describe_database;
use crate::selection::Selected;

/// Names shown in one message.
const NAMES_SHOWN: usize = 10;

/// What a restore would meet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Preflight {
    /// A restore would be refused while any of these lasts. Codes: `LowerVersion`, `TargetExists`, `ToolMissing`,
    /// `CreateDatabase`, `ReadOnly`, `Encoding`, `Locale`, `MissingExtension`, `Connections`, `DatabaseName`,
    /// `NotInRecoveryPoint`, `SelectionNames`, `MappedRoleMissing`.
    pub problems: Vec<Problem>,
    /// A restore would work, but not come back in every attribute.
    pub warnings: Vec<Warning>,
}

impl Preflight {
    fn problem(&mut self, code: &str, object: impl Into<String>, message: impl Into<String>) {
        self.problems.push(Problem {
            code: code.to_owned(),
            object: object.into(),
            message: message.into(),
        });
    }

    fn warning(&mut self, code: &str, message: impl Into<String>) {
        self.warnings.push(Warning { code: code.to_owned(), message: message.into() });
    }
}

/// What was found, with what the restore itself needs of it.
pub(super) struct Examined {
    pub(super) manifest: DatabaseManifest,
    /// The archive of the schema, with what was chosen of it.
    pub(super) toc: Toc,
    pub(super) target: TargetFacts,
    /// What was chosen; everything when the choice stands in the way.
    pub(super) selected: Selected,
    pub(super) preflight: Preflight,
    /// The problem that has an error of its own, when there is one.
    pub(super) refusal: Option<Error>,
}

/// Checks whether a restore can begin, without writing anything.
///
/// # Errors
/// When it can't be found out: the server can't be reached, the login fails, the recovery point can't be read.
pub async fn restore_preflight(
    request: &RestoreRequest,
    repository: &Repository,
) -> Result<Preflight> {
    Ok(examine(request, repository).await?.preflight)
}

/// See [`restore_preflight`].
pub(super) async fn examine(request: &RestoreRequest, repository: &Repository) -> Result<Examined> {
    temporary::check_name(&request.temporary_database)?;
    let database = request.selection.database.as_deref();
    let manifest = describe_database(repository, &request.recovery_point_id, database).await?;
    let mut toc = schema::read_toc(repository, &manifest).await?;
    let mut preflight = Preflight::default();
    let selected =
        request.selection.apply(&mut toc, &manifest.extensions).unwrap_or_else(|problems| {
            preflight.problems.extend(problems);
            Selected::default()
        });
    preflight.warnings.extend(selected.warnings.iter().cloned());
    let client = temporary::open_maintenance(&request.target).await?;
    let properties = &manifest.database;
    let mut locales = vec![properties.collate.as_str(), properties.ctype.as_str()];
    locales.dedup();
    let wanted = Wanted { database: &request.database, encoding: &properties.encoding, locales };
    let target = TargetFacts::read(&client, &wanted).await?;
    check_server(request, &manifest, &target, &mut preflight);
    check_locale(&manifest, &target, &mut preflight);
    for extension in manifest.extensions.iter().filter(|found| selected.has_extension(&found.name))
    {
        check_extension(extension, &target, &mut preflight);
    }
    if selected.is_part()
        && !selected.has_large_objects()
        && manifest.large_objects.content.rows > 0
    {
        let message = format!(
            "{} large objects are left out: they belong to no schema; ask for them where columns name them",
            manifest.large_objects.content.rows
        );
        preflight.warning("LargeObjectsLeftOut", message);
    }
    check_rights(&toc, &target, &mut preflight);
    if request.options.roles == RoleMode::CreateMissing {
        check_roles(request, repository, &manifest, &target, &mut preflight).await?;
    }
    let refusal = refusal(request, &manifest, &target);
    Ok(Examined { manifest, toc, target, selected, preflight, refusal })
}

/// Problems that callers tell apart by the error's variant.
fn refusal(
    request: &RestoreRequest,
    manifest: &DatabaseManifest,
    target: &TargetFacts,
) -> Option<Error> {
    if target.major() < manifest.source.server_version_num / 10_000 {
        let (origin, target) = (manifest.source.server_version.clone(), target.version.clone());
        return Some(Error::LowerVersion { origin, target });
    }
    if target.name_taken {
        return Some(Error::TargetExists { database: request.database.clone() });
    }
    let major = tool_major(manifest, target);
    request
        .tools
        .pg_restore(major)
        .is_none()
        .then_some(Error::ToolMissing { tool: "pg_restore", major })
}

/// Smallest major version of a `pg_restore` that reads the archive and knows the target.
pub(super) fn tool_major(manifest: &DatabaseManifest, target: &TargetFacts) -> u32 {
    target.major().max(manifest.schema.tool_major)
}

fn check_server(
    request: &RestoreRequest,
    manifest: &DatabaseManifest,
    target: &TargetFacts,
    preflight: &mut Preflight,
) {
    let database = &request.database;
    let origin = &manifest.source;
    if target.major() < origin.server_version_num / 10_000 {
        let message = format!(
            "the target server has version {}, the recovery point is of {}; restore to the same or a newer major version",
            target.version, origin.server_version
        );
        preflight.problem("LowerVersion", "server", message);
    }
    if target.in_recovery {
        preflight.problem(
            "ReadOnly",
            "server",
            "the target server is a standby; restore to its primary",
        );
    }
    if target.name_taken {
        let message = format!(
            "database {database:?} exists already; choose another name, a restore never overwrites"
        );
        preflight.problem("TargetExists", format!("database {database}"), message);
    }
    if database.is_empty() || database.len() > temporary::NAME_BYTES_MAX || database.contains('\0')
    {
        let message = format!(
            "{database:?} can't be the name of a database: 1 to {} bytes",
            temporary::NAME_BYTES_MAX
        );
        preflight.problem("DatabaseName", format!("database {database}"), message);
    }
    if !target.create_db {
        let message =
            format!("role {:?} may not create databases; run ALTER ROLE … CREATEDB", target.user);
        preflight.problem("CreateDatabase", format!("role {}", target.user), message);
    }
    if target.free_connections == 0 {
        let message = "the target server has no room for the sessions of a restore; raise max_connections or end others";
        preflight.problem("Connections", "server", message);
    } else if target.free_connections < request.options.workers {
        let message = format!(
            "only {} sessions are free on the target server: the restore is slower",
            target.free_connections
        );
        preflight.warning("FewConnections", message);
    }
    let major = tool_major(manifest, target);
    if request.tools.pg_restore(major).is_none() {
        let message =
            format!("install PostgreSQL's client tools of version {major} or newer beside Coffer");
        preflight.problem("ToolMissing", format!("pg_restore {major}"), message);
    }
}

fn check_locale(manifest: &DatabaseManifest, target: &TargetFacts, preflight: &mut Preflight) {
    let properties = &manifest.database;
    if !target.encoding_known {
        let message =
            format!("the target server does not know the encoding {}", properties.encoding);
        preflight.problem("Encoding", format!("encoding {}", properties.encoding), message);
    }
    let (collate, ctype) = (&properties.collate, &properties.ctype);
    if !target.locale_known {
        let message = format!(
            "the target's operating system lacks the locale {collate} or {ctype}; install it there"
        );
        preflight.problem("Locale", format!("locale {collate}, {ctype}"), message);
    }
    let lacks_provider = match properties.locale_provider.as_str() {
        "i" => !target.has_icu || target.version_num < 150_000,
        "b" => target.version_num < 170_000,
        _ => false,
    };
    if lacks_provider {
        let message = "the target server lacks the database's locale provider (ICU or built-in)";
        preflight.problem(
            "Locale",
            format!("locale provider {}", properties.locale_provider),
            message,
        );
    }
    if let (Some(origin), Some(target)) = (&properties.collation_version, &target.collation_version)
        && properties.locale_provider == "c"
        && origin != target
    {
        let message = format!(
            "text sorts by collation version {target} on the target and did by {origin} on the source"
        );
        preflight.warning("CollationVersion", message);
    }
    if properties.tablespace != "pg_default" && !target.tablespaces.contains(&properties.tablespace)
    {
        let message = format!(
            "tablespace {:?} is missing: the database goes into the default one",
            properties.tablespace
        );
        preflight.warning("MissingTablespace", message);
    }
}

fn check_extension(extension: &Extension, target: &TargetFacts, preflight: &mut Preflight) {
    let name = &extension.name;
    let Some(available) = target.extensions.get(name) else {
        let message =
            format!("extension {name} {} is not installed on the target server", extension.version);
        preflight.problem("MissingExtension", format!("extension {name}"), message);
        return;
    };
    if available.default_version != extension.version {
        let message = format!(
            "extension {name} comes back with version {} instead of {}: values of its types may be written differently",
            available.default_version, extension.version
        );
        preflight.warning("ExtensionVersion", message);
    }
    // plpgsql is in every new database.
    if available.superuser_only && !target.superuser && name != "plpgsql" {
        let message = format!(
            "extension {name} is for superusers to install; {:?} is none and may be refused",
            target.user
        );
        preflight.warning("ExtensionRights", message);
    }
    if name == "pg_cron" {
        let message = "extension pg_cron works only in the database that cron.database_name names";
        preflight.warning("ExtensionBoundToName", message);
    }
}

/// Objects that stock PostgreSQL lets only superusers make. A provider's server may be more generous: hence no problem.
fn check_rights(toc: &Toc, target: &TargetFacts, preflight: &mut Preflight) {
    const SUPERUSER_ONLY: [&str; 6] = [
        "FOREIGN DATA WRAPPER",
        "EVENT TRIGGER",
        "SUBSCRIPTION",
        "PROCEDURAL LANGUAGE",
        "ACCESS METHOD",
        "CAST",
    ];
    if target.superuser {
        return;
    }
    for kind in SUPERUSER_ONLY {
        let count = toc.entries.iter().filter(|entry| entry.is(kind)).count();
        if count > 0 {
            let message = format!(
                "{count} object(s) of kind {kind} may need a superuser to make; {:?} is none",
                target.user
            );
            preflight.warning("ObjectRights", message);
        }
    }
}

async fn check_roles(
    request: &RestoreRequest,
    repository: &Repository,
    manifest: &DatabaseManifest,
    target: &TargetFacts,
    preflight: &mut Preflight,
) -> Result<()> {
    let mut missing = Vec::new();
    let mut known = HashSet::new();
    let mut roles = PartReader::new(repository, &manifest.roles);
    while let Some(role) = roles.next::<Role>().await? {
        let name = request.role_map.name(&role.name);
        if name == role.name && !target.roles.contains(name) {
            missing.push(role.name.clone());
        }
        known.insert(role.name);
    }
    for (from, to) in request.role_map.pairs() {
        if !target.roles.contains(to) {
            let message =
                format!("role {to:?} is missing, to which {from:?} is mapped; make it first");
            preflight.problem("MappedRoleMissing", format!("role {to}"), message);
        } else if !known.contains(from) {
            let message =
                format!("role {from:?} is mapped, but the recovery point does not have it");
            preflight.warning("MappedRoleUnused", message);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let mut names = missing.iter().take(NAMES_SHOWN).cloned().collect::<Vec<_>>().join(", ");
    if missing.len() > NAMES_SHOWN {
        names.push_str(", …");
    }
    if target.create_role {
        let message = format!(
            "{} role(s) are missing and are made without login and password: {names}",
            missing.len()
        );
        preflight.warning("MissingRoles", message);
    } else {
        let message = format!(
            "{} role(s) are missing and {:?} may not make them: their objects go to {:?}, their privileges are lost: {names}",
            missing.len(),
            target.user,
            target.user
        );
        preflight.warning("MissingRolesLost", message);
    }
    Ok(())
}
