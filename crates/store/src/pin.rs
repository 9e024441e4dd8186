//! Readers that hold back a collection (`docs/format.md` §10.2).
//!
//! A reader writes its pin and then looks whether the manifest is still there; a collector lists the manifests and then the
//! pins. Whichever order the storage gives these four, either the collector counts what the manifest needs, or it sees the
//! pin, or the reader is refused. Nobody waits for anybody, and a reader needs no lease.
//!
//! A pin ends by itself when its holder dies. Two clocks may differ about when, so a record that has run out is *removed*
//! before anything is deleted, and the collector then looks again: if the holder was faster, it finds the record that renewed
//! the pin and begins again; if the collector was faster, the holder, who looks after it has written, finds the record before
//! gone, and looks whether its manifest still counts.

mod listing;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

pub(crate) use self::listing::{ExpiredPin, check_deletion, check_pins, remove_expired};
pub use self::listing::{PinInfo, Pins, UnreadablePin};
use crate::{
    crypto::{self, ObjectType},
    error::{Error, Result},
    lease::Lease,
    limits::{HOLDER_BYTES_MAX, PIN_ATTEMPTS_MAX, PIN_TTL_MS_MAX},
    objects,
    path::{self, ManifestName, PinName},
    repository::Repository,
};

/// The right to read one recovery point to the end. Clones share it. It is not given back when dropped, as with
/// [`Lease`]: [`Repository::release_pin`] does.
#[derive(Debug, Clone)]
pub struct Pin {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    name: PinName,
    holder: String,
    ttl_ms: u64,
    lost: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Number of the next record.
    next: u32,
    /// When the newest record that is known to be written ends.
    expires_at_ms: u64,
    /// Records that may be there, and whether it is certain that they were written and not deleted by us.
    records: Vec<(u32, bool)>,
    /// A collector may have passed over this pin; cleared by finding that the manifest counts.
    doubtful: bool,
}

/// One record, as it stands in the storage.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Record {
    holder: String,
    expires_at_ms: u64,
}

impl Pin {
    /// The recovery point.
    #[must_use]
    pub fn recovery_point_id(&self) -> &str {
        &self.shared.name.manifest.recovery_point_id
    }

    /// Generation of the manifest that is pinned.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.name.manifest.generation
    }

    /// Who holds it.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.shared.holder
    }

    /// Whether it is known to be lost or was released. Once true it stays so.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Acquire)
    }

    fn lost(&self) -> Error {
        self.shared.lost.store(true, Ordering::Release);
        Error::PinLost { recovery_point_id: self.recovery_point_id().to_owned() }
    }
}

impl Repository {
    /// Pins a recovery point, so that until `now_ms + ttl_ms` (milliseconds since 1970 by the caller's clock) no collection
    /// deletes what it needs. To be called before [`Self::read_manifest`]. Needs no lease; any number may pin the same.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is no such recovery point, or none any more; [`Error::Invalid`] for a malformed id, no
    /// holder, or a time to live of 0 or more than [`PIN_TTL_MS_MAX`]; [`Error::Storage`].
    pub async fn pin(
        &self,
        recovery_point_id: &str,
        holder: &str,
        now_ms: u64,
        ttl_ms: u64,
    ) -> Result<Pin> {
        path::check_recovery_point_id(recovery_point_id)?;
        if holder.is_empty()
            || holder.len() > HOLDER_BYTES_MAX
            || !(1..=PIN_TTL_MS_MAX).contains(&ttl_ms)
        {
            return Err(Error::invalid(format!(
                "a pin needs a holder of 1 to {HOLDER_BYTES_MAX} bytes and a time to live of at most {PIN_TTL_MS_MAX} ms"
            )));
        }
        for _ in 0..PIN_ATTEMPTS_MAX {
            let (names, _) = self.manifest_names().await?;
            let newest =
                names.into_iter().rev().find(|name| name.recovery_point_id == recovery_point_id);
            let Some(manifest) = newest else { break };
            let mut id = [0; 16];
            crypto::random(&mut id)?;
            let name = PinName::new(manifest, id);
            let expires_at_ms = now_ms.saturating_add(ttl_ms);
            let record = Record { holder: holder.to_owned(), expires_at_ms };
            let pinned = match self.write_pin(&name, 0, &record).await {
                // Only now: from here on a collector that does not count the manifest sees the pin.
                Ok(()) => self.counts(&name.manifest).await,
                Err(error) => Err(error),
            };
            if matches!(pinned, Ok(true)) {
                let state =
                    State { next: 1, expires_at_ms, records: vec![(0, true)], doubtful: false };
                let shared = Shared {
                    name,
                    holder: holder.to_owned(),
                    ttl_ms,
                    lost: AtomicBool::new(false),
                    state: Mutex::new(state),
                };
                return Ok(Pin { shared: Arc::new(shared) });
            }
            // Best effort: what stays runs out.
            let record = self.inner.layout.pin_record(&name, 0);
            if let Err(error) = objects::delete(&self.inner.store, &record).await {
                tracing::debug!(%error, "a pin made in vain stays until it runs out");
            }
            pinned?;
            // Deleted meanwhile; another generation of it may count.
        }
        Err(Error::NotFound { what: format!("recovery point {recovery_point_id}") })
    }

