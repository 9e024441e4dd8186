use coffer_azure::BaseBackupPolicy;
use serde_json::{Value, json};

use super::*;

/// The policy of the recordings and of the documentation, with a monthly tag.
fn policy() -> Value {
    json!({
        "datasourceTypes": ["Microsoft.DBforPostgreSQL/servers/databases"],
        "name": "OssPolicy1",
        "objectType": "BackupPolicy",
        "policyRules": [
            {
                "backupParameters": { "backupType": "Full", "objectType": "AzureBackupParams" },
                "dataStore": { "dataStoreType": "VaultStore", "objectType": "DataStoreInfoBase" },
                "name": "BackupWeekly",
                "objectType": "AzureBackupRule",
                "trigger": {
                    "objectType": "ScheduleBasedTriggerContext",
                    "schedule": {
                        "repeatingTimeIntervals": ["R/2021-08-15T22:00:00+00:00/P1W", "R/2021-08-18T22:00:00+00:00/P1W"],
                        "timeZone": "UTC"
                    },
                    "taggingCriteria": [
                        { "isDefault": true, "tagInfo": { "id": "Default_", "tagName": "Default" }, "taggingPriority": 99 },
                        {
                            "criteria": [{ "absoluteCriteria": ["FirstOfMonth"], "objectType": "ScheduleBasedBackupCriteria" }],
                            "isDefault": false,
                            "tagInfo": { "tagName": "Monthly" },
                            "taggingPriority": 15
                        }
                    ]
                }
            },
            {
                "isDefault": true,
                "lifecycles": [{
                    "deleteAfter": { "duration": "P3M", "objectType": "AbsoluteDeleteOption" },
                    "sourceDataStore": { "dataStoreType": "VaultStore", "objectType": "DataStoreInfoBase" },
                    "targetDataStoreCopySettings": []
                }],
                "name": "Default",
                "objectType": "AzureRetentionRule"
            },
            {
                "isDefault": false,
                "lifecycles": [
                    {
                        "deleteAfter": { "duration": "P6M", "objectType": "AbsoluteDeleteOption" },
                        "sourceDataStore": { "dataStoreType": "VaultStore", "objectType": "DataStoreInfoBase" },
                        "targetDataStoreCopySettings": {
                            "copyAfter": { "objectType": "CopyOnExpiryOption" },
                            "dataStore": { "dataStoreType": "ArchiveStore", "objectType": "DataStoreInfoBase" }
                        }
                    },
                    {
                        "deleteAfter": { "duration": "P24M", "objectType": "AbsoluteDeleteOption" },
                        "sourceDataStore": { "dataStoreType": "ArchiveStore", "objectType": "DataStoreInfoBase" },
                        "targetDataStoreCopySettings": null
                    }
                ],
                "name": "Monthly",
                "objectType": "AzureRetentionRule"
            }
        ]
    })
}

fn outcome(value: Value) -> Result<(), String> {
    let BaseBackupPolicy::BackupPolicy(policy) =
        coffer_azure::decode_value(value).expect("the policy decodes");
    check(&policy).map(|_| ())
}

/// The sample policy with one place of it replaced (or, with `null`, removed).
fn changed(pointer: &str, value: Value) -> Result<(), String> {
    let mut policy = policy();
    *policy.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} exists")) = value;
    outcome(policy)
}

#[test]
fn the_documented_policy_passes() {
    outcome(policy()).unwrap();
}

#[test]
fn any_positive_period_and_both_kinds_of_zone_pass() {
    let schedule = "/policyRules/0/trigger/schedule";
    for period in ["P1D", "PT4H", "PT15M", "P1M", "P2W", "P1Y"] {
        changed(
            &format!("{schedule}/repeatingTimeIntervals"),
            json!([format!("R/2022-08-07T21:00:00-05:00/{period}")]),
        )
        .unwrap();
    }
    for zone in ["India Standard Time", "Asia/Kolkata", ""] {
        changed(&format!("{schedule}/timeZone"), json!(zone)).unwrap();
    }
}

