//! The result of an export of jobs.

use serde::{Deserialize, Serialize};

/// Where the exported jobs are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExportJobsResult {
    /// The list of jobs as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob_url: Option<String>,
    /// What follows `?` behind [`Self::blob_url`], and allows to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blob_sas_key: Option<String>,
    /// The list of jobs as a workbook.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excel_file_blob_url: Option<String>,
    /// What follows `?` behind [`Self::excel_file_blob_url`], and allows to read it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub excel_file_blob_sas_key: Option<String>,
}
