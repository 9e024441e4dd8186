use std::sync::Arc;
use bytes::Bytes;
use uuid::Uuid;
use object_store::ObjectStore;
use crate::*;
/// The bytes of one backup instance. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository;
impl Repository {
    /// Opens the repository, or makes it with a new data key.
    pub async fn create_or_open(_store: &Arc<dyn ObjectStore>, _vault: Uuid, _repository: Uuid, _keyring: &VaultKeyring) -> Result<Self> { todo!() }
    /// Opens the repository.
    pub async fn open(_store: &Arc<dyn ObjectStore>, _vault: Uuid, _repository: Uuid, _keyring: &VaultKeyring) -> Result<Self> { todo!() }
    /// Key for the engine's row hashes.
    #[must_use]
    pub fn row_hash_key(&self) -> &[u8; 32] { todo!() }
    /// Takes the lease. The same holder takes over at once.
    pub async fn acquire_lease(&self, _holder: &str, _purpose: LeasePurpose, _now_ms: u64, _ttl_ms: u64) -> Result<Lease> { todo!() }
    /// Extends the lease by its ttl.
    pub async fn renew_lease(&self, _lease: &Lease, _now_ms: u64) -> Result<()> { todo!() }
    /// Gives the lease back.
    pub async fn release_lease(&self, _lease: Lease) -> Result<()> { todo!() }
    /// Begins a backup.
    pub async fn writer(&self, _lease: &Lease, _options: WriterOptions) -> Result<Writer> { todo!() }
    /// Lists the recovery points.
    pub async fn manifests(&self) -> Result<Manifests> { todo!() }
    /// Reads one recovery point's manifest.
    pub async fn read_manifest(&self, _recovery_point_id: &str) -> Result<Manifest> { todo!() }
    /// Reads, authenticates and decompresses one chunk.
    pub async fn read_chunk(&self, _chunk: &ChunkRef) -> Result<Bytes> { todo!() }
    /// Begins a verification.
    #[must_use]
    pub fn verifier(&self, _depth: VerifyDepth) -> Verifier { todo!() }
    /// Deletes one recovery point's manifest; true if there was one.
    pub async fn delete_manifest(&self, _lease: &Lease, _recovery_point_id: &str) -> Result<bool> { todo!() }
    /// Destroys a repository: its keys first. Idempotent. Returns the number of objects deleted.
    pub async fn destroy(_store: &Arc<dyn ObjectStore>, _vault: Uuid, _repository: Uuid) -> Result<u64> { todo!() }
}
