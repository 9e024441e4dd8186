//! The job of a backup or a restore, made in the transaction that begins its operation.
//!
//! What it says of the instance and its datasource is what was true then, and stays so whatever happens to them.

use coffer_azure::ResourceId;
use serde_json::Value;
use uuid::Uuid;

use super::state::{InstanceState, read_state};
use super::{datasource, errors};
use crate::db::job::{Job, JobBody, JobKind, JobRecoveryPoint, JobStatus};
use crate::db::{self, Tx};
use crate::error::Error;
use crate::operations::{NewJob, NewOperation};

/// The retention tag's name in jobs and recovery points when the caller has named none, as the real service writes it.
pub const DEFAULT_RETENTION_TAG: &str = "default";
/// The key of the retention tag in a job's details.
pub const RETENTION_TAG_DETAIL: &str = "RetentionTag";
/// The key of the file prefix in a job's details.
pub const FILE_PREFIX_DETAIL: &str = "Restore File Prefix";

/// A job's row that was made.
pub(crate) struct MadeJob {
    /// Its id.
    pub(crate) id: Uuid,
    /// Key of the server that the instance's database is on, or of the server that is protected.
    pub(crate) server_key: Option<String>,
}

/// Adds the job's row.
///
/// # Errors
/// The instance or the recovery point does not exist; the database fails.
pub(crate) async fn insert(
    tx: &mut Tx,
    operation_id: &str,
    new: &NewOperation,
    job: &NewJob,
    now_us: i64,
) -> Result<MadeJob, Error> {
    let instance = new
        .instance
        .as_ref()
        .ok_or_else(|| Error::internal("a job was asked for without an instance"))?;
    let resource =
        db::resource_get(&mut **tx, instance).await?.ok_or_else(errors::resource_not_found)?;
    let properties = &resource.body["properties"];
    let datasource = &properties["dataSourceInfo"];
    let datasource_id = text(&datasource["resourceID"]);
    let mut body = JobBody {
        kind: JobKind::Backup,
        activity_id: new.activity_id.clone(),
        vault: new.vault.to_string(),
        instance: resource.id.to_string(),
        friendly_name: friendly_name(properties, &resource.id),
        policy: text(&properties["policyInfo"]["policyId"]),
        datasource_name: datasource_name(datasource, &datasource_id),
        datasource_type: text(&datasource["datasourceType"]),
        datasource_location: text(&datasource["resourceLocation"]),
        datasource_set_name: datasource_set_name(properties, &datasource_id),
        datasource: datasource_id,
        user_triggered: true,
        cross_region: false,
        transferred_bytes: None,
        source_bytes: None,
        progress_percent: None,
        phase: None,
        progress: None,
        target_recovery_point: None,
        source_recovery_point: None,
        recovery_destination: None,
        details: std::collections::BTreeMap::new(),
        errors: Vec::new(),
        warnings: Vec::new(),
    };
    match job {
        NewJob::Backup { user_triggered, retention_tag } => {
            body.user_triggered = *user_triggered;
            let tag = retention_tag.clone().unwrap_or_else(|| DEFAULT_RETENTION_TAG.to_owned());
            body.details.insert(RETENTION_TAG_DETAIL.to_owned(), tag);
        }
        NewJob::Restore { recovery_point_id, recovery_destination, file_prefix, cross_region } => {
            let state: InstanceState = read_state(&resource.body)?;
            let point =
                db::recovery_point::get(&mut **tx, state.repository_guid, recovery_point_id)
                    .await?
                    .ok_or_else(errors::resource_not_found)?;
            body.kind = JobKind::Restore;
            body.cross_region = *cross_region;
            body.source_recovery_point =
                Some(JobRecoveryPoint { id: point.id, taken_us: point.taken_us });
            body.recovery_destination = Some(recovery_destination.clone());
            if let Some(prefix) = file_prefix {
                body.details.insert(FILE_PREFIX_DETAIL.to_owned(), prefix.clone());
            }
        }
    }
    let id = Uuid::new_v4();
    let job = Job {
        id: id.to_string(),
        status: JobStatus::InProgress,
        started_us: now_us,
        ended_us: None,
        updated_us: now_us,
        body,
    };
    db::job::insert(tx, &job, operation_id).await?;
    let datasource = ResourceId::parse(&job.body.datasource).ok();
    let server = datasource.as_ref().and_then(datasource::server_of);
    Ok(MadeJob { id, server_key: server.map(|server| server.key().to_owned()) })
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn filled(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

fn friendly_name(properties: &Value, instance: &ResourceId) -> String {
    filled(&properties["friendlyName"]).unwrap_or_else(|| instance.name().to_owned())
}

fn datasource_name(datasource: &Value, datasource_id: &str) -> String {
    filled(&datasource["resourceName"])
        .or_else(|| ResourceId::parse(datasource_id).ok().map(|id| id.name().to_owned()))
        .unwrap_or_default()
}

/// The server of a database; a server is in no set.
fn datasource_set_name(properties: &Value, datasource_id: &str) -> Option<String> {
    if let Some(name) = filled(&properties["dataSourceSetInfo"]["resourceName"]) {
        return Some(name);
    }
    let id = ResourceId::parse(datasource_id).ok()?;
    if !id.resource_type().to_ascii_lowercase().ends_with("/databases") {
        return None;
    }
    id.parent().map(|server| server.name().to_owned())
}
