//! Settings from the environment: the same names as in the file, in capitals, `_` for `.`, `COFFER_` before them.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use coffer_store::Variables;

use super::file::{absolute, blackout, database_file, minutes, trimmed, webhook_url};
use super::{Config, ConfigError};

/// The process's own environment.
pub(super) fn process() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os()
}

/// Puts the variables' settings over those in `config`. What is not a setting is ignored: `client.env` and others use
/// the prefix too. Lists are separated by `:` (directories) or `,` (names).
pub(super) fn apply(
    config: &mut Config,
    variables: impl Iterator<Item = (OsString, OsString)>,
) -> Result<(), ConfigError> {
    let mut others = Vec::new();
    for (name, value) in variables {
        if let (Some(name), Some(value)) = (name.to_str(), value.to_str()) {
            others.push((name.to_owned(), value.to_owned()));
        }
        let Some(name) = name.to_str().filter(|name| name.starts_with("COFFER_")) else { continue };
        let Some(value) = value.to_str() else {
            return Err(ConfigError::value(name, "is not valid UTF-8"));
        };
        set(config, name, value)?;
    }
    config.storage_variables = Variables::of(others);
    Ok(())
}

fn set(config: &mut Config, name: &str, value: &str) -> Result<(), ConfigError> {
    let limits = &mut config.limits;
    let azure = &mut config.key_vault_azure;
    match name {
        "COFFER_LISTEN" => config.listen = parse(name, value)?,
        "COFFER_PUBLIC_ENDPOINT" => config.public_endpoint = Some(trimmed(value.to_owned())),
        "COFFER_CERTIFICATE_NAMES" => {
            config.certificate_names = value
                .split(',')
                .map(str::trim)
                .filter(|s| !s.is_empty())
                .map(str::to_owned)
                .collect();
        }
        "COFFER_MASTER_KEY_FILE" => config.master_key_file = absolute(PathBuf::from(value))?,
        "COFFER_METADATA_DATABASE" => config.database_file = database_file(value)?,
        "COFFER_VAULT_HOST_SUFFIX" => config.vault_host_suffix = value.to_owned(),
        "COFFER_STORAGE_DEFAULT" => config.storage_default = value.to_owned().into(),
        "COFFER_RESTORE_ALLOWED_DIRECTORIES" => {
            config.restore_allowed_directories = directories(value)?;
        }
        "COFFER_POSTGRES_TOOL_DIRECTORIES" => {
            config.postgres_tool_directories = directories(value)?;
        }
        "COFFER_BACKUP_TAKE_OVER_UNCHANGED" => {
            config.backup_reuse.take_over = parse(name, value)?;
        }
        "COFFER_BACKUP_WAL_SUMMARIES" => {
            config.backup_reuse.wal_summaries = parse(name, value)?;
        }
        "COFFER_BACKUP_FULL_READ_DAYS" => {
            config.backup_reuse.full_read_days = parse(name, value)?;
        }
        "COFFER_BACKUP_AUDIT_PER_MILLE" => {
            config.backup_reuse.audit_per_mille = parse(name, value)?;
        }
        "COFFER_BACKUP_DELTAS" => config.backup_reuse.deltas = parse(name, value)?,
        "COFFER_BACKUP_USER_MAPPINGS" => config.backup_user_mappings = parse(name, value)?,
        "COFFER_BACKUP_STALL_MINUTES" => config.backup_stall = parse(name, value).map(minutes)?,
        "COFFER_SCHEDULE_CATCH_UP" => config.schedule.catch_up = parse(name, value)?,
        "COFFER_SCHEDULE_JITTER_SECONDS" => config.schedule.jitter = seconds(name, value)?,
        "COFFER_SCHEDULE_BLACKOUT" => {
            let windows = value.split(';').map(str::trim).filter(|window| !window.is_empty());
            config.schedule.blackout = blackout(windows)?;
        }
        "COFFER_ALERTS_WEBHOOK_URL" => config.alerts.webhook_url = Some(webhook_url(value)?),
        "COFFER_ALERTS_WEBHOOK_SECRET" => {
            config.alerts.webhook_secret = Some(value.to_owned().into());
        }
        "COFFER_ALERTS_BACKUP_LATE_MINUTES" => {
            config.alerts.backup_late = parse(name, value).map(minutes)?;
        }
        "COFFER_ALERTS_COPY_LATE_MINUTES" => {
            config.alerts.copy_late = parse(name, value).map(minutes)?;
        }
        "COFFER_KEY_VAULT_AZURE_TENANT_ID" => azure.tenant_id = Some(value.to_owned()),
        "COFFER_KEY_VAULT_AZURE_CLIENT_ID" => azure.client_id = Some(value.to_owned()),
        "COFFER_KEY_VAULT_AZURE_CLIENT_SECRET" => {
            azure.client_secret = Some(value.to_owned().into());
        }
        "COFFER_KEY_VAULT_AZURE_FEDERATED_TOKEN_FILE" => {
            azure.federated_token_file = Some(absolute(PathBuf::from(value))?);
        }
        "COFFER_KEY_VAULT_AZURE_MANAGED_IDENTITY" => {
            azure.managed_identity = Some(parse(name, value)?);
        }
        "COFFER_KEY_VAULT_AZURE_AUTHORITY" => azure.authority = Some(value.to_owned()),
        "COFFER_KEY_VAULT_AZURE_CA_FILE" => {
            azure.ca_file = Some(absolute(PathBuf::from(value))?);
        }
        "COFFER_KEY_VAULT_AZURE_TIMEOUT_SECONDS" => {
            azure.timeout_seconds = Some(parse(name, value)?);
        }
        "COFFER_CORE_DUMPS" => config.core_dumps = parse(name, value)?,
        "COFFER_METRICS_TOKEN" => config.metrics_token = Some(value.to_owned().into()),
        "COFFER_VERIFICATION_PERIOD_DAYS" => {
            config.verification_period_days = parse(name, value)?;
        }
        "COFFER_AUDIT_RETENTION_DAYS" => config.audit_retention_days = parse(name, value)?,
        "COFFER_TOKENS_LIFETIME_SECONDS" => config.token_lifetime = seconds(name, value)?,
        "COFFER_LIMITS_BODY_BYTES" => limits.body_bytes = parse(name, value)?,
        "COFFER_LIMITS_BODY_TIMEOUT_SECONDS" => limits.body_timeout = seconds(name, value)?,
        "COFFER_LIMITS_CONCURRENT_REQUESTS" => limits.concurrent_requests = parse(name, value)?,
        "COFFER_LIMITS_CONCURRENT_LOGINS" => limits.concurrent_logins = parse(name, value)?,
        "COFFER_LIMITS_CONCURRENT_OPERATIONS" => limits.concurrent_operations = parse(name, value)?,
        "COFFER_LIMITS_DATA_WORKERS" => limits.data_workers = parse(name, value)?,
        "COFFER_LIMITS_BACKUPS_PER_SERVER" => limits.backups_per_server = parse(name, value)?,
        "COFFER_LIMITS_OPERATIONS_PER_VAULT" => limits.operations_per_vault = parse(name, value)?,
        "COFFER_LIMITS_SHUTDOWN_TIMEOUT_SECONDS" => limits.shutdown_timeout = seconds(name, value)?,
        _ => {}
    }
    Ok(())
}

/// The value itself is never quoted: it may be a secret set under the wrong name.
fn parse<T: FromStr>(name: &str, value: &str) -> Result<T, ConfigError> {
    value.trim().parse().map_err(|_| ConfigError::value(name, "has a value that is not understood"))
}

fn seconds(name: &str, value: &str) -> Result<Duration, ConfigError> {
    parse(name, value).map(Duration::from_secs)
}

fn directories(value: &str) -> Result<Vec<PathBuf>, ConfigError> {
    value
        .split(':')
        .filter(|part| !part.is_empty())
        .map(|part| absolute(PathBuf::from(part)))
        .collect()
}
