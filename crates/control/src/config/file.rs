//! The configuration file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;

use super::{
    AzureKeyVaultSettings, Config, IssuerConfig, ServerConfig, StorageConfig, location_key,
};
use crate::policy::blackout::Blackout;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A path cannot be used.
    #[error("path {} cannot be made absolute", path.display())]
    Path {
        /// As given.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file cannot be read.
    #[error("configuration file {} cannot be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is no TOML, or has a setting that does not exist or a value of the wrong type.
    #[error("configuration file {} is not understood: {message}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// Where and what.
        message: String,
    },
    /// A value that is not possible.
    #[error("{setting} {reason}")]
    Value {
        /// The setting's name in the file, or the variable's.
        setting: String,
        /// What is wrong.
        reason: String,
    },
}

impl ConfigError {
    pub(super) fn value(setting: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::Value { setting: setting.into(), reason: reason.into() }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    listen: Option<SocketAddr>,
    public_endpoint: Option<String>,
    certificate_names: Option<Vec<String>>,
    master_key_file: Option<PathBuf>,
    metadata_database: Option<String>,
    vault_host_suffix: Option<String>,
    storage: BTreeMap<String, StorageConfig>,
    servers: BTreeMap<String, ServerConfig>,
    restore: Restore,
    backup: Backup,
    postgres: Postgres,
    metrics: Metrics,
    verification: Verification,
    audit: AuditLog,
    identity: Identity,
    schedule: Schedule,
    alerts: Alerts,
    key_vault: KeyVault,
    core_dumps: Option<bool>,
    tokens: Tokens,
    limits: FileLimits,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Restore {
    allowed_directories: Option<Vec<PathBuf>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Backup {
    take_over_unchanged: Option<bool>,
    wal_summaries: Option<bool>,
    full_read_days: Option<u32>,
    audit_per_mille: Option<u16>,
    deltas: Option<bool>,
    user_mappings: Option<bool>,
    stall_minutes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Schedule {
    catch_up: Option<bool>,
    jitter_seconds: Option<u64>,
    blackout: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Alerts {
    webhook_url: Option<String>,
    webhook_secret: Option<SecretString>,
    backup_late_minutes: Option<u64>,
    copy_late_minutes: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Postgres {
    tool_directories: Option<Vec<PathBuf>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Metrics {
    token: Option<SecretString>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Verification {
    period_days: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct AuditLog {
    retention_days: Option<u32>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Identity {
    issuers: Vec<IssuerConfig>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct KeyVault {
    azure: AzureKeyVaultSettings,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Tokens {
    lifetime_seconds: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileLimits {
    body_bytes: Option<usize>,
    body_timeout_seconds: Option<u64>,
    concurrent_requests: Option<usize>,
    concurrent_logins: Option<usize>,
    concurrent_operations: Option<usize>,
    data_workers: Option<usize>,
    backups_per_server: Option<usize>,
    operations_per_vault: Option<usize>,
    shutdown_timeout_seconds: Option<u64>,
}

/// Puts a file's settings over those in `config`.
pub(super) fn apply(config: &mut Config, path: &Path) -> Result<(), ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
    apply_text(config, &text).map_err(|error| match error {
        TextError::Parse(message) => ConfigError::Parse { path: path.to_owned(), message },
        TextError::Value(error) => error,
    })
}

pub(super) enum TextError {
    Parse(String),
    Value(ConfigError),
}

impl From<ConfigError> for TextError {
    fn from(error: ConfigError) -> Self {
        Self::Value(error)
    }
}

pub(super) fn apply_text(config: &mut Config, text: &str) -> Result<(), TextError> {
    // The message alone: the rendered form quotes the line, which may hold a token.
    let file: File =
        toml::from_str(text).map_err(|error| TextError::Parse(describe(text, &error)))?;
    replace(&mut config.listen, file.listen);
    if file.public_endpoint.is_some() {
        config.public_endpoint = file.public_endpoint.map(trimmed);
    }
    replace(&mut config.certificate_names, file.certificate_names);
    replace(&mut config.vault_host_suffix, file.vault_host_suffix);
    if let Some(path) = file.master_key_file {
        config.master_key_file = absolute(path)?;
    }
    if let Some(database) = file.metadata_database {
        config.database_file = database_file(&database)?;
    }
    for (location, storage) in file.storage {
        match location_key(&location).as_str() {
            "default" => config.storage_default = storage,
            key => {
                config.storage.insert(key.to_owned(), storage);
            }
        }
    }
    for (name, server) in file.servers {
        config.servers.insert(name.to_lowercase(), server);
    }
    if let Some(directories) = file.restore.allowed_directories {
        config.restore_allowed_directories =
            directories.into_iter().map(absolute).collect::<Result<_, _>>()?;
    }
    if let Some(directories) = file.postgres.tool_directories {
        config.postgres_tool_directories =
            directories.into_iter().map(absolute).collect::<Result<_, _>>()?;
    }
    replace(&mut config.backup_reuse.take_over, file.backup.take_over_unchanged);
    replace(&mut config.backup_reuse.wal_summaries, file.backup.wal_summaries);
    replace(&mut config.backup_reuse.full_read_days, file.backup.full_read_days);
    replace(&mut config.backup_reuse.audit_per_mille, file.backup.audit_per_mille);
    replace(&mut config.backup_reuse.deltas, file.backup.deltas);
    replace(&mut config.backup_user_mappings, file.backup.user_mappings);
    replace(&mut config.backup_stall, file.backup.stall_minutes.map(minutes));
    replace(&mut config.schedule.catch_up, file.schedule.catch_up);
    replace(&mut config.schedule.jitter, file.schedule.jitter_seconds.map(Duration::from_secs));
    if let Some(windows) = file.schedule.blackout {
        config.schedule.blackout = blackout(windows.iter().map(String::as_str))?;
    }
    if let Some(url) = file.alerts.webhook_url {
        config.alerts.webhook_url = Some(webhook_url(&url)?);
    }
    if file.alerts.webhook_secret.is_some() {
        config.alerts.webhook_secret = file.alerts.webhook_secret;
    }
    replace(&mut config.alerts.backup_late, file.alerts.backup_late_minutes.map(minutes));
    replace(&mut config.alerts.copy_late, file.alerts.copy_late_minutes.map(minutes));
    config.key_vault_azure = file.key_vault.azure;
    replace(&mut config.core_dumps, file.core_dumps);
    if file.metrics.token.is_some() {
        config.metrics_token = file.metrics.token;
    }
    replace(&mut config.verification_period_days, file.verification.period_days);
    for issuer in file.identity.issuers {
        let ca_file = issuer.ca_file.map(absolute).transpose()?;
        config.issuers.push(IssuerConfig { ca_file, ..issuer });
    }
    replace(&mut config.audit_retention_days, file.audit.retention_days);
    replace(&mut config.token_lifetime, file.tokens.lifetime_seconds.map(Duration::from_secs));
    let limits = &mut config.limits;
    replace(&mut limits.body_bytes, file.limits.body_bytes);
    replace(&mut limits.body_timeout, file.limits.body_timeout_seconds.map(Duration::from_secs));
    replace(&mut limits.concurrent_requests, file.limits.concurrent_requests);
    replace(&mut limits.concurrent_logins, file.limits.concurrent_logins);
    replace(&mut limits.concurrent_operations, file.limits.concurrent_operations);
    replace(&mut limits.data_workers, file.limits.data_workers);
    replace(&mut limits.backups_per_server, file.limits.backups_per_server);
    replace(&mut limits.operations_per_vault, file.limits.operations_per_vault);
    replace(
        &mut limits.shutdown_timeout,
        file.limits.shutdown_timeout_seconds.map(Duration::from_secs),
    );
    Ok(())
}

fn describe(text: &str, error: &toml::de::Error) -> String {
    let line = error
        .span()
        .map(|span| text.bytes().take(span.start).filter(|byte| *byte == b'\n').count() + 1);
    match line {
        Some(line) => format!("line {line}: {}", error.message()),
        None => error.message().to_owned(),
    }
}

fn replace<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

pub(super) fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(minutes.saturating_mul(60))
}

pub(super) fn blackout<'a>(
    windows: impl Iterator<Item = &'a str>,
) -> Result<Vec<Blackout>, ConfigError> {
    windows
        .map(|text| {
            Blackout::parse(text).map_err(|why| ConfigError::value("schedule.blackout", why))
        })
        .collect()
}

/// A URL is not quoted: it may hold a token.
pub(super) fn webhook_url(text: &str) -> Result<url::Url, ConfigError> {
    url::Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "https" | "http") && url.host_str().is_some())
        .ok_or_else(|| {
            ConfigError::value("alerts.webhook_url", "has to be an https:// or http:// URL")
        })
}

pub(super) fn trimmed(endpoint: String) -> String {
    endpoint.trim_end_matches('/').to_owned()
}

pub(super) fn absolute(path: PathBuf) -> Result<PathBuf, ConfigError> {
    std::path::absolute(&path).map_err(|source| ConfigError::Path { path, source })
}

/// The file behind `metadata_database`. Only SQLite is supported; a password in another kind of URL is never printed.
pub(super) fn database_file(url: &str) -> Result<PathBuf, ConfigError> {
    let unsupported = |scheme: &str| {
        ConfigError::value(
            "metadata_database",
            format!(
                "has to be sqlite:///path/of/the/file; '{scheme}' is not supported by this version"
            ),
        )
    };
    match url.split_once(':') {
        Some(("sqlite", rest)) => {
            let path = rest.strip_prefix("//").unwrap_or(rest);
            if path.is_empty() || path.contains('?') {
                return Err(ConfigError::value(
                    "metadata_database",
                    "has to be sqlite:///path/of/the/file",
                ));
            }
            absolute(PathBuf::from(path))
        }
        Some((scheme, _)) => Err(unsupported(scheme)),
        None => Err(unsupported("a value without scheme")),
    }
}
