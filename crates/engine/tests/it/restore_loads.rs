//! How rows reach the server: in binary where every column allows it, and unlogged where the server lets them be.

use std::fmt::Write as _;

use coffer_testkit::{PostgresOptions, Shutdown};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::support::{DATABASE, Fixture};

/// Types that are sent in binary, with an expression for a random value out of `random()`.
const RANDOM: &[(&str, &str)] = &[
    ("smallint", "(random() * 65535 - 32768)::int::int2"),
    ("integer", "(random() * 4294967294 - 2147483647)::int8::int4"),
    ("bigint", "((random() - 0.5) * 1.8e19)::numeric::int8"),
    ("real", "((random() - 0.5) * 10.0 ^ (random() * 60 - 30)::int)::float4"),
    ("double precision", "(random() - 0.5) * 10.0 ^ (random() * 600 - 300)::int"),
    ("numeric", "(random() - 0.5)::numeric * 10.0::numeric ^ (random() * 40 - 20)::int"),
    ("numeric(30,7)", "(random() - 0.5)::numeric * 10.0::numeric ^ (random() * 20)::int"),
    ("boolean", "random() < 0.5"),
    ("date", "date '0001-01-01' + (random() * 2000000)::int"),
    ("timestamp", "timestamp '0001-01-01' + random() * interval '9000 years'"),
    ("timestamp(2)", "timestamp '1900-01-01' + random() * interval '200 years'"),
    ("timestamptz", "timestamptz '1999-12-01 UTC' + random() * interval '2 months'"),
    ("uuid", "md5(random()::text)::uuid"),
    ("bytea", "decode(left(md5(random()::text), 2 * (random() * 16)::int), 'hex')"),
    ("text", "repeat(E'a\\\\b\\tc\\nd\\re\\x08\\x0b\\x0cü€🜚', (random() * 3)::int)"),
    ("varchar(9)", "left(md5(random()::text), (random() * 9)::int)"),
    ("char(40)", "left(md5(random()::text), (random() * 32)::int)"),
    ("json", "json_build_array(random(), E'\\\\ \\n', null)"),
    ("jsonb", "jsonb_build_object(md5(random()::text), random())"),
];

/// The bounds of each type, and what the server alone reads: each makes its table go as text.
const SPECIAL: &[(&str, &[&str])] = &[
    ("smallint", &["-32768", "32767", "0"]),
    ("bigint", &["-9223372036854775808", "9223372036854775807"]),
    ("real", &["NaN", "Infinity", "-Infinity", "-0", "1e-45", "3.4028235e38"]),
    (
        "double precision",
        &["NaN", "Infinity", "-Infinity", "-0", "5e-324", "1.7976931348623157e308"],
    ),
    ("numeric", &["0", "0.000", "-0.00012300", "10000", "99999999.9999"]),
    ("numeric", &["NaN", "1"]),
    ("numeric", &["1e-16383", "1e131071"]),
    ("date", &["infinity", "-infinity", "2000-02-29", "0001-12-31"]),
    ("date", &["4713-01-01 BC", "2000-01-01"]),
    ("date", &["5874897-12-31"]),
    ("timestamp", &["infinity", "-infinity", "1999-12-31 23:59:59.999999"]),
    ("timestamp", &["294276-12-31 23:59:59.999999"]),
    ("timestamptz", &["4713-01-01 00:00:00 BC", "2000-01-01 00:00:00"]),
    ("text", &["", "\\N", "\\.", "NULL"]),
];

#[tokio::test(flavor = "multi_thread")]
async fn values_come_back_whatever_form_they_go_in() {
    let seed: u64 = rand::random();
    println!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let fixture = Fixture::start().await;
    let mut sql = format!("SELECT setseed({});", random.random::<f64>());
    for (number, (name, value)) in RANDOM.iter().enumerate() {
        write!(
            sql,
            "CREATE TABLE one_{number} (v {name}); INSERT INTO one_{number} SELECT CASE WHEN random() > 0.1 THEN {value} END FROM generate_series(1, 2000);"
        )
        .unwrap();
    }
    for number in 0..10 {
        let columns: Vec<_> = (0..random.random_range(2..12))
            .map(|column| (column, RANDOM[random.random_range(0..RANDOM.len())]))
            .collect();
        let types: Vec<_> = columns.iter().map(|(c, (name, _))| format!("c{c} {name}")).collect();
        let values: Vec<_> = columns.iter().map(|(_, (_, value))| *value).collect();
        write!(
            sql,
            "CREATE TABLE many_{number} ({}); INSERT INTO many_{number} SELECT {} FROM generate_series(1, 3000);",
            types.join(", "),
            values.join(", ")
        )
        .unwrap();
    }
    for (number, (name, values)) in SPECIAL.iter().enumerate() {
        let values: Vec<_> = values.iter().map(|value| format!("('{value}')")).collect();
        let values = values.join(", ");
        write!(sql, "CREATE TABLE special_{number} (v {name}); INSERT INTO special_{number} VALUES {values}, (NULL);")
            .unwrap();
    }
    fixture.sql(&sql);
    let (backup, manifest) = fixture.backup().await;
    let outcome = fixture
        .restore(fixture.restore_request(&backup.recovery_point_id, "copy"))
        .await
        .expect("a restore");
    assert!(outcome.proof.equal);
    assert_eq!(outcome.proof.tables, (RANDOM.len() + 10 + SPECIAL.len()) as u64);
    assert_eq!(outcome.rows, manifest.totals.content.rows);
    assert_eq!(outcome.bytes, manifest.totals.content.text_bytes, "no byte is counted twice");
    // What the server's own comparison says, which knows nothing of text.
    for (number, (name, _)) in RANDOM.iter().enumerate() {
        let digest = format!(
            "SELECT md5(string_agg(coalesce(v::text, '-'), ',' ORDER BY v::text COLLATE \"C\")) FROM one_{number}"
        );
        let copy = fixture.server.psql("copy", &digest).expect("a digest");
        assert_eq!(copy, fixture.sql(&digest), "{name}");
    }
}

