//! Which retention a new recovery point gets: the rule of the policy in force that its tag names.

use coffer_azure::ResourceId;
use coffer_azure::duration::ticks;
use jiff::{Span, Timestamp, tz::TimeZone};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::app::App;
use crate::app::dataprotection::errors;
use crate::app::dataprotection::new_job::DEFAULT_RETENTION_TAG;
use crate::db;
use crate::error::Error;

/// What is fixed before a backup begins.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PolicyRetention {
    /// The tag's name.
    pub(super) tag: String,
    /// .NET ticks of its making.
    pub(super) tag_version: String,
    /// The policy's name.
    pub(super) policy_name: String,
    /// ISO 8601: for how long the recovery point is kept. None when the policy does not say.
    pub(super) keep_for: Option<String>,
}

impl PolicyRetention {
    /// Reads the policy. Without a tag, the rule for what no other tag fits counts.
    pub(super) async fn read(
        app: &App,
        policy: &ResourceId,
        tag: Option<&str>,
    ) -> Result<PolicyRetention, Error> {
        let resource = db::resource_get(app.db.read(), policy)
            .await?
            .ok_or_else(errors::resource_not_found)?;
        let rules =
            resource.body["properties"]["policyRules"].as_array().cloned().unwrap_or_default();
        let rule =
            rules.iter().filter(|rule| rule["objectType"] == "AzureRetentionRule").find(|rule| {
                match tag {
                    Some(tag) => {
                        rule["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(tag))
                    }
                    None => rule["isDefault"] == true,
                }
            });
        Ok(PolicyRetention {
            tag: tag.unwrap_or(DEFAULT_RETENTION_TAG).to_owned(),
            tag_version: ticks(resource.created_us).to_string(),
            policy_name: resource.id.name().to_owned(),
            keep_for: rule.and_then(vault_store_duration),
        })
    }

    /// When a recovery point of this time may go; calendar periods are counted in UTC.
    pub(super) fn expiry_us(&self, taken_us: i64) -> Option<i64> {
        let span: Span = self.keep_for.as_deref()?.parse().ok()?;
        let taken = Timestamp::from_microsecond(taken_us).ok()?.to_zoned(TimeZone::UTC);
        // A period beyond the calendar's end is for ever.
        taken.checked_add(span).ok().map(|expiry| expiry.timestamp().as_microsecond())
    }
}

fn vault_store_duration(rule: &Value) -> Option<String> {
    let lifecycles = rule["lifecycles"].as_array()?;
    let lifecycle = lifecycles
        .iter()
        .find(|lifecycle| lifecycle["sourceDataStore"]["dataStoreType"] == "VaultStore")?;
    lifecycle["deleteAfter"]["duration"].as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let rule = serde_json::json!({ "lifecycles": [
            { "deleteAfter": { "duration": "P6M" }, "sourceDataStore": { "dataStoreType": "ArchiveStore" } },
            { "deleteAfter": { "duration": "P7D" }, "sourceDataStore": { "dataStoreType": "VaultStore" } },
        ]});
        assert_eq!(vault_store_duration(&rule).as_deref(), Some("P7D"));
    }
}
