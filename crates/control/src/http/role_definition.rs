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
        (&Method::GET, [_]) => list(&app.role_definition_list(&at, &role_filter(req)?)),
        (&Method::GET, [_, name]) => {
            ArmResponse::encode(StatusCode::OK, &app.role_definition_get(&req.caller, &at, name)?)
        }
        (_, [_] | [_, _]) => Err(method_not_allowed(req, "GET")),
        _ => Err(unknown_type(scope)),
    }
}

fn role_filter(req: &ArmRequest) -> Result<RoleFilter, Error> {
    let mut chosen = RoleFilter::All;
    for clause in filter::parse(req.query.get("$filter"))? {
        match clause {
            Clause::Equals(name, value) if name == "rolename" => chosen = RoleFilter::Name(value),
            Clause::Equals(name, value) if name == "type" => chosen = RoleFilter::Kind(value),
            // Built-in roles are the same at every scope.
            Clause::Call(name, None) if name == "atscope" || name == "atscopeandbelow" => {}
            other => return Err(filter::unsupported(&other)),
        }
    }
    Ok(chosen)
}
