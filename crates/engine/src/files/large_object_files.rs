//! The bytes of every large object into its own file, hashed on the way.

use super::Run;
use super::archive::ArchiveBuilder;
use super::data_file::DataFile;
use crate::error::Result;
use crate::manifest::{Content, DatabaseManifest};
use crate::proof::Proof;
use crate::restore::compare;
use crate::restore::role_map::RoleMap;
use crate::restore::stored_objects::StoredObjects;
use crate::row_hash::LargeObjectHasher;

/// Bytes taken at a time.
const PIECE_BYTES: usize = 1024 * 1024;

impl Run {
    /// Writes all large objects and compares them with the manifest.
    pub(super) async fn write_large_objects(
        &self,
        manifest: &DatabaseManifest,
        role_map: &RoleMap,
        builder: &mut ArchiveBuilder,
        proof: &mut Proof,
    ) -> Result<()> {
        let mut content = Content::default();
        let mut objects = StoredObjects::new(&self.repository, &manifest.large_objects);
        while let Some(mut object) = objects.next().await? {
            object.acl = role_map.acl(object.acl.as_deref());
            object.owner = role_map.name(&object.owner).to_owned();
            let mut file = DataFile::create(&self.directory, &builder.large_object(&object)?)?;
            let mut hasher = LargeObjectHasher::new(self.repository.row_hash_key(), object.oid);
            while let Some(piece) = objects.piece(PIECE_BYTES).await? {
                let bytes = piece.len() as u64;
                hasher.update(&piece);
                file = file.write(piece).await?;
                self.counters.add_bytes(bytes);
                self.report(None);
            }
            file.finish().await?;
            content.add(hasher.finish());
            self.counters.add_items(1);
        }
        compare::large_objects(proof, &manifest.large_objects.content, &content);
        Ok(())
    }
}
