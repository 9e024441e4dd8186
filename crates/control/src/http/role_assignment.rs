//! `Microsoft.Authorization/roleAssignments`, at any scope.

use std::sync::Arc;

use coffer_azure::role::RoleAssignmentCreateParameters;
use http::{Method, StatusCode};

use super::filter::{self, Clause};
use super::neighbour::{method_not_allowed, page, unknown_type};
use super::{ArmRequest, ArmResponse, ProviderScope};
use crate::app::App;
use crate::app::role_assignment::AssignmentFilter;
use crate::error::Error;

/// Answers a request below `…/providers/Microsoft.Authorization/roleAssignments`.
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
            let filter = assignment_filter(req)?;
            let found = app.role_assignment_list(&req.caller, &at, &filter, &req.page()).await?;
            page(app, req, &found)
        }
        (_, [_]) => Err(method_not_allowed(req, "GET")),
        (&Method::PUT, [_, name]) => {
            let body = || req.decode().map(|body: RoleAssignmentCreateParameters| body.properties);
            let (assignment, new) = app.role_assignment_put(&req.caller, &at, name, body).await?;
            ArmResponse::encode(if new { StatusCode::CREATED } else { StatusCode::OK }, &assignment)
        }
        (&Method::GET, [_, name]) => ArmResponse::encode(
            StatusCode::OK,
            &app.role_assignment_get(&req.caller, &at, name).await?,
        ),
        (&Method::DELETE, [_, name]) => {
            match app.role_assignment_delete(&req.caller, &at, name).await? {
                Some(assignment) => ArmResponse::encode(StatusCode::OK, &assignment),
                None => Ok(ArmResponse::no_content()),
            }
        }
        (_, [_, _]) => Err(method_not_allowed(req, "GET, PUT, DELETE")),
        _ => Err(unknown_type(scope)),
    }
}

fn assignment_filter(req: &ArmRequest) -> Result<AssignmentFilter, Error> {
    let mut chosen = AssignmentFilter::default();
    for clause in filter::parse(req.query.get("$filter"))? {
        match clause {
            Clause::Equals(name, value) if name == "principalid" => {
                chosen.principal_id = Some(value);
            }
            // There are no groups: what is assigned to a principal is assigned to it directly.
            Clause::Call(name, Some(value)) if name == "assignedto" => {
                chosen.principal_id = Some(value);
            }
            Clause::Call(name, None) if name == "atscope" => chosen.at_scope = true,
            other => return Err(filter::unsupported(&other)),
        }
    }
    Ok(chosen)
}
