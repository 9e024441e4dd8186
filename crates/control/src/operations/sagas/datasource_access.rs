//! From a datasource to a connection: the checks that come before the server is asked anything.
//!
//! In this order, each with its own error: the vault has an identity; the identity may read the server; the server is
//! registered; a secret is named, may be read, exists, and parses. The secret is read afresh each time and kept nowhere.
//! Host, port and TLS of the registration and the database of the ARM id override what the secret says. Of a server that is
//! protected as a whole the identity needs what Azure's own backup needs of it; the secret's database is one to connect to.

use coffer_azure::{AuthCredentials, Datasource, ResourceId};
use coffer_engine::ConnectOptions;
use secrecy::ExposeSecret;

use super::instance_repository::vault_storage;
use crate::app::App;
use crate::app::dataprotection::datasource;
use crate::app::user_facing_error::{self, Place};
use crate::operations::Failure;

/// What the role for backups of flexible servers allows, by which Azure's service takes them.
const SERVER_BACKUP_ACTIONS: [&str; 3] = [
    "Microsoft.DBforPostgreSQL/flexibleServers/ltrPreBackup/action",
    "Microsoft.DBforPostgreSQL/flexibleServers/startLtrBackup/action",
    "Microsoft.DBforPostgreSQL/flexibleServers/ltrBackupOperations/read",
];

/// The database to connect to for the list of a server's databases, where the secret names none.
const MAINTENANCE_DATABASE: &str = "postgres";

/// How to reach a database, and how to name it in an error.
pub(super) struct DatasourceAccess {
    pub(super) connect: ConnectOptions,
    pub(super) place: Place,
    /// The datasource is a whole server.
    pub(super) whole_server: bool,
}

/// Makes the checks and gives what a connection needs.
pub(super) async fn datasource_access(
    app: &App,
    vault: &ResourceId,
    datasource: &Datasource,
    credentials: Option<&AuthCredentials>,
) -> Result<DatasourceAccess, Failure> {
    let malformed =
        || Failure::failed(user_facing_error::datasource_malformed(&datasource.resource_id));
    let id = ResourceId::parse(&datasource.resource_id).map_err(|_| malformed())?;
    let whole_server = datasource::is_server(&id);
    let server_id = datasource::server_of(&id).ok_or_else(malformed)?;
    let principal_id = vault_storage(app, vault)
        .await?
        .principal_id
        .ok_or_else(|| Failure::failed(user_facing_error::vault_without_identity(vault)))?;
    let read = format!("{}/read", server_id.resource_type());
    let further = if whole_server { SERVER_BACKUP_ACTIONS.as_slice() } else { &[] };
    for action in [read.as_str()].iter().chain(further) {
        if !app.allows(&principal_id, action, false, &server_id).await? {
            let said = user_facing_error::server_forbidden(&server_id, &principal_id, action);
            return Err(Failure::failed(said));
        }
    }
    let server = app
        .server_resolve(&server_id)
        .await?
        .ok_or_else(|| Failure::failed(user_facing_error::server_not_registered(&server_id)))?;
    let uri = secret_uri(credentials)
        .or(server.secret_uri.as_deref())
        .ok_or_else(|| Failure::failed(user_facing_error::secret_not_named(&server_id)))?;
    let value = app
        .secret_read(&principal_id, uri)
        .await
        .map_err(|error| user_facing_error::secret_failure(&error, uri, &principal_id))?;
    let mut connect = ConnectOptions::parse_secret(value.expose_secret())
        .map_err(|error| {
            Failure::failed(user_facing_error::secret_format(uri, &error.to_string()))
        })?
        .with_address(&server.host, server.port);
    if !whole_server {
        connect = connect.with_database(id.name());
    } else if connect.database.is_empty() {
        connect = connect.with_database(MAINTENANCE_DATABASE);
    }
    connect.ssl_mode = server.ssl_mode.unwrap_or(connect.ssl_mode);
    let place = Place {
        server: server_id.to_string(),
        database: connect.database.clone(),
        address: format!("{}:{}", server.host, server.port),
    };
    Ok(DatasourceAccess { connect, place, whole_server })
}

fn secret_uri(credentials: Option<&AuthCredentials>) -> Option<&str> {
    let AuthCredentials::SecretStoreBasedAuthCredentials(credentials) = credentials?;
    credentials.secret_store_resource.as_ref()?.uri.as_deref().filter(|uri| !uri.is_empty())
}
