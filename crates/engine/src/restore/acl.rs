//! Access privileges in `PostgreSQL`'s text form (`grantee=privileges/grantor`) into `GRANT` and `REVOKE` statements.
//!
//! Only for what no `pg_dump` archive of a database's schema carries: the database itself, its large objects, and
//! tablespaces. The
//! grantor is not kept: everything is granted by whoever restores (or by the owner, through the restorer's rights).

use crate::session::quote_identifier;

/// What privileges are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AclObject {
    /// A database. By default everyone may connect and make temporary tables.
    Database,
    /// A large object. By default only its owner may use it.
    LargeObject,
    /// A tablespace. By default only its owner may use it.
    Tablespace,
}

impl AclObject {
    /// Key words before the object's name.
    fn keywords(self) -> &'static str {
        match self {
            Self::Database => "DATABASE",
            Self::LargeObject => "LARGE OBJECT",
            Self::Tablespace => "TABLESPACE",
        }
    }

    /// Name of a privilege's letter.
    fn privilege(self, letter: char) -> Option<&'static str> {
        match (self, letter) {
            (Self::Database | Self::Tablespace, 'C') => Some("CREATE"),
            (Self::Database, 'T') => Some("TEMPORARY"),
            (Self::Database, 'c') => Some("CONNECT"),
            (Self::LargeObject, 'r') => Some("SELECT"),
            (Self::LargeObject, 'w') => Some("UPDATE"),
            _ => None,
        }
    }
}

/// One `aclitem`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AclItem {
    /// None for everyone (`PUBLIC`).
    pub(crate) grantee: Option<String>,
    /// Letters, each with whether it may be granted on.
    pub(crate) privileges: Vec<(char, bool)>,
}

impl AclItem {
    /// Reads `grantee=privileges/grantor`; none when it is nothing of that kind.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (grantee, rest) = role_name(text)?;
        let rest = rest.strip_prefix('=')?;
        let letters = rest.split('/').next()?;
        let mut privileges: Vec<(char, bool)> = Vec::new();
        for letter in letters.chars() {
            match (letter, privileges.last_mut()) {
                ('*', Some(last)) => last.1 = true,
                ('a'..='z' | 'A'..='Z', _) => privileges.push((letter, false)),
                _ => return None,
            }
        }
        Some(Self { grantee: (!grantee.is_empty()).then_some(grantee), privileges })
    }

    /// `GRANT` statements for the item: one for what may be granted on, one for the rest.
    fn grants(&self, object: AclObject, name: &str) -> Option<Vec<String>> {
        let mut statements = Vec::new();
        for with_option in [false, true] {
            let names = self
                .privileges
                .iter()
                .filter(|(_, option)| *option == with_option)
                .map(|(letter, _)| object.privilege(*letter))
                .collect::<Option<Vec<_>>>()?;
            if !names.is_empty() {
                let grantee =
                    self.grantee.as_deref().map_or_else(|| "PUBLIC".to_owned(), quote_identifier);
                let option = if with_option { " WITH GRANT OPTION" } else { "" };
                statements.push(format!(
                    "GRANT {} ON {} {name} TO {grantee}{option}",
                    names.join(", "),
                    object.keywords()
                ));
            }
        }
        Some(statements)
    }
}

/// A statement and the role that it needs, so that the caller can leave out what names a role that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AclStatement {
    /// Without a semicolon.
    pub(crate) sql: String,
    /// The role that is granted to or revoked from; none for everyone.
    pub(crate) role: Option<String>,
}

/// Statements that turn the default privileges of `name` (already quoted), owned by `owner`, into `acl`.
///
/// # Errors
/// The item that is not understood.
pub(crate) fn statements(
    object: AclObject,
    name: &str,
    owner: &str,
    acl: Option<&[String]>,
) -> Result<Vec<AclStatement>, String> {
    let Some(acl) = acl else { return Ok(Vec::new()) };
    let keywords = object.keywords();
    let mut found = Vec::new();
    if object == AclObject::Database {
        found.push(AclStatement {
            sql: format!("REVOKE ALL ON {keywords} {name} FROM PUBLIC"),
            role: None,
        });
    }
    found.push(AclStatement {
        sql: format!("REVOKE ALL ON {keywords} {name} FROM {}", quote_identifier(owner)),
        role: Some(owner.to_owned()),
    });
    for text in acl {
        let item = AclItem::parse(text).ok_or_else(|| text.clone())?;
        let grants = item.grants(object, name).ok_or_else(|| text.clone())?;
        found
            .extend(grants.into_iter().map(|sql| AclStatement { sql, role: item.grantee.clone() }));
    }
    Ok(found)
}

/// A role name at the start of an item, with or without quotes, and what follows it.
pub(super) fn role_name(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('=')?;
        return Some((text[..end].to_owned(), &text[end..]));
    };
    let mut name = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"')?;
        name.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                name.push('"');
                rest = after;
            }
            None => return Some((name, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sql(object: AclObject, acl: &[&str]) -> Vec<String> {
        let acl: Vec<String> = acl.iter().map(|item| (*item).to_owned()).collect();
        statements(object, "x", "me", Some(&acl))
            .unwrap()
            .into_iter()
            .map(|item| item.sql)
            .collect()
    }

    #[test]
    fn items_are_read_with_every_kind_of_name() {
        let item = AclItem::parse("=Tc/postgres").unwrap();
        assert_eq!(item, AclItem { grantee: None, privileges: vec![('T', false), ('c', false)] });
        let item = AclItem::parse("\"odd \"\"=/role\"=C*c/postgres").unwrap();
        assert_eq!(item.grantee.as_deref(), Some("odd \"=/role"));
        assert_eq!(item.privileges, [('C', true), ('c', false)]);
        for foreign in ["", "a", "\"a", "a=*c/x", "a=1/x", "\"a\"b=c/x"] {
            assert_eq!(AclItem::parse(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn defaults_are_taken_away_before_grants() {
        assert_eq!(
            sql(AclObject::Database, &["me=CTc/me", "=c/me", "\"o\"\"r\"=C*/me"]),
            [
                "REVOKE ALL ON DATABASE x FROM PUBLIC",
                "REVOKE ALL ON DATABASE x FROM \"me\"",
                "GRANT CREATE, TEMPORARY, CONNECT ON DATABASE x TO \"me\"",
                "GRANT CONNECT ON DATABASE x TO PUBLIC",
                "GRANT CREATE ON DATABASE x TO \"o\"\"r\" WITH GRANT OPTION",
            ]
        );
        assert_eq!(
            sql(AclObject::LargeObject, &["me=rw/me", "r=r/me"]),
            [
                "REVOKE ALL ON LARGE OBJECT x FROM \"me\"",
                "GRANT SELECT, UPDATE ON LARGE OBJECT x TO \"me\"",
                "GRANT SELECT ON LARGE OBJECT x TO \"r\"",
            ]
        );
    }

    #[test]
    fn no_list_means_the_default_and_a_foreign_item_is_named() {
        assert_eq!(statements(AclObject::Database, "x", "me", None), Ok(Vec::new()));
        let foreign = ["me=Z/me".to_owned()];
        assert_eq!(
            statements(AclObject::Database, "x", "me", Some(&foreign)),
            Err("me=Z/me".to_owned())
        );
    }
}
