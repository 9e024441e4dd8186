//! Repairing a lease that cannot be read, which nobody may take as it is (`docs/format.md` §6.1).
//!
//! Only on a person's demand: a record that cannot be read may be that of a holder at work, and where the newest acceptance is
//! damaged nothing tells which manifests were written by a holder that had lost its lease. A recovery is a takeover like any
//! other (claim, list of the manifests, acceptance), so that it may die at any point and a holder that still lives finds out.

use futures::TryStreamExt;
use object_store::path::Path;

use super::{ACCEPTANCE, Authority, CLAIM, Lease, LeasePurpose, Leases, Record, check_claim};
use crate::{
    error::{Error, Result},
    limits::{LEASE_CLAIM_ATTEMPTS_MAX, LEASE_RECOVERY_GAP, MANIFESTS_MAX},
    manifest::UnreadableManifest,
    objects,
    path::{self, LeaseName, ManifestName},
    repository::Repository,
};

/// What a recovery of the lease found and did.
#[derive(Debug)]
pub struct LeaseRecovery {
    /// What was wrong with the lease.
    pub damage: Error,
    /// The generation that was claimed for it.
    pub generation: u64,
    /// Recovery points that count from now on, ascending.
    pub accepted: Vec<String>,
    /// Manifests that are there and do not count, since they are not what somebody with the key has written.
    pub left_out: Vec<UnreadableManifest>,
    /// No acceptance could be read, so that there may be manifests among the accepted ones that a holder wrote after it had lost
    /// its lease. What such a one needs may have been deleted: a verification tells.
    pub may_hold_stale: bool,
}

impl Repository {
    /// What is wrong with the lease, so that nobody can take it; none if nothing is.
    ///
    /// # Errors
    /// [`Error::UnsupportedFormat`] if a newer version wrote it; [`Error::Storage`].
    pub async fn lease_damage(&self) -> Result<Option<Error>> {
        self.leases().damage().await
    }

    /// Repairs a lease that cannot be read: takes it under a generation above every one that left a trace, lets exactly those
    /// manifests count that can be authenticated (and had counted, where that can still be read), deletes all older records,
    /// and gives the lease back. Does nothing, and returns none, if nothing is wrong. To be asked for by a person who has made
    /// sure that nobody else is at work; whoever is all the same loses the lease.
    ///
    /// # Errors
    /// [`Error::LeaseHeld`] while a record that can be read says that another one holds it at `now_ms` (milliseconds since
    /// 1970); [`Error::LeaseLost`] if another one takes it over at this very moment; [`Error::UnsupportedFormat`] if a newer version
    /// wrote a record or a manifest; [`Error::Invalid`], [`Error::Storage`]. It may be called again after each.
    pub async fn recover_lease(
        &self,
        holder: &str,
        now_ms: u64,
        ttl_ms: u64,
    ) -> Result<Option<LeaseRecovery>> {
        check_claim(holder, ttl_ms)?;
        let leases = self.leases();
        let Some(damage) = leases.damage().await? else { return Ok(None) };
        leases.check_free(holder, now_ms).await?;
        let expires_at_ms = now_ms.saturating_add(ttl_ms);
        let lease = leases.claim_above_all(holder, expires_at_ms, ttl_ms).await?;

        // After the claim, as always.
        let manifests = leases.manifest_names().await?;
        let authority = match leases.authority().await {
            Ok(authority) => authority
                .filter(|authority| !manifests.iter().any(|name| authority.is_older_than(name))),
            Err(error) if repairable(&error) => None,
            Err(error) => return Err(error),
        };
        let mut accepted = Vec::new();
        let mut left_out = Vec::new();
        for name in manifests {
            if authority.as_ref().is_some_and(|authority| !Authority::counts(authority, &name)) {
                continue;
            }
            match self.read_named(&name).await {
                Ok(Some(_)) => accepted.push(name),
                // Deleted since it was listed.
                Ok(None) => {}
                Err(error) if repairable(&error) => left_out.push(UnreadableManifest {
                    recovery_point_id: name.recovery_point_id,
                    generation: name.generation,
                    error,
                }),
                Err(error) => return Err(error),
            }
        }
        let names = Some(accepted.iter().map(ManifestName::to_text).collect());
        leases
            .write(&Record { accepted: names, ..lease.record(ACCEPTANCE, expires_at_ms) })
            .await?;
        let records = leases.check_newest(&lease).await?;
        for name in records.before(lease.generation()) {
            objects::delete(leases.store, &leases.layout.lease(name)).await?;
        }
        let generation = lease.generation();
        leases.release(&lease).await?;
        let mut accepted: Vec<String> =
            accepted.into_iter().map(|name| name.recovery_point_id).collect();
        accepted.dedup();
        let may_hold_stale = authority.is_none();
        Ok(Some(LeaseRecovery { damage, generation, accepted, left_out, may_hold_stale }))
    }
}

