//! `coffer rescue verify`, at three depths.
//!
//! Every byte is read once and not once for each recovery point that needs it: first the packs, then what their damage means
//! for the recovery points. Damage is put on record in the storage, so that the next backup stores anew what is lost; that,
//! and nothing else, is written there.

mod packs;
mod scratch;
mod share;

use std::path::PathBuf;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use coffer_engine::{Error, verify_recovery_point, verify_recovery_point_knowing};
use coffer_store::{DamagedPacks, VerifyDepth, VerifyReport};
use serde::Serialize;

use self::{
    packs::PackEntry,
    share::{ReadState, Wanted},
};
use super::{
    Location, Watched,
    locate::{Opened, Storage},
};
use crate::{args::Output, exit::Failure, printer};

/// Check that what is stored is what was stored.
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
    #[command(flatten)]
    wanted: Wanted,
    /// File that keeps how far the reading is; a run that is given it again goes on there. Removed at the end
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Put nothing on record: the storage is only read
    #[arg(long)]
    no_record: bool,
    /// For the depth of restore: a server on which databases may be made, as postgres://USER@HOST:PORT (its password in
    /// PGPASSWORD or in the URI)
    #[arg(long, value_name = "URI")]
    scratch: Option<String>,
    #[command(flatten)]
    tuning: super::restore::Tuning,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Depth {
    /// Every chunk stands in the authenticated footer of its pack, and is not on record as damaged: quick
    Closure,
    /// Every byte is read, decrypted, decompressed and hashed
    Full,
    /// Each recovery point is restored into a database of a temporary name, compared with it and dropped
    Restore,
}

/// All that was found, as programs read it.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    recovery_points: Vec<Entry>,
    /// Where packs were read.
    repositories: Vec<PackEntry>,
}

/// What was found for one recovery point.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    recovery_point_id: String,
    sound: bool,
    verdict: Verdict,
    chunks: u64,
    plain_bytes: u64,
    damaged_chunks: u64,
    /// What is wrong, in words; the first of many.
    damage: Vec<String>,
    /// At the depth of restore: rows that were compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_proved: Option<u64>,
    /// At the depth of restore: what could not be compared, and what did not come back in every attribute.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    remarks: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    Sound,
    Damaged,
    /// It could not be found out. No good news.
    Unchecked,
}

impl Entry {
    fn new(id: &str, verdict: Verdict, damage: Vec<String>) -> Self {
        Self {
            recovery_point_id: id.to_owned(),
            sound: verdict == Verdict::Sound,
            verdict,
            chunks: 0,
            plain_bytes: 0,
            damaged_chunks: 0,
            damage,
            rows_proved: None,
            remarks: Vec::new(),
        }
    }

    fn of(id: &str, report: VerifyReport) -> Self {
        let verdict = if report.damaged_chunks == 0 { Verdict::Sound } else { Verdict::Damaged };
        let damage =
            report.damaged.into_iter().map(|damage| in_words(damage.error)).collect::<Vec<_>>();
        Self {
            chunks: report.chunks,
            plain_bytes: report.plain_bytes,
            damaged_chunks: report.damaged_chunks,
            ..Self::new(id, verdict, damage)
        }
    }
}

impl Verify {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        self.check_usage()?;
        let scratch = self.scratch.as_deref().map(scratch::Scratch::parse).transpose()?;
        let storage = self.location.open().await?;
        let watched = Watched::start();
        let mut report = Report::default();
        match (self.depth, scratch) {
            (Depth::Restore, Some(scratch)) => {
                for (opened, id) in self.choose(&storage).await? {
                    report.recovery_points.push(match id {
                        Ok(id) => {
                            Box::pin(scratch.verify(opened, &id, &self.tuning, &watched)).await?
                        }
                        Err(unreadable) => unreadable,
                    });
                }
            }
            (Depth::Full, _) if self.recovery_point.is_none() => {
                self.read_all(&storage, &watched, &mut report).await?;
            }
            (depth, _) => {
                let depth = match depth {
                    Depth::Closure => VerifyDepth::Closure,
                    Depth::Full | Depth::Restore => VerifyDepth::Full,
                };
                for (opened, id) in self.choose(&storage).await? {
                    report.recovery_points.push(match id {
                        Ok(id) => look(opened, &id, How::Depth(depth), &watched).await?,
                        Err(unreadable) => unreadable,
                    });
                }
            }
        }
        drop(watched);
        match self.location.output {
            Output::Json => printer::json(&report)?,
            Output::Text => print(&report),
        }
        storage.complete()?;
        conclude(&report)
    }

    /// Reads the packs of every repository, and then looks what is lost with those that are damaged.
    async fn read_all(
        &self,
        storage: &Storage,
        watched: &Watched,
        report: &mut Report,
    ) -> Result<(), Failure> {
        let mut state = ReadState::open(&self.wanted, self.state.as_deref())?;
        for opened in &storage.repositories {
            let read = packs::read(opened, &mut state, !self.no_record, watched).await?;
            for (opened, id) in all_of(opened).await? {
                let how = match &read.unrecorded {
                    None => How::Depth(VerifyDepth::Closure),
                    Some(damaged) => How::Knowing(damaged.clone()),
                };
                report.recovery_points.push(match id {
                    Ok(id) => look(opened, &id, how, watched).await?,
                    Err(unreadable) => unreadable,
                });
            }
            report.repositories.push(read.entry);
        }
        state.finish()
    }

    /// What the parser of the command line can't see.
    fn check_usage(&self) -> Result<(), Failure> {
        let usage = |message: &str| Err(Failure::Usage(anyhow!("{message}")));
        let whole = self.depth == Depth::Full && self.recovery_point.is_none();
        if !whole && (self.wanted.is_given() || self.state.is_some()) {
            return usage(
                "--share, --sample and --state are for --depth full of all recovery points: packs belong to many of them",
            );
        }
        match (self.depth, &self.scratch) {
            (Depth::Restore, None) => {
                usage("--depth restore needs a server: --scratch postgres://…")
            }
            (Depth::Closure | Depth::Full, Some(_)) => usage("--scratch is for --depth restore"),
            _ => Ok(()),
        }
    }

    async fn choose<'a>(&self, storage: &'a Storage) -> Result<Vec<Choice<'a>>, Failure> {
        if let Some(id) = &self.recovery_point {
            return Ok(vec![(storage.find(id).await?, Ok(id.clone()))]);
        }
        let mut chosen = Vec::new();
        for opened in &storage.repositories {
            chosen.extend(all_of(opened).await?);
        }
        Ok(chosen)
    }
}

