//! Who may change a repository, and which manifests count (`docs/format.md` §6).
//!
//! A lease is a sequence of write-once records. Its generation decides more than who is first: a manifest counts only if
//! its generation is the newest that was accepted, or if that one's acceptance names it. So a writer that lost its lease
//! without noticing can still write, but what it writes is nothing.
//!
//! The race to understand: a holder seals a manifest while another takes over. The taker writes its claim *before* it
//! lists the manifests that it accepts, and the sealer lists the leases *after* its manifest is written. Whichever order
//! the storage gives these four, either the taker sees the manifest or the sealer sees the claim.

mod recovery;

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::TryStreamExt;
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

pub use self::recovery::LeaseRecovery;
use crate::{
    crypto::{ObjectType, SealingKey},
    error::{Error, Result},
    limits::{HOLDER_BYTES_MAX, LEASE_CLAIM_ATTEMPTS_MAX, MANIFESTS_MAX, SEALED_OBJECT_BYTES_MAX},
    objects,
    path::{Layout, LeaseName, ManifestName},
};

/// Number of the record that claims a generation.
const CLAIM: u32 = 0;
/// Number of the record that says which manifests count.
const ACCEPTANCE: u32 = 1;

/// Why the lease is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeasePurpose {
    /// A backup writes packs and a manifest.
    Backup,
    /// Garbage is collected.
    Collection,
    /// Recovery points are deleted.
    Deletion,
    /// What a verification found is put on record.
    Verification,
}

/// The right to change a repository. Clones share it; it is not given back when dropped, since its holder may be one of
/// many tasks and a crash would not do it either: [`crate::Repository::release_lease`] does.
#[derive(Debug, Clone)]
pub struct Lease {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    generation: u64,
    holder: String,
    purpose: LeasePurpose,
    ttl_ms: u64,
    lost: AtomicBool,
    /// Number of the next record.
    next: Mutex<u32>,
}

impl Lease {
    /// Of a generation that is about to be claimed.
    fn new(generation: u64, holder: &str, purpose: LeasePurpose, ttl_ms: u64) -> Self {
        Self {
            shared: Arc::new(Shared {
                generation,
                holder: holder.to_owned(),
                purpose,
                ttl_ms,
                lost: AtomicBool::new(false),
                next: Mutex::new(ACCEPTANCE + 1),
            }),
        }
    }

    /// Everything that its holder writes carries this number.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.shared.generation
    }

    /// Whether a takeover was noticed. Once true it stays so.
    #[must_use]
    pub fn is_lost(&self) -> bool {
        self.shared.lost.load(Ordering::Acquire)
    }

    /// Who holds it.
    #[must_use]
    pub fn holder(&self) -> &str {
        &self.shared.holder
    }

    /// Fails if it is held for something else, which would not be kept apart from what is about to be done.
    pub(crate) fn check_purpose(&self, purpose: LeasePurpose) -> Result<()> {
        if self.shared.purpose == purpose {
            return Ok(());
        }
        Err(Error::invalid(format!(
            "the lease is held for {:?}, not for {purpose:?}",
            self.shared.purpose
        )))
    }

    pub(crate) fn check(&self) -> Result<()> {
        if self.is_lost() { Err(self.lost()) } else { Ok(()) }
    }

    fn lost(&self) -> Error {
        self.shared.lost.store(true, Ordering::Release);
        Error::LeaseLost { generation: self.shared.generation }
    }

    fn record(&self, number: u32, expires_at_ms: u64) -> Record {
        Record {
            generation: self.shared.generation,
            number,
            holder: self.shared.holder.clone(),
            purpose: self.shared.purpose,
            expires_at_ms,
            released: false,
            accepted: None,
        }
    }
}

/// One record, as it stands in the storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    generation: u64,
    number: u32,
    holder: String,
    purpose: LeasePurpose,
    expires_at_ms: u64,
    released: bool,
    accepted: Option<Vec<String>>,
}

