//! `{vault}/deletedBackupInstances`.

use super::{Request, encode};
use crate::app::dataprotection::deleted_backup_instance;
use crate::error::Error;
use crate::http::ArmResponse;
use crate::http::long_running::{Announce, announce};

pub(super) async fn get(request: Request<'_>) -> Result<ArmResponse, Error> {
    let instance =
        deleted_backup_instance::get(request.app, request.call(), &request.deleted_instance()?)
            .await?;
    Ok(ArmResponse::ok(encode::deleted_instance(&instance)?))
}

pub(super) async fn list(request: Request<'_>) -> Result<ArmResponse, Error> {
    let page = request.req.page();
    let instances =
        deleted_backup_instance::list(request.app, request.call(), &request.vault()?, &page)
            .await?;
    encode::list_of(request, instances, encode::deleted_instance)
}

pub(super) async fn undelete(request: Request<'_>) -> Result<ArmResponse, Error> {
    let operation = deleted_backup_instance::undelete(
        request.app,
        request.call(),
        &request.deleted_instance()?,
    )
    .await?;
    Ok(announce(
        request.app,
        ArmResponse::accepted(),
        &operation,
        &request.req.api_version,
        Announce::Action,
    ))
}
