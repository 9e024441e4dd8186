//! What the target server is and has, read once before anything is written.

use std::collections::{HashMap, HashSet};

use tokio_postgres::Client;

use super::temporary::server_version_num;
use crate::error::{Error, Result};

/// Sessions that this restore needs besides its workers.
const OWN_SESSIONS: i64 = 3;

/// Facts about the server and the role that logged in.
#[derive(Debug, Clone, Default)]
pub(super) struct TargetFacts {
    /// `server_version_num`.
    pub(super) version_num: u32,
    /// `server_version`.
    pub(super) version: String,
    /// Role that logged in.
    pub(super) user: String,
    /// It may do anything.
    pub(super) superuser: bool,
    /// It may create databases.
    pub(super) create_db: bool,
    /// It may create roles.
    pub(super) create_role: bool,
    /// The server is a standby: it can't be written to.
    pub(super) in_recovery: bool,
    /// A database of the wanted name exists.
    pub(super) name_taken: bool,
    /// The server knows the encoding.
    pub(super) encoding_known: bool,
    /// Its libc has the locales of collation and character types, as far as can be told.
    pub(super) locale_known: bool,
    /// It was built with ICU.
    pub(super) has_icu: bool,
    /// `datcollversion` of `template0`.
    pub(super) collation_version: Option<String>,
    /// Sessions that may still be opened, without those that superusers keep.
    pub(super) free_connections: usize,
    /// `maintenance_work_mem`, in kilobytes.
    pub(super) maintenance_work_mem_kb: i64,
    /// `wal_level` is `minimal`: rows of a new file are not logged.
    pub(super) skips_log: bool,
    /// Names of all roles.
    pub(super) roles: HashSet<String>,
    /// Names of all tablespaces.
    pub(super) tablespaces: HashSet<String>,
    /// Extensions that can be installed.
    pub(super) extensions: HashMap<String, ExtensionFacts>,
}

/// An extension that can be installed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ExtensionFacts {
    /// The one that `CREATE EXTENSION` takes.
    pub(super) default_version: String,
    /// All others.
    pub(super) versions: HashSet<String>,
    /// Only a superuser may install it.
    pub(super) superuser_only: bool,
}

impl TargetFacts {
    /// The major version.
    pub(super) fn major(&self) -> u32 {
        self.version_num / 10_000
    }

    /// Asks the server.
    pub(super) async fn read(client: &Client, wanted: &Wanted<'_>) -> Result<Self> {
        let version_num = server_version_num(client).await?;
        let mut facts = Self { version_num, ..Self::default() };
        facts.read_server(client, wanted).await?;
        facts.roles = names(client, "SELECT rolname::text FROM pg_catalog.pg_roles").await?;
        facts.tablespaces =
            names(client, "SELECT spcname::text FROM pg_catalog.pg_tablespace").await?;
        facts.read_locale(client, wanted).await?;
        facts.read_extensions(client).await?;
        Ok(facts)
    }

    async fn read_server(&mut self, client: &Client, wanted: &Wanted<'_>) -> Result<()> {
        let statement = "SELECT pg_catalog.current_setting('server_version'), r.rolname::text, r.rolsuper, r.rolcreatedb, \
             r.rolcreaterole, pg_catalog.pg_is_in_recovery(), \
             EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1), \
             pg_catalog.pg_char_to_encoding($2) >= 0, \
             pg_catalog.current_setting('max_connections')::int8 \
               - pg_catalog.current_setting('superuser_reserved_connections')::int8 \
               - (SELECT pg_catalog.count(*) FROM pg_catalog.pg_stat_activity WHERE backend_type = 'client backend'), \
             (SELECT setting::int8 FROM pg_catalog.pg_settings WHERE name = 'maintenance_work_mem'), \
             pg_catalog.current_setting('wal_level') = 'minimal' \
             FROM pg_catalog.pg_roles r WHERE r.rolname = current_user";
        let row = client
            .query_one(statement, &[&wanted.database, &wanted.encoding])
            .await
            .map_err(failed)?;
        self.version = row.get(0);
        self.user = row.get(1);
        self.superuser = row.get(2);
        self.create_db = row.get::<_, bool>(3) || self.superuser;
        self.create_role = row.get::<_, bool>(4) || self.superuser;
        self.in_recovery = row.get(5);
        self.name_taken = row.get(6);
        self.encoding_known = row.get(7);
        self.maintenance_work_mem_kb = row.get(9);
        self.skips_log = row.get(10);
        self.free_connections = usize::try_from(row.get::<_, i64>(8) - OWN_SESSIONS).unwrap_or(0);
        Ok(())
    }

