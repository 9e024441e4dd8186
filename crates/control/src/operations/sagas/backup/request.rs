//! What the engine is asked for, out of the instance, its policy and the configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use coffer_engine::backup::{BackupOptions, BackupRequest, UnreadOptions};

use super::super::data_run::WorkDirectory;
use super::super::datasource_access::DatasourceAccess;
use super::super::validate_for_backup::discover_tools;
use super::{Backup, Checkpoint};
use crate::config::ReuseConfig;
use crate::db;
use crate::operations::{Failure, Run};
use crate::policy::schedule::shown;

impl Backup {
    /// What the engine is asked for.
    pub(super) async fn request(
        &self,
        run: &Run,
        checkpoint: &Checkpoint,
        access: &DatasourceAccess,
        work: &WorkDirectory,
        instance_body: &serde_json::Value,
    ) -> Result<BackupRequest, Failure> {
        let previous =
            db::recovery_point::newest(self.app.db.read(), checkpoint.repository_guid).await?;
        let operation = run.operation();
        let mut labels = BTreeMap::new();
        let mut label = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                labels.insert(name.to_owned(), value.to_owned());
            }
        };
        let properties = &instance_body["properties"];
        label("vault", Some(operation.vault.as_str()));
        label("backupInstance", operation.instance.as_ref().map(|id| id.as_str()));
        label("friendlyName", properties["friendlyName"].as_str());
        label("dataSource", properties["dataSourceInfo"]["resourceID"].as_str());
        label("policy", properties["policyInfo"]["policyId"].as_str());
        label("retentionTag", Some(&checkpoint.retention.tag));
        label("retentionTagVersion", Some(&checkpoint.retention.tag_version));
        label("keepFor", checkpoint.retention.keep_for.as_deref());
        label("scheduledFor", checkpoint.scheduled_us.map(shown).as_deref());
        label("policyVersion", Some(&checkpoint.retention.policy_version.to_string()));
        Ok(BackupRequest {
            source: access.connect.clone(),
            tools: discover_tools(&self.app).await?,
            recovery_point_id: checkpoint.recovery_point_id.clone(),
            labels,
            options: BackupOptions {
                workers: self.app.config.limits.data_workers,
                user_mappings: self.app.config.backup_user_mappings,
                previous: previous.map(|point| point.id),
                unread: self.unread(),
                deltas: self.app.config.backup_reuse.deltas,
                ..BackupOptions::default()
            },
            work_dir: work.path().to_owned(),
        })
    }

    fn unread(&self) -> UnreadOptions {
        let ReuseConfig { take_over, wal_summaries, full_read_days, audit_per_mille, .. } =
            self.app.config.backup_reuse;
        UnreadOptions {
            enabled: take_over,
            wal_summaries,
            audit_per_mille,
            full_read_after: Duration::from_secs(u64::from(full_read_days) * 86_400),
            ..UnreadOptions::default()
        }
    }
}
