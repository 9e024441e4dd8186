//! `/subscriptions/{s}/resourceGroups[/{g}]`.

use coffer_azure::ResourceId;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::face::method_not_allowed;
use super::scope::parse_id;
use super::{ArmRequest, ArmResponse};
use crate::app::App;
use crate::app::resource_group::{ResourceGroupWanted, Tags};
use crate::db::Resource;
use crate::error::{Error, ErrorKind};

#[derive(Deserialize)]
struct ResourceGroup {
    #[serde(default)]
    location: String,
    #[serde(default)]
    tags: Option<Tags>,
}

/// The group itself.
pub(super) async fn dispatch(
    app: &App,
    request: &ArmRequest,
    subscription: &str,
    name: &str,
) -> Result<ArmResponse, Error> {
    let id = parse_id(ResourceId::group(subscription, name).as_str())?;
    match request.method {
        Method::GET => {
            Ok(ArmResponse::ok(body(&app.resource_group_get(&request.caller, &id).await?)))
        }
        Method::HEAD => match app.resource_group_get(&request.caller, &id).await {
            Ok(_) => Ok(ArmResponse::no_content()),
            // A HEAD's answer has no body, also when it is no.
            Err(error) if error.kind == ErrorKind::NotFound => {
                Ok(ArmResponse::empty(StatusCode::NOT_FOUND))
            }
            Err(error) => Err(error),
        },
        Method::PUT => {
            let (resource, made) =
                app.resource_group_put(&request.caller, &id, || wanted(request)).await?;
            let status = if made { StatusCode::CREATED } else { StatusCode::OK };
            Ok(ArmResponse::json(status, body(&resource)))
        }
        Method::PATCH => Ok(ArmResponse::ok(body(
            &app.resource_group_update(&request.caller, &id, || wanted(request)).await?,
        ))),
        Method::DELETE => {
            app.resource_group_delete(&request.caller, &id).await?;
            Ok(ArmResponse::empty(StatusCode::OK))
        }
        _ => Err(method_not_allowed(&request.method)),
    }
}

fn wanted(request: &ArmRequest) -> Result<ResourceGroupWanted, Error> {
    let ResourceGroup { location, tags } = request.decode()?;
    Ok(ResourceGroupWanted { location, tags })
}

/// The groups of a subscription.
pub(super) async fn list(
    app: &App,
    request: &ArmRequest,
    subscription: &str,
) -> Result<ArmResponse, Error> {
    if request.method != Method::GET {
        return Err(method_not_allowed(&request.method));
    }
    let found = app.resource_group_list(&request.caller, subscription, &request.page()).await?;
    let value = found.items.iter().map(body).collect();
    Ok(ArmResponse::ok(request.list_body(app, value, found.next.as_deref())))
}

/// The resources of a group, or of all groups of a subscription.
pub(super) async fn resources(
    app: &App,
    request: &ArmRequest,
    subscription: &str,
    group: Option<&str>,
) -> Result<ArmResponse, Error> {
    if request.method != Method::GET {
        return Err(method_not_allowed(&request.method));
    }
    let scope = match group {
        Some(group) => ResourceId::group(subscription, group),
        None => ResourceId::subscription(subscription),
    };
    let scope = parse_id(scope.as_str())?;
    let found = app.resource_list_within(&request.caller, &scope, &request.page()).await?;
    let value = found.items.iter().map(generic_body).collect();
    Ok(ArmResponse::ok(request.list_body(app, value, found.next.as_deref())))
}

/// What every resource has, whatever its provider.
fn generic_body(resource: &Resource) -> Value {
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(resource.id.as_str()));
    out.insert("name".to_owned(), json!(resource.id.name()));
    out.insert("type".to_owned(), json!(resource.id.resource_type()));
    for shared in ["location", "tags"] {
        if let Some(value) = resource.body.get(shared).filter(|value| !value.is_null()) {
            out.insert(shared.to_owned(), value.clone());
        }
    }
    Value::Object(out)
}

fn body(group: &Resource) -> Value {
    let mut out = Map::new();
    out.insert("id".to_owned(), json!(group.id.as_str()));
    out.insert("name".to_owned(), json!(group.id.name()));
    out.insert("type".to_owned(), json!("Microsoft.Resources/resourceGroups"));
    out.insert("location".to_owned(), group.body["location"].clone());
    if let Some(tags) = group.body.get("tags") {
        out.insert("tags".to_owned(), tags.clone());
    }
    out.insert("properties".to_owned(), json!({"provisioningState": "Succeeded"}));
    Value::Object(out)
}
