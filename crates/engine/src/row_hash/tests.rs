use super::*;

const KEY: [u8; 32] = [7; 32];
const KINDS: [RowHash; 2] = [RowHash::Bare, RowHash::Filled];

fn hash(kind: RowHash, pieces: &[&[u8]]) -> Result<Content, UnfinishedRow> {
    let mut hasher = RowHasher::new(&KEY, kind);
    for piece in pieces {
        hasher.update(piece);
    }
    hasher.finish()
}

/// By the library's documented function, from the words of the format.
fn by_the_book(kind: RowHash, row: &[u8]) -> u128 {
    let mut text = row.to_vec();
    if kind == RowHash::Filled {
        text.push(b'\n');
        text.resize(text.len().next_multiple_of(64), 0);
    }
    truncate(&blake3::keyed_hash(&KEY, &text))
}

fn row(length: usize) -> Vec<u8> {
    (0..length).map(|at| b'a' + u8::try_from((at * 7 + length) % 26).unwrap()).collect()
}

#[test]
fn every_length_is_hashed_as_the_format_says() {
    for kind in KINDS {
        let lengths = (0..1300).chain([4095, 4096, 70_000]);
        let mut text = Vec::new();
        let mut expected = Vec::new();
        for length in lengths {
            // Several of a length, and one after them, so that lanes are full and not.
            for _ in 0..=length % 40 {
                text.extend_from_slice(&row(length));
                text.push(b'\n');
                expected.push((by_the_book(kind, &row(length)), length as u64 + 1));
            }
        }
        for piece_bytes in [text.len(), 128 * 1024, 1000, 61] {
            let mut hasher = RowHasher::new(&KEY, kind);
            let mut found = Vec::new();
            for piece in text.chunks(piece_bytes) {
                let ends = hasher.update(piece);
                assert!(ends.windows(2).all(|pair| pair[0].end < pair[1].end));
                assert!(ends.iter().all(|row| piece[row.end - 1] == b'\n'));
                found.extend(ends.iter().map(|row| (row.hash, row.bytes)));
            }
            assert!(found == expected, "{kind:?} in pieces of {piece_bytes}");
            let sum = expected.iter().fold(0_u128, |sum, (hash, _)| sum.wrapping_add(*hash));
            let content = hasher.finish().unwrap();
            let rows = expected.len() as u64;
            assert_eq!(content, Content { rows, hash: sum, text_bytes: text.len() as u64 });
        }
    }
}

#[test]
fn pieces_may_be_cut_anywhere() {
    for kind in KINDS {
        let text = b"a\t1\nbb\t2\n\nccc\t\\N\n";
        let whole = hash(kind, &[text]).unwrap();
        for cut in 0..=text.len() {
            assert_eq!(hash(kind, &[&text[..cut], &text[cut..]]).unwrap(), whole, "cut at {cut}");
        }
        let singles: Vec<&[u8]> = text.chunks(1).collect();
        assert_eq!(hash(kind, &singles).unwrap(), whole);
        assert_eq!((whole.rows, whole.text_bytes), (4, text.len() as u64));
    }
}

#[test]
fn order_does_not_matter_but_duplicates_count() {
    for kind in KINDS {
        assert_eq!(hash(kind, &[b"a\nb\n"]), hash(kind, &[b"b\na\n"]));
        assert_ne!(hash(kind, &[b"a\na\n"]), hash(kind, &[b"b\nb\n"]));
        assert_ne!(hash(kind, &[b"a\n"]), hash(kind, &[b"a\na\na\n"]));
        assert_ne!(hash(kind, &[b"a\0\n"]), hash(kind, &[b"a\n"]));
    }
}

#[test]
fn a_missing_newline_is_an_error() {
    for kind in KINDS {
        assert_eq!(hash(kind, &[b"a\nb"]), Err(UnfinishedRow));
        assert_eq!(hash(kind, &[&row(3000)]), Err(UnfinishedRow));
        assert_eq!(hash(kind, &[]), Ok(Content::default()));
    }
}

#[test]
fn the_key_changes_the_hash() {
    let mut other = RowHasher::new(&[8; 32], RowHash::Filled);
    other.update(b"a\n");
    assert_ne!(other.finish(), hash(RowHash::Filled, &[b"a\n"]));
}