/// Tables none of which is half of the database.
const THREE: &str = "CREATE TABLE a (id int, v text); INSERT INTO a SELECT i, repeat('a', 100) FROM generate_series(1, 40000) i;
    CREATE TABLE b (id int, v xid); INSERT INTO b SELECT i, '7' FROM generate_series(1, 400000) i;
    CREATE TABLE c (id int, v numeric); INSERT INTO c SELECT i, i FROM generate_series(1, 300000) i; INSERT INTO c VALUES (0, 'NaN');
    CREATE TABLE leaves (id int, v text) PARTITION BY RANGE (id);
    CREATE TABLE leaf PARTITION OF leaves FOR VALUES FROM (0) TO (1000000);
    INSERT INTO leaves SELECT i, repeat('l', 100) FROM generate_series(1, 30000) i;";

fn minimal() -> PostgresOptions {
    PostgresOptions::default().setting("wal_level", "minimal").setting("max_wal_senders", "0")
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_server_need_not_log_rows_it_does_not() {
    let source = Fixture::start().await;
    source.sql(THREE);
    let (backup, manifest) = source.backup().await;
    let target = Fixture::start_with(&minimal()).await;
    let mut logged = Vec::new();
    for fixture in [&source, &target] {
        let position = || fixture.sql("SELECT pg_current_wal_insert_lsn() - '0/0'");
        let before: u64 = position().parse().expect("a number");
        let mut request = source.restore_request(&backup.recovery_point_id, "copy");
        request.target = fixture.source().with_database("postgres");
        let outcome = source.restore(request).await.expect("a restore");
        assert!(outcome.proof.equal);
        assert_eq!(outcome.rows, manifest.totals.content.rows);
        assert_eq!(outcome.bytes, manifest.totals.content.text_bytes, "no byte is counted twice");
        logged.push(position().parse::<u64>().expect("a number") - before);
    }
    assert!(logged[1] < logged[0] / 2, "bytes of log: {logged:?}");
    let frozen = "SELECT string_agg(relname, ',' ORDER BY relname) FROM pg_class WHERE relname IN ('a', 'b', 'c', 'leaf') AND relallvisible = relpages";
    assert_eq!(target.server.psql("copy", frozen).expect("tables"), "a,b,c");
    // On disk without a word in the log: what a crash leaves is the whole.
    let mut server = target.server;
    server.stop(Shutdown::Immediate).expect("an end");
    server.launch().expect("a server");
    let rows = "SELECT (SELECT count(*) FROM a), (SELECT count(*) FROM b), (SELECT count(*) FROM c), (SELECT count(*) FROM leaves)";
    assert_eq!(server.psql("copy", rows).expect("rows"), "40000|400000|300001|30000");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_truncate_loads_all_the_same() {
    let fixture = Fixture::start_with(&minimal()).await;
    fixture.sql("CREATE ROLE modest LOGIN CREATEDB PASSWORD 'secret'; GRANT CREATE ON SCHEMA public TO modest");
    let all = "a, b, c";
    fixture.sql(&format!("SET ROLE modest; {THREE} REVOKE TRUNCATE ON {all} FROM modest"));
    let (backup, manifest) = fixture.backup().await;
    let mut request = fixture.restore_request(&backup.recovery_point_id, "copy");
    request.target = fixture.source_as("modest", "secret").with_database("postgres");
    let outcome = fixture.restore(request).await.expect("a restore");
    assert!(outcome.proof.equal);
    assert_eq!(outcome.rows, manifest.totals.content.rows);
    let may = "SELECT bool_or(has_table_privilege('modest', oid, 'TRUNCATE')) FROM pg_class WHERE relname IN ('a', 'b', 'c')";
    for database in [DATABASE, "copy"] {
        assert_eq!(fixture.server.psql(database, may).expect("privileges"), "f", "{database}");
    }
}
