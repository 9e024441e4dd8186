//! Exit codes and messages of what cannot work.

use crate::command::{run, text};

#[test]
fn what_is_not_understood_ends_with_2() -> anyhow::Result<()> {
    for arguments in [["serve"], ["frobnicate"], ["rescue"]] {
        let (code, out, err) = run(arguments)?;
        assert_eq!((code, out.as_str()), (2, ""), "{arguments:?}: {err}");
        assert!(err.contains("Usage"), "{err}");
    }
    let (code, _, err) =
        run(["serve", "--data-dir", "/nonexistent", "--config", "/nonexistent/coffer.toml"])?;
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("/nonexistent/coffer.toml"), "{err}");
    Ok(())
}

#[test]
fn help_and_version_are_results() -> anyhow::Result<()> {
    let (code, out, _) = run(["--help"])?;
    assert_eq!(code, 0);
    assert!(out.contains("rescue") && !out.contains("crash-points"), "{out}");
    assert_eq!(run(["--version"])?.1.trim(), concat!("coffer ", env!("CARGO_PKG_VERSION")));
    Ok(())
}

#[test]
fn what_cannot_be_done_ends_with_1_and_says_why() -> anyhow::Result<()> {
    let empty = tempfile::tempdir()?;
    let key = text(&empty.path().join("absent.key"))?;
    let storage = format!("file://{}", text(empty.path())?);
    for (storage, said) in [
        ("ftp://host/vaults", "ftp://host/vaults"),
        ("file:///nonexistent/storage", "/nonexistent/storage"),
        (&storage, "absent.key"),
    ] {
        let (code, out, err) = run(["rescue", "list", "--storage", storage, "--key-file", &key])?;
        assert_eq!((code, out.as_str()), (1, ""), "{err}");
        assert!(err.starts_with("error: ") && err.contains(said), "{err}");
    }
    let (code, _, err) = run(["subscription", "list", "--data-dir", &text(empty.path())?])?;
    assert_eq!(code, 1, "{err}");
    Ok(())
}

#[test]
fn a_password_in_a_refused_target_is_not_repeated() -> anyhow::Result<()> {
    for target in ["postgrs://u:hunter2@localhost/d", "postgres://u:hunter2@localhost:notaport/d"] {
        let (code, _, err) = run([
            "rescue",
            "restore",
            "--storage",
            "file:///tmp",
            "--key-file",
            "k",
            "--recovery-point",
            "r",
            "--target",
            target,
        ])?;
        assert_eq!(code, 2, "{err}");
        assert!(!err.contains("hunter2"), "{err}");
    }
    Ok(())
}
