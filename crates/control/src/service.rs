//! Start, serve, drain, stop.
//!
//! The order of a start is the order of what depends on what: the data directory's lock, keys, metadata, operations that
//! an earlier process left, background duties, and only then the door. `client.env` comes last of all, so that whoever
//! waits for it finds an open door.

mod client_env;

use std::fs::{File, TryLockError};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum_server::Handle;
use axum_server::tls_rustls::{RustlsConfig, from_tcp_rustls};
use hyper_util::rt::TokioTimer;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::app::App;
use crate::app::location::DEFAULT_LOCATION;
use crate::app::secret::azure::AzureKeyVaults;
use crate::audit::Audit;
use crate::background::DutiesHandle;
use crate::clock::Clock;
use crate::config::{Config, ConfigError};
use crate::db::Db;
use crate::error::Error;
use crate::http::server::Front;
use crate::identity::bootstrap::{self, Installation};
use crate::identity::certificate::{Authority, SERVER_RENEWED_AFTER_DAYS};
use crate::identity::federation::Federation;
use crate::identity::{Identity, install_providers};
use crate::operations::{Executor, ExecutorHandle};
use crate::{background, telemetry};

const LOCK_FILE: &str = "lock";
const CA_FILE: &str = "ca.pem";
/// How long a new connection may take to send its first request, and any request its headers.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Requests at the same time on one HTTP/2 connection.
const STREAMS_MAX: u32 = 128;
/// How often finished measurements are folded.
const METRICS_UPKEEP_INTERVAL: Duration = Duration::from_secs(5);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A running service. Dropping it without [`shutdown`](Self::shutdown) leaves the end to the process's own.
#[derive(Debug)]
pub struct Service {
    app: Arc<App>,
    local_addr: SocketAddr,
    handle: Handle<SocketAddr>,
    server: JoinHandle<io::Result<()>>,
    executor: Executor,
    // Held, not used: the lock goes with the file.
    _lock: File,
}

impl Service {
    /// Starts everything and returns when the service answers.
    ///
    /// # Errors
    /// Another process has the data directory; a key, the metadata or the address cannot be used. The error's message
    /// is meant for the operator.
    pub async fn start(config: Config) -> Result<Self, Error> {
        install_providers();
        telemetry::install();
        let lock = lock_data_dir(&config)?;
        // Before anything is made: without a database there is no installation yet.
        let is_new = !config.database_file.exists();
        let master_key = bootstrap::master_key(&config, is_new)?;
        let db = Db::open(&config.database_file).await?;
        let clock = Clock::system();
        let installation = bootstrap::open(&db, &master_key, clock.now_us()).await?;
        let listener = TcpListener::bind(config.listen).map_err(|source| {
            Error::start_failed(format!("The address {} cannot be used.", config.listen), source)
        })?;
        let local_addr = listener.local_addr().map_err(Error::internal)?;
        let Installation {
            tenant_id,
            default_subscription_id,
            signing_key,
            authority,
            audit_key,
            bootstrap,
        } = installation;
        let azure_key_vaults =
            config.key_vault_azure.resolve()?.map(AzureKeyVaults::open).transpose()?;
        let mut addresses = Addresses::new(&config, local_addr)?;
        addresses.aliases.extend(bootstrap::endpoint_remember(&db, &addresses.endpoint).await?);
        let own_issuer = format!("{}/{tenant_id}/v2.0", addresses.endpoint);
        let federation = Federation::new(&config.issuers, &own_issuer, &clock)?;
        let app = Arc::new(App {
            identity: Identity {
                tenant_id,
                default_subscription_id,
                endpoint: addresses.endpoint.clone(),
                endpoint_aliases: addresses.aliases.clone(),
                vault_authority: addresses.vault_authority.clone(),
                signing_key,
                federation,
            },
            audit: Audit::new(audit_key),
            node_name: node_name(&config.data_dir),
            config,
            db,
            clock,
            master_key,
            executor: ExecutorHandle::default(),
            duties: DutiesHandle::default(),
            tasks: TaskTracker::new(),
            stopping: CancellationToken::new(),
            gauges: Default::default(),
            storages: Default::default(),
            azure_key_vaults,
        });
        make_directories(&app).await?;
        write_public(&app.config.data_dir.join(CA_FILE), &authority.certificate_pem)?;
        let tls = RustlsConfig::from_config(
            authority.server_config(&addresses.names, app.clock.now_us())?,
        );

        let executor = Executor::start(Arc::clone(&app)).await?;
        background::start(Arc::clone(&app));
        app.tasks.spawn(upkeep(Arc::clone(&app), authority, addresses.names, tls.clone()));
        let handle = Handle::new();
        let server = serve(Arc::clone(&app), listener, tls, handle.clone())?;
        let service = Self { app, local_addr, handle, server, executor, _lock: lock };
        if service.handle.listening().await.is_none() {
            service.shutdown().await;
            return Err(Error::start_failed("The server does not listen.", "no address"));
        }
        let path = service.client_env_path();
        if let Err(error) = client_env::write(&service.app, &bootstrap, &path, &service.ca_file()) {
            service.shutdown().await;
            return Err(error);
        }
        tracing::info!(endpoint = service.endpoint(), "listening");
        Ok(service)
    }

    /// The address that the service listens on, with the port that it got.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// `https://host:port` as clients reach it.
    pub fn endpoint(&self) -> &str {
        self.app.endpoint()
    }

    /// The file that tells clients how to connect.
    pub fn client_env_path(&self) -> PathBuf {
        self.app.config.data_dir.join("client.env")
    }

    /// The certificate that clients have to trust.
    pub fn ca_file(&self) -> PathBuf {
        self.app.config.data_dir.join(CA_FILE)
    }

