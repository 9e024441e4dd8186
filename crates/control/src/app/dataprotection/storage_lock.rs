//! What an immutable vault wants held by the storage itself, where that can (`docs/storage.md`).

use coffer_engine::Error as EngineError;
use coffer_store::{LockMode, ObjectLock, Repository, RetentionLock};

use super::vault_security::Immutability;
use crate::db::recovery_point::{RecoveryPointBody, StorageLock};

/// The lock that a recovery point lacks: until its end, as firmly as the vault is immutable. None where it has that, where
/// its time is over, and where it has no end, since a lock needs one.
#[must_use]
pub(crate) fn wanted(
    immutability: Immutability,
    point: &RecoveryPointBody,
    now_us: i64,
) -> Option<RetentionLock> {
    let mode = mode_of(immutability)?;
    lacking(mode, point, point.storage_lock, now_us)
}

/// The same of its copy in the second region.
#[must_use]
pub(crate) fn wanted_of_copy(
    immutability: Immutability,
    point: &RecoveryPointBody,
    now_us: i64,
) -> Option<RetentionLock> {
    lacking(mode_of(immutability)?, point, point.copy_lock, now_us)
}

fn mode_of(immutability: Immutability) -> Option<LockMode> {
    match immutability {
        Immutability::Absent | Immutability::Disabled => None,
        Immutability::Unlocked => Some(LockMode::Unlocked),
        Immutability::Locked => Some(LockMode::Locked),
    }
}

fn lacking(
    mode: LockMode,
    point: &RecoveryPointBody,
    held: Option<StorageLock>,
    now_us: i64,
) -> Option<RetentionLock> {
    let expiry_us = point.expiry_us.filter(|expiry_us| *expiry_us > now_us)?;
    let is_held = held.is_some_and(|held| {
        held.until_us >= expiry_us && (held.locked || mode == LockMode::Unlocked)
    });
    let until_ms = u64::try_from(expiry_us).ok()?.div_ceil(1000);
    (!is_held).then_some(RetentionLock { mode, until_ms })
}

/// Locks a recovery point and everything that it needs, and says how it is held then.
pub(crate) async fn lock_point(
    repository: &Repository,
    id: &str,
    storage: &dyn ObjectLock,
    lock: RetentionLock,
) -> Result<StorageLock, EngineError> {
    let report = coffer_engine::lock_recovery_point(repository, id, storage, lock).await?;
    metrics::counter!("coffer_storage_locks_total").increment(report.changed);
    let until_us = i64::try_from(lock.until_ms.saturating_mul(1000)).unwrap_or(i64::MAX);
    tracing::info!(
        recovery_point = id,
        repository = %repository.id(),
        objects = report.objects,
        changed = report.changed,
        until_us,
        "a recovery point was locked in the storage"
    );
    Ok(StorageLock { locked: lock.mode == LockMode::Locked, until_us })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(expiry_us: Option<i64>, storage_lock: Option<StorageLock>) -> RecoveryPointBody {
        let body = serde_json::json!({
            "retention_tag": "Default", "retention_tag_version": "1", "policy_name": "p", "expiry_us": expiry_us,
            "completed_us": 0, "server_version": "18", "database": "d", "tables": 1, "rows": 1, "plain_bytes": 1,
            "stored_bytes": 1, "source_bytes": 1
        });
        RecoveryPointBody { storage_lock, ..serde_json::from_value(body).unwrap() }
    }

    #[test]
    fn what_the_vault_wants_and_the_storage_does_not_hold_is_locked_until_its_end() {
        let held = |locked, until_us| Some(StorageLock { locked, until_us });
        let lock = |mode| Some(RetentionLock { mode, until_ms: 6 });
        let (weak, firm) = (lock(LockMode::Unlocked), lock(LockMode::Locked));
        let cases = [
            (Immutability::Absent, Some(5001), None, None),
            (Immutability::Disabled, Some(5001), None, None),
            (Immutability::Unlocked, Some(5001), None, weak),
            (Immutability::Locked, Some(5001), None, firm),
            // Held already, too short, too weak.
            (Immutability::Locked, Some(5001), held(true, 5001), None),
            (Immutability::Unlocked, Some(5001), held(true, 6000), None),
            (Immutability::Unlocked, Some(5001), held(false, 5001), None),
            (Immutability::Locked, Some(5001), held(true, 5000), firm),
            (Immutability::Locked, Some(5001), held(false, 6000), firm),
            // Over, and without an end.
            (Immutability::Locked, Some(1000), None, None),
            (Immutability::Locked, None, None, None),
        ];
        for (immutability, expiry_us, storage_lock, expected) in cases {
            let point = point(expiry_us, storage_lock);
            assert_eq!(
                wanted(immutability, &point, 1000),
                expected,
                "{immutability:?} {expiry_us:?} {storage_lock:?}"
            );
        }
    }
}
