//! Containers of Azure Blob Storage: `https://account.blob.core.windows.net/container/prefix`.

use std::{fmt, path::PathBuf, sync::Arc};

use object_store::{
    ClientOptions, ObjectStore,
    azure::{AzureConfigKey, AzureCredentialProvider, MicrosoftAzureBuilder},
    path::Path,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    LocationOptions, Variables, below, client_options, endpoint, prefix, retries, unusable,
};

const FORM: &str = "a container is given as https://account.blob.core.windows.net/container/prefix; \
                    for other storages give s3://bucket/prefix and the option endpoint";
const CONTAINER_CHARS_MIN: usize = 3;
const CONTAINER_CHARS_MAX: usize = 63;

/// What a URL, its options and the variables say.
#[derive(Debug, Clone)]
pub(super) struct AzureLocation {
    pub(super) account: String,
    pub(super) container: String,
    prefix: Path,
    /// Where the account is reached.
    pub(super) endpoint: Url,
    pub(super) credentials: Credentials,
    ca_file: Option<PathBuf>,
}

/// Where credentials come from.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    AccountKey(SecretString),
    SharedAccessSignature(SecretString),
    /// Of an application, by its secret or by a token of workload identity.
    Application {
        tenant: String,
        client: String,
        proof: Proof,
        authority_host: Option<String>,
    },
    /// The managed identity of this machine; which of them, where it has several.
    ManagedIdentity {
        client: Option<String>,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Proof {
    Secret(SecretString),
    TokenFile(PathBuf),
}

/// An opened container, for what is asked of it beside objects: [`super::Backend::Azure`].
#[derive(Clone)]
pub struct AzureContainer {
    /// The storage account.
    pub account: String,
    /// The container.
    pub container: String,
    /// What the names of all objects begin with; empty for the whole container.
    pub prefix: Path,
    /// Where the account is reached; the container's name follows.
    pub endpoint: Url,
    /// Who asks.
    pub credentials: AzureCredentialProvider,
    /// How requests are sent: certificates, time limits, whether without TLS.
    pub client_options: ClientOptions,
}

/// Without what asks, and how.
impl fmt::Debug for AzureContainer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AzureContainer")
            .field("account", &self.account)
            .field("container", &self.container)
            .field("prefix", &self.prefix)
            .field("endpoint", &self.endpoint.as_str())
            .finish_non_exhaustive()
    }
}

impl AzureLocation {
    pub(super) fn new(
        url: &Url,
        options: &LocationOptions,
        variables: &Variables,
    ) -> Result<Self, String> {
        const S3: &[&str] = &["region", "access_key_id", "secret_access_key", "session_token"];
        if let Some(name) = options.names_set().into_iter().find(|name| S3.contains(name)) {
            return Err(format!("{name} means nothing for a container of Azure"));
        }
        let host = url.host_str().unwrap_or_default();
        let (account, service) = host.split_once('.').ok_or(FORM)?;
        // Sovereign clouds have other endings, accounts with DNS zones one part more.
        if account.is_empty() || !service.split('.').take(2).any(|part| part == "blob") {
            return Err(FORM.to_owned());
        }
        let path = url.path().trim_start_matches('/');
        let (container, rest) = path.split_once('/').unwrap_or((path, ""));
        check_container(container)?;
        let endpoint = match options.endpoint.clone().or_else(|| {
            variables.text(&["AZURE_STORAGE_ENDPOINT", "AZURE_STORAGE_SERVICE_ENDPOINT"])
        }) {
            Some(named) => endpoint(&named)?,
            None => {
                let origin = url.origin().ascii_serialization();
                Url::parse(&origin).map_err(|_| FORM.to_owned())?
            }
        };
        Ok(Self {
            credentials: Credentials::new(account, options, variables)?,
            account: account.to_owned(),
            container: container.to_owned(),
            prefix: prefix(&format!("/{rest}"))?,
            endpoint,
            ca_file: options.ca_file.clone(),
        })
    }

    pub(super) fn open(&self) -> Result<(Arc<dyn ObjectStore>, AzureContainer), String> {
        let client_options = client_options(&self.endpoint, self.ca_file.as_deref())?;
        let builder = MicrosoftAzureBuilder::new()
            .with_account(&self.account)
            .with_container_name(&self.container)
            .with_endpoint(self.endpoint.as_str().trim_end_matches('/').to_owned())
            .with_client_options(client_options.clone())
            .with_retry(retries());
        let client = self.credentials.apply(builder).build().map_err(|error| unusable(&error))?;
        let container = AzureContainer {
            account: self.account.clone(),
            container: self.container.clone(),
            prefix: self.prefix.clone(),
            endpoint: self.endpoint.clone(),
            credentials: Arc::clone(client.credentials()),
            client_options,
        };
        Ok((below(client, &self.prefix), container))
    }
}

