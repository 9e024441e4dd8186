//! Registered PostgreSQL servers: `Microsoft.DBforPostgreSQL/servers` and `flexibleServers`.
//!
//! The host, port, TLS mode and secret are Coffer's own members; Azure's SDKs send others, of which an administrator's
//! password is not even read.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Asks to register a server.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct ServerForCreate {
    /// The region.
    #[serde(default)]
    pub location: Option<String>,
    /// The user's labels.
    #[serde(default)]
    pub tags: Option<BTreeMap<String, String>>,
    /// The price tier that an SDK asks for; echoed.
    #[serde(default)]
    pub sku: Option<Value>,
    /// Where it is.
    #[serde(default)]
    pub properties: ServerRequest,
}

/// Where a server is.
#[derive(Debug, Clone, PartialEq, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServerRequest {
    /// Name or address.
    pub fully_qualified_domain_name: Option<String>,
    /// TCP port.
    pub port: Option<u16>,
    /// `disable`, `prefer`, `require`, `verify-ca` or `verify-full`.
    pub ssl_mode: Option<String>,
    /// The secret for requests that carry no credentials.
    pub secret_uri: Option<String>,
    /// The server's major version that an SDK asks for; echoed.
    pub version: Option<String>,
    /// The administrator that an SDK asks for; echoed.
    pub administrator_login: Option<String>,
}

/// A registered server, as answers have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerResource {
    /// The price tier, echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sku: Option<Value>,
    /// Where it is.
    pub properties: ServerProperties,
    /// The region.
    pub location: String,
    /// The user's labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `Microsoft.DBforPostgreSQL/servers` or `…/flexibleServers`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// Where a registered server is.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerProperties {
    /// Name or address.
    pub fully_qualified_domain_name: String,
    /// TCP port.
    pub port: u16,
    /// As in the request; absent means what the secret says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssl_mode: Option<String>,
    /// The secret for requests that carry no credentials.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_uri: Option<String>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Echoed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub administrator_login: Option<String>,
    /// `Ready`, of a `servers` resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_visible_state: Option<String>,
    /// `Ready`, of a `flexibleServers` resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// `Succeeded`.
    pub provisioning_state: String,
}

/// A database of a server.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseResource {
    /// How it stores text.
    pub properties: DatabaseProperties,
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `Microsoft.DBforPostgreSQL/servers/databases` or `…/flexibleServers/databases`.
    #[serde(rename = "type")]
    pub kind: String,
}

/// How a database stores text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseProperties {
    /// The encoding, as `UTF8`.
    pub charset: String,
    /// The collation, as `C.UTF-8`.
    pub collation: String,
}
