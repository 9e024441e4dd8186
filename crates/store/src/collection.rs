//! Deleting packs that no recovery point needs: decided first, then done.
//!
//! What a manifest needs stands in lists that are chunks of the caller's meaning, so the caller walks them. It is given
//! every manifest that counts, one after the other, and says for each which chunks it needs; only when it has answered for
//! all of them is there a plan. Whatever cannot be read ends the collection before anything is deleted.
//!
//! Everything is done under one lease of its own purpose, so that no backup runs meanwhile. A collector that has lost its
//! lease without noticing does no harm: see [`crate::condemned`]. Only whole packs are deleted, none is repacked;
//! what partly needed packs hold in vain is counted (`docs/decisions/0009-packs-are-not-rewritten.md`).

mod plan;

use std::collections::{HashMap, HashSet, VecDeque};

use futures::TryStreamExt;

pub(crate) use self::plan::NeededPart;
use self::plan::{Facts, FoundPack, decide};
pub use self::plan::{PackDecision, PackReason};
use crate::{
    chunk::{ChunkRef, PackId},
    condemned::{self, Condemned},
    damaged,
    error::{Error, Result},
    lease::{Lease, LeasePurpose},
    limits::{COLLECTION_LIST_PACKS_MAX, PACKS_MAX},
    manifest::{Manifest, ManifestInfo},
    objects,
    path::{self, DamagedName, LeaseName, ManifestName},
    pin::{self, ExpiredPin},
    repository::Repository,
};

/// A collection that learns what is needed.
#[derive(Debug)]
pub struct Collection {
    repository: Repository,
    lease: Lease,
    /// The manifests that count, ascending.
    counting: Vec<ManifestName>,
    /// Those not handed out yet.
    pending: VecDeque<ManifestName>,
    /// The one that was handed out last and not answered for.
    current: Option<ManifestInfo>,
    current_needs_any: bool,
    /// For each pack that is needed, which of its chunks are. About 80 bytes each, and a bit for each chunk.
    needed: HashMap<PackId, NeededPart>,
}

/// What a collection will do.
#[derive(Debug)]
pub struct CollectionPlan {
    generation: u64,
    counting: Vec<ManifestName>,
    decisions: Vec<PackDecision>,
    /// Lists of interrupted collections, which this one finishes.
    old_lists: Vec<LeaseName>,
    /// Records of damage to packs that nobody needs and that are gone, or will be.
    old_records: Vec<DamagedName>,
    /// Pins that have run out.
    old_pins: Vec<ExpiredPin>,
}

/// What a collection did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CollectionReport {
    /// Packs deleted.
    pub deleted_packs: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Packs that stay.
    pub kept_packs: u64,
    /// Their bytes.
    pub kept_bytes: u64,
    /// Of the packs that stay, those that hold also what no recovery point needs any more.
    pub idle_packs: u64,
    /// The bytes that they would save if they held only what is needed.
    pub idle_bytes: u64,
}

impl CollectionPlan {
    /// What becomes of every pack that was there.
    #[must_use]
    pub fn decisions(&self) -> &[PackDecision] {
        &self.decisions
    }

    /// Keeps what nobody needs here but the repository that this one is a copy of still has: it may be needed, and copied, once
    /// more, while a collector that deletes late would not know. The packs there were listed under this plan's lease.
    pub fn spare(&mut self, at_source: &HashSet<PackId>) {
        for decision in &mut self.decisions {
            let may_come_again =
                matches!(decision.reason, PackReason::Unreferenced | PackReason::Interrupted);
            if may_come_again && at_source.contains(&decision.pack) {
                decision.reason = PackReason::AtSource;
            }
        }
    }
}

impl Collection {
    /// The next manifest that counts; none when all were handed out. [`Self::needs`] and [`Self::answered`] follow for each.
    ///
    /// # Errors
    /// [`Error::Invalid`] if the one before was not answered for. If it cannot be read, the error that says so: the
    /// collection cannot go on then.
    pub async fn next(&mut self) -> Result<Option<Manifest>> {
        self.check_answered()?;
        let Some(name) = self.pending.front() else { return Ok(None) };
        let manifest = self.repository.read_named(name).await?.ok_or_else(|| {
            Error::corrupt(self.repository.inner.layout.manifest(name).to_string(), "it is missing")
        })?;
        self.pending.pop_front();
        self.current = Some(manifest.info.clone());
        self.current_needs_any = false;
        Ok(Some(manifest))
    }

