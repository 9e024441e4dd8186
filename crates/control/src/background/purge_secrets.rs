//! Purges deleted secrets whose time is over.

use std::collections::BTreeMap;

use coffer_azure::ResourceId;

use crate::app::App;
use crate::audit::act::{Act, SECRETS_PURGED};
use crate::db::{self, deleted_secret, role_assignment, secret as rows};
use crate::error::Error;

/// Secrets that one transaction purges, so that no request waits for long.
const BATCH_ROWS: u32 = 100;
/// Transactions of one round; the rest is left to the next.
const BATCHES_MAX: u32 = 20;

/// Removes what was deleted so long ago that its time is over, a bounded number at a time.
pub(super) async fn purge_due(app: &App) -> Result<(), Error> {
    let now_us = app.clock.now_us();
    for _ in 0..BATCHES_MAX {
        let mut tx = app.db.begin().await?;
        let due = deleted_secret::list_due(&mut *tx, now_us, BATCH_ROWS).await?;
        if due.is_empty() {
            return Ok(());
        }
        for (vault, name) in &due {
            rows::purge(&mut tx, vault, name).await?;
            let vault = ResourceId::parse(vault).map_err(Error::internal)?;
            role_assignment::delete_within(&mut tx, &vault.child("secrets", name)).await?;
        }
        let mut by_vault: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (vault, name) in &due {
            by_vault.entry(vault).or_default().push(name);
        }
        for (vault, names) in by_vault {
            let vault = ResourceId::parse(vault).map_err(Error::internal)?;
            let shown = db::resource_get(&mut *tx, &vault).await?.map_or(vault, |found| found.id);
            let act = Act::done(SECRETS_PURGED, shown.as_str(), names);
            app.audit.act(&mut tx, now_us, &act).await?;
        }
        tx.commit().await?;
        tracing::info!(secrets = due.len(), "deleted secrets were purged, their time being over");
    }
    Ok(())
}
