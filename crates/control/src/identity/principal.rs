//! Principals: who can be given roles.
//!
//! Secrets are generated, 256 bits long, shown once and kept only as argon2id hashes.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use crate::app::App;
use crate::db::Tx;
use crate::db::principal::{self, Principal, PrincipalKind};
use crate::error::Error;

/// Bytes of randomness in a generated secret.
const SECRET_BYTES: usize = 32;

/// A principal just made, with the one look at its secret.
#[derive(Debug)]
pub struct NewApplication {
    /// As stored.
    pub principal: Principal,
    /// `[A-Za-z0-9_-]`.
    pub secret: SecretString,
}

impl App {
    /// Makes an identity that acts only inside the service (a vault's), and returns its object id.
    ///
    /// # Errors
    /// The database fails.
    pub async fn principal_create_managed(
        &self,
        tx: &mut Tx,
        display_name: &str,
    ) -> Result<String, Error> {
        let principal = new_principal(PrincipalKind::Managed, display_name, self.clock.now_us());
        principal::insert(tx, &principal).await?;
        Ok(principal.id)
    }

    /// Deletes a principal with its secrets and role assignments. One that does not exist is no error.
    ///
    /// # Errors
    /// The database fails.
    pub async fn principal_delete(&self, tx: &mut Tx, principal_id: &str) -> Result<(), Error> {
        principal::delete(tx, principal_id).await.map(|_existed| ())
    }
}

/// Makes a principal that logs in with client id and secret. Hashing takes some 50 ms of CPU: do it outside a
/// transaction, by [`generate_secret`].
pub(crate) async fn create_application(
    tx: &mut Tx,
    display_name: &str,
    secret: &GeneratedSecret,
    now_us: i64,
) -> Result<Principal, Error> {
    let principal = new_principal(PrincipalKind::Application, display_name, now_us);
    principal::insert(tx, &principal).await?;
    principal::secret_replace(tx, &principal.id, &random_id(), &secret.hash, now_us).await?;
    Ok(principal)
}

/// Makes a principal for one of whom another issuer tells. Where that issuer's name for him is a GUID, as Entra ID's
/// `oid` is, it becomes his object id here as well, unless somebody has it already.
///
/// # Errors
/// There is one for this issuer and subject already, or the database fails.
pub(crate) async fn create_federated(
    tx: &mut Tx,
    display_name: &str,
    issuer: &str,
    subject: &str,
    now_us: i64,
) -> Result<Principal, Error> {
    if principal::get_by_subject(&mut **tx, issuer, subject).await?.is_some() {
        return Err(Error::conflict(
            "PrincipalExists",
            format!("There is a principal for '{subject}' of {issuer} already."),
        ));
    }
    let mut made = new_principal(PrincipalKind::Federated, display_name, now_us);
    if let Ok(id) = Uuid::try_parse(subject)
        && principal::get(&mut **tx, &id.to_string()).await?.is_none()
    {
        made.id = id.to_string();
    }
    made.federated = Some((issuer.to_owned(), subject.to_owned()));
    principal::insert(tx, &made).await?;
    Ok(made)
}

fn new_principal(kind: PrincipalKind, display_name: &str, now_us: i64) -> Principal {
    Principal {
        id: random_id(),
        kind,
        application_id: random_id(),
        federated: None,
        display_name: display_name.to_owned(),
        created_us: now_us,
    }
}

pub(crate) fn random_id() -> String {
    Uuid::new_v4().to_string()
}

/// A secret and what is kept of it.
pub(crate) struct GeneratedSecret {
    pub(crate) secret: SecretString,
    pub(crate) hash: String,
}

/// Generates a secret and hashes it, away from the threads that serve requests.
pub(crate) async fn generate_secret() -> Result<GeneratedSecret, Error> {
    tokio::task::spawn_blocking(|| {
        let mut bytes = zeroize::Zeroizing::new([0_u8; SECRET_BYTES]);
        aws_lc_rs::rand::fill(bytes.as_mut_slice())
            .map_err(|_| Error::internal("no randomness"))?;
        let secret = SecretString::from(BASE64_URL_SAFE_NO_PAD.encode(bytes.as_slice()));
        let hash = Argon2::default()
            .hash_password(secret.expose_secret().as_bytes())
            .map_err(|error| Error::internal(error.to_string()))?
            .to_string();
        Ok(GeneratedSecret { secret, hash })
    })
    .await
    .map_err(Error::internal)?
}

/// Whether a secret matches one of the hashes, checked away from the threads that serve requests. With no hash at all
/// the work of one check is done, so that the time tells nothing.
pub(crate) async fn secret_matches(
    hashes: Vec<String>,
    secret: SecretString,
) -> Result<bool, Error> {
    tokio::task::spawn_blocking(move || {
        if hashes.is_empty() {
            // Its result is of no interest; only its cost is.
            let _ = Argon2::default().hash_password(secret.expose_secret().as_bytes());
            return false;
        }
        hashes.iter().any(|hash| {
            PasswordHash::new(hash).is_ok_and(|hash| {
                Argon2::default().verify_password(secret.expose_secret().as_bytes(), &hash).is_ok()
            })
        })
    })
    .await
    .map_err(Error::internal)
}
