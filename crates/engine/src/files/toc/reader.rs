//! Bytes into a [`Toc`]. Every length is checked against what is left before anything is taken.

use super::{
    Compression, Entry, Header, SUPPORTED_VERSIONS, Section, Text, Toc, TocError, Version,
};

/// First bytes of every archive.
pub(super) const MAGIC: &[u8; 5] = b"PGDMP";

/// Largest size of an integer that this reader takes; `pg_dump` writes 4.
const INT_BYTES_MAX: u8 = 8;

impl Toc {
    /// Reads a whole `toc.dat`.
    ///
    /// # Errors
    /// [`TocError`] when the bytes are no archive, of a version that is not supported, cut short, or damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, TocError> {
        let mut input = Input { bytes, offset: 0, int_bytes: 0 };
        let header = input.header()?;
        let count = input.int()?;
        if count < 0 {
            return Err(input.invalid("negative number of entries"));
        }
        // Not reserved beforehand: the count is foreign.
        let mut entries = Vec::new();
        for _ in 0..count {
            entries.push(input.entry(header.version)?);
        }
        if input.offset != bytes.len() {
            return Err(input.invalid("bytes after the last entry"));
        }
        Ok(Self { header, entries })
    }
}

/// A position in the bytes.
struct Input<'a> {
    bytes: &'a [u8],
    offset: usize,
    int_bytes: u8,
}

impl Input<'_> {
    fn invalid(&self, what: &'static str) -> TocError {
        TocError::Invalid { offset: self.offset, what }
    }

    fn take(&mut self, count: usize) -> Result<&[u8], TocError> {
        let taken = self
            .offset
            .checked_add(count)
            .and_then(|end| self.bytes.get(self.offset..end))
            .ok_or(TocError::Truncated { offset: self.bytes.len() })?;
        self.offset += count;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, TocError> {
        Ok(self.take(1)?.first().copied().unwrap_or_default())
    }

    /// A sign byte, then the magnitude with its lowest byte first.
    fn int(&mut self) -> Result<i32, TocError> {
        let negative = match self.byte()? {
            0 => false,
            1 => true,
            _ => return Err(self.invalid("the sign of an integer is neither 0 nor 1")),
        };
        let magnitude = self
            .take(usize::from(self.int_bytes))?
            .iter()
            .rev()
            .fold(0_u64, |value, byte| value << 8 | u64::from(*byte));
        let magnitude =
            i32::try_from(magnitude).map_err(|_| self.invalid("an integer is too large"))?;
        Ok(if negative { -magnitude } else { magnitude })
    }

    fn text(&mut self) -> Result<Text, TocError> {
        match usize::try_from(self.int()?) {
            Ok(length) => Ok(Some(self.take(length)?.to_vec())),
            Err(_) => Ok(None),
        }
    }

    fn header(&mut self) -> Result<Header, TocError> {
        if self.bytes.get(..MAGIC.len()) != Some(MAGIC.as_slice()) {
            return Err(TocError::NotAnArchive);
        }
        self.offset = MAGIC.len();
        let version = Version { major: self.byte()?, minor: self.byte()? };
        let revision = self.byte()?;
        if !SUPPORTED_VERSIONS.contains(&version) {
            return Err(TocError::UnsupportedVersion {
                major: version.major,
                minor: version.minor,
            });
        }
        self.int_bytes = self.byte()?;
        if !(1..=INT_BYTES_MAX).contains(&self.int_bytes) {
            return Err(self.invalid("size of integers"));
        }
        let (offset_bytes, format) = (self.byte()?, self.byte()?);
        let compression = if version >= Version::V1_15 {
            Compression::Algorithm(self.byte()?)
        } else {
            Compression::Level(self.int()?)
        };
        let mut created = [0; 7];
        for part in &mut created {
            *part = self.int()?;
        }
        Ok(Header {
            version,
            revision,
            int_bytes: self.int_bytes,
            offset_bytes,
            format,
            compression,
            created,
            database: self.text()?,
            server_version: self.text()?,
            dump_version: self.text()?,
        })
    }

    fn entry(&mut self, version: Version) -> Result<Entry, TocError> {
        let dump_id = self.int()?;
        if dump_id <= 0 {
            return Err(self.invalid("an entry's id is not positive"));
        }
        Ok(Entry {
            dump_id,
            has_data: match self.int()? {
                0 => false,
                1 => true,
                _ => return Err(self.invalid("the mark of a data file is neither 0 nor 1")),
            },
            catalog_oid: self.text()?,
            oid: self.text()?,
            tag: self.text()?,
            kind: self.text()?,
            section: {
                let code = self.int()?;
                Section::from_code(code).ok_or_else(|| self.invalid("unknown section"))?
            },
            definition: self.text()?,
            drop_statement: self.text()?,
            copy_statement: self.text()?,
            namespace: self.text()?,
            tablespace: self.text()?,
            access_method: self.text()?,
            relkind: if version >= Version::V1_16 { self.int()? } else { 0 },
            owner: self.text()?,
            with_oids: self.text()?,
            dependencies: self.dependencies()?,
            file: self.text()?,
        })
    }

    /// Decimal texts up to a null.
    fn dependencies(&mut self) -> Result<Vec<i32>, TocError> {
        let mut found = Vec::new();
        while let Some(text) = self.text()? {
            let id = std::str::from_utf8(&text).ok().and_then(|text| text.parse().ok());
            found.push(id.ok_or_else(|| self.invalid("a dependency is not a number"))?);
        }
        Ok(found)
    }
}
