//! What the neighbouring providers' files have in common.

use serde::Serialize;
use serde_json::{Value, json};

use super::{ArmRequest, ArmResponse, ProviderScope};
use crate::app::App;
use crate::db::Paged;
use crate::error::{Error, ErrorKind};

/// The error for a verb that a path doesn't have.
pub(super) fn method_not_allowed(req: &ArmRequest, allowed: &str) -> Error {
    Error::new(
        ErrorKind::MethodNotAllowed,
        "MethodNotAllowed",
        format!("The method {} is not allowed for this resource; allowed: {allowed}.", req.method),
    )
}

/// ARM's error for a type that a provider doesn't have.
pub(super) fn unknown_type(scope: &ProviderScope) -> Error {
    Error::not_found(
        "InvalidResourceType",
        format!(
            "The resource type '{}' could not be found in the namespace '{}'.",
            scope.rest.iter().step_by(2).cloned().collect::<Vec<_>>().join("/"),
            scope.namespace
        ),
    )
}

/// A list that has one page: `{"value": […]}`.
///
/// # Errors
/// An item has no JSON form: a fault of ours.
pub(super) fn list(items: &[impl Serialize]) -> Result<ArmResponse, Error> {
    Ok(ArmResponse::ok(json!({ "value": serde_json::to_value(items).map_err(Error::internal)? })))
}

/// One page of a list, with the absolute address of the next one where there is one.
///
/// # Errors
/// As [`list`].
pub(super) fn page<T: Serialize>(
    app: &App,
    req: &ArmRequest,
    page: &Paged<T>,
) -> Result<ArmResponse, Error> {
    let mut response = list(&page.items)?;
    if let (Some(after), Some(Value::Object(body))) = (&page.next, &mut response.body) {
        body.insert("nextLink".to_owned(), Value::String(next_link(app, req, after)));
    }
    Ok(response)
}

/// The address of what follows `after` in a list.
pub(super) fn next_link(app: &App, req: &ArmRequest, after: &str) -> String {
    next_link_at(app.endpoint(), req, after)
}

/// The same for a list on another host than the endpoint's.
pub(super) fn next_link_at(base: &str, req: &ArmRequest, after: &str) -> String {
    let mut url = base.to_owned();
    for segment in &req.segments {
        url.push('/');
        url.extend(percent_encoding::utf8_percent_encode(
            segment,
            percent_encoding::NON_ALPHANUMERIC,
        ));
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair(
        "api-version",
        req.query.get("api-version").unwrap_or(req.api_version.as_str()),
    );
    query.append_pair("$skipToken", after);
    for name in ["$top", "maxresults", "$filter"] {
        if let Some(value) = req.query.get(name) {
            query.append_pair(name, value);
        }
    }
    format!("{url}?{}", query.finish())
}
