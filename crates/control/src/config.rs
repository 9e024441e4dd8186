//! The configuration: a TOML file, then the environment on top of it. `docs/configuration.md` documents every setting.
//!
//! This is the only place that reads the environment. A setting `a.b` of the file is `COFFER_A_B` there; maps (storage
//! and servers) are set in the file only. None of these names is one that `client.env` uses, so that a shell that has
//! loaded `client.env` can start a server.

mod environment;
mod file;
mod issuer;
mod key_vault;
mod storage;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coffer_store::{Location, Variables};
use secrecy::SecretString;

pub use file::ConfigError;
pub use issuer::IssuerConfig;
pub(crate) use issuer::is_trustworthy;
pub use key_vault::{AzureIdentity, AzureKeyVaultConfig, AzureKeyVaultSettings};
pub use storage::StorageConfig;

use crate::policy::blackout::Blackout;

/// Everything that can be set. Paths are absolute.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where everything of this installation lives unless said otherwise.
    pub data_dir: PathBuf,
    /// Where the service listens. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// `https://host[:port]` as clients reach us; from `listen` when absent.
    pub public_endpoint: Option<String>,
    /// More names or addresses that the certificate is made out to.
    pub certificate_names: Vec<String>,
    /// The key that wraps all others; made at the first start when absent.
    pub master_key_file: PathBuf,
    /// The metadata database's file.
    pub database_file: PathBuf,
    /// What key vaults' hosts end in, without port.
    pub vault_host_suffix: String,
    /// Where vaults are, by location (lower-cased, without blanks).
    pub storage: BTreeMap<String, StorageConfig>,
    /// Where vaults of all other locations are.
    pub storage_default: StorageConfig,
    /// The environment's variables for storages, which speak where their settings are silent.
    pub storage_variables: Variables,
    /// Servers that a registration need not describe, by lower-cased name.
    pub servers: BTreeMap<String, ServerConfig>,
    /// Directories in which, and below which, restore targets may be registered.
    pub restore_allowed_directories: Vec<PathBuf>,
    /// Further directories with `pg_dump` and `pg_restore`.
    pub postgres_tool_directories: Vec<PathBuf>,
    /// What backups take over without reading it.
    pub backup_reuse: ReuseConfig,
    /// Backups keep the user mappings of foreign servers, with the passwords in their options.
    pub backup_user_mappings: bool,
    /// What `/metrics` wants as bearer token; without one, only this machine may ask.
    pub metrics_token: Option<SecretString>,
    /// Days in which all that is stored is read once to verify it; 0 for never.
    pub verification_period_days: u32,
    /// Days for which the audit log is kept; 0 for ever.
    pub audit_retention_days: u32,
    /// A backup that has moved no byte and entered no phase for so long is ended and tried again; zero for never.
    pub backup_stall: Duration,
    /// How schedules are followed.
    pub schedule: ScheduleConfig,
    /// Who is told of alerts.
    pub alerts: AlertConfig,
    /// Whose tokens are taken beside those of this server.
    pub issuers: Vec<IssuerConfig>,
    /// Key vaults of Azure itself.
    pub key_vault_azure: AzureKeyVaultSettings,
    /// The process may leave core dumps, with all secrets in them, and be looked into by others of its user.
    pub core_dumps: bool,
    /// How long a token is good.
    pub token_lifetime: Duration,
    /// Bounds.
    pub limits: Limits,
}

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfig {
    /// Name or address.
    pub host: String,
    /// TCP port.
    #[serde(default = "postgres_port")]
    pub port: u16,
    /// `disable`, `prefer`, `require`, `verify-ca` or `verify-full`; the registration's default when absent.
    #[serde(default)]
    pub ssl_mode: Option<String>,
    /// Secret for requests that name none.
    #[serde(default)]
    pub secret_uri: Option<String>,
}

/// How schedules are followed.
#[derive(Clone, Debug, PartialEq)]
pub struct ScheduleConfig {
    /// After a time in which nothing could be begun, one backup makes up for all that were missed; else the next one is taken at
    /// its time.
    pub catch_up: bool,
    /// Backups begin up to so much later than their time, each by a part of its own.
    pub jitter: Duration,
    /// Hours in which no scheduled backup begins.
    pub blackout: Vec<Blackout>,
}

impl Default for ScheduleConfig {
    fn default() -> Self {
        Self { catch_up: true, jitter: Duration::ZERO, blackout: Vec::new() }
    }
}

/// Who is told of alerts.
#[derive(Clone, Debug)]
pub struct AlertConfig {
    /// Where alerts are posted to; nobody is told when absent.
    pub webhook_url: Option<url::Url>,
    /// What their signature is made with.
    pub webhook_secret: Option<SecretString>,
    /// A backup that waits in the queue for so long is told; zero for never.
    pub backup_late: Duration,
    /// A recovery point that has not been copied to the second region for so long is told; zero for never.
    pub copy_late: Duration,
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self {
            webhook_url: None,
            webhook_secret: None,
            backup_late: Duration::from_secs(60 * 60),
            // What Azure says of its own second regions.
            copy_late: Duration::from_secs(12 * 60 * 60),
        }
    }
}

