//! Roles that a database needs: owners, holders of grants, and all who are connected with them by membership; or all that
//! a server has.
//!
//! Read from `pg_roles`, which hides passwords; `pg_authid` needs a superuser and is never touched.

use std::collections::BTreeMap;

use tokio_postgres::Client;
use tokio_postgres::types::ToSql;

use super::{get, rows};
use crate::error::Result;
use crate::manifest::{Membership, Role};

/// The bootstrap superuser owns much that `pg_shdepend` does not record.
const BOOTSTRAP_SUPERUSER: u32 = 10;

/// All roles that the current database needs, by name. Predefined roles appear only as memberships.
pub(crate) async fn roles(client: &Client, major: u32) -> Result<Vec<Role>> {
    // Upwards, so that every granted role exists; downwards, so that who got rights through a group keeps them.
    let closure = "WITH RECURSIVE db AS (SELECT oid, datdba FROM pg_database WHERE datname = current_database()), \
        direct(oid) AS (\
          SELECT d.refobjid FROM pg_shdepend d, db WHERE d.refclassid = 'pg_authid'::regclass \
            AND (d.dbid = db.oid OR (d.dbid = 0 AND d.classid = 'pg_database'::regclass AND d.objid = db.oid)) \
          UNION SELECT datdba FROM db \
          UNION SELECT s.setrole FROM pg_db_role_setting s, db WHERE s.setdatabase = db.oid AND s.setrole <> 0 \
          UNION SELECT $1::oid), \
        members(oid) AS (SELECT oid FROM direct \
          UNION SELECT m.member FROM pg_auth_members m JOIN members ON m.roleid = members.oid), \
        needed(oid) AS (SELECT oid FROM members \
          UNION SELECT m.roleid FROM pg_auth_members m JOIN needed ON m.member = needed.oid)";
    let condition = "r.oid IN (SELECT oid FROM needed)";
    read(client, major, closure, condition, &[&BOOTSTRAP_SUPERUSER]).await
}

/// All roles of the server but the predefined ones, by name.
pub(crate) async fn all_roles(client: &Client, major: u32) -> Result<Vec<Role>> {
    read(client, major, "", "true", &[]).await
}

async fn read(
    client: &Client,
    major: u32,
    before: &str,
    condition: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Vec<Role>> {
    let sql = format!(
        "{before} SELECT r.oid, r.rolname::text, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb, \
           r.rolcanlogin, r.rolreplication, r.rolbypassrls, r.rolconnlimit, r.rolvaliduntil::text, \
           coalesce(s.setconfig, '{{}}'), shobj_description(r.oid, 'pg_authid') \
         FROM pg_roles r LEFT JOIN pg_db_role_setting s ON s.setrole = r.oid AND s.setdatabase = 0 \
         WHERE {condition} AND r.rolname !~ '^pg_' ORDER BY r.rolname::text COLLATE \"C\""
    );
    let mut memberships = memberships(client, major).await?;
    let mut roles = Vec::new();
    for row in rows(client, "roles", &sql, parameters).await? {
        let oid: u32 = get(&row, 0)?;
        let settings: Vec<String> = get(&row, 11)?;
        roles.push(Role {
            name: get(&row, 1)?,
            superuser: get(&row, 2)?,
            inherit: get(&row, 3)?,
            create_role: get(&row, 4)?,
            create_db: get(&row, 5)?,
            login: get(&row, 6)?,
            replication: get(&row, 7)?,
            bypass_rls: get(&row, 8)?,
            connection_limit: get(&row, 9)?,
            valid_until: get(&row, 10)?,
            settings: settings.iter().map(|setting| split_setting(setting)).collect(),
            comment: get(&row, 12)?,
            member_of: memberships.remove(&oid).unwrap_or_default(),
        });
    }
    Ok(roles)
}

async fn memberships(client: &Client, major: u32) -> Result<BTreeMap<u32, Vec<Membership>>> {
    let options =
        if major >= 16 { "m.inherit_option, m.set_option" } else { "NULL::bool, NULL::bool" };
    let sql = format!(
        "SELECT m.member, r.rolname::text, m.admin_option, {options}, g.rolname::text FROM pg_auth_members m \
         JOIN pg_roles r ON r.oid = m.roleid LEFT JOIN pg_roles g ON g.oid = m.grantor ORDER BY 1, 2, 6"
    );
    let mut of: BTreeMap<u32, Vec<Membership>> = BTreeMap::new();
    for row in rows(client, "memberships of roles", &sql, &[]).await? {
        of.entry(get(&row, 0)?).or_default().push(Membership {
            role: get(&row, 1)?,
            admin: get(&row, 2)?,
            inherit: get(&row, 3)?,
            set: get(&row, 4)?,
            grantor: get(&row, 5)?,
        });
    }
    Ok(of)
}

/// `name=value`, as `pg_db_role_setting` has it.
pub(super) fn split_setting(setting: &str) -> (String, String) {
    let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
    (name.to_owned(), value.to_owned())
}
