-- Facts about a database that every version tells in the same words. Each line begins with its kind.
SET search_path = ''; SET TimeZone = 'UTC'; SET extra_float_digits = 0; SET row_security = off; SET bytea_output = hex;
CREATE FUNCTION pg_temp.content(t regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE r text; scope text := CASE (SELECT relkind FROM pg_catalog.pg_class WHERE oid = t) WHEN 'p' THEN '' ELSE 'ONLY' END; BEGIN
  -- Rows as text, sorted: their order on disk is not part of a backup.
  EXECUTE pg_catalog.format('SELECT count(*) || '' '' || coalesce(md5(string_agg(x::text, E''\n'' ORDER BY x::text COLLATE "C")), '''') FROM %s %s x', scope, t) INTO r; RETURN r;
EXCEPTION WHEN object_not_in_prerequisite_state THEN RETURN 'not populated'; END $$;
SELECT 'rows', n.nspname, c.relname, c.relkind, c.relpersistence, pg_temp.content(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
 WHERE c.relkind IN ('r', 'm', 'p') AND NOT c.relispartition AND n.nspname = 'app';
-- Where the rows of a partitioned table lie: not of one by hash, since the hash of an enum's label is its number's.
SELECT 'partition', c.oid::regclass, pg_temp.content(c.oid) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_inherits i ON i.inhrelid = c.oid
 JOIN pg_catalog.pg_partitioned_table p ON p.partrelid = i.inhparent WHERE p.partstrat <> 'h' AND c.relkind = 'r';
SELECT 'relation', c.oid::regclass, c.relkind, pg_catalog.pg_get_userbyid(c.relowner), c.relacl, c.reloptions, c.relrowsecurity, c.relreplident, c.relispartition,
  pg_catalog.pg_get_expr(c.relpartbound, c.oid), pg_catalog.obj_description(c.oid, 'pg_class') FROM pg_catalog.pg_class c WHERE c.relnamespace = 'app'::regnamespace AND c.relkind <> 't';
SELECT 'column', a.attrelid::regclass, a.attname, pg_catalog.format_type(a.atttypid, a.atttypmod), a.attnotnull, a.attidentity, a.attstorage, a.attacl,
  pg_catalog.pg_get_expr(d.adbin, d.adrelid), pg_catalog.col_description(a.attrelid, a.attnum) FROM pg_catalog.pg_attribute a JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
  LEFT JOIN pg_catalog.pg_attrdef d ON (d.adrelid, d.adnum) = (a.attrelid, a.attnum) WHERE c.relnamespace = 'app'::regnamespace AND a.attnum > 0 AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'c', 'f');
-- Newer versions keep NOT NULL as constraints (type n) and know constraint triggers by type t. What a partition inherits has
-- a name of the server's own.
SELECT 'constraint', conrelid::regclass, conname, contype, convalidated, condeferrable, condeferred, pg_catalog.pg_get_constraintdef(oid) FROM pg_catalog.pg_constraint k
 WHERE connamespace = 'app'::regnamespace AND contype NOT IN ('n', 't') AND coalesce(to_jsonb(k) ->> 'conparentid', '0') = '0';
SELECT 'index', indexrelid::regclass, indisvalid, indisready, indisunique, pg_catalog.pg_get_indexdef(indexrelid) FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
 WHERE c.relnamespace = 'app'::regnamespace;
SELECT 'trigger', tgrelid::regclass, tgname, tgenabled FROM pg_catalog.pg_trigger WHERE NOT tgisinternal;
SELECT 'function', oid::regprocedure, prosrc, provolatile, pg_catalog.pg_get_userbyid(proowner), proacl FROM pg_catalog.pg_proc WHERE pronamespace = 'app'::regnamespace
 AND prosrc NOT LIKE 'multirange%';
SELECT 'enum', enumtypid::regtype, string_agg(enumlabel, ',' ORDER BY enumsortorder) FROM pg_catalog.pg_enum GROUP BY 2;
SELECT 'sequence', s.seqrelid::regclass, s.seqtypid::regtype, s.seqstart, s.seqincrement, s.seqmax, s.seqmin, s.seqcache, s.seqcycle, pg_catalog.pg_sequence_last_value(s.seqrelid)
 FROM pg_catalog.pg_sequence s;
SELECT 'schema', nspname, pg_catalog.pg_get_userbyid(nspowner), nspacl FROM pg_catalog.pg_namespace WHERE nspname = 'app';
SELECT 'extension', extname, n.nspname FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace;
SELECT 'large object', oid, pg_catalog.pg_get_userbyid(lomowner), lomacl, pg_catalog.obj_description(oid, 'pg_largeobject'), pg_catalog.md5(pg_catalog.lo_get(oid)) FROM pg_catalog.pg_largeobject_metadata;
SELECT 'policy', polname, polrelid::regclass, polcmd, polroles::regrole[], pg_catalog.pg_get_expr(polqual, polrelid) FROM pg_catalog.pg_policy;
SELECT 'publication', pubname, puballtables FROM pg_catalog.pg_publication;
SELECT 'default privileges', pg_catalog.pg_get_userbyid(defaclrole), defaclobjtype, defaclacl FROM pg_catalog.pg_default_acl;
