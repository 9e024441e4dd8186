//! A job: the record of a backup or restore that users see. Absent members are written as `null`.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::user_facing_error::UserFacingError;

/// A job, as answers have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AzureBackupJobResource {
    /// What it is.
    pub properties: AzureBackupJob,
    /// Its id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name: a GUID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Microsoft.DataProtection/backupVaults/backupJobs`.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// The properties of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackupJob {
    /// The activity that began it.
    #[serde(rename = "activityID", alias = "activityId")]
    pub activity_id: String,
    /// The vault's subscription.
    pub subscription_id: String,
    /// The backup instance.
    #[serde(default)]
    pub backup_instance_id: Option<String>,
    /// The policy.
    #[serde(default)]
    pub policy_id: Option<String>,
    /// The source, or where a restore goes to.
    pub data_source_id: String,
    /// The vault.
    pub vault_name: String,
    /// The instance's name for people.
    pub backup_instance_friendly_name: String,
    /// The policy's name.
    #[serde(default)]
    pub policy_name: Option<String>,
    /// The source's resource group.
    pub source_resource_group: String,
    /// The name of what the source lies in: the server's.
    #[serde(default)]
    pub data_source_set_name: Option<String>,
    /// The source's name: the database's.
    pub data_source_name: String,
    /// Not used for PostgreSQL.
    #[serde(default)]
    pub source_data_store_name: Option<String>,
    /// Where a restore reads from: `VaultStore`.
    #[serde(default)]
    pub source_data_store_type: Option<String>,
    /// Where a backup of a server writes to.
    #[serde(default)]
    pub destination_data_store_name: Option<String>,
    /// Whether it has sub-tasks.
    pub progress_enabled: bool,
    /// Its version.
    #[serde(alias = "eTag", default)]
    pub etag: Option<String>,
    /// The source's subscription.
    #[serde(rename = "sourceSubscriptionID", alias = "sourceSubscriptionId")]
    pub source_subscription_id: String,
    /// The source's region.
    pub data_source_location: String,
    /// When it began.
    pub start_time: String,
    /// When it ended; `null` while it runs.
    #[serde(default)]
    pub end_time: Option<String>,
    /// `Microsoft.DBforPostgreSQL/servers/databases` and the like.
    #[serde(alias = "datasourceType")]
    pub data_source_type: String,
    /// `Backup` or `Restore`.
    pub operation_category: String,
    /// `Backup`, `ScheduledBackup` or `Restore`.
    pub operation: String,
    /// `InProgress`, `Completed`, `CompletedWithWarnings`, `Failed` or `Cancelled`.
    pub status: String,
    /// Not used for PostgreSQL.
    #[serde(default)]
    pub restore_type: Option<String>,
    /// Whether it was asked for.
    pub is_user_triggered: bool,
    /// How fast it comes from the archive.
    #[serde(default)]
    pub rehydration_priority: Option<String>,
    /// What can be done with it: `[""]` for nothing, `[]` in lists.
    pub supported_actions: Vec<String>,
    /// How long it took: in ISO 8601, in lists as a `TimeSpan`.
    #[serde(default)]
    pub duration: Option<String>,
    /// Not used for PostgreSQL.
    #[serde(default)]
    pub progress_url: Option<String>,
    /// Whether it restores from another region.
    #[serde(default)]
    pub is_cross_region_restore: Option<bool>,
    /// Why it failed.
    #[serde(default)]
    pub error_details: Option<Vec<UserFacingError>>,
    /// What it did; `null` in lists.
    #[serde(default)]
    pub extended_info: Option<JobExtendedInfo>,
}

/// What a job did.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobExtendedInfo {
    /// Not used for PostgreSQL.
    #[serde(default)]
    pub backup_instance_state: Option<String>,
    /// How much was written, as the service counts it.
    #[serde(default)]
    pub data_transferred_in_bytes: Option<f64>,
    /// The recovery point that a backup made.
    #[serde(default)]
    pub target_recover_point: Option<RestoreJobRecoveryPointDetails>,
    /// The recovery point that a restore reads.
    #[serde(default)]
    pub source_recover_point: Option<RestoreJobRecoveryPointDetails>,
    /// Where a restore goes to: a database's id or a container's address.
    #[serde(default)]
    pub recovery_destination: Option<String>,
    /// What it consists of.
    #[serde(default)]
    pub sub_tasks: Option<Vec<JobSubTask>>,
    /// Free members, as `RetentionTag`.
    #[serde(default)]
    pub additional_details: Option<Map<String, Value>>,
    /// What was not as it should be.
    #[serde(default)]
    pub warning_details: Option<Vec<UserFacingWarningDetail>>,
}

/// A part of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobSubTask {
    /// Its number, from 1.
    pub task_id: i32,
    /// `Trigger Backup` or `Trigger Restore`.
    pub task_name: String,
    /// As the job's.
    pub task_status: String,
    /// How far it is.
    #[serde(default)]
    pub task_progress: Option<String>,
    /// Free members, all texts: `OriginalDatasourceSizeInBytes`, `TaskId`, …
    #[serde(default)]
    pub additional_details: Option<Map<String, Value>>,
}

/// A recovery point that a job made or read.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RestoreJobRecoveryPointDetails {
    /// Its id.
    #[serde(rename = "recoveryPointID", alias = "recoveryPointId", default)]
    pub recovery_point_id: Option<String>,
    /// Its time; the service writes [`MIN_TIME`](crate::duration::MIN_TIME) for one just made.
    #[serde(default)]
    pub recovery_point_time: Option<String>,
}

/// A warning of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserFacingWarningDetail {
    /// What it is about.
    #[serde(default)]
    pub resource_name: Option<String>,
    /// What it says.
    pub warning: UserFacingError,
}
