//! Content that was found against content that the manifest promises.

use crate::error::{Error, Result};
use crate::manifest::{Content, Sequence, Table};
use crate::proof::{Difference, Proof};
use crate::row_hash::RowHasher;

/// Differences that are kept; there may be as many as objects.
const DIFFERENCES_MAX: usize = 1_000;

/// Compares a table.
pub(crate) fn table(proof: &mut Proof, table: &Table, found: &Content) {
    relation(proof, &format!("table {}.{}", table.schema, table.name), &table.content, found);
}

/// Compares a table, or a partition tree as one.
pub(crate) fn relation(proof: &mut Proof, object: &str, expected: &Content, found: &Content) {
    proof.tables += 1;
    proof.rows = proof.rows.saturating_add(found.rows);
    content(proof, object, "rows", expected, found);
}

/// Compares all large objects.
pub(crate) fn large_objects(proof: &mut Proof, expected: &Content, found: &Content) {
    content(proof, "large objects", "objects", expected, found);
}

/// Compares the position of a sequence; none where it is missing.
pub(crate) fn sequence(proof: &mut Proof, expected: &Sequence, found: Option<(i64, bool)>) {
    let text = |value: Option<(i64, bool)>| match value {
        Some((last_value, is_called)) => format!("{last_value}, called: {is_called}"),
        None => "missing".to_owned(),
    };
    let wanted = Some((expected.last_value, expected.is_called));
    if found != wanted {
        let object = format!("sequence {}.{}", expected.schema, expected.name);
        difference(proof, object, text(wanted), text(found));
    }
}

/// Ends a hash; a row without an end is an error that names the table.
pub(crate) fn finish(hasher: RowHasher, table: &Table) -> Result<Content> {
    let object = format!("table {}.{}", table.schema, table.name);
    hasher.finish().map_err(|error| Error::Manifest { message: format!("{object}: {error}") })
}

fn content(proof: &mut Proof, object: &str, unit: &str, expected: &Content, found: &Content) {
    if (expected.rows, expected.hash) != (found.rows, found.hash) {
        let text =
            |content: &Content| format!("{} {unit}, hash {:032x}", content.rows, content.hash);
        difference(proof, object.to_owned(), text(expected), text(found));
    }
}

fn difference(proof: &mut Proof, object: String, expected: String, found: String) {
    if proof.differences.len() < DIFFERENCES_MAX {
        proof.differences.push(Difference { object, expected, found });
    }
}