impl Leases<'_> {
    async fn damage(self) -> Result<Option<Error>> {
        // In this order: a manifest's generation was claimed before it was written.
        let manifests = self.manifest_names().await?;
        let records = self.list().await?;
        let lost =
            |reason: &str| Ok(Some(Error::corrupt(self.layout.leases().to_string(), reason)));
        let Some(newest) = records.newest() else {
            return if manifests.is_empty() {
                Ok(None)
            } else {
                lost("there are manifests but no lease records")
            };
        };
        match self.read(newest).await {
            Ok(_) => {}
            Err(error) if repairable(&error) => return Ok(Some(error)),
            Err(error) => return Err(error),
        }
        match self.authority().await {
            Ok(None) if !manifests.is_empty() => {
                lost("there are manifests but no acceptance of any")
            }
            Ok(Some(authority)) if manifests.iter().any(|name| authority.is_older_than(name)) => {
                lost("the newest acceptance is older than a manifest")
            }
            Ok(_) => Ok(None),
            Err(error) if repairable(&error) => Ok(Some(error)),
            Err(error) => Err(error),
        }
    }

    /// Fails if the newest record can be read and says that another one holds the lease.
    async fn check_free(self, holder: &str, now_ms: u64) -> Result<()> {
        let Some(newest) = self.list().await?.newest() else { return Ok(()) };
        match self.read(newest).await {
            Ok(Some(record))
                if !record.released && record.expires_at_ms > now_ms && record.holder != holder =>
            {
                Err(Error::LeaseHeld { holder: record.holder, expires_at_ms: record.expires_at_ms })
            }
            Ok(_) => Ok(()),
            Err(error) if repairable(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn claim_above_all(self, holder: &str, expires_at_ms: u64, ttl_ms: u64) -> Result<Lease> {
        for _ in 0..LEASE_CLAIM_ATTEMPTS_MAX {
            let newest = self.newest_trace().await?;
            let generation = newest.checked_add(LEASE_RECOVERY_GAP).ok_or_else(|| {
                Error::corrupt(self.layout.leases().to_string(), "no generation is left")
            })?;
            // No purpose of its own: nothing is done under it, and every reader knows this one.
            let lease = Lease::new(generation, holder, LeasePurpose::Verification, ttl_ms);
            match self.write(&lease.record(CLAIM, expires_at_ms)).await {
                Ok(()) => return Ok(lease),
                Err(Error::AlreadyExists { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::LeaseHeld {
            holder: "others that take it at the same time".to_owned(),
            expires_at_ms,
        })
    }

    /// The highest generation in the name of any object of the repository; 0 for none.
    async fn newest_trace(self) -> Result<u64> {
        let mut newest = 0;
        let mut listed = objects::list(self.store, &self.layout.root);
        while let Some(meta) = listed.try_next().await? {
            newest = generation_of(&meta.location).unwrap_or(0).max(newest);
        }
        Ok(newest)
    }

    /// Of all manifests that there are, whether they count or not; ascending.
    async fn manifest_names(self) -> Result<Vec<ManifestName>> {
        let mut names = Vec::new();
        let mut listed = objects::list(self.store, &self.layout.manifests());
        while let Some(meta) = listed.try_next().await? {
            names.extend(ManifestName::of(&meta.location));
            if names.len() > MANIFESTS_MAX {
                return Err(Error::invalid(format!(
                    "a repository has at most {MANIFESTS_MAX} recovery points"
                )));
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Of a lease record, a list of a collection, a manifest, a record of damage, or a pack.
fn generation_of(path: &Path) -> Option<u64> {
    let record = LeaseName::of(path).map(|name| name.generation);
    let named = record.or_else(|| ManifestName::of(path).map(|name| name.generation));
    named.or_else(|| path::pack_id(path).map(|pack| pack.generation()))
}

/// Bytes that are not what was written. What a newer version wrote is not that, and is left alone.
fn repairable(error: &Error) -> bool {
    error.is_damage() && !matches!(error, Error::UnsupportedFormat { .. })
}
