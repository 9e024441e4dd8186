//! The names that Azure allows for the resources of this provider, and the limits of free text in them.

/// Checks the name of a backup vault: 2 to 50 letters, digits and hyphens, beginning with a letter, not ending with a hyphen.
pub(super) fn check_vault_name(name: &str) -> Result<(), String> {
    let allowed = (2..=50).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if allowed {
        Ok(())
    } else {
        Err(format!(
            "The vault name '{name}' is not valid. It has 2 to 50 characters, letters, digits and hyphens; it begins with a letter and \
             ends with a letter or a digit."
        ))
    }
}

/// Checks the name of a backup policy: 3 to 150 letters, digits and hyphens.
pub(super) fn check_policy_name(name: &str) -> Result<(), String> {
    if (3..=150).contains(&name.len())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    {
        Ok(())
    } else {
        Err(format!(
            "The policy name '{name}' is not valid. It has 3 to 150 characters, letters, digits and hyphens."
        ))
    }
}

/// Checks the name of a resource guard or of a vault's proxy. Azure documents no pattern.
pub(super) fn check_guard_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if (1..=150).contains(&name.len()) && name.chars().all(plain) && !name.ends_with('.') {
        Ok(())
    } else {
        Err(format!(
            "The name '{name}' is not valid. It has at most 150 letters, digits and -_. and does not end with a full stop."
        ))
    }
}

/// Checks the name of a backup instance. Azure documents no pattern; what would break an ARM id or a file name is refused.
pub(super) fn check_instance_name(name: &str) -> Result<(), String> {
    let plain = |c: char| {
        c.is_alphanumeric()
            || matches!(c, '-' | '_' | '.' | '(' | ')' | ' ' | '@' | '$' | '~' | '+' | '=' | ',')
    };
    if (1..=260).contains(&name.len())
        && name.chars().all(plain)
        && !name.ends_with('.')
        && name.trim() == name
    {
        Ok(())
    } else {
        Err(format!(
            "The backup instance name '{name}' is not valid. It has at most 260 characters: letters, digits, spaces inside and -_.()@$~+=, \
             and does not end with a full stop."
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_recordings_pass() {
        check_vault_name("clitest-bkp-vault-donotdelete").unwrap();
        check_policy_name("osspolicy").unwrap();
        check_instance_name("oss-clitest-server-postgres-faec6818-0720-11ec-bd1b-c8f750f92764")
            .unwrap();
    }

    #[test]
    fn names_of_guards() {
        for name in ["clitest-resource-guard", "ResourceGuard38-1", "DppResourceGuardProxy"] {
            check_guard_name(name).unwrap();
        }
        for name in ["", "a b", "a/b", "a.", "ä", &"a".repeat(151)] {
            assert!(check_guard_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in ["", "a", "1ab", "ab-", "a_b", "a b", "ä12", &"a".repeat(51)] {
            assert!(check_vault_name(name).is_err(), "{name}");
        }
        for name in ["", "ab", "a_b", "a.b", &"a".repeat(151)] {
            assert!(check_policy_name(name).is_err(), "{name}");
        }
        for name in ["", "a/b", "a\\b", "a?b", "a#b", "a%b", " a", "a.", "a\nb", &"a".repeat(261)] {
            assert!(check_instance_name(name).is_err(), "{name}");
        }
    }
}
