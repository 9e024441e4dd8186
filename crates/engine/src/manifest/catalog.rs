//! What the catalogs say of a database and its cluster: properties, schema, roles, and what has no rows of its own.

use serde::{Deserialize, Serialize};

use super::Part;

/// Properties of the database, for `CREATE DATABASE` and what follows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseProperties {
    /// Encoding by PostgreSQL's name, such as `UTF8`.
    pub encoding: String,
    /// `datcollate`.
    pub collate: String,
    /// `datctype`.
    pub ctype: String,
    /// `c` (libc), `i` (ICU) or `b` (built in); servers before 15 have only libc.
    pub locale_provider: String,
    /// Locale of the ICU or built-in provider.
    pub locale: Option<String>,
    /// ICU rules.
    pub icu_rules: Option<String>,
    /// `datcollversion`; a different one on the target is worth a warning.
    pub collation_version: Option<String>,
    /// Role that owns the database.
    pub owner: String,
    /// `datacl` in its text form; none means the default.
    pub acl: Option<Vec<String>>,
    /// `COMMENT ON DATABASE`.
    pub comment: Option<String>,
    /// `datconnlimit`, -1 for none.
    pub connection_limit: i32,
    /// Tablespace's name.
    pub tablespace: String,
    /// `ALTER DATABASE … SET` and `ALTER ROLE … IN DATABASE … SET`.
    pub settings: Vec<DatabaseSetting>,
}

/// One `name=value` of `pg_db_role_setting`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseSetting {
    /// None for a setting of the whole database.
    pub role: Option<String>,
    /// Parameter.
    pub name: String,
    /// Value as stored.
    pub value: String,
}

/// The archive that `pg_dump` made of the schema.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaArchive {
    /// `toc.dat`.
    pub toc: Part,
    /// Version of the `pg_dump` that wrote it, such as `15.18`.
    pub tool_version: String,
    /// Major version of that tool: `pg_restore` must be at least as new.
    pub tool_major: u32,
}

/// An installed extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    /// `pg_extension.extname`.
    pub name: String,
    /// `pg_extension.extversion`.
    pub version: String,
    /// Schema it is installed in.
    pub schema: String,
}

/// A role and what belongs to it in the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// `rolname`.
    pub name: String,
    /// `SUPERUSER`.
    pub superuser: bool,
    /// `INHERIT`.
    pub inherit: bool,
    /// `CREATEROLE`.
    pub create_role: bool,
    /// `CREATEDB`.
    pub create_db: bool,
    /// `LOGIN`.
    pub login: bool,
    /// `REPLICATION`.
    pub replication: bool,
    /// `BYPASSRLS`.
    pub bypass_rls: bool,
    /// `CONNECTION LIMIT`, -1 for none.
    pub connection_limit: i32,
    /// `VALID UNTIL` as text.
    pub valid_until: Option<String>,
    /// Settings of the role in every database.
    pub settings: Vec<(String, String)>,
    /// `COMMENT ON ROLE`.
    pub comment: Option<String>,
    /// Roles that this one is a member of.
    pub member_of: Vec<Membership>,
}

/// One row of `pg_auth_members`, seen from the member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Membership {
    /// The role that was granted.
    pub role: String,
    /// `WITH ADMIN OPTION`.
    pub admin: bool,
    /// PostgreSQL 16's `INHERIT` option; absent before.
    pub inherit: Option<bool>,
    /// PostgreSQL 16's `SET` option; absent before.
    pub set: Option<bool>,
    /// Who granted it.
    pub grantor: Option<String>,
}

/// A sequence's position. Sequences are not transactional: read after the snapshot, so never behind the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `last_value`.
    pub last_value: i64,
    /// `is_called`.
    pub is_called: bool,
}

/// A materialized view: its rows are not stored, it is refreshed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterializedView {
    /// Schema.
    pub schema: String,
    /// Name.
    pub name: String,
    /// `relispopulated`: one that was created WITH NO DATA stays so.
    pub populated: bool,
}
