//! Key vaults of Azure itself, read through Azure's own client.
//!
//! Only hosts that the operator has named are asked, only over TLS, and only with the one identity that is configured; redirects
//! are not followed. Each is bound to a scope: the registration of the key vault has to be at or within it, so that nobody
//! registers somebody else's key vault as his own to have it read. A secret is read anew each time; what is kept is the
//! identity's token, in memory, until it expires. Time, retries and the size of an answer are bounded. No error and no log line
//! has anything of an answer's body but the service's own error code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use azure_core::cloud::CustomConfiguration;
use azure_core::credentials::{Secret, TokenCredential};
use azure_core::error::ErrorKind as AzureErrorKind;
use azure_core::http::{
    AsyncRawResponse, ClientOptions, ExponentialRetryOptions, HttpClient, Request, RetryOptions,
    Transport,
};
use azure_identity::{
    ClientAssertionCredentialOptions, ClientSecretCredential, ClientSecretCredentialOptions,
    ManagedIdentityCredential, ManagedIdentityCredentialOptions, UserAssignedId,
    WorkloadIdentityCredential, WorkloadIdentityCredentialOptions,
};
use azure_security_keyvault_secrets::models::SecretClientGetSecretOptions;
use azure_security_keyvault_secrets::{SecretClient, SecretClientOptions};
use coffer_azure::ResourceId;
use futures::StreamExt as _;
use secrecy::{ExposeSecret as _, SecretString};

use super::SecretReadError;
use crate::config::{AzureIdentity, AzureKeyVaultConfig};
use crate::error::Error;

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How often a request is sent again that was not answered, or answered with "later".
const RETRIES_MAX: u32 = 3;
/// The pause before the first of them; it doubles.
const RETRY_DELAY: Duration = Duration::from_millis(200);
/// Largest answer that is read: a secret has 25 KiB at most, and a token less.
const ANSWER_BYTES_MAX: usize = 256 << 10;
/// Longest error code of the service's that is told on.
const CODE_CHARS_MAX: usize = 64;

/// The configured key vaults, and the identity that reads them.
pub(crate) struct AzureKeyVaults {
    hosts: BTreeMap<String, ResourceId>,
    credential: Arc<dyn TokenCredential>,
    options: ClientOptions,
    timeout: Duration,
}

/// Where a secret of Azure's is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct AzurePlace {
    /// Host, with the port when one was named.
    pub(super) authority: String,
    /// Where the key vault has to be registered.
    pub(super) scope: ResourceId,
}

/// A secret as Azure has it. Times are seconds since 1970.
pub(super) struct AzureSecret {
    pub(super) value: SecretString,
    pub(super) enabled: bool,
    pub(super) nbf: Option<i64>,
    pub(super) exp: Option<i64>,
}

impl std::fmt::Debug for AzureKeyVaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AzureKeyVaults").field("hosts", &self.hosts).finish_non_exhaustive()
    }
}

impl AzurePlace {
    /// Whether the registration of a key vault counts for this place.
    pub(super) fn admits(&self, vault: &ResourceId) -> bool {
        vault == &self.scope
            || vault
                .key()
                .strip_prefix(self.scope.key())
                .is_some_and(|rest| self.scope.key().ends_with('/') || rest.starts_with('/'))
    }
}

impl AzureKeyVaults {
    /// Makes ready what reads them. Nothing is sent yet.
    ///
    /// # Errors
    /// The certificates or the identity's settings cannot be used.
    pub(crate) fn open(config: AzureKeyVaultConfig) -> Result<Self, Error> {
        let options = client_options(&config, Bounded::new(&config, true)?);
        Ok(Self {
            credential: credential(&config)?,
            hosts: config.hosts,
            options,
            timeout: config.timeout,
        })
    }

    /// Where the key vault of a host, lower-cased and without port, has to be registered; none when it is not one of these.
    pub(super) fn scope_of(&self, host: &str) -> Option<&ResourceId> {
        self.hosts.get(host).or_else(|| {
            let (_vault, suffix) = host.split_once('.')?;
            self.hosts.get(&format!("*.{suffix}"))
        })
    }

    /// Reads a secret; the current version when none is named.
    ///
    /// # Errors
    /// Every one of [`SecretReadError`] that is about Azure's answer, or the lack of one.
    pub(super) async fn read(
        &self,
        authority: &str,
        name: &str,
        version: Option<&str>,
    ) -> Result<AzureSecret, SecretReadError> {
        let client = SecretClient::new(
            &format!("https://{authority}"),
            Arc::clone(&self.credential),
            Some(SecretClientOptions {
                client_options: self.options.clone(),
                ..SecretClientOptions::default()
            }),
        )
        .map_err(Error::internal)?;
        let options = SecretClientGetSecretOptions {
            secret_version: version.map(str::to_owned),
            ..SecretClientGetSecretOptions::default()
        };
        let asked = Box::pin(client.get_secret(name, Some(options)));
        let answer = tokio::time::timeout(self.timeout, asked).await.map_err(|_| {
            let seconds = self.timeout.as_secs();
            SecretReadError::Unreachable(format!(
                "{authority} gave no usable answer within {seconds} seconds, retries included"
            ))
        })?;
        let secret = answer
            .map_err(|error| refusal(&error, authority))?
            .into_model()
            .map_err(|_| not_a_secret(authority))?;
        let value = secret.value.ok_or_else(|| not_a_secret(authority))?;
        let attributes = secret.attributes.unwrap_or_default();
        Ok(AzureSecret {
            value: SecretString::from(value),
            enabled: attributes.enabled.unwrap_or(true),
            nbf: attributes.not_before.map(time::OffsetDateTime::unix_timestamp),
            exp: attributes.expires.map(time::OffsetDateTime::unix_timestamp),
        })
    }
}

