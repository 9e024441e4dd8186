use super::*;

fn columns(types: &[&str]) -> Vec<Column> {
    let column = |name: &&str| Column { name: "c".to_owned(), type_name: (*name).to_owned() };
    types.iter().map(column).collect()
}

/// The binary of a text that comes in pieces of so many bytes.
fn in_pieces(types: &[&str], text: &[u8], bytes: usize, enough: usize) -> Result<Vec<u8>, Unusual> {
    let mut converter = Converter::new(&columns(types)).expect("known types");
    let mut all = Vec::new();
    for mut piece in text.chunks(bytes) {
        while !piece.is_empty() {
            all.extend_from_slice(&converter.message(&mut piece, enough)?);
        }
    }
    all.extend_from_slice(&converter.finish()?);
    Ok(all)
}

fn binary(types: &[&str], text: &str) -> Result<Vec<u8>, Unusual> {
    in_pieces(types, text.as_bytes(), usize::MAX, 1 << 16)
}

/// The bytes of one value.
fn value(type_name: &str, text: &str) -> Result<Vec<u8>, Unusual> {
    let all = binary(&[type_name], &format!("{text}\n"))?;
    let row = all.strip_prefix(HEADER).and_then(|rest| rest.strip_suffix(&TRAILER)).unwrap();
    let (head, value) = row.split_at(6);
    assert_eq!(head[..2], [0, 1], "one column");
    assert_eq!(usize::try_from(i32::from_be_bytes(head[2..].try_into().unwrap())), Ok(value.len()));
    Ok(value.to_vec())
}

#[test]
fn names_of_types() {
    for (name, kind) in [
        ("integer", Kind::Int4),
        ("numeric(10,2)", Kind::Numeric),
        ("character varying(44)", Kind::Text { version: None }),
        ("jsonb", Kind::Text { version: Some(1) }),
        ("timestamp with time zone", Kind::Timestamp { zone: true }),
        ("timestamp(3) with time zone", Kind::Timestamp { zone: true }),
        ("timestamp(0) without time zone", Kind::Timestamp { zone: false }),
    ] {
        assert_eq!(Kind::of(name), Some(kind), "{name}");
    }
    for name in [
        "integer[]",
        "s.integer",
        "\"char\"",
        "time without time zone",
        "text(",
        "numeric(3)[]",
        "interval",
        "",
        "bit(3)",
    ] {
        assert_eq!(Kind::of(name), None, "{name}");
    }
    assert!(Converter::new(&columns(&["integer", "xml"])).is_none());
    assert!(Converter::new(&[]).is_none());
}

#[test]
fn one_row() {
    let row = binary(&["integer", "text", "boolean"], "-2\t\\N\tt\n").unwrap();
    let wanted = b"\0\x03\0\0\0\x04\xff\xff\xff\xfe\xff\xff\xff\xff\0\0\0\x01\x01";
    assert_eq!(row, [HEADER, wanted, &TRAILER].concat());
    assert_eq!(binary(&["integer"], "").unwrap(), [HEADER, &TRAILER[..]].concat());
}

#[test]
fn however_it_is_cut() {
    let types = ["bigint", "text", "numeric", "bytea", "date"];
    let row = "12345\ta\\tb\\\\c\t-1234567.891\t\\\\x00ff10\t2026-11-29\n-1\t\t0\t\\N\t\\N\n";
    let text = row.repeat(5);
    let whole = binary(&types, &text).unwrap();
    for bytes in 1..text.len() {
        for enough in [1, 40, 1000] {
            assert_eq!(in_pieces(&types, text.as_bytes(), bytes, enough).unwrap(), whole);
        }
    }
}

#[test]
fn whole_numbers_and_their_bounds() {
    for (text, bytes) in [("32767", [0x7f, 0xff]), ("-32768", [0x80, 0]), ("-0", [0, 0])] {
        assert_eq!(value("smallint", text).unwrap(), bytes);
    }
    assert_eq!(value("bigint", "-9223372036854775808").unwrap(), i64::MIN.to_be_bytes());
    assert_eq!(value("bigint", "9223372036854775807").unwrap(), i64::MAX.to_be_bytes());
    for (name, text) in [
        ("smallint", "32768"),
        ("integer", "2147483648"),
        ("bigint", "9223372036854775808"),
        ("bigint", "99999999999999999999"),
        ("integer", ""),
        ("integer", "-"),
        ("integer", "+1"),
        ("integer", "1 "),
        ("integer", "0x1"),
    ] {
        assert_eq!(value(name, text), Err(Unusual), "{name} {text}");
    }
}

