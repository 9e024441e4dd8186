-- The sample database: a small shop that uses as much of PostgreSQL as a backup has to bring back.
--
--   psql -v ON_ERROR_STOP=1 -v scale=100 -f samples/sample.sql DATABASE
--
-- Run it on an empty database. `scale` 100 (the default) gives a few hundred megabytes, 1 gives a few. Nothing depends on
-- the clock or on chance: equal scales give equal rows. Nothing but PostgreSQL's own extensions is needed, and of those
-- only trusted ones (package postgresql-contrib of old Debians; Debian 12's `postgresql-15` brings them).

\if :{?scale}
\else
  \set scale 100
\endif
\set ON_ERROR_STOP 1

SET client_min_messages = warning;
SET timezone = 'UTC';
SET datestyle = 'ISO, YMD';
SET intervalstyle = 'postgres';
-- Row order within a statement decides which row lands in which block: keep it.
SET max_parallel_workers_per_gather = 0;

BEGIN;

CREATE EXTENSION hstore;
CREATE EXTENSION citext;
CREATE EXTENSION pg_trgm;
CREATE EXTENSION btree_gin;
CREATE EXTENSION btree_gist;
CREATE EXTENSION ltree;

CREATE SCHEMA shop;
CREATE SCHEMA "Odd ""Names""";
COMMENT ON SCHEMA shop IS 'Everything that is sold; it''s the main schema';

-- Types --------------------------------------------------------------------------------------------------------------

CREATE TYPE shop.order_state AS ENUM ('new', 'paid', 'packed', 'shipped', 'returned');
-- Its place in the order differs from its place in time; usable only after a commit.
ALTER TYPE shop.order_state ADD VALUE 'on hold' AFTER 'paid';
CREATE TYPE shop.address AS (street text, city text, postcode text);
CREATE DOMAIN shop.email AS citext CHECK (VALUE ~ '^[^@\s]+@[^@\s]+$');
CREATE DOMAIN shop.price AS numeric(12, 2) NOT NULL DEFAULT 0 CHECK (VALUE >= 0);
CREATE TYPE shop.temperature_range AS RANGE (subtype = float8, subtype_diff = float8mi);

COMMIT;
BEGIN;

-- Functions ----------------------------------------------------------------------------------------------------------

-- Text that looks like chance and is the same every time.
CREATE FUNCTION shop.noise(seed bigint, pieces int) RETURNS text
  LANGUAGE sql IMMUTABLE PARALLEL SAFE STRICT
  AS $$ SELECT string_agg(md5((seed * 1000003 + i)::text), ' ' ORDER BY i) FROM generate_series(1, pieces) AS i $$;

CREATE FUNCTION shop.touch() RETURNS trigger
  LANGUAGE plpgsql
  AS $$ BEGIN NEW.changed := NEW.changed + 1; RETURN NEW; END $$;

CREATE PROCEDURE shop.restock(product bigint, amount int)
  LANGUAGE plpgsql
  AS $$ BEGIN UPDATE shop.product SET stock = stock + amount WHERE id = restock.product; END $$;

CREATE AGGREGATE shop.product_of (float8) (SFUNC = float8mul, STYPE = float8, INITCOND = '1');

-- Sequences ----------------------------------------------------------------------------------------------------------

CREATE SEQUENCE shop.invoice_number START 100000 INCREMENT 7 CACHE 5;
CREATE SEQUENCE shop.countdown AS smallint START 32000 INCREMENT -1 MINVALUE 1 MAXVALUE 32000 CYCLE;
CREATE SEQUENCE shop.never_used;

-- Customers: identity, generated, domain, composite, array, exclusion ---------------------------------------------------

CREATE TABLE shop.customer (
  id         bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email      shop.email UNIQUE,
  name       text COLLATE "C" NOT NULL,
  home       shop.address,
  tags       text[] NOT NULL DEFAULT '{}',
  attributes hstore,
  path       ltree,
  born       date,
  seen       timestamptz,
  address    inet,
  newsletter boolean NOT NULL DEFAULT true,
  shouting   text GENERATED ALWAYS AS (upper(name)) STORED,
  changed    int NOT NULL DEFAULT 0
);
INSERT INTO shop.customer (email, name, home, tags, attributes, path, born, seen, address, newsletter)
SELECT format('Customer.%s@Example.org', i)::shop.email,
       CASE i % 7 WHEN 0 THEN E'tab\there' WHEN 1 THEN E'line\nbreak' WHEN 2 THEN 'back\slash' WHEN 3 THEN 'Ünïcødé 東京'
                  WHEN 4 THEN '' WHEN 5 THEN '\N' ELSE 'plain ' || i END,
       CASE WHEN i % 5 > 0 THEN ROW('Street ' || i % 100, CASE WHEN i % 3 = 0 THEN NULL ELSE 'City, "Old"' END, lpad((i % 100000)::text, 5, '0'))::shop.address END,
       CASE i % 4 WHEN 0 THEN '{}' WHEN 1 THEN ARRAY['gold', NULL, 'a "quoted" one'] WHEN 2 THEN ARRAY['{', '}', ','] ELSE ARRAY['NULL'] END,
       hstore(ARRAY['k' || i % 10, 'level'], ARRAY[NULL, (i % 3)::text]),
       ('top.group' || i % 20 || '.n' || i)::ltree,
       CASE WHEN i % 11 > 0 THEN date '1950-01-01' + (i % 20000)::int END,
       timestamptz '2024-01-01 00:00:00+00' + i * interval '1 minute 0.000001 seconds',
       ('10.' || i % 256 || '.' || (i / 256) % 256 || '.1')::inet,
       i % 2 = 0
FROM generate_series(1, 300 * :scale) AS i;
CREATE TRIGGER touch BEFORE UPDATE ON shop.customer FOR EACH ROW EXECUTE FUNCTION shop.touch();
COMMENT ON COLUMN shop.customer.home IS 'Where the parcel goes';

-- An index of every kind that PostgreSQL ships
CREATE INDEX customer_name_btree ON shop.customer USING btree (lower(name) COLLATE "C" DESC NULLS LAST, born) INCLUDE (email) WHERE newsletter;
CREATE INDEX customer_email_hash ON shop.customer USING hash (email);
CREATE INDEX customer_tags_gin ON shop.customer USING gin (tags);
CREATE INDEX customer_name_trgm_gin ON shop.customer USING gin (name gin_trgm_ops);
CREATE INDEX customer_path_gist ON shop.customer USING gist (path);
CREATE INDEX customer_address_spgist ON shop.customer USING spgist (address);
CREATE INDEX customer_seen_brin ON shop.customer USING brin (seen) WITH (pages_per_range = 32);

-- Products: jsonb, full text, check, self reference -----------------------------------------------------------------------

CREATE TABLE shop.product (
  id      bigserial PRIMARY KEY,
  sku     char(12) NOT NULL UNIQUE,
  title   varchar(200) NOT NULL,
  detail  jsonb NOT NULL,
  raw     json,
  words   tsvector GENERATED ALWAYS AS (to_tsvector('english', title)) STORED,
  price   shop.price,
  stock   int NOT NULL DEFAULT 0 CHECK (stock >= 0),
  parent  bigint REFERENCES shop.product (id) DEFERRABLE,
  keeps   shop.temperature_range,
  picture bytea
);
ALTER TABLE shop.product ALTER COLUMN picture SET STORAGE EXTERNAL;
INSERT INTO shop.product (sku, title, detail, raw, price, stock, parent, keeps, picture)
SELECT 'SKU' || lpad(i::text, 9, '0'),
       'Red running shoes number ' || i,
       jsonb_build_object('size', i % 40, 'colours', jsonb_build_array('red', NULL, i % 7), 'note', shop.noise(i, 2)),
       format('{"b" : 1,  "a":%s, "a":null}', i)::json,
       (i % 10000) / 100.0,
       i % 50,
       CASE WHEN i % 10 = 0 THEN i - 9 END,
       shop.temperature_range(-(i % 30)::float8, (i % 30 + 0.1)::float8, '[)'),
       CASE WHEN i % 4 = 0 THEN decode(replace(shop.noise(-i, 40 + (i % 60)::int), ' ', ''), 'hex') END
FROM generate_series(1, 200 * :scale) AS i;
CREATE INDEX product_words_gin ON shop.product USING gin (words);
CREATE INDEX product_detail_gin ON shop.product USING gin (detail jsonb_path_ops);
CREATE INDEX product_keeps_gist ON shop.product USING gist (keeps);
CREATE INDEX product_title_spgist ON shop.product USING spgist (title);
CREATE STATISTICS shop.product_price_stock (dependencies, ndistinct) ON price, stock FROM shop.product;

-- Orders: partitioned by range, below that by list and by hash -----------------------------------------------------------

CREATE TABLE shop.sales_order (
  id       bigint GENERATED BY DEFAULT AS IDENTITY,
  placed   timestamptz NOT NULL,
  customer bigint NOT NULL REFERENCES shop.customer (id),
  state    shop.order_state NOT NULL DEFAULT 'new',
  total    numeric(14, 4) NOT NULL,
  rate     real,
  weight   double precision,
  took     interval,
  note     text,
  PRIMARY KEY (id, placed)
) PARTITION BY RANGE (placed);
CREATE TABLE shop.sales_order_2023 PARTITION OF shop.sales_order FOR VALUES FROM ('2023-01-01 00:00:00+00') TO ('2024-01-01 00:00:00+00');
CREATE TABLE shop.sales_order_2024 PARTITION OF shop.sales_order FOR VALUES FROM ('2024-01-01 00:00:00+00') TO ('2025-01-01 00:00:00+00')
  PARTITION BY HASH (id);
CREATE TABLE shop.sales_order_2024_even PARTITION OF shop.sales_order_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE shop.sales_order_2024_odd PARTITION OF shop.sales_order_2024 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE shop.sales_order_later PARTITION OF shop.sales_order DEFAULT;
INSERT INTO shop.sales_order (placed, customer, state, total, rate, weight, took, note)
SELECT timestamptz '2023-01-01 00:00:00+00' + (i::bigint * 7919 % (1000 * 1440)) * interval '1 minute',
       1 + i * 31 % (300 * :scale),
       (enum_range(NULL::shop.order_state))[1 + i % 6],
       CASE i % 5000 WHEN 4999 THEN 'NaN'::numeric ELSE i * 1.2345 % 100000 END,
       CASE i % 1000 WHEN 0 THEN 'Infinity'::real WHEN 1 THEN 'NaN'::real WHEN 2 THEN '-0'::real ELSE i / 3.0::real END,
       CASE i % 1000 WHEN 3 THEN '-Infinity'::float8 WHEN 4 THEN 1e-300 ELSE sqrt(i::float8) END,
       CASE WHEN i % 3 > 0 THEN make_interval(days => (i % 30)::int, secs => i % 86400 + 0.25) END,
       CASE WHEN i % 2 = 0 THEN shop.noise(i, 3) END
FROM generate_series(1, 4000 * :scale) AS i;
CREATE INDEX sales_order_customer ON shop.sales_order (customer);
CREATE INDEX sales_order_placed_brin ON shop.sales_order USING brin (placed);

CREATE TABLE shop.order_line (
  order_id bigint NOT NULL,
  placed   timestamptz NOT NULL,
  line     smallint NOT NULL,
  product  bigint NOT NULL REFERENCES shop.product (id) ON DELETE RESTRICT,
  amount   int NOT NULL,
  price    money,
  PRIMARY KEY (order_id, placed, line),
  FOREIGN KEY (order_id, placed) REFERENCES shop.sales_order (id, placed) ON DELETE CASCADE
);
INSERT INTO shop.order_line
SELECT o.id, o.placed, l, 1 + (o.id * 17 + l) % (200 * :scale), 1 + (o.id + l) % 9, ((o.id * l) % 100000 / 100.0)::numeric::money
FROM shop.sales_order AS o CROSS JOIN generate_series(1, 2) AS l
WHERE o.id % 2 = 0
ORDER BY o.id, l;

-- Events: the largest table, with rows that TOAST takes out of line ------------------------------------------------------

CREATE TABLE shop.event (
  id      bigint PRIMARY KEY,
  kind    text NOT NULL,
  payload text NOT NULL
) WITH (fillfactor = 90, autovacuum_enabled = true);
INSERT INTO shop.event
SELECT i, 'kind ' || i % 13, shop.noise(i * 7, CASE WHEN i % 500 = 0 THEN 250 ELSE 4 END)
FROM generate_series(1, 6000 * :scale) AS i;
-- Holes and moved rows, as every table in use has them.
DELETE FROM shop.event WHERE id % 97 = 0;
UPDATE shop.event SET kind = kind || ' (changed)' WHERE id % 101 = 0;

-- A row of every kind of value --------------------------------------------------------------------------------------------

CREATE TABLE shop.kinds (
  id int PRIMARY KEY,
  c_bool bool, c_int2 int2, c_int4 int4, c_int8 int8, c_numeric numeric, c_real real, c_double float8, c_money money,
  c_char "char", c_bpchar char(5), c_varchar varchar(10), c_text text, c_name name, c_citext citext,
  c_bytea bytea, c_bit bit(7), c_varbit varbit, c_uuid uuid,
  c_date date, c_time time, c_timetz timetz, c_timestamp timestamp, c_timestamptz timestamptz(3), c_interval interval,
  c_inet inet, c_cidr cidr, c_macaddr macaddr, c_macaddr8 macaddr8,
  c_point point, c_line line, c_lseg lseg, c_box box, c_path path, c_polygon polygon, c_circle circle,
  c_json json, c_jsonb jsonb, c_jsonpath jsonpath, c_xml xml, c_tsvector tsvector, c_tsquery tsquery,
  c_int4range int4range, c_numrange numrange, c_tstzrange tstzrange, c_int4multirange int4multirange,
  c_int_array int[], c_matrix int[][], c_composites shop.address[], c_enum shop.order_state, c_enums shop.order_state[],
  c_oid oid, c_regtype regtype, c_lsn pg_lsn, c_hstore hstore, c_ltree ltree
);
INSERT INTO shop.kinds (id) VALUES (1);
INSERT INTO shop.kinds VALUES (
  2, true, -32768, -2147483648, -9223372036854775808, -1234567890123456789012345678901234567890.000000000000000000000001,
  'NaN', '-Infinity', '-92233720368547758.08',
  'x', 'ab', 'väry', E'\\.\n\t\r\b\f\v\\N', 'a_name', 'MiXeD',
  '\x00ff5c6e5c2e', B'1010101', B'1', '00112233-4455-6677-8899-aabbccddeeff',
  '4713-01-01 BC', '24:00:00', '23:59:59.999999-15:59', '294276-12-31 23:59:59.999999', '-infinity', '-178000000 years -3 mons 4 days -05:06:07.891',
  '2001:db8::1/64', '10.0.0.0/8', '08:00:2b:01:02:03', '08:00:2b:01:02:03:04:05',
  '(1,-2)', '{1,2,3}', '[(0,0),(1,1)]', '(1,1),(0,0)', '[(0,0),(1,1),(2,0)]', '((0,0),(1,1),(2,0))', '<(1,2),3>',
  '{"a" :  [1, null]}', '{"a": [1, null], "é": "\u0041"}', '$.a[*] ? (@ > 1)', '<a b="c">d</a>', '''quo ted'':1A fat:2,5', '''fat'':AB & !cat <-> rat:*',
  '[1,10)', '(,5.5]', '["2024-01-01 00:00:00+00",infinity)', '{[1,3),[7,9)}',
  '[0:2]={1,NULL,3}', '{{1,2},{3,4}}', ARRAY[ROW('a "b"', NULL, '')::shop.address, NULL], 'on hold', '{new,"on hold"}',
  4294967295, 'shop.address', 'FFFFFFFF/FFFFFFFF', '"k"=>NULL, "a b"=>"c\"d"', 'top.a.b'
);
INSERT INTO shop.kinds (id, c_bool, c_numeric, c_date, c_timestamptz, c_text, c_bytea, c_int_array, c_int4range, c_hstore)
VALUES (3, false, 'Infinity', 'infinity', 'infinity', '', '', '{}', 'empty', '');

-- Oddities ------------------------------------------------------------------------------------------------------------

CREATE TABLE "Odd ""Names"""."Table; DROP" ("Column, with comma" int, "select" text, "ünï" text DEFAULT 'it''s');
INSERT INTO "Odd ""Names"""."Table; DROP" SELECT i, 'row ' || i FROM generate_series(1, 10) AS i;
-- Equal rows in a table without a key: a proof that counted with exclusive or would not see them.
CREATE TABLE shop.twins (n int, note text);
INSERT INTO shop.twins SELECT 1, 'same' FROM generate_series(1, 4);
CREATE TABLE shop.no_rows (LIKE shop.customer INCLUDING ALL);
CREATE TABLE shop.no_columns ();
INSERT INTO shop.no_columns DEFAULT VALUES;
INSERT INTO shop.no_columns DEFAULT VALUES;
CREATE TABLE shop.had_more (a int, gone text, b int);
INSERT INTO shop.had_more VALUES (1, 'x', 2);
ALTER TABLE shop.had_more DROP COLUMN gone, ADD COLUMN c int DEFAULT 9;
CREATE UNLOGGED TABLE shop.cache (k int PRIMARY KEY, v text);
INSERT INTO shop.cache SELECT i, shop.noise(i, 1) FROM generate_series(1, 100) AS i;
CREATE TABLE shop.parent_of (a int, b text);
CREATE TABLE shop.child_of (c int) INHERITS (shop.parent_of);
INSERT INTO shop.parent_of VALUES (1, 'in the parent');
INSERT INTO shop.child_of VALUES (2, 'in the child', 3);
CREATE TABLE shop.booking (
  room int, during tstzrange, EXCLUDE USING gist (room WITH =, during WITH &&)
);
INSERT INTO shop.booking SELECT i % 5, tstzrange(timestamptz '2024-01-01 00:00:00+00' + i * interval '1 day', timestamptz '2024-01-01 12:00:00+00' + i * interval '1 day')
FROM generate_series(1, 100) AS i;
ALTER TABLE shop.booking ENABLE ROW LEVEL SECURITY;
CREATE POLICY all_rooms ON shop.booking FOR SELECT USING (room >= 0);
CREATE RULE no_twins AS ON INSERT TO shop.twins WHERE NEW.n < 0 DO INSTEAD NOTHING;

-- Views -----------------------------------------------------------------------------------------------------------------

CREATE VIEW shop.open_order AS
  SELECT o.id, o.placed, c.name, o.total FROM shop.sales_order AS o JOIN shop.customer AS c ON c.id = o.customer
  WHERE o.state IN ('new', 'paid', 'on hold');
-- A sum of numerics: one of floats would depend on the order of the rows, and so differ after every refresh.
CREATE MATERIALIZED VIEW shop.sales_by_month AS
  SELECT date_trunc('month', placed AT TIME ZONE 'UTC') AS month, count(*) AS orders, sum(weight::numeric) FILTER (WHERE weight BETWEEN 0 AND 1e9) AS weight
  FROM shop.sales_order GROUP BY 1;
CREATE UNIQUE INDEX sales_by_month_key ON shop.sales_by_month (month);
CREATE MATERIALIZED VIEW shop.best_month AS SELECT * FROM shop.sales_by_month ORDER BY orders DESC, month LIMIT 1;
CREATE MATERIALIZED VIEW shop.not_yet AS SELECT count(*) AS n FROM shop.event WITH NO DATA;

-- Large objects ---------------------------------------------------------------------------------------------------------

CREATE TABLE shop.document (name text PRIMARY KEY, content oid NOT NULL);
INSERT INTO shop.document
SELECT 'document ' || i, lo_from_bytea((500000 + i)::oid, decode(replace(shop.noise(i * 13, 64 * i), ' ', ''), 'hex'))
FROM generate_series(1, 8 + least(:scale, 92)) AS i;
SELECT lo_from_bytea(499999, '') \g /dev/null
COMMENT ON LARGE OBJECT 500001 IS 'The first document';

-- Positions of the sequences
SELECT nextval('shop.invoice_number') FROM generate_series(1, 3) \g /dev/null
SELECT setval('shop.countdown', 5, false) \g /dev/null

COMMIT;

ANALYZE;
