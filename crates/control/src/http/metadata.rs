//! What clients ask before they log in: where to log in, for which audience, and with which keys to check a token.

use serde_json::{Value, json};

use super::{ArmResponse, Query};
use crate::app::App;
use crate::error::Error;

/// The document as a list was the form of one version only.
const LIST_VERSION: &str = "2019-05-01";
/// The first form: few members, other names.
const FIRST_VERSION: &str = "2015-01-01";
/// The tenant of clients that take this server for an ADFS.
const ADFS: &str = "adfs";

/// `/metadata/endpoints` in its three forms.
pub(super) fn endpoints(app: &App, query: &Query) -> Result<ArmResponse, Error> {
    let version = query.get("api-version").unwrap_or_default();
    Ok(ArmResponse::ok(match version {
        FIRST_VERSION => first_document(app),
        LIST_VERSION => json!([document(app)]),
        _ => document(app),
    }))
}

fn audiences(app: &App) -> Value {
    json!([format!("{}/", app.endpoint()), app.endpoint()])
}

fn first_document(app: &App) -> Value {
    let endpoint = app.endpoint();
    json!({
        "galleryEndpoint": format!("{endpoint}/"),
        "graphEndpoint": format!("{endpoint}/"),
        "portalEndpoint": format!("{endpoint}/"),
        "authentication": {"loginEndpoint": format!("{endpoint}/"), "audiences": audiences(app)},
    })
}

/// Clients fail when a member they read is missing, also of services that are not here; those point back to us.
fn document(app: &App) -> Value {
    let endpoint = app.endpoint();
    json!({
        "name": "Coffer",
        "portal": endpoint,
        "authentication": {
            "loginEndpoint": endpoint,
            "audiences": audiences(app),
            "tenant": app.identity.tenant_id,
            "identityProvider": "AAD",
        },
        "resourceManager": format!("{endpoint}/"),
        "graph": format!("{endpoint}/"),
        "graphAudience": format!("{endpoint}/"),
        "microsoftGraphResourceId": format!("{endpoint}/"),
        "gallery": format!("{endpoint}/"),
        "batch": format!("{endpoint}/"),
        "media": endpoint,
        "sqlManagement": format!("{endpoint}/"),
        "vmImageAliasDoc": format!("{endpoint}/"),
        "appInsightsResourceId": endpoint,
        "logAnalyticsResourceId": endpoint,
        "suffixes": {
            "keyVaultDns": app.identity.vault_authority,
            "storage": "core.windows.net",
            "acrLoginServer": "azurecr.io",
            "sqlServerHostname": "database.windows.net",
            "postgresqlServerEndpoint": "postgres.database.azure.com",
            "mysqlServerEndpoint": "mysql.database.azure.com",
            "mariadbServerEndpoint": "mariadb.database.azure.com",
            "azureDataLakeStoreFileSystem": "azuredatalakestore.net",
            "azureDataLakeAnalyticsCatalogAndJob": "azuredatalakeanalytics.net",
            "azureFrontDoorEndpointSuffix": "azurefd.net",
            "storageSyncEndpointSuffix": "afs.azure.net",
            "mhsmDns": "managedhsm.azure.net",
            "synapseAnalytics": "dev.azuresynapse.net",
            "attestationEndpoint": "attest.azure.net",
        },
    })
}

/// Whether a tenant in a path is ours.
pub(super) fn is_our_tenant(app: &App, tenant: &str) -> bool {
    tenant.eq_ignore_ascii_case(&app.identity.tenant_id) || tenant.eq_ignore_ascii_case(ADFS)
}

/// The OIDC discovery document.
pub(super) fn openid_configuration(app: &App, tenant: &str) -> Result<ArmResponse, Error> {
    if !is_our_tenant(app, tenant) {
        return Err(Error::invalid(
            "invalid_tenant",
            "AADSTS90002: Tenant not found. Check to make sure you have the correct tenant ID.",
        ));
    }
    let endpoint = app.endpoint();
    let base = if tenant.eq_ignore_ascii_case(ADFS) {
        format!("{endpoint}/{ADFS}/oauth2")
    } else {
        format!("{endpoint}/{}/oauth2/v2.0", app.identity.tenant_id)
    };
    Ok(ArmResponse::ok(json!({
        "issuer": app.identity.issuer(),
        "authorization_endpoint": format!("{base}/authorize"),
        "token_endpoint": format!("{base}/token"),
        "device_authorization_endpoint": format!("{base}/devicecode"),
        "jwks_uri": format!("{endpoint}/{}/discovery/v2.0/keys", app.identity.tenant_id),
        "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
        "grant_types_supported": ["client_credentials"],
        "response_types_supported": ["token"],
        "response_modes_supported": ["query"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "scopes_supported": [format!("{endpoint}/.default")],
        "claims_supported": ["aud", "iss", "iat", "nbf", "exp", "appid", "oid", "sub", "tid"],
    })))
}

/// The public halves of the signing keys.
pub(super) fn signing_keys(app: &App) -> ArmResponse {
    ArmResponse::ok(json!({"keys": [app.identity.signing_key.jwk()]}))
}

/// What MSAL asks the first time about an authority.
pub(super) fn instance_discovery(app: &App) -> ArmResponse {
    let endpoint = app.endpoint();
    let host = endpoint.strip_prefix("https://").unwrap_or(endpoint);
    ArmResponse::ok(json!({
        "tenant_discovery_endpoint":
            format!("{endpoint}/{}/v2.0/.well-known/openid-configuration", app.identity.tenant_id),
        "api-version": "1.1",
        "metadata": [{"preferred_network": host, "preferred_cache": host, "aliases": [host]}],
    }))
}
