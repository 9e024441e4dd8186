use serde::{Deserialize, Serialize};
use crate::{Error, WriterStats};
/// What the store knows of one recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestInfo {
    /// 32 lower-case hexadecimal digits.
    pub recovery_point_id: String,
    /// Generation of the lease under which it was sealed.
    pub generation: u64,
    /// Totals of the backup that wrote it.
    pub stats: WriterStats,
    /// Length of the body.
    pub body_bytes: u64,
}
/// One recovery point's manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// What the store knows of it.
    pub info: ManifestInfo,
    /// The engine's part.
    pub body: Vec<u8>,
}
/// A manifest that is there but cannot be read.
#[derive(Debug)]
pub struct UnreadableManifest {
    /// 32 lower-case hexadecimal digits.
    pub recovery_point_id: String,
    /// Generation in its name.
    pub generation: u64,
    /// Why.
    pub error: Error,
}
/// The manifests of a repository.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Those that count, ascending by id.
    pub valid: Vec<ManifestInfo>,
    /// Those that would count but cannot be read. Nothing may be deleted on the grounds of this listing while there are any.
    pub unreadable: Vec<UnreadableManifest>,
    /// The newest lease cannot be read: stale manifests could not be told apart and are among the valid ones.
    pub lease_damage: Option<Error>,
}
