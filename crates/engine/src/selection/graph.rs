//! What depends on what among the entries of an archive, and what follows for a choice.
//!
//! Everything here is linear in the number of entries and dependencies but for objects other than tables, each of which is
//! asked once what it needs; the answer is kept.

use std::collections::{HashMap, HashSet};

use super::SelectedItem;
use super::entry::{
    OF_THE_DATABASE, STANDS_ON_A_TABLE, bytes, is_decoration, is_named_after, is_object, is_table,
    name_of, names, stands_on_it,
};
use crate::files::toc::Entry;
use crate::manifest::Extension;
use crate::session::unquote_identifier;

/// The entries of an archive with their dependencies as places in the list.
pub(super) struct Graph<'a> {
    entries: &'a [Entry],
    needs: Vec<Vec<usize>>,
    /// Pairs of partition and partitioned table.
    partitions: Vec<(usize, usize)>,
    /// Schemas of the extensions, which the archive does not tell.
    extensions: HashMap<&'a [u8], &'a [u8]>,
}

/// A choice worked out.
pub(super) struct Part<'a> {
    /// For each entry, whether it stays.
    pub(super) keep: Vec<bool>,
    /// Items that name nothing.
    pub(super) not_found: Vec<&'a SelectedItem>,
    /// Tables that were not chosen and are needed by those that were.
    pub(super) added_tables: Vec<usize>,
    /// What was in the choice and needs tables that were not.
    pub(super) left_out: Vec<usize>,
    /// Partitions whose partitioned table was not chosen.
    pub(super) lone_partitions: Vec<usize>,
}

impl<'a> Graph<'a> {
    pub(super) fn new(entries: &'a [Entry], extensions: &'a [Extension]) -> Self {
        let places: HashMap<i32, usize> =
            entries.iter().enumerate().map(|(place, entry)| (entry.dump_id, place)).collect();
        let mut needs: Vec<Vec<usize>> = entries
            .iter()
            .map(|entry| {
                let mut found: Vec<_> =
                    entry.dependencies.iter().filter_map(|id| places.get(id).copied()).collect();
                found.sort_unstable();
                found.dedup();
                found
            })
            .collect();
        let partitions = partitions(entries, &needs);
        // A partition and its indexes are made on their own and attached later: they can do without.
        let attached = attached_indexes(entries, &needs);
        for (child, parent) in partitions.iter().chain(&attached) {
            if let Some(needs) = needs.get_mut(*child) {
                needs.retain(|place| place != parent);
            }
        }
        let schema = |found: &'a Extension| (found.name.as_bytes(), found.schema.as_bytes());
        Self { entries, needs, partitions, extensions: extensions.iter().map(schema).collect() }
    }

