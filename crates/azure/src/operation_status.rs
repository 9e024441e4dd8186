//! What the URL of a long operation answers.

use serde::{Deserialize, Serialize};

use crate::cloud_error::Error;
use crate::tagged::{object_type, text_enum};

/// The state of an operation (`Azure-AsyncOperation`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationResource {
    /// The path that it is asked for by.
    pub id: String,
    /// The last segment of that path.
    pub name: String,
    /// How it is.
    pub status: OperationStatus,
    /// When it began.
    pub start_time: String,
    /// When it ended, in whole seconds; [`MIN_TIME`](crate::duration::MIN_TIME) while it runs.
    pub end_time: String,
    /// The job that it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub properties: Option<OperationJobExtendedInfo>,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Error>,
}

text_enum! {
    /// How an operation is.
    pub enum OperationStatus {
        /// It runs. The service spells it so.
        Inprogress = "Inprogress",
        /// It ended well.
        Succeeded = "Succeeded",
        /// It failed.
        Failed = "Failed",
        /// It was stopped.
        Canceled = "Canceled",
    }
}

/// The result of an operation (`Location`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OperationJobExtendedInfo {
    /// The id of the job that it began, where it began one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_id: Option<String>,
    /// The discriminator.
    #[serde(default)]
    pub object_type: OperationJobExtendedInfoType,
}

object_type! {
    /// The discriminator of an [`OperationJobExtendedInfo`].
    OperationJobExtendedInfoType = "OperationJobExtendedInfo"
}
