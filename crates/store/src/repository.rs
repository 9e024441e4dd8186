//! The bytes of one backup instance: making, opening and destroying a repository, and its recovery points.

use std::{fmt, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use object_store::ObjectStore;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{
    chunk::ChunkId,
    codec,
    crypto::{DataKeys, ObjectType},
    error::{Error, Result},
    keyring::{self, VaultKeyring},
    lease::{Authority, Lease, LeasePurpose, Leases},
    limits::{FORMAT_OBJECT_BYTES_MAX, MANIFEST_READS_MAX, SEALED_OBJECT_BYTES_MAX},
    manifest::{self, Manifest, Manifests, UnreadableManifest},
    objects,
    pack_stream::NamedChunk,
    path::{self, Layout, ManifestName},
    pin,
    reader::PackKeys,
    verify::{Verifier, VerifyDepth},
    writer::{Writer, WriterOptions},
};

/// `magic` of the `format` object.
pub(crate) const MAGIC: &str = "coffer repository";
/// Newest version of a repository that this code knows.
const VERSION: u32 = 1;

/// The bytes of one backup instance. Cheap to clone; clones share a cache of pack keys.
#[derive(Clone)]
pub struct Repository {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) layout: Layout,
    pub(crate) keys: DataKeys,
    pub(crate) pack_keys: PackKeys,
    vault: Uuid,
    repository: Uuid,
}

impl fmt::Debug for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Repository({})", self.inner.layout.root)
    }
}

/// The `format` object.
#[derive(Debug, Serialize, Deserialize)]
struct Format {
    magic: String,
    version: u32,
    required_features: Vec<String>,
}

impl Repository {
    /// Opens the repository, or makes it with a new data key. Of several that make it at once, all open the same.
    ///
    /// # Errors
    /// [`Error::Corrupt`] also for a repository whose destruction has begun, [`Error::WrongKey`],
    /// [`Error::UnsupportedFormat`], [`Error::Storage`].
    pub async fn create_or_open(
        store: &Arc<dyn ObjectStore>,
        vault: Uuid,
        repository: Uuid,
        keyring: &VaultKeyring,
    ) -> Result<Self> {
        match Self::open(store, vault, repository, keyring).await {
            Err(Error::NotFound { .. }) => {}
            opened => return opened,
        }
        let layout = Layout::new(vault, repository);
        keyring::create_key(store, &layout.keys(), ObjectType::DataKey, keyring.newest()?).await?;
        write_format(store, &layout).await?;
        Self::open(store, vault, repository, keyring).await
    }

