use super::*;
use serde_json::json;

fn storage() -> Option<Vec<StorageSetting>> {
    coffer_azure::decode_value(
        json!([{ "datastoreType": "VaultStore", "type": "LocallyRedundant" }]),
    )
    .unwrap()
}

fn security(soft_delete: &str, immutability: &str) -> RequestedSettings {
    RequestedSettings {
        security: coffer_azure::decode_value(json!({
            "softDeleteSettings": { "state": soft_delete, "retentionDurationInDays": 14.0 },
            "immutabilitySettings": { "state": immutability }
        }))
        .unwrap(),
        ..RequestedSettings::default()
    }
}

#[test]
fn a_new_vault_is_soft_deleting() {
    let vault = effective(storage(), RequestedSettings::default(), None, None).unwrap();
    assert_eq!(soft_delete_of(&vault).unwrap(), (SoftDelete::On, 14.0));
    assert_eq!(vault.secure_score.as_deref(), Some("None"));
    assert!(vault.security_settings.unwrap().immutability_settings.is_none());
}

#[test]
fn the_recorded_walk_of_changes() {
    let mut vault = effective(storage(), security("Off", "Unlocked"), None, None).unwrap();
    for (soft_delete, immutability, outcome) in [
        ("On", "Unlocked", Ok(("Minimum", "Fair"))),
        ("Off", "Unlocked", Ok(("None", "Poor"))),
        ("AlwaysOn", "Unlocked", Ok(("Adequate", "Good"))),
        ("On", "Unlocked", Err("UserErrorDisableSoftDeleteNotAllowed")),
        ("AlwaysOn", "Disabled", Ok(("Adequate", "Good"))),
        ("AlwaysOn", "Locked", Ok(("Adequate", "Good"))),
        ("AlwaysOn", "Unlocked", Err("UserErrorUnsupportedVaultImmutabilityStateChange")),
    ] {
        match (effective(None, security(soft_delete, immutability), Some(&vault), None), outcome) {
            (Ok(next), Ok((score, level))) => {
                assert_eq!(next.secure_score.as_deref(), Some(score));
                assert_eq!(next.bcdr_security_level.as_deref(), Some(level));
                vault = next;
            }
            (Err(error), Err(code)) => assert_eq!(error.code, code),
            (got, expected) => {
                panic!("{soft_delete} {immutability}: {got:?}, expected {expected:?}")
            }
        }
    }
    let silent = effective(None, RequestedSettings::default(), Some(&vault), None).unwrap();
    assert_eq!(silent.security_settings, vault.security_settings);
}

#[test]
fn cross_region_restore_stays() {
    let features = |state: &str| RequestedSettings {
        features: coffer_azure::decode_value(
            json!({ "crossRegionRestoreSettings": { "state": state } }),
        )
        .unwrap(),
        ..RequestedSettings::default()
    };
    let geo = || {
        let kind = json!([{ "datastoreType": "VaultStore", "type": "GeoRedundant" }]);
        coffer_azure::decode_value(kind).unwrap()
    };
    for (storage, region) in [(storage(), Some("there")), (geo(), None)] {
        let error = effective(storage, features("Enabled"), None, region).unwrap_err();
        assert_eq!(error.code, "BMSUserErrorInvalidInput", "{region:?}");
    }
    let off = effective(geo(), features("Disabled"), None, Some("there")).unwrap();
    assert_eq!(off.replicated_regions, Some(vec!["there".to_owned()]), "copied all the same");
    let vault = effective(geo(), features("Enabled"), Some(&off), Some("there")).unwrap();
    assert_eq!(vault.replicated_regions, Some(vec!["there".to_owned()]));
    let error = effective(None, features("Disabled"), Some(&vault), Some("there")).unwrap_err();
    assert_eq!(error.code, "UserErrorCrossRegionRestoreStateChangeNotAllowed");
    let none = RequestedSettings::default;
    let error = effective(storage(), none(), Some(&vault), Some("there")).unwrap_err();
    assert_eq!(error.code, "BMSUserErrorInvalidInput", "its second region would go");
    let kept = effective(None, none(), Some(&vault), Some("there")).unwrap();
    assert_eq!(kept.replicated_regions, vault.replicated_regions);
    // One of before second regions were served.
    let old = BackupVault { replicated_regions: Some(Vec::new()), ..vault };
    effective(None, features("Enabled"), Some(&old), None).unwrap();
    effective(None, features("Enabled"), Some(&old), Some("there")).unwrap();
}

#[test]
fn settings_that_do_not_exist_are_refused() {
    for settings in [security("Sometimes", "Disabled"), security("On", "Molten")] {
        assert_eq!(
            effective(storage(), settings, None, None).unwrap_err().code,
            "BMSUserErrorInvalidInput"
        );
    }
    for days in [0.0, 13.9, 181.0, -1.0] {
        let settings = RequestedSettings {
            security: coffer_azure::decode_value(
                json!({ "softDeleteSettings": { "retentionDurationInDays": days } }),
            )
            .unwrap(),
            ..RequestedSettings::default()
        };
        assert!(effective(storage(), settings, None, None).is_err(), "{days}");
    }
    assert!(effective(None, RequestedSettings::default(), None, None).is_err());
    assert!(effective(Some(Vec::new()), RequestedSettings::default(), None, None).is_err());
}
