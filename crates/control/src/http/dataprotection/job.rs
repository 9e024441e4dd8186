//! `{vault}/backupJobs`.

use http::StatusCode;

use super::{Request, encode};
use crate::app::dataprotection::job_filter::parse_job_filter;
use crate::app::dataprotection::job_resource::{JobForm, job_resource};
use crate::app::dataprotection::job;
use crate::error::Error;
use crate::http::ArmResponse;

pub(super) async fn get(request: Request<'_>) -> Result<ArmResponse, Error> {
    let job = job::get(request.app, request.call(), &request.vault()?, request.name(3)).await?;
    ArmResponse::encode(StatusCode::OK, &job_resource(&job, JobForm::Get))
}

pub(super) async fn list(request: Request<'_>) -> Result<ArmResponse, Error> {
    let filter = || encode::filter(request, parse_job_filter);
    let page = encode::time_page(request)?;
    let jobs = job::list(request.app, request.call(), &request.vault()?, filter, &page).await?;
    encode::list_of(request, jobs, |job| Ok(job_resource(job, JobForm::List)))
}
