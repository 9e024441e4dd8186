//! `Microsoft.Resources` above the groups: tenants, subscriptions, locations, resource providers.

use http::Method;
use serde_json::{Value, json};

use super::face::method_not_allowed;
use super::{ArmRequest, ArmResponse};
use crate::app::App;
use crate::db::Resource;
use crate::error::Error;

/// What is served, with the types that clients look for.
const PROVIDERS: [(&str, &[&str]); 6] = [
    (
        "Microsoft.DataProtection",
        &[
            "backupVaults",
            "backupVaults/backupPolicies",
            "backupVaults/backupInstances",
            "operations",
            "locations",
        ],
    ),
    ("Microsoft.Resources", &["tenants", "subscriptions", "resourceGroups", "providers"]),
    ("Microsoft.Authorization", &["roleAssignments", "roleDefinitions"]),
    ("Microsoft.DBforPostgreSQL", &["servers", "flexibleServers"]),
    ("Microsoft.KeyVault", &["vaults"]),
    ("Microsoft.Storage", &["storageAccounts"]),
];

/// `GET /tenants`.
pub(super) fn tenants(app: &App, request: &ArmRequest) -> Result<ArmResponse, Error> {
    only(request, &Method::GET)?;
    let id = &app.identity.tenant_id;
    Ok(ArmResponse::ok(json!({"value": [{
        "id": format!("/tenants/{id}"),
        "tenantId": id,
        "displayName": "Coffer",
        "tenantCategory": "Home",
        "countryCode": "",
        "domains": [],
    }]})))
}

/// `GET /subscriptions`.
pub(super) async fn list(app: &App, request: &ArmRequest) -> Result<ArmResponse, Error> {
    only(request, &Method::GET)?;
    let found = app.subscription_list(&request.caller).await?;
    let value: Vec<Value> = found.iter().map(|subscription| body(app, subscription)).collect();
    Ok(ArmResponse::ok(json!({"value": value, "count": {"type": "Total", "value": found.len()}})))
}

/// `GET /subscriptions/{id}`.
pub(super) async fn get(app: &App, request: &ArmRequest, id: &str) -> Result<ArmResponse, Error> {
    only(request, &Method::GET)?;
    let found = app.subscription_get(&request.caller, id).await?;
    Ok(ArmResponse::ok(body(app, &found)))
}

fn body(app: &App, subscription: &Resource) -> Value {
    json!({
        "id": subscription.id.as_str(),
        "authorizationSource": "RoleBased",
        "managedByTenants": [],
        "subscriptionId": subscription.id.name(),
        "tenantId": app.identity.tenant_id,
        "displayName": subscription.body["displayName"],
        "state": "Enabled",
        "subscriptionPolicies": {
            "locationPlacementId": "Public_2014-09-01",
            "quotaId": "PayAsYouGo_2014-09-01",
            "spendingLimit": "Off",
        },
    })
}

/// `GET /subscriptions/{id}/locations`.
pub(super) async fn locations(
    app: &App,
    request: &ArmRequest,
    id: &str,
) -> Result<ArmResponse, Error> {
    only(request, &Method::GET)?;
    let subscription = app.subscription_get(&request.caller, id).await?;
    let value: Vec<Value> = app
        .location_list()
        .into_iter()
        .map(|name| {
            json!({
                "id": format!("{}/locations/{name}", subscription.id),
                "name": name,
                "type": "Region",
                "displayName": name,
                "regionalDisplayName": name,
                "metadata": {"regionType": "Physical", "regionCategory": "Recommended", "pairedRegion": []},
            })
        })
        .collect();
    Ok(ArmResponse::ok(json!({"value": value})))
}

/// `GET /subscriptions/{id}/providers[/{namespace}]` and `POST …/register`: everything is registered, always.
pub(super) async fn providers(
    app: &App,
    request: &ArmRequest,
    id: &str,
    namespace: Option<&str>,
    register: bool,
) -> Result<ArmResponse, Error> {
    only(request, if register { &Method::POST } else { &Method::GET })?;
    let subscription = match namespace.filter(|_| register) {
        Some(namespace) => app.provider_register(&request.caller, id, namespace).await?,
        None => app.subscription_get(&request.caller, id).await?,
    };
    let describe = |(name, types): &(&str, &[&str])| {
        let types: Vec<Value> = types
            .iter()
            .map(|resource_type| {
                json!({
                    "resourceType": resource_type,
                    "locations": app.location_list(),
                    "apiVersions": [request.api_version.as_str()],
                })
            })
            .collect();
        json!({
            "id": format!("{}/providers/{name}", subscription.id),
            "namespace": name,
            "registrationPolicy": "RegistrationRequired",
            "registrationState": "Registered",
            "resourceTypes": types,
        })
    };
    let Some(namespace) = namespace else {
        let value: Vec<Value> = PROVIDERS.iter().map(describe).collect();
        return Ok(ArmResponse::ok(json!({"value": value})));
    };
    PROVIDERS
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(namespace))
        .map(|provider| ArmResponse::ok(describe(provider)))
        .ok_or_else(|| {
            Error::not_found(
                "InvalidResourceNamespace",
                format!("The resource namespace '{namespace}' is invalid."),
            )
        })
}

fn only(request: &ArmRequest, method: &Method) -> Result<(), Error> {
    if request.method == *method { Ok(()) } else { Err(method_not_allowed(&request.method)) }
}
