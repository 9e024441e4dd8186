//! What a backup instance protects, and with which credentials.

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

use crate::tagged::{object_type, tagged, text_enum};

/// The type of a database of a single server.
pub const DATABASE_TYPE: &str = "Microsoft.DBforPostgreSQL/servers/databases";
/// The type of a flexible server, which is protected as a whole.
pub const SERVER_TYPE: &str = "Microsoft.DBforPostgreSQL/flexibleServers";
/// What the first preview of the API called [`DATABASE_TYPE`]; published examples still do.
const DATABASE_TYPE_OF_THE_PREVIEW: &str = "OssDB";

/// True for each name of [`DATABASE_TYPE`], in any case.
#[must_use]
pub fn is_database_type(text: &str) -> bool {
    text.eq_ignore_ascii_case(DATABASE_TYPE)
        || text.eq_ignore_ascii_case(DATABASE_TYPE_OF_THE_PREVIEW)
}

/// True for [`SERVER_TYPE`], in any case.
#[must_use]
pub fn is_server_type(text: &str) -> bool {
    text.eq_ignore_ascii_case(SERVER_TYPE)
}

/// The database or server that is protected or restored to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Datasource {
    /// Its id.
    #[serde(rename = "resourceID", alias = "resourceId")]
    pub resource_id: String,
    /// Its address; clients send an empty text, which is echoed and means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_uri: Option<String>,
    /// `Microsoft.DBforPostgreSQL/servers/databases` and the like.
    #[serde(alias = "dataSourceType", default, skip_serializing_if = "Option::is_none")]
    pub datasource_type: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// Its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// Its region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_location: Option<String>,
    /// Further properties; PostgreSQL has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_properties: Option<Value>,
    /// The discriminator.
    #[serde(default)]
    pub object_type: DatasourceObjectType,
}

/// What the [`Datasource`] lies in: a database's server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DatasourceSet {
    /// Its id.
    #[serde(rename = "resourceID", alias = "resourceId")]
    pub resource_id: String,
    /// Its address; clients send an empty text, which is echoed and means nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_uri: Option<String>,
    /// `Microsoft.DBforPostgreSQL/servers/databases` and the like.
    #[serde(alias = "dataSourceType", default, skip_serializing_if = "Option::is_none")]
    pub datasource_type: Option<String>,
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_name: Option<String>,
    /// Its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// Its region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_location: Option<String>,
    /// Further properties; PostgreSQL has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_properties: Option<Value>,
    /// The discriminator.
    #[serde(default)]
    pub object_type: DatasourceSetObjectType,
}

object_type! {
    /// The discriminator of a [`Datasource`].
    DatasourceObjectType = "Datasource"
}

object_type! {
    /// The discriminator of a [`DatasourceSet`].
    DatasourceSetObjectType = "DatasourceSet"
}

tagged! {
    /// The credentials for a source; there is one kind.
    pub enum AuthCredentials, First, default SecretStoreBasedAuthCredentials {
        /// The name of a secret in a key vault.
        SecretStoreBasedAuthCredentials,
    }
}

/// The name of a secret.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretStoreBasedAuthCredentials {
    /// Where the secret is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_store_resource: Option<SecretStoreResource>,
}

/// Where a secret is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretStoreResource {
    /// Which kind of store.
    pub secret_store_type: SecretStoreType,
    /// The secret's address, with or without a version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uri: Option<String>,
    /// Always absent, and written as `null`: a value that a client sends is not even kept in memory.
    #[serde(default, deserialize_with = "dropped")]
    pub value: Option<String>,
}

/// Reads anything as absent.
fn dropped<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    IgnoredAny::deserialize(deserializer).map(|_| None)
}

text_enum! {
    /// The kinds of secret stores.
    pub enum SecretStoreType {
        /// What a client sends that didn't choose.
        Invalid = "Invalid",
        /// A key vault.
        AzureKeyVault = "AzureKeyVault",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::AuthCredentials;
    use crate::decode_value;

    #[test]
    fn a_secrets_value_is_dropped_and_written_as_null() {
        let credentials: AuthCredentials = decode_value(json!({
            "secretStoreResource": {"uri": "https://x", "secretStoreType": "azureKeyVault", "value": "hunter2"}
        }))
        .unwrap();
        let written = serde_json::to_value(&credentials).unwrap();
        assert_eq!(
            written,
            json!({
                "objectType": "SecretStoreBasedAuthCredentials",
                "secretStoreResource": {"secretStoreType": "AzureKeyVault", "uri": "https://x", "value": null}
            })
        );
    }
}
