//! Registered PostgreSQL servers: which host and port stand behind an ARM id.
//!
//! A registration holds no credentials, at most the name of a secret. An administrator's password that an SDK sends is
//! not even decoded. What a registration leaves open is taken from the configuration (`servers.{name}`) at the time of the
//! request.

mod databases;
#[cfg(test)]
mod tests;

use coffer_azure::ResourceId;
use coffer_azure::postgres_server::{
    ServerForCreate, ServerProperties, ServerRequest, ServerResource,
};
use coffer_engine::SslMode;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::registration::{self, Wanted, text};
use super::secret::is_secret_uri;
use super::{App, Caller};
use crate::config::ServerConfig;
use crate::db::{Page, Paged, Resource, resource_get};
use crate::error::Error;

/// The two types of servers, which differ in name and in a few words on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerKind {
    /// `Microsoft.DBforPostgreSQL/servers`.
    Single,
    /// `Microsoft.DBforPostgreSQL/flexibleServers`.
    Flexible,
}

impl ServerKind {
    /// The type, as Azure writes it.
    pub fn resource_type(self) -> &'static str {
        match self {
            Self::Single => "Microsoft.DBforPostgreSQL/servers",
            Self::Flexible => "Microsoft.DBforPostgreSQL/flexibleServers",
        }
    }

    fn of(id: &ResourceId) -> Option<Self> {
        [Self::Single, Self::Flexible].into_iter().find(|kind| id.is_type(kind.resource_type()))
    }
}

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
    /// How connections are encrypted and the server is checked; none means as the secret says.
    pub ssl_mode: Option<SslMode>,
    /// The secret for requests that carry no credentials.
    pub secret_uri: Option<String>,
}

const DEFAULT_PORT: u16 = 5432;
const HOST_BYTES_MAX: usize = 253;
const NAME_CHARS_MAX: usize = 63;

/// What is kept of a registration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    host: String,
    port: u16,
    ssl_mode: Option<String>,
    secret_uri: Option<String>,
    sku: Option<Value>,
    version: Option<String>,
    administrator_login: Option<String>,
}

impl App {
    /// Registers a server or changes its registration. True beside it when it is new.
    ///
    /// # Errors
    /// The caller may not; no host is known; the port, TLS mode or secret's URI is not possible.
    pub async fn server_put(
        &self,
        caller: &Caller,
        kind: ServerKind,
        id: &ResourceId,
        body: impl FnOnce() -> Result<ServerForCreate, Error>,
    ) -> Result<(ServerResource, bool), Error> {
        self.authorize(caller, &format!("{}/write", kind.resource_type()), id).await?;
        let request = body()?;
        check_name(id.name())?;
        let configured = self.config.servers.get(&id.name().to_lowercase());
        let mut kept = kept_of(id.name(), request.properties, configured)?;
        if let Some(uri) = kept.secret_uri.as_ref().filter(|uri| !is_secret_uri(self, uri)) {
            return Err(invalid(
                "properties.secretUri",
                format!(
                    "'{uri}' is not the URI of a key vault's secret, as https://{{vault}}.vault.azure.net/secrets/{{name}}."
                ),
            ));
        }
        kept.sku = request.sku;
        let properties = serde_json::to_value(&kept).map_err(Error::internal)?;
        let mut tx = self.begin(caller).await?;
        let wanted = Wanted { location: request.location, tags: request.tags, properties };
        let (resource, new) = registration::put(&mut tx, id, wanted, self.clock.now_us()).await?;
        tx.commit().await?;
        Ok((shown(kind, &resource)?, new))
    }

    /// One registration.
    ///
    /// # Errors
    /// The caller may not, or there is none.
    pub async fn server_get(
        &self,
        caller: &Caller,
        kind: ServerKind,
        id: &ResourceId,
    ) -> Result<ServerResource, Error> {
        shown(kind, &registration::get(self, caller, id, kind.resource_type()).await?)
    }

    /// The registrations of a type in a group or a subscription.
    ///
    /// # Errors
    /// The caller may not, or there is no such group or subscription.
    pub async fn server_list(
        &self,
        caller: &Caller,
        kind: ServerKind,
        scope: &ResourceId,
        page: &Page,
    ) -> Result<Paged<ServerResource>, Error> {
        let found = registration::list(self, caller, scope, kind.resource_type(), page).await?;
        let items =
            found.items.iter().map(|server| shown(kind, server)).collect::<Result<_, _>>()?;
        Ok(Paged { items, next: found.next })
    }

    /// Forgets a server; the server itself is not touched. False when it was not registered.
    ///
    /// # Errors
    /// The caller may not.
    pub async fn server_delete(
        &self,
        caller: &Caller,
        kind: ServerKind,
        id: &ResourceId,
    ) -> Result<bool, Error> {
        self.authorize(caller, &format!("{}/delete", kind.resource_type()), id).await?;
        let mut tx = self.begin(caller).await?;
        let existed = registration::delete(&mut tx, id).await?;
        tx.commit().await?;
        Ok(existed)
    }

