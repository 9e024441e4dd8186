//! What an entry of an archive is, by its kind and its name.

use crate::files::toc::{Entry, Section};

/// Kinds that belong to one table (or view), without which they make no sense.
pub(super) const STANDS_ON_A_TABLE: [&str; 14] = [
    "DEFAULT",
    "CONSTRAINT",
    "CHECK CONSTRAINT",
    "FK CONSTRAINT",
    "INDEX",
    "INDEX ATTACH",
    "TABLE ATTACH",
    "TRIGGER",
    "RULE",
    "POLICY",
    "ROW SECURITY",
    "STATISTICS",
    "STATISTICS DATA",
    "SEQUENCE OWNED BY",
];

/// Kinds that belong to the database as a whole: never of a part.
pub(super) const OF_THE_DATABASE: [&str; 7] = [
    "PUBLICATION",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "SUBSCRIPTION",
    "SUBSCRIPTION TABLE",
    "EVENT TRIGGER",
    "USER MAPPING",
];

/// Schema, kind and name of entries, the first of many.
pub(super) fn names(entries: &[Entry], places: &[usize], shown: usize) -> String {
    let mut names: Vec<_> =
        places.iter().take(shown).filter_map(|place| entries.get(*place)).map(name_of).collect();
    if places.len() > shown {
        names.push(format!("and {} more", places.len() - shown));
    }
    names.join(", ")
}

/// Such as `view sales.totals`.
pub(super) fn name_of(entry: &Entry) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (schema, tag) = (bytes(&entry.namespace), text(bytes(&entry.tag)));
    let kind = text(bytes(&entry.kind)).to_lowercase();
    // Some tags begin with their kind.
    let tag = match tag.get(..kind.len()) {
        Some(start) if start.eq_ignore_ascii_case(&kind) => tag[kind.len()..].trim().to_owned(),
        _ => tag,
    };
    if schema.is_empty() {
        format!("{kind} {tag}")
    } else {
        format!("{kind} {}.{tag}", text(schema))
    }
}

pub(super) fn bytes(text: &Option<Vec<u8>>) -> &[u8] {
    text.as_deref().unwrap_or_default()
}

pub(super) fn is_table(entry: &Entry) -> bool {
    entry.is("TABLE") || entry.is("FOREIGN TABLE")
}

/// Something that stands for itself: neither a part of another object nor said of one nor of the whole database.
pub(super) fn is_object(entry: &Entry) -> bool {
    !is_decoration(entry)
        && !entry.is("SCHEMA")
        && !entry.is("DEFAULT ACL")
        && !STANDS_ON_A_TABLE.iter().chain(&OF_THE_DATABASE).any(|kind| entry.is(kind))
}

/// Whether an entry that needs this base may be a part of it: not every dependency is (a default needs a function).
pub(super) fn stands_on_it(base: &Entry, entry: &Entry) -> bool {
    let relations = ["TABLE", "FOREIGN TABLE", "VIEW", "MATERIALIZED VIEW"];
    let is_relation = relations.iter().any(|kind| base.is(kind));
    is_relation
        || (entry.is("SEQUENCE OWNED BY") && base.is("SEQUENCE"))
        || (entry.is("INDEX ATTACH") && (base.is("INDEX") || base.is("CONSTRAINT")))
}

/// Tags of constraints, triggers and the like are the table's name, a blank and their own.
pub(super) fn is_named_after(entry: &Entry, table: &Entry) -> bool {
    entry.namespace == table.namespace
        && bytes(&entry.tag)
            .strip_prefix(bytes(&table.tag))
            .is_some_and(|rest| rest.starts_with(b" "))
}

/// Comments, privileges and labels: they come with what they are about.
pub(super) fn is_decoration(entry: &Entry) -> bool {
    entry.section == Section::None
        || ["COMMENT", "ACL", "SECURITY LABEL"].iter().any(|kind| entry.is(kind))
}
