//! A schema archive made whole: the entries that `pg_dump --schema-only` leaves out, in the form and the places that a full
//! `pg_dump` gives them, so that `pg_restore`, serial or with `-j`, restores everything.
//!
//! Places matter to a serial restore (pre-data, large objects, rows, positions, post-data, refreshes), dependencies to a
//! parallel one: rows depend on their table (so that what is built on the table waits for them), refreshes on their view
//! and on the refresh before them.
//!
//! All text is in the archive's encoding. Names that are at hand only as Unicode are written as `U&"…"` where that
//! encoding is not UTF-8 and they are not ASCII.

mod entry_file;
mod large_objects;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::path::Path;

use self::entry_file::EntryFile;
use self::large_objects::LargeObjectEntries;
use super::data_file::Form;
use super::packed::DataPlace;
use super::toc::{
    Compression, Entry, FORMAT_CUSTOM, Header, OFFSET_BYTES, Section, Text, Toc, Version,
};
use crate::error::{Error, Result};
use crate::manifest::{MaterializedView, Sequence, Table};
use crate::session::{quote_identifier, quote_literal};

/// Comment by which `pg_restore` knows that rows go in through another table, so that it must not truncate that one.
const VIA_ROOT: &str = "-- load via partition root ";

/// Collects the missing entries.
#[derive(Debug)]
pub(super) struct ArchiveBuilder {
    toc: Toc,
    utf8: bool,
    next_id: i32,
    /// Places of `TABLE` entries by the table's oid.
    tables: HashMap<u32, usize>,
    /// Places of other relations by schema and name.
    named: HashMap<(Text, Text), usize>,
    /// Dump ids of hash partitioned tables whose hash may be another one in the target.
    unsafe_parents: HashSet<i32>,
    rows: Vec<Entry>,
    positions: Vec<Entry>,
    large_objects: LargeObjectEntries,
    refreshes: Vec<Entry>,
}

impl ArchiveBuilder {
    /// Starts from the archive of the schema. `directory` is that of the archive, or of what is packed into one file.
    ///
    /// # Errors
    /// When no file can be made in it.
    pub(super) fn new(mut toc: Toc, directory: &Path, form: Form) -> Result<Self> {
        if form == Form::Packed {
            toc.header.format = FORMAT_CUSTOM;
            toc.header.offset_bytes = OFFSET_BYTES;
        }
        toc.header.compression = match toc.header.compression {
            Compression::Level(_) => Compression::Level(-1),
            Compression::Algorithm(_) => Compression::Algorithm(1),
        };
        let mut tables = HashMap::new();
        let mut named = HashMap::new();
        for (place, entry) in toc.entries.iter().enumerate() {
            if entry.is("TABLE") {
                tables.extend(entry.oid().map(|oid| (oid, place)));
            } else if entry.is("SEQUENCE") || entry.is("MATERIALIZED VIEW") {
                named.insert((entry.namespace.clone(), entry.tag.clone()), place);
            }
        }
        Ok(Self {
            utf8: toc.encoding().as_deref() == Some("UTF8"),
            next_id: toc.max_dump_id(),
            unsafe_parents: unsafe_parents(&toc),
            large_objects: LargeObjectEntries::new(&toc.header, directory)?,
            toc,
            tables,
            named,
            rows: Vec::new(),
            positions: Vec::new(),
            refreshes: Vec::new(),
        })
    }

    /// A free dump id.
    ///
    /// # Errors
    /// When the format has no more of them.
    fn new_id(&mut self) -> Result<i32> {
        let next = self.next_id.checked_add(1);
        self.next_id = next.ok_or_else(|| damaged("its archive has no free ids left"))?;
        Ok(self.next_id)
    }

    /// Adds the rows of a table, which go into the file of the returned name; it lacks the ending of the compression.
    pub(super) fn table(&mut self, table: &Table) -> Result<String> {
        let id = self.new_id()?;
        let place = self.tables.get(&table.oid).copied();
        let mut entry = match place.and_then(|place| self.toc.entries.get(place)) {
            Some(definition) => {
                let tag = definition.tag.clone().unwrap_or_default();
                let mut entry = Entry::new(id, "TABLE DATA", &tag, Section::Data);
                entry.namespace = definition.namespace.clone();
                entry.owner = definition.owner.clone();
                entry.dependencies = vec![definition.dump_id];
                entry
            }
            // A configuration table of an extension: the extension makes it, so no entry does. An id that nobody has
            // stands for it, as pg_dump does it.
            None => {
                let absent = self.new_id()?;
                let mut entry =
                    Entry::new(id, "TABLE DATA", &self.label(&table.name), Section::Data);
                entry.namespace = Some(self.label(&table.schema));
                entry.owner = Some(Vec::new());
                entry.dependencies = vec![absent];
                entry
            }
        };
        let name = format!("{id}.dat");
        entry.has_data = true;
        entry.oid = Some(table.oid.to_string().into_bytes());
        entry.file = Some(name.clone().into_bytes());
        let target = match self.root_to_load(table) {
            Some((schema, name)) => {
                let root = self.qualified(schema, name);
                let shown: String =
                    root.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
                entry.definition = Some(format!("{VIA_ROOT}{shown}").into_bytes());
                root
            }
            None => self.qualified(&table.schema, &table.name),
        };
        let columns: Vec<_> =
            table.columns.iter().map(|column| self.identifier(&column.name)).collect();
        let columns =
            if columns.is_empty() { String::new() } else { format!("({})", columns.join(", ")) };
        entry.copy_statement = Some(format!("COPY {target} {columns} FROM stdin;\n").into_bytes());
        self.rows.push(entry);
        Ok(name)
    }

