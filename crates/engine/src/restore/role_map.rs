//! Roles of the source under other names in the target.
//!
//! Owners stand in the archive as names. Grants, default privileges, policies and user mappings stand there as statements of
//! `pg_dump`, with the roles in known places: these statements are taken apart into words, as PostgreSQL does it, and written
//! again with the other names. Nothing else of them changes, and a text between quotes never does.

use std::collections::BTreeMap;

use crate::files::toc::{Entry, Text, Toc};
use crate::session::{quote_identifier, unquote_identifier};

/// Most roles of one map.
pub const ROLE_MAP_MAX: usize = 10_000;

/// Names in the target for names in the source; roles that are not in it keep theirs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RoleMap(BTreeMap<String, String>);

impl RoleMap {
    /// A map from source to target.
    #[must_use]
    pub fn new(names: BTreeMap<String, String>) -> Self {
        Self(names)
    }

    /// Nothing is mapped.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many roles are mapped.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Pairs of source and target.
    pub(crate) fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(from, to)| (from.as_str(), to.as_str()))
    }

    /// What the role is called in the target.
    pub(crate) fn name<'a>(&'a self, role: &'a str) -> &'a str {
        self.0.get(role).map_or(role, String::as_str)
    }

    /// The same privileges for the roles of the target, in the catalog's text form (`grantee=privileges/grantor`).
    pub(crate) fn acl(&self, acl: Option<&[String]>) -> Option<Vec<String>> {
        let item = |text: &String| match super::acl::role_name(text) {
            Some((grantee, rest)) if !grantee.is_empty() => {
                format!("{}{rest}", quote_identifier(self.name(&grantee)))
            }
            _ => text.clone(),
        };
        acl.map(|acl| acl.iter().map(item).collect())
    }

    /// Puts the names of the target into an archive.
    pub(crate) fn apply(&self, toc: &mut Toc) {
        if self.is_empty() {
            return;
        }
        for entry in &mut toc.entries {
            if let Some(owner) = &mut entry.owner
                && let Ok(name) = std::str::from_utf8(owner)
                && let Some(other) = self.0.get(name)
            {
                *owner = other.clone().into_bytes();
            }
            if let Some(places) = Places::of(entry) {
                self.rewrite(&mut entry.definition, places);
                self.rewrite(&mut entry.drop_statement, places);
            }
        }
    }

    fn rewrite(&self, text: &mut Text, places: Places) {
        if let Some(sql) = text {
            *sql = self.rewritten(sql, places);
        }
    }

    /// The statements with other names.
    fn rewritten(&self, sql: &[u8], places: Places) -> Vec<u8> {
        let mut out = Vec::with_capacity(sql.len());
        let mut state = State::default();
        let mut rest = sql;
        while !rest.is_empty() {
            let (word, after) = next_word(rest);
            let text = &rest[..rest.len() - after.len()];
            let is_role = role_here(&mut state, places, word);
            match word.name().filter(|_| is_role).and_then(|name| self.0.get(&name)) {
                Some(other) => out.extend_from_slice(quote_identifier(other).as_bytes()),
                None => out.extend_from_slice(text),
            }
            rest = after;
        }
        out
    }
}

/// Where roles stand in the statements of an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Places {
    /// After `TO`, `FROM` and `SESSION AUTHORIZATION`, and after `FOR ROLE` of default privileges.
    Grants,
    /// In the list after the first `TO`.
    Policy,
    /// After the first `FOR`.
    UserMapping,
}

impl Places {
    fn of(entry: &Entry) -> Option<Self> {
        if entry.is("ACL") || entry.is("DEFAULT ACL") {
            Some(Self::Grants)
        } else if entry.is("POLICY") {
            Some(Self::Policy)
        } else if entry.is("USER MAPPING") {
            Some(Self::UserMapping)
        } else {
            None
        }
    }
}

/// What was seen of the current statement.
#[derive(Debug, Default)]
struct State {
    /// The last key words, upper case, newest last; blanks and comments do not count.
    before: [Option<String>; 2],
    /// Inside the list of a policy's roles.
    in_list: bool,
    /// The only place of a role was passed.
    passed: bool,
}

