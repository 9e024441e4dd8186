//! `resourceGuards`, and the lists of requests that each has.

use http::StatusCode;
use serde_json::json;

use super::{Request, encode};
use crate::app::dataprotection::critical_operation::DEFAULT_REQUEST;
use crate::app::dataprotection::resource_guard;
use crate::error::Error;
use crate::http::ArmResponse;

/// Always 200, as recorded: also for a new one.
pub(super) async fn put(request: Request<'_>) -> Result<ArmResponse, Error> {
    let decode = || request.req.decode();
    let guard = resource_guard::put(request.app, request.call(), &request.guard()?, decode).await?;
    Ok(encode::tagged(ArmResponse::ok(encode::resource(&guard)), &guard))
}

pub(super) async fn patch(request: Request<'_>) -> Result<ArmResponse, Error> {
    let decode = || request.req.decode();
    let guard =
        resource_guard::patch(request.app, request.call(), &request.guard()?, decode).await?;
    Ok(encode::tagged(ArmResponse::ok(encode::resource(&guard)), &guard))
}

pub(super) async fn get(request: Request<'_>) -> Result<ArmResponse, Error> {
    let guard = resource_guard::get(request.app, request.call(), &request.guard()?).await?;
    Ok(encode::tagged(ArmResponse::ok(encode::resource(&guard)), &guard))
}

/// In a subscription or in a group.
pub(super) async fn list(request: Request<'_>) -> Result<ArmResponse, Error> {
    let page = request.req.page();
    let guards =
        resource_guard::list(request.app, request.call(), &request.scope.id()?, &page).await?;
    Ok(encode::list(request, guards, encode::resource))
}

/// 200 without a body, 204 when there was none.
pub(super) async fn delete(request: Request<'_>) -> Result<ArmResponse, Error> {
    let existed = resource_guard::delete(request.app, request.call(), &request.guard()?).await?;
    Ok(ArmResponse::empty(if existed { StatusCode::OK } else { StatusCode::NO_CONTENT }))
}

/// Every type of request has one: `default`.
pub(super) async fn requests(request: Request<'_>) -> Result<ArmResponse, Error> {
    let object = object(request, DEFAULT_REQUEST).await?;
    ArmResponse::encode(StatusCode::OK, &json!({ "value": [object] }))
}

pub(super) async fn request(request: Request<'_>) -> Result<ArmResponse, Error> {
    ArmResponse::encode(StatusCode::OK, &object(request, request.name(3)).await?)
}

async fn object(request: Request<'_>, name: &str) -> Result<coffer_azure::DppBaseResource, Error> {
    let (call, guard) = (request.call(), request.guard()?);
    resource_guard::request(request.app, call, &guard, request.name(2), name).await
}
