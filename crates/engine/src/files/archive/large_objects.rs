//! Entries of large objects: until archive version 1.15 one entry each and one list of contents for all, since 1.16 in
//! groups of one owner and one set of privileges, each with its own list.

use std::collections::HashMap;

use super::{ArchiveBuilder, Section};
use crate::error::Result;
use crate::files::toc::{Entry, Version};
use crate::manifest::LargeObject;
use crate::restore::acl::{AclObject, statements};
use crate::session::quote_literal;

/// Large objects of one entry since 1.16, as `pg_dump` groups them.
const GROUP_OBJECTS_MAX: usize = 1_000;

/// Name of the list of contents until 1.15.
const SINGLE_LIST: &str = "blobs.toc";

/// Entries so far.
#[derive(Debug)]
pub(super) struct LargeObjectEntries {
    version: Version,
    /// Definitions, and grants and comments on them.
    definitions: Vec<Entry>,
    /// Contents.
    contents: Vec<Entry>,
    /// Files that list which object's bytes are in which file.
    lists: Vec<(String, String)>,
    /// Groups that may take more, by owner and privileges.
    open_groups: HashMap<(String, Option<Vec<String>>), Group>,
}

/// Objects with one entry for all of their definitions, one for their contents, and at most one for their privileges.
#[derive(Debug, Clone, Copy)]
struct Group {
    id: i32,
    /// Places of the entries in their lists.
    definition: usize,
    contents: usize,
    privileges: Option<usize>,
    first: u32,
    objects: usize,
}

impl LargeObjectEntries {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            definitions: Vec::new(),
            contents: Vec::new(),
            lists: Vec::new(),
            open_groups: HashMap::new(),
        }
    }

    /// Definitions and contents.
    pub(super) fn finish(self) -> (Vec<Entry>, Vec<Entry>) {
        if self.version < Version::V1_16 {
            return (self.definitions, self.contents);
        }
        // Since 1.16 both are data; every definition is followed by what hangs on it.
        (Vec::new(), self.definitions.into_iter().chain(self.contents).collect())
    }
}

impl ArchiveBuilder {
    /// Adds a large object, ascending by oid. Its bytes go into the file of the returned name, which lacks the ending of
    /// the compression.
    pub(in crate::files) fn large_object(&mut self, object: &LargeObject) -> Result<String> {
        let file = format!("blob_{}.dat", object.oid);
        let line = format!("{} {file}\n", object.oid);
        let definition = if self.toc.header.version < Version::V1_16 {
            let definition = self.single_definition(object, line)?;
            self.large_object_privileges(object, definition)?;
            definition
        } else {
            self.grouped_definition(object, line)?
        };
        self.large_object_comment(object, definition)?;
        Ok(file)
    }

    /// Lists of contents: file names and what they hold.
    pub(in crate::files) fn large_object_lists(&self) -> &[(String, String)] {
        &self.large_objects.lists
    }

    fn single_definition(&mut self, object: &LargeObject, line: String) -> Result<i32> {
        let id = self.new_id()?;
        let oid = object.oid.to_string();
        let mut entry = Entry::new(id, "BLOB", oid.as_bytes(), Section::PreData);
        entry.catalog_oid = Some(b"2613".to_vec());
        entry.oid = Some(oid.clone().into_bytes());
        entry.owner = Some(self.label(&object.owner));
        entry.definition = Some(format!("SELECT pg_catalog.lo_create('{oid}');\n").into_bytes());
        entry.drop_statement =
            Some(format!("SELECT pg_catalog.lo_unlink('{oid}');\n").into_bytes());
        self.large_objects.definitions.push(entry);
        if let Some((_, list)) = self.large_objects.lists.first_mut() {
            list.push_str(&line);
        } else {
            let contents = self.new_id()?;
            let mut entry = Entry::new(contents, "BLOBS", b"BLOBS", Section::Data);
            entry.has_data = true;
            entry.file = Some(SINGLE_LIST.as_bytes().to_vec());
            self.large_objects.contents.push(entry);
            self.large_objects.lists.push((SINGLE_LIST.to_owned(), line));
        }
        Ok(id)
    }

