//! What makes a backup policy usable, and what a policy says about tags and retention.
//!
//! Pure. Every refusal names the rule and the member concerned: the real service answers one vague sentence for some ten different
//! mistakes. What passes here can be computed with later: one backup rule, one retention rule per tag, one default, no ambiguity.

use std::collections::HashSet;

use coffer_azure::datasource::{DATABASE_TYPE, SERVER_TYPE, is_database_type, is_server_type};
use coffer_azure::{
    AzureBackupRule, AzureRetentionRule, BackupCriteria, BackupParameters, BackupPolicy,
    BasePolicyRule, CopyOption, DataStoreType, DeleteOption, ScheduleBasedBackupCriteria,
    ScheduleBasedTriggerContext, SourceLifeCycle, TaggingCriteria, TriggerContext,
};

use super::interval::{parse_positive_duration, parse_repeating_interval, resolve_time_zone};

/// Most rules in a policy.
pub const RULES_MAX: usize = 64;
/// Most schedule entries in a backup rule.
pub const INTERVALS_MAX: usize = 64;
/// Longest name of a rule or tag, in bytes.
pub const RULE_NAME_BYTES_MAX: usize = 150;

const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKS: [&str; 5] = ["First", "Second", "Third", "Fourth", "Last"];

/// The parts of a policy that passed [`check`].
#[derive(Debug, Clone, Copy)]
pub struct PolicyParts<'a> {
    /// The only backup rule.
    pub backup: &'a AzureBackupRule,
    /// Its trigger.
    pub trigger: &'a ScheduleBasedTriggerContext,
}

/// Checks a policy. The error is a sentence for its author.
pub fn check(policy: &BackupPolicy) -> Result<PolicyParts<'_>, String> {
    check_datasource_types(&policy.datasource_types)?;
    if policy.policy_rules.len() > RULES_MAX {
        return Err(format!(
            "policyRules has {} rules; at most {RULES_MAX} are possible.",
            policy.policy_rules.len()
        ));
    }
    check_names(&policy.policy_rules)?;
    let mut backups = policy.policy_rules.iter().filter_map(|rule| match rule {
        BasePolicyRule::AzureBackupRule(rule) => Some(rule.as_ref()),
        BasePolicyRule::AzureRetentionRule(_) => None,
    });
    let (Some(backup), None) = (backups.next(), backups.next()) else {
        return Err("policyRules needs exactly one rule of objectType AzureBackupRule.".into());
    };
    let retentions: Vec<&AzureRetentionRule> = retention_rules(policy).collect();
    let trigger = check_backup_rule(backup)?;
    for rule in &retentions {
        check_lifecycles(rule)?;
    }
    check_tags(trigger, &retentions)?;
    Ok(PolicyParts { backup, trigger })
}

/// Whether a stored policy is one for servers as wholes, and not for databases.
#[must_use]
pub fn is_for_servers(policy: &BackupPolicy) -> bool {
    policy.datasource_types.iter().any(|one| is_server_type(one))
}

/// The backup rule's name in a stored policy.
#[must_use]
pub fn backup_rule_name(policy: &BackupPolicy) -> Option<&str> {
    policy.policy_rules.iter().find_map(|rule| match rule {
        BasePolicyRule::AzureBackupRule(rule) => Some(rule.name.as_str()),
        BasePolicyRule::AzureRetentionRule(_) => None,
    })
}

/// The retention rule for a tag, in any case.
#[must_use]
pub fn retention_rule<'a>(policy: &'a BackupPolicy, tag: &str) -> Option<&'a AzureRetentionRule> {
    retention_rules(policy).find(|rule| rule.name.eq_ignore_ascii_case(tag))
}

/// The retention rule for what no other tag fits.
#[must_use]
pub fn default_retention_rule(policy: &BackupPolicy) -> Option<&AzureRetentionRule> {
    retention_rules(policy).find(|rule| rule.is_default.unwrap_or(false))
}

/// The names of all retention rules.
#[must_use]
pub fn retention_rule_names(policy: &BackupPolicy) -> Vec<&str> {
    retention_rules(policy).map(|rule| rule.name.as_str()).collect()
}

fn retention_rules(policy: &BackupPolicy) -> impl Iterator<Item = &AzureRetentionRule> {
    policy.policy_rules.iter().filter_map(|rule| match rule {
        BasePolicyRule::AzureRetentionRule(rule) => Some(rule.as_ref()),
        BasePolicyRule::AzureBackupRule(_) => None,
    })
}

fn check_datasource_types(types: &[String]) -> Result<(), String> {
    match types {
        [one] if is_database_type(one) || is_server_type(one) => Ok(()),
        [one] => Err(format!(
            "datasourceTypes has '{one}', which is not supported by this version; {DATABASE_TYPE} and {SERVER_TYPE} are."
        )),
        _ => Err(format!(
            "datasourceTypes needs exactly one type, {DATABASE_TYPE} or {SERVER_TYPE}."
        )),
    }
}

