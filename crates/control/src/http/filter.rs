//! The little of the `OData` language's `$filter` that the neighbouring providers' clients send: clauses joined by `and`, each a
//! comparison by `eq` or a function's call.

use crate::error::Error;

/// One clause of a filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Clause {
    /// `property eq 'value'`; the property in lower case.
    Equals(String, String),
    /// `function()` or `function('value')`; the function in lower case.
    Call(String, Option<String>),
}

/// Longest filter that is read, in bytes.
const FILTER_BYTES_MAX: usize = 2048;

/// Reads a filter; an absent or empty one has no clauses.
///
/// # Errors
/// `InvalidFilter` when it is anything else than clauses joined by `and`.
pub(super) fn parse(filter: Option<&str>) -> Result<Vec<Clause>, Error> {
    let mut rest = filter.unwrap_or_default().trim();
    if rest.len() > FILTER_BYTES_MAX {
        return Err(invalid("it is too long"));
    }
    let mut clauses = Vec::new();
    while !rest.is_empty() {
        let (clause, after) = clause(rest)?;
        clauses.push(clause);
        rest = after.trim_start();
        if rest.is_empty() {
            break;
        }
        rest = rest
            .get(..3)
            .filter(|word| word.eq_ignore_ascii_case("and"))
            .map(|_| rest[3..].trim_start())
            .filter(|rest| !rest.is_empty())
            .ok_or_else(|| invalid("clauses are joined by 'and'"))?;
    }
    Ok(clauses)
}

/// The error for a clause that the list at hand does not know.
pub(super) fn unsupported(clause: &Clause) -> Error {
    let name = match clause {
        Clause::Equals(name, _) | Clause::Call(name, _) => name,
    };
    invalid(&format!("'{name}' is not supported here"))
}

fn invalid(what: &str) -> Error {
    Error::invalid("InvalidFilter", format!("The filter is not valid: {what}."))
        .with_target("$filter")
}

fn clause(text: &str) -> Result<(Clause, &str), Error> {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    if name.is_empty() {
        return Err(invalid("a property or function is expected"));
    }
    let name = name.to_ascii_lowercase();
    let rest = rest.trim_start();
    if let Some(inside) = rest.strip_prefix('(') {
        let inside = inside.trim_start();
        let (argument, after) = if inside.starts_with('\'') {
            let (value, after) = literal(inside)?;
            (Some(value), after)
        } else {
            (None, inside)
        };
        let after =
            after.trim_start().strip_prefix(')').ok_or_else(|| invalid("a ')' is missing"))?;
        return Ok((Clause::Call(name, argument), after));
    }
    let rest = rest
        .get(..2)
        .filter(|word| word.eq_ignore_ascii_case("eq"))
        .map(|_| rest[2..].trim_start())
        .ok_or_else(|| invalid("only 'eq' is supported"))?;
    let (value, after) = literal(rest)?;
    Ok((Clause::Equals(name, value), after))
}

/// A text in quotes, in which a quote is written twice.
fn literal(text: &str) -> Result<(String, &str), Error> {
    let mut rest =
        text.strip_prefix('\'').ok_or_else(|| invalid("a value stands in single quotes"))?;
    let mut value = String::new();
    loop {
        let end = rest.find('\'').ok_or_else(|| invalid("a closing quote is missing"))?;
        value.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        match rest.strip_prefix('\'') {
            Some(after) => {
                value.push('\'');
                rest = after;
            }
            None => return Ok((value, rest)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Clause, parse};

    #[test]
    fn reads_what_clients_send() {
        assert_eq!(parse(None).unwrap(), []);
        assert_eq!(parse(Some(" ")).unwrap(), []);
        assert_eq!(
            parse(Some("roleName eq 'Key Vault Secrets User'")).unwrap(),
            [Clause::Equals("rolename".into(), "Key Vault Secrets User".into())]
        );
        assert_eq!(
            parse(Some("atScope() AND assignedTo('p''q') and principalId  eq  'x'")).unwrap(),
            [
                Clause::Call("atscope".into(), None),
                Clause::Call("assignedto".into(), Some("p'q".into())),
                Clause::Equals("principalid".into(), "x".into()),
            ]
        );
    }

    #[test]
    fn refuses_the_rest() {
        for filter in [
            "x",
            "x eq",
            "x eq y",
            "x ne 'y'",
            "x eq 'y",
            "x eq 'y' or z eq 'z'",
            "x eq 'y' and",
            "f('y'",
            "f(",
            "'x'",
            "é eq 'x'",
            "x é",
            "x eq 'y' é",
        ] {
            assert!(parse(Some(filter)).is_err(), "{filter}");
        }
    }
}