/// What backups take over from the recovery point before, instead of reading or storing it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReuseConfig {
    /// Whether anything.
    pub take_over: bool,
    /// Whether servers' summaries of their logs are asked.
    pub wal_summaries: bool,
    /// Days after which everything is read all the same.
    pub full_read_days: u32,
    /// How many in a thousand of such ranges are read and compared.
    pub audit_per_mille: u16,
    /// Whether rows that differ little from earlier ones are stored as the difference.
    pub deltas: bool,
}

impl Default for ReuseConfig {
    fn default() -> Self {
        Self {
            take_over: true,
            wal_summaries: true,
            full_read_days: 30,
            audit_per_mille: 10,
            deltas: true,
        }
    }
}

/// Bounds of what one request or one server may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest body of a request.
    pub body_bytes: usize,
    /// How long a body may take to arrive.
    pub body_timeout: Duration,
    /// Requests that run at the same time; more are answered 503.
    pub concurrent_requests: usize,
    /// Log-ins that are checked at the same time (each takes 19 MiB); more wait.
    pub concurrent_logins: usize,
    /// Operations that run at the same time.
    pub concurrent_operations: usize,
    /// Connections and workers of one backup or restore.
    pub data_workers: usize,
    /// Backups of databases of one server that run at the same time; more wait.
    pub backups_per_server: usize,
    /// Backups and restores of one vault that run at the same time; more wait.
    pub operations_per_vault: usize,
    /// How long running requests may take to end when the service stops.
    pub shutdown_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body_bytes: 4 << 20,
            body_timeout: Duration::from_secs(30),
            concurrent_requests: 512,
            concurrent_logins: 2,
            concurrent_operations: 8,
            data_workers: 4,
            backups_per_server: 2,
            operations_per_vault: usize::MAX,
            shutdown_timeout: Duration::from_secs(20),
        }
    }
}

impl Config {
    /// The embedded defaults for a data directory. The directory need not exist.
    ///
    /// # Errors
    /// The path cannot be made absolute.
    pub fn for_data_dir(data_dir: &Path) -> Result<Self, ConfigError> {
        let data_dir = std::path::absolute(data_dir)
            .map_err(|source| ConfigError::Path { path: data_dir.to_owned(), source })?;
        Ok(Self {
            listen: SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)),
            public_endpoint: None,
            certificate_names: Vec::new(),
            master_key_file: data_dir.join("master.key"),
            database_file: data_dir.join("metadata.db"),
            vault_host_suffix: "vault.localhost".to_owned(),
            storage: BTreeMap::new(),
            storage_default: file_url(&data_dir.join("storage")).into(),
            storage_variables: Variables::default(),
            servers: BTreeMap::new(),
            restore_allowed_directories: vec![data_dir.join("files")],
            postgres_tool_directories: Vec::new(),
            backup_reuse: ReuseConfig::default(),
            backup_user_mappings: true,
            metrics_token: None,
            verification_period_days: VERIFICATION_PERIOD_DAYS,
            audit_retention_days: AUDIT_RETENTION_DAYS,
            backup_stall: Duration::from_secs(30 * 60),
            schedule: ScheduleConfig::default(),
            alerts: AlertConfig::default(),
            issuers: Vec::new(),
            key_vault_azure: AzureKeyVaultSettings::default(),
            core_dumps: false,
            token_lifetime: Duration::from_secs(3600),
            limits: Limits::default(),
            data_dir,
        })
    }

    /// Defaults, then the file (if any), then the process's environment.
    ///
    /// # Errors
    /// The file cannot be read or says something that is not understood; so does a variable.
    pub fn load(data_dir: &Path, file: Option<&Path>) -> Result<Self, ConfigError> {
        let mut config = Self::for_data_dir(data_dir)?;
        if let Some(path) = file {
            file::apply(&mut config, path)?;
        }
        environment::apply(&mut config, environment::process())?;
        config.check()?;
        Ok(config)
    }

    /// The setting of a location's storage, by the name that it has below `storage`: case and blanks don't count.
    pub fn storage(&self, location: &str) -> (String, &StorageConfig) {
        let key = location_key(location);
        match self.storage.get(&key) {
            Some(storage) => (key, storage),
            None => ("default".to_owned(), &self.storage_default),
        }
    }

    /// Where vaults of a location keep their data.
    ///
    /// # Errors
    /// The setting is wrong, which [`Self::load`] finds out, too.
    pub fn storage_location(&self, location: &str) -> Result<Location, ConfigError> {
        let (name, storage) = self.storage(location);
        storage.location(&format!("storage.{name}"), &self.storage_variables)
    }

    /// Refuses what no single setting can tell is wrong.
    fn check(&self) -> Result<(), ConfigError> {
        if let Some(endpoint) = &self.public_endpoint {
            let url = url::Url::parse(endpoint).ok().filter(|url| {
                url.scheme() == "https"
                    && url.host_str().is_some()
                    && url.path() == "/"
                    && url.query().is_none()
            });
            if url.is_none() {
                return Err(ConfigError::value(
                    "public_endpoint",
                    "has to be https://host or https://host:port",
                ));
            }
        }
        self.key_vault_azure.resolve()?;
        if self.verification_period_days > VERIFICATION_PERIOD_DAYS_MAX {
            return Err(ConfigError::value(
                "verification.period_days",
                format!("has to be 0 (never) to {VERIFICATION_PERIOD_DAYS_MAX}"),
            ));
        }
        if self.audit_retention_days > AUDIT_RETENTION_DAYS_MAX {
            return Err(ConfigError::value(
                "audit.retention_days",
                format!("has to be 0 (for ever) to {AUDIT_RETENTION_DAYS_MAX}"),
            ));
        }
        if self.limits.concurrent_requests == 0 || self.limits.concurrent_logins == 0 {
            return Err(ConfigError::value(
                "limits",
                "a number of concurrent requests cannot be 0",
            ));
        }
        let limits = &self.limits;
        if limits.backups_per_server == 0 || limits.operations_per_vault == 0 {
            return Err(ConfigError::value("limits", "a number of backups cannot be 0"));
        }
        self.check_storages()?;
        issuer::check(&self.issuers)?;
        self.check_directories()?;
        if self.schedule.jitter > JITTER_MAX {
            return Err(ConfigError::value("schedule.jitter_seconds", "has to be at most 86400"));
        }
        if self.alerts.webhook_url.is_some() != self.alerts.webhook_secret.is_some() {
            return Err(ConfigError::value(
                "alerts",
                "needs both webhook_url and webhook_secret, or neither: receivers tell our alerts by their signature",
            ));
        }
        if self.backup_reuse.audit_per_mille > 1000 {
            return Err(ConfigError::value("backup.audit_per_mille", "has to be at most 1000"));
        }
        if self.limits.concurrent_operations == 0 || self.limits.data_workers == 0 {
            return Err(ConfigError::value(
                "limits",
                "a number of operations or workers cannot be 0",
            ));
        }
        Ok(())
    }
}

