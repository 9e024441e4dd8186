use super::*;

fn key(byte: u8) -> SealingKey {
    SealingKey::new(Zeroizing::new([byte; KEY_BYTES]))
}

#[test]
fn sealed_objects_come_back_only_unaltered_under_their_name_type_and_key() {
    let name = Path::from("a/b");
    let sealed = key(1).seal(ObjectType::Lease, &name, b"hello").unwrap();
    assert_eq!(sealed.len(), HEADER_BYTES + 5 + TAG_BYTES);
    assert_eq!(&key(1).open(ObjectType::Lease, &name, sealed.clone()).unwrap()[..], b"hello");

    let open = |key: SealingKey, of, name: &str, sealed: &[u8]| {
        key.open(of, &Path::from(name), sealed.to_vec())
    };
    assert!(matches!(open(key(2), ObjectType::Lease, "a/b", &sealed), Err(Error::WrongKey { .. })));
    assert!(matches!(
        open(key(1), ObjectType::Manifest, "a/b", &sealed),
        Err(Error::Corrupt { .. })
    ));
    assert!(
        matches!(open(key(1), ObjectType::Lease, "a/c", &sealed), Err(Error::Corrupt { .. })),
        "moved"
    );
    for at in 0..sealed.len() {
        for bit in 0..8 {
            let mut altered = sealed.clone();
            altered[at] ^= 1 << bit;
            let error = open(key(1), ObjectType::Lease, "a/b", &altered).unwrap_err();
            let expected = matches!(
                (at, &error),
                (8..24, Error::WrongKey { .. })
                    | (7, Error::UnsupportedFormat { .. } | Error::Corrupt { .. })
                    | (_, Error::Corrupt { .. })
            );
            assert!(expected, "byte {at} bit {bit}: {error}");
        }
    }
    for length in 0..sealed.len() {
        assert!(
            open(key(1), ObjectType::Lease, "a/b", &sealed[..length]).is_err(),
            "cut to {length}"
        );
    }
}

#[test]
fn the_same_content_is_never_sealed_the_same_way_twice() {
    let name = Path::from("a");
    let seal = || key(1).seal(ObjectType::Lease, &name, b"hello").unwrap();
    assert_ne!(seal(), seal());
}

#[test]
fn derived_keys_differ_and_are_fixed_by_the_format() {
    let keys = DataKeys::new(&Zeroizing::new([7; KEY_BYTES]));
    let all = [*keys.sealing.key, *keys.chunk_id.0, *keys.row_hash.0, [7; KEY_BYTES]];
    for (index, key) in all.iter().enumerate() {
        assert!(!all[..index].contains(key));
    }
    // A change of these values is a change of format.
    assert_eq!(keys.sealing.fingerprint().to_hex(), Fingerprint::of(&[7; KEY_BYTES]).to_hex());
    assert_eq!(Fingerprint::of(&[0; KEY_BYTES]).to_hex(), "d05c4125614d06612db533321dc60e26");
    assert_eq!(
        hex::encode(&DataKeys::new(&Zeroizing::new([0; KEY_BYTES])).chunk_id.0[..8]),
        "aa5a8d94eda2b07b"
    );
    assert!(!format!("{keys:?}").contains(&hex::encode([7; 4])), "keys are not printed");
}
