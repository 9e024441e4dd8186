use super::*;

fn sample() -> ChunkRef {
    ChunkRef {
        id: ChunkId([0xab; 32]),
        kind: ChunkKind::RangeList,
        pack: PackId::new(7, [0xcd; 8]),
        number: 3,
        offset: 56,
        stored_bytes: 99,
        plain_bytes: 1000,
    }
}

#[test]
fn a_reference_is_a_short_array_in_json_and_comes_back() {
    let text = serde_json::to_string(&sample()).unwrap();
    assert_eq!(
        text,
        format!("[\"{}\",7,\"0000000000000007{}\",3,56,99,1000]", "ab".repeat(32), "cd".repeat(8))
    );
    assert_eq!(serde_json::from_str::<ChunkRef>(&text).unwrap(), sample());
}

#[test]
fn names_have_one_spelling() {
    assert_eq!(PackId::parse(&sample().pack.to_string()), Some(sample().pack));
    for wrong in ["", "00", "zz000000000000000000000000000000", "AB000000000000000000000000000000"]
    {
        assert_eq!(PackId::parse(wrong), None, "{wrong}");
    }
    assert!(serde_json::from_str::<ChunkId>(&format!("\"{}\"", "AB".repeat(32))).is_err());
    assert!(serde_json::from_str::<ChunkId>("\"ab\"").is_err());
}

#[test]
fn a_pack_tells_its_generation() {
    assert_eq!(PackId::new(u64::MAX, [1; 8]).generation(), u64::MAX);
    assert!(PackId::new(1, [255; 8]) < PackId::new(2, [0; 8]), "names sort by generation");
}

#[test]
fn kinds_are_what_the_format_says() {
    let codes: Vec<u8> = ChunkKind::ALL.into_iter().map(ChunkKind::code).collect();
    assert_eq!(codes, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    assert_eq!(ChunkKind::from_code(0), None);
    assert_eq!(ChunkKind::from_code(14), None);
    assert!(serde_json::from_str::<ChunkKind>("200").is_err());
}