    /// Says that the manifest handed out last needs this chunk.
    ///
    /// # Errors
    /// [`Error::Invalid`] if there is none, for more packs than a repository has, or for a number that no chunk has.
    pub fn needs(&mut self, chunk: &ChunkRef) -> Result<()> {
        if self.current.is_none() {
            return Err(Error::invalid("there is no manifest that could need a chunk"));
        }
        self.current_needs_any = true;
        self.needed.entry(chunk.pack).or_default().add(chunk)?;
        if self.needed.len() > PACKS_MAX {
            return Err(Error::invalid(format!("a repository has at most {PACKS_MAX} packs")));
        }
        Ok(())
    }

    /// Says that [`Self::needs`] was called for every chunk that this manifest needs, its lists included.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not the one handed out last, or if it was written with chunks and none was named.
    pub fn answered(&mut self, manifest: &ManifestInfo) -> Result<()> {
        let id = &manifest.recovery_point_id;
        match &self.current {
            Some(current) if current == manifest => {}
            Some(_) | None => {
                return Err(Error::invalid(format!("recovery point {id} was not asked for")));
            }
        }
        if manifest.stats.chunks > 0 && !self.current_needs_any {
            return Err(Error::invalid(format!("recovery point {id} cannot do without any chunk")));
        }
        self.current = None;
        Ok(())
    }

    /// Decides what is to be deleted; deletes nothing. `now_ms` is milliseconds since 1970; for `grace_ms` see
    /// [`PackReason::WithinGrace`].
    ///
    /// # Errors
    /// [`Error::Invalid`] unless all manifests that count were answered for; [`Error::Pinned`] if a recovery point was deleted
    /// while somebody reads it; [`Error::Corrupt`] if a pack that is needed is missing or too short, or if a pin of a deleted
    /// recovery point or the list of an earlier collection cannot be read; [`Error::Storage`].
    pub async fn plan(self, now_ms: u64, grace_ms: u64) -> Result<CollectionPlan> {
        self.check_answered()?;
        if let Some(name) = self.pending.front() {
            return Err(Error::invalid(format!(
                "recovery point {} was not asked for what it needs",
                name.recovery_point_id
            )));
        }
        // Later than the manifests were listed.
        let old_pins = pin::check_pins(&self.repository, &self.counting, now_ms).await?;
        // In this order, see there.
        let condemned = Condemned::read(&self.repository).await?;
        if let Some(error) = condemned.damage {
            return Err(error);
        }
        let records = damaged::list(&self.repository).await?;
        let found = list_packs(&self.repository).await?;
        let damaged: HashSet<PackId> = records.iter().map(|name| name.pack).collect();
        let facts = Facts {
            generation: self.lease.generation(),
            newest_sealed: self.counting.iter().map(|name| name.generation).max().unwrap_or(0),
            needed: &self.needed,
            announced: &condemned.packs,
            damaged: &damaged,
            now_ms,
            grace_ms,
        };
        let decisions = decide(&facts, &found)?;
        let staying = decisions.iter().filter(|decision| !decision.reason.deletes());
        let staying: HashSet<PackId> = staying.map(|decision| decision.pack).collect();
        let old_records = records
            .into_iter()
            .filter(|name| !staying.contains(&name.pack) && !self.needed.contains_key(&name.pack));
        Ok(CollectionPlan {
            generation: self.lease.generation(),
            old_records: old_records.collect(),
            decisions,
            counting: self.counting,
            old_lists: condemned.lists,
            old_pins,
        })
    }

    fn check_answered(&self) -> Result<()> {
        match &self.current {
            None => Ok(()),
            Some(current) => Err(Error::invalid(format!(
                "recovery point {} was not answered for",
                current.recovery_point_id
            ))),
        }
    }
}

impl Repository {
    /// Begins to collect garbage under a lease of purpose [`LeasePurpose::Collection`].
    ///
    /// # Errors
    /// [`Error::LeaseLost`]; [`Error::Corrupt`] if the lease cannot be read; [`Error::Invalid`] for another purpose;
    /// [`Error::Storage`].
    pub async fn begin_collection(&self, lease: &Lease) -> Result<Collection> {
        lease.check_purpose(LeasePurpose::Collection)?;
        self.leases().check_held(lease).await?;
        let counting = self.counting_manifests().await?;
        Ok(Collection {
            repository: self.clone(),
            lease: lease.clone(),
            pending: counting.iter().cloned().collect(),
            counting,
            current: None,
            current_needs_any: false,
            needed: HashMap::new(),
        })
    }

