//! `coffer rescue collect`: deleting the packs that no recovery point needs.
//!
//! The service does it by itself; this is for a storage location that no service works on any more.

use anyhow::anyhow;
use clap::Args;
use coffer_control::{
    Clock,
    lease::{LeaseClaim, with_lease},
    operations::collection_crash_point,
};
use coffer_engine::plan_collection;
use coffer_store::{CollectionPlan, CollectionReport, LeasePurpose, PackReason};
use serde::Serialize;
use uuid::Uuid;

use super::{LEASE_PATIENCE, Location, Watched, lease_holder, locate::Opened};
use crate::{args::Output, exit::Failure, printer};

const HOUR_MS: u64 = 3_600_000;

/// Delete the packs that no recovery point needs.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["dry_run", "yes"]))]
pub(crate) struct Collect {
    #[command(flatten)]
    location: Location,
    /// Delete nothing; list what would go, and why. (The repository's lease is taken for it, which is written.)
    #[arg(long)]
    dry_run: bool,
    /// Delete it
    #[arg(long)]
    yes: bool,
    /// Only this repository [default: all]
    #[arg(long, value_name = "ID")]
    repository: Option<Uuid>,
    /// Hours for which what an interrupted backup has left stays, so that the next attempt can take it over
    #[arg(long, value_name = "HOURS", default_value_t = 24)]
    grace_hours: u32,
}

/// What becomes of one repository, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    vault: String,
    repository: String,
    packs: Vec<Pack>,
    /// What was deleted and what stays; absent in a dry run.
    #[serde(skip_serializing_if = "Option::is_none")]
    done: Option<Done>,
    /// Why nothing, or not everything, was done.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Pack {
    pack: String,
    bytes: u64,
    /// Of a pack that stays: bytes that no recovery point needs, and that go with the rest of the pack.
    idle_bytes: u64,
    goes: bool,
    /// Stable, for programs.
    reason: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    deleted_packs: u64,
    deleted_bytes: u64,
    kept_packs: u64,
    kept_bytes: u64,
    idle_packs: u64,
    idle_bytes: u64,
}

impl Collect {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let storage = self.location.open().await?;
        let chosen = storage.chosen(self.repository)?;
        let watched = Watched::start();
        let mut entries = Vec::new();
        for opened in chosen {
            entries.push(self.collect(opened, &watched).await);
        }
        drop(watched);
        match self.location.output {
            Output::Json => printer::json(&entries)?,
            Output::Text => entries.iter().for_each(print),
        }
        storage.complete()?;
        match entries.iter().filter(|entry| entry.error.is_some()).count() {
            0 => Ok(()),
            failed => Err(Failure::Request(anyhow!(
                "{failed} of {} repositories could not be collected",
                entries.len()
            ))),
        }
    }

    /// A repository in which something cannot be read keeps everything; the others have their turn all the same.
    async fn collect(&self, opened: &Opened, watched: &Watched) -> Entry {
        let mut entry = Entry {
            vault: opened.vault.to_string(),
            repository: opened.id.to_string(),
            packs: Vec::new(),
            done: None,
            error: None,
        };
        let holder = lease_holder();
        let claim = LeaseClaim {
            holder: &holder,
            purpose: LeasePurpose::Collection,
            patience: LEASE_PATIENCE,
            above: 0,
        };
        let (clock, stop) = (Clock::system(), watched.cancel.child_token());
        let grace_ms = u64::from(self.grace_hours) * HOUR_MS;
        let repository = &opened.repository;
        let packs = &mut entry.packs;
        let outcome = with_lease(repository, claim, &clock, &stop, async |lease| {
            let work = async {
                let plan = plan_collection(repository, &lease, clock.now_ms(), grace_ms).await?;
                collection_crash_point("planned");
                *packs = listed(&plan);
                if self.dry_run {
                    return anyhow::Ok(None);
                }
                let collecting = repository
                    .collect_with(&lease, plan, |_so_far| collection_crash_point("deleting"))
                    .await?;
                Ok(Some(collecting))
            };
            // Dropped in the middle, it is a collection that was interrupted, which the next one finishes.
            tokio::select! {
                done = work => done,
                () = stop.cancelled() => Err(anyhow!("cancelled")),
            }
        })
        .await;
        match outcome.map_err(anyhow::Error::from).and_then(|done| done) {
            Ok(done) => entry.done = done.map(Done::from),
            Err(error) => entry.error = Some(format!("{error:#}")),
        }
        entry
    }
}

impl From<CollectionReport> for Done {
    fn from(report: CollectionReport) -> Self {
        Self {
            deleted_packs: report.deleted_packs,
            deleted_bytes: report.deleted_bytes,
            kept_packs: report.kept_packs,
            kept_bytes: report.kept_bytes,
            idle_packs: report.idle_packs,
            idle_bytes: report.idle_bytes,
        }
    }
}

fn listed(plan: &CollectionPlan) -> Vec<Pack> {
    let pack = |decision: &coffer_store::PackDecision| Pack {
        pack: decision.pack.to_string(),
        bytes: decision.bytes,
        idle_bytes: decision.idle_bytes,
        goes: decision.reason.deletes(),
        reason: name(decision.reason),
    };
    plan.decisions().iter().map(pack).collect()
}

fn name(reason: PackReason) -> &'static str {
    match reason {
        PackReason::Needed => "needed",
        PackReason::NotOlderThanLease => "not-older-than-lease",
        PackReason::WithinGrace => "within-grace",
        PackReason::AtSource => "at-source",
        PackReason::Unreferenced => "unreferenced",
        PackReason::Interrupted => "interrupted",
        PackReason::Announced => "announced",
    }
}

fn print(entry: &Entry) {
    let sum = |goes: bool| {
        let packs = entry.packs.iter().filter(|pack| pack.goes == goes);
        let (count, bytes) =
            packs.fold((0_u64, 0_u64), |(count, bytes), pack| (count + 1, bytes + pack.bytes));
        format!("{count} packs, {}", printer::bytes(bytes))
    };
    for pack in entry.packs.iter().filter(|pack| pack.goes) {
        let bytes = printer::bytes(pack.bytes);
        printer::result(&format!("  {}  {bytes}  {}", pack.pack, pack.reason));
    }
    let goes = match &entry.done {
        Some(done) => {
            format!("deleted {} packs, {}", done.deleted_packs, printer::bytes(done.deleted_bytes))
        }
        None => format!("{} would go", sum(true)),
    };
    match &entry.error {
        Some(error) => printer::result(&format!("repository {}: {error}", entry.repository)),
        None => {
            let stays = sum(false);
            let idle = printer::bytes(entry.packs.iter().map(|pack| pack.idle_bytes).sum());
            printer::result(&format!(
                "repository {}: {goes}; {stays} stay, of which {idle} are not needed but lie beside what is",
                entry.repository
            ));
        }
    }
}
