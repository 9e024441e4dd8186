//! Where the heap is the same to the last byte and the text is not: the shape of a table is a part of the comparison.

use crate::backup_unread::{after, full_read, reading, take, unread};
use crate::support::Fixture;

#[tokio::test]
async fn the_shape_of_a_table_is_a_part_of_the_comparison() {
    let f = Fixture::start().await;
    f.sql(
        "CREATE TYPE mood AS ENUM ('sad', 'glad'); CREATE TYPE pair AS (a int, b text); CREATE DOMAIN small AS int;
         CREATE EXTENSION hstore VERSION '1.4';
         CREATE TABLE named AS SELECT i FROM generate_series(1, 10) i;
         CREATE TABLE t AS SELECT i, CASE WHEN i % 2 = 0 THEN 'sad' ELSE 'glad' END::mood AS mood, ARRAY['sad'::mood] AS moods,
             ROW(i, 'b')::pair AS pair, i::small AS small, hstore('k', i::text) AS store, 'named'::regclass AS name, repeat('x', 50) AS pad,
             'abc'::varchar(10) AS short
           FROM generate_series(1, 3000) i;
         CREATE TABLE u AS SELECT i, mood, pair, store, short, pad FROM t",
    );
    let mut previous = take(&f, None, unread()).await;
    for (change, table, reason) in [
        ("ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'", "public.u", "shape"),
        ("ALTER TABLE u ADD COLUMN added int DEFAULT 7", "public.u", "shape"),
        ("ALTER TABLE u DROP COLUMN added", "public.u", "shape"),
        ("ALTER EXTENSION hstore UPDATE", "public.u", "shape"),
        ("ALTER TABLE u ALTER COLUMN short TYPE varchar(20)", "public.u", "shape"),
        ("ALTER TYPE pair ADD ATTRIBUTE c int", "public.u", "shape"),
        // Text that is looked up when it is written is never taken over.
        ("ALTER TABLE named RENAME TO renamed", "public.t", "names_looked_up"),
    ] {
        f.sql(change);
        let (taken, is_true) = after(&f, &previous, unread()).await;
        assert!(is_true, "{change}");
        assert_eq!(reading(&f, &taken, table).await.reason.as_deref(), Some(reason), "{change}");
        assert_eq!(full_read(&taken), None, "{change}");
        previous = taken;
    }
    // And the one that nothing was done to is taken over all the while.
    assert!(reading(&f, &previous, "public.u").await.taken_over > 0);
}

/// Names, types and their order are as they were, and the values are those of another column.
#[tokio::test]
async fn a_column_in_the_place_of_another_has_values_of_its_own() {
    let f = Fixture::start().await;
    for (make, change) in [
        (
            "CREATE TABLE t AS SELECT i, repeat('old', 30) AS x FROM generate_series(1, 5000) i",
            "ALTER TABLE t DROP COLUMN x; ALTER TABLE t ADD COLUMN x text",
        ),
        (
            "CREATE TABLE t AS SELECT i, repeat('x', 90) AS x, repeat('y', 90) AS y FROM generate_series(1, 5000) i",
            "ALTER TABLE t DROP COLUMN x; ALTER TABLE t RENAME y TO x; ALTER TABLE t ADD COLUMN y text",
        ),
        (
            "CREATE TABLE t AS SELECT i FROM generate_series(1, 5000) i; ALTER TABLE t ADD COLUMN x int DEFAULT 7; UPDATE t SET x = 8",
            "ALTER TABLE t DROP COLUMN x; ALTER TABLE t ADD COLUMN x int DEFAULT 7",
        ),
        (
            "CREATE TYPE pair AS (a int, b text); CREATE TABLE t AS SELECT ROW(i, 'old')::pair AS x FROM generate_series(1, 5000) i",
            "ALTER TYPE pair DROP ATTRIBUTE b; ALTER TYPE pair ADD ATTRIBUTE b text",
        ),
        // In arrays and domains of it as well.
        (
            "CREATE DOMAIN d AS pair; CREATE TABLE t AS SELECT ROW(i, 'old')::pair::d AS x, ARRAY[ROW(i, 'old')::pair] AS y \
             FROM generate_series(1, 5000) i",
            "ALTER TYPE pair DROP ATTRIBUTE b; ALTER TYPE pair ADD ATTRIBUTE b text",
        ),
        (
            "CREATE TABLE of (a int, b text); CREATE TABLE t AS SELECT ROW(i, 'old')::of AS x FROM generate_series(1, 5000) i",
            "ALTER TABLE of DROP COLUMN b; ALTER TABLE of ADD COLUMN b text",
        ),
    ] {
        f.sql(&format!("DROP TABLE IF EXISTS t; {make}"));
        let first = take(&f, None, unread()).await;
        f.sql(change);
        let (taken, is_true) = after(&f, &first, unread()).await;
        assert!(is_true, "{change}: the values that were there before were taken over");
        assert_eq!(
            reading(&f, &taken, "public.t").await.reason.as_deref(),
            Some("shape"),
            "{change}"
        );
    }
}
