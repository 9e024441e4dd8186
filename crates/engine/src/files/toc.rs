//! The table of contents (`toc.dat`) of `pg_dump`'s directory format: read, amended, written.
//!
//! Why: the stored schema archive has no table data, sequence positions, large objects or refreshes. A restore to files
//! adds those entries, so that the stock `pg_restore` of that major version finds one complete archive; a restore as a
//! database looks into it to know what the archive holds.
//!
//! Invariants: archive versions 1.14 (PostgreSQL 12–15), 1.15 (16) and 1.16 (17, 18) only; what was read is written
//! back byte for byte; text is kept as bytes in the archive's own encoding, never converted; foreign bytes give a
//! [`TocError`], never a panic, and never an allocation larger than the input.

use thiserror::Error;

mod foreign_keys;
mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use foreign_keys::order_foreign_keys;
pub(crate) use writer::{integer, place};

/// Code of the format of one file, whose entries end with the places of their data instead of files' names. It is written
/// here and never read.
pub(crate) const FORMAT_CUSTOM: u8 = 1;
/// Bytes of a place in such a file.
pub(crate) const OFFSET_BYTES: u8 = 8;

/// Versions of the archive format that this module reads and writes.
const SUPPORTED_VERSIONS: [Version; 3] = [Version::V1_14, Version::V1_15, Version::V1_16];

/// Text in the archive's encoding; `None` is the format's null, which differs from empty.
pub type Text = Option<Vec<u8>>;

/// A whole `toc.dat`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toc {
    /// What stands before the entries.
    pub header: Header,
    /// In the order of the file, which is the order of a serial restore.
    pub entries: Vec<Entry>,
}

/// Version of the archive format, comparable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    /// Always 1.
    pub major: u8,
    /// 14 to 16.
    pub minor: u8,
}

impl Version {
    /// PostgreSQL 12 to 15.
    pub const V1_14: Self = Self { major: 1, minor: 14 };
    /// PostgreSQL 16: the compression algorithm stands in the header.
    pub const V1_15: Self = Self { major: 1, minor: 15 };
    /// PostgreSQL 17 and 18: `relkind`, and large objects in groups.
    pub const V1_16: Self = Self { major: 1, minor: 16 };
}

/// The archive's header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Version of the format.
    pub version: Version,
    /// Third number of the version; always 0 so far.
    pub revision: u8,
    /// Bytes of an integer, without its sign byte.
    pub int_bytes: u8,
    /// Bytes of a file offset; a directory archive has none.
    pub offset_bytes: u8,
    /// Code of the format: a directory archive says `tar`, which shares its table of contents.
    pub format: u8,
    /// Compression of the data files.
    pub compression: Compression,
    /// Seconds, minutes, hours, day, month, years since 1900, daylight saving: local time of the dump.
    pub created: [i32; 7],
    /// Name of the database.
    pub database: Text,
    /// Version of the server that was dumped.
    pub server_version: Text,
    /// Version of `pg_dump`.
    pub dump_version: Text,
}

/// How data files are compressed. `pg_restore` goes by the files' endings; this is for its listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Until 1.14: zlib's level, -1 for its default, 0 for none.
    Level(i32),
    /// Since 1.15: 0 none, 1 gzip, 2 LZ4, 3 Zstandard.
    Algorithm(u8),
}

/// Which part of a restore an entry belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    /// Comments, grants and labels: the section of what they belong to.
    None,
    /// Definitions that data needs.
    PreData,
    /// Rows, large objects, sequence positions.
    Data,
    /// Indexes, constraints, triggers, refreshes.
    PostData,
}

impl Section {
    /// The format's number.
    fn code(self) -> i32 {
        match self {
            Self::None => 1,
            Self::PreData => 2,
            Self::Data => 3,
            Self::PostData => 4,
        }
    }

    /// The section of a number.
    fn from_code(code: i32) -> Option<Self> {
        match code {
            1 => Some(Self::None),
            2 => Some(Self::PreData),
            3 => Some(Self::Data),
            4 => Some(Self::PostData),
            _ => None,
        }
    }
}

