//! Memory of a backup with rows of any size: a bound, whatever the rows are.
//!
//! A program of its own, since what is measured is the largest memory that the process ever had.

#![cfg(target_os = "linux")]

#[expect(dead_code, reason = "the other tests use more of it")]
#[path = "it/support.rs"]
mod support;

use coffer_engine::{BackupOptions, BackupRequest};

use support::Fixture;

/// Workers, and tables that each of them finds at work.
const WORKERS: usize = 4;

/// What all of them may take together, in kilobytes. A server has 256 MiB for all that it does.
const PEAK_KB_MAX: u64 = 240 * 1024;

/// Rows of four tables, each to be read by one worker: what they are, their columns, and a query for them.
const TABLES: [(&str, &str, &str); 5] = [
    (
        "one json of 128 MB that is stored in 1.5 MB",
        "j json",
        "SELECT to_json(repeat('j', 128 * 1024 * 1024))",
    ),
    (
        "a jsonb and an array of 64 MB",
        "j jsonb, a text[]",
        "SELECT to_jsonb(repeat(E'j\\n', 32 * 1024 * 1024)), ARRAY[repeat('\\', 64 * 1024 * 1024)]",
    ),
    (
        "rows as long as a message may be, of bytes that can't be compressed",
        "b bytea",
        "SELECT r.b || substr(r.b, 1, 1048576 - i) FROM generate_series(1, 12) i,
           (SELECT string_agg(sha256(i::text::bytea), '') AS b FROM generate_series(1, 32768) i) r",
    ),
    (
        "rows as long as a message may be, whose every byte is escaped",
        "t text",
        "SELECT repeat('\\', 2 * 1024 * 1024 - i) FROM generate_series(1, 24) i",
    ),
    (
        "rows of 100 KB",
        "t text, j jsonb",
        "SELECT r.t, to_jsonb(r.t) FROM generate_series(1, 200) i,
           (SELECT string_agg(md5(i::text), '') AS t FROM generate_series(1, 1600) i) r",
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_has_a_bound_whatever_the_rows() {
    for (what, columns, rows) in TABLES {
        let fixture = Fixture::start().await;
        for table in 0..WORKERS {
            fixture.sql(&format!("CREATE TABLE t{table} ({columns}); INSERT INTO t{table} {rows}"));
        }
        let request = fixture.request();
        let options = BackupOptions { workers: WORKERS, ..request.options.clone() };
        let before = start_anew();
        let backup = fixture.run(BackupRequest { options, ..request }).await.expect("a backup");
        let peak = peak_kb();
        let text = backup.totals.content.text_bytes / 1024;
        eprintln!("{what}: {text} KB of text, at most {peak} KB of memory, {before} KB before");
        assert!(peak <= PEAK_KB_MAX, "{what}: {peak} KB of memory");
    }
}

/// Makes the memory of now the largest there was, where the system lets a process do so, and returns it.
fn start_anew() -> u64 {
    drop(std::fs::write("/proc/self/clear_refs", "5"));
    peak_kb()
}

fn peak_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("the process's status");
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
    peak.trim().trim_end_matches("kB").trim().parse().expect("a number")
}
