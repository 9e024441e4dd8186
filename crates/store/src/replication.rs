//! A repository's copy in another location (`docs/format.md` §10.3).
//!
//! The copy has the same data key and the same packs, and a keyring, leases, pins and collections of its own: whoever reads
//! it needs nothing of the first location. A recovery point is copied like a backup is written: packs, read back; then its
//! manifest, sealed anew under the copy's lease. So all that holds of a repository holds of its copy, and a copier that has
//! lost its lease can leave packs behind and nothing else.
//!
//! What of a pack a recovery point needs is read and checked before it is written: damage is not copied as if it were none.
//!
//! What may not be done here: delete in the copy because something is missing in the source.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use tokio::sync::Semaphore;

use crate::{
    chunk::{ChunkRef, PackId},
    codec::{self, Expected},
    collection::NeededPart,
    condemned::Condemned,
    crypto::ObjectType,
    error::{Error, Result},
    keyring::{self, VaultKeyring, Wrappings},
    lease::{Lease, LeasePurpose},
    limits::{COPIED_BYTES_TOGETHER_MAX, PACK_BYTES_MAX, PACKS_COPIED_TOGETHER_MAX, PACKS_MAX},
    manifest::{self, Manifest, ManifestInfo},
    master_key::MasterKey,
    objects,
    pack::{Entry, Footer, StoredChunk},
    path::{self, ManifestName},
    repository::{self, Repository},
};

/// A turn of copying: what the copy has, and the lease under which more is written.
#[derive(Debug)]
pub struct Replication {
    source: Repository,
    copy: Repository,
    lease: Lease,
    /// Packs that the copy has, with their sizes: those that were there when the turn began, and what it has copied.
    there: HashMap<PackId, u64>,
    /// Ids of the recovery points that the copy has.
    sealed: HashSet<String>,
}

/// One recovery point that is to be copied, and what it needs as far as it was said.
#[derive(Debug)]
pub struct PointCopy {
    info: ManifestInfo,
    body: Vec<u8>,
    needed: BTreeMap<PackId, NeededPart>,
}

/// What was copied for one recovery point.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReplicationReport {
    /// Packs that it needs.
    pub packs: u64,
    /// Of them, those that the copy did not have.
    pub copied_packs: u64,
    /// Their bytes.
    pub copied_bytes: u64,
}

impl Repository {
    /// Opens this repository's copy in another location, or makes it: the same data key, wrapped by that location's keyring of
    /// the vault. `keyring` is this location's. Of several that make it at once, all open the same.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the keyring of another vault; [`Error::Corrupt`] if what is there has another data key, or is being
    /// destroyed; [`Error::NotFound`] if this repository was destroyed meanwhile; else as [`Self::open`].
    pub async fn create_or_open_copy(
        &self,
        keyring: &VaultKeyring,
        store: &Arc<dyn ObjectStore>,
        copys_keyring: &VaultKeyring,
    ) -> Result<Self> {
        if keyring.vault() != self.vault() {
            return Err(Error::invalid("the keyring belongs to another vault"));
        }
        let layout = &self.inner.layout;
        let own = self.inner.keys.sealing.fingerprint();
        let open = || Self::open(store, self.vault(), self.id(), copys_keyring);
        let copy = match open().await {
            Err(Error::NotFound { .. }) => {
                let found = Wrappings::read(
                    &self.inner.store,
                    &layout.keys(),
                    ObjectType::DataKey,
                    keyring.keys(),
                )
                .await?;
                let data_key = found.opened.iter().find(|it| it.key.fingerprint() == own);
                let data_key = data_key.ok_or_else(|| Error::NotFound {
                    what: format!("the data key of repository {}", layout.root),
                })?;
                let (keys, of) = (layout.keys(), ObjectType::DataKey);
                let wrapping = copys_keyring.newest()?;
                keyring::add_wrapping(store, &keys, of, &data_key.key, wrapping).await?;
                repository::write_format(store, layout).await?;
                open().await?
            }
            opened => opened?,
        };
        if copy.inner.keys.sealing.fingerprint() != own {
            return Err(Error::corrupt(
                layout.root.to_string(),
                "the other location has a repository of this name with another key",
            ));
        }
        Ok(copy)
    }

    /// The keyring of the vault in this repository's location.
    ///
    /// # Errors
    /// As [`VaultKeyring::open`].
    pub async fn keyring(&self, master: &MasterKey) -> Result<VaultKeyring> {
        VaultKeyring::open(&self.inner.store, self.vault(), master).await
    }

