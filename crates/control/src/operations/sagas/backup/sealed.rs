//! What was sealed, as the recovery point's row and the conclusion want it: read from the storage, so that it is the same
//! whether this run or an earlier one has sealed it.

use coffer_engine::manifest::Root;
use coffer_store::{Repository, WriterStats};

use super::super::data_run::job_warning;
use super::{Checkpoint, Taken};
use crate::app::user_facing_error::{self, Place};
use crate::db::recovery_point::RecoveryPointBody;
use crate::operations::Failure;

/// Databases of a server that its recovery point's row names.
const DATABASES_SHOWN: usize = 1_000;

/// What an earlier run of this backup has sealed, if it came so far.
pub(super) async fn sealed_before(
    repository: &Repository,
    checkpoint: &Checkpoint,
    name: &str,
    now_us: i64,
) -> Result<Option<Taken>, Failure> {
    let id = &checkpoint.recovery_point_id;
    let manifests =
        repository.manifests().await.map_err(|error| user_facing_error::store_failure(&error))?;
    let Some(info) = manifests.valid.iter().find(|info| info.recovery_point_id == *id) else {
        return Ok(None);
    };
    tracing::info!(
        recovery_point = id,
        "an earlier run has sealed the recovery point; it is recorded now"
    );
    let root = root(repository, checkpoint).await?;
    let taken_us = checkpoint.taken_us(&root, now_us);
    let warnings = coffer_engine::recovery_point_warnings(repository, &root)
        .await
        .map_err(|error| user_facing_error::engine_failure(&error, &Place::storage()))?;
    let times = (taken_us, taken_us);
    Ok(Some(Taken {
        taken_us,
        transferred_bytes: root.totals().content.text_bytes,
        warnings: warnings.iter().map(|w| job_warning(w, name)).collect(),
        not_locked: false,
        body: describe(repository, checkpoint, &root, name, &info.stats, times).await?,
    }))
}

pub(super) async fn root(
    repository: &Repository,
    checkpoint: &Checkpoint,
) -> Result<Root, Failure> {
    coffer_engine::describe_root(repository, &checkpoint.recovery_point_id)
        .await
        .map_err(|error| user_facing_error::engine_failure(&error, &Place::storage()))
}

/// The row of the recovery point, from what was really sealed.
pub(super) async fn describe(
    repository: &Repository,
    checkpoint: &Checkpoint,
    root: &Root,
    name: &str,
    stats: &WriterStats,
    (taken_us, completed_us): (i64, i64),
) -> Result<RecoveryPointBody, Failure> {
    let (database, databases, databases_total) = match root {
        Root::Database(root) => (root.source.database.clone(), Vec::new(), None),
        Root::Server(root) => {
            let entries = coffer_engine::list_databases(repository, root)
                .await
                .map_err(|error| user_facing_error::engine_failure(&error, &Place::storage()))?;
            let total = entries.len() as u64;
            let names = entries.into_iter().take(DATABASES_SHOWN).map(|entry| entry.name);
            (name.to_owned(), names.collect(), Some(total))
        }
    };
    let totals = root.totals();
    Ok(RecoveryPointBody {
        retention_tag: checkpoint.retention.tag.clone(),
        retention_tag_version: checkpoint.retention.tag_version.clone(),
        policy_name: checkpoint.retention.policy_name.clone(),
        expiry_us: checkpoint.retention.expiry_us(taken_us),
        completed_us,
        server_version: root.server_version().to_owned(),
        database,
        databases,
        databases_total,
        tables: totals.tables,
        rows: totals.content.rows,
        plain_bytes: totals.content.text_bytes,
        stored_bytes: stats.stored_bytes,
        source_bytes: totals.database_bytes,
        new_bytes: stats.stored_plain_bytes,
        policy_version: checkpoint.retention.policy_version,
        damaged: false,
        storage_lock: None,
        copy_lock: None,
    })
}
