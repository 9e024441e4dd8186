use crate::*;
/// How a backup is written.
#[derive(Debug, Clone, Copy)]
pub struct WriterOptions {
    /// Target size of a pack.
    pub pack_bytes: usize,
    /// zstd level.
    pub zstd_level: i32,
}
impl Default for WriterOptions {
    fn default() -> Self { Self { pack_bytes: limits::PACK_TARGET_BYTES_DEFAULT, zstd_level: 1 } }
}
/// One running backup. Shared by its workers.
#[derive(Debug, Clone)]
pub struct Writer;
impl Writer {
    /// A stream of chunks for one worker.
    #[must_use]
    pub fn stream(&self) -> PackStream { todo!() }
    /// Whether the chunk may be referred to without putting it again: its pack is there and large enough.
    #[must_use]
    pub fn can_reuse(&self, _chunk: &ChunkRef) -> bool { todo!() }
    /// Writes the manifest. All streams must be finished.
    pub async fn seal(self, _recovery_point_id: &str, _body: &[u8]) -> Result<ManifestInfo> { todo!() }
    /// Counters so far.
    #[must_use]
    pub fn stats(&self) -> WriterStats { todo!() }
}
/// One worker's stream of chunks into packs.
#[derive(Debug)]
pub struct PackStream;
impl PackStream {
    /// Stores a chunk unless `candidate` (a reference out of a committed manifest) or this backup has it already.
    pub async fn put(&mut self, _kind: ChunkKind, _plain: &[u8], _candidate: Option<&ChunkRef>) -> Result<ChunkRef> { todo!() }
    /// Stores what is left.
    pub async fn finish(self) -> Result<()> { todo!() }
}
