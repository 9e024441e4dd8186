//! `coffer rescue list`.

use std::collections::BTreeMap;

use anyhow::anyhow;
use clap::Args;
use coffer_engine::{describe_recovery_point, manifest::DatabaseManifest};
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
    database: String,
    server_version: String,
    database_bytes: u64,
    tables: u64,
    rows: u64,
    large_objects: u64,
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
        let described = describe_recovery_point(&opened.repository, &info.recovery_point_id).await;
        let described = described.map(describe).map_err(|error| format!("{:#}", anyhow!(error)));
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

fn describe(manifest: DatabaseManifest) -> Description {
    Description {
        taken_at: printer::time(manifest.snapshot.taken_at_unix_us),
        database: manifest.source.database,
        server_version: manifest.source.server_version,
        database_bytes: manifest.totals.database_bytes,
        tables: manifest.totals.tables,
        rows: manifest.totals.content.rows,
        large_objects: manifest.large_objects.content.rows,
        labels: manifest.labels,
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
                    description.database.clone(),
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