    fn grouped_definition(&mut self, object: &LargeObject, line: String) -> Result<i32> {
        let key = (object.owner.clone(), object.acl.clone());
        let open = self.large_objects.open_groups.get(&key).copied();
        if let Some(group) = open.filter(|group| group.objects < GROUP_OBJECTS_MAX) {
            self.join_group(object, &line, group);
            let joined = Group { objects: group.objects + 1, ..group };
            self.large_objects.open_groups.insert(key, joined);
            return Ok(group.id);
        }
        let (id, contents) = (self.new_id()?, self.new_id()?);
        let oid = object.oid.to_string();
        let owner = Some(self.label(&object.owner));
        let mut entry = Entry::new(id, "BLOB METADATA", oid.as_bytes(), Section::Data);
        entry.catalog_oid = Some(b"2613".to_vec());
        entry.oid = Some(oid.clone().into_bytes());
        entry.owner = owner.clone();
        entry.definition = Some(format!("{oid}\n").into_bytes());
        // pg_restore makes the statement itself, but only where one stands here.
        entry.drop_statement = Some(b"-- dummy".to_vec());
        self.large_objects.definitions.push(entry);
        let definition = self.large_objects.definitions.len() - 1;
        let list = format!("blobs_{contents}.toc");
        let mut entry = Entry::new(contents, "BLOBS", oid.as_bytes(), Section::Data);
        entry.has_data = true;
        entry.owner = owner;
        entry.dependencies = vec![id];
        entry.file = Some(list.clone().into_bytes());
        self.large_objects.contents.push(entry);
        self.large_objects.lists.push((list, line));
        let group = Group {
            id,
            definition,
            contents: self.large_objects.contents.len() - 1,
            privileges: self.large_object_privileges(object, id)?,
            first: object.oid,
            objects: 1,
        };
        self.large_objects.open_groups.insert(key, group);
        Ok(id)
    }

    /// Adds to a group. The names of its entries tell its first and last object. The statements of its privileges name the
    /// first one: for an entry of several objects `pg_restore` puts each object's number in its place.
    fn join_group(&mut self, object: &LargeObject, line: &str, group: Group) {
        let objects = &mut self.large_objects;
        let range = format!("{}..{}", group.first, object.oid);
        if let Some(entry) = objects.definitions.get_mut(group.definition) {
            entry.tag = Some(range.clone().into_bytes());
            let numbers = entry.definition.get_or_insert_default();
            numbers.extend(format!("{}\n", object.oid).into_bytes());
        }
        if let Some(entry) = group.privileges.and_then(|at| objects.definitions.get_mut(at)) {
            entry.tag = Some(format!("LARGE OBJECTS {range}").into_bytes());
        }
        if let Some(entry) = objects.contents.get_mut(group.contents) {
            entry.tag = Some(range.into_bytes());
        }
        if let Some((_, list)) = objects.lists.get_mut(group.contents) {
            list.push_str(line);
        }
    }

    /// The place of the entry of its privileges, when it has other than those that every object has.
    fn large_object_privileges(
        &mut self,
        object: &LargeObject,
        definition: i32,
    ) -> Result<Option<usize>> {
        let name = object.oid.to_string();
        let wanted =
            statements(AclObject::LargeObject, &name, &object.owner, object.acl.as_deref());
        let wanted = wanted
            .map_err(|item| super::damaged(&format!("privileges {item:?} are not understood")))?;
        let sql: String = wanted.iter().map(|statement| format!("{};\n", statement.sql)).collect();
        if sql.is_empty() {
            return Ok(None);
        }
        let tag = format!("LARGE OBJECT {name}");
        self.large_object_attribute("ACL", &tag, sql, &object.owner, definition)?;
        Ok(Some(self.large_objects.definitions.len() - 1))
    }

    fn large_object_comment(&mut self, object: &LargeObject, definition: i32) -> Result<()> {
        let Some(comment) = &object.comment else { return Ok(()) };
        let tag = format!("LARGE OBJECT {}", object.oid);
        let comment =
            if self.plain(comment) { quote_literal(comment) } else { self.literal(comment) };
        let sql = format!("COMMENT ON {tag} IS {comment};\n");
        self.large_object_attribute("COMMENT", &tag, sql, &object.owner, definition)
    }

    fn large_object_attribute(
        &mut self,
        kind: &str,
        tag: &str,
        sql: String,
        owner: &str,
        on: i32,
    ) -> Result<()> {
        let id = self.new_id()?;
        let mut entry = Entry::new(id, kind, tag.as_bytes(), Section::None);
        entry.owner = Some(self.label(owner));
        entry.definition = Some(sql.into_bytes());
        entry.dependencies = vec![on];
        self.large_objects.definitions.push(entry);
        Ok(())
    }
}