/// Whether this word names a role; takes note of it.
fn role_here(state: &mut State, places: Places, word: Word<'_>) -> bool {
    let keyword = match word {
        Word::Blank => return false,
        Word::Plain(text) => Some(String::from_utf8_lossy(text).to_uppercase()),
        Word::Quoted(_) | Word::Other(_) => None,
    };
    let last = |n: usize| state.before[n].as_deref();
    let after = |first: &str, second: &str| last(0) == Some(first) && last(1) == Some(second);
    let is_name = matches!(word, Word::Plain(_) | Word::Quoted(_));
    let is_role = is_name
        && match places {
            Places::Grants => {
                matches!(last(1), Some("TO" | "FROM"))
                    || after("SESSION", "AUTHORIZATION")
                    || after("FOR", "ROLE")
            }
            Places::Policy => {
                !state.passed && (last(1) == Some("TO") || (state.in_list && last(1) == Some(",")))
            }
            Places::UserMapping => !state.passed && last(1) == Some("FOR"),
        };
    match (places, is_role) {
        (Places::UserMapping, true) => state.passed = true,
        (Places::Policy, true) => state.in_list = true,
        // The list ends with the first word that neither is a role nor separates two.
        (Places::Policy, false) if state.in_list && !matches!(word, Word::Other(b',')) => {
            state.passed = true;
        }
        _ => {}
    }
    let seen = match word {
        Word::Other(byte) => Some(char::from(byte).to_string()),
        // A role is no key word, whatever it is called.
        _ if is_role => None,
        _ => keyword,
    };
    state.before = [state.before[1].take(), seen];
    is_role
}

/// A piece of a statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word<'a> {
    /// White space or a comment.
    Blank,
    /// A key word or a name without quotes.
    Plain(&'a [u8]),
    /// A name, with its quotes.
    Quoted(&'a [u8]),
    /// A text, a number, a sign.
    Other(u8),
}

impl Word<'_> {
    /// The name that it stands for, when it is one.
    fn name(self) -> Option<String> {
        match self {
            // Without quotes the server folds them; `PUBLIC` is nobody's name then.
            Self::Plain(text) => std::str::from_utf8(text).ok().map(str::to_lowercase),
            Self::Quoted(text) => {
                unquote_identifier(text).and_then(|name| String::from_utf8(name).ok())
            }
            Self::Blank | Self::Other(_) => None,
        }
    }
}

/// The first word (`scan.l`) and what comes after it. The input is not empty.
fn next_word(text: &[u8]) -> (Word<'_>, &[u8]) {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$' | 128..);
    let starts_name = |byte: &u8| byte.is_ascii_alphabetic() || matches!(byte, b'_' | 128..);
    let run = |matches: &dyn Fn(&u8) -> bool| {
        text.iter().position(|byte| !matches(byte)).unwrap_or(text.len())
    };
    match text {
        [] => (Word::Blank, text),
        [byte, ..] if byte.is_ascii_whitespace() => {
            (Word::Blank, &text[run(&u8::is_ascii_whitespace)..])
        }
        [b'-', b'-', ..] => (Word::Blank, &text[run(&|byte| *byte != b'\n')..]),
        [b'"', ..] => {
            let end = quoted_end(text, b'"', false);
            (Word::Quoted(&text[..end]), &text[end..])
        }
        [b'E' | b'e', b'\'', ..] => {
            let end = quoted_end(&text[1..], b'\'', true) + 1;
            (Word::Other(b'\''), &text[end..])
        }
        [b'\'', ..] => (Word::Other(b'\''), &text[quoted_end(text, b'\'', false)..]),
        [b'$', ..] => match dollar_end(text) {
            Some(end) => (Word::Other(b'\''), &text[end..]),
            None => (Word::Other(b'$'), &text[1..]),
        },
        [byte, ..] if starts_name(byte) => {
            let end = run(&is_part);
            (Word::Plain(&text[..end]), &text[end..])
        }
        [byte, rest @ ..] => (Word::Other(*byte), rest),
    }
}

/// Where a quoted text ends, its closing quote included; doubled quotes belong to it.
fn quoted_end(text: &[u8], quote: u8, backslashes: bool) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        at += 1;
        if backslashes && *byte == b'\\' {
            at += 1;
        } else if *byte == quote {
            if text.get(at) != Some(&quote) {
                return at;
            }
            at += 1;
        }
    }
    text.len()
}

