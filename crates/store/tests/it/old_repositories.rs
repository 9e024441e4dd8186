//! Repositories written by every released version of the format are still read.
//!
//! A fixture is a storage location (`storage/`), its `master.key`, and below `expected/` for every recovery point a file
//! with the concatenation of its chunks. Fixtures are never changed; a new version of the format adds one.

use std::{collections::BTreeMap, fs, path::PathBuf};

use coffer_store::{MasterKey, VerifyDepth, open_location};

use crate::support::{
    assert_restores, back_up, chunks, lease, memory_of, objects, point, references, repository,
};

/// Every version that was released.
const VERSIONS: [&str; 1] = ["v1"];

fn fixtures() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures")
}

#[test]
fn every_fixture_is_tested() {
    let mut found: Vec<String> = fs::read_dir(fixtures())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    found.sort();
    assert_eq!(found, VERSIONS);
}

#[tokio::test]
async fn every_released_version_is_read_and_written_on() {
    for version in VERSIONS {
        let fixture = fixtures().join(version);
        let location =
            open_location(&format!("file://{}", fixture.join("storage").display())).unwrap();
        let master = MasterKey::read_file(&fixture.join("master.key")).unwrap();
        let expected: BTreeMap<String, Vec<u8>> = fs::read_dir(fixture.join("expected"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| {
                (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap())
            })
            .collect();

        // A copy, since a fixture is never changed.
        let store = memory_of(&objects(&location).await).await;
        let found = repository(&store, &master).await.unwrap();
        let manifests = found.manifests().await.unwrap();
        assert!(manifests.unreadable.is_empty() && manifests.lease_damage.is_none(), "{version}");
        let points: Vec<&String> =
            manifests.valid.iter().map(|info| &info.recovery_point_id).collect();
        assert_eq!(points, expected.keys().collect::<Vec<_>>(), "{version}");
        for (point, expected) in &expected {
            let verifier = found.verifier(VerifyDepth::Full);
            let mut content = Vec::new();
            for reference in references(&found, point).await.unwrap() {
                assert!(verifier.check(&reference).await.unwrap(), "{version}");
                content.extend_from_slice(&found.read_chunk(&reference).await.unwrap());
            }
            assert_eq!(content, *expected, "{version}: {point}");
        }

        let held = lease(&found, "later", u64::MAX).await.unwrap();
        let base = references(&found, points[0]).await.unwrap();
        let more = chunks(5, 77);
        back_up(&found, &held, &point(0xfff), &more, &base).await.unwrap();
        assert_restores(&found, &point(0xfff), &more).await;
        assert_eq!(found.manifests().await.unwrap().valid.len(), expected.len() + 1, "{version}");
    }
}