    /// The newest generation of the lease; 0 before it was taken for the first time. The copy's lease is taken above it.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn newest_generation(&self) -> Result<u64> {
        self.leases().newest_generation().await
    }

    /// As [`Self::acquire_lease`], of a generation above `above`: that of a copy has to be above the source's, whose generations
    /// stand in the names of packs.
    ///
    /// # Errors
    /// As [`Self::acquire_lease`].
    pub async fn acquire_lease_above(
        &self,
        holder: &str,
        purpose: LeasePurpose,
        now_ms: u64,
        ttl_ms: u64,
        above: u64,
    ) -> Result<Lease> {
        self.leases().acquire(holder, purpose, now_ms, ttl_ms, above).await
    }

    /// All packs that there are, in memory: about 24 bytes each.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Invalid`] for more than a repository has.
    pub async fn pack_ids(&self) -> Result<HashSet<PackId>> {
        Ok(packs(self).await?.into_keys().collect())
    }

    /// Begins to copy into this repository, under a lease of purpose [`LeasePurpose::Backup`]. None if a collection in it was
    /// interrupted, which has to be finished first: what it has announced must not be relied on.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; [`Error::Invalid`] for another purpose, or if the source is not what this is a copy of;
    /// [`Error::Corrupt`] if the lease cannot be read; [`Error::Storage`].
    pub async fn begin_replication(
        &self,
        source: &Self,
        lease: &Lease,
    ) -> Result<Option<Replication>> {
        lease.check_purpose(LeasePurpose::Backup)?;
        let fingerprint = |of: &Self| of.inner.keys.sealing.fingerprint();
        if fingerprint(source) != fingerprint(self) || source.id() != self.id() {
            return Err(Error::invalid("a repository is copied from one with the same key"));
        }
        self.leases().check_held(lease).await?;
        // Before packs are listed, see there.
        if !Condemned::read(self).await?.lists.is_empty() {
            return Ok(None);
        }
        let (names, damage) = self.manifest_names().await?;
        if let Some(damage) = damage {
            return Err(damage);
        }
        Ok(Some(Replication {
            source: source.clone(),
            copy: self.clone(),
            lease: lease.clone(),
            there: packs(self).await?,
            sealed: names.into_iter().map(|name| name.recovery_point_id).collect(),
        }))
    }
}

impl Replication {
    /// Whether the copy has the recovery point.
    #[must_use]
    pub fn has(&self, recovery_point_id: &str) -> bool {
        self.sealed.contains(recovery_point_id)
    }

    /// Reads the manifest of a recovery point that is to be copied: for every chunk that it needs [`PointCopy::needs`] is to
    /// be called.
    ///
    /// # Errors
    /// As [`Repository::read_manifest`], of the source.
    pub async fn begin_point(&self, recovery_point_id: &str) -> Result<(Manifest, PointCopy)> {
        let manifest = self.source.read_manifest(recovery_point_id).await?;
        let copy = PointCopy {
            info: manifest.info.clone(),
            body: manifest.body.clone(),
            needed: BTreeMap::new(),
        };
        Ok((manifest, copy))
    }

    /// Copies what the recovery point needs, and then its manifest, after which the copy has it. `progress` is told the bytes of
    /// every pack. If it ends early, packs are left that the next turn finds.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no chunk was named of a recovery point that has some; [`Error::Corrupt`] if something that it needs
    /// is missing or damaged in the source, or is not what was written when it is read back; [`Error::LeaseLost`];
    /// [`Error::Storage`].
    pub async fn copy_point(
        &mut self,
        point: PointCopy,
        progress: impl Fn(u64) + Sync,
    ) -> Result<ReplicationReport> {
        let PointCopy { info, body, needed } = point;
        if info.stats.chunks > 0 && needed.is_empty() {
            return Err(Error::invalid("a recovery point with chunks cannot do without any pack"));
        }
        self.lease.check()?;
        let packs = needed.len() as u64;
        let mut missing = Vec::new();
        for (pack, part) in needed {
            if self.there.get(&pack).is_none_or(|bytes| *bytes <= part.end) {
                missing.push((pack, part));
            }
        }
        let budget = Semaphore::new(COPIED_BYTES_TOGETHER_MAX);
        let copied_bytes = AtomicU64::new(0);
        let mut copying = stream::iter(missing)
            .map(|(pack, part)| {
                let (budget, progress, copied_bytes) = (&budget, &progress, &copied_bytes);
                let (source, copy) = (&self.source, &self.copy);
                async move {
                    let bytes = copy_pack(source, copy, pack, &part, budget).await?;
                    copied_bytes.fetch_add(bytes, Ordering::Relaxed);
                    progress(bytes);
                    Ok::<_, Error>((pack, bytes))
                }
            })
            .buffer_unordered(PACKS_COPIED_TOGETHER_MAX);
        let mut copied = Vec::new();
        while let Some(pack) = copying.try_next().await? {
            copied.push(pack);
        }
        drop(copying);
        let report = ReplicationReport {
            packs,
            copied_packs: copied.len() as u64,
            copied_bytes: copied_bytes.into_inner(),
        };
        self.there.extend(copied);
        self.seal(info, &body).await?;
        Ok(report)
    }

