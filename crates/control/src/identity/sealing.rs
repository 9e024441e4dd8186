//! Sealing of what is secret in the metadata store: AES-256-GCM under a key derived from the master key.
//!
//! The sealed text is `1.{base64url(nonce ‖ ciphertext ‖ tag)}`. The purpose (`settings/signing-key`,
//! `secrets/{vault}/{name}/{version}`, …) is authenticated with it, so that a sealed value copied to another place in the
//! database does not open there. Nonces are random 96-bit numbers: far below 2^32 values are sealed by one key.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use coffer_store::MasterKey;
use zeroize::Zeroizing;

use crate::app::App;
use crate::error::Error;

const DERIVATION_CONTEXT: &str = "Coffer 2026-11-22 values sealed in the metadata store";
const PREFIX: &str = "1.";

/// A value cannot be opened: another key, another purpose, or damage. Which of them cannot be told apart.
#[derive(Debug, thiserror::Error)]
#[error("the sealed value for {purpose} does not open with this master key")]
pub struct OpenError {
    /// What it was sealed for.
    pub purpose: String,
}

/// Seals a value for a purpose.
///
/// # Errors
/// The cipher refuses, which it does only for values beyond its size limit.
pub fn seal(key: &MasterKey, purpose: &str, plain: &[u8]) -> Result<String, Error> {
    let mut sealed = plain.to_vec();
    let nonce = cipher(key)?
        .seal_in_place_append_tag(Aad::from(purpose.as_bytes()), &mut sealed)
        .map_err(|_| Error::internal("sealing failed"))?;
    let mut bytes = nonce.as_ref().to_vec();
    bytes.append(&mut sealed);
    Ok(format!("{PREFIX}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes)))
}

/// Opens a value that was sealed for the same purpose.
///
/// # Errors
/// [`OpenError`] as the source of an internal error.
pub fn open(key: &MasterKey, purpose: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let refused = || Error::internal(OpenError { purpose: purpose.to_owned() });
    let bytes = sealed
        .strip_prefix(PREFIX)
        .and_then(|text| BASE64_URL_SAFE_NO_PAD.decode(text).ok())
        .filter(|bytes| bytes.len() > NONCE_LEN)
        .ok_or_else(refused)?;
    let (nonce, sealed) = bytes.split_at(NONCE_LEN);
    let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(|_| refused())?;
    let mut buffer = Zeroizing::new(sealed.to_vec());
    let plain_bytes = cipher(key)?
        .open_in_place(nonce, Aad::from(purpose.as_bytes()), &mut buffer)
        .map_err(|_| refused())?
        .len();
    buffer.truncate(plain_bytes);
    Ok(buffer)
}

impl App {
    /// Seals a value for a purpose, with this installation's master key.
    ///
    /// # Errors
    /// As [`seal`].
    pub fn seal(&self, purpose: &str, plain: &[u8]) -> Result<String, Error> {
        seal(&self.master_key, purpose, plain)
    }

    /// Opens a value that was sealed for the same purpose.
    ///
    /// # Errors
    /// As [`open`].
    pub fn unseal(&self, purpose: &str, sealed: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
        open(&self.master_key, purpose, sealed)
    }
}

fn cipher(key: &MasterKey) -> Result<RandomizedNonceKey, Error> {
    let derived = key.derive_key(DERIVATION_CONTEXT);
    RandomizedNonceKey::new(&AES_256_GCM, derived.as_slice())
        .map_err(|_| Error::internal("the derived key has a wrong length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_only_with_the_same_key_and_purpose() {
        let key = MasterKey::generate().unwrap();
        let sealed = seal(&key, "a", b"hunter2").unwrap();
        assert_eq!(open(&key, "a", &sealed).unwrap().as_slice(), b"hunter2");
        assert_ne!(sealed, seal(&key, "a", b"hunter2").unwrap());
        assert!(open(&key, "b", &sealed).is_err());
        assert!(open(&MasterKey::generate().unwrap(), "a", &sealed).is_err());
        for broken in ["", "1.", "2.AAAA", "1.AAAA", "1.!!", &sealed[..sealed.len() - 2]] {
            assert!(open(&key, "a", broken).is_err(), "{broken}");
        }
        assert_eq!(open(&key, "a", &seal(&key, "a", b"").unwrap()).unwrap().len(), 0);
    }
}
