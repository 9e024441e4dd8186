//! `{vault}/backupInstances`, what is done with one, and `{vault}/validateForBackup`.

use coffer_azure::{
    AzureBackupFindRestorableTimeRangesResponse,
    AzureBackupFindRestorableTimeRangesResponseResource, AzureBackupRestoreRequest, ResourceId,
    StopProtectionRequest, SuspendBackupRequest, SyncBackupInstanceRequest,
    ValidateRestoreRequestObject,
};
use http::StatusCode;
use serde_json::Value;

use super::{Request, decode_value, encode};
use crate::app::dataprotection::backup_instance::{self, InstanceChange};
use crate::app::dataprotection::protection_state::InstanceAction;
use crate::app::dataprotection::{
    backup as backups, instances_of_resource, not_for_postgres, protection, restore as restores,
    validate_for_backup as validation,
};
use crate::error::Error;
use crate::http::ArmResponse;
use crate::http::long_running::{Announce, announce};
use crate::operations::Operation;

/// The version since which the PUT of an existing instance is answered 202 without a body; before, 201 with the old one.
const EMPTY_UPDATE_SINCE: (u16, u8, u8) = (2025, 7, 1);

/// 200 when nothing changes, 201 for a new one, and what the api-version has for a changed one.
pub(super) async fn put(request: Request<'_>) -> Result<ArmResponse, Error> {
    let change = backup_instance::put(request.app, request.call(), &request.instance()?, || {
        request.req.decode()
    })
    .await?;
    let version = &request.req.api_version;
    Ok(match change {
        InstanceChange::Unchanged(instance) => {
            encode::tagged(ArmResponse::ok(encode::instance(&instance)?), &instance)
        }
        InstanceChange::Configuring(instance, operation) => announce(
            request.app,
            encode::tagged(ArmResponse::created(encode::instance(&instance)?), &instance),
            &operation,
            version,
            Announce::Creation,
        ),
        InstanceChange::Updating(instance, operation) => {
            let (year, month, day) = EMPTY_UPDATE_SINCE;
            let response = if version.is_since(year, month, day) {
                ArmResponse::accepted()
            } else {
                ArmResponse::created(encode::instance(&instance)?)
            };
            announce(request.app, response, &operation, version, Announce::InstanceUpdate)
        }
    })
}

pub(super) async fn get(request: Request<'_>) -> Result<ArmResponse, Error> {
    let instance = backup_instance::get(request.app, request.call(), &request.instance()?).await?;
    Ok(encode::tagged(ArmResponse::ok(encode::instance(&instance)?), &instance))
}

pub(super) async fn list(request: Request<'_>) -> Result<ArmResponse, Error> {
    let page = request.req.page();
    let instances =
        backup_instance::list(request.app, request.call(), &request.vault()?, &page).await?;
    encode::list_of(request, instances, encode::instance)
}

/// Of a resource that they protect, or that what they protect lies in.
pub(super) async fn list_of_resource(
    request: Request<'_>,
    resource: &ResourceId,
) -> Result<ArmResponse, Error> {
    let page = request.req.page();
    let instances =
        instances_of_resource::list(request.app, request.call(), resource, &page).await?;
    encode::list_of(request, instances, encode::instance)
}

/// 204 when there is none, else 202.
pub(super) async fn delete(request: Request<'_>) -> Result<ArmResponse, Error> {
    let operation =
        backup_instance::delete(request.app, request.call(), &request.instance()?).await?;
    Ok(accepted_or(request, operation.as_ref(), StatusCode::NO_CONTENT))
}

pub(super) async fn validate_for_backup(request: Request<'_>) -> Result<ArmResponse, Error> {
    let operation =
        validation::validate_for_backup(request.app, request.call(), &request.vault()?, || {
            request.req.decode()
        })
        .await?;
    Ok(accepted(request, &operation))
}

pub(super) async fn validate_for_modify_backup(request: Request<'_>) -> Result<ArmResponse, Error> {
    let (call, instance) = (request.call(), request.instance()?);
    let decode = || request.req.decode();
    let operation =
        validation::validate_for_modify_backup(request.app, call, &instance, decode).await?;
    Ok(accepted(request, &operation))
}

/// An empty list: there are recovery points and no ranges.
pub(super) async fn find_restorable_time_ranges(
    request: Request<'_>,
) -> Result<ArmResponse, Error> {
    let (call, instance) = (request.call(), request.instance()?);
    let decode = || request.req.decode();
    not_for_postgres::restorable_time_ranges_find(request.app, call, &instance, decode).await?;
    let kind = format!("{}/findRestorableTimeRanges", instance.resource_type());
    let ranges = AzureBackupFindRestorableTimeRangesResponseResource {
        id: Some(instance.name().to_owned()),
        kind: Some(kind),
        properties: AzureBackupFindRestorableTimeRangesResponse {
            restorable_time_ranges: Vec::new(),
            object_type: Some("AzureBackupFindRestorableTimeRangesResponse".to_owned()),
        },
    };
    ArmResponse::encode(StatusCode::OK, &ranges)
}

