use std::sync::Arc;
use uuid::Uuid;
use object_store::ObjectStore;
use crate::Result;
/// Opens an existing storage location (`file:///dir`).
pub fn open_location(_url: &str) -> Result<Arc<dyn ObjectStore>> { todo!() }
/// Opens a storage location, making its directory when absent.
pub fn create_location(_url: &str) -> Result<Arc<dyn ObjectStore>> { todo!() }
/// Vaults that have anything in this location.
pub async fn list_vaults(_store: &Arc<dyn ObjectStore>) -> Result<Vec<Uuid>> { todo!() }
/// Repositories that have anything in this vault.
pub async fn list_repositories(_store: &Arc<dyn ObjectStore>, _vault: Uuid) -> Result<Vec<Uuid>> { todo!() }
