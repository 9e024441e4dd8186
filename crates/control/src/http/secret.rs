//! The data plane of key vaults: secrets, at a vault's own host or, for the default vault, at the endpoint's.

use std::sync::Arc;

use coffer_azure::ResourceId;
use http::{Method, StatusCode};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::neighbour::{method_not_allowed, next_link_at};
use super::{ArmRequest, ArmResponse};
use crate::app::App;
use crate::db::Paged;
use crate::error::Error;

/// Answers a request to a key vault's data plane. `vault` is the name in the host; none is the endpoint's own host,
/// which serves the default key vault. `req.segments` begins with `secrets` or `deletedsecrets`.
///
/// # Errors
/// Whatever the request is refused with.
pub async fn dispatch(
    app: &Arc<App>,
    req: &ArmRequest,
    vault: Option<&str>,
) -> Result<ArmResponse, Error> {
    let id = app.secret_vault(vault).await?;
    let words: Vec<String> = req.segments.iter().map(|segment| segment.to_lowercase()).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let name = req.segments.get(1).map(String::as_str).unwrap_or_default();
    match (&req.method, words.as_slice()) {
        (&Method::GET, ["secrets"]) => {
            let (after, rows_max) = page(req);
            list(app, req, &id, &app.secret_list(&req.caller, &id, after, rows_max).await?)
        }
        (&Method::GET, ["secrets", _, "versions"]) => {
            let (after, rows_max) = page(req);
            list(
                app,
                req,
                &id,
                &app.secret_versions(&req.caller, &id, name, after, rows_max).await?,
            )
        }
        (_, ["secrets"] | ["secrets", _, "versions"]) => Err(method_not_allowed(req, "GET")),
        (&Method::PUT, ["secrets", _]) => {
            bundle(&app.secret_set(&req.caller, &id, name, || body(req)).await?)
        }
        (&Method::GET, ["secrets", _]) => {
            bundle(&app.secret_get(&req.caller, &id, name, None).await?)
        }
        (&Method::GET, ["secrets", _, version]) => {
            bundle(&app.secret_get(&req.caller, &id, name, Some(version)).await?)
        }
        (&Method::PATCH, ["secrets", _, rest @ ..]) if rest.len() < 2 => {
            let version = rest.first().copied();
            bundle(&app.secret_update(&req.caller, &id, name, version, || body(req)).await?)
        }
        (&Method::DELETE, ["secrets", _]) => {
            bundle(&app.secret_delete(&req.caller, &id, name).await?)
        }
        (&Method::POST, ["secrets", "restore"]) => refused(app, req, &id, None).await,
        (&Method::POST, ["secrets", _, "backup"]) => refused(app, req, &id, Some(name)).await,
        (_, ["secrets", _]) => Err(method_not_allowed(req, "GET, PUT, PATCH, DELETE")),
        (_, ["secrets", _, _]) => Err(method_not_allowed(req, "GET, PATCH")),
        (_, ["deletedsecrets", rest @ ..]) => deleted(app, req, &id, name, rest).await,
        _ => Err(Error::not_found("NotFound", "The path is not one of a key vault's secrets.")),
    }
}

/// Below `deletedsecrets`: what was deleted and can be recovered.
async fn deleted(
    app: &App,
    req: &ArmRequest,
    vault: &ResourceId,
    name: &str,
    rest: &[&str],
) -> Result<ArmResponse, Error> {
    match (&req.method, rest) {
        (&Method::GET, []) => {
            let (after, rows_max) = page(req);
            let found = app.secret_list_deleted(&req.caller, vault, after, rows_max).await?;
            list(app, req, vault, &found)
        }
        (&Method::GET, [_]) => bundle(&app.secret_get_deleted(&req.caller, vault, name).await?),
        (&Method::DELETE, [_]) => {
            app.secret_purge(&req.caller, vault, name).await?;
            Ok(ArmResponse::no_content())
        }
        (&Method::POST, [_, "recover"]) => {
            bundle(&app.secret_recover(&req.caller, vault, name).await?)
        }
        (_, []) => Err(method_not_allowed(req, "GET")),
        (_, [_]) => Err(method_not_allowed(req, "GET, DELETE")),
        (_, [_, "recover"]) => Err(method_not_allowed(req, "POST")),
        _ => Err(Error::not_found(
            "NotFound",
            "The path is not one of a key vault's deleted secrets.",
        )),
    }
}

/// Secrets are neither handed out as backups nor taken from them.
async fn refused(
    app: &App,
    req: &ArmRequest,
    vault: &ResourceId,
    name: Option<&str>,
) -> Result<ArmResponse, Error> {
    app.secret_backup_refused(&req.caller, vault, name).await?;
    Ok(ArmResponse::no_content())
}

/// Reads the body. What is wrong in it is named but, since it may be a secret, not quoted: the log has every error.
fn body<T: DeserializeOwned>(req: &ArmRequest) -> Result<T, Error> {
    req.decode().map_err(|error| match error.target.as_deref() {
        Some(place) => Error::invalid_content(format!(
            "The request content was invalid: a member is missing or has the wrong type at '{place}'."
        ))
        .with_target(place),
        None => Error::invalid_content("The request content was invalid: it is not a JSON object of a secret."),
    })
}

fn bundle(bundle: &impl Serialize) -> Result<ArmResponse, Error> {
    ArmResponse::encode(StatusCode::OK, bundle)
}

fn page(req: &ArmRequest) -> (&str, u32) {
    let rows_max = req.query.get("maxresults").and_then(|text| text.parse().ok()).unwrap_or(0);
    (req.query.get("$skiptoken").unwrap_or_default(), rows_max)
}

fn list(
    app: &App,
    req: &ArmRequest,
    vault: &ResourceId,
    found: &Paged<impl Serialize>,
) -> Result<ArmResponse, Error> {
    let next =
        found.next.as_ref().map(|after| next_link_at(&app.key_vault_base(vault), req, after));
    Ok(ArmResponse::ok(json!({
        "value": serde_json::to_value(&found.items).map_err(Error::internal)?,
        "nextLink": next.map_or(Value::Null, Value::String),
    })))
}
