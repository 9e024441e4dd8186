use super::*;

/// `toc.dat` of the same small database by `pg_dump` of 15, 16 and 17.
const FIXTURES: [(Version, &[u8]); 3] = [
    (Version::V1_14, include_bytes!("fixtures/toc-1.14.dat")),
    (Version::V1_15, include_bytes!("fixtures/toc-1.15.dat")),
    (Version::V1_16, include_bytes!("fixtures/toc-1.16.dat")),
];

#[test]
fn every_supported_version_has_a_fixture() {
    assert_eq!(FIXTURES.map(|(version, _)| version), SUPPORTED_VERSIONS);
}

#[test]
fn what_is_read_is_written_back_byte_for_byte() {
    for (version, bytes) in FIXTURES {
        let toc = Toc::read(bytes).unwrap();
        assert_eq!(toc.header.version, version);
        assert_eq!(toc.encoding().as_deref(), Some("UTF8"));
        let table = toc.entries.iter().find(|entry| entry.is("TABLE")).unwrap();
        assert_eq!(table.tag.as_deref(), Some(b"t".as_slice()));
        assert_eq!(table.namespace.as_deref(), Some(b"s".as_slice()));
        assert!(table.oid().unwrap() > 16_383);
        assert!(toc.max_dump_id() >= table.dump_id);
        assert!(toc.write() == bytes, "{version:?} changed");
    }
}

#[test]
fn an_archive_that_ends_early_is_an_error_at_every_length() {
    for (_, bytes) in FIXTURES {
        for length in 0..bytes.len() {
            assert!(Toc::read(&bytes[..length]).is_err(), "{length} bytes");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(matches!(Toc::read(&longer), Err(TocError::Invalid { .. })));
    }
}

#[test]
fn a_damaged_byte_is_read_or_refused_but_never_panics() {
    for (_, bytes) in FIXTURES {
        for position in 0..bytes.len() {
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut damaged = bytes.to_vec();
                damaged[position] = value;
                if let Ok(toc) = Toc::read(&damaged) {
                    let _ = toc.write();
                    let _ = (toc.max_dump_id(), toc.encoding());
                }
            }
        }
    }
}

#[test]
fn a_huge_count_or_length_reserves_nothing() {
    let (_, bytes) = FIXTURES[0];
    let toc = Toc::read(bytes).unwrap();
    let head = Toc { header: toc.header.clone(), entries: Vec::new() }.write();
    // The count of entries is the last integer of an archive without entries.
    let mut huge = head.clone();
    let at = huge.len() - 4;
    huge[at..].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
    assert!(matches!(Toc::read(&huge), Err(TocError::Truncated { .. })));
}

#[test]
fn other_versions_and_other_files_are_named() {
    let mut newer = FIXTURES[2].1.to_vec();
    newer[6] = 17;
    assert_eq!(Toc::read(&newer), Err(TocError::UnsupportedVersion { major: 1, minor: 17 }));
    assert_eq!(Toc::read(b"SELECT 1;"), Err(TocError::NotAnArchive));
    assert_eq!(Toc::read(b""), Err(TocError::NotAnArchive));
}
