//! Roles as SQL text, to be run by an administrator before the archive is restored.
//!
//! Like `pg_dumpall --roles-only` without passwords: a backup never reads them. Every name is quoted, and no foreign text
//! stands in a comment, where a line's end would end it.

use crate::manifest::{Membership, Role};
use crate::restore::settings::assignment;
use crate::session::{quote_identifier, quote_literal};

/// What stands above the statements.
const HEAD: &str = "-- Roles of a recovery point, without passwords: set them before these roles log in.\n\
    -- A role that exists already gives an error, which is harmless.\n\
    SET client_encoding = 'UTF8';\n\
    SET standard_conforming_strings = on;\n";

/// The whole file.
pub(super) fn roles_sql(roles: &[Role]) -> String {
    let mut text = HEAD.to_owned();
    // Predefined roles are in every server of their version and can't be made.
    let own = || roles.iter().filter(|role| !role.name.starts_with("pg_"));
    for role in own() {
        text.push_str(&format!("\nCREATE ROLE {};\n", quote_identifier(&role.name)));
        text.push_str(&attributes(role));
        for (name, value) in &role.settings {
            let assignment = assignment(name, value);
            text.push_str(&format!(
                "ALTER ROLE {} SET {assignment};\n",
                quote_identifier(&role.name)
            ));
        }
        if let Some(comment) = &role.comment {
            let (name, comment) = (quote_identifier(&role.name), quote_literal(comment));
            text.push_str(&format!("COMMENT ON ROLE {name} IS {comment};\n"));
        }
    }
    text.push('\n');
    for role in own() {
        for membership in &role.member_of {
            text.push_str(&grant(&role.name, membership));
        }
    }
    text
}

fn attributes(role: &Role) -> String {
    let word = |yes: bool, name: &'static str, no: &'static str| if yes { name } else { no };
    let mut text = format!(
        "ALTER ROLE {} WITH {} {} {} {} {} {} {} CONNECTION LIMIT {}",
        quote_identifier(&role.name),
        word(role.superuser, "SUPERUSER", "NOSUPERUSER"),
        word(role.inherit, "INHERIT", "NOINHERIT"),
        word(role.create_role, "CREATEROLE", "NOCREATEROLE"),
        word(role.create_db, "CREATEDB", "NOCREATEDB"),
        word(role.login, "LOGIN", "NOLOGIN"),
        word(role.replication, "REPLICATION", "NOREPLICATION"),
        word(role.bypass_rls, "BYPASSRLS", "NOBYPASSRLS"),
        role.connection_limit,
    );
    if let Some(until) = &role.valid_until {
        text.push_str(&format!(" VALID UNTIL {}", quote_literal(until)));
    }
    text.push_str(";\n");
    text
}

/// The grantor is left out: it is whoever runs the file.
fn grant(member: &str, membership: &Membership) -> String {
    let mut options = Vec::new();
    if membership.admin {
        options.push("ADMIN OPTION".to_owned());
    }
    // Only servers since 16 have these, and only they understand them.
    let flags = [("INHERIT", membership.inherit), ("SET", membership.set)];
    let is_16 = flags.iter().any(|(_, value)| value.is_some());
    if is_16 {
        options = vec![format!("ADMIN {}", if membership.admin { "TRUE" } else { "FALSE" })];
        options.extend(flags.iter().filter_map(|(name, value)| {
            value.map(|value| format!("{name} {}", if value { "TRUE" } else { "FALSE" }))
        }));
    }
    let options =
        if options.is_empty() { String::new() } else { format!(" WITH {}", options.join(", ")) };
    format!(
        "GRANT {} TO {}{options};\n",
        quote_identifier(&membership.role),
        quote_identifier(member)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn role(name: &str) -> Role {
        Role {
            name: name.to_owned(),
            superuser: false,
            inherit: true,
            create_role: false,
            create_db: true,
            login: true,
            replication: false,
            bypass_rls: false,
            connection_limit: -1,
            valid_until: Some("2030-01-01".to_owned()),
            settings: vec![("search_path".to_owned(), "\"a b\", public".to_owned())],
            comment: Some("it's".to_owned()),
            member_of: Vec::new(),
        }
    }

    #[test]
    fn roles_settings_and_memberships() {
        let mut member = role("odd \"role");
        let membership = |role: &str, set| Membership {
            role: role.to_owned(),
            admin: true,
            inherit: set,
            set,
            grantor: Some("x".to_owned()),
        };
        member.member_of = vec![membership("a", None), membership("b", Some(false))];
        let text = roles_sql(&[role("pg_monitor"), member]);
        let expected = "\nCREATE ROLE \"odd \"\"role\";\n\
            ALTER ROLE \"odd \"\"role\" WITH NOSUPERUSER INHERIT NOCREATEROLE CREATEDB LOGIN NOREPLICATION NOBYPASSRLS \
            CONNECTION LIMIT -1 VALID UNTIL '2030-01-01';\n\
            ALTER ROLE \"odd \"\"role\" SET \"search_path\" TO 'a b', 'public';\n\
            COMMENT ON ROLE \"odd \"\"role\" IS 'it''s';\n\
            \nGRANT \"a\" TO \"odd \"\"role\" WITH ADMIN OPTION;\n\
            GRANT \"b\" TO \"odd \"\"role\" WITH ADMIN TRUE, INHERIT FALSE, SET FALSE;\n";
        assert_eq!(text.strip_prefix(HEAD).unwrap(), expected);
    }
}
