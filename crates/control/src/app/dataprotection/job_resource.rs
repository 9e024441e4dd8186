//! A job as `AzureBackupJobResource`, in the shape that was recorded from the real service.
//!
//! The shape differs between GET and LIST: lists have no `extendedInfo`, no actions, and a .NET `TimeSpan` where GET
//! has an ISO 8601 duration. What is unknown is written as `null`.

use coffer_azure::datasource::is_server_type;
use coffer_azure::duration::{
    format_iso_duration, format_time, format_time_span, format_time_trimmed,
};
use coffer_azure::{
    AzureBackupJob, AzureBackupJobResource, JobExtendedInfo, JobSubTask, ResourceId,
    RestoreJobRecoveryPointDetails, UserFacingWarningDetail,
};
use serde_json::{Map, Value};

use crate::db::job::{Job, JobKind, JobProgress, JobRecoveryPoint, JobStatus};

/// The type of a job's id.
const JOB_TYPE: &str = "Microsoft.DataProtection/backupVaults/backupJobs";

/// Which request is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobForm {
    /// GET of one job.
    Get,
    /// GET of a vault's jobs.
    List,
}

/// Encodes a job.
#[must_use]
pub fn job_resource(job: &Job, form: JobForm) -> AzureBackupJobResource {
    let body = &job.body;
    let vault = ResourceId::parse(&body.vault).ok();
    let datasource = ResourceId::parse(&body.datasource).ok();
    let operation = match (body.kind, body.user_triggered) {
        (JobKind::Backup, true) => "Backup",
        (JobKind::Backup, false) => "ScheduledBackup",
        (JobKind::Restore, _) => "Restore",
    };
    let category = match body.kind {
        JobKind::Backup => "Backup",
        JobKind::Restore if body.cross_region => "CrossRegionRestore",
        JobKind::Restore => "Restore",
    };
    let etag_time = format_time(job.updated_us).replace(':', "%3A");
    AzureBackupJobResource {
        properties: AzureBackupJob {
            activity_id: body.activity_id.clone(),
            subscription_id: owned(vault.as_ref().and_then(ResourceId::subscription_id)),
            backup_instance_id: Some(body.instance.clone()),
            policy_id: Some(body.policy.clone()),
            data_source_id: body.datasource.clone(),
            vault_name: owned(vault.as_ref().map(ResourceId::name)),
            backup_instance_friendly_name: body.friendly_name.clone(),
            policy_name: ResourceId::parse(&body.policy)
                .ok()
                .map(|policy| policy.name().to_owned()),
            source_resource_group: owned(datasource.as_ref().and_then(ResourceId::resource_group)),
            data_source_set_name: body.datasource_set_name.clone(),
            data_source_name: body.datasource_name.clone(),
            source_data_store_name: None,
            source_data_store_type: (body.kind == JobKind::Restore)
                .then(|| "VaultStore".to_owned()),
            // Of flexible servers alone, once it is over.
            destination_data_store_name: (job.ended_us.is_some()
                && is_server_type(&body.datasource_type))
            .then(|| "VaultStore".to_owned()),
            progress_enabled: true,
            etag: Some(format!("W/\"datetime'{etag_time}'\"")),
            source_subscription_id: owned(
                datasource.as_ref().and_then(ResourceId::subscription_id),
            ),
            data_source_location: body.datasource_location.clone(),
            start_time: format_time_trimmed(job.started_us),
            end_time: job.ended_us.map(format_time_trimmed),
            data_source_type: body.datasource_type.clone(),
            operation_category: category.to_owned(),
            operation: operation.to_owned(),
            status: job.status.as_str().to_owned(),
            restore_type: None,
            is_user_triggered: body.user_triggered,
            rehydration_priority: None,
            supported_actions: match form {
                JobForm::Get => vec![String::new()],
                JobForm::List => Vec::new(),
            },
            duration: Some(duration(job, form)),
            progress_url: None,
            is_cross_region_restore: body.cross_region.then_some(true),
            error_details: (!body.errors.is_empty()).then(|| body.errors.clone()),
            extended_info: (form == JobForm::Get).then(|| extended_info(job)),
        },
        id: Some(format!("{}/backupJobs/{}", body.vault, job.id)),
        name: Some(job.id.clone()),
        kind: Some(JOB_TYPE.to_owned()),
    }
}

