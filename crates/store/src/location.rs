//! Storage locations: a directory, a bucket of S3 or of a storage that speaks its protocol, a container of Azure Blob.
//!
//! A [`Location`] is what a URL and its options say, checked without touching anything; [`Location::open`] makes a
//! [`Storage`] of it. Opening a bucket or a container makes no request: the first use finds out whether it is there, and a
//! bucket that is not there is an error and never an empty location.

mod answer;
mod azure;
mod directory;
mod options;
mod remote;
mod s3;
#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use object_store::{
    BackoffConfig, Certificate, ClientOptions, ObjectStore, RetryConfig, prefix::PrefixStore,
};
use url::Url;
use uuid::Uuid;

pub(crate) use self::answer::RemoteFailure;
use self::remote::RemoteStore;
pub use self::{
    azure::AzureContainer,
    options::{LocationOptions, Variables},
    s3::S3Bucket,
};

use crate::{
    error::{Error, Result},
    limits::{
        PACK_BYTES_MAX, REMOTE_ANSWER_SECONDS_MAX, REMOTE_BYTES_PER_SECOND_MIN,
        REMOTE_CONNECT_SECONDS_MAX, REMOTE_RETRIES_MAX, REMOTE_RETRY_SECONDS_MAX,
    },
    lock::{AzureLock, ObjectLock, S3Lock},
    objects, path,
};

const SUPPORTED: &str = "supported are file:///absolute/directory, s3://bucket/prefix and \
                         https://account.blob.core.windows.net/container/prefix";

/// Where vaults keep their data, checked but not opened.
#[derive(Debug, Clone)]
pub struct Location {
    url: Url,
    place: Place,
}

#[derive(Debug, Clone)]
enum Place {
    Directory(PathBuf),
    S3(s3::S3Location),
    Azure(azure::AzureLocation),
}

/// An opened location.
#[derive(Debug, Clone)]
pub struct Storage {
    store: Arc<dyn ObjectStore>,
    backend: Backend,
}

/// What kind of storage it is, and what a caller needs to ask more of it than objects.
#[derive(Debug, Clone)]
pub enum Backend {
    /// A directory of this machine, or one that is mounted.
    Directory(PathBuf),
    /// A bucket.
    S3(S3Bucket),
    /// A container.
    Azure(AzureContainer),
}

impl Storage {
    /// The objects, under the names that `docs/format.md` gives them: the location's own prefix is not part of these.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.store
    }

    /// The locks of this storage, where its kind has any; whether it is set up for them, [`ObjectLock::check`] finds out. Makes no
    /// request.
    ///
    /// # Errors
    /// [`Error::Storage`] if no client can be made.
    pub fn lock(&self) -> Result<Option<Arc<dyn ObjectLock>>> {
        Ok(match &self.backend {
            Backend::Directory(_) => None,
            Backend::S3(bucket) => Some(Arc::new(S3Lock::new(bucket)?)),
            Backend::Azure(container) => Some(Arc::new(AzureLock::new(container)?)),
        })
    }

    /// What kind of storage it is.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.backend
    }
}

impl Location {
    /// Takes a URL and its options for a location. Variables speak only where the options are silent; credentials are taken
    /// from one of both, never put together from both. Touches nothing.
    ///
    /// # Errors
    /// [`Error::Location`], which says what is wrong and repeats no secret.
    pub fn new(url: &str, options: &LocationOptions, variables: &Variables) -> Result<Self> {
        let parsed =
            Url::parse(url).map_err(|_| refused(url, format!("it is not a URL; {SUPPORTED}")))?;
        // The parser takes `file:relative` for an absolute path.
        if parsed.scheme() == "file" && !url.as_bytes()[4..].starts_with(b"://") {
            return Err(refused(url, SUPPORTED.to_owned()));
        }
        Self::of(&parsed, options, variables).map_err(|reason| refused(url, reason))
    }

    fn of(
        url: &Url,
        options: &LocationOptions,
        variables: &Variables,
    ) -> std::result::Result<Self, String> {
        if !url.username().is_empty() || url.password().is_some() {
            return Err("credentials do not belong into the URL but into its options or the \
                        environment"
                .to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(
                "a location's URL has no query and no fragment; a shared access signature \
                        belongs into the option sas_token"
                    .to_owned(),
            );
        }
        let place = match url.scheme() {
            "file" => {
                if let Some(name) = options.names_set().first() {
                    return Err(format!("{name} means nothing for a directory"));
                }
                Place::Directory(directory::parse(url)?)
            }
            "s3" => Place::S3(s3::S3Location::new(url, options, variables)?),
            "https" => Place::Azure(azure::AzureLocation::new(url, options, variables)?),
            _ => return Err(SUPPORTED.to_owned()),
        };
        Ok(Self { url: url.clone(), place })
    }

    /// The URL; it holds no secret.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The directory, where it is one.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        match &self.place {
            Place::Directory(directory) => Some(directory),
            Place::S3(_) | Place::Azure(_) => None,
        }
    }

    /// Opens the location. Nothing is made, so that a slip in a URL is found instead of looking like an empty location. Reads
    /// files (certificates) and so may block for a moment.
    ///
    /// # Errors
    /// [`Error::Location`] for a directory that does not exist, or a certificate file that cannot be read.
    pub fn open(&self) -> Result<Storage> {
        let opened = match &self.place {
            Place::Directory(directory) => directory::open(directory)
                .map(|store| (store, Backend::Directory(directory.clone()))),
            Place::S3(location) => {
                location.open().map(|(store, bucket)| (store, Backend::S3(bucket)))
            }
            Place::Azure(location) => {
                location.open().map(|(store, container)| (store, Backend::Azure(container)))
            }
        };
        let (store, backend) = opened.map_err(|reason| refused(self.url(), reason))?;
        Ok(Storage { store, backend })
    }

    /// Opens the location, making its directory (mode 0700) when it is absent. Buckets and containers are never made: who may
    /// write there, and how long it is kept, is their owner's to say.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn create(&self) -> Result<Storage> {
        if let Place::Directory(directory) = &self.place {
            directory::make(directory).map_err(|error| {
                refused(self.url(), format!("cannot make the directory: {error}"))
            })?;
        }
        self.open()
    }
}