/// Where a text in dollar quotes ends; none if it is no such text.
fn dollar_end(text: &[u8]) -> Option<usize> {
    let is_tag = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | 128..);
    let close = 1 + text.get(1..)?.iter().position(|byte| !is_tag(byte))?;
    if text.get(close) != Some(&b'$') || text.get(1).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let tag = &text[..=close];
    let after = &text[close + 1..];
    let found = after.windows(tag.len()).position(|window| window == tag);
    Some(found.map_or(text.len(), |at| close + 1 + at + tag.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> RoleMap {
        let names = [("alice", "anna"), ("odd \"r", "to"), ("select", "Read Only")];
        RoleMap::new(names.map(|(from, to)| (from.to_owned(), to.to_owned())).into())
    }

    fn rewritten(sql: &str, places: Places) -> String {
        String::from_utf8(map().rewritten(sql.as_bytes(), places)).unwrap()
    }

    #[test]
    fn grants_go_to_the_other_names_and_nothing_else_changes() {
        for (before, after) in [
            (
                "GRANT SELECT ON TABLE a.alice TO alice;\n",
                "GRANT SELECT ON TABLE a.alice TO \"anna\";\n",
            ),
            (
                "REVOKE ALL ON TABLE \"to\".\"x TO alice\" FROM \"odd \"\"r\";",
                "REVOKE ALL ON TABLE \"to\".\"x TO alice\" FROM \"to\";",
            ),
            (
                "GRANT SELECT(alice),UPDATE(\"to\") ON TABLE s.t TO alice WITH GRANT OPTION;",
                "GRANT SELECT(alice),UPDATE(\"to\") ON TABLE s.t TO \"anna\" WITH GRANT OPTION;",
            ),
            (
                "SET SESSION AUTHORIZATION alice;\nGRANT ALL ON FUNCTION s.f(alice) TO \"select\";\nRESET SESSION AUTHORIZATION;",
                "SET SESSION AUTHORIZATION \"anna\";\nGRANT ALL ON FUNCTION s.f(alice) TO \"Read Only\";\nRESET SESSION AUTHORIZATION;",
            ),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE alice IN SCHEMA alice REVOKE ALL ON TABLES FROM alice;\nALTER DEFAULT PRIVILEGES FOR ROLE bob GRANT SELECT ON TABLES TO PUBLIC;",
                "ALTER DEFAULT PRIVILEGES FOR ROLE \"anna\" IN SCHEMA alice REVOKE ALL ON TABLES FROM \"anna\";\nALTER DEFAULT PRIVILEGES FOR ROLE bob GRANT SELECT ON TABLES TO PUBLIC;",
            ),
        ] {
            assert_eq!(rewritten(before, Places::Grants), after);
        }
    }

    #[test]
    fn only_the_roles_of_a_policy_are_names() {
        assert_eq!(
            rewritten(
                "CREATE POLICY \"to\" ON a.alice FOR SELECT TO bob, alice,\"select\" USING ((x = 'to alice'::text) AND (\"to\" = alice));",
                Places::Policy
            ),
            "CREATE POLICY \"to\" ON a.alice FOR SELECT TO bob, \"anna\",\"Read Only\" USING ((x = 'to alice'::text) AND (\"to\" = alice));"
        );
        let all = "CREATE POLICY p ON a.t USING ((a, alice) = (b, alice));";
        assert_eq!(rewritten(all, Places::Policy), all);
    }

    #[test]
    fn a_user_mapping_has_one_role_and_texts_stay() {
        assert_eq!(
            rewritten(
                "CREATE USER MAPPING FOR alice SERVER alice OPTIONS (\n    \"user\" 'x FOR alice',\n    p E'\\' FOR alice'\n);",
                Places::UserMapping
            ),
            "CREATE USER MAPPING FOR \"anna\" SERVER alice OPTIONS (\n    \"user\" 'x FOR alice',\n    p E'\\' FOR alice'\n);"
        );
    }

    #[test]
    fn privileges_in_the_catalogs_form() {
        let acl =
            ["alice=r*w/alice", "=c/alice", "\"odd \"\"r\"=C/x", "bob=r/alice"].map(String::from);
        assert_eq!(
            map().acl(Some(&acl)).unwrap(),
            ["\"anna\"=r*w/alice", "=c/alice", "\"to\"=C/x", "\"bob\"=r/alice"]
        );
        assert_eq!(map().acl(None), None);
    }

    #[test]
    fn foreign_bytes_come_out_as_they_went_in() {
        for text in ["\"", "'", "E'\\", "$$ x", "$a$ x $a", "\u{e9}$", "a--", "$1 TO", "TO \""] {
            assert_eq!(rewritten(text, Places::Grants), text);
            assert_eq!(rewritten(text, Places::Policy), text);
        }
    }
}
