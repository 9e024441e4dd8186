use super::{RESOURCE_ID_BYTES_MAX, ResourceId, ResourceIdError};

const VAULT: &str =
    "/subscriptions/S1/resourcegroups/Rg/providers/microsoft.dataprotection/BackupVaults/V1";

fn id(text: &str) -> ResourceId {
    ResourceId::parse(text).unwrap()
}

#[test]
fn keeps_the_writers_casing_and_compares_without_it() {
    let written = id(VAULT);
    let other = id(&VAULT.to_uppercase().replace("/SUBSCRIPTIONS", "/subscriptions"));
    assert_eq!(written.to_string(), VAULT);
    assert_eq!(written, other);
    assert_eq!(written.key(), VAULT.to_lowercase());
    assert_eq!(written.cmp(&other), std::cmp::Ordering::Equal);
}

#[test]
fn names_its_parts() {
    let instance = id(VAULT).child("backupInstances", "bi");
    assert_eq!(instance.subscription_id(), Some("S1"));
    assert_eq!(instance.resource_group(), Some("Rg"));
    assert_eq!(instance.provider(), Some("microsoft.dataprotection"));
    assert_eq!(instance.resource_type(), "microsoft.dataprotection/BackupVaults/backupInstances");
    assert!(instance.is_type("Microsoft.DataProtection/backupVaults/backupInstances"));
    assert_eq!(instance.name(), "bi");
    assert_eq!(instance.parent(), Some(id(VAULT)));
}

#[test]
fn climbs_to_the_root() {
    let mut seen = Vec::new();
    let mut next = Some(id(VAULT).child("backupInstances", "bi").provider_child(
        "Microsoft.Authorization",
        "roleAssignments",
        "ra",
    ));
    while let Some(current) = next {
        seen.push(current.to_string());
        next = current.parent();
    }
    assert_eq!(
        seen,
        [
            format!(
                "{VAULT}/backupInstances/bi/providers/Microsoft.Authorization/roleAssignments/ra"
            ),
            format!("{VAULT}/backupInstances/bi"),
            VAULT.to_owned(),
            "/subscriptions/S1/resourcegroups/Rg".to_owned(),
            "/subscriptions/S1".to_owned(),
            "/".to_owned(),
        ]
    );
}

#[test]
fn a_resource_may_be_named_providers() {
    let odd = id("/subscriptions/s/resourceGroups/providers/providers/N.S/t/providers/u/providers");
    assert_eq!(odd.resource_group(), Some("providers"));
    assert_eq!(odd.resource_type(), "N.S/t/u");
    assert_eq!(odd.name(), "providers");
}

#[test]
fn scope_is_a_matter_of_whole_segments() {
    let vault = id(VAULT);
    assert!(vault.is_within(&ResourceId::root()));
    assert!(vault.is_within(&ResourceId::subscription("s1")));
    assert!(vault.is_within(&ResourceId::group("s1", "RG")));
    assert!(vault.is_within(&vault));
    assert!(!vault.is_within(&ResourceId::group("s1", "r")));
    assert!(!ResourceId::subscription("s1").is_within(&vault));
}

#[test]
fn a_name_cannot_add_a_level() {
    let child = id(VAULT).child("backupInstances", "a/b?c");
    assert_eq!(child.name(), "a%2Fb%3Fc");
    assert_eq!(child.parent(), Some(id(VAULT)));
    assert_eq!(id(child.as_str()), child);
    assert_eq!(id(VAULT).child("t", "..").name(), "%2E%2E");
}

#[test]
fn tolerates_a_trailing_slash_only() {
    assert_eq!(id(&format!("{VAULT}/")).to_string(), VAULT);
    assert_eq!(
        ResourceId::parse("/subscriptions//resourceGroups/x"),
        Err(ResourceIdError::Segment { number: 2 })
    );
}

#[test]
fn refuses_what_is_no_id() {
    for text in [
        "/subscriptions",
        "/subscriptions/s/resourceGroups",
        "/subscriptions/s/resourceGroups/g/x/y",
        "/subscriptions/s/providers/N.S/t",
        "/subscriptions/s/providers/N.S/t/n/u",
        "/resourceGroups/g",
    ] {
        assert_eq!(ResourceId::parse(text), Err(ResourceIdError::Form), "{text}");
    }
    assert_eq!(ResourceId::parse(""), Err(ResourceIdError::NotAbsolute));
    assert_eq!(ResourceId::parse("subscriptions/s"), Err(ResourceIdError::NotAbsolute));
    let long = format!("/subscriptions/{}", "x".repeat(RESOURCE_ID_BYTES_MAX));
    assert_eq!(ResourceId::parse(&long), Err(ResourceIdError::TooLong));
    for text in ["/subscriptions/a\u{0}b", "/subscriptions/..", "/subscriptions/a?b"] {
        assert_eq!(ResourceId::parse(text), Err(ResourceIdError::Segment { number: 2 }), "{text}");
    }
}