/// One object, or the data of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Identifies the entry within the archive; dependencies name it.
    pub dump_id: i32,
    /// A data file belongs to it.
    pub has_data: bool,
    /// Oid of the catalog that the object stands in, as decimal text (`1259` is `pg_class`).
    pub catalog_oid: Text,
    /// Oid of the object in the source, as decimal text.
    pub oid: Text,
    /// The object's name as listed.
    pub tag: Text,
    /// Kind of object, such as `TABLE` or `TABLE DATA`.
    pub kind: Text,
    /// Part of the restore.
    pub section: Section,
    /// Statements that make it.
    pub definition: Text,
    /// Statement that drops it.
    pub drop_statement: Text,
    /// `COPY … FROM stdin` for a data file.
    pub copy_statement: Text,
    /// Schema.
    pub namespace: Text,
    /// Tablespace, where it matters.
    pub tablespace: Text,
    /// Table access method, where it matters.
    pub access_method: Text,
    /// `pg_class.relkind` as a number; 0 before 1.16 and for what is no relation.
    pub relkind: i32,
    /// Owner; empty for what has none.
    pub owner: Text,
    /// Once `WITH OIDS`; `false` in all supported versions.
    pub with_oids: Text,
    /// Ids of entries that come first. Ids that no entry has are allowed and ignored by `pg_restore`.
    pub dependencies: Vec<i32>,
    /// Data file, without directory and without the ending of the compression; empty for none.
    pub file: Text,
}

impl Entry {
    /// An entry with nothing but its identity.
    pub(crate) fn new(dump_id: i32, kind: &str, tag: &[u8], section: Section) -> Self {
        Self {
            dump_id,
            has_data: false,
            catalog_oid: Some(b"0".to_vec()),
            oid: Some(b"0".to_vec()),
            tag: Some(tag.to_vec()),
            kind: Some(kind.as_bytes().to_vec()),
            section,
            definition: None,
            drop_statement: None,
            copy_statement: None,
            namespace: None,
            tablespace: None,
            access_method: None,
            relkind: 0,
            owner: None,
            with_oids: Some(b"false".to_vec()),
            dependencies: Vec::new(),
            file: Some(Vec::new()),
        }
    }

    /// Whether the entry is of this kind.
    pub fn is(&self, kind: &str) -> bool {
        self.kind.as_deref() == Some(kind.as_bytes())
    }

    /// The object's oid in the source.
    pub fn oid(&self) -> Option<u32> {
        std::str::from_utf8(self.oid.as_deref()?).ok()?.parse().ok()
    }
}

impl Toc {
    /// Largest id in use, also as a dependency: ids above it are free.
    pub fn max_dump_id(&self) -> i32 {
        self.entries
            .iter()
            .flat_map(|entry| entry.dependencies.iter().copied().chain([entry.dump_id]))
            .max()
            .unwrap_or(0)
    }

    /// Name of the archive's encoding, by its `ENCODING` entry (`SET client_encoding = 'UTF8';`).
    pub fn encoding(&self) -> Option<String> {
        let entry = self.entries.iter().find(|entry| entry.is("ENCODING"))?;
        let text = std::str::from_utf8(entry.definition.as_deref()?).ok()?;
        text.split('\'').nth(1).map(str::to_owned)
    }
}

/// Why bytes are not a table of contents that this version of Coffer understands.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TocError {
    /// The magic number is missing.
    #[error("not the table of contents of a pg_dump archive")]
    NotAnArchive,
    /// A version that this module does not know.
    #[error("archive format {major}.{minor} is not supported (1.14 to 1.16 are)")]
    UnsupportedVersion {
        /// First number.
        major: u8,
        /// Second number.
        minor: u8,
    },
    /// The bytes end in the middle of something.
    #[error("the table of contents ends too early, at byte {offset}")]
    Truncated {
        /// Where more was expected.
        offset: usize,
    },
    /// A value that the format does not allow.
    #[error("the table of contents is damaged at byte {offset}: {what}")]
    Invalid {
        /// Where it stands.
        offset: usize,
        /// What is wrong.
        what: &'static str,
    },
}
