/// Why the lease is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeasePurpose {
    /// A backup writes packs and a manifest.
    Backup,
    /// Garbage is collected.
    Collection,
    /// Recovery points are deleted.
    Deletion,
}
/// The right to write to a repository. Clones share it.
#[derive(Debug, Clone)]
pub struct Lease;
impl Lease {
    /// The generation; what this lease's holder seals carries it.
    #[must_use]
    pub fn generation(&self) -> u64 { todo!() }
    /// Whether a takeover was noticed.
    #[must_use]
    pub fn is_lost(&self) -> bool { todo!() }
}
