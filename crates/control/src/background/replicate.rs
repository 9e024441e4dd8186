//! A vault's recovery points are copied to its second region, and what retention has deleted goes there as well
//! (`docs/decisions/0014-a-second-region-is-a-repository-of-its-own.md`).
//!
//! A turn may end at any moment: what is copied is found again, and a recovery point is in the second region when its manifest
//! is. The copy's lease keeps two services from doing the same. Nothing is deleted there because it is missing here.

use std::convert::Infallible;
use std::time::Duration;

use coffer_engine::{Error as EngineError, copy_recovery_point, plan_collection};
use coffer_store::{
    Error as StoreError, Lease, LeasePurpose, Replication, Repository, VaultKeyring,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::collect_garbage::{GRACE, PERIOD as COLLECTION_PERIOD};
use super::expire_points::all_points;
use super::upkeep::{DAY, Ended, Place, holder, later, needed};
use crate::app::App;
use crate::app::dataprotection::storage_lock::{lock_point, wanted_of_copy};
use crate::app::user_facing_error::{Place as Blame, engine_failure, store_failure};
use crate::db::upkeep::Duty;
use crate::db::{self, recovery_point::RecoveryPoint};
use crate::error::Error;
use crate::lease::{LeaseClaim, with_lease};
use crate::operations::sagas::{SecondRegion, second_region};
use crate::operations::{Failure, replication_crash_point};
use crate::pin::while_pinned;

/// How often a repository is looked at of which nobody has said anything.
const PERIOD: Duration = DAY;
/// How long after a recovery point could not be copied it is tried again.
const RETRY: Duration = Duration::from_secs(3600);
/// Most recovery points that one turn copies, and that it deletes: others get their turn in between.
const TURN_MAX: u32 = 100;

/// What a turn leaves to the next.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct State {
    /// When garbage was collected in the copy, in microseconds since 1970.
    collected_us: i64,
    /// There may be garbage.
    has_garbage: bool,
}

/// The two repositories of a turn.
struct Turn<'a> {
    app: &'a App,
    place: &'a Place,
    copy: Repository,
    /// Generation above which the copy's leases are taken.
    above: u64,
    stop: CancellationToken,
}

/// Copies what waits, and deletes what is to go.
pub(super) async fn replicate(app: &App, place: &Place, state: &Value) -> Result<Ended, Failure> {
    let Some(second) = second_region(app, &place.vault).await? else { return Ok(Ended::Over) };
    let first = State { collected_us: app.clock.now_us(), has_garbage: false };
    let mut state: State = serde_json::from_value(state.clone()).unwrap_or(first);
    let stop = app.stopping.child_token();
    let ended = Box::pin(turn(app, place, &second, &mut state, &stop)).await?;
    let Some(delay) = ended else { return Ok(Ended::Busy) };
    let state = serde_json::to_value(state).map_err(Error::internal)?;
    Ok(Ended::Done { due_us: later(app, delay), state })
}

/// When the next turn is due; none when somebody else is at work.
async fn turn(
    app: &App,
    place: &Place,
    second: &SecondRegion,
    state: &mut State,
    stop: &CancellationToken,
) -> Result<Option<Duration>, Failure> {
    let copy = open(app, place, second).await.map_err(|error| store_failure(&error))?;
    let above =
        place.repository.newest_generation().await.map_err(|error| store_failure(&error))?;
    let turn = Turn { app, place, copy, above, stop: stop.clone() };
    let going = db::copy::deletions(app.db.read(), place.repository.id(), TURN_MAX).await?;
    let more_go = going.len() == TURN_MAX as usize;
    if !going.is_empty() {
        state.has_garbage = true;
        if !turn.delete(&going).await? {
            return Ok(None);
        }
    }
    let (more_wait, is_damaged) = match Box::pin(turn.copy_points()).await? {
        Copying::Done { more_wait, is_damaged } => (more_wait, is_damaged),
        Copying::Busy => return Ok(None),
        Copying::CollectFirst => {
            turn.collect(state).await?;
            return Ok(Some(Duration::ZERO));
        }
    };
    if stop.is_cancelled() {
        return Ok(None);
    }
    lock(app, place, second, &turn.copy).await?;
    let collected_ago = app.clock.now_us().saturating_sub(state.collected_us);
    let period_us = i64::try_from(COLLECTION_PERIOD.as_micros()).unwrap_or(i64::MAX);
    if (state.has_garbage && !more_go) || collected_ago >= period_us {
        turn.collect(state).await?;
    }
    Ok(Some(if is_damaged {
        RETRY
    } else if more_go || more_wait {
        Duration::ZERO
    } else {
        PERIOD
    }))
}

/// The copy, opened or made.
async fn open(app: &App, place: &Place, second: &SecondRegion) -> Result<Repository, StoreError> {
    let source = &place.repository;
    let keyring = source.keyring(&app.master_key).await?;
    let copys_keyring =
        VaultKeyring::create_or_open(&second.store, second.vault_guid, &app.master_key).await?;
    source.create_or_open_copy(&keyring, &second.store, &copys_keyring).await
}