    /// What the service is made of.
    pub fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Stops: no new requests, running ones end within `limits.shutdown_timeout`, running steps of operations end, and
    /// what was begun goes on at the next start.
    pub async fn shutdown(self) {
        let timeout = self.app.config.limits.shutdown_timeout;
        self.app.stopping.cancel();
        self.handle.graceful_shutdown(Some(timeout));
        match self.server.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the server ended with an error"),
            Err(error) => tracing::error!(%error, "the server's task ended with an error"),
        }
        self.executor.shutdown().await;
        self.app.tasks.close();
        if tokio::time::timeout(timeout, self.app.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.app.tasks.len(), "background tasks did not end in time");
        }
        if let Err(error) = background::audit_log::close(&self.app).await {
            tracing::error!(
                error = error.chain(),
                "the audit log's end cannot be written and told"
            );
        }
        self.app.db.close().await;
        tracing::info!("stopped");
    }
}

fn serve(
    app: Arc<App>,
    listener: TcpListener,
    tls: RustlsConfig,
    handle: Handle<SocketAddr>,
) -> Result<JoinHandle<io::Result<()>>, Error> {
    let mut server = from_tcp_rustls(listener, tls)
        .map_err(|source| Error::start_failed("The server cannot listen.", source))?
        .handle(handle)
        .first_request_timeout(HEADER_TIMEOUT)
        .accept_error_handler(
            |peer, error| tracing::debug!(?peer, %error, "a connection was not accepted"),
        );
    let builder = server.http_builder();
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
    let router = Front::new(app).router().into_make_service_with_connect_info::<SocketAddr>();
    Ok(tokio::spawn(server.serve(router)))
}

/// Issues a fresh certificate long before the old one ends, and folds measurements.
async fn upkeep(app: Arc<App>, authority: Authority, names: Vec<String>, tls: RustlsConfig) {
    let renewed_every = DAY * u32::try_from(SERVER_RENEWED_AFTER_DAYS).unwrap_or(u32::MAX);
    let mut renewals =
        tokio::time::interval_at(tokio::time::Instant::now() + renewed_every, renewed_every);
    let mut folds = tokio::time::interval(METRICS_UPKEEP_INTERVAL);
    loop {
        tokio::select! {
            () = app.stopping.cancelled() => return,
            _ = folds.tick() => telemetry::upkeep(),
            _ = renewals.tick() => match authority.server_config(&names, app.clock.now_us()) {
                Ok(config) => tls.reload_from_config(config),
                Err(error) => tracing::error!(error = error.chain(), "the certificate cannot be renewed"),
            },
        }
    }
}

/// Under which names the service is reached.
struct Addresses {
    endpoint: String,
    aliases: Vec<String>,
    vault_authority: String,
    /// What the certificate is made out to.
    names: Vec<String>,
}

impl Addresses {
    fn new(config: &Config, local: SocketAddr) -> Result<Self, Error> {
        let endpoint = match &config.public_endpoint {
            Some(endpoint) => endpoint.clone(),
            None => {
                // Listening everywhere says nothing about how clients come; this machine at least gets here so.
                let ip = if local.ip().is_unspecified() {
                    IpAddr::V4(Ipv4Addr::LOCALHOST)
                } else {
                    local.ip()
                };
                format!("https://{}", SocketAddr::new(ip, local.port()))
            }
        };
        let url = url::Url::parse(&endpoint).map_err(Error::internal)?;
        let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let suffix = config.vault_host_suffix.to_lowercase();
        let local_hosts = ["localhost", "127.0.0.1", "[::1]"];
        let aliases =
            local_hosts.iter().map(|host| format!("https://{host}:{}", local.port())).collect();
        let mut names: Vec<String> = ["127.0.0.1", "::1", "localhost"].map(str::to_owned).to_vec();
        names.push(suffix.clone());
        names.push(format!("*.{suffix}"));
        names.push(host);
        names.extend(config.certificate_names.iter().cloned());
        let mut seen = std::collections::HashSet::new();
        names.retain(|name| !name.is_empty() && seen.insert(name.to_lowercase()));
        Ok(Self { endpoint, aliases, vault_authority: format!("{suffix}{port}"), names })
    }
}

fn lock_data_dir(config: &Config) -> Result<File, Error> {
    let directory = &config.data_dir;
    let failed = |source: io::Error| {
        Error::start_failed(
            format!("The data directory {} cannot be used.", directory.display()),
            source,
        )
    };
    make_private_directory(directory).map_err(failed)?;
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join(LOCK_FILE))
        .map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::start_failed(
            format!(
                "Another coffer serve is running on the data directory {}.",
                directory.display()
            ),
            "the lock file is locked",
        )),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// Makes the places that the embedded defaults name, and opens the default storage, so that a wrong setting is found
/// now and not by the first backup.
async fn make_directories(app: &App) -> Result<(), Error> {
    for directory in &app.config.restore_allowed_directories {
        if directory.starts_with(&app.config.data_dir) {
            make_private_directory(directory).map_err(|source| {
                Error::start_failed(
                    format!("The directory {} cannot be made.", directory.display()),
                    source,
                )
            })?;
        }
    }
    app.storage_for_location(DEFAULT_LOCATION).await.map(|_store| ())
}

fn make_private_directory(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

fn write_public(path: &Path, text: &str) -> Result<(), Error> {
    client_env::replace(path, text, 0o644).map_err(|source| {
        Error::start_failed(format!("The file {} cannot be written.", path.display()), source)
    })
}

/// One process per data directory, so the directory names it.
fn node_name(data_dir: &Path) -> String {
    data_dir.display().to_string()
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::start_failed("The configuration cannot be used.", error)
    }
}
