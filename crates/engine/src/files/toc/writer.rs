//! A [`Toc`] into bytes, as `pg_dump` of the header's version writes them.

use super::{Compression, Entry, FORMAT_CUSTOM, Header, Text, Toc, Version, reader::MAGIC};

impl Toc {
    /// The bytes of `toc.dat`.
    pub fn write(&self) -> Vec<u8> {
        let mut bytes = self.header.bytes(self.entries.len());
        for entry in &self.entries {
            bytes.extend(entry.bytes(&self.header));
        }
        bytes
    }
}

impl Header {
    /// What stands before that many entries.
    pub(crate) fn bytes(&self, entries: usize) -> Vec<u8> {
        let mut output = Output { bytes: Vec::new(), int_bytes: usize::from(self.int_bytes) };
        output.header(self);
        output.length(entries);
        output.bytes
    }
}

impl Entry {
    /// The entry as it stands in a table of contents with this header. In an archive of one file it ends with the place of its
    /// data, which is not known yet: see [`place`].
    pub(crate) fn bytes(&self, header: &Header) -> Vec<u8> {
        let mut output = Output { bytes: Vec::new(), int_bytes: usize::from(header.int_bytes) };
        output.entry(self, header);
        output.bytes
    }
}

/// Marks before the place of an entry's data: not known, known, and no data.
const PLACE_UNKNOWN: u8 = 1;
const PLACE_KNOWN: u8 = 2;
const NO_DATA: u8 = 3;

/// The end of an entry of an archive of one file, now that it is known where its data stands.
pub(crate) fn place(header: &Header, offset: u64) -> Vec<u8> {
    let mut output = Output { bytes: Vec::new(), int_bytes: usize::from(header.int_bytes) };
    output.place(header, PLACE_KNOWN, offset);
    output.bytes
}

/// An integer as it stands between the data of an archive of one file.
pub(crate) fn integer(header: &Header, value: i32) -> Vec<u8> {
    let mut output = Output { bytes: Vec::new(), int_bytes: usize::from(header.int_bytes) };
    output.int(value);
    output.bytes
}

/// The bytes so far.
struct Output {
    bytes: Vec<u8>,
    int_bytes: usize,
}

impl Output {
    fn magnitude(&mut self, negative: bool, magnitude: u64) {
        self.bytes.push(u8::from(negative));
        let bytes = magnitude.to_le_bytes();
        self.bytes.extend(bytes.iter().take(self.int_bytes));
    }

    fn int(&mut self, value: i32) {
        self.magnitude(value < 0, u64::from(value.unsigned_abs()));
    }

    fn place(&mut self, header: &Header, mark: u8, offset: u64) {
        self.bytes.push(mark);
        let mut bytes = [0; 256];
        bytes[..8].copy_from_slice(&offset.to_le_bytes());
        self.bytes.extend(bytes.iter().take(usize::from(header.offset_bytes)));
    }

    fn length(&mut self, value: usize) {
        self.magnitude(false, value as u64);
    }

    fn text(&mut self, text: &Text) {
        match text {
            None => self.int(-1),
            Some(text) => {
                self.length(text.len());
                self.bytes.extend_from_slice(text);
            }
        }
    }

    fn header(&mut self, header: &Header) {
        self.bytes.extend_from_slice(MAGIC);
        self.bytes.extend_from_slice(&[
            header.version.major,
            header.version.minor,
            header.revision,
            header.int_bytes,
            header.offset_bytes,
            header.format,
        ]);
        match header.compression {
            Compression::Level(level) => self.int(level),
            Compression::Algorithm(code) => self.bytes.push(code),
        }
        for part in header.created {
            self.int(part);
        }
        self.text(&header.database);
        self.text(&header.server_version);
        self.text(&header.dump_version);
    }

    fn entry(&mut self, entry: &Entry, header: &Header) {
        self.int(entry.dump_id);
        self.int(i32::from(entry.has_data));
        self.text(&entry.catalog_oid);
        self.text(&entry.oid);
        self.text(&entry.tag);
        self.text(&entry.kind);
        self.int(entry.section.code());
        self.text(&entry.definition);
        self.text(&entry.drop_statement);
        self.text(&entry.copy_statement);
        self.text(&entry.namespace);
        self.text(&entry.tablespace);
        self.text(&entry.access_method);
        if header.version >= Version::V1_16 {
            self.int(entry.relkind);
        }
        self.text(&entry.owner);
        self.text(&entry.with_oids);
        for dependency in &entry.dependencies {
            self.text(&Some(dependency.to_string().into_bytes()));
        }
        self.int(-1);
        if header.format == FORMAT_CUSTOM {
            let mark = if entry.has_data { PLACE_UNKNOWN } else { NO_DATA };
            self.place(header, mark, 0);
        } else {
            self.text(&entry.file);
        }
    }
}