impl Config {
    /// A slip in a URL or its options is found at the start, not by the first vault.
    fn check_storages(&self) -> Result<(), ConfigError> {
        let mut names = self.storage.keys().map(String::as_str).chain(["default"]);
        names.try_for_each(|name| {
            let location = self.storage_location(name)?;
            self.check_pair(name, &location)
        })
    }

    /// Restored files are written where callers say: never where vaults, keys and metadata are.
    fn check_directories(&self) -> Result<(), ConfigError> {
        let storages = self.storage.values().chain([&self.storage_default]);
        let storages =
            storages.filter_map(|storage| url::Url::parse(&storage.url).ok()?.to_file_path().ok());
        let kept = [self.master_key_file.clone(), self.database_file.clone()];
        for kept in storages.chain(kept) {
            for allowed in &self.restore_allowed_directories {
                if kept.starts_with(allowed) || allowed.starts_with(&kept) {
                    return Err(ConfigError::value(
                        "restore.allowed_directories",
                        format!(
                            "has {}, and {} is there: files could be restored among the vaults' data or keys",
                            allowed.display(),
                            kept.display()
                        ),
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The longest jitter: a day.
const JITTER_MAX: Duration = Duration::from_secs(86_400);
/// Days in which all that is stored is read once, without any setting, and the most that can be set.
const VERIFICATION_PERIOD_DAYS: u32 = 30;
const VERIFICATION_PERIOD_DAYS_MAX: u32 = 3650;

/// Days for which the audit log is kept without any setting, and the most that can be set: a century.
const AUDIT_RETENTION_DAYS: u32 = 400;
const AUDIT_RETENTION_DAYS_MAX: u32 = 36_500;

/// The port without any setting.
pub const DEFAULT_PORT: u16 = 8443;

fn postgres_port() -> u16 {
    5432
}

/// A location as it is compared: lower case, no blanks.
pub fn location_key(location: &str) -> String {
    location.chars().filter(|c| !c.is_whitespace()).flat_map(char::to_lowercase).collect()
}

/// `file://` URL of an absolute path.
pub(crate) fn file_url(path: &Path) -> String {
    match url::Url::from_file_path(path) {
        Ok(url) => url.to_string(),
        // Only for a path that is not absolute, which none here is.
        Err(()) => format!("file://{}", path.display()),
    }
}
