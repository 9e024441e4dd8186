"""The data that is backed up: three tables that are unlike each other, their indexes, and what changes in them.

`accounts` is pgbench's: many short rows. `events` is wide, with text and jsonb. `lineitem` is TPC-H's in columns and sizes. Of the
bytes of their heaps each has its share; all values come from the row's number, so that every run has the same.
"""

# Rows of each table in a gigabyte of heap, shared as 55, 22 and 23 hundredths.
ROWS_PER_GB = {"accounts": 4_400_000, "events": 262_000, "lineitem": 1_760_000}

WORDS = "ARRAY['alpha','bravo','charlie','delta','echo','foxtrot','golf','hotel','india','juliett','kilo','lima','mike']"

TABLES = {
    "accounts": """
CREATE TABLE accounts (aid int NOT NULL, bid int, abalance int, filler character(84));
INSERT INTO accounts SELECT i, (i - 1) / 100000 + 1, 0, '' FROM generate_series(1, {rows}) AS i;
ALTER TABLE accounts ADD PRIMARY KEY (aid);
""",
    "events": f"""
CREATE TABLE events (id bigint NOT NULL, happened timestamptz NOT NULL, kind text NOT NULL, message text NOT NULL, detail jsonb NOT NULL);
INSERT INTO events
SELECT i, timestamptz '2026-01-01' + i * interval '7 seconds', ({WORDS})[1 + i % 13],
    (SELECT string_agg(({WORDS})[1 + (hashint8(i * 31 + n) & 1023) % 13] || ' ' || (hashint8(i + n * 7) & 65535), ' ')
       FROM generate_series(1, 30) AS n),
    jsonb_build_object('request', md5(i::text), 'status', 200 + i % 5, 'path', '/api/' || md5((i % 1000)::text),
        'timing', jsonb_build_object('db', i % 97, 'net', i % 31), 'tags', jsonb_build_array(({WORDS})[1 + i % 7], i % 100))
FROM generate_series(1::bigint, {{rows}}) AS i;
ALTER TABLE events ADD PRIMARY KEY (id);
CREATE INDEX events_happened ON events (happened);
CREATE INDEX events_kind ON events (kind);
""",
    "lineitem": """
CREATE TABLE lineitem (l_orderkey bigint NOT NULL, l_partkey int NOT NULL, l_suppkey int NOT NULL, l_linenumber int NOT NULL,
    l_quantity numeric NOT NULL, l_extendedprice numeric NOT NULL, l_discount numeric NOT NULL, l_tax numeric NOT NULL,
    l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL, l_shipdate date NOT NULL, l_commitdate date NOT NULL,
    l_receiptdate date NOT NULL, l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL);
INSERT INTO lineitem
SELECT i / 4, (hashint4(i) & 2147483647) % 200000, (hashint4(i + 1) & 2147483647) % 10000, i % 4 + 1,
    1 + i % 50, ((hashint4(i + 2) & 2147483647) % 10000000) / 100.0, (i % 11) / 100.0, (i % 9) / 100.0,
    substr('RAN', 1 + i % 3, 1), substr('OF', 1 + i % 2, 1), date '1992-01-01' + i % 2500, date '1992-01-30' + i % 2500,
    date '1992-02-10' + i % 2500, (ARRAY['DELIVER IN PERSON','COLLECT COD','NONE','TAKE BACK RETURN'])[1 + i % 4],
    (ARRAY['AIR','RAIL','SHIP','TRUCK','MAIL','FOB','REG AIR'])[1 + i % 7], left(md5(i::text), 12 + i % 21)
FROM generate_series(1, {rows}) AS i;
ALTER TABLE lineitem ADD PRIMARY KEY (l_orderkey, l_linenumber);
CREATE INDEX lineitem_shipdate ON lineitem (l_shipdate);
CREATE INDEX lineitem_partkey ON lineitem (l_partkey);
CREATE INDEX lineitem_suppkey ON lineitem (l_suppkey);
""",
}

# One in a hundred rows of each table, in one region, or anywhere. `round` makes the rows differ from those of the last change.
CHANGES = {
    "one region": """
UPDATE accounts SET abalance = abalance + 1 + {round} WHERE aid BETWEEN (SELECT max(aid) / 3 FROM accounts) AND (SELECT max(aid) / 3 + max(aid) / 100 FROM accounts);
UPDATE events SET message = 'changed {round} ' || message WHERE id BETWEEN (SELECT max(id) / 3 FROM events) AND (SELECT max(id) / 3 + max(id) / 100 FROM events);
UPDATE lineitem SET l_quantity = l_quantity + 1 + {round} WHERE l_orderkey BETWEEN (SELECT max(l_orderkey) / 3 FROM lineitem) AND (SELECT max(l_orderkey) / 3 + max(l_orderkey) / 100 FROM lineitem);
""",
    "at random": """
UPDATE accounts SET abalance = abalance + 1 + {round} WHERE (hashint4(aid + {round}) & 2147483647) % 100 = 0;
UPDATE events SET message = 'changed {round} ' || message WHERE (hashint8(id + {round}) & 2147483647) % 100 = 0;
UPDATE lineitem SET l_quantity = l_quantity + 1 + {round} WHERE (hashint8(l_orderkey * 7 + l_linenumber + {round}) & 2147483647) % 100 = 0;
""",
}

SMALL_TABLE = "CREATE TABLE t{n} (id int PRIMARY KEY, name text NOT NULL); INSERT INTO t{n} SELECT i, md5(i::text) FROM generate_series(1, 100) AS i;"


def load(server, database, gigabytes):
    """Makes the database, with settled pages: what a first reader writes (hint bits) is written already."""
    server.psql("postgres", f'CREATE DATABASE "{database}" TEMPLATE template0')
    for name, script in TABLES.items():
        server.psql(database, script.format(rows=int(ROWS_PER_GB[name] * gigabytes)))
    settle(server, database)


def load_small_tables(server, database, count):
    """Many tables of a hundred rows each."""
    server.psql("postgres", f'CREATE DATABASE "{database}" TEMPLATE template0')
    for first in range(0, count, 500):
        statements = "".join(SMALL_TABLE.format(n=n) for n in range(first, min(first + 500, count)))
        server.psql(database, f"BEGIN; {statements} COMMIT;")
    settle(server, database)


def change(server, database, kind, round_number):
    server.psql(database, CHANGES[kind].format(round=round_number))


def tidy(server, database):
    """Tables without free space, as they were loaded: what is left of one round would scatter the changes of the next."""
    server.psql(database, "VACUUM FULL;")
    settle(server, database)


def settle(server, database):
    server.psql(database, "VACUUM (FREEZE, ANALYZE); CHECKPOINT;")
