//! The settings of a session that reads rows, at backup and again at the proof after a restore.
//!
//! COPY text depends on the session: dates, floats, bytea, names that need a schema. Both sides of a proof therefore
//! use exactly [`CANONICAL_SETTINGS`], and their list is part of every table's shape. Changing it is a change of format.
//!
//! Statements are sent in UTF-8, whatever the database's encoding; rows are asked for in the database's own encoding by
//! COPY's `ENCODING` option, so that they are never converted.

use crate::connect::{ConnectOptions, Connection, connect};
use crate::error::{Error, Result};

/// What shapes COPY text. Order and spelling are part of the shape of tables.
pub const CANONICAL_SETTINGS: [(&str, &str); 9] = [
    ("search_path", ""),
    ("DateStyle", "ISO, MDY"),
    ("IntervalStyle", "postgres"),
    ("TimeZone", "UTC"),
    ("extra_float_digits", "3"),
    ("bytea_output", "hex"),
    ("lc_monetary", "C"),
    ("xmlbinary", "base64"),
    ("xmloption", "content"),
];

/// What keeps a long session alive, honest and off the other cores. Not all servers know all of them.
const SESSION_SETTINGS: [(&str, &str); 17] = [
    ("synchronize_seqscans", "off"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
    ("idle_session_timeout", "0"),
    ("transaction_timeout", "0"),
    ("row_security", "off"),
    ("restrict_nonsystem_relation_kind", "view, foreign-table"),
    ("quote_all_identifiers", "off"),
    ("default_transaction_deferrable", "off"),
    // A standby refuses the strictest one.
    ("default_transaction_isolation", "read committed"),
    ("jit", "off"),
    ("max_parallel_workers_per_gather", "0"),
    ("tcp_keepalives_idle", "60"),
    ("tcp_keepalives_interval", "20"),
    ("tcp_keepalives_count", "6"),
    ("client_min_messages", "warning"),
];

/// Opens a session with the canonical settings.
///
/// # Errors
/// As [`connect`], and [`Error::Sql`] when the server refuses a setting.
pub async fn open(options: &ConnectOptions) -> Result<Connection> {
    let connection = connect(options).await?;
    apply(&connection).await?;
    Ok(connection)
}

/// Gives a session the canonical settings, which hold until it ends.
///
/// # Errors
/// [`Error::Sql`] when the server refuses one.
pub async fn apply(client: &tokio_postgres::Client) -> Result<()> {
    // The first statement closes the hole of CVE-2018-1058; everything after it names its schema.
    let mut batch = String::new();
    for (name, value) in CANONICAL_SETTINGS {
        batch.push_str(&format!("SELECT pg_catalog.set_config('{name}', '{value}', false);"));
    }
    let settings = SESSION_SETTINGS.map(|(name, value)| format!("('{name}', '{value}')"));
    batch.push_str(&set_known(&settings.join(", ")));
    client
        .batch_execute(&batch)
        .await
        .map_err(|error| Error::sql("set the session's parameters", &error))
}

/// Sets those of these pairs of name and value that the server knows. `pg_settings` would tell too, but makes a list of some
/// four hundred lines at each look.
pub(crate) fn set_known(pairs: &str) -> String {
    format!(
        "SELECT pg_catalog.set_config(name, value, false) FROM (VALUES {pairs}) AS v(name, value) \
         WHERE pg_catalog.current_setting(name, true) IS NOT NULL"
    )
}

/// Runs statements that give nothing back, saying what they were for when one fails.
pub(crate) async fn execute(client: &tokio_postgres::Client, what: &str, sql: &str) -> Result<()> {
    client.batch_execute(sql).await.map_err(|error| Error::sql(what, &error))
}

/// An identifier, always quoted.
#[must_use]
pub fn quote_identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The name in an identifier as [`quote_identifier`] writes it, in whatever encoding; none where it is not all in quotes.
pub(crate) fn unquote_identifier(identifier: &[u8]) -> Option<Vec<u8>> {
    let inner = identifier.strip_prefix(b"\"")?.strip_suffix(b"\"")?;
    let mut doubled = false;
    let keep = |byte: &&u8| {
        doubled = **byte == b'"' && !doubled;
        !doubled
    };
    // Of two quotes, the second is kept.
    Some(inner.iter().filter(keep).copied().collect())
}

/// `"schema"."name"`.
#[must_use]
pub fn qualified(schema: &str, name: &str) -> String {
    format!("{}.{}", quote_identifier(schema), quote_identifier(name))
}

/// A string literal that means the same whatever `standard_conforming_strings` says.
#[must_use]
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoting() {
        assert_eq!(qualified("a\"b", "C"), "\"a\"\"b\".\"C\"");
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal(r"a\'b"), r"E'a\\''b'");
    }
}
