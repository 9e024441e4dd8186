//! Which part of a recovery point, and for whom: options that `restore` and `export` share.

use std::{collections::BTreeMap, str::FromStr};

use anyhow::{anyhow, bail};
use clap::Args;
use coffer_engine::{RoleMap, SelectedItem, Selection};

use crate::exit::Failure;

#[derive(Debug, Args)]
pub(crate) struct Choice {
    /// This database of a server's recovery point
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Only this schema and what it needs (may be repeated)
    #[arg(long, value_name = "SCHEMA")]
    schema: Vec<String>,
    /// Only this table and what it needs, as SCHEMA.TABLE, or SCHEMA.PREFIX* for all that begin so; names with full
    /// stops in double quotes (may be repeated)
    #[arg(long, value_name = "SCHEMA.TABLE")]
    table: Vec<Table>,
    /// Large objects too, which come with a part only when asked for
    #[arg(long)]
    large_objects: bool,
    /// Leave out user mappings of foreign servers, which hold passwords
    #[arg(long)]
    no_user_mappings: bool,
    /// A role that has another name in the target (may be repeated)
    #[arg(long, value_name = "SOURCE=TARGET")]
    map_role: Vec<MappedRole>,
}

impl Choice {
    /// Both.
    pub(crate) fn part(&self) -> Result<(Selection, RoleMap), Failure> {
        Ok((self.selection(), self.role_map()?))
    }

    fn selection(&self) -> Selection {
        let schemas = self.schema.iter().cloned().map(SelectedItem::Schema);
        let items: Vec<_> = schemas.chain(self.table.iter().map(|table| table.0.clone())).collect();
        Selection {
            database: self.database.clone(),
            large_objects: self.large_objects || items.is_empty(),
            user_mappings: !self.no_user_mappings,
            items,
        }
    }

    fn role_map(&self) -> Result<RoleMap, Failure> {
        let mut names = BTreeMap::new();
        for MappedRole { from, to } in &self.map_role {
            if names.insert(from.clone(), to.clone()).is_some() {
                return Err(Failure::Usage(anyhow!("role {from} is mapped twice")));
            }
        }
        Ok(RoleMap::new(names))
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Table(SelectedItem);

impl FromStr for Table {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (schema, rest) = name(text)?;
        let Some(rest) = rest.strip_prefix('.') else { bail!("not of the form SCHEMA.TABLE") };
        let (table, rest) = name(rest)?;
        if !rest.is_empty() {
            bail!("not of the form SCHEMA.TABLE; names with full stops need double quotes");
        }
        match table.strip_suffix('*') {
            Some(prefix) => {
                Ok(Self(SelectedItem::TablesWithPrefix { schema, prefix: prefix.to_owned() }))
            }
            None => Ok(Self(SelectedItem::Table { schema, name: table })),
        }
    }
}

/// The first name and what follows it. Without quotes it is taken as it stands: nothing is folded.
fn name(text: &str) -> Result<(String, &str), anyhow::Error> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find('.').unwrap_or(text.len());
        if end == 0 {
            bail!("a name is empty");
        }
        return Ok((text[..end].to_owned(), &text[end..]));
    };
    let (mut found, mut rest) = (String::new(), quoted);
    loop {
        let Some(end) = rest.find('"') else { bail!("a double quote is not closed") };
        found.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('"') {
            Some(after) => {
                found.push('"');
                rest = after;
            }
            None if found.is_empty() => bail!("a name is empty"),
            None => return Ok((found, rest)),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct MappedRole {
    from: String,
    to: String,
}

impl FromStr for MappedRole {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((from, to)) if !from.is_empty() && !to.is_empty() => {
                Ok(Self { from: from.to_owned(), to: to.to_owned() })
            }
            _ => bail!("not of the form SOURCE=TARGET"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_as_in_sql_without_folding() -> anyhow::Result<()> {
        let table = |schema: &str, name: &str| {
            Table(SelectedItem::Table { schema: schema.to_owned(), name: name.to_owned() })
        };
        assert_eq!("s.T".parse::<Table>()?, table("s", "T"));
        assert_eq!("\"a.b\".\"c\"\"d\"".parse::<Table>()?, table("a.b", "c\"d"));
        let prefix = SelectedItem::TablesWithPrefix { schema: "s".into(), prefix: "log_".into() };
        assert_eq!("s.log_*".parse::<Table>()?, Table(prefix));
        for wrong in ["", "t", ".t", "s.", "s.t.u", "\"s.t", "\"\".t"] {
            assert!(wrong.parse::<Table>().is_err(), "{wrong}");
        }
        Ok(())
    }

    #[test]
    fn roles_are_mapped_by_an_equals_sign() -> anyhow::Result<()> {
        let role = "a b=c=d".parse::<MappedRole>()?;
        assert_eq!((role.from.as_str(), role.to.as_str()), ("a b", "c=d"));
        assert!("a".parse::<MappedRole>().is_err() && "=b".parse::<MappedRole>().is_err());
        Ok(())
    }
}