    /// There is no list of what libc has: known are the locales that databases use and those that `initdb` found.
    async fn read_locale(&mut self, client: &Client, wanted: &Wanted<'_>) -> Result<()> {
        let statement = "SELECT datcollate::text FROM pg_catalog.pg_database UNION SELECT datctype::text FROM pg_catalog.pg_database \
             UNION SELECT collcollate::text FROM pg_catalog.pg_collation WHERE collprovider = 'c' AND collcollate IS NOT NULL";
        let known: HashSet<String> =
            names(client, statement).await?.iter().map(|name| comparable(name)).collect();
        let is_known =
            |name: &&str| matches!(*name, "C" | "POSIX") || known.contains(&comparable(name));
        self.locale_known = wanted.locales.iter().all(is_known);
        let statement =
            "SELECT pg_catalog.count(*) > 0 FROM pg_catalog.pg_collation WHERE collprovider = 'i'";
        self.has_icu = client.query_one(statement, &[]).await.map_err(failed)?.get(0);
        if self.version_num >= 150_000 {
            let statement =
                "SELECT datcollversion FROM pg_catalog.pg_database WHERE datname = 'template0'";
            let row = client.query_opt(statement, &[]).await.map_err(failed)?;
            self.collation_version = row.and_then(|row| row.get(0));
        }
        Ok(())
    }

    async fn read_extensions(&mut self, client: &Client) -> Result<()> {
        // "trusted" came with 13.
        let rights = if self.version_num >= 130_000 {
            "v.superuser AND NOT v.trusted"
        } else {
            "v.superuser"
        };
        let statement = format!(
            "SELECT e.name::text, coalesce(e.default_version, ''), v.version, {rights} \
             FROM pg_catalog.pg_available_extensions e JOIN pg_catalog.pg_available_extension_versions v ON v.name = e.name"
        );
        for row in client.query(&statement, &[]).await.map_err(failed)? {
            let extension = self.extensions.entry(row.get(0)).or_default();
            extension.default_version = row.get(1);
            let version: String = row.get(2);
            if version == extension.default_version {
                extension.superuser_only = row.get(3);
            }
            extension.versions.insert(version);
        }
        Ok(())
    }
}

/// What the manifest asks the target for.
#[derive(Debug, Clone)]
pub(super) struct Wanted<'a> {
    /// Name of the database to make.
    pub(super) database: &'a str,
    /// Its encoding.
    pub(super) encoding: &'a str,
    /// Its locales of libc.
    pub(super) locales: Vec<&'a str>,
}

/// `en_US.UTF-8`, `en_US.utf8` and `en_us.UTF8` are the same locale.
fn comparable(locale: &str) -> String {
    let (language, encoding) = locale.split_once('.').unwrap_or((locale, ""));
    format!("{}.{}", language.to_lowercase(), encoding.to_lowercase().replace(['-', '_'], ""))
}

async fn names(client: &Client, statement: &str) -> Result<HashSet<String>> {
    Ok(client.query(statement, &[]).await.map_err(failed)?.iter().map(|row| row.get(0)).collect())
}

#[expect(clippy::needless_pass_by_value, reason = "fits map_err")]
fn failed(error: tokio_postgres::Error) -> Error {
    Error::sql("look at the target server", &error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_locale() {
        assert_eq!(comparable("en_US.UTF-8"), comparable("en_us.utf8"));
        assert_ne!(comparable("en_US.UTF-8"), comparable("en_US"));
    }
}
