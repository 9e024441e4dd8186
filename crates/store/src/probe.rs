//! Whether a storage keeps the promises that everything here is built on, tried out before a vault is made in it.
//!
//! Storages that speak S3's protocol differ where it matters: some take a write that was to happen only if the name is
//! free, and overwrite. The lease of a repository is such a write, so on such a storage two backups would destroy each
//! other's work with no error at all. Better to refuse the vault.

use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use object_store::{
    Error as StorageError, ObjectStore, PutMode, PutOptions, PutPayload, path::Path,
};
use uuid::Uuid;

use crate::{
    error::{Error, Result},
    objects, path,
};

/// Writers of one name at once. A storage that looks first and writes then is honest with one at a time only.
const RACERS: usize = 8;
/// Largest answer that is read back.
const CONTENT_BYTES_MAX: u64 = 1024;

/// Tries the storage out, below the vault's own names: an object is made if its name is free, cannot be made again, reads
/// back, is listed, is deleted, and is gone then; and of several that make one at once, one does. Its name is new each time, so any number of these can run at once. What it
/// wrote it deletes, whatever the outcome; what an interrupted one left, [`clear_probes`] does.
///
/// # Errors
/// [`Error::UnsuitableStorage`] if the storage did something else, which it says; [`Error::Storage`].
pub async fn probe(store: &Arc<dyn ObjectStore>, vault: Uuid) -> Result<()> {
    let id = Uuid::new_v4();
    let name = path::probes(vault).join(id.to_string());
    let mut outcome = try_out(store, vault, &name, id).await;
    if outcome.is_ok() {
        outcome = race(store, &name).await;
    }
    if outcome.is_err()
        && let Err(error) = objects::delete(store, &name).await
    {
        tracing::warn!(%name, %error, "what a probe of the storage wrote is left there");
    }
    outcome
}

/// Deletes what interrupted probes have left. Only for a vault of which no probe is running whose outcome counts.
///
/// # Errors
/// [`Error::Storage`].
pub async fn clear_probes(store: &Arc<dyn ObjectStore>, vault: Uuid) -> Result<u64> {
    objects::delete_all(store, &path::probes(vault)).await
}

async fn try_out(store: &Arc<dyn ObjectStore>, vault: Uuid, name: &Path, id: Uuid) -> Result<()> {
    let content = Bytes::from(format!("probe {id}"));
    if objects::size(store, name).await?.is_some() {
        return Err(unsuitable("it says that an object is there which nobody has written"));
    }
    if let Err(error) = create(store, name, content.clone()).await {
        return Err(match error {
            StorageError::NotImplemented { .. } | StorageError::NotSupported { .. } => {
                unsuitable("it cannot write an object only if its name is free (If-None-Match)")
            }
            StorageError::AlreadyExists { .. } | StorageError::Precondition { .. } => {
                // An answer that was lost, and the request repeated; the content tells.
                match objects::get(store, name, CONTENT_BYTES_MAX).await? {
                    Some(read) if read == content => {
                        return second_half(store, vault, name, content).await;
                    }
                    _ => unsuitable("it refused to write an object whose name is free"),
                }
            }
            source => Error::storage(format!("write {name}"), source),
        });
    }
    second_half(store, vault, name, content).await
}

/// Everything from the second write on.
async fn second_half(
    store: &Arc<dyn ObjectStore>,
    vault: Uuid,
    name: &Path,
    content: Bytes,
) -> Result<()> {
    match create(store, name, Bytes::from_static(b"another probe")).await {
        Err(StorageError::AlreadyExists { .. } | StorageError::Precondition { .. }) => {}
        Ok(()) => {
            return Err(unsuitable(
                "it wrote over an object that was to be written only if its name is free (If-None-Match is ignored)",
            ));
        }
        Err(source) => return Err(Error::storage(format!("write {name} again"), source)),
    }
    match objects::get(store, name, CONTENT_BYTES_MAX).await? {
        Some(read) if read == content => {}
        Some(_) => {
            return Err(unsuitable("it refused to write over an object, and did it all the same"));
        }
        None => return Err(unsuitable("it does not find an object that was just written")),
    }
    let listing = objects::list(store, &path::probes(vault));
    let mut ours = listing.try_filter(|meta| std::future::ready(meta.location == *name)).boxed();
    if ours.try_next().await?.is_none() {
        return Err(unsuitable("it does not list an object that was just written"));
    }
    objects::delete(store, name).await?;
    if objects::get(store, name, CONTENT_BYTES_MAX).await?.is_some() {
        return Err(unsuitable("it still has an object that was just deleted"));
    }
    Ok(())
}

/// Several write the same name at once, each something else. It may be that no one hears of having won, if an answer was lost.
async fn race(store: &Arc<dyn ObjectStore>, name: &Path) -> Result<()> {
    let content = |racer: usize| Bytes::from(format!("racer {racer}"));
    let racers = (0..RACERS).map(|racer| create(store, name, content(racer)));
    let mut won = Vec::new();
    for (racer, outcome) in futures::future::join_all(racers).await.into_iter().enumerate() {
        match outcome {
            Ok(()) => won.push(racer),
            Err(StorageError::AlreadyExists { .. } | StorageError::Precondition { .. }) => {}
            Err(source) => return Err(Error::storage(format!("write {name} at once"), source)),
        }
    }
    let read = objects::get(store, name, CONTENT_BYTES_MAX).await?;
    let one = won.len() <= 1 && won.iter().all(|winner| read == Some(content(*winner)));
    if !one || read.is_none() {
        return Err(unsuitable(
            "it let several write the same object at once that was to be written only if its name is free",
        ));
    }
    objects::delete(store, name).await?;
    Ok(())
}

/// Unlike [`objects::put_new`] with what the storage itself says.
async fn create(
    store: &Arc<dyn ObjectStore>,
    name: &Path,
    content: Bytes,
) -> object_store::Result<()> {
    let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    store.put_opts(name, PutPayload::from_bytes(content), options).await.map(|_| ())
}

fn unsuitable(reason: &str) -> Error {
    Error::UnsuitableStorage { reason: reason.to_owned() }
}

#[cfg(test)]
mod tests;