    /// The manifest under the copy's own generation.
    async fn seal(&mut self, info: ManifestInfo, body: &[u8]) -> Result<()> {
        let leases = self.copy.leases();
        leases.check_held(&self.lease).await?;
        let name = ManifestName::new(&info.recovery_point_id, self.lease.generation())?;
        let info = ManifestInfo { generation: name.generation, ..info };
        let inner = &self.copy.inner;
        let path = inner.layout.manifest(&name);
        let object = manifest::seal(&inner.keys.sealing, &path, &info, body)?;
        objects::put_new(&inner.store, &path, object).await?;
        leases.check_sealed(&self.lease, &name).await?;
        self.sealed.insert(info.recovery_point_id);
        Ok(())
    }
}

impl PointCopy {
    /// Says that the recovery point needs this chunk.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more packs than a repository has, or for a number that no chunk has.
    pub fn needs(&mut self, chunk: &ChunkRef) -> Result<()> {
        self.needed.entry(chunk.pack).or_default().add(chunk)?;
        if self.needed.len() > PACKS_MAX {
            return Err(Error::invalid(format!("a repository has at most {PACKS_MAX} packs")));
        }
        Ok(())
    }
}

async fn packs(repository: &Repository) -> Result<HashMap<PackId, u64>> {
    let mut packs = HashMap::new();
    let mut listed = objects::list(&repository.inner.store, &repository.inner.layout.packs());
    while let Some(meta) = listed.try_next().await? {
        let Some(pack) = path::pack_id(&meta.location) else { continue };
        packs.insert(pack, meta.size);
        if packs.len() > PACKS_MAX {
            return Err(Error::invalid(format!("a repository has at most {PACKS_MAX} packs")));
        }
    }
    Ok(packs)
}

/// Copies one pack and returns its length. It is read whole, what is needed of it is checked, and its footer is read back.
async fn copy_pack(
    source: &Repository,
    copy: &Repository,
    pack: PackId,
    part: &NeededPart,
    budget: &Semaphore,
) -> Result<u64> {
    let (from, to) = (&source.inner, &copy.inner);
    let name = from.layout.pack(pack);
    let missing = || Error::corrupt(name.to_string(), "it is missing");
    let size = objects::size(&from.store, &name).await?.ok_or_else(missing)?;
    let in_memory = usize::try_from(size).unwrap_or(usize::MAX).min(COPIED_BYTES_TOGETHER_MAX);
    let permits = u32::try_from(in_memory).unwrap_or(u32::MAX);
    // Never closed.
    let _held = budget.acquire_many(permits).await.map_err(|_| Error::invalid("no budget"))?;
    let sealing = &from.keys.sealing;
    let (footer, key) = Footer::read_with_key(&from.store, &name, pack, size, sealing).await?;
    let object = objects::get(&from.store, &name, PACK_BYTES_MAX).await?.ok_or_else(missing)?;
    if object.len() as u64 != size {
        return Err(Error::corrupt(name.to_string(), "its length changes"));
    }
    let mut found = 0;
    for StoredChunk { number, offset, entry } in footer.stored() {
        if !part.needs(number) {
            continue;
        }
        found += 1;
        let Entry { id, kind, stored_bytes, plain_bytes } = entry;
        let start = usize::try_from(offset).map_err(|_| missing())?;
        // Within the object: its footer adds up to its length.
        let sealed = object.slice(start..start + stored_bytes as usize);
        let what = || codec::describe_at(&id, number, pack);
        let expected = Expected { id, kind, number, plain_bytes };
        codec::open_as(&key, &from.keys.chunk_id, &expected, sealed, what)?;
    }
    if found != part.count() {
        return Err(Error::corrupt(name.to_string(), "it does not hold all that is needed of it"));
    }
    objects::put_new(&to.store, &name, object).await?;
    Footer::read(&to.store, &name, pack, size, &to.keys.sealing).await?;
    Ok(size)
}
