//! From a route to an answer: what needs no token, then authentication, the api-version, and the provider.

use std::sync::Arc;

use coffer_azure::ApiVersion;
use http::{Method, StatusCode};
use secrecy::ExposeSecret;
use serde_json::json;

use super::route::{ArmRoute, Route};
use super::server::{Front, Incoming};
use super::{
    ArmRequest, ArmResponse, ProviderScope, authenticate, dataprotection, key_vault, metadata,
    oauth, postgres_server, resource_group, role_assignment, role_definition, secret,
    storage_account, subscription,
};
use crate::app::App;
use crate::db::resource::{RESOURCE_GROUP_KIND, resource_group_not_found};
use crate::error::{Error, ErrorKind};
use crate::identity::token::Audience;
use crate::telemetry;

/// First api-version of Microsoft.DataProtection.
const DATA_PROTECTION_SINCE: (u16, u8, u8) = (2021, 1, 1);
/// What the dated form of an api-version of the secrets API, whose own are `7.x`, is taken to be.
const SECRETS_API_VERSION: &str = "2025-07-01";

/// `/healthz`: 200 when the metadata answers.
pub(super) async fn health(front: &Front, method: &Method) -> Result<ArmResponse, Error> {
    require_get(method)?;
    front.app.db.ping().await?;
    Ok(ArmResponse::ok(json!({"status": "ok"})))
}

/// `/metrics`: for whoever has the configured token, or for this machine when none is configured.
pub(super) fn metrics(front: &Front, incoming: &Incoming) -> Result<ArmResponse, Error> {
    require_get(&incoming.parts.method)?;
    let allowed = match &front.app.config.metrics_token {
        Some(token) => authenticate::bearer(&incoming.parts.headers).is_some_and(|given| {
            aws_lc_rs::constant_time::verify_slices_are_equal(
                given.as_bytes(),
                token.expose_secret().as_bytes(),
            )
            .is_ok()
        }),
        None => incoming.peer.ip().to_canonical().is_loopback(),
    };
    if !allowed {
        let mut error = Error::new(
            ErrorKind::Unauthenticated,
            "AuthenticationFailed",
            "The metrics need the configured token.",
        );
        error.challenge = Some("Bearer".to_owned());
        return Err(error);
    }
    Ok(ArmResponse::text(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        telemetry::render() + &front.app.gauges.text(),
    ))
}

/// Everything else.
pub(super) async fn dispatch(
    front: &Front,
    incoming: Incoming,
    route: Route,
) -> Result<ArmResponse, Error> {
    let method = &incoming.parts.method;
    match route {
        Route::MetadataEndpoints => {
            require_get(method)?;
            metadata::endpoints(&front.app, &incoming.query)
        }
        Route::OpenIdConfiguration(tenant) => {
            require_get(method)?;
            metadata::openid_configuration(&front.app, &tenant)
        }
        Route::SigningKeys => {
            require_get(method)?;
            Ok(metadata::signing_keys(&front.app))
        }
        Route::InstanceDiscovery => {
            require_get(method)?;
            Ok(metadata::instance_discovery(&front.app))
        }
        Route::Export { id, file } => {
            require_get(method)?;
            dataprotection::download_export(&front.app, &id, &file, &incoming.query).await
        }
        Route::Token(tenant) => oauth::token(front, incoming, &tenant).await,
        Route::Secrets { vault } => secrets(front, incoming, vault.as_deref()).await,
        Route::Arm(route) => arm(front, incoming, route).await,
        Route::Health | Route::Metrics => Err(unknown_route()),
    }
}

async fn secrets(
    front: &Front,
    incoming: Incoming,
    vault: Option<&str>,
) -> Result<ArmResponse, Error> {
    let app = &front.app;
    let audiences: &[Audience] = if vault.is_some() {
        &[Audience::KeyVault]
    } else {
        &[Audience::KeyVault, Audience::Management]
    };
    let caller = authenticate::caller(app, &incoming.parts.headers, audiences, &incoming.trail)
        .await
        .map_err(|error| authenticate::challenge_key_vault(app, error, vault.is_some()))?;
    let version = match incoming.query.get("api-version") {
        Some(version) if version.starts_with("7.") => SECRETS_API_VERSION,
        Some(version) => version,
        None => return Err(missing_api_version()),
    };
    let api_version = ApiVersion::parse(version)
        .map_err(|_| unknown_api_version("Microsoft.KeyVault", version))?;
    let request = request(app, incoming, caller, api_version).await?;
    secret::dispatch(app, &request, vault).await
}

