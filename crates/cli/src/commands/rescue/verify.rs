//! `coffer rescue verify`.

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use coffer_engine::verify_recovery_point;
use coffer_store::VerifyDepth;
use serde::Serialize;

use super::{
    Location, Watched,
    locate::{Opened, Storage},
};
use crate::{args::Output, exit::Failure, printer};

/// Check that everything a recovery point needs is there and undamaged.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    #[command(flatten)]
    location: Location,
    /// Only this recovery point [default: all]
    #[arg(long, value_name = "ID")]
    recovery_point: Option<String>,
    /// How deep to look
    #[arg(long, value_enum, default_value_t = Depth::Full)]
    depth: Depth,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Depth {
    /// Every chunk stands in the authenticated footer of its pack: quick
    Closure,
    /// Every chunk is read, decrypted, decompressed and hashed
    Full,
}

/// What was found for one recovery point, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    recovery_point_id: String,
    sound: bool,
    chunks: u64,
    plain_bytes: u64,
    damaged_chunks: u64,
    /// What is wrong, in words; the first of many.
    damage: Vec<String>,
}

impl Verify {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let storage = self.location.open().await?;
        let depth = match self.depth {
            Depth::Closure => VerifyDepth::Closure,
            Depth::Full => VerifyDepth::Full,
        };
        let watched = Watched::start();
        let mut entries = Vec::new();
        for (opened, id) in choose(&storage, self.recovery_point.as_deref()).await? {
            entries.push(match id {
                Ok(id) => verify(opened, &id, depth, &watched).await?,
                Err(unreadable) => unreadable,
            });
        }
        drop(watched);
        match self.location.output {
            Output::Json => printer::json(&entries)?,
            Output::Text => print(&entries),
        }
        storage.complete()?;
        match entries.iter().filter(|entry| !entry.sound).count() {
            0 => Ok(()),
            damaged => Err(Failure::Request(anyhow!(
                "{damaged} of {} recovery points are damaged",
                entries.len()
            ))),
        }
    }
}

/// A recovery point to verify, or what is known of one whose manifest cannot even be read.
type Choice<'a> = (&'a Opened, Result<String, Entry>);

async fn choose<'a>(storage: &'a Storage, only: Option<&str>) -> Result<Vec<Choice<'a>>, Failure> {
    if let Some(id) = only {
        return Ok(vec![(storage.find(id).await?, Ok(id.to_owned()))]);
    }
    let mut chosen = Vec::new();
    for opened in &storage.repositories {
        let manifests = opened.repository.manifests().await.map_err(Failure::request)?;
        chosen.extend(manifests.valid.into_iter().map(|info| (opened, Ok(info.recovery_point_id))));
        chosen.extend(manifests.unreadable.into_iter().map(|unreadable| {
            let reason = format!("{:#}", anyhow!(unreadable.error));
            (opened, Err(damaged(unreadable.recovery_point_id, reason)))
        }));
    }
    Ok(chosen)
}

async fn verify(
    opened: &Opened,
    id: &str,
    depth: VerifyDepth,
    watched: &Watched,
) -> Result<Entry, Failure> {
    let monitor = watched.monitor();
    let run = verify_recovery_point(&opened.repository, id, depth, monitor.as_ref());
    let outcome = tokio::select! {
        outcome = run => outcome,
        () = watched.cancel.cancelled() => return Err(Failure::Request(anyhow!("cancelled"))),
    };
    match outcome {
        Ok(report) => Ok(Entry {
            recovery_point_id: id.to_owned(),
            sound: report.damaged_chunks == 0,
            chunks: report.chunks,
            plain_bytes: report.plain_bytes,
            damaged_chunks: report.damaged_chunks,
            damage: report
                .damaged
                .into_iter()
                .map(|damage| format!("{:#}", anyhow!(damage.error)))
                .collect(),
        }),
        // The lists of chunks are chunks themselves: damage there ends the walk, and is damage all the same.
        Err(error) if !error.is_transient() => {
            Ok(damaged(id.to_owned(), format!("{:#}", anyhow!(error))))
        }
        Err(error) => Err(Failure::request(error)),
    }
}

fn damaged(recovery_point_id: String, reason: String) -> Entry {
    Entry {
        recovery_point_id,
        sound: false,
        chunks: 0,
        plain_bytes: 0,
        damaged_chunks: 0,
        damage: vec![reason],
    }
}

fn print(entries: &[Entry]) {
    for entry in entries {
        let verdict = if entry.sound { "sound" } else { "DAMAGED" };
        let (id, chunks, bytes) =
            (&entry.recovery_point_id, entry.chunks, printer::bytes(entry.plain_bytes));
        printer::result(&format!("{id}  {verdict}  {chunks} chunks, {bytes}"));
        for damage in &entry.damage {
            printer::result(&format!("  {damage}"));
        }
    }
    if entries.is_empty() {
        printer::note("no recovery points");
    }
}
