//! The server and the database themselves: identity, version, log positions, properties, extensions.

use tokio_postgres::Client;

use super::{get, get_u64, one_row, rows};
use crate::error::{Error, Result};
use crate::manifest::{DatabaseProperties, DatabaseSetting, Extension, Mark, Source};

/// What must be known of a server before anything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    pub(crate) version_num: u32,
    pub(crate) version: String,
    pub(crate) in_recovery: bool,
    pub(crate) encoding: String,
    pub(crate) database_bytes: u64,
    /// Role of the session, after any `SET ROLE` of its settings.
    pub(crate) role: String,
}

impl Server {
    pub(crate) fn major(&self) -> u32 {
        self.version_num / 10_000
    }
}

pub(crate) async fn server(client: &Client) -> Result<Server> {
    let sql = "SELECT current_setting('server_version_num')::int8, current_setting('server_version'), \
        pg_is_in_recovery(), getdatabaseencoding()::text, pg_database_size(current_database()), current_user::text";
    let row = one_row(client, "the server's version", sql, &[]).await?;
    Ok(Server {
        version_num: u32::try_from(get_u64(&row, 0)?).unwrap_or(u32::MAX),
        version: get(&row, 1)?,
        in_recovery: get(&row, 2)?,
        encoding: get(&row, 3)?,
        database_bytes: get_u64(&row, 4)?,
        role: get(&row, 5)?,
    })
}

/// Whether the server is a standby now.
pub(crate) async fn in_recovery(client: &Client) -> Result<bool> {
    let row = one_row(client, "the state of the server", "SELECT pg_is_in_recovery()", &[]).await?;
    get(&row, 0)
}

/// Identity of what is read. Where the server withholds a part (managed services revoke functions), it is left empty:
/// such a recovery point is never the base of reuse.
pub(crate) async fn source(client: &Client, server: &Server) -> Result<Source> {
    let row = one_row(
        client,
        "the identity of the database",
        "SELECT oid, datname::text FROM pg_database WHERE datname = current_database()",
        &[],
    )
    .await?;
    let (system_identifier, postmaster_start_unix_us) = incarnation(client).await?;
    Ok(Source {
        system_identifier,
        timeline: timeline(client, server.in_recovery).await?,
        database_oid: get(&row, 0)?,
        database: get(&row, 1)?,
        server_version_num: server.version_num,
        server_version: server.version.clone(),
        postmaster_start_unix_us,
        in_recovery: server.in_recovery,
    })
}

/// The server's identifier, empty where it is withheld, and when it was started (microseconds since 1970), which no two of the same
/// identifier share.
pub(crate) async fn incarnation(client: &Client) -> Result<(String, i64)> {
    let sql = "SELECT (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::int8, \
        has_function_privilege('pg_control_system()', 'EXECUTE')";
    let row = one_row(client, "the identity of the server", sql, &[]).await?;
    let (started, is_permitted): (i64, bool) = (get(&row, 0)?, get(&row, 1)?);
    // A refusal would end the transaction that holds a snapshot.
    if !is_permitted {
        return Ok((String::new(), started));
    }
    let sql = "SELECT system_identifier::text FROM pg_control_system()";
    let row = one_row(client, "the identity of the server", sql, &[]).await?;
    Ok((get(&row, 0)?, started))
}

async fn timeline(client: &Client, in_recovery: bool) -> Result<u32> {
    let text = if in_recovery {
        let sql = "SELECT greatest((SELECT timeline_id FROM pg_control_checkpoint()), \
            (SELECT min_recovery_end_timeline FROM pg_control_recovery()))::text";
        permitted(client, sql).await?.and_then(|text| text.parse().ok())
    } else {
        let sql = "SELECT substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)";
        permitted(client, sql).await?.and_then(|text| u32::from_str_radix(&text, 16).ok())
    };
    Ok(text.unwrap_or(0))
}

/// A single text; none where the role may not call the functions.
async fn permitted(client: &Client, sql: &str) -> Result<Option<String>> {
    match one_row(client, "the state of the server", sql, &[]).await {
        Ok(row) => get(&row, 0),
        Err(error) if error.sqlstate() == Some("42501") => Ok(None),
        Err(error) => Err(error),
    }
}

/// Where the log ends: the insert position, on a standby the replayed one.
pub(crate) async fn insert_lsn(client: &Client, in_recovery: bool) -> Result<String> {
    let function = if in_recovery { "pg_last_wal_replay_lsn" } else { "pg_current_wal_insert_lsn" };
    let row = one_row(
        client,
        "the log position",
        &format!("SELECT coalesce({function}()::text, '0/0')"),
        &[],
    )
    .await?;
    get(&row, 0)
}

/// Up to where the log is durable.
pub(crate) async fn flush_lsn(client: &Client) -> Result<String> {
    let row =
        one_row(client, "the flushed log position", "SELECT pg_current_wal_flush_lsn()::text", &[])
            .await?;
    get(&row, 0)
}

/// A position such as `16/B374D848` as a number.
pub(crate) fn lsn_number(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    let (high, low) = (u64::from_str_radix(high, 16).ok()?, u64::from_str_radix(low, 16).ok()?);
    (high <= u64::from(u32::MAX) && low <= u64::from(u32::MAX)).then_some(high << 32 | low)
}

