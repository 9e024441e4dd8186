-- One of every kind of object that PostgreSQL 14 knows, beyond what the pieces of versions/ have.
SET TimeZone = 'UTC';
CREATE ROLE "Odd ""role"" \ %s 'x'"; CREATE ROLE reader; CREATE ROLE lead; CREATE ROLE granter;
GRANT reader TO lead WITH ADMIN OPTION; GRANT lead TO clerk;
ALTER ROLE clerk IN DATABASE shop SET work_mem = '7MB';
ALTER DATABASE shop SET search_path = app, "$user", public; ALTER DATABASE shop SET "app.flavour" = 'a ''b'' \ c, "d"'; ALTER DATABASE shop CONNECTION LIMIT 77;
COMMENT ON DATABASE shop IS E'of the shop, ''quoted''\nand broken'; GRANT CREATE, CONNECT ON DATABASE shop TO reader WITH GRANT OPTION; REVOKE TEMPORARY ON DATABASE shop FROM PUBLIC;
-- Names -----------------------------------------------------------------------------------------------------------------
CREATE SCHEMA "Odd ""schema"" \ %s 'x'" AUTHORIZATION "Odd ""role"" \ %s 'x'";
CREATE TABLE "Odd ""schema"" \ %s 'x'"."table
of two lines" ("select" int PRIMARY KEY, "ünï 東京 😀" text DEFAULT E'\\ '' " \n\t' CHECK ("ünï 東京 😀" <> 'no''pe'), "a.b" text GENERATED ALWAYS AS (upper("ünï 東京 😀")) STORED);
INSERT INTO "Odd ""schema"" \ %s 'x'"."table
of two lines" VALUES (1, DEFAULT), (2, E'\\.'), (3, '\N'), (4, ''), (5, NULL), (6, E'\b\f\v\r\x1f\x7f');
CREATE TABLE app.abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk (abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijk serial);
COMMENT ON COLUMN "Odd ""schema"" \ %s 'x'"."table
of two lines"."select" IS E'-- \\connect template1\n\\! true';
-- Types -----------------------------------------------------------------------------------------------------------------
CREATE TYPE app.shell;
CREATE TYPE app.base; CREATE FUNCTION app.base_in(cstring) RETURNS app.base LANGUAGE internal IMMUTABLE STRICT AS 'int4in'; CREATE FUNCTION app.base_out(app.base) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'int4out';
CREATE TYPE app.base (INPUT = app.base_in, OUTPUT = app.base_out, LIKE = int4, CATEGORY = 'N', DELIMITER = ';');
CREATE DOMAIN app.code AS text COLLATE "C" DEFAULT 'x' CONSTRAINT three CHECK (length(VALUE) <= 3) NOT NULL; CREATE DOMAIN app.short_code AS app.code CHECK (VALUE <> '');
ALTER DOMAIN app.positive ADD CONSTRAINT not_huge CHECK (VALUE < 0) NOT VALID;
CREATE TYPE app.nested AS (p app.pair, ps app.pair[], m app.mood); CREATE TYPE app.empty_composite AS ();
CREATE TYPE app.odd_enum AS ENUM ('', 'it''s', E'tab\there', 'ünï');
CREATE TABLE app.typed_values (b app.base, bs app.base[], c app.short_code, n app.nested, ns app.nested[], e app.odd_enum, es app.odd_enum[], money money, ch char(5), onechar "char", nm name, lsn pg_lsn,
  x8 xid8, cl regclass, ty regtype, ro regrole, fn regprocedure, tz timetz, iv interval day to second(2), pt point, ln line, sg lseg, bx box, pa path, pg polygon, ci circle, mac macaddr8, cid cidr, q tsquery, jp jsonpath,
  ir int4range, nr numrange, tr tstzrange, dr daterange, mr nummultirange, snap pg_snapshot, vb bit(3)[], arr text[][], dt date[], j json);
