use std::collections::BTreeSet;

use super::*;
use crate::files::toc::{Compression, Header, Section, Version};

/// An archive of entries by kind, schema, name, and places of what they need.
fn archive(encoding: &str, entries: &[(&str, &str, &str, &[i32])]) -> Toc {
    let mut head = Entry::new(1000, "ENCODING", b"ENCODING", Section::PreData);
    head.definition = Some(format!("SET client_encoding = '{encoding}';\n").into_bytes());
    let made = entries.iter().enumerate().map(|(place, (kind, schema, name, needs))| {
        let section = match *kind {
            "COMMENT" | "ACL" => Section::None,
            "INDEX" | "CONSTRAINT" | "FK CONSTRAINT" => Section::PostData,
            _ => Section::PreData,
        };
        let id = i32::try_from(place).unwrap();
        let mut entry = Entry::new(id, kind, name.as_bytes(), section);
        entry.namespace = (!schema.is_empty()).then(|| schema.as_bytes().to_vec());
        entry.dependencies = needs.to_vec();
        entry.oid = Some((16_384 + id).to_string().into_bytes());
        entry
    });
    let header = Header {
        version: Version::V1_16,
        revision: 0,
        int_bytes: 4,
        offset_bytes: 8,
        format: 3,
        compression: Compression::Algorithm(0),
        created: [0; 7],
        database: None,
        server_version: None,
        dump_version: None,
    };
    Toc { header, entries: std::iter::once(head).chain(made).collect() }
}

fn table(schema: &str, name: &str) -> SelectedItem {
    SelectedItem::Table { schema: schema.to_owned(), name: name.to_owned() }
}

fn choose(toc: &mut Toc, items: &[SelectedItem]) -> Result<Selected, Vec<Problem>> {
    Selection { items: items.to_vec(), large_objects: false, ..Selection::default() }
        .apply(toc, &[])
}

fn kept(toc: &Toc) -> BTreeSet<String> {
    toc.entries.iter().map(entry::name_of).collect()
}

/// Two tables that refer to each other, with what stands on them.
fn two_tables() -> Toc {
    archive(
        "UTF8",
        &[
            ("SCHEMA", "", "s", &[]),
            ("TABLE", "s", "one", &[0]),
            ("TABLE", "s", "two", &[0]),
            ("CONSTRAINT", "s", "one one_pkey", &[1]),
            ("CONSTRAINT", "s", "two two_pkey", &[2]),
            ("FK CONSTRAINT", "s", "two two_one_fkey", &[1, 2, 3]),
            ("COMMENT", "s", "TABLE two", &[2]),
            ("SEQUENCE", "s", "one_id_seq", &[0, 1]),
            ("SEQUENCE OWNED BY", "s", "one_id_seq", &[7]),
            ("VIEW", "s", "both", &[1, 2]),
        ],
    )
}

#[test]
fn everything_is_the_default_and_changes_nothing() {
    let mut toc = two_tables();
    let before = toc.clone();
    let selected = Selection::default().apply(&mut toc, &[]).unwrap();
    assert_eq!(toc, before);
    assert!(!selected.is_part() && selected.has_named("x", "y") && selected.has_large_objects());
}

#[test]
fn the_referring_table_loses_its_foreign_key_and_the_other_nothing() {
    let mut toc = two_tables();
    let selected = choose(&mut toc, &[table("s", "two")]).unwrap();
    let expected = [
        "comment s.TABLE two",
        "constraint s.two two_pkey",
        "encoding ",
        "schema s",
        "table s.two",
    ];
    assert_eq!(kept(&toc), expected.map(str::to_owned).into());
    assert_eq!(selected.warnings.len(), 1);
    assert!(selected.warnings[0].message.ends_with(": fk constraint s.two two_one_fkey"));
    assert!(!selected.has_named("s", "one_id_seq"));

    let mut toc = two_tables();
    let selected = choose(&mut toc, &[table("s", "one")]).unwrap();
    let expected = [
        "constraint s.one one_pkey",
        "encoding ",
        "schema s",
        "sequence owned by s.one_id_seq",
        "sequence s.one_id_seq",
        "table s.one",
    ];
    assert_eq!(kept(&toc), expected.map(str::to_owned).into());
    assert_eq!(selected.warnings, [], "another table's key is no loss of this one");
    assert!(selected.has_named("s", "one_id_seq"));
}

