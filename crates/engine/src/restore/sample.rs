//! A table for unit tests.

use crate::manifest::{Column, Content, Ranges, Reading, Table};

/// A table without rows and with one column of text.
pub(crate) fn table(schema: &str, name: &str, column: &str) -> Table {
    Table {
        oid: 1,
        schema: schema.to_owned(),
        name: name.to_owned(),
        relfilenode: 1,
        tablespace_oid: 0,
        persistence: "p".to_owned(),
        access_method: "heap".to_owned(),
        partition_root: None,
        columns: vec![Column { name: column.to_owned(), type_name: "text".to_owned() }],
        extension_condition: None,
        extension: None,
        shape: String::new(),
        never_skip: false,
        heap_blocks: 0,
        range_blocks: 0,
        total_bytes: 0,
        ranges: Ranges::Inline(Vec::new()),
        content: Content::default(),
        large_rows: 0,
        reading: Reading::default(),
    }
}