INSERT INTO app.typed_values VALUES
 ('5', '{1;2}', 'abc', ROW(ROW(1, 'a"b'), ARRAY[ROW(2, E'c\\d')::app.pair, NULL], 'happy'), ARRAY[NULL, ROW(NULL, '{}', NULL)::app.nested], '', '{"",it''s,NULL,"tab	here"}', '-12.34', 'ab', 'x', 'name', 'FF/ABCDEF01',
  '18446744073709551615', 'app.parent', 'app.mood', 'clerk', 'app.twice(int)', '24:00:00-15:59', '3 days 04:05:06.789', '(1e300,-0)', '{1,2,3}', '[(0,0),(1,1)]', '(2,2),(1,1)', '[(0,0),(1,1)]', '((0,0),(1,1),(2,0))', '<(0,0),5>',
  '08:00:2b:01:02:03:04:05', '10.0.0.0/8', 'fat & (rat | !cat:AB) <-> x', '$.a[*] ? (@.b > 1)', '[1,10)', '(,5.5]', '[2024-01-01 00:00:00+00,infinity)', 'empty', '{[1,2],(3,4)}', '10:20:10,14,15', '{101,NULL}',
  '[2:3][-1:0]={{a,"b c"},{"NULL",NULL}}', '{infinity,-infinity,"0044-03-15 BC"}', ' {"b" : 1,  "a":[], "b":null} '),
 (NULL, NULL, 'a', NULL, '{}', NULL, NULL, '92233720368547758.07', '', '\200', '', '0/0', '0', '4294967295', '-', '-', '0', '00:00:00+00', '-1 days', '(NaN,Infinity)', '{0,-1,0}', NULL, NULL, '((0,0))', NULL, NULL, NULL, '::/0', '', '$', 'empty', 'empty', '(,)', '(,)', '{}', '1:1:', '{}', '{}', '{}', 'null');
CREATE TABLE app.numbers (n numeric, s numeric(1000, 500), f4 real, f8 double precision, i8 bigint, i2 smallint, ts timestamp(0), t time(3), y interval year);
INSERT INTO app.numbers VALUES ('Infinity', NULL, '1e-45', '5e-324', '-9223372036854775808', -32768, '294276-12-31 23:59:59', '23:59:59.999', '178000000'), ('-Infinity', '-0.5', '-0', '-0', '9223372036854775807', 32767, '4714-11-24 00:00:00 BC', '24:00', '-1'),
  ((repeat('9', 3000) || '.' || repeat('1', 3000))::numeric, NULL, '3.4028235e38', '1.7976931348623157e308', 0, 0, 'infinity', '0:0', NULL), ('NaN', 'NaN', 'NaN', 'NaN', 1, 1, '-infinity', NULL, NULL), (0.000, 1e-400, 0.1, 0.1, NULL, NULL, NULL, NULL, NULL);
