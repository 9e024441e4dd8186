//! `{group}/locations/{second region}/…`: what was copied there, restores of it, and their jobs.
//!
//! The lists are asked for by POST. Clients follow a `nextLink` by GET, which has no body: what the body said stands in the
//! link's query.

use coffer_azure::{
    AzureBackupRestoreRequest, CrossRegionRestoreDetails, CrossRegionRestoreJobsRequest,
    CrossRegionRestoreRequestObject, FetchSecondaryRPsRequestParameters, ResourceId,
    ValidateCrossRegionRestoreRequestObject,
};
use http::{Method, StatusCode};
use serde_json::Value;

use super::{Request, encode};
use crate::app::dataprotection::cross_region::{self, SecondRegionScope};
use crate::app::dataprotection::job_filter::parse_job_filter;
use crate::app::dataprotection::job_resource::{JobForm, job_resource};
use crate::app::dataprotection::recovery_point_filter::parse_recovery_point_filter;
use crate::app::dataprotection::recovery_point_resource::{
    RecoveryPointForm, recovery_point_resource,
};
use crate::db::job::Job;
use crate::error::Error;
use crate::http::ArmResponse;
use crate::http::long_running::{Announce, announce};
use crate::operations::Operation;

const REGION: &str = "sourceRegion";
const INSTANCE: &str = "sourceBackupInstanceId";
const VAULT: &str = "sourceBackupVaultId";

/// Whether a word behind `locations/{name}`, in lower case, is served here.
pub(super) fn is_served(word: &str) -> bool {
    matches!(
        word,
        "fetchsecondaryrecoverypoints"
            | "fetchcrossregionrestorejobs"
            | "fetchcrossregionrestorejob"
            | "validatecrossregionrestore"
            | "crossregionrestore"
    )
}

pub(super) async fn recovery_points(request: Request<'_>) -> Result<ArmResponse, Error> {
    let body = || match request.req.method {
        Method::GET => Ok(FetchSecondaryRPsRequestParameters {
            source_region: query(request, REGION),
            source_backup_instance_id: query(request, INSTANCE),
        }),
        _ => request.req.decode(),
    };
    let filter = || encode::filter(request, parse_recovery_point_filter);
    let page = encode::time_page(request)?;
    let (scope, call) = (scope(request), request.call());
    let (asked, points) =
        cross_region::recovery_points(request.app, call, &scope, body, filter, &page).await?;
    let repeated = [(REGION, asked.source_region), (INSTANCE, asked.source_backup_instance_id)];
    encode::list_asked_for(request, &repeated, points, |shown| {
        let (point, instance) = (&shown.point, &shown.instance);
        // Every copy has its end, the newest as well, as recorded.
        let form = RecoveryPointForm::List;
        Ok(recovery_point_resource(point, instance, shown.vault_guid, false, form))
    })
}

pub(super) async fn validate_restore(request: Request<'_>) -> Result<ArmResponse, Error> {
    let body = || -> Result<(AzureBackupRestoreRequest, CrossRegionRestoreDetails), Error> {
        let body: ValidateCrossRegionRestoreRequestObject = request.req.decode()?;
        Ok((body.restore_request_object, body.cross_region_restore_details))
    };
    let (scope, call) = (scope(request), request.call());
    let operation = cross_region::validate_restore(request.app, call, &scope, body).await?;
    Ok(accepted(request, &operation))
}

pub(super) async fn restore(request: Request<'_>) -> Result<ArmResponse, Error> {
    let body = || -> Result<(AzureBackupRestoreRequest, CrossRegionRestoreDetails), Error> {
        let body: CrossRegionRestoreRequestObject = request.req.decode()?;
        Ok((body.restore_request_object, body.cross_region_restore_details))
    };
    let (scope, call) = (scope(request), request.call());
    let operation = cross_region::restore(request.app, call, &scope, body).await?;
    Ok(accepted(request, &operation))
}

pub(super) async fn jobs(request: Request<'_>) -> Result<ArmResponse, Error> {
    let body = || match request.req.method {
        Method::GET => Ok(CrossRegionRestoreJobsRequest {
            source_region: query(request, REGION).unwrap_or_default(),
            source_backup_vault_id: query(request, VAULT).unwrap_or_default(),
        }),
        _ => request.req.decode(),
    };
    let filter = || encode::filter(request, parse_job_filter);
    let page = encode::time_page(request)?;
    let (scope, call) = (scope(request), request.call());
    let (asked, jobs) = cross_region::jobs(request.app, call, &scope, body, filter, &page).await?;
    let vault = asked.source_backup_vault_id;
    let repeated = [(REGION, Some(asked.source_region)), (VAULT, Some(vault.clone()))];
    encode::list_asked_for(request, &repeated, jobs, |job| as_recorded(job, JobForm::List, &vault))
}

pub(super) async fn job(request: Request<'_>) -> Result<ArmResponse, Error> {
    let (scope, call) = (scope(request), request.call());
    let decode = || request.req.decode();
    let (asked, job) = cross_region::job(request.app, call, &scope, decode).await?;
    let job = as_recorded(&job, JobForm::Get, &asked.source_backup_vault_id)?;
    ArmResponse::encode(StatusCode::OK, &job)
}

/// Unlike jobs of the vault: below the vault's id as it was sent, without what is null, with actions in lists as well.
fn as_recorded(job: &Job, form: JobForm, vault: &str) -> Result<Value, Error> {
    let mut resource = job_resource(job, form);
    resource.id = Some(format!("{vault}/backupJobs/{}", job.id));
    resource.kind = Some("Microsoft.DataProtection/BackupVaults/backupJobs".to_owned());
    resource.properties.source_data_store_type = None;
    resource.properties.supported_actions = vec![String::new()];
    serde_json::to_value(resource).map(without_nulls).map_err(Error::internal)
}

fn accepted(request: Request<'_>, operation: &Operation) -> ArmResponse {
    let version = &request.req.api_version;
    let how = Announce::SecondRegion;
    announce(request.app, ArmResponse::accepted(), operation, version, how)
}

fn scope(request: Request<'_>) -> SecondRegionScope {
    let subscription = request.scope.subscription.as_deref().unwrap_or_default();
    let group = request.scope.resource_group.as_deref().unwrap_or_default();
    SecondRegionScope {
        group: ResourceId::group(subscription, group),
        location: request.name(1).to_owned(),
    }
}

fn query(request: Request<'_>, name: &str) -> Option<String> {
    request.req.query.get(&name.to_lowercase()).map(str::to_owned)
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}