impl Turn<'_> {
    /// Does `work` under the copy's lease; none when somebody else has it. It is asked to stop as soon as the instance is to be
    /// deleted, and gives lease and pin back then.
    async fn leased<T, W: Future<Output = Result<T, Failure>>>(
        &self,
        purpose: LeasePurpose,
        work: impl FnOnce(Lease) -> W,
    ) -> Result<Option<T>, Failure> {
        let holder = holder(self.app, Duty::Replication);
        let claim =
            LeaseClaim { holder: &holder, purpose, patience: Duration::ZERO, above: self.above };
        let watched = |lease| {
            let work = work(lease);
            async move {
                tokio::select! {
                    done = work => done,
                    never = self.give_way() => match never {},
                }
            }
        };
        match with_lease(&self.copy, claim, &self.app.clock, &self.stop, watched).await {
            Ok(done) => done.map(Some),
            Err(StoreError::LeaseHeld { .. } | StoreError::LeaseLost { .. }) => Ok(None),
            Err(error) => Err(store_failure(&error)),
        }
    }

    async fn give_way(&self) -> Infallible {
        needed(self.app, &self.place.instance, Duty::Replication).await;
        self.stop.cancel();
        std::future::pending().await
    }

    /// Deletes from the copy what retention has deleted. False when somebody else has its lease, or needs the repository.
    async fn delete(&self, going: &[String]) -> Result<bool, Failure> {
        let repository = self.copy.id();
        let done = self.leased(LeasePurpose::Deletion, |lease| async move {
            for id in going {
                if self.stop.is_cancelled() {
                    return Ok(false);
                }
                match self.copy.delete_manifest(&lease, id, self.app.clock.now_ms()).await {
                    Ok(_there) => {}
                    // It is restored just now, and goes later.
                    Err(StoreError::Pinned { .. }) => continue,
                    Err(StoreError::LeaseLost { .. }) => return Ok(false),
                    Err(error) => return Err(store_failure(&error)),
                }
                let mut tx = self.app.db.begin().await?;
                db::copy::deleted(&mut tx, repository, id).await?;
                tx.commit().await?;
                tracing::info!(instance = %self.place.instance, recovery_point = id, "an expired recovery point was deleted from the second region");
            }
            Ok(true)
        });
        Ok(done.await?.unwrap_or(false))
    }

    /// Copies what waits, newest first.
    async fn copy_points(&self) -> Result<Copying, Failure> {
        let done = self.leased(LeasePurpose::Backup, |lease| async move {
            let begun = self.copy.begin_replication(&self.place.repository, &lease).await;
            let Some(mut replication) = begun.map_err(|error| store_failure(&error))? else {
                return Ok(Copying::CollectFirst);
            };
            self.note_lost(&replication).await?;
            let db = self.app.db.read();
            let waiting = db::copy::not_copied(db, self.copy.id(), TURN_MAX).await?;
            let mut is_damaged = false;
            for point in &waiting {
                if self.stop.is_cancelled() {
                    return Ok(Copying::Busy);
                }
                match Box::pin(self.copy_point(&mut replication, point)).await? {
                    Copied::Now | Copied::Gone => {}
                    Copied::Stopped => return Ok(Copying::Busy),
                    Copied::NotSound => is_damaged = true,
                }
            }
            Ok(Copying::Done { more_wait: waiting.len() == TURN_MAX as usize, is_damaged })
        });
        Ok(Box::pin(done).await?.unwrap_or(Copying::Busy))
    }

    /// What was copied once and is not there any more, as after a loss of the second region, waits again.
    async fn note_lost(&self, replication: &Replication) -> Result<(), Failure> {
        let repository = self.copy.id();
        let mut lost = db::copy::copied(self.app.db.read(), repository).await?;
        lost.retain(|id| !replication.has(id));
        for id in &lost {
            tracing::error!(
                code = "CopyLost", instance = %self.place.instance, recovery_point = id,
                "a recovery point is no longer in the second region; it is copied again"
            );
            let mut tx = self.app.db.begin().await?;
            db::copy::set_copied(&mut tx, repository, id, None).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn copy_point(
        &self,
        replication: &mut Replication,
        point: &RecoveryPoint,
    ) -> Result<Copied, Failure> {
        let source = &self.place.repository;
        let id = &point.id;
        if !replication.has(id) {
            let holder = holder(self.app, Duty::Replication);
            let clock = &self.app.clock;
            let stop = self.stop.child_token();
            let progress = |bytes| {
                metrics::counter!("coffer_copied_bytes_total").increment(bytes);
                replication_crash_point("copying");
            };
            let copying = async {
                tokio::select! {
                    biased;
                    () = stop.cancelled() => None,
                    copied = copy_recovery_point(replication, source, id, progress) => Some(copied),
                }
            };
            let pinned = while_pinned(source, id, &holder, clock, &stop, copying);
            let copied = match Box::pin(pinned).await {
                Ok((Some(copied), _lost)) => copied,
                // What was copied so far is found by the next turn.
                Ok((None, _lost)) => return Ok(Copied::Stopped),
                // It expired since it was looked at.
                Err(StoreError::NotFound { .. }) => return Ok(Copied::Gone),
                Err(error) => return Err(store_failure(&error)),
            };
            match copied {
                Ok(report) => tracing::info!(
                    instance = %self.place.instance, recovery_point = id, packs = report.copied_packs,
                    bytes = report.copied_bytes, "a recovery point was copied to the second region"
                ),
                Err(EngineError::Store { source: StoreError::LeaseLost { .. }, .. }) => {
                    return Ok(Copied::Stopped);
                }
                Err(error) if is_not_sound(&error) => {
                    metrics::counter!("coffer_copies_failed_total").increment(1);
                    tracing::error!(
                        code = "RecoveryPointNotCopied", instance = %self.place.instance, recovery_point = id, %error,
                        "a recovery point is damaged and is not copied to the second region"
                    );
                    return Ok(Copied::NotSound);
                }
                Err(error) => return Err(engine_failure(&error, &Blame::storage())),
            }
            replication_crash_point("copied");
        }
        let mut tx = self.app.db.begin().await?;
        let now_us = self.app.clock.now_us();
        db::copy::set_copied(&mut tx, self.copy.id(), id, Some(now_us)).await?;
        tx.commit().await?;
        metrics::counter!("coffer_copied_recovery_points_total").increment(1);
        Ok(Copied::Now)
    }

    /// Frees what no recovery point of the copy needs, and what can never be copied again.
    async fn collect(&self, state: &mut State) -> Result<(), Failure> {
        let grace_ms = u64::try_from(GRACE.as_millis()).unwrap_or(u64::MAX);
        let collected = self.leased(LeasePurpose::Collection, |lease| async move {
            let now_ms = self.app.clock.now_ms();
            let mut plan = match plan_collection(&self.copy, &lease, now_ms, grace_ms).await {
                Ok(plan) => plan,
                // A restore still reads what no recovery point needs any more.
                Err(EngineError::Store { source: StoreError::Pinned { .. }, .. }) => {
                    return Ok(None);
                }
                Err(error) => return Err(engine_failure(&error, &Blame::storage())),
            };
            // Under this lease, after which nobody copies what is not there any more.
            let at_source = self.place.repository.pack_ids().await;
            plan.spare(&at_source.map_err(|error| store_failure(&error))?);
            // Dropped in the middle, it is a collection that was interrupted, which the next one finishes.
            let collected = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(None),
                collected = self.copy.collect(&lease, plan) => collected,
            };
            match collected {
                Ok(report) => Ok(Some(report)),
                Err(StoreError::Pinned { .. } | StoreError::LeaseLost { .. }) => Ok(None),
                Err(error) => Err(store_failure(&error)),
            }
        });
        if let Some(report) = collected.await?.flatten() {
            *state = State { collected_us: self.app.clock.now_us(), has_garbage: false };
            if report.deleted_packs > 0 {
                tracing::info!(
                    instance = %self.place.instance, packs = report.deleted_packs, bytes = report.deleted_bytes,
                    "packs that no recovery point needs were deleted from the second region"
                );
            }
        }
        Ok(())
    }
}

