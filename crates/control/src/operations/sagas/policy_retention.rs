//! Which retention a new recovery point gets: the rule of the policy in force that its tag names.
//!
//! It is fixed before the backup begins, and the recovery point's end with it: a later change of the policy is for later ones.

use coffer_azure::duration::ticks;
use coffer_azure::{AzureRetentionRule, BackupPolicy, DataStoreType, DeleteOption, ResourceId};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::app::App;
use crate::app::dataprotection::new_job::DEFAULT_RETENTION_TAG;
use crate::app::dataprotection::{backup_policy, errors};
use crate::db;
use crate::error::Error;
use crate::policy::schedule::Schedule;
use crate::policy::tagging::{self, History};
use crate::policy::{calendar, rules};

/// What is fixed before a backup begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PolicyRetention {
    /// The tag's name.
    pub(super) tag: String,
    /// .NET ticks of its making.
    pub(super) tag_version: String,
    /// The policy's name.
    pub(super) policy_name: String,
    /// Which version of the policy this was read from; grows with each change.
    #[serde(default)]
    pub(super) policy_version: i64,
    /// ISO 8601: for how long the recovery point is kept. None when the policy does not say.
    pub(super) keep_for: Option<String>,
}

impl PolicyRetention {
    /// Reads the policy. The tag is the one that the caller has named, else the one that the policy's criteria give to a backup
    /// that the schedule wants at this time, else the default.
    pub(super) async fn read(
        app: &App,
        policy: &ResourceId,
        repository: Uuid,
        named: Option<&str>,
        scheduled_us: Option<i64>,
    ) -> Result<PolicyRetention, Error> {
        let resource = db::resource_get(app.db.read(), policy)
            .await?
            .ok_or_else(errors::resource_not_found)?;
        let policy = &backup_policy::read(&resource)?;
        let tag = match (named, scheduled_us) {
            (Some(named), _) => Some(named.to_owned()),
            (None, Some(scheduled_us)) => {
                by_criteria(app, policy, repository, scheduled_us).await?
            }
            (None, None) => None,
        };
        let rule = match &tag {
            Some(tag) => rules::retention_rule(policy, tag),
            None => rules::default_retention_rule(policy),
        };
        Ok(PolicyRetention {
            tag: tag.unwrap_or_else(|| DEFAULT_RETENTION_TAG.to_owned()),
            tag_version: ticks(resource.created_us).to_string(),
            policy_name: resource.id.name().to_owned(),
            policy_version: resource.version,
            keep_for: rule.and_then(vault_store_duration),
        })
    }

    /// When a recovery point of this time may go; calendar periods are counted in UTC.
    pub(super) fn expiry_us(&self, taken_us: i64) -> Option<i64> {
        calendar::end_of(taken_us, self.keep_for.as_deref()?.parse().ok()?)
    }
}

async fn by_criteria(
    app: &App,
    policy: &BackupPolicy,
    repository: Uuid,
    scheduled_us: i64,
) -> Result<Option<String>, Error> {
    let trigger = rules::check(policy).map_err(Error::internal)?.trigger;
    let schedule = Schedule::of_trigger(trigger).map_err(Error::internal)?;
    let mut made = Made(Vec::new());
    for period in tagging::periods(trigger) {
        let start_us = period.start_us(schedule.zone(), scheduled_us);
        let before = db::recovery_point::has_scheduled_between(
            app.db.read(),
            repository,
            start_us,
            scheduled_us,
        );
        made.0.push((start_us, before.await?));
    }
    Ok(tagging::tag_of(trigger, schedule.zone(), scheduled_us, &made).map(str::to_owned))
}

/// What was asked of the database beforehand: whether something was made since the beginning of each period.
struct Made(Vec<(i64, bool)>);

impl History for Made {
    fn has_between(&self, from_us: i64, _before_us: i64) -> bool {
        self.0.iter().any(|(start_us, made)| *start_us == from_us && *made)
    }
}

fn vault_store_duration(rule: &AzureRetentionRule) -> Option<String> {
    let lifecycle = rule.lifecycles.iter().find(|lifecycle| {
        lifecycle.source_data_store.data_store_type == DataStoreType::VaultStore
    })?;
    let DeleteOption::AbsoluteDeleteOption(delete) = &lifecycle.delete_after;
    Some(delete.duration.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn months_are_the_calendars_and_absurd_periods_are_for_ever() {
        let mut retention =
            PolicyRetention { keep_for: Some("P3M".into()), ..PolicyRetention::default() };
        let taken: Timestamp = "2024-11-30T10:00:00Z".parse().unwrap();
        let expiry: Timestamp = "2025-02-28T10:00:00Z".parse().unwrap();
        assert_eq!(retention.expiry_us(taken.as_microsecond()), Some(expiry.as_microsecond()));
        retention.keep_for = Some("P9999Y".into());
        assert_eq!(retention.expiry_us(taken.as_microsecond()), None);
        retention.keep_for = None;
        assert_eq!(retention.expiry_us(taken.as_microsecond()), None);
    }

    #[test]
    fn the_lifecycle_of_the_vault_store_counts() {
        let lifecycle = |duration: &str, store: &str| {
            serde_json::json!({
                "deleteAfter": { "duration": duration, "objectType": "AbsoluteDeleteOption" },
                "sourceDataStore": { "dataStoreType": store, "objectType": "DataStoreInfoBase" }
            })
        };
        let rule = serde_json::json!({
            "name": "Weekly",
            "lifecycles": [lifecycle("P6M", "ArchiveStore"), lifecycle("P7D", "VaultStore")]
        });
        let rule: AzureRetentionRule = serde_json::from_value(rule).unwrap();
        assert_eq!(vault_store_duration(&rule).as_deref(), Some("P7D"));
    }
}