    /// Adds the position of a sequence.
    pub(super) fn sequence(&mut self, sequence: &Sequence) -> Result<()> {
        let id = self.new_id()?;
        let mut entry =
            self.beside("SEQUENCE SET", id, &sequence.schema, &sequence.name, Section::Data)?;
        let name = quote_literal(&self.qualified(&sequence.schema, &sequence.name));
        let (value, called) = (sequence.last_value, sequence.is_called);
        // A regclass literal would not understand U&"…", a text of the statement does.
        let definition = if self.plain(&sequence.schema) && self.plain(&sequence.name) {
            format!("SELECT pg_catalog.setval({name}, {value}, {called});\n")
        } else {
            let (schema, name) = (self.literal(&sequence.schema), self.literal(&sequence.name));
            format!(
                "SELECT pg_catalog.setval(pg_catalog.format('%I.%I', {schema}, {name})::pg_catalog.regclass, {value}, {called});\n"
            )
        };
        entry.definition = Some(definition.into_bytes());
        self.positions.push(entry);
        Ok(())
    }

    /// Adds the refresh of a populated materialized view. Called in the order of the refreshes.
    pub(super) fn refresh(&mut self, view: &MaterializedView) -> Result<()> {
        if !view.populated {
            return Ok(());
        }
        let id = self.new_id()?;
        let mut entry =
            self.beside("MATERIALIZED VIEW DATA", id, &view.schema, &view.name, Section::PostData)?;
        entry.dependencies.extend(self.refreshes.last().map(|before| before.dump_id));
        let name = self.qualified(&view.schema, &view.name);
        entry.definition = Some(format!("REFRESH MATERIALIZED VIEW {name};\n").into_bytes());
        self.refreshes.push(entry);
        Ok(())
    }