/// A recovery point to verify, or what is known of one whose manifest cannot even be read.
type Choice<'a> = (&'a Opened, Result<String, Entry>);

async fn all_of(opened: &Opened) -> Result<Vec<Choice<'_>>, Failure> {
    let manifests = opened.repository.manifests().await.map_err(Failure::request)?;
    if let Some(damage) = &manifests.lease_damage {
        printer::note(&format!("warning: repository {}: {damage}", opened.id));
    }
    let valid = manifests.valid.into_iter().map(|info| (opened, Ok(info.recovery_point_id)));
    let unreadable = manifests.unreadable.into_iter().map(|unreadable| {
        let reason = in_words(unreadable.error);
        let id = &unreadable.recovery_point_id;
        (opened, Err(Entry::new(id, Verdict::Damaged, vec![reason])))
    });
    Ok(valid.chain(unreadable).collect())
}

/// How the chunks of a recovery point are looked at.
enum How {
    Depth(VerifyDepth),
    Knowing(DamagedPacks),
}

async fn look(opened: &Opened, id: &str, how: How, watched: &Watched) -> Result<Entry, Failure> {
    let monitor = watched.monitor();
    let (repository, monitor) = (&opened.repository, monitor.as_ref());
    let run = async {
        match how {
            How::Depth(depth) => verify_recovery_point(repository, id, depth, monitor).await,
            How::Knowing(damaged) => {
                verify_recovery_point_knowing(repository, id, damaged, monitor).await
            }
        }
    };
    let outcome = tokio::select! {
        outcome = run => outcome,
        () = watched.cancel.cancelled() => return Err(cancelled()),
    };
    match outcome {
        Ok(report) => Ok(Entry::of(id, report)),
        // The lists of chunks are chunks themselves: damage there ends the walk, and is damage all the same.
        Err(error) if is_damage(&error) => {
            Ok(Entry::new(id, Verdict::Damaged, vec![in_words(error)]))
        }
        Err(error) => Err(Failure::request(error)),
    }
}

/// Whether what is stored is not what it should be, as opposed to a storage or server that fails.
fn is_damage(error: &Error) -> bool {
    match error {
        Error::Manifest { .. } => true,
        Error::Store { source, .. } => {
            source.is_damage() || matches!(source, coffer_store::Error::NotFound { .. })
        }
        _ => false,
    }
}

fn in_words(error: impl Into<anyhow::Error>) -> String {
    format!("{:#}", error.into())
}

fn cancelled() -> Failure {
    Failure::Request(anyhow!("cancelled"))
}

fn print(report: &Report) {
    for entry in &report.repositories {
        entry.print();
    }
    for entry in &report.recovery_points {
        let verdict = match entry.verdict {
            Verdict::Sound => "sound",
            Verdict::Damaged => "DAMAGED",
            Verdict::Unchecked => "NOT CHECKED",
        };
        let what = match entry.rows_proved {
            Some(rows) => format!("{rows} rows restored and compared"),
            None => format!("{} chunks, {}", entry.chunks, printer::bytes(entry.plain_bytes)),
        };
        printer::result(&format!("{}  {verdict}  {what}", entry.recovery_point_id));
        for line in entry.damage.iter().chain(&entry.remarks) {
            printer::result(&format!("  {line}"));
        }
    }
    if report.recovery_points.is_empty() {
        printer::note("no recovery points");
    }
}

/// Only what was looked at and is sound is a success.
fn conclude(report: &Report) -> Result<(), Failure> {
    let count = |verdict| report.recovery_points.iter().filter(|it| it.verdict == verdict).count();
    let all = report.recovery_points.len();
    let failed = |what: String| Err(Failure::Request(anyhow!("{what}")));
    match (count(Verdict::Damaged), count(Verdict::Unchecked)) {
        (0, 0) => {}
        (0, unchecked) => {
            return failed(format!("{unchecked} of {all} recovery points could not be checked"));
        }
        (damaged, _) => return failed(format!("{damaged} of {all} recovery points are damaged")),
    }
    let sum = |of: fn(&PackEntry) -> u64| report.repositories.iter().map(of).sum::<u64>();
    match (sum(PackEntry::damaged), sum(PackEntry::unread)) {
        (0, 0) => Ok(()),
        (0, unread) => failed(format!("{unread} packs could not be read")),
        (damaged, _) => {
            failed(format!("{damaged} packs are damaged, none of which a recovery point needs"))
        }
    }
}
