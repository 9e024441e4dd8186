//! `coffer rescue restore` and `coffer rescue export`.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::{Context as _, anyhow, bail};
use clap::{Args, ValueEnum};
use coffer_engine::{
    ConnectOptions, Error, Proof, RoleMap, Selection, Tools, describe_root,
    files::{FilesOutcome, FilesRequest, restore_files, restore_server_files},
    manifest::{Root, Warning},
    restore::{RestoreOptions, RestoreRequest, RoleMode, TEMPORARY_PREFIX, restore_database},
};
use serde::Serialize;
use uuid::Uuid;

use super::{Location, Watched, choice::Choice, locate::Opened};
use crate::{args::Output, exit::Failure, printer};

/// Where the password comes from when the URI has none: libpq's own variable. A command line can be read by every
/// process of the machine.
const PASSWORD_VARIABLE: &str = "PGPASSWORD";

/// Restore a recovery point as a new database.
#[derive(Debug, Args)]
pub(crate) struct Restore {
    #[command(flatten)]
    location: Location,
    /// Which recovery point (`coffer rescue list` names them)
    #[arg(long, value_name = "ID")]
    recovery_point: String,
    /// The database to make, as postgres://USER@HOST:PORT/DATABASE (its password in PGPASSWORD or in the URI), or a
    /// directory to make, for an archive
    #[arg(long, value_name = "URI|DIR")]
    target: String,
    /// What happens to owners and privileges
    #[arg(long, value_enum, default_value_t = Roles::CreateMissing)]
    roles: Roles,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    tuning: Tuning,
}

/// Write a recovery point as a pg_dump archive in directory format; that of a server as one archive for each database, with
/// roles and tablespaces beside them.
#[derive(Debug, Args)]
pub(crate) struct Export {
    #[command(flatten)]
    location: Location,
    /// Which recovery point (`coffer rescue list` names them)
    #[arg(long, value_name = "ID")]
    recovery_point: String,
    /// The directory to make; `pg_restore -j` reads it
    #[arg(long, value_name = "DIR")]
    target: String,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    tuning: Tuning,
}

#[derive(Debug, Args)]
pub(super) struct Tuning {
    /// Connections, or files, that are written at the same time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(super) workers: u8,
    /// Further directory with pg_restore (may be repeated)
    #[arg(long, value_name = "DIR")]
    pub(super) tool_dir: Vec<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Roles {
    /// Make missing roles, without login
    CreateMissing,
    /// Everything belongs to the restoring role
    Ignore,
}

/// What `--target` names.
#[derive(Debug, Clone)]
enum Target {
    /// Its options hold a password, which their `Debug` does not show.
    Database(Box<ConnectOptions>),
    Directory(PathBuf),
}

impl FromStr for Target {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let options = ConnectOptions::parse_secret(text)?;
            if options.database.is_empty() {
                bail!("the URI names no database to make");
            }
            return Ok(Self::Database(Box::new(options)));
        }
        if let Ok(url) = url::Url::parse(text) {
            let path = (url.scheme() == "file").then(|| url.to_file_path().ok()).flatten();
            return match path {
                Some(path) => Ok(Self::Directory(path)),
                // Not quoted: it may be a mistyped URI with a password.
                None => bail!("neither a postgres:// URI nor a directory"),
            };
        }
        Ok(Self::Directory(PathBuf::from(text)))
    }
}

/// What was restored, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    recovery_point_id: String,
    /// Name of the database, or path of the archive.
    target: String,
    rows: u64,
    bytes: u64,
    /// True when all that can be compared with the recovery point was, and is equal.
    proved: bool,
    tables_proved: u64,
    rows_proved: u64,
    not_proved: Vec<Remark>,
    warnings: Vec<Remark>,
}

#[derive(Debug, Serialize)]
struct Remark {
    subject: String,
    message: String,
}

