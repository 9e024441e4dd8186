//! The value of a secret, in any of the three forms that people have: an ADO.NET connection string (Azure's documented
//! form), a `postgres://` URI, or libpq's `key=value` pairs.
//!
//! An error never quotes the value or a part of it: it is shown in jobs and logs. Parameters that mean nothing to a
//! backup (pooling, timeouts) are ignored, since such strings are copied from applications.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;

use super::{ConnectOptions, SslMode};

/// Longest value accepted.
const SECRET_BYTES_MAX: usize = 8 * 1024;

/// Why a secret's value can't be used. Never contains any of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SecretFormatError {
    /// Nothing, or only blanks.
    #[error("secret's value is empty")]
    Empty,
    /// More than any connection string needs.
    #[error("secret's value is longer than {SECRET_BYTES_MAX} bytes")]
    TooLong,
    /// None of the three forms.
    #[error(
        "secret's value is neither an ADO.NET connection string, nor a postgres:// URI, nor key=value pairs"
    )]
    UnknownForm,
    /// A quotation or escape that does not end, or a pair without `=`.
    #[error("secret's value is malformed: {0}")]
    Malformed(&'static str),
    /// A parameter whose value can't be used.
    #[error("secret's value has an invalid {0}")]
    Invalid(&'static str),
    /// No role to log in as.
    #[error("secret's value names no user")]
    NoUser,
}

/// Reads a secret's value.
pub(super) fn parse(value: &str) -> Result<ConnectOptions, SecretFormatError> {
    if value.len() > SECRET_BYTES_MAX {
        return Err(SecretFormatError::TooLong);
    }
    let value = value.trim();
    if value.is_empty() {
        return Err(SecretFormatError::Empty);
    }
    if value.contains('\0') {
        return Err(SecretFormatError::Malformed("it contains a NUL character"));
    }
    let pairs = if is_uri(value) {
        uri_pairs(value)?
    } else if looks_like_ado(value) {
        ado_pairs(value)?
    } else if value.contains('=') {
        libpq_pairs(value)?
    } else {
        return Err(SecretFormatError::UnknownForm);
    };
    options_of(&pairs)
}

fn is_uri(value: &str) -> bool {
    let scheme = value.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    scheme.is_some_and(|scheme| scheme == "postgres" || scheme == "postgresql")
}

/// ADO.NET ends pairs with `;` and has keywords that libpq doesn't know; libpq separates pairs with blanks.
fn looks_like_ado(value: &str) -> bool {
    let Some((first, _)) = value.split_once('=') else { return false };
    let ado_only = [
        "server",
        "host",
        "data source",
        "user id",
        "userid",
        "username",
        "uid",
        "database",
        "port",
    ];
    let first = normal_key(first);
    let semicolon = value.contains(';') && !libpq_quoted_first(value);
    (semicolon && (ado_only.contains(&first.as_str()) || ADO_KEYS.iter().any(|key| *key == first)))
        || matches!(
            first.as_str(),
            "server" | "user id" | "userid" | "username" | "uid" | "data source"
        )
}

/// The first value is quoted in libpq's way, which ADO.NET shares; then what follows the quotation decides.
fn libpq_quoted_first(value: &str) -> bool {
    let Some((_, rest)) = value.split_once('=') else { return false };
    let rest = rest.trim_start();
    if !rest.starts_with('\'') {
        // `host=db password=a;b` is libpq's: a blank-separated second key comes before the first semicolon.
        let before = rest.split(';').next().unwrap_or(rest);
        return before.split_once(char::is_whitespace).is_some_and(|(_, after)| {
            after.split_once('=').is_some_and(|(key, _)| LIBPQ_KEYS.contains(&key.trim()))
        });
    }
    rest[1..].find('\'').is_some_and(|end| !rest[end + 2..].trim_start().starts_with(';'))
}

const LIBPQ_KEYS: [&str; 9] = [
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "sslmode",
    "sslrootcert",
    "application_name",
];

const ADO_KEYS: [&str; 8] = [
    "password",
    "pwd",
    "psw",
    "ssl mode",
    "sslmode",
    "root certificate",
    "trust server certificate",
    "application name",
];

fn normal_key(key: &str) -> String {
    key.trim().to_ascii_lowercase()
}

type Pairs = Vec<(String, String)>;

/// `Key=Value;` pairs; a value in single or double quotes may hold anything, its quote doubled.
fn ado_pairs(value: &str) -> Result<Pairs, SecretFormatError> {
    let mut pairs = Vec::new();
    let mut rest = value;
    loop {
        rest = rest.trim_start_matches(|c: char| c == ';' || c.is_whitespace());
        if rest.is_empty() {
            return Ok(pairs);
        }
        let (key, after) =
            rest.split_once('=').ok_or(SecretFormatError::Malformed("a pair has no ="))?;
        if key.contains(';') {
            return Err(SecretFormatError::Malformed("a pair has no ="));
        }
        let after = after.trim_start();
        let (text, remaining) = match after.chars().next() {
            Some(quote @ ('"' | '\'')) => {
                let (text, end) = doubled_quotes(&after[1..], quote)?;
                let remaining = after[1 + end..].trim_start();
                if !remaining.is_empty() && !remaining.starts_with(';') {
                    return Err(SecretFormatError::Malformed(
                        "text follows a closing quotation mark",
                    ));
                }
                (text, remaining)
            }
            _ => {
                let end = after.find(';').unwrap_or(after.len());
                (after[..end].trim_end().to_owned(), &after[end..])
            }
        };
        pairs.push((normal_key(key), text));
        rest = remaining;
    }
}

/// Text up to the closing quote, and the offset after it.
fn doubled_quotes(text: &str, quote: char) -> Result<(String, usize), SecretFormatError> {
    let mut out = String::new();
    let mut chars = text.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        if c != quote {
            out.push(c);
        } else if chars.peek().is_some_and(|(_, next)| *next == quote) {
            chars.next();
            out.push(quote);
        } else {
            return Ok((out, at + 1));
        }
    }
    Err(SecretFormatError::Malformed("a quotation does not end"))
}

