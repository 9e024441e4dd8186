//! What the service does without a request: it destroys what is over, and ends what a request has begun. Each act that destroys or
//! restores data has one row, committed with the change in the metadata that it makes.

use super::entry::{ITEMS_MAX, shortened};
use super::{Audit, Entry, Outcome};
use crate::db::{Tx, audit as rows};
use crate::error::Error;

/// The end of a restore.
pub(crate) const RESTORE_ENDED: &str = "Coffer/restores/end/action";
/// Recovery points are over.
pub(crate) const RECOVERY_POINTS_EXPIRED: &str = "Coffer/recoveryPoints/expire/action";
/// An instance's data is destroyed with it, there being no soft delete.
pub(crate) const INSTANCE_DESTROYED: &str = "Coffer/backupInstances/destroy/action";
/// A softly deleted instance is over.
pub(crate) const INSTANCE_PURGED: &str = "Coffer/backupInstances/purge/action";
/// A softly deleted vault is over.
pub(crate) const VAULT_PURGED: &str = "Coffer/backupVaults/purge/action";
/// Deleted secrets are over.
pub(crate) const SECRETS_PURGED: &str = "Coffer/secrets/purge/action";

/// One act.
#[derive(Clone, Debug)]
pub(crate) struct Act<'a> {
    pub(crate) action: &'static str,
    /// Where it was done.
    pub(crate) resource: &'a str,
    pub(crate) outcome: Outcome,
    /// Why it failed.
    pub(crate) code: Option<&'a str>,
    /// The operation that did it; its request's row names it, too.
    pub(crate) operation_id: Option<&'a str>,
    /// How many things it was done to.
    pub(crate) count: u64,
    /// Which they were; the first [`ITEMS_MAX`] are named.
    pub(crate) items: Vec<&'a str>,
}

impl<'a> Act<'a> {
    /// Something was done to these in a resource.
    pub(crate) fn done(action: &'static str, resource: &'a str, items: Vec<&'a str>) -> Self {
        Self {
            action,
            resource,
            outcome: Outcome::Succeeded,
            code: None,
            operation_id: None,
            count: u64::try_from(items.len()).unwrap_or(u64::MAX),
            items,
        }
    }

    fn entry(&self) -> Entry {
        Entry {
            code: self.code.map(shortened),
            operation_id: self.operation_id.map(str::to_owned),
            count: self.count,
            items: self.items.iter().take(ITEMS_MAX).map(|item| shortened(item)).collect(),
            ..Entry::new(self.action, self.resource, self.outcome)
        }
    }
}

impl Audit {
    /// Writes an act in the transaction that records what it did.
    ///
    /// # Errors
    /// The database fails.
    pub(crate) async fn act(&self, tx: &mut Tx, now_us: i64, act: &Act<'_>) -> Result<(), Error> {
        rows::append(tx, &self.key, &act.entry().row(now_us)?).await?;
        Ok(())
    }
}
