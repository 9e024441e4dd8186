//! What a job says of a restore that has ended well.

use std::collections::BTreeMap;

use coffer_engine::manifest::Warning;
use coffer_engine::{Proof, Selection};
use serde::{Deserialize, Serialize};

use super::super::data_run::{job_warning, not_proved_warning};
use crate::db::job::JobWarning;

/// Warnings after which the database is all the same what it was: of the preflight about what may happen (what did happen
/// has a warning of its own), and of the restore about how it went.
pub(super) const ADVISORY: [&str; 12] = [
    "CollationVersion",
    "ExtensionRights",
    "ExtensionVersion",
    "FewConnections",
    "LargeObjectsLeftOut",
    "MappedRoleUnused",
    "MissingRoles",
    "ObjectRights",
    "PartitionAlone",
    "RowsMovedPartition",
    "SelectionExtended",
    "UserMappingsLeftOut",
];

/// Something was chosen and could not be restored without what was not.
pub(super) const LEFT_OUT: &str = "LeftOutOfSelection";

/// Chosen items that a job's details name.
const ITEMS_SHOWN: usize = 20;

/// What the conclusion writes down.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Written {
    pub(super) transferred_bytes: u64,
    pub(super) details: BTreeMap<String, String>,
    pub(super) warnings: Vec<JobWarning>,
    /// Something is not as it was in the source.
    pub(super) degraded: bool,
}

impl Written {
    /// What a restore has come to.
    pub(super) fn of(bytes: u64, proof: &Proof, warnings: &[Warning], resource_name: &str) -> Self {
        let mut details = BTreeMap::new();
        details.insert("Proof".to_owned(), proof_in_words(proof));
        details.insert("Proved Tables".to_owned(), proof.tables.to_string());
        details.insert("Proved Rows".to_owned(), proof.rows.to_string());
        let mut all: Vec<JobWarning> =
            warnings.iter().map(|warning| job_warning(warning, resource_name)).collect();
        all.extend(proof.not_proved.iter().map(not_proved_warning));
        Self { transferred_bytes: bytes, details, warnings: all, degraded: false }
    }

    /// Says what was chosen.
    pub(super) fn note_selection(&mut self, selection: &Selection) {
        if let Some(database) = &selection.database {
            self.details.insert("Restored Database".to_owned(), database.clone());
        }
        if !selection.is_everything() {
            let mut items: Vec<_> =
                selection.items.iter().take(ITEMS_SHOWN).map(ToString::to_string).collect();
            if selection.items.len() > ITEMS_SHOWN {
                items.push(format!("and {} more", selection.items.len() - ITEMS_SHOWN));
            }
            self.details.insert("Restored Items".to_owned(), items.join(", "));
        }
    }

    /// What is known of a restore whose run died after the last of its deeds: only an equal database is given its name.
    pub(super) fn by_earlier_run(database: &str) -> Self {
        let mut details = BTreeMap::new();
        let proof = "equal: compared with the recovery point by a run that was interrupted before it could tell the numbers";
        details.insert("Proof".to_owned(), proof.to_owned());
        let warning = Warning {
            code: "RestoreInterrupted".to_owned(),
            message: "the service was interrupted after the database had got its name; warnings of that run are not known".to_owned(),
        };
        Self {
            transferred_bytes: 0,
            details,
            warnings: vec![job_warning(&warning, database)],
            degraded: true,
        }
    }
}

fn proof_in_words(proof: &Proof) -> String {
    let equal = if proof.equal { "equal" } else { "different" };
    format!(
        "{equal}: row counts and content hashes of {} tables with {} rows were compared with the recovery point; {} \
         objects could not be compared",
        proof.tables,
        proof.rows,
        proof.not_proved.len()
    )
}