async fn arm(front: &Front, incoming: Incoming, route: ArmRoute) -> Result<ArmResponse, Error> {
    let app = &front.app;
    let audiences = [Audience::Management];
    let caller = authenticate::caller(app, &incoming.parts.headers, &audiences, &incoming.trail)
        .await
        .map_err(|error| authenticate::challenge_arm(app, error))?;
    let namespace = match &route {
        ArmRoute::Provider(scope) => scope.namespace.as_str(),
        _ => "Microsoft.Resources",
    };
    let version = incoming
        .query
        .get("api-version")
        .filter(|v| !v.is_empty())
        .ok_or_else(missing_api_version)?;
    let api_version =
        ApiVersion::parse(version).map_err(|_| unknown_api_version(namespace, version))?;
    let (year, month, day) = DATA_PROTECTION_SINCE;
    if namespace.eq_ignore_ascii_case("Microsoft.DataProtection")
        && !api_version.is_since(year, month, day)
    {
        return Err(unknown_api_version(namespace, version));
    }
    let request = request(app, incoming, caller, api_version).await?;
    match route {
        ArmRoute::Tenants => subscription::tenants(app, &request),
        ArmRoute::Subscriptions => subscription::list(app, &request).await,
        ArmRoute::Subscription(id) => subscription::get(app, &request, &id).await,
        ArmRoute::Locations(id) => subscription::locations(app, &request, &id).await,
        ArmRoute::Providers { subscription: id, namespace, register } => {
            subscription::providers(app, &request, &id, namespace.as_deref(), register).await
        }
        ArmRoute::ResourceGroups(id) => resource_group::list(app, &request, &id).await,
        ArmRoute::ResourceGroup(id, name) => {
            resource_group::dispatch(app, &request, &id, &name).await
        }
        ArmRoute::Resources(id, group) => {
            resource_group::resources(app, &request, &id, group.as_deref()).await
        }
        ArmRoute::Provider(scope) => {
            let outcome = Box::pin(provider(app, &request, &scope)).await;
            missing_group_first(app, &scope, outcome).await
        }
        ArmRoute::Unknown => Err(unknown_route()),
    }
}

async fn provider(
    app: &Arc<App>,
    request: &ArmRequest,
    scope: &ProviderScope,
) -> Result<ArmResponse, Error> {
    match scope.namespace.to_lowercase().as_str() {
        "microsoft.dataprotection" => dataprotection::dispatch(app, request, scope).await,
        "microsoft.keyvault" => key_vault::dispatch(app, request, scope).await,
        "microsoft.dbforpostgresql" => postgres_server::dispatch(app, request, scope).await,
        "microsoft.storage" => storage_account::dispatch(app, request, scope).await,
        "microsoft.authorization" => match scope.rest[0].to_lowercase().as_str() {
            "roleassignments" => role_assignment::dispatch(app, request, scope).await,
            "roledefinitions" => role_definition::dispatch(app, request, scope).await,
            _ => Err(unknown_type(scope)),
        },
        _ => Err(Error::not_found(
            "InvalidResourceNamespace",
            format!("The resource namespace '{}' is invalid.", scope.namespace),
        )),
    }
}

/// ARM tells a caller that the group is missing rather than what would be in it. A provider says `NotFound` only to a
/// caller who was authorized, so this tells nothing to anybody else.
async fn missing_group_first(
    app: &App,
    scope: &ProviderScope,
    outcome: Result<ArmResponse, Error>,
) -> Result<ArmResponse, Error> {
    let (Err(error), Some(group)) = (&outcome, &scope.resource_group) else { return outcome };
    if error.kind != ErrorKind::NotFound
        || error.code == "InvalidResourceType"
        || scope.extended.is_some()
    {
        return outcome;
    }
    let id = scope.id()?;
    debug_assert!(id.resource_type().eq_ignore_ascii_case(RESOURCE_GROUP_KIND));
    if crate::db::resource_exists(app.db.read(), &id).await? {
        return outcome;
    }
    Err(resource_group_not_found(group))
}

async fn request(
    app: &App,
    incoming: Incoming,
    caller: crate::identity::Caller,
    api_version: ApiVersion,
) -> Result<ArmRequest, Error> {
    let body = incoming.read_body(app).await?;
    Ok(ArmRequest {
        method: incoming.parts.method,
        segments: incoming.segments,
        query: incoming.query,
        api_version,
        headers: incoming.parts.headers,
        body,
        caller,
        correlation_id: incoming.ids.correlation_id,
        activity_id: incoming.ids.activity_id,
    })
}

fn require_get(method: &Method) -> Result<(), Error> {
    if matches!(*method, Method::GET | Method::HEAD) {
        Ok(())
    } else {
        Err(method_not_allowed(method))
    }
}

/// The path exists, this verb on it does not.
pub fn method_not_allowed(method: &Method) -> Error {
    Error::new(
        ErrorKind::MethodNotAllowed,
        "MethodNotAllowed",
        format!("The requested resource does not support http method '{method}'."),
    )
}

/// A type that the provider does not have, in ARM's words.
pub fn unknown_type(scope: &ProviderScope) -> Error {
    let types: Vec<&str> = scope.rest.iter().step_by(2).map(String::as_str).collect();
    Error::not_found(
        "InvalidResourceType",
        format!(
            "The resource type '{}' could not be found in the namespace '{}'.",
            types.join("/"),
            scope.namespace
        ),
    )
}

fn unknown_route() -> Error {
    Error::not_found(
        "MissingSubscription",
        "The request did not have a subscription or a valid tenant level resource provider.",
    )
}

fn missing_api_version() -> Error {
    Error::invalid(
        "MissingApiVersionParameter",
        "The api-version query parameter (?api-version=) is required for all requests.",
    )
}

fn unknown_api_version(namespace: &str, version: &str) -> Error {
    // An echo of what a stranger sent: short, and without anything that could end up badly in a log.
    let shown: String = version.chars().filter(|c| !c.is_control()).take(40).collect();
    Error::invalid(
        "NoRegisteredProviderFound",
        format!(
            "No registered resource provider found for API version '{shown}' and namespace '{namespace}'. An \
             api-version is a date such as 2024-04-01, optionally followed by -preview; for Microsoft.DataProtection not \
             before 2021-01-01."
        ),
    )
}
