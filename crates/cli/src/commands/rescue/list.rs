//! `coffer rescue list`.

use std::collections::BTreeMap;

use anyhow::anyhow;
use clap::Args;
use coffer_engine::{describe_root, list_databases, manifest::Root};
use coffer_store::Repository;
use serde::Serialize;

use super::{Location, locate::Opened};
use crate::{args::Output, exit::Failure, printer};

/// List all recovery points.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    location: Location,
}

/// One recovery point, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    recovery_point_id: String,
    vault: String,
    repository: String,
    /// Absent when the recovery point cannot be read; `error` then says why.
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    description: Option<Description>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// What its manifest tells.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Description {
    /// RFC 3339, by the source server's clock.
    taken_at: String,
    /// Absent for a server, which has several.
    #[serde(skip_serializing_if = "Option::is_none")]
    database: Option<String>,
    /// Of a server.
    #[serde(skip_serializing_if = "Option::is_none")]
    databases: Option<Vec<String>>,
    server_version: String,
    database_bytes: u64,
    tables: u64,
    rows: u64,
    /// Absent for a server, whose databases have to be read for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    large_objects: Option<u64>,
    /// Names given by the service: instance, policy, tag.
    labels: BTreeMap<String, String>,
}

impl List {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let storage = self.location.open().await?;
        let mut entries = Vec::new();
        for opened in &storage.repositories {
            collect(opened, &mut entries).await?;
        }
        entries.sort_by_key(|entry| {
            entry.description.as_ref().map(|description| description.taken_at.clone())
        });
        match self.location.output {
            Output::Json => printer::json(&entries)?,
            Output::Text => print(&entries),
        }
        storage.complete()?;
        match entries.iter().filter(|entry| entry.error.is_some()).count() {
            0 => Ok(()),
            damaged => Err(Failure::Request(anyhow!(
                "{damaged} of {} recovery points are damaged",
                entries.len()
            ))),
        }
    }
}

async fn collect(opened: &Opened, entries: &mut Vec<Entry>) -> Result<(), Failure> {
    let manifests = opened.repository.manifests().await.map_err(Failure::request)?;
    if let Some(damage) = &manifests.lease_damage {
        printer::note(&format!("warning: repository {}: {damage}", opened.id));
    }
    let entry = |recovery_point_id: String, described: Result<Description, String>| {
        let (description, error) = match described {
            Ok(description) => (Some(description), None),
            Err(error) => (None, Some(error)),
        };
        let (vault, repository) = (opened.vault.to_string(), opened.id.to_string());
        Entry { recovery_point_id, vault, repository, description, error }
    };
    for info in manifests.valid {
        let described = describe(&opened.repository, &info.recovery_point_id).await;
        let described = described.map_err(|error| format!("{:#}", anyhow!(error)));
        entries.push(entry(info.recovery_point_id, described));
    }
    for unreadable in manifests.unreadable {
        entries.push(entry(
            unreadable.recovery_point_id,
            Err(format!("{:#}", anyhow!(unreadable.error))),
        ));
    }
    Ok(())
}

async fn describe(repository: &Repository, id: &str) -> coffer_engine::error::Result<Description> {
    let root = describe_root(repository, id).await?;
    let (database, databases, large_objects) = match &root {
        Root::Database(root) => {
            (Some(root.source.database.clone()), None, Some(root.large_objects.content.rows))
        }
        Root::Server(root) => {
            let entries = list_databases(repository, root).await?;
            (None, Some(entries.into_iter().map(|entry| entry.name).collect()), None)
        }
    };
    let totals = root.totals();
    Ok(Description {
        taken_at: printer::time(root.taken_at_unix_us()),
        database,
        databases,
        server_version: root.server_version().to_owned(),
        database_bytes: totals.database_bytes,
        tables: totals.tables,
        rows: totals.content.rows,
        large_objects,
        labels: root.labels().clone(),
    })
}

/// The database, or how many a server has and the first of them.
fn names(description: &Description) -> String {
    match (&description.database, description.databases.as_deref()) {
        (Some(database), _) => database.clone(),
        (None, None | Some([])) => "server".to_owned(),
        (None, Some([only])) => format!("server: {only}"),
        (None, Some([first, others @ ..])) => format!("server: {first} and {} more", others.len()),
    }
}

fn print(entries: &[Entry]) {
    let rows: Vec<Vec<String>> = entries
        .iter()
        .map(|entry| {
            let mut row = vec![entry.recovery_point_id.clone()];
            match (&entry.description, &entry.error) {
                (Some(description), _) => row.extend([
                    description.taken_at.clone(),
                    names(description),
                    description.server_version.clone(),
                    printer::bytes(description.database_bytes),
                    description.rows.to_string(),
                ]),
                (None, error) => {
                    row.push(format!("DAMAGED: {}", error.as_deref().unwrap_or_default()));
                }
            }
            row
        })
        .collect();
    if rows.is_empty() {
        printer::note("no recovery points");
        return;
    }
    printer::table(&["RECOVERY POINT", "TAKEN AT", "DATABASE", "SERVER", "SIZE", "ROWS"], &rows);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreadable_recovery_point_keeps_its_id_and_says_why() -> anyhow::Result<()> {
        let entry = Entry {
            recovery_point_id: "00".repeat(16),
            vault: "v".to_owned(),
            repository: "r".to_owned(),
            description: None,
            error: Some("cut short".to_owned()),
        };
        let value = serde_json::to_value(&entry)?;
        assert_eq!(value["recoveryPointId"], "00".repeat(16));
        assert_eq!(value["error"], "cut short");
        assert_eq!(value.as_object().map(serde_json::Map::len), Some(4));
        Ok(())
    }
}
