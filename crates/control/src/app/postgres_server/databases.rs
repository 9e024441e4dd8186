//! The databases of a registered server, asked of the server itself.
//!
//! The registration's secret is read with the rights of whoever asks, so that nobody learns through this service what
//! their own roles don't let them learn.

use std::time::Duration;

use coffer_azure::ResourceId;
use coffer_azure::postgres_server::{DatabaseProperties, DatabaseResource};
use coffer_engine::{ConnectOptions, connect};
use secrecy::ExposeSecret;

use super::{App, RegisteredServer, ServerKind};
use crate::app::registration::not_found;
use crate::app::{Caller, secret::SecretReadError};
use crate::error::Error;

/// How long the server may take to answer, once connected.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Most databases that are listed.
const DATABASES_MAX: i64 = 10_000;
/// The database that is connected to when the secret names none.
const MAINTENANCE_DATABASE: &str = "postgres";

const LIST: &str = "SELECT datname::text, pg_catalog.pg_encoding_to_char(encoding)::text, datcollate::text \
     FROM pg_catalog.pg_database WHERE datallowconn AND NOT datistemplate ORDER BY datname LIMIT $1";

impl App {
    /// The databases of a server that can be connected to, by name.
    ///
    /// # Errors
    /// The caller may not; there is no such registration, or no secret in it; the server can't be asked.
    pub async fn server_databases(
        &self,
        caller: &Caller,
        kind: ServerKind,
        id: &ResourceId,
    ) -> Result<Vec<DatabaseResource>, Error> {
        self.authorize(caller, &format!("{}/databases/read", kind.resource_type()), id).await?;
        let server =
            self.server_resolve(id).await?.ok_or_else(|| not_found(id, kind.resource_type()))?;
        let options = self.server_login(caller, &server).await?;
        let rows = tokio::time::timeout(connect::CONNECT_TIMEOUT + ANSWER_TIMEOUT, async {
            let session = connect::connect(&options)
                .await
                .map_err(|error| not_listed(&server, &error.to_string()))?;
            session
                .query(LIST, &[&DATABASES_MAX])
                .await
                .map_err(|error| not_listed(&server, &error.to_string()))
        })
        .await
        .map_err(|_| not_listed(&server, "it does not answer in time"))??;
        rows.iter()
            .map(|row| {
                let column =
                    |index: usize| row.try_get::<_, String>(index).map_err(Error::internal);
                let name = column(0)?;
                Ok(DatabaseResource {
                    properties: DatabaseProperties { charset: column(1)?, collation: column(2)? },
                    id: server.id.child("databases", &name).to_string(),
                    kind: format!("{}/databases", kind.resource_type()),
                    name,
                })
            })
            .collect()
    }

    /// How to log in to a server with the secret of its registration.
    async fn server_login(
        &self,
        caller: &Caller,
        server: &RegisteredServer,
    ) -> Result<ConnectOptions, Error> {
        let Some(uri) = &server.secret_uri else {
            return Err(not_listed(
                server,
                "its registration has no properties.secretUri to log in with",
            ));
        };
        let secret =
            self.secret_read(&caller.principal_id, uri).await.map_err(|error| match error {
                SecretReadError::Failed(error) => error,
                other => not_listed(server, &format!("the secret {uri} can't be used: {other}")),
            })?;
        let mut options = ConnectOptions::parse_secret(secret.expose_secret())
            .map_err(|error| {
                not_listed(
                    server,
                    &format!("the value of the secret {uri} is not understood: {error}"),
                )
            })?
            .with_address(&server.host, server.port);
        options.ssl_mode = server.ssl_mode.unwrap_or(options.ssl_mode);
        if options.database.is_empty() {
            options = options.with_database(MAINTENANCE_DATABASE);
        }
        Ok(options)
    }
}

fn not_listed(server: &RegisteredServer, why: &str) -> Error {
    Error::conflict(
        "ServerDatabasesNotAvailable",
        format!("The databases of the server '{}' can't be listed: {why}.", server.id.name()),
    )
}
