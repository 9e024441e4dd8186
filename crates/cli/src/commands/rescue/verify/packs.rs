//! Every byte of the packs of a share, and putting on record what is damaged.

use coffer_control::{
    Clock,
    lease::{LeaseClaim, with_lease},
};
use coffer_engine::PackReading;
use coffer_store::{DamagedPacks, LeasePurpose, PackOutcome, PackReport, PackVerdict};
use serde::Serialize;

use super::{Opened, Watched, cancelled, in_words, share::ReadState};
use crate::{
    commands::rescue::{LEASE_PATIENCE, lease_holder},
    exit::Failure,
    printer,
};

/// Bytes read between two notes of how far it is.
const TURN_BYTES: u64 = 256 * 1024 * 1024;

/// What was read of one repository, as programs read it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PackEntry {
    vault: String,
    repository: String,
    whole_packs: u64,
    damaged_packs: u64,
    unchecked_packs: u64,
    /// Packs of the share that the run did not come to.
    remaining_packs: u64,
    checked_bytes: u64,
    /// Whether damage is on record in the storage, so that the next backup stores anew what it needs of it; absent without
    /// damage.
    #[serde(skip_serializing_if = "Option::is_none")]
    recorded: Option<bool>,
    /// What is wrong, in words.
    damage: Vec<String>,
}

impl PackEntry {
    pub(super) fn damaged(&self) -> u64 {
        self.damaged_packs
    }

    pub(super) fn unread(&self) -> u64 {
        self.unchecked_packs + self.remaining_packs
    }

    pub(super) fn print(&self) {
        printer::result(&format!(
            "repository {}: {} packs whole, {} damaged, {} not read; {}",
            self.repository,
            self.whole_packs,
            self.damaged_packs,
            self.unread(),
            printer::bytes(self.checked_bytes)
        ));
        for damage in &self.damage {
            printer::result(&format!("  {damage}"));
        }
        match self.recorded {
            Some(true) => printer::result(
                "  on record: the next backup stores anew what it needs of it, from the database",
            ),
            Some(false) => printer::result("  NOT on record: the next backup trusts these packs"),
            None => {}
        }
    }
}

/// What was read.
pub(super) struct Read {
    pub(super) entry: PackEntry,
    /// What was found damaged, where it is not on record.
    pub(super) unrecorded: Option<DamagedPacks>,
}

/// Reads what is left of the share.
pub(super) async fn read(
    opened: &Opened,
    state: &mut ReadState,
    record: bool,
    watched: &Watched,
) -> Result<Read, Failure> {
    let mut report = PackReport::default();
    let mut records = Records { wanted: record, failed: false };
    if let Some(after) = state.position(opened.id) {
        let begun = PackReading::begin(&opened.repository, state.share(), after).await;
        let mut reading = begun.map_err(Failure::request)?;
        let monitor = watched.monitor();
        loop {
            let turn = reading.turn(TURN_BYTES, monitor.as_ref(), &watched.cancel).await;
            if turn.is_empty() {
                break;
            }
            records.keep(opened, &turn, watched).await?;
            // Noted only when what was found is on record or was said to be not.
            state.set(opened.id, reading.position(), false)?;
        }
        report = reading.finish();
        if watched.cancel.is_cancelled() {
            return Err(cancelled());
        }
        let done = report.unchecked_packs == 0 && report.remaining_packs == 0;
        state.set(opened.id, report.position, done)?;
    }
    let recorded = records.wanted && !records.failed;
    let mut damage: Vec<String> = report
        .damaged
        .iter()
        .map(|damaged| format!("pack {}: {}", damaged.pack, damaged.reason))
        .collect();
    damage
        .extend(report.unchecked.iter().map(|(pack, why)| format!("pack {pack} not read: {why}")));
    let entry = PackEntry {
        vault: opened.vault.to_string(),
        repository: opened.id.to_string(),
        whole_packs: report.whole_packs,
        damaged_packs: report.damaged_packs,
        unchecked_packs: report.unchecked_packs,
        remaining_packs: report.remaining_packs,
        checked_bytes: report.checked_bytes,
        recorded: (report.damaged_packs > 0).then_some(recorded),
        damage,
    };
    let unrecorded = (!recorded && report.damaged_packs > 0).then_some(report.damaged);
    Ok(Read { entry, unrecorded })
}

struct Records {
    wanted: bool,
    /// It was tried in vain.
    failed: bool,
}

impl Records {
    /// Puts on record what changes it: damage, and packs on record that are whole again.
    async fn keep(
        &mut self,
        opened: &Opened,
        turn: &[PackVerdict],
        watched: &Watched,
    ) -> Result<(), Failure> {
        if !self.wanted {
            return Ok(());
        }
        let on_record = opened.repository.damaged_packs().await.map_err(Failure::request)?;
        let changes = turn.iter().any(|verdict| match verdict.outcome {
            PackOutcome::Damaged(_) => true,
            PackOutcome::Whole { .. } => on_record.iter().any(|it| it.pack == verdict.pack),
            PackOutcome::Gone | PackOutcome::Unchecked(_) => false,
        });
        if !changes {
            return Ok(());
        }
        let holder = lease_holder();
        let claim = LeaseClaim {
            holder: &holder,
            purpose: LeasePurpose::Verification,
            patience: LEASE_PATIENCE,
            above: 0,
        };
        let (clock, stop) = (Clock::system(), watched.cancel.child_token());
        let kept = with_lease(&opened.repository, claim, &clock, &stop, async |lease| {
            opened.repository.record_verdicts(&lease, turn).await
        });
        if let Err(error) = kept.await.and_then(|kept| kept) {
            self.failed = true;
            printer::note(&format!(
                "warning: what was found in repository {} cannot be put on record: {}",
                opened.id,
                in_words(error)
            ));
        }
        Ok(())
    }
}
