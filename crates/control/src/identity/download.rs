//! Links that allow to read one thing for a while, for programs that take an address and have no token.
//!
//! A link says until when it is good and has a signature over that and what it is for: HMAC-SHA256 under a key that is derived from
//! the master key for nothing else. It is as good as a token for the thing that it names, and for nothing else.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use coffer_store::MasterKey;

const DERIVATION_CONTEXT: &str = "Coffer 2026-11-29 signatures of download links";

/// The query that allows to read `what` until `ends_s`, in seconds since 1970.
#[must_use]
pub fn sign(key: &MasterKey, what: &str, ends_s: i64) -> String {
    let tag = hmac::sign(&signing_key(key), message(what, ends_s).as_bytes());
    format!("se={ends_s}&sig={}", BASE64_URL_SAFE_NO_PAD.encode(tag))
}

/// Whether a query allows to read `what` now.
#[must_use]
pub fn allows(
    key: &MasterKey,
    what: &str,
    ends: Option<&str>,
    signature: Option<&str>,
    now_s: i64,
) -> bool {
    let (Some(ends), Some(signature)) = (ends, signature) else { return false };
    let (Ok(ends_s), Ok(tag)) = (ends.parse::<i64>(), BASE64_URL_SAFE_NO_PAD.decode(signature))
    else {
        return false;
    };
    // The signature first: whether a made-up link would be over is nobody's business.
    hmac::verify(&signing_key(key), message(what, ends_s).as_bytes(), &tag).is_ok()
        && now_s < ends_s
}

fn message(what: &str, ends_s: i64) -> String {
    format!("{ends_s}\n{what}")
}

fn signing_key(key: &MasterKey) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, key.derive_key(DERIVATION_CONTEXT).as_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_signed_and_only_until_then() {
        let key = MasterKey::generate().unwrap();
        let query = sign(&key, "a", 100);
        let (ends, signature) = query.split_once('&').unwrap();
        let (ends, signature) =
            (ends.strip_prefix("se=").unwrap(), signature.strip_prefix("sig=").unwrap());
        let is_good =
            |what, ends, signature, now_s| allows(&key, what, Some(ends), Some(signature), now_s);
        assert!(is_good("a", ends, signature, 99));
        assert!(!is_good("a", ends, signature, 100));
        assert!(!is_good("b", ends, signature, 99));
        assert!(!is_good("a", "101", signature, 99));
        assert!(!is_good("a", ends, &signature[1..], 99));
        assert!(!is_good("a", "x", "y", 99));
        assert!(!allows(&key, "a", None, Some(signature), 99));
        assert!(!allows(&MasterKey::generate().unwrap(), "a", Some(ends), Some(signature), 99));
    }
}
