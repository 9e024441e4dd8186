//! `coffer rescue recover-lease`: making a repository writable again whose lease is damaged.
//!
//! Nobody else does it, and nothing does it by itself: whether a holder is still at work, and whether a recovery point of one that
//! was late may count, only a person can answer for.

use anyhow::anyhow;
use clap::Args;
use coffer_control::Clock;
use coffer_store::{Error, LeaseRecovery};
use serde::Serialize;
use uuid::Uuid;

use super::{LEASE_PATIENCE, Location, lease_holder, locate::Opened};
use crate::{args::Output, exit::Failure, printer};

/// How long the claim holds if this process dies at it.
const CLAIM_MS: u64 = 60_000;

/// Repair the lease of repositories whose records are damaged.
#[derive(Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true).args(["dry_run", "yes"]))]
pub(crate) struct RecoverLease {
    #[command(flatten)]
    location: Location,
    /// Write nothing; say which repositories have a damaged lease
    #[arg(long)]
    dry_run: bool,
    /// Repair it. No service and no other command may be at work on the repository
    #[arg(long)]
    yes: bool,
    /// Only this repository [default: all whose lease is damaged]
    #[arg(long, value_name = "ID")]
    repository: Option<Uuid>,
}

/// One repository, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    vault: String,
    repository: String,
    /// What is wrong with the lease, or was before it was repaired; absent if it is sound.
    #[serde(skip_serializing_if = "Option::is_none")]
    damage: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repaired: Option<Repaired>,
    /// Why it could not be repaired or looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Repaired {
    generation: u64,
    recovery_points: Vec<String>,
    /// Manifests that cannot be authenticated and count no more.
    left_out: Vec<LeftOut>,
    may_hold_stale: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LeftOut {
    recovery_point_id: String,
    generation: u64,
    reason: String,
}

impl RecoverLease {
    pub(crate) async fn run(self) -> Result<(), Failure> {
        let storage = self.location.open().await?;
        let chosen = storage.chosen(self.repository)?;
        let mut entries = Vec::new();
        for opened in chosen {
            entries.push(self.recover(opened).await);
        }
        match self.location.output {
            Output::Json => printer::json(&entries)?,
            Output::Text => entries.iter().for_each(print),
        }
        storage.complete()?;
        let open = entries
            .iter()
            .filter(|entry| {
                entry.error.is_some() || entry.damage.is_some() && entry.repaired.is_none()
            })
            .count();
        match open {
            0 => Ok(()),
            open => Err(Failure::Request(anyhow!(
                "the lease of {open} of {} repositories is damaged or could not be looked at",
                entries.len()
            ))),
        }
    }

    async fn recover(&self, opened: &Opened) -> Entry {
        let mut entry = Entry {
            vault: opened.vault.to_string(),
            repository: opened.id.to_string(),
            damage: None,
            repaired: None,
            error: None,
        };
        let outcome = if self.dry_run {
            opened.repository.lease_damage().await.map(|damage| {
                entry.damage = damage.map(|error| error.to_string());
            })
        } else {
            repair(opened).await.map(|recovery| {
                if let Some(recovery) = recovery {
                    entry.damage = Some(recovery.damage.to_string());
                    entry.repaired = Some(Repaired::from(recovery));
                }
            })
        };
        entry.error = outcome.err().map(|error| format!("{:#}", anyhow!(error)));
        entry
    }
}

/// Waits for one whose claim can be read: a service that tried to take the lease in vain leaves one, which runs out.
async fn repair(opened: &Opened) -> Result<Option<LeaseRecovery>, Error> {
    let (clock, holder) = (Clock::system(), lease_holder());
    let until = tokio::time::Instant::now() + LEASE_PATIENCE;
    loop {
        let outcome = opened.repository.recover_lease(&holder, clock.now_ms(), CLAIM_MS).await;
        match outcome {
            Err(Error::LeaseHeld { .. }) if tokio::time::Instant::now() < until => {}
            outcome => return outcome,
        }
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}

impl From<LeaseRecovery> for Repaired {
    fn from(recovery: LeaseRecovery) -> Self {
        let left_out = recovery.left_out.into_iter().map(|manifest| LeftOut {
            recovery_point_id: manifest.recovery_point_id,
            generation: manifest.generation,
            reason: manifest.error.to_string(),
        });
        Self {
            generation: recovery.generation,
            recovery_points: recovery.accepted,
            left_out: left_out.collect(),
            may_hold_stale: recovery.may_hold_stale,
        }
    }
}

fn print(entry: &Entry) {
    let said = match (&entry.error, &entry.damage, &entry.repaired) {
        (Some(error), ..) => error.clone(),
        (None, None, _) => "the lease is sound".to_owned(),
        (None, Some(damage), None) => format!("the lease is damaged: {damage}"),
        (None, Some(damage), Some(done)) => {
            let points = done.recovery_points.len();
            format!("the lease was repaired ({damage}); {points} recovery points count")
        }
    };
    printer::result(&format!("repository {}: {said}", entry.repository));
    let Some(done) = &entry.repaired else { return };
    for LeftOut { recovery_point_id, reason, .. } in &done.left_out {
        printer::result(&format!("  left out: recovery point {recovery_point_id}: {reason}"));
    }
    if done.may_hold_stale {
        printer::result("  stale recovery points may be among them: run `coffer rescue verify`");
    }
}