    pub(super) fn part(&self, items: &'a [SelectedItem]) -> Part<'a> {
        let (chosen, not_found) = self.chosen_tables(items);
        let schemas: HashSet<&[u8]> = items
            .iter()
            .filter_map(|item| match item {
                SelectedItem::Schema(name) => Some(name.as_bytes()),
                _ => None,
            })
            .collect();
        let mut keep = vec![false; self.entries.len()];
        self.add_tables(&chosen, &mut keep);
        // A partition is a part of its partitioned table, which is named where it was added.
        let with_parent: HashSet<usize> = self
            .partitions
            .iter()
            .filter(|(_, parent)| keep[*parent])
            .map(|(child, _)| *child)
            .collect();
        let added_tables = self.places(|place, entry| {
            keep[place]
                && is_table(entry)
                && !chosen.contains(&place)
                && !with_parent.contains(&place)
        });
        let mut left_out = Vec::new();
        let mut reach = Reach::new(self, &keep);
        for (place, entry) in self.entries.iter().enumerate() {
            if !is_object(entry) || keep[place] || !self.is_in(entry, &schemas) {
                continue;
            }
            match reach.of(place) {
                Some(needed) => needed.iter().for_each(|place| keep[*place] = true),
                None => left_out.push(place),
            }
        }
        self.add_what_stands_on(&mut keep, &mut reach, &mut left_out);
        let used = self.add_schemas(&schemas, &mut keep);
        self.add_decorations(&schemas, &used, &mut keep);
        left_out.sort_unstable();
        left_out.dedup();
        let lone_partitions = self
            .partitions
            .iter()
            .filter(|(child, parent)| keep[*child] && !keep[*parent])
            .map(|(child, _)| *child)
            .collect();
        Part { keep, not_found, added_tables, left_out, lone_partitions }
    }

    /// Places of tables that the items name, and the items that name nothing.
    fn chosen_tables(&self, items: &'a [SelectedItem]) -> (HashSet<usize>, Vec<&'a SelectedItem>) {
        let mut chosen = HashSet::new();
        let mut not_found = Vec::new();
        for item in items {
            let mut found = false;
            for (place, entry) in self.entries.iter().enumerate() {
                let (schema, name) = (bytes(&entry.namespace), bytes(&entry.tag));
                let matches = match item {
                    SelectedItem::Schema(wanted) => {
                        let wanted = wanted.as_bytes();
                        // A schema without anything in it is one all the same, and `public` has no entry of its own.
                        found |= schema == wanted || (entry.is("SCHEMA") && name == wanted);
                        schema == wanted
                    }
                    SelectedItem::Table { schema: wanted, name: table } => {
                        schema == wanted.as_bytes() && name == table.as_bytes()
                    }
                    SelectedItem::TablesWithPrefix { schema: wanted, prefix } => {
                        schema == wanted.as_bytes() && name.starts_with(prefix.as_bytes())
                    }
                };
                if matches && is_table(entry) {
                    found = true;
                    chosen.insert(place);
                }
            }
            if !found {
                not_found.push(item);
            }
        }
        (chosen, not_found)
    }

    /// Whether it lies in one of the schemas.
    fn is_in(&self, entry: &Entry, schemas: &HashSet<&[u8]>) -> bool {
        let schema = match self.extensions.get(bytes(&entry.tag)).filter(|_| entry.is("EXTENSION"))
        {
            Some(schema) => schema,
            None => bytes(&entry.namespace),
        };
        !schema.is_empty() && schemas.contains(schema)
    }

    /// Marks the tables, their partitions, and all that these need.
    fn add_tables(&self, chosen: &HashSet<usize>, keep: &mut [bool]) {
        let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
        for (child, parent) in &self.partitions {
            children.entry(*parent).or_default().push(*child);
        }
        let mut pending: Vec<usize> = chosen.iter().copied().collect();
        while let Some(place) = pending.pop() {
            if std::mem::replace(&mut keep[place], true) {
                continue;
            }
            pending.extend(&self.needs[place]);
            pending.extend(children.get(&place).into_iter().flatten());
        }
    }

    /// Marks what stands on something that is kept, with what it needs itself.
    fn add_what_stands_on(
        &self,
        keep: &mut [bool],
        reach: &mut Reach<'_, 'a>,
        left_out: &mut Vec<usize>,
    ) {
        for (place, entry) in self.entries.iter().enumerate() {
            let stands_on =
                STANDS_ON_A_TABLE.iter().any(|kind| entry.is(kind)) || entry.is("SEQUENCE");
            if !stands_on || keep[place] {
                continue;
            }
            let bases = self.needs[place].iter().copied().filter(|base| keep[*base]);
            let bases: Vec<usize> =
                bases.filter(|base| stands_on_it(&self.entries[*base], entry)).collect();
            if bases.is_empty() {
                continue;
            }
            match reach.of(place) {
                Some(needed) => needed.iter().for_each(|place| keep[*place] = true),
                // The constraint of another table that refers to this one is none of ours.
                None if bases.iter().any(|base| is_named_after(entry, &self.entries[*base])) => {
                    left_out.push(place);
                }
                None => {}
            }
        }
    }

    /// Marks the schemas of all that is kept, and those that were chosen; their names.
    fn add_schemas<'b>(
        &'b self,
        chosen: &HashSet<&'b [u8]>,
        keep: &mut [bool],
    ) -> HashSet<&'b [u8]> {
        let mut used: HashSet<&[u8]> = chosen.clone();
        let kept = self.entries.iter().zip(&*keep).filter(|(_, keep)| **keep);
        used.extend(kept.map(|(entry, _)| bytes(&entry.namespace)));
        for (place, entry) in self.entries.iter().enumerate() {
            keep[place] |= entry.is("SCHEMA") && used.contains(bytes(&entry.tag));
        }
        used
    }

    /// Marks comments, privileges and labels of all that is kept, and default privileges of chosen schemas.
    fn add_decorations(&self, chosen: &HashSet<&[u8]>, used: &HashSet<&[u8]>, keep: &mut [bool]) {
        let servers: HashSet<&[u8]> = self
            .entries
            .iter()
            .zip(&*keep)
            .filter(|(entry, keep)| **keep && entry.is("SERVER"))
            .map(|(entry, _)| bytes(&entry.tag))
            .collect();
        for (place, entry) in self.entries.iter().enumerate() {
            let tag = bytes(&entry.tag);
            keep[place] |= if entry.is("DEFAULT ACL") {
                chosen.contains(bytes(&entry.namespace))
            } else if entry.is("USER MAPPING") {
                servers.iter().any(|server| {
                    tag.strip_suffix(*server).is_some_and(|rest| rest.ends_with(b" SERVER "))
                })
            } else if is_decoration(entry) && !entry.dependencies.is_empty() {
                match tag.strip_prefix(b"SCHEMA ") {
                    // `public` has no entry of its own that its privileges could depend on.
                    Some(schema) if bytes(&entry.namespace).is_empty() => {
                        // Tags have it in quotes, where `pg_dump` was told to quote all.
                        let name = unquote_identifier(schema);
                        used.contains(name.as_deref().unwrap_or(schema))
                    }
                    _ => {
                        !self.needs[place].is_empty()
                            && self.needs[place].iter().all(|base| keep[*base])
                    }
                }
            } else {
                false
            };
        }
    }

    fn places(&self, matches: impl Fn(usize, &Entry) -> bool) -> Vec<usize> {
        let all = self.entries.iter().enumerate();
        all.filter(|(place, entry)| matches(*place, entry)).map(|(place, _)| place).collect()
    }

    /// Names of the tables and materialized views that are not kept.
    pub(super) fn names_of_relations(&self, keep: &[bool]) -> HashSet<String> {
        let is_gone = |place: usize, entry: &Entry| {
            !keep[place] && (is_table(entry) || entry.is("MATERIALIZED VIEW"))
        };
        self.places(is_gone).into_iter().map(|place| name_of(&self.entries[place])).collect()
    }

    /// Names for people, the first of many.
    pub(super) fn names(&self, places: &[usize], shown: usize) -> String {
        names(self.entries, places, shown)
    }
}

