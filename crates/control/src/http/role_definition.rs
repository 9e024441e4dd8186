//! `Microsoft.Authorization/roleDefinitions`, at any scope.

use std::sync::Arc;

use http::{Method, StatusCode};

use super::filter::{self, Clause};
use super::neighbour::{list, method_not_allowed, unknown_type};
use super::{ArmRequest, ArmResponse, ProviderScope};
use crate::app::App;
use crate::app::role_definition::RoleFilter;
use crate::error::Error;

/// Answers a request below `…/providers/Microsoft.Authorization/roleDefinitions`.
///
/// # Errors
/// Whatever the request is refused with.
pub async fn dispatch(
    app: &Arc<App>,
    req: &ArmRequest,
    scope: &ProviderScope,
) -> Result<ArmResponse, Error> {
    let at = scope.id()?;
    match (&req.method, scope.rest.as_slice()) {
        (&Method::GET, [_]) => {
            list(&app.role_definition_list(&req.caller, &at, &role_filter(req)?).await?)
        }
        (_, [_]) => Err(method_not_allowed(req, "GET")),
        (&Method::GET, [_, name]) => {
            let role = app.role_definition_get(&req.caller, &at, name).await?;
            ArmResponse::encode(StatusCode::OK, &role)
        }
        // 201 for a changed one as well, as clients expect it.
        (&Method::PUT, [_, name]) => {
            let role = app.role_definition_put(&req.caller, &at, name, || req.decode()).await?;
            ArmResponse::encode(StatusCode::CREATED, &role)
        }
        (&Method::DELETE, [_, name]) => {
            match app.role_definition_delete(&req.caller, &at, name).await? {
                Some(role) => ArmResponse::encode(StatusCode::OK, &role),
                None => Ok(ArmResponse::no_content()),
            }
        }
        (_, [_, _]) => Err(method_not_allowed(req, "GET, PUT, DELETE")),
        _ => Err(unknown_type(scope)),
    }
}

fn role_filter(req: &ArmRequest) -> Result<RoleFilter, Error> {
    let mut chosen = RoleFilter::default();
    for clause in filter::parse(req.query.get("$filter"))? {
        match clause {
            Clause::Equals(name, value) if name == "rolename" => chosen.name = Some(value),
            Clause::Equals(name, value) if name == "type" => chosen.kind = Some(value),
            Clause::Call(name, None) if name == "atscopeandbelow" => chosen.and_below = true,
            // What can be assigned at the scope is what is listed anyway.
            Clause::Call(name, None) if name == "atscope" => {}
            other => return Err(filter::unsupported(&other)),
        }
    }
    Ok(chosen)
}