impl Credentials {
    fn new(
        account: &str,
        options: &LocationOptions,
        variables: &Variables,
    ) -> Result<Self, String> {
        let said = options.account_key.is_some()
            || options.sas_token.is_some()
            || options.tenant_id.is_some()
            || options.client_id.is_some()
            || options.client_secret.is_some()
            || options.federated_token_file.is_some();
        let options = if said { options.clone() } else { from_variables(account, variables) };
        match (options.account_key, options.sas_token, options.client_id) {
            (Some(key), None, None) => Ok(Self::AccountKey(key)),
            (None, Some(signature), None) => Ok(Self::SharedAccessSignature(signature)),
            (None, None, client) => {
                let proof = match (options.client_secret, options.federated_token_file) {
                    (Some(secret), None) => Some(Proof::Secret(secret)),
                    (None, Some(file)) => Some(Proof::TokenFile(file)),
                    (None, None) => None,
                    (Some(_), Some(_)) => {
                        return Err(
                            "client_secret and federated_token_file exclude each other".to_owned()
                        );
                    }
                };
                match (proof, options.tenant_id, client) {
                    (None, None, client) => Ok(Self::ManagedIdentity { client }),
                    (Some(proof), Some(tenant), Some(client)) => Ok(Self::Application {
                        tenant,
                        client,
                        proof,
                        authority_host: options.authority_host,
                    }),
                    _ => Err("tenant_id, client_id and client_secret (or federated_token_file) go together"
                        .to_owned()),
                }
            }
            _ => Err("account_key, sas_token and client_id exclude each other".to_owned()),
        }
    }

    fn apply(&self, builder: MicrosoftAzureBuilder) -> MicrosoftAzureBuilder {
        match self {
            Self::AccountKey(key) => {
                builder.with_access_key(key.expose_secret()).with_credential_type("access_key")
            }
            Self::SharedAccessSignature(signature) => builder
                .with_config(AzureConfigKey::SasKey, signature.expose_secret())
                .with_credential_type("sas_token"),
            Self::Application { tenant, client, proof, authority_host } => {
                let mut builder = builder.with_tenant_id(tenant).with_client_id(client);
                if let Some(host) = authority_host {
                    builder = builder.with_authority_host(host);
                }
                match proof {
                    Proof::Secret(secret) => builder
                        .with_client_secret(secret.expose_secret())
                        .with_credential_type("client_secret"),
                    Proof::TokenFile(file) => builder
                        .with_federated_token_file(file.to_string_lossy())
                        .with_credential_type("workload_identity"),
                }
            }
            Self::ManagedIdentity { client } => {
                let builder = builder.with_credential_type("managed_identity");
                match client {
                    Some(client) => builder.with_client_id(client),
                    None => builder,
                }
            }
        }
    }
}

/// Credentials from the environment. Those of another account than this one are not taken.
fn from_variables(account: &str, variables: &Variables) -> LocationOptions {
    let named = variables.text(&["AZURE_STORAGE_ACCOUNT", "AZURE_STORAGE_ACCOUNT_NAME"]);
    let ours = named.is_none_or(|named| named == account);
    let of_account = |names: &[&str]| variables.secret(names).filter(|_| ours);
    let account_key =
        of_account(&["AZURE_STORAGE_KEY", "AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_ACCESS_KEY"]);
    let sas_token = of_account(&["AZURE_STORAGE_SAS_TOKEN", "AZURE_STORAGE_SAS_KEY"]);
    if account_key.is_some() {
        return LocationOptions { account_key, ..LocationOptions::default() };
    }
    if sas_token.is_some() {
        return LocationOptions { sas_token, ..LocationOptions::default() };
    }
    LocationOptions {
        tenant_id: variables.text(&["AZURE_STORAGE_TENANT_ID"]),
        client_id: variables.text(&["AZURE_STORAGE_CLIENT_ID"]),
        client_secret: variables.secret(&["AZURE_STORAGE_CLIENT_SECRET"]),
        federated_token_file: variables.file(&["AZURE_STORAGE_FEDERATED_TOKEN_FILE"]),
        authority_host: variables.text(&["AZURE_STORAGE_AUTHORITY_HOST"]),
        ..LocationOptions::default()
    }
}

fn check_container(container: &str) -> Result<(), String> {
    let length = (CONTAINER_CHARS_MIN..=CONTAINER_CHARS_MAX).contains(&container.len());
    let chars =
        container.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if length && chars && !container.starts_with('-') && !container.ends_with('-') {
        Ok(())
    } else {
        Err(format!("the container's name has to have 3 to 63 of a-z, 0-9 and '-'; {FORM}"))
    }
}