    /// Deletes what the plan says. If it ends early, by an error or because it is dropped, the next collection goes on.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]: nothing was deleted since the lease was lost, or only what its next holder knows to be going.
    /// [`Error::Invalid`] if the plan was made under another lease or manifests were added since. [`Error::Pinned`] if a pin
    /// that had run out was renewed since, of a recovery point that is gone. [`Error::Corrupt`], [`Error::Storage`].
    pub async fn collect(&self, lease: &Lease, plan: CollectionPlan) -> Result<CollectionReport> {
        self.collect_with(lease, plan, |_| {}).await
    }

    /// As [`Self::collect`], told after each pack what was done so far.
    ///
    /// # Errors
    /// As [`Self::collect`].
    pub async fn collect_with(
        &self,
        lease: &Lease,
        plan: CollectionPlan,
        mut progress: impl FnMut(&CollectionReport),
    ) -> Result<CollectionReport> {
        if lease.generation() != plan.generation {
            return Err(Error::invalid("the plan was made under another lease"));
        }
        let inner = &self.inner;
        let mut report = CollectionReport::default();
        let mut going = Vec::new();
        for decision in &plan.decisions {
            if decision.reason.deletes() {
                going.push(*decision);
            } else {
                report.kept_packs += 1;
                report.kept_bytes += decision.bytes;
                report.idle_packs += u64::from(decision.idle_bytes > 0);
                report.idle_bytes += decision.idle_bytes;
            }
        }
        self.leases().check_held(lease).await?;
        // Before any pack is deleted: whoever renews one of these pins later finds it gone, and knows.
        pin::remove_expired(self, &plan.old_pins).await?;
        let own = plan.old_lists.iter().filter(|name| name.generation == plan.generation);
        let mut number =
            own.map(|name| name.number).max().map_or(Some(0), |last| last.checked_add(1));
        for batch in going.chunks(COLLECTION_LIST_PACKS_MAX) {
            let list = LeaseName {
                generation: plan.generation,
                number: number.ok_or_else(|| Error::invalid("a lease with too many lists"))?,
            };
            number = list.number.checked_add(1);
            let packs = batch.iter().map(|decision| decision.pack).collect();
            condemned::write_list(self, list, packs).await?;
            // Only now: who claims the lease after this sees the list.
            self.check_plan(lease, &plan).await?;
            for decision in batch {
                if objects::delete(&inner.store, &inner.layout.pack(decision.pack)).await? {
                    report.deleted_packs += 1;
                    report.deleted_bytes += decision.bytes;
                }
                progress(&report);
            }
            objects::delete(&inner.store, &inner.layout.collection(list)).await?;
        }
        // All that they name is gone by now, or is needed and was announced too late.
        self.leases().check_held(lease).await?;
        for list in &plan.old_lists {
            objects::delete(&inner.store, &inner.layout.collection(*list)).await?;
        }
        // Later than the packs: a pack that is still there must not be trusted because its record went first.
        for record in &plan.old_records {
            objects::delete(&inner.store, &inner.layout.damaged_pack(record)).await?;
        }
        Ok(report)
    }

    /// Fails unless the lease is held and no manifest counts that the plan does not know.
    async fn check_plan(&self, lease: &Lease, plan: &CollectionPlan) -> Result<()> {
        let counting = self.counting_manifests().await?;
        if counting.iter().any(|name| plan.counting.binary_search(name).is_err()) {
            return Err(Error::invalid("there are manifests that the plan does not know"));
        }
        self.leases().check_held(lease).await
    }

    /// The manifests that count, ascending; fails where that is not known for certain.
    async fn counting_manifests(&self) -> Result<Vec<ManifestName>> {
        let (names, damage) = self.manifest_names().await?;
        damage.map_or(Ok(names), Err)
    }
}

async fn list_packs(repository: &Repository) -> Result<Vec<FoundPack>> {
    let mut found = Vec::new();
    let mut listed = objects::list(&repository.inner.store, &repository.inner.layout.packs());
    while let Some(meta) = listed.try_next().await? {
        let Some(pack) = path::pack_id(&meta.location) else { continue };
        if found.len() >= PACKS_MAX {
            return Err(Error::invalid(format!("a repository has at most {PACKS_MAX} packs")));
        }
        let stored_ms = u64::try_from(meta.last_modified.timestamp_millis()).unwrap_or(0);
        found.push(FoundPack { pack, bytes: meta.size, stored_ms });
    }
    found.sort_unstable_by_key(|found| found.pack);
    Ok(found)
}
