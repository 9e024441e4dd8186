//! `Microsoft.DBforPostgreSQL/servers` and `flexibleServers`, and the databases of either.

use std::sync::Arc;

use coffer_azure::ResourceId;
use http::{Method, StatusCode};

use super::neighbour::{list, method_not_allowed, page, unknown_type};
use super::{ArmRequest, ArmResponse, ProviderScope};
use crate::app::App;
use crate::app::postgres_server::ServerKind;
use crate::error::Error;

/// Clients that are told nothing sleep for half a minute.
const RETRY_AFTER_SECONDS: &str = "1";

/// Answers a request below `…/providers/Microsoft.DBforPostgreSQL`.
///
/// # Errors
/// Whatever the request is refused with.
pub async fn dispatch(
    app: &Arc<App>,
    req: &ArmRequest,
    scope: &ProviderScope,
) -> Result<ArmResponse, Error> {
    let types = scope.rest_lower();
    let kind = match types.first().map(String::as_str) {
        Some("servers") => ServerKind::Single,
        Some("flexibleservers") => ServerKind::Flexible,
        _ => return Err(unknown_type(scope)),
    };
    if scope.extended.is_some() || scope.subscription.is_none() {
        return Err(unknown_type(scope));
    }
    let caller = &req.caller;
    let rest: Vec<&str> = types.iter().skip(1).map(String::as_str).collect();
    match (&req.method, scope.resource_group.is_some(), rest.as_slice()) {
        (&Method::GET, _, []) => {
            page(app, req, &app.server_list(caller, kind, &scope.id()?, &req.page()).await?)
        }
        (_, _, []) => Err(method_not_allowed(req, "GET")),
        (&Method::PUT, true, [_]) => put(app, req, kind, &id(scope, kind)?).await,
        (&Method::GET, true, [_]) => ArmResponse::encode(
            StatusCode::OK,
            &app.server_get(caller, kind, &id(scope, kind)?).await?,
        ),
        (&Method::DELETE, true, [_]) => {
            let existed = app.server_delete(caller, kind, &id(scope, kind)?).await?;
            // Newer SDKs of flexible servers take 202 and 204 only; nothing is left to wait for.
            Ok(match (kind, existed) {
                (ServerKind::Single, true) => ArmResponse::empty(StatusCode::OK),
                _ => ArmResponse::no_content(),
            })
        }
        (_, true, [_]) => Err(method_not_allowed(req, "GET, PUT, DELETE")),
        (&Method::GET, true, [_, "databases"]) => {
            list(&app.server_databases(caller, kind, &id(scope, kind)?).await?)
        }
        (&Method::GET, true, [_, "databases", _]) => database(app, req, kind, scope).await,
        (_, true, [_, "databases"] | [_, "databases", _]) => Err(method_not_allowed(req, "GET")),
        _ => Err(unknown_type(scope)),
    }
}

/// A server's registration is done when it is answered. SDKs of flexible servers insist on 202 all the same: they are
/// sent to the resource itself, which is there.
async fn put(
    app: &App,
    req: &ArmRequest,
    kind: ServerKind,
    id: &ResourceId,
) -> Result<ArmResponse, Error> {
    let (server, new) = app.server_put(&req.caller, kind, id, || req.decode()).await?;
    match kind {
        ServerKind::Single => {
            ArmResponse::encode(if new { StatusCode::CREATED } else { StatusCode::OK }, &server)
        }
        ServerKind::Flexible => {
            let location =
                format!("{}{}?api-version={}", app.endpoint(), server.id, req.api_version);
            Ok(ArmResponse::encode(StatusCode::ACCEPTED, &server)?
                .with_header("location", &location)
                .with_header("retry-after", RETRY_AFTER_SECONDS))
        }
    }
}

async fn database(
    app: &App,
    req: &ArmRequest,
    kind: ServerKind,
    scope: &ProviderScope,
) -> Result<ArmResponse, Error> {
    let id = id(scope, kind)?;
    let name = scope.rest.get(3).map(String::as_str).unwrap_or_default();
    let all = app.server_databases(&req.caller, kind, &id).await?;
    // PostgreSQL's names are compared with regard to case.
    match all.iter().find(|database| database.name == name) {
        Some(database) => ArmResponse::encode(StatusCode::OK, database),
        None => Err(Error::not_found(
            "ResourceNotFound",
            format!("The server '{}' has no database '{name}'.", id.name()),
        )),
    }
}

fn id(scope: &ProviderScope, kind: ServerKind) -> Result<ResourceId, Error> {
    let collection = match kind {
        ServerKind::Single => "servers",
        ServerKind::Flexible => "flexibleServers",
    };
    let name = scope.rest.get(1).map(String::as_str).unwrap_or_default();
    scope.resource_id("Microsoft.DBforPostgreSQL", &[collection, name])
}
