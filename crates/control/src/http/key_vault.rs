//! `Microsoft.KeyVault/vaults`. Their secrets are served by `http::secret`.

use std::sync::Arc;

use coffer_azure::ResourceId;
use http::{Method, StatusCode};

use super::neighbour::{method_not_allowed, page, unknown_type};
use super::{ArmRequest, ArmResponse, ProviderScope};
use crate::app::App;
use crate::error::Error;

/// Answers a request below `…/providers/Microsoft.KeyVault`.
///
/// # Errors
/// Whatever the request is refused with.
pub async fn dispatch(
    app: &Arc<App>,
    req: &ArmRequest,
    scope: &ProviderScope,
) -> Result<ArmResponse, Error> {
    let types = scope.rest_lower();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    let caller = &req.caller;
    match (&req.method, scope.resource_group.is_some(), types.as_slice()) {
        _ if scope.extended.is_some() || scope.subscription.is_none() => Err(unknown_type(scope)),
        (&Method::GET, _, ["vaults"]) => {
            page(app, req, &app.key_vault_list(caller, &scope.id()?, &req.page()).await?)
        }
        (_, _, ["vaults"]) => Err(method_not_allowed(req, "GET")),
        (&Method::PUT, true, ["vaults", _]) => {
            let (vault, new) = app.key_vault_put(caller, &id(scope)?, || req.decode()).await?;
            ArmResponse::encode(if new { StatusCode::CREATED } else { StatusCode::OK }, &vault)
        }
        (&Method::GET, true, ["vaults", _]) => {
            ArmResponse::encode(StatusCode::OK, &app.key_vault_get(caller, &id(scope)?).await?)
        }
        (&Method::DELETE, true, ["vaults", _]) => {
            let existed = app.key_vault_delete(caller, &id(scope)?).await?;
            Ok(if existed { ArmResponse::empty(StatusCode::OK) } else { ArmResponse::no_content() })
        }
        (_, true, ["vaults", _]) => Err(method_not_allowed(req, "GET, PUT, DELETE")),
        _ => Err(unknown_type(scope)),
    }
}

fn id(scope: &ProviderScope) -> Result<ResourceId, Error> {
    scope.resource_id(
        "Microsoft.KeyVault",
        &["vaults", scope.rest.get(1).map(String::as_str).unwrap_or_default()],
    )
}
