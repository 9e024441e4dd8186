//! Buckets of S3, and of storages that speak its protocol: `s3://bucket/prefix`.

use std::{fmt, path::PathBuf, sync::Arc};

use object_store::{
    ClientOptions, ObjectStore,
    aws::{AmazonS3Builder, AmazonS3ConfigKey, AwsCredentialProvider, Checksum},
    path::Path,
};
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::{
    LocationOptions, Variables, below, client_options, endpoint, prefix, retries, unusable,
};

/// Where buckets are when nothing is said; what most other storages want to hear, too.
const REGION_DEFAULT: &str = "us-east-1";
const BUCKET_CHARS_MIN: usize = 3;
const BUCKET_CHARS_MAX: usize = 63;

/// Variables that say who this machine or this pod is, by which credentials are had elsewhere.
const IDENTITIES: &[(&str, &str)] = &[
    ("AWS_WEB_IDENTITY_TOKEN_FILE", "aws_web_identity_token_file"),
    ("AWS_ROLE_ARN", "aws_role_arn"),
    ("AWS_ROLE_SESSION_NAME", "aws_role_session_name"),
    ("AWS_ENDPOINT_URL_STS", "aws_endpoint_url_sts"),
    ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "aws_container_credentials_relative_uri"),
    ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "aws_container_credentials_full_uri"),
    ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "aws_container_authorization_token_file"),
    ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "aws_metadata_endpoint"),
];

/// What a URL, its options and the variables say.
#[derive(Debug, Clone)]
pub(super) struct S3Location {
    pub(super) bucket: String,
    prefix: Path,
    pub(super) region: String,
    /// Where the bucket is: its own URL, without the slash at the end.
    pub(super) bucket_url: Url,
    pub(super) credentials: Credentials,
    ca_file: Option<PathBuf>,
}

/// Where credentials come from.
#[derive(Debug, Clone)]
pub(super) enum Credentials {
    Key {
        id: String,
        secret: SecretString,
        token: Option<SecretString>,
    },
    /// The identity of this machine or pod, by these settings of the client.
    Identity(Vec<(AmazonS3ConfigKey, String)>),
}

/// An opened bucket, for what is asked of it beside objects: [`super::Backend::S3`].
#[derive(Clone)]
pub struct S3Bucket {
    /// The bucket's name.
    pub bucket: String,
    /// What the names of all objects begin with; empty for the whole bucket.
    pub prefix: Path,
    /// The region that requests are signed for.
    pub region: String,
    /// Where the bucket is: its own URL, without the slash at the end.
    pub bucket_url: Url,
    /// Who asks.
    pub credentials: AwsCredentialProvider,
    /// How requests are sent: certificates, time limits, whether without TLS.
    pub client_options: ClientOptions,
}

/// Without what asks, and how.
impl fmt::Debug for S3Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("S3Bucket")
            .field("bucket_url", &self.bucket_url.as_str())
            .field("prefix", &self.prefix)
            .field("region", &self.region)
            .finish_non_exhaustive()
    }
}

impl S3Location {
    pub(super) fn new(
        url: &Url,
        options: &LocationOptions,
        variables: &Variables,
    ) -> Result<Self, String> {
        const AZURE: &[&str] = &[
            "account_key",
            "sas_token",
            "tenant_id",
            "client_id",
            "client_secret",
            "federated_token_file",
            "authority_host",
        ];
        if let Some(name) = options.names_set().into_iter().find(|name| AZURE.contains(name)) {
            return Err(format!("{name} means nothing for a bucket of S3"));
        }
        let bucket = url.host_str().unwrap_or_default().to_owned();
        check_bucket(&bucket)?;
        if url.port().is_some() {
            return Err("a port belongs into the option endpoint".to_owned());
        }
        let region = options
            .region
            .clone()
            .or_else(|| variables.text(&["AWS_REGION", "AWS_DEFAULT_REGION"]))
            .unwrap_or_else(|| REGION_DEFAULT.to_owned());
        let is_word = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if region.is_empty() || !region.chars().all(is_word) {
            return Err("the region has to be a word such as eu-central-1".to_owned());
        }
        let named = options
            .endpoint
            .clone()
            .or_else(|| variables.text(&["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"]));
        Ok(Self {
            bucket_url: bucket_url(&bucket, &region, named.as_deref())?,
            bucket,
            prefix: prefix(url.path())?,
            region,
            credentials: Credentials::new(options, variables)?,
            ca_file: options.ca_file.clone().or_else(|| variables.file(&["AWS_CA_BUNDLE"])),
        })
    }

