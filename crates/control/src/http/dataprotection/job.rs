//! `{vault}/backupJobs`, their export, and the download of what was exported.

use coffer_azure::ExportJobsResult;
use http::StatusCode;

use super::{Request, encode};
use crate::app::App;
use crate::app::dataprotection::job_export::{self, ExportForm};
use crate::app::dataprotection::job_filter::parse_job_filter;
use crate::app::dataprotection::job_resource::{JobForm, job_resource};
use crate::app::dataprotection::{errors, job};
use crate::error::Error;
use crate::http::long_running::{Announce, announce};
use crate::http::{ArmResponse, Query};
use crate::operations::OperationStatus;

pub(super) async fn get(request: Request<'_>) -> Result<ArmResponse, Error> {
    let job = job::get(request.app, request.call(), &request.vault()?, request.name(3)).await?;
    ArmResponse::encode(StatusCode::OK, &job_resource(&job, JobForm::Get))
}

/// 202: the job tells when it has stopped.
pub(super) async fn cancel(request: Request<'_>) -> Result<ArmResponse, Error> {
    job::cancel(request.app, request.call(), &request.vault()?, request.name(3)).await?;
    Ok(ArmResponse::accepted())
}

pub(super) async fn list(request: Request<'_>) -> Result<ArmResponse, Error> {
    let filter = || encode::filter(request, parse_job_filter);
    let page = encode::time_page(request)?;
    let jobs = job::list(request.app, request.call(), &request.vault()?, filter, &page).await?;
    encode::list_of(request, jobs, |job| Ok(job_resource(job, JobForm::List)))
}

/// 202, whatever there is to export.
pub(super) async fn export(request: Request<'_>) -> Result<ArmResponse, Error> {
    let operation = job_export::begin(request.app, request.call(), &request.vault()?).await?;
    let version = &request.req.api_version;
    Ok(announce(request.app, ArmResponse::accepted(), &operation, version, Announce::Export))
}

/// 202 while the export runs, then where it can be read.
pub(super) async fn export_result(request: Request<'_>) -> Result<ArmResponse, Error> {
    let (app, vault) = (request.app, request.vault()?);
    let operation = job_export::get(app, request.call(), &vault, request.name(4)).await?;
    if operation.status == OperationStatus::InProgress {
        let version = &request.req.api_version;
        return Ok(announce(app, ArmResponse::accepted(), &operation, version, Announce::Export));
    }
    let url = |form: ExportForm| {
        Some(format!("{}/exports/{}/{}", app.endpoint(), operation.id, form.file_name()))
    };
    let key = |form| Some(job_export::link_query(app, &operation, form));
    let result = ExportJobsResult {
        blob_url: url(ExportForm::Json),
        blob_sas_key: key(ExportForm::Json),
        excel_file_blob_url: url(ExportForm::Workbook),
        excel_file_blob_sas_key: key(ExportForm::Workbook),
    };
    ArmResponse::encode(StatusCode::OK, &result)
}

/// `GET /exports/{operationId}/{file}`: for whoever has the link.
///
/// # Errors
/// There is no such file; the link is not good; the export is gone.
pub(in crate::http) async fn download(
    app: &App,
    id: &str,
    file: &str,
    query: &Query,
) -> Result<ArmResponse, Error> {
    let form = ExportForm::of_file(file).ok_or_else(errors::resource_not_found)?;
    let bytes = job_export::read(app, id, form, query.get("se"), query.get("sig")).await?;
    let content_type = match form {
        ExportForm::Json => "application/json; charset=utf-8",
        ExportForm::Workbook => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    };
    let disposition = format!("attachment; filename=\"{}\"", form.file_name());
    Ok(ArmResponse::file(content_type, bytes).with_header("content-disposition", &disposition))
}
