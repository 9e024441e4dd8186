//! Chunks, packs and manifests at rest: compressed, encrypted, content-addressed, over any object store.
//!
//! `docs/format.md` is the normative description of every byte that this crate writes. What holds, always:
//!
//! * No object is ever overwritten; every write is create-if-absent.
//! * Packs are durable before the manifest that needs them is written; a recovery point exists if and only if its
//!   manifest does.
//! * Everything read is authenticated before it is used; damage is [`Error::Corrupt`], never a panic.
//! * A chunk is taken over instead of stored only where a committed manifest or a whole, authenticated pack holds it.
//! * A manifest counts only if its generation is the newest or the newest lease accepted it.
//! * A key is wrapped anew beside its old wrapping, which goes when the new one was read back.
//! * A pack is deleted only under the lease, by a plan made from every manifest that counts, after its name was published.
//! * What a reader has pinned stays until the pin is released or runs out, even if the recovery point is deleted.
//! * Where the storage can lock, a locked recovery point's packs and keys are locked before its manifest is, and no lock is
//!   ever made shorter or weaker here.
//! * A copy in another location shares the data key and the packs and nothing else; a recovery point exists there when all
//!   that it needs does, by the copy's own lease.
//! * Nonces are never derived from content: every pack has its own random salt and so its own key.
//!
//! What may not be done here: this crate knows neither PostgreSQL nor HTTP nor SQL, and it has no clock; whoever needs
//! the time passes it in.

mod chunk;
mod codec;
mod collection;
mod condemned;
mod crypto;
mod damaged;
mod error;
#[cfg(test)]
mod format_document;
mod keyring;
mod known;
mod lease;
pub mod limits;
mod local;
mod location;
mod lock;
mod manifest;
mod master_key;
mod objects;
mod pack;
mod pack_stream;
mod path;
mod pin;
mod probe;
mod reader;
mod replication;
mod repository;
mod rotation;
mod stats;
mod verify;
mod writer;

pub use chunk::{ChunkId, ChunkKind, ChunkRef, PackId};
pub use collection::{Collection, CollectionPlan, CollectionReport, PackDecision, PackReason};
pub use damaged::{DamagedPack, DamagedPacks};
pub use error::{Error, Result, StorageFailure};
pub use keyring::VaultKeyring;
pub use lease::{Lease, LeasePurpose, LeaseRecovery};
pub use location::{
    AzureContainer, Backend, Location, LocationOptions, S3Bucket, Storage, Variables,
    create_location, list_repositories, list_vaults, open_location,
};
pub use lock::{HiddenBy, HiddenObject, LockMode, LockReport, Locking, ObjectLock, RetentionLock};
pub use manifest::{Manifest, ManifestInfo, Manifests, UnreadableManifest};
pub use master_key::MasterKey;
pub use object_store::ObjectStore;
pub use pack_stream::{NamedChunk, PackStream};
pub use pin::{Pin, PinInfo, Pins, UnreadablePin};
pub use probe::{clear_probes, probe};
pub use replication::{PointCopy, Replication, ReplicationReport};
pub use repository::Repository;
pub use stats::WriterStats;
pub use verify::{
    Damage, PackOutcome, PackProgress, PackReport, PackVerdict, PackVerification, Share, Verifier,
    VerifyDepth, VerifyReport,
};
pub use writer::{Writer, WriterOptions};
