use std::path::{Path, PathBuf};

use super::directory::{of_url, within};
use super::{is_account_name, is_container_name, parse_container_url};

#[test]
fn urls_of_containers() {
    assert_eq!(
        parse_container_url("https://account1.blob.core.windows.net/restores"),
        Some(("account1".to_owned(), "restores".to_owned()))
    );
    assert!(parse_container_url("https://ACCOUNT1.blob.core.windows.net/restores/").is_some());
    for url in [
        "",
        "account1/restores",
        "http://account1.blob.core.windows.net/restores",
        "https://account1.blob.core.windows.net/",
        "https://account1.blob.core.windows.net/a/b",
        "https://account1.blob.core.windows.net/re..st",
        "https://account1.blob.core.windows.net/%2e%2e",
        "https://account1.blob.core.windows.net:8443/restores",
        "https://u:p@account1.blob.core.windows.net/restores",
        "https://a.b.blob.core.windows.net/restores",
        "https://account1.blob.core.windows.net.example.org/restores",
    ] {
        assert_eq!(parse_container_url(url), None, "{url}");
    }
}

#[test]
fn names() {
    assert!(
        is_account_name("abc123")
            && !is_account_name("ab")
            && !is_account_name("Abc")
            && !is_account_name("a-b")
    );
    assert!(is_container_name("a-b") && !is_container_name("-ab") && !is_container_name("a--b"));
    assert!(!is_container_name("..") && !is_container_name("a/b") && !is_container_name("$root"));
}

#[test]
fn urls_of_directories() {
    assert_eq!(of_url("file:///srv/files").unwrap(), Path::new("/srv/files"));
    assert_eq!(of_url("file:///srv/with%20blank").unwrap(), Path::new("/srv/with blank"));
    for url in [
        "",
        "/srv/files",
        "s3://bucket/prefix",
        "https://example.org/x",
        "file://host/srv",
        "file:///srv/../etc",
        "file:///srv/%2e%2E/etc",
        "file:///srv/./x",
        "file:///srv/a%00b",
        "file:///srv?x=1",
    ] {
        assert!(of_url(url).is_err(), "{url}");
    }
}

#[test]
fn only_what_is_allowed_even_through_links() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().canonicalize().unwrap();
    let (files, outside) = (root.join("files"), root.join("outside"));
    std::fs::create_dir(&outside).unwrap();
    let allowed: Vec<PathBuf> = vec![files.clone()];

    // Not there yet: allowed all the same.
    assert_eq!(within(&files, &allowed).unwrap(), files);
    assert_eq!(within(&files.join("a/b"), &allowed).unwrap(), files.join("a/b"));
    assert!(within(&root, &allowed).is_err());
    assert!(within(&root.join("files2"), &allowed).is_err());
    assert!(within(&outside, &allowed).is_err());
    assert!(within(&files, &[]).is_err());

    std::fs::create_dir(&files).unwrap();
    std::os::unix::fs::symlink(&outside, files.join("link")).unwrap();
    std::os::unix::fs::symlink(root.join("nowhere"), files.join("dangling")).unwrap();
    std::fs::write(files.join("plain"), b"").unwrap();
    assert!(within(&files.join("link"), &allowed).is_err());
    assert!(within(&files.join("link/deeper"), &allowed).is_err());
    assert!(within(&files.join("dangling"), &allowed).is_err());
    assert!(within(&files.join("plain/deeper"), &allowed).is_err());

    // What is allowed may itself be reached by a link.
    std::os::unix::fs::symlink(&outside, root.join("alias")).unwrap();
    assert_eq!(within(&root.join("alias/x"), &[root.join("alias")]).unwrap(), outside.join("x"));
}