    /// Extends a pin to `now_ms` and its time to live.
    ///
    /// # Errors
    /// [`Error::PinLost`]: the reader must stop. [`Error::Storage`]: it may try again; a pin that has run out meanwhile is
    /// in force again if the recovery point still exists.
    pub async fn renew_pin(&self, pin: &Pin, now_ms: u64) -> Result<()> {
        let shared = &pin.shared;
        let mut state = shared.state.lock().await;
        if pin.is_lost() {
            return Err(pin.lost());
        }
        state.doubtful |= now_ms >= state.expires_at_ms;
        let number = state.next;
        state.next = number.checked_add(1).ok_or_else(|| pin.lost())?;
        state.records.push((number, false));
        let expires_at_ms = now_ms.saturating_add(shared.ttl_ms);
        let record = Record { holder: shared.holder.clone(), expires_at_ms };
        self.write_pin(&shared.name, number, &record).await?;
        state.expires_at_ms = expires_at_ms;
        if let Some(written) = state.records.last_mut() {
            written.1 = true;
        }
        let before = state.records.clone();
        let before = before.iter().filter(|(before, _)| *before != number);
        // Looked at before they are deleted: storages do not all tell whether there was something to delete.
        for (record, certain) in before.clone() {
            let path = self.inner.layout.pin_record(&shared.name, *record);
            if *certain && objects::size(&self.inner.store, &path).await?.is_none() {
                // Somebody took it for one that has run out.
                state.doubtful = true;
            }
        }
        let mut staying = Vec::new();
        for (record, _) in before {
            let path = self.inner.layout.pin_record(&shared.name, *record);
            if let Err(error) = objects::delete(&self.inner.store, &path).await {
                // It may be gone by our doing now, so that its absence will say nothing.
                staying.push((*record, false));
                tracing::debug!(%error, "an old record of a pin stays until it runs out");
            }
        }
        staying.push((number, true));
        state.records = staying;
        if state.doubtful {
            if !self.counts(&shared.name.manifest).await? {
                let lost = pin.lost();
                objects::delete_all(&self.inner.store, &self.inner.layout.pin(&shared.name))
                    .await?;
                return Err(lost);
            }
            state.doubtful = false;
        }
        Ok(())
    }

    /// Gives a pin back. Of a lost one nothing is left to give back.
    ///
    /// # Errors
    /// [`Error::Storage`]; the pin then runs out by itself.
    pub async fn release_pin(&self, pin: Pin) -> Result<()> {
        let _renewing = pin.shared.state.lock().await;
        // Whoever kept a clone may not go on with it.
        pin.shared.lost.store(true, Ordering::Release);
        let records = self.inner.layout.pin(&pin.shared.name);
        objects::delete_all(&self.inner.store, &records).await.map(drop)
    }

    /// Removes all pins of a recovery point, readable or not: for a person who knows that nobody reads it, where a damaged
    /// record stands in the way. Any purpose of the lease will do. Returns how many records there were.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], [`Error::Invalid`] for a malformed id, [`Error::Storage`].
    pub async fn break_pins(&self, lease: &Lease, recovery_point_id: &str) -> Result<u64> {
        path::check_recovery_point_id(recovery_point_id)?;
        self.leases().check_held(lease).await?;
        let pins = self.inner.layout.pins().join(recovery_point_id);
        objects::delete_all(&self.inner.store, &pins).await
    }

    /// Whether this manifest is there and counts. Where the lease is damaged, every manifest is taken to count, as by
    /// [`Self::read_manifest`]; no collection is possible then.
    async fn counts(&self, manifest: &ManifestName) -> Result<bool> {
        let (names, _) = self.manifest_names().await?;
        Ok(names.binary_search(manifest).is_ok())
    }

    async fn write_pin(&self, name: &PinName, number: u32, record: &Record) -> Result<()> {
        let path = self.inner.layout.pin_record(name, number);
        let plain = serde_json::to_vec(record)
            .map_err(|error| Error::invalid(format!("a pin cannot be written: {error}")))?;
        let sealed = self.inner.keys.sealing.seal(ObjectType::Pin, &path, &plain)?;
        objects::put_new(&self.inner.store, &path, sealed.into()).await
    }
}
