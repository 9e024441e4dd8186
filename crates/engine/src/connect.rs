//! Connections to a server: where, as whom, and with which TLS.
//!
//! TCP is opened here rather than by the driver, so that an unreachable server, a failed TLS handshake and a refused
//! login are told apart. Every connection has keepalives (a dead peer is noticed within [`KEEPALIVE_DEAD`]) and a connect
//! timeout. A password lives in a [`SecretString`] and leaves it only towards the server.

mod secret;
mod slabs;
mod tap;
mod tls;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use secrecy::{ExposeSecret as _, SecretString};
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::{Error, Result, chain};
use crate::running::Running;
pub use secret::SecretFormatError;
use slabs::Switch;
pub use slabs::{CopyText, Slab};
use tap::{Tap, TapConnect};

/// Time for TCP, TLS and login together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Idle time after which the first keepalive is sent.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
/// Time between keepalives, and how many may go unanswered.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_RETRIES: u32 = 6;
/// The same for a tool, in libpq's words: it knows no variables of the environment for them.
pub(crate) const KEEPALIVES_OF_TOOLS: &str =
    "keepalives_idle=30 keepalives_interval=10 keepalives_count=6 tcp_user_timeout=90000";
/// Time in which a session takes leave that has nothing to do.
const LEAVE: Duration = Duration::from_millis(30);
/// Time between two requests to cancel what a session runs that nobody waits for: one that comes before the statement that it is
/// meant for does nothing.
const CANCEL_INTERVAL: Duration = Duration::from_millis(200);
/// Time that such a session has in all before its connection is closed under it.
const CLOSE_GRACE: Duration = Duration::from_secs(3);
/// A peer that went away without a word is noticed within this.
pub const KEEPALIVE_DEAD: Duration = Duration::from_secs(90);

/// Where to connect, as whom.
#[derive(Debug, Clone)]
pub struct ConnectOptions {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role.
    pub user: String,
    /// Its password.
    pub password: Option<SecretString>,
    /// How much TLS is demanded. New ones demand everything.
    pub ssl_mode: SslMode,
    /// PEM file of root certificates; none means the operating system's.
    pub ssl_root_cert: Option<PathBuf>,
    /// Shown in `pg_stat_activity`.
    pub application_name: String,
    /// Sessions and tools that were made of these options and their copies.
    running: Running,
}

/// libpq's `sslmode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS when the server has it, unchecked.
    Prefer,
    /// TLS, unchecked unless a root certificate is given.
    Require,
    /// TLS, the certificate's chain checked.
    VerifyCa,
    /// TLS, chain and name checked.
    VerifyFull,
}

