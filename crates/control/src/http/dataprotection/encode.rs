//! Rows as the wire has them.

use coffer_azure::duration::format_time;
use coffer_azure::{BackupInstance, DeletedBackupInstance, DeletionInfo};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::Request;
use crate::app::dataprotection::conditions::etag_of;
use crate::app::dataprotection::state::{InstanceState, read_state, without_state};
use crate::app::dataprotection::{ListPlace, Paged, Resource, TimePage, deleted_vault};
use crate::clock::SECOND_US;
use crate::error::Error;
use crate::http::ArmResponse;

/// What is escaped in a segment of a path.
const IN_A_SEGMENT: AsciiSet =
    NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'=');

/// How long soft deleted data is kept without charge, at the end of its retention.
const FREE_US: i64 = 14 * 86_400 * SECOND_US;

/// A resource as clients see it: what is kept (without the internal part), then id, name and type, as Azure orders them.
pub(super) fn resource(resource: &Resource) -> Value {
    let mut members = match without_state(&resource.body) {
        Value::Object(members) => members,
        _ => Map::new(),
    };
    members.insert("id".to_owned(), Value::String(resource.id.to_string()));
    members.insert("name".to_owned(), Value::String(resource.id.name().to_owned()));
    members.insert("type".to_owned(), Value::String(resource.id.resource_type()));
    Value::Object(members)
}

/// An answer with the tag of the resource that is in it.
pub(super) fn tagged(response: ArmResponse, resource: &Resource) -> ArmResponse {
    response.with_header("etag", &etag_of(resource))
}

/// A backup instance, its properties in Azure's order whoever wrote them last.
///
/// # Errors
/// The row is not what was written: a fault of ours.
pub(super) fn instance(instance: &Resource) -> Result<Value, Error> {
    let mut value = resource(instance);
    let properties: BackupInstance =
        serde_json::from_value(value["properties"].take()).map_err(Error::internal)?;
    value["properties"] = serde_json::to_value(properties).map_err(Error::internal)?;
    Ok(value)
}

/// A soft deleted instance, with when it was deleted and when it goes.
///
/// # Errors
/// As [`instance`].
pub(super) fn deleted_instance(deleted: &Resource) -> Result<Value, Error> {
    let state: InstanceState = read_state(&deleted.body)?;
    let mut value = resource(deleted);
    let mut properties = value["properties"].take();
    if let Value::Object(members) = &mut properties {
        members.shift_remove("objectType");
    }
    let mut properties: DeletedBackupInstance =
        serde_json::from_value(properties).map_err(Error::internal)?;
    properties.deletion_info = state.deletion.map(|deletion| DeletionInfo {
        deletion_time: Some(format_time(deletion.deleted_us)),
        // Soft deleted data is billed until its last 14 days; with 14 days in all, not at all.
        billing_end_date: Some(format_time(
            deletion.deleted_us.max(deletion.purge_us.saturating_sub(FREE_US)),
        )),
        scheduled_purge_time: Some(format_time(deletion.purge_us)),
        delete_activity_id: Some(deletion.activity_id),
    });
    value["properties"] = serde_json::to_value(properties).map_err(Error::internal)?;
    Ok(value)
}

/// A soft deleted vault. It is nobody's to tag or to place: it has no location and no tags.
///
/// # Errors
/// As [`instance`].
pub(super) fn deleted_vault(deleted: &Resource) -> Result<Value, Error> {
    let properties =
        serde_json::to_value(deleted_vault::wire(deleted)?).map_err(Error::internal)?;
    Ok(json!({
        "properties": properties,
        "id": deleted.id.to_string(),
        "name": deleted.id.name(),
        "type": deleted.id.resource_type(),
    }))
}

/// A page of a list, with a link to the next one where there is one.
pub(super) fn list<T>(
    request: Request<'_>,
    page: Paged<T>,
    encode: impl Fn(&T) -> Value,
) -> ArmResponse {
    list_with(request, &[], page, encode)
}

fn list_with<T>(
    request: Request<'_>,
    asked: &[(&str, Option<String>)],
    page: Paged<T>,
    encode: impl Fn(&T) -> Value,
) -> ArmResponse {
    let mut body = json!({ "value": page.items.iter().map(encode).collect::<Vec<_>>() });
    if let (Some(after), Value::Object(members)) = (&page.next, &mut body) {
        members.insert("nextLink".to_owned(), Value::String(next_link(request, asked, after)));
    }
    ArmResponse::ok(body)
}

/// A list that a body has asked for, whose members `asked` stand in the link's query, since it is followed without a body.
///
/// # Errors
/// As [`list_of`].
pub(super) fn list_asked_for<T, W: Serialize>(
    request: Request<'_>,
    asked: &[(&str, Option<String>)],
    page: Paged<T>,
    encode: impl Fn(&T) -> Result<W, Error>,
) -> Result<ArmResponse, Error> {
    let items =
        page.items.iter().map(|item| serde_json::to_value(encode(item)?).map_err(Error::internal));
    let page = Paged { items: items.collect::<Result<Vec<Value>, Error>>()?, next: page.next };
    Ok(list_with(request, asked, page, Value::clone))
}

/// The same for what has a wire type.
///
/// # Errors
/// An item has no JSON form: a fault of ours.
pub(super) fn list_of<T, W: Serialize>(
    request: Request<'_>,
    page: Paged<T>,
    encode: impl Fn(&T) -> Result<W, Error>,
) -> Result<ArmResponse, Error> {
    list_asked_for(request, &[], page, encode)
}

/// Which page of a list by time is asked for, by `$skipToken` and `$top`.
///
/// # Errors
/// A token that no such list has given.
pub(super) fn time_page(request: Request<'_>) -> Result<TimePage, Error> {
    let page = request.req.page();
    let after = page.after.map(|token| {
        ListPlace::parse(&token).ok_or_else(|| {
            Error::invalid(
                "InvalidSkipToken",
                format!("The $skipToken '{token}' is not one of this list."),
            )
            .with_target("$skipToken")
        })
    });
    Ok(TimePage { after: after.transpose()?, rows_max: page.rows_max })
}

/// The `$filter` of the request as `parse` reads it.
///
/// # Errors
/// It cannot be read; the message says why.
pub(super) fn filter<T>(
    request: Request<'_>,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<T, Error> {
    let text = request.req.query.get("$filter").unwrap_or_default();
    parse(text).map_err(|reason| {
        Error::invalid(
            "InvalidFilterInQueryString",
            format!("Invalid $filter '{text}' specified in the query string: {reason}."),
        )
        .with_target("$filter")
    })
}

/// The absolute URL of what follows `after`, with the filter that the request had.
fn next_link(request: Request<'_>, asked: &[(&str, Option<String>)], after: &str) -> String {
    let mut url = request.app.endpoint().to_owned();
    for segment in &request.req.segments {
        url.push('/');
        url.extend(utf8_percent_encode(segment, &IN_A_SEGMENT));
    }
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    query.append_pair("api-version", request.req.api_version.as_str());
    for name in ["$filter", "$top"] {
        if let Some(value) = request.req.query.get(name).filter(|value| !value.is_empty()) {
            query.append_pair(name, value);
        }
    }
    for (name, value) in asked {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    query.append_pair("$skipToken", after);
    format!("{url}?{}", query.finish())
}