    /// Opens the repository.
    ///
    /// # Errors
    /// [`Error::NotFound`] if there is none, else as [`Self::create_or_open`].
    pub async fn open(
        store: &Arc<dyn ObjectStore>,
        vault: Uuid,
        repository: Uuid,
        keyring: &VaultKeyring,
    ) -> Result<Self> {
        if keyring.vault() != vault {
            return Err(Error::invalid("the keyring belongs to another vault"));
        }
        let layout = Layout::new(vault, repository);
        check_format(store, &layout).await?;
        let opened =
            keyring::open_keys(store, &layout.keys(), ObjectType::DataKey, keyring.keys()).await?;
        let Some(key) = opened.last() else {
            return Err(Error::corrupt(
                layout.root.to_string(),
                "it has no key: its destruction has begun",
            ));
        };
        // The highest number is meant. Another key below it was written by one who was slow to make the repository, while
        // another had made it and wrapped its key anew; nothing is sealed by it.
        let keys = DataKeys::new(key.key());
        let store = Arc::clone(store);
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                layout,
                keys,
                pack_keys: PackKeys::default(),
                vault,
                repository,
            }),
        })
    }

    /// The vault that it belongs to.
    #[must_use]
    pub fn vault(&self) -> Uuid {
        self.inner.vault
    }

    /// Its id.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.inner.repository
    }

    /// Key for the engine's row hashes: derived from the data key, used for nothing else.
    #[must_use]
    pub fn row_hash_key(&self) -> &[u8; 32] {
        &self.inner.keys.row_hash.0
    }

    /// Names plain bytes, to be put once they are compared with what is known of earlier ones.
    #[must_use]
    pub fn name_chunk<'a>(&self, plain: &'a [u8]) -> NamedChunk<'a> {
        NamedChunk { id: codec::chunk_id(&self.inner.keys.chunk_id, plain), plain }
    }

    /// What a chunk of these bytes is named.
    #[must_use]
    pub fn chunk_id(&self, plain: &[u8]) -> ChunkId {
        self.name_chunk(plain).id
    }

    /// Takes the lease, which all who change the repository share. Its last holder takes it over at once, another one when
    /// it was released or has expired by `now_ms` (milliseconds since 1970 by the caller's clock).
    ///
    /// # Errors
    /// [`Error::LeaseHeld`]; [`Error::LeaseLost`] if another one takes it over at this very moment; [`Error::Corrupt`] if
    /// the newest record cannot be read, since it may be held then; [`Error::Storage`].
    pub async fn acquire_lease(
        &self,
        holder: &str,
        purpose: LeasePurpose,
        now_ms: u64,
        ttl_ms: u64,
    ) -> Result<Lease> {
        self.leases().acquire(holder, purpose, now_ms, ttl_ms, 0).await
    }

    /// Extends the lease to `now_ms` and its time to live.
    ///
    /// # Errors
    /// [`Error::LeaseLost`]: the holder must stop. [`Error::Storage`]: it may try again until the lease expires, then it
    /// must stop.
    pub async fn renew_lease(&self, lease: &Lease, now_ms: u64) -> Result<()> {
        self.leases().renew(lease, now_ms).await
    }

    /// Gives the lease back, so that nobody has to wait for its end. Of a lost lease nothing is left to give back.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn release_lease(&self, lease: Lease) -> Result<()> {
        self.leases().release(&lease).await
    }

    /// Begins a backup: lists the packs, and reads the footers of those that an interrupted backup left.
    ///
    /// # Errors
    /// [`Error::LeaseLost`], [`Error::Invalid`], [`Error::Corrupt`], [`Error::Storage`].
    pub async fn writer(&self, lease: &Lease, options: WriterOptions) -> Result<Writer> {
        Writer::open(self, lease, options).await
    }

    /// Lists the recovery points. A manifest that cannot be read is reported, not passed over.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub async fn manifests(&self) -> Result<Manifests> {
        let (mut names, lease_damage) = self.manifest_names().await?;
        // The highest generation of each recovery point.
        names.reverse();
        names.dedup_by(|lower, higher| lower.recovery_point_id == higher.recovery_point_id);
        names.reverse();
        let mut manifests = Manifests { lease_damage, ..Manifests::default() };
        let mut read = stream::iter(names)
            .map(|name| async move { (self.read_named(&name).await, name) })
            .buffered(MANIFEST_READS_MAX);
        while let Some((manifest, name)) = read.next().await {
            match manifest {
                Ok(Some(manifest)) => manifests.valid.push(manifest.info),
                // Deleted since it was listed.
                Ok(None) => {}
                Err(error @ Error::Storage { .. }) => return Err(error),
                Err(error) => manifests.unreadable.push(UnreadableManifest {
                    recovery_point_id: name.recovery_point_id,
                    generation: name.generation,
                    error,
                }),
            }
        }
        Ok(manifests)
    }

    /// Reads one recovery point's manifest. Where the lease is damaged, any manifest of it that is there is read.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Corrupt`], [`Error::WrongKey`], [`Error::UnsupportedFormat`], [`Error::Storage`].
    pub async fn read_manifest(&self, recovery_point_id: &str) -> Result<Manifest> {
        path::check_recovery_point_id(recovery_point_id)?;
        let (names, _) = self.manifest_names().await?;
        let newest = names.iter().rev().find(|name| name.recovery_point_id == recovery_point_id);
        let manifest = match newest {
            Some(name) => self.read_named(name).await?,
            None => None,
        };
        manifest
            .ok_or_else(|| Error::NotFound { what: format!("recovery point {recovery_point_id}") })
    }

    /// Begins a verification.
    #[must_use]
    pub fn verifier(&self, depth: VerifyDepth) -> Verifier {
        Verifier::new(self.clone(), depth)
    }

    /// Deletes one recovery point's manifests; true if there was one. Its chunks stay until garbage is collected. `now_ms` is
    /// milliseconds since 1970, for judging the pins.
    ///
    /// # Errors
    /// [`Error::Pinned`] while somebody reads it; [`Error::Corrupt`] if a pin of it cannot be read;
    /// [`Error::LeaseLost`], [`Error::Invalid`] for a malformed id, [`Error::Storage`].
    pub async fn delete_manifest(
        &self,
        lease: &Lease,
        recovery_point_id: &str,
        now_ms: u64,
    ) -> Result<bool> {
        path::check_recovery_point_id(recovery_point_id)?;
        self.leases().check_held(lease).await?;
        pin::check_deletion(self, recovery_point_id, now_ms).await?;
        let prefix = self.inner.layout.manifests().join(recovery_point_id);
        let mut listed = objects::list(&self.inner.store, &prefix);
        let mut names = Vec::new();
        while let Some(meta) = listed.try_next().await? {
            names.extend(ManifestName::of(&meta.location));
        }
        // Ascending: should this end early, the recovery point is still what it was, and not an older manifest of it.
        names.sort_unstable();
        let mut deleted = false;
        for name in &names {
            deleted |=
                objects::delete(&self.inner.store, &self.inner.layout.manifest(name)).await?;
        }
        Ok(deleted)
    }

    /// Destroys a repository: its keys first, so that whatever is left by an interruption is unreadable for good.
    /// Idempotent. Returns the number of objects that were deleted.
    ///
    /// # Errors
    /// [`Error::Storage`]; it is to be called again then.
    pub async fn destroy(
        store: &Arc<dyn ObjectStore>,
        vault: Uuid,
        repository: Uuid,
    ) -> Result<u64> {
        let layout = Layout::new(vault, repository);
        let mut deleted = 0;
        for prefix in [
            layout.keys(),
            layout.manifests(),
            layout.leases(),
            layout.packs(),
            layout.collections(),
        ] {
            deleted += objects::delete_all(store, &prefix).await?;
        }
        // Last, and with whatever has no place in this version of the format.
        deleted += objects::delete_all(store, &layout.root).await?;
        Ok(deleted)
    }

    pub(crate) fn leases(&self) -> Leases<'_> {
        Leases {
            store: &self.inner.store,
            layout: &self.inner.layout,
            sealing: &self.inner.keys.sealing,
        }
    }

    /// Names of the manifests that count, ascending by id and generation, and what is wrong with the lease.
    pub(crate) async fn manifest_names(&self) -> Result<(Vec<ManifestName>, Option<Error>)> {
        // In this order, so that the authority is never older than the listing: an older one would let count what a stale
        // holder wrote since.
        let mut names = Vec::new();
        let mut listed = objects::list(&self.inner.store, &self.inner.layout.manifests());
        while let Some(meta) = listed.try_next().await? {
            names.extend(ManifestName::of(&meta.location));
        }
        names.sort_unstable();
        let damage = match self.leases().authority().await {
            Ok(Some(authority)) if names.iter().any(|name| authority.is_older_than(name)) => {
                Some(Error::corrupt(
                    self.inner.layout.leases().to_string(),
                    "the newest acceptance is older than a manifest",
                ))
            }
            Ok(Some(authority)) => {
                names.retain(|name| Authority::counts(&authority, name));
                None
            }
            Ok(None) if names.is_empty() => None,
            Ok(None) => Some(Error::corrupt(
                self.inner.layout.leases().to_string(),
                "there is none that accepts manifests",
            )),
            Err(error @ (Error::Storage { .. } | Error::LeaseHeld { .. })) => return Err(error),
            Err(error) => Some(error),
        };
        Ok((names, damage))
    }

    pub(crate) async fn read_named(&self, name: &ManifestName) -> Result<Option<Manifest>> {
        let path = self.inner.layout.manifest(name);
        let object = objects::get(&self.inner.store, &path, SEALED_OBJECT_BYTES_MAX).await?;
        object
            .map(|object| manifest::open(&self.inner.keys.sealing, &path, name, object))
            .transpose()
    }
}