/// What the copying came to.
enum Copying {
    Done {
        /// There are more than one turn copies.
        more_wait: bool,
        /// Some are damaged, and were not copied.
        is_damaged: bool,
    },
    /// Somebody else has the lease of the copy, or needs the repository.
    Busy,
    /// A collection in the copy was interrupted: what it has announced goes first.
    CollectFirst,
}

/// What became of one recovery point.
enum Copied {
    Now,
    /// It is not there any more.
    Gone,
    /// The lease was lost, or somebody else needs the repository.
    Stopped,
    /// It is damaged.
    NotSound,
}

/// The recovery point's own fault, which keeps no other from being copied.
fn is_not_sound(error: &EngineError) -> bool {
    matches!(
        error,
        EngineError::Manifest { .. }
            | EngineError::Store {
                source: StoreError::Corrupt { .. } | StoreError::NotFound { .. },
                ..
            }
    )
}

/// Has the second region's storage hold what an immutable vault wants held.
async fn lock(
    app: &App,
    place: &Place,
    second: &SecondRegion,
    copy: &Repository,
) -> Result<(), Failure> {
    let Some(storage) = &second.lock else { return Ok(()) };
    let now_us = app.clock.now_us();
    for point in all_points(app.db.read(), copy.id()).await? {
        let Some(lock) = wanted_of_copy(second.immutability, &point.body, now_us) else { continue };
        if !db::copy::is_copied(app.db.read(), copy.id(), &point.id).await? {
            continue;
        }
        let held = lock_point(copy, &point.id, &**storage, lock).await.map_err(|error| {
            tracing::error!(
                code = "CopyNotLocked", instance = %place.instance, recovery_point = point.id, region = second.region, %error,
                "a recovery point cannot be locked in the second region; it is tried again"
            );
            engine_failure(&error, &Blame::storage())
        })?;
        let mut tx = app.db.begin().await?;
        db::recovery_point::set_copy_lock(&mut tx, copy.id(), &point.id, held).await?;
        tx.commit().await?;
    }
    Ok(())
}
