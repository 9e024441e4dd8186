//! The key that tokens are signed with: ES256, kept in the metadata store wrapped by the master key.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use coffer_store::MasterKey;
use jsonwebtoken::{DecodingKey, EncodingKey};
use serde_json::{Value, json};

use super::sealing;
use crate::db::{Tx, setting};
use crate::error::Error;

const SETTING: &str = "signing-key";
const PURPOSE: &str = "settings/signing-key";
/// Bytes of each coordinate of a point on P-256.
const COORDINATE_BYTES: usize = 32;

/// An open signing key.
pub(crate) struct SigningKey {
    /// Names the key in tokens and in the published set.
    pub(crate) id: String,
    pub(crate) encoding: EncodingKey,
    pub(crate) decoding: DecodingKey,
    x: String,
    y: String,
}

impl SigningKey {
    /// Reads the installation's key, or makes and stores it at the first start.
    pub(crate) async fn load_or_create(tx: &mut Tx, master_key: &MasterKey) -> Result<Self, Error> {
        if let Some(sealed) = setting::get(&mut **tx, SETTING).await? {
            return Self::from_pkcs8(&sealing::open(master_key, PURPOSE, &sealed)?);
        }
        let pkcs8 =
            EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
                .map_err(|_| Error::internal("a signing key cannot be generated"))?;
        setting::set(tx, SETTING, &sealing::seal(master_key, PURPOSE, pkcs8.as_ref())?).await?;
        Self::from_pkcs8(pkcs8.as_ref())
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Result<Self, Error> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
            .map_err(Error::internal)?;
        // An uncompressed point: 4, x, y.
        let point = pair.public_key().as_ref();
        let (Some(x), Some(y)) =
            (point.get(1..=COORDINATE_BYTES), point.get(COORDINATE_BYTES + 1..))
        else {
            return Err(Error::internal("the signing key's public point is cut short"));
        };
        let (x, y) = (BASE64_URL_SAFE_NO_PAD.encode(x), BASE64_URL_SAFE_NO_PAD.encode(y));
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, point);
        Ok(Self {
            id: BASE64_URL_SAFE_NO_PAD.encode(&digest.as_ref()[..16]),
            encoding: EncodingKey::from_ec_der(pkcs8),
            decoding: DecodingKey::from_ec_components(&x, &y).map_err(Error::internal)?,
            x,
            y,
        })
    }

    /// The public half as a JSON web key.
    pub(crate) fn jwk(&self) -> Value {
        json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": self.id, "x": self.x, "y": self.y})
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("id", &self.id).finish_non_exhaustive()
    }
}