fn client_options(config: &AzureKeyVaultConfig, transport: Bounded) -> ClientOptions {
    let mut cloud = CustomConfiguration::default();
    // Always said: else the client would take it from a variable that `client.env` sets for another purpose.
    cloud.authority_host = config.authority.as_str().trim_end_matches('/').to_owned();
    let seconds = i64::try_from(config.timeout.as_secs()).unwrap_or(i64::MAX);
    ClientOptions {
        cloud: Some(Arc::new(cloud.into())),
        transport: Some(Transport::new(Arc::new(transport))),
        retry: RetryOptions::exponential(ExponentialRetryOptions {
            initial_delay: time::Duration::try_from(RETRY_DELAY).unwrap_or_default(),
            max_retries: RETRIES_MAX,
            max_total_elapsed: time::Duration::seconds(seconds),
            ..ExponentialRetryOptions::default()
        }),
        ..ClientOptions::default()
    }
}

fn credential(config: &AzureKeyVaultConfig) -> Result<Arc<dyn TokenCredential>, Error> {
    let unusable = |error: azure_core::Error| {
        // Its own words may quote what was set.
        let kind = format!("{:?}", error.kind());
        Error::start_failed("The identity of key_vault.azure cannot be used.", kind)
    };
    // A machine's own service for identities is reached in the clear, on an address of the machine.
    let https_only = !matches!(config.identity, AzureIdentity::Managed { .. });
    let transport = Bounded { logs_in: true, ..Bounded::new(config, https_only)? };
    let client_options = client_options(config, transport);
    Ok(match &config.identity {
        AzureIdentity::ClientSecret { tenant_id, client_id, secret } => {
            let options = ClientSecretCredentialOptions { client_options };
            let secret = Secret::new(secret.expose_secret().to_owned());
            ClientSecretCredential::new(tenant_id, client_id.clone(), secret, Some(options))
                .map_err(unusable)?
        }
        AzureIdentity::FederatedToken { tenant_id, client_id, file } => {
            let options = WorkloadIdentityCredentialOptions {
                credential_options: ClientAssertionCredentialOptions { client_options },
                client_id: Some(client_id.clone()),
                tenant_id: Some(tenant_id.clone()),
                token_file_path: Some(file.clone()),
            };
            WorkloadIdentityCredential::new(Some(options)).map_err(unusable)?
        }
        AzureIdentity::Managed { client_id } => {
            let options = ManagedIdentityCredentialOptions {
                user_assigned_id: client_id.clone().map(UserAssignedId::ClientId),
                client_options,
            };
            ManagedIdentityCredential::new(Some(options)).map_err(unusable)?
        }
    })
}

fn http_client(config: &AzureKeyVaultConfig, https_only: bool) -> Result<reqwest::Client, Error> {
    let mut builder = reqwest::Client::builder()
        .https_only(https_only)
        .redirect(reqwest::redirect::Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .timeout(config.timeout);
    if !https_only {
        // What is asked in the clear is this machine alone, and no proxy's to see.
        builder = builder.no_proxy();
    }
    if let Some(path) = &config.ca_file {
        let unreadable = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::start_failed(
                format!(
                    "The certificates of key_vault.azure.ca_file, {}, cannot be used.",
                    path.display()
                ),
                source,
            )
        };
        let pem = std::fs::read(path).map_err(|error| unreadable(error.into()))?;
        let certificates = reqwest::Certificate::from_pem_bundle(&pem)
            .map_err(|error| unreadable(error.into()))?;
        builder = builder.tls_certs_merge(certificates);
    }
    for (host, address) in &config.addresses {
        builder = builder.resolve(&host.to_lowercase(), *address);
    }
    builder.build().map_err(|source| {
        Error::start_failed("Key vaults of Azure cannot be asked.", source.without_url())
    })
}

/// A client that gives up an answer which is too large.
#[derive(Debug)]
struct Bounded {
    client: reqwest::Client,
    /// It asks for tokens.
    logs_in: bool,
}

impl Bounded {
    fn new(config: &AzureKeyVaultConfig, https_only: bool) -> Result<Self, Error> {
        Ok(Self { client: http_client(config, https_only)?, logs_in: false })
    }
}

