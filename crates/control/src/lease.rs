//! Doing work under a repository's lease: taken, renewed as long as the work lasts, given back.
//!
//! A lease is for whoever changes a repository, and one at a time. What people wait for (a backup) waits for what they do not
//! wait for (a collection, a record of damage), and the latter gives way: see `background`. The lease of one that died runs
//! out, which is why waiting has to be longer than a lease lasts.

use std::time::Duration;

use coffer_store::{Error, Lease, LeasePurpose, Repository};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::clock::Clock;

/// How long a repository's lease holds without being renewed.
const LEASE: Duration = Duration::from_secs(60);
/// How often it is renewed.
const LEASE_RENEWAL: Duration = Duration::from_secs(15);
/// How long somebody waits who must not fail because another one is at work for a moment, or died at it.
pub const LEASE_PATIENCE: Duration = Duration::from_secs(90);
/// How often such a one looks.
const LEASE_POLL: Duration = Duration::from_millis(250);
/// How long somebody who was asked to stop waits for a storage that does not answer.
const STOPPED_PATIENCE: Duration = Duration::from_millis(500);

/// Who wants the lease, and what for.
#[derive(Debug, Clone, Copy)]
pub struct LeaseClaim<'a> {
    /// The same holder takes over at once what it held in an earlier life.
    pub holder: &'a str,
    /// What is to be done.
    pub purpose: LeasePurpose,
    /// How long to wait while another one holds it.
    pub patience: Duration,
    /// Its generation has to be above this one; 0 but for the copy of a repository.
    pub above: u64,
}

/// Does `work` while the repository's lease is held and renewed; `stop` is cancelled when the lease is lost, and ends the wait
/// for it.
///
/// # Errors
/// As [`Repository::acquire_lease`] and [`Repository::renew_lease`]: [`Error::LeaseHeld`] when another one holds it still,
/// [`Error::LeaseLost`] when it was lost meanwhile.
pub async fn with_lease<T, W: Future<Output = T>>(
    repository: &Repository,
    claim: LeaseClaim<'_>,
    clock: &Clock,
    stop: &CancellationToken,
    work: impl FnOnce(Lease) -> W,
) -> Result<T, Error> {
    let lease = acquire(repository, claim, clock, stop).await?;
    // Both are polled together: the work goes on while a renewal is on its way. A renewal that has begun is waited for,
    // since one that was given up could have written its record and not know it; but not by who was asked to stop, who only
    // gives the lease back after it, under a number of its own.
    let over = CancellationToken::new();
    let working = async {
        let done = work(lease.clone()).await;
        over.cancel();
        done
    };
    let (done, lost) = tokio::join!(working, keep(repository, &lease, clock, &over, stop));
    if let Some(error) = lost {
        return Err(error);
    }
    let place = repository.clone();
    let giving_back = async move {
        if let Err(error) = place.release_lease(lease).await {
            tracing::warn!(%error, "the lease of a repository could not be given back; it will run out");
        }
    };
    tidy_up(stop, giving_back).await;
    Ok(done)
}

/// Returns some time after the stop.
pub(crate) async fn stopped_long_enough(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(STOPPED_PATIENCE).await;
}

/// Comes when a renewal under way need not be waited for: the work is over, and who asked it to stop has waited long enough.
pub(crate) async fn renewal_is_needless(over: &CancellationToken, stop: &CancellationToken) {
    over.cancelled().await;
    stopped_long_enough(stop).await;
}

/// Does what is left to do at a storage. Who was asked to stop does not wait long for it: then it goes on by itself.
pub(crate) async fn tidy_up(
    stop: &CancellationToken,
    work: impl Future<Output = ()> + Send + 'static,
) {
    let mut work = tokio::spawn(work.in_current_span());
    tokio::select! {
        _done = &mut work => {}
        () = stopped_long_enough(stop) => {
            tracing::warn!("the storage does not answer; what is left to do there is done when it does");
        }
    }
}

/// Takes the lease, waiting for it; nobody renews it.
///
/// # Errors
/// As [`Repository::acquire_lease`].
pub(crate) async fn acquire(
    repository: &Repository,
    LeaseClaim { holder, purpose, patience, above }: LeaseClaim<'_>,
    clock: &Clock,
    stop: &CancellationToken,
) -> Result<Lease, Error> {
    let ttl_ms = u64::try_from(LEASE.as_millis()).unwrap_or(u64::MAX);
    let until = tokio::time::Instant::now() + patience;
    loop {
        let now_ms = clock.now_ms();
        let (place, owner) = (repository.clone(), holder.to_owned());
        let taking =
            async move { place.acquire_lease_above(&owner, purpose, now_ms, ttl_ms, above).await };
        let mut taking = tokio::spawn(taking.in_current_span());
        let acquired = tokio::select! {
            acquired = &mut taking => acquired,
            () = stopped_long_enough(stop) => {
                // Should it be taken after all, it is given back.
                let place = repository.clone();
                tokio::spawn(async move {
                    if let Ok(Ok(lease)) = taking.await {
                        let _runs_out = place.release_lease(lease).await;
                    }
                });
                let expires_at_ms = now_ms.saturating_add(ttl_ms);
                return Err(Error::LeaseHeld { holder: holder.to_owned(), expires_at_ms });
            }
        };
        let acquired =
            acquired.unwrap_or_else(|ended| std::panic::resume_unwind(ended.into_panic()));
        let error = match acquired {
            Err(error @ Error::LeaseHeld { .. }) => error,
            acquired => return acquired,
        };
        if tokio::time::Instant::now() + LEASE_POLL > until {
            return Err(error);
        }
        tokio::select! {
            () = tokio::time::sleep(LEASE_POLL) => {}
            () = stop.cancelled() => return Err(error),
        }
    }
}

/// Renews a lease until the work is over. When it is lost, the work is stopped and the reason returned; a storage that does
/// not answer loses it when it runs out, not later.
async fn keep(
    repository: &Repository,
    lease: &Lease,
    clock: &Clock,
    over: &CancellationToken,
    stop: &CancellationToken,
) -> Option<Error> {
    let mut renewal = tokio::time::interval(LEASE_RENEWAL);
    renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    renewal.tick().await;
    let mut held_until = tokio::time::Instant::now() + LEASE;
    loop {
        tokio::select! {
            () = over.cancelled() => return None,
            _ = renewal.tick() => {}
        }
        let begun = tokio::time::Instant::now();
        let renewed = repository.renew_lease(lease, clock.now_ms());
        let renewed = tokio::select! {
            renewed = tokio::time::timeout_at(held_until, renewed) => renewed,
            () = renewal_is_needless(over, stop) => return None,
        };
        let error = match renewed {
            Ok(Ok(())) => {
                held_until = begun + LEASE;
                continue;
            }
            Ok(Err(error)) if error.is_transient() && begun < held_until => {
                tracing::warn!(%error, "the lease of a repository cannot be renewed yet");
                continue;
            }
            Ok(Err(error)) => error,
            Err(_elapsed) => Error::LeaseLost { generation: lease.generation() },
        };
        stop.cancel();
        return Some(error);
    }
}
