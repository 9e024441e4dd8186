//! Rows of random types and values, read in pieces: byte for byte what COPY writes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use coffer_engine::{BackupOptions, BackupRequest, RestoreOptions, RestoreRequest};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::Fixture;

/// Characters with a meaning to somebody on the way.
const SPECIAL: &[char] = &[
    '\\', '\n', '\t', '\r', '\u{8}', '\u{b}', '\u{c}', '\u{1}', '\u{7f}', '"', '\'', ',', '{', '}',
    '(', ')', ' ', 'N', '.', 'x', '0', 'a', '%', '$',
];

/// A type of columns.
#[derive(Debug, Clone)]
struct Type {
    name: String,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// With SQL for a value of a text.
    OfText(&'static str),
    /// One of some values.
    Of(&'static [&'static str]),
    Bytes,
    Array(Box<Type>),
    Row(Vec<Type>),
    Domain(Box<Type>),
}

/// Makes types and values.
struct Maker {
    random: StdRng,
    letters: Vec<char>,
    /// Statements that make the types.
    sql: String,
    types: u32,
}

impl Maker {
    fn simple(&mut self) -> Type {
        let choices: [(&str, Kind); 17] = [
            ("text", Kind::OfText("#")),
            ("varchar(3000000)", Kind::OfText("#")),
            ("char(20)", Kind::OfText("left(#, 20)")),
            ("json", Kind::OfText("json_build_object(#, 1, 'k', #)")),
            ("json", Kind::Of(&["' [ 1 , {\"a\" : \"\\\\u00e4\\\\n\"} ] '", "'null'", "'1e5'"])),
            (
                "jsonb",
                Kind::OfText(
                    "jsonb_build_object(#, 1, 'k', jsonb_build_array(#, null, true, 1.50, #))",
                ),
            ),
            ("tsvector", Kind::OfText("array_to_tsvector(ARRAY[left(#, 50) || 'x', 'b'])")),
            ("name", Kind::OfText("left(#, 10)")),
            ("bytea", Kind::Bytes),
            ("bit varying", Kind::Of(&["''", "'1'", "repeat('10', 4000)::bit varying"])),
            ("numeric", Kind::Of(&["0", "-1.500", "1e1000", "'NaN'", "1e-30"])),
            ("float8", Kind::Of(&["'-0'", "0.1", "'Infinity'", "1e300"])),
            ("boolean", Kind::Of(&["true", "false"])),
            (
                "timestamptz",
                Kind::Of(&["'infinity'", "'2020-02-29 12:00:01.5+03'", "'0044-03-15 BC'"]),
            ),
            ("int8range", Kind::Of(&["'empty'", "'(,5)'", "'[1,2]'"])),
            ("inet", Kind::Of(&["'10.0.0.1/8'", "'::1'"])),
            ("xml", Kind::Of(&["'<a>&lt;</a>'", "''", "'<?xml version=\"1.0\"?><b/>'"])),
        ];
        let (name, kind) = choices[self.random.random_range(0..choices.len())].clone();
        Type { name: name.to_owned(), kind }
    }

    fn named(&mut self, how: &str) -> String {
        self.types += 1;
        let name = format!("type_{}", self.types);
        let _ = writeln!(self.sql, "{};", how.replace('#', &name));
        name
    }

    fn any(&mut self, depth: u32) -> Type {
        match self.random.random_range(0..8) {
            0 if depth > 0 => {
                let mut of = self.any(depth - 1);
                if matches!(of.kind, Kind::Array(_)) {
                    let name = self.named(&format!("CREATE DOMAIN # AS {}", of.name));
                    of = Type { name, kind: Kind::Domain(Box::new(of)) };
                }
                let name = format!("{}[]", of.name);
                Type { name, kind: Kind::Array(Box::new(of)) }
            }
            1 if depth > 0 => {
                let count = self.random.random_range(1..4);
                let of: Vec<_> = (0..count).map(|_| self.any(depth - 1)).collect();
                let list: Vec<_> =
                    of.iter().enumerate().map(|(n, of)| format!("f{n} {}", of.name)).collect();
                let name = self.named(&format!("CREATE TYPE # AS ({})", list.join(", ")));
                Type { name, kind: Kind::Row(of) }
            }
            2 if depth > 0 => {
                let of = self.any(depth - 1);
                let name = self.named(&format!("CREATE DOMAIN # AS {}", of.name));
                Type { name, kind: Kind::Domain(Box::new(of)) }
            }
            _ => self.simple(),
        }
    }

    /// SQL for a text; now and then a long one.
    fn text(&mut self) -> String {
        let mut literal = String::from("E'");
        for _ in 0..self.random.random_range(0..8) {
            let all = SPECIAL.len() + self.letters.len();
            let at = self.random.random_range(0..all);
            match SPECIAL.get(at).unwrap_or_else(|| &self.letters[at - SPECIAL.len()]) {
                '\\' => literal.push_str(r"\\"),
                '\'' => literal.push_str("''"),
                control if control.is_ascii_control() => {
                    let _ = write!(literal, "\\x{:02x}", u32::from(*control));
                }
                other => literal.push(*other),
            }
        }
        literal.push('\'');
        match self.random.random_range(0..60) {
            // Over the end of a piece.
            0 => format!("repeat({literal} || 'x', 160000)"),
            1..4 => format!("repeat({literal}, 900)"),
            _ => literal,
        }
    }