    /// Writes the table of contents, and what is left of the lists of large objects. Gives what the packing into one file needs,
    /// in the order of the entries.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn write(self, output: &mut impl Write) -> Result<(Header, Vec<DataPlace>)> {
        let Toc { header, mut entries } = self.toc;
        let is_post_data = |entry: &Entry| entry.section == Section::PostData;
        let middle = entries.iter().position(is_post_data).unwrap_or(entries.len());
        let post_data = entries.split_off(middle);
        let (definitions, contents) = self.large_objects.finish()?;
        let in_memory = [&entries, &self.rows, &self.positions, &post_data, &self.refreshes];
        let count = in_memory.iter().map(|entries| entries.len()).sum::<usize>()
            + definitions.entries()
            + contents.entries();
        let failed = Error::io("write toc.dat of the archive");
        let mut writing = Writing { header: &header, output, position: 0, data: Vec::new() };
        let write = || {
            writing.bytes(&header.bytes(count))?;
            writing.entries(&entries)?;
            // Since 1.16 the definitions are data as the contents are.
            let late = header.version >= Version::V1_16;
            let (early, late) =
                if late { (None, Some(definitions)) } else { (Some(definitions), None) };
            early.map_or(Ok(()), |definitions| writing.file(definitions))?;
            writing.entries(&self.rows)?;
            writing.entries(&self.positions)?;
            late.map_or(Ok(()), |definitions| writing.file(definitions))?;
            writing.file(contents)?;
            writing.entries(&post_data)?;
            writing.entries(&self.refreshes)
        };
        write().map_err(failed)?;
        let data = writing.data;
        Ok((header, data))
    }

    /// An entry beside the one of a sequence or view, depending on it.
    fn beside(
        &mut self,
        kind: &str,
        id: i32,
        schema: &str,
        name: &str,
        section: Section,
    ) -> Result<Entry> {
        let key = (Some(self.label(schema)), Some(self.label(name)));
        let definition = self.named.get(&key).and_then(|place| self.toc.entries.get(*place));
        let mut entry = Entry::new(id, kind, &self.label(name), section);
        entry.namespace = Some(self.label(schema));
        match definition {
            Some(definition) => {
                entry.owner = definition.owner.clone();
                entry.dependencies = vec![definition.dump_id];
                if section == Section::PostData {
                    entry.oid = definition.oid.clone();
                }
            }
            None => {
                entry.owner = Some(Vec::new());
                entry.dependencies = vec![self.new_id()?];
            }
        }
        Ok(entry)
    }

    /// The root of the partition tree to load through, where a row may belong into another leaf in the target.
    fn root_to_load<'a>(&self, table: &'a Table) -> Option<(&'a str, &'a str)> {
        let (schema, name) = table.partition_root.as_ref()?;
        let mut entry = self.toc.entries.get(*self.tables.get(&table.oid)?)?;
        // Every table depends on what it is a partition of; the tree is no deeper than the archive is long.
        for _ in 0..self.toc.entries.len() {
            if entry.dependencies.iter().any(|id| self.unsafe_parents.contains(id)) {
                return Some((schema, name));
            }
            let parent =
                |other: &&Entry| other.is("TABLE") && entry.dependencies.contains(&other.dump_id);
            entry = self.toc.entries.iter().find(parent)?;
        }
        None
    }

    /// Whether the name can stand in the archive's text as it is.
    fn plain(&self, name: &str) -> bool {
        self.utf8 || name.is_ascii()
    }

    /// A quoted name in the archive's encoding.
    fn identifier(&self, name: &str) -> String {
        if self.plain(name) {
            quote_identifier(name)
        } else {
            format!("U&{}", quote_identifier(&escaped(name)))
        }
    }

    /// A quoted text in the archive's encoding.
    fn literal(&self, text: &str) -> String {
        if self.plain(text) {
            quote_literal(text)
        } else {
            format!("U&'{}'", escaped(text).replace('\'', "''"))
        }
    }

    fn qualified(&self, schema: &str, name: &str) -> String {
        format!("{}.{}", self.identifier(schema), self.identifier(name))
    }

    /// A name for the listing.
    fn label(&self, name: &str) -> Vec<u8> {
        if self.plain(name) {
            name.as_bytes().to_vec()
        } else {
            name.chars()
                .map(|c| if c.is_ascii() { c } else { '?' })
                .collect::<String>()
                .into_bytes()
        }
    }
}

/// The table of contents on its way, with the places of entries that have data.
struct Writing<'a, W> {
    header: &'a Header,
    output: &'a mut W,
    position: u64,
    data: Vec<DataPlace>,
}

impl<W: Write> Writing<'_, W> {
    fn bytes(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.position += bytes.len() as u64;
        self.output.write_all(bytes)
    }

    fn entries(&mut self, entries: &[Entry]) -> std::io::Result<()> {
        for entry in entries {
            self.bytes(&entry.bytes(self.header))?;
            self.data.extend(DataPlace::of(entry, self.header, self.position));
        }
        Ok(())
    }

    fn file(&mut self, entries: EntryFile) -> std::io::Result<()> {
        let (bytes, data) = entries.copy_to(self.output)?;
        self.data.extend(data.into_iter().map(|place| place.moved(self.position)));
        self.position += bytes;
        Ok(())
    }
}

/// Backslash escapes of `U&"…"`.
fn escaped(name: &str) -> String {
    let escape = |character: char| match character {
        '\\' => "\\\\".to_owned(),
        ascii if ascii.is_ascii() => ascii.to_string(),
        other => format!("\\+{:06X}", u32::from(other)),
    };
    name.chars().map(escape).collect()
}

/// Hash partitioned tables whose key has an enum: its hash depends on oids, which the target assigns anew. Also those that
/// use something of an extension, where an enum may be hidden.
fn unsafe_parents(toc: &Toc) -> HashSet<i32> {
    let contains = |text: &Text, part: &[u8]| {
        text.as_ref().is_some_and(|text| text.windows(part.len()).any(|w| w == part))
    };
    let suspicious: HashSet<i32> = toc
        .entries
        .iter()
        .filter(|entry| {
            entry.is("EXTENSION")
                || (entry.is("TYPE") && contains(&entry.definition, b" AS ENUM ("))
        })
        .map(|entry| entry.dump_id)
        .collect();
    toc.entries
        .iter()
        .filter(|entry| entry.is("TABLE") && contains(&entry.definition, b"PARTITION BY HASH "))
        .filter(|entry| entry.dependencies.iter().any(|id| suspicious.contains(id)))
        .map(|entry| entry.dump_id)
        .collect()
}

fn damaged(message: &str) -> Error {
    Error::Manifest { message: message.to_owned() }
}
