//! What is said beside a location's URL, and the variables that speak where it does not.
//!
//! Nothing here reads the environment: whoever may do that hands the variables in.

use std::{collections::BTreeMap, fmt, path::PathBuf};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// What is said beside a location's URL. `docs/storage.md` documents each.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LocationOptions {
    /// Where the storage is reached, if not where its URL says: `https://host[:port][/path]`, or `http://…` to do without TLS.
    pub endpoint: Option<String>,
    /// S3: the bucket's region.
    pub region: Option<String>,
    /// S3: who asks.
    pub access_key_id: Option<String>,
    /// S3: the key's secret.
    pub secret_access_key: Option<SecretString>,
    /// S3: what temporary keys need beside it.
    pub session_token: Option<SecretString>,
    /// Azure: a key of the storage account, base64.
    pub account_key: Option<SecretString>,
    /// Azure: a shared access signature for the container, with or without the leading `?`.
    pub sas_token: Option<SecretString>,
    /// Azure: the directory of the application, with `client_id` and either `client_secret` or `federated_token_file`.
    pub tenant_id: Option<String>,
    /// Azure: the application; alone, a user-assigned managed identity.
    pub client_id: Option<String>,
    /// Azure: the application's secret.
    pub client_secret: Option<SecretString>,
    /// Azure: a file with the application's token of workload identity.
    pub federated_token_file: Option<PathBuf>,
    /// Azure: where the application logs in, if not at `https://login.microsoftonline.com`.
    pub authority_host: Option<String>,
    /// Certificates (PEM) that the storage's certificate may be signed by, beside those of the system.
    pub ca_file: Option<PathBuf>,
}

impl LocationOptions {
    /// Whether anything is set, by name.
    pub(super) fn names_set(&self) -> Vec<&'static str> {
        let set = [
            ("endpoint", self.endpoint.is_some()),
            ("region", self.region.is_some()),
            ("access_key_id", self.access_key_id.is_some()),
            ("secret_access_key", self.secret_access_key.is_some()),
            ("session_token", self.session_token.is_some()),
            ("account_key", self.account_key.is_some()),
            ("sas_token", self.sas_token.is_some()),
            ("tenant_id", self.tenant_id.is_some()),
            ("client_id", self.client_id.is_some()),
            ("client_secret", self.client_secret.is_some()),
            ("federated_token_file", self.federated_token_file.is_some()),
            ("authority_host", self.authority_host.is_some()),
            ("ca_file", self.ca_file.is_some()),
        ];
        set.into_iter().filter(|(_, is_set)| *is_set).map(|(name, _)| name).collect()
    }
}

/// Variables of the environment that say how storages are reached, under the names that their own tools use.
///
/// Azure's are those that begin with `AZURE_STORAGE_`, and no others: a shell that has loaded `client.env` has
/// `AZURE_CLIENT_ID` and the like for our own service, whose credentials must never be sent to a storage.
#[derive(Clone, Default)]
pub struct Variables(BTreeMap<String, SecretString>);

const PREFIXES: &[&str] = &["AWS_", "AZURE_STORAGE_"];

impl Variables {
    /// Those of these variables that are meant here. Empty ones count as not set.
    #[must_use]
    pub fn of(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let ours = variables.into_iter().filter(|(name, value)| {
            PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !value.is_empty()
        });
        Self(ours.map(|(name, value)| (name, value.into())).collect())
    }

    /// The first of these that is set.
    pub(super) fn secret(&self, names: &[&str]) -> Option<SecretString> {
        names.iter().find_map(|name| self.0.get(*name)).cloned()
    }

    /// The same for what is no secret.
    pub(super) fn text(&self, names: &[&str]) -> Option<String> {
        self.secret(names).map(|value| value.expose_secret().to_owned())
    }

    pub(super) fn file(&self, names: &[&str]) -> Option<PathBuf> {
        self.text(names).map(PathBuf::from)
    }
}

/// Names only.
impl fmt::Debug for Variables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
