//! The key that an operator must not lose: it wraps the keys of every vault.

use std::{
    fmt, fs,
    io::{self, Read, Write},
    path::Path,
};

use zeroize::Zeroizing;

use crate::{
    crypto::{self, Fingerprint, KEY_BYTES, KeyBytes, SealingKey},
    error::{Error, Result},
};

/// What a key file begins with.
pub(crate) const PREFIX: &str = "coffer-master-key-v1:";
/// A key file is one line; anything longer is not one.
const FILE_BYTES_MAX: u64 = 1024;

/// The key that wraps every vault's key. Wiped from memory when dropped, and never printed.
#[derive(Clone)]
pub struct MasterKey {
    sealing: SealingKey,
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id())
    }
}

impl MasterKey {
    /// A new random key.
    ///
    /// # Errors
    /// If the operating system gives no random bytes.
    pub fn generate() -> Result<Self> {
        Ok(Self::from_bytes(crypto::random_key()?))
    }

    /// Reads a key file. The fingerprint in it must agree with the key, so that a slip of the hand is found here.
    ///
    /// # Errors
    /// [`Error::KeyFile`], which never quotes the file's content.
    pub fn read_file(path: &Path) -> Result<Self> {
        let mut text = Zeroizing::new(String::new());
        fs::File::open(path)
            .and_then(|file| file.take(FILE_BYTES_MAX).read_to_string(&mut text))
            .map_err(|error| key_file(path, error.to_string()))?;
        Self::parse(&text).ok_or_else(|| {
            key_file(path, "it does not hold a master key of Coffer, or was altered".to_owned())
        })
    }

    /// Writes a key file with mode 0600, durably, under its final name only when it is whole. A file that exists is
    /// never replaced.
    ///
    /// # Errors
    /// [`Error::KeyFile`].
    pub fn write_file(&self, path: &Path) -> Result<()> {
        let key = Zeroizing::new(hex::encode(self.sealing.key().as_slice()));
        let line = Zeroizing::new(format!("{PREFIX}{}:{}\n", *key, self.id()));
        write_new(path, line.as_bytes()).map_err(|error| {
            let reason = match error.kind() {
                io::ErrorKind::AlreadyExists => "it exists already and is not replaced".to_owned(),
                _ => error.to_string(),
            };
            key_file(path, reason)
        })
    }

    /// Public fingerprint, 32 hexadecimal digits: which key it is, without saying what it is.
    #[must_use]
    pub fn id(&self) -> String {
        self.sealing.fingerprint().to_hex()
    }

    /// A key for another purpose than wrapping vault keys (what the service seals in its metadata store), derived by
    /// BLAKE3's `derive_key` under a context string that names the purpose and is used for nothing else.
    #[must_use]
    pub fn derive_key(&self, context: &str) -> Zeroizing<[u8; KEY_BYTES]> {
        Zeroizing::new(blake3::derive_key(context, self.sealing.key().as_slice()))
    }

    pub(crate) fn sealing(&self) -> &SealingKey {
        &self.sealing
    }

    fn from_bytes(key: KeyBytes) -> Self {
        Self { sealing: SealingKey::new(key) }
    }

    fn parse(text: &str) -> Option<Self> {
        let (key, id) = text.trim_end().strip_prefix(PREFIX)?.split_once(':')?;
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        hex::decode_to_slice(key, &mut *bytes).ok()?;
        (Fingerprint::of(&bytes).to_hex() == id).then(|| Self::from_bytes(bytes))
    }
}

fn key_file(path: &Path, reason: String) -> Error {
    Error::KeyFile { path: path.to_owned(), reason }
}

/// A temporary file, synced, linked to the name (which fails if the name exists), and the directory synced.
fn write_new(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut random = [0; 8];
    crypto::random(&mut random).map_err(io::Error::other)?;
    let temporary = directory.join(format!(".coffer-key-{}", hex::encode(random)));
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&temporary).and_then(|mut file| {
        file.write_all(content)?;
        file.sync_all()?;
        fs::hard_link(&temporary, path)
    });
    let removed = fs::remove_file(&temporary);
    written?;
    removed?;
    fs::File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_comes_back_is_private_and_is_never_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        let key = MasterKey::generate().unwrap();
        key.write_file(&path).unwrap();
        let read = MasterKey::read_file(&path).unwrap();
        assert_eq!(read.id(), key.id());
        assert_eq!(read.sealing.key(), key.sealing.key());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert!(MasterKey::generate().unwrap().write_file(&path).is_err());
        assert_eq!(MasterKey::read_file(&path).unwrap().id(), key.id());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing temporary is left");
    }

    #[test]
    fn an_altered_key_file_is_refused_without_being_quoted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("master.key");
        MasterKey::generate().unwrap().write_file(&path).unwrap();
        let good = fs::read_to_string(&path).unwrap();
        let bad = directory.path().join("bad.key");
        for at in 0..good.len() - 1 {
            let mut altered = good.clone().into_bytes();
            altered[at] = if altered[at] == b'0' { b'1' } else { b'0' };
            fs::write(&bad, &altered).unwrap();
            let error = MasterKey::read_file(&bad).unwrap_err().to_string();
            assert!(!error.contains(&good[30..50]), "{error}");
        }
        for text in ["", "coffer-master-key-v1:", "coffer-master-key-v1::", "\u{0}"] {
            fs::write(&bad, text).unwrap();
            assert!(MasterKey::read_file(&bad).is_err(), "{text}");
        }
        assert!(MasterKey::read_file(&directory.path().join("none")).is_err());
    }

    #[test]
    fn derived_keys_depend_on_key_and_context() {
        let key = MasterKey::generate().unwrap();
        assert_eq!(key.derive_key("a"), key.clone().derive_key("a"));
        assert_ne!(key.derive_key("a"), key.derive_key("b"));
        assert_ne!(key.derive_key("a"), MasterKey::generate().unwrap().derive_key("a"));
        assert_ne!(key.derive_key("a"), *key.sealing.key());
    }

    #[test]
    fn the_key_is_not_printed() {
        let key = MasterKey::generate().unwrap();
        assert!(!format!("{key:?}").contains(&hex::encode(key.sealing.key().as_slice())));
    }
}
