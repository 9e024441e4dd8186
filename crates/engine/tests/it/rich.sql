-- A database with something of nearly everything, named to hurt.
CREATE ROLE app_owner;
CREATE ROLE "odd ""role";
CREATE ROLE reader LOGIN;
CREATE EXTENSION hstore;
CREATE EXTENSION pg_trgm;
CREATE SCHEMA app AUTHORIZATION app_owner;
CREATE SCHEMA "odd ""schema
é";
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE TYPE pair AS (a int, b text);
CREATE DOMAIN positive AS int CHECK (value > 0);
CREATE COLLATION plain (provider = libc, locale = 'C');
CREATE FUNCTION double(x int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT 2 * x';

CREATE TABLE parent (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL UNIQUE COLLATE plain, m mood DEFAULT 'ok', c pair,
  d positive, ts timestamptz, t timetz, j jsonb, h hstore, arr int[], n numeric(20,5), f float8, r real, b bytea, mon money,
  iv interval, u uuid, ra int4range, x xml, bits bit varying(9), mac macaddr, ip inet, p point, tsv tsvector, ch char(5),
  dt date, reg regclass, doubled int GENERATED ALWAYS AS (length(name) * 2) STORED);
INSERT INTO parent (name, m, c, d, ts, t, j, h, arr, n, f, r, b, mon, iv, u, ra, x, bits, mac, ip, p, tsv, ch, dt, reg)
SELECT 'n' || i, (ARRAY['sad', 'ok', 'happy', NULL])[i % 4 + 1]::mood, ROW (i, E'x\ty\\z\n')::pair, i,
  '2001-02-03 04:05:06+07'::timestamptz + i * interval '1 hour', '04:05:06+07', jsonb_build_object('a', i, 'é', E'\n'),
  hstore('k', i::text), ARRAY[i, NULL, 3], i / 7.0, CASE WHEN i % 10 = 0 THEN 'NaN' ELSE i / 3.0 END, i / 3.0,
  decode(md5(i::text), 'hex'), i, make_interval(days => i, secs => 0.5), md5(i::text)::uuid, int4range(i, i + 5), '<a>é</a>',
  B'101', '08:00:2b:01:02:03', '10.0.0.1/8', point(i, i), to_tsvector('simple', 'the quick ' || i), 'ab', '4713-01-01 BC',
  'pg_class'
FROM generate_series(1, 500) i;
CREATE TABLE child (id serial PRIMARY KEY, parent_id bigint REFERENCES parent (id) ON DELETE CASCADE DEFERRABLE, note text,
  dropped int);
INSERT INTO child (parent_id, note)
SELECT i % 500 + 1, CASE WHEN i % 7 = 0 THEN NULL WHEN i % 11 = 0 THEN '' ELSE repeat('é' || i, 20) END
FROM generate_series(1, 5000) i;
ALTER TABLE child DROP COLUMN dropped;
ALTER TABLE child ADD COLUMN fast int DEFAULT 7;
ALTER TABLE child ADD CONSTRAINT not_checked CHECK (parent_id > 3) NOT VALID;
CREATE INDEX ON child USING hash (note);
CREATE INDEX expression ON child (lower(note) COLLATE "C" DESC NULLS LAST) INCLUDE (parent_id);
CREATE INDEX ON parent USING gin (j);
CREATE INDEX ON parent USING gist (ra);
CREATE INDEX ON parent USING brin (ts);
CREATE INDEX ON parent USING gin (name gin_trgm_ops);
CREATE INDEX ON parent USING spgist (p) WHERE id > 10;
CREATE INDEX ON parent (double(d));
ALTER TABLE parent ADD EXCLUDE USING gist (p WITH ~=);
CREATE STATISTICS parents (dependencies) ON parent_id, fast FROM child;

CREATE TABLE part (id int, k text, v int) PARTITION BY RANGE (id);
CREATE TABLE part_1 PARTITION OF part FOR VALUES FROM (0) TO (100);
CREATE TABLE part_2 PARTITION OF part FOR VALUES FROM (100) TO (200) PARTITION BY HASH (k);
CREATE TABLE part_2_a PARTITION OF part_2 FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE part_2_b PARTITION OF part_2 FOR VALUES WITH (MODULUS 2, REMAINDER 1);
CREATE TABLE part_rest PARTITION OF part DEFAULT;
INSERT INTO part SELECT i, 'k' || i, i FROM generate_series(0, 299) i;
CREATE INDEX ON part (v);
ALTER TABLE part ADD PRIMARY KEY (id, k);
CREATE TABLE moods (m mood, v int) PARTITION BY HASH (m);
CREATE TABLE moods_0 PARTITION OF moods FOR VALUES WITH (MODULUS 3, REMAINDER 0);
CREATE TABLE moods_1 PARTITION OF moods FOR VALUES WITH (MODULUS 3, REMAINDER 1);
CREATE TABLE moods_2 PARTITION OF moods FOR VALUES WITH (MODULUS 3, REMAINDER 2);
INSERT INTO moods SELECT (ARRAY['sad', 'ok', 'happy'])[i % 3 + 1]::mood, i FROM generate_series(1, 90) i;

CREATE TABLE ancestor (a int, b text);
CREATE TABLE heir (c int) INHERITS (ancestor);
INSERT INTO ancestor VALUES (1, 'p');
INSERT INTO heir VALUES (2, 'c', 3);
CREATE TABLE "odd ""table
é" ("a ""column" int, "b
c" text, "select" text);
INSERT INTO "odd ""table
é" VALUES (1, 'x', '\.'), (2, NULL, E'\\N');
CREATE TABLE "odd ""schema
é"."it's" (a int);
INSERT INTO "odd ""schema
é"."it's" VALUES (1);
CREATE TABLE empty (a int);
CREATE TABLE columnless ();
INSERT INTO columnless DEFAULT VALUES;
INSERT INTO columnless DEFAULT VALUES;
CREATE TABLE twins (a int);
INSERT INTO twins SELECT 1 FROM generate_series(1, 4);
CREATE TABLE app.owned (a int, "when" timestamptz DEFAULT now());
ALTER TABLE app.owned OWNER TO app_owner;
INSERT INTO app.owned (a) SELECT generate_series(1, 10);
CREATE TABLE large (a int, t text);
ALTER TABLE large ALTER t SET STORAGE EXTERNAL;
INSERT INTO large SELECT i, repeat(md5(i::text), 100) FROM generate_series(1, 20000) i;

CREATE VIEW summary AS SELECT p.id, count(*) AS n FROM parent p JOIN child c ON c.parent_id = p.id GROUP BY p.id;
CREATE MATERIALIZED VIEW filled AS SELECT * FROM summary;
CREATE UNIQUE INDEX ON filled (id);
CREATE MATERIALIZED VIEW all_of_it AS SELECT sum(n) AS s FROM filled;
CREATE MATERIALIZED VIEW unfilled AS SELECT 1 AS a WITH NO DATA;
CREATE SEQUENCE lone INCREMENT 5;
SELECT nextval('lone'), nextval('lone');
CREATE SEQUENCE unused START 77;
CREATE SEQUENCE "odd ""sequence é" MINVALUE -5 START -5 CYCLE;

CREATE FUNCTION fill_note() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN NEW.note := 'by trigger'; RETURN NEW; END$$;
CREATE TRIGGER off BEFORE INSERT ON child FOR EACH ROW EXECUTE FUNCTION fill_note();
ALTER TABLE child DISABLE TRIGGER off;
CREATE TRIGGER always AFTER UPDATE ON child FOR EACH ROW EXECUTE FUNCTION fill_note();
ALTER TABLE child ENABLE ALWAYS TRIGGER always;
CREATE TRIGGER on_insert BEFORE INSERT ON twins FOR EACH ROW EXECUTE FUNCTION fill_note();
CREATE FUNCTION no_tables() RETURNS event_trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'no more of this'; END$$;
CREATE RULE nothing AS ON DELETE TO empty DO INSTEAD NOTHING;
ALTER TABLE parent ENABLE ROW LEVEL SECURITY;
ALTER TABLE parent FORCE ROW LEVEL SECURITY;
CREATE POLICY hides ON parent FOR SELECT TO reader USING (name <> 'n1');
CREATE PUBLICATION changes FOR TABLE child;
CREATE FOREIGN DATA WRAPPER wrapper;
CREATE SERVER remote FOREIGN DATA WRAPPER wrapper;
CREATE FOREIGN TABLE outside (a int) SERVER remote;

GRANT SELECT ON parent TO reader WITH GRANT OPTION;
GRANT SELECT (id) ON child TO "odd ""role";
REVOKE ALL ON FUNCTION double FROM PUBLIC;
ALTER DEFAULT PRIVILEGES IN SCHEMA app GRANT SELECT ON TABLES TO reader;
COMMENT ON TABLE parent IS 'it''s \ the é';
COMMENT ON COLUMN parent.name IS 'a name';

SELECT lo_from_bytea(70001, '\x01020304'), lo_from_bytea(70002, decode(repeat('ab', 3000000), 'hex')), lo_create(70003);
ALTER LARGE OBJECT 70001 OWNER TO app_owner;
GRANT SELECT ON LARGE OBJECT 70002 TO reader;
COMMENT ON LARGE OBJECT 70001 IS 'an ''object''';

COMMENT ON DATABASE shop IS 'the "shop"';
ALTER DATABASE shop SET work_mem = '8MB';
ALTER DATABASE shop SET search_path = "$user", public, "odd ""schema
é";
ALTER ROLE reader IN DATABASE shop SET statement_timeout = '5s';
GRANT CONNECT ON DATABASE shop TO reader;
REVOKE TEMPORARY ON DATABASE shop FROM PUBLIC;
ALTER DATABASE shop CONNECTION LIMIT 50;
ALTER DATABASE shop OWNER TO app_owner;
CREATE EVENT TRIGGER guard ON ddl_command_start WHEN TAG IN ('CREATE TABLE')
  EXECUTE FUNCTION no_tables();
