//! Which packs verification found damaged (`docs/format.md` §10.1), so that no later backup relies on them.
//!
//! A reference carries its place, and a writer takes a chunk over when its pack is listed and long enough. Bytes that
//! rotted since are none of its business: it does not read them. So damage must be on record, or every later recovery
//! point would inherit it. A pack is distrusted as a whole, also where one chunk of it is damaged: storing at most one pack
//! anew is cheap, and its disk is suspect. Which chunks are damaged is kept for another question: which recovery points need
//! them.
//!
//! A record can err in one direction only, since all that it costs is storing again what was there. Hence its name alone is
//! enough to distrust a pack, and a record that is itself damaged counts as one. It is taken back by deleting it, when a
//! later verification reads the pack whole: after a repair, or after a fault of the machine and not of the disk.

use std::collections::{BTreeMap, BTreeSet};

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{
    chunk::{ChunkRef, PackId},
    crypto::ObjectType,
    error::{Error, Result},
    lease::Lease,
    limits::{DAMAGED_PACKS_DETAILED_MAX, PACKS_MAX, SEALED_OBJECT_BYTES_MAX},
    objects,
    path::DamagedName,
    repository::Repository,
    verify::{PackOutcome, PackVerdict},
};

/// A pack that is not what it was when it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DamagedPack {
    /// The pack.
    pub pack: PackId,
    /// Numbers of its chunks that cannot be had, ascending; none if that is not known, and so all of them may be.
    pub chunks: Option<Vec<u32>>,
    /// What is wrong.
    pub reason: String,
}

impl DamagedPack {
    /// Whether this chunk is among what cannot be had.
    #[must_use]
    pub fn concerns(&self, chunk: &ChunkRef) -> bool {
        self.pack == chunk.pack
            && self
                .chunks
                .as_ref()
                .is_none_or(|numbers| numbers.binary_search(&chunk.number).is_ok())
    }
}

/// Damaged packs by their names: what a verification found, or what is on record.
#[derive(Debug, Clone, Default)]
pub struct DamagedPacks {
    packs: BTreeMap<PackId, DamagedPack>,
}

impl DamagedPacks {
    /// Why this chunk cannot be had, if it is known.
    #[must_use]
    pub fn of(&self, chunk: &ChunkRef) -> Option<&DamagedPack> {
        self.packs.get(&chunk.pack).filter(|damaged| damaged.concerns(chunk))
    }

    /// All of them, ascending.
    pub fn iter(&self) -> impl Iterator<Item = &DamagedPack> {
        self.packs.values()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty()
    }

    /// False if there are too many to keep.
    pub(crate) fn insert(&mut self, damaged: DamagedPack) -> bool {
        if self.packs.len() >= DAMAGED_PACKS_DETAILED_MAX {
            return false;
        }
        self.packs.insert(damaged.pack, damaged);
        true
    }
}

/// One record, as it stands in the storage.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    generation: u64,
    #[serde(flatten)]
    damaged: DamagedPack,
}

/// Names of all records, ascending.
pub(crate) async fn list(repository: &Repository) -> Result<BTreeSet<DamagedName>> {
    let inner = &repository.inner;
    let mut names = BTreeSet::new();
    let mut listed = objects::list(&inner.store, &inner.layout.damaged());
    while let Some(meta) = listed.try_next().await? {
        names.extend(DamagedName::of(&meta.location));
        if names.len() > PACKS_MAX {
            return Err(Error::invalid(format!("a repository has at most {PACKS_MAX} packs")));
        }
    }
    Ok(names)
}

impl Repository {
    /// The packs that are on record as damaged. No backup relies on them until a verification finds them whole.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more than [`DAMAGED_PACKS_DETAILED_MAX`]; [`Error::Storage`].
    pub async fn damaged_packs(&self) -> Result<DamagedPacks> {
        let mut packs = DamagedPacks::default();
        for name in list(self).await? {
            let damaged = match self.read_damaged(&name).await {
                Ok(Some(damaged)) => damaged,
                // Taken back since it was listed.
                Ok(None) => continue,
                Err(error @ Error::Storage { .. }) => return Err(error),
                Err(error) => {
                    DamagedPack { pack: name.pack, chunks: None, reason: error.to_string() }
                }
            };
            if !packs.insert(damaged) {
                return Err(Error::invalid(format!(
                    "more than {DAMAGED_PACKS_DETAILED_MAX} packs are on record as damaged"
                )));
            }
        }
        Ok(packs)
    }

