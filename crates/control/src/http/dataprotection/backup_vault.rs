//! `backupVaults`.

use http::StatusCode;

use super::{Request, encode};
use crate::app::dataprotection::{backup_vault, vault_deletion};
use crate::error::Error;
use crate::http::ArmResponse;
use crate::http::long_running::{Announce, announce};

/// Names the deleted vault that is to come back.
const DELETED_VAULT: &str = "x-ms-deleted-vault-id";

/// 200 when nothing changes, else 201 with the body as it is going to be, as recorded.
pub(super) async fn put(request: Request<'_>) -> Result<ArmResponse, Error> {
    // What is no text is no id either, and is refused as such.
    let deleted = request.req.headers.get(DELETED_VAULT).map(|id| id.to_str().unwrap_or_default());
    let decode = || request.req.decode();
    let change =
        backup_vault::put(request.app, request.call(), &request.vault()?, deleted, decode).await?;
    let body = encode::resource(&change.vault);
    let version = &request.req.api_version;
    let response = match change.operation {
        None => ArmResponse::ok(body),
        Some(operation) => {
            let response = ArmResponse::created(body);
            announce(request.app, response, &operation, version, Announce::Creation)
        }
    };
    Ok(encode::tagged(response, &change.vault))
}

/// 200 when nothing changes, else 202.
pub(super) async fn patch(request: Request<'_>) -> Result<ArmResponse, Error> {
    let decode = || request.req.decode();
    let change =
        backup_vault::patch(request.app, request.call(), &request.vault()?, decode).await?;
    let version = &request.req.api_version;
    Ok(match change.operation {
        None => encode::tagged(ArmResponse::ok(encode::resource(&change.vault)), &change.vault),
        Some(operation) => {
            let response = ArmResponse::accepted();
            announce(request.app, response, &operation, version, Announce::VaultUpdate)
        }
    })
}

pub(super) async fn get(request: Request<'_>) -> Result<ArmResponse, Error> {
    let vault = backup_vault::get(request.app, request.call(), &request.vault()?).await?;
    Ok(encode::tagged(ArmResponse::ok(encode::resource(&vault)), &vault))
}

/// In a subscription or in a group.
pub(super) async fn list(request: Request<'_>) -> Result<ArmResponse, Error> {
    let page = request.req.page();
    let vaults =
        backup_vault::list(request.app, request.call(), &request.scope.id()?, &page).await?;
    Ok(encode::list(request, vaults, encode::resource))
}

/// 204 when there is none, else 202.
pub(super) async fn delete(request: Request<'_>) -> Result<ArmResponse, Error> {
    Ok(match vault_deletion::delete(request.app, request.call(), &request.vault()?).await? {
        None => ArmResponse::empty(StatusCode::NO_CONTENT),
        Some(operation) => announce(
            request.app,
            ArmResponse::accepted(),
            &operation,
            &request.req.api_version,
            Announce::VaultDeletion,
        ),
    })
}
