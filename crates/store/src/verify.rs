use crate::*;
/// How deep to verify.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VerifyDepth {
    /// Every chunk stands in the authenticated footer of a pack of the right size.
    Closure,
    /// Every chunk is read, authenticated, decompressed and hashed.
    Full,
}
/// A chunk that cannot be had.
#[derive(Debug)]
pub struct Damage {
    /// The chunk.
    pub chunk: ChunkRef,
    /// Why.
    pub error: Error,
}
/// What a verification found.
#[derive(Debug, Default)]
pub struct VerifyReport {
    /// Chunks checked.
    pub chunks: u64,
    /// Their plain bytes.
    pub plain_bytes: u64,
    /// Chunks that cannot be had.
    pub damaged_chunks: u64,
    /// The first [`limits::DAMAGE_LISTED_MAX`] of them.
    pub damaged: Vec<Damage>,
}
/// A running verification: the caller walks the references, this checks them. Shared by reference between tasks.
#[derive(Debug)]
pub struct Verifier;
impl Verifier {
    /// Checks one chunk. Damage is recorded and answered `false`; only failures of the storage itself are errors.
    pub async fn check(&self, _chunk: &ChunkRef) -> Result<bool> { todo!() }
    /// Ends the verification.
    #[must_use]
    pub fn finish(self) -> VerifyReport { todo!() }
}
