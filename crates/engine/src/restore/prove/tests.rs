use super::*;
use crate::restore::sample;

fn content(rows: u64, hash: u128) -> Content {
    Content { rows, hash, text_bytes: 0 }
}

fn checked(name: &str, root: Option<&str>, expected: Content, found: Content) -> Checked {
    let named = |name: &str| ("s".to_owned(), name.to_owned());
    Checked { name: named(name), root: root.map(named), expected, found, ..Checked::default() }
}

#[test]
fn a_difference_names_its_table() {
    let mut proof = Proof::default();
    let equal = checked("a", None, content(2, 7), content(2, 7));
    let other = checked("b", None, content(2, 7), content(2, 8));
    compare_tables(&mut proof, vec![equal, other], &Loaded::default());
    assert_eq!((proof.tables, proof.rows), (2, 4));
    let objects: Vec<_> =
        proof.differences.iter().map(|difference| difference.object.as_str()).collect();
    assert_eq!(objects, ["table s.b"]);
}

#[test]
fn leaves_loaded_from_the_top_are_compared_together() {
    let leaves = || {
        vec![
            checked("l1", Some("r"), content(2, 7), content(3, 9)),
            checked("l2", Some("r"), content(2, 4), content(1, 2)),
        ]
    };
    let mut apart = Proof::default();
    compare_tables(&mut apart, leaves(), &Loaded::default());
    assert_eq!(apart.differences.len(), 2);
    let loaded = Loaded::default();
    loaded.through_root.lock().unwrap().insert(("s".to_owned(), "r".to_owned()));
    let mut together = Proof::default();
    compare_tables(&mut together, leaves(), &loaded);
    assert_eq!((together.differences.len(), together.rows), (0, 4));
}

#[test]
fn what_may_not_be_read_is_not_proved() {
    let mut proof = Proof::default();
    let forbidden = Checked { forbidden: true, ..checked("a", None, content(1, 1), content(0, 0)) };
    compare_tables(&mut proof, vec![forbidden], &Loaded::default());
    assert_eq!((proof.tables, proof.differences.len(), proof.not_proved.len()), (0, 0, 1));
}

#[test]
fn statements_read_what_the_backup_read() {
    let mut table = Table {
        extension_condition: Some("WHERE b <> ''".to_owned()),
        extension: Some("x".to_owned()),
        ..sample::table("s", "t", "b")
    };
    let statement = |table: &Table, blocks| {
        copy_out_statement("\"s\".\"t\"", &table.columns, &read_condition(table, blocks), "UTF8")
    };
    let with = " TO STDOUT WITH (FORMAT text, ENCODING 'UTF8')";
    let whole = format!("COPY (SELECT \"b\" FROM ONLY \"s\".\"t\" WHERE b <> ''){with}");
    assert_eq!(statement(&table, None), whole);
    table.extension_condition = None;
    let piece = format!(
        "COPY (SELECT \"b\" FROM ONLY \"s\".\"t\" WHERE ctid >= '(0,0)' AND ctid < '(8,0)'){with}"
    );
    assert_eq!(statement(&table, Some((0, Some(8)))), piece);
    let last = format!("COPY (SELECT \"b\" FROM ONLY \"s\".\"t\" WHERE ctid >= '(8,0)'){with}");
    assert_eq!(statement(&table, Some((8, None))), last);
}
