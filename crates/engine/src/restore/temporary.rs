//! The database under its temporary name: made, and dropped without a trace.

use std::time::Duration;

use super::context::Context;
use super::identity::{database_oid, oid_of};
use crate::connect::{ConnectOptions, Connection};
use crate::error::{Error, Result};
use crate::manifest::DatabaseProperties;
use crate::session::{self, quote_identifier, quote_literal};

/// Start of every temporary name. A database with such a name may be dropped at any time.
pub const TEMPORARY_PREFIX: &str = "coffer_restore_";

/// Longest name of a database, in bytes.
pub(super) const NAME_BYTES_MAX: usize = 63;

/// How often a drop is tried while sessions are still ending, and the time between.
const DROP_ATTEMPTS: u32 = 40;
const DROP_PAUSE: Duration = Duration::from_millis(250);

/// First version with `DROP DATABASE … WITH (FORCE)`.
const FORCE_SINCE: u32 = 130_000;

/// Databases to connect to for work on others.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// Drops the database of an unfinished restore with all sessions in it. Without one, does nothing.
///
/// # Errors
/// [`Error::Unsupported`] when the name is not that of a temporary database; failures of the connection and
/// [`Error::Sql`] when the server refuses.
pub async fn drop_temporary_database(target: &ConnectOptions, name: &str) -> Result<()> {
    check_name(name)?;
    let maintenance = open_maintenance(target).await?;
    drop_subscriptions(&maintenance, target, name).await?;
    let version = server_version_num(&maintenance).await?;
    let force = if version >= FORCE_SINCE { " WITH (FORCE)" } else { "" };
    let statement = format!("DROP DATABASE IF EXISTS {}{force}", quote_identifier(name));
    let mut attempt = 1;
    loop {
        if version < FORCE_SINCE {
            end_sessions(&maintenance, name).await?;
        }
        match maintenance
            .batch_execute(&statement)
            .await
            .map_err(|e| Error::sql(format!("drop {name}"), &e))
        {
            Ok(()) => return Ok(()),
            Err(error) if in_use(&error) && attempt < DROP_ATTEMPTS => {
                tokio::time::sleep(DROP_PAUSE).await;
            }
            Err(error) => return Err(error),
        }
        attempt += 1;
    }
}

/// Whether sessions in the database stand in the way.
pub(super) fn in_use(error: &Error) -> bool {
    error.sqlstate() == Some("55006")
}

/// Only a name that nobody else uses may ever be dropped. The characters also keep it from being taken for a connection
/// string by the tools.
pub(super) fn check_name(name: &str) -> Result<()> {
    let rest = name.strip_prefix(TEMPORARY_PREFIX).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    if rest.is_empty() || name.len() > NAME_BYTES_MAX || !rest.chars().all(allowed) {
        let message =
            format!("{name:?} is not the name of a temporary database ({TEMPORARY_PREFIX}…)");
        return Err(Error::Unsupported { code: "TemporaryName", message });
    }
    Ok(())
}

/// A session in a database that is not the one worked on.
pub(crate) async fn open_maintenance(target: &ConnectOptions) -> Result<Connection> {
    let named = (!target.database.is_empty()).then_some(target.database.as_str());
    let mut last = None;
    for database in MAINTENANCE.into_iter().chain(named) {
        match session::open(&target.with_database(database)).await {
            Err(error @ (Error::DatabaseNotFound { .. } | Error::Sql { .. })) => last = Some(error),
            Err(error) => return Err(error),
            Ok(session) => {
                let writable =
                    session.batch_execute("SET default_transaction_read_only = off").await;
                writable.map_err(|e| Error::sql("set the session's parameters", &e))?;
                return Ok(session);
            }
        }
    }
    Err(last.unwrap_or(Error::DatabaseNotFound { database: MAINTENANCE[0].to_owned() }))
}

/// `server_version_num`.
pub(super) async fn server_version_num(client: &tokio_postgres::Client) -> Result<u32> {
    let context = "ask for the server's version";
    let row = client
        .query_one("SELECT pg_catalog.current_setting('server_version_num')::int4", &[])
        .await;
    let version: i32 = row.map_err(|e| Error::sql(context, &e))?.get(0);
    u32::try_from(version)
        .map_err(|_| Error::Protocol { context: context.to_owned(), message: version.to_string() })
}

/// Ends the sessions in a database, as far as the role may.
pub(super) async fn end_sessions(client: &tokio_postgres::Client, database: &str) -> Result<()> {
    let statement = "SELECT pg_catalog.count(pg_catalog.pg_terminate_backend(pid)) FROM pg_catalog.pg_stat_activity \
         WHERE datname = $1 AND pid <> pg_catalog.pg_backend_pid() \
         AND pg_catalog.pg_has_role(usesysid, 'MEMBER')";
    client.query(statement, &[&database]).await.map_err(|e| Error::sql("end sessions", &e))?;
    Ok(())
}