    /// SQL for a value.
    fn value(&mut self, of: &Type) -> String {
        if self.random.random_ratio(1, 7) {
            return format!("NULL::{}", of.name);
        }
        let value = match &of.kind {
            Kind::OfText(sql) => {
                let parts: Vec<_> = sql.split('#').collect();
                let mut value = parts[0].to_owned();
                for part in &parts[1..] {
                    value = value + &self.text() + part;
                }
                value
            }
            Kind::Of(values) => values[self.random.random_range(0..values.len())].to_owned(),
            Kind::Bytes => format!("convert_to({}, 'UTF8') || '\\x00ff'::bytea", self.text()),
            Kind::Array(of) => {
                let count = self.random.random_range(0..4);
                let values: Vec<_> = (0..count).map(|_| self.value(of)).collect();
                format!("ARRAY[{}]", values.join(", "))
            }
            Kind::Row(fields) => {
                let values: Vec<_> = fields.iter().map(|of| self.value(of)).collect();
                format!("ROW({})", values.join(", "))
            }
            Kind::Domain(of) => self.value(of),
        };
        format!("({value})::{}", of.name)
    }
}

/// Rows of the stored text of all tables, in an order of their own: the large ones are stored last.
async fn stored_rows(
    fixture: &Fixture,
    large_row_bytes: u64,
) -> (String, BTreeMap<String, Vec<Vec<u8>>>) {
    let request = fixture.request();
    let options = BackupOptions { large_row_bytes, ..request.options.clone() };
    let backup = fixture.run(BackupRequest { options, ..request }).await.expect("a backup");
    let manifest = fixture.manifest(&backup.recovery_point_id).await;
    let mut of = BTreeMap::new();
    for (name, table) in fixture.tables(&manifest).await {
        if large_row_bytes == 1 {
            assert!(table.large_rows > 0, "{name}");
        }
        let mut rows: Vec<_> = fixture
            .text_bytes(&table)
            .await
            .split(|byte| *byte == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        rows.sort_unstable();
        of.insert(name, rows);
    }
    (backup.recovery_point_id, of)
}

/// `COFFER_TEST_CASES` says how often, `COFFER_TEST_SEED` repeats one.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_any_type_are_what_copy_writes() {
    let given = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seed: u32 = given("COFFER_TEST_SEED").unwrap_or_else(rand::random);
    let cases: u32 = given("COFFER_TEST_CASES").unwrap_or(4);
    for case in 0..cases {
        let seed = seed.wrapping_add(case);
        let (encoding, letters) = [
            ("UTF8", "ä東😀\u{301}"),
            ("LATIN1", "äß\u{a0}"),
            ("EUC_JP", "東京ｱ"),
            ("SQL_ASCII", "ä東"),
        ][seed as usize % 4];
        eprintln!("COFFER_TEST_SEED={seed} COFFER_TEST_CASES=1 ({encoding})");
        let fixture = Fixture::in_encoding(encoding).await;
        let random = StdRng::seed_from_u64(seed.into());
        let mut maker =
            Maker { random, letters: letters.chars().collect(), sql: String::new(), types: 0 };
        for table in 0..3 {
            let columns = maker.random.random_range(1..9);
            let types: Vec<_> = (0..columns).map(|_| maker.any(2)).collect();
            let list: Vec<_> =
                types.iter().enumerate().map(|(n, of)| format!(", c{n} {}", of.name)).collect();
            let types_sql = std::mem::take(&mut maker.sql);
            fixture.sql(&format!(
                "SET client_encoding = 'UTF8'; {types_sql} CREATE TABLE t{table} (v text{})",
                list.concat()
            ));
            // Every row is above the limit by its first value, whatever kinds of columns the others are.
            for _ in 0..6 {
                let values: Vec<_> =
                    types.iter().map(|of| format!(", {}", maker.value(of))).collect();
                fixture.sql(&format!(
                    "SET client_encoding = 'UTF8'; INSERT INTO t{table} VALUES ('vv'{})",
                    values.concat()
                ));
            }
        }
        let (point, in_pieces) = stored_rows(&fixture, 1).await;
        let (_, whole) = stored_rows(&fixture, u64::MAX).await;
        for (name, rows) in &whole {
            for (row, expected) in in_pieces[name].iter().zip(rows) {
                let lossy = String::from_utf8_lossy;
                assert!(row == expected, "{name}:\n{}\n{}", lossy(row), lossy(expected));
            }
            assert_eq!(in_pieces[name].len(), rows.len(), "{name}");
        }
        let request = fixture.restore_request(&point, "copy");
        let options =
            RestoreOptions { copy_row_bytes_max: 0, large_row_bytes: 1, ..request.options };
        let outcome = fixture.restore(RestoreRequest { options, ..request }).await;
        assert!(outcome.expect("a restore").proof.equal);
    }
}
