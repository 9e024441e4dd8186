//! Entries of large objects: until archive version 1.15 one entry each and one list of contents for all, since 1.16 in
//! groups of one owner and one set of privileges, each with its own list.
//!
//! There may be millions of objects, so their entries and lists go to the disk as they come; in memory are open groups only.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use super::entry_file::EntryFile;
use super::{ArchiveBuilder, Section};
use crate::error::{Error, Result};
use crate::files::data_file;
use crate::files::large_object_files::file_name;
use crate::files::toc::{Entry, Header, Version};
use crate::manifest::LargeObject;
use crate::restore::acl::{AclObject, statements};
use crate::session::quote_identifier;

/// Large objects of one entry since 1.16, as `pg_dump` groups them.
const GROUP_OBJECTS_MAX: usize = 1_000;

/// Groups that may take more objects. There are more only where owners and privileges differ from object to object.
const OPEN_GROUPS_MAX: usize = 1_000;

/// Name of the list of contents until 1.15.
const SINGLE_LIST: &str = "blobs.toc";

/// Entries so far.
#[derive(Debug)]
pub(super) struct LargeObjectEntries {
    version: Version,
    directory: PathBuf,
    /// Definitions, and grants, labels and comments on them.
    definitions: EntryFile,
    /// Contents.
    contents: EntryFile,
    /// Which object's bytes are in which file, until 1.15.
    single_list: Option<BufWriter<File>>,
    /// By owner and privileges, since 1.16.
    open_groups: HashMap<(String, Option<Vec<String>>), Group>,
}

/// Objects with one entry for all of their definitions, one for their contents, and at most one for their privileges.
#[derive(Debug)]
struct Group {
    definition: Entry,
    contents: Entry,
    privileges: Option<Entry>,
    /// Comments and labels, which come after the definition.
    attributes: Vec<Entry>,
    /// Which object's bytes are in which file.
    list: String,
    first: u32,
    objects: usize,
}

impl LargeObjectEntries {
    pub(super) fn new(header: &Header, directory: &Path) -> Result<Self> {
        Ok(Self {
            version: header.version,
            directory: directory.to_owned(),
            definitions: EntryFile::create(header, directory, "definitions.tmp")?,
            contents: EntryFile::create(header, directory, "contents.tmp")?,
            single_list: None,
            open_groups: HashMap::new(),
        })
    }

    /// Definitions and contents. All lists of contents are on the disk then.
    pub(super) fn finish(mut self) -> Result<(EntryFile, EntryFile)> {
        let mut groups: Vec<_> = self.open_groups.drain().map(|(_, group)| group).collect();
        groups.sort_by_key(|group| group.definition.dump_id);
        for group in groups {
            self.close(group)?;
        }
        if let Some(list) = self.single_list {
            let end = || list.into_inner().map_err(std::io::IntoInnerError::into_error)?.sync_all();
            end().map_err(Error::io(format!("write {SINGLE_LIST} of the archive")))?;
        }
        Ok((self.definitions, self.contents))
    }

    /// Writes a group down. Its definition is followed by what hangs on it.
    fn close(&mut self, group: Group) -> Result<()> {
        let Group { definition, contents, privileges, attributes, list, .. } = group;
        let all = [definition].into_iter().chain(privileges).chain(attributes);
        all.into_iter().try_for_each(|entry| self.definitions.add(&entry))?;
        let name = list_name(contents.dump_id);
        let mut file = data_file::create(&self.directory, &name)?;
        let written = file.write_all(list.as_bytes()).and_then(|()| file.sync_all());
        written.map_err(Error::io(format!("write {name} of the archive")))?;
        self.contents.add(&contents)
    }

    /// Writes the oldest group down where there are too many.
    fn bound_open_groups(&mut self) -> Result<()> {
        if self.open_groups.len() < OPEN_GROUPS_MAX {
            return Ok(());
        }
        let oldest = self.open_groups.iter().min_by_key(|(_, group)| group.definition.dump_id);
        let oldest = oldest.map(|(key, _)| key.clone());
        let group = oldest.and_then(|key| self.open_groups.remove(&key));
        group.map_or(Ok(()), |group| self.close(group))
    }
}

/// Name of a group's list of contents.
fn list_name(contents: i32) -> String {
    format!("blobs_{contents}.toc")
}

impl ArchiveBuilder {
    /// Adds a large object, ascending by oid.
    pub(in crate::files) fn large_object(&mut self, object: &LargeObject) -> Result<()> {
        let line = format!("{} {}\n", object.oid, file_name(object.oid));
        if self.large_objects.version < Version::V1_16 {
            self.single_object(object, &line)
        } else {
            self.grouped_object(object, &line)
        }
    }

    fn single_object(&mut self, object: &LargeObject, line: &str) -> Result<()> {
        let id = self.new_id()?;
        let oid = object.oid.to_string();
        let mut entry = Entry::new(id, "BLOB", oid.as_bytes(), Section::PreData);
        entry.catalog_oid = Some(b"2613".to_vec());
        entry.oid = Some(oid.clone().into_bytes());
        entry.owner = Some(self.label(&object.owner));
        entry.definition = Some(format!("SELECT pg_catalog.lo_create('{oid}');\n").into_bytes());
        entry.drop_statement =
            Some(format!("SELECT pg_catalog.lo_unlink('{oid}');\n").into_bytes());
        self.large_objects.definitions.add(&entry)?;
        if self.large_objects.single_list.is_none() {
            let mut entry = Entry::new(self.new_id()?, "BLOBS", b"BLOBS", Section::Data);
            entry.has_data = true;
            entry.file = Some(SINGLE_LIST.as_bytes().to_vec());
            self.large_objects.contents.add(&entry)?;
            let file = data_file::create(&self.large_objects.directory, SINGLE_LIST)?;
            self.large_objects.single_list = Some(BufWriter::new(file));
        }
        if let Some(list) = &mut self.large_objects.single_list {
            let written = list.write_all(line.as_bytes());
            written.map_err(Error::io(format!("write {SINGLE_LIST} of the archive")))?;
        }
        let privileges = self.large_object_privileges(object, id)?;
        let attributes = self.large_object_attributes(object, id)?;
        let mut all = privileges.into_iter().chain(attributes);
        all.try_for_each(|entry| self.large_objects.definitions.add(&entry))
    }

