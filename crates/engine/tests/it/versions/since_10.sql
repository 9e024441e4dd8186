-- What PostgreSQL 10 can hold. Later pieces add to it; nothing here depends on time or chance.
SET TimeZone = 'UTC';
CREATE ROLE clerk; CREATE ROLE owner_of_things;
CREATE EXTENSION hstore; CREATE EXTENSION citext;
CREATE SCHEMA app AUTHORIZATION owner_of_things;
COMMENT ON SCHEMA app IS 'of the application';
GRANT USAGE ON SCHEMA app TO clerk;

CREATE TYPE app.mood AS ENUM ('sad', 'happy');
ALTER TYPE app.mood ADD VALUE 'so so' BEFORE 'happy';
CREATE TYPE app.pair AS (a int, b text);
CREATE DOMAIN app.positive AS int CHECK (VALUE > 0);
CREATE TYPE app.floats AS RANGE (subtype = float8, subtype_diff = float8mi);

CREATE TABLE app.values (
  id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, m app.mood, p app.pair, d app.positive, r app.floats, a text[], h hstore, c citext,
  b bytea, j jsonb, x xml, n numeric, f float8, t timestamptz, i interval, net inet, bits bit varying, tid uuid, words tsvector);
INSERT INTO app.values (m, p, d, r, a, h, c, b, j, x, n, f, t, i, net, bits, tid, words) VALUES
  ('so so', ROW(1, E'a\tb\\c\nd'), 7, '[-1.5,2e300)', '[0:1]={"a, \"q\"",NULL}', 'a=>NULL, "b c"=>"\"\\"', 'ÄöÜ', '\x00ff5c0a09', '{"k": [1, null, "\u2028"]}',
   '<a b="c">d</a>', 123456789012345678901234567890.000100, 0.1::float8 + 0.2, '2024-02-29 23:59:59.999999+00', '1 year -2 mons +3 days -04:05:06.789', 'fe80::1/64',
   B'10101', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', 'fat:2A cat:3'),
  ('sad', NULL, NULL, 'empty', '{}', '', '', '', 'null', '', 'NaN', '-Infinity', '-infinity', '-178000000 years', '0.0.0.0/0', '', NULL, ''),
  (NULL, ROW(NULL, ''), 2147483647, '(,)', '{{1,2},{3,4}}', NULL, NULL, NULL, NULL, NULL, 1e-300, 4.9e-324, '4713-01-01 00:00:00+00 BC', '0', NULL, NULL, NULL, NULL);
INSERT INTO app.values (f, a) SELECT i / 7.0, ARRAY[i::text, NULL] FROM generate_series(1, 2000) i;
COMMENT ON COLUMN app.values.m IS 'how it is';
GRANT SELECT (id, m), UPDATE (m) ON app.values TO clerk WITH GRANT OPTION;
ALTER TABLE app.values ALTER COLUMN a SET STATISTICS 500, ALTER COLUMN b SET STORAGE EXTERNAL;
CREATE INDEX values_m ON app.values (m, lower(c::text) COLLATE "C" DESC) WHERE f > 1;
CREATE STATISTICS app.together (dependencies) ON f, n FROM app.values;

CREATE TABLE app.parent (k int, v text DEFAULT 'none' NOT NULL);
CREATE TABLE app.child (extra int) INHERITS (app.parent);
INSERT INTO app.parent VALUES (1, 'p'); INSERT INTO app.child VALUES (2, 'c', 3);

CREATE TABLE app.measure (at date NOT NULL, v int) PARTITION BY RANGE (at);
CREATE TABLE app.measure_old PARTITION OF app.measure FOR VALUES FROM (MINVALUE) TO ('2024-01-01');
CREATE TABLE app.measure_new PARTITION OF app.measure FOR VALUES FROM ('2024-01-01') TO (MAXVALUE) PARTITION BY LIST (v);
CREATE TABLE app.measure_new_1 PARTITION OF app.measure_new FOR VALUES IN (1, 2, NULL);
CREATE TABLE app.measure_attached (v int, gone text, at date NOT NULL); ALTER TABLE app.measure_attached DROP COLUMN gone;
ALTER TABLE app.measure_new ATTACH PARTITION app.measure_attached FOR VALUES IN (3);
INSERT INTO app.measure SELECT '2023-12-01'::date + i, 1 + i % 3 FROM generate_series(0, 90) i;

CREATE TABLE app.dropped (a int, b text, c int); INSERT INTO app.dropped SELECT i, 'b', i FROM generate_series(1, 20) i;
ALTER TABLE app.dropped DROP COLUMN b; ALTER TABLE app.dropped ADD COLUMN d int DEFAULT 4;
CREATE TABLE app.empty_one (a int);
CREATE TABLE app.nothing (); INSERT INTO app.nothing DEFAULT VALUES; INSERT INTO app.nothing DEFAULT VALUES;
CREATE UNLOGGED TABLE app.unlogged (a int); INSERT INTO app.unlogged VALUES (1);
CREATE TABLE app.node (id int PRIMARY KEY, next int REFERENCES app.node DEFERRABLE INITIALLY DEFERRED); INSERT INTO app.node VALUES (1, 2), (2, 1);
CREATE TABLE app.old_rules (i int); INSERT INTO app.old_rules VALUES (-1); ALTER TABLE app.old_rules ADD CONSTRAINT above_zero CHECK (i > 0) NOT VALID;
CREATE TABLE app.booking (during tsrange, EXCLUDE USING gist (during WITH &&)); INSERT INTO app.booking VALUES ('[2024-01-01,2024-01-02)');

CREATE SEQUENCE app.steps AS smallint INCREMENT -3 MINVALUE -100 MAXVALUE 50 START 50 CYCLE CACHE 4; SELECT nextval('app.steps') FROM generate_series(1, 5);
CREATE SEQUENCE app.fresh START 42;
CREATE TABLE app.serial (id bigserial, v text); INSERT INTO app.serial (v) SELECT 'x' FROM generate_series(1, 17);

CREATE FUNCTION app.twice(i int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT i * 2';
CREATE FUNCTION app.refuse() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''never while restoring''; END';
CREATE TRIGGER refuse BEFORE INSERT ON app.old_rules FOR EACH ROW EXECUTE PROCEDURE app.refuse();
ALTER TABLE app.old_rules ENABLE ALWAYS TRIGGER refuse;
CREATE AGGREGATE app.product (int) (SFUNC = int4mul, STYPE = int, INITCOND = '1');
CREATE VIEW app.seen AS SELECT id, app.twice(id) AS double FROM app.values WHERE f IS NOT NULL;
CREATE MATERIALIZED VIEW app.counted AS SELECT count(*) AS n FROM app.seen;
CREATE MATERIALIZED VIEW app.counted_again AS SELECT n + 1 AS n FROM app.counted;
CREATE MATERIALIZED VIEW app.not_yet AS SELECT 1 AS one WITH NO DATA;
CREATE RULE no_delete AS ON DELETE TO app.node DO INSTEAD NOTHING;
ALTER TABLE app.parent ENABLE ROW LEVEL SECURITY; CREATE POLICY even ON app.parent FOR SELECT TO clerk USING (k % 2 = 0);
CREATE COLLATION app.plain (locale = 'C');
CREATE TEXT SEARCH CONFIGURATION app.simple (COPY = simple);
CREATE PUBLICATION everything FOR ALL TABLES;
ALTER DEFAULT PRIVILEGES FOR ROLE owner_of_things IN SCHEMA app GRANT SELECT ON TABLES TO clerk;
ALTER TABLE app.parent OWNER TO owner_of_things;
GRANT ALL ON ALL SEQUENCES IN SCHEMA app TO clerk;

SELECT lo_from_bytea(700001, decode(repeat('00ff', 5000), 'hex')); ALTER LARGE OBJECT 700001 OWNER TO owner_of_things;
SELECT lo_from_bytea(700002, ''); GRANT SELECT ON LARGE OBJECT 700001 TO clerk; COMMENT ON LARGE OBJECT 700002 IS 'nothing in it';
