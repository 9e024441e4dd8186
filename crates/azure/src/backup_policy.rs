//! A backup policy: when to back up, and for how long to keep what.

use serde::{Deserialize, Serialize};

use crate::data_store::DataStoreInfoBase;
use crate::lifecycle::SourceLifeCycle;
use crate::tagged::tagged;
use crate::trigger::TriggerContext;

/// A policy, as requests and answers have it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BaseBackupPolicyResource {
    /// What it says.
    pub properties: BaseBackupPolicy,
    /// Requests to the resource guard that allow this change. Azure has no place for them: ours.
    #[serde(
        rename = "resourceGuardOperationRequests",
        default,
        skip_serializing_if = "Option::is_none"
    )]
    pub resource_guard_operation_requests: Option<Vec<String>>,
    /// Its id; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Its name; ignored in requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// `Microsoft.DataProtection/backupVaults/backupPolicies`; ignored in requests.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

tagged! {
    /// What a policy says; there is one kind.
    pub enum BaseBackupPolicy, Last, default BackupPolicy {
        /// Rules for backup and retention.
        BackupPolicy,
    }
}

/// Rules for backup and retention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupPolicy {
    /// The rules.
    pub policy_rules: Vec<BasePolicyRule>,
    /// What they can be used for.
    pub datasource_types: Vec<String>,
}

tagged! {
    /// One rule of a policy.
    pub enum BasePolicyRule, Last {
        /// When to back up.
        AzureBackupRule,
        /// For how long to keep the recovery points of one tag.
        AzureRetentionRule,
    }
}

/// When to back up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackupRule {
    /// Which kind of backup.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backup_parameters: Option<BackupParameters>,
    /// When.
    pub trigger: TriggerContext,
    /// Where to.
    pub data_store: DataStoreInfoBase,
    /// The rule's name, which a request for a backup gives.
    pub name: String,
}

/// For how long to keep the recovery points of one tag.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureRetentionRule {
    /// For how long in which data store.
    pub lifecycles: Vec<SourceLifeCycle>,
    /// Whether it is the rule for what no other tag fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_default: Option<bool>,
    /// The tag's name.
    pub name: String,
}

tagged! {
    /// Which kind of backup a rule makes; there is one kind of parameters.
    pub enum BackupParameters, Last, default AzureBackupParams {
        /// The name of the kind.
        AzureBackupParams,
    }
}

/// The kind of a backup.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AzureBackupParams {
    /// `Full`.
    pub backup_type: String,
}

impl BasePolicyRule {
    /// The rule's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::AzureBackupRule(rule) => &rule.name,
            Self::AzureRetentionRule(rule) => &rule.name,
        }
    }
}
