//! Whether a change of a policy takes something away from those that are protected by it.
//!
//! Pure. It errs on one side: what is not plainly a longer retention counts as taking away. A schedule that is moved into the next
//! century ends backups, and a tag with priority and a short life shortens every other, so that both count whatever they look like.

use coffer_azure::{
    AzureBackupRule, AzureRetentionRule, BackupPolicy, BasePolicyRule, DeleteOption,
    SourceLifeCycle,
};
use jiff::Span;

use crate::clock::SECOND_US;
use crate::policy::calendar;
use crate::policy::rules;

const DAY_US: i64 = 86_400 * SECOND_US;
/// Durations are compared from every day of four years: months and years are not equally long.
const DAYS_COMPARED: i64 = 4 * 365 + 1;

/// False only when `after` differs from `before` by longer retentions and new retention rules, if at all. Both are stored or checked
/// policies.
pub(super) fn takes_away(before: &BackupPolicy, after: &BackupPolicy) -> bool {
    let keeps_all = retention_rules(before).all(|old| {
        rules::retention_rule(after, &old.name).is_some_and(|new| keeps_at_least(old, new))
    });
    !keeps_all
        || !backup_rules(before).eq(backup_rules(after))
        || before.datasource_types != after.datasource_types
}

fn keeps_at_least(old: &AzureRetentionRule, new: &AzureRetentionRule) -> bool {
    old.is_default.unwrap_or(false) == new.is_default.unwrap_or(false)
        && old.lifecycles.len() == new.lifecycles.len()
        && old.lifecycles.iter().zip(&new.lifecycles).all(|(old, new)| {
            old.source_data_store == new.source_data_store
                && copies(old) == copies(new)
                && is_at_least(duration(old), duration(new))
        })
}

/// An absent list and an empty one say the same.
fn copies(lifecycle: &SourceLifeCycle) -> &[coffer_azure::TargetCopySetting] {
    lifecycle.target_data_store_copy_settings.as_deref().unwrap_or_default()
}

fn duration(lifecycle: &SourceLifeCycle) -> &str {
    let DeleteOption::AbsoluteDeleteOption(delete) = &lifecycle.delete_after;
    &delete.duration
}

/// Whether `new` never ends before `old` does.
fn is_at_least(old: &str, new: &str) -> bool {
    if old == new {
        return true;
    }
    let (Ok(old), Ok(new)) = (old.parse::<Span>(), new.parse::<Span>()) else { return false };
    (0..DAYS_COMPARED).map(|day| day * DAY_US).all(|from_us| {
        match (calendar::end_of(from_us, old), calendar::end_of(from_us, new)) {
            (_, None) => true,
            (None, Some(_)) => false,
            (Some(old), Some(new)) => old <= new,
        }
    })
}

fn retention_rules(policy: &BackupPolicy) -> impl Iterator<Item = &AzureRetentionRule> {
    policy.policy_rules.iter().filter_map(|rule| match rule {
        BasePolicyRule::AzureRetentionRule(rule) => Some(rule.as_ref()),
        BasePolicyRule::AzureBackupRule(_) => None,
    })
}

fn backup_rules(policy: &BackupPolicy) -> impl Iterator<Item = &AzureBackupRule> {
    policy.policy_rules.iter().filter_map(|rule| match rule {
        BasePolicyRule::AzureBackupRule(rule) => Some(rule.as_ref()),
        BasePolicyRule::AzureRetentionRule(_) => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn retention(name: &str, is_default: bool, duration: &str) -> Value {
        json!({
            "objectType": "AzureRetentionRule", "name": name, "isDefault": is_default,
            "lifecycles": [{
                "deleteAfter": { "objectType": "AbsoluteDeleteOption", "duration": duration },
                "sourceDataStore": { "objectType": "DataStoreInfoBase", "dataStoreType": "VaultStore" }
            }]
        })
    }

    fn policy(interval: &str, retentions: &[Value]) -> BackupPolicy {
        let backup = json!({
            "objectType": "AzureBackupRule", "name": "BackupWeekly",
            "dataStore": { "objectType": "DataStoreInfoBase", "dataStoreType": "VaultStore" },
            "trigger": {
                "objectType": "ScheduleBasedTriggerContext",
                "schedule": { "repeatingTimeIntervals": [interval], "timeZone": "UTC" },
                "taggingCriteria": [
                    { "isDefault": true, "tagInfo": { "id": "Default_", "tagName": "Default" }, "taggingPriority": 99 }
                ]
            }
        });
        let rules: Vec<Value> = std::iter::once(backup).chain(retentions.iter().cloned()).collect();
        coffer_azure::decode_value(json!({
            "datasourceTypes": ["Microsoft.DBforPostgreSQL/servers/databases"], "policyRules": rules
        }))
        .unwrap()
    }

    #[test]
    fn only_a_longer_retention_takes_nothing_away() {
        let weekly = "R/2021-08-15T06:30:00+00:00/P1W";
        let default = |duration: &str| retention("Default", true, duration);
        let before = policy(weekly, &[default("P3M")]);
        for (after, expected) in [
            (policy(weekly, &[default("P3M")]), false),
            (policy(weekly, &[default("P4M")]), false),
            (policy(weekly, &[default("P1Y")]), false),
            (policy(weekly, &[default("P9999Y")]), false),
            (policy(weekly, &[default("P3M"), retention("Short", false, "P1D")]), false),
            (policy(weekly, &[default("P2M")]), true),
            (policy(weekly, &[default("P90D")]), true),
            (policy(weekly, &[retention("Other", true, "P3M")]), true),
            (policy(weekly, &[retention("Default", false, "P3M")]), true),
            (policy("R/2021-08-15T06:30:00+00:00/P99Y", &[default("P3M")]), true),
        ] {
            assert_eq!(takes_away(&before, &after), expected, "{after:?}");
        }
    }

    #[test]
    fn months_are_compared_wherever_they_begin() {
        assert!(!is_at_least("P1M", "P30D"), "January has 31 days");
        assert!(!is_at_least("P30D", "P1M"), "February has fewer");
        assert!(is_at_least("P1M", "P31D") && is_at_least("P28D", "P1M"));
        assert!(is_at_least("P1Y", "P366D") && !is_at_least("P1Y", "P365D"));
        assert!(is_at_least("P7D", "P1W") && is_at_least("P1W", "P7D"));
        assert!(is_at_least("P9999Y", "P9998Y"), "both are for ever");
        assert!(!is_at_least("P9999Y", "P100Y"));
    }
}
