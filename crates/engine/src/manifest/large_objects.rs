//! Large objects.

use serde::{Deserialize, Serialize};

use super::{Content, Part};

/// All large objects of the database.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjects {
    /// JSON lines of [`LargeObject`], ascending by oid; empty where there are ranges.
    pub list: Part,
    /// Their bytes, one after the other in the same order; empty where there are ranges.
    pub data: Part,
    /// Count, sum of keyed hashes over (oid, content), and bytes.
    pub content: Content,
    /// JSON lines of [`LargeObjectRange`], ascending, where the objects are more than one. Since engine format 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Part>,
}

/// Large objects whose oids follow each other.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObjectRange {
    /// Smallest oid.
    pub first: u32,
    /// Largest oid.
    pub last: u32,
    /// JSON lines of [`LargeObject`], ascending by oid.
    pub list: Part,
    /// Their bytes, one after the other in the same order.
    pub data: Part,
    /// As that of [`LargeObjects`].
    pub content: Content,
}

/// One large object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LargeObject {
    /// Its oid, kept by the restore.
    pub oid: u32,
    /// Role that owns it.
    pub owner: String,
    /// `lomacl` in its text form; none means the default.
    pub acl: Option<Vec<String>>,
    /// `COMMENT ON LARGE OBJECT`.
    pub comment: Option<String>,
    /// `SECURITY LABEL ON LARGE OBJECT`, by provider.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<SecurityLabel>,
    /// Length in `data`.
    pub bytes: u64,
}

/// What a provider of labels says of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityLabel {
    /// `pg_seclabel.provider`.
    pub provider: String,
    /// `pg_seclabel.label`.
    pub label: String,
}
