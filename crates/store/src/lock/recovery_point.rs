//! Locking everything that one recovery point needs.

use std::collections::BTreeSet;

use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path;

use super::{ObjectLock, RetentionLock};
use crate::{
    chunk::{ChunkRef, PackId},
    error::{Error, Result},
    limits::{LOCKS_TOGETHER_MAX, PACKS_MAX},
    manifest::Manifest,
    objects, path,
    path::ManifestName,
    repository::Repository,
};

/// What a lock of a recovery point did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LockReport {
    /// Objects that the recovery point needs.
    pub objects: u64,
    /// Of them, those whose lock was new, or was made longer or stronger.
    pub changed: u64,
}

/// What one recovery point needs, as far as it was said.
#[derive(Debug)]
pub struct Locking {
    repository: Repository,
    manifest: ManifestName,
    has_chunks: bool,
    packs: BTreeSet<PackId>,
}

impl Repository {
    /// Begins to lock a recovery point: for every chunk that its manifest needs [`Locking::needs`] is to be called.
    ///
    /// # Errors
    /// As [`Self::read_manifest`].
    pub async fn begin_locking(&self, recovery_point_id: &str) -> Result<(Manifest, Locking)> {
        let manifest = self.read_manifest(recovery_point_id).await?;
        let locking = Locking {
            repository: self.clone(),
            manifest: ManifestName::new(recovery_point_id, manifest.info.generation)?,
            has_chunks: manifest.info.stats.chunks > 0,
            packs: BTreeSet::new(),
        };
        Ok((manifest, locking))
    }
}

impl Locking {
    /// Says that the recovery point needs this chunk.
    ///
    /// # Errors
    /// [`Error::Invalid`] for more packs than a repository has.
    pub fn needs(&mut self, chunk: &ChunkRef) -> Result<()> {
        self.packs.insert(chunk.pack);
        if self.packs.len() > PACKS_MAX {
            return Err(Error::invalid(format!("a repository has at most {PACKS_MAX} packs")));
        }
        Ok(())
    }

    /// Locks the packs, the keys, and at last the manifest. Whatever is locked longer or more firmly stays so. It may be
    /// called again after an error, and finds what is done.
    ///
    /// # Errors
    /// [`Error::Invalid`] if no chunk was named of a recovery point that has some; [`Error::Corrupt`] if something that it
    /// needs is missing; [`Error::LockUnavailable`]; [`Error::Storage`].
    pub async fn lock(self, storage: &dyn ObjectLock, lock: RetentionLock) -> Result<LockReport> {
        if self.has_chunks && self.packs.is_empty() {
            return Err(Error::invalid("a recovery point with chunks cannot do without any pack"));
        }
        let inner = &self.repository.inner;
        let layout = &inner.layout;
        let mut report = LockReport::default();
        let packs = self.packs.iter().map(|pack| layout.pack(*pack));
        lock_all(storage, lock, packs.collect(), &mut report).await?;
        // Whoever deletes the keys deletes everything.
        let mut rest = vec![layout.format()];
        for keys in [path::vault_keys(self.repository.vault()), layout.keys()] {
            let listed = objects::list(&inner.store, &keys).map_ok(|meta| meta.location);
            rest.extend(listed.try_collect::<Vec<_>>().await?);
        }
        lock_all(storage, lock, rest, &mut report).await?;
        lock_all(storage, lock, vec![layout.manifest(&self.manifest)], &mut report).await?;
        Ok(report)
    }
}

async fn lock_all(
    storage: &dyn ObjectLock,
    lock: RetentionLock,
    paths: Vec<Path>,
    report: &mut LockReport,
) -> Result<()> {
    let mut locked = stream::iter(paths)
        .map(|path| async move { lock_one(storage, &path, lock).await })
        .buffer_unordered(LOCKS_TOGETHER_MAX);
    while let Some(changed) = locked.try_next().await? {
        report.objects += 1;
        report.changed += u64::from(changed);
    }
    Ok(())
}

/// True if the lock was changed. It is asked for first: not every storage refuses to make a lock shorter.
async fn lock_one(storage: &dyn ObjectLock, path: &Path, lock: RetentionLock) -> Result<bool> {
    let missing = |error| match error {
        Error::NotFound { .. } => Error::corrupt(path.to_string(), "it is missing"),
        other => other,
    };
    let wanted = match storage.get(path).await.map_err(missing)? {
        Some(there) if there.covers(&lock) => return Ok(false),
        Some(there) => there.merged(&lock),
        None => lock,
    };
    storage.set(path, &wanted).await.map_err(missing)?;
    Ok(true)
}
