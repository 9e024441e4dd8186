//! The two comparisons that authorization rests on, without any state.

/// Whether an action matches a role's pattern. `*` stands for any characters, also none and also `/`. ASCII case is
/// ignored.
pub fn pattern_matches(pattern: &str, action: &str) -> bool {
    let pattern = pattern.as_bytes();
    let action = action.as_bytes();
    let (mut p, mut a) = (0, 0);
    // Where to go on when what follows the last star turns out not to fit: linear in practice, never recursive.
    let mut star: Option<(usize, usize)> = None;
    while a < action.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, a));
                p += 1;
            }
            Some(c) if c.eq_ignore_ascii_case(&action[a]) => {
                p += 1;
                a += 1;
            }
            _ => {
                let Some((star_p, star_a)) = star else { return false };
                star = Some((star_p, star_a + 1));
                p = star_p + 1;
                a = star_a + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// Whether an assignment at `assigned` reaches `wanted`. Both are lower-cased ids; the root is `/` or empty.
pub fn scope_covers(assigned: &str, wanted: &str) -> bool {
    let assigned = assigned.trim_end_matches('/');
    match wanted.strip_prefix(assigned) {
        Some(rest) => rest.is_empty() || rest.starts_with('/'),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        assert!(pattern_matches("*", "Microsoft.DataProtection/backupVaults/read"));
        assert!(pattern_matches("*/read", "microsoft.dataprotection/BackupVaults/READ"));
        assert!(!pattern_matches("*/read", "Microsoft.DataProtection/backupVaults/readAll"));
        assert!(pattern_matches(
            "Microsoft.DataProtection/*/write",
            "Microsoft.DataProtection/backupVaults/a/write"
        ));
        assert!(!pattern_matches(
            "Microsoft.DataProtection/*/write",
            "Microsoft.KeyVault/vaults/write"
        ));
        assert!(pattern_matches("a*b*c", "aXbXbc"));
        assert!(!pattern_matches("a*b*c", "aXbXb"));
        assert!(pattern_matches("", ""));
        assert!(!pattern_matches("", "a"));
        assert!(pattern_matches("a**", "a"));
    }

    /// What a pattern means, said as plainly as possible: slow for many stars, and right.
    fn plainly(pattern: &[u8], action: &[u8]) -> bool {
        match (pattern, action) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => {
                (0..=action.len()).any(|skipped| plainly(rest, &action[skipped..]))
            }
            ([p, pattern @ ..], [a, action @ ..]) => {
                p.eq_ignore_ascii_case(a) && plainly(pattern, action)
            }
            _ => false,
        }
    }

    proptest::proptest! {
        #[test]
        fn patterns_mean_what_they_say(pattern in "[aAb/*]{0,8}", action in "[aAb/]{0,10}") {
            let expected = plainly(pattern.as_bytes(), action.as_bytes());
            proptest::prop_assert_eq!(pattern_matches(&pattern, &action), expected);
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "*a".repeat(200);
        assert!(!pattern_matches(&pattern, &format!("{}b", "a".repeat(5000))));
    }

    #[test]
    fn scopes() {
        assert!(scope_covers("/", "/subscriptions/s"));
        assert!(scope_covers("/", ""));
        assert!(scope_covers("/subscriptions/s", "/subscriptions/s"));
        assert!(scope_covers("/subscriptions/s", "/subscriptions/s/resourcegroups/g"));
        assert!(!scope_covers("/subscriptions/s", "/subscriptions/s2"));
        assert!(!scope_covers("/subscriptions/s/resourcegroups/g", "/subscriptions/s"));
    }
}
