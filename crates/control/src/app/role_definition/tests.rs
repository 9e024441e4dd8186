use super::{builtin, find_builtin};

fn allows(role: &str, action: &str) -> bool {
    let role = builtin().iter().find(|definition| definition.name == role).unwrap();
    role.allows(action, false)
}

fn allows_data(role: &str, action: &str) -> bool {
    let role = builtin().iter().find(|definition| definition.name == role).unwrap();
    role.allows(action, true)
}

#[test]
fn ids_are_distinct_guids_in_lower_case() {
    let mut ids: Vec<_> = builtin().iter().map(|role| role.id).collect();
    assert_eq!(ids.len(), 14);
    assert!(ids.iter().all(|id| uuid::Uuid::try_parse(id).unwrap().to_string() == **id));
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 14);
}

#[test]
fn a_role_is_found_by_any_form_of_its_id() {
    let owner = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635";
    for id in [
        owner.to_owned(),
        owner.to_uppercase(),
        format!("/providers/Microsoft.Authorization/roleDefinitions/{owner}"),
        format!("/subscriptions/s/providers/microsoft.authorization/RoleDefinitions/{owner}"),
    ] {
        assert_eq!(find_builtin(&id).unwrap().name, "Owner", "{id}");
    }
    for id in ["", "Owner", "/subscriptions/s", "00000000-0000-0000-0000-000000000000"] {
        assert_eq!(find_builtin(id), None, "{id}");
    }
    assert_eq!(
        find_builtin(&format!("/providers/Microsoft.Authorization/roleAssignments/{owner}")),
        None
    );
}

#[test]
fn who_may_give_roles() {
    let write = "Microsoft.Authorization/roleAssignments/write";
    assert!(allows("Owner", write) && allows("User Access Administrator", write));
    for role in ["Contributor", "Reader", "Backup Contributor", "Key Vault Administrator"] {
        assert!(!allows(role, write), "{role}");
    }
}

#[test]
fn what_the_backup_roles_may() {
    let instances = "Microsoft.DataProtection/backupVaults/backupInstances";
    for role in ["Backup Contributor", "Backup Operator", "Backup Reader"] {
        assert!(allows(role, &format!("{instances}/read")));
        assert!(allows(role, "Microsoft.DataProtection/backupVaults/backupJobs/read"));
        assert!(!allows(role, "Microsoft.DataProtection/backupVaults/delete"));
        let reader = role == "Backup Reader";
        assert_eq!(allows(role, &format!("{instances}/backup/action")), !reader);
        assert_eq!(allows(role, &format!("{instances}/restore/action")), !reader);
        assert_eq!(allows(role, &format!("{instances}/delete")), role == "Backup Contributor");
    }
}

#[test]
fn values_of_secrets_are_data() {
    let get = "Microsoft.KeyVault/vaults/secrets/getSecret/action";
    let set = "Microsoft.KeyVault/vaults/secrets/setSecret/action";
    assert!(!allows_data("Owner", get) && !allows_data("Reader", get));
    assert!(
        allows_data("Key Vault Secrets User", get) && !allows_data("Key Vault Secrets User", set)
    );
    assert!(
        allows_data("Key Vault Secrets Officer", set)
            && allows_data("Key Vault Administrator", set)
    );
}

#[test]
fn who_consents_and_who_looks_after_guards() {
    let consent = "Microsoft.DataProtection/resourceGuards/dppModifyPolicy/action";
    assert!(allows("Backup MUA Operator", consent));
    let guards = "Microsoft.DataProtection/subscriptions/resourceGroups/providers/resourceGuards";
    for verb in ["read", "write", "delete"] {
        assert!(allows("Backup MUA Admin", &format!("{guards}/{verb}")));
    }
    assert!(!allows("Backup MUA Operator", &format!("{guards}/write")));
    // Who makes guards and proxies gives no consent by that.
    assert!(!allows("Backup MUA Admin", consent));
    for role in ["Backup Contributor", "Backup Operator", "Backup Reader", "Reader"] {
        assert!(!allows(role, consent), "{role}");
    }
}
