use tempfile::TempDir;

use super::*;
use crate::files::toc::Version;
use crate::manifest::{LargeObject, SecurityLabel};
use crate::restore::sample;

const V1_14: &[u8] = include_bytes!("../toc/fixtures/toc-1.14.dat");
const V1_16: &[u8] = include_bytes!("../toc/fixtures/toc-1.16.dat");

/// A builder on the fixture, and the directory of its archive.
fn builder(bytes: &[u8]) -> (ArchiveBuilder, TempDir) {
    builder_on(Toc::read(bytes).unwrap())
}

fn builder_on(toc: Toc) -> (ArchiveBuilder, TempDir) {
    let directory = TempDir::new().unwrap();
    (ArchiveBuilder::new(toc, directory.path(), Form::Directory).unwrap(), directory)
}

/// The table of contents as it was written.
fn finish(builder: ArchiveBuilder) -> Toc {
    let mut bytes = Vec::new();
    builder.write(&mut bytes).unwrap();
    Toc::read(&bytes).unwrap()
}

fn list(directory: &TempDir, name: &str) -> String {
    std::fs::read_to_string(directory.path().join(name)).unwrap()
}

/// A table like the one of the fixture with that name.
fn table(builder: &ArchiveBuilder, name: &str) -> Table {
    let entry = builder
        .toc
        .entries
        .iter()
        .find(|entry| entry.is("TABLE") && entry.tag.as_deref() == Some(name.as_bytes()));
    let oid = entry.map_or(1, |entry| entry.oid().unwrap());
    Table { oid, ..sample::table("s", name, "id") }
}

fn large_object(oid: u32, owner: &str) -> LargeObject {
    LargeObject {
        oid,
        owner: owner.to_owned(),
        acl: None,
        comment: None,
        labels: Vec::new(),
        bytes: 0,
    }
}

fn find<'a>(toc: &'a Toc, kind: &str) -> Vec<&'a Entry> {
    toc.entries.iter().filter(|entry| entry.is(kind)).collect()
}

fn text(text: &Text) -> &str {
    std::str::from_utf8(text.as_deref().unwrap()).unwrap()
}

#[test]
fn rows_stand_between_definitions_and_indexes_and_depend_on_their_table() {
    let (mut builder, _directory) = builder(V1_14);
    let (known, foreign) = (table(&builder, "t"), table(&builder, "of an extension"));
    let file = builder.table(&known).unwrap();
    builder.table(&foreign).unwrap();
    let sequence = Sequence {
        schema: "s".to_owned(),
        name: "t_id_seq".to_owned(),
        last_value: 7,
        is_called: true,
    };
    builder.sequence(&sequence).unwrap();
    let toc = finish(builder);
    let sections: Vec<_> =
        toc.entries.iter().map(|entry| entry.section).filter(|s| *s != Section::None).collect();
    assert!(sections.is_sorted(), "{sections:?}");
    let rows = find(&toc, "TABLE DATA");
    let defined = toc
        .entries
        .iter()
        .find(|entry| entry.is("TABLE") && entry.oid() == Some(known.oid))
        .unwrap();
    assert_eq!(rows[0].dependencies, [defined.dump_id]);
    assert_eq!(text(&rows[0].file), file);
    assert_eq!(text(&rows[0].copy_statement), "COPY \"s\".\"t\" (\"id\") FROM stdin;\n");
    assert!(
        toc.entries.iter().all(|entry| entry.dump_id != rows[1].dependencies[0]),
        "an id of no entry"
    );
    let position = find(&toc, "SEQUENCE SET")[0];
    assert_eq!(
        text(&position.definition),
        "SELECT pg_catalog.setval('\"s\".\"t_id_seq\"', 7, true);\n"
    );
    let mut ids: Vec<_> = toc.entries.iter().map(|entry| entry.dump_id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), toc.entries.len(), "ids are unique");
}

