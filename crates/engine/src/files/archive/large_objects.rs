//! Entries of large objects: until archive version 1.15 one entry each and one list of contents for all, since 1.16 in
//! groups of one owner, each with its own list.

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
    /// The last group may take more: its owner and how many it has.
    open_group: Option<(String, usize)>,
}

impl LargeObjectEntries {
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            definitions: Vec::new(),
            contents: Vec::new(),
            lists: Vec::new(),
            open_group: None,
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
            self.single_definition(object, line)?
        } else {
            self.grouped_definition(object, line)?
        };
        self.large_object_attributes(object, definition)?;
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
        let alone = object.acl.is_some() || object.comment.is_some();
        let fits = |(owner, count): &(String, usize)| {
            !alone && *owner == object.owner && *count < GROUP_OBJECTS_MAX
        };
        if self.large_objects.open_group.as_ref().is_some_and(fits)
            && let Some(id) = self.join_group(object, &line)
        {
            return Ok(id);
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
        let list = format!("blobs_{contents}.toc");
        let mut entry = Entry::new(contents, "BLOBS", oid.as_bytes(), Section::Data);
        entry.has_data = true;
        entry.owner = owner;
        entry.dependencies = vec![id];
        entry.file = Some(list.clone().into_bytes());
        self.large_objects.contents.push(entry);
        self.large_objects.lists.push((list, line));
        self.large_objects.open_group = (!alone).then(|| (object.owner.clone(), 1));
        Ok(id)
    }

    /// Adds to the last group. Its name tells its first and last object.
    fn join_group(&mut self, object: &LargeObject, line: &str) -> Option<i32> {
        let group = &mut self.large_objects;
        let definition = group.definitions.last_mut()?;
        let first = String::from_utf8_lossy(definition.oid.as_deref()?).into_owned();
        let tag = format!("{first}..{}", object.oid).into_bytes();
        definition.definition.as_mut()?.extend(format!("{}\n", object.oid).into_bytes());
        definition.tag = Some(tag.clone());
        group.contents.last_mut()?.tag = Some(tag);
        group.lists.last_mut()?.1.push_str(line);
        group.open_group.as_mut()?.1 += 1;
        Some(group.definitions.last()?.dump_id)
    }

    fn large_object_attributes(&mut self, object: &LargeObject, definition: i32) -> Result<()> {
        let tag = format!("LARGE OBJECT {}", object.oid);
        let mut sql = String::new();
        let name = object.oid.to_string();
        let wanted =
            statements(AclObject::LargeObject, &name, &object.owner, object.acl.as_deref());
        for statement in wanted
            .map_err(|item| super::damaged(&format!("privileges {item:?} are not understood")))?
        {
            sql.push_str(&statement.sql);
            sql.push_str(";\n");
        }
        if !sql.is_empty() {
            self.large_object_attribute("ACL", &tag, sql, &object.owner, definition)?;
        }
        if let Some(comment) = &object.comment {
            let comment =
                if self.plain(comment) { quote_literal(comment) } else { self.literal(comment) };
            let sql = format!("COMMENT ON {tag} IS {comment};\n");
            self.large_object_attribute("COMMENT", &tag, sql, &object.owner, definition)?;
        }
        Ok(())
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
