//! Foreign keys after the attached indexes of partitioned tables.
//!
//! `ALTER INDEX … ATTACH PARTITION` and `ADD FOREIGN KEY` lock the same tables and indexes of a partition tree in different
//! orders. The archives of `pg_dump` say nothing of it, so a parallel `pg_restore` now and then runs both at once and loses
//! one of them to a deadlock. A few more dependencies make it wait.

use std::collections::{BTreeMap, HashMap};

use super::Entry;

/// Lets every foreign key of or to a partitioned table come after the attachments of all indexes of its partition tree.
///
/// Of a tree's foreign keys the first depends on the attachments, and the others on the first: that is linear in the number
/// of entries, and since the first is the one listed first, no circle can arise.
pub(crate) fn order_foreign_keys(entries: &mut [Entry]) {
    let tables = Tables::of(entries);
    let mut attachments: HashMap<i32, Vec<i32>> = HashMap::new();
    let mut foreign_keys: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
    for (place, entry) in entries.iter().enumerate() {
        for tree in tables.trees(entry) {
            if entry.is("INDEX ATTACH") {
                attachments.entry(tree).or_default().push(entry.dump_id);
            } else if entry.is("FK CONSTRAINT") {
                foreign_keys.entry(tree).or_default().push(place);
            }
        }
    }
    for (tree, places) in foreign_keys {
        let (Some(attached), Some((first, others))) =
            (attachments.remove(&tree), places.split_first())
        else {
            continue;
        };
        let first_id = entries.get(*first).map(|entry| entry.dump_id);
        if let Some(entry) = entries.get_mut(*first) {
            entry.dependencies.extend(attached);
        }
        for place in others {
            if let Some(entry) = entries.get_mut(*place) {
                entry.dependencies.extend(first_id);
            }
        }
    }
    for entry in entries.iter_mut().filter(|entry| entry.is("FK CONSTRAINT")) {
        entry.dependencies.sort_unstable();
        entry.dependencies.dedup();
    }
}

/// Which tables an entry is about, and which partition tree each of them belongs to.
struct Tables {
    /// Tables, indexes and constraints, by id: the tables that they are or stand on.
    of: HashMap<i32, Vec<i32>>,
    /// Partitions and partitioned tables, by id: their parent.
    parent: HashMap<i32, i32>,
}

impl Tables {
    fn of(entries: &[Entry]) -> Self {
        let is_table: HashMap<i32, ()> = entries
            .iter()
            .filter(|entry| entry.is("TABLE"))
            .map(|entry| (entry.dump_id, ()))
            .collect();
        let direct = |entry: &Entry| -> Vec<i32> {
            entry.dependencies.iter().copied().filter(|id| is_table.contains_key(id)).collect()
        };
        let mut of: HashMap<i32, Vec<i32>> = is_table.keys().map(|id| (*id, vec![*id])).collect();
        let mut parent = HashMap::new();
        for entry in entries {
            if entry.is("INDEX") || entry.is("CONSTRAINT") {
                of.insert(entry.dump_id, direct(entry));
            } else if entry.is("TABLE ATTACH") {
                // Whichever of the two comes first: all that matters is that both are of one tree.
                if let [one, other] = direct(entry)[..] {
                    let (one, other) = (root(&parent, one), root(&parent, other));
                    if one != other {
                        parent.insert(one, other);
                    }
                }
            }
        }
        Self { of, parent }
    }

    /// The trees of an entry's tables, each once. A table without partitions is a tree of its own.
    fn trees(&self, entry: &Entry) -> Vec<i32> {
        let tables = entry.dependencies.iter().filter_map(|id| self.of.get(id)).flatten();
        let mut trees: Vec<i32> = tables.map(|table| root(&self.parent, *table)).collect();
        trees.sort_unstable();
        trees.dedup();
        trees
    }
}

/// The end of the chain of parents. It ends: only roots are given a parent, and never one of their own tree.
fn root(parent: &HashMap<i32, i32>, table: i32) -> i32 {
    let mut table = table;
    while let Some(next) = parent.get(&table) {
        table = *next;
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::toc::Section;

    fn entry(dump_id: i32, kind: &str, dependencies: &[i32]) -> Entry {
        let mut entry = Entry::new(dump_id, kind, b"x", Section::PostData);
        entry.dependencies = dependencies.to_vec();
        entry
    }

    #[test]
    fn foreign_keys_of_a_partition_tree_wait_for_its_indexes() {
        let mut entries = [
            entry(1, "TABLE", &[]),
            entry(2, "TABLE", &[]),
            entry(3, "TABLE", &[]),
            entry(4, "TABLE", &[]),
            entry(10, "TABLE ATTACH", &[2, 1]),
            entry(11, "TABLE ATTACH", &[3, 2]),
            entry(20, "INDEX", &[1]),
            entry(21, "INDEX", &[3]),
            entry(22, "CONSTRAINT", &[4]),
            entry(30, "INDEX ATTACH", &[21, 20]),
            // From and to the tree, and one that has nothing to do with it.
            entry(40, "FK CONSTRAINT", &[1, 22]),
            entry(41, "FK CONSTRAINT", &[4, 20]),
            entry(42, "FK CONSTRAINT", &[4, 22]),
        ];
        order_foreign_keys(&mut entries);
        let of = |id: i32| {
            entries
                .iter()
                .find(|entry| entry.dump_id == id)
                .map(|entry| entry.dependencies.clone())
                .unwrap()
        };
        assert_eq!((of(40), of(41), of(42)), (vec![1, 22, 30], vec![4, 20, 40], vec![4, 22]));
    }
}