/// What entries need, as far as it stays within the tables that are kept. Each is asked once.
struct Reach<'g, 'a> {
    graph: &'g Graph<'a>,
    tables: HashSet<usize>,
    /// Known to need no table that is not kept.
    within: HashSet<usize>,
    /// Known to need one.
    out: HashSet<usize>,
}

impl<'g, 'a> Reach<'g, 'a> {
    fn new(graph: &'g Graph<'a>, keep: &[bool]) -> Self {
        let tables = graph.places(|place, entry| keep[place] && is_table(entry));
        Self {
            graph,
            tables: tables.into_iter().collect(),
            within: HashSet::new(),
            out: HashSet::new(),
        }
    }

    /// The entry and all that it needs, but for what an earlier answer named; none if a table is among it that is not kept.
    fn of(&mut self, place: usize) -> Option<HashSet<usize>> {
        let mut found = HashSet::new();
        let mut pending = vec![place];
        while let Some(next) = pending.pop() {
            let entry = &self.graph.entries[next];
            let is_out = self.out.contains(&next)
                || (is_table(entry) && !self.tables.contains(&next))
                || OF_THE_DATABASE.iter().any(|kind| entry.is(kind));
            if is_out {
                self.out.insert(place);
                return None;
            }
            if !self.within.contains(&next) && found.insert(next) {
                pending.extend(&self.graph.needs[next]);
            }
        }
        self.within.extend(&found);
        Some(found)
    }
}

/// Partition and partitioned table of every attachment: the partition has the attachment's name.
fn partitions(entries: &[Entry], needs: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if !entry.is("TABLE ATTACH") {
            continue;
        }
        let tables: Vec<usize> =
            needs[place].iter().copied().filter(|place| is_table(&entries[*place])).collect();
        let is_child = |place: &usize| {
            let table = &entries[*place];
            table.tag == entry.tag && table.namespace == entry.namespace
        };
        if let [one, other] = tables[..] {
            // Of two tables of the same name the one that needs the other is the partition.
            let needs_other = needs[one].contains(&other);
            let child_is_one = match (is_child(&one), is_child(&other)) {
                (true, false) => true,
                (false, true) => false,
                _ => needs_other,
            };
            found.push(if child_is_one { (one, other) } else { (other, one) });
        }
    }
    found
}

/// Index (or constraint) of a partition and that of its partitioned table, for every attachment.
fn attached_indexes(entries: &[Entry], needs: &[Vec<usize>]) -> Vec<(usize, usize)> {
    let is_index = |place: &usize| entries[*place].is("INDEX") || entries[*place].is("CONSTRAINT");
    let mut found = Vec::new();
    for (place, entry) in entries.iter().enumerate() {
        if entry.is("INDEX ATTACH") {
            let indexes: Vec<usize> = needs[place].iter().copied().filter(is_index).collect();
            for child in &indexes {
                let parents = indexes.iter().filter(|parent| needs[*child].contains(parent));
                found.extend(parents.map(|parent| (*child, *parent)));
            }
        }
    }
    found
}