/// Which manifests count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Authority {
    generation: u64,
    /// Ascending.
    accepted: Vec<ManifestName>,
}

impl Authority {
    pub(crate) fn counts(&self, name: &ManifestName) -> bool {
        name.generation == self.generation || self.accepted.binary_search(name).is_ok()
    }

    /// Whether the manifest was sealed under a later generation, which cannot be: its acceptance was written before it, and is
    /// lost then.
    pub(crate) fn is_older_than(&self, name: &ManifestName) -> bool {
        name.generation > self.generation
    }
}

/// Names of the records that there are: the numbers of each generation, ascending.
#[derive(Debug, Default)]
struct Records(BTreeMap<u64, Vec<u32>>);

impl Records {
    fn newest(&self) -> Option<LeaseName> {
        let (generation, numbers) = self.0.last_key_value()?;
        Some(LeaseName { generation: *generation, number: *numbers.last()? })
    }

    fn newest_generation(&self) -> u64 {
        self.0.last_key_value().map_or(0, |(generation, _)| *generation)
    }

    /// None if there is none at all; as an error the generation whose acceptance is gone though records after it are there,
    /// since an older one would not let count what that generation sealed.
    fn newest_acceptance(&self) -> Result<Option<LeaseName>, u64> {
        for (generation, numbers) in self.0.iter().rev() {
            if numbers.contains(&ACCEPTANCE) {
                return Ok(Some(LeaseName { generation: *generation, number: ACCEPTANCE }));
            }
            if numbers.last().is_some_and(|last| *last > ACCEPTANCE) {
                return Err(*generation);
            }
        }
        Ok(None)
    }

    fn before(&self, generation: u64) -> impl Iterator<Item = LeaseName> + '_ {
        self.0.range(..generation).flat_map(|(generation, numbers)| {
            numbers.iter().map(|number| LeaseName { generation: *generation, number: *number })
        })
    }
}

fn check_claim(holder: &str, ttl_ms: u64) -> Result<()> {
    if holder.is_empty() || holder.len() > HOLDER_BYTES_MAX || ttl_ms == 0 {
        return Err(Error::invalid(format!(
            "a lease needs a holder of 1 to {HOLDER_BYTES_MAX} bytes and a time to live"
        )));
    }
    Ok(())
}

/// Leases of one repository: everything here needs only the storage, the names and the sealing key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leases<'a> {
    pub(crate) store: &'a Arc<dyn ObjectStore>,
    pub(crate) layout: &'a Layout,
    pub(crate) sealing: &'a SealingKey,
}