/// Zero while it runs, as the real service has it.
fn duration(job: &Job, form: JobForm) -> String {
    let duration_us =
        job.ended_us.map_or(0, |ended_us| ended_us.saturating_sub(job.started_us).max(0));
    match form {
        JobForm::Get => format_iso_duration(duration_us),
        JobForm::List => format_time_span(duration_us),
    }
}

fn extended_info(job: &Job) -> JobExtendedInfo {
    let body = &job.body;
    let details: Map<String, Value> = body
        .details
        .iter()
        .map(|(name, text)| (name.clone(), Value::String(text.clone())))
        .collect();
    JobExtendedInfo {
        backup_instance_state: None,
        #[expect(clippy::cast_precision_loss, reason = "the wire's number is a double")]
        data_transferred_in_bytes: body.transferred_bytes.map(|bytes| bytes as f64),
        target_recover_point: body.target_recovery_point.as_ref().map(recovery_point),
        source_recover_point: body.source_recovery_point.as_ref().map(recovery_point),
        recovery_destination: body.recovery_destination.clone(),
        sub_tasks: Some(vec![sub_task(job)]),
        additional_details: (!details.is_empty()).then_some(details),
        warning_details: (!body.warnings.is_empty()).then(|| {
            body.warnings
                .iter()
                .map(|warning| UserFacingWarningDetail {
                    resource_name: Some(warning.resource_name.clone()),
                    warning: warning.error.clone(),
                })
                .collect()
        }),
    }
}

fn recovery_point(point: &JobRecoveryPoint) -> RestoreJobRecoveryPointDetails {
    RestoreJobRecoveryPointDetails {
        recovery_point_id: Some(point.id.clone()),
        recovery_point_time: Some(format_time(point.taken_us)),
    }
}

/// The real service's jobs of PostgreSQL have one sub-task, and so have these.
fn sub_task(job: &Job) -> JobSubTask {
    let body = &job.body;
    let mut details = Map::new();
    let mut tell = |name: &str, text: String| details.insert(name.to_owned(), Value::String(text));
    if let Some(bytes) = body.source_bytes {
        tell("OriginalDatasourceSizeInBytes", bytes.to_string());
    }
    if let (JobKind::Restore, Some(bytes)) = (body.kind, body.transferred_bytes) {
        tell("DataTransferredInBytes", bytes.to_string());
    }
    if let (None, Some(phase)) = (job.ended_us, &body.phase) {
        tell("Phase", phase.clone());
        for (name, number) in body.progress.iter().flat_map(progress_details) {
            tell(name, number.to_string());
        }
    }
    let mut additional_details = None;
    if job.ended_us.is_some() || body.phase.is_some() {
        tell("TaskId", body.activity_id.clone());
        tell("DatasourceType", body.datasource_type.clone());
        additional_details = Some(details);
    }
    JobSubTask {
        task_id: 1,
        task_name: match body.kind {
            JobKind::Backup => "Trigger Backup".to_owned(),
            JobKind::Restore => "Trigger Restore".to_owned(),
        },
        task_status: match job.status {
            JobStatus::CompletedWithWarnings => JobStatus::Completed.as_str().to_owned(),
            status => status.as_str().to_owned(),
        },
        task_progress: match (job.ended_us, body.progress_percent) {
            (None, Some(percent)) => Some(format!("{percent:.1}")),
            _ => None,
        },
        additional_details,
    }
}

/// Progress for which the real service has no member; names are ours, and stay.
fn progress_details(progress: &JobProgress) -> Vec<(&'static str, u64)> {
    let known = |name, number: Option<u64>| number.map(|number| (name, number));
    let some = |name, number: u64| known(name, Some(number).filter(|number| *number > 0));
    [
        known("EstimatedTotalInBytes", progress.bytes_total),
        some("DataTakenOverInBytes", progress.bytes_taken_over),
        some("DataComparedInBytes", progress.bytes_compared),
        known("Rows", Some(progress.rows)),
        known("ItemsDone", progress.items.map(|(done, _)| done)),
        known("ItemsTotal", progress.items.map(|(_, total)| total)),
        known("BytesPerSecond", progress.bytes_per_second),
        known("PhaseSecondsLeft", progress.phase_seconds_left),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn owned(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}
