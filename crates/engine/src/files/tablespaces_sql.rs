//! Tablespaces as SQL text, to be run by an administrator before archives are restored that name them.

use crate::manifest::Tablespace;
use crate::restore::acl::{AclObject, statements};
use crate::session::{quote_identifier, quote_literal};

/// What stands above the statements.
const HEAD: &str = "-- Tablespaces of a recovery point. Their directories have to be there, empty and the server's own: change them to\n\
    -- what fits the server. An archive whose tablespaces are missing restores with pg_restore --no-tablespaces.\n\
    SET client_encoding = 'UTF8';\n\
    SET standard_conforming_strings = on;\n";

/// The whole file. Names of tablespaces whose privileges are not understood are added to `odd`.
pub(super) fn tablespaces_sql(tablespaces: &[Tablespace], odd: &mut Vec<String>) -> String {
    let mut text = HEAD.to_owned();
    for tablespace in tablespaces {
        let name = quote_identifier(&tablespace.name);
        let (owner, location) =
            (quote_identifier(&tablespace.owner), quote_literal(&tablespace.location));
        text.push_str(&format!("\nCREATE TABLESPACE {name} OWNER {owner} LOCATION {location};\n"));
        let options = tablespace.options.iter();
        let options: Vec<_> = options
            .map(|(name, value)| format!("{} = {}", quote_identifier(name), quote_literal(value)))
            .collect();
        if !options.is_empty() {
            text.push_str(&format!("ALTER TABLESPACE {name} SET ({});\n", options.join(", ")));
        }
        if let Some(comment) = &tablespace.comment {
            text.push_str(&format!(
                "COMMENT ON TABLESPACE {name} IS {};\n",
                quote_literal(comment)
            ));
        }
        let acl = tablespace.acl.as_deref();
        match statements(AclObject::Tablespace, &name, &tablespace.owner, acl) {
            Ok(grants) => {
                for grant in grants {
                    text.push_str(&format!("{};\n", grant.sql));
                }
            }
            Err(_) => odd.push(tablespace.name.clone()),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_a_tablespace_has() {
        let tablespace = Tablespace {
            name: "fast \"disk\"".to_owned(),
            owner: "keeper".to_owned(),
            location: "/srv/it's".to_owned(),
            options: vec![("random_page_cost".to_owned(), "1.1".to_owned())],
            acl: Some(vec!["keeper=C/keeper".to_owned(), "app=C*/keeper".to_owned()]),
            comment: Some("line\nline".to_owned()),
        };
        let odd_one = Tablespace { acl: Some(vec!["?".to_owned()]), ..tablespace.clone() };
        let mut odd = Vec::new();
        let text = tablespaces_sql(&[tablespace, odd_one], &mut odd);
        let expected = "\nCREATE TABLESPACE \"fast \"\"disk\"\"\" OWNER \"keeper\" LOCATION '/srv/it''s';\n\
            ALTER TABLESPACE \"fast \"\"disk\"\"\" SET (\"random_page_cost\" = '1.1');\n\
            COMMENT ON TABLESPACE \"fast \"\"disk\"\"\" IS 'line\nline';\n\
            REVOKE ALL ON TABLESPACE \"fast \"\"disk\"\"\" FROM \"keeper\";\n\
            GRANT CREATE ON TABLESPACE \"fast \"\"disk\"\"\" TO \"keeper\";\n\
            GRANT CREATE ON TABLESPACE \"fast \"\"disk\"\"\" TO \"app\" WITH GRANT OPTION;\n";
        assert!(text.contains(expected), "{text}");
        assert_eq!(odd, ["fast \"disk\""]);
    }
}