/// Writes `format`, by which the repository exists: after its key.
pub(crate) async fn write_format(store: &Arc<dyn ObjectStore>, layout: &Layout) -> Result<()> {
    let format =
        Format { magic: MAGIC.to_owned(), version: VERSION, required_features: Vec::new() };
    let format = serde_json::to_vec(&format).map_err(|error| Error::invalid(error.to_string()))?;
    objects::put_new(store, &layout.format(), format.into()).await
}

/// Fails if the repository is not there or needs a newer version.
pub(crate) async fn check_format(store: &Arc<dyn ObjectStore>, layout: &Layout) -> Result<()> {
    let path = layout.format();
    let Some(object) = objects::get(store, &path, FORMAT_OBJECT_BYTES_MAX).await? else {
        return Err(Error::NotFound { what: format!("repository {}", layout.root) });
    };
    let format: Format = serde_json::from_slice(&object)
        .map_err(|error| Error::corrupt(path.to_string(), error.to_string()))?;
    let unsupported = |reason: String| Error::UnsupportedFormat { what: path.to_string(), reason };
    if format.magic != MAGIC || format.version == 0 {
        return Err(Error::corrupt(path.to_string(), "it is not the format of a repository"));
    }
    if format.version > VERSION {
        return Err(unsupported(format!(
            "its version is {}, this one knows {VERSION}",
            format.version
        )));
    }
    match format.required_features.first() {
        None => Ok(()),
        Some(feature) => Err(unsupported(format!("it uses {feature:?}"))),
    }
}
