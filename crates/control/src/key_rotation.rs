//! New keys for a vault: added, put to use in every repository, and nothing else touched.
//!
//! May run beside a service: whoever has a repository open goes on, and whoever opens one finds one wrapping or the other.

use std::sync::Arc;

use coffer_store::{Error, MasterKey, ObjectStore, Repository, VaultKeyring, list_repositories};
use uuid::Uuid;

/// What was done with one vault.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RotatedVault {
    /// Repositories whose data key is wrapped by the new key now.
    pub repositories: u64,
    /// Repositories for which that failed, and why. They open as before; the next rotation takes them along.
    pub failed: Vec<String>,
}

/// Gives a vault a new key and wraps the data keys of its repositories by it. After a failure it can be done again, which adds
/// one key more.
///
/// # Errors
/// The vault's own keys cannot be read or written, or its repositories not be listed.
pub async fn rotate_vault(
    store: &Arc<dyn ObjectStore>,
    vault: Uuid,
    master: &MasterKey,
) -> Result<RotatedVault, Error> {
    let keyring = VaultKeyring::rotate(store, vault, master).await?;
    let mut rotated = RotatedVault::default();
    for repository in list_repositories(store, vault).await? {
        let rewrapped = async {
            Repository::open(store, vault, repository, &keyring).await?.rewrap_key(&keyring).await
        };
        match rewrapped.await {
            Ok(_wrappings) => rotated.repositories += 1,
            // Its destruction has begun.
            Err(Error::NotFound { .. }) => {}
            Err(error) => rotated.failed.push(format!("repository {repository}: {error}")),
        }
    }
    Ok(rotated)
}
