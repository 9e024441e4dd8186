//! The installation's own certificate authority, and the certificate that the service shows.
//!
//! The authority's key and certificate are kept in the metadata store (the key wrapped by the master key), so that
//! clients that once trusted it go on doing so; its certificate is also written to `DIR/ca.pem`. The server's key lives
//! in memory only: a certificate is issued at every start, and again while the service runs before it gets old.

use coffer_store::MasterKey;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::ServerConfig;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::sync::Arc;

use super::sealing;
use crate::clock::SECOND_US;
use crate::db::{Tx, setting};
use crate::error::Error;

const KEY_SETTING: &str = "certificate-authority-key";
const KEY_PURPOSE: &str = "settings/certificate-authority-key";
const CERTIFICATE_SETTING: &str = "certificate-authority";
/// When the authority's certificate has to be renewed, in microseconds since 1970.
const RENEW_AFTER_SETTING: &str = "certificate-authority-renew-after";

const DAY_US: i64 = 24 * 3600 * SECOND_US;
/// Clocks of clients may be behind ours.
const BACKDATED_DAYS: i64 = 2;
const AUTHORITY_DAYS: i64 = 3650;
/// The authority's certificate is renewed, with the same key, when less than this is left of it.
const AUTHORITY_RENEWED_DAYS_BEFORE: i64 = 365;
/// Below the longest that browsers and Apple's clients accept.
const SERVER_DAYS: i64 = 397;
/// How often a running service issues itself a fresh certificate.
pub(crate) const SERVER_RENEWED_AFTER_DAYS: u64 = 180;

/// The open authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// PEM, for clients.
    pub(crate) certificate_pem: String,
}

impl Authority {
    /// Reads the authority; makes it at the first start; renews its certificate when it gets old.
    pub(crate) async fn load_or_create(
        tx: &mut Tx,
        master_key: &MasterKey,
        now_us: i64,
    ) -> Result<Self, Error> {
        let stored = setting::get(&mut **tx, KEY_SETTING).await?;
        let (key, is_new) = match stored {
            Some(sealed) => (open_key(master_key, &sealed)?, false),
            None => {
                let key = KeyPair::generate().map_err(Error::internal)?;
                let sealed = sealing::seal(master_key, KEY_PURPOSE, key.serialized_der())?;
                setting::set(tx, KEY_SETTING, &sealed).await?;
                (key, true)
            }
        };
        let renew_after: i64 = setting::get(&mut **tx, RENEW_AFTER_SETTING)
            .await?
            .and_then(|text| text.parse().ok())
            .unwrap_or_default();
        let params = authority_params(now_us)?;
        let certificate_pem = match setting::get(&mut **tx, CERTIFICATE_SETTING).await? {
            Some(pem) if !is_new && now_us < renew_after => pem,
            _ => {
                let pem = params.self_signed(&key).map_err(Error::internal)?.pem();
                let renew_after =
                    now_us + (AUTHORITY_DAYS - AUTHORITY_RENEWED_DAYS_BEFORE) * DAY_US;
                setting::set(tx, CERTIFICATE_SETTING, &pem).await?;
                setting::set(tx, RENEW_AFTER_SETTING, &renew_after.to_string()).await?;
                pem
            }
        };
        // Only the name and the key of the issuer enter the certificates it signs, and both never change.
        Ok(Self { issuer: Issuer::new(params, key), certificate_pem })
    }

    /// Issues a certificate with a new key for the given names and addresses, ready to serve with.
    pub(crate) fn server_config(
        &self,
        names: &[String],
        now_us: i64,
    ) -> Result<Arc<ServerConfig>, Error> {
        let key = KeyPair::generate().map_err(Error::internal)?;
        let mut params = CertificateParams::new(names.to_vec()).map_err(|source| {
            Error::start_failed(
                format!("The certificate cannot be made out to {}.", names.join(", ")),
                source,
            )
        })?;
        params.distinguished_name = name("Coffer");
        params.not_before = date(now_us - BACKDATED_DAYS * DAY_US)?;
        params.not_after = date(now_us + SERVER_DAYS * DAY_US)?;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let certificate = params.signed_by(&key, &self.issuer).map_err(Error::internal)?;
        let authority = CertificateDer::from_pem_slice(self.certificate_pem.as_bytes())
            .map_err(Error::internal)?;
        let chain = vec![certificate.der().clone(), authority];
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let mut config = ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_safe_default_protocol_versions()
        .map_err(Error::internal)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(Error::internal)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

fn open_key(master_key: &MasterKey, sealed: &str) -> Result<KeyPair, Error> {
    let der = sealing::open(master_key, KEY_PURPOSE, sealed)?;
    let der = PrivatePkcs8KeyDer::from(der.as_slice());
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &rcgen::PKCS_ECDSA_P256_SHA256)
        .map_err(Error::internal)
}

fn authority_params(now_us: i64) -> Result<CertificateParams, Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name("Coffer CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params.not_before = date(now_us - BACKDATED_DAYS * DAY_US)?;
    params.not_after = date(now_us + AUTHORITY_DAYS * DAY_US)?;
    Ok(params)
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Coffer");
    name.push(DnType::CommonName, common_name);
    name
}

/// The day of a time, at midnight UTC, in the certificate library's own type.
fn date(us: i64) -> Result<time::OffsetDateTime, Error> {
    time::OffsetDateTime::from_unix_timestamp(us / DAY_US * (DAY_US / SECOND_US))
        .map_err(Error::internal)
}
