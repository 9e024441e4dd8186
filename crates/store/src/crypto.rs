//! Keys, key derivation and sealed objects (`docs/format.md` §4).
//!
//! One rule carries the safety of every nonce here: an object key is derived from a salt that is random and new for each
//! object, and is used for that object only. So nonces may be fixed numbers, and never depend on content.

use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand,
};
use object_store::path::Path;
use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// Length of every key.
pub(crate) const KEY_BYTES: usize = 32;
/// Length of a fingerprint.
pub(crate) const FINGERPRINT_BYTES: usize = 16;
/// Length of the header of a sealed object.
pub(crate) const HEADER_BYTES: usize = 56;
/// Length of an authentication tag.
pub(crate) const TAG_BYTES: usize = 16;
/// Version of the format.
pub(crate) const FORMAT_VERSION: u8 = 1;
/// First bytes of every sealed object.
pub(crate) const MAGIC: &[u8; 6] = b"COFFER";

pub(crate) const FINGERPRINT_CONTEXT: &str = "coffer 2026-11 key fingerprint v1";
pub(crate) const OBJECT_KEY_CONTEXT: &str = "coffer 2026-11 object key v1";
pub(crate) const ENCRYPTION_CONTEXT: &str = "coffer 2026-11 encryption v1";
pub(crate) const CHUNK_ID_CONTEXT: &str = "coffer 2026-11 chunk id v1";
pub(crate) const ROW_HASH_CONTEXT: &str = "coffer 2026-11 row hash v1";

/// A key in memory, wiped when dropped.
pub(crate) type KeyBytes = Zeroizing<[u8; KEY_BYTES]>;

/// Public name of a key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Fingerprint(pub(crate) [u8; FINGERPRINT_BYTES]);

impl Fingerprint {
    pub(crate) fn of(key: &[u8; KEY_BYTES]) -> Self {
        let derived = Zeroizing::new(blake3::derive_key(FINGERPRINT_CONTEXT, key));
        let mut bytes = [0; FINGERPRINT_BYTES];
        bytes.copy_from_slice(&derived[..FINGERPRINT_BYTES]);
        Self(bytes)
    }

    pub(crate) fn to_hex(self) -> String {
        hex::encode(self.0)
    }
}

/// What a sealed object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum ObjectType {
    VaultKey = b'V',
    DataKey = b'D',
    Lease = b'L',
    Manifest = b'M',
    Pack = b'P',
    Collection = b'C',
    Damaged = b'X',
    Pin = b'N',
}

/// A key that seals objects, and its public name.
#[derive(Clone)]
pub(crate) struct SealingKey {
    key: KeyBytes,
    fingerprint: Fingerprint,
}

impl std::fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SealingKey({})", self.fingerprint.to_hex())
    }
}

/// The keys derived from a repository's data key.
#[derive(Debug, Clone)]
pub(crate) struct DataKeys {
    pub(crate) sealing: SealingKey,
    pub(crate) chunk_id: SecretKey,
    pub(crate) row_hash: SecretKey,
}

/// A key that must not be printed.
#[derive(Clone)]
pub(crate) struct SecretKey(pub(crate) KeyBytes);

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

impl SealingKey {
    /// A key that seals under its own name: the master key or a vault key.
    pub(crate) fn new(key: KeyBytes) -> Self {
        Self { fingerprint: Fingerprint::of(&key), key }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        self.fingerprint
    }

    pub(crate) fn key(&self) -> &KeyBytes {
        &self.key
    }

    fn object_key(&self, salt: &[u8]) -> Result<LessSafeKey> {
        let mut hasher = blake3::Hasher::new_derive_key(OBJECT_KEY_CONTEXT);
        hasher.update(&*self.key).update(salt);
        let derived = Zeroizing::new(*hasher.finalize().as_bytes());
        let unbound = UnboundKey::new(&AES_256_GCM, &*derived)
            .map_err(|_| Error::invalid("a key of the wrong length"))?;
        Ok(LessSafeKey::new(unbound))
    }

    /// A header with a new salt, and the object key that belongs to it.
    pub(crate) fn begin(&self, of: ObjectType) -> Result<([u8; HEADER_BYTES], LessSafeKey)> {
        let mut header = [0; HEADER_BYTES];
        header[..6].copy_from_slice(MAGIC);
        header[6] = of as u8;
        header[7] = FORMAT_VERSION;
        header[8..24].copy_from_slice(&self.fingerprint.0);
        random(&mut header[24..])?;
        let key = self.object_key(&header[24..])?;
        Ok((header, key))
    }