#[test]
fn refreshes_come_last_and_one_after_the_other() {
    let (mut builder, _directory) = builder(V1_14);
    for (name, populated) in [("a", true), ("b", false), ("c", true)] {
        builder
            .refresh(&MaterializedView { schema: "s".to_owned(), name: name.to_owned(), populated })
            .unwrap();
    }
    let toc = finish(builder);
    let refreshes = find(&toc, "MATERIALIZED VIEW DATA");
    assert_eq!(refreshes.len(), 2);
    assert!(refreshes[1].dependencies.contains(&refreshes[0].dump_id));
    assert_eq!(toc.entries.last(), refreshes.last().copied());
}

#[test]
fn large_objects_of_old_archives_share_one_list() {
    let (mut builder, directory) = builder(V1_14);
    let mut second = large_object(6, "b");
    second.acl = Some(vec!["b=rw/b".to_owned(), "r=r/b".to_owned()]);
    second.comment = Some("it's".to_owned());
    second.labels =
        vec![SecurityLabel { provider: "p".to_owned(), label: "top \\ 'secret'".to_owned() }];
    builder.large_object(&large_object(5, "a")).unwrap();
    builder.large_object(&second).unwrap();
    let toc = finish(builder);
    assert_eq!(list(&directory, "blobs.toc"), "5 blob_5.dat\n6 blob_6.dat\n");
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "nothing else is left");
    let label = find(&toc, "SECURITY LABEL")[0];
    assert_eq!(
        text(&label.definition),
        "SECURITY LABEL FOR \"p\" ON LARGE OBJECT 6 IS E'top \\\\ ''secret''';\n"
    );
    assert_eq!(
        (text(&label.tag), &label.dependencies[..]),
        ("LARGE OBJECT 6", &[find(&toc, "BLOB")[1].dump_id][..])
    );
    assert_eq!((find(&toc, "BLOB").len(), find(&toc, "BLOBS").len()), (2, 1));
    let acl =
        find(&toc, "ACL").into_iter().find(|entry| text(&entry.tag) == "LARGE OBJECT 6").unwrap();
    assert!(text(&acl.definition).ends_with("GRANT SELECT ON LARGE OBJECT 6 TO \"r\";\n"));
    let comment = find(&toc, "COMMENT")
        .into_iter()
        .find(|entry| text(&entry.tag) == "LARGE OBJECT 6")
        .unwrap();
    assert_eq!(text(&comment.definition), "COMMENT ON LARGE OBJECT 6 IS 'it''s';\n");
    assert_eq!(comment.dependencies, [find(&toc, "BLOB")[1].dump_id]);
}

#[test]
fn large_objects_of_new_archives_come_in_groups_of_one_owner() {
    let (mut builder, directory) = builder(V1_16);
    assert_eq!(builder.toc.header.version, Version::V1_16);
    for oid in 1..=1_002 {
        builder.large_object(&large_object(oid, "a")).unwrap();
    }
    let mut remarked = large_object(1_003, "b");
    remarked.comment = Some("x".to_owned());
    builder.large_object(&remarked).unwrap();
    for oid in [1_004, 1_006] {
        let mut shared = large_object(oid, "b");
        shared.acl = Some(vec!["b=rw/b".to_owned(), "r=r/b".to_owned()]);
        builder.large_object(&shared).unwrap();
    }
    builder.large_object(&large_object(1_005, "b")).unwrap();
    let toc = finish(builder);
    let (groups, contents) = (find(&toc, "BLOB METADATA"), find(&toc, "BLOBS"));
    assert_eq!(
        groups.iter().map(|group| text(&group.tag)).collect::<Vec<_>>(),
        ["1..1000", "1001..1002", "1003..1005", "1004..1006"]
    );
    let mut objects = Vec::new();
    for (group, contents) in groups.iter().zip(contents) {
        objects.push(list(&directory, text(&contents.file)).lines().count());
        assert_eq!(contents.dependencies, [group.dump_id]);
        assert_eq!((&contents.tag, &contents.owner), (&group.tag, &group.owner));
        assert_eq!(text(&contents.file), format!("blobs_{}.toc", contents.dump_id));
    }
    assert_eq!(objects, [1_000, 2, 2, 2]);
    // A serial restore goes from top to bottom.
    let place = |entry: &Entry| toc.entries.iter().position(|other| other.dump_id == entry.dump_id);
    let comments = find(&toc, "COMMENT");
    let comment = comments.iter().find(|entry| text(&entry.tag) == "LARGE OBJECT 1003").unwrap();
    assert!(place(comment) > place(groups[2]));
}

