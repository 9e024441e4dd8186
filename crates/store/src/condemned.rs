//! The packs that a collection has said it will delete (`docs/format.md` §10).
//!
//! No clock decides whether a pack of an interrupted backup may still be taken over. A collector writes the list, and then
//! looks whether the lease was claimed anew; who takes the lease claims it, and then looks for lists. So either the
//! collector sees the claim and deletes nothing, or the next holder sees the list and uses nothing of it, even if that
//! collector lives on.

use std::collections::HashSet;

use futures::TryStreamExt;
use serde::{Deserialize, Serialize};

use crate::{
    chunk::PackId,
    crypto::ObjectType,
    error::{Error, Result},
    limits::{PACKS_MAX, SEALED_OBJECT_BYTES_MAX},
    objects,
    path::LeaseName,
    repository::Repository,
};

/// One list, as it stands in the storage.
#[derive(Debug, Serialize, Deserialize)]
struct List {
    generation: u64,
    number: u32,
    packs: Vec<PackId>,
}

/// The packs of all lists. A pack of it that a manifest needs nevertheless stands in a list that came too late, by which
/// nothing is deleted.
#[derive(Debug, Default)]
pub(crate) struct Condemned {
    pub(crate) packs: HashSet<PackId>,
    /// The lists, ascending.
    pub(crate) lists: Vec<LeaseName>,
    /// A list cannot be read, so that it is not known what it names.
    pub(crate) damage: Option<Error>,
}

impl Condemned {
    /// Reads all lists. To be called before packs are listed: a list that is gone by now has nothing left to delete.
    pub(crate) async fn read(repository: &Repository) -> Result<Self> {
        let inner = &repository.inner;
        let mut condemned = Self::default();
        let mut listed = objects::list(&inner.store, &inner.layout.collections());
        while let Some(meta) = listed.try_next().await? {
            condemned.lists.extend(LeaseName::of(&meta.location));
        }
        condemned.lists.sort_unstable();
        for name in &condemned.lists {
            match read_list(repository, *name).await {
                Ok(packs) => condemned.packs.extend(packs),
                Err(error @ Error::Storage { .. }) => return Err(error),
                Err(error) => condemned.damage = Some(error),
            }
            if condemned.packs.len() > PACKS_MAX {
                return Err(Error::invalid(format!("a repository has at most {PACKS_MAX} packs")));
            }
        }
        Ok(condemned)
    }
}

/// Writes a list.
pub(crate) async fn write_list(
    repository: &Repository,
    name: LeaseName,
    packs: Vec<PackId>,
) -> Result<()> {
    let inner = &repository.inner;
    let path = inner.layout.collection(name);
    let list = List { generation: name.generation, number: name.number, packs };
    let plain = serde_json::to_vec(&list)
        .map_err(|error| Error::invalid(format!("a list of packs cannot be written: {error}")))?;
    let sealed = inner.keys.sealing.seal(ObjectType::Collection, &path, &plain)?;
    objects::put_new(&inner.store, &path, sealed.into()).await
}

/// The packs of one list; none if it is gone.
async fn read_list(repository: &Repository, name: LeaseName) -> Result<Vec<PackId>> {
    let inner = &repository.inner;
    let path = inner.layout.collection(name);
    let Some(sealed) = objects::get(&inner.store, &path, SEALED_OBJECT_BYTES_MAX).await? else {
        return Ok(Vec::new());
    };
    let plain = inner.keys.sealing.open(ObjectType::Collection, &path, sealed.into())?;
    let list: List = serde_json::from_slice(&plain)
        .map_err(|error| Error::corrupt(path.to_string(), error.to_string()))?;
    if (list.generation, list.number) != (name.generation, name.number) {
        return Err(Error::corrupt(path.to_string(), "it is another list than its name says"));
    }
    Ok(list.packs)
}