impl Restore {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let target = parse_target(&self.target)?;
        let part = self.choice.part()?;
        match target {
            Target::Directory(directory) => {
                export(&self.location, &self.recovery_point, &directory, part, &self.tuning).await
            }
            Target::Database(target) => {
                let storage = self.location.open().await?;
                let opened = storage.find(&self.recovery_point).await?;
                let request =
                    request(*target, self.recovery_point, self.roles, part, &self.tuning)?;
                let report = database(opened, request).await?;
                print(self.location.output, &report)
            }
        }
    }
}

impl Export {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        match parse_target(&self.target)? {
            Target::Directory(directory) => {
                let part = self.choice.part()?;
                export(&self.location, &self.recovery_point, &directory, part, &self.tuning).await
            }
            Target::Database(_) => Err(Failure::Usage(anyhow!(
                "export writes a directory; for a database there is `coffer rescue restore`"
            ))),
        }
    }
}

/// Not left to the parser of the command line, which repeats what it refuses: here that may hold a password.
fn parse_target(text: &str) -> Result<Target, Failure> {
    text.parse().context("--target").map_err(Failure::Usage)
}

/// With the password of the environment where the URI has none.
pub(super) fn with_password(mut server: ConnectOptions) -> ConnectOptions {
    if server.password.is_none() {
        server.password = std::env::var(PASSWORD_VARIABLE).ok().map(Into::into);
    }
    server
}

/// The request but for its working directory, which lives as long as the restore.
fn request(
    target: ConnectOptions,
    recovery_point_id: String,
    roles: Roles,
    (selection, role_map): (Selection, RoleMap),
    tuning: &Tuning,
) -> Result<RestoreRequest, Failure> {
    if matches!(roles, Roles::Ignore) && !role_map.is_empty() {
        let message =
            "--roles ignore and --map-role exclude each other: nothing is given to any role";
        return Err(Failure::Usage(anyhow!(message)));
    }
    let target = with_password(target);
    let roles = match roles {
        Roles::CreateMissing => RoleMode::CreateMissing,
        Roles::Ignore => RoleMode::Ignore,
    };
    Ok(RestoreRequest {
        database: target.database.clone(),
        temporary_database: format!("{TEMPORARY_PREFIX}{}", Uuid::new_v4().simple()),
        target,
        tools: Tools::discover(&tuning.tool_dir),
        recovery_point_id,
        options: RestoreOptions {
            workers: usize::from(tuning.workers),
            roles,
            ..RestoreOptions::default()
        },
        selection,
        role_map,
        work_dir: std::env::temp_dir(),
    })
}

async fn database(opened: &Opened, mut request: RestoreRequest) -> Result<Report, Failure> {
    let work =
        tempfile::Builder::new().prefix("coffer-rescue-").tempdir().map_err(anyhow::Error::from)?;
    request.work_dir = work.path().to_owned();
    let (recovery_point_id, target) = (request.recovery_point_id.clone(), request.database.clone());
    let watched = Watched::start();
    let outcome = Box::pin(restore_database(
        request,
        &opened.repository,
        watched.monitor(),
        watched.cancel.clone(),
    ))
    .await;
    drop(watched);
    let outcome = outcome.map_err(explain)?;
    Ok(report(
        recovery_point_id,
        target,
        (outcome.rows, outcome.bytes),
        outcome.proof,
        outcome.warnings,
    ))
}

async fn export(
    location: &Location,
    recovery_point_id: &str,
    target: &Path,
    (selection, role_map): (Selection, RoleMap),
    tuning: &Tuning,
) -> Result<(), Failure> {
    let target = std::path::absolute(target)
        .context("the directory's path is not usable")
        .map_err(Failure::Usage)?;
    let (Some(directory), Some(prefix)) =
        (target.parent(), target.file_name().and_then(|name| name.to_str()))
    else {
        return Err(Failure::Usage(anyhow!(
            "{} is no directory that can be made",
            target.display()
        )));
    };
    let storage = location.open().await?;
    let opened = storage.find(recovery_point_id).await?;
    let request = FilesRequest {
        recovery_point_id: recovery_point_id.to_owned(),
        directory: directory.to_owned(),
        prefix: prefix.to_owned(),
        workers: usize::from(tuning.workers),
        selection,
        role_map,
    };
    let watched = Watched::start();
    let outcome = write_files(opened, request, &tuning.tool_dir, &watched).await;
    drop(watched);
    let outcome = outcome.map_err(explain)?;
    let path = outcome.path.display().to_string();
    let report = report(
        recovery_point_id.to_owned(),
        path,
        (outcome.rows, outcome.bytes),
        outcome.proof,
        outcome.warnings,
    );
    print(location.output, &report)
}