fn check_names(rules: &[BasePolicyRule]) -> Result<(), String> {
    let mut seen = HashSet::new();
    for rule in rules {
        let name = rule.name();
        if name.trim().is_empty() || name.len() > RULE_NAME_BYTES_MAX {
            return Err(format!(
                "A rule's name has between 1 and {RULE_NAME_BYTES_MAX} bytes; '{name}' does not."
            ));
        }
        if !seen.insert(name.to_lowercase()) {
            return Err(format!("Two rules of the policy have the name '{name}'."));
        }
    }
    Ok(())
}

fn check_backup_rule(rule: &AzureBackupRule) -> Result<&ScheduleBasedTriggerContext, String> {
    let name = &rule.name;
    if let Some(BackupParameters::AzureBackupParams(parameters)) = &rule.backup_parameters
        && !parameters.backup_type.eq_ignore_ascii_case("Full")
    {
        return Err(format!(
            "The rule '{name}' has backupType '{}'; PostgreSQL databases are backed up with Full.",
            parameters.backup_type
        ));
    }
    if rule.data_store.data_store_type != DataStoreType::VaultStore {
        return Err(format!(
            "The rule '{name}' has dataStoreType '{}'; PostgreSQL databases are backed up to VaultStore.",
            rule.data_store.data_store_type
        ));
    }
    let TriggerContext::ScheduleBasedTriggerContext(trigger) = &rule.trigger else {
        return Err(format!(
            "The trigger of the rule '{name}' needs the objectType ScheduleBasedTriggerContext."
        ));
    };
    let intervals = &trigger.schedule.repeating_time_intervals;
    if intervals.is_empty() || intervals.len() > INTERVALS_MAX {
        return Err(format!(
            "repeatingTimeIntervals of the rule '{name}' needs between 1 and {INTERVALS_MAX} entries."
        ));
    }
    for interval in intervals {
        parse_repeating_interval(interval)
            .map_err(|reason| format!("repeatingTimeIntervals of the rule '{name}': {reason}."))?;
    }
    if let Some(zone) = trigger.schedule.time_zone.as_deref().filter(|zone| !zone.is_empty())
        && resolve_time_zone(zone).is_none()
    {
        return Err(format!(
            "timeZone of the rule '{name}' is '{zone}', which is neither a Windows time zone (India Standard Time) nor an IANA one \
             (Asia/Kolkata)."
        ));
    }
    Ok(trigger)
}

fn check_tags(
    trigger: &ScheduleBasedTriggerContext,
    retentions: &[&AzureRetentionRule],
) -> Result<(), String> {
    let tags = &trigger.tagging_criteria;
    let mut names = HashSet::new();
    let mut priorities = HashSet::new();
    for tag in tags {
        let name = tag.tag_info.tag_name.as_str();
        if !names.insert(name.to_lowercase()) {
            return Err(format!("taggingCriteria has two entries with the tagName '{name}'."));
        }
        if tag.tagging_priority < 0 || !priorities.insert(tag.tagging_priority) {
            return Err(format!(
                "taggingPriority {} of the tag '{name}' is negative or used twice; the lowest number of the tags that fit wins, so each \
                 needs its own.",
                tag.tagging_priority
            ));
        }
        check_criteria(tag)?;
        let Some(rule) = retentions.iter().find(|rule| rule.name.eq_ignore_ascii_case(name)) else {
            return Err(format!("The tag '{name}' has no AzureRetentionRule of the same name."));
        };
        if rule.is_default.unwrap_or(false) != tag.is_default {
            return Err(format!(
                "isDefault of the tag '{name}' and of the AzureRetentionRule '{}' differ.",
                rule.name
            ));
        }
    }
    if tags.iter().filter(|tag| tag.is_default).count() != 1 {
        return Err("taggingCriteria needs exactly one entry with isDefault true, for the backups that no other tag fits.".into());
    }
    for rule in retentions {
        if !names.contains(&rule.name.to_lowercase()) {
            return Err(format!(
                "The AzureRetentionRule '{}' has no tag of the same name in the trigger's taggingCriteria.",
                rule.name
            ));
        }
    }
    Ok(())
}

fn check_criteria(tag: &TaggingCriteria) -> Result<(), String> {
    let name = &tag.tag_info.tag_name;
    let criteria = tag.criteria.as_deref().unwrap_or_default();
    if tag.is_default {
        return if criteria.is_empty() {
            Ok(())
        } else {
            Err(format!(
                "The default tag '{name}' has criteria; it is given exactly when no other tag fits."
            ))
        };
    }
    if criteria.is_empty() {
        return Err(format!(
            "The tag '{name}' is not the default and has no criteria: it would never be given."
        ));
    }
    for BackupCriteria::ScheduleBasedBackupCriteria(criteria) in criteria {
        check_one_criteria(criteria)
            .map_err(|reason| format!("The criteria of the tag '{name}': {reason}."))?;
    }
    Ok(())
}

