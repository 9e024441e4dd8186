//! `{vault}/backupResourceGuardProxies`.

use coffer_azure::UnlockDeleteResponse;
use coffer_azure::duration::format_time;
use http::StatusCode;
use serde_json::{Value, json};

use super::{Request, encode};
use crate::app::dataprotection::resource_guard_proxy::{self, Proxy};
use crate::error::Error;
use crate::http::ArmResponse;

/// What the published examples call the type; the id has another word.
const TYPE: &str = "Microsoft.DataProtection/vaults/backupResourceGuardProxies";

pub(super) async fn put(request: Request<'_>) -> Result<ArmResponse, Error> {
    let decode = || request.req.decode();
    let proxy =
        resource_guard_proxy::put(request.app, request.call(), &request.proxy()?, decode).await?;
    Ok(ArmResponse::ok(shown(&proxy)))
}

pub(super) async fn get(request: Request<'_>) -> Result<ArmResponse, Error> {
    let proxy = resource_guard_proxy::get(request.app, request.call(), &request.proxy()?).await?;
    Ok(ArmResponse::ok(shown(&proxy)))
}

pub(super) async fn list(request: Request<'_>) -> Result<ArmResponse, Error> {
    let page = request.req.page();
    let proxies =
        resource_guard_proxy::list(request.app, request.call(), &request.vault()?, &page).await?;
    Ok(encode::list(request, proxies, shown))
}

pub(super) async fn unlock_delete(request: Request<'_>) -> Result<ArmResponse, Error> {
    let decode = || request.req.decode();
    let (call, proxy) = (request.call(), request.proxy()?);
    let until_us = resource_guard_proxy::unlock_delete(request.app, call, &proxy, decode).await?;
    let body = UnlockDeleteResponse { unlock_delete_expiry_time: Some(format_time(until_us)) };
    ArmResponse::encode(StatusCode::OK, &body)
}

/// 200 with an empty object, 204 when there was none.
pub(super) async fn delete(request: Request<'_>) -> Result<ArmResponse, Error> {
    let existed =
        resource_guard_proxy::delete(request.app, request.call(), &request.proxy()?).await?;
    Ok(if existed { ArmResponse::ok(json!({})) } else { ArmResponse::no_content() })
}

fn shown(proxy: &Proxy) -> Value {
    let mut value = encode::resource(&proxy.resource);
    let mut properties = json!({
        "resourceGuardResourceId": value["properties"]["resourceGuardResourceId"].take(),
        "resourceGuardOperationDetails": proxy.details,
    });
    properties["lastUpdatedTime"] = value["properties"]["lastUpdatedTime"].take();
    value["properties"] = properties;
    value["type"] = json!(TYPE);
    value
}
