//! How much there is to restore: exactly, since the manifest says it.

use coffer_store::Repository;

use crate::error::Result;
use crate::manifest::{DatabaseManifest, Table};
use crate::part::PartReader;
use crate::selection::Selected;

/// What is moved when all is done.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Expected {
    pub(crate) bytes: u64,
    /// Ranges and large objects.
    pub(crate) items: u64,
}

impl Expected {
    pub(crate) async fn of(
        repository: &Repository,
        manifest: &DatabaseManifest,
        selected: &Selected,
    ) -> Result<Self> {
        let mut expected = Self::default();
        if selected.is_part() {
            let mut tables = PartReader::new(repository, &manifest.tables);
            while let Some(table) = tables.next::<Table>().await? {
                if selected.has_table(&table) {
                    expected.add(table.content.text_bytes, table.ranges.len());
                }
            }
        } else {
            expected.add(manifest.totals.content.text_bytes, manifest.totals.ranges);
        }
        if selected.has_large_objects() {
            let objects = &manifest.large_objects.content;
            expected.add(objects.text_bytes, objects.rows);
        }
        Ok(expected)
    }

    fn add(&mut self, bytes: u64, items: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.items = self.items.saturating_add(items);
    }
}
