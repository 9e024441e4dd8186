//! A CA of the test's own and a certificate for a test server.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

use super::account::Account;

/// The CA's certificate, in the server's directory.
pub(crate) const CA_FILE: &str = "ca.pem";

/// A server's certificate and its key, in files.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

/// Writes CA ([`CA_FILE`]), certificate and key of a server on this machine.
pub(crate) fn make(directory: &Path) -> anyhow::Result<Certificate> {
    let mut authority = CertificateParams::default();
    authority.distinguished_name.push(DnType::CommonName, "coffer test CA");
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let authority_key = KeyPair::generate()?;
    let authority_certificate = authority.self_signed(&authority_key)?;

    let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()])?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    let server_key = KeyPair::generate()?;
    let server_certificate =
        server.signed_by(&server_key, &Issuer::new(authority, authority_key))?;

    fs::write(directory.join(CA_FILE), authority_certificate.pem())?;
    let certificate_path = directory.join("server.pem");
    fs::write(&certificate_path, server_certificate.pem())?;
    let key_path = directory.join("server.key");
    fs::write(&key_path, server_key.serialize_pem())?;
    // The server refuses a key that others could read.
    fs::set_permissions(&key_path, fs::Permissions::from_mode(0o600))?;
    Ok(Certificate { certificate: certificate_path, key: key_path })
}

/// Writes CA, certificate and key; returns the settings that make the server use them.
pub(super) fn write(directory: &Path, account: &Account) -> anyhow::Result<Vec<(String, String)>> {
    let made = make(directory)?;
    for path in [&made.certificate, &made.key] {
        account.own(path)?;
    }
    Ok(vec![
        ("ssl".to_owned(), "on".to_owned()),
        ("ssl_cert_file".to_owned(), made.certificate.display().to_string()),
        ("ssl_key_file".to_owned(), made.key.display().to_string()),
    ])
}