/// Refused whatever is asked, once it is known who asks and for what.
pub(super) async fn rehydrate(request: Request<'_>) -> Result<ArmResponse, Error> {
    let (call, instance) = (request.call(), request.instance()?);
    let decode = || request.req.decode();
    not_for_postgres::rehydrate(request.app, call, &instance, decode).await?;
    Ok(ArmResponse::no_content())
}

pub(super) async fn backup(request: Request<'_>) -> Result<ArmResponse, Error> {
    let operation =
        backups::adhoc_backup(request.app, request.call(), &request.instance()?, || {
            request.req.decode()
        })
        .await?;
    Ok(accepted(request, &operation))
}

pub(super) async fn validate_restore(request: Request<'_>) -> Result<ArmResponse, Error> {
    let decode = || decode_validate_restore(request);
    let operation =
        restores::validate_restore(request.app, request.call(), &request.instance()?, decode)
            .await?;
    Ok(accepted(request, &operation))
}

pub(super) async fn restore(request: Request<'_>) -> Result<ArmResponse, Error> {
    let operation = restores::restore(request.app, request.call(), &request.instance()?, || {
        request.req.decode()
    })
    .await?;
    Ok(accepted(request, &operation))
}

pub(super) async fn stop_protection(request: Request<'_>) -> Result<ArmResponse, Error> {
    let decode = || {
        let body: Option<StopProtectionRequest> = request.req.decode_optional()?;
        Ok(body.and_then(|body| body.resource_guard_operation_requests))
    };
    change(request, InstanceAction::StopProtection, decode).await
}

pub(super) async fn suspend_backups(request: Request<'_>) -> Result<ArmResponse, Error> {
    let decode = || {
        let body: Option<SuspendBackupRequest> = request.req.decode_optional()?;
        Ok(body.and_then(|body| body.resource_guard_operation_requests))
    };
    change(request, InstanceAction::SuspendBackups, decode).await
}

pub(super) async fn resume_protection(request: Request<'_>) -> Result<ArmResponse, Error> {
    change(request, InstanceAction::ResumeProtection, || Ok(None)).await
}

pub(super) async fn resume_backups(request: Request<'_>) -> Result<ArmResponse, Error> {
    change(request, InstanceAction::ResumeBackups, || Ok(None)).await
}

/// Both kinds of sync do the same: what failed is tried again, and what did not fail is left alone.
pub(super) async fn sync(request: Request<'_>) -> Result<ArmResponse, Error> {
    let decode = || {
        let _: Option<SyncBackupInstanceRequest> = request.req.decode_optional()?;
        Ok(None)
    };
    change(request, InstanceAction::Sync, decode).await
}

/// 202, or 200 at once when there is nothing to do.
async fn change(
    request: Request<'_>,
    action: InstanceAction,
    requests: impl FnOnce() -> Result<Option<Vec<String>>, Error>,
) -> Result<ArmResponse, Error> {
    let (call, instance) = (request.call(), request.instance()?);
    let operation = protection::change(request.app, call, &instance, action, requests).await?;
    Ok(accepted_or(request, operation.as_ref(), StatusCode::OK))
}

fn accepted(request: Request<'_>, operation: &Operation) -> ArmResponse {
    announce(
        request.app,
        ArmResponse::accepted(),
        operation,
        &request.req.api_version,
        Announce::Action,
    )
}

fn accepted_or(
    request: Request<'_>,
    operation: Option<&Operation>,
    otherwise: StatusCode,
) -> ArmResponse {
    match operation {
        Some(operation) => accepted(request, operation),
        None => ArmResponse::empty(otherwise),
    }
}

/// The documentation's example has the recovery point beside the request object instead of in it; both are read.
fn decode_validate_restore(request: Request<'_>) -> Result<AzureBackupRestoreRequest, Error> {
    let mut body: Value = request.req.decode()?;
    let outside = body.get("recoveryPointId").cloned();
    if let (Some(id), Some(inside)) =
        (outside, body.get_mut("restoreRequestObject").and_then(Value::as_object_mut))
    {
        inside.entry("recoveryPointId").or_insert(id);
    }
    let body: ValidateRestoreRequestObject = decode_value(body)?;
    Ok(body.restore_request_object)
}