/// A database with subscriptions can't be dropped. A restored one has never been connected, so nothing is lost by it.
async fn drop_subscriptions(
    maintenance: &Connection,
    target: &ConnectOptions,
    name: &str,
) -> Result<()> {
    let context = "look for subscriptions";
    let statement = "SELECT s.subname::text FROM pg_catalog.pg_subscription s \
         JOIN pg_catalog.pg_database d ON d.oid = s.subdbid WHERE d.datname = $1";
    let found =
        maintenance.query(statement, &[&name]).await.map_err(|e| Error::sql(context, &e))?;
    if found.is_empty() {
        return Ok(());
    }
    let inside = session::open(&target.with_database(name)).await?;
    for row in found {
        let subscription = quote_identifier(row.get(0));
        for action in [
            "ALTER SUBSCRIPTION {} DISABLE",
            "ALTER SUBSCRIPTION {} SET (slot_name = NONE)",
            "DROP SUBSCRIPTION {}",
        ] {
            let statement = action.replace("{}", &subscription);
            inside
                .batch_execute(&statement)
                .await
                .map_err(|e| Error::sql("drop a subscription", &e))?;
        }
    }
    Ok(())
}

impl Context {
    /// Makes the database from `template0`, in place of one that an earlier attempt left.
    pub(super) async fn make_database(&self) -> Result<()> {
        drop_temporary_database(&self.request.target, &self.request.temporary_database).await?;
        let maintenance = open_maintenance(&self.request.target).await?;
        let properties = &self.manifest.database;
        let tablespace = Some(properties.tablespace.as_str())
            .filter(|name| *name != "pg_default" && self.target.tablespaces.contains(*name));
        let name = &self.request.temporary_database;
        let statement = create_statement(name, properties, self.target.version_num, tablespace);
        maintenance
            .batch_execute(&statement)
            .await
            .map_err(|e| Error::sql("create the database", &e))?;
        if let Some(oid) = oid_of(&maintenance, name).await? {
            self.made.get_or_init(|| oid);
        }
        Ok(())
    }

    /// Nothing may be left that looks like a database and got no name. When even this fails, which is answered with false, the
    /// caller's recovery does it.
    pub(super) async fn drop_what_was_made(&self) -> bool {
        let name = &self.request.temporary_database;
        // A session that still makes the database would make it after it was dropped.
        self.request.target.running().ended().await;
        if let Some(made) = self.made.get()
            && let Ok(found) = database_oid(&self.request.target, name).await
            && found != Some(*made)
        {
            // Gone, or another run's, which is at work in it.
            return true;
        }
        let dropped = drop_temporary_database(&self.request.target, name).await;
        if let Err(error) = &dropped {
            tracing::warn!(database = %name, %error, "temporary database of a restore was not dropped");
        }
        dropped.is_ok()
    }
}

/// `CREATE DATABASE` with the source's encoding and locale, in the words of the target's version.
fn create_statement(
    name: &str,
    properties: &DatabaseProperties,
    version: u32,
    tablespace: Option<&str>,
) -> String {
    let mut statement = format!(
        "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        quote_identifier(name),
        quote_literal(&properties.encoding),
        quote_literal(&properties.collate),
        quote_literal(&properties.ctype),
    );
    let locale = |keyword: &str| {
        properties
            .locale
            .as_deref()
            .map_or_else(String::new, |locale| format!(" {keyword} {}", quote_literal(locale)))
    };
    match properties.locale_provider.as_str() {
        "i" => {
            statement.push_str(" LOCALE_PROVIDER icu");
            statement.push_str(&locale("ICU_LOCALE"));
            if let Some(rules) = &properties.icu_rules {
                statement.push_str(&format!(" ICU_RULES {}", quote_literal(rules)));
            }
        }
        "b" => {
            statement.push_str(" LOCALE_PROVIDER builtin");
            statement.push_str(&locale("BUILTIN_LOCALE"));
        }
        _ if version >= 150_000 => statement.push_str(" LOCALE_PROVIDER libc"),
        _ => {}
    }
    if let Some(tablespace) = tablespace {
        statement.push_str(&format!(" TABLESPACE {}", quote_identifier(tablespace)));
    }
    statement
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_temporary_names_pass() {
        assert!(check_name("coffer_restore_0a_1").is_ok());
        let long = format!("coffer_restore_{}", "a".repeat(49));
        for name in [
            "",
            "postgres",
            "coffer_restore_",
            "coffer_restore_A",
            "coffer_restore_a=b",
            "coffer_restore_é",
            &long,
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn locale_in_the_words_of_the_version() {
        let mut properties = DatabaseProperties {
            encoding: "UTF8".to_owned(),
            collate: "C".to_owned(),
            ctype: "it's".to_owned(),
            locale_provider: "c".to_owned(),
            locale: None,
            icu_rules: None,
            collation_version: None,
            owner: "x".to_owned(),
            acl: None,
            comment: None,
            connection_limit: -1,
            tablespace: "pg_default".to_owned(),
            settings: Vec::new(),
        };
        let start = "CREATE DATABASE \"d\" TEMPLATE template0 ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'it''s'";
        assert_eq!(create_statement("d", &properties, 140_000, None), start);
        let libc = format!("{start} LOCALE_PROVIDER libc TABLESPACE \"fast\"");
        assert_eq!(create_statement("d", &properties, 150_000, Some("fast")), libc);
        properties.locale_provider = "i".to_owned();
        properties.locale = Some("de".to_owned());
        let icu = format!("{start} LOCALE_PROVIDER icu ICU_LOCALE 'de'");
        assert_eq!(create_statement("d", &properties, 150_000, None), icu);
        properties.locale_provider = "b".to_owned();
        let builtin = format!("{start} LOCALE_PROVIDER builtin BUILTIN_LOCALE 'de'");
        assert_eq!(create_statement("d", &properties, 170_000, None), builtin);
    }
}