impl Leases<'_> {
    /// Claims a generation above the newest one and above `above`.
    pub(crate) async fn acquire(
        self,
        holder: &str,
        purpose: LeasePurpose,
        now_ms: u64,
        ttl_ms: u64,
        above: u64,
    ) -> Result<Lease> {
        check_claim(holder, ttl_ms)?;
        for _ in 0..LEASE_CLAIM_ATTEMPTS_MAX {
            let Some(newest) = self.free_generation(holder, now_ms).await? else { continue };
            let generation = newest.max(above).checked_add(1).ok_or_else(|| {
                Error::corrupt(self.layout.leases().to_string(), "no generation is left")
            })?;
            let lease = Lease::new(generation, holder, purpose, ttl_ms);
            let expires_at_ms = now_ms.saturating_add(ttl_ms);
            match self.write(&lease.record(CLAIM, expires_at_ms)).await {
                Ok(()) => {}
                Err(Error::AlreadyExists { .. }) => continue,
                Err(error) => return Err(error),
            }
            self.accept(&lease, expires_at_ms).await?;
            return Ok(lease);
        }
        Err(Error::LeaseHeld {
            holder: "others that take it at the same time".to_owned(),
            expires_at_ms: now_ms,
        })
    }

    /// The newest generation (0 for none) if it is free for that holder; none if a record went away while looking.
    async fn free_generation(self, holder: &str, now_ms: u64) -> Result<Option<u64>> {
        let records = self.list().await?;
        let Some(newest) = records.newest() else {
            let manifest = objects::list(self.store, &self.layout.manifests()).try_next().await?;
            return match manifest {
                None => Ok(Some(0)),
                Some(_) => Err(Error::corrupt(
                    self.layout.leases().to_string(),
                    "there are manifests but no lease records",
                )),
            };
        };
        let Some(record) = self.read(newest).await? else { return Ok(None) };
        if !record.released && record.expires_at_ms > now_ms && record.holder != holder {
            return Err(Error::LeaseHeld {
                holder: record.holder,
                expires_at_ms: record.expires_at_ms,
            });
        }
        Ok(Some(newest.generation))
    }

    /// Writes the acceptance of a generation that was claimed, and clears away older records.
    async fn accept(self, lease: &Lease, expires_at_ms: u64) -> Result<()> {
        let authority = self.authority().await?;
        let mut accepted = Vec::new();
        let mut manifests = objects::list(self.store, &self.layout.manifests());
        while let Some(meta) = manifests.try_next().await? {
            let Some(name) = ManifestName::of(&meta.location) else { continue };
            let Some(authority) = &authority else {
                return Err(Error::corrupt(
                    self.layout.leases().to_string(),
                    "there are manifests but no acceptance of any",
                ));
            };
            // Of the lease's own generation is none before it is accepted.
            if authority.is_older_than(&name) {
                return Err(Error::corrupt(
                    self.layout.leases().to_string(),
                    "the newest acceptance is older than a manifest",
                ));
            }
            if authority.counts(&name) {
                accepted.push(name);
            }
            if accepted.len() > MANIFESTS_MAX {
                return Err(Error::invalid(format!(
                    "a repository has at most {MANIFESTS_MAX} recovery points"
                )));
            }
        }
        accepted.sort_unstable();
        let accepted = Some(accepted.iter().map(ManifestName::to_text).collect());
        self.write(&Record { accepted, ..lease.record(ACCEPTANCE, expires_at_ms) }).await?;
        let records = self.check_newest(lease).await?;
        for name in records.before(lease.generation()) {
            objects::delete(self.store, &self.layout.lease(name)).await?;
        }
        Ok(())
    }

    pub(crate) async fn renew(self, lease: &Lease, now_ms: u64) -> Result<()> {
        let mut next = lease.shared.next.lock().await;
        lease.check()?;
        let expires_at_ms = now_ms.saturating_add(lease.shared.ttl_ms);
        self.append(lease, &mut next, lease.record(0, expires_at_ms)).await?;
        self.check_newest(lease).await?;
        let superseded = next.saturating_sub(2);
        if superseded > ACCEPTANCE {
            let name = LeaseName { generation: lease.generation(), number: superseded };
            objects::delete(self.store, &self.layout.lease(name)).await?;
        }
        Ok(())
    }

    pub(crate) async fn release(self, lease: &Lease) -> Result<()> {
        let mut next = lease.shared.next.lock().await;
        if lease.is_lost() {
            return Ok(());
        }
        self.append(lease, &mut next, Record { released: true, ..lease.record(0, 0) }).await?;
        // Whoever kept a clone may not go on with it.
        lease.shared.lost.store(true, Ordering::Release);
        Ok(())
    }

    async fn append(self, lease: &Lease, next: &mut u32, mut record: Record) -> Result<()> {
        record.number = *next;
        // Counted before it is written: after a failure it is not known whether the record is there.
        *next = next.checked_add(1).ok_or_else(|| lease.lost())?;
        self.write(&record).await
    }

    /// The newest generation that was claimed; 0 for none.
    pub(crate) async fn newest_generation(self) -> Result<u64> {
        Ok(self.list().await?.newest_generation())
    }

    /// Fails if a newer generation was claimed.
    async fn check_newest(self, lease: &Lease) -> Result<Records> {
        let records = self.list().await?;
        if records.newest_generation() == lease.generation() {
            Ok(records)
        } else {
            Err(lease.lost())
        }
    }

    /// Fails unless the lease is still the newest.
    pub(crate) async fn check_held(self, lease: &Lease) -> Result<()> {
        lease.check()?;
        self.check_newest(lease).await.map(drop)
    }

    /// After a manifest was written: whether it counts for good.
    pub(crate) async fn check_sealed(self, lease: &Lease, name: &ManifestName) -> Result<()> {
        match self.check_newest(lease).await {
            Err(Error::LeaseLost { .. }) => {}
            result => return result.map(drop),
        }
        match self.authority().await? {
            Some(authority)
                if authority.generation > lease.generation() && authority.counts(name) =>
            {
                Ok(())
            }
            Some(_) | None => Err(lease.lost()),
        }
    }

    /// Which manifests count now; none if there is no acceptance at all.
    pub(crate) async fn authority(self) -> Result<Option<Authority>> {
        let mut lost = None;
        for _ in 0..LEASE_CLAIM_ATTEMPTS_MAX {
            let name = match self.list().await?.newest_acceptance() {
                Ok(Some(name)) => name,
                Ok(None) => return Ok(None),
                // Or it was cleared away for a newer one while the records were listed.
                Err(generation) => {
                    lost = Some(generation);
                    continue;
                }
            };
            lost = None;
            // Gone between listing and reading: a newer generation cleared it away.
            let Some(record) = self.read(name).await? else { continue };
            let what = self.layout.lease(name).to_string();
            let accepted = record
                .accepted
                .ok_or_else(|| Error::corrupt(what.clone(), "it accepts nothing"))?;
            let mut accepted = accepted
                .iter()
                .map(|text| ManifestName::parse(text))
                .collect::<Option<Vec<_>>>()
                .ok_or_else(|| Error::corrupt(what, "it accepts what is no manifest"))?;
            accepted.sort_unstable();
            return Ok(Some(Authority { generation: name.generation, accepted }));
        }
        if let Some(generation) = lost {
            let acceptance = LeaseName { generation, number: ACCEPTANCE };
            return Err(Error::corrupt(self.layout.lease(acceptance).to_string(), "it is missing"));
        }
        Err(Error::LeaseHeld {
            holder: "others that take it at the same time".to_owned(),
            expires_at_ms: 0,
        })
    }

    async fn list(self) -> Result<Records> {
        let mut records = Records::default();
        let mut listed = objects::list(self.store, &self.layout.leases());
        while let Some(meta) = listed.try_next().await? {
            if let Some(name) = LeaseName::of(&meta.location) {
                records.0.entry(name.generation).or_default().push(name.number);
            }
        }
        records.0.values_mut().for_each(|numbers| numbers.sort_unstable());
        Ok(records)
    }

    async fn read(self, name: LeaseName) -> Result<Option<Record>> {
        let path = self.layout.lease(name);
        let Some(sealed) = objects::get(self.store, &path, SEALED_OBJECT_BYTES_MAX).await? else {
            return Ok(None);
        };
        let plain = self.sealing.open(ObjectType::Lease, &path, sealed.into())?;
        let record: Record = serde_json::from_slice(&plain)
            .map_err(|error| Error::corrupt(path.to_string(), error.to_string()))?;
        if (record.generation, record.number) != (name.generation, name.number) {
            return Err(Error::corrupt(
                path.to_string(),
                "it is another record than its name says",
            ));
        }
        Ok(Some(record))
    }

    async fn write(self, record: &Record) -> Result<()> {
        let path =
            self.layout.lease(LeaseName { generation: record.generation, number: record.number });
        let plain = serde_json::to_vec(record).map_err(|error| {
            Error::invalid(format!("a lease record cannot be written: {error}"))
        })?;
        let sealed = self.sealing.seal(ObjectType::Lease, &path, &plain)?;
        objects::put_new(self.store, &path, sealed.into()).await
    }
}
