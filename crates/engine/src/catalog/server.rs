//! What belongs to a server and to none of its databases: the list of databases, and tablespaces.

use std::collections::HashMap;

use tokio_postgres::Client;

use super::role::split_setting;
use super::{get, rows};
use crate::error::Result;
use crate::manifest::Tablespace;
use crate::restore::TEMPORARY_PREFIX;

/// Databases that services keep on their servers for themselves; mostly nobody else can connect to them.
const SERVICE_DATABASES: [&str; 5] =
    ["azure_maintenance", "azure_sys", "rdsadmin", "cloudsqladmin", "alloydbadmin"];

/// Those that every server has to make others of.
const OWN_TEMPLATES: [&str; 2] = ["template0", "template1"];

/// A database to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) oid: u32,
    pub(crate) name: String,
}

/// The databases of a server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Databases {
    /// Those that matter, by name.
    pub(crate) to_read: Vec<Listed>,
    /// Those that do not, and why; the server's own templates are not worth a word.
    pub(crate) left_out: Vec<(Listed, &'static str)>,
    /// Bytes on disk by oid, of those that the role may ask about.
    pub(crate) bytes: HashMap<u32, u64>,
}

impl Databases {
    /// Bytes on disk of those to read that come after the one at this place; none where one is not known.
    pub(crate) fn bytes_after(&self, index: usize) -> Option<u64> {
        self.to_read.iter().skip(index + 1).map(|listed| self.bytes.get(&listed.oid)).sum()
    }
}

pub(crate) async fn databases(client: &Client) -> Result<Databases> {
    let sql = "SELECT oid, datname::text, datistemplate, datallowconn, datconnlimit = -2, \
           CASE WHEN has_database_privilege(oid, 'CONNECT') THEN pg_database_size(oid) END FROM pg_database \
         ORDER BY datname::text COLLATE \"C\"";
    let mut found = Databases::default();
    for row in rows(client, "the databases of the server", sql, &[]).await? {
        let (oid, name): (u32, String) = (get(&row, 0)?, get(&row, 1)?);
        let (template, allowed, invalid) = (get(&row, 2)?, get(&row, 3)?, get(&row, 4)?);
        let bytes: Option<i64> = get(&row, 5)?;
        found.bytes.extend(bytes.and_then(|bytes| Some((oid, u64::try_from(bytes).ok()?))));
        match reason_against(&name, template, allowed, invalid) {
            None => found.to_read.push(Listed { oid, name }),
            Some("") => {}
            Some(reason) => found.left_out.push((Listed { oid, name }, reason)),
        }
    }
    Ok(found)
}

/// Why a database is not read; an empty reason is not told.
fn reason_against(
    name: &str,
    template: bool,
    allowed: bool,
    invalid: bool,
) -> Option<&'static str> {
    if OWN_TEMPLATES.contains(&name) {
        Some("")
    } else if SERVICE_DATABASES.contains(&name) {
        Some("it is the service's own that runs the server")
    } else if name.starts_with(TEMPORARY_PREFIX) {
        Some("it is that of a restore that has not ended")
    } else if invalid {
        Some("it is invalid: it was being dropped, and can only be dropped")
    } else if !allowed {
        Some("it allows no connections")
    } else if template {
        Some("it is a template")
    } else {
        None
    }
}

/// What a database is called now; none when it is no more.
pub(crate) async fn name_of(client: &Client, oid: u32) -> Result<Option<String>> {
    let sql = "SELECT datname::text FROM pg_database WHERE oid = $1";
    let found = rows(client, "the name of a database", sql, &[&oid]).await?;
    found.first().map(|row| get(row, 0)).transpose()
}

/// Tablespaces that somebody made, by name.
pub(crate) async fn tablespaces(client: &Client) -> Result<Vec<Tablespace>> {
    // One in the data directory has a place relative to it, which nobody can ask for.
    let sql = "SELECT t.spcname::text, coalesce(r.rolname::text, t.spcowner::text), \
           CASE WHEN l.location LIKE 'pg\\_tblspc/%' THEN '' ELSE l.location END, \
           coalesce(t.spcoptions, '{}'), t.spcacl::text[], shobj_description(t.oid, 'pg_tablespace') \
         FROM pg_tablespace t LEFT JOIN pg_roles r ON r.oid = t.spcowner, \
           LATERAL (SELECT pg_tablespace_location(t.oid) AS location) l \
         WHERE t.spcname !~ '^pg_' ORDER BY t.spcname::text COLLATE \"C\"";
    let mut tablespaces = Vec::new();
    for row in rows(client, "tablespaces", sql, &[]).await? {
        let options: Vec<String> = get(&row, 3)?;
        tablespaces.push(Tablespace {
            name: get(&row, 0)?,
            owner: get(&row, 1)?,
            location: get(&row, 2)?,
            options: options.iter().map(|option| split_setting(option)).collect(),
            acl: get(&row, 4)?,
            comment: get(&row, 5)?,
        });
    }
    Ok(tablespaces)
}

/// Configuration parameters on which somebody was granted something, which no part of a recovery point keeps.
pub(crate) async fn granted_parameters(client: &Client, major: u32) -> Result<Vec<String>> {
    if major < 15 {
        return Ok(Vec::new());
    }
    let sql = "SELECT parname FROM pg_parameter_acl ORDER BY 1";
    let found = rows(client, "grants on parameters", sql, &[]).await?;
    found.iter().map(|row| get(row, 0)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_databases_matter() {
        let told = |name, template, allowed, invalid| {
            reason_against(name, template, allowed, invalid).map(|reason| !reason.is_empty())
        };
        assert_eq!(told("shop", false, true, false), None);
        assert_eq!(told("postgres", false, true, false), None);
        assert_eq!(told("template0", true, false, false), Some(false));
        assert_eq!(told("template1", true, true, false), Some(false));
        for (name, template, allowed, invalid) in [
            ("template_gis", true, true, false),
            ("closed", false, false, false),
            ("half_dropped", false, true, true),
            ("azure_maintenance", false, true, false),
            ("coffer_restore_1", false, true, false),
        ] {
            assert_eq!(told(name, template, allowed, invalid), Some(true), "{name}");
        }
    }
}
