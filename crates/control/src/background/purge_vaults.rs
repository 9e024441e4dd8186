//! Softly deleted vaults whose days are over go: keys first, record last, as with instances.
//!
//! A vault outlives what is softly deleted in it. Before the first key goes, the record says that the purge has begun, so that the vault is
//! not brought back without its keys. Every part may be repeated after a death.

use std::time::Duration;

use coffer_azure::ResourceId;

use super::upkeep::later;
use crate::app::App;
use crate::app::dataprotection::state::{VaultState, read_state, write_state};
use crate::audit::act::{Act, VAULT_PURGED};
use crate::db::{self, Tx};
use crate::error::Error;
use crate::operations::Failure;
use crate::operations::sagas::destroy_vault;

/// How long a vault waits in which something is deleted softly for longer than itself.
const OUTLIVED_DELAY: Duration = Duration::from_secs(3600);

/// Purges a vault that is due.
pub(super) async fn purge(app: &App, deleted: &ResourceId) -> Result<(), Failure> {
    let mut tx = app.db.begin().await?;
    let begun = begin(app, &mut tx, deleted).await?;
    tx.commit().await?;
    if !begun {
        return Ok(());
    }

    destroy_vault(app, deleted).await?;

    let mut tx = app.db.begin().await?;
    if let Some(vault) = db::resource_get(&mut *tx, deleted).await? {
        let state: VaultState = read_state(&vault.body)?;
        if let Some(principal_id) = &state.principal_id {
            app.principal_delete(&mut tx, principal_id).await?;
        }
        db::resource_delete_nested(&mut tx, deleted).await?;
        db::resource_delete(&mut tx, &vault).await?;
        let act = Act::done(VAULT_PURGED, vault.id.as_str(), Vec::new());
        app.audit.act(&mut tx, app.clock.now_us(), &act).await?;
    }
    db::purge::clear(&mut tx, deleted).await?;
    tx.commit().await?;
    tracing::info!(vault = %deleted, "a deleted backup vault was purged");
    Ok(())
}

/// Marks the record; false when there is nothing to purge, or not now.
async fn begin(app: &App, tx: &mut Tx, deleted: &ResourceId) -> Result<bool, Error> {
    let Some(mut vault) = db::resource_get(&mut **tx, deleted).await? else {
        db::purge::clear(tx, deleted).await?;
        return Ok(false);
    };
    if db::purge::any_within(tx, deleted).await? {
        db::purge::set(tx, deleted, later(app, OUTLIVED_DELAY)).await?;
        return Ok(false);
    }
    let mut state: VaultState = read_state(&vault.body)?;
    if let Some(deletion) = &mut state.deletion
        && !deletion.deletion.purging
    {
        deletion.deletion.purging = true;
        write_state(&mut vault.body, &state);
        db::resource_update(tx, &mut vault, app.clock.now_us()).await?;
    }
    Ok(true)
}
