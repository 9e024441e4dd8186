//! `Microsoft.Storage/storageAccounts`: registered restore targets.

use std::sync::Arc;

use coffer_azure::ResourceId;
use http::{Method, StatusCode};

use super::neighbour::{method_not_allowed, page, unknown_type};
use super::{ArmRequest, ArmResponse, ProviderScope};
use crate::app::App;
use crate::error::Error;

/// Answers a request below `…/providers/Microsoft.Storage`.
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
        (&Method::GET, _, ["storageaccounts"]) => {
            page(app, req, &app.storage_account_list(caller, &scope.id()?, &req.page()).await?)
        }
        (_, _, ["storageaccounts"]) => Err(method_not_allowed(req, "GET")),
        (&Method::PUT, true, ["storageaccounts", _]) => {
            // Azure's SDKs take 200 and 202 only, whether the account is new or not.
            let (account, _new) =
                app.storage_account_put(caller, &id(scope)?, || req.decode()).await?;
            ArmResponse::encode(StatusCode::OK, &account)
        }
        (&Method::GET, true, ["storageaccounts", _]) => ArmResponse::encode(
            StatusCode::OK,
            &app.storage_account_get(caller, &id(scope)?).await?,
        ),
        (&Method::DELETE, true, ["storageaccounts", _]) => {
            let existed = app.storage_account_delete(caller, &id(scope)?).await?;
            Ok(if existed { ArmResponse::empty(StatusCode::OK) } else { ArmResponse::no_content() })
        }
        (_, true, ["storageaccounts", _]) => Err(method_not_allowed(req, "GET, PUT, DELETE")),
        _ => Err(unknown_type(scope)),
    }
}

fn id(scope: &ProviderScope) -> Result<ResourceId, Error> {
    let name = scope.rest.get(1).map(String::as_str).unwrap_or_default();
    scope.resource_id("Microsoft.Storage", &["storageAccounts", name])
}
