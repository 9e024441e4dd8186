//! Where recovery points lie.

use serde::{Deserialize, Serialize};

use crate::tagged::{object_type, text_enum};

/// A data store of a policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DataStoreInfoBase {
    /// Which one.
    #[serde(alias = "datastoreType")]
    pub data_store_type: DataStoreType,
    /// The discriminator.
    #[serde(default)]
    pub object_type: DataStoreInfoType,
}

text_enum! {
    /// The places where recovery points lie.
    pub enum DataStoreType {
        /// With the source.
        OperationalStore = "OperationalStore",
        /// In the vault.
        VaultStore = "VaultStore",
        /// In the vault's cheap and slow storage.
        ArchiveStore = "ArchiveStore",
        /// As a snapshot of the source; for restores only.
        SnapshotStore = "SnapshotStore",
    }
}

object_type! {
    /// The discriminator of a [`DataStoreInfoBase`].
    DataStoreInfoType = "DataStoreInfoBase"
}

impl DataStoreInfoBase {
    /// A data store.
    #[must_use]
    pub fn new(data_store_type: DataStoreType) -> Self {
        Self { data_store_type, object_type: DataStoreInfoType }
    }
}