-- Tables ----------------------------------------------------------------------------------------------------------------
CREATE TABLE app.mother (m int) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false); CREATE TABLE app.both (CHECK (v <> 'never') NO INHERIT) INHERITS (app.parent, app.mother); INSERT INTO app.both VALUES (5, 'b', 6);
CREATE TABLE app.of_type OF app.pair (a WITH OPTIONS PRIMARY KEY, b WITH OPTIONS DEFAULT 'd'); INSERT INTO app.of_type VALUES (1);
ALTER TABLE app.both ALTER COLUMN k SET DEFAULT 9, ALTER COLUMN v SET STORAGE MAIN, ALTER COLUMN m SET (n_distinct = -0.5); CREATE UNIQUE INDEX both_k ON app.both (k) WITH (fillfactor = 60); ALTER TABLE app.both ALTER COLUMN k SET NOT NULL, CLUSTER ON both_k, REPLICA IDENTITY USING INDEX both_k;
ALTER TABLE app.serial REPLICA IDENTITY FULL; ALTER TABLE app.node REPLICA IDENTITY NOTHING; ALTER TABLE app.serial FORCE ROW LEVEL SECURITY;
CREATE POLICY strict ON app.parent AS RESTRICTIVE FOR ALL TO lead, reader USING (v <> 'secret') WITH CHECK (k > 0); COMMENT ON POLICY strict ON app.parent IS 'stricter';
CREATE INDEX parent_expression ON app.parent USING btree ((k * 2 + length(v)) DESC NULLS LAST, v COLLATE "C" text_pattern_ops) WHERE v IS NOT NULL; ALTER INDEX app.parent_expression ALTER COLUMN 1 SET STATISTICS 300; COMMENT ON INDEX app.parent_expression IS 'by expression';
CREATE INDEX parent_hash ON app.parent USING hash (v); CREATE INDEX values_gin ON app.values USING gin (a, j jsonb_path_ops) WITH (fastupdate = off); CREATE INDEX values_brin ON app.values USING brin (f float8_minmax_multi_ops(values_per_range = 16)); CREATE INDEX values_spgist ON app.values USING spgist (net);
CREATE INDEX measure_v ON app.measure (v); CREATE UNIQUE INDEX only_parent ON ONLY app.measure (at, v);
ALTER TABLE app.booking ADD COLUMN room int DEFAULT 1, ADD CONSTRAINT booking_rooms EXCLUDE USING btree (room WITH =) WHERE (room > 1) DEFERRABLE INITIALLY DEFERRED; COMMENT ON CONSTRAINT booking_rooms ON app.booking IS 'one at a time';
ALTER TABLE app.parent ADD CONSTRAINT loose FOREIGN KEY (k) REFERENCES app.node ON DELETE SET NULL ON UPDATE CASCADE NOT VALID;
CREATE STATISTICS app.mcv (mcv, ndistinct) ON k, v FROM app.parent; ALTER STATISTICS app.mcv SET STATISTICS 44; COMMENT ON STATISTICS app.mcv IS 'together';
CREATE TABLE app.twice_there (i int); INSERT INTO app.twice_there VALUES (1), (1); 
CREATE TABLE app.deep (i int) PARTITION BY RANGE (i); CREATE TABLE app.deep_1 PARTITION OF app.deep FOR VALUES FROM (0) TO (10) PARTITION BY LIST (i); CREATE TABLE app.deep_1_1 PARTITION OF app.deep_1 (CHECK (i < 9)) FOR VALUES IN (1, 2) PARTITION BY HASH (i);
CREATE TABLE app.deep_1_1_0 PARTITION OF app.deep_1_1 FOR VALUES WITH (MODULUS 1, REMAINDER 0) WITH (fillfactor = 50); INSERT INTO app.deep VALUES (1), (2);
CREATE TABLE app.by_expression (t text) PARTITION BY LIST (lower(t) COLLATE "C"); CREATE TABLE app.by_expression_a PARTITION OF app.by_expression FOR VALUES IN ('a'); INSERT INTO app.by_expression VALUES ('A'), ('a');
-- Code ------------------------------------------------------------------------------------------------------------------
CREATE FUNCTION app.many_things(IN a int, INOUT b text, OUT c numeric, VARIADIC d int[] DEFAULT '{}') RETURNS SETOF record LANGUAGE plpgsql STABLE STRICT SECURITY DEFINER LEAKPROOF PARALLEL RESTRICTED COST 7 ROWS 3 SET search_path = pg_catalog, app SET work_mem TO '3MB' AS $body$BEGIN b := $$it's$$; RETURN NEXT; END$body$;
ALTER FUNCTION app.many_things OWNER TO "Odd ""role"" \ %s 'x'"; REVOKE ALL ON FUNCTION app.many_things FROM PUBLIC; GRANT EXECUTE ON FUNCTION app.many_things TO reader WITH GRANT OPTION; COMMENT ON FUNCTION app.many_things IS 'does much';
CREATE FUNCTION app.as_table(n int) RETURNS TABLE (i int, "the name" text) LANGUAGE sql BEGIN ATOMIC SELECT g, 'x'::text FROM generate_series(1, n) g; SELECT 1, 'y'::text; END;
CREATE FUNCTION app.support_me(internal) RETURNS internal LANGUAGE internal AS 'generate_series_int4_support'; CREATE FUNCTION app.supported(int, int) RETURNS SETOF int LANGUAGE internal STRICT IMMUTABLE SUPPORT app.support_me AS 'generate_series_int4';
CREATE FUNCTION app.window_it() RETURNS bigint LANGUAGE internal WINDOW AS 'window_row_number';
CREATE PROCEDURE app.proceed(INOUT n int) LANGUAGE plpgsql AS 'BEGIN n := n + 1; END'; COMMENT ON PROCEDURE app.proceed IS 'goes on';
CREATE AGGREGATE app.middle (float8 ORDER BY float8) (SFUNC = ordered_set_transition, STYPE = internal, FINALFUNC = percentile_cont_float8_final, FINALFUNC_MODIFY = SHAREABLE);
CREATE AGGREGATE app.moving (int) (SFUNC = int4_sum, STYPE = bigint, COMBINEFUNC = int8pl, MSFUNC = int4_avg_accum, MINVFUNC = int4_avg_accum_inv, MSTYPE = bigint[], MFINALFUNC = int2int4_sum, INITCOND = '0', MINITCOND = '{0,0}', PARALLEL = SAFE); COMMENT ON AGGREGATE app.moving (int) IS 'moves';
CREATE FUNCTION app.other_handler() RETURNS language_handler LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_call_handler'; CREATE FUNCTION app.other_inline(internal) RETURNS void LANGUAGE c AS '$libdir/plpgsql', 'plpgsql_inline_handler';
CREATE LANGUAGE plother HANDLER app.other_handler INLINE app.other_inline; COMMENT ON LANGUAGE plother IS 'another'; GRANT USAGE ON LANGUAGE plpgsql TO reader; REVOKE USAGE ON LANGUAGE sql FROM PUBLIC;
CREATE FUNCTION app.in_other() RETURNS int LANGUAGE plother AS 'BEGIN RETURN 1; END';
CREATE FUNCTION app.base_eq(app.base, app.base) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4eq'; CREATE FUNCTION app.base_lt(app.base, app.base) RETURNS bool LANGUAGE internal IMMUTABLE STRICT AS 'int4lt';
CREATE FUNCTION app.base_cmp(app.base, app.base) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'btint4cmp'; CREATE FUNCTION app.base_neg(app.base) RETURNS app.base LANGUAGE internal IMMUTABLE STRICT AS 'int4um';
CREATE OPERATOR app.=== (LEFTARG = app.base, RIGHTARG = app.base, FUNCTION = app.base_eq, COMMUTATOR = OPERATOR(app.===), HASHES, MERGES, RESTRICT = eqsel, JOIN = eqjoinsel); CREATE OPERATOR app.<<< (LEFTARG = app.base, RIGHTARG = app.base, FUNCTION = app.base_lt);
CREATE OPERATOR app.@- (RIGHTARG = app.base, FUNCTION = app.base_neg);
COMMENT ON OPERATOR app.=== (app.base, app.base) IS 'the same'; ALTER OPERATOR app.<<< (app.base, app.base) OWNER TO reader;
CREATE OPERATOR FAMILY app.base_family USING btree; CREATE OPERATOR CLASS app.base_class DEFAULT FOR TYPE app.base USING btree FAMILY app.base_family AS OPERATOR 1 app.<<<, OPERATOR 3 app.===, FUNCTION 1 app.base_cmp(app.base, app.base);
CREATE OPERATOR FAMILY app.lonely_family USING hash; COMMENT ON OPERATOR FAMILY app.lonely_family USING hash IS 'lonely'; COMMENT ON OPERATOR CLASS app.base_class USING btree IS 'in order'; CREATE INDEX typed_base ON app.typed_values (b app.base_class);
CREATE FUNCTION app.base_to_int(app.base) RETURNS int LANGUAGE internal IMMUTABLE STRICT AS 'int4up'; CREATE CAST (app.base AS int) WITH FUNCTION app.base_to_int AS ASSIGNMENT; CREATE CAST (int AS app.base) WITHOUT FUNCTION; CREATE CAST (app.pair AS app.mood) WITH INOUT; COMMENT ON CAST (app.base AS int) IS 'back';
CREATE DEFAULT CONVERSION app.conv FOR 'LATIN1' TO 'UTF8' FROM iso8859_1_to_utf8; COMMENT ON CONVERSION app.conv IS 'converts';
CREATE COLLATION app.nocase (provider = libc, locale = 'C.UTF-8'); COMMENT ON COLLATION app.plain IS 'plain';
CREATE TEXT SEARCH TEMPLATE app.template (LEXIZE = dsimple_lexize, INIT = dsimple_init); CREATE TEXT SEARCH PARSER app.parser (START = prsd_start, GETTOKEN = prsd_nexttoken, END = prsd_end, LEXTYPES = prsd_lextype, HEADLINE = prsd_headline);
CREATE TEXT SEARCH DICTIONARY app.dictionary (TEMPLATE = app.template, Accept = false); ALTER TEXT SEARCH CONFIGURATION app.simple ALTER MAPPING FOR word, hword WITH app.dictionary, simple; COMMENT ON TEXT SEARCH CONFIGURATION app.simple IS 'searches'; ALTER TEXT SEARCH DICTIONARY app.dictionary OWNER TO reader;
CREATE ACCESS METHOD another_heap TYPE TABLE HANDLER heap_tableam_handler; CREATE TABLE app.elsewhere (i int) USING another_heap; INSERT INTO app.elsewhere SELECT generate_series(1, 300); COMMENT ON ACCESS METHOD another_heap IS 'as good';
CREATE VIEW app.checked WITH (security_barrier) AS SELECT * FROM app.parent WHERE k > 0 WITH LOCAL CHECK OPTION; COMMENT ON VIEW app.checked IS 'checked'; COMMENT ON COLUMN app.checked.v IS 'of it'; ALTER VIEW app.checked ALTER COLUMN v SET DEFAULT 'from the view';
CREATE RECURSIVE VIEW app.counting (n) AS VALUES (1) UNION ALL SELECT n + 1 FROM counting WHERE n < 5;
CREATE MATERIALIZED VIEW app.indexed_view AS SELECT id, m FROM app.values; CREATE UNIQUE INDEX indexed_view_id ON app.indexed_view (id); COMMENT ON MATERIALIZED VIEW app.indexed_view IS 'indexed'; ALTER MATERIALIZED VIEW app.indexed_view SET (fillfactor = 90);
CREATE FUNCTION app.note() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; CREATE FUNCTION app.note_event() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
CREATE TRIGGER t_disabled AFTER INSERT OR UPDATE OF k, v OR DELETE ON app.parent FOR EACH ROW WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION app.note('a', 'it''s', E'\\x'); ALTER TABLE app.parent DISABLE TRIGGER t_disabled;
CREATE TRIGGER t_replica AFTER TRUNCATE ON app.parent EXECUTE FUNCTION app.note(); ALTER TABLE app.parent ENABLE REPLICA TRIGGER t_replica; CREATE TRIGGER t_transition AFTER UPDATE ON app.parent REFERENCING OLD TABLE AS before NEW TABLE AS after FOR EACH STATEMENT EXECUTE FUNCTION app.note();
CREATE CONSTRAINT TRIGGER t_constraint AFTER INSERT ON app.parent FROM app.node DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION app.note(); CREATE TRIGGER t_view INSTEAD OF INSERT ON app.seen FOR EACH ROW EXECUTE FUNCTION app.note(); CREATE TRIGGER t_partitioned AFTER INSERT ON app.measure FOR EACH ROW EXECUTE FUNCTION app.note();
ALTER TABLE app.measure_old DISABLE TRIGGER t_partitioned; COMMENT ON TRIGGER t_replica ON app.parent IS 'of a replica';
CREATE RULE also AS ON UPDATE TO app.node WHERE new.id > 100 DO ALSO (INSERT INTO app.empty_one VALUES (new.id); DELETE FROM app.empty_one WHERE a < old.id); CREATE RULE tell AS ON UPDATE TO app.empty_one DO ALSO NOTIFY changed; CREATE RULE sleeping AS ON INSERT TO app.node DO INSTEAD NOTHING; ALTER TABLE app.node DISABLE RULE sleeping; ALTER TABLE app.node ENABLE ALWAYS RULE also; COMMENT ON RULE also ON app.node IS 'also';
CREATE EVENT TRIGGER at_end ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'DROP TABLE') EXECUTE FUNCTION app.note_event(); CREATE EVENT TRIGGER never ON sql_drop EXECUTE FUNCTION app.note_event(); ALTER EVENT TRIGGER never DISABLE; CREATE EVENT TRIGGER always ON ddl_command_start EXECUTE FUNCTION app.note_event(); ALTER EVENT TRIGGER always ENABLE ALWAYS; COMMENT ON EVENT TRIGGER never IS 'sleeps';
-- Other servers ---------------------------------------------------------------------------------------------------------
CREATE EXTENSION postgres_fdw; CREATE EXTENSION file_fdw SCHEMA public; CREATE FOREIGN DATA WRAPPER own_wrapper OPTIONS (flavour 'plain'); COMMENT ON FOREIGN DATA WRAPPER own_wrapper IS 'wraps'; GRANT USAGE ON FOREIGN DATA WRAPPER postgres_fdw TO reader;
CREATE SERVER elsewhere TYPE 'kind' VERSION '1.0' FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '1', dbname 'it''s'); GRANT USAGE ON FOREIGN SERVER elsewhere TO clerk; COMMENT ON SERVER elsewhere IS 'elsewhere';
CREATE USER MAPPING FOR clerk SERVER elsewhere OPTIONS (user 'remote', password 'se''cret'); CREATE USER MAPPING FOR PUBLIC SERVER elsewhere OPTIONS (user 'everybody', password_required 'false');
CREATE FOREIGN TABLE app.far_away (id int OPTIONS (column_name 'Id') NOT NULL, v text DEFAULT 'x', CONSTRAINT positive CHECK (id > 0)) SERVER elsewhere OPTIONS (schema_name 'public', table_name 'tab''le'); COMMENT ON FOREIGN TABLE app.far_away IS 'far away'; GRANT SELECT (id) ON app.far_away TO reader;
CREATE TABLE app.half_far (v int) PARTITION BY LIST (v); CREATE FOREIGN TABLE app.half_far_1 PARTITION OF app.half_far FOR VALUES IN (1) SERVER elsewhere; CREATE TABLE app.half_far_2 PARTITION OF app.half_far FOR VALUES IN (2); INSERT INTO app.half_far VALUES (2);
CREATE PUBLICATION partly FOR TABLE app.serial, ONLY app.parent WITH (publish = 'insert, truncate', publish_via_partition_root = true); ALTER PUBLICATION partly OWNER TO postgres; COMMENT ON PUBLICATION partly IS 'in part';
CREATE SUBSCRIPTION heard CONNECTION 'host=127.0.0.1 port=1 password=se_cret dbname=x' PUBLICATION a, "B c" WITH (connect = false, slot_name = NONE, synchronous_commit = 'off', binary = true); COMMENT ON SUBSCRIPTION heard IS 'heard';
-- Extensions ------------------------------------------------------------------------------------------------------------
CREATE SCHEMA extensions; CREATE EXTENSION pg_trgm SCHEMA extensions; COMMENT ON EXTENSION pg_trgm IS 'moved'; REVOKE EXECUTE ON FUNCTION extensions.similarity(text, text) FROM PUBLIC; GRANT EXECUTE ON FUNCTION extensions.similarity(text, text) TO reader;
CREATE INDEX parent_trigrams ON app.parent USING gist (v extensions.gist_trgm_ops (siglen = 32)); CREATE EXTENSION pg_stat_statements SCHEMA extensions; GRANT SELECT ON extensions.pg_stat_statements TO reader;
CREATE TABLE app.depends_on_extension (i int); CREATE FUNCTION app.of_extension() RETURNS int LANGUAGE sql AS 'SELECT 1'; ALTER FUNCTION app.of_extension() DEPENDS ON EXTENSION hstore;
-- Who may what ----------------------------------------------------------------------------------------------------------
GRANT USAGE ON SCHEMA app TO granter; GRANT ALL ON app.parent TO granter WITH GRANT OPTION; SET ROLE granter; GRANT SELECT, INSERT ON app.parent TO reader; RESET ROLE; GRANT UPDATE (v), REFERENCES (k) ON app.parent TO lead; GRANT ALL ON app.serial TO PUBLIC; REVOKE ALL ON app.node FROM postgres;
GRANT USAGE ON TYPE app.mood TO reader; REVOKE USAGE ON TYPE app.pair FROM PUBLIC; GRANT USAGE ON DOMAIN app.code TO clerk; COMMENT ON TYPE app.mood IS 'moods'; COMMENT ON DOMAIN app.code IS 'codes'; COMMENT ON CONSTRAINT three ON DOMAIN app.code IS 'three'; COMMENT ON COLUMN app.pair.a IS 'first';
GRANT USAGE ON SEQUENCE app.steps TO reader; GRANT SELECT (id) ON app.seen TO PUBLIC; ALTER SEQUENCE app.fresh OWNER TO reader; ALTER SEQUENCE app.steps OWNED BY app.node.id; COMMENT ON SEQUENCE app.steps IS 'steps'; ALTER TYPE app.base OWNER TO "Odd ""role"" \ %s 'x'";
ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC; ALTER DEFAULT PRIVILEGES FOR ROLE clerk GRANT SELECT ON SEQUENCES TO reader WITH GRANT OPTION; ALTER DEFAULT PRIVILEGES GRANT USAGE ON SCHEMAS TO lead; ALTER DEFAULT PRIVILEGES FOR ROLE clerk REVOKE USAGE ON TYPES FROM PUBLIC;
REVOKE CREATE ON SCHEMA public FROM PUBLIC; GRANT USAGE ON SCHEMA public TO reader; COMMENT ON SCHEMA public IS 'not for everybody';
GRANT EXECUTE ON FUNCTION pg_catalog.pg_ls_dir(text) TO reader; GRANT SELECT (rolname) ON pg_catalog.pg_authid TO reader; 
SELECT lo_from_bytea(700003, 'x'); ALTER LARGE OBJECT 700003 OWNER TO "Odd ""role"" \ %s 'x'"; COMMENT ON LARGE OBJECT 700003 IS E'it''s\n\\odd'; SELECT lo_create(700004); SELECT lo_from_bytea(800000 + i, ('many ' || i)::bytea) FROM generate_series(1, 2100) i; DO $$ BEGIN FOR i IN 800001..802100 BY 2 LOOP EXECUTE format('GRANT SELECT ON LARGE OBJECT %s TO reader', i); END LOOP; END $$; SELECT lo_put(700004, 5000000, 'after a hole'); GRANT SELECT ON LARGE OBJECT 700003 TO PUBLIC; GRANT UPDATE ON LARGE OBJECT 700003 TO reader WITH GRANT OPTION;