    /// Puts on record what a verification found: damaged packs are distrusted from now on, whole ones trusted again.
    /// Packs that were not checked are left as they are. Any purpose of the lease will do.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], [`Error::Corrupt`], [`Error::Storage`]; what was done until then stays done.
    pub async fn record_verdicts(&self, lease: &Lease, verdicts: &[PackVerdict]) -> Result<()> {
        self.leases().check_held(lease).await?;
        let records = list(self).await?;
        for verdict in verdicts {
            match &verdict.outcome {
                PackOutcome::Damaged(damaged) => self.write_damaged(lease, damaged).await?,
                PackOutcome::Whole { .. } => {
                    self.take_back(lease, verdict.pack, &records).await?;
                }
                PackOutcome::Gone | PackOutcome::Unchecked(_) => {}
            }
        }
        Ok(())
    }

    /// Puts a pack on record as damaged that no verification could read or find: one that is missing, or on a part of a disk
    /// that gives errors for ever. To be asked for by a person, since the storage may only be out of reach.
    ///
    /// # Errors
    /// As [`Self::record_verdicts`].
    pub async fn distrust_pack(&self, lease: &Lease, pack: PackId, reason: &str) -> Result<()> {
        self.leases().check_held(lease).await?;
        let damaged = DamagedPack { pack, chunks: None, reason: reason.to_owned() };
        self.write_damaged(lease, &damaged).await
    }

    async fn write_damaged(&self, lease: &Lease, damaged: &DamagedPack) -> Result<()> {
        let inner = &self.inner;
        let name = DamagedName { pack: damaged.pack, generation: lease.generation() };
        let path = inner.layout.damaged_pack(&name);
        let record = Record { generation: name.generation, damaged: damaged.clone() };
        let plain = serde_json::to_vec(&record).map_err(|error| {
            Error::invalid(format!("a record of damage cannot be written: {error}"))
        })?;
        let sealed = inner.keys.sealing.seal(ObjectType::Damaged, &path, &plain)?;
        match objects::put_new(&inner.store, &path, sealed.into()).await {
            // Found before under the same lease; once is enough to be distrusted.
            Err(Error::AlreadyExists { .. }) => Ok(()),
            result => result,
        }
    }

    async fn take_back(
        &self,
        lease: &Lease,
        pack: PackId,
        records: &BTreeSet<DamagedName>,
    ) -> Result<()> {
        // Up to the own generation: what a later holder found is not known here.
        let own = DamagedName { pack, generation: 0 }..=DamagedName {
            pack,
            generation: lease.generation(),
        };
        for name in records.range(own) {
            objects::delete(&self.inner.store, &self.inner.layout.damaged_pack(name)).await?;
        }
        Ok(())
    }

    async fn read_damaged(&self, name: &DamagedName) -> Result<Option<DamagedPack>> {
        let inner = &self.inner;
        let path = inner.layout.damaged_pack(name);
        let Some(sealed) = objects::get(&inner.store, &path, SEALED_OBJECT_BYTES_MAX).await? else {
            return Ok(None);
        };
        let plain = inner.keys.sealing.open(ObjectType::Damaged, &path, sealed.into())?;
        let mut record: Record = serde_json::from_slice(&plain)
            .map_err(|error| Error::corrupt(path.to_string(), error.to_string()))?;
        if (record.damaged.pack, record.generation) != (name.pack, name.generation) {
            return Err(Error::corrupt(
                path.to_string(),
                "it is of another pack than its name says",
            ));
        }
        record.damaged.chunks.iter_mut().for_each(|numbers| numbers.sort_unstable());
        Ok(Some(record.damaged))
    }
}