async fn write_files(
    opened: &Opened,
    request: FilesRequest,
    tool_dir: &[PathBuf],
    watched: &Watched,
) -> Result<FilesOutcome, Error> {
    let (repository, monitor) = (&opened.repository, watched.monitor());
    let cancel = watched.cancel.clone();
    let whole = request.selection.database.is_none() && request.selection.is_everything();
    if whole && let Root::Server(_) = describe_root(repository, &request.recovery_point_id).await? {
        let tools = Tools::discover(tool_dir);
        let writing = restore_server_files(request, &tools, repository, monitor, cancel);
        return Box::pin(writing).await;
    }
    Box::pin(restore_files(request, repository, monitor, cancel)).await
}

fn report(
    recovery_point_id: String,
    target: String,
    (rows, bytes): (u64, u64),
    proof: Proof,
    warnings: Vec<Warning>,
) -> Report {
    Report {
        recovery_point_id,
        target,
        rows,
        bytes,
        proved: proof.equal,
        tables_proved: proof.tables,
        rows_proved: proof.rows,
        not_proved: proof
            .not_proved
            .into_iter()
            .map(|not| Remark { subject: not.object, message: not.reason })
            .collect(),
        warnings: warnings
            .into_iter()
            .map(|warning| Remark { subject: warning.code, message: warning.message })
            .collect(),
    }
}

/// Lists what the error only counts: a person has to see all of it at once.
fn explain(error: Error) -> Failure {
    match &error {
        Error::Preflight(problems) => {
            for problem in problems {
                printer::note(&format!("{}: {}", problem.object, problem.message));
            }
        }
        Error::ProofFailed { differences } => {
            for difference in differences {
                let (object, expected, found) =
                    (&difference.object, &difference.expected, &difference.found);
                printer::note(&format!(
                    "{object}: {expected} in the recovery point, {found} restored"
                ));
            }
        }
        _ => {}
    }
    Failure::Request(error.into())
}

fn print(output: Output, report: &Report) -> Result<(), Failure> {
    if output == Output::Json {
        return printer::json(report);
    }
    printer::result(&format!(
        "{}: {} rows, {}; {} tables with {} rows compared with the recovery point: equal",
        report.target,
        report.rows,
        printer::bytes(report.bytes),
        report.tables_proved,
        report.rows_proved
    ));
    for remark in &report.not_proved {
        printer::result(&format!("not compared: {}: {}", remark.subject, remark.message));
    }
    for remark in &report.warnings {
        printer::result(&format!("warning: {}: {}", remark.subject, remark.message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_database_or_a_directory() -> anyhow::Result<()> {
        assert!(
            matches!("postgres://u:p@h/d".parse()?, Target::Database(options) if options.database == "d")
        );
        assert!(
            matches!("/srv/archive".parse()?, Target::Directory(path) if path == Path::new("/srv/archive"))
        );
        assert!(
            matches!("archive".parse()?, Target::Directory(path) if path == Path::new("archive"))
        );
        assert!(
            matches!("file:///srv/a%20b".parse()?, Target::Directory(path) if path == Path::new("/srv/a b"))
        );
        Ok(())
    }

    #[test]
    fn a_refused_target_is_not_quoted() {
        let refused =
            ["postgrs://u:hunter2@h/d", "https://u:hunter2@h/d"].map(|text| text.parse::<Target>());
        for error in refused.into_iter().filter_map(Result::err) {
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