fn check_one_criteria(criteria: &ScheduleBasedBackupCriteria) -> Result<(), String> {
    let ScheduleBasedBackupCriteria {
        absolute_criteria,
        days_of_month,
        days_of_the_week,
        months_of_year,
        schedule_times,
        weeks_of_the_month,
    } = criteria;
    if let Some(unknown) = absolute_criteria.iter().flatten().find(|marker| !marker.is_known()) {
        return Err(format!("absoluteCriteria has '{unknown}', which does not exist"));
    }
    for day in days_of_month.iter().flatten() {
        let is_last = day.is_last.unwrap_or(false);
        let fits = match day.date {
            Some(date) => is_last || (1..=28).contains(&date),
            None => is_last,
        };
        if !fits {
            return Err("daysOfMonth takes a date from 1 to 28, or isLast true".into());
        }
    }
    check_words("daysOfTheWeek", days_of_the_week.as_deref(), &WEEKDAYS)?;
    check_words("monthsOfYear", months_of_year.as_deref(), &MONTHS)?;
    check_words("weeksOfTheMonth", weeks_of_the_month.as_deref(), &WEEKS)?;
    if let Some(time) = schedule_times.iter().flatten().find(|time| !is_date_time(time)) {
        return Err(format!("scheduleTimes has '{time}', which is not a date and time"));
    }
    let is_empty = |list: Option<usize>| list.unwrap_or(0) == 0;
    if is_empty(absolute_criteria.as_ref().map(Vec::len))
        && is_empty(days_of_month.as_ref().map(Vec::len))
        && is_empty(days_of_the_week.as_ref().map(Vec::len))
        && is_empty(months_of_year.as_ref().map(Vec::len))
        && is_empty(schedule_times.as_ref().map(Vec::len))
        && is_empty(weeks_of_the_month.as_ref().map(Vec::len))
    {
        return Err("nothing is said; absoluteCriteria [\"AllBackup\"] is for every backup".into());
    }
    Ok(())
}

fn check_words(member: &str, given: Option<&[String]>, known: &[&str]) -> Result<(), String> {
    match given
        .unwrap_or_default()
        .iter()
        .find(|word| !known.iter().any(|known| known.eq_ignore_ascii_case(word)))
    {
        Some(unknown) => Err(format!("{member} has '{unknown}', which does not exist")),
        None => Ok(()),
    }
}

fn is_date_time(text: &str) -> bool {
    text.contains(['T', 't'])
        && (text.parse::<jiff::Timestamp>().is_ok()
            || text.parse::<jiff::civil::DateTime>().is_ok())
}

fn check_lifecycles(rule: &AzureRetentionRule) -> Result<(), String> {
    let name = &rule.name;
    let refuse = |reason: String| Err(format!("The lifecycles of the rule '{name}': {reason}."));
    let Some(first) = rule.lifecycles.first() else {
        return refuse("at least one is needed".into());
    };
    if first.source_data_store.data_store_type != DataStoreType::VaultStore {
        return refuse(format!(
            "the first has the sourceDataStore '{}'; it has to be VaultStore",
            first.source_data_store.data_store_type
        ));
    }
    let mut expected = vec![DataStoreType::VaultStore];
    let mut seen: Vec<&DataStoreType> = Vec::new();
    for lifecycle in &rule.lifecycles {
        let store = &lifecycle.source_data_store.data_store_type;
        if seen.contains(&store) {
            return refuse(format!("two have the sourceDataStore '{store}'"));
        }
        if !expected.contains(store) {
            return refuse(format!(
                "nothing is ever copied to '{store}'; a lifecycle before it needs targetDataStoreCopySettings for it"
            ));
        }
        seen.push(store);
        if let Err(reason) = check_one_lifecycle(lifecycle) {
            return refuse(reason);
        }
        for target in lifecycle.target_data_store_copy_settings.iter().flatten() {
            expected.push(target.data_store.data_store_type.clone());
        }
    }
    if let Some(unsaid) = expected.iter().find(|store| !seen.contains(store)) {
        return refuse(format!(
            "copies are made in '{unsaid}', but no lifecycle says when they are deleted there"
        ));
    }
    Ok(())
}

fn check_one_lifecycle(lifecycle: &SourceLifeCycle) -> Result<(), String> {
    let DeleteOption::AbsoluteDeleteOption(delete) = &lifecycle.delete_after;
    parse_positive_duration(&delete.duration).map_err(|reason| format!("deleteAfter: {reason}"))?;
    for target in lifecycle.target_data_store_copy_settings.iter().flatten() {
        let store = &target.data_store.data_store_type;
        if lifecycle.source_data_store.data_store_type != DataStoreType::VaultStore
            || *store != DataStoreType::ArchiveStore
        {
            return Err(format!(
                "copies go from VaultStore to ArchiveStore, not from '{}' to '{store}'",
                lifecycle.source_data_store.data_store_type
            ));
        }
        if let CopyOption::CustomCopyOption(option) = &target.copy_after {
            let duration = option.duration.as_deref().unwrap_or_default();
            parse_positive_duration(duration).map_err(|reason| format!("copyAfter: {reason}"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