    /// The object key that belongs to a header that was read.
    pub(crate) fn resume(&self, of: ObjectType, header: &[u8], what: &Path) -> Result<LessSafeKey> {
        let sealed_by = read_header(of, header, what)?;
        if sealed_by != self.fingerprint {
            return Err(Error::WrongKey { what: what.to_string(), sealed_by: sealed_by.to_hex() });
        }
        self.object_key(&header[24..HEADER_BYTES])
    }

    /// A whole sealed object.
    pub(crate) fn seal(&self, of: ObjectType, name: &Path, plain: &[u8]) -> Result<Vec<u8>> {
        let (header, key) = self.begin(of)?;
        let mut object = Vec::with_capacity(HEADER_BYTES + plain.len() + TAG_BYTES);
        object.extend_from_slice(&header);
        object.extend_from_slice(plain);
        let tag = key
            .seal_in_place_separate_tag(
                nonce(0),
                Aad::from(named(&header, name)),
                &mut object[HEADER_BYTES..],
            )
            .map_err(|_| Error::invalid("a message too long to seal"))?;
        object.extend_from_slice(tag.as_ref());
        Ok(object)
    }

    /// What [`Self::seal`] sealed under that name.
    pub(crate) fn open(
        &self,
        of: ObjectType,
        name: &Path,
        object: Vec<u8>,
    ) -> Result<Zeroizing<Vec<u8>>> {
        let mut object = Zeroizing::new(object);
        let key = self.resume(of, &object, name)?;
        let associated = named(&object[..HEADER_BYTES], name);
        let plain_bytes = key
            .open_in_place(nonce(0), Aad::from(associated), &mut object[HEADER_BYTES..])
            .map_err(|_| Error::corrupt(name.to_string(), "its authentication failed"))?
            .len();
        object.truncate(HEADER_BYTES + plain_bytes);
        object.drain(..HEADER_BYTES);
        Ok(object)
    }
}

impl DataKeys {
    pub(crate) fn new(data_key: &KeyBytes) -> Self {
        let derive = |context| Zeroizing::new(blake3::derive_key(context, &**data_key));
        Self {
            sealing: SealingKey {
                key: derive(ENCRYPTION_CONTEXT),
                fingerprint: Fingerprint::of(data_key),
            },
            chunk_id: SecretKey(derive(CHUNK_ID_CONTEXT)),
            row_hash: SecretKey(derive(ROW_HASH_CONTEXT)),
        }
    }
}

/// Which key sealed an object, from its header.
pub(crate) fn read_header(of: ObjectType, object: &[u8], what: &Path) -> Result<Fingerprint> {
    if object.len() < HEADER_BYTES + TAG_BYTES && of != ObjectType::Pack
        || object.len() < HEADER_BYTES
    {
        return Err(Error::corrupt(what.to_string(), "it is shorter than any object"));
    }
    if &object[..6] != MAGIC || object[6] != of as u8 {
        return Err(Error::corrupt(what.to_string(), "it does not begin like such an object"));
    }
    match object[7] {
        FORMAT_VERSION => {}
        0 => return Err(Error::corrupt(what.to_string(), "its version is 0")),
        newer => {
            return Err(Error::UnsupportedFormat {
                what: what.to_string(),
                reason: format!("its format version is {newer}, this one knows {FORMAT_VERSION}"),
            });
        }
    }
    let mut fingerprint = [0; FINGERPRINT_BYTES];
    fingerprint.copy_from_slice(&object[8..24]);
    Ok(Fingerprint(fingerprint))
}

/// Associated data of a message that is bound to its object's name.
pub(crate) fn named(header: &[u8], name: &Path) -> Vec<u8> {
    [header, name.as_ref().as_bytes()].concat()
}

/// The nonce of the message with that number under an object key.
pub(crate) fn nonce(number: u32) -> Nonce {
    let mut bytes = [0; 12];
    bytes[8..].copy_from_slice(&number.to_le_bytes());
    Nonce::assume_unique_for_key(bytes)
}

/// Fills with bytes of the operating system's generator.
pub(crate) fn random(bytes: &mut [u8]) -> Result<()> {
    rand::fill(bytes).map_err(|_| Error::invalid("the operating system gives no random bytes"))
}

/// A new random key.
pub(crate) fn random_key() -> Result<KeyBytes> {
    let mut key = KeyBytes::default();
    random(&mut *key)?;
    Ok(key)
}

/// A key out of the plain bytes of a sealed object.
pub(crate) fn key_from(plain: &[u8], what: &Path) -> Result<KeyBytes> {
    let mut key = KeyBytes::default();
    if plain.len() != KEY_BYTES {
        return Err(Error::corrupt(what.to_string(), "it does not hold a key"));
    }
    key.copy_from_slice(plain);
    Ok(key)
}

#[cfg(test)]
mod tests;
