//! Facts about the tree that no compiler checks: who may depend on whom, which layer may name what, and that the
//! documents hang together. Matters of taste do not belong here.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("the workspace exists")
}

/// Every file below `dir` with this extension, build output and dot folders left out.
fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).expect("a folder of the repository is readable") {
            let path = entry.expect("a folder entry is readable").path();
            let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
            if path.is_dir() {
                if name != "target" && !name.starts_with('.') && name != "node_modules" {
                    open.push(path);
                }
            } else if path.extension().is_some_and(|e| e == extension) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

#[expect(clippy::panic, reason = "a helper of tests: without the file there is nothing to check")]
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Code without its comments, good enough to look for names in.
fn code_of(path: &Path) -> String {
    read(path)
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Our own crates among the `[dependencies]` of a crate.
fn own_dependencies(crate_dir: &str) -> BTreeSet<String> {
    let manifest = read(&root().join("crates").join(crate_dir).join("Cargo.toml"));
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap_or_default();
    section
        .lines()
        .filter_map(|line| line.strip_prefix("coffer-"))
        .map(|rest| rest.chars().take_while(char::is_ascii_alphabetic).collect())
        .collect()
}

#[test]
fn dependencies_point_one_way() {
    let edges: [(&str, &[&str]); 6] = [
        ("store", &[]),
        ("azure", &[]),
        ("testkit", &[]),
        ("engine", &["store"]),
        ("control", &["azure", "engine", "store"]),
        ("cli", &["azure", "control", "engine", "store"]),
    ];
    let folders: BTreeSet<String> = fs::read_dir(root().join("crates"))
        .expect("crates/ exists")
        .map(|entry| entry.expect("readable").file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(
        folders,
        edges.iter().map(|(name, _)| (*name).to_owned()).collect(),
        "a crate that the table does not know"
    );
    for (name, allowed) in edges {
        for dependency in own_dependencies(name) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{name} may not depend on {dependency}"
            );
        }
    }
}

/// `(folder, words that its code may not contain, why)`.
const FORBIDDEN: &[(&str, &[&str], &str)] = &[
    (
        "crates/store/src",
        &["SystemTime::now", "tokio_postgres", "axum", "sqlx"],
        "the store knows no clock, PostgreSQL, HTTP or SQL",
    ),
    (
        "crates/engine/src",
        &["axum", "sqlx", "coffer_azure"],
        "the engine knows no HTTP, Azure or metadata database",
    ),
    (
        "crates/azure/src",
        &["tokio", "axum", "sqlx", "async fn"],
        "wire types are data without behaviour",
    ),
    ("crates/control/src/http", &["sqlx"], "the HTTP layer never sees SQL"),
    ("crates/control/src/app", &["axum::", "sqlx::query"], "rules know neither HTTP nor SQL"),
    (
        "crates/control/src/app",
        &["db.begin("],
        "what a request changes is in the audit log: App::begin",
    ),
    ("crates/cli/src", &["sqlx"], "the command line never sees SQL"),
];

#[test]
fn layers_are_not_crossed() {
    for (folder, words, why) in FORBIDDEN {
        for file in files(&root().join(folder), "rs") {
            if file.file_name().is_some_and(|name| name == "tests.rs") {
                continue;
            }
            let code = code_of(&file);
            for word in *words {
                assert!(!code.contains(word), "{} names {word}: {why}", file.display());
            }
        }
    }
}

#[test]
fn nothing_is_left_for_later_in_code() {
    let marks = [
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("unimplemented", "!("),
        concat!("todo", "!("),
    ];
    for file in files(&root().join("crates"), "rs") {
        let text = read(&file);
        for mark in marks {
            assert!(!text.contains(mark), "{} says {mark}", file.display());
        }
    }
}

#[test]
fn every_document_has_one_title_and_living_links() {
    for file in files(&root(), "md") {
        let text = read(&file);
        let mut fenced = false;
        let mut titles = 0;
        let mut prose = String::new();
        for line in text.lines() {
            if line.trim_start().starts_with("```") {
                fenced = !fenced;
            } else if !fenced {
                titles += usize::from(line.starts_with("# "));
                prose.push_str(line);
                prose.push('\n');
            }
        }
        assert_eq!(titles, 1, "{} has {titles} titles", file.display());
        for link in prose.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || path.contains("://") || path.starts_with("mailto:") {
                continue;
            }
            let target = file.parent().expect("a file has a folder").join(path);
            assert!(target.exists(), "{} links to {link}, which is not there", file.display());
        }
    }
}

#[test]
fn every_module_head_says_what_the_room_is_for() {
    for file in files(&root().join("crates"), "rs") {
        let tests = file.file_name().is_some_and(|name| name == "tests.rs");
        if tests || !file.components().any(|part| part.as_os_str() == "src") {
            continue;
        }
        assert!(read(&file).starts_with("//! "), "{} has no module head", file.display());
    }
}