/// Marks: every transaction with an id ≥ `xid` writes all its log at or after `lsn`. One from the last checkpoint, and on
/// a primary one of now, which costs a transaction id. The order of the two reads is what makes the second one true.
/// The functions named `txid` give the full 64 bits, and servers before 13 have no others.
pub(crate) async fn marks(client: &Client, in_recovery: bool) -> Result<Vec<Mark>> {
    let mut marks = Vec::new();
    if !in_recovery {
        let lsn = insert_lsn(client, in_recovery).await?;
        let row = one_row(client, "the next transaction", "SELECT txid_current()", &[]).await?;
        marks.push(Mark { lsn, xid: get_u64(&row, 0)? });
    }
    let sql = "SELECT redo_lsn::text || ' ' || next_xid FROM pg_control_checkpoint()";
    if let Some(mark) = permitted(client, sql).await?.as_deref().and_then(checkpoint_mark) {
        marks.push(mark);
    }
    Ok(marks)
}

/// `0/1500028 0:731`: redo position and next transaction with its epoch.
fn checkpoint_mark(text: &str) -> Option<Mark> {
    let (lsn, next) = text.split_once(' ')?;
    let (epoch, xid) = next.split_once(':')?;
    let (epoch, xid): (u64, u64) = (epoch.parse().ok()?, xid.parse().ok()?);
    Some(Mark { lsn: lsn.to_owned(), xid: epoch << 32 | xid })
}

/// Properties of the database, which no archive of its content has.
pub(crate) async fn properties(client: &Client, major: u32) -> Result<DatabaseProperties> {
    let provider = if major >= 15 { "d.datlocprovider::text" } else { "'c'" };
    let locale = match major {
        17.. => "d.datlocale",
        15..17 => "d.daticulocale",
        _ => "NULL::text",
    };
    let icu_rules = if major >= 16 { "d.daticurules" } else { "NULL::text" };
    let collation_version = if major >= 15 { "d.datcollversion" } else { "NULL::text" };
    let sql = format!(
        "SELECT pg_encoding_to_char(d.encoding)::text, d.datcollate::text, d.datctype::text, {provider}, {locale}, \
           {icu_rules}, {collation_version}, coalesce(r.rolname::text, d.datdba::text), d.datacl::text[], \
           shobj_description(d.oid, 'pg_database'), d.datconnlimit, t.spcname::text, d.oid \
         FROM pg_database d JOIN pg_tablespace t ON t.oid = d.dattablespace LEFT JOIN pg_roles r ON r.oid = d.datdba \
         WHERE d.datname = current_database()"
    );
    let row = one_row(client, "the properties of the database", &sql, &[]).await?;
    Ok(DatabaseProperties {
        encoding: get(&row, 0)?,
        collate: get(&row, 1)?,
        ctype: get(&row, 2)?,
        locale_provider: get(&row, 3)?,
        locale: get(&row, 4)?,
        icu_rules: get(&row, 5)?,
        collation_version: get(&row, 6)?,
        owner: get(&row, 7)?,
        acl: get(&row, 8)?,
        comment: get(&row, 9)?,
        connection_limit: get(&row, 10)?,
        tablespace: get(&row, 11)?,
        settings: settings(client, get(&row, 12)?).await?,
    })
}

async fn settings(client: &Client, database: u32) -> Result<Vec<DatabaseSetting>> {
    let sql = "SELECT r.rolname::text, s.setconfig FROM pg_db_role_setting s LEFT JOIN pg_roles r ON r.oid = s.setrole \
        WHERE s.setdatabase = $1 ORDER BY 1 NULLS FIRST";
    let mut settings = Vec::new();
    for row in rows(client, "the settings of the database", sql, &[&database]).await? {
        let role: Option<String> = get(&row, 0)?;
        let pairs: Vec<String> = get(&row, 1)?;
        settings.extend(pairs.iter().map(|pair| {
            let (name, value) = super::role::split_setting(pair);
            DatabaseSetting { role: role.clone(), name, value }
        }));
    }
    Ok(settings)
}

/// Installed extensions, by name.
pub(crate) async fn extensions(client: &Client) -> Result<Vec<Extension>> {
    let sql = "SELECT e.extname::text, e.extversion, n.nspname::text FROM pg_extension e \
        JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname::text COLLATE \"C\"";
    let found = rows(client, "extensions", sql, &[]).await?;
    found
        .iter()
        .map(|row| {
            Ok(Extension { name: get(row, 0)?, version: get(row, 1)?, schema: get(row, 2)? })
        })
        .collect()
}

/// Refuses servers that nobody tested.
pub(crate) fn supported(server: &Server) -> Result<()> {
    let (oldest, newest) = crate::check::SUPPORTED_MAJORS;
    if (oldest..=newest).contains(&server.major()) {
        return Ok(());
    }
    Err(Error::UnsupportedVersion {
        version: server.version.clone(),
        reason: format!("versions {oldest} to {newest} are"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_and_marks() {
        assert_eq!(lsn_number("16/B374D848"), Some(0x16_B374_D848));
        assert_eq!(lsn_number("16"), None);
        assert_eq!(
            checkpoint_mark("0/1500028 1:731"),
            Some(Mark { lsn: "0/1500028".into(), xid: (1 << 32) + 731 })
        );
        assert_eq!(checkpoint_mark("0/1500028"), None);
    }
}
