//! The statement whose output is the format's COPY text (`docs/format.md`), the same for a backup and for its proof.
//!
//! Two spellings of it would be two chances to read something else back than what was stored.

use crate::manifest::Column;
use crate::session::{quote_identifier, quote_literal};

/// Rows in a run of heap blocks: from `start`, up to but without `end`, or to the end of the table.
pub(crate) fn block_condition(start: u64, end: Option<u64>) -> String {
    let end = end.map_or_else(String::new, |end| format!(" AND ctid < '({end},0)'"));
    format!("WHERE ctid >= '({start},0)'{end}")
}

/// `COPY … TO STDOUT` of a table by its quoted name: explicit columns, never `*`, since their order may differ; ONLY, since
/// children are tables of their own; rows in the database's own encoding. `condition` is `WHERE …`, or nothing for all rows.
pub(crate) fn copy_out_statement(
    table: &str,
    columns: &[Column],
    condition: &str,
    encoding: &str,
) -> String {
    let columns: Vec<_> = columns.iter().map(|column| quote_identifier(&column.name)).collect();
    let columns = columns.join(", ");
    let encoding = quote_literal(encoding);
    let rows = if condition.is_empty() && !columns.is_empty() {
        format!("{table} ({columns})")
    } else {
        format!("(SELECT {columns} FROM ONLY {table} {condition})")
    };
    format!("COPY {rows} TO STDOUT WITH (FORMAT text, ENCODING {encoding})")
}
