//! What writers do.

use rand::RngExt as _;
use rand::rngs::StdRng;

/// Tables `r0`, `r1` and so on.
pub(super) const TABLES: u32 = 4;
/// Rows of each at first.
pub(super) const ROWS: u32 = 9000;
/// In each round most of what is done is done to so many rows, lest nothing stay as it is.
const HOT_ROWS: u32 = ROWS / 8;

/// Who does something, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) writer: u64,
    /// Acts of this writer before.
    pub(super) number: u64,
    /// Backups before.
    pub(super) round: u32,
}

/// Statements one by one: VACUUM and COMMIT PREPARED stand in no transaction.
pub(super) type Act = Vec<String>;

/// Makes the tables.
pub(super) fn schema() -> String {
    let table = |table| {
        format!(
            "DROP TABLE IF EXISTS r{table}; CREATE TABLE r{table} (id int, v int, pad text DEFAULT repeat('p', 120), extra int);
             INSERT INTO r{table} SELECT i, 0 FROM generate_series(1, {ROWS}) i; CREATE INDEX ON r{table} (id);"
        )
    };
    (0..TABLES).map(table).collect()
}

/// A table, and a condition for a few rows of it that lie near each other.
fn place(random: &mut StdRng, round: u32) -> (String, u32, String) {
    // One table is left alone most of the time.
    let table = if random.random_ratio(1, 150) { 0 } else { random.random_range(1..TABLES) };
    let hot = round.wrapping_mul(2 * HOT_ROWS + 77) % ROWS;
    let row = match random.random_ratio(1, 8) {
        true => random.random_range(0..ROWS),
        false => hot + random.random_range(0..HOT_ROWS),
    };
    let near = format!("id BETWEEN {row} AND {}", row + random.random_range(1..20));
    (format!("r{table}"), row, near)
}

pub(super) fn act(random: &mut StdRng, moment: Moment) -> Act {
    let (t, row, near) = place(random, moment.round);
    let name = format!("p{}_{}", moment.writer, moment.number);
    let seldom = moment.number.is_multiple_of(5);
    // Nothing is rewritten then either: of a new file nothing is taken over, whatever was lost.
    let calm = super::is_calm(moment.round);
    if calm && random.random_ratio(1, 4) {
        let (table, row) = (random.random_range(0..TABLES), random.random_range(0..ROWS));
        return vec![format!("UPDATE r{table} SET v = v + 10 WHERE id = {row}")];
    }
    let text = match random.random_range(0..44) {
        0..=8 => format!("UPDATE {t} SET v = v + 1, extra = {row} WHERE {near}"),
        9..=12 => format!("DELETE FROM {t} WHERE {near}"),
        13..=18 => {
            format!("INSERT INTO {t} SELECT i, 0 FROM generate_series({row}, {row} + 20) i")
        }
        19..=22 => format!(
            "BEGIN; UPDATE {t} SET v = v + 1 WHERE {near}; SAVEPOINT s; DELETE FROM {t} WHERE {near}; ROLLBACK TO s; \
             INSERT INTO {t} VALUES ({row}, 7); COMMIT"
        ),
        23..=24 => {
            format!("BEGIN; SAVEPOINT s; UPDATE {t} SET v = 9 WHERE {near}; RELEASE s; COMMIT")
        }
        25..=26 => format!("BEGIN; UPDATE {t} SET v = 1 WHERE {near}; ROLLBACK"),
        27..=28 => format!("BEGIN; SELECT FROM {t} WHERE {near} FOR UPDATE; COMMIT"),
        29 => format!(
            "BEGIN; SELECT FROM {t} WHERE {near} FOR KEY SHARE; SELECT pg_sleep(0.1); UPDATE {t} SET v = v + 4 WHERE {near}; COMMIT"
        ),
        30..=31 => format!(
            "BEGIN; UPDATE {t} SET v = v + 2 WHERE {near}; PREPARE TRANSACTION '{name}'; SELECT pg_sleep(0.2); COMMIT PREPARED '{name}'"
        ),
        32..=34 if !calm => {
            format!("BEGIN; UPDATE {t} SET v = v + 3 WHERE {near}; SELECT pg_sleep(0.7); COMMIT")
        }
        35 if seldom && !calm => format!(
            "BEGIN; DELETE FROM {t} WHERE {near}; SELECT pg_sleep(2.5); INSERT INTO {t} VALUES ({row}, 8); COMMIT"
        ),
        36 if seldom => format!("VACUUM {t}; CHECKPOINT"),
        37 => format!("VACUUM (FREEZE) {t}"),
        // The end of the file goes.
        38 => format!(
            "DELETE FROM {t} WHERE ctid >= (SELECT format('(%s,0)', pg_relation_size('{t}') / 8192 * 7 / 8)::tid); VACUUM {t}"
        ),
        39 => format!("DELETE FROM {t} WHERE id > {}; VACUUM {t}", ROWS - ROWS / 8),
        40 if seldom && !calm => format!("VACUUM FULL {t}"),
        41 if seldom && !calm => format!(
            "TRUNCATE {t}; INSERT INTO {t} SELECT i, 0 FROM generate_series(1, {}) i",
            ROWS / 2
        ),
        // Rows that every snapshot sees, in a new file.
        42 if seldom && !calm => format!(
            "BEGIN; TRUNCATE {t}; COPY {t} (id, v) FROM PROGRAM 'seq -f %.0f,0 1 {}' (FORMAT csv, FREEZE); COMMIT",
            ROWS / 2
        ),
        // Another column of the same name and type.
        43 if seldom && !calm => format!("ALTER TABLE {t} DROP COLUMN extra, ADD COLUMN extra int"),
        35..=36 => "CHECKPOINT".to_owned(),
        _ => format!("UPDATE {t} SET v = v + 6 WHERE {near}"),
    };
    text.split("; ").map(str::to_owned).collect()
}

/// Leaves a transaction prepared, with a part that was rolled back.
pub(super) fn leave_prepared(random: &mut StdRng, moment: Moment, name: &str) -> Act {
    let (t, row, near) = place(random, moment.round);
    [
        "BEGIN".to_owned(),
        format!("UPDATE {t} SET v = v + 5 WHERE {near}"),
        "SAVEPOINT s".to_owned(),
        format!("DELETE FROM {t} WHERE {near}"),
        "ROLLBACK TO s".to_owned(),
        format!("INSERT INTO {t} VALUES ({row}, 6)"),
        format!("PREPARE TRANSACTION '{name}'"),
    ]
    .into()
}
