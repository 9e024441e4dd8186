//! Softly deleted instances whose days are over lose their data and their record.
//!
//! Data first, record last: a record without data can be purged again, data without a record would stay for ever. Before
//! the first byte goes, the record says that the purge has begun, so that an undelete which comes meanwhile is refused
//! and never brings back an instance without its data; an undelete that came first makes the purge wait. Every part may
//! be repeated after a death.

use std::time::Duration;

use coffer_azure::ResourceId;
use uuid::Uuid;

use super::purge_vaults;
use crate::app::App;
use crate::app::dataprotection::INSTANCES;
use crate::app::dataprotection::deleted_vault::is_deleted_vault;
use crate::app::dataprotection::state::{InstanceState, read_state, write_state};
use crate::audit::act::{Act, INSTANCE_PURGED};
use crate::db::{self, Tx};
use crate::error::Error;
use crate::operations::sagas::destroy_repository;
use crate::operations::{Failure, OperationKind};

/// Instances and vaults of one round; the rest is left to the next.
const ROUND_MAX: u32 = 100;
/// How long one that cannot be purged waits, so that it keeps no other from its turn.
const RETRY_DELAY: Duration = Duration::from_secs(300);

/// Purges what is due, vaults among it.
pub(super) async fn purge_due(app: &App) -> Result<(), Error> {
    for deleted in db::purge::due(app.db.read(), app.clock.now_us(), ROUND_MAX).await? {
        if app.stopping.is_cancelled() {
            return Ok(());
        }
        let purged = if is_deleted_vault(&deleted) {
            purge_vaults::purge(app, &deleted).await
        } else {
            purge(app, &deleted).await
        };
        if let Err(failure) = purged {
            tracing::error!(%deleted, ?failure, "what was deleted softly cannot be purged");
            let delay_us = i64::try_from(RETRY_DELAY.as_micros()).unwrap_or(i64::MAX);
            let mut tx = app.db.begin().await?;
            db::purge::set(&mut tx, &deleted, app.clock.now_us().saturating_add(delay_us)).await?;
            tx.commit().await?;
        }
    }
    Ok(())
}

async fn purge(app: &App, deleted: &ResourceId) -> Result<(), Failure> {
    let Some(vault) = deleted.parent() else { return Ok(()) };
    let mut tx = app.db.begin().await?;
    let begun = begin(&mut tx, &vault, deleted, app.clock.now_us()).await?;
    tx.commit().await?;
    let Some(repository) = begun else { return Ok(()) };

    destroy_repository(app, &vault, repository).await?;

    let mut tx = app.db.begin().await?;
    let resource = db::resource_get(&mut *tx, deleted).await?;
    if let Some(resource) = &resource {
        db::resource_delete(&mut tx, resource).await?;
    }
    let count = db::recovery_point::delete_all(&mut tx, repository).await?;
    db::purge::clear(&mut tx, deleted).await?;
    // As it was written, where the record was still there.
    let id = resource.as_ref().map_or(deleted, |resource| &resource.id);
    let act = Act { count, ..Act::done(INSTANCE_PURGED, id.as_str(), Vec::new()) };
    app.audit.act(&mut tx, app.clock.now_us(), &act).await?;
    tx.commit().await?;
    tracing::info!(instance = %deleted, "a deleted backup instance was purged");
    Ok(())
}

/// Marks the record; none when there is nothing to purge, or not now.
async fn begin(
    tx: &mut Tx,
    vault: &ResourceId,
    deleted: &ResourceId,
    now_us: i64,
) -> Result<Option<Uuid>, Error> {
    let Some(mut resource) = db::resource_get(&mut **tx, deleted).await? else {
        db::purge::clear(tx, deleted).await?;
        return Ok(None);
    };
    let instance = vault.child(INSTANCES, deleted.name());
    if db::operation::unfinished(tx, &instance, OperationKind::Undelete).await?.is_some() {
        return Ok(None);
    }
    let mut state: InstanceState = read_state(&resource.body)?;
    if let Some(deletion) = &mut state.deletion
        && !deletion.purging
    {
        deletion.purging = true;
        write_state(&mut resource.body, &state);
        db::resource_update(tx, &mut resource, now_us).await?;
    }
    Ok(Some(state.repository_guid))
}