/// libpq's `key = 'value'` pairs, with backslash escapes.
fn libpq_pairs(value: &str) -> Result<Pairs, SecretFormatError> {
    let mut pairs = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() {
        let (key, after) =
            rest.split_once('=').ok_or(SecretFormatError::Malformed("a pair has no ="))?;
        let key = key.trim();
        if key.is_empty() || key.contains(char::is_whitespace) {
            return Err(SecretFormatError::Malformed("a pair has no ="));
        }
        let after = after.trim_start();
        let quoted = after.starts_with('\'');
        let body = if quoted { &after[1..] } else { after };
        let (text, end) = libpq_value(body, quoted)?;
        pairs.push((normal_key(key), text));
        rest = body[end..].trim_start();
    }
    Ok(pairs)
}

fn libpq_value(body: &str, quoted: bool) -> Result<(String, usize), SecretFormatError> {
    let mut out = String::new();
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, escaped)) => out.push(escaped),
                None => return Err(SecretFormatError::Malformed("an escape does not end")),
            },
            '\'' if quoted => return Ok((out, at + 1)),
            c if c.is_whitespace() && !quoted => return Ok((out, at)),
            c => out.push(c),
        }
    }
    if quoted {
        Err(SecretFormatError::Malformed("a quotation does not end"))
    } else {
        Ok((out, body.len()))
    }
}

/// `postgres://user:password@host:port/database?sslmode=…`. Parsed by hand: a password with a stray character must not
/// end in an error that quotes it, and libpq allows what the URL standard does not.
fn uri_pairs(value: &str) -> Result<Pairs, SecretFormatError> {
    let (_, rest) = value.split_once("://").ok_or(SecretFormatError::UnknownForm)?;
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    // The last @ before the path: passwords are pasted unescaped.
    let (userinfo, rest) = match rest.rfind('@') {
        Some(at) => (Some(&rest[..at]), &rest[at + 1..]),
        None => (None, rest),
    };
    let (address, database) = rest.split_once('/').unwrap_or((rest, ""));
    if address.contains(',') {
        return Err(SecretFormatError::Invalid("host (one host is expected, not a list)"));
    }
    let mut pairs = Vec::new();
    if let Some(userinfo) = userinfo {
        let (user, password) =
            userinfo.split_once(':').map_or((userinfo, None), |(u, p)| (u, Some(p)));
        pairs.push(("user".to_owned(), decoded(user, "user")?));
        if let Some(password) = password {
            pairs.push(("password".to_owned(), decoded(password, "password")?));
        }
    }
    let (host, port) = host_and_port(address)?;
    pairs.push(("host".to_owned(), decoded(host, "host")?));
    if let Some(port) = port {
        pairs.push(("port".to_owned(), port.to_owned()));
    }
    pairs.push(("dbname".to_owned(), decoded(database, "database")?));
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (key, value) =
            pair.split_once('=').ok_or(SecretFormatError::Malformed("a pair has no ="))?;
        pairs.push((normal_key(key), decoded(value, "parameter")?));
    }
    Ok(pairs)
}

