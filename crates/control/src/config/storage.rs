//! Where vaults keep their data: a URL, or a table with a URL and what else is to be said; and to which other location they are
//! copied.

use std::fmt;

use coffer_store::{Location, LocationOptions, Variables};
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};

use super::{Config, ConfigError, location_key};

/// A storage location as it is configured. Nothing that is printed of it holds a secret.
#[derive(Clone, Debug)]
pub struct StorageConfig {
    /// `file:///…`, `s3://…` or `https://….blob.core.windows.net/…`.
    pub url: String,
    /// Endpoint, credentials and so on.
    pub options: LocationOptions,
    /// The storage locks what immutable vaults keep there: S3 Object Lock, or Azure's immutability policies.
    pub lock: bool,
    /// The location to which the recovery points of geo-redundant vaults are copied.
    pub paired_with: Option<String>,
}

impl From<String> for StorageConfig {
    fn from(url: String) -> Self {
        Self { url, options: LocationOptions::default(), lock: false, paired_with: None }
    }
}

impl StorageConfig {
    /// The location, checked.
    ///
    /// # Errors
    /// What is wrong with URL or options, named by the setting.
    pub(super) fn location(
        &self,
        setting: &str,
        variables: &Variables,
    ) -> Result<Location, ConfigError> {
        if self.lock && self.url.starts_with("file:") {
            let reason = "locks a directory, which can lock nothing: only s3:// and https:// can";
            return Err(ConfigError::value(format!("{setting}.lock"), reason));
        }
        Location::new(&self.url, &self.options, variables).map_err(|error| {
            let reason = match error {
                coffer_store::Error::Location { url, reason } => format!("is {url}: {reason}"),
                other => other.to_string(),
            };
            ConfigError::value(setting, reason)
        })
    }
}

impl Config {
    /// The location to which vaults of a location are copied, as it stands below `storage`; none without one.
    pub fn pair_of(&self, location: &str) -> Option<String> {
        self.storage(location).1.paired_with.as_deref().map(location_key)
    }

    /// The storage of a location that others are copied to. Nothing stands for one that is not configured: copies would end up
    /// where nobody looks for them.
    ///
    /// # Errors
    /// There is no such setting.
    pub fn storage_of_pair(&self, region: &str) -> Result<(String, &StorageConfig), ConfigError> {
        let key = location_key(region);
        match self.storage.get(&key) {
            Some(storage) => Ok((key, storage)),
            None => Err(ConfigError::value(
                format!("storage.{key}"),
                "is missing, and recovery points are copied to that location",
            )),
        }
    }

    /// A second region has to be one.
    pub(super) fn check_pair(&self, name: &str, location: &Location) -> Result<(), ConfigError> {
        let Some(pair) = self.pair_of(name) else { return Ok(()) };
        let setting = format!("storage.{name}.paired_with");
        if pair == name {
            return Err(ConfigError::value(setting, "is the location itself"));
        }
        if !self.storage.contains_key(&pair) {
            let reason = format!("is '{pair}', and there is no storage.{pair}");
            return Err(ConfigError::value(setting, reason));
        }
        let endpoint = |name: &str| self.storage(name).1.options.endpoint.clone();
        let url = |location: &Location| location.url().trim_end_matches('/').to_owned();
        let there = self.storage_location(&pair)?;
        if url(location) == url(&there) && endpoint(name) == endpoint(&pair) {
            let reason = format!("is '{pair}', which keeps its vaults in the same place");
            return Err(ConfigError::value(setting, reason));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for StorageConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TextOrTable)
    }
}

/// By hand: what serde makes of an enum without tags forgets which setting was wrong.
struct TextOrTable;

impl<'de> Visitor<'de> for TextOrTable {
    type Value = StorageConfig;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL, or a table with a url")
    }

    fn visit_str<E: serde::de::Error>(self, url: &str) -> Result<StorageConfig, E> {
        Ok(url.to_owned().into())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<StorageConfig, A::Error> {
        let mut table = toml::Table::deserialize(MapAccessDeserializer::new(map))?;
        let Some(toml::Value::String(url)) = table.remove("url") else {
            return Err(A::Error::custom("a storage location needs a url"));
        };
        let lock = match table.remove("lock") {
            None => false,
            Some(toml::Value::Boolean(lock)) => lock,
            Some(_) => return Err(A::Error::custom("lock has to be true or false")),
        };
        let paired_with = match table.remove("paired_with") {
            None => None,
            Some(toml::Value::String(location)) => Some(location),
            Some(_) => return Err(A::Error::custom("paired_with has to be a location's name")),
        };
        let options =
            table.try_into().map_err(|error: toml::de::Error| A::Error::custom(error.message()))?;
        Ok(StorageConfig { url, options, lock, paired_with })
    }
}
