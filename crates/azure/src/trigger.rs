//! When a policy's rule runs, and which tag the recovery point gets.

use serde::{Deserialize, Serialize};

use crate::tagged::{tagged, text_enum};

tagged! {
    /// When a rule runs.
    pub enum TriggerContext, Last {
        /// At given times.
        ScheduleBasedTriggerContext,
        /// When asked to.
        AdhocBasedTriggerContext,
    }
}

/// At given times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleBasedTriggerContext {
    /// Which times.
    pub schedule: BackupSchedule,
    /// Which tag the recovery points get.
    pub tagging_criteria: Vec<TaggingCriteria>,
}

/// When asked to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdhocBasedTriggerContext {
    /// Which tag the recovery points get.
    pub tagging_criteria: AdhocBasedTaggingCriteria,
}

/// The tag of recovery points that were asked for.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdhocBasedTaggingCriteria {
    /// The tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag_info: Option<RetentionTag>,
}

/// Times in ISO 8601.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BackupSchedule {
    /// `R/2019-11-20T08:00:00-08:00/P1W` and the like.
    pub repeating_time_intervals: Vec<String>,
    /// The zone to count in, by its Windows name: `India Standard Time`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<String>,
}

/// A tag and when it is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaggingCriteria {
    /// The tag.
    pub tag_info: RetentionTag,
    /// The lowest number of those that fit wins.
    pub tagging_priority: i64,
    /// Whether it is given when no other fits.
    pub is_default: bool,
    /// When it is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub criteria: Option<Vec<BackupCriteria>>,
}

/// A label that ties a recovery point to a retention rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionTag {
    /// The retention rule's name.
    pub tag_name: String,
    /// The tag's version; written by the service.
    #[serde(alias = "etag", default, skip_serializing_if = "Option::is_none")]
    pub e_tag: Option<String>,
    /// The name and an underscore; written by the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

tagged! {
    /// When a tag is given; there is one kind.
    pub enum BackupCriteria, Last, default ScheduleBasedBackupCriteria {
        /// By the time of the backup.
        ScheduleBasedBackupCriteria,
    }
}

/// When a tag is given, by the time of the backup. Absent members fit any time.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleBasedBackupCriteria {
    /// The first successful backup of a period.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absolute_criteria: Option<Vec<AbsoluteMarker>>,
    /// Days of the month.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_of_month: Option<Vec<Day>>,
    /// `Monday` to `Sunday`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days_of_the_week: Option<Vec<String>>,
    /// `January` to `December`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub months_of_year: Option<Vec<String>>,
    /// Times of the schedule, in ISO 8601.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_times: Option<Vec<String>>,
    /// `First` to `Fourth`, `Last`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weeks_of_the_month: Option<Vec<String>>,
}

text_enum! {
    /// The first successful backup of a period.
    pub enum AbsoluteMarker {
        /// Every one.
        AllBackup = "AllBackup",
        /// The first of a day.
        FirstOfDay = "FirstOfDay",
        /// The first of a week.
        FirstOfWeek = "FirstOfWeek",
        /// The first of a month.
        FirstOfMonth = "FirstOfMonth",
        /// The first of a year.
        FirstOfYear = "FirstOfYear",
    }
}

/// A day of a month.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Day {
    /// 1 to 28.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub date: Option<i32>,
    /// Whether the month's last day is meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_last: Option<bool>,
}
