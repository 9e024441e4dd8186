//! What one recovery point consists of, as far as the store knows it (`docs/format.md` §8).
//!
//! The body is the engine's and is only carried here.

use bytes::Bytes;
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use crate::{
    codec::{self, Encoder},
    crypto::{ObjectType, SealingKey},
    error::{Error, Result},
    limits::MANIFEST_BODY_BYTES_MAX,
    path::ManifestName,
    stats::WriterStats,
};

/// zstd level of bodies: written once and read often.
const BODY_LEVEL: i32 = 9;
/// End of the plain bytes.
pub(crate) const END: &[u8; 8] = b"MANIFEND";

/// What the store knows of one recovery point.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManifestInfo {
    /// 32 lower-case hexadecimal digits.
    pub recovery_point_id: String,
    /// Generation of the lease under which it was sealed.
    pub generation: u64,
    /// Counters of the backup that wrote it.
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

/// A manifest that is there and counts but cannot be read.
#[derive(Debug)]
pub struct UnreadableManifest {
    /// 32 lower-case hexadecimal digits.
    pub recovery_point_id: String,
    /// Generation in its name.
    pub generation: u64,
    /// Why.
    pub error: Error,
}

/// The recovery points of a repository.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Those that count and can be read, ascending by id; one per recovery point.
    pub valid: Vec<ManifestInfo>,
    /// Those that count but cannot be read. While there are any, nothing may be deleted on the grounds of this listing.
    pub unreadable: Vec<UnreadableManifest>,
    /// The newest lease cannot be read, so that stale manifests could not be told apart and are among the valid ones.
    pub lease_damage: Option<Error>,
}

/// The sealed object.
pub(crate) fn seal(
    sealing: &SealingKey,
    name: &Path,
    info: &ManifestInfo,
    body: &[u8],
) -> Result<Bytes> {
    if body.len() > MANIFEST_BODY_BYTES_MAX {
        return Err(Error::invalid(format!(
            "a manifest's body has at most {MANIFEST_BODY_BYTES_MAX} bytes, this one {}",
            body.len()
        )));
    }
    let info = serde_json::to_vec(info)
        .map_err(|error| Error::invalid(format!("a manifest cannot be written: {error}")))?;
    let info_bytes =
        u32::try_from(info.len()).map_err(|_| Error::invalid("a manifest's info is too long"))?;
    let mut encoded = Vec::new();
    Encoder::new(BODY_LEVEL)?.encode(body, &mut encoded)?;
    let (encoding, data) = encoded.split_at(1);
    let mut plain = Vec::with_capacity(info.len() + encoded.len() + 20);
    plain.extend_from_slice(&info_bytes.to_le_bytes());
    plain.extend_from_slice(&info);
    plain.extend_from_slice(encoding);
    plain.extend_from_slice(&(data.len() as u64).to_le_bytes());
    plain.extend_from_slice(data);
    plain.extend_from_slice(END);
    sealing.seal(ObjectType::Manifest, name, &plain).map(Bytes::from)
}

/// What [`seal`] sealed under that name.
pub(crate) fn open(
    sealing: &SealingKey,
    path: &Path,
    name: &ManifestName,
    object: Bytes,
) -> Result<Manifest> {
    let plain = sealing.open(ObjectType::Manifest, path, object.into())?;
    let damaged = |reason: &str| Error::corrupt(path.to_string(), reason);
    let (info, body) = split(&plain).ok_or_else(|| damaged("its parts do not add up"))?;
    let info: ManifestInfo =
        serde_json::from_slice(info).map_err(|error| damaged(&error.to_string()))?;
    if info.recovery_point_id != name.recovery_point_id || info.generation != name.generation {
        return Err(damaged("it is of another recovery point than its name says"));
    }
    let body_bytes =
        usize::try_from(info.body_bytes).ok().filter(|bytes| *bytes <= MANIFEST_BODY_BYTES_MAX);
    let body_bytes = body_bytes.ok_or_else(|| damaged("its body is larger than any"))?;
    let body = codec::decode(body, body_bytes, || path.to_string())?;
    Ok(Manifest { info, body: Vec::from(body) })
}

/// The info, and the body behind its encoding.
fn split(plain: &[u8]) -> Option<(&[u8], Bytes)> {
    let rest = plain.strip_suffix(END)?;
    let (info_bytes, rest) = rest.split_first_chunk::<4>()?;
    let (info, rest) = rest.split_at_checked(u32::from_le_bytes(*info_bytes) as usize)?;
    let (encoding, rest) = rest.split_first()?;
    let (data_bytes, data) = rest.split_first_chunk::<8>()?;
    if u64::from_le_bytes(*data_bytes) != data.len() as u64 {
        return None;
    }
    Some((info, Bytes::from([&[*encoding][..], data].concat())))
}
