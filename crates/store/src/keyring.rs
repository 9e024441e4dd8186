use std::sync::Arc;
use uuid::Uuid;
use object_store::ObjectStore;
use crate::{MasterKey, Result};
/// The opened keys of one vault.
#[derive(Debug, Clone)]
pub struct VaultKeyring;
impl VaultKeyring {
    /// Opens the vault's keyring, or makes it with one new key.
    pub async fn create_or_open(_store: &Arc<dyn ObjectStore>, _vault: Uuid, _master: &MasterKey) -> Result<Self> { todo!() }
    /// Opens the vault's keyring.
    pub async fn open(_store: &Arc<dyn ObjectStore>, _vault: Uuid, _master: &MasterKey) -> Result<Self> { todo!() }
    /// Deletes the vault's keys; refused while it has repositories. Idempotent.
    pub async fn destroy(_store: &Arc<dyn ObjectStore>, _vault: Uuid) -> Result<u64> { todo!() }
}
