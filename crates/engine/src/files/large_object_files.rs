//! The bytes of every large object into its own file, hashed on the way.
//!
//! Ranges of them are written side by side. Small objects are collected and written many at a time, since handing work to
//! another thread costs more than a small file.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::Run;
use super::archive::ArchiveBuilder;
use super::data_file::{self, DataFile, Form};
use crate::error::{Error, Result};
use crate::manifest::{Content, DatabaseManifest, LargeObject, LargeObjectRange};
use crate::part::PartReader;
use crate::proof::Proof;
use crate::restore::compare;
use crate::restore::role_map::RoleMap;
use crate::restore::stored_objects::{StoredObjects, StoredRanges};
use crate::restore::workers::next_finished;
use crate::row_hash::LargeObjectHasher;

/// Bytes taken at a time.
const PIECE_BYTES: usize = 1024 * 1024;
/// Objects with no more bytes than this are collected.
const SMALL_BYTES: u64 = 64 * 1024;
/// Files that are written before they are forced to disk; so many are open for each worker.
const FILES_AT_ONCE: usize = 64;
/// Those of them that are forced to disk one after the other.
const SYNCED_BY_ONE: usize = 4;

/// A small object: its number and its bytes.
type Small = (u32, Vec<u8>);

/// Name of an object's file, without the ending of the compression.
pub(super) fn file_name(oid: u32) -> String {
    format!("blob_{oid}.dat")
}

impl Run {
    /// Writes all large objects and compares them with the manifest.
    pub(super) async fn write_large_objects(
        self: &Arc<Self>,
        manifest: &DatabaseManifest,
        role_map: &RoleMap,
        builder: &mut ArchiveBuilder,
        proof: &mut Proof,
    ) -> Result<()> {
        let mut content = Content::default();
        let mut ranges = StoredRanges::new(&self.repository, &manifest.large_objects);
        let mut running = JoinSet::new();
        loop {
            let next = if running.len() < self.workers { ranges.next().await? } else { None };
            if let Some(range) = next {
                let run = Arc::clone(self);
                // In the order of the archive, which is that of their numbers.
                let mut list = PartReader::new(&self.repository, &range.list);
                let work = async move { run.write_objects(&range).await };
                running.spawn(work.in_current_span());
                while let Some(mut object) = list.next::<LargeObject>().await? {
                    object.acl = role_map.acl(object.acl.as_deref());
                    object.owner = role_map.name(&object.owner).to_owned();
                    builder.large_object(&object)?;
                }
                continue;
            }
            let Some(written) = next_finished(&mut running).await? else { break };
            content.add(written);
        }
        compare::large_objects(proof, &manifest.large_objects.content, &content);
        Ok(())
    }

    async fn write_objects(&self, range: &LargeObjectRange) -> Result<Content> {
        let mut content = Content::default();
        let mut small = Vec::new();
        let mut small_bytes = 0;
        let mut objects = StoredObjects::new(&self.repository, range);
        while let Some(object) = objects.next().await? {
            let mut hasher = LargeObjectHasher::new(self.repository.row_hash_key(), object.oid);
            if object.bytes <= SMALL_BYTES {
                let mut bytes = Vec::new();
                while let Some(piece) = objects.piece(PIECE_BYTES).await? {
                    bytes.extend_from_slice(&piece);
                }
                hasher.update(&bytes);
                small_bytes += bytes.len();
                small.push((object.oid, bytes));
                if small.len() == FILES_AT_ONCE || small_bytes >= PIECE_BYTES {
                    small_bytes = 0;
                    self.write_small(std::mem::take(&mut small)).await?;
                }
            } else {
                let mut file =
                    DataFile::create(&self.directory, &file_name(object.oid), self.form)?;
                while let Some(piece) = objects.piece(PIECE_BYTES).await? {
                    let bytes = piece.len() as u64;
                    hasher.update(&piece);
                    file = file.write(piece).await?;
                    self.counters.add_bytes(bytes);
                    self.report(None);
                }
                file.finish().await?;
                self.counters.add_items(1);
            }
            content.add(hasher.finish());
        }
        self.write_small(small).await?;
        Ok(content)
    }

    async fn write_small(&self, objects: Vec<Small>) -> Result<()> {
        let bytes = objects.iter().map(|(_, bytes)| bytes.len() as u64).sum();
        let count = objects.len() as u64;
        let (directory, form) = (self.directory.clone(), self.form);
        let write = move || write_each(&directory, &objects, form);
        let mut files = data_file::off_thread(write).await?;
        // Side by side: a file system's journal takes what many wait for in one go.
        let mut syncs = Vec::new();
        while !files.is_empty() {
            let some = files.split_off(files.len().saturating_sub(SYNCED_BY_ONE));
            syncs.push(data_file::off_thread(move || sync_each(&some)));
        }
        futures::future::try_join_all(syncs).await?;
        self.counters.add_bytes(bytes);
        self.counters.add_items(count);
        self.report(None);
        Ok(())
    }
}

fn write_each(directory: &Path, objects: &[Small], form: Form) -> Result<Vec<File>> {
    let write = |(oid, bytes): &Small| {
        let mut file = DataFile::create(directory, &file_name(*oid), form)?;
        file.write_now(bytes)?;
        file.end_now()
    };
    objects.iter().map(write).collect()
}

fn sync_each(files: &[File]) -> Result<()> {
    let synced = files.iter().try_for_each(File::sync_all);
    synced.map_err(Error::io("force large objects to disk"))
}
