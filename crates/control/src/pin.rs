//! Reading a recovery point while it is pinned, so that no collection takes it away meanwhile: pinned, renewed as long as the
//! work lasts, given back. A pin is no lease: any number may read at the same time, also beside a backup.

use std::time::Duration;

use coffer_store::{Error, Pin, Repository};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::lease::{renewal_is_needless, stopped_long_enough, tidy_up};

/// How long a pin holds without being renewed.
const PIN: Duration = Duration::from_secs(300);
/// How often it is renewed.
const PIN_RENEWAL: Duration = Duration::from_secs(60);

/// Does `work` while the recovery point is pinned. When the pin is lost, `stop` is cancelled, and the reason comes beside what
/// the work made of it: what had ended well by then has ended well.
///
/// # Errors
/// As [`Repository::pin`]; nothing was done then.
pub(crate) async fn while_pinned<T>(
    repository: &Repository,
    recovery_point_id: &str,
    holder: &str,
    clock: &Clock,
    stop: &CancellationToken,
    work: impl Future<Output = T>,
) -> Result<(T, Option<Error>), Error> {
    let ttl_ms = u64::try_from(PIN.as_millis()).unwrap_or(u64::MAX);
    let pin = tokio::select! {
        pin = repository.pin(recovery_point_id, holder, clock.now_ms(), ttl_ms) => pin?,
        () = stopped_long_enough(stop) => {
            return Err(Error::PinLost { recovery_point_id: recovery_point_id.to_owned() });
        }
    };
    // Both are polled together, and a renewal that has begun is waited for: as with a lease.
    let over = CancellationToken::new();
    let working = async {
        let done = work.await;
        over.cancel();
        done
    };
    let (done, lost) = tokio::join!(working, keep(repository, &pin, clock, &over, stop));
    let place = repository.clone();
    let giving_back = async move {
        if let Err(error) = place.release_pin(pin).await {
            tracing::warn!(%error, "the pin of a recovery point could not be given back; it will run out");
        }
    };
    tidy_up(stop, giving_back).await;
    Ok((done, lost))
}

/// Renews a pin until the work is over. A storage that does not answer is asked again: a pin that has run out is in force
/// again when it is renewed, unless the recovery point has gone.
async fn keep(
    repository: &Repository,
    pin: &Pin,
    clock: &Clock,
    over: &CancellationToken,
    stop: &CancellationToken,
) -> Option<Error> {
    let mut renewal = tokio::time::interval(PIN_RENEWAL);
    renewal.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    renewal.tick().await;
    loop {
        tokio::select! {
            () = over.cancelled() => return None,
            _ = renewal.tick() => {}
        }
        let renewed = tokio::select! {
            renewed = repository.renew_pin(pin, clock.now_ms()) => renewed,
            () = renewal_is_needless(over, stop) => return None,
        };
        match renewed {
            Ok(()) => {}
            Err(error @ Error::PinLost { .. }) => {
                stop.cancel();
                return Some(error);
            }
            Err(error) => {
                tracing::warn!(%error, "the pin of a recovery point cannot be renewed yet");
            }
        }
    }
}