fn host_and_port(address: &str) -> Result<(&str, Option<&str>), SecretFormatError> {
    if let Some(rest) = address.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or(SecretFormatError::Invalid("host"))?;
        return Ok((host, after.strip_prefix(':').filter(|port| !port.is_empty())));
    }
    let (host, port) =
        address.split_once(':').map_or((address, None), |(host, port)| (host, Some(port)));
    Ok((host, port.filter(|port| !port.is_empty())))
}

fn decoded(text: &str, what: &'static str) -> Result<String, SecretFormatError> {
    let text =
        percent_decode_str(text).decode_utf8().map_err(|_| SecretFormatError::Invalid(what))?;
    if text.contains('\0') {
        return Err(SecretFormatError::Malformed("it contains a NUL character"));
    }
    Ok(text.into_owned())
}

fn options_of(pairs: &Pairs) -> Result<ConnectOptions, SecretFormatError> {
    let mut options = ConnectOptions::new("", 5432, "", "");
    let mut trust_server_certificate = false;
    let mut ssl_mode = None;
    for (key, value) in pairs {
        match key.as_str() {
            "host" | "server" | "data source" | "addr" | "address" => {
                set_host(&mut options, value)?;
            }
            "hostaddr" if options.host.is_empty() => options.host.clone_from(value),
            "port" => options.port = port_of(value)?,
            "database" | "dbname" | "initial catalog" | "db" => options.database.clone_from(value),
            "user" | "user id" | "userid" | "username" | "user name" | "uid" => {
                options.user.clone_from(value);
            }
            "password" | "pwd" | "psw" => {
                options.password = Some(SecretString::from(value.clone()));
            }
            "ssl mode" | "sslmode" => {
                ssl_mode =
                    Some(SslMode::parse(value).ok_or(SecretFormatError::Invalid("sslmode"))?);
            }
            "root certificate" | "rootcertificate" | "sslrootcert" if value != "system" => {
                options.ssl_root_cert = Some(PathBuf::from(value));
            }
            "trust server certificate" | "trustservercertificate" => {
                trust_server_certificate =
                    matches!(normal_key(value).as_str(), "true" | "yes" | "1");
            }
            _ => {}
        }
    }
    if options.user.is_empty() {
        return Err(SecretFormatError::NoUser);
    }
    if options.database.is_empty() {
        options.database.clone_from(&options.user);
    }
    options.ssl_mode = match ssl_mode {
        Some(SslMode::VerifyCa | SslMode::VerifyFull) if trust_server_certificate => {
            SslMode::Require
        }
        Some(mode) => mode,
        None => options.ssl_mode,
    };
    Ok(options)
}

/// `host`, or ADO.NET's `tcp:host,port`.
fn set_host(options: &mut ConnectOptions, value: &str) -> Result<(), SecretFormatError> {
    let value = value.strip_prefix("tcp:").unwrap_or(value);
    let (host, port) =
        value.split_once(',').map_or((value, None), |(host, port)| (host, Some(port)));
    if let Some(port) = port {
        options.port = port_of(port)?;
    }
    options.host = host.trim().to_owned();
    Ok(())
}

fn port_of(value: &str) -> Result<u16, SecretFormatError> {
    let port = value.trim().parse().map_err(|_| SecretFormatError::Invalid("port"))?;
    if port == 0 { Err(SecretFormatError::Invalid("port")) } else { Ok(port) }
}

#[cfg(test)]
mod tests;