impl SslMode {
    /// Reads libpq's or ADO.NET's spelling. `allow` is taken as `prefer`: both end where the server decides.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().to_ascii_lowercase().replace('_', "-").as_str() {
            "disable" => Some(Self::Disable),
            "allow" | "prefer" => Some(Self::Prefer),
            "require" => Some(Self::Require),
            "verify-ca" | "verifyca" => Some(Self::VerifyCa),
            "verify-full" | "verifyfull" => Some(Self::VerifyFull),
            _ => None,
        }
    }

    /// libpq's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl ConnectOptions {
    /// With `verify-full`, no password, and Coffer's application name.
    pub fn new(
        host: impl Into<String>,
        port: u16,
        database: impl Into<String>,
        user: impl Into<String>,
    ) -> Self {
        Self {
            host: host.into(),
            port,
            database: database.into(),
            user: user.into(),
            password: None,
            ssl_mode: SslMode::VerifyFull,
            ssl_root_cert: None,
            application_name: "coffer".to_owned(),
            running: Running::default(),
        }
    }

    /// Reads the value of a secret: an ADO.NET connection string, a `postgres://` URI, or libpq's `key=value` pairs.
    /// The host may be left out (then it is empty, for [`Self::with_address`]); `sslmode` not said means `verify-full`.
    ///
    /// # Errors
    /// Says what is wrong without quoting any of the value.
    pub fn parse_secret(value: &str) -> Result<Self, SecretFormatError> {
        secret::parse(value)
    }

    /// The same server and role, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// The same role and database, another server.
    #[must_use]
    pub fn with_address(&self, host: &str, port: u16) -> Self {
        Self { host: host.to_owned(), port, ..self.clone() }
    }

    /// The same for a run of its own, whose sessions and tools are counted apart from others'.
    pub(crate) fn for_run(&self) -> Self {
        Self { running: Running::default(), ..self.clone() }
    }

    /// Sessions and tools that were made of these options and their copies.
    pub(crate) fn running(&self) -> &Running {
        &self.running
    }

    fn driver_config(&self) -> tokio_postgres::Config {
        let mut config = tokio_postgres::Config::new();
        config.user(&self.user).dbname(&self.database).application_name(&self.application_name);
        if let Some(password) = &self.password {
            config.password(password.expose_secret());
        }
        config.ssl_mode(match self.ssl_mode {
            SslMode::Disable => tokio_postgres::config::SslMode::Disable,
            SslMode::Prefer => tokio_postgres::config::SslMode::Prefer,
            SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull => {
                tokio_postgres::config::SslMode::Require
            }
        });
        config
    }

    fn tls_failure(&self, message: impl Into<String>) -> Error {
        Error::Tls { host: self.host.clone(), port: self.port, message: message.into() }
    }

    fn tls_connector(&self) -> Result<MakeRustlsConnect> {
        let config = tls::client_config(self.ssl_mode, self.ssl_root_cert.as_deref());
        Ok(MakeRustlsConnect::new(config.map_err(|message| self.tls_failure(message))?))
    }

    fn unreachable(&self, source: io::Error) -> Error {
        Error::Unreachable { host: self.host.clone(), port: self.port, source }
    }

    async fn open_tcp(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|e| self.unreachable(e))?;
        let keepalive = TcpKeepalive::new()
            .with_time(KEEPALIVE_IDLE)
            .with_interval(KEEPALIVE_INTERVAL)
            .with_retries(KEEPALIVE_RETRIES);
        SockRef::from(&stream).set_tcp_keepalive(&keepalive).map_err(|e| self.unreachable(e))?;
        stream.set_nodelay(true).map_err(|e| self.unreachable(e))?;
        Ok(stream)
    }

    /// Tells a failed login from a failed handshake from a missing database.
    fn login_failure(&self, error: &tokio_postgres::Error) -> Error {
        if let Some(db) = error.as_db_error() {
            let message = db.message().to_owned();
            return match *db.code() {
                SqlState::INVALID_CATALOG_NAME => {
                    Error::DatabaseNotFound { database: self.database.clone() }
                }
                SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                    Error::AuthenticationFailed { user: self.user.clone(), message }
                }
                _ => Error::sql("log in", error),
            };
        }
        // The driver keeps its kinds of errors private; its words are what tells them apart.
        match error.to_string().as_str() {
            "error performing TLS handshake" => {
                let source = std::error::Error::source(error);
                self.tls_failure(source.map_or_else(|| error.to_string(), chain))
            }
            "authentication error" | "invalid configuration" => {
                Error::AuthenticationFailed { user: self.user.clone(), message: chain(error) }
            }
            _ => self.unreachable(io::Error::other(chain(error))),
        }
    }
}

/// A session of the server. When it is dropped, the statement that it still runs is cancelled, and the connection closed.
#[derive(Debug)]
pub struct Connection {
    /// The driver's handle, for statements.
    pub client: Client,
    options: ConnectOptions,
    switch: Arc<Switch>,
    driver: Option<JoinHandle<()>>,
}

impl std::ops::Deref for Connection {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Connection {
    /// What stops the running statement of this session from another connection.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller { token: self.client.cancel_token(), options: self.options.clone() }
    }

    /// The text of a `COPY … TO STDOUT`, in pieces that are cut anywhere: what the driver's own `copy_out` gives row by row. `what` is
    /// what fails when it fails. To be read to its end before the session is asked for another.
    ///
    /// # Errors
    /// [`Error::Sql`] when it can't be begun.
    pub async fn copy_text(&self, what: &str, statement: &str) -> Result<CopyText> {
        CopyText::begin(&self.client, &self.switch, what, statement).await
    }