#[async_trait]
impl HttpClient for Bounded {
    async fn execute_request(&self, request: &Request) -> azure_core::Result<AsyncRawResponse> {
        let (status, headers, body) = self.client.execute_request(request).await?.deconstruct();
        if self.logs_in && is_for_later(u16::from(status)) {
            // Of an answer that is no JSON, as a proxy's, the credentials forget the status. It says all that is wanted.
            return Ok(AsyncRawResponse::from_bytes(status, headers, "{}"));
        }
        let mut read = 0_usize;
        let body = body.map(move |part| {
            let part = part?;
            read = read.saturating_add(part.len());
            if read > ANSWER_BYTES_MAX {
                return Err(azure_core::Error::with_message(
                    AzureErrorKind::DataConversion,
                    "the answer is too large",
                ));
            }
            Ok(part)
        });
        Ok(AsyncRawResponse::new(status, headers, Box::pin(body)))
    }
}

/// Whether a status means that the same request may be answered later.
fn is_for_later(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..)
}

fn not_a_secret(authority: &str) -> SecretReadError {
    SecretReadError::NotUnderstood(format!("the answer of {authority} is no secret"))
}

/// What Azure's client has met, in our words. The innermost of its errors says what happened, any of them that it was the
/// log-in.
fn refusal(error: &azure_core::Error, authority: &str) -> SecretReadError {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(error);
    let mut logging_in = false;
    let mut last = error;
    while let Some(cause) = next {
        if let Some(found) = cause.downcast_ref::<azure_core::Error>() {
            logging_in |= matches!(found.kind(), AzureErrorKind::Credential);
            last = found;
        }
        next = cause.source();
    }
    let who = if logging_in { "the log-in service for" } else { "the key vault" };
    match last.kind() {
        AzureErrorKind::HttpResponse { status, raw_response, .. } => {
            let status = u16::from(*status);
            let body = raw_response.as_ref().map(|raw| raw.body().as_ref());
            let code = body.and_then(inner_code);
            match status {
                _ if is_for_later(status) => {
                    SecretReadError::Unreachable(format!("{who} {authority} answered {status}"))
                }
                _ if logging_in => SecretReadError::NotLoggedIn,
                401 | 403 if code.as_deref() == Some("SecretDisabled") => SecretReadError::Disabled,
                401 | 403 => SecretReadError::Refused(code),
                404 => SecretReadError::NotFound,
                _ => SecretReadError::NotUnderstood(format!("{who} {authority} answered {status}")),
            }
        }
        AzureErrorKind::Connection => {
            SecretReadError::Unreachable(format!("no connection to {who} {authority}"))
        }
        AzureErrorKind::Io => {
            SecretReadError::Unreachable(format!("the connection to {who} {authority} broke off"))
        }
        _ if logging_in => SecretReadError::NotLoggedIn,
        _ => SecretReadError::NotUnderstood(format!(
            "the answer of {who} {authority} is not one of a key vault"
        )),
    }
}

/// The finer code of a key vault's error. Nothing else of the body is told on.
fn inner_code(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let error = body.get("error")?;
    let inner = error.get("innererror").or_else(|| error.get("innerError"))?;
    let code = inner.get("code")?.as_str()?;
    let is_word = code.len() <= CODE_CHARS_MAX && code.chars().all(|c| c.is_ascii_alphanumeric());
    (is_word && !code.is_empty()).then(|| code.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(scope: &str) -> AzurePlace {
        AzurePlace { authority: "h".to_owned(), scope: ResourceId::parse(scope).unwrap() }
    }

    #[test]
    fn a_registration_counts_at_and_within_the_scope_alone() {
        let vault = ResourceId::parse(
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/kv",
        )
        .unwrap();
        for scope in [
            "/subscriptions/s",
            "/SUBSCRIPTIONS/S/resourceGroups/G",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/KV",
        ] {
            assert!(place(scope).admits(&vault), "{scope}");
        }
        for scope in [
            "/subscriptions/t",
            "/subscriptions/s/resourceGroups/gg",
            "/subscriptions/s/resourceGroups/g2",
            "/subscriptions/s/resourceGroups/g/providers/Microsoft.KeyVault/vaults/k",
        ] {
            assert!(!place(scope).admits(&vault), "{scope}");
        }
    }

    #[test]
    fn only_a_word_of_an_error_is_told_on() {
        let code = |text: &str| inner_code(text.as_bytes());
        assert_eq!(
            code(r#"{"error":{"code":"Forbidden","innererror":{"code":"ForbiddenByRbac"}}}"#),
            Some("ForbiddenByRbac".to_owned())
        );
        assert_eq!(code(r#"{"error":{"innerError":{"code":"X"}}}"#), Some("X".to_owned()));
        for text in ["", "{}", r#"{"error":{"innererror":{"code":"pass word=hunter2"}}}"#] {
            assert_eq!(code(text), None, "{text}");
        }
    }
}