    fn grouped_object(&mut self, object: &LargeObject, line: &str) -> Result<()> {
        let key = (object.owner.clone(), object.acl.clone());
        let mut group = match self.large_objects.open_groups.remove(&key) {
            Some(mut group) => {
                group.join(object);
                group
            }
            None => {
                self.large_objects.bound_open_groups()?;
                self.new_group(object)?
            }
        };
        group.list.push_str(line);
        group.attributes.extend(self.large_object_attributes(object, group.definition.dump_id)?);
        if group.objects == GROUP_OBJECTS_MAX {
            return self.large_objects.close(group);
        }
        self.large_objects.open_groups.insert(key, group);
        Ok(())
    }

    fn new_group(&mut self, object: &LargeObject) -> Result<Group> {
        let (id, contents) = (self.new_id()?, self.new_id()?);
        let oid = object.oid.to_string();
        let owner = Some(self.label(&object.owner));
        let mut definition = Entry::new(id, "BLOB METADATA", oid.as_bytes(), Section::Data);
        definition.catalog_oid = Some(b"2613".to_vec());
        definition.oid = Some(oid.clone().into_bytes());
        definition.owner = owner.clone();
        definition.definition = Some(format!("{oid}\n").into_bytes());
        // pg_restore makes the statement itself, but only where one stands here.
        definition.drop_statement = Some(b"-- dummy".to_vec());
        let list = list_name(contents);
        let mut contents = Entry::new(contents, "BLOBS", oid.as_bytes(), Section::Data);
        contents.has_data = true;
        contents.owner = owner;
        contents.dependencies = vec![id];
        contents.file = Some(list.into_bytes());
        Ok(Group {
            definition,
            contents,
            privileges: self.large_object_privileges(object, id)?,
            attributes: Vec::new(),
            list: String::new(),
            first: object.oid,
            objects: 1,
        })
    }

    /// The entry of its privileges, when it has other than those that every object has.
    fn large_object_privileges(
        &mut self,
        object: &LargeObject,
        definition: i32,
    ) -> Result<Option<Entry>> {
        let name = object.oid.to_string();
        let wanted =
            statements(AclObject::LargeObject, &name, &object.owner, object.acl.as_deref());
        let wanted = wanted
            .map_err(|item| super::damaged(&format!("privileges {item:?} are not understood")))?;
        let sql: String = wanted.iter().map(|statement| format!("{};\n", statement.sql)).collect();
        if sql.is_empty() {
            return Ok(None);
        }
        self.large_object_attribute("ACL", sql, object, definition).map(Some)
    }

    /// The entries of its comment and of its labels.
    fn large_object_attributes(&mut self, object: &LargeObject, on: i32) -> Result<Vec<Entry>> {
        let mut entries = Vec::new();
        let oid = object.oid;
        if let Some(comment) = &object.comment {
            let comment = self.literal(comment);
            let sql = format!("COMMENT ON LARGE OBJECT {oid} IS {comment};\n");
            entries.push(self.large_object_attribute("COMMENT", sql, object, on)?);
        }
        let label = |label: &crate::manifest::SecurityLabel| {
            let provider = quote_identifier(&label.provider);
            let text = self.literal(&label.label);
            format!("SECURITY LABEL FOR {provider} ON LARGE OBJECT {oid} IS {text};\n")
        };
        let sql: String = object.labels.iter().map(label).collect();
        if !sql.is_empty() {
            entries.push(self.large_object_attribute("SECURITY LABEL", sql, object, on)?);
        }
        Ok(entries)
    }

    fn large_object_attribute(
        &mut self,
        kind: &str,
        sql: String,
        object: &LargeObject,
        on: i32,
    ) -> Result<Entry> {
        let tag = format!("LARGE OBJECT {}", object.oid);
        let mut entry = Entry::new(self.new_id()?, kind, tag.as_bytes(), Section::None);
        entry.owner = Some(self.label(&object.owner));
        entry.definition = Some(sql.into_bytes());
        entry.dependencies = vec![on];
        Ok(entry)
    }
}

impl Group {
    /// Adds to the group. The names of its entries tell its first and last object. The statements of its privileges name
    /// the first one: for an entry of several objects `pg_restore` puts each object's number in its place.
    fn join(&mut self, object: &LargeObject) {
        let range = format!("{}..{}", self.first, object.oid);
        self.definition.tag = Some(range.clone().into_bytes());
        let numbers = self.definition.definition.get_or_insert_default();
        numbers.extend(format!("{}\n", object.oid).into_bytes());
        if let Some(entry) = &mut self.privileges {
            entry.tag = Some(format!("LARGE OBJECTS {range}").into_bytes());
        }
        self.contents.tag = Some(range.into_bytes());
        self.objects += 1;
    }
}