    /// Every object goes with its SHA-256: buckets with Object Lock demand a checksum, and what arrives altered is refused.
    /// Objects are deleted one by one, since not every storage that speaks S3 knows how to delete many at once.
    pub(super) fn open(&self) -> Result<(Arc<dyn ObjectStore>, S3Bucket), String> {
        let client_options = client_options(&self.bucket_url, self.ca_file.as_deref())?;
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(&self.bucket)
            .with_region(&self.region)
            // With these two, the endpoint is the bucket's own URL and nothing is put together from parts.
            .with_virtual_hosted_style_request(true)
            .with_endpoint(self.bucket_url.as_str().trim_end_matches('/'))
            .with_client_options(client_options.clone())
            .with_retry(retries())
            .with_checksum_algorithm(Checksum::SHA256)
            .with_disable_bulk_delete(true);
        match &self.credentials {
            Credentials::Key { id, secret, token } => {
                builder =
                    builder.with_access_key_id(id).with_secret_access_key(secret.expose_secret());
                if let Some(token) = token {
                    builder = builder.with_token(token.expose_secret());
                }
            }
            Credentials::Identity(settings) => {
                for (key, value) in settings {
                    builder = builder.with_config(*key, value);
                }
            }
        }
        let client = builder.build().map_err(|error| unusable(&error))?;
        let bucket = S3Bucket {
            bucket: self.bucket.clone(),
            prefix: self.prefix.clone(),
            region: self.region.clone(),
            bucket_url: self.bucket_url.clone(),
            credentials: Arc::clone(client.credentials()),
            client_options,
        };
        Ok((below(client, &self.prefix), bucket))
    }
}

impl Credentials {
    fn new(options: &LocationOptions, variables: &Variables) -> Result<Self, String> {
        let said = options.access_key_id.is_some()
            || options.secret_access_key.is_some()
            || options.session_token.is_some();
        let (id, secret, token, names) = if said {
            let id = options.access_key_id.clone();
            let secret = options.secret_access_key.clone();
            (id, secret, options.session_token.clone(), "access_key_id and secret_access_key")
        } else {
            let id = variables.text(&["AWS_ACCESS_KEY_ID"]);
            let secret = variables.secret(&["AWS_SECRET_ACCESS_KEY"]);
            let token = variables.secret(&["AWS_SESSION_TOKEN"]);
            (id, secret, token, "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
        };
        match (id, secret) {
            (Some(id), Some(secret)) => Ok(Self::Key { id, secret, token }),
            (None, None) if !said => Ok(Self::Identity(
                IDENTITIES
                    .iter()
                    .filter_map(|(name, key)| Some((key.parse().ok()?, variables.text(&[name])?)))
                    .collect(),
            )),
            _ => Err(format!("{names} go together")),
        }
    }
}

fn check_bucket(bucket: &str) -> Result<(), String> {
    let length = (BUCKET_CHARS_MIN..=BUCKET_CHARS_MAX).contains(&bucket.len());
    // Old buckets and other storages have names with underscores.
    let chars =
        bucket.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"-._".contains(&b));
    let ends = [bucket.bytes().next(), bucket.bytes().last()]
        .iter()
        .all(|end| end.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit()));
    if length && chars && ends {
        Ok(())
    } else {
        Err("a bucket is given as s3://bucket/prefix; its name has 3 to 63 of a-z, 0-9, '-' and '.'"
            .to_owned())
    }
}

/// A bucket is a part of the path where an endpoint is named, as every other storage allows, and of AWS's own hosts else;
/// unless it has a dot, for which no certificate is made out.
fn bucket_url(bucket: &str, region: &str, named: Option<&str>) -> Result<Url, String> {
    let text = match named {
        Some(named) => format!("{}/{bucket}", endpoint(named)?.as_str().trim_end_matches('/')),
        None if bucket.contains('.') => format!("https://s3.{region}.amazonaws.com/{bucket}"),
        None => format!("https://{bucket}.s3.{region}.amazonaws.com"),
    };
    Url::parse(&text).map_err(|_| "the region or the endpoint is no name of a host".to_owned())
}
