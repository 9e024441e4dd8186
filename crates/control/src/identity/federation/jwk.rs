//! An issuer's published keys, as far as they can be used here. What cannot is left out: an issuer may publish keys for
//! other purposes beside.

use std::collections::HashMap;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;

/// Most keys of one set that are looked at.
const KEYS_MAX: usize = 100;

/// A key, and the one algorithm that it is for.
pub(super) struct VerifyingKey {
    pub(super) algorithm: Algorithm,
    pub(super) decoding: DecodingKey,
}

pub(super) type Keys = HashMap<String, Arc<VerifyingKey>>;

#[derive(Deserialize)]
struct Set {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: String,
    alg: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The usable keys of a set, by their ids; none when it is no set.
pub(super) fn read(bytes: &[u8]) -> Option<Keys> {
    let set: Set = serde_json::from_slice(bytes).ok()?;
    let mut keys = Keys::new();
    for value in set.keys.into_iter().take(KEYS_MAX) {
        let Ok(jwk) = serde_json::from_value::<Jwk>(value) else { continue };
        if let Some(key) = usable(&jwk) {
            keys.insert(jwk.kid, Arc::new(key));
        }
    }
    Some(keys)
}

fn usable(jwk: &Jwk) -> Option<VerifyingKey> {
    if jwk.purpose.as_deref().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let (algorithm, name, decoding) = match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("RSA", None) => {
            let (n, e) = (jwk.n.as_ref()?, jwk.e.as_ref()?);
            (Algorithm::RS256, "RS256", DecodingKey::from_rsa_components(n, e))
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (jwk.x.as_ref()?, jwk.y.as_ref()?);
            (Algorithm::ES256, "ES256", DecodingKey::from_ec_components(x, y))
        }
        ("OKP", Some("Ed25519")) => {
            (Algorithm::EdDSA, "EdDSA", DecodingKey::from_ed_components(jwk.x.as_ref()?))
        }
        _ => return None,
    };
    let is_for_it =
        jwk.alg.as_deref().is_none_or(|alg| alg == name || (name == "EdDSA" && alg == "Ed25519"));
    if !is_for_it {
        return None;
    }
    Some(VerifyingKey { algorithm, decoding: decoding.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_verify_is_taken() {
        let point = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
        let set = serde_json::json!({"keys": [
            {"kty": "EC", "crv": "P-256", "kid": "a", "x": point, "y": point, "use": "sig", "extra": 1},
            {"kty": "RSA", "kid": "b", "n": "AQAB", "e": "AQAB", "alg": "RS256"},
            {"kty": "OKP", "crv": "Ed25519", "kid": "c", "x": point},
            {"kty": "oct", "kid": "secret", "k": "AAAA"},
            {"kty": "RSA", "kid": "weak", "n": "AQAB", "e": "AQAB", "alg": "RS1"},
            {"kty": "RSA", "kid": "encryption", "n": "AQAB", "e": "AQAB", "use": "enc"},
            {"kty": "EC", "crv": "P-384", "kid": "other-curve", "x": point, "y": point},
            {"kty": "EC", "crv": "P-256", "x": point, "y": point},
            {"kty": "EC", "crv": "P-256", "kid": "half", "x": point},
            "no key", 7,
        ]});
        let keys = read(set.to_string().as_bytes()).unwrap();
        let mut ids: Vec<_> = keys.keys().map(String::as_str).collect();
        ids.sort_unstable();
        assert_eq!(ids, ["a", "b", "c"]);
        assert!(read(b"{}").is_none() && read(b"").is_none() && read(b"[]").is_none());
        let many: Vec<_> = (0..1000)
            .map(|n| serde_json::json!({"kty": "RSA", "kid": n.to_string(), "n": "AQAB", "e": "AQAB"}))
            .collect();
        let many = serde_json::json!({ "keys": many }).to_string();
        assert_eq!(read(many.as_bytes()).unwrap().len(), KEYS_MAX);
    }
}
