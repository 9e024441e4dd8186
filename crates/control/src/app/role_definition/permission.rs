//! Which actions a role of one's own may name.
//!
//! Roles come from Azure with actions of providers that nobody has here; they are taken, and allow nothing. What is refused is what can
//! be no action at all: a slip that would make the role do less, or more, than its author thinks.

use coffer_azure::role::Permission;

use crate::error::Error;

/// Most permissions of a role, and most patterns of each list.
const PERMISSIONS_MAX: usize = 10;
const PATTERNS_MAX: usize = 2048;
/// Longest pattern, in characters.
const PATTERN_CHARS_MAX: usize = 400;
/// What an action ends with.
const VERBS: [&str; 4] = ["read", "write", "delete", "action"];

/// Refuses permissions with something that is no action and no pattern of actions.
pub(super) fn check(permissions: &[Permission]) -> Result<(), Error> {
    if permissions.is_empty() || permissions.len() > PERMISSIONS_MAX {
        return Err(invalid(format!("A custom role has 1 to {PERMISSIONS_MAX} permissions.")));
    }
    for permission in permissions {
        let lists = [
            &permission.actions,
            &permission.not_actions,
            &permission.data_actions,
            &permission.not_data_actions,
        ];
        for list in lists {
            if list.len() > PATTERNS_MAX {
                return Err(invalid(format!("A list of actions has at most {PATTERNS_MAX}.")));
            }
            if let Some(wrong) = list.iter().find(|pattern| !is_pattern(pattern)) {
                return Err(Error::invalid(
                    "InvalidActionOrNotAction",
                    format!(
                        "'{wrong}' does not match any of the actions supported by the providers."
                    ),
                )
                .with_target("properties.permissions"));
            }
        }
    }
    Ok(())
}

fn invalid(message: String) -> Error {
    Error::invalid("InvalidRoleDefinitionPermissions", message)
        .with_target("properties.permissions")
}

/// `*`, `*/verb`, or a provider's namespace and what follows, ending in a verb or a star.
fn is_pattern(pattern: &str) -> bool {
    if pattern == "*" {
        return true;
    }
    let is_character =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '/' | '*' | '-' | '_' | '{' | '}');
    let segments: Vec<&str> = pattern.split('/').collect();
    let (Some(first), Some(last)) = (segments.first(), segments.last()) else { return false };
    pattern.chars().count() <= PATTERN_CHARS_MAX
        && pattern.chars().all(is_character)
        && segments.len() >= 2
        && segments.iter().all(|segment| !segment.is_empty())
        && (first.contains('.') || first.contains('*'))
        && (last.contains('*') || VERBS.iter().any(|verb| last.eq_ignore_ascii_case(verb)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for good in [
            "*",
            "*/read",
            "Microsoft.DataProtection/*",
            "Microsoft.DataProtection/backupVaults/read",
            "microsoft.dataprotection/BACKUPVAULTS/READ",
            "Microsoft.DataProtection/*/backup/action",
            "Microsoft.Compute/virtualMachines/start/action",
            "Microsoft.DataProtection/subscriptions/resourceGroups/providers/resourceGuards/{operationName}/read",
        ] {
            assert!(is_pattern(good), "{good}");
        }
        for bad in [
            "",
            "read",
            "/",
            "Microsoft.DataProtection",
            "Microsoft.DataProtection/",
            "Microsoft.DataProtection//read",
            "Microsoft.DataProtection/backupVaults",
            "Microsoft.DataProtection/backupVaults/reed",
            "backupVaults/read",
            "Microsoft.DataProtection/backup vaults/read",
            "Microsoft.DataProtection/é/read",
        ] {
            assert!(!is_pattern(bad), "{bad}");
        }
        assert!(!is_pattern(&format!("A.B/{}/read", "x".repeat(400))));
    }
}