    /// The registration of a server; `id` may be that of a database in it. None when there is none.
    ///
    /// # Errors
    /// The database fails.
    pub async fn server_resolve(&self, id: &ResourceId) -> Result<Option<RegisteredServer>, Error> {
        let server = match ServerKind::of(id) {
            Some(_) => id.clone(),
            None => match id.parent() {
                Some(parent) if ServerKind::of(&parent).is_some() => parent,
                _ => return Ok(None),
            },
        };
        let Some(resource) = resource_get(self.db.read(), &server).await? else { return Ok(None) };
        let kept = Kept::of(&resource)?;
        Ok(Some(RegisteredServer {
            location: text(&resource, "location").to_owned(),
            host: kept.host,
            port: kept.port,
            ssl_mode: kept.ssl_mode.as_deref().and_then(SslMode::parse),
            secret_uri: kept.secret_uri,
            id: resource.id,
        }))
    }
}

impl Kept {
    fn of(resource: &Resource) -> Result<Self, Error> {
        serde_json::from_value(resource.body["properties"].clone()).map_err(Error::internal)
    }
}

/// What to keep of a request, with the configuration's answers to what it leaves open.
fn kept_of(
    name: &str,
    request: ServerRequest,
    configured: Option<&ServerConfig>,
) -> Result<Kept, Error> {
    let given = |text: Option<String>| {
        text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty())
    };
    let host = given(request.fully_qualified_domain_name)
        .or_else(|| configured.map(|server| server.host.clone()))
        .ok_or_else(|| {
            invalid(
                "properties.fullyQualifiedDomainName",
                format!(
                    "The host of the server '{name}' is not known. Send it as properties.fullyQualifiedDomainName, or, for a \
                     client that can't, set servers.{name} in the configuration."
                ),
            )
        })?;
    let host_is_possible = host.len() <= HOST_BYTES_MAX
        && host
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':' | '[' | ']' | '%'));
    if !host_is_possible {
        return Err(invalid(
            "properties.fullyQualifiedDomainName",
            "The host is neither a name nor an address.".to_owned(),
        ));
    }
    let port =
        request.port.or_else(|| configured.map(|server| server.port)).unwrap_or(DEFAULT_PORT);
    if port == 0 {
        return Err(invalid("properties.port", "The port is between 1 and 65535.".to_owned()));
    }
    let ssl_mode =
        given(request.ssl_mode).or_else(|| configured.and_then(|server| server.ssl_mode.clone()));
    let ssl_mode = ssl_mode
        .map(|text| {
            SslMode::parse(&text).map(|mode| mode.as_str().to_owned()).ok_or_else(|| {
                invalid(
                    "properties.sslMode",
                    format!(
                        "'{text}' is none of disable, prefer, require, verify-ca, verify-full."
                    ),
                )
            })
        })
        .transpose()?;
    Ok(Kept {
        host,
        port,
        ssl_mode,
        secret_uri: given(request.secret_uri)
            .or_else(|| configured.and_then(|server| server.secret_uri.clone())),
        sku: None,
        version: request.version,
        administrator_login: request.administrator_login,
    })
}

fn check_name(name: &str) -> Result<(), Error> {
    let possible = (1..=NAME_CHARS_MAX).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !name.starts_with('-')
        && !name.ends_with('-');
    if possible {
        return Ok(());
    }
    Err(Error::invalid(
        "InvalidServerName",
        format!(
            "The server name '{name}' is not valid: it has 1 to {NAME_CHARS_MAX} letters, digits and hyphens, and no hyphen at \
             its ends."
        ),
    ))
}

fn invalid(target: &str, message: String) -> Error {
    Error::invalid("InvalidParameterValue", message).with_target(target)
}

fn shown(kind: ServerKind, resource: &Resource) -> Result<ServerResource, Error> {
    let kept = Kept::of(resource)?;
    let ready = || Some("Ready".to_owned());
    let (user_visible_state, state) = match kind {
        ServerKind::Single => (ready(), None),
        ServerKind::Flexible => (None, ready()),
    };
    Ok(ServerResource {
        sku: kept.sku,
        properties: ServerProperties {
            fully_qualified_domain_name: kept.host,
            port: kept.port,
            ssl_mode: kept.ssl_mode,
            secret_uri: kept.secret_uri,
            version: kept.version,
            administrator_login: kept.administrator_login,
            user_visible_state,
            state,
            provisioning_state: "Succeeded".to_owned(),
        },
        location: text(resource, "location").to_owned(),
        tags: registration::tags(resource),
        id: resource.id.to_string(),
        name: resource.id.name().to_owned(),
        kind: kind.resource_type().to_owned(),
    })
}