#[test]
fn groups_that_never_fill_up_do_not_stay_in_memory() {
    let (mut builder, directory) = builder(V1_16);
    for oid in 1..=2_500 {
        builder.large_object(&large_object(oid, &format!("owner {oid}"))).unwrap();
    }
    let written = std::fs::read_dir(&directory).unwrap().count();
    assert_eq!(written, 1_500, "the oldest are closed");
    let toc = finish(builder);
    assert_eq!((find(&toc, "BLOB METADATA").len(), find(&toc, "BLOBS").len()), (2_500, 2_500));
}

#[test]
fn partitions_by_the_hash_of_an_enum_are_loaded_from_the_top() {
    let mut toc = Toc::read(V1_14).unwrap();
    let first = toc.max_dump_id() + 1;
    let mut add = |offset: i32, kind: &str, oid: u32, definition: &str, dependencies: &[i32]| {
        let mut entry = Entry::new(first + offset, kind, b"x", Section::PreData);
        entry.oid = Some(oid.to_string().into_bytes());
        entry.definition = Some(definition.as_bytes().to_vec());
        entry.dependencies = dependencies.iter().map(|offset| first + offset).collect();
        toc.entries.insert(0, entry);
    };
    add(0, "TYPE", 1, "CREATE TYPE \"e\" AS ENUM (\n 'a');\n", &[]);
    add(1, "TABLE", 100, "CREATE TABLE r (m e)\nPARTITION BY RANGE (\"m\");\n", &[0]);
    add(2, "TABLE", 101, "CREATE TABLE h (m e)\nPARTITION BY HASH (\"m\");\n", &[0, 1]);
    add(3, "TABLE", 102, "CREATE TABLE leaf_of_h (m e);\n", &[0, 2]);
    add(4, "TABLE", 103, "CREATE TABLE leaf_of_r (m e);\n", &[0, 1]);
    let (mut builder, _directory) = builder_on(toc);
    for oid in [102, 103] {
        let root = Some(("s".to_owned(), "r\n".to_owned()));
        let table = Table { oid, partition_root: root, ..table(&builder, "leaf") };
        builder.table(&table).unwrap();
    }
    let toc = finish(builder);
    let rows = find(&toc, "TABLE DATA");
    assert_eq!(text(&rows[0].copy_statement), "COPY \"s\".\"r\n\" (\"id\") FROM stdin;\n");
    assert_eq!(text(&rows[0].definition), "-- load via partition root \"s\".\"r \"");
    assert_eq!(text(&rows[1].copy_statement), "COPY \"s\".\"leaf\" (\"id\") FROM stdin;\n");
    assert_eq!(rows[1].definition, None);
}

#[test]
fn names_in_other_encodings_are_written_in_ascii() {
    let (mut builder, _directory) = builder(V1_14);
    builder.utf8 = false;
    assert_eq!(builder.identifier("plain\\"), "\"plain\\\"");
    assert_eq!(builder.identifier("é\\\"x"), "U&\"\\+0000E9\\\\\"\"x\"");
    assert_eq!(builder.literal("é'"), "U&'\\+0000E9'''");
    let sequence =
        Sequence { schema: "s".to_owned(), name: "é".to_owned(), last_value: 1, is_called: false };
    builder.sequence(&sequence).unwrap();
    assert_eq!(
        text(&builder.positions[0].definition),
        "SELECT pg_catalog.setval(pg_catalog.format('%I.%I', 's', U&'\\+0000E9')::pg_catalog.regclass, 1, false);\n"
    );
}
