use object_store::path::Path;
use proptest::prelude::*;
use zeroize::Zeroizing;

use super::*;
use crate::{
    chunk::PackId,
    crypto::{DataKeys, ObjectType},
};

fn keys() -> DataKeys {
    DataKeys::new(&Zeroizing::new([3; 32]))
}

/// A chunk as it stands in a pack of its own, its reference, and the pack's key.
fn store(plain: &[u8], kind: ChunkKind, number: u32) -> (ChunkRef, Vec<u8>, LessSafeKey) {
    let keys = keys();
    let (_, key) = keys.sealing.begin(ObjectType::Pack).unwrap();
    let id = chunk_id(&keys.chunk_id, plain);
    let mut buffer = Vec::new();
    Encoder::new(1).unwrap().encode(plain, &mut buffer).unwrap();
    seal(&key, &id, kind, number, &mut buffer, 0).unwrap();
    let chunk = ChunkRef {
        id,
        kind,
        pack: PackId::new(1, [0; 8]),
        number,
        offset: 0,
        stored_bytes: u32::try_from(buffer.len()).unwrap(),
        plain_bytes: u32::try_from(plain.len()).unwrap(),
    };
    (chunk, buffer, key)
}

fn load(chunk: &ChunkRef, stored: &[u8], key: &LessSafeKey) -> Result<Bytes> {
    open(key, &keys().chunk_id, chunk, Bytes::copy_from_slice(stored))
}

/// Bytes that compress, that don't, and mixtures.
fn content() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..3000),
        (any::<u8>(), 0..5000_usize).prop_map(|(byte, length)| vec![byte; length]),
        proptest::collection::vec("[0-9]{1,6}\t[a-z]{0,8}\n", 0..200)
            .prop_map(|rows| rows.concat().into_bytes()),
    ]
}

proptest! {
    #[test]
    fn a_chunk_comes_back(plain in content(), kind in 0..ChunkKind::ALL.len(), number in any::<u32>()) {
        let (chunk, stored, key) = store(&plain, ChunkKind::ALL[kind], number);
        prop_assert!(stored.len() <= plain.len() + OVERHEAD_BYTES, "never larger than the plain bytes");
        prop_assert_eq!(load(&chunk, &stored, &key).unwrap(), plain);
    }

    #[test]
    fn an_altered_chunk_is_damage(plain in content(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
        let (chunk, mut stored, key) = store(&plain, ChunkKind::TableRows, 0);
        let at = at.index(stored.len());
        stored[at] ^= 1 << bit;
        let damaged = matches!(load(&chunk, &stored, &key), Err(Error::Corrupt { .. }));
        prop_assert!(damaged);
    }

    #[test]
    fn a_cut_chunk_is_damage(plain in content(), at in any::<prop::sample::Index>()) {
        let (chunk, stored, key) = store(&plain, ChunkKind::TableRows, 0);
        let damaged = matches!(load(&chunk, &stored[..at.index(stored.len())], &key), Err(Error::Corrupt { .. }));
        prop_assert!(damaged);
    }

    #[test]
    fn foreign_bytes_never_panic(encoded in proptest::collection::vec(any::<u8>(), 0..200), plain_bytes in 0..1000_usize) {
        let _ = decode(Bytes::from(encoded), plain_bytes, String::new);
    }
}

#[test]
fn a_reference_must_fit_in_every_field() {
    let (good, stored, key) = store(b"some rows of some table", ChunkKind::TableRows, 4);
    assert!(load(&good, &stored, &key).is_ok());
    let wrong = [
        ChunkRef { id: ChunkId([0; 32]), ..good },
        ChunkRef { kind: ChunkKind::Roles, ..good },
        ChunkRef { number: 5, ..good },
        ChunkRef { plain_bytes: good.plain_bytes - 1, ..good },
        ChunkRef { plain_bytes: good.plain_bytes + 1, ..good },
        ChunkRef { plain_bytes: u32::MAX, ..good },
    ];
    for chunk in wrong {
        assert!(matches!(load(&chunk, &stored, &key), Err(Error::Corrupt { .. })), "{chunk:?}");
    }
    let (_, other) = keys().sealing.begin(ObjectType::Pack).unwrap();
    assert!(load(&good, &stored, &other).is_err(), "another pack's key");
}

#[test]
fn a_frame_that_unpacks_to_more_than_promised_is_stopped() {
    let bomb = zstd::bulk::compress(&vec![0; 10 * 1024 * 1024], 1).unwrap();
    let encoded = [&[ENCODING_ZSTD][..], &bomb].concat();
    let error = decode(Bytes::from(encoded), 100, || "a bomb".to_owned()).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }));
}

/// A compressor that writes a wrong frame must fail the backup while the rows are still there to be read again.
#[test]
fn a_frame_that_gives_other_bytes_is_found_before_it_is_stored() {
    let plain = b"row of a table\n".repeat(100);
    let mut encoder = Encoder::new(3).unwrap();
    let mut encoded = Vec::new();
    encoder.encode(&plain, &mut encoded).unwrap();
    assert_eq!(encoded[0], ENCODING_ZSTD);
    let length = encoded.len();
    let mut found = 0;
    for at in 1..length {
        for bit in 0..8 {
            let mut faulty = Encoder::new(3).unwrap();
            faulty.fault = Some((at - 1, bit));
            let mut buffer = Vec::new();
            match faulty.encode(&plain, &mut buffer) {
                Err(error) => {
                    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
                    found += 1;
                }
                // A bit without a meaning, or a frame that grew: what is stored gives the right bytes.
                Ok(()) => {
                    let decoded = decode(buffer.into(), plain.len(), || "a frame".to_owned());
                    assert_eq!(decoded.unwrap(), plain, "byte {at}, bit {bit}");
                }
            }
        }
    }
    assert!(found > length, "{found}");
}

#[test]
fn ids_are_keyed() {
    let other = DataKeys::new(&Zeroizing::new([4; 32]));
    assert_ne!(chunk_id(&keys().chunk_id, b"x"), chunk_id(&other.chunk_id, b"x"));
    assert_ne!(chunk_id(&keys().chunk_id, b"x").as_bytes(), blake3::hash(b"x").as_bytes());
    assert_eq!(
        keys().sealing.seal(ObjectType::Lease, &Path::from("a"), b"").unwrap().len(),
        56 + 16
    );
}