#[test]
fn floating_point_numbers_to_the_bit() {
    for number in [0.1, -0.0, 5e-324, f64::MAX, f64::INFINITY, f64::NEG_INFINITY] {
        let text = match number {
            f64::INFINITY => "Infinity".to_owned(),
            f64::NEG_INFINITY => "-Infinity".to_owned(),
            _ => format!("{number:e}"),
        };
        assert_eq!(value("double precision", &text).unwrap(), number.to_be_bytes(), "{text}");
    }
    assert_eq!(value("double precision", "NaN").unwrap(), f64::NAN.to_be_bytes());
    assert_eq!(value("real", "1.17549435e-38").unwrap(), f32::MIN_POSITIVE.to_be_bytes());
    assert_eq!(value("real", "one"), Err(Unusual));
}

#[test]
fn numerics() {
    let wanted = |words: &[u16]| words.iter().flat_map(|w| w.to_be_bytes()).collect::<Vec<_>>();
    for (text, words) in [
        ("0", &[1, 0, 0, 0, 0][..]),
        ("0.00", &[2, 0, 0, 2, 0, 0]),
        ("1", &[1, 0, 0, 0, 1]),
        ("-12345.678901", &[4, 1, 0x4000, 6, 1, 2345, 6789, 100]),
        ("12345678", &[2, 1, 0, 0, 1234, 5678]),
        ("0.5", &[2, 0, 0, 1, 0, 5000]),
    ] {
        assert_eq!(value("numeric", text).unwrap(), wanted(words), "{text}");
    }
    for text in ["NaN", "Infinity", "1e5", "", "-", ".5", "1.", "1.2.3", "--1", &"9".repeat(10_001)]
    {
        assert_eq!(value("numeric", text), Err(Unusual), "{text}");
    }
}

#[test]
fn dates_and_times() {
    for (text, days) in [
        ("2000-01-01", 0),
        ("1999-12-31", -1),
        ("2000-02-29", 59),
        ("2100-03-01", 36_584),
        ("0001-01-01", -730_119),
        ("10000-01-01", 2_921_940),
        ("infinity", i32::MAX),
        ("-infinity", i32::MIN),
    ] {
        assert_eq!(value("date", text).unwrap(), days.to_be_bytes(), "{text}");
    }
    for text in [
        "2100-02-29",
        "2026-13-01",
        "2026-00-01",
        "2026-01-32",
        "2026-1-01",
        "4713-01-01 BC",
        "",
        "-01-01",
    ] {
        assert_eq!(value("date", text), Err(Unusual), "{text}");
    }
    let time = "timestamp without time zone";
    for (text, microseconds) in [
        ("2000-01-01 00:00:00", 0_i64),
        ("1999-12-31 23:59:59.999999", -1),
        ("2000-01-02 01:02:03.5", 90_123_500_000),
        ("infinity", i64::MAX),
        ("-infinity", i64::MIN),
    ] {
        assert_eq!(value(time, text).unwrap(), microseconds.to_be_bytes(), "{text}");
    }
    let zoned = value("timestamp with time zone", "2000-01-01 00:00:01+00").unwrap();
    assert_eq!(zoned, 1_000_000_i64.to_be_bytes());
    assert_eq!(value("timestamp with time zone", "2000-01-01 00:00:01"), Err(Unusual));
    assert_eq!(value("timestamp with time zone", "2000-01-01 00:00:01+02"), Err(Unusual));
    for text in [
        "2000-01-01",
        "2000-01-01 24:00:00",
        "2000-01-01 0:00:00",
        "2000-01-01 00:00:00.1234567",
        "2000-01-01 00:00:00 BC",
    ] {
        assert_eq!(value(time, text), Err(Unusual), "{text}");
    }
}

#[test]
fn bytes_and_texts() {
    assert_eq!(value("bytea", "\\\\x00ff").unwrap(), [0, 255]);
    assert!(value("bytea", "\\\\x").unwrap().is_empty());
    for text in ["\\x00", "00", "\\\\x0", "\\\\x0g"] {
        assert_eq!(value("bytea", text), Err(Unusual), "{text}");
    }
    assert_eq!(
        value("text", "a\\b\\t\\n\\v\\f\\r\\\\é").unwrap(),
        "a\u{8}\t\n\u{b}\u{c}\r\\é".as_bytes()
    );
    assert_eq!(value("jsonb", "{}").unwrap(), b"\x01{}");
    for text in ["\\", "\\101", "\\x41"] {
        assert_eq!(value("text", text), Err(Unusual), "{text}");
    }
    let id = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    assert_eq!(value("uuid", id).unwrap(), hex::decode(id.replace('-', "")).unwrap());
    assert_eq!(value("uuid", &id.replace('-', "x")), Err(Unusual));
    assert_eq!(value("boolean", "true"), Err(Unusual));
}

#[test]
fn rows_that_are_none() {
    for text in ["1\n", "1\t2\t3\n", "1\t2"] {
        assert_eq!(binary(&["integer", "integer"], text), Err(Unusual), "{text:?}");
    }
}