#[test]
fn every_mistake_is_named() {
    let trigger = "/policyRules/0/trigger";
    let criteria = "/policyRules/0/trigger/taggingCriteria/1/criteria/0";
    let cases: Vec<(String, Value, &str)> = vec![
        ("/datasourceTypes".into(), json!([]), "datasourceTypes"),
        ("/datasourceTypes".into(), json!(["Microsoft.Compute/disks"]), "Microsoft.Compute/disks"),
        ("/policyRules".into(), json!([]), "exactly one rule of objectType AzureBackupRule"),
        ("/policyRules/1/name".into(), json!("monthly"), "Two rules"),
        ("/policyRules/0/name".into(), json!(" "), "name"),
        (
            "/policyRules/0/backupParameters/backupType".into(),
            json!("Incremental"),
            "backupType 'Incremental'",
        ),
        (
            "/policyRules/0/dataStore/dataStoreType".into(),
            json!("OperationalStore"),
            "dataStoreType 'OperationalStore'",
        ),
        (
            trigger.into(),
            json!({ "objectType": "AdhocBasedTriggerContext", "taggingCriteria": {} }),
            "ScheduleBasedTriggerContext",
        ),
        (format!("{trigger}/schedule/repeatingTimeIntervals"), json!([]), "repeatingTimeIntervals"),
        (format!("{trigger}/schedule/repeatingTimeIntervals/0"), json!("R/PT4H"), "R/PT4H"),
        (
            format!("{trigger}/schedule/repeatingTimeIntervals/1"),
            json!("R/2021-08-18T22:00:00Z/P0D"),
            "not longer than zero",
        ),
        (format!("{trigger}/schedule/timeZone"), json!("Mars/Olympus"), "Mars/Olympus"),
        (format!("{trigger}/taggingCriteria"), json!([]), "exactly one entry with isDefault"),
        (format!("{trigger}/taggingCriteria/1/tagInfo/tagName"), json!("DEFAULT"), "two entries"),
        (
            format!("{trigger}/taggingCriteria/1/tagInfo/tagName"),
            json!("Yearly"),
            "'Yearly' has no AzureRetentionRule",
        ),
        (format!("{trigger}/taggingCriteria/1/taggingPriority"), json!(99), "taggingPriority 99"),
        (format!("{trigger}/taggingCriteria/1/isDefault"), json!(true), "criteria"),
        (format!("{trigger}/taggingCriteria/0/isDefault"), json!(false), "would never be given"),
        (format!("{trigger}/taggingCriteria/1/criteria"), json!([]), "would never be given"),
        (format!("{criteria}/absoluteCriteria"), json!([]), "nothing is said"),
        (format!("{criteria}/absoluteCriteria/0"), json!("FirstOfDecade"), "FirstOfDecade"),
        (criteria.into(), json!({ "daysOfTheWeek": ["Someday"] }), "Someday"),
        (criteria.into(), json!({ "monthsOfYear": ["Brumaire"] }), "Brumaire"),
        (criteria.into(), json!({ "weeksOfTheMonth": ["Fifth"] }), "Fifth"),
        (criteria.into(), json!({ "daysOfMonth": [{ "date": 31 }] }), "1 to 28"),
        (criteria.into(), json!({ "scheduleTimes": ["13:00"] }), "13:00"),
        ("/policyRules/1/isDefault".into(), json!(false), "isDefault of the tag 'Default'"),
        ("/policyRules/1/lifecycles".into(), json!([]), "at least one"),
        ("/policyRules/1/lifecycles/0/deleteAfter/duration".into(), json!("3 months"), "ISO 8601"),
        (
            "/policyRules/1/lifecycles/0/deleteAfter/duration".into(),
            json!("P0D"),
            "not longer than zero",
        ),
        (
            "/policyRules/1/lifecycles/0/sourceDataStore/dataStoreType".into(),
            json!("ArchiveStore"),
            "VaultStore",
        ),
        (
            "/policyRules/2/lifecycles/1/sourceDataStore/dataStoreType".into(),
            json!("VaultStore"),
            "two have",
        ),
        (
            "/policyRules/2/lifecycles/0/targetDataStoreCopySettings".into(),
            json!([]),
            "nothing is ever copied",
        ),
        (
            "/policyRules/2/lifecycles/0/targetDataStoreCopySettings/copyAfter".into(),
            json!({ "objectType": "CustomCopyOption" }),
            "copyAfter",
        ),
        (
            "/policyRules/2/lifecycles/0/targetDataStoreCopySettings/dataStore/dataStoreType"
                .into(),
            json!("OperationalStore"),
            "VaultStore to ArchiveStore",
        ),
    ];
    for (pointer, value, part) in cases {
        let reason = changed(&pointer, value.clone()).expect_err(&format!("{pointer} = {value}"));
        assert!(reason.contains(part), "{pointer} = {value}: {reason}");
    }
}

#[test]
fn a_copy_without_an_end_is_refused() {
    let mut policy = policy();
    policy["policyRules"][2]["lifecycles"].as_array_mut().unwrap().truncate(1);
    assert!(outcome(policy).unwrap_err().contains("no lifecycle says"));
}

#[test]
fn a_retention_rule_without_a_tag_is_refused() {
    let mut policy = policy();
    policy["policyRules"][0]["trigger"]["taggingCriteria"].as_array_mut().unwrap().truncate(1);
    assert!(outcome(policy).unwrap_err().contains("'Monthly' has no tag"));
}

#[test]
fn names_are_found_in_any_case() {
    let BaseBackupPolicy::BackupPolicy(policy) = coffer_azure::decode_value(policy()).unwrap();
    assert_eq!(backup_rule_name(&policy), Some("BackupWeekly"));
    assert_eq!(retention_rule(&policy, "MONTHLY").map(|rule| rule.name.as_str()), Some("Monthly"));
    assert!(retention_rule(&policy, "Yearly").is_none());
}
