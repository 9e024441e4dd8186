//! The audit log for the operator: read in order, and checked.

use super::Admin;
use crate::audit::Entry;
use crate::audit::verify::{self, Head, Report};
use crate::db::audit::{self as rows, AuditRow};
use crate::error::Error;

/// Rows that are read at a time.
const PAGE_ROWS: u32 = 1000;

/// A row, and what it says.
#[derive(Clone, Debug)]
pub struct AuditedRow {
    /// As stored.
    pub row: AuditRow,
    /// None when it says nothing that this version reads: it was written by a later one, or changed.
    pub entry: Option<Entry>,
}

impl Admin {
    /// Rows behind a sequence, in order, a bounded number at a time; none at the end.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_page(&self, after: i64) -> Result<Vec<AuditedRow>, Error> {
        let found = rows::page(&mut *self.db.snapshot().await?, after, PAGE_ROWS).await?;
        Ok(found
            .into_iter()
            .map(|row| AuditedRow { entry: serde_json::from_str(&row.body).ok(), row })
            .collect())
    }

    /// The sequence of the newest row; 0 without any.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_end(&self) -> Result<i64, Error> {
        Ok(rows::state(&mut *self.db.snapshot().await?).await?.head_sequence)
    }

    /// Checks the whole log, and that a head noted earlier is in it.
    ///
    /// # Errors
    /// The database fails.
    pub async fn audit_verify(&self, expected: Option<&Head>) -> Result<Report, Error> {
        verify::verify(&self.db, self.audit.key(), expected).await
    }
}

/// Who runs this process, as the system tells it.
pub(super) fn user_id() -> Option<u32> {
    #[cfg(target_os = "linux")]
    return std::fs::metadata("/proc/self")
        .ok()
        .map(|process| std::os::unix::fs::MetadataExt::uid(&process));
    #[cfg(not(target_os = "linux"))]
    None
}