/// Opens a storage location that exists and needs no options: [`Location::open`].
///
/// # Errors
/// As [`Location::new`] and [`Location::open`].
pub fn open_location(url: &str) -> Result<Arc<dyn ObjectStore>> {
    let location = Location::new(url, &LocationOptions::default(), &Variables::default())?;
    Ok(location.open()?.store)
}

/// Opens a storage location that needs no options, making its directory when it is absent: [`Location::create`].
///
/// # Errors
/// As [`open_location`].
pub fn create_location(url: &str) -> Result<Arc<dyn ObjectStore>> {
    let location = Location::new(url, &LocationOptions::default(), &Variables::default())?;
    Ok(location.create()?.store)
}

/// Vaults that have anything in this location, ascending.
///
/// # Errors
/// [`Error::Storage`].
pub async fn list_vaults(store: &Arc<dyn ObjectStore>) -> Result<Vec<Uuid>> {
    list_uuids(store, &path::vaults()).await
}

/// Repositories that have anything in this vault, ascending. One whose destruction was interrupted is among them.
///
/// # Errors
/// [`Error::Storage`].
pub async fn list_repositories(store: &Arc<dyn ObjectStore>, vault: Uuid) -> Result<Vec<Uuid>> {
    list_uuids(store, &path::repositories(vault)).await
}

async fn list_uuids(
    store: &Arc<dyn ObjectStore>,
    prefix: &object_store::path::Path,
) -> Result<Vec<Uuid>> {
    let directories = objects::directories(store, prefix).await?;
    let mut uuids: Vec<Uuid> = directories.iter().filter_map(path::last_uuid).collect();
    uuids.sort_unstable();
    Ok(uuids)
}

/// What follows the bucket or container: `/a/b/` is `a/b`.
fn prefix(path: &str) -> std::result::Result<object_store::path::Path, String> {
    object_store::path::Path::from_url_path(path).map_err(|_| {
        "the part of the URL behind the bucket or container has empty parts, or characters that \
         no name may have"
            .to_owned()
    })
}

/// A remote storage as this crate needs it, with the objects below the prefix alone.
fn below(client: impl ObjectStore, prefix: &object_store::path::Path) -> Arc<dyn ObjectStore> {
    let client = RemoteStore::new(client);
    if prefix.as_ref().is_empty() {
        Arc::new(client)
    } else {
        Arc::new(PrefixStore::new(client, prefix.clone()))
    }
}

/// An endpoint: where a storage is reached, without the slash at the end.
fn endpoint(text: &str) -> std::result::Result<Url, String> {
    const FORM: &str =
        "the endpoint has to be https://host[:port][/path], or http://… to do without TLS";
    let url = Url::parse(text).map_err(|_| FORM.to_owned())?;
    let plain = url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if !plain || !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(FORM.to_owned());
    }
    Ok(url)
}

/// How requests are sent: without TLS only where an endpoint says so itself. The time limit is for what is sent past
/// [`remote`], such as a request for a token; objects have limits of their own there.
fn client_options(
    endpoint: &Url,
    ca_file: Option<&Path>,
) -> std::result::Result<ClientOptions, String> {
    let largest = PACK_BYTES_MAX / REMOTE_BYTES_PER_SECOND_MIN;
    let mut options = ClientOptions::new()
        .with_allow_http(endpoint.scheme() == "http")
        .with_connect_timeout(Duration::from_secs(REMOTE_CONNECT_SECONDS_MAX))
        .with_timeout(Duration::from_secs(REMOTE_ANSWER_SECONDS_MAX + largest));
    if let Some(file) = ca_file {
        let unusable = |reason: String| format!("the certificates in {} {reason}", file.display());
        let pem =
            std::fs::read(file).map_err(|error| unusable(format!("cannot be read: {error}")))?;
        let certificates = Certificate::from_pem_bundle(&pem)
            .map_err(|_| unusable("are not understood: PEM is expected".to_owned()))?;
        if certificates.is_empty() {
            return Err(unusable("are none: PEM is expected".to_owned()));
        }
        for certificate in certificates {
            options = options.with_root_certificate(certificate);
        }
    }
    Ok(options)
}

fn retries() -> RetryConfig {
    RetryConfig {
        backoff: BackoffConfig::default(),
        max_retries: REMOTE_RETRIES_MAX,
        retry_timeout: Duration::from_secs(REMOTE_RETRY_SECONDS_MAX),
    }
}

/// What the builders of clients refuse. They repeat no secret, but are asked for their own words only.
fn unusable(error: &object_store::Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), ToString::to_string)
}

/// The error, with a URL that holds no credential.
fn refused(url: &str, reason: String) -> Error {
    let shown = match Url::parse(url) {
        Ok(mut parsed) => {
            let _ = parsed.set_password(None);
            let _ = parsed.set_username("");
            parsed.set_query(None);
            parsed.set_fragment(None);
            parsed.to_string()
        }
        Err(_) => "(not a URL)".to_owned(),
    };
    Error::Location { url: shown, reason }
}
