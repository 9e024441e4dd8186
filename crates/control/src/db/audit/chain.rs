//! The hashes that hold the rows of the audit log together.
//!
//! They are keyed (HMAC-SHA-256). Without a key, whoever can write the database could change a row and hash everything
//! behind it anew, and no check would ever tell. The key is a random one of the installation, sealed by the master key: the
//! database alone is not enough to make a chain that verifies.

use aws_lc_rs::hmac;

/// Bytes of the key.
pub const KEY_BYTES: usize = 32;

/// Before the first row: what its hash covers as "the one before".
const GENESIS: [u8; 32] = [0; 32];

/// What a hash is made with.
pub struct ChainKey(hmac::Key);

impl std::fmt::Debug for ChainKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ChainKey")
    }
}

impl ChainKey {
    /// From its bytes.
    #[must_use]
    pub fn new(bytes: &[u8; KEY_BYTES]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }

    /// The hash of a row, in hexadecimal. Every field has a fixed length or comes last, so that no two rows give the same text.
    #[must_use]
    pub fn row(&self, previous: &str, sequence: i64, time_us: i64, body: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"row");
        context.update(&decoded(previous));
        context.update(&sequence.to_be_bytes());
        context.update(&time_us.to_be_bytes());
        context.update(body.as_bytes());
        hex::encode(context.sign().as_ref())
    }

    /// The seal of an anchor: that everything up to this row was cut off by the service itself.
    #[must_use]
    pub fn anchor(&self, sequence: i64, hash: &str) -> String {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(b"anchor");
        context.update(&sequence.to_be_bytes());
        context.update(&decoded(hash));
        hex::encode(context.sign().as_ref())
    }
}

/// What stands before the first row, in hexadecimal.
#[must_use]
pub fn genesis() -> String {
    hex::encode(GENESIS)
}

/// What is no hash stands for none at all: it fits no row.
fn decoded(hash: &str) -> Vec<u8> {
    hex::decode(hash).ok().filter(|bytes| bytes.len() == GENESIS.len()).unwrap_or_default()
}