#[test]
fn circles_of_needs_end() {
    let mut toc = archive(
        "UTF8",
        &[
            ("SCHEMA", "", "s", &[]),
            ("SHELL TYPE", "s", "t", &[0]),
            ("FUNCTION", "s", "t_in(cstring)", &[0, 1, 3]),
            ("TYPE", "s", "t", &[1, 2]),
            ("TABLE", "s", "x", &[0, 3]),
            ("VIEW", "s", "v", &[4, 6]),
            ("VIEW", "s", "u", &[5]),
            ("TABLE", "o", "y", &[]),
            ("FUNCTION", "s", "f(o.y)", &[7, 9]),
            ("FUNCTION", "s", "g()", &[8]),
        ],
    );
    let selected = choose(&mut toc, &[SelectedItem::Schema("s".to_owned())]).unwrap();
    assert_eq!(toc.entries.len(), 8);
    assert!(
        selected.warnings[0].message.ends_with(": function s.f(o.y), function s.g()"),
        "{selected:?}"
    );
}

#[test]
fn names_of_other_encodings_are_refused_where_they_could_be_confused() {
    let entries: &[(&str, &str, &str, &[i32])] = &[("TABLE", "s", "t", &[])];
    assert!(choose(&mut archive("LATIN1", entries), &[table("s", "t")]).is_ok());
    let refused = choose(&mut archive("LATIN1", entries), &[table("s", "\u{e9}")]).unwrap_err();
    assert_eq!(refused[0].code, "SelectionNames");
    let entries: &[(&str, &str, &str, &[i32])] =
        &[("TABLE", "s", "t", &[]), ("SEQUENCE", "s", "\u{e9}", &[])];
    let refused = choose(&mut archive("LATIN1", entries), &[table("s", "t")]).unwrap_err();
    assert!(refused[0].message.contains("LATIN1"));
}

/// Whatever is chosen, everything that is kept finds what it needs: a part can always be made. The only needs that may be
/// missing are those of a partition.
#[test]
fn a_part_never_lacks_what_it_needs() {
    use rand::{RngExt as _, SeedableRng as _};
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = rand::rngs::SmallRng::seed_from_u64(seed);
    let kinds = [
        "TABLE",
        "VIEW",
        "FUNCTION",
        "TYPE",
        "INDEX",
        "FK CONSTRAINT",
        "DEFAULT",
        "SEQUENCE",
        "TRIGGER",
        "COMMENT",
    ];
    for _ in 0..300 {
        let count = random.random_range(1..60_i32);
        let mut made = Vec::new();
        for id in 0..count {
            let kind = kinds[random.random_range(0..kinds.len())];
            let schema = ["a", "b"][random.random_range(0..2)];
            let needs: Vec<i32> = (0..random.random_range(0..4))
                .map(|_| random.random_range(0..count))
                .filter(|need| *need != id)
                .collect();
            made.push((kind, schema, format!("n{id} x"), needs));
        }
        let entries: Vec<(&str, &str, &str, &[i32])> = made
            .iter()
            .map(|(kind, schema, name, needs)| (*kind, *schema, name.as_str(), needs.as_slice()))
            .collect();
        let mut toc = archive("UTF8", &entries);
        let all = toc.clone();
        if choose(&mut toc, &[SelectedItem::Schema("a".to_owned())]).is_err() {
            continue;
        }
        let ids: HashSet<i32> = toc.entries.iter().map(|entry| entry.dump_id).collect();
        for entry in &toc.entries {
            for need in entry.dependencies.iter().filter(|need| **need < count) {
                assert!(ids.contains(need), "{} needs {need}: {all:#?}", entry.dump_id);
            }
        }
        let is_chosen =
            |entry: &&Entry| entry.is("TABLE") && entry.namespace.as_deref() == Some(b"a");
        assert!(all.entries.iter().filter(is_chosen).all(|entry| ids.contains(&entry.dump_id)));
    }
}