    /// Where it is connected to.
    #[must_use]
    pub fn options(&self) -> &ConnectOptions {
        &self.options
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let Some(driver) = self.driver.take() else { return };
        if tokio::runtime::Handle::try_current().is_ok() {
            self.options.running.spawn(close(driver, self.canceller()));
        } else {
            driver.abort();
        }
    }
}

/// The driver takes leave of the server once its handle is gone, but first waits for the end of what runs: a COPY is read to its
/// end, and a statement that waits for a lock goes on waiting.
async fn close(mut driver: JoinHandle<()>, canceller: Canceller) {
    if tokio::time::timeout(LEAVE, &mut driver).await.is_ok() {
        return;
    }
    let cancelling = async {
        loop {
            if let Err(error) = canceller.cancel().await {
                tracing::debug!(%error, "the server does not take a request to cancel");
            }
            tokio::time::sleep(CANCEL_INTERVAL).await;
        }
    };
    tokio::select! {
        _ended = &mut driver => return,
        () = cancelling => {}
        () = tokio::time::sleep(CLOSE_GRACE) => {}
    }
    driver.abort();
}

/// Stops the running statement of one session.
#[derive(Clone)]
pub struct Canceller {
    token: tokio_postgres::CancelToken,
    options: ConnectOptions,
}

impl std::fmt::Debug for Canceller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canceller").finish_non_exhaustive()
    }
}

impl Canceller {
    /// Asks the server to cancel what the session is running, if it is running anything.
    ///
    /// # Errors
    /// Only when the server can't be asked; whether the statement was still running is not known.
    pub async fn cancel(&self) -> Result<()> {
        let ask = async {
            let tls = self.options.tls_connector()?;
            let stream = self.options.open_tcp().await?;
            let tls = rustls_for_host(tls, &self.options)?;
            self.token
                .cancel_query_raw(stream, tls)
                .await
                .map_err(|e| self.options.login_failure(&e))
        };
        within_connect_timeout(&self.options, ask).await
    }
}

type Handshake = <MakeRustlsConnect as MakeTlsConnect<TcpStream>>::TlsConnect;

fn rustls_for_host(mut tls: MakeRustlsConnect, options: &ConnectOptions) -> Result<Handshake> {
    let made = MakeTlsConnect::<TcpStream>::make_tls_connect(&mut tls, &options.host);
    made.map_err(|error| options.tls_failure(chain(&error)))
}

async fn within_connect_timeout<T>(
    options: &ConnectOptions,
    work: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(CONNECT_TIMEOUT, work).await {
        Ok(result) => result,
        Err(_) => Err(options.unreachable(io::ErrorKind::TimedOut.into())),
    }
}

/// Opens a session.
///
/// # Errors
/// [`Error::Unreachable`], [`Error::Tls`], [`Error::AuthenticationFailed`], [`Error::DatabaseNotFound`], or whatever else
/// the server says at login ([`Error::Sql`], such as too many connections).
pub async fn connect(options: &ConnectOptions) -> Result<Connection> {
    let login = async {
        let tls = options.tls_connector()?;
        let stream = options.open_tcp().await?;
        let tls = rustls_for_host(tls, options)?;
        let switch = Arc::new(Switch::default());
        // The server's answer to the wish for TLS.
        let unframed = usize::from(options.ssl_mode != SslMode::Disable);
        let stream = Tap::new(stream, Arc::clone(&switch), unframed);
        let config = options.driver_config();
        let connected = config.connect_raw(stream, TapConnect(tls)).await;
        let (client, connection) = connected.map_err(|error| options.login_failure(&error))?;
        Ok((client, connection, switch))
    };
    let (client, connection, switch) = within_connect_timeout(options, login).await?;
    let driver = options.running.spawn(async move {
        // Every statement in flight learns of the end by itself; this is for the log only.
        if let Err(error) = connection.await {
            tracing::debug!(error = %chain(&error), "connection to the server ended");
        }
    });
    Ok(Connection { client, options: options.clone(), switch, driver: Some(driver) })
}
